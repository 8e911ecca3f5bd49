"""PNG, TIFF and PPM files with 16 bits a channel, through OpenCV; Pillow reduces most to 8."""

import re

import cv2
import numpy as np
import torch
from PIL import ExifTags, Image, TiffImagePlugin
from torch import Tensor

from codec.pictures.exif import stored_upright
from codec.pictures.layout import from_array, to_array, to_dtype
from codec.pictures.picture import PictureError

_BLUE_FIRST = {1: [0, 0, 0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}
_SUFFIXES = {"TIFF": ".tif", "PPM": ".ppm", "PNG": ".png"}
_WHITE_IS_ZERO = 0
# Pillow's names of what OpenCV writes -> the codes of TIFF 6.0; LZW is OpenCV's own choice.
_COMPRESSIONS = {"raw": 1, "tiff_lzw": 5, "tiff_adobe_deflate": 8, "packbits": 32773}


def has_sixteen_bits(image: Image.Image, data: bytes) -> bool:
    """Whether a file holds 16 bits a channel."""
    if image.format == "PNG":
        return data[24] == 16  # bit depth in the header chunk
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16 in image.tag_v2.get(ExifTags.Base.BitsPerSample, ())
    return image.format == "PPM" and _ppm_peak(data) > 255


def decode(image: Image.Image, data: bytes) -> Tensor:
    """(3 or 4, H, W) uint16 of full range, as they lie in the file.

    Args:
        image: the file as Pillow has opened it.
        data: the file.

    Raises:
        PictureError: it cannot be decoded.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    # Some versions of OpenCV turn TIFF files whatever they are asked for.
    given = stored_upright(data) if tiff else data
    array = cv2.imdecode(np.frombuffer(given, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise PictureError("broken, expected 16 bits a channel in grey or RGB")
    array = array.reshape(*array.shape[:2], -1)
    return _full_range(from_array(array[..., _BLUE_FIRST[array.shape[2]]]), image, data)


def _ppm_peak(data: bytes) -> int:
    numbers = re.match(rb"P[56]\s+(?:#.*\s+)*\d+\s+\d+\s+(\d+)", data[:200])
    return int(numbers[1]) if numbers else 255


def _full_range(deep: Tensor, image: Image.Image, data: bytes) -> Tensor:
    """Full-range values of files that use less, or count the other way round."""
    if image.format == "PPM":
        return to_dtype(deep.double() / _ppm_peak(data), torch.uint16)
    if (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO
    ):
        return to_dtype(1 - deep.double() / 65535, torch.uint16)
    return deep


def encode(stored: Tensor, file_format: str, compression: str | None = None) -> bytes:
    """(1, 3 or 4, H, W) uint16 as a TIFF or PPM file, or as PNG for every other format.

    Args:
        stored: the pixels.
        file_format: Pillow's name.
        compression: of TIFF, Pillow's name; LZW for what OpenCV does not know.
    """
    array = to_array(stored)
    array = np.ascontiguousarray(array[..., [2, 1, 0, 3][: array.shape[2]]])
    suffix = _SUFFIXES.get(file_format, ".png")
    chosen = _COMPRESSIONS.get(compression or "", _COMPRESSIONS["tiff_lzw"])
    options = [cv2.IMWRITE_TIFF_COMPRESSION, chosen] if suffix == ".tif" else []
    done, encoded = cv2.imencode(suffix, array, options)
    assert done, f"OpenCV cannot write {suffix}"
    return encoded.tobytes()
