"""The smallest level: a file that any program shows, and how it is read back.

Axes: C plane, H W pixels.
"""

from torch import Tensor

from codec.container import MAGIC, FormatError, check_size
from codec.picture import decode, exact
from codec.pictures.picture import PictureError
from codec.pictures.picture_files import stored_pixels
from codec.planes import to_planes

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
        pixels = stored_pixels(data, _FORMATS)
        check_size(*pixels.shape[1:])
    except PictureError as error:
        raise FormatError(f"base: cannot be decoded ({error})") from error
    return pixels
