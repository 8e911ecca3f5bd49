"""What is usual: the depth -log(1 - unit score) of pictures at each quality, and how it varies.

The table prior.json is fitted by `python evaluate.py study=search_prior` on photos that no
benchmark uses. An encoder or score without a row gets a plain curve, which costs a probe or two.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from codec.search.detail import detail

_SAME_PIXELS = {"jpeg": "jpeg_baseline"}  # their files differ in size alone
SHIPPED = Path(__file__).with_name("prior.json")
MODES = 6
_RIDGE = 3e-3
_ROUGHNESS = 0.03  # of one picture's curve about the modes, in depth
_REACH = 15.0  # qualities over which that roughness holds together


class Prior(NamedTuple):
    """Depth over the qualities, Q of them, that one picture should have.

    Attributes:
        usual: (Q,) the mean, rising.
        modes: (m, Q) independent ways to differ from it, each with its standard deviation.
    """

    usual: np.ndarray
    modes: np.ndarray

    def expected(self, probed: dict[int, float]) -> np.ndarray:
        """(Q,) the depth to expect, rising, given the depths at some positions.

        The conditional mean of a Gaussian process: one probe shifts and tilts the usual curve as
        photos differ, later ones are interpolated.
        """
        if not probed:
            return self.usual
        position = np.arange(len(self.usual))
        at = np.array(list(probed))
        rough = np.exp(-0.5 * ((position[:, None] - at) / _REACH) ** 2)
        covariance = self.modes.T @ self.modes[:, at] + _ROUGHNESS**2 * rough
        inside = covariance[at] + 1e-8 * np.eye(len(at))
        weight = np.linalg.solve(inside, np.array(list(probed.values())) - self.usual[at])
        return np.maximum.accumulate(self.usual + covariance @ weight)


class Photos(NamedTuple):
    """How the curves of photos differ, and how much of that their detail tells.

    Attributes:
        usual: (Q,) mean depth.
        modes: (m, Q) principal components, each with its standard deviation.
        centre: (F,) mean `detail`.
        weights: (F, m) amount of each mode for an excess of detail.
        spread: (m, m) how modes still vary where detail is known: a root of their covariance.
    """

    usual: np.ndarray
    modes: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    spread: np.ndarray

    def of(self, picture: Tensor) -> Prior:
        """What to expect of a picture (C, H, W) uint8."""
        shift = (detail(picture) - self.centre) @ self.weights
        usual = np.maximum.accumulate(self.usual + shift @ self.modes)
        return Prior(usual, self.spread @ self.modes)


def fit(depths: np.ndarray, details: np.ndarray) -> Photos:
    """From photos' curves (photos, Q) and what `detail` says of each (photos, F)."""
    usual, centre = depths.mean(0), details.mean(0)
    left, scale, components = np.linalg.svd(depths - usual, full_matrices=False)
    kept = min(MODES, len(scale))
    root = np.sqrt(len(depths))
    modes = components[:kept] * (scale[:kept, None] / root)
    amounts = left[:, :kept] * root
    deviation = details.std(0) + 1e-6
    x = (details - centre) / deviation
    ridge = _RIDGE * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + ridge, x.T @ amounts)
    rest = amounts - x @ weights
    covariance = rest.T @ rest / len(rest)
    spread = np.linalg.cholesky(covariance + 1e-6 * np.eye(kept)).T
    return Photos(usual, modes, centre, weights / deviation[:, None], spread)


def prior_of(encoder: str, score: str, qualities: range, picture: Tensor) -> Prior:
    """What to expect of a picture (C, H, W) uint8, for an encoder and a score by name."""
    photos = _table().get(f"{_SAME_PIXELS.get(encoder, encoder)} {score}")
    if photos is not None and len(photos.usual) == len(qualities):
        return photos.of(picture)
    usual = 0.5 + 4 * np.log(1 + np.arange(1, len(qualities) + 1) / 25)
    return Prior(usual, np.stack((np.full_like(usual, 1.0), 0.5 * usual)))


@cache
def _table() -> dict[str, Photos]:
    if not SHIPPED.exists():
        return {}
    table = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return {name: Photos(**{k: np.array(v) for k, v in row.items()}) for name, row in table.items()}
