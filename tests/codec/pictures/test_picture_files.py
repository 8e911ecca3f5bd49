from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from codec.pictures import picture_files
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, PictureError, read_picture, write_picture
from codec.pictures.storage import write_atomically
from tests.codec.pictures.made_files import tiff_of_sixteen_bits
from tests.conftest import colourful


def as_image(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (23, 1), (40, 31)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize(("file_format", "name"), [("PNG", "x.png"), ("TIFF", "x.tif")])
def test_lossless_round_trip(
    tmp_path: Path, size: tuple[int, int], dtype: torch.dtype, file_format: str, name: str
) -> None:
    pixels = colourful(*size, dtype=dtype)
    write_picture(Picture(pixels, file_format=file_format), tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert torch.equal(picture.pixels, pixels)
    assert picture.file_format == file_format


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_alpha_survives(tmp_path: Path, dtype: torch.dtype) -> None:
    pixels = colourful(9, 11, dtype)
    write_picture(Picture(pixels, pixels[:1]), tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert picture.alpha is not None
    assert torch.equal(picture.pixels, pixels)
    assert torch.equal(picture.alpha, pixels[:1])


def test_sixteen_bits_as_opencv_sees_them(tmp_path: Path) -> None:
    pixels = colourful(8, 9, torch.uint16)
    write_picture(Picture(pixels), tmp_path / "x.png")
    blue_green_red = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(blue_green_red[..., ::-1], pixels.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "I;16", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = as_image(colourful(12, 15))
    image = {
        "I;16": lambda: Image.fromarray(np.arange(180, dtype=np.uint16).reshape(12, 15) * 300),
        "F": lambda: Image.fromarray(np.linspace(0, 255, 180, dtype=np.float32).reshape(12, 15)),
        "PA": lambda: image.convert("P").convert("PA"),
    }.get(mode, lambda: image.convert(mode))()
    name = "x.tif" if mode in ("CMYK", "F", "PA") else "x.png"
    if mode == "PA":
        image.convert("RGBA").save(tmp_path / name)
    else:
        image.save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.pixels.shape == (3, 12, 15)
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA", "PA"))
    if mode in ("L", "I;16", "F", "1"):
        assert torch.equal(picture.pixels[0], picture.pixels[2])
        assert picture.pixels.double().std() > 0


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = as_image(colourful(12, 15)).convert("P")
    image.save(tmp_path / "x.png", transparency=image.getpixel((0, 0)))
    picture = read_picture(tmp_path / "x.png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0, 0] == 0


def test_cmyk_jpeg_stays_a_jpeg(tmp_path: Path) -> None:
    as_image(colourful(16, 16)).convert("CMYK").save(tmp_path / "x.jpg")
    picture = read_picture(tmp_path / "x.jpg")
    write_picture(picture, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "dtype"), [("x.jpg", "uint8"), ("x.png", "uint8"), ("x.png", "uint16")]
)
def test_orientation_is_undone_and_restored(
    tmp_path: Path, orientation: int, name: str, dtype: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "maker"
    stored = colourful(24, 40, getattr(torch, dtype))
    file_format = "JPEG" if name.endswith("jpg") else "PNG"
    source = Picture(stored, file_format=file_format, exif=exif.tobytes())
    write_picture(source, tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.orientation == orientation
    upright = (24, 40) if orientation < 5 else (40, 24)
    assert picture.pixels.shape[1:] == upright
    write_picture(picture, tmp_path / f"again-{name}")
    with Image.open(tmp_path / f"again-{name}") as image:
        assert image.getexif()[ExifTags.Base.Orientation] == orientation
        assert image.getexif()[ExifTags.Base.Make] == "maker"
        assert image.size == (40, 24)
    if dtype == "uint8":
        from PIL import ImageOps

        with Image.open(tmp_path / name) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(picture.pixels.permute(1, 2, 0), expected)
    if file_format == "PNG":
        again = read_picture(tmp_path / f"again-{name}")
        assert torch.equal(again.pixels, picture.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_of_both_depths_are_turned_once(tmp_path: Path, orientation: int) -> None:
    stored = colourful(24, 40, torch.uint16)
    (tmp_path / "deep.tif").write_bytes(tiff_of_sixteen_bits(stored, orientation))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    shallow = (stored.int() >> 8).to(torch.uint8)
    as_image(shallow).save(tmp_path / "shallow.tif", exif=exif)
    as_image(shallow).save(tmp_path / "shallow.png", exif=exif)
    deep = read_picture(tmp_path / "deep.tif")
    for name in ("shallow.tif", "shallow.png"):
        assert torch.equal(
            (deep.pixels.int() >> 8).to(torch.uint8), read_picture(tmp_path / name).pixels
        )
    write_picture(deep, tmp_path / "out.tif")
    assert torch.equal(read_picture(tmp_path / "out.tif").pixels, deep.pixels)


def other_profile() -> bytes:
    """An RGB profile that is not sRGB: sRGB's with red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.find(b"rXYZ"), profile.find(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_profiles_are_converted_to_srgb(tmp_path: Path, dtype: torch.dtype) -> None:
    pixels = colourful(16, 20, dtype)
    write_picture(Picture(pixels), tmp_path / "plain.png")
    if dtype == torch.uint8:
        image = Image.open(tmp_path / "plain.png")
        image.save(tmp_path / "x.png", icc_profile=other_profile())
    else:
        import zlib

        body = b"iCCPx\0\0" + zlib.compress(other_profile())
        data = (tmp_path / "plain.png").read_bytes()
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        (tmp_path / "x.png").write_bytes(data[:33] + chunk + data[33:])
    converted = read_picture(tmp_path / "x.png")
    assert converted.pixels.dtype == dtype
    assert not torch.equal(converted.pixels, pixels)
    swapped = pixels.flip(0).float() / torch.iinfo(dtype).max
    assert (converted.floats() - swapped).abs().max() < 0.03
    write_picture(converted, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert "icc_profile" not in image.info


def test_truncated_and_foreign_files(tmp_path: Path, photo_path: Path) -> None:
    as_image(colourful(64, 64)).save(tmp_path / "good.jpg")
    data = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.jpg", "text.png", "empty.png", "missing.png", "."):
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_enormous_pictures_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (20_000, 20_000)).save(tmp_path / "huge.png")
    with pytest.raises(PictureError, match="million pixels"):
        read_picture(tmp_path / "huge.png")
    monkeypatch.setattr(picture_files, "MAX_FILE_BYTES", 100)
    with pytest.raises(PictureError, match="larger than"):
        read_picture(tmp_path / "huge.png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_eight_bit_tiffs_survive(tmp_path: Path, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = "somebody"
    as_image(colourful(12, 15)).convert(mode).save(tmp_path / "x.tif", exif=exif)
    picture = read_picture(tmp_path / "x.tif")
    write_picture(picture, tmp_path / "out.tif")
    again = read_picture(tmp_path / "out.tif")
    assert torch.equal(again.pixels, picture.pixels)
    assert picture.pixels.shape[1:] == ((12, 15) if orientation == 1 else (15, 12))
    with Image.open(tmp_path / "out.tif") as image:
        assert image.getexif()[ExifTags.Base.Artist] == "somebody"


def test_sixteen_bit_tiffs_are_stored_upright(tmp_path: Path) -> None:
    picture = Picture(colourful(12, 15, torch.uint16), file_format="TIFF", orientation=6)
    write_picture(picture, tmp_path / "x.tif")
    again = read_picture(tmp_path / "x.tif")
    assert torch.equal(again.pixels, picture.pixels)


def test_ranges_that_are_not_full(tmp_path: Path) -> None:
    ten_bits = np.array([[[1023, 0, 512]]], ">u2").tobytes()
    (tmp_path / "x.ppm").write_bytes(b"P6\n1 1\n1023\n" + ten_bits)
    assert read_picture(tmp_path / "x.ppm").pixels.flatten().tolist() == [65535, 0, 32800]
    unit = np.array([[0.0, 0.5], [1.0, np.nan]], np.float32)
    Image.fromarray(unit).save(tmp_path / "x.tif")
    assert read_picture(tmp_path / "x.tif").pixels[0].flatten().tolist() == [0, 128, 255, 0]


def test_formats_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    xpm = '/* XPM */\nstatic char *x[] = {\n"1 1 1 1",\n"a c #ff0000",\n"a"\n};\n'
    (tmp_path / "x.png").write_text(xpm)
    with pytest.raises(PictureError, match="only be read"):
        read_picture(tmp_path / "x.png")


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="animated"):
        read_picture(tmp_path / "x.gif")


def test_pages_and_empty_paths_are_refused(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(PictureError, match="several pages"):
        read_picture(tmp_path / "x.tif")
    with pytest.raises(PictureError, match="empty one"):
        list_pictures([""])


def test_atomic_writes_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "sub" / "x.bin"
    write_atomically(target, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_listing(photo_folder: Path, tmp_path: Path) -> None:
    (photo_folder / "notes.txt").write_text("not a picture")
    found = list_pictures([photo_folder])
    assert [str(relative) for _, relative in found] == ["a.jpg", "trip/b.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="found none"):
        list_pictures([tmp_path / "empty"])
    with pytest.raises(PictureError, match="no such file"):
        list_pictures([tmp_path / "missing"])


def test_jpeg_in_memory() -> None:
    data = picture_files.encode_jpeg(colourful(16, 16))
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (16, 16))
