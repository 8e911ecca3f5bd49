"""What a network may know about a coefficient: features of everything decoded before it.

A cell's 63 frequencies are coded in groups from low to high, each group in two phases, the black
and the white cells of a checkerboard. Features are int8 columns of a cell; a row of a network is
the 3 x 3 cells around one. Only quantised integers, sizes, steps and adaptive quantisation enter.

Axes: N picture, I J cells, F feature, P row (cell of one phase), K frequency.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA_GROUPS = (1, 3, 6, 10, 15, 21, 36, 64)  # first frequency of each group, in zigzag order
CHROMA_GROUPS = (1, 3, 6, 15, 64)
ONE = 64  # a flag that is set
HINTS = 8  # columns for what a prediction says about a cell, zeros without one
_SEEN_LUMA = 28  # luma frequencies that chroma networks see one by one


@lru_cache
def _log_table(device: torch.device) -> Tensor:
    table = [min(round(16 * math.log2(1 + i)), 127) for i in range(257)]
    return torch.tensor(table, dtype=torch.int8, device=device)


def log_size(x: Tensor) -> Tensor:
    """int8: 16 log2(1 + |x|), at most 127."""
    return _log_table(x.device)[x.abs().clamp(max=256).long()]


def signed_log(x: Tensor) -> Tensor:
    """int8: `log_size` with the sign of x."""
    return log_size(x) * x.sign().to(torch.int8)


def step_feature(index: Tensor) -> Tensor:
    """int8: a step index or a sum of them, two features steps to one of index."""
    return (torch.div(index, 2, rounding_mode="floor")).clamp(-128, 127).to(torch.int8)


def picture_features(step_index: Tensor, matrix: Tensor) -> Tensor:
    """(N, 2) int8: what the step index (N,) and the weighting's number (N,) say of a picture."""
    return torch.stack((step_feature(step_index), matrix.to(torch.int8) * ONE), 1)


def owners(chosen: Tensor) -> Tensor:
    """(P,) int64: the picture of every chosen cell of (N, I, J)."""
    return chosen.nonzero()[:, 0]


class Cells(NamedTuple):
    """What is known of all cells before their frequencies: shared by luma and chroma.

    Attributes:
        sizes: (N, I, J) index into transform.SIZES.
        step_index: (N, I, J) int32, adaptive quantisation included.
        matrix: (N,) number of the weighting.
        hints: (N, I, J, HINTS) int8, or None.
    """

    sizes: Tensor
    step_index: Tensor
    matrix: Tensor
    hints: Tensor | None = None


def gradients(mean: Tensor) -> Tensor:
    """(N, I, J, 10) int8: first and second differences of the means of the cells, sign and size."""
    x = F.pad(mean[:, None].double(), (1, 1, 1, 1), mode="replicate")[:, 0].int()
    left, right, up, down = x[:, 1:-1, :-2], x[:, 1:-1, 2:], x[:, :-2, 1:-1], x[:, 2:, 1:-1]
    corner = x[:, 2:, 2:] - x[:, 2:, :-2] - x[:, :-2, 2:] + x[:, :-2, :-2]
    centre = 2 * mean.int()
    found = torch.stack(
        (right - left, down - up, left + right - centre, up + down - centre, corner), -1
    )
    return torch.cat((signed_log(found), log_size(found)), -1)


