"""How alike two pictures are, for the quality search: one number, higher is better.

Each score declares a monotone map to [0, 1), on which the search interpolates and which the
curve of US 9,325,996 expects. Pictures are (C, H, W) uint8.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from codec.pictures.metrics import ms_ssim, psnr, ssim
from codec.pictures.smallfry import SMALLFRY_MOST, smallfry
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.search.tiles import worst_tile

NEARLY_ONE = 1 - 1e-9  # what scores of 1 and more become in [0, 1)


class Score(NamedTuple):
    """A score and its map.

    Attributes:
        name: as commands and reports call it.
        measure: (original, decoded) -> score.
        to_unit: score -> [0, 1), rising.
        best: what no picture exceeds.
        title: in a sentence.
    """

    name: str
    measure: Callable[[Tensor, Tensor], float]
    to_unit: Callable[[float], float]
    best: float
    title: str = "a score"

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
WORST_TILE = Score("worst_tile", worst_tile, _logistic, 100.0, "an SSIMULACRA2 of the worst tile")
