"""Looks of two optional packages that imitate Instagram: for benchmarks and the closed set only.

`instafilter` holds small networks fitted to the real filters, `pilgram2` re-implements CSS ones.
`make bench-deps` installs both. Neither is ever trained on, but by `experiment=closed_set`.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from defilter.learn.look_bank import Looks

# The colour looks of the IFFI data set; its sixteenth, Willow, is black and white.
CLOSED_SET = (
    "1977",
    "Amaro",
    "Brannan",
    "Clarendon",
    "Gingham",
    "Hefe",
    "Hudson",
    "Lo-Fi",
    "Mayfair",
    "Nashville",
    "Perpetua",
    "Sutro",
    "Toaster",
    "Valencia",
    "X-ProII",
)
INSTAFILTER_COLOUR = tuple(
    sorted(
        {
            *CLOSED_SET,
            "Aden",
            "Ashby",
            "Brooklyn",
            "Charmes",
            "Crema",
            "Dogpatch",
            "Earlybird",
            "Ginza",
            "Helena",
            "Juno",
            "Kelvin",
            "Lark",
            "Ludwig",
            "Melvin",
            "Reyes",
            "Rise",
            "Sierra",
            "Skyline",
            "Slumber",
            "Stinson",
            "Vesper",
            "Walden",
        }
    )
)
PILGRAM = ("clarendon", "mayfair", "nashville", "xpro2")
_GRID_STEP = 15  # 18 grid points an axis, exact in 8 bits


class MissingPackage(ValueError):
    """An optional package that a benchmark needs."""


def instafilter_look(name: str) -> Callable[[Tensor], Tensor]:
    """(3, H, W) uint8 -> (3, H, W) uint8 with the look."""
    model = _instafilter(name)

    def look(pixels: Tensor) -> Tensor:
        blue_green_red = np.ascontiguousarray(pixels.flip(0).permute(1, 2, 0).numpy())
        return torch.from_numpy(model(blue_green_red)).permute(2, 0, 1).flip(0)

    return look


def pilgram_look(name: str) -> Callable[[Tensor], Tensor]:
    """(3, H, W) uint8 -> (3, H, W) uint8 with the look."""
    function = getattr(_import("pilgram2"), name)

    def look(pixels: Tensor) -> Tensor:
        image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        return torch.from_numpy(np.array(function(image).convert("RGB"))).permute(2, 0, 1)

    return look


def load_instafilter(names: tuple[str, ...] = CLOSED_SET) -> Looks:
    """Looks of `instafilter` as tables of 18 grid points."""
    levels = torch.arange(0, 256, _GRID_STEP, dtype=torch.uint8)
    size = len(levels)
    blue, green, red = torch.meshgrid(levels, levels, levels, indexing="ij")
    grid = torch.stack((red, green, blue)).view(3, size, size * size)
    tables = []
    for name in tqdm(names, desc="instafilter looks", disable=None):
        # The package rounds down: half a step more is the unbiased value.
        filtered = instafilter_look(name)(grid).float() + 0.5
        tables.append((filtered / 255).clamp(0, 1).view(3, size, size, size))
    return Looks(list(names), torch.stack(tables))


def require(*packages: str) -> None:
    """Refuse early where an optional package is missing.

    Raises:
        MissingPackage: names it and the remedy.
    """
    for package in packages:
        _import(package)


@cache
def _instafilter(name: str) -> Any:
    return _import("instafilter").Instafilter(name, device="cpu")


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackage(f"expected the package {name}; run: make bench-deps") from error
