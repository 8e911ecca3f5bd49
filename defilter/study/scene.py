"""How good the scene classifier is, and the space in which scenes are compared.

Axes: N picture, F feature.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.lut import apply_trilinear
from codec.pictures.picture_files import read_picture
from codec.report import Report, save_tables
from defilter.learn.look_bank import spread_looks
from defilter.learn.scene_pictures import load_scenes
from defilter.learn.scene_space import features_of
from defilter.scene.network import SceneClassifier, see
from defilter.scene.similarity import SceneComparer, load_scene_comparer

_AT_ONCE = 128
_LOOKS = 20


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
    label, features = features_of(network, test, comparer.space.layer)
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
