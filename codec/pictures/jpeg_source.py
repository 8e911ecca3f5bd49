"""What a JPEG file says of the quality that it was saved with."""

import io
import math
from functools import cache
from typing import NamedTuple

from PIL import Image, JpegImagePlugin

from codec.pictures.quiet import without_warnings

Tables = dict[int, list[int]]
# By samples of luma for one of chroma, across and down.
_CHROMA = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}


class JpegSource(NamedTuple):
    """How the JPEG file that a picture comes from was saved.

    Attributes:
        quality: 1 to 100 where its tables are those of libjpeg at that quality, else None.
        log_step: natural logarithm of the geometric mean step of its luma table.
        chroma: `4:4:4`, `4:2:0`, or what else there is, such as `grey`.
    """

    quality: int | None
    log_step: float
    chroma: str


def jpeg_source(data: bytes) -> JpegSource | None:
    """What a file says; None if it is no JPEG file that can be opened."""
    try:
        with without_warnings():
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
    except (OSError, ValueError, SyntaxError):
        return None
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    tables = image.quantization
    if not tables:
        return None
    samples = (image.layer[0][1], image.layer[0][2])
    chroma = "grey" if image.layers == 1 else _CHROMA.get(samples, "other")
    return JpegSource(
        next(
            (q for q, known in _libjpeg_tables().items() if tables.items() <= known.items()), None
        ),
        _log_step(tables),
        chroma,
    )


@cache
def log_steps() -> tuple[float, ...]:
    """`JpegSource.log_step` of what libjpeg writes at qualities 1 to 100, falling."""
    return tuple(_log_step(tables) for tables in _libjpeg_tables().values())


def _log_step(tables: Tables) -> float:
    luma = next(iter(tables.values()))
    return sum(math.log(max(step, 1)) for step in luma) / len(luma)


@cache
def _libjpeg_tables() -> dict[int, Tables]:
    """The tables that Pillow's libjpeg writes, by quality."""
    found = {}
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
        image = Image.open(buffer)
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        found[quality] = image.quantization
    return found
