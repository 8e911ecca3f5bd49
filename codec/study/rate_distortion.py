"""Rate and distortion of this codec beside libjpeg-turbo, WebP, AVIF and JPEG XL: real files.

Every codec codes every picture at several qualities; delta rates are taken picture by picture. What
a run has measured, the next one with the same pictures, qualities, code and tables takes over.
Speeds come from the same run: the codecs take turns, one thread each.
"""

import hashlib
import json
import math
import re
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from codec import picture as picture_codec
from codec.pictures.colour import luma
from codec.pictures.metrics import ms_ssim, psnr
from codec.pictures.sample_photos import load_pictures
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.pictures.storage import write_atomically
from codec.report import Report, provenance, save_tables
from codec.residual.context_sets import fingerprints
from codec.search.encoders import Encoder, OwnEncoder, encoder
from codec.settings import Settings
from codec.study.bjontegaard import log_rate_difference, percent
from codec.study.rate_report import write_report

OWN = {
    "dfc mse, no filter": OwnEncoder(mode="mse", filter="none"),
    "dfc mse": OwnEncoder(mode="mse", filter="edge"),
    "dfc mse, network": OwnEncoder(mode="mse", filter="network"),
    "dfc perceptual": OwnEncoder(mode="perceptual", filter="edge"),
    "dfc perceptual, network": OwnEncoder(mode="perceptual", filter="network"),
    "dfc mse, fast": OwnEncoder(mode="mse", filter="edge", effort="fast"),
}
OTHERS = {
    "JPEG 4:2:0": "jpeg_baseline",
    "JPEG 4:2:0 optimised": "jpeg",
    "WebP m6": "webp",
    "AVIF s6 4:2:0": "avif",
    "AVIF s6 4:4:4": "avif_444",
    "JPEG XL e7": "jxl",
}
ANCHORS = ("JPEG 4:2:0", "WebP m6", "AVIF s6 4:2:0", "AVIF s6 4:4:4", "JPEG XL e7")
_NO_ERROR = 100.0  # dB, of equal pictures
# What the points of other codecs depend on.
_MEASURING = (
    "pictures/colour.py",
    "pictures/metrics.py",
    "pictures/ssimulacra2.py",
    "search/encoders.py",
    "study/rate_distortion.py",
)
METRICS = ("psnr_rgb", "psnr_y", "ms_ssim", "ssimulacra2")


class Point(NamedTuple):
    """One file: its quality on its own scale, bytes, and what it scores (ms_ssim in dB)."""

    quality: int
    bytes: int
    psnr_rgb: float
    psnr_y: float
    ms_ssim: float
    ssimulacra2: float


def run(
    photos: str | None,
    out: str,
    qualities: dict[str, list[int]],
    codecs: list[str] | None,
    lossless: bool,
    device: str,
) -> Report:
    """Measure and report.

    Args:
        photos: picture or folder; None is the embedded photos.
        out: folder for report.html, JSON, Markdown and plots.
        qualities: by encoder (`dfc`, `jpeg`, `webp`, `avif`, `jxl`) the qualities to try.
        codecs: names of rows to measure; None is all that can be had here.
        lossless: also compare lossless coding with PNG, WebP and JPEG XL.
        device: where this codec computes.
    """
    pictures, failures = load_pictures(photos)
    contenders, left_out = _contenders(codecs, device)
    failures += left_out
    families = sorted({one.name.split("_")[0] for one in contenders.values()})
    missing = [family for family in families if family not in qualities]
    if missing or not contenders:
        raise ValueError(f"expected codecs, and qualities for {', '.join(missing) or 'them'}")
    points: dict[str, dict[str, list[Point]]] = {}
    target = Path(out)
    for name, one in tqdm(contenders.items(), unit="codec", disable=None):
        points[name] = _points(name, one, pictures, qualities[one.name.split("_")[0]], target)
    tables = {f"BD-rate, {metric}": _bd_table(points, metric) for metric in METRICS}
    tables["Speed"] = _speed_table(contenders, list(pictures.values()), qualities, device)
    if lossless:
        tables["Lossless"] = _lossless_table(list(pictures.values()), device)
    tables["Overhead"] = _overhead_table(list(pictures.values()), device)
    points_saved = {
        name: {title: [point._asdict() for point in row] for title, row in curves.items()}
        for name, curves in points.items()
    }
    report = save_tables(
        "rate_distortion",
        tables,
        out,
        networks=fingerprints(),
        points=points_saved,
        tables=tables,
        differences={metric: _differences(points, metric) for metric in METRICS},
    )
    write_report(target, points, pictures, contenders, tables)
    return Report(f"{report.summary}; open {target / 'report.html'}", failures)


