"""Which colours photographs have, counted on a folder of them: the file that ships.

P pixel.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from codec.pictures.storage import write_atomically
from codec.report import Report
from defilter.learn.photos import load_photos
from defilter.natural_colours import CELLS, cell_index

COLOURS = 2048
RARE = 1e-5  # a cell with less than this share of the pixels does not count as occupied


def run(folders: Mapping[str, str], out: str) -> Report:
    """Write the file that `defilter.natural_colours` reads.

    Args:
        folders: `photos` has the photos, of which the training split is used.
        out: file to write.
    """
    photos = load_photos(folders["photos"], "train", size=64, crops=1)
    pixels = photos.movedim(1, -1).reshape(-1, 3)
    contents = count_colours(pixels)
    write_atomically(Path(out), save(contents))
    occupied = int(contents["occupied"].sum())
    return Report(f"{occupied} of {CELLS**3} cells are occupied: {out}", [])


def count_colours(pixels: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Contents of the file, from (P, 3) uint8 pixels."""
    counts = torch.bincount(cell_index(pixels.float() / 255), minlength=CELLS**3)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(pixels), generator=generator)[:COLOURS]
    occupied = counts > RARE * len(pixels)
    return {"colours": pixels[chosen].contiguous(), "occupied": occupied.to(torch.uint8)}
