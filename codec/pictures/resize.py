"""Pictures at other sizes. Axes: N picture, C channel, H W pixels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PRESET_SIZE = 256


def resize(pixels: Tensor, size: Sequence[int]) -> Tensor:
    """(C, h, w) uint8 -> (C, H, W) uint8, bicubic; where it shrinks, nothing aliases."""
    x = F.interpolate(pixels[None].float(), list(size), mode="bicubic", antialias=True)
    return x[0].round().clamp(0, 255).to(torch.uint8)


def fit_into(pixels: Tensor, longest: int) -> Tensor:
    """(C, h, w) uint8 with at most that many pixels a side; smaller pictures stay as they are."""
    scale = min(1.0, longest / max(pixels.shape[1:]))
    return resize(pixels, [max(1, round(n * scale)) for n in pixels.shape[1:]])


def squash(x: Tensor, size: int) -> Tensor:
    """The pre-processing layer (paragraph 71): (N, 3, H, W) -> (N, 3, size, size), antialiased.

    Raises:
        ValueError: the size is not a positive multiple of 4.
    """
    if size < 4 or size % 4:
        raise ValueError(f"expected a size that is a multiple of 4, got {size}")
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
