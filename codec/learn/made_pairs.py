"""Pairs of pictures that show the same: found in albums, or made of one photo.

Axes: H W pixels.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from codec.pictures.folders import list_pictures
from codec.pictures.mapping import ColourMapping, identity_coefficients
from codec.pictures.picture_files import read_picture
from codec.pictures.resize import resize
from codec.planes import from_planes, to_planes
from codec.prediction.warp import CORNER_ONE, Warp

_SPREAD = 0.05  # of the 27 numbers of a copy's look about those that change nothing


def neighbours(
    folder: str | Path, apart: int = 1, held_out: Sequence[str] = ()
) -> list[tuple[Path, Path]]:
    """Pictures called SET-NUMBER whose numbers follow each other, the first and the later one.

    Args:
        folder: searched with its subfolders.
        apart: how many places.
        held_out: sets that are left out.
    """
    sets: dict[tuple[Path, str], list[Path]] = {}
    for path, _ in list_pictures([folder], (".webp", ".png")):
        name = set_of(path)
        if name not in held_out:
            sets.setdefault((path.parent, name), []).append(path)
    return [pair for paths in sets.values() for pair in zip(paths, paths[apart:], strict=False)]


def both_ways(folder: str | Path, held_out: Sequence[str]) -> list[tuple[Path, Path]]:
    """Neighbours and next but ones, each the first and each the later one."""
    pairs = neighbours(folder, 1, held_out) + neighbours(folder, 2, held_out)
    return pairs + [(second, first) for first, second in pairs]


def random_crop(path: Path, side: int, least: int, rng: random.Random) -> Tensor:
    """A crop of a photo at a random size, (3, H, W) uint8 of at most `side` and, where that takes
    enlarging, at least `least` pixels a side."""
    pixels = read_picture(path).pixels
    scale = max(rng.uniform(0.6, 1.0), least / min(pixels.shape[1:]))
    pixels = resize(pixels, [round(n * scale) for n in pixels.shape[1:]])
    height, width = (min(n, side) for n in pixels.shape[1:])
    top, left = (
        rng.randint(0, n - m) for n, m in zip(pixels.shape[1:], (height, width), strict=True)
    )
    return pixels[:, top : top + height, left : left + width].contiguous()


def set_of(path: Path) -> str:
    """The set that a picture of an album belongs to."""
    return path.stem.rpartition("-")[0]


def burst(
    pixels: Tensor, shift: float, gain: float, noise: float, rng: random.Random, count: int = 2
) -> list[Tensor]:
    """A photo as shots of a burst: the camera moved, the light a little different, new noise.

    Args:
        pixels: (3, H, W) uint8.
        shift: standard deviation of how far corners move, in pixels.
        gain: of every shot but the first.
        noise: standard deviation in grey levels at mid grey, half of its variance from the light.
        rng: of the corners and the noise.
        count: of shots.

    Returns:
        The shots, (3, H, W) uint8; the first one is not moved.
    """
    size = pixels.shape[1], pixels.shape[2]

    def moved() -> Tensor:
        corners = tuple(round(rng.gauss(0, shift) * CORNER_ONE) for _ in range(8))
        return from_planes(Warp(corners)(to_planes(pixels[None])[0], size)[None])[0]

    others = [moved() for _ in range(count - 1)]
    generator = torch.Generator().manual_seed(rng.getrandbits(32))

    def shot(x: Tensor, gain: float) -> Tensor:
        light = x.float() * gain
        deviation = noise * (0.5 + light / 256).sqrt()
        grain = torch.randn(x.shape, generator=generator) * deviation
        return (light + grain).round().clamp(0, 255).to(torch.uint8)

    return [shot(pixels, 1.0), *(shot(one, gain) for one in others)]


def graded(pixels: Tensor, rng: random.Random) -> Tensor:
    """A photo (3, H, W) uint8 with a look of 27 random numbers."""
    coefficients = identity_coefficients()
    coefficients += torch.tensor(
        [[rng.gauss(0, _SPREAD) for _ in row] for row in coefficients], dtype=torch.float64
    )
    result = ColourMapping(coefficients)(pixels[None].double() / 255)[0]
    return (result * 255).round().to(torch.uint8)
