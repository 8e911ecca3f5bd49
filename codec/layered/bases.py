"""The smallest level: a file that any program shows, and how it is read back.

Axes: C plane, H W pixels.
"""

import io
import struct

import numpy as np
from PIL import Image
from torch import Tensor

from codec.container import MAGIC, FormatError, check_size
from codec.picture import decode, exact
from codec.pictures.layout import from_array
from codec.planes import to_planes

NAMES = ("jpeg", "webp", "avif", "dfc")
_FORMATS = ("JPEG", "WEBP", "AVIF")


def decode_base(data: bytes) -> tuple[Tensor, Tensor]:
    """Pixels (C, H, W) uint8 and exact planes (C, H, W) int32 of a base, whatever format it has.

    Raises:
        FormatError: broken data, or a format that no base has.
    """
    if data.startswith(MAGIC):
        return decode([data])[0], exact([data])[0]
    pixels = decode_picture(data)
    return pixels, to_planes(pixels[None])[0]


def decode_picture(data: bytes) -> Tensor:
    """(C, H, W) uint8 of a JPEG, WebP or AVIF file, its orientation left alone.

    Raises:
        FormatError: broken data, or another format.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        check_size(image.height, image.width)
        return from_array(np.array(image if image.mode == "L" else image.convert("RGB")))
    except (OSError, SyntaxError, ValueError, RuntimeError, struct.error) as error:
        raise FormatError(f"base: cannot be decoded ({error})") from error
