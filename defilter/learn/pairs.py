"""Training pairs: filtered and clean pictures, several to a look.

Axes: L look, M template with that look, C channel, H W pixels.
"""

import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.lut import apply_trilinear
from codec.pictures.picture_files import PictureError, read_picture, to_dtype
from codec.pictures.resize import squash
from defilter.learn import effects
from defilter.learn.look_bank import LookBank, Looks

logger = logging.getLogger(__name__)


class PairBatch(NamedTuple):
    """Pictures in [0, 1]. Templates with one look a row, and another photo with and without it."""

    filtered: Tensor  # (L, M, 3, H, W)
    clean: Tensor  # (L, M, 3, H, W)
    photo: Tensor  # (L, 3, H, W)
    rendered: Tensor  # (L, 3, H, W)


class EffectShares(NamedTuple):
    """Shares of the templates that get an effect beside the colour look."""

    vignette: float
    light_leak: float
    grain: float
    jpeg: float


@dataclass
class SyntheticPairs:
    """Pairs made on the training device: clean photos, looks from a bank, effects on top.

    Args:
        photos: (N, 3, S, S) uint8 clean photos for training.
        validation_photos: (N, 3, S, S) uint8 clean photos that are never trained on.
        looks: where looks for training come from.
        validation_looks: real looks to validate on; None draws from `looks`.
        photos_per_look: M.
        effects: shares of the spatial effects; they touch templates only.
        validation_draws: template and photo pairs for each validation look.
    """

    photos: Tensor
    validation_photos: Tensor
    looks: LookBank
    validation_looks: Looks | None
    photos_per_look: int
    effects: EffectShares
    validation_draws: int

    def to(self, device: torch.device) -> "SyntheticPairs":
        self.photos = self.photos.to(device)
        self.looks = self.looks.to(device)
        return self

    def batch(self, size: int, generator: torch.Generator) -> PairBatch:
        tables = self.looks.draw(size, generator)
        count = self.photos_per_look + 1
        clean = _pick_photos(self.photos, size * count, generator)
        rendered = _render(clean.unflatten(0, (size, count)), tables)
        clean = clean.unflatten(0, (size, count))
        photo, rendered_photo = clean[:, -1], rendered[:, -1]
        templates = rendered[:, :-1].flatten(0, 1)
        templates = effects.add_light_leaks(templates, generator, self.effects.light_leak)
        templates = effects.add_vignettes(templates, generator, self.effects.vignette)
        templates = effects.add_grain(templates, generator, self.effects.grain)
        templates = effects.round_to_eight_bits(templates)
        templates = effects.add_jpeg_noise(templates, generator, self.effects.jpeg).clamp(0, 1)
        filtered = templates.unflatten(0, (size, count - 1))
        return PairBatch(filtered, clean[:, :-1], photo, rendered_photo)

    def validation(self, size: int) -> list[PairBatch]:
        """The same looks and photos each time, no effects but 8-bit rounding, M templates."""
        generator = torch.Generator().manual_seed(0)
        tables = self.looks.validation(self.validation_looks, 16, generator)
        tables = tables.repeat(self.validation_draws, 1, 1, 1, 1)
        batches = []
        for part in tables.split(size):
            count = self.photos_per_look + 1
            clean = _pick_photos(self.validation_photos, len(part) * count, generator)
            clean = clean.unflatten(0, (len(part), count))
            rendered = effects.round_to_eight_bits(_render(clean, part))
            batches.append(
                PairBatch(rendered[:, :-1], clean[:, :-1], clean[:, -1], rendered[:, -1])
            )
        return batches


