"""The worst part of a picture: what a mean over all of it hides. Axes: T tile, C channel, H W."""

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.colour import luma
from codec.pictures.ssimulacra2 import ssimulacra2

TILE = 128  # pixels a side: the smallest with all scales of SSIMULACRA2
SMOOTH_COUNTS_LESS = 20.0
_SMOOTH = (2 / 255) ** 2  # variance of luma in an 8 x 8 cell
_AT_ONCE = 48  # tiles in one batch: about 100 MB


def worst_tile(original: Tensor, decoded: Tensor) -> float:
    """The lowest SSIMULACRA2 of all tiles of 128 x 128 pixels of two pictures (C, H, W) uint8.

    The last tiles of a row or column are shifted inside; a shorter side is one tile. Tiles that are
    mostly smooth, such as skies and paper, count 20 points less: where nothing hides them, bands
    are seen up to a score of about 70, while textures look right from 50 on. float32 is within 0.1
    of float64 on photos.
    """
    worst = [
        _scores(x, y).min()
        for x, y in zip(
            _tiles(original).split(_AT_ONCE), _tiles(decoded).split(_AT_ONCE), strict=True
        )
    ]
    return float(torch.stack(worst).min())


def count_tiles(picture: Tensor) -> int:
    """How many tiles a picture (C, H, W) has."""
    return len(_starts(picture.shape[1])) * len(_starts(picture.shape[2]))


def _scores(original: Tensor, decoded: Tensor) -> Tensor:
    """(T,) from tiles (T, 3, h, w) uint8."""
    x, y = original.float() / 255, decoded.float() / 255
    return ssimulacra2(x, y) - SMOOTH_COUNTS_LESS * _is_smooth(x)


def _is_smooth(tiles: Tensor) -> Tensor:
    """(T,) whether most cells of a tile hardly vary."""
    y = luma(tiles)
    size = min(8, *y.shape[2:])
    mean, square = (F.avg_pool2d(part, size) for part in (y, y.square()))
    return (square - mean.square() < _SMOOTH).flatten(1).float().mean(1) > 0.5


def _tiles(picture: Tensor) -> Tensor:
    """(T, 3, h, w) uint8."""
    tops, lefts = (_starts(n) for n in picture.shape[1:])
    rgb = picture.expand(3, -1, -1)
    return torch.stack([rgb[:, y : y + TILE, x : x + TILE] for y in tops for x in lefts])


def _starts(length: int) -> list[int]:
    last = max(length - TILE, 0)
    return sorted({min(start, last) for start in range(0, length, TILE)})
