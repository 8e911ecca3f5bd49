"""Which colours photographs have, counted in training photos."""

from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from codec.pictures.storage import output_path, write_atomically
from codec.report import Report
from defilter.learn.photos import load_photos
from defilter.natural_colours import CELLS, COLOURS, FILE, cell_index

# A cell with less than this share of the pixels does not count as occupied: chosen by hand.
RARE = 1e-5


def run(folders: Mapping[str, str], out: str) -> Report:
    """Write the colours of a folder of photos.

    Args:
        folders: `photos` is searched with its subfolders; those of the training split are used.
        out: file to write; `shipped` is defilter's own.
    """
    pixels = load_photos(folders["photos"], "train", size=64, crops=1).movedim(1, -1).reshape(-1, 3)
    path = output_path(out, FILE)
    write_atomically(path, save(measure(pixels)))
    return Report(f"{len(pixels):,} pixels, {path}", [])


def measure(pixels: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Contents of the file, from (P, 3) uint8 pixels."""
    counts = torch.bincount(cell_index(pixels.float() / 255), minlength=CELLS**3)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(pixels), generator=generator)[:COLOURS]
    occupied = counts > RARE * len(pixels)
    return {"colours": pixels[chosen].contiguous(), "occupied": occupied.to(torch.uint8)}
