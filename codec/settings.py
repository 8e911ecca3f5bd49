"""Encoding settings: defaults, validation, quality to step index."""

import json
import math
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

from codec.container import Filter, Mode

QUALITIES = range(1, 101)
QUALITY_TABLE = Path(__file__).with_name("qualities.json")
MODES = {"mse": Mode.MSE, "perceptual": Mode.PERCEPTUAL}
FILTERS = {"none": Filter.NONE, "edge": Filter.EDGE, "network": Filter.NETWORK}
EFFORTS = ("fast", "full")
# What a search may be asked for: formats, and scores with their best value. Here, so that commands
# know the names without importing torch.
DEFAULT_SSIMULACRA2 = 80.0  # its author's "very high quality": no difference seen side by side
FORMATS = ("jpeg", "webp", "avif", "jxl", "dfc")
# What layers may be made of, see `codec.layered`.
BASES = ("jpeg", "webp", "avif", "dfc")
DIFFERENCES = ("own", "offset", "zip")
SAMPLINGS = ("nearest", "bilinear", "box", "bicubic")
KERNELS = ("nearest", "bilinear", "bicubic")
TAGS = ("stream", "name", "agreed")
SCORE_SCALES = {
    "ssim": 1.0,
    "ms_ssim": 1.0,
    "psnr": math.inf,  # dB
    "smallfry": 115.7220,
    "ssimulacra2": 100.0,
}


class Settings(NamedTuple):
    """How to encode.

    Attributes:
        quality: 1 to 100.
        mode: `mse` spends bits where they raise PSNR, `perceptual` where eyes look.
        lossless: every pixel back; quality and mode do not matter then.
        filter: `none`, `edge` or `network`, what the decoder does at the end.
        effort: `full`, or `fast` with linear contexts and one transform size.
    """

    quality: int = 80
    mode: str = "perceptual"
    lossless: bool = False
    filter: str = "edge"
    effort: str = "full"


def check_settings(settings: Settings) -> None:
    """Raise ValueError for a setting out of range."""
    quality = settings.quality
    if not isinstance(quality, Integral) or isinstance(quality, bool) or quality not in QUALITIES:
        raise ValueError(f"expected a whole quality from 1 to 100, got {quality!r}")
    for name, choices in (("mode", MODES), ("filter", FILTERS), ("effort", EFFORTS)):
        value = getattr(settings, name)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"expected {name} out of {', '.join(choices)}, got {value!r}")


def filter_for(settings: Settings, planes: int) -> Filter:
    """The filter of a picture; the network knows colour only, so grey gets the edge filter."""
    filter_ = FILTERS[settings.filter]
    return Filter.EDGE if filter_ == Filter.NETWORK and planes == 1 else filter_


def step_of(quality: int, mode: str) -> int:
    """Step index of a quality, see `codec.learn.quality_table`."""
    return _quality_table()[mode][quality - QUALITIES[0]]


@cache
def _quality_table() -> dict[str, list[int]]:
    return json.loads(QUALITY_TABLE.read_text(encoding="utf-8"))