def _pick_photos(photos: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, 3, S, S) floats, drawn with replacement, half of them mirrored."""
    index = torch.randint(len(photos), (count,), device=generator.device, generator=generator)
    picked = photos[index].float() / 255
    mirrored = torch.rand(count, 1, 1, 1, device=generator.device, generator=generator) < 0.5
    return torch.where(mirrored, picked.flip(3), picked)


def _render(photos: Tensor, tables: Tensor) -> Tensor:
    """(L, M, 3, H, W) photos with the look of their row."""
    looks, count, channels, height, width = photos.shape
    flat = photos.transpose(1, 2).reshape(looks, channels, count * height, width)
    rendered = apply_trilinear(flat, tables).clamp(0, 1)
    return rendered.view(looks, channels, count, height, width).transpose(1, 2)


class FolderPairs:
    """Real pairs from folders.

    Two layouts are understood. With `clean`: the same names below both folders; a subfolder of
    `filtered` is one look. Without: the IFFI layout, where `filtered` holds a folder for each photo
    with `<photo>_Original.jpg` beside `<photo>_<look>.jpg`.

    Args:
        filtered: folder of filtered pictures.
        clean: folder of clean ones, or None for the IFFI layout.
        size: side that pictures are squashed to.
        photos_per_look: M.
        validation_share: of the photos, held out.

    Raises:
        ValueError: no pair can be read, or two clean pictures have one name.
    """

    def __init__(
        self,
        filtered: str | Path,
        clean: str | Path | None,
        size: int,
        photos_per_look: int,
        validation_share: float,
    ):
        if not 0 < validation_share < 1:
            raise ValueError(f"expected a validation_share between 0 and 1, got {validation_share}")
        self.photos_per_look = photos_per_look
        pairs = match_names(Path(filtered), None if clean is None else Path(clean))
        photos = sorted({photo for _, photo, _, _ in pairs})
        held_out = set(photos[:: max(1, round(1 / validation_share))]) if len(photos) > 1 else set()
        loaded: dict[bool, dict[str, list[Tensor]]] = {
            held: defaultdict(list) for held in (False, True)
        }
        for look, photo, filtered_path, clean_path in tqdm(pairs, desc="pairs", disable=None):
            try:
                both = [
                    squash(read_picture(path).floats()[None], size)
                    for path in (filtered_path, clean_path)
                ]
            except PictureError as error:
                logger.warning("left out: %s", error)
                continue
            loaded[photo in held_out][look].append(to_dtype(torch.cat(both), torch.uint8))
        self.training = [torch.stack(group) for group in loaded[False].values()]
        if not self.training:
            raise ValueError(f"expected at least one readable pair in {filtered}")
        self.held_out = [torch.stack(group) for group in loaded[True].values()] or self.training

    def to(self, device: torch.device) -> "FolderPairs":
        self.training = [group.to(device) for group in self.training]
        return self

    def batch(self, size: int, generator: torch.Generator) -> PairBatch:
        device = generator.device
        looks = torch.randint(len(self.training), (size,), device=device, generator=generator)
        return _stack_rows([self._row(self.training[n], generator) for n in looks.tolist()])

    def validation(self, size: int) -> list[PairBatch]:
        generator = torch.Generator().manual_seed(0)
        rows = [self._row(group, generator) for group in self.held_out]
        return [_stack_rows(rows[i : i + size]) for i in range(0, len(rows), size)]

    def _row(self, group: Tensor, generator: torch.Generator) -> Tensor:
        """(M + 1, 2, 3, S, S) of one look's pairs (P, 2, 3, S, S); different ones if it can."""
        count = self.photos_per_look + 1
        order = torch.rand(len(group), device=generator.device, generator=generator)
        index = order.argsort().repeat(count // len(group) + 1)[:count]
        return group[index].float() / 255


def _stack_rows(rows: list[Tensor]) -> PairBatch:
    filtered, clean = torch.stack(rows).unbind(2)
    return PairBatch(filtered[:, :-1], clean[:, :-1], clean[:, -1], filtered[:, -1])


def match_names(filtered: Path, clean: Path | None) -> list[tuple[str, str, Path, Path]]:
    """(look, photo, filtered path, clean path) of every pair; see `FolderPairs`.

    Raises:
        ValueError: nothing matches.
    """
    found = list_pictures([filtered])
    if clean is None:
        originals = {p.parent: p for p, _ in found if _iffi_look(p) == "original"}
        pairs = [
            (_iffi_look(path), str(relative.parent), path, originals[path.parent])
            for path, relative in found
            if path.parent in originals and _iffi_look(path) != "original"
        ]
    else:
        by_name: dict[str, Path] = {}
        for path, _ in list_pictures([clean]):
            if path.stem in by_name:
                raise ValueError(f"{path} and {by_name[path.stem]}: two clean pictures of one name")
            by_name[path.stem] = path
        pairs = [
            (str(relative.parent), path.stem, path, by_name[path.stem])
            for path, relative in found
            if path.stem in by_name
        ]
    if not pairs:
        expected = (
            "<photo>_Original beside <photo>_<look>" if clean is None else f"names of {clean}"
        )
        raise ValueError(f"{filtered}: expected {expected}, found no pair")
    return pairs


def _iffi_look(path: Path) -> str:
    return re.sub(r"^[^_]*_", "", path.stem).lower()
