"""The model of picture descriptors, fitted to photos: axes, mixture, rotation."""

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import save
from tqdm import tqdm

from codec.gallery.descriptors import (
    KEY_BYTES,
    MODEL,
    Model,
    fisher_vector,
    interest_points,
    transformed,
)
from codec.gallery.index import distances_to
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import read_picture
from codec.pictures.storage import output_path, write_atomically
from codec.report import Report

_SUFFIXES = (".jpg", ".jpeg", ".webp")  # masks and labels are PNG
_GAUSSIANS, _NUMBERS, _POINT_NUMBERS = 64, 32, 64
_ROUNDS, _ROTATIONS = 60, 60
_LEAST_DEVIATION = 1e-2
_FALSE_RATE, _QUERIES = 0.01, 500  # of pairs of strangers; photos that are drawn


def fit_gallery_model(photos: list[str], out: str, most: int, seed: int) -> Report:
    """Fit and write the model.

    Args:
        photos: folders.
        out: file to write; `shipped` is the codec's own.
        most: photos of each folder.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    paths = []
    for folder in photos:
        found = [path for path, _ in list_pictures([folder], _SUFFIXES)]
        paths += [found[n] for n in sorted(rng.permutation(len(found))[:most])]
    raw = []
    for path in tqdm(paths, desc="photos", disable=None):
        _, descriptors = interest_points(read_picture(path).pixels)
        if len(descriptors):
            raw.append(descriptors)
    model = _model(raw, rng)
    target = output_path(out, MODEL)
    halves = {name: np.asarray(value, np.float16) for name, value in model._asdict().items()}
    write_atomically(target, save(halves))
    return Report(f"{len(raw)} photos, {sum(map(len, raw)):,} points\n{target}", [])


def _model(raw: Sequence[np.ndarray], rng: np.random.Generator) -> Model:
    points = np.concatenate(raw)
    roots = np.sqrt(points / np.maximum(points.sum(1, keepdims=True), 1e-6))
    mean = roots.mean(0)
    _, axes = np.linalg.eigh(np.cov((roots - mean).T))
    empty = np.zeros(0, np.float32)
    begun = Model(mean, axes[:, ::-1][:, :_POINT_NUMBERS], *[empty] * 7)
    numbers = transformed(points, begun)
    levels = np.quantile(numbers, (1 / 3, 2 / 3), axis=0)
    weights, means, deviations = _mixture(numbers[:, :_NUMBERS], rng)
    begun = begun._replace(levels=levels, weights=weights, means=means, deviations=deviations)
    vectors = np.stack([fisher_vector(transformed(one, begun)[:, :_NUMBERS], begun) for one in raw])
    centre = vectors.mean(0)
    rotation = _rotation(vectors - centre, rng)
    codes = (vectors > 0, (vectors - centre) @ rotation > 0)
    limits = np.array([_limit(np.packbits(bits, axis=1), rng) for bits in codes])
    return begun._replace(centre=centre, rotation=rotation, limits=limits)


def _limit(codes: np.ndarray, rng: np.random.Generator) -> float:
    """The distance below which so few pairs of strangers lie."""
    drawn = rng.permutation(len(codes))[:_QUERIES]
    found = [distances_to(codes[n], np.delete(codes, n, 0)) for n in drawn]
    return float(np.quantile(np.concatenate(found), _FALSE_RATE))


def _mixture(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and deviations of Gaussians, by expectation and maximisation."""
    x = x[rng.permutation(len(x))[:100_000]].astype(np.float64)
    means = x[rng.permutation(len(x))[:_GAUSSIANS]]
    for _ in range(10):  # k-means first
        nearest = _distances(x, means).argmin(1)
        means = np.stack(
            [
                x[nearest == n].mean(0) if (nearest == n).any() else means[n]
                for n in range(len(means))
            ]
        )
    weights = np.full(_GAUSSIANS, 1 / _GAUSSIANS)
    deviations = np.tile(x.std(0), (_GAUSSIANS, 1))
    for _ in range(_ROUNDS):
        precision = 1 / deviations**2
        log = (
            -0.5 * (x**2 @ precision.T - 2 * x @ (means * precision).T)
            - 0.5 * (means**2 * precision).sum(1)
            - np.log(deviations).sum(1)
            + np.log(weights)
        )
        share = np.exp(log - log.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        total = share.sum(0) + 1e-9
        means = share.T @ x / total[:, None]
        variance = share.T @ x**2 / total[:, None] - means**2
        deviations = np.sqrt(np.maximum(variance, _LEAST_DEVIATION**2))
        weights = total / total.sum()
    return weights, means, deviations


def _distances(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    return (means**2).sum(1) - 2 * x @ means.T


def _rotation(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Axes whose signs lose little: principal ones, turned until they are nearest to their signs
    (Gong and Lazebnik 2011)."""
    bits = 8 * KEY_BYTES
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:bits].T
    y = x @ axes
    turn = np.linalg.qr(rng.normal(size=(bits, bits)))[0]
    for _ in range(_ROTATIONS):
        left, _, right = np.linalg.svd(np.sign(y @ turn).T @ y)
        turn = (left @ right).T
    return axes @ turn
