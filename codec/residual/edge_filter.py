"""A filter for the decoder that smooths what a step may have caused, and leaves edges alone.

Each pixel moves towards its eight neighbours, the less the further off they are, and not at all
from 0.8 of a step. Integers, so that predictions may stand on its result.

Axes: N picture, C plane, H W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = (1, 5)  # 0.8 of a step in 1/64 is 1/5 of it in 1/16
_STRENGTH = 154  # of 1024: 0.15


def smooth(planes: Tensor, step: Tensor) -> Tensor:
    """The filtered planes.

    Args:
        planes: (N, C, H, W) int32 in 1/16 grey level.
        step: (N, C, I, J) float64 step of each cell in 1/64, or (N, C, 1, 1).

    Returns:
        (N, C, H, W) int32.
    """
    height, width = planes.shape[2:]
    reach = torch.floor(step * _REACH[0] / _REACH[1]).clamp(min=1).int()
    if reach.shape[2] > 1:
        reach = reach.repeat_interleave(8, 2).repeat_interleave(8, 3)
    padded = F.pad(planes.double(), (1, 1, 1, 1), mode="replicate").int()
    total = torch.zeros_like(planes)
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
        away = padded[:, :, i : i + height, j : j + width] - planes
        total += away * (reach - away.abs()).clamp_(min=0)
    move = torch.floor(total.double() * _STRENGTH / (reach * 1024) + 0.5)
    return planes + move.int()
