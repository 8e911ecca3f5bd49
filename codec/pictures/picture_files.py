"""Pictures in and out of files.

Inside, a picture is RGB, (3, H, W), upright, sRGB, uint8 or uint16. Here, and only here, other
colour orders, layouts, profiles and orientations are dealt with: Pillow reads and writes 8 bits,
OpenCV 16 bits.
"""

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin
from torch import Tensor

from codec.pictures.lut import apply_tetrahedral
from codec.pictures.storage import write_atomically

MAX_PIXELS = 150_000_000
MAX_FILE_BYTES = 2 * 2**30
_EXIF_START = b"Exif\0\0"


class PictureError(ValueError):
    """A file that cannot be read as a picture; the message names it and what was expected."""


@dataclass(frozen=True)
class Picture:
    """A picture and what its file said beside the pixels.

    Attributes:
        pixels: (3, H, W) uint8 or uint16, RGB, upright, sRGB; to be written also (1, H, W) grey.
        alpha: (1, H, W) of the same type, or None.
        file_format: Pillow's name of the format, such as `JPEG`.
        exif: the raw EXIF block, or None.
        orientation: EXIF orientation of the file, 1 to 8; `write_picture` turns the pixels back.
        profile: the ICC profile that the pixels are still in, or None for sRGB.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    file_format: str = "PNG"
    exif: bytes | None = None
    orientation: int = 1
    profile: bytes | None = None

    def stored(self) -> Tensor:
        """(3, H, W): the pixels turned as they lie in the file, to go with its EXIF block."""
        return _turn_back(self.pixels.cpu(), self.orientation)

    def floats(self) -> Tensor:
        """(3, H, W) float32 in [0, 1]."""
        return self.pixels.float() / torch.iinfo(self.pixels.dtype).max

    def with_pixels(self, pixels: Tensor) -> "Picture":
        """The same file with other pixels, (3, H, W): of its own integer type, or float."""
        return replace(self, pixels=to_dtype(pixels, self.pixels.dtype))


def to_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats in [0, 1] rounded to a full-range integer type; integers of that type unchanged."""
    if x.dtype == dtype:
        return x
    return (x.clamp(0, 1) * torch.iinfo(dtype).max).round().to(dtype)


def read_picture(path: Path | str, keep_profile: bool = False) -> Picture:
    """Read a picture of any usual kind: grey, palette, alpha, CMYK, 8 or 16 bits.

    Args:
        path: the file.
        keep_profile: leave 8-bit RGB and grey pixels as they are and return their ICC profile with
            them, instead of converting to sRGB.

    Raises:
        PictureError: missing, not a picture, truncated, animated, or above the limits
            MAX_PIXELS and MAX_FILE_BYTES.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PictureError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        with warnings.catch_warnings():
            # Odd metadata and sizes above Pillow's own limit are dealt with here.
            warnings.simplefilter("ignore")
            return _decode(data, path, keep_profile)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(_too_large(path)) from error
    except Exception as error:  # Pillow's plugins raise whatever broken data leads them into
        if isinstance(error, Image.UnidentifiedImageError):
            expected = "JPEG, PNG, WebP, TIFF, AVIF, BMP or PPM"
            raise PictureError(f"{path}: not a picture, expected {expected}") from error
        raise PictureError(f"{path}: truncated or broken, expected a whole picture") from error


def _too_large(path: Path) -> str:
    return f"{path}: more than {MAX_PIXELS // 1_000_000} million pixels"


def _decode(data: bytes, path: Path, keep_profile: bool) -> Picture:
    image = Image.open(io.BytesIO(data))
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(_too_large(path))
    if getattr(image, "is_animated", False) and image.format != "MPO":
        kind = "several pages" if image.format == "TIFF" else "animated"
        raise PictureError(f"{path}: {kind}, expected a single still picture")
    file_format = "JPEG" if image.format == "MPO" else image.format or "PNG"
    Image.init()
    if file_format not in Image.SAVE:
        raise PictureError(f"{path}: {file_format} pictures can only be read, expected JPEG or PNG")
    tiff = file_format == "TIFF"
    exif = _descriptive_exif(image.getexif()) if tiff else image.info.get("exif")
    if exif and not exif.startswith(_EXIF_START):
        exif = _EXIF_START + exif  # Pillow gives WebP's block without it
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    orientation = orientation if orientation in _TURNS else 1
    profile = image.info.get("icc_profile")
    kept = profile if keep_profile and image.mode in ("RGB", "RGBA", "L") else None
    if _has_sixteen_bits(image, data):
        kept = None
        deep = _decode_sixteen_bits(data, path)
        deep = _scaled(deep, image, data)
        pixels = _deep_to_srgb(deep[:3], profile)
        alpha = deep[3:] if len(deep) == 4 else None
    else:
        pixels, alpha = _eight_bits(image, None if kept else profile)
        orientation = 1 if tiff else orientation  # Pillow has turned it
    upright = [None if part is None else _turn(part, orientation) for part in (pixels, alpha)]
    assert upright[0] is not None
    # Orientation that is said outside EXIF would be lost: such pictures are written upright.
    stored = orientation if _exif_orientation(exif) == orientation else 1
    return Picture(upright[0], upright[1], file_format, exif, stored, kept)


_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)


def _descriptive_exif(found: Image.Exif) -> bytes | None:
    """What a TIFF file says about itself, without what describes its pixels: one directory holds
    both, and of the others Pillow writes none back."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    return kept.tobytes() if len(kept) else None


