"""The homography between two pictures of one scene, from matching features.

Axes: H W pixels, M match.
"""

from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from codec.container import FormatError
from codec.prediction.warp import CORNER_ONE, Warp, homography

# Pixels of the longest side, and most features: first to see whether there is anything in common.
_GLANCE, _LOOK = (640, 1000), (1100, 2500)
_RATIO = 0.8  # of the distances to the best and the second best match (Lowe 2004, section 7.1)
_TOLERANCE = 2.0  # pixels
_TRIES = 5000
LEAST_MATCHES = 16  # that agree: unrelated photos had up to 11


Found = tuple[np.ndarray, np.ndarray]  # places (M, 2) in pixels, descriptors (M, 128)


class Features:
    """The features of a picture, found once and when they are asked for.

    Args:
        luma: (H, W) int32 in 1/16 grey level about 0.
    """

    def __init__(self, luma: Tensor):
        self._luma = luma
        self.size = (luma.shape[0], luma.shape[1])

    @cached_property
    def glance(self) -> Found | None:
        """Enough to see whether two pictures have anything in common; None if there are none."""
        return _features(self._luma, *_GLANCE)

    @cached_property
    def look(self) -> Found | None:
        """Enough to measure how they lie to each other."""
        return _features(self._luma, *_LOOK)


def find_warp(picture: Features, reference: Features) -> Warp | None:
    """The warp that takes a reference to a picture, or None where they show no common plane."""
    if _matches(picture.glance, reference.glance) is None:
        return None
    found = _matches(picture.look, reference.look)
    if found is None:
        return None
    matrix, agree = cv2.findHomography(
        *found, cv2.USAC_MAGSAC, _TOLERANCE, maxIters=_TRIES, confidence=0.999
    )
    if matrix is None or int(np.sum(agree)) < LEAST_MATCHES:  # type: ignore[arg-type]
        return None
    return warp_of(np.asarray(matrix), picture.size)


def _matches(here: Found | None, there: Found | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Places (M, 2) in a picture and in a reference that look alike; None if they are too few."""
    if here is None or there is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(here[1], there[1], k=2)
    good = [
        pair[0]
        for pair in matches
        if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance
    ]
    if len(good) < LEAST_MATCHES:
        return None
    ours = np.array([here[0][m.queryIdx] for m in good])
    return ours, np.array([there[0][m.trainIdx] for m in good])


def warp_of(matrix: np.ndarray, size: tuple[int, int]) -> Warp | None:
    """The warp of a homography (3, 3) from picture to reference; None if no camera sees so."""
    bottom, right = (n - 1 for n in size)
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)
    with np.errstate(all="ignore"):
        moved = cv2.perspectiveTransform(corners[None], matrix)[0] - corners
        if not np.isfinite(moved).all():
            return None
    try:
        warp = Warp(tuple(int(x) for x in np.rint(moved * CORNER_ONE).flatten()))
        homography(warp.corners, size)
    except FormatError:
        return None
    return warp


def _features(luma: Tensor, longest: int, most: int) -> Found | None:
    grey = as_grey(luma)
    scale = min(1.0, longest / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.SIFT.create(most).detectAndCompute(grey, None)
    if descriptors is None:
        return None
    places = np.array([k.pt for k in keypoints], np.float32)
    return (places + 0.5) / scale - 0.5, descriptors


def as_grey(luma: Tensor) -> np.ndarray:
    """(H, W) uint8 of luma in 1/16 grey level about 0."""
    return ((luma + 8 >> 4) + 128).clamp(0, 255).to("cpu", torch.uint8).numpy()
