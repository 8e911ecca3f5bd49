"""Bjontegaard's delta rate: how many more bits one codec takes than another at equal quality."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

Point = tuple[float, float]  # bytes, quality


def log_rate_difference(anchor: Sequence[Point], curve: Sequence[Point]) -> float | None:
    """Mean natural logarithm of the ratio of rates over the qualities that both curves reach.

    Bjontegaard, VCEG-M33 (2001), with the piecewise cubic (PCHIP) of JCTVC-L1100 for the logarithm
    of the rate over quality. None where the curves share no quality.
    """
    curves = [_rising(points) for points in (anchor, curve)]
    if min(map(len, curves)) < 2:
        return None
    low = max(points[0][1] for points in curves)
    high = min(points[-1][1] for points in curves)
    if high - low < 1e-6:
        return None
    areas = []
    for points in curves:
        quality = np.array([q for _, q in points])
        rate = np.log([size for size, _ in points])
        areas.append(PchipInterpolator(quality, rate).integrate(low, high))
    return float((areas[1] - areas[0]) / (high - low))


def percent(differences: Sequence[float]) -> float:
    """Delta rate in percent of the mean of logarithms."""
    return 100 * (math.exp(sum(differences) / len(differences)) - 1)


def _rising(points: Sequence[Point]) -> list[Point]:
    """Sorted by quality; where a quality does not rise with the rate, the smaller file stays."""
    kept: list[Point] = []
    for size, quality in sorted(points):
        if math.isfinite(quality) and (not kept or quality > kept[-1][1] + 1e-9):
            kept.append((size, quality))
    return kept
