"""Pictures of scenes to learn from: a folder of classes, or a torchvision dataset.

Axes: N picture, S pixels of a side, K class.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor
from tqdm import tqdm

from codec.pictures.colour import luma
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import read_picture, to_dtype
from codec.pictures.resize import squash
from codec.pictures.sample_photos import embedded_photos
from defilter.scene.network import SIDE, normal_scores

VALIDATION_EVERY = 10


class Scenes(NamedTuple):
    """Pictures with what they show.

    Attributes:
        luma: (N, 1, S, S) uint8.
        label: (N,) int64.
    """

    luma: Tensor
    label: Tensor


class SceneBatch(NamedTuple):
    """What a step trains on.

    Attributes:
        luma: (N, 1, S, S) float32, from `see`.
        target: (N, K) float32 share of each class.
    """

    luma: Tensor
    target: Tensor


def load_scenes(folder: str | Path | None, classes: Sequence[str]) -> Scenes:
    """All pictures of FOLDER/<class>/; None is `embedded_scenes`.

    Raises:
        ValueError: folders and classes do not match.
    """
    if folder is None:
        return embedded_scenes(len(classes))
    found = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
    if found != sorted(classes):
        raise ValueError(
            f"{folder}: expected a folder for each of {', '.join(classes)}, got "
            f"{', '.join(found) or 'none'}; task.network.classes=[...] names others"
        )
    parts, labels = [], []
    for label, name in enumerate(classes):
        for path, _ in list_pictures([Path(folder) / name]):
            parts.append(_small(read_picture(path).floats()))
            labels.append(label)
    return Scenes(torch.stack(parts), torch.tensor(labels))


def embedded_scenes(classes: int) -> Scenes:
    """Without a folder, to try a command: regions of the embedded photos play the classes."""
    photos = [read_picture(path).floats() for path in embedded_photos()]
    rng = random.Random(0)
    parts, labels = [], []
    for label in range(classes):
        photo = photos[label % len(photos)]
        height, width = (n // 2 for n in photo.shape[1:])
        corner = label // len(photos)
        for _ in range(VALIDATION_EVERY):
            top = (corner & 1) * height // 2 + rng.randint(0, height // 2)
            left = (corner >> 1 & 1) * width // 2 + rng.randint(0, width // 2)
            parts.append(_small(photo[:, top : top + height, left : left + width]))
            labels.append(label)
    return Scenes(torch.stack(parts), torch.tensor(labels))


def dataset_scenes(dataset: Any, most_per_class: int) -> Scenes:
    """A torchvision dataset of (PIL picture, label): SUN397, Places365, an ImageFolder."""
    kept: dict[int, int] = {}
    parts, labels = [], []
    order = list(range(len(dataset)))
    random.Random(0).shuffle(order)
    for index in tqdm(order, desc="scenes", disable=None):
        image, label = dataset[index]
        if kept.get(label, 0) < most_per_class:
            kept[label] = kept.get(label, 0) + 1
            parts.append(_small(pil_to_tensor(image.convert("RGB")) / 255))
            labels.append(label)
        if len(parts) == most_per_class * len(getattr(dataset, "classes", ())):
            break  # every class is full, and the dataset may be large
    return Scenes(torch.stack(parts), torch.tensor(labels))


def _small(rgb: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] -> (1, SIDE, SIDE) uint8 luma."""
    return to_dtype(luma(squash(rgb[None], SIDE))[0], torch.uint8)


def split(scenes: Scenes, part: str) -> Scenes:
    """Every tenth of each class validates, the others train."""
    order = torch.zeros_like(scenes.label)
    for label in scenes.label.unique():
        here = (scenes.label == label).nonzero()[:, 0]
        order[here] = torch.arange(len(here))
    held_out = order % VALIDATION_EVERY == VALIDATION_EVERY // 2
    chosen = held_out if part == "val" else ~held_out
    return Scenes(scenes.luma[chosen], scenes.label[chosen])