def _exif_orientation(exif: bytes | None) -> int:
    block = Image.Exif()
    if exif:
        block.load(exif)
    return block.get(ExifTags.Base.Orientation, 1)


def _has_sixteen_bits(image: Image.Image, data: bytes) -> bool:
    """Whether the file holds 16 bits a channel; Pillow itself would reduce most of them to 8."""
    if image.format == "PNG":
        return data[24] == 16  # bit depth in the header chunk
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16 in image.tag_v2.get(ExifTags.Base.BitsPerSample, ())
    return image.format == "PPM" and _ppm_peak(data) > 255


def _ppm_peak(data: bytes) -> int:
    numbers = re.match(rb"P[56]\s+(?:#.*\s+)*\d+\s+\d+\s+(\d+)", data[:200])
    return int(numbers[1]) if numbers else 255


def _scaled(deep: Tensor, image: Image.Image, data: bytes) -> Tensor:
    """Full-range values of files that use less, or count the other way round."""
    if image.format == "PPM":
        return to_dtype(deep.double() / _ppm_peak(data), torch.uint16)
    if (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    ):
        return to_dtype(1 - deep.double() / 65535, torch.uint16)  # white is zero
    return deep


def _decode_sixteen_bits(data: bytes, path: Path) -> Tensor:
    """(3 or 4, H, W) uint16."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise PictureError(f"{path}: broken, expected 16 bits a channel in grey or RGB")
    array = array.reshape(*array.shape[:2], -1)
    order = {1: [0, 0, 0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    return torch.from_numpy(np.ascontiguousarray(array[..., order])).permute(2, 0, 1)


def _eight_bits(image: Image.Image, profile: bytes | None) -> tuple[Tensor, Tensor | None]:
    """Pixels in sRGB and alpha, of a picture with 8 bits a channel or less."""
    alpha = None
    if image.mode.startswith(("I", "F")):  # 32-bit grey
        values = np.nan_to_num(np.asarray(image, np.float64)).clip(0)
        peak = 1 if values.max() <= 1 else max(values.max(), 255)
        image = Image.fromarray((values * (255 / peak)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = torch.from_numpy(np.array(image.getchannel("A")))[None]
    if profile:
        image = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
        image = _to_srgb(image, profile)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1), alpha


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image  # a profile that does not fit its picture: viewers ignore it too


def _deep_to_srgb(pixels: Tensor, profile: bytes | None) -> Tensor:
    """16-bit pixels to sRGB: through a table, since Pillow's converter takes 8 bits only."""
    if profile is None:
        return pixels
    levels = np.arange(0, 256, 15, dtype=np.uint8)  # 18 grid points, exact in 8 bits
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    grid = np.stack((red, green, blue), -1).reshape(len(levels), -1, 3)
    converted = _to_srgb(Image.fromarray(grid), profile)
    table = torch.from_numpy(np.array(converted)).permute(2, 0, 1).float() / 255
    table = table.reshape(3, *[len(levels)] * 3)
    return to_dtype(apply_tetrahedral(pixels[None].float() / 65535, table)[0], torch.uint16)


