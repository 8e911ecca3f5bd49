"""Tiles of photos as the encoder's own symbols, to train the context networks on.

Photos that were JPEG have an 8 x 8 grid and no fine chroma: they are reduced to 0.5 - 0.72 first.

Axes: N tile, H W = TILE pixels, I J cells, K frequency, S T regions.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from codec.learn.networks import load_answers
from codec.pictures.picture_files import read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import list_photos
from codec.residual.analyse import (
    Given,
    Symbols,
    analyse,
    cells_of,
    hints_of,
    reconstruct,
    uniform_sizes,
)
from codec.residual.colour import rgb_to_fixed_ycbcr, rgb_to_ycocg
from codec.residual.context import HINTS, Cells
from codec.residual.passes import Networks
from codec.residual.quantise import WEIGHTINGS

TILE = 256
_AT_ONCE = 16  # tiles analysed together
# Share, lowest and highest step index. Chosen by hand: three of four tiles at qualities that people
# use, the others finer, so that the networks stay right there.
_STEPS = ((0.75, 124, 196), (0.25, 48, 124))
_REDUCED = (0.5, 0.72)  # what photos that were JPEG are reduced by; chosen by hand
_PREDICTED = (100, 180)  # step indices of what a prediction is enlarged from; chosen by hand


class Tiles(NamedTuple):
    """A batch of tiles: pixels, and what `analyse` made of them.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        exact: (N, 3, 128, 128) int16 YCoCg-R of their top left quarter.
        step, matrix: (N,) int64.
        adaptive: (N, S, T) int8; zeros where the matrix is not perceptual.
        sizes: (N, I, J) int8.
        means: (N, 3, I, J) int16.
        luma_classes, chroma_classes: (N, I, J) int8.
        luma_values: (N, I, J, 1, K) int16.
        chroma_values: (N, I, J, 2, K) int16.
        hints: (N, I, J, HINTS) int8; zeros where the tile was coded without a prediction.
    """

    pixels: Tensor
    exact: Tensor
    step: Tensor
    matrix: Tensor
    adaptive: Tensor
    sizes: Tensor
    means: Tensor
    luma_classes: Tensor
    chroma_classes: Tensor
    luma_values: Tensor
    chroma_values: Tensor
    hints: Tensor


def tile_symbols(batch: Tiles) -> tuple[Symbols, Cells]:
    """The symbols of a batch in their working types, and what contexts know of the cells."""
    symbols = Symbols(
        batch.step,
        WEIGHTINGS["mse"],  # of the steps alone; what the contexts see is put in below
        batch.hints,
        batch.adaptive.int(),
        batch.sizes.int(),
        [mean.int() for mean in batch.means.unbind(1)],
        [batch.luma_classes.int(), batch.chroma_classes.int()],
        [batch.luma_values.int(), batch.chroma_values.int()],
    )
    cells = cells_of(symbols.steps, symbols.sizes, batch.hints)
    return symbols, cells._replace(matrix=batch.matrix.int())


class TileSets:
    """Training and validation tiles as the training loop asks for them.

    Args:
        training, held_out: `Tiles`, or another NamedTuple of tensors with one row a tile.
    """

    def __init__(self, training: Any, held_out: Any):
        self.training, self.held_out = training, held_out

    def to(self, device: torch.device) -> "TileSets":
        self.training, self.held_out = (
            type(tiles)(*(x.to(device) for x in tiles)) for tiles in (self.training, self.held_out)
        )
        return self

    def batch(self, size: int, generator: torch.Generator) -> Any:
        """Random tiles, turned and mirrored only as they were made."""
        count, device = len(self.training[0]), generator.device
        index = torch.randint(count, (size,), generator=generator, device=device)
        return type(self.training)(*(x[index.to(x.device)] for x in self.training))

    def validation(self, size: int) -> list[Any]:
        parts = zip(*(x.split(size) for x in self.held_out), strict=True)
        return [type(self.held_out)(*part) for part in parts]


def gather(parts: Iterator[Any], count: int, title: str) -> Any:
    """So many tiles.

    Args:
        parts: NamedTuples of tensors with one row a tile; no more of them are made than it takes.
        count: of tiles.
        title: of the progress bar.
    """
    found: list[Any] = []
    with tqdm(total=count, desc=title, disable=None) as bar:
        while sum(len(part[0]) for part in found) < count:
            found.append(next(parts))
            bar.update(len(found[-1][0]))
    return type(found[0])(*(torch.cat(group)[:count] for group in zip(*found, strict=True)))


def symbol_tiles(
    clean: str | None,
    photos: str | None,
    tiles: int,
    networks: str | None,
    share_predicted: float,
    uniform: bool,
    seed: int,
) -> TileSets:
    """Tiles of training and of validation photos, analysed once at the start.

    Args:
        clean: folder of photos without JPEG traces, or None.
        photos: folder of photos that were JPEG, or None. With neither, scikit-image's photos.
        tiles: training tiles; validation has a sixteenth of it, from other photos.
        networks: trained networks whose costs choose the symbols, or None to quantise plainly.
        share_predicted: share of the tiles that are coded as the residual of a prediction.
        uniform: all transform blocks of one size, as the fast effort has it.
        seed: of crops and steps.
    """
    coder = None if networks is None else load_answers(networks)
    maker = TileMaker(clean, photos, coder, seed, share_predicted, uniform)
    return maker.sets(tiles, lambda split, count: maker(split, count, tuple(WEIGHTINGS)))


@dataclass(frozen=True)
class TileMaker:
    """Cuts tiles out of photos and analyses them.

    Attributes:
        clean, photos, seed, share_predicted, uniform: see `symbol_tiles`.
        networks: whose costs choose the symbols, or None to quantise plainly.
    """

    clean: str | None
    photos: str | None
    networks: Networks | None
    seed: int
    share_predicted: float = 0.0
    uniform: bool = False

    def sets(self, tiles: int, made: Callable[[str, int], Any]) -> TileSets:
        """Training tiles and, from other photos, a sixteenth as many to validate on.

        Args:
            tiles: of training.
            made: split and number of tiles -> a NamedTuple of them.
        """
        return TileSets(made("train", tiles), made("val", max(16, tiles // 16)))

    def __call__(self, split: str, tiles: int, weightings: tuple[str, ...]) -> Tiles:
        """Analysed tiles of one split; the weightings take turns, a share are residuals."""
        rng = random.Random(f"{self.seed} {split}")
        pixels = torch.stack(list(_crops(self.clean, self.photos, split, tiles, rng)))
        parts = []
        for start in tqdm(range(0, tiles, _AT_ONCE), desc=f"{split} symbols", disable=None):
            name = weightings[start // _AT_ONCE % len(weightings)]
            turn = start // _AT_ONCE // len(weightings)  # so that each weighting gets residuals
            residual = self.share_predicted > 0 and turn % round(1 / self.share_predicted) == 0
            part = pixels[start : start + _AT_ONCE]
            parts.append(self._symbols(part, name, residual, rng))
        return Tiles(*(torch.cat(group) for group in zip(*parts, strict=True)))

    def _symbols(self, pixels: Tensor, name: str, residual: bool, rng: random.Random) -> Tiles:
        ranges = rng.choices(_STEPS, [share for share, _, _ in _STEPS], k=len(pixels))
        step = torch.tensor([rng.randint(low, high) for _, low, high in ranges])
        matrix = WEIGHTINGS[name]
        planes, hints = rgb_to_fixed_ycbcr(pixels), None
        if residual:
            guess = _base(planes, rng)
            planes, hints = planes - guess, hints_of(guess[:, 0], step)
        sizes = uniform_sizes(planes) if self.uniform else None
        found = analyse(planes, step, matrix, self.networks, Given(sizes, hints))
        exact = rgb_to_ycocg(pixels[..., : TILE // 2, : TILE // 2].int())
        return tiles_of(pixels, exact, found)


def tiles_of(pixels: Tensor, exact: Tensor, found: Symbols) -> Tiles:
    """Tiles with their symbols in small types; `exact` as in `Tiles`."""
    adaptive = found.adaptive
    if adaptive is None:
        side = TILE // 32
        adaptive = torch.zeros(len(pixels), side, side)
    hints = found.hints
    if hints is None:
        hints = torch.zeros(*found.sizes.shape, HINTS, dtype=torch.int8)
    return Tiles(
        pixels,
        exact.short(),
        found.step_index,
        torch.full_like(found.step_index, found.weighting.number),
        adaptive.to(torch.int8),
        found.sizes.to(torch.int8),
        torch.stack(found.means, 1).short(),
        found.classes[0].to(torch.int8),
        found.classes[1].to(torch.int8),
        found.values[0].short(),
        found.values[1].short(),
        hints,
    )


def _base(planes: Tensor, rng: random.Random) -> Tensor:
    """A prediction as layered coding has it: half the size, coarsely coded, enlarged."""
    half = F.interpolate(planes.float(), scale_factor=0.5, mode="bicubic", antialias=True)
    step = torch.full((len(planes),), rng.randint(*_PREDICTED))
    matrix = WEIGHTINGS["mse"]
    decoded = reconstruct(analyse(half.round().int(), step, matrix, None))
    return F.interpolate(decoded.float(), scale_factor=2, mode="bicubic").round().int()


def _crops(
    clean: str | None, photos: str | None, split: str, tiles: int, rng: random.Random
) -> Iterator[Tensor]:
    """uint8 (3, TILE, TILE) crops, from clean photos and from mosaics of reduced ones in turn."""
    whole = list_photos(clean, split) if clean or not photos else []
    reduced = list_photos(photos, split) if photos else []
    opened = {path: read_picture(path).pixels for path in whole}
    for number in range(tiles):
        from_clean = bool(whole) and (not reduced or number % 5 < 3)
        if from_clean:
            yield _clean_crop(opened[rng.choice(whole)], rng)
        else:
            yield _mosaic([read_picture(rng.choice(reduced)).pixels for _ in range(4)], rng)


def _clean_crop(picture: Tensor, rng: random.Random) -> Tensor:
    shortest = min(picture.shape[1:])
    lowest = min(1.0, (TILE + 8) / shortest)
    scale = rng.choice([1.0, 1.0, rng.uniform(lowest, 1.0)])
    return _turned(_crop(_resized(picture, scale), TILE, rng), rng)


def _mosaic(pictures: list[Tensor], rng: random.Random) -> Tensor:
    """Four photos beside each other, on seams between regions."""
    half = TILE // 2
    parts = []
    for picture in pictures:
        least = (half + 1) / min(picture.shape[1:])
        scale = max(least, rng.uniform(*_REDUCED))
        parts.append(_turned(_crop(_resized(picture, scale), half, rng), rng))
    rows = [torch.cat(parts[:2], 2), torch.cat(parts[2:], 2)]
    return torch.cat(rows, 1)


def _resized(picture: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return picture
    size = [max(1, round(n * scale)) for n in picture.shape[1:]]
    return resize(picture, size)


def _crop(picture: Tensor, side: int, rng: random.Random) -> Tensor:
    height, width = picture.shape[1:]
    if min(height, width) < side:
        picture = F.pad(
            picture[None].float(),
            (0, max(0, side - width), 0, max(0, side - height)),
            mode="replicate",
        )[0].to(torch.uint8)
        height, width = picture.shape[1:]
    top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    return picture[:, top : top + side, left : left + side]


def _turned(tile: Tensor, rng: random.Random) -> Tensor:
    if rng.random() < 0.5:
        tile = tile.flip(2)
    return tile.mT if rng.random() < 0.5 else tile
