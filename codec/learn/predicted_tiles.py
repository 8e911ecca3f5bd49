"""Tiles of pictures that are predicted from others, as the encoder's own symbols.

Four kinds take turns: pairs of an album, bursts and edited copies made of one photo, and layers,
which are predicted from themselves at half the size. References are coded as files hold them.

Axes: N tile, C plane, H W pixels.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor

from codec.align.search import best_for_planes
from codec.container import Filter
from codec.layered.differences import OwnCoder
from codec.layered.layers import base_quality
from codec.layered.settings import LayerSettings
from codec.learn.made_pairs import both_ways, burst, graded, random_crop
from codec.learn.networks import load_answers
from codec.learn.symbols import TILE, Tiles, TileSets, gather, tiles_of
from codec.pictures.picture_files import read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import list_photos
from codec.planes import to_planes
from codec.prediction.chain import hash_of
from codec.prediction.upsample import Upsample
from codec.profile import Profile, profile_of
from codec.residual.colour import fixed_ycbcr_to_rgb, rgb_to_ycocg
from codec.residual.context_sets import Contexts, shipped_contexts
from codec.residual.passes import Networks
from codec.residual.quantise import WEIGHTINGS
from codec.search.encoders import encoder
from codec.settings import BASES, MODES, Settings, step_of
from codec.symbols import exact_planes, symbols_of

_CPU = torch.device("cpu")
_QUALITIES = (15, 95)  # as people use them; chosen by hand, like all that follows
_FINER = (0, 0, 6, 12)  # by how many indices a reference may be finer than what stands on it
_SIDES = (512, 768)  # of photos that bursts, copies and layers are made of
_SHIFT = 8.0  # pixels that the corners of a burst move by, as a standard deviation
_GAIN, _NOISE = (0.85, 1.18), (0.0, 2.5)
_BASE_VARIES = 8  # standard deviation of a base's quality about the one that layers choose
_HINTED = 0.75  # of the tiles: the others learn to do without
_TILES_OF_PAIR = 8


class Pair(NamedTuple):
    """A picture and its prediction.

    Attributes:
        pixels: (3, H, W) uint8.
        planes: (3, H, W) int32, what is predicted.
        step: index that it is coded with.
        weighting: name of the quantisation matrix.
    """

    pixels: Tensor
    planes: Tensor
    step: int
    weighting: str


def predicted_tiles(
    albums: str | None,
    held_out: list[str],
    photos: str | None,
    tiles: int,
    networks: str | None,
    seed: int,
) -> TileSets:
    """Tiles of training and of validation pairs, found and analysed once at the start.

    Args:
        albums: folder of pictures called SET-NUMBER, of which neighbours are pairs, or None.
        held_out: sets that are for measuring only.
        photos: folder of photos without JPEG traces; None is scikit-image's.
        tiles: training tiles; validation has a sixteenth of it, from other photos.
        networks: trained networks whose costs choose the symbols; None is the shipped ones.
        seed: of everything that is drawn.
    """
    costs = shipped_contexts("full", _CPU) if networks is None else load_answers(networks)
    made = PredictedTiles(albums, tuple(held_out), photos, costs, seed)
    return TileSets(made("train", tiles), made("val", max(16, tiles // 16)))


@dataclass(frozen=True)
class PredictedTiles:
    """Makes pairs, and cuts tiles out of them; attributes as the arguments of `predicted_tiles`."""

    albums: str | None
    held_out: tuple[str, ...]
    photos: str | None
    networks: Networks
    seed: int

    def __call__(self, split: str, tiles: int) -> Tiles:
        rng = random.Random(f"{self.seed} {split}")
        parts = (self._tiles(pair, rng) for pair in self._pairs(split, rng))
        return gather(parts, tiles, f"{split} pairs")

    def _pairs(self, split: str, rng: random.Random) -> Iterator[Pair]:
        photos = list_photos(self.photos, split)
        albums = [] if self.albums is None else both_ways(self.albums, self.held_out)
        makers: list[Callable[[], Pair | None]] = [
            lambda: _burst(_photo(photos, rng), rng),
            lambda: _layer(_photo(photos, rng), rng),
            lambda: _copy(_photo(photos, rng), rng),
        ]
        if albums:
            album = lambda: _album(albums, rng)  # noqa: E731
            makers = [album, makers[0], makers[1], album, makers[2], makers[1], album, makers[1]]
        while True:
            for make in makers:
                pair = make()
                if pair is not None:
                    yield pair

    def _tiles(self, pair: Pair, rng: random.Random) -> Tiles:
        """Random tiles of a pair, analysed as an encoder does."""
        pixels, guess = [], []
        height, width = pair.pixels.shape[1:]
        for _ in range(_TILES_OF_PAIR):
            top, left = rng.randint(0, height - TILE), rng.randint(0, width - TILE)
            here = (slice(None), slice(top, top + TILE), slice(left, left + TILE))
            turn = rng.random() < 0.5, rng.random() < 0.5
            pixels.append(_turned(pair.pixels[here], turn))
            guess.append(_turned(pair.planes[here], turn))
        return _symbols(torch.stack(pixels), torch.stack(guess), pair, self.networks, rng)


def _symbols(
    pixels: Tensor, guess: Tensor, pair: Pair, networks: Networks, rng: random.Random
) -> Tiles:
    hinted = rng.random() < _HINTED
    profile = Profile(
        3,
        MODES[pair.weighting],
        pair.step,
        Filter.EDGE,
        cast(Contexts, networks),
        predicted=True,
        hints=hinted,
    )
    found = symbols_of(pixels, [pair.step] * len(pixels), profile, guess)
    corner = (..., slice(TILE // 2), slice(TILE // 2))
    exact = rgb_to_ycocg(pixels[corner].int())
    exact = exact - rgb_to_ycocg(fixed_ycbcr_to_rgb(guess[corner]).int())
    return tiles_of(pixels, exact, found)


def _turned(x: Tensor, turn: tuple[bool, bool]) -> Tensor:
    x = x.flip(2) if turn[0] else x
    return x.mT if turn[1] else x


def _coded(pixels: Tensor, step: int, weighting: str) -> Tensor:
    """(3, H, W) int32: the exact planes of a picture that was coded alone."""
    profile = profile_of(Settings(mode=weighting), 3, _CPU)
    found = exact_planes(symbols_of(pixels[None], [max(0, step)], profile), profile)
    return found[0, :, : pixels.shape[1], : pixels.shape[2]]


def _drawn(rng: random.Random) -> tuple[str, int, int]:
    """A quantisation matrix, a quality and its step."""
    weighting, quality = rng.choice(list(WEIGHTINGS)), rng.randint(*_QUALITIES)
    return weighting, quality, step_of(quality, weighting)


def _search(reference: Tensor, pixels: Tensor, rng: random.Random) -> Pair | None:
    """The best prediction of a picture from another one, which is coded first."""
    weighting, _, step = _drawn(rng)
    planes = _coded(reference, step - rng.choice(_FINER), weighting)
    wanted = to_planes(pixels[None])[0]
    found = best_for_planes(wanted, {hash_of(planes): planes}, step, WEIGHTINGS[weighting])
    return None if found is None else Pair(pixels, found.planes, step, weighting)


def _album(pairs: list[tuple[Path, Path]], rng: random.Random) -> Pair | None:
    reference, child = rng.choice(pairs)
    return _search(read_picture(reference).pixels, read_picture(child).pixels, rng)


def _photo(paths: list[Path], rng: random.Random) -> Tensor:
    return random_crop(rng.choice(paths), rng.choice(_SIDES), TILE + 32, rng)


def _burst(pixels: Tensor, rng: random.Random) -> Pair | None:
    first, second = burst(pixels, _SHIFT, rng.uniform(*_GAIN), rng.uniform(*_NOISE), rng)
    return _search(first, second, rng)


def _copy(pixels: Tensor, rng: random.Random) -> Pair | None:
    return _search(pixels, graded(pixels, rng), rng)


def _layer(pixels: Tensor, rng: random.Random) -> Pair:
    """A photo over itself at half the size, in the coding of a base."""
    weighting, quality, step = _drawn(rng)
    size = pixels.shape[1], pixels.shape[2]
    half = resize(pixels, [-(-n // 2) for n in size])
    name = rng.choice(BASES)
    usual = base_quality(LayerSettings(name, coder=OwnCoder(Settings(quality, weighting))))
    base = encoder(name)
    base = base.full_chroma or base
    chosen = round(rng.gauss(usual, _BASE_VARIES))
    decoded = base.probe(half, min(95, max(10, chosen))).decoded
    return Pair(pixels, Upsample(2, 2)(to_planes(decoded[None])[0], size), step, weighting)
