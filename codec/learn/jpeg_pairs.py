"""Tiles of JPEG files that are predicted from others, to train their context networks on.

Pairs of an album and bursts made of one photo are written as JPEG files and taken apart again.

Axes: N tile, I J blocks, K = 64 frequencies, G group of frequencies.
"""

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.jpeg.blocks import Guess
from codec.jpeg.coefficients import JpegFile, read_jpeg
from codec.jpeg.passes import beside_luma
from codec.jpeg.predicted import best_guess, opened
from codec.learn.made_pairs import both_ways, burst, random_crop
from codec.learn.symbols import TileSets, gather
from codec.pictures.picture_files import read_picture, to_image
from codec.pictures.sample_photos import list_photos

TILE = 8  # chroma blocks a side; luma has up to twice as many
_QUALITIES = ((0.75, 82, 97), (0.25, 50, 97))  # share, from, to; chosen by hand, as what follows
_SAME = 0.7  # of pairs whose files have one quality, as those of a camera do
_SUBSAMPLINGS = (2, 2, 2, 0, 1)  # Pillow's numbers
_SHIFT, _GAIN, _NOISE = 8.0, (0.9, 1.12), (0.0, 2.5)  # see `made_pairs.burst`
_SIDES = (448, 640)  # of photos that bursts are made of
_TILES_OF_PAIR = 10


class JpegTiles(NamedTuple):
    """A batch of tiles; luma is filled with nothing where it has no more blocks than chroma.

    Attributes:
        luma_levels, luma_off: (N, 16, 16, 64) int16, see `passes.Guesses`, `passes.code_blocks`.
        luma_fractions: (N, 16, 16, 64) int8.
        luma_there: (N, 16, 16) bool.
        chroma_levels, chroma_off: (N, 2, 8, 8, 64) int16.
        chroma_fractions: (N, 2, 8, 8, 64) int8.
        chroma_beside: (N, 8, 8, G) int8, what chroma knows of luma.
        steps: (N, 3, 64) int32.
    """

    luma_levels: Tensor
    luma_off: Tensor
    luma_fractions: Tensor
    luma_there: Tensor
    chroma_levels: Tensor
    chroma_off: Tensor
    chroma_fractions: Tensor
    chroma_beside: Tensor
    steps: Tensor


def jpeg_tiles(
    albums: str | None, held_out: list[str], photos: str | None, tiles: int, seed: int
) -> TileSets:
    """Tiles of training and of validation pairs, found once at the start.

    Args:
        albums: folder of pictures called SET-NUMBER, of which neighbours are pairs, or None.
        held_out: sets that are for measuring only.
        photos: folder of photos without JPEG traces; None is scikit-image's.
        tiles: training tiles; validation has a sixteenth of it, from other photos.
        seed: of everything that is drawn.
    """

    def made(split: str, count: int) -> JpegTiles:
        rng = random.Random(f"{seed} {split}")
        pairs = _pairs(albums, tuple(held_out), list_photos(photos, split), rng)
        return gather((_tiles(*pair, rng) for pair in pairs), count, f"{split} pairs")

    return TileSets(made("train", tiles), made("val", max(16, tiles // 16)))


def _pairs(
    folder: str | None, held_out: tuple[str, ...], photos: list[Path], rng: random.Random
) -> Iterator[tuple[JpegFile, list[Guess]]]:
    """Files, and what others say of them."""
    albums = [] if folder is None else both_ways(folder, held_out)
    while True:
        if albums and rng.random() < 0.5:
            first, second = (read_picture(path).pixels for path in rng.choice(albums))
        else:
            photo = random_crop(rng.choice(photos), rng.choice(_SIDES), 2 * TILE * 8, rng)
            first, second = burst(photo, _SHIFT, rng.uniform(*_GAIN), rng.uniform(*_NOISE), rng)
        (_, low, high), *_ = rng.choices(_QUALITIES, [one[0] for one in _QUALITIES])
        quality, subsampling = rng.randint(low, high), rng.choice(_SUBSAMPLINGS)
        other = quality if rng.random() < _SAME else rng.randint(low, high)
        reference = opened(_jpeg(first, other, subsampling))
        child = read_jpeg(_jpeg(second, quality, subsampling))
        found = best_guess(child, [reference])
        if found is not None:
            yield child, found.guesses


def _jpeg(pixels: Tensor, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def _tiles(file: JpegFile, guesses: list[Guess], rng: random.Random) -> JpegTiles:
    """Random tiles of a file."""
    luma, *chroma = guesses
    rows, columns = chroma[0].levels.shape[:2]
    down, across = (-(-n // m) for n, m in zip(luma.levels.shape[:2], (rows, columns), strict=True))
    off = [
        torch.from_numpy(one.blocks) - guess.levels
        for one, guess in zip(file.components, guesses, strict=True)
    ]
    beside = beside_luma(off[0][None], chroma[0].levels[None, ..., 0]).sizes[0]
    there = torch.ones(luma.levels.shape[:2], dtype=torch.bool)
    found = []
    for _ in range(_TILES_OF_PAIR):
        top, left = (rng.randint(0, max(0, n - TILE)) for n in (rows, columns))
        small = slice(top, top + TILE), slice(left, left + TILE)
        large = (
            slice(top * down, (top + TILE) * down),
            slice(left * across, (left + TILE) * across),
        )
        levels, fractions = luma.levels[large], luma.fractions[large]
        tile = JpegTiles(
            _whole(levels, 2 * TILE).short(),
            _whole(off[0][large], 2 * TILE).short(),
            _whole(fractions, 2 * TILE),
            _whole(there[large][..., None], 2 * TILE)[..., 0],
            torch.stack([_whole(one.levels[small], TILE) for one in chroma]).short(),
            torch.stack([_whole(one[small], TILE) for one in off[1:]]).short(),
            torch.stack([_whole(one.fractions[small], TILE) for one in chroma]),
            _whole(beside[small], TILE),
            torch.stack([one.steps for one in guesses]),
        )
        found.append(tile)
    return JpegTiles(*(torch.stack(group) for group in zip(*found, strict=True)))


def _whole(x: Tensor, side: int) -> Tensor:
    """(i, j, K) with zeros behind up to (side, side, K)."""
    return F.pad(x, (0, 0, 0, side - x.shape[1], 0, side - x.shape[0]))
