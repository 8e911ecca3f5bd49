"""Small pictures of large files, without decoding more than they need."""

import io

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from codec.pictures.layout import from_array
from codec.pictures.picture import MAX_PIXELS


def thumbnail_of(data: bytes, longest: int, upright: bool = False) -> Tensor | None:
    """The picture of a file, (3, H, W) uint8 with at most that many pixels a side, or None.

    Args:
        data: of a file that Pillow reads.
        longest: pixels of the longer side; smaller pictures stay as they are.
        upright: turned as the file says, or as its pixels lie.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            return None
        image.draft("RGB", (longest, longest))
        rgb = (ImageOps.exif_transpose(image) if upright else image).convert("RGB")
        scale = longest / max(rgb.size)
        if scale < 1:
            size = max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale))
            rgb = rgb.resize(size, Image.Resampling.BOX)
        return from_array(np.array(rgb))
    except Exception:  # what shows no picture is no error here
        return None
