"""What is read with a note, and what is refused because it is no single still picture."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from codec.pictures.layout import to_array, to_image
from codec.pictures.picture_files import (
    Picture,
    PictureError,
    UnsupportedPicture,
    read_picture,
    write_picture,
    written_path,
)
from tests.codec.pictures.made_files import (
    GAIN_MAP_XMP,
    PLAIN_XMP,
    jpeg,
    mpo,
    saved,
    segment,
)
from tests.conftest import colourful

PIXELS = colourful(48, 64)


def read(data: bytes, folder: Path) -> Picture:
    (folder / "x").write_bytes(data)
    return read_picture(folder / "x")


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_whole(tmp_path: Path, cut: int, progressive: bool) -> None:
    data = jpeg(PIXELS, progressive=progressive)
    picture = read(data[:-cut], tmp_path)
    assert picture.notes == ("lacks the end of its file, but no pixel",)
    assert torch.equal(picture.pixels, read(data, tmp_path).pixels)
    assert write_picture(picture, tmp_path / "out.jpg") == picture.notes


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_some_of_its_pixels_is_broken(
    tmp_path: Path, end: bytes, progressive: bool
) -> None:
    data = jpeg(PIXELS, progressive=progressive)
    for share in (0.5, 0.8, 0.95):
        with pytest.raises(PictureError, match="truncated or broken") as caught:
            read(data[: int(len(data) * share)] + end, tmp_path)
        assert not isinstance(caught.value, UnsupportedPicture)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_with_a_hole_is_broken(tmp_path: Path, mode: str) -> None:
    data = bytearray(saved(to_image(PIXELS).convert(mode), "JPEG", quality=95))
    assert read(bytes(data), tmp_path).pixels.shape == PIXELS.shape
    middle = data.index(b"\xff\xda") + 600
    del data[middle : middle + 600]
    with pytest.raises(PictureError, match="truncated or broken"):
        read(bytes(data), tmp_path)


def test_harmless_oddities_of_jpegs_are_read(tmp_path: Path) -> None:
    data = jpeg(PIXELS)
    padded = read(data + bytes(1000), tmp_path)
    assert padded.notes == ()
    assert torch.equal(padded.pixels, read(data, tmp_path).pixels)
    odd = read(data[:-2] + b"junk" * 10 + data[-2:], tmp_path)
    assert torch.equal(odd.pixels, padded.pixels)
    (note,) = odd.notes
    assert "may be damaged" in note
    assert " extraneous bytes" in note


def test_second_pictures_are_named_and_the_first_is_used(tmp_path: Path) -> None:
    picture = read(mpo(PIXELS, colourful(24, 32)), tmp_path)
    assert picture.file_format == "JPEG"
    assert torch.equal(picture.pixels, read(jpeg(PIXELS), tmp_path).pixels)
    assert picture.notes == ("holds 2 pictures, of which the first is used",)
    assert write_picture(picture, tmp_path / "out.jpg") == picture.notes
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.format == "JPEG"
        assert "mp" not in image.info


def test_gain_maps_are_named_and_no_longer_announced(tmp_path: Path) -> None:
    data = jpeg(PIXELS, xmp=GAIN_MAP_XMP) + jpeg(colourful(24, 32)[:1])
    picture = read(data, tmp_path)
    assert picture.notes == ("holds an HDR gain map, which is not carried over",)
    write_picture(picture, tmp_path / "out.jpg")
    written = (tmp_path / "out.jpg").read_bytes()
    assert b"hdrgm" not in written
    assert b"Rating" in written
    marked = jpeg(PIXELS, extra=segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)))
    assert read(marked, tmp_path).notes == picture.notes


def test_motion_video_and_other_data_behind_are_named(tmp_path: Path) -> None:
    xmp = PLAIN_XMP.replace(
        b'xmp:Rating="4"',
        b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"',
    )
    video = b"\0\0\0\x18ftypmp42" + bytes(100)
    picture = read(jpeg(PIXELS, xmp=xmp) + video, tmp_path)
    assert picture.notes == ("holds a motion video, which is not carried over",)
    assert b"MotionPhoto" not in (picture.metadata.xmp or b"")
    samsung = read(jpeg(PIXELS) + b"MotionPhoto_Data" + video, tmp_path)
    assert samsung.notes == picture.notes
    (note,) = read(jpeg(PIXELS) + b"abc" * 500, tmp_path).notes
    assert "1,500 bytes behind the picture" in note


def test_whatever_else_a_jpeg_holds_is_named(tmp_path: Path) -> None:
    extra = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(50))
    extra += segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x28jumbjumdc2pa")
    extra += segment(0xE3, b"thermal data") + segment(0xEC, b"Ducky\0quality")
    notes = read(jpeg(PIXELS, extra=extra), tmp_path).notes
    assert [note.split(",")[0] for note in notes] == [
        "holds an extended XMP packet",
        "holds segments of unknown use (APP3)",
        "holds content credentials",
    ]


def test_reductions_are_named(tmp_path: Path) -> None:
    cmyk = read(saved(to_image(PIXELS).convert("CMYK"), "JPEG"), tmp_path)
    assert cmyk.notes == ("holds CMYK colours, which become RGB",)
    floats = read(saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), tmp_path)
    assert floats.notes == ("holds 32 bits a channel, which become 8",)
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    deep = read(saved(Image.fromarray(grey), "JPEG2000"), tmp_path)
    assert deep.notes == ("holds 16 bits a channel, which become 8",)
    assert abs(deep.pixels[0].int() - torch.arange(256).reshape(16, 16)).max() <= 1


def test_bits_of_avif_are_named_and_hdr_is_refused(tmp_path: Path) -> None:
    data = saved(to_image(PIXELS), "AVIF")
    assert read(data, tmp_path).notes == ()
    config = data.index(b"av1C") + 6
    ten = data[:config] + bytes([data[config] | 0x40]) + data[config + 1 :]
    from codec.pictures.opening import _avif_notes

    assert _avif_notes(ten) == ("holds 10 bits a channel, which become 8",)
    transfer = data.index(b"colrnclx") + 11
    wide = data[: transfer - 2] + bytes([12]) + data[transfer - 1 :]
    (note,) = read(wide, tmp_path).notes
    assert "Display P3" in note
    for code, name in ((16, "PQ"), (18, "HLG")):
        hdr = data[:transfer] + bytes([code]) + data[transfer + 1 :]
        with pytest.raises(UnsupportedPicture, match=rf"an HDR picture \({name}\)"):
            read(hdr, tmp_path)


def test_hdr_png_is_refused(tmp_path: Path) -> None:
    import zlib

    data = saved(to_image(PIXELS), "PNG")
    body = b"cICP" + bytes([9, 16, 0, 1])
    chunk = (4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    with pytest.raises(UnsupportedPicture, match=r"an HDR picture \(PQ\)"):
        read(data[:33] + chunk + data[33:], tmp_path)
    body = b"cICP" + bytes([1, 13, 0, 1])  # sRGB
    chunk = (4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    assert torch.equal(read(data[:33] + chunk + data[33:], tmp_path).pixels, PIXELS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gif", "animated"), ("webp", "animated"), ("png", "animated"), ("avif", "animated"),
        ("tiff", "several pages"), ("ico", "icon"), ("dng", "raw"), ("preview", "raw"),
        ("xpm", "only be read"), ("float tiff", "TIFF"), ("jxl", "JPEG XL"), ("exr", "floats"),
    ],
)  # fmt: skip
def test_sound_files_of_other_kinds_are_no_broken_ones(
    tmp_path: Path, name: str, reason: str
) -> None:
    frames = [to_image(colourful(32, 32 + frame)).resize((32, 32)) for frame in range(2)]
    several = {"save_all": True, "append_images": frames[1:]}
    raw, preview = Image.Exif(), Image.Exif()
    raw[50706] = b"\1\4\0\0"
    preview[ExifTags.Base.NewSubfileType] = 1
    makers = {
        "ico": lambda: saved(frames[0], "ICO"),
        "dng": lambda: saved(frames[0], "TIFF", exif=raw),
        "preview": lambda: saved(frames[0], "TIFF", exif=preview),
        "xpm": lambda: b'/* XPM */\nstatic char *x[] = {\n"1 1 1 1",\n"a c #ff0000",\n"a"\n};\n',
        "float tiff": lambda: b"II*\0\x08\0\0\0\0\0",
        "jxl": lambda: b"\xff\x0a" + bytes(20),
        "exr": lambda: b"\x76\x2f\x31\x01" + bytes(20),
    }
    data = makers.get(name, lambda: saved(frames[0], name.upper(), **several))()
    with pytest.raises(UnsupportedPicture, match=reason) as caught:
        read(data, tmp_path)
    assert str(caught.value).startswith(str(tmp_path))


def heic(pixels: torch.Tensor, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    pillow_heif.from_pillow(to_image(pixels)).save(buffer, **options)
    return buffer.getvalue()


def test_heic_is_read_and_written_as_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    data = heic(PIXELS, quality=95, exif=exif.tobytes(), xmp=PLAIN_XMP)
    picture = read(data, tmp_path)
    assert picture.file_format == "HEIF"
    assert picture.notes == ()
    assert (picture.floats() - PIXELS.float() / 255).abs().mean() < 0.06  # 4:2:0 of noise
    assert picture.metadata.xmp == PLAIN_XMP
    target = written_path(tmp_path / "x.HEIC")
    assert target.name == "x.jpg"
    assert write_picture(picture, target) == ("is written as JPEG of quality 95",)
    with Image.open(target) as image:
        assert image.format == "JPEG"
        assert image.getexif()[ExifTags.Base.Make] == "maker"
        assert image.info["xmp"] == PLAIN_XMP


def test_heic_as_pillow_heif_sees_it(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = heic(PIXELS, quality=95, exif=exif.tobytes())
    expected = np.asarray(pillow_heif.open_heif(BytesIO(data)).to_pillow())
    picture = read(data, tmp_path)
    assert np.array_equal(to_array(picture.pixels), expected)
    write_picture(picture, tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg").pixels.shape == picture.pixels.shape


def test_depth_and_second_pictures_of_heic_are_named(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(to_image(PIXELS))
    file.add_from_pillow(to_image(colourful(32, 32)))
    buffer = BytesIO()
    file.save(buffer)
    assert read(buffer.getvalue(), tmp_path).notes == ("holds 2 pictures, of which one is used",)
    buffer = BytesIO()
    deep = to_array(colourful(48, 64, torch.uint16)).tobytes()
    pillow_heif.encode("RGB;16", (64, 48), deep, buffer, bit_depth=10)
    assert read(buffer.getvalue(), tmp_path).notes == ("holds 10 bits a channel, which become 8",)


def test_heic_that_cannot_be_read_as_it_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = torch.cat([PIXELS, PIXELS[:1]])
    with pytest.raises(UnsupportedPicture, match="transparency"):
        read(heic(clear), tmp_path)
    data = heic(PIXELS)
    transfer = data.index(b"colrnclx") + 11
    with pytest.raises(UnsupportedPicture, match="HLG"):
        read(data[:transfer] + bytes([18]) + data[transfer + 1 :], tmp_path)
    with pytest.raises(PictureError, match="truncated or broken"):
        read(data[: len(data) // 2], tmp_path)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedPicture, match="pip install pillow-heif"):
        read(data, tmp_path)


@pytest.mark.parametrize("name", ["x.mpo", "x.HEIF", "x.hif"])
def test_names_of_renderings(name: str) -> None:
    assert written_path(Path("a.b") / name) == Path("a.b/x.jpg")
    assert written_path(Path("y.JPG")) == Path("y.JPG")


def test_a_lossless_jpeg_does_not_crash_the_process(tmp_path: Path) -> None:
    """To ask libjpeg-turbo for a small version of a lossless file ended the process."""
    baseline = jpeg(colourful(240, 320)[:1])
    frame, scan = baseline.index(b"\xff\xc0"), baseline.index(b"\xff\xda")
    lossless = bytearray(baseline)
    lossless[frame + 1], lossless[scan + 7 : scan + 10] = 0xC3, b"\1\0\0"  # its first predictor
    (tmp_path / "x.jpg").write_bytes(lossless)
    command = "import sys; from codec.pictures.picture_files import *; read_picture(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", command, tmp_path / "x.jpg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "PictureError" in done.stderr
