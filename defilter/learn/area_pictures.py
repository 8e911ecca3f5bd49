"""Labelled pictures for segmentation: street scenes with categories, people with masks.

A label is the index of a category, IGNORED, or NOT_THE_MASK: a mask says that it is not there.

Axes: N picture, H W pixels.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.pictures.picture_files import read_picture, to_dtype
from codec.pictures.sample_photos import embedded_photos, list_photos

IGNORED, NOT_THE_MASK = 255, 254
# The eleven classes of CamVid as sky, building, vegetation, ground, person, vehicle, other.
CAMVID = {0: 0, 1: 1, 5: 2, 3: 3, 4: 3, 9: 4, 10: 4, 8: 5, 2: 6, 6: 6, 7: 6}
PEOPLE_HELD_OUT = 58  # the last of sorted(stem): test only


class Labelled(NamedTuple):
    """A picture (3, H, W) uint8 and its labels (H, W) uint8."""

    pixels: Tensor
    labels: Tensor


class AreaBatch(NamedTuple):
    """Pictures (N, 3, S, S) float32 in [0, 1] and labels (N, S, S) uint8."""

    pixels: Tensor
    labels: Tensor


def load_street(
    folder: str | Path | None, split: str, merge: Mapping[int, int] = CAMVID
) -> list[Labelled]:
    """Pictures FOLDER/<split>/NAME.jpg with index pictures NAME.png; None is `embedded_areas`.

    Args:
        merge: index in the file -> category; what is missing is ignored.
    """
    if folder is None:
        return embedded_areas(max(merge.values()) + 1)
    table = np.full(256, IGNORED, dtype=np.uint8)
    for index, category in merge.items():
        table[int(index)] = category
    found = []
    for path in sorted((Path(folder) / split).glob("*.png")):
        pixels = read_picture(path.with_suffix(".jpg")).pixels
        found.append(Labelled(pixels, torch.from_numpy(table[_indices(path)])))
    if not found:
        raise ValueError(f"{folder}/{split}: expected pictures NAME.jpg with labels NAME.png")
    return found


def load_people(
    folder: str | Path | None, split: str, category: int, elsewhere: int = NOT_THE_MASK
) -> list[Labelled]:
    """Pictures NAME.jpg with masks NAME.png, white where the category is; None: none.

    Args:
        elsewhere: label outside the masks.
        split: `train`, `val` (every tenth of what is not test), or `test` (the last ones).
    """
    if folder is None:
        return []
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: path.stem)
    if len(paths) < PEOPLE_HELD_OUT + 10:
        raise ValueError(
            f"{folder}: expected at least {PEOPLE_HELD_OUT + 10} pictures NAME.jpg with masks "
            f"NAME.png, of which the last {PEOPLE_HELD_OUT} are for testing; got {len(paths)}"
        )
    known, test = paths[:-PEOPLE_HELD_OUT], paths[-PEOPLE_HELD_OUT:]
    chosen = {
        "train": [p for i, p in enumerate(known) if i % 10 != 5],
        "val": known[5::10],
        "test": test,
    }[split]
    found = []
    for path in chosen:
        labels = np.where(_indices(path) > 127, category, elsewhere).astype(np.uint8)
        found.append(
            Labelled(read_picture(path.with_suffix(".jpg")).pixels, torch.from_numpy(labels))
        )
    return found


def load_salient(folder: str | Path | None, split: str) -> list[Labelled]:
    """People as what stands out: 1 inside their masks, 0 elsewhere; None: `embedded_areas`."""
    if folder is None:
        return embedded_areas(2)
    return load_people(folder, split, 1, elsewhere=0)


def load_grounds(folder: str | Path | None, split: str) -> list[Labelled]:
    """Photos to put people on, with label 0 all over; see `list_photos`."""
    photos = [read_picture(path).pixels for path in list_photos(folder, split)]
    return [Labelled(x, torch.zeros(x.shape[1:], dtype=torch.uint8)) for x in photos]


class Composites(Sequence[Labelled]):
    """Cut out of some pictures and put on others, anew for each index.

    Args:
        figures: pictures with masks; empty makes this empty.
        grounds: what the figures are put on; its labels are kept around them.
        category: label inside the masks.
        count: how many there are.
    """

    def __init__(
        self, figures: Sequence[Labelled], grounds: Sequence[Labelled], category: int, count: int
    ):
        self.figures, self.grounds, self.category = figures, grounds, category
        self.size = count if len(figures) else 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Labelled:  # type: ignore[override]
        if not 0 <= index < self.size:
            raise IndexError(index)
        rng = random.Random(index)
        pixels, labels = (x.clone() for x in rng.choice(self.grounds))
        figure = rng.choice(self.figures)
        zoom = rng.uniform(0.3, 1.0) * min(labels.shape) / max(figure.labels.shape)
        figure = resize(figure, *(max(1, round(n * zoom)) for n in figure.labels.shape))
        if rng.random() < 0.5:
            figure = Labelled(figure.pixels.flip(2), figure.labels.flip(1))
        height, width = figure.labels.shape
        top = rng.randint(0, labels.shape[0] - height)
        left = rng.randint(0, labels.shape[1] - width)
        rows, columns = slice(top, top + height), slice(left, left + width)
        inside = figure.labels == self.category
        soft = F.avg_pool2d(inside[None].float(), 3, 1, 1, count_include_pad=False)
        under = pixels[:, rows, columns]
        under.copy_((under + soft * (figure.pixels.float() - under)).round().to(torch.uint8))
        labels[rows, columns][inside] = self.category
        return Labelled(pixels, labels)


def _indices(path: Path) -> np.ndarray:
    return read_picture(path).pixels[0].numpy()


def embedded_areas(categories: int) -> list[Labelled]:
    """Without folders, to try a command: brightness plays the categories of the embedded photos."""
    found = []
    for path in embedded_photos():
        pixels = read_picture(path).pixels
        pixels = F.interpolate(pixels[None].float(), (240, 320), mode="area")[0]
        level = pixels.mean(0) / 256 * categories
        found.append(Labelled(pixels.round().to(torch.uint8), level.long().to(torch.uint8)))
    return found


@dataclass
class CroppedAreas:
    """Random crops of labelled pictures, scaled, mirrored and with other colours.

    Args:
        training, held_out: groups of pictures, such as streets and people.
        shares: how often each group is drawn.
        split: share of the crops in which some categories have other colours than the others, as
            in pictures that were graded in parts.
        side: S of a crop, a multiple of 16.
        smallest, largest: of the scale, by which the picture's shorter side becomes so many S.
    """

    training: Sequence[Sequence[Labelled]]
    held_out: Sequence[Sequence[Labelled]]
    shares: Sequence[float]
    side: int
    smallest: float
    largest: float
    split: float
    device: torch.device = field(default=torch.device("cpu"), init=False)

    def to(self, device: torch.device) -> "CroppedAreas":
        self.device = device
        return self

    def batch(self, size: int, generator: torch.Generator) -> AreaBatch:
        seed = torch.randint(1 << 60, (), generator=generator, device=generator.device).item()
        rng = random.Random(int(seed))
        weights = [s * bool(len(g)) for s, g in zip(self.shares, self.training, strict=True)]
        crops = []
        for _ in range(size):
            (group,) = rng.choices(self.training, weights)
            crops.append(self._crop(rng.choice(group), rng))
        pixels, labels = (torch.stack(x).to(self.device) for x in zip(*crops, strict=True))
        x = pixels.float() / 255
        one, other = recoloured(x, generator), recoloured(x, generator)
        draw = torch.rand(size, 1, 257, generator=generator, device=generator.device)
        others = ((draw[..., 1:] < 0.5) & (draw[..., :1] < self.split)).to(self.device)
        changed = others.expand(-1, 1, -1).flatten(1).gather(1, labels.flatten(1).long())
        return AreaBatch(torch.where(changed.view_as(labels)[:, None], other, one), labels)

    def _crop(self, one: Labelled, rng: random.Random) -> Labelled:
        height, width = one.labels.shape
        zoom = rng.uniform(self.smallest, self.largest) * self.side / min(height, width)
        window = [max(1, min(n, round(self.side / zoom))) for n in (height, width)]
        top, left = rng.randint(0, height - window[0]), rng.randint(0, width - window[1])
        rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
        part = Labelled(one.pixels[:, rows, columns], one.labels[rows, columns])
        crop = resize(part, round(window[0] * zoom), round(window[1] * zoom))
        down, right = (self.side - n for n in crop.labels.shape)
        pixels = F.pad(crop.pixels, (0, max(0, right), 0, max(0, down)))
        labels = F.pad(crop.labels, (0, max(0, right), 0, max(0, down)), value=IGNORED)
        pixels, labels = pixels[:, : self.side, : self.side], labels[: self.side, : self.side]
        if rng.random() < 0.5:
            pixels, labels = pixels.flip(2), labels.flip(1)
        return Labelled(pixels, labels)

    def validation(self, size: int) -> list[AreaBatch]:
        every = [one for group in self.held_out for one in group]
        crops = [resize(one, self.side, self.side) for one in every]
        batches = []
        for start in range(0, len(crops), size):
            pixels, labels = (
                torch.stack(x) for x in zip(*crops[start : start + size], strict=True)
            )
            batches.append(AreaBatch(pixels.float() / 255, labels))
        return batches


def resize(one: Labelled, height: int, width: int) -> Labelled:
    """The picture averaged or interpolated, labels of the nearest pixel."""
    pixels = F.interpolate(
        one.pixels[None].float(), (height, width), mode="bilinear", antialias=True
    )
    labels = F.interpolate(one.labels[None, None].float(), (height, width), mode="nearest-exact")
    return Labelled(to_dtype(pixels[0] / 255, torch.uint8), labels[0, 0].to(torch.uint8))


def recoloured(x: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 3, H, W) as if through random looks: a curve for each channel, saturation, a cast.

    The ranges were chosen by hand: most looks change less.
    """

    def drawn(channels: int, reach: float) -> Tensor:
        shape = (len(x), channels, 1, 1)
        uniform = torch.rand(shape, generator=generator, device=generator.device)
        return ((2 * uniform - 1) * reach).to(x.device)

    bent = x.clamp(1e-4, 1) ** (drawn(1, 0.5) + drawn(3, 0.25)).exp()
    curved = bent + drawn(1, 0.2) * torch.sin(2 * torch.pi * bent) / 2 + drawn(3, 0.08)
    grey = curved.mean(1, keepdim=True)
    return (grey + (curved - grey) * drawn(1, 0.9).exp().clamp(max=1.7)).clamp(0, 1)
