"""A transfer to look at: one self-contained page, and a contact sheet.

The page holds a before/after slider for each photo, the curves of the look, its coverage and the
timings. It loads nothing from anywhere.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from codec.pictures.picture_files import encode_jpeg, to_dtype
from codec.pictures.storage import write_atomically
from codec.report import data_url, render_page
from defilter.look import Look
from defilter.render import WEAK
from defilter.study.maps import PhotoMaps

MOST_SLIDERS = 24
SLIDER_SIDE = 1024
THUMBNAIL_SIDE = 320
SHEET_SIDE, SHEET_COLUMNS, SHEET_PHOTOS = 320, 4, 12
_CHANNELS = (("red", "#d33"), ("green", "#2a2"), ("blue", "#36d"))


class Comparison(NamedTuple):
    """A photo and its rendering, or a template without its look and as it is.

    Attributes:
        name: path of the rendering relative to the page.
        before, after: (3, H, W) in [0, 1], `reduced`, or None where the page only links to the
            file.
        coverage: share of the photo's pixels whose colours the look has seen; None of a template.
        maps: what was found in the photo; None of a template.
    """

    name: str
    before: Tensor | None
    after: Tensor | None
    coverage: float | None = None
    maps: PhotoMaps | None = None


def write_report(
    look: Look,
    templates: Sequence[Comparison],
    comparisons: Sequence[Comparison],
    timings: dict[str, float],
    path: Path,
) -> None:
    """Write the page.

    Args:
        look: what was taken.
        templates: the de-filtered templates against the templates.
        comparisons: one a photo; those without pictures are linked.
        timings: seconds by what they were spent on.
        path: of the page.
    """
    degrees = [c.maps.degree for c in comparisons if c.maps is not None]
    page = render_page(
        Path(__file__).with_name("report.html"),
        {"jpeg": _data_url, "thumbnail": _thumbnail},
        look=look,
        templates=templates,
        sliders=[c for c in comparisons if c.before is not None],
        links=[c for c in comparisons if c.before is None],
        curves=_curves(look),
        timings=timings,
        weak=any(degree < WEAK for degree in degrees),
    )
    write_atomically(path, page)


def _curves(look: Look) -> dict[str, tuple[str, str]]:
    """What the look does to greys: by channel the colour and points of an SVG curve, 200 wide."""
    diagonal = look.lut(65).diagonal(dim1=1, dim2=2).diagonal(dim1=1, dim2=2)
    x = torch.linspace(0, 200, diagonal.shape[1]).tolist()
    return {
        name: (
            colour,
            " ".join(f"{a:.1f},{200 - 200 * b:.1f}" for a, b in zip(x, y, strict=True)),
        )
        for (name, colour), y in zip(_CHANNELS, diagonal.tolist(), strict=True)
    }


def _thumbnail(picture: Tensor) -> str:
    return _data_url(reduced(picture.expand(3, -1, -1), THUMBNAIL_SIDE))


def _data_url(picture: Tensor) -> str:
    return data_url(encode_jpeg(to_dtype(picture, torch.uint8), 85), "jpeg")


def reduced(picture: Tensor, side: int = SLIDER_SIDE) -> Tensor:
    """(3, H, W) reduced so that its longer side is at most `side`."""
    height, width = picture.shape[1:]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(picture[None], size, mode="bilinear", antialias=True)
    return small[0].clamp(0, 1)


def write_contact_sheet(
    templates: Sequence[Comparison], comparisons: Sequence[Comparison], path: Path
) -> None:
    """Template, de-filtered template, then photos beside their renderings, as a PNG."""
    tiles: list[tuple[str, Tensor]] = []
    titled = [
        (pair, f"de-filtered: {pair.name}", f"template: {pair.name}") for pair in templates[:2]
    ]
    for pair in comparisons[:SHEET_PHOTOS]:
        degree = "" if pair.maps is None else f", degree {pair.maps.degree:.2f}"
        titled.append((pair, pair.name, f"with the look{degree}"))
    for pair, first, second in titled:
        if pair.before is not None and pair.after is not None:
            tiles.append((first, reduced(pair.before, SHEET_SIDE)))
            tiles.append((second, reduced(pair.after, SHEET_SIDE)))
    rows = -(-len(tiles) // SHEET_COLUMNS)
    figure = Figure(figsize=(3 * SHEET_COLUMNS, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, SHEET_COLUMNS, squeeze=False).flatten()
    for axis in axes:
        axis.axis("off")
    for axis, (title, picture) in zip(axes, tiles, strict=False):
        axis.imshow(picture.permute(1, 2, 0).numpy())
        axis.set_title(title, fontsize=9, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())
