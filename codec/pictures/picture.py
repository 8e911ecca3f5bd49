"""A picture in memory, with what its file said beside the pixels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from codec.pictures.layout import to_dtype
from codec.pictures.metadata import NOTHING, Metadata
from codec.pictures.orientation import turned_back

MAX_PIXELS = 150_000_000  # of a file; more are refused before they are decoded


class PictureError(ValueError):
    """A file that cannot be read as a picture; the message names it and what was expected."""


class UnsupportedPicture(PictureError):
    """A sound file that cannot be read as one still picture: an animation, pages, HDR, raw data.

    Other programs open it, so it is kept as it is; a broken one is reported.
    """


@dataclass(frozen=True)
class Picture:
    """A picture and what its file said beside the pixels.

    Attributes:
        pixels: (3, H, W) uint8 or uint16, RGB, upright, sRGB; (1, H, W) grey is accepted for
            writing.
        alpha: (1, H, W) of the same type, or None.
        file_format: Pillow's name of the format, such as `JPEG`; `HEIF` for HEIC.
        exif: the raw EXIF block, or None.
        orientation: EXIF orientation of the file, 1 to 8; `write_picture` turns the pixels back.
        profile: the ICC profile that the pixels are still in, or None for sRGB.
        metadata: what else the file said.
        notes: one clause each ("holds ...") for what no rendering of the file can carry.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    file_format: str = "PNG"
    exif: bytes | None = None
    orientation: int = 1
    profile: bytes | None = None
    metadata: Metadata = NOTHING
    notes: tuple[str, ...] = ()

    def stored(self) -> Tensor:
        """(3, H, W): the pixels turned as they lie in the file, to go with its EXIF block."""
        return turned_back(self.pixels, self.orientation)

    def floats(self) -> Tensor:
        """(3, H, W) float32 in [0, 1]."""
        return self.pixels.float() / torch.iinfo(self.pixels.dtype).max

    def with_pixels(self, pixels: Tensor) -> "Picture":
        """The same file with other pixels, (3, H, W): of its own integer type, or float."""
        return replace(self, pixels=to_dtype(pixels, self.pixels.dtype))
