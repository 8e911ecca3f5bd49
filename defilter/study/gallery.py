"""What the study of galleries is handed by its configuration: looks, and pictures without theirs.

`codec` measures galleries, and knows nothing of looks.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.lut import apply_tetrahedral
from codec.pictures.lut_files import load_lut
from codec.pictures.picture_files import Picture, to_dtype
from defilter.learn.look_split import in_split
from defilter.verbs import remove


class UnseenLooks:
    """Looks that were never trained on.

    Args:
        folders: with HALD pictures.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, folders: Sequence[str]):
        every = [path for folder in folders for path in sorted(Path(folder).rglob("*.png"))]
        self._files = [path for path in every if in_split(path.stem, "test", monochrome=False)]
        if not self._files:
            raise ValueError(f"expected looks for testing in {', '.join(folders)}")

    def __call__(self, pixels: Tensor, rng: random.Random) -> Tensor:
        """(3, H, W) uint8 with one of them."""
        table = load_lut(rng.choice(self._files))
        return to_dtype(apply_tetrahedral(pixels[None].float() / 255, table)[0], torch.uint8)


def without_look(pixels: Tensor) -> Tensor:
    """(3, H, W) uint8 as it may have been before its look."""
    if len(pixels) != 3:
        return pixels
    return remove(Picture(pixels)).pixels
