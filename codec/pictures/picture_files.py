"""Pictures in and out of files.

Inside, a picture is RGB, (3, H, W), upright, sRGB, uint8 or uint16. Pillow reads and writes 8
bits, OpenCV 16 bits; what a file holds and a rendering cannot carry is named in notes.
"""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, JpegImagePlugin
from torch import Tensor

from codec.pictures import jpeg_files, sixteen_bit
from codec.pictures.exif import orientation_of, with_thumbnail_of, without_orientation
from codec.pictures.layout import from_array, to_dtype, to_image
from codec.pictures.metadata import upright_xmp
from codec.pictures.metadata_formats import (
    completed,
    lost_in,
    read_exif,
    read_metadata,
    save_options,
    tiff_compression,
    unread,
)
from codec.pictures.opening import open_picture
from codec.pictures.orientation import TURNS, turned_back, upright
from codec.pictures.picture import MAX_PIXELS, Picture, PictureError, UnsupportedPicture
from codec.pictures.profiles import deep_to_srgb, name_of, to_srgb
from codec.pictures.quiet import without_warnings
from codec.pictures.storage import read_limited, write_atomically

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "Picture",
    "PictureError",
    "UnsupportedPicture",
    "encode_jpeg",
    "encode_png",
    "read_picture",
    "to_dtype",
    "write_picture",
    "write_pixels",
    "written_path",
]

MAX_FILE_BYTES = 2 * 2**30
# Formats that are read only, and what their renderings are written as.
_WRITTEN_AS = {"HEIF": "JPEG"}
_WRITTEN_SUFFIXES = {".heic": ".jpg", ".heif": ".jpg", ".hif": ".jpg", ".mpo": ".jpg"}
_JPEG_QUALITY = 95
_QUALITIES = {"JPEG": _JPEG_QUALITY, "WEBP": 95, "AVIF": 90}
_FULL_SAMPLING = 0  # Pillow's number for 4:4:4
# Bit depths in which a format's orientation tag is written; elsewhere pixels are stored upright.
_TURNED = {torch.uint8: ("JPEG", "PNG", "WEBP"), torch.uint16: ("PNG",)}
_GIF_COLOURS = 256


def read_picture(path: Path | str, keep_profile: bool = False) -> Picture:
    """Read a picture of any usual kind: grey, palette, alpha, CMYK, 8 or 16 bits.

    Args:
        path: the file.
        keep_profile: leave 8-bit RGB and grey pixels as they are and return their ICC profile with
            them, instead of converting to sRGB.

    Raises:
        PictureError: missing, not a picture, truncated, broken, or above the limits MAX_PIXELS
            and MAX_FILE_BYTES.
        UnsupportedPicture: sound, but animated, of several pages, HDR, or else not one still
            picture that can be read as it is.
    """
    path = Path(path)
    return picture_of(read_limited(path, MAX_FILE_BYTES, PictureError), path, keep_profile)


def picture_of(data: bytes, path: Path, keep_profile: bool = False) -> Picture:
    """`read_picture` of bytes that are at hand; the path is for messages."""
    try:
        with without_warnings():  # odd metadata and Pillow's own limit of sizes are dealt with here
            return _decode(data, keep_profile)
    except PictureError as error:
        raise type(error)(f"{path}: {error}") from error
    except ImportError:  # of a library: the file is not at fault
        raise
    except Image.DecompressionBombError as error:
        limit = MAX_PIXELS // 1_000_000
        raise PictureError(f"{path}: more than {limit} million pixels") from error
    except Exception as error:  # Pillow's plugins raise whatever broken data leads them into
        raise PictureError(f"{path}: truncated or broken, expected a whole picture") from error


