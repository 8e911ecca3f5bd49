"""Another exposure: a curve of luma, and how far chroma follows.

Axes: C plane, H W pixels, K node.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor

from codec.container import FormatError
from codec.prediction.numbers import pack_numbers, unpack_numbers

NODES = (2, 17)  # a straight line, or a node every 16 grey levels
SLOPES = (1, 17)
SLOPE_ONE = 256
_BLACK, _WHITE = -(1 << 11), 1 << 11  # luma in 1/16 grey level
_LARGEST = 1 << 13


@dataclass(frozen=True)
class Tone:
    """Luma through a curve of straight pieces; chroma times a slope plus an offset.

    Attributes:
        luma: the curve at 2 or 17 nodes, evenly from black to white, in 1/16 grey level about 0.
        slopes: of each chroma plane in 1/SLOPE_ONE: 1, or 17 along the luma of the prediction.
        offsets: of each chroma plane in 1/16 grey level.
    """

    TAG: ClassVar[int] = 3
    luma: tuple[int, ...]
    slopes: tuple[tuple[int, ...], ...] = ((SLOPE_ONE,), (SLOPE_ONE,))
    offsets: tuple[int, ...] = (0, 0)

    def __post_init__(self) -> None:
        every = (*self.luma, *self.slopes[0], *self.slopes[1], *self.offsets)
        if (
            len(self.luma) not in NODES
            or len(self.slopes[0]) not in SLOPES
            or len(self.slopes[0]) != len(self.slopes[1])
            or max(map(abs, every)) > _LARGEST
        ):
            raise FormatError(f"expected a curve of {NODES} nodes and {SLOPES} slopes, got {self}")

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, H, W) int32 -> the same."""
        seen = planes[0].clamp(_BLACK, _WHITE - 1) - _BLACK
        out = [_curve(self.luma, seen)]
        for chroma, slopes, offset in zip(planes[1:], self.slopes, self.offsets, strict=False):
            slope = _curve(slopes, seen) if len(slopes) > 1 else slopes[0]
            out.append((chroma * slope + SLOPE_ONE // 2 >> 8) + offset)
        return torch.stack(out)

    def pack(self) -> bytes:
        counts = bytes([len(self.luma), len(self.slopes[0])])
        line = straight(len(self.luma))
        bends = [n - even for n, even in zip(self.luma, line, strict=True)]
        numbers = [*_differences(bends), *self.offsets]
        for slopes in self.slopes:
            numbers += _differences([n - SLOPE_ONE for n in slopes])
        return counts + pack_numbers(numbers)

    @classmethod
    def unpack(cls, data: bytes) -> "Tone":
        if len(data) < 2 or data[0] not in NODES or data[1] not in SLOPES:
            raise FormatError("prediction: expected a curve")
        nodes, slopes = data[0], data[1]
        numbers = unpack_numbers(data[2:], nodes + 2 + 2 * slopes)
        bends = _sums(numbers[:nodes])
        rest = numbers[nodes + 2 :]
        return cls(
            tuple(n + straight for n, straight in zip(bends, straight(nodes), strict=True)),
            tuple(
                tuple(n + SLOPE_ONE for n in _sums(part)) for part in (rest[:slopes], rest[slopes:])
            ),
            numbers[nodes : nodes + 2],
        )


def straight(nodes: int) -> list[int]:
    """The curve that changes nothing."""
    return [_BLACK + (_WHITE - _BLACK) * k // (nodes - 1) for k in range(nodes)]


def _curve(nodes: tuple[int, ...], seen: Tensor) -> Tensor:
    """The curve at luma 0 .. 4095, int32."""
    bits = {2: 12, 17: 8}[len(nodes)]
    table = torch.tensor(nodes, dtype=torch.int32, device=seen.device)
    place, part = seen >> bits, seen & (1 << bits) - 1
    low, high = table[:-1][place.long()], table[1:][place.long()]
    return low + ((high - low) * part + (1 << bits - 1) >> bits)


def _differences(numbers: list[int]) -> list[int]:
    return [b - a for a, b in zip([0, *numbers], numbers, strict=False)]


def _sums(numbers: tuple[int, ...]) -> list[int]:
    return list(accumulate(numbers))