def fixed_features(cells: Cells, classes: Tensor, means: list[Tensor]) -> Tensor:
    """(N, I, J, F) int8: what every group of a plane sees.

    Args:
        cells: see `Cells`.
        classes: (N, I, J, c) of this plane and, for chroma, of luma.
        means: quantised means (N, I, J) of the planes whose gradients count.
    """
    sizes = cells.sizes
    pictures, rows, columns = sizes.shape
    device = sizes.device
    one_hot = F.one_hot(sizes.long(), 3).to(torch.int8) * ONE
    r = (1 << sizes.int())[..., None]
    i = torch.arange(rows, device=device)[:, None, None] % r
    j = torch.arange(columns, device=device)[:, None] % r
    place = torch.cat((i & 1, i >> 1, j & 1, j >> 1), -1).to(torch.int8) * ONE
    matrix = (cells.matrix.to(torch.int8) * ONE)[:, None, None].expand_as(sizes)
    single = torch.stack((step_feature(cells.step_index), matrix, torch.full_like(matrix, ONE)), -1)
    hints = cells.hints
    if hints is None:
        hints = torch.zeros(pictures, rows, columns, HINTS, dtype=torch.int8, device=device)
    parts = [single, one_hot, place, (classes * 16).to(torch.int8), hints]
    return torch.cat((*parts, *map(gradients, means)), -1)


def luma_features(values: Tensor) -> Tensor:
    """What chroma sees of luma's frequencies: (N, I, J, K) int32 -> (N, I, J, 55) int8."""
    low = values[..., 1:_SEEN_LUMA]
    high = values[..., _SEEN_LUMA:].abs().sum(-1, keepdim=True)
    return torch.cat((log_size(low), signed_log(low), log_size(high)), -1)


def value_features(values: Tensor) -> Tensor:
    """(..., planes, k) int32 -> (..., 2 planes k) int8, frequency by frequency."""
    x = values.transpose(-1, -2)
    return torch.stack((log_size(x), signed_log(x)), -1).flatten(-3)


class FeatureGrid:
    """The features of all cells with a frame around them, and rows of 3 x 3 cells from it.

    Args:
        fixed: (N, I, J, F) int8 features that are known from the start.
        planes: planes that are coded together.
    """

    def __init__(self, fixed: Tensor, planes: int, frequencies: int):
        pictures, rows, columns, count = fixed.shape
        self.fixed, self.planes = count, planes
        width = count + 1 + 2 * planes * frequencies
        shape = (pictures, rows + 2, columns + 2, width)
        self.features = torch.zeros(shape, dtype=torch.int8, device=fixed.device)
        self.features[:, 1:-1, 1:-1, :count] = fixed
        self.black = checkerboard(rows, columns, fixed.device)
        places = torch.arange((rows + 2) * (columns + 2), device=fixed.device)
        self.around = torch.tensor(
            [i * (columns + 2) + j for i in (-1, 0, 1) for j in (-1, 0, 1)], device=fixed.device
        )
        inside = places.reshape(rows + 2, columns + 2)[1:-1, 1:-1]
        first = torch.arange(pictures, device=fixed.device) * len(places)
        self.place = inside + first[:, None, None]

    def columns(self, frequencies: int) -> int:
        """Columns of a cell of which that many frequencies are known."""
        return self.fixed + 1 + 2 * self.planes * frequencies

    def rows(self, chosen: Tensor, frequencies: int, phase: int) -> Tensor:
        """(P, 9 columns) int8 rows of the chosen (N, I, J) cells."""
        width = self.columns(frequencies)
        flat = self.features.flatten(0, 2)
        index = (self.place[chosen][:, None] + self.around).flatten()
        rows = flat[index, :width] if width < flat.shape[1] else flat[index]
        rows = rows.reshape(-1, 9, width)
        rows[..., self.fixed] = phase * ONE
        return rows.flatten(1)

    def write(self, values: Tensor, chosen: Tensor, start: int) -> None:
        """Enter the values (P, planes, k) of the chosen cells, from frequency number `start`."""
        width = 2 * self.planes * values.shape[-1]
        at = self.columns(start)
        flat = self.features.flatten(0, 2)
        flat[self.place[chosen], at : at + width] = value_features(values)


@lru_cache
def checkerboard(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows, columns) bool: the cells of the first phase."""
    i, j = torch.arange(rows, device=device)[:, None], torch.arange(columns, device=device)
    return (i + j) % 2 == 0
