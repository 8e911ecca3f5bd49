"""Points of two pictures matched by their codes, and how many of them agree on one view.

Axes: M points.
"""

from typing import NamedTuple

import cv2
import numpy as np

from codec.gallery.descriptors import Descriptor
from codec.gallery.index import distances_to

LEAST_INLIERS = 12  # of strangers, 6 % had as many; of pictures of one scene, 63 %
_RATIO = 0.85  # of the distances to the best and the second best (Lowe 2004, section 7.1)
_TOLERANCE = 4.0  # pixels of a side of 512
_SIDE = 512.0


class Agreement(NamedTuple):
    """How two pictures agree.

    Attributes:
        matches: points whose codes are alike.
        inliers: of them, those that one homography explains.
    """

    matches: int
    inliers: int


def matches(one: Descriptor, other: Descriptor) -> tuple[np.ndarray, np.ndarray]:
    """Places (M, 2) in two pictures whose points are alike."""
    if min(len(one.points), len(other.points)) < 2:
        return one.places[:0], other.places[:0]
    distances = np.stack([distances_to(code, other.points) for code in one.points])
    two = np.partition(distances, 1, axis=1)[:, :2]
    good = np.flatnonzero(two[:, 0] < _RATIO * two[:, 1])
    return one.places[good], other.places[distances[good].argmin(1)]


def agreement(one: Descriptor, other: Descriptor) -> Agreement:
    """How many points of two pictures match, and how many of those agree on a homography."""
    here, there = matches(one, other)
    if len(here) < 4:
        return Agreement(len(here), 0)
    scale = _SIDE / max(float(np.ptp(here)), 1.0), _SIDE / max(float(np.ptp(there)), 1.0)
    _, mask = cv2.findHomography(
        here * scale[0], there * scale[1], cv2.USAC_MAGSAC, _TOLERANCE, maxIters=2000
    )
    return Agreement(len(here), 0 if mask is None else int(mask.sum()))