def stored_pixels(data: bytes, formats: tuple[str, ...]) -> Tensor:
    """(C, H, W) uint8 as a decoder gives them, nothing turned and no profile applied.

    Args:
        data: a file.
        formats: that it may have, by Pillow's names.

    Raises:
        PictureError: broken data, another format, or above MAX_PIXELS.
    """
    try:
        with without_warnings():
            image = Image.open(io.BytesIO(data), formats=formats)
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"more than {MAX_PIXELS // 1_000_000} million pixels")
            return from_array(np.array(image if image.mode == "L" else image.convert("RGB")))
    except PictureError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever broken data leads them into
        raise PictureError(f"truncated or broken, expected {' or '.join(formats)}") from error


def _decode(data: bytes, keep_profile: bool) -> Picture:
    data, notes = jpeg_files.whole(data) if jpeg_files.is_jpeg(data) else (data, ())
    image, found = open_picture(data)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        notes += jpeg_files.other_parts(image, data)
    orientation = _orientation(image)  # reads what stands behind the pixels of a PNG file, too
    exif = read_exif(image)
    profile = image.info.get("icc_profile")
    kept = profile if keep_profile and image.mode in ("RGB", "RGBA", "L") else None
    if sixteen_bit.has_sixteen_bits(image, data):
        kept = None
        deep = sixteen_bit.decode(image, data)
        pixels = deep_to_srgb(deep[:3], profile)
        alpha = deep[3:] if len(deep) == 4 else None
    else:
        pixels, alpha = _eight_bits(image, None if kept else profile)
        orientation = 1 if image.format == "TIFF" else orientation  # Pillow has turned it
    # Orientation that is said outside EXIF would be lost: such pictures are written upright.
    stored = orientation if orientation_of(exif) == orientation else 1
    metadata = read_metadata(image, data)
    lost = unread(image, metadata)
    if metadata.xmp and stored == 1:
        metadata = replace(metadata, xmp=upright_xmp(metadata.xmp))
    return Picture(
        upright(pixels, orientation),
        None if alpha is None else upright(alpha, orientation),
        "JPEG" if image.format == "MPO" else image.format or "PNG",
        exif,
        stored,
        kept,
        metadata,
        (*notes, *found, *lost, *_reductions(image, None if kept else profile)),
    )


def _orientation(image: Image.Image) -> int:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in TURNS else 1


def _reductions(image: Image.Image, converted: bytes | None) -> tuple[str, ...]:
    """A note for each thing that becomes less in an 8- or 16-bit sRGB picture."""
    notes = []
    if image.mode == "CMYK":
        notes.append("holds CMYK colours, which become RGB")
    if image.mode in ("I", "F"):
        notes.append("holds 32 bits a channel, which become 8")
    if converted and image.mode != "CMYK" and "srgb" not in (name := name_of(converted)).lower():
        notes.append(f"holds colours of the profile {name!r}, which become sRGB")
    return tuple(notes)


