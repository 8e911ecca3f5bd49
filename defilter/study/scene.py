"""The scene classifier: the space in which scenes are compared, and how good both are.

Axes: N picture, F feature.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.lut import apply_trilinear
from codec.pictures.picture_files import read_picture
from codec.pictures.storage import write_atomically
from codec.report import Report, save_tables
from defilter.learn.look_bank import spread_looks
from defilter.learn.scene_pictures import Scenes, load_scenes, split
from defilter.scene.network import SceneClassifier, normal_scores, pooled, see
from defilter.scene.similarity import (
    SHIPPED,
    SHIPPED_SPACE,
    SceneComparer,
    fit_space,
    load_scene_comparer,
    save_space,
)
from defilter.weights import load_network

_AT_ONCE = 128
_LOOKS = 20


def export(
    weights: str, folders: Mapping[str, str | None], layer: str, shrinkage: float, out: str | None
) -> Report:
    """Fit the space of a trained classifier; write both where they ship.

    Args:
        weights: from `train.py experiment=scene`.
        folders: `scenes` is the folder that it was trained on; a part of it was held out.
        layer: whose features are compared.
        shrinkage: of the covariance.
        out: folder; None is where they ship.
    """
    network = load_network(weights, SceneClassifier)
    every = load_scenes(folders["scenes"], network.classes)
    train, held_out = split(every, "train"), split(every, "val")
    space = fit_space(
        layer,
        _seen(network, train, layer)[1],
        train.label,
        _seen(network, held_out, layer)[1],
        held_out.label,
        shrinkage,
    )
    folder = SHIPPED.parent if out is None else Path(out)
    write_atomically(folder / SHIPPED.name, Path(weights).read_bytes())
    save_space(space, network, folder / SHIPPED_SPACE.name)
    return Report(f"classifier and its space of {layer} in {folder}", [])


def benchmark(
    folders: Mapping[str, Any], weights: str | None, space: str | None, out: str
) -> Report:
    """Classes, their steadiness under looks, and similarity, on pictures never trained on.

    Args:
        folders: `scenes` has a folder of test pictures for each class, `looks` are folders of HALD
            looks, of which the test split is used, `photos` has colour photos; of these, those
            that begin with `bsds-` are used.
        weights, space: see `load_scene_comparer`.
        out: folder for the results.
    """
    comparer = load_scene_comparer(weights, space)
    network, photos = comparer.network, folders["photos"]
    test = load_scenes(folders["scenes"], network.classes)
    label, features = _seen(network, test, comparer.space.layer)
    right = (label == test.label).float()
    by_class = torch.stack([right[test.label == k].mean() for k in test.label.unique()])
    tables = spread_looks(folders["looks"], "test", _LOOKS)
    coloured = [
        read_picture(path).floats()
        for path, _ in list_pictures([photos])
        if path.name.startswith("bsds-")
    ]
    if not coloured:
        raise ValueError(f"{photos}: expected photos that begin with bsds-, found none")
    grey = [y.expand(3, -1, -1) / 255 for y in test.luma]
    auc, spread = _similarity(comparer, features, test.label)
    rows: list[dict[str, str]] = [
        {"what": "top-1, mean over classes", "figure": f"{100 * by_class.mean():.1f} %"},
        {"what": "top-1, worst class", "figure": f"{100 * by_class.min():.1f} %"},
        {
            "what": f"same class under {_LOOKS} looks, scenes",
            "figure": f"{100 * _steady(network, grey, tables):.1f} %",
        },
        {
            "what": f"same class under {_LOOKS} looks, {len(coloured)} colour photos",
            "figure": f"{100 * _steady(network, coloured, tables):.1f} %",
        },
        {
            "what": "similarity from features, same against different class",
            "figure": f"AUC {auc:.3f}",
        },
        {
            "what": "similarity of different classes, 5 % to 95 %",
            "figure": f"{spread[0]:.2f} to {spread[1]:.2f}",
        },
    ]
    return save_tables("scene", {"Scenes": rows}, out, pictures=len(test.label))


def _seen(network: SceneClassifier, scenes: Scenes, layer: str) -> tuple[Tensor, Tensor]:
    """(N,) class and (N, F) features of length 1."""
    labels, features = [], []
    with torch.no_grad():
        for y in scenes.luma.split(_AT_ONCE):
            found = network.layers(normal_scores(y / 255))
            labels.append(network.classify(found["fc7"]).argmax(1))
            features.append(pooled(found[layer]))
    return torch.cat(labels), torch.cat(features)


@torch.no_grad()
def _steady(network: SceneClassifier, pictures: list[Tensor], tables: Tensor) -> float:
    """Share of pictures (3, H, W) in [0, 1] and looks where the look does not change the class."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for picture in pictures:
        by_shape.setdefault(picture.shape, []).append(picture)
    batches = [
        torch.stack(group[start : start + _AT_ONCE])
        for group in by_shape.values()
        for start in range(0, len(group), _AT_ONCE)
    ]
    same = 0
    for batch in tqdm(batches, desc="looks", disable=None):
        plain = network(see(batch)).argmax(1)
        for table in tables:
            looked = apply_trilinear(batch, table.expand(len(batch), -1, -1, -1, -1)).clamp(0, 1)
            same += int((network(see(looked)).argmax(1) == plain).sum())
    return same / (len(pictures) * len(tables))


def _similarity(
    comparer: SceneComparer, features: Tensor, labels: Tensor
) -> tuple[float, tuple[float, float]]:
    """AUC of same against different classes over random pairs, and how the latter spread."""
    generator = torch.Generator().manual_seed(0)
    i, j = torch.randint(len(labels), (2, 200_000), generator=generator)
    similarity = comparer.space.alike(comparer.space.distances(features[i], features[j]))
    same = (labels[i] == labels[j]) & (i != j)
    different = similarity[labels[i] != labels[j]].sort().values
    below = torch.searchsorted(different, similarity[same]).double() / len(different)
    low, high = (float(different[int(q * (len(different) - 1))]) for q in (0.05, 0.95))
    return float(below.mean()), (low, high)
