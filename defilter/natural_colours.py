"""Which colours photographs have: where a look must be right, and where it can be seen.

`natural_colours.safetensors` was written from the training photos by

    python -m defilter.natural_colours PHOTO_FOLDER
"""

import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from codec.pictures.lut import apply_trilinear
from codec.pictures.storage import write_atomically

FILE = Path(__file__).with_suffix(".safetensors")
CELLS = 16  # an axis of the colour cube
COLOURS = 2048
RARE = 1e-5  # a cell with less than this share of the pixels does not count as occupied


class NaturalColours(NamedTuple):
    """Attributes:
    colours: (2048, 3) float32 RGB in [0, 1], pixels drawn as often as they occur.
    occupied: (4096,) bool, which cells of the 16^3 grid photos occupy (red fastest).
    """

    colours: Tensor
    occupied: Tensor


@cache
def natural_colours() -> NaturalColours:
    stored = load_file(FILE)
    return NaturalColours(stored["colours"].float() / 255, stored["occupied"].bool())


@cache
def _colours_on(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, 3, 1, 2048): uploaded once, and not in every step of a training."""
    return natural_colours().colours.to(device, dtype).T[None, :, None]


def natural_pairs(tables: Tensor) -> tuple[Tensor, Tensor]:
    """What looks do to the colours that photographs have.

    Args:
        tables: (L, 3, D, D, D), as `codec.pictures.lut` lays them out.

    Returns:
        (L, 2048, 3) colours before, and after, clamped to [0, 1].
    """
    before = _colours_on(tables.device, tables.dtype).expand(len(tables), -1, -1, -1)
    after = apply_trilinear(before, tables).clamp(0, 1)
    return before.squeeze(2).mT, after.squeeze(2).mT


def cell_index(colours: Tensor) -> Tensor:
    """(P, 3) colours in [0, 1] -> (P,) index of their cell in the 16^3 grid, red fastest."""
    cell = (colours * CELLS).long().clamp(0, CELLS - 1)
    return cell[:, 0] + CELLS * (cell[:, 1] + CELLS * cell[:, 2])


def measure(pixels: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Contents of the file, from (P, 3) uint8 pixels."""
    counts = torch.bincount(cell_index(pixels.float() / 255), minlength=CELLS**3)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(pixels), generator=generator)[:COLOURS]
    occupied = counts > RARE * len(pixels)
    return {"colours": pixels[chosen].contiguous(), "occupied": occupied.to(torch.uint8)}


if __name__ == "__main__":
    from defilter.learn.photos import load_photos

    photos = load_photos(sys.argv[1], "train", size=64, crops=1)
    pixels = photos.movedim(1, -1).reshape(-1, 3)
    write_atomically(FILE, save(measure(pixels)))
