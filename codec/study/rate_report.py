"""The pages of the rate-distortion study: plots, crops at equal size of file, tables. One file."""

import io
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from codec.pictures.picture_files import encode_png
from codec.pictures.storage import write_atomically
from codec.report import render_page
from codec.search.encoders import Encoder

_CROP = 192
_BITS = 0.4  # a pixel, of the crops
_LABELS = {
    "psnr_rgb": "PSNR RGB, dB",
    "psnr_y": "PSNR Y, dB",
    "ms_ssim": "MS-SSIM, dB",
    "ssimulacra2": "SSIMULACRA2",
}


def write_report(
    target: Path,
    points: dict[str, dict[str, list]],
    pictures: dict[str, Tensor],
    contenders: dict[str, Encoder],
    tables: dict[str, list[dict[str, Any]]],
) -> None:
    """Write report.html and the plots as PNG."""
    plots = {}
    for metric, label in _LABELS.items():
        plots[label] = png_of(_plot(points, pictures, metric, label))
        write_atomically(target / f"{metric}.png", plots[label])
    page = render_page(
        Path(__file__).with_name("rate_report.html"),
        pictures=len(pictures),
        plots=plots,
        bits=_BITS,
        crops=_crops(points, pictures, contenders),
        tables=tables,
    )
    write_atomically(target / "report.html", page)


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
) -> dict[str, dict[str, bytes]]:
    """By picture and note, the middle of up to three pictures as PNG: the original, and every codec
    at the rate nearest to _BITS."""
    crops: dict[str, dict[str, bytes]] = {}
    names = list(pictures)
    for title in names[:: max(1, len(names) // 3)][:3]:
        picture = pictures[title]
        top, left = ((n - _CROP) // 2 if n > _CROP else 0 for n in picture.shape[1:])
        window = (slice(None), slice(top, top + _CROP), slice(left, left + _CROP))
        crops[title] = {"original": encode_png(picture[window])}
        pixels = picture[0].numel()
        for name, one in contenders.items():
            point = min(points[name][title], key=lambda p: abs(8 * p.bytes / pixels - _BITS))
            decoded = one.decode(one.encode(picture, point.quality))
            note = f"{name}: {8 * point.bytes / pixels:.2f} bpp, {point.psnr_rgb:.1f} dB"
            crops[title][note] = encode_png(decoded[window])
    return crops


def png_of(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
