"""How alike two pictures are, for the quality search: one number, higher is better.

Each score declares a monotone map to [0, 1), on which the search interpolates and which the seed's
curve expects. Pictures are (C, H, W) uint8.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from codec.colour import luma
from codec.metrics import ms_ssim, psnr, ssim
from codec.search.methods import NEARLY_ONE
from codec.ssimulacra2 import ssimulacra2


class Score(NamedTuple):
    """A score and its map.

    Attributes:
        name: as commands and reports call it.
        measure: (original, decoded) -> score.
        to_unit: score -> [0, 1), rising.
        best: what no picture exceeds.
    """

    name: str
    measure: Callable[[Tensor, Tensor], float]
    to_unit: Callable[[float], float]
    best: float

    def check_target(self, target: float) -> None:
        """Raise ValueError for what cannot be aimed at."""
        if not 0 < target <= self.best or math.isinf(target):
            scale = "above 0" if math.isinf(self.best) else f"above 0 and up to {self.best:g}"
            raise ValueError(f"expected a {self.name} {scale}, got {target:g}")


def _as_floats(picture: Tensor) -> Tensor:
    return picture.expand(3, -1, -1)[None].double() / 255


def _ssim(original: Tensor, decoded: Tensor) -> float:
    return float(ssim(_as_floats(original).float(), _as_floats(decoded).float()))


def _ms_ssim(original: Tensor, decoded: Tensor) -> float:
    return float(ms_ssim(_as_floats(original).float(), _as_floats(decoded).float()))


def _psnr(original: Tensor, decoded: Tensor) -> float:
    return float(psnr(_as_floats(original), _as_floats(decoded)))


def _clipped(score: float) -> float:
    return min(max(score, 0.0), NEARLY_ONE)


def _logistic(score: float) -> float:
    """SSIMULACRA2 has no lower end; 50 is medium quality."""
    return _clipped(1 / (1 + math.exp((50 - max(score, -1000.0)) / 15)))


_EDGE_WEIGHT, _PSNR_WEIGHT = 78.5328607296973, 37.1891885161239
SMALLFRY_MOST = _EDGE_WEIGHT + _PSNR_WEIGHT


def smallfry(original: Tensor, decoded: Tensor) -> float:
    """Derek Buitenhuis' SmallFry: PSNR and the edges that 8 x 8 blocks add. 0 to 115.722.

    The formula is that of smallfry.c; the term of it that is always 1 is left out, and so is the
    column whose right neighbour lies outside the picture. Both pictures (C, H, W) uint8.
    """
    x, y = (luma(_as_floats(p))[0, 0].mul(255).round() for p in (original, decoded))
    peak = float(x.max())
    error = float((x - y).square().mean())
    fidelity = 10 * math.log10(65025 / error) if error else math.inf
    divisor = 50 if peak > 128 else 0.0016 * peak**2 - 0.38 * peak + 72.5
    fidelity = min(max(fidelity / divisor, 0.0), 1.0)
    difference = (x - y).abs()
    along = _added_edges(difference, difference.shape[1] - 2)
    down = _added_edges(difference.T, difference.shape[0] - 2)
    scores = torch.cat((along, down))
    smooth = 1 - float(scores.mean()) if len(scores) else 1.0
    return _PSNR_WEIGHT * fidelity + _EDGE_WEIGHT * smooth


def _added_edges(difference: Tensor, end: int) -> Tensor:
    """Scores 0 to 1 of how the error jumps at columns 7, 15, ... before `end`."""
    at = torch.arange(7, max(end, 7), 8)
    d0, d1, d2, d3 = (difference[:, at + offset] for offset in (-1, 0, 1, 2))
    around = ((d0 - d1).abs() + (d2 - d3).abs() + 1e-4) / 2
    ratio = (d1 - d2).abs() / around
    score = torch.where(ratio > 5, 1.0, ((ratio - 2) / 3).clamp(0, 1))
    return score.flatten().double()


def _ssimulacra2(original: Tensor, decoded: Tensor) -> float:
    return float(ssimulacra2(_as_floats(original), _as_floats(decoded)))


SCORES = {
    score.name: score
    for score in (
        Score("ssim", _ssim, _clipped, 1.0),
        Score("ms_ssim", _ms_ssim, _clipped, 1.0),
        Score("psnr", _psnr, lambda db: _clipped(1 - 10 ** (-max(db, 0.0) / 10)), math.inf),
        Score("smallfry", smallfry, lambda s: _clipped(s / SMALLFRY_MOST), SMALLFRY_MOST),
        Score("ssimulacra2", _ssimulacra2, _logistic, 100.0),
    )
}
