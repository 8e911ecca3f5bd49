"""Layered pictures beside one layer, one JPEG, one AVIF, and separate files of every size.

Every contender codes every picture at several qualities. What layers cost is read off at rates: the
PSNR that they reach there, and what this codec takes for it in one layer.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator
from torch import Tensor
from tqdm import tqdm

from codec import picture as picture_codec
from codec.layered.differences import OffsetCoder, OwnCoder
from codec.layered.geometry import Division, shrink
from codec.layered.layers import decode_layers, encode_layers
from codec.layered.settings import LayerSettings
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import encode_png
from codec.pictures.sample_photos import load_pictures
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.pictures.storage import write_atomically
from codec.pictures.workers import spread
from codec.report import Report, render_page, save_tables
from codec.search.encoders import encoder
from codec.settings import Settings
from codec.study.rate_report import png_of

SINGLE, JPEG = "one layer", "one JPEG 4:2:0"
_MODE = "mse"
_RATES = (0.3, 0.5, 1.0, 2.0)  # bits a pixel
_CROP = 224
_CROPS_AT = 0.5  # bits a pixel


class Point(NamedTuple):
    """A picture coded once: its quality, bytes of everything, PSNR-RGB in dB, SSIMULACRA2."""

    quality: int
    size: int
    psnr: float
    ssimulacra2: float


class Coding(NamedTuple):
    """What a contender made of a picture: bytes, and what a decoder shows."""

    size: int
    shown: Tensor


Contender = Callable[[Tensor, int], Coding]


def _one_layer(picture: Tensor, quality: int) -> Coding:
    (data,) = picture_codec.encode([picture], quality, mode=_MODE)
    return Coding(len(data), picture_codec.decode([data])[0])


def _other(name: str) -> Contender:
    one = encoder(name)

    def code(picture: Tensor, quality: int) -> Coding:
        nearest = min(one.qualities, key=lambda known: abs(known - quality))
        data = one.encode(picture, nearest)
        return Coding(len(data), one.decode(data))

    return code


def _layers(settings: Callable[[int], LayerSettings]) -> Contender:
    def code(picture: Tensor, quality: int) -> Coding:
        layers = encode_layers(picture, settings(quality))
        return Coding(layers.size, decode_layers(layers).pixels)

    return code


def _own(base: str, levels: int = 2, division: Division | None = None) -> Contender:
    def settings(quality: int) -> LayerSettings:
        chosen = LayerSettings(base, levels, coder=OwnCoder(Settings(quality, _MODE)))
        return chosen if division is None else replace(chosen, division=division)

    return _layers(settings)


def _literal(offset: int) -> Contender:
    def settings(quality: int) -> LayerSettings:
        return LayerSettings(coder=OffsetCoder(offset, quality), base_quality=min(quality, 95))

    return _layers(settings)


CONTENDERS: dict[str, Contender] = {
    SINGLE: _one_layer,
    "JPEG base": _own("jpeg"),
    "AVIF base": _own("avif"),
    "own base": _own("dfc"),
    "JPEG base, 3 levels": _own("jpeg", 3),
    "as the patent has it": _literal(64),
    JPEG: _other("jpeg"),
    "one AVIF s6 4:2:0": _other("avif"),
}


def run(
    photos: str | None, out: str, contenders: list[str] | None, qualities: dict[str, list[int]]
) -> Report:
    """Code every picture with every contender.

    Args:
        photos: picture or folder; None is scikit-image's photos.
        out: folder for tables, JSON and the page.
        contenders: names out of CONTENDERS; None is all. The single layer is always there.
        qualities: of each contender, and `default` for the others.
    """
    unknown = set(contenders or ()) - set(CONTENDERS)
    if unknown:
        raise ValueError(f"expected contenders out of {', '.join(CONTENDERS)}, got {unknown}")
    names = [n for n in CONTENDERS if contenders is None or n in (SINGLE, *contenders)]
    pictures, failures = load_pictures(photos)
    points: dict[str, dict[str, list[Point]]] = {name: {} for name in names}
    simulcast: dict[str, float] = {}

    def measure(picture: Tensor) -> tuple[dict[str, list[Point]], float]:
        found = {
            name: [
                _point(CONTENDERS[name], picture, quality)
                for quality in qualities.get(name, qualities["default"])
            ]
            for name in names
        }
        return found, _against_simulcast(picture)

    every = spread(measure, pictures.values())
    progress = tqdm(every, total=len(pictures), desc="pictures", disable=None)
    for title, (found, share) in zip(pictures, progress, strict=True):
        simulcast[title] = share
        for name, curve in found.items():
            points[name][title] = curve
    tables = {
        f"Bytes against {anchor} at equal PSNR-RGB": _table(points, pictures, anchor)
        for anchor in (SINGLE, JPEG)
        if anchor in points
    }
    tables["Three levels against separate files of the three sizes"] = [
        {"pictures": str(len(simulcast)), "bytes": f"{_percent(list(simulcast.values())):.1f} %"}
    ]
    report = save_tables("layered", tables, out, points=points, simulcast=simulcast)
    page = render_page(
        Path(__file__).with_name("layered.html"),
        plots={label: _plot(points, pictures, key) for key, label in _LABELS.items()},
        crops=_crops(points, pictures),
        bits=_CROPS_AT,
        pictures=len(pictures),
        tables=tables,
    )
    write_atomically(Path(out) / "report.html", page)
    return Report(report.summary, failures)


_LABELS = {"psnr": "PSNR-RGB, dB", "ssimulacra2": "SSIMULACRA2"}


def _point(code: Contender, picture: Tensor, quality: int) -> Point:
    size, shown = code(picture, quality)
    x, y = picture[None].float() / 255, shown[None].float() / 255
    return Point(quality, size, float(psnr(y, x)), float(ssimulacra2(x, y)))


def _against_simulcast(picture: Tensor, quality: int = 75) -> float:
    """Bytes of three levels, the base in this codec, against three separate files of it which have
    the PSNR of the levels."""
    coder = OwnCoder(Settings(quality, _MODE))
    settings = LayerSettings("dfc", 3, coder=coder, base_quality=quality)
    layers = encode_layers(picture, settings)
    sizes = [picture]
    for _ in range(2):
        sizes.insert(0, shrink(sizes[0], settings.ratio, settings.sampling))
    separate = 0.0
    for level, wanted in enumerate(sizes):
        shown = decode_layers(layers, level).pixels
        reached = float(psnr(shown[None].float() / 255, wanted[None].float() / 255))
        separate += math.exp(_curve([_point(_one_layer, wanted, q) for q in _NEAR])(reached))
    return layers.size / separate


_NEAR = (62, 72, 80, 86)


def _curve(points: Sequence[Point]) -> Callable[[float], float]:
    """The logarithm of bytes over PSNR."""
    rising = sorted({round(p.psnr, 6): math.log(p.size) for p in points}.items())
    return PchipInterpolator(*zip(*rising, strict=True), extrapolate=True)


def _table(
    points: dict[str, dict[str, list[Point]]], pictures: dict[str, Tensor], anchor: str
) -> list[dict[str, str]]:
    """A row for each contender: at each rate, bytes over those of another, in () of how many."""
    rows = []
    for name, curves in points.items():
        if name == anchor:
            continue
        row = {"contender": name}
        for rate in _RATES:
            sizes = {title: rate * picture[0].numel() / 8 for title, picture in pictures.items()}
            found_at = [
                _share(own, points[anchor][title], sizes[title]) for title, own in curves.items()
            ]
            shares = [share for share in found_at if share is not None]
            found = f"{_percent(shares) - 100:+.1f} % ({len(shares)})" if shares else ""
            row[f"at {rate:g} bpp"] = found
        rows.append(row)
    return rows


def _share(own: Sequence[Point], anchor: Sequence[Point], size: float) -> float | None:
    """Bytes of a contender, at a size, over another's of the same PSNR; None off the curves."""
    if not min(p.size for p in own) <= size <= max(p.size for p in own):
        return None
    rising = sorted({math.log(p.size): p.psnr for p in own}.items())
    reached = float(PchipInterpolator(*zip(*rising, strict=True))(math.log(size)))
    if not min(p.psnr for p in anchor) <= reached <= max(p.psnr for p in anchor):
        return None
    return size / math.exp(_curve(anchor)(reached))


