"""Files opened as one still picture, or refused with a reason.

What other programs open and this one would show wrongly or in part is refused as
`UnsupportedPicture`: animations, pages, HDR, camera raw data.
"""

import io
import re
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from codec.pictures.picture import MAX_PIXELS, PictureError, UnsupportedPicture
from codec.pictures.quiet import without_warnings

_EXPECTED = "JPEG, PNG, WebP, TIFF, AVIF, HEIC, BMP or PPM"
# Brands of ISO base media files (ISO/IEC 23008-12, annex B) that hold HEVC pictures.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # ITU-T H.273, table 3
_WIDE_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}  # ITU-T H.273, table 2
_RAW_TAG = 50706  # DNGVersion (DNG 1.7)
_REDUCED = 1  # NewSubfileType of a preview (TIFF 6.0, section 8)
# File beginnings of what is no still picture here, but sound: (what they are, what to do).
_KNOWN = (
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "a TIFF file of a kind that cannot be read"),
    ((b"\xff\x0a", b"\0\0\0\x0cJXL "), "JPEG XL, which cannot be read; convert it first"),
    ((b"\x76\x2f\x31\x01", b"#?RADIANCE"), "an HDR picture of floats"),
    ((b"8BPS", b"8BPB"), "a Photoshop document"),
    ((b"FUJIFILM", b"IIRO", b"IIU\0", b"\0MRM", b"FOVb"), "camera raw data; develop it first"),
)


def open_picture(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """A file as Pillow sees it, and a note for each thing in it that is lost.

    Raises:
        PictureError: not a picture, or larger than MAX_PIXELS.
        UnsupportedPicture: a picture, but not a single still one that can be read as it is.
    """
    opened = _open_heic(data) if _is_heic(data) else _open(data)
    image, notes = opened
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"more than {MAX_PIXELS // 1_000_000} million pixels")
    _check_single(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, data)
    if image.format == "PNG":
        _check_transfer(data.partition(b"IDAT")[0].partition(b"cICP")[2][1:2])
    return image, notes


def area_of(path: Path) -> int | None:
    """Pixels of a picture file, from its header; None where only reading it would tell."""
    try:
        with without_warnings(), Image.open(path) as image:
            return image.width * image.height
    except Exception:  # HEIC, and all that will be refused when it is read
        return None


def _open(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.UnidentifiedImageError as error:
        for starts, what in _KNOWN:
            if data.startswith(starts):
                raise UnsupportedPicture(f"{what}, expected {_EXPECTED}") from error
        raise PictureError(f"not a picture, expected {_EXPECTED}") from error
    Image.init()
    if image.format not in (*Image.SAVE, "MPO"):
        raise UnsupportedPicture(f"{image.format} pictures can only be read, expected JPEG or PNG")
    reader = {"AVIF": _avif_notes, "JPEG2000": _jpeg_2000_notes}.get(image.format or "")
    return image, reader(data) if reader else ()


def _check_single(image: Image.Image) -> None:
    if image.format in ("ICO", "ICNS"):
        raise UnsupportedPicture("an icon in several sizes, expected a single still picture")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        kind = "several pages" if image.format == "TIFF" else "animated"
        raise UnsupportedPicture(f"{kind}, expected a single still picture")


def _check_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> None:
    reduced = _REDUCED & int(image.tag_v2.get(ExifTags.Base.NewSubfileType, 0))
    if reduced or _RAW_TAG in image.tag_v2 or data[8:10] == b"CR":
        raise UnsupportedPicture("camera raw data or a preview; develop it first")


def _check_transfer(code: bytes) -> None:
    """Refuse a transfer function of HDR: its values, read as sRGB, look washed out."""
    name = _HDR_TRANSFERS.get(int.from_bytes(code, "big"))
    if name is not None:
        raise UnsupportedPicture(f"an HDR picture ({name}), expected standard dynamic range")


def _is_heic(data: bytes) -> bool:
    brands = re.match(rb"(....)ftyp", data, re.DOTALL)
    if brands is None:
        return False
    size = min(int.from_bytes(brands[1], "big"), 256)
    names = [data[at : at + 4] for at in range(8, size, 4)]
    return any(name in _HEIC_BRANDS for name in names) and b"avif" not in names


def _open_heic(data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Through pillow-heif, which turns the pixels upright and takes 10 bits to 8."""
    try:
        import pillow_heif
    except ImportError as error:
        raise UnsupportedPicture("HEIC pictures need: pip install pillow-heif") from error
    file: Any = pillow_heif.open_heif(io.BytesIO(data))
    info = file.info
    width, height = file.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"more than {MAX_PIXELS // 1_000_000} million pixels")
    colour = info.get("nclx_profile") or {}
    _check_transfer(bytes([int(colour.get("transfer_characteristics", 0))]))
    image = file.to_pillow()
    primaries = 2 if "icc_profile" in image.info else int(colour.get("color_primaries", 2))
    if image.mode.endswith("A"):
        if image.getchannel("A").getextrema()[0] < 255:
            raise UnsupportedPicture("HEIC with transparency, which its rendering has no room for")
        image = image.convert("RGB")
    image.format = "HEIF"
    parts = " ".join(map(str, info.get("aux", {}))).lower()
    notes = [_depth_note(info.get("bit_depth", 8)), _primaries_note(primaries)]
    notes += ["holds an HDR gain map, which is not carried over"] * ("gainmap" in parts)
    notes += ["holds a depth map, which is not carried over"] * bool(info.get("depth_images"))
    notes += [f"holds {len(file)} pictures, of which one is used"] * (len(file) > 1)
    return image, tuple(note for note in notes if note)


def _avif_notes(data: bytes) -> tuple[str, ...]:
    """Depth and gain map, from the boxes in front of the pixels (AV1-ISOBMFF, section 2.3.3)."""
    boxes = data.partition(b"mdat")[0]
    boxes = boxes if b"meta" in boxes else data
    _check_transfer(boxes.partition(b"colrnclx")[2][2:4])
    flags = boxes.partition(b"av1C")[2][2:3]
    high, twelve = (bool(flags and flags[0] & bit) for bit in (0x40, 0x20))
    primaries = int.from_bytes(boxes.partition(b"colrnclx")[2][:2], "big")
    other = b"colrprof" not in boxes and _primaries_note(primaries)
    notes = [_depth_note(12 if high and twelve else 10 if high else 8), other or ""]
    notes += ["holds an HDR gain map, which is not carried over"] * (b"tmap" in boxes)
    return tuple(note for note in notes if note)


def _jpeg_2000_notes(data: bytes) -> tuple[str, ...]:
    """Depth and what Pillow does not read (ISO/IEC 15444-1, A.5.1 and I.7.2)."""
    size = data.partition(b"\xff\x4f\xff\x51")[2]
    notes = [_depth_note((size[38] & 0x7F) + 1 if len(size) > 38 else 8)]
    notes += ["holds EXIF or XMP, which is not carried over"] * (b"uuid" in data[:65536])
    return tuple(note for note in notes if note)


def _depth_note(bits: int) -> str:
    return f"holds {bits} bits a channel, which become 8" if bits > 8 else ""


def _primaries_note(code: int) -> str:
    """Of colours that are wider than sRGB by a number, and not by a profile that is converted."""
    name = _WIDE_PRIMARIES.get(code)
    return f"holds colours with {name} primaries, which are taken for sRGB" if name else ""
