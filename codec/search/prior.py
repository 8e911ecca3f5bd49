"""What is usual: the depth -log(1 - unit score) of pictures at each quality, and how it varies.

The table prior.json is fitted by `python evaluate.py fit=search_prior` on photos that no
benchmark uses, apart for pictures that were JPEG files and for others. An encoder or score without
a row gets a plain curve, which costs a probe or two.

A row goes over the qualities from 1 to 100; that of JPEG files of JPEG files over how much finer
their steps are than they were: scores jump where the former steps are multiples of the new ones.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from codec.pictures.jpeg_source import JpegSource, log_steps
from codec.search.chroma import chroma_loss
from codec.search.detail import detail
from codec.search.tiles import count_tiles

# Rows for encoders with the same pixels, or nearly: there the files or the chroma differ.
_STANDS_FOR = {"jpeg": "jpeg_baseline", "avif_444": "avif"}
_JPEG_ROWS = ("jpeg_baseline", "jpeg_444")
_QUALITIES = np.arange(1, 101)
_FINENESS = np.arange(-4.5, 3.6, 0.05)  # logarithm of the former mean step over the new one
SHIPPED = Path(__file__).with_name("prior.json")
COMPONENTS = 4
_RIDGE = 3.0  # pieces that pull all weights to nothing
_ROUGHNESS = 0.03  # of one picture's curve about the components, in depth
_JITTER = 0.003  # from one quality to the next, in depth: neighbours tell no slope
_REACH = 15.0  # qualities over which that roughness holds together


class Prior(NamedTuple):
    """Depth over the qualities, Q of them, that one picture should have.

    Attributes:
        usual: (Q,) the mean, rising.
        components: (m, Q) independent ways to differ from it, each with its standard deviation.
    """

    usual: np.ndarray
    components: np.ndarray

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
        covariance = self.components.T @ self.components[:, at] + _ROUGHNESS**2 * rough
        inside = covariance[at] + _JITTER**2 * np.eye(len(at))
        weight = np.linalg.solve(inside, np.array(list(probed.values())) - self.usual[at])
        return np.maximum.accumulate(self.usual + covariance @ weight)


class PriorModel(NamedTuple):
    """How the curves of photos differ, and how much of that their features tell.

    Attributes:
        usual: (X,) mean depth over what `axis_of` says.
        components: (m, X) principal components, each with its standard deviation.
        centre: (F,) mean `features`.
        weights: (F, m) amount of each component for an excess of a feature.
        spread: (m, m) how components vary where features are known: a root of their covariance.
    """

    usual: np.ndarray
    components: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    spread: np.ndarray

    def of(self, known: np.ndarray) -> Prior:
        """What to expect of a picture with these `features`."""
        shift = (known - self.centre) @ self.weights
        usual = np.maximum.accumulate(self.usual + shift @ self.components)
        return Prior(usual, self.spread @ self.components)


def fit(depths: np.ndarray, known: np.ndarray) -> PriorModel:
    """From photos' curves (photos, X) and the `features` of each (photos, F)."""
    usual, centre = np.maximum.accumulate(depths.mean(0)), known.mean(0)
    left, scale, directions = np.linalg.svd(depths - usual, full_matrices=False)
    kept = min(COMPONENTS, len(scale))
    root = np.sqrt(len(depths))
    components = directions[:kept] * (scale[:kept, None] / root)
    amounts = left[:, :kept] * root
    deviation = known.std(0) + 1e-6
    x = (known - centre) / deviation
    ridge = _RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(x.T @ x + ridge, x.T @ amounts)
    rest = amounts - x @ weights
    covariance = rest.T @ rest / len(rest)
    spread = np.linalg.cholesky(covariance + 1e-6 * np.eye(kept)).T
    return PriorModel(usual, components, centre, weights / deviation[:, None], spread)


def features(picture: Tensor, source: JpegSource | None) -> np.ndarray:
    """(10,) or, of a JPEG file, (12,) numbers about a picture (C, H, W) uint8.

    Its `detail`, what halving its chroma loses, the logarithm of its number of tiles, and what the
    file says of its quality.
    """
    found = [*detail(picture), chroma_loss(picture), math.log(count_tiles(picture))]
    if source is not None:
        found += [source.log_step, float(source.chroma == "4:2:0")]
    return np.array(found)


def row_name(encoder: str, score: str, from_jpeg: bool) -> str:
    """The row of the table for an encoder and a score, by name."""
    return f"{_STANDS_FOR.get(encoder, encoder)} {score}" + " of JPEG" * from_jpeg


def prior_of(
    encoder: str,
    score: str,
    qualities: Sequence[int],
    known: np.ndarray,
    source: JpegSource | None = None,
) -> Prior:
    """What to expect of a picture, for an encoder and a score by name.

    Args:
        encoder, score: names.
        qualities: the scale to give it on.
        known: its `features`.
        source: the JPEG file that it comes from.
    """
    model = _table().get(row_name(encoder, score, source is not None))
    if model is None or qualities[0] < 1 or qualities[-1] > len(_QUALITIES):
        usual = 0.5 + 4 * np.log(1 + np.arange(1, len(qualities) + 1) / 25)
        return Prior(usual, np.stack((np.full_like(usual, 1.0), 0.5 * usual)))
    usual, components = model.of(known)
    grid, axis = axis_of(encoder, source)
    places = axis[np.array(qualities) - 1]
    usual = np.maximum.accumulate(np.interp(places, grid, usual))
    return Prior(usual, np.stack([np.interp(places, grid, c) for c in components]))


def axis_of(encoder: str, source: JpegSource | None) -> tuple[np.ndarray, np.ndarray]:
    """What a row is over, (X,), and where on it the qualities from 1 to 100 lie, (100,)."""
    if source is None or _STANDS_FOR.get(encoder, encoder) not in _JPEG_ROWS:
        return _QUALITIES, _QUALITIES
    return _FINENESS, source.log_step - np.array(log_steps())


def expected_position(
    priors: Sequence[Prior], known: Sequence[dict[int, float]], goals: Sequence[float]
) -> float:
    """The position, from 0, where all depths should have reached their goals.

    Args:
        priors: one a criterion.
        known: depths by position that were measured, one dict a criterion.
        goals: depths, one a criterion.
    """
    return max(
        position_of(prior.expected(measured), goal)
        for prior, measured, goal in zip(priors, known, goals, strict=True)
    )


def log_gap(unit: float) -> float:
    """The depth -log(1 - s), in which scores are nearly linear in each other."""
    return -math.log(max(1 - unit, 1e-12))


def position_of(curve: np.ndarray, wanted: float) -> float:
    """The position, counted from 0, at which a rising curve has a value; its length beyond."""
    upper = int(np.searchsorted(curve, wanted))
    if upper == 0:
        return 0.0
    if upper == len(curve):
        return float(len(curve))
    left, right = curve[upper - 1], curve[upper]
    return upper - 1 + float((wanted - left) / (right - left))


@cache
def _table() -> dict[str, PriorModel]:
    if not SHIPPED.exists():
        return {}
    table = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return {
        name: PriorModel(**{k: np.array(v) for k, v in row.items()}) for name, row in table.items()
    }