def _percent(shares: Sequence[float]) -> float:
    """The geometric mean in percent."""
    return 100 * math.exp(statistics.mean(map(math.log, shares)))


def _plot(
    points: dict[str, dict[str, list[Point]]], pictures: dict[str, Tensor], key: str
) -> bytes:
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for name, curves in points.items():
        steps = list(zip(*curves.values(), strict=True))
        pixels = [x[0].numel() for x in pictures.values()]
        rate = [
            statistics.mean(8 * p.size / n for p, n in zip(step, pixels, strict=True))
            for step in steps
        ]
        quality = [statistics.mean(getattr(p, key) for p in step) for step in steps]
        axes.plot(
            rate,
            quality,
            "--" if name.startswith("one") else "-",
            marker="o",
            markersize=3,
            label=name,
        )
    axes.set_xscale("log")
    axes.set_xlabel("bits a pixel, mean over pictures")
    axes.set_ylabel(_LABELS[key])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return png_of(figure)


def _crops(
    points: dict[str, dict[str, list[Point]]], pictures: dict[str, Tensor]
) -> dict[str, dict[str, bytes]]:
    """By picture and note, the middle of up to three pictures as PNG, near _CROPS_AT."""
    crops: dict[str, dict[str, bytes]] = {}
    for title in list(pictures)[:: max(1, len(pictures) // 3)][:3]:
        picture = pictures[title]
        top, left = (max(0, (n - _CROP) // 2) for n in picture.shape[1:])
        window = (slice(None), slice(top, top + _CROP), slice(left, left + _CROP))
        crops[title] = {"original": encode_png(picture[window])}
        for name, curves in points.items():
            bits = {8 * p.size / picture[0].numel(): p for p in curves[title]}
            rate = min(bits, key=lambda one: abs(math.log(one / _CROPS_AT)))
            shown = CONTENDERS[name](picture, bits[rate].quality).shown
            note = f"{name}: {rate:.2f} bpp, {bits[rate].psnr:.1f} dB"
            crops[title][note] = encode_png(shown[window])
    return crops
