"""What is usual: the depth -log(1 - unit score) of photos at each quality, and how it varies.

The table prior.json is fitted by `python evaluate.py study=search_prior` on photos that no
benchmark uses. An encoder or score without a row gets a plain curve, which costs a probe or two.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

_SAME_PIXELS = {"jpeg": "jpeg_baseline"}  # their files differ in size alone
SHIPPED = Path(__file__).with_name("prior.json")
MODES = 4
_ROUGHNESS = 0.03  # of one picture's curve about the modes, in depth
_REACH = 15.0  # qualities over which that roughness holds together


class Prior(NamedTuple):
    """Depth over the qualities, Q of them.

    Attributes:
        usual: (Q,) the mean over photos, rising.
        modes: (m, Q) principal components of photos about it, each with its standard deviation.
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


def fit(depths: np.ndarray) -> Prior:
    """The prior of photos' curves (photos, Q)."""
    usual = np.maximum.accumulate(depths.mean(0))
    _, scale, modes = np.linalg.svd(depths - depths.mean(0), full_matrices=False)
    kept = modes[:MODES] * (scale[:MODES, None] / np.sqrt(len(depths)))
    return Prior(usual, kept)


def prior_of(encoder: str, score: str, qualities: range) -> Prior:
    """The prior of an encoder and a score, by name, on a scale of qualities."""
    row = _table().get(f"{_SAME_PIXELS.get(encoder, encoder)} {score}")
    if row is not None and len(row["usual"]) == len(qualities):
        return Prior(np.array(row["usual"]), np.array(row["modes"]))
    usual = 0.5 + 4 * np.log(1 + np.arange(1, len(qualities) + 1) / 25)
    return Prior(usual, np.stack((np.full_like(usual, 1.0), 0.5 * usual)))


@cache
def _table() -> dict[str, dict[str, list]]:
    return json.loads(SHIPPED.read_text(encoding="utf-8")) if SHIPPED.exists() else {}
