"""What a file says beside its pixels, read, written and read again by Pillow."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from codec.pictures.layout import to_image
from codec.pictures.metadata import Density, Metadata, xmp_of_one_picture
from codec.pictures.metadata_formats import lost_in
from codec.pictures.picture_files import Picture, encode_png, read_picture, write_picture
from tests.codec.pictures.made_files import (
    GAIN_MAP_XMP,
    IPTC,
    PLAIN_XMP,
    exif_with_thumbnail,
    jpeg,
    photoshop,
    segment,
)
from tests.conftest import colourful

PHOTOSHOP = b"Photoshop 3.0\0"


def rewritten(
    data: bytes, folder: Path, **options: object
) -> tuple[bytes, Picture, tuple[str, ...]]:
    """A file read and written again."""
    (folder / "in").write_bytes(data)
    picture = read_picture(folder / "in")
    notes = write_picture(picture, folder / "out", **options)  # type: ignore[arg-type]
    return (folder / "out").read_bytes(), picture, notes


def image_of(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def test_jpeg_keeps_all_it_has(tmp_path: Path) -> None:
    old = jpeg(torch.zeros(3, 24, 32))
    exif = exif_with_thumbnail(old)
    extra = segment(0xED, PHOTOSHOP + photoshop(thumbnail=old))
    data = jpeg(colourful(48, 64), exif=exif, xmp=PLAIN_XMP, extra=extra, dpi=(300, 200),
                comment="said", quality=80)  # fmt: skip
    written, picture, notes = rewritten(data, tmp_path)
    image = image_of(written)
    assert image.info["xmp"] == PLAIN_XMP
    assert image.info["dpi"] == (300, 200)
    assert image.info["comment"] == b"said"
    assert image.info["photoshop"][0x0404] == IPTC
    assert picture.metadata.iptc == IPTC
    assert image.getexif()[ExifTags.Base.Make] == "maker"
    assert old not in written  # neither in EXIF nor in Photoshop's blocks
    assert notes == ()
    assert read_picture(tmp_path / "out").metadata == picture.metadata


@pytest.mark.parametrize(("unit", "name"), [(1, "inch"), (2, "cm")])
def test_jpeg_density_has_a_unit(tmp_path: Path, unit: int, name: str) -> None:
    data = jpeg(colourful(8, 8))
    assert data[6:11] == b"JFIF\0"
    data = data[:13] + struct.pack(">BHH", unit, 118, 59) + data[18:]
    written, picture, _ = rewritten(data, tmp_path)
    assert picture.metadata.density == Density(118, 59, name)  # type: ignore[arg-type]
    factor = 1 if unit == 1 else 2.54
    assert image_of(written).info["dpi"] == (round(118 * factor), round(59 * factor))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_keeps_its_tables(
    tmp_path: Path, subsampling: str, progressive: bool, mode: str
) -> None:
    pixels = colourful(48, 64)[: len(mode)]
    data = jpeg(pixels, quality=63, subsampling=subsampling, progressive=progressive)
    written, picture, _ = rewritten(data, tmp_path)
    source, image = image_of(data), image_of(written)
    assert image.quantization[0] == source.quantization[0]
    assert "progressive" not in image.info if not progressive else image.info["progressive"]
    coding = picture.metadata.jpeg
    assert coding is not None
    if mode == "RGB":
        assert image.quantization == source.quantization
        assert image.layer == source.layer
        # Coded once more with the same tables, a picture hardly changes.
        again = read_picture(tmp_path / "out")
        assert (again.floats() - picture.floats()).abs().mean() < 0.006
        best, _, _ = rewritten(data, tmp_path, quality=98)
        assert len(best) > 1.4 * len(written)
        assert image_of(best).layer == source.layer


def test_what_was_no_jpeg_gets_quality_95_without_subsampling(tmp_path: Path) -> None:
    write_picture(Picture(colourful(16, 16), file_format="JPEG"), tmp_path / "x.jpg")
    image = image_of((tmp_path / "x.jpg").read_bytes())
    assert image.quantization == image_of(jpeg(colourful(16, 16), quality=95)).quantization
    assert image.layer[0][1:3] == (1, 1)
    with pytest.raises(ValueError, match="1 to 100, got 0"):
        write_picture(Picture(colourful(16, 16)), tmp_path / "x.png", quality=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_png_keeps_all_it_has(tmp_path: Path, dtype: torch.dtype) -> None:
    metadata = Metadata(
        xmp=PLAIN_XMP,
        density=Density(300, 150, "inch"),
        texts=(("Title", "a title"), ("Author", "Дмитрий")),
    )
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 24, 32)), orientation=6)
    picture = Picture(colourful(20, 30, dtype), exif=exif, orientation=6, metadata=metadata)
    assert write_picture(picture, tmp_path / "x.png") == ()
    image = image_of((tmp_path / "x.png").read_bytes())
    assert image.info["xmp"] == PLAIN_XMP
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert image.text["Title"] == "a title"
    assert image.text["Author"] == "Дмитрий"
    again = read_picture(tmp_path / "x.png")
    assert torch.equal(again.pixels, picture.pixels)
    assert again.orientation == 6
    assert write_picture(again, tmp_path / "y.png") == ()
    assert read_picture(tmp_path / "y.png").metadata == again.metadata


def test_what_stands_behind_the_pixels_of_a_png_is_kept(tmp_path: Path) -> None:
    data = BytesIO()
    to_image(colourful(8, 8)).save(data, "PNG")
    late = BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "late")
    info.add_text("Title", "later")
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 8, 8)), orientation=6)
    to_image(colourful(8, 8)).save(late, "PNG", pnginfo=info, exif=exif)
    chunks = late.getvalue()[33:-12].replace(data.getvalue()[33:-12], b"")
    moved = data.getvalue()[:-12] + chunks + data.getvalue()[-12:]
    written, picture, _ = rewritten(moved, tmp_path)
    assert image_of(written).text == {"comment": "late", "Title": "later"}
    assert picture.orientation == 6
    assert image_of(written).getexif()[ExifTags.Base.Make] == "maker"


@pytest.mark.parametrize("orientation", [3, 6])
def test_png_exif_of_imagemagick_is_said_once(tmp_path: Path, orientation: int) -> None:
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 8, 8)), orientation=orientation)
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n")
    data = BytesIO()
    to_image(colourful(9, 12)).save(data, "PNG", pnginfo=info)
    written, picture, _ = rewritten(data.getvalue(), tmp_path)
    assert picture.orientation == orientation
    assert torch.equal(read_picture(tmp_path / "out").pixels, picture.pixels)
    assert b"Raw profile" not in written


def tiff(dtype: torch.dtype, compression: str, orientation: int = 1) -> Picture:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = IFDRational(1, 4)
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (1.0, 2.0, 3.5)
    metadata = Metadata(xmp=PLAIN_XMP, photoshop=photoshop(), density=Density(118, 59, "cm"),
                        compression=compression)  # fmt: skip
    return Picture(colourful(70, 90, dtype), file_format="TIFF", exif=exif.tobytes(),
                   metadata=metadata)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_keeps_all_it_has(tmp_path: Path, dtype: torch.dtype, compression: str) -> None:
    picture = tiff(dtype, compression)
    assert write_picture(picture, tmp_path / "x.tif") == ()
    image = image_of((tmp_path / "x.tif").read_bytes())
    assert image.info["compression"] == compression
    assert image.info["xmp"] == PLAIN_XMP
    assert image.tag_v2[33723] == IPTC
    exif = image.getexif()
    assert exif[ExifTags.Base.Artist] == "somebody"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == 0.25
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (1, 2, 3.5)
    again = read_picture(tmp_path / "x.tif")
    assert torch.equal(again.pixels, picture.pixels)
    assert again.metadata == picture.metadata
    assert write_picture(again, tmp_path / "y.tif") == ()
    last = read_picture(tmp_path / "y.tif")
    assert (last.metadata, last.exif) == (again.metadata, again.exif)


@pytest.mark.parametrize("swapped", [False, True])
def test_iptc_of_tiff_may_be_stored_as_numbers(tmp_path: Path, swapped: bool) -> None:
    metadata = Metadata(photoshop=photoshop())
    write_picture(Picture(colourful(4, 4), None, "TIFF", metadata=metadata), tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    without = data.replace(struct.pack("<H", 34377), struct.pack("<H", 34378))
    entry = without.index(struct.pack("<HHI", 33723, 1, len(IPTC)))
    numbers = struct.pack("<HHI", 33723, 4, len(IPTC) // 4)
    stored = without[:entry] + numbers + without[entry + len(numbers) :]
    words = struct.pack(">3I", *struct.unpack("<3I", IPTC)) if swapped else IPTC
    written, picture, _ = rewritten(stored.replace(IPTC, words), tmp_path)
    assert picture.metadata.iptc == IPTC
    assert image_of(written).tag_v2[33723] == IPTC


def test_tags_and_packets_that_cannot_be_taken_over_are_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[33550] = (1.0, 1.0, 0.0)
    buffer = BytesIO()
    to_image(colourful(4, 4)).save(buffer, "TIFF", exif=exif)
    _, _, (note,) = rewritten(buffer.getvalue(), tmp_path)
    assert "33550" in note
    data = jpeg(colourful(8, 8), xmp=GAIN_MAP_XMP[:-60])
    _, _, notes = rewritten(data, tmp_path)
    assert any("XMP packet that cannot be read" in note for note in notes)


def test_tiff_as_a_second_reader_sees_it(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    picture = tiff(torch.uint16, "raw")
    write_picture(picture, tmp_path / "x.tif")
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        page = file.pages[0]
        assert torch.equal(torch.from_numpy(page.asarray()).permute(2, 0, 1), picture.pixels)
        assert page.tags["ExifTag"].value["ExposureTime"] == (1, 4)
        assert page.tags["XMP"].value == PLAIN_XMP
        assert page.tags["XResolution"].value == (118, 1)


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF"])
def test_webp_and_avif_keep_exif_and_xmp_and_name_the_rest(
    tmp_path: Path, file_format: str
) -> None:
    metadata = Metadata(xmp=PLAIN_XMP, photoshop=photoshop(), density=Density(1, 1, "inch"))
    exif = exif_with_thumbnail(jpeg(torch.zeros(3, 24, 32)), orientation=6)
    picture = Picture(colourful(40, 20), None, file_format, exif, 6, metadata=metadata)
    notes = write_picture(picture, tmp_path / "x")
    assert notes == (
        f"has IPTC, not written into {file_format} files",
        f"has density, not written into {file_format} files",
    )
    again = read_picture(tmp_path / "x")
    assert again.pixels.shape == picture.pixels.shape
    assert (again.floats() - picture.floats()).abs().mean() < 0.05
    assert again.metadata.xmp == PLAIN_XMP
    assert again.exif is not None
    block = Image.Exif()
    block.load(again.exif)
    assert block[ExifTags.Base.Make] == "maker"
    assert ExifTags.Base.JpegIFOffset in block.get_ifd(ExifTags.IFD.IFD1)
    assert write_picture(again, tmp_path / "y") == ()


def test_lossless_webp_stays_lossless(tmp_path: Path) -> None:
    data = BytesIO()
    to_image(colourful(30, 40)).save(data, "WEBP", lossless=True)
    _, picture, _ = rewritten(data.getvalue(), tmp_path)
    assert picture.metadata.lossless
    assert torch.equal(read_picture(tmp_path / "out").pixels, colourful(30, 40))
    rewritten(data.getvalue(), tmp_path, quality=50)
    assert not read_picture(tmp_path / "out").metadata.lossless


def test_blocks_too_large_for_jpeg_are_named(tmp_path: Path) -> None:
    metadata = Metadata(xmp=PLAIN_XMP + b" " * 70000, photoshop=photoshop(bytes(70000)))
    picture = Picture(colourful(8, 8), None, "JPEG", b"Exif\0\0" + bytes(70000), metadata=metadata)
    assert write_picture(picture, tmp_path / "x.jpg") == (
        "has EXIF that is too large for JPEG",
        "has XMP that is too large for JPEG",
        "has IPTC that is too large for JPEG",
    )
    assert read_picture(tmp_path / "x.jpg").metadata.xmp is None


def test_bmp_and_gif_say_what_they_have_no_room_for(tmp_path: Path) -> None:
    metadata = Metadata(xmp=PLAIN_XMP, density=Density(300, 300, "inch"))
    picture = Picture(colourful(40, 40), None, "BMP", metadata=metadata)
    assert write_picture(picture, tmp_path / "x.bmp") == ("has XMP, not written into BMP files",)
    assert read_picture(tmp_path / "x.bmp").metadata.density is not None
    gif = replace(picture, file_format="GIF", metadata=Metadata(texts=(("Comment", "said"),)))
    (note,) = write_picture(gif, tmp_path / "x.gif")
    assert "256 colours" in note
    assert read_picture(tmp_path / "x.gif").metadata.texts == (("Comment", "said"),)


def test_xmp_of_other_parts_goes_and_the_rest_stays() -> None:
    assert xmp_of_one_picture(PLAIN_XMP) == PLAIN_XMP
    cleaned = xmp_of_one_picture(GAIN_MAP_XMP)
    assert cleaned is not None
    assert b'xmp:Rating="4"' in cleaned
    assert b"hdrgm" not in cleaned
    assert b"Container" not in cleaned
    assert cleaned.startswith(b"<?xpacket begin")
    assert xmp_of_one_picture(GAIN_MAP_XMP[:-60]) is None


def test_orientation_that_xmp_says_is_not_said_twice(tmp_path: Path) -> None:
    xmp = PLAIN_XMP.replace(
        b'xmp:Rating="4"', b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    )
    data = jpeg(colourful(8, 16), xmp=xmp)
    written, picture, _ = rewritten(data, tmp_path)
    assert picture.pixels.shape == (3, 16, 8)
    assert image_of(written).size == (8, 16)
    assert read_picture(tmp_path / "out").pixels.shape == (3, 16, 8)


def test_texts_that_a_jpeg_file_does_not_get_are_said() -> None:
    texts = (("Comment", "kept"), ("Author", "A"), ("Title", "T"))
    picture = Picture(colourful(8, 8), metadata=Metadata(texts=texts))
    assert lost_in(picture, "JPEG") == ("has texts, not written into JPEG files: Author, Title",)
    assert lost_in(picture, "PNG") == ()


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        (b"gAMA" + struct.pack(">I", 45455), None),
        (b"gAMA" + struct.pack(">I", 100000), "gamma"),
        (
            b"cHRM" + struct.pack(">8I", *(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
            None,
        ),
        (
            b"cHRM" + struct.pack(">8I", *(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
            "primaries",
        ),
    ],
)
def test_colours_that_a_png_file_says_in_chunks_are_noted(
    chunk: bytes, said: str | None, tmp_path: Path
) -> None:
    png = encode_png(colourful(8, 8))
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "x.png").write_bytes(png[:33] + whole + png[33:])
    notes = read_picture(tmp_path / "x.png").notes
    assert (said is None and notes == ()) or (said is not None and said in notes[0])
