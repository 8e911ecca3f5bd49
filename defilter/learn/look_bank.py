"""Looks to train on: a bank of real LUTs and the many looks that lie between and around them.

The estimate of an unseen look is only as good as the prior over looks, and real looks are few. So
a draw from the bank is a real look, a mixture or composition of real ones, or a sample from their
principal components, now and then with a light grade on top.

The shares of the kinds are configuration; the ranges of strengths below were chosen by hand.

Axes: L look of the bank, B drawn look, D grid size; tables as in `codec.pictures.lut`.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from codec.pictures.lut import compose, identity_lut, resample
from codec.pictures.lut_files import LutFileError, load_lut
from defilter.learn.grades import apply_random_grades
from defilter.learn.look_split import family, in_split

logger = logging.getLogger(__name__)

GRID = 17
COMPONENTS = 64  # of the looks' variance; chosen by hand


class Looks(NamedTuple):
    """Named LUTs: tables (L, 3, D, D, D) float32."""

    names: list[str]
    tables: Tensor


class LookRecipe(NamedTuple):
    """Shares of the kinds of looks a bank draws; what is left of 1 is real looks as they are."""

    mixture: float
    composition: float
    principal: float
    parametric: float
    graded_on_top: float  # of all the others
    weakened: float  # of all, to a strength of 0.3 to 1
    unfiltered: float  # of all


def load_looks(
    folders: str | Path | Sequence[str | Path] | None,
    split: str | None = None,
    monochrome: bool = False,
    grid: int = GRID,
) -> Looks | None:
    """All HALD PNG and .cube files of some folders, resampled to one grid.

    Args:
        folders: one or several, searched with their subfolders; None gives None.
        split: keep only the looks of this split, see `look_split.in_split`; None keeps all.
        monochrome: keep looks without colour too.
        grid: points an axis of the tables.

    Returns:
        The looks; None for no folders, and where no look of one's own falls to validation.

    Raises:
        ValueError: no look is left. A file that cannot be read is reported in the log only.
    """
    if folders is None:
        return None
    folders = [folders] if isinstance(folders, str | Path) else list(folders)
    names: list[str] = []
    tables: list[Tensor] = []
    found = (path for folder in folders for path in sorted(Path(folder).rglob("*")))
    for path in found:
        if path.suffix.lower() not in (".png", ".cube"):
            continue
        if split is not None and not in_split(path.stem, split, monochrome):
            continue
        try:
            tables.append(resample(load_lut(path), grid))
            names.append(path.stem)
        except LutFileError as error:
            logger.warning("left out: %s", error)
    if not tables and split == "val":
        logger.warning("no look falls to validation: it draws from the training looks instead")
        return None
    if not tables:
        places = ", ".join(map(str, folders))
        raise ValueError(f"expected HALD PNG or .cube files of the {split} split in {places}")
    return Looks(names, torch.stack(tables))


def spread_looks(folders: Sequence[str | Path], split: str, count: int) -> Tensor:
    """(count, 3, D, D, D) float32: colour looks of a split, evenly spread over it.

    Raises:
        ValueError: no folder.
    """
    looks = load_looks(folders, split)
    if looks is None:
        raise ValueError("expected folders with looks, got none")
    chosen = torch.linspace(0, len(looks.tables) - 1, count).round().long()
    return looks.tables[chosen].float()


class LookBank:
    """Draws looks; a draw is a function of the generator alone.

    Args:
        looks: the real ones, or None for parametric grades only.
        recipe: shares of the kinds.
        grid: points an axis of the tables drawn, that of `looks` where there are any.
    """

    def __init__(self, looks: Looks | None, recipe: LookRecipe, grid: int = GRID):
        self.recipe = recipe
        self.looks = looks
        self.identity = identity_lut(grid if looks is None else looks.tables.shape[-1])
        if looks is None:
            return
        families = [family(name) for name in looks.names]
        members = Counter(families)
        # A family of n variants is worth more than one look, but not n.
        self.weights = torch.tensor([members[name] ** -0.5 for name in families])
        change = (looks.tables - self.identity).flatten(1)
        self.mean = change.mean(0)
        _, _, directions = torch.linalg.svd(change - self.mean, full_matrices=False)
        self.directions = directions[:COMPONENTS]
        self.codes = (change - self.mean) @ self.directions.T
        self.tables = looks.tables

    def to(self, device: torch.device) -> "LookBank":
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3, D, D, D) tables in [0, 1], on the generator's device."""
        recipe = self.recipe
        kind = self._random(count, generator)
        if self.looks is None:
            drawn = self._parametric(count, generator)
        else:
            drawn = self.tables[self._pick(count, generator)]
            edge = 0.0
            for share, sample in (
                (recipe.mixture, self._mixtures),
                (recipe.composition, self._compositions),
                (recipe.principal, self._principal),
                (recipe.parametric, self._parametric),
            ):
                chosen = ((kind >= edge) & (kind < edge + share)).view(-1, 1, 1, 1, 1)
                # Every kind is drawn for the whole batch: no synchronisation with the device.
                drawn = torch.where(chosen, sample(count, generator), drawn)
                edge += share
        graded = apply_random_grades(drawn.flatten(2).clamp(0, 1), generator, 0.4).view_as(drawn)
        drawn = torch.where(self._coin(recipe.graded_on_top, count, generator), graded, drawn)
        strength = 0.3 + 0.7 * self._random(count, generator).view(-1, 1, 1, 1, 1)
        strength = torch.where(self._coin(recipe.weakened, count, generator), strength, 1.0)
        strength = torch.where(self._coin(recipe.unfiltered, count, generator), 0.0, strength)
        return torch.lerp(self.identity.expand_as(drawn), drawn, strength).clamp(0, 1)

    def validation(self, looks: Looks | None, count: int, generator: torch.Generator) -> Tensor:
        """(L, 3, D, D, D) tables to validate on: real looks or, without any, `count` drawn ones.

        Drawn ones are on the generator's device, wherever this bank is.
        """
        if looks is not None:
            return looks.tables
        return copy(self).to(generator.device).draw(count, generator)

    def _random(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, device=generator.device, generator=generator)

    def _coin(self, share: float, count: int, generator: torch.Generator) -> Tensor:
        return (self._random(count, generator) < share).view(-1, 1, 1, 1, 1)

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def _mixtures(self, count: int, generator: torch.Generator) -> Tensor:
        first, second = (
            self.tables[self._pick(count, generator)] - self.identity for _ in range(2)
        )
        share = self._random(count, generator).view(-1, 1, 1, 1, 1)
        gain = 0.8 + 0.6 * self._random(count, generator).view(-1, 1, 1, 1, 1)
        return self.identity + gain * torch.lerp(first, second, share)

    def _compositions(self, count: int, generator: torch.Generator) -> Tensor:
        first, second = (self.tables[self._pick(count, generator)] for _ in range(2))
        # Two full looks on top of each other are more than anyone uses.
        strength = 0.4 + 0.6 * torch.rand(
            2, count, 1, 1, 1, 1, device=generator.device, generator=generator
        )
        first, second = (
            torch.lerp(self.identity.expand_as(table), table, part)
            for table, part in zip((first, second), strength, strict=True)
        )
        return compose(first.clamp(0, 1), second)

    def _principal(self, count: int, generator: torch.Generator) -> Tensor:
        """Half of each code's variance from one real look, half shuffled across looks."""
        real = self.codes[self._pick(count, generator)]
        components = self.codes.shape[1]
        rows = torch.randint(
            len(self.codes), (count, components), device=generator.device, generator=generator
        )
        code = 0.5**0.5 * (real + self.codes.gather(0, rows))
        return self.identity + (self.mean + code @ self.directions).view(-1, *self.identity.shape)

    def _parametric(self, count: int, generator: torch.Generator) -> Tensor:
        colours = self.identity.flatten(1).expand(count, -1, -1)
        return apply_random_grades(colours, generator).view(count, *self.identity.shape)
