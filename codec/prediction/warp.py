"""The plane that a scene shows, seen from elsewhere: a homography in integers.

Axes: C plane, H W pixels of the result, h w pixels of the reference, P pixel of a strip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.prediction.interpolation import PHASES, WEIGHT_BITS, cubic_table
from codec.prediction.numbers import pack_numbers, unpack_numbers

CORNER_ONE = 16  # corners are in 1/16 of a pixel
_SHARPNESS = -0.75  # a of the kernel: 0.13 dB above -1/2 on bursts, where noise is averaged anyway
_DENOMINATOR_BITS = 26  # with them every quotient's floor is exact in float64, see `_places`
_FARTHEST = 1 << 20  # pixels of a corner from the top left of the reference
_STEEPEST = 16  # most that one corner may be nearer than another
_FRAME = 2
_PIXELS_AT_ONCE = 1 << 15  # what fits a processor's cache


@dataclass(frozen=True)
class Warp:
    """A picture sampled where a homography says.

    Attributes:
        corners: eight integers, dx and dy in 1/16 pixel of the top left, top right, bottom right
            and bottom left pixel: where in the reference it lies, less where in the result.
    """

    TAG: ClassVar[int] = 2
    corners: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.corners) != 8:
            raise FormatError(f"expected eight displacements of corners, got {self.corners}")

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, h, w) int32 -> (C, H, W) int32."""
        return self.strips(planes, size, max(1, _PIXELS_AT_ONCE // size[1]))

    def strips(self, planes: Tensor, size: tuple[int, int], rows: int) -> Tensor:
        """The same, that many rows at once: the result does not depend on it."""
        matrix = homography(self.corners, size)
        frame = (_FRAME, _FRAME + 1, _FRAME, _FRAME + 1)
        padded = F.pad(planes[None].double(), frame, mode="replicate")[0].int()
        stride, flat = padded.shape[2], padded.flatten(1)
        out = torch.empty(len(planes), *size, dtype=torch.int32, device=planes.device)
        for top in range(0, size[0], rows):
            here = range(top, min(top + rows, size[0]))
            x, y = _places(matrix, here, size[1], planes.shape[1:], planes.device)
            first = ((y >> 6) + _FRAME - 1) * stride + (x >> 6) + _FRAME - 1
            sampled = _sample(flat, first, stride, (x & PHASES - 1, y & PHASES - 1))
            out[:, here.start : here.stop] = sampled.reshape(-1, len(here), size[1])
        return out

    def pack(self) -> bytes:
        return pack_numbers(self.corners)

    @classmethod
    def unpack(cls, data: bytes) -> "Warp":
        return cls(unpack_numbers(data, 8))


def homography(corners: Sequence[int], size: tuple[int, int]) -> list[list[int]]:
    """The 3 x 3 integers that take (x, y, 1) to places in 1/PHASES pixel of the reference.

    The first two rows are over the third, whose values on the picture are positive and at most
    2^_DENOMINATOR_BITS. After Heckbert 1989, "Fundamentals of texture mapping", section 2.2.3, in
    whole numbers.

    Raises:
        FormatError: corners that no camera sees so.
    """
    height, width = (max(n - 1, 1) for n in size)
    here = ((0, 0), (width, 0), (width, height), (0, height))
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (
        (CORNER_ONE * x + dx, CORNER_ONE * y + dy)
        for (x, y), dx, dy in zip(here, corners[::2], corners[1::2], strict=True)
    )
    across, down = (x1 - x2, y1 - y2), (x3 - x2, y3 - y2)
    twist = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3)
    det = down[0] * across[1] - across[0] * down[1]
    g = down[0] * twist[1] - twist[0] * down[1]
    h = twist[0] * across[1] - across[0] * twist[1]
    ends = (det, det + g, det + g + h, det + h)
    if min(ends) <= 0 or max(ends) > _STEEPEST * min(ends):
        raise FormatError(f"expected the corners of a picture seen from the front, got {corners}")
    farthest = max(map(abs, (x0, y0, x1, y1, x2, y2, x3, y3)))
    if farthest > _FARTHEST * CORNER_ONE:
        raise FormatError(f"expected corners within {_FARTHEST} pixels, got {corners}")
    unit = PHASES // CORNER_ONE
    rows = (
        ((det * (x1 - x0) + g * x1) * unit, (det * (x3 - x0) + h * x3) * unit, det * x0 * unit),
        ((det * (y1 - y0) + g * y1) * unit, (det * (y3 - y0) + h * y3) * unit, det * y0 * unit),
        (g, h, det),
    )
    # So far for (x / width, y / height, 1); brought to whole numbers of a common size.
    whole = width * height * max(ends)
    scales = (height, width, width * height)
    top = 1 << _DENOMINATOR_BITS
    return [
        [(2 * n * scale * top + whole) // (2 * whole) for n, scale in zip(row, scales, strict=True)]
        for row in rows
    ]


def _places(
    matrix: list[list[int]], rows: range, width: int, reference: torch.Size, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(P,) int64 x and y in 1/PHASES pixel of the reference, of whole rows of the result.

    Numerators are below 2^53 and denominators at most 2^_DENOMINATOR_BITS: a quotient is then at
    least 2^-26 away from the integer above it, which double precision tells apart.
    """
    y = torch.arange(rows.start, rows.stop, device=device)[:, None]
    x = torch.arange(width, device=device)
    across, down, under = (a * x + (b * y + c) for a, b, c in matrix)
    near = []
    for over, length in ((across, reference[1]), (down, reference[0])):
        place = torch.floor((over + (under >> 1)).double() / under.double())
        near.append(place.clamp(-PHASES, length * PHASES).long().flatten())
    return near[0], near[1]


@lru_cache
def _table(device: torch.device) -> Tensor:
    """(T, S) int32 weights."""
    table = torch.tensor(cubic_table(_SHARPNESS, PHASES), dtype=torch.int32, device="cpu")
    return table.T.contiguous().to(device)


def _sample(flat: Tensor, first: Tensor, stride: int, phases: tuple[Tensor, Tensor]) -> Tensor:
    """(C, P) int32: 4 x 4 taps of planes (C, h w) from the places (P,) of their first ones."""
    table = _table(flat.device)
    across, down = ([row[phase] for row in table] for phase in phases)
    half = 1 << 2 * WEIGHT_BITS - 1
    out = []
    for plane in flat:
        total = torch.full_like(first, half, dtype=torch.int32)
        for i, weight in enumerate(down):
            row = torch.zeros_like(total)
            for j, other in enumerate(across):
                row.addcmul_(plane[i * stride + j :].index_select(0, first), other)
            total.addcmul_(row, weight)
        out.append(total >> 2 * WEIGHT_BITS)
    return torch.stack(out)
