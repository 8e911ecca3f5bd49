"""Adaptive quantisation: busy regions hide more, so their step grows. Choice and coding.

Axes: N picture, I J cells of 8 pixels, S T regions of 32 pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.residual.context import ONE, checkerboard, owners, step_feature
from codec.residual.passes import Networks, Source
from codec.residual.quantise import AQ_LARGEST
from codec.residual.transform import CELL, REGION
from codec.residual.transform_sizes import INPUTS, activity, around

_EIGHTH_OCTAVES = [round(2 ** (i / 8)) for i in range(8 * 40)]  # of a sum of squares
# value = round(level / 10), the level in eighths of an octave of energy, 16 to an octave of
# amplitude: the step grows by 0.4 octaves for each. Of three strengths none was 0.7 % better.
_DIVISOR = 10


def choose_adaptive(coefficients: Tensor) -> Tensor:
    """Values that follow the logarithm of a region's activity, about the picture's mean.

    Args:
        coefficients: (N, I, J, K) float64 integers of luma, all blocks of 8 pixels.

    Returns:
        (N, S, T) int32 in -AQ_LARGEST .. AQ_LARGEST, quarter octaves of the step.
    """
    energy = torch.floor(coefficients[..., 1:].square().sum(-1) / 4096)
    factor = REGION // CELL
    energy = F.avg_pool2d(energy[:, None], factor, divisor_override=1)[:, 0] + 16
    bounds = torch.tensor(_EIGHTH_OCTAVES, dtype=torch.float64, device=energy.device)
    level = torch.bucketize(energy.contiguous(), bounds, right=True)
    mean = _divide(level.flatten(1).sum(1), level[0].numel())
    value = _divide(level - mean[:, None, None], _DIVISOR)
    return value.clamp(-AQ_LARGEST, AQ_LARGEST).int()


def _divide(x: Tensor, by: int) -> Tensor:
    """Integers divided and rounded, exactly: devices differ in floats divided by a number."""
    return torch.div(2 * x + by, 2 * by, rounding_mode="floor")


def code_adaptive(networks: Networks, source: Source, means: Tensor, step_index: Tensor) -> Tensor:
    """Run through the map in two phases.

    Args:
        networks: by name, `adaptive`: INPUTS inputs, classes 0 .. 2 AQ_LARGEST.
        source: answers with classes, the value plus AQ_LARGEST.
        means: (N, I, J) quantised luma means.
        step_index: (N,).

    Returns:
        (N, S, T) int32.
    """
    factor = REGION // CELL
    busy = activity(means, factor)
    shape = busy.shape[:3]
    values = torch.zeros(shape, dtype=torch.int32, device=means.device)
    known = torch.zeros(shape, dtype=torch.int8, device=means.device)
    black = checkerboard(*shape[1:], means.device)
    for phase in (0, 1):
        chosen = (black == (phase == 0)).expand(shape)
        nearby = around(values * known)
        rows = torch.cat(((nearby * 8).to(torch.int8), around(known) * ONE, busy), -1)[chosen]
        rows = torch.cat((rows, step_feature(step_index)[owners(chosen)][:, None]), -1)
        rows = F.pad(rows, (0, INPUTS - rows.shape[1]))
        found = source.classes(networks["adaptive"](rows), chosen)
        values[chosen] = found - AQ_LARGEST
        known[chosen] = 1
    return values


def spread_over_cells(adaptive: Tensor) -> Tensor:
    """(N, S, T) of regions -> (N, I, J) of cells."""
    factor = REGION // CELL
    return adaptive.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
