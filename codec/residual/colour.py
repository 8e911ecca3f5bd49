"""The codec's own colours, in integers: the same file gives the same pixels on every device.

Axes: N picture, H W pixels. Samples of YCbCr are in 1/16 of a grey level (SAMPLE_BITS).
"""

import torch
from torch import Tensor

from codec.pictures.colour import YCBCR
from codec.residual.transform import SAMPLE_BITS

_FORWARD_BITS, _INVERSE_BITS = 16, 13


def _fixed(matrix: Tensor, bits: int) -> list[list[int]]:
    return [[round(x * 2**bits) for x in row] for row in matrix.tolist()]


def _apply_fixed(matrix: list[list[int]], x: Tensor, shift: int) -> Tensor:
    """(N, 3, H, W) int32 through an integer matrix, divided by 2^shift and rounded."""
    planes = x.unbind(1)
    rows = []
    for row in matrix:
        total = torch.full_like(planes[0], 1 << shift - 1)
        for weight, plane in zip(row, planes, strict=True):
            if weight:
                total.add_(plane, alpha=weight)
        rows.append(total.bitwise_right_shift_(shift))
    return torch.stack(rows, 1)


def rgb_to_fixed_ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) integers 0 .. 255 -> int32 YCbCr in 1/16: Y - 128, Cb and Cr about 0."""
    x = _apply_fixed(_fixed(YCBCR, _FORWARD_BITS), rgb.int(), _FORWARD_BITS - SAMPLE_BITS)
    x[:, 0] -= 128 << SAMPLE_BITS
    return x


def fixed_ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Inverse of `rgb_to_fixed_ycbcr`, rounded and clamped to uint8; samples within 2^15."""
    matrix = _fixed(torch.linalg.inv(YCBCR), _INVERSE_BITS)
    x = ycbcr.clamp(-(1 << 15), 1 << 15)
    x[:, 0] += 128 << SAMPLE_BITS
    return _apply_fixed(matrix, x, _INVERSE_BITS + SAMPLE_BITS).clamp_(0, 255).to(torch.uint8)


def rgb_to_ycocg(rgb: Tensor) -> Tensor:
    """Reversible YCoCg-R of int32 (N, 3, H, W): Y in the range of RGB, Co and Cg one bit more."""
    red, green, blue = rgb.unbind(1)
    orange = red - blue
    middle = blue + (orange >> 1)
    violet = green - middle
    return torch.stack((middle + (violet >> 1), orange, violet), 1)


def ycocg_to_rgb(ycocg: Tensor) -> Tensor:
    """Inverse of `rgb_to_ycocg`."""
    grey, orange, violet = ycocg.unbind(1)
    middle = grey - (violet >> 1)
    blue = middle - (orange >> 1)
    return torch.stack((orange + blue, violet + middle, blue), 1)


def fine_rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """`rgb_to_fixed_ycbcr` of RGB (N, 3, H, W) int32 that is in 1/16 of a grey level, too."""
    x = _apply_fixed(_fixed(YCBCR, _FORWARD_BITS), rgb, _FORWARD_BITS)
    x[:, 0] -= 128 << SAMPLE_BITS
    return x


def ycbcr_to_fine_rgb(ycbcr: Tensor) -> Tensor:
    """Inverse of `fine_rgb_to_ycbcr`, int32 in 1/16, not clamped; samples within 2^15."""
    matrix = _fixed(torch.linalg.inv(YCBCR), _INVERSE_BITS)
    x = ycbcr.clamp(-(1 << 15), 1 << 15)
    x[:, 0] += 128 << SAMPLE_BITS
    return _apply_fixed(matrix, x, _INVERSE_BITS)