def _contenders(codecs: list[str] | None, device: str) -> tuple[dict[str, Encoder], list[str]]:
    """Encoders by row, and a sentence for each that was asked for and is not here."""
    wanted = [*OTHERS, *OWN] if codecs is None else codecs
    found: dict[str, Encoder] = {}
    failures = []
    for name in wanted:
        try:
            if name in OWN:
                own = OWN[name]
                found[name] = OwnEncoder(
                    "dfc", mode=own.mode, filter=own.filter, effort=own.effort, device=device
                )
            elif name in OTHERS:
                found[name] = encoder(OTHERS[name])
            else:
                raise ValueError(f"expected codecs out of {', '.join([*OTHERS, *OWN])}, got {name}")
        except ValueError as error:
            if codecs is not None:
                raise
            failures.append(f"{name}: left out, {error}")
    return found, failures


def _points(
    name: str, one: Encoder, pictures: dict[str, Tensor], qualities: list[int], target: Path
) -> dict[str, list[Point]]:
    """A codec's points of every picture, from the last run of this study where it had the same."""
    path = target / "points" / f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.json"
    key = {
        "qualities": list(qualities),
        "pictures": {title: zlib.crc32(x.numpy().tobytes()) for title, x in pictures.items()},
        "made by": _makers(name, one),
    }
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["key"] == key:
            tqdm.write(f"{name}: points of an earlier run, {path}")
            return {title: [Point(*p) for p in row] for title, row in known["points"].items()}
    found = {
        title: [_measure(one, picture, quality) for quality in qualities]
        for title, picture in tqdm(pictures.items(), desc=name, leave=False, disable=None)
    }
    write_atomically(path, json.dumps({"key": key, "points": found}).encode())
    return found


def _makers(name: str, one: Encoder) -> dict[str, str]:
    """What points depend on beside pictures: code and tables, settings, versions of libraries."""
    package = Path(__file__).parents[1]
    if name in OWN:
        kinds = (".py", ".json", ".safetensors")
        files = [path for path in sorted(package.rglob("*")) if path.suffix in kinds]
    else:
        files = [package / name for name in _MEASURING]
    digest = hashlib.sha256(repr(one).encode())
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return provenance()["libraries"] | {"codec": digest.hexdigest()[:16]}


def _measure(one: Encoder, picture: Tensor, quality: int) -> Point:
    data = one.encode(picture, quality)
    decoded = one.decode(data)
    x, y = (p[None].double() / 255 for p in (picture, decoded))
    similarity = float(ms_ssim(x.float(), y.float()))
    return Point(
        quality,
        len(data),
        min(float(psnr(x, y)), _NO_ERROR),
        min(float(psnr(luma(x), luma(y))), _NO_ERROR),
        -10 * math.log10(max(1 - similarity, 1e-9)),
        float(ssimulacra2(x, y)),
    )


