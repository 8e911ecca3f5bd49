"""A filter for the decoder that smooths what a step may have caused, and leaves edges alone.

Each pixel moves towards its eight neighbours, the less the further off they are, and not at all
from 0.8 of a step. All are integers below 2^24 in float32, so predictions may stand on the result.

Axes: N picture, C plane, H W pixels, I J cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.transform import CELL

_REACH = 5  # 0.8 of a step in 1/64 is a fifth of it in 1/16
_LARGEST_REACH = 1448  # keeps every sum below 2^24
_DIVISOR = 6  # a neighbour pulls with up to a sixth of its distance
_LARGEST_SAMPLE = 1 << 15
_ROWS_AT_ONCE = 8  # of cells: what fits a processor's cache
_AROUND = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2))


def smooth(planes: Tensor, step: Tensor) -> Tensor:
    """The filtered planes.

    Args:
        planes: (N, C, H, W) int32 in 1/16 grey level, H and W multiples of 8.
        step: (N, C, I, J) float64 step of each cell in 1/64, or (N, C, 1, 1).

    Returns:
        (N, C, H, W) int32.
    """
    padded = F.pad(planes.clamp(-_LARGEST_SAMPLE, _LARGEST_SAMPLE).float(), (1,) * 4, "replicate")
    reach = torch.div(step.int(), _REACH, rounding_mode="floor").clamp(1, _LARGEST_REACH).float()
    out = torch.empty_like(planes)
    strip = _ROWS_AT_ONCE * CELL
    for top in range(0, planes.shape[2], strip):
        rows = padded[:, :, top : top + strip + 2]
        cells = reach
        if reach.shape[2] > 1:
            cells = reach[:, :, top // CELL : (top + strip) // CELL]
            cells = cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
        out[:, :, top : top + strip] = _smooth_strip(rows, cells)
    return out


def _smooth_strip(padded: Tensor, reach: Tensor) -> Tensor:
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    centre = padded[:, :, 1:-1, 1:-1]
    total = torch.zeros_like(centre)
    for i, j in _AROUND:
        away = padded[:, :, i : i + height, j : j + width] - centre
        total += (reach - away.abs()).clamp_(min=0).mul_(away)
    # Both sides of the division are below 2^24, so its floor is exact.
    return total.add_(reach * (_DIVISOR / 2)).div_(reach * _DIVISOR).floor_().add_(centre)