class AugmentedScenes:
    """Scenes as training wants them: cropped, turned over, with other tones, mixed in pairs.

    Training sees many tone curves, validation and use the one that ranks make (`see`): 77 % of
    validation pictures are right, 75 % if training sees ranks, too.

    Args:
        scenes: what there is; a part of it validates.
        classes: their names, or their number K.
        smallest_crop: least side of a crop relative to the picture's.
        mixed: share of the pictures that are blends of two.
    """

    def __init__(
        self, scenes: Scenes, classes: Sequence[str] | int, smallest_crop: float, mixed: float
    ):
        self.training, self.held_out = split(scenes, "train"), split(scenes, "val")
        self.classes = classes if isinstance(classes, int) else len(classes)
        self.smallest_crop, self.mixed = smallest_crop, mixed

    def to(self, device: torch.device) -> "AugmentedScenes":
        self.training = Scenes(*(x.to(device) for x in self.training))
        self.held_out = Scenes(*(x.to(device) for x in self.held_out))
        return self

    def batch(self, size: int, generator: torch.Generator) -> SceneBatch:
        device = self.training.luma.device
        index = torch.randint(
            len(self.training.label), (size,), generator=generator, device=generator.device
        ).to(device)
        y = _cropped(self.training.luma[index] / 255, self.smallest_crop, generator)
        y = _standardised(_toned(y, generator))
        target = F.one_hot(self.training.label[index], self.classes).float()
        blend = _uniform(size, 0.5, 1.0, generator, device)
        blend = torch.where(_uniform(size, 0, 1, generator, device) < self.mixed, blend, 1.0)
        other = torch.arange(size, device=device).roll(1)
        y = _standardised(
            y * blend[:, None, None, None] + y[other] * (1 - blend[:, None, None, None])
        )
        target = target * blend[:, None] + target[other] * (1 - blend[:, None])
        return SceneBatch(y, target)

    def validation(self, size: int) -> list[SceneBatch]:
        y = normal_scores(self.held_out.luma / 255)
        target = F.one_hot(self.held_out.label, self.classes).float()
        pairs = zip(y.split(size), target.split(size), strict=True)
        return [SceneBatch(*pair) for pair in pairs]


def _standardised(y: Tensor) -> Tensor:
    """(N, 1, S, S) with mean 0 and deviation 1."""
    mean, deviation = y.mean((2, 3), keepdim=True), y.std((2, 3), keepdim=True)
    return (y - mean) / (deviation + 1e-3)


def _uniform(
    size: int, low: float, high: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    drawn = torch.rand(size, generator=generator, device=generator.device).to(device)
    return low + (high - low) * drawn


def _cropped(y: Tensor, smallest: float, generator: torch.Generator) -> Tensor:
    """Random crops of (N, 1, S, S), enlarged to S again; half of them mirrored, a little turned."""
    size, device = len(y), y.device
    scale = _uniform(size, smallest, 1.0, generator, device)
    stretch = _uniform(size, -0.15, 0.15, generator, device).exp()
    wide, high = (scale * stretch).clamp(max=1), (scale / stretch).clamp(max=1)
    mirror = torch.where(_uniform(size, 0, 1, generator, device) < 0.5, -1.0, 1.0)
    right = _uniform(size, -1, 1, generator, device) * (1 - wide)
    down = _uniform(size, -1, 1, generator, device) * (1 - high)
    turn = _uniform(size, -0.1, 0.1, generator, device)
    rows = torch.stack(
        (
            torch.stack((mirror * wide, -turn * high, right), 1),
            torch.stack((mirror * turn * wide, high, down), 1),
        ),
        1,
    )
    grid = F.affine_grid(rows, list(y.shape), align_corners=False)
    return F.grid_sample(y, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _toned(y: Tensor, generator: torch.Generator) -> Tensor:
    """What looks do to luma: a curve that is bent and has a toe and a shoulder; and some noise.

    The ranges, and those of `_cropped`, were chosen by hand.
    """
    size, device = len(y), y.device

    def drawn(low: float, high: float) -> Tensor:
        return _uniform(size, low, high, generator, device)[:, None, None, None]

    bent = y.clamp(1e-4, 1) ** drawn(-0.7, 0.7).exp()
    curved = bent + drawn(-0.25, 0.25) * torch.sin(2 * torch.pi * bent) / 2
    noise = torch.randn(y.shape, generator=generator, device=generator.device).to(device)
    return curved + drawn(0, 0.04) * noise
