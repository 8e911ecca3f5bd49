"""Text LUTs against OpenColorIO, on pictures: at most one grey level apart."""

import logging
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.pictures.apply import render_lut
from codec.pictures.lut import identity_lut, resample
from codec.pictures.lut_files import load_lut, read_lut
from codec.pictures.lut_text import LutFileError
from codec.pictures.picture_files import to_dtype


def twisted_table(size: int) -> Tensor:
    """(3, D, D, D) of a look that mixes the channels."""
    red, green, blue = identity_lut(size, dtype=torch.float64)
    return torch.stack(
        (
            0.9 * red.sqrt() + 0.2 * green * blue - 0.05,
            green**1.5 * 0.8 + 0.2 * red,
            blue * (1.1 - 0.3 * red) + 0.02,
        )
    )


def rows(table: Tensor, blue_fastest: bool = False, scale: int = 0) -> str:
    """A table or curves as lines of text, in whole numbers from a scale on."""
    if blue_fastest:
        table = table.permute(0, 3, 2, 1)
    lines = table.flatten(1).T
    if scale:
        whole = (lines.clamp(0, 1) * scale).round().int().tolist()
        return "".join(f"{r} {g} {b}\n" for r, g, b in whole)
    return "".join(f"{r:.6f} {g:.6f} {b:.6f}\n" for r, g, b in lines.tolist())


def curves(points: int) -> Tensor:
    level = torch.linspace(0, 1, points, dtype=torch.float64)
    return torch.stack((level.sqrt(), level**1.3, 1 - (1 - level) ** 2))


def assert_as_opencolorio(path: Path, source: Path | None = None) -> None:
    """Our rendering and theirs of random colours and of smooth ones, in 8 and 16 bits.

    Args:
        source: a file for OpenColorIO that means the same; None: the same one.
    """
    ocio = pytest.importorskip("PyOpenColorIO")
    ocio.ClearAllCaches()  # it remembers files by name
    lut = read_lut(path)
    noise = torch.rand(3, 90, 70, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0, 1, 70).expand(3, 90, 70) * torch.linspace(0, 1, 90).view(1, 90, 1)
    for dtype, name in ((torch.uint8, "LINEAR"), (torch.uint16, "TETRAHEDRAL")):
        interpolation = getattr(ocio, f"INTERP_{name}")
        transform = ocio.FileTransform(str(source or path), interpolation=interpolation)
        processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
        for picture in (noise, ramp):
            pixels = to_dtype(picture, dtype)
            peak = torch.iinfo(dtype).max
            theirs = pixels.permute(1, 2, 0).contiguous().float().numpy() / peak
            processor.applyRGB(theirs)
            ours = render_lut(pixels, lut.table, shaper=lut.shaper).permute(1, 2, 0)
            apart = np.abs(ours.double().numpy() / peak - theirs.clip(0, 1)) * 255
            assert apart.max() <= 1
            assert apart.mean() <= 0.3  # rounding to 8 bits alone is 0.25


@pytest.mark.parametrize("bounds", ["0 2", "0 1.095", "-0.5 1", "0.1 0.8"])
def test_resolve_ranges_of_a_3d_table(tmp_path: Path, bounds: str) -> None:
    path = tmp_path / "look.cube"
    path.write_text(f"LUT_3D_SIZE 17\nLUT_3D_INPUT_RANGE {bounds}\n" + rows(twisted_table(17)))
    assert_as_opencolorio(path)


@pytest.mark.parametrize("bounds", ["0 1", "0 2", "-0.125 1.125", "0.25 0.75"])
def test_resolve_ranges_of_curves(tmp_path: Path, bounds: str) -> None:
    path = tmp_path / "look.cube"
    path.write_text(f"LUT_1D_SIZE 100\nLUT_1D_INPUT_RANGE {bounds}\n" + rows(curves(100)))
    assert_as_opencolorio(path)


@pytest.mark.parametrize("range_1d", ["0 1", "-0.2 1.3"])
@pytest.mark.parametrize("range_3d", ["0 1", "0.2 0.7"])
def test_resolve_curves_before_a_3d_table(tmp_path: Path, range_1d: str, range_3d: str) -> None:
    path = tmp_path / "look.cube"
    path.write_text(
        f"LUT_1D_SIZE 256\nLUT_1D_INPUT_RANGE {range_1d}\n"
        f"LUT_3D_SIZE 9\nLUT_3D_INPUT_RANGE {range_3d}\n"
        + rows(curves(256))
        + rows(twisted_table(9))
    )
    assert_as_opencolorio(path)


