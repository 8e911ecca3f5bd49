"""The pages of the rate-distortion study: plots, crops at equal size of file, tables. One file."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from codec.pictures.picture_files import encode_png
from codec.pictures.storage import write_atomically
from codec.search.encoders import Encoder

_CROP = 192
_BITS = 0.4  # a pixel, of the crops
_LABELS = {
    "psnr_rgb": "PSNR RGB, dB",
    "psnr_y": "PSNR Y, dB",
    "ms_ssim": "MS-SSIM, dB",
    "ssimulacra2": "SSIMULACRA2",
}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0;font-size:13px}td,th{border-bottom:1px solid #ddd;
padding:.3em .7em;text-align:right;white-space:nowrap}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:0 1em 1em 0}figcaption{font-size:13px;color:#444}
img{max-width:100%}.crop{image-rendering:pixelated;width:288px}.wide{overflow-x:auto}"""


def write_report(
    target: Path,
    points: dict[str, dict[str, list]],
    pictures: dict[str, Tensor],
    contenders: dict[str, Encoder],
    qualities: dict[str, list[int]],
    tables: dict[str, list[dict[str, Any]]],
) -> None:
    """Write report.html and the plots as PNG."""
    parts = [f"<h1>Rate and distortion</h1><p>{len(pictures)} pictures, real files.</p>"]
    for metric, label in _LABELS.items():
        figure = _plot(points, pictures, metric, label)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        write_atomically(target / f"{metric}.png", buffer.getvalue())
        parts.append(f'<figure><img alt="{label}" src="{_inline(buffer.getvalue())}"></figure>')
    parts.append(f"<h2>Crops at about {_BITS} bits a pixel</h2>")
    parts += _crops(points, pictures, contenders)
    parts += [f"<h2>{html.escape(title)}</h2>{_table(rows)}" for title, rows in tables.items()]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Rate and distortion</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )
    write_atomically(target / "report.html", page.encode())


def _plot(
    points: dict[str, dict[str, list]], pictures: dict[str, Tensor], metric: str, label: str
) -> Figure:
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))  # more codecs than ten
    for name, curves in points.items():
        steps = list(zip(*curves.values(), strict=True))
        rate = [
            sum(8 * p.bytes / x[0].numel() for p, x in zip(step, pictures.values(), strict=True))
            / len(step)
            for step in steps
        ]
        quality = [sum(getattr(p, metric) for p in step) / len(step) for step in steps]
        style = "-" if name.startswith("dfc") else "--"
        axes.plot(rate, quality, style, marker="o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bits a pixel, mean over pictures")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def _crops(
    points: dict[str, dict[str, list]],
    pictures: dict[str, Tensor],
    contenders: dict[str, Encoder],
) -> list[str]:
    """The middle of up to three pictures from every codec, at the rate nearest to _BITS."""
    parts = []
    names = list(pictures)
    for title in names[:: max(1, len(names) // 3)][:3]:
        picture = pictures[title]
        top, left = ((n - _CROP) // 2 if n > _CROP else 0 for n in picture.shape[1:])
        window = (slice(None), slice(top, top + _CROP), slice(left, left + _CROP))
        parts.append(f"<h3>{html.escape(title)}</h3>")
        parts.append(_figure(picture[window], "original"))
        pixels = picture[0].numel()
        for name, one in contenders.items():
            point = min(points[name][title], key=lambda p: abs(8 * p.bytes / pixels - _BITS))
            decoded = one.decode(one.encode(picture, point.quality))
            note = f"{name}: {8 * point.bytes / pixels:.2f} bpp, {point.psnr_rgb:.1f} dB"
            parts.append(_figure(decoded[window], note))
    return parts


def _figure(pixels: Tensor, note: str) -> str:
    source = _inline(encode_png(pixels))
    return (
        f'<figure><img class="crop" alt="" src="{source}">'
        f"<figcaption>{html.escape(note)}</figcaption></figure>"
    )


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _table(rows: Sequence[dict[str, Any]]) -> str:
    header = list(rows[0])
    head = "".join(f"<th>{html.escape(key)}</th>" for key in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(row.get(k, '')))}</td>" for k in header) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
