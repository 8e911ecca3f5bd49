"""The space in which scenes are compared, fitted to what a trained classifier makes of pictures.

Axes: N picture, F feature.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.storage import output_path, write_atomically
from codec.report import Report
from defilter.learn.scene_pictures import Scenes, load_scenes, split
from defilter.scene.network import SceneClassifier, normal_scores, pooled
from defilter.scene.similarity import SHIPPED, SHIPPED_SPACE, fit_space, save_space
from defilter.weights import load_network

_AT_ONCE = 128  # pictures; bounds the memory


def run(
    weights: str, folders: Mapping[str, str | None], layer: str, shrinkage: float, out: str
) -> Report:
    """Fit the space of a trained classifier; write both into one folder.

    Args:
        weights: from `train.py experiment=scene`.
        folders: `scenes` is the folder that it was trained on; a part of it was held out.
        layer: whose features are compared.
        shrinkage: of the covariance.
        out: folder; `shipped` is where defilter's own are.
    """
    network = load_network(weights, SceneClassifier)
    every = load_scenes(folders["scenes"], network.classes)
    train, held_out = split(every, "train"), split(every, "val")
    training, judging = (
        (features_of(network, part, layer)[1], part.label) for part in (train, held_out)
    )
    space = fit_space(layer, training, judging, shrinkage)
    folder = output_path(out, SHIPPED.parent)
    write_atomically(folder / SHIPPED.name, Path(weights).read_bytes())
    save_space(space, network, folder / SHIPPED_SPACE.name)
    return Report(f"classifier and its space of {layer} in {folder}", [])


def features_of(network: SceneClassifier, scenes: Scenes, layer: str) -> tuple[Tensor, Tensor]:
    """(N,) class and (N, F) features of length 1, as the network sees scenes."""
    labels, features = [], []
    with torch.no_grad():
        for y in scenes.luma.split(_AT_ONCE):
            found = network.layers(normal_scores(y / 255))
            labels.append(network.classify(found["fc7"]).argmax(1))
            features.append(pooled(found[layer]))
    return torch.cat(labels), torch.cat(features)