def test_domains_differ_between_channels(tmp_path: Path) -> None:
    domain = "DOMAIN_MIN 0 -0.5 0.1\nDOMAIN_MAX 1 1.5 0.9\n"
    path = tmp_path / "look.cube"
    path.write_text("LUT_3D_SIZE 9\n" + domain + rows(twisted_table(9)))
    assert_as_opencolorio(path)
    path.write_text("LUT_1D_SIZE 64\n" + domain + rows(curves(64)))
    assert_as_opencolorio(path)


def test_a_steep_curve_keeps_its_shadows(tmp_path: Path) -> None:
    """A table of 65 points would be 8 levels off in the darkest ones."""
    path = tmp_path / "gamma.cube"
    level = torch.linspace(0, 1, 4096, dtype=torch.float64) ** (1 / 2.2)
    path.write_text("LUT_1D_SIZE 4096\n" + rows(level.expand(3, -1)))
    assert_as_opencolorio(path)


PLAIN = "LUT_3D_SIZE 5\n" + rows(twisted_table(5))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lower case", lambda text: "title x\n" + text.lower()),
        ("commas", lambda text: text.replace(" ", ", ")),
        ("commas without blanks", lambda text: text.replace(" ", ",")),
        ("tabs and indents", lambda text: "\t" + text.replace(" ", "\t ")),
        ("comments", lambda text: "# one\n" + text.replace("\n", " # two\n")),
        ("exponents", lambda text: text.replace("0.020000", "2e-2")),
        ("titles", lambda text: 'TITLE "LUT_3D_SIZE # 9"\n' + text),
        ("keywords at the end", lambda text: text + "DOMAIN_MAX 1 1 1"),
    ],
)
def test_cubes_of_every_hand(tmp_path: Path, name: str, change: Callable[[str], str]) -> None:
    (tmp_path / "plain.cube").write_text(PLAIN)
    (tmp_path / "look.cube").write_text(change(PLAIN))
    expected = load_lut(tmp_path / "plain.cube")
    assert torch.equal(load_lut(tmp_path / "look.cube"), expected)
    if name in ("lower case", "titles"):
        assert_as_opencolorio(tmp_path / "look.cube")
    assert_as_opencolorio(tmp_path / "look.cube", source=tmp_path / "plain.cube")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "look.cube"
    text = ("TITLE Abendröte\n" + PLAIN).replace("\n", newline)
    path.write_bytes(text.encode(encoding))
    table = load_lut(path)
    torch.testing.assert_close(table, twisted_table(5).float(), atol=1e-6, rtol=0)


def test_unknown_keywords_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "look.cube"
    path.write_text("LUT_IN_VIDEO_RANGE\nMADE_BY someone\nLUT_IN_VIDEO_RANGE\n" + PLAIN)
    with caplog.at_level(logging.WARNING):
        read_lut(path)
    (message,) = caplog.messages
    assert "look.cube: no effect: LUT_IN_VIDEO_RANGE (line 1), MADE_BY (line 2)" in message
    path.write_text("".join(f"WORD{i} 1\n" for i in range(9)) + PLAIN)
    read_lut(path)
    assert caplog.messages[-1].endswith("WORD2 (line 3) and 6 more")


def test_known_keywords_are_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = "TITLE x\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n"
    (tmp_path / "look.cube").write_text(header + PLAIN)
    table = rows(identity_lut(2), True, 1023)
    (tmp_path / "look.3dl").write_text(f"3DMESH\nMesh 1 10\n{table}\nLUT8\ngamma 1.0\n")
    for name in ("look.cube", "look.3dl"):
        read_lut(tmp_path / name)
    assert not caplog.messages


def test_video_range_has_no_effect_in_opencolorio_either(tmp_path: Path) -> None:
    path = tmp_path / "look.cube"
    path.write_text("LUT_3D_SIZE 5\n" + PLAIN.split("\n", 1)[1])
    tagged = tmp_path / "tagged.cube"
    tagged.write_text("LUT_IN_VIDEO_RANGE\n" + PLAIN)
    assert_as_opencolorio(tagged, source=path)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("shaper", ["", "0 256 512 768 1023\n", "0 60 200 600 1023\n"])
def test_3dl(tmp_path: Path, bits: int, shaper: str) -> None:
    path = tmp_path / "look.3dl"
    path.write_text("# by hand\n" + shaper + rows(twisted_table(5), True, 2**bits - 1))
    assert_as_opencolorio(path)


