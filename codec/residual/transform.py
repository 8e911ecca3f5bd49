"""Cosine transforms of 8, 16 and 32 pixels, in one layout of 8 x 8 cells.

Coefficient (u, v) of an n x n block, r = n / 8, is stored in cell (u % r, v % r) at frequency
(u // r, v // r), so one context model serves all sizes. The r x r lowest ones pass through a small
inverse transform on the way: channel 0 of a cell is then a mean, whatever the size.

All is exact: integer matrices, float64 products below 2^53. Samples come in 1/16 of a grey level
(SAMPLE_BITS), coefficients in 1/64 (FRACTION).

Axes: N picture, H W pixels, I J cells (H/8, W/8), K = 64 frequencies in zigzag order.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

SIZES = (8, 16, 32)
CELL = 8
REGION = 32
SAMPLE_BITS = 4
FRACTION = 6
_MATRIX_BITS = 13


def zigzag() -> list[int]:
    """Row-major position of each frequency in zigzag order."""
    cells = [(u, v) for u in range(CELL) for v in range(CELL)]
    cells.sort(key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]))
    return [u * CELL + v for u, v in cells]


@lru_cache
def _matrix(n: int, device: torch.device) -> Tensor:
    """(n, n) orthonormal DCT-II times 2^_MATRIX_BITS, rounded, float64."""
    rows = [
        [
            round(
                2**_MATRIX_BITS
                * math.sqrt((2 if u else 1) / n)
                * math.cos(math.pi * (2 * x + 1) * u / (2 * n))
            )
            for x in range(n)
        ]
        for u in range(n)
    ]
    return torch.tensor(rows, dtype=torch.float64, device=device)


@lru_cache
def _order(device: torch.device) -> tuple[Tensor, Tensor]:
    order = torch.tensor(zigzag(), device=device)
    return order, order.argsort()


def _scale(x: Tensor, bits: int) -> Tensor:
    """Divide by 2^bits and round; exact integers stay exact integers."""
    return x.mul_(2.0**-bits).add_(0.5).floor_()


def _both_sides(matrix: Tensor, x: Tensor) -> Tensor:
    return matrix @ x @ matrix.T


def forward_blocks(blocks: Tensor, n: int) -> Tensor:
    """(B, n, n) integers with SAMPLE_BITS -> (B, r, r, 64) float64 integers with FRACTION bits."""
    r = n // CELL
    x = _both_sides(_matrix(n, blocks.device), blocks.double())
    x = _scale(x, 2 * _MATRIX_BITS + SAMPLE_BITS - FRACTION)
    if r > 1:
        mean = _both_sides(_matrix(r, x.device).T, x[:, :r, :r])
        x[:, :r, :r] = _scale(mean, 2 * _MATRIX_BITS)
        x = x.reshape(-1, CELL, r, CELL, r).permute(0, 2, 4, 1, 3)
    return x.reshape(-1, r, r, CELL * CELL)[..., _order(x.device)[0]]


def inverse_blocks(coefficients: Tensor, n: int) -> Tensor:
    """(B, r, r, 64) integers with FRACTION bits -> (B, n, n) float64 integers with SAMPLE_BITS."""
    r = n // CELL
    x = coefficients.double()[..., _order(coefficients.device)[1]]
    x = x.reshape(-1, r, r, CELL, CELL).permute(0, 3, 1, 4, 2).reshape(-1, n, n)
    if r > 1:
        low = _both_sides(_matrix(r, x.device), x[:, :r, :r])
        x[:, :r, :r] = _scale(low, 2 * _MATRIX_BITS)
    return _scale(_both_sides(_matrix(n, x.device).T, x), 2 * _MATRIX_BITS + FRACTION - SAMPLE_BITS)


def to_blocks(x: Tensor, n: int) -> Tensor:
    """(N, H, W, ...) -> (N H/n W/n, n, n, ...)."""
    height, width = x.shape[1] // n, x.shape[2] // n
    x = x.reshape(x.shape[0], height, n, width, n, *x.shape[3:]).transpose(2, 3)
    return x.reshape(-1, n, n, *x.shape[5:])


def from_blocks(blocks: Tensor, height: int, width: int) -> Tensor:
    """Inverse of `to_blocks`: (N, height, width, ...)."""
    n, rest = blocks.shape[1], blocks.shape[3:]
    x = blocks.reshape(-1, height // n, width // n, n, n, *rest).transpose(2, 3)
    return x.reshape(-1, height, width, *rest)


def forward(plane: Tensor, n: int) -> Tensor:
    """(N, H, W) integers, H and W multiples of n -> (N, I, J, 64) float64, all blocks n x n."""
    cells = forward_blocks(to_blocks(plane, n), n)
    return from_blocks(cells, plane.shape[1] // CELL, plane.shape[2] // CELL)


def inverse(cells: Tensor, sizes: Tensor) -> Tensor:
    """(N, I, J, 64) integers and the size index of every cell (N, I, J) -> (N, H, W) float64."""
    rows, columns = sizes.shape[1:]
    regions = to_blocks(cells, REGION // CELL)
    chosen = to_blocks(sizes, REGION // CELL)
    out = torch.empty(len(regions), REGION, REGION, dtype=torch.float64, device=cells.device)
    for index, n in enumerate(SIZES):
        r, m = n // CELL, REGION // n
        here = chosen.reshape(-1, m, r, m, r)[:, :, 0, :, 0] == index  # (regions, m, m)
        inside = regions.reshape(-1, m, r, m, r, CELL * CELL).transpose(2, 3)[here]
        out.reshape(-1, m, n, m, n).transpose(2, 3)[here] = inverse_blocks(inside, n)
    return from_blocks(out, rows * CELL, columns * CELL)
