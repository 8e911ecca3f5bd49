"""What pictures are known by: interest points with short codes, and one code for all of a picture.

In the spirit of MPEG CDVS (ISO/IEC 15938-13), to which it does not conform. At most 300 points
(SIFT, Lowe 2004; those that are noise left out); of each a code of two bits for each of 64 numbers,
the transformed descriptor, compared by Hamming distance. Of all together a Fisher vector (Perronnin
et al. 2010) of a mixture of 64 Gaussians, whose signs are 2048 bits, and 256 bits of it, turned so
that signs lose little (Gong and Lazebnik 2011), the key of an index.

Axes: H W pixels, M points, D numbers of a descriptor, G Gaussians.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from safetensors.numpy import load_file
from torch import Tensor

from codec.pictures.layout import to_array

SIDE = 512  # pixels of the longer side of pictures that are described
MOST_POINTS = 300
POINT_BYTES, GLOBAL_BYTES, KEY_BYTES = 16, 256, 32
MODEL = Path(__file__).with_name("model.safetensors")
_CANDIDATES = 1500  # points before the best are kept
_CONTRAST = 0.02  # of SIFT, below which a point is noise; 0.04 is usual, for far larger pictures
_CENTRE = 0.45  # of the diagonal: how fast the weight of a point falls towards the border


class Descriptor(NamedTuple):
    """What a picture is known by.

    Attributes:
        places: (M, 2) float32 x and y in pixels of the picture.
        points: (M, POINT_BYTES) uint8 codes of the points.
        whole: (GLOBAL_BYTES,) uint8 code of the picture.
        key: (KEY_BYTES,) uint8 the short one.
    """

    places: np.ndarray
    points: np.ndarray
    whole: np.ndarray
    key: np.ndarray

    def pack(self) -> tuple[bytes, bytes, bytes, bytes]:
        """As a store keeps it."""
        places = self.places.astype("<f4")
        return places.tobytes(), self.points.tobytes(), self.whole.tobytes(), self.key.tobytes()


def unpack_descriptor(parts: tuple[bytes, bytes, bytes, bytes]) -> Descriptor:
    """Inverse of `Descriptor.pack`.

    Raises:
        ValueError: not what it made.
    """
    places, points, whole, key = (np.frombuffer(part, np.uint8) for part in parts)
    if (
        len(places) % 8
        or len(points) * 8 != len(places) * POINT_BYTES
        or (len(whole), len(key)) != (GLOBAL_BYTES, KEY_BYTES)
    ):
        raise ValueError("expected a descriptor")
    where = places.view("<f4").reshape(-1, 2).astype(np.float32)
    return Descriptor(where, points.reshape(-1, POINT_BYTES), whole, key)


class Model(NamedTuple):
    """Numbers that were learned.

    Attributes:
        mean: (128,) of descriptors.
        axes: (128, 64) principal ones, the strongest first.
        levels: (2, 64) thresholds of the three levels of a number of a point's code.
        weights: (G,) of the mixture.
        means, deviations: (G, 32) of its Gaussians, of the first 32 numbers.
        centre: (G 32,) mean of Fisher vectors.
        rotation: (G 32, 256) to the numbers whose signs are the key.
        limits: (2,) distances of codes of the whole and of keys, below which one of a hundred pairs
            of strangers lies.
    """

    mean: np.ndarray
    axes: np.ndarray
    levels: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    centre: np.ndarray
    rotation: np.ndarray
    limits: np.ndarray


@cache
def shipped_model() -> Model:
    """The model that ships."""
    found = load_file(MODEL)
    return Model(**{name: found[name].astype(np.float32) for name in Model._fields})


def describe(pixels: Tensor, model: Model | None = None) -> Descriptor | None:
    """What a picture is known by, or None where it has no point of interest.

    Args:
        pixels: (3, H, W) or (1, H, W) uint8.
        model: None is the one that ships.
    """
    places, raw = interest_points(pixels)
    if not len(places):
        return None
    model = model or shipped_model()
    numbers = transformed(raw, model)
    vector = fisher_vector(numbers[:, : model.means.shape[1]], model)
    key = np.packbits((vector - model.centre) @ model.rotation > 0)
    return Descriptor(places, point_codes(numbers, model), np.packbits(vector > 0), key)


def interest_points(pixels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Places (M, 2) float32 in pixels and raw descriptors (M, 128) float32 of the best points.

    What is faint or lies on an edge is noise; of the others those count most that are strong, large
    and in the middle.
    """
    array = to_array(pixels)
    grey = array[..., 0] if array.shape[2] == 1 else cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    finder = cv2.SIFT.create(_CANDIDATES, contrastThreshold=_CONTRAST)
    points, raw = finder.detectAndCompute(grey, None)
    if raw is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.array([point.pt for point in points], np.float32)
    middle = np.array(grey.shape[::-1], np.float32) / 2
    away = np.linalg.norm(places - middle, axis=1) / np.linalg.norm(2 * middle)
    strength = np.array([p.response * np.sqrt(p.size) for p in points], np.float32)
    best = np.argsort(-strength * np.exp(-((away / _CENTRE) ** 2)), kind="stable")[:MOST_POINTS]
    return (places[best] + 0.5) / scale - 0.5, raw[best].astype(np.float32)


def transformed(raw: np.ndarray, model: Model) -> np.ndarray:
    """(M, 64): roots of normalised descriptors (Arandjelovic 2012) on their principal axes."""
    roots = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-6))
    return (roots - model.mean) @ model.axes


def point_codes(numbers: np.ndarray, model: Model) -> np.ndarray:
    """(M, POINT_BYTES) uint8: 00, 01 or 11 for low, middle and high, so that Hamming distance is
    the difference of levels."""
    bits = np.concatenate([numbers > level for level in model.levels], 1)
    return np.packbits(bits, axis=1)


def fisher_vector(numbers: np.ndarray, model: Model) -> np.ndarray:
    """(G D,) float32: how the means of the mixture would have to move, of unit length, roots taken.

    Args:
        numbers: (M, D).
        model: see `Model`.
    """
    scaled = (numbers[:, None] - model.means) / model.deviations  # (M, G, D)
    log = -0.5 * (scaled**2).sum(2) - np.log(model.deviations).sum(1) + np.log(model.weights)
    share = np.exp(log - log.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    vector = (share[..., None] * scaled).sum(0) / np.sqrt(model.weights)[:, None]
    flat = np.sign(vector) * np.sqrt(np.abs(vector) / len(numbers))
    flat = flat.ravel()
    return (flat / max(float(np.linalg.norm(flat)), 1e-9)).astype(np.float32)