def test_3dl_of_lustre(tmp_path: Path) -> None:
    path = tmp_path / "look.3dl"
    mesh = "0 64 128 192 256 320 384 448 512 576 640 704 768 832 896 960 1023"
    body = rows(twisted_table(17), True, 4095)
    path.write_text(f"#Tokens\n3DMESH\nMesh 4 12\n{mesh}\n\n{body}\nLUT8\ngamma 1.0\n")
    assert_as_opencolorio(path)
    torch.testing.assert_close(
        load_lut(path), twisted_table(17).clamp(0, 1).float(), atol=0.51 / 4095, rtol=0
    )


CURVED = """3
0 0.2 1
0 0.45 1
6
-0.5 0.1 0.2 0.5 0.7 1.5
0.0 0.2 0.4 0.6 0.65 1.0
2
0 2
0 1
"""
STRAIGHT = "2\n0 1\n0 1\n" * 3
METADATA = "BEGIN METADATA\nanything # 1 2 3\nEND METADATA\n\n"


@pytest.mark.parametrize("points", [STRAIGHT, CURVED, "0\n0\n0\n"])
@pytest.mark.parametrize("metadata", ["", METADATA])
def test_csp(tmp_path: Path, points: str, metadata: str) -> None:
    path = tmp_path / "look.csp"
    start = f"CSPLUTV100\n%s\n{metadata}{points}"
    path.write_text(start % "3D" + "5 5 5\n" + rows(twisted_table(5)))
    assert_as_opencolorio(path)
    path.write_text(start % "1D" + "50\n" + rows(curves(50)))
    assert_as_opencolorio(path)


@pytest.mark.parametrize("kind", ["iridas_cube", "resolve_cube", "flame", "lustre", "cinespace"])
def test_we_read_what_opencolorio_bakes(tmp_path: Path, kind: str) -> None:
    ocio = pytest.importorskip("PyOpenColorIO")
    config = ocio.Config.CreateRaw()
    log = ocio.LogAffineTransform(linSideSlope=[8.0] * 3, linSideOffset=[0.05] * 3)
    mix = ocio.MatrixTransform([0.8, 0.1, 0, 0, 0.1, 0.7, 0.1, 0, 0, 0.2, 0.6, 0, 0, 0, 0, 1])
    for name, transform in (("input", None), ("shaper", log), ("target", mix)):
        space = ocio.ColorSpace(name=name)
        if transform is not None:
            space.setTransform(transform, ocio.COLORSPACE_DIR_FROM_REFERENCE)
        config.addColorSpace(space)
    baker = ocio.Baker()
    baker.setConfig(config)
    baker.setFormat(kind)
    baker.setInputSpace("input")
    baker.setTargetSpace("target")
    baker.setCubeSize(17)
    if kind in ("resolve_cube", "cinespace"):
        baker.setShaperSpace("shaper")
        baker.setShaperSize(64)
    extension = {"flame": "3dl", "lustre": "3dl", "cinespace": "csp"}.get(kind, "cube")
    path = tmp_path / f"baked.{extension}"
    path.write_text(baker.bake())
    assert_as_opencolorio(path)


def test_one_table_holds_the_curves_too(tmp_path: Path) -> None:
    path = tmp_path / "look.cube"
    path.write_text("LUT_1D_SIZE 256\nLUT_3D_SIZE 9\n" + rows(curves(256)) + rows(twisted_table(9)))
    lut = read_lut(path)
    assert torch.equal(load_lut(path), resample(lut.table, 65, lut.shaper))


