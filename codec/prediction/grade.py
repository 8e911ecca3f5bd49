"""A look in fixed point: an edited copy is its original, 27 numbers and a residual.

Axes: C channel, H W pixels, V value of a channel.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from codec.container import FormatError
from codec.prediction.numbers import pack_numbers, unpack_numbers
from codec.residual.colour import fine_rgb_to_ycbcr, ycbcr_to_fine_rgb

COEFFICIENT_BITS = 14
_DEGREE = 4
_COUNT = 3 * (1 + 2 * _DEGREE)
_LARGEST = 1 << 19  # 32, in units of black to white
WHITE = 255 << 4  # channels are in 1/16 grey level
_POWER_BITS = 24
_TABLE_BITS = 4  # tables are finer than channels by that


@dataclass(frozen=True)
class Grade:
    """The colour mapping of US 2025/0252542, equation sets 1-3, with degree 4 in RGB.

    Attributes:
        coefficients: 27 integers in 2^-COEFFICIENT_BITS, in the order of
            `codec.pictures.mapping.ColourMapping`: channel by channel, each the constant, its own
            powers, then the mean of the others' powers.
    """

    TAG: ClassVar[int] = 4
    coefficients: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.coefficients) != _COUNT or max(map(abs, self.coefficients)) > _LARGEST:
            raise FormatError(f"expected {_COUNT} coefficients, got {self.coefficients}")

    def __call__(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """(3, H, W) int32 -> the same.

        Raises:
            FormatError: a grey picture.
        """
        if len(planes) != 3:
            raise FormatError("prediction: expected colour where colours are mapped")
        rgb = ycbcr_to_fine_rgb(planes[None])[0].clamp_(0, WHITE)
        own, others = _tables(self.coefficients, planes.device)
        graded = []
        for channel, table in enumerate(own):
            total = table[rgb[channel].long()]
            for other in range(3):
                if other != channel:
                    total += others[channel][rgb[other].long()]
            graded.append((total + (1 << _TABLE_BITS - 1) >> _TABLE_BITS).clamp_(0, WHITE))
        return fine_rgb_to_ycbcr(torch.stack(graded)[None])[0]

    def pack(self) -> bytes:
        return pack_numbers(self.coefficients)

    @classmethod
    def unpack(cls, data: bytes) -> "Grade":
        return cls(unpack_numbers(data, _COUNT))


@lru_cache(maxsize=8)
def _tables(coefficients: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """(3, V) int32 each: what a channel's own value adds to it, and what another's does."""
    value = torch.arange(WHITE + 1)
    powers = [torch.full_like(value, 1 << _POWER_BITS)]
    for _ in range(_DEGREE):
        powers.append((powers[-1] * value + WHITE // 2) // WHITE)
    k = torch.tensor(coefficients).reshape(3, -1)
    own = k[:, : _DEGREE + 1] @ torch.stack(powers)
    others = k[:, _DEGREE + 1 :] @ torch.stack(powers[1:])
    unit = WHITE << _TABLE_BITS

    def scaled(x: Tensor, bits: int) -> Tensor:
        return (x * unit + (1 << bits - 1) >> bits).int().to(device)

    bits = COEFFICIENT_BITS + _POWER_BITS
    return scaled(own, bits), scaled(others, bits + 1)
