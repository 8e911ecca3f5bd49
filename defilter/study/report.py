"""A transfer to look at: one self-contained page, and a contact sheet.

The page holds a before/after slider for each photo, the curves of the look, its coverage and the
timings. It loads nothing from anywhere.
"""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import quote

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from codec.pictures.picture_files import encode_jpeg, to_dtype
from codec.pictures.storage import write_atomically
from defilter.look import Look
from defilter.study.maps import PhotoMaps

MOST_SLIDERS = 24
SLIDER_SIDE = 1024
THUMBNAIL_SIDE = 320
SHEET_SIDE, SHEET_COLUMNS, SHEET_PHOTOS = 320, 4, 12
_PAGE = Path(__file__).with_name("report.html")
_CHANNELS = (("red", "#d33"), ("green", "#2a2"), ("blue", "#36d"))


class Comparison(NamedTuple):
    """A photo and its rendering.

    Attributes:
        name: path of the rendering relative to the page.
        before, after: (3, H, W) in [0, 1], `reduced`, or None where the page only links to the
            file.
        coverage: share of the photo's pixels whose colours the look has analysis.
        evidence: what was seen in the photo, or None.
    """

    name: str
    before: Tensor | None
    after: Tensor | None
    coverage: float
    evidence: PhotoMaps | None = None


def write_report(
    look: Look,
    templates: Sequence[Comparison],
    comparisons: Sequence[Comparison],
    timings: dict[str, float],
    network: str,
    path: Path,
) -> None:
    """Write the page.

    Args:
        look: what was taken.
        templates: the de-filtered templates against the templates.
        comparisons: one a photo; those without pictures are linked.
        timings: seconds by what they were spent on.
        network: name of the weights.
        path: of the page.
    """
    shown = [c for c in comparisons if c.before is not None]
    linked = [c for c in comparisons if c.before is None]
    links = "".join(
        f'<li><a href="{quote(c.name)}">{html.escape(c.name)}</a> {html.escape(_note(c))}</li>'
        for c in linked
    )
    page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        templates=html.escape(", ".join(look.provenance.get("templates", []))),
        network=html.escape(network),
        coverage=f"{look.coverage or 0:.0%}",
        removed="".join(_slider(c, "without its look, and as it is") for c in templates),
        curves=curves_svg(look),
        own=_own_looks(look),
        sliders="".join(_slider(c, _note(c)) for c in shown),
        links=f"<h2>More renderings</h2><ul>{links}</ul>" if links else "",
        timings="".join(
            f"<tr><td>{html.escape(what)}</td><td>{seconds:.2f} s</td></tr>"
            for what, seconds in timings.items()
        ),
    )
    write_atomically(path, page.encode())


def _own_looks(look: Look) -> str:
    """One sentence about looks of parts."""
    if not look.categories:
        return ""
    return f"Looks of their own: {html.escape(', '.join(look.categories))}."


def _note(comparison: Comparison) -> str:
    covered = f"{comparison.coverage:.0%} of its colours were seen in the template"
    if comparison.evidence is None or not comparison.evidence.note:
        return covered
    return f"{comparison.evidence.note}; {covered}"


def _slider(comparison: Comparison, note: str) -> str:
    before, after = comparison.before, comparison.after
    assert before is not None and after is not None
    name, evidence = html.escape(comparison.name), comparison.evidence
    return (
        f'<figure><div class="seen"><div class="pair" '
        f'style="aspect-ratio:{before.shape[2]}/{before.shape[1]}">'
        f'<img alt="before" src="{_data_url(before)}"><img alt="after" class="after" '
        f'src="{_data_url(after)}">{_boxes(evidence)}<input type="range" min="0" max="100" '
        f'value="50" aria-label="before and after of {name}"></div>{_maps(evidence)}</div>'
        f"<figcaption><b>{name}</b> {html.escape(note)}</figcaption></figure>"
    )


def _boxes(evidence: PhotoMaps | None) -> str:
    """Faces, drawn over the slider."""
    if evidence is None or not evidence.faces:
        return ""
    drawn = "".join(
        f'<rect x="{100 * x:.2f}" y="{100 * y:.2f}" width="{100 * w:.2f}" height="{100 * h:.2f}"/>'
        for x, y, w, h in evidence.faces
    )
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _maps(evidence: PhotoMaps | None) -> str:
    """Degree and areas beside the slider, small."""
    if evidence is None or evidence.degree is None:
        return ""
    degree = evidence.degree
    drawn = reduced(degree.expand(3, -1, -1), THUMBNAIL_SIDE)
    parts = [
        f'<img alt="degree map" src="{_data_url(drawn)}">'
        f"<p>degree {float(degree.min()):.2f} to {float(degree.max()):.2f}, "
        f"mean {float(degree.mean()):.2f}</p>"
    ]
    if evidence.area_map is not None:
        names = " ".join(
            f'<span style="--colour:rgb({_rgb(area.colour)})">'
            f"{html.escape(area.name)} {area.share:.0%}{'*' if area.own_look else ''}</span>"
            for area in evidence.areas
        )
        picture = _data_url(reduced(evidence.area_map, THUMBNAIL_SIDE))
        parts.append(f'<img alt="area map" src="{picture}"><p class="names">{names}</p>')
    return f'<div class="maps">{"".join(parts)}</div>'


def _rgb(colour: Tensor) -> str:
    return ",".join(str(round(255 * value)) for value in colour.tolist())


def _data_url(picture: Tensor) -> str:
    jpeg = base64.b64encode(encode_jpeg(to_dtype(picture, torch.uint8), 85)).decode()
    return f"data:image/jpeg;base64,{jpeg}"


def reduced(picture: Tensor, side: int = SLIDER_SIDE) -> Tensor:
    """(3, H, W) reduced so that its longer side is at most `side`."""
    height, width = picture.shape[1:]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(picture[None], size, mode="bilinear", antialias=True)
    return small[0].clamp(0, 1)


def curves_svg(look: Look) -> str:
    """What the look does to greys, as an SVG of three curves over the identity."""
    grey = torch.linspace(0, 1, 65)
    after = look.mapping(grey.expand(1, 3, 1, -1))[0, :, 0]
    lines = [
        f'<polyline points="{_points(grey, after[c])}" stroke="{colour}"><title>{name}</title>'
        "</polyline>"
        for c, (name, colour) in enumerate(_CHANNELS)
    ]
    return (
        '<svg viewBox="-4 -4 208 208" role="img" aria-label="curves of the look on greys">'
        '<rect width="200" height="200" fill="none" stroke="#ccc"/>'
        '<polyline points="0,200 200,0" stroke="#bbb" stroke-dasharray="4"/>'
        f"{''.join(lines)}</svg>"
    )


def _points(x: Tensor, y: Tensor) -> str:
    return " ".join(
        f"{200 * a:.1f},{200 - 200 * b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)
    )


def write_contact_sheet(
    templates: Sequence[Comparison], comparisons: Sequence[Comparison], path: Path
) -> None:
    """Template, de-filtered template, then photos beside their renderings, as a PNG."""
    tiles: list[tuple[str, Tensor]] = []
    titled = [
        (pair, f"de-filtered: {pair.name}", f"template: {pair.name}") for pair in templates[:2]
    ]
    for pair in comparisons[:SHEET_PHOTOS]:
        degree = "" if pair.evidence is None else f", degree {pair.evidence.strength:.2f}"
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
