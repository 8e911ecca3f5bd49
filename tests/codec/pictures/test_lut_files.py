from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from codec.pictures.lut import apply_tetrahedral, apply_trilinear, identity_lut, resample
from codec.pictures.lut_files import (
    LutFileError,
    load_lut,
    save_cube,
    save_hald,
)
from codec.pictures.mapping import ColourMapping
from codec.pictures.picture_files import to_dtype, write_pixels
from tests.codec.pictures.test_mapping import TABLE_1
from tests.conftest import colourful

LOOK = ColourMapping(torch.tensor(TABLE_1, dtype=torch.float64))


@pytest.mark.parametrize("size", [2, 17, 33, 65])
def test_cube_round_trip(tmp_path: Path, size: int) -> None:
    table = LOOK.lut(size)
    save_cube(table, tmp_path / "look.cube", 'a "title"')
    torch.testing.assert_close(load_lut(tmp_path / "look.cube"), table, atol=6e-7, rtol=0)


@pytest.mark.parametrize(("level", "bits"), [(2, 8), (5, 16), (8, 8), (8, 16)])
def test_hald_round_trip(tmp_path: Path, level: int, bits: int) -> None:
    table = LOOK.lut(level**2)
    save_hald(table, tmp_path / "look.png", bits)
    tolerance = 0.5001 / (2**bits - 1)
    torch.testing.assert_close(load_lut(tmp_path / "look.png"), table, atol=tolerance, rtol=0)


def test_identity_hald_is_the_identity(tmp_path: Path) -> None:
    save_hald(identity_lut(36), tmp_path / "hald.png", 16)
    loaded = load_lut(tmp_path / "hald.png")
    torch.testing.assert_close(loaded, identity_lut(36), atol=1e-5, rtol=0)


def test_opencolorio_renders_our_cube_as_we_do(tmp_path: Path) -> None:
    ocio = pytest.importorskip("PyOpenColorIO")
    save_cube(LOOK.lut(33), tmp_path / "look.cube")
    transform = ocio.FileTransform(
        str(tmp_path / "look.cube"), interpolation=ocio.INTERP_TETRAHEDRAL
    )
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    pixels = colourful(64, 48)
    theirs = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy().astype(np.float32) / 255)
    processor.applyRGB(theirs)
    ours = apply_tetrahedral(pixels[None].float() / 255, load_lut(tmp_path / "look.cube"))
    np.testing.assert_allclose(ours[0].permute(1, 2, 0), theirs, atol=1 / 255)
    exact = LOOK(pixels[None].double() / 255)[0].permute(1, 2, 0)
    np.testing.assert_allclose(theirs, exact, atol=2.5 / 255)  # 33 points of a quartic