def _differences(
    points: dict[str, dict[str, list[Point]]], metric: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Delta rate in per cent by codec, anchor and picture, where the curves share qualities."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, curves in points.items():
        for anchor in (a for a in ANCHORS if a in points and a != name):
            rates = {
                picture: log_rate_difference(
                    [(p.bytes, getattr(p, metric)) for p in points[anchor][picture]],
                    [(p.bytes, getattr(p, metric)) for p in curves[picture]],
                )
                for picture in curves
            }
            known = {picture: percent([d]) for picture, d in rates.items() if d is not None}
            found.setdefault(name, {})[anchor] = known
    return found


def _bd_table(points: dict[str, dict[str, list[Point]]], metric: str) -> list[dict[str, Any]]:
    """One row a codec: delta rate against every anchor, the worst picture and pictures won."""
    differences = _differences(points, metric)
    rows = []
    for name in points:
        row: dict[str, Any] = {"codec": name}
        for anchor in (a for a in ANCHORS if a in points):
            rates = list(differences.get(name, {}).get(anchor, {}).values())
            row[anchor] = _summary(rates) if rates else ""
        rows.append(row)
    return rows


def _summary(rates: list[float]) -> str:
    mean = percent([math.log1p(rate / 100) for rate in rates])
    won = sum(rate < 0 for rate in rates)
    return f"{mean:+.1f} % (worst {max(rates):+.1f}, won {won}/{len(rates)})"


def _speed_table(
    contenders: dict[str, Encoder],
    pictures: list[Tensor],
    qualities: dict[str, list[int]],
    device: str,
) -> list[dict[str, Any]]:
    """MB/s of RGB, encoders in turn on one thread; this codec also in batches of 8."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work: dict[str, _Work] = {}
    few = pictures[:8]
    try:
        for name, one in contenders.items():
            scale = qualities[one.name.split("_")[0]]
            quality = scale[len(scale) // 2]
            if name in OWN:
                work[f"{name}, batch of {len(few)}"] = _batched(OWN[name], few, quality, device)
            work[name] = _one_by_one(one, few, quality)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
        for _ in range(3):
            for name, (encode, decode) in work.items():
                started = time.perf_counter()
                streams = encode()
                middle = time.perf_counter()
                decode(streams)
                seconds[name].append((middle - started, time.perf_counter() - middle))
    finally:
        torch.set_num_threads(threads)
    size = sum(p.numel() for p in few) / 1e6
    rows = []
    for name, times in seconds.items():
        row = {"codec": name}
        for way, column in (("encode", 0), ("decode", 1)):
            rates = [size / t[column] for t in times]
            row[f"{way} MB/s"] = f"{statistics.median(rates):.2f}"
            row[f"{way} spread"] = f"{min(rates):.2f} - {max(rates):.2f}"
        rows.append(row)
    return rows


_Work = tuple[Callable[[], list[bytes]], Callable[[list[bytes]], object]]


def _one_by_one(one: Encoder, pictures: list[Tensor], quality: int) -> _Work:
    def encode() -> list[bytes]:
        return [one.encode(picture, quality) for picture in pictures]

    return encode, lambda streams: [one.decode(stream) for stream in streams]


def _batched(one: OwnEncoder, pictures: list[Tensor], quality: int, device: str) -> _Work:
    def encode() -> list[bytes]:
        settings = one.settings(quality)
        return picture_codec.encode(pictures, **settings._asdict(), device=device)

    return encode, lambda streams: picture_codec.decode(streams, device=device)


def _lossless_table(pictures: list[Tensor], device: str) -> list[dict[str, Any]]:
    """Total bytes of lossless files against optimised PNG."""
    from codec.search.encoders import encode_lossless

    totals: dict[str, int] = {}
    for name in ("PNG", "WebP lossless", "JPEG XL lossless"):
        totals[name] = sum(len(encode_lossless(name, p)) for p in pictures)
    streams = picture_codec.encode(pictures, lossless=True, device=device)
    exact = all(
        torch.equal(a, b) for a, b in zip(picture_codec.decode(streams), pictures, strict=True)
    )
    totals["dfc lossless" if exact else "dfc lossless (BROKEN)"] = sum(map(len, streams))
    return [
        {"codec": name, "bytes": f"{total:,}", "of PNG": f"{total / totals['PNG']:.3f}"}
        for name, total in totals.items()
    ]


def _overhead_table(pictures: list[Tensor], device: str) -> list[dict[str, Any]]:
    """File bytes against the entropy of the coded symbols under the networks' probabilities."""
    rows = []
    for quality in (30, 50, 70, 90):
        settings = Settings(quality, "mse")
        streams = picture_codec.encode(pictures, **settings._asdict(), device=device)
        bits = picture_codec.entropy(pictures, settings, device=device)
        more = [8 * len(s) / b - 1 for s, b in zip(streams, bits, strict=True)]
        rate = [8 * len(s) / p[0].numel() for s, p in zip(streams, pictures, strict=True)]
        rows.append(
            {
                "dfc mse quality": str(quality),
                "bits a pixel": f"{statistics.mean(rate):.3f}",
                "more than entropy": f"{100 * statistics.mean(more):.2f} %",
                "worst": f"{100 * max(more):.2f} %",
            }
        )
    return rows