EIGHT = "0 0 0\n" * 7 + "255 255 255\n"
CSP = "CSPLUTV100\n3D\n" + STRAIGHT + "2 2 2\n" + "0 0 0\n" * 8


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("x.cube", "LUT_3D_INPUT_RANGE 1 0\n" + PLAIN, "line 1: expected numbers below"),
        ("x.cube", "LUT_3D_INPUT_RANGE 1\n" + PLAIN, "line 1: expected 2 numbers"),
        ("x.cube", "LUT_3D_INPUT_RANGE 0 inf\n" + PLAIN, "line 1"),
        ("x.cube", "LUT_3D_INPUT_RANGE 0 1e-320\n" + PLAIN, "finite"),
        ("x.cube", "LUT_3D_INPUT_RANGE 0 1\nDOMAIN_MIN 0 0 0\n" + PLAIN, "not both"),
        ("x.cube", "LUT_1D_SIZE 3\n" + PLAIN, "expected 128 rows of numbers, got 125"),
        ("x.cube", "LUT_1D_SIZE 65537\n0 0 0\n", "2 to 65536"),
        ("x.cube", "LUT_2D_SIZE 4\n0 0 0\n", "LUT_3D_SIZE"),
        ("x.cube", "<html>\n<body>\n", "LUT_3D_SIZE"),
        ("x.cube", "LUT_3D_SIZE 2\n0,5 0,5 0,5\n", "3 numbers"),
        ("x.3dl", "", "rows of three whole numbers, got 0"),
        ("x.3dl", EIGHT + "0 0 0\n", "got 9"),
        ("x.3dl", EIGHT.replace("255", "0.5"), "line 8: expected 3 whole numbers"),
        ("x.3dl", EIGHT.replace("255", "nan"), "line 8"),
        ("x.3dl", EIGHT.replace("255", "1"), "8 bits or more, got 1"),
        ("x.3dl", "0 1 2 3\n" + EIGHT, "8 bits or more, got 3"),
        ("x.3dl", "0 1 2 255\n" * 2 + EIGHT, "line 2: expected 3 numbers"),
        ("x.3dl", "0 0\n" + EIGHT, "line 1: expected 3 numbers"),
        ("x.csp", "", "expected CSPLUTV100, the file ends"),
        ("x.csp", PLAIN, "line 1: expected CSPLUTV100"),
        ("x.csp", CSP.replace("3D", "2D"), "line 2: expected 1D or 3D"),
        ("x.csp", CSP.replace("2 2 2", "2 2 3"), "same size"),
        ("x.csp", CSP.replace("2 2 2", "1000 1000 1000"), "2 to 256"),
        ("x.csp", CSP.replace("0 1\n0 1", "0 1 2\n0 1", 1), "line 4: expected 2 numbers"),
        ("x.csp", CSP.replace("0 1\n0 1", "1 0\n0 1", 1), "ascending"),
        ("x.csp", CSP.replace("0 1\n0 1", "0 nan\n0 1", 1), "finite"),
        ("x.csp", CSP[:-6], "8 rows of numbers, the file ends"),
        ("x.csp", "CSPLUTV100\n3D\nBEGIN METADATA\n", "expected END METADATA, the file ends"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, text: str, expected: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LutFileError, match=expected) as caught:
        read_lut(path)
    assert name in str(caught.value)


FRAGMENTS = st.sampled_from(
    (
        *(b"LUT_3D_SIZE 2\n", b"LUT_1D_SIZE 2\n", b"DOMAIN_MAX 1 1 1\n"),
        *(b"LUT_1D_INPUT_RANGE 0 1\n", b"LUT_3D_INPUT_RANGE 0 2\n", b"3DMESH\n"),
        *(b"0 0 0\n", b"255 255 255\n", b"nan 1 1\n", b"1e39 0 0\n", b"9e999 0 0\n"),
        *(b"CSPLUTV100\n", b"3D\n", b"1D\n", b"2\n", b"0 1\n", b"2 2 2\n"),
        *(b"BEGIN METADATA\n", b"0 1 2 300\n", b"-1 2 1e-400\n"),
        *(b"\xff\xfe", b"\0", b"#", b"\r", b"\xd8\x00"),
    )
)
BYTES = st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=20).map(b"".join))


@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=BYTES, kind=st.sampled_from(["cube", "3dl", "csp", "png"]))
def test_random_bytes_are_a_table_or_an_error(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / f"random.{kind}"
    path.write_bytes(data)
    try:
        lut = read_lut(path)
    except LutFileError as error:
        assert path.name in str(error)
        return
    assert bool(lut.table.isfinite().all())
    assert lut.shaper is None or bool(lut.shaper.isfinite().all())


@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=24),
    bounds=st.tuples(st.floats(width=64), st.floats(width=64)),
)
def test_any_numbers_render_or_are_an_error(
    tmp_path: Path, values: list[float], bounds: tuple[float, float]
) -> None:
    path = tmp_path / "numbers.cube"
    table = np.resize(np.array(values or [0.0]), (8, 3)).tolist()
    text = "".join(f"{r} {g} {b}\n" for r, g, b in table)
    path.write_text(f"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE {bounds[0]} {bounds[1]}\n{text}")
    try:
        lut = read_lut(path)
    except LutFileError:
        return
    pixels = torch.arange(96, dtype=torch.uint8).reshape(3, 4, 8)
    assert render_lut(pixels, lut.table, shaper=lut.shaper).shape == pixels.shape


def test_a_size_alone_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.csp"
    path.write_bytes(CSP.replace("2 2 2", "256 256 256").encode())
    with pytest.raises(LutFileError, match="the file ends"):
        read_lut(path)
    header = struct.pack(">4s", b"\x89PNG")
    (tmp_path / "cut.png").write_bytes(header)
    with pytest.raises(LutFileError, match=r"cut\.png"):
        read_lut(tmp_path / "cut.png")