def test_we_read_what_opencolorio_writes(tmp_path: Path) -> None:
    ocio = pytest.importorskip("PyOpenColorIO")
    config = ocio.Config.CreateRaw()
    config.addColorSpace(ocio.ColorSpace(name="input"))
    target = ocio.ColorSpace(name="target")
    matrix = ocio.MatrixTransform([0.8, 0.1, 0, 0, 0.1, 0.7, 0.1, 0, 0, 0.2, 0.6, 0, 0, 0, 0, 1])
    target.setTransform(matrix, ocio.COLORSPACE_DIR_FROM_REFERENCE)
    config.addColorSpace(target)
    baker = ocio.Baker()
    baker.setConfig(config)
    baker.setFormat("iridas_cube")
    baker.setInputSpace("input")
    baker.setTargetSpace("target")
    baker.setCubeSize(9)
    (tmp_path / "baked.cube").write_text(baker.bake())
    table = load_lut(tmp_path / "baked.cube")
    x = torch.rand(1, 3, 8, 8)
    expected = torch.einsum(
        "cd,ndhw->nchw", torch.tensor([[0.8, 0.1, 0], [0.1, 0.7, 0.1], [0, 0.2, 0.6]]), x
    )
    torch.testing.assert_close(apply_trilinear(x, table), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bits", [8, 16])
def test_ffmpeg_renders_our_hald_as_we_do(tmp_path: Path, bits: int) -> None:
    av = pytest.importorskip("av")
    save_hald(LOOK.lut(64), tmp_path / "hald.png", bits)
    pixels = colourful(64, 48)
    graph = av.filter.Graph()
    depth = "rgb48le" if bits == 16 else "rgb24"
    values = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    values = values.astype(np.uint16) * 257 if bits == 16 else values
    picture = av.VideoFrame.from_ndarray(values, format=depth)
    with av.open(str(tmp_path / "hald.png")) as container:
        hald = next(container.decode(video=0)).reformat(format=depth)
    sources = [
        graph.add("buffer", f"width={f.width}:height={f.height}:pix_fmt={depth}:time_base=1/1")
        for f in (picture, hald)
    ]
    look = graph.add("haldclut", "interp=tetrahedral")
    sink = graph.add("buffersink")
    sources[0].link_to(look, 0, 0)
    sources[1].link_to(look, 0, 1)
    look.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, (picture, hald), strict=True):
        frame.pts = 0
        frame.time_base = Fraction(1)
        source.push(frame)
        source.push(None)
    peak = 65535 if bits == 16 else 255
    theirs = sink.pull().to_ndarray(format=depth).astype(np.float64) / peak * 255
    ours = LOOK(pixels[None].double() / 255)[0].permute(1, 2, 0) * 255
    np.testing.assert_allclose(theirs, ours.round(), atol=1)
    table = load_lut(tmp_path / "hald.png")
    same = apply_tetrahedral(pixels[None].float() / 255, table)[0].permute(1, 2, 0) * 255
    np.testing.assert_allclose(theirs, same.round(), atol=1)


def test_pillow_renders_our_table_as_we_do() -> None:
    table = LOOK.lut(33)
    pixels = colourful(64, 48)
    values = table.flatten(1).T.flatten().tolist()
    image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    theirs = np.asarray(image.filter(ImageFilter.Color3DLUT(33, values)))
    ours = to_dtype(apply_trilinear(pixels[None].double() / 255, table)[0], torch.uint8)
    np.testing.assert_allclose(ours.permute(1, 2, 0), theirs.astype(int), atol=1)


def test_domain_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "wide.cube"
    rows = [
        f"{r} {g} {b}" for b in (-1.0, 3.0) for g in (-1.0, 3.0) for r in (-1.0, 3.0)
    ]  # the identity over [-1, 3]
    path.write_text(
        '# made by hand\nTITLE "x y"\n\nLUT_3D_SIZE 2\nDOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\n'
        + "\n".join(rows)
    )
    torch.testing.assert_close(load_lut(path), identity_lut(2))


def test_one_dimensional_cube(tmp_path: Path) -> None:
    path = tmp_path / "curve.cube"
    path.write_text("LUT_1D_SIZE 3\n0 0 0\n0.25 0.5 0.75\n1 1 1\n")
    table = load_lut(path)
    assert table[:, 32, 32, 32].tolist() == [0.25, 0.5, 0.75]
    torch.testing.assert_close(resample(table, 2), identity_lut(2))


