"""Which colours photographs have: where a look must be right, and where it can be seen.

`natural_colours.safetensors` was written from the training photos by `study=natural_colours`.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

from codec.pictures.lut import apply_trilinear

FILE = Path(__file__).with_suffix(".safetensors")
CELLS = 16  # an axis of the colour cube


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


def natural_pairs(tables: Tensor) -> tuple[Tensor, Tensor]:
    """What looks do to the colours that photographs have.

    Args:
        tables: (L, 3, D, D, D), as `codec.pictures.lut` lays them out.

    Returns:
        (L, 2048, 3) colours before, and after, clamped to [0, 1].
    """
    colours = natural_colours().colours.to(tables)
    before = colours.T[None, :, None].expand(len(tables), -1, -1, -1)
    after = apply_trilinear(before, tables).clamp(0, 1)
    return before.squeeze(2).mT, after.squeeze(2).mT


def cell_index(colours: Tensor) -> Tensor:
    """(P, 3) colours in [0, 1] -> (P,) index of their cell in the 16^3 grid, red fastest."""
    cell = (colours * CELLS).long().clamp(0, CELLS - 1)
    return cell[:, 0] + CELLS * (cell[:, 1] + CELLS * cell[:, 2])
