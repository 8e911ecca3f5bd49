"""Steps, dead-zone quantisation and its inverse. Coefficients and steps are integers in 1/64 pixel.

Axes: N picture, I J cells, K = 64 frequencies in zigzag order.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from codec.residual.transform import CELL, FRACTION, SIZES, zigzag

STEP_COUNT = 256
STEPS_PER_OCTAVE = 24
_SMALLEST_STEP = 0.25  # pixels
DEAD_ZONE = 12  # of 32: values round up from 1 - 12/32 of a step
WEIGHT_ONE = 64
AQ_PER_OCTAVE = 4
AQ_LARGEST = 8


class Weighting(NamedTuple):
    """How the step grows with frequency and from luma to chroma: a quantisation matrix, in short.

    Attributes:
        number: written to the stream.
        slope: step times 1 + slope r, where r is the frequency in units of the highest.
        mean: step of channel 0 against the others.
        chroma: step of the chroma planes against luma.
    """

    number: int
    slope: float
    mean: float
    chroma: float


WEIGHTINGS = {"mse": Weighting(0, 0.0, 1.0, 1.0), "perceptual": Weighting(1, 2.0, 0.7, 2.0)}


@lru_cache
def steps() -> list[int]:
    """The step of each index, in 1/64 pixel: STEPS_PER_OCTAVE to a factor of two."""
    unit = _SMALLEST_STEP * 2**FRACTION
    return [round(unit * 2 ** (i / STEPS_PER_OCTAVE)) for i in range(STEP_COUNT)]


@lru_cache
def _weights(weighting: Weighting, chroma: bool, device: torch.device) -> Tensor:
    """(sizes, 4, 4, K) float64: weight of the step in 1/WEIGHT_ONE, by size and place."""
    table = torch.empty(len(SIZES), 4, 4, CELL * CELL, dtype=torch.float64, device="cpu")
    scale = WEIGHT_ONE * (weighting.chroma if chroma else 1.0)
    for index, n in enumerate(SIZES):
        r = n // CELL
        for i in range(4):
            for j in range(4):
                for k, place in enumerate(zigzag()):
                    u, v = place // CELL + i % r / r, place % CELL + j % r / r
                    height = math.hypot(u, v) / math.hypot(CELL - 1, CELL - 1)
                    grown = 1 + weighting.slope * height if k else weighting.mean
                    table[index, i, j, k] = round(scale * grown)
    return table.to(device)


@lru_cache
def _aq_scale(device: torch.device) -> Tensor:
    """(2 AQ_LARGEST + 1,) float64: factor of each adaptive-quantisation value, in 1/WEIGHT_ONE."""
    values = range(-AQ_LARGEST, AQ_LARGEST + 1)
    table = [round(WEIGHT_ONE * 2 ** (k / AQ_PER_OCTAVE)) for k in values]
    return torch.tensor(table, dtype=torch.float64, device=device)


def step_map(
    step_index: Tensor,
    weighting: Weighting,
    chroma: bool,
    sizes: Tensor,
    adaptive: Tensor | None = None,
) -> Tensor:
    """The step of every coefficient, float64 integers in 1/64 pixel.

    Args:
        step_index: (N,).
        weighting: see `Weighting`.
        chroma: whether it is a chroma plane.
        sizes: (N, I, J) size index of every cell.
        adaptive: (N, I, J) in -AQ_LARGEST .. AQ_LARGEST, or None for zeros.

    Returns:
        (N, I, J, K), or (N, 1, 1, 1) where all are equal.
    """
    device = sizes.device
    base = torch.tensor(steps(), dtype=torch.float64, device=device)[step_index][
        :, None, None, None
    ]
    if not weighting.slope and adaptive is None:
        return torch.floor(base * weighting.chroma + 0.5)
    rows, columns = (torch.arange(n, device=device) % 4 for n in sizes.shape[1:])
    weight = _weights(weighting, chroma, device)[sizes.long(), rows[:, None], columns]
    if adaptive is None:
        return torch.floor(base * weight / WEIGHT_ONE + 0.5).clamp_(min=1)
    scale = _aq_scale(device)[adaptive.long() + AQ_LARGEST][..., None].repeat(1, 1, 1, CELL**2)
    scale[..., 0] = WEIGHT_ONE  # means need no map, so that a thumbnail needs none
    return torch.floor(base * weight * scale / WEIGHT_ONE**2 + 0.5).clamp_(min=1)


class Steps(NamedTuple):
    """The steps of a batch of pictures.

    Attributes:
        step_index: (N,).
        weighting: see `Weighting`.
        adaptive: (N, I, J) adaptive quantisation of each cell, or None for zeros.
    """

    step_index: Tensor
    weighting: Weighting
    adaptive: Tensor | None

    def of(self, sizes: Tensor, chroma: bool = False) -> Tensor:
        """The step of every coefficient, see `step_map`."""
        return step_map(self.step_index, self.weighting, chroma, sizes, self.adaptive)

    def cell_index(self, sizes: Tensor) -> Tensor:
        """(N, I, J) int32 step index of every cell, adaptive quantisation included."""
        index = self.step_index.int()[:, None, None].expand(sizes.shape)
        if self.adaptive is None:
            return index
        return index + self.adaptive.int() * (STEPS_PER_OCTAVE // AQ_PER_OCTAVE)


def plane_steps(steps: Steps, planes: int, sizes: Tensor) -> Tensor:
    """(N, planes, I, J) or (N, planes, 1, 1) float64: the step of a cell before any weight."""
    flat = steps._replace(weighting=steps.weighting._replace(slope=0.0, mean=1.0))
    maps = [flat.of(sizes, plane > 0) for plane in range(planes)]
    return torch.stack([m[..., -1] for m in maps], 1)


def quantise(coefficients: Tensor, step: Tensor, dead_zone: int | Tensor = DEAD_ZONE) -> Tensor:
    """Integers -> int32 multiples of the step, (|c| / step + dead_zone / 32) rounded down."""
    size = coefficients.abs().mul_(32).add_(dead_zone * step).div_(32 * step).floor_()
    return size.copysign_(coefficients).int()


def dequantise(values: Tensor, step: Tensor) -> Tensor:
    """int32 multiples -> float64 integers. Rate-distortion choices leave the mean of what was
    rounded to a multiple at that multiple, so there is nothing to add."""
    return values * step
