"""Chroma from luma: how much a chroma plane follows luma, read off the means that both sides know.

Nothing is sent. Slopes are in 1/64; all is exact arithmetic on integers in float64.

Axes: N picture, I J cells, K frequency.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.transform import CELL, REGION, SIZES, from_blocks, to_blocks

SLOPE_ONE = 64
_LARGEST = 96
_WINDOW = 5


def slopes(luma: Tensor, chroma: Tensor, step: Tensor, sizes: Tensor) -> Tensor:
    """Slope of chroma on luma around every cell, one for all cells of a transform block.

    Args:
        luma, chroma: (N, I, J) float64 integers, the dequantised means.
        step: (N, 1, 1) or (N, I, J) step of the chroma means; it damps what noise would say.
        sizes: (N, I, J) size index.

    Returns:
        (N, I, J) float64 integers in 1/SLOPE_ONE.
    """

    def total(x: Tensor) -> Tensor:
        pad = [_WINDOW // 2] * 4
        padded = F.pad(x[:, None], pad, mode="replicate")
        return F.avg_pool2d(padded, _WINDOW, 1, divisor_override=1)[:, 0]

    count = _WINDOW * _WINDOW
    sum_x, sum_y = total(luma), total(chroma)
    covariance = count * total(luma * chroma) - sum_x * sum_y
    variance = count * total(luma * luma) - sum_x * sum_x
    damping = count * count * step * step / 4
    slope = torch.floor(covariance * SLOPE_ONE / (variance + damping) + 0.5)
    return _per_block(slope.clamp(-_LARGEST, _LARGEST), sizes)


def _per_block(slope: Tensor, sizes: Tensor) -> Tensor:
    """Mean over the cells of each block, rounded."""
    regions = to_blocks(slope, REGION // CELL)
    chosen = to_blocks(sizes, REGION // CELL)
    out = regions.clone()
    for index, n in enumerate(SIZES[1:], start=1):
        r = n // CELL
        mean = F.avg_pool2d(regions[:, None], r, divisor_override=1)
        mean = torch.floor(mean / (r * r) + 0.5).repeat_interleave(r, 2).repeat_interleave(r, 3)
        out = torch.where(chosen == index, mean[:, 0], out)
    return from_blocks(out, *slope.shape[1:])


def predict(slope: Tensor, luma: Tensor) -> Tensor:
    """(N, I, J, K): chroma's frequencies as luma's (N, I, J, K) suggest them; channel 0 is zero."""
    guess = torch.floor(slope[..., None] * luma / SLOPE_ONE + 0.5)
    guess[..., 0] = 0
    return guess