# EXIF orientation -> (swap rows and columns first, flip vertically, flip horizontally).
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def _turn(x: Tensor, orientation: int) -> Tensor:
    """Stored pixels to upright ones."""
    swap, vertical, horizontal = _TURNS[orientation]
    array = x.permute(1, 2, 0).numpy()
    array = array.swapaxes(0, 1) if swap else array
    array = array[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def _turn_back(x: Tensor, orientation: int) -> Tensor:
    swap, vertical, horizontal = _TURNS[orientation]
    array = x.permute(1, 2, 0).numpy()
    array = array[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    array = array.swapaxes(0, 1) if swap else array
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


_EXIF_FORMATS = {
    torch.uint8: ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"),
    torch.uint16: ("PNG",),
}


def write_picture(picture: Picture, path: Path | str) -> None:
    """Write a picture in its own format and bit depth, with its EXIF and orientation.

    The pixels are stored turned as they were in the file, so that the EXIF block stays true; where
    a format carries no EXIF (16-bit TIFF, BMP) they are stored upright.

    Raises:
        OSError: the place cannot be written.
    """
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    keeps_exif = picture.file_format in _EXIF_FORMATS[picture.pixels.dtype]
    orientation, exif = (picture.orientation, picture.exif) if keeps_exif else (1, None)
    stored = _turn_back(torch.cat([part.cpu() for part in parts]), orientation)
    if stored.dtype == torch.uint16:
        data = _encode_sixteen_bits(stored, picture.file_format, exif)
    else:
        data = _encode_eight_bits(stored, picture.file_format, exif, picture.profile)
    write_atomically(Path(path), data)


def write_pixels(path: Path | str, pixels: Tensor) -> None:
    """Write (3, H, W) uint8 or uint16 pixels as PNG."""
    write_picture(Picture(pixels), path)


def encode_jpeg(pixels: Tensor, quality: int = 90) -> bytes:
    """(3, H, W) uint8 as a JPEG file in memory."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(
        buffer, "JPEG", quality=quality
    )
    return buffer.getvalue()


def encode_png(pixels: Tensor) -> bytes:
    """(3, H, W) or (1, H, W) uint8 as a PNG file in memory."""
    return _encode_eight_bits(pixels.cpu(), "PNG", None)


def _encode_eight_bits(
    stored: Tensor, file_format: str, exif: bytes | None, profile: bytes | None = None
) -> bytes:
    options: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"quality": 95},
        "AVIF": {"quality": 90},
    }
    array = stored.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    extra = dict(options.get(file_format, {}))
    if exif:
        extra["exif"] = exif
    if profile:
        extra["icc_profile"] = profile
    buffer = io.BytesIO()
    image.save(buffer, file_format, **extra)
    return buffer.getvalue()


def _encode_sixteen_bits(stored: Tensor, file_format: str, exif: bytes | None) -> bytes:
    array = stored.permute(1, 2, 0).numpy()
    array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    suffix = {"TIFF": ".tif", "PPM": ".ppm"}.get(file_format, ".png")
    done, encoded = cv2.imencode(suffix, array)
    assert done, f"OpenCV cannot write {suffix}"
    data = encoded.tobytes()
    return _with_png_exif(data, exif) if exif else data


def _with_png_exif(png: bytes, exif: bytes) -> bytes:
    """PNG with an eXIf chunk after its header, which OpenCV cannot write."""
    body = b"eXIf" + exif.removeprefix(_EXIF_START)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]