GOOD = "LUT_3D_SIZE 2\n" + "0 0 0\n" * 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 0\n" * 8, "LUT_3D_SIZE"),
        ("LUT_3D_SIZE 2\n" + "0 0 0\n" * 7, "expected 8 rows"),
        ("LUT_3D_SIZE 2\n" + "0 0 0\n" * 9, "expected 8 rows"),
        ("LUT_3D_SIZE 1000\n0 0 0\n", "2 to 256"),
        ("LUT_3D_SIZE inf\n0 0 0\n", "2 to 256"),
        ("LUT_3D_SIZE nan\n0 0 0\n", "2 to 256"),
        ("LUT_3D_SIZE 2.5\n0 0 0\n", "2 to 256"),
        (GOOD.replace("0 0 0", "0 0", 1), "3 numbers"),
        (GOOD.replace("0 0 0", "nan 0 0", 1), "finite"),
        (GOOD.replace("0 0 0", "0 inf 0", 1), "finite"),
        (GOOD.replace("0 0 0", "0 0 x", 1), "line 2"),
        (GOOD + "DOMAIN_MAX 0 0 0\n", "DOMAIN"),
        (GOOD + "DOMAIN_MIN 0 0\n", "DOMAIN"),
        ("", "LUT_3D_SIZE"),
    ],
)
def test_broken_cubes(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "broken.cube"
    path.write_text(text)
    with pytest.raises(LutFileError, match=expected) as caught:
        load_lut(path)
    assert "broken.cube" in str(caught.value)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "binary.cube").write_bytes(b"\xff\xfe\x00\x80")
    Image.new("RGB", (30, 30)).save(tmp_path / "photo.png")
    Image.new("RGB", (8, 9)).save(tmp_path / "oblong.png")
    for name in ("binary.cube", "photo.png", "oblong.png", "missing.cube", "missing.png"):
        with pytest.raises(LutFileError, match=name):
            load_lut(tmp_path / name)


def test_a_square_photo_is_no_look(tmp_path: Path) -> None:
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    write_pixels(tmp_path / "photo.png", to_dtype(noise, torch.uint8))
    with pytest.raises(LutFileError, match="ordinary picture"):
        load_lut(tmp_path / "photo.png")


def test_wrong_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="points an axis"):
        save_hald(identity_lut(33), tmp_path / "x.png")
    with pytest.raises(ValueError, match="8 or 16"):
        save_hald(identity_lut(36), tmp_path / "x.png", bits=12)


@pytest.mark.parametrize(
    ("name", "level", "options", "exact"),
    [
        ("hald.jpg", 5, {"quality": 95}, False),
        ("hald.avif", 5, {"quality": 90}, False),
        ("hald.webp", 5, {"quality": 95}, False),
        ("hald.webp", 5, {"lossless": True}, True),
        ("hald.tif", 5, {}, True),
        ("hald.png", 5, {}, True),
        ("palette.png", 5, {}, False),
        ("palette.png", 2, {}, True),  # 64 colours fit into a palette
    ],
)
def test_imprecise_halds_are_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    level: int,
    options: dict,
    exact: bool,
) -> None:
    table = LOOK.lut(level**2)
    save_hald(table, tmp_path / "exact.png")
    image = Image.open(tmp_path / "exact.png")
    if name.startswith("palette"):
        image = image.quantize(256, dither=Image.Dither.NONE)
    image.save(tmp_path / name, **options)
    loaded = load_lut(tmp_path / name)
    if exact:
        assert not caplog.messages
        torch.testing.assert_close(loaded, table, atol=0.5001 / 255, rtol=0)
    else:
        (message,) = caplog.messages
        assert name in message
        assert "expected PNG or TIFF" in message


def test_tables_of_another_kind_are_named(tmp_path: Path) -> None:
    table = identity_lut(64)
    tiles = table.reshape(3, 8, 8, 64, 64).transpose(2, 3).reshape(3, 512, 512)
    write_pixels(tmp_path / "grid.png", to_dtype(tiles, torch.uint8))
    with pytest.raises(LutFileError, match=r"grid\.png: a table in 64 tiles"):
        load_lut(tmp_path / "grid.png")
    strip = identity_lut(16).permute(0, 2, 1, 3).reshape(3, 16, 256)
    write_pixels(tmp_path / "strip.png", to_dtype(strip, torch.uint8))
    with pytest.raises(LutFileError, match=r"strip\.png: .* a strip of 16 tiles"):
        load_lut(tmp_path / "strip.png")
