"""Enlarging by whole factors, exactly: how a layer is predicted from the one below.

Axes: C plane, H W pixels, T tap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from codec.container import MAX_SIDE, FormatError
from codec.prediction.interpolation import WEIGHT_BITS, cubic, linear, whole_weights
from codec.prediction.numbers import pack_numbers, unpack_numbers

MAX_RATIO = 16


class Kernel(IntEnum):
    """What lies between the pixels."""

    NEAREST = 0
    BILINEAR = 1
    BICUBIC = 2  # a = -1/2


def _box(distance: float) -> float:
    return float(-0.5 <= distance < 0.5)


_KERNELS: dict[Kernel, Callable[[float], float]] = {
    Kernel.NEAREST: _box,
    Kernel.BILINEAR: linear,
    Kernel.BICUBIC: partial(cubic, a=-0.5),
}


@dataclass(frozen=True)
class Upsample:
    """A picture enlarged, or a window of it.

    Pixel x of the large one lies at (x + 1/2) / across - 1/2 of the small one, whose last row and
    column go on beyond its edge.

    Attributes:
        across, down: factors, from 1.
        kernel: see `Kernel`.
        left, top: pixels of the large one that the window leaves out before its first column, row.
    """

    TAG: ClassVar[int] = 1
    across: int
    down: int
    kernel: Kernel = Kernel.BICUBIC
    left: int = 0
    top: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.across <= MAX_RATIO and 1 <= self.down <= MAX_RATIO):
            raise FormatError(
                f"expected factors from 1 to {MAX_RATIO}, got {self.across}x{self.down}"
            )
        if not (0 <= self.left <= MAX_SIDE and 0 <= self.top <= MAX_SIDE):
            raise FormatError(f"expected a window in a picture, got {self.left}, {self.top}")

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(C, h, w) int32 -> (C, H, W) int32."""
        wide = self._along(planes, 2, self.across, range(self.left, self.left + size[1]))
        return self._along(wide, 1, self.down, range(self.top, self.top + size[0]))

    def _along(self, planes: Tensor, axis: int, factor: int, wanted: range) -> Tensor:
        """One axis enlarged; its rounding to a sample costs less than 0.01 dB."""
        taps, weights = _taps(self.kernel, factor, wanted, planes.shape[axis])
        shape = [-1 if dimension == axis else 1 for dimension in range(3)]
        total = torch.tensor(1 << WEIGHT_BITS - 1, dtype=torch.int32, device=planes.device)
        for place, weight in zip(taps.to(planes.device), weights.to(planes.device), strict=True):
            total = total + planes.index_select(axis, place) * weight.reshape(shape)
        return total >> WEIGHT_BITS

    def pack(self) -> bytes:
        return pack_numbers((self.across, self.down, self.kernel, self.left, self.top))

    @classmethod
    def unpack(cls, data: bytes) -> "Upsample":
        across, down, kernel, left, top = unpack_numbers(data, 5)
        if kernel not in tuple(Kernel):
            raise FormatError(f"prediction: expected a kernel, got {kernel}")
        return cls(across, down, Kernel(kernel), left, top)


def _taps(kernel: Kernel, factor: int, wanted: range, small: int) -> tuple[Tensor, Tensor]:
    """(T, n) int64 places in the small picture of n wanted ones, and (T, n) int32 weights."""
    starts, every = [], []
    for phase in range(factor):
        at = (2 * phase + 1 - factor) / (2 * factor)  # of the pixel that it lies in, -1/2 .. 1/2
        starts.append(-2 if at < 0 else -1)
        every.append(whole_weights([_KERNELS[kernel](at - starts[-1] - tap) for tap in range(4)]))
    x = torch.arange(wanted.start, wanted.stop)
    first = torch.tensor(starts)[x % factor] + x // factor
    taps = (first + torch.arange(4)[:, None]).clamp(0, small - 1)
    return taps, torch.tensor(every, dtype=torch.int32)[x % factor].T
