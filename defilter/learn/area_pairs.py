"""Training pairs in which each category has its own look, for Fig. 3 (paragraph 85).

Axes: N picture, S pixels of a side, K category.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from codec.pictures.lut import apply_trilinear
from defilter.learn import effects
from defilter.learn.area_pictures import Labelled, resize
from defilter.learn.look_bank import LookBank, Looks


class GradedAreas(NamedTuple):
    """Pictures (N, 3, S, S) in [0, 1] with and without looks, and labels (N, S, S) below K."""

    filtered: Tensor
    clean: Tensor
    labels: Tensor


class AreaPairs:
    """Labelled pictures whose categories are graded one by one.

    Args:
        training, held_out: groups of pictures. What has no label counts as the last category.
        categories: K.
        looks: where looks for training come from.
        validation_looks: real looks to validate on; None draws from `looks`.
        size: S.
    """

    def __init__(
        self,
        training: Sequence[list[Labelled]],
        held_out: Sequence[list[Labelled]],
        categories: int,
        looks: LookBank,
        validation_looks: Looks | None,
        size: int,
    ):
        self.categories, self.looks, self.validation_looks = categories, looks, validation_looks
        self.training, self.held_out = (
            self._squashed([one for group in groups for one in group], size)
            for groups in (training, held_out)
        )

    def _squashed(self, pictures: list[Labelled], size: int) -> tuple[Tensor, Tensor]:
        small = [resize(one, size, size) for one in pictures]
        pixels, labels = (torch.stack(x) for x in zip(*small, strict=True))
        return pixels, labels.long().clamp(max=self.categories - 1)

    def to(self, device: torch.device) -> "AreaPairs":
        self.training = (self.training[0].to(device), self.training[1].to(device))
        self.looks = self.looks.to(device)
        return self

    def batch(self, size: int, generator: torch.Generator) -> GradedAreas:
        pixels, labels = self.training
        device = generator.device
        index = torch.randint(len(pixels), (size,), device=device, generator=generator)
        clean, labels = pixels[index] / 255, labels[index]
        mirrored = torch.rand(size, 1, 1, device=device, generator=generator) < 0.5
        clean = torch.where(mirrored[:, None], clean.flip(3), clean)
        labels = torch.where(mirrored, labels.flip(2), labels)
        tables = self.looks.draw(size * self.categories, generator)
        filtered = grade_areas(clean, labels, tables.unflatten(0, (size, self.categories)))
        return GradedAreas(effects.round_to_eight_bits(filtered), clean, labels)

    def validation(self, size: int) -> list[GradedAreas]:
        """The same pictures and looks each time."""
        generator = torch.Generator().manual_seed(0)
        pixels, labels = self.held_out
        tables = self.looks.validation(self.validation_looks, 32, generator)
        batches = []
        for x, y in zip(pixels.split(size), labels.split(size), strict=True):
            chosen = torch.randint(len(tables), (len(x), self.categories), generator=generator)
            filtered = grade_areas(x / 255, y, tables[chosen].float())
            batches.append(GradedAreas(effects.round_to_eight_bits(filtered), x / 255, y))
        return batches


def grade_areas(clean: Tensor, labels: Tensor, tables: Tensor) -> Tensor:
    """Every category of (N, 3, S, S) through its own table of (N, K, 3, D, D, D)."""
    graded = clean
    for number in range(tables.shape[1]):
        looked = apply_trilinear(clean, tables[:, number]).clamp(0, 1)
        graded = torch.where((labels == number)[:, None], looked, graded)
    return graded
