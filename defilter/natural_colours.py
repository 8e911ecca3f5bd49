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

from codec.image_io import write_atomically

FILE = Path(__file__).with_suffix(".safetensors")
CELLS = 16  # an axis of the colour cube
COLOURS = 2048
RARE = 1e-5  # a cell with less than this share of the pixels does not count as occupied


class NaturalColours(NamedTuple):
    """Attributes:
    colours: (2048, 3) float32 RGB in [0, 1], drawn evenly from occupied cells and from pixels.
    occupied: (4096,) bool, which cells of the 16^3 grid photos occupy (red fastest).
    """

    colours: Tensor
    occupied: Tensor


@cache
def natural_colours() -> NaturalColours:
    stored = load_file(FILE)
    return NaturalColours(stored["colours"].float() / 255, stored["occupied"].bool())


def cell_index(colours: Tensor) -> Tensor:
    """(P, 3) colours in [0, 1] -> (P,) index of their cell in the 16^3 grid, red fastest."""
    cell = (colours * CELLS).long().clamp(0, CELLS - 1)
    return cell[:, 0] + CELLS * (cell[:, 1] + CELLS * cell[:, 2])


def measure(pixels: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Contents of the file, from (P, 3) uint8 pixels."""
    cells = cell_index(pixels.float() / 255)
    counts = torch.bincount(cells, minlength=CELLS**3)
    generator = torch.Generator().manual_seed(seed)
    # Between the pixels' own frequencies and an even spread over the cells: the geometric mean.
    chosen = torch.multinomial(counts[cells].float() ** -0.5, COLOURS, generator=generator)
    occupied = counts > RARE * len(pixels)
    return {"colours": pixels[chosen].contiguous(), "occupied": occupied.to(torch.uint8)}


if __name__ == "__main__":
    from defilter.data.photos import load_photos

    photos = load_photos(sys.argv[1], "train", size=64, crops=1)
    pixels = photos.movedim(1, -1).reshape(-1, 3)
    subset = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[: 2**24 - 1]
    write_atomically(FILE, save(measure(pixels[subset])))