def _eight_bits(image: Image.Image, profile: bytes | None) -> tuple[Tensor, Tensor | None]:
    """Pixels in sRGB and alpha, of a picture with 8 bits a channel or less, as they lie."""
    alpha = None
    if image.mode.startswith(("I", "F")):  # 16- or 32-bit grey
        values = np.nan_to_num(np.asarray(image, np.float64)).clip(0)
        peak = 1 if values.max() <= 1 else max(values.max(), 255)
        peak = 65535 if image.format == "JPEG2000" else peak  # Pillow widens it to the full range
        image = Image.fromarray((values * (255 / peak)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = from_array(np.array(image.getchannel("A")))
    if profile:
        image = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
        image = to_srgb(image, profile)
    return from_array(np.array(image.convert("RGB"))), alpha


def written_path(path: Path) -> Path:
    """Where the rendering of a picture file goes: HEIC and MPO become JPEG."""
    return path.with_suffix(_WRITTEN_SUFFIXES.get(path.suffix.lower(), path.suffix))


def write_picture(
    picture: Picture, path: Path | str, quality: int | None = None, like: Path | None = None
) -> tuple[str, ...]:
    """Write a picture in its own format and bit depth, with all that the format can carry.

    The pixels are stored turned as they were in the file, so that the EXIF block stays true; where
    a format carries no orientation (TIFF, AVIF, BMP) they are stored upright. A thumbnail in the
    EXIF block shows the new pixels. What was a JPEG keeps its quantisation tables and subsampling.

    Args:
        picture: what to write.
        path: where to; for the right suffix see `written_path`.
        quality: of JPEG, WebP and AVIF, 1 to 100; None is the file's own for JPEG, and else 95, of
            AVIF 90.
        like: a file whose modification time and permissions the new one gets.

    Returns:
        A clause each for what is not carried over, such as "holds a motion video, ...".

    Raises:
        OSError: the place cannot be written.
        ValueError: a quality out of range.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"expected a quality of 1 to 100, got {quality}")
    file_format = _WRITTEN_AS.get(picture.file_format, picture.file_format)
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    turned = file_format in _TURNED[picture.pixels.dtype]
    stored = turned_back(torch.cat(parts), picture.orientation if turned else 1)
    told = _with_true_exif(picture, stored, turned)
    if stored.dtype == torch.uint16:
        data = sixteen_bit.encode(stored, file_format, picture.metadata.compression)
        file_format = file_format if file_format in ("TIFF", "PPM") else "PNG"
    else:
        data = _encode_eight_bits(stored, file_format, told, quality)
    write_atomically(Path(path), completed(data, told, file_format), like)
    return _what_is_lost(picture, stored, file_format)


def write_pixels(path: Path | str, pixels: Tensor) -> None:
    """Write (3, H, W) uint8 or uint16 pixels as PNG."""
    write_picture(Picture(pixels), path)


def encode_jpeg(pixels: Tensor, quality: int = 90) -> bytes:
    """(3, H, W) uint8 as a JPEG file in memory."""
    return _save(pixels, "JPEG", {"quality": quality})


def encode_png(pixels: Tensor) -> bytes:
    """(3, H, W) or (1, H, W) uint8 as a PNG file in memory."""
    return _save(pixels, "PNG", {})


def _save(stored: Tensor, file_format: str, options: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    to_image(stored).save(buffer, file_format, **options)
    return buffer.getvalue()


def _with_true_exif(picture: Picture, stored: Tensor, turned: bool) -> Picture:
    """The picture with an EXIF block that fits the pixels as they are stored."""
    if picture.exif is None:
        return picture
    colours = stored[: len(picture.pixels)]
    seen = colours if colours.dtype == torch.uint8 else (colours.int() >> 8).to(torch.uint8)
    exif = picture.exif if turned else without_orientation(picture.exif)
    return replace(picture, exif=with_thumbnail_of(exif, seen))


def _encode_eight_bits(
    stored: Tensor, file_format: str, picture: Picture, quality: int | None
) -> bytes:
    metadata = picture.metadata
    options = save_options(picture, file_format)
    if file_format == "JPEG":
        coding = metadata.jpeg
        options["subsampling"] = coding.subsampling if coding else _FULL_SAMPLING
        options["progressive"] = bool(coding and coding.progressive)
        if coding and quality is None:
            return _save(stored, "JPEG", {**options, "qtables": list(coding.tables)})
    if file_format == "WEBP" and metadata.lossless and quality is None:
        return _save(stored, "WEBP", {**options, "lossless": True, "exact": True})
    if file_format in _QUALITIES:
        options["quality"] = quality or _QUALITIES[file_format]
    if file_format == "TIFF":
        options["compression"] = tiff_compression(metadata)
    return _save(stored, file_format, options)


def _what_is_lost(picture: Picture, stored: Tensor, file_format: str) -> tuple[str, ...]:
    notes = [*picture.notes, *lost_in(picture, file_format)]
    if picture.file_format in _WRITTEN_AS:
        notes.append(f"is written as {file_format} of quality {_JPEG_QUALITY}")
    if file_format == "GIF" and to_image(stored[:3]).getcolors(_GIF_COLOURS) is None:
        notes.append(f"has more than the {_GIF_COLOURS} colours for which GIF has room")
    return tuple(notes)
