"""What each way of predicting a picture buys: bytes against coding it alone, at equal PSNR.

Pairs are neighbours of albums, shots of made bursts, edited copies, and photos that have nothing to
do with each other. Each second picture is coded from the first one, which was coded alone.
"""

import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator
from torch import Tensor
from tqdm import tqdm

from codec import picture as picture_codec
from codec.align.search import Search, best_prediction
from codec.learn.made_pairs import burst, graded, neighbours, set_of
from codec.pictures.metrics import psnr
from codec.pictures.picture_files import encode_jpeg, read_picture
from codec.pictures.sample_photos import load_pictures
from codec.pictures.ssimulacra2 import ssimulacra2
from codec.pictures.storage import write_atomically
from codec.planes import from_planes, to_planes
from codec.prediction.chain import Predicted, Prediction
from codec.report import Report, render_page, save_tables
from codec.residual.quantise import WEIGHTINGS
from codec.settings import step_of
from codec.study.rate_report import png_of

_SHIFT, _GAIN = 4.0, 1.04  # of bursts, see `made_pairs.burst`
_NOISE = {"burst": 1.2, "noisy burst": 3.0}
_ABOUT = (-14, -7, 0, 5)  # qualities about the asked one, between which bytes are interpolated
_MODE = "mse"
_LOUDER = 3  # how differences are shown
CHOSEN = "chosen"
_NO_WAYS = ("kind", "pairs", "time of search", "MP/s of prediction")  # columns of the means


class Pair(NamedTuple):
    """A kind of pair, its name, and pictures (C, H, W) uint8."""

    kind: str
    name: str
    reference: Tensor
    picture: Tensor


class Coded(NamedTuple):
    """One way of coding a picture.

    Attributes:
        size: bytes.
        psnr: in dB, of RGB.
        ssimulacra2: of what is decoded.
        share: of the bytes alone at this PSNR, in percent.
    """

    size: int
    psnr: float
    ssimulacra2: float
    share: float


class Outcome(NamedTuple):
    """What became of a pair.

    Attributes:
        pair: which one.
        ways: by name, what each takes; CHOSEN is what an encoder would write.
        search: time of finding a prediction, against coding the picture alone.
        speed: megapixels a second of the chosen prediction itself; 0 where there is none.
        prediction: (C, H, W) uint8 of the chosen way, or None where it is coded alone.
    """

    pair: Pair
    ways: dict[str, Coded]
    search: float
    speed: float
    prediction: Tensor | None


def run(
    out: str,
    albums: str | None,
    photos: str | None,
    sets: list[str] | None,
    quality: int,
    made: int,
) -> Report:
    """Code every pair in every way.

    Args:
        out: folder for tables, JSON and the page.
        albums: folder of pictures called SET-NUMBER, or None.
        photos: photos that bursts, copies and strangers are made of; None is scikit-image's.
        sets: of the albums; None is all.
        quality: of both pictures of a pair, for PSNR.
        made: how many photos are used.
    """
    outcomes, failures = [], []
    for pair in tqdm(list(_pairs(albums, photos, sets, made)), desc="pairs", disable=None):
        try:
            outcomes.append(_measure(pair, quality))
        except ValueError as error:
            failures.append(f"{pair.kind} {pair.name}: {error}")
    if not outcomes:
        raise ValueError("expected at least one pair, in albums or among photos")
    tables = {"Kinds of pairs, means": _means(outcomes), "Pairs": _rows(outcomes)}
    report = save_tables("prediction", tables, out)
    page = render_page(
        Path(__file__).with_name("prediction.html"),
        plot=_plot(outcomes),
        outcomes=[_shown(one) for one in outcomes],
        tables=tables,
    )
    write_atomically(Path(out) / "report.html", page)
    return Report(report.summary, failures)


def _pairs(
    albums: str | None, photos: str | None, sets: list[str] | None, made: int
) -> Iterator[Pair]:
    for first, second in [] if albums is None else neighbours(albums):
        if sets is None or set_of(first) in sets:
            reference, picture = (read_picture(path).pixels for path in (first, second))
            yield Pair(set_of(first), f"{first.stem} to {second.stem}", reference, picture)
    pictures = list(load_pictures(photos)[0].items())[:made]
    for number, (name, pixels) in enumerate(pictures):
        for kind, noise in _NOISE.items():
            yield Pair(kind, name, *burst(pixels, _SHIFT, _GAIN, noise, random.Random(name)))
        yield Pair("copy", name, pixels, graded(pixels, random.Random(name)))
        other, stranger = pictures[number - 1]
        if other != name:
            yield Pair("strangers", f"{other} to {name}", stranger, pixels)


def _measure(pair: Pair, quality: int) -> Outcome:
    streams = picture_codec.encode([pair.reference], quality, mode=_MODE)
    references = picture_codec.references_of(streams)
    ((name, planes),) = references.items()
    coder = _Measurer(pair.picture, quality, references)
    wanted = to_planes(pair.picture[None])[0]
    index = step_of(quality, _MODE)
    ways = {"alone": coder.alone}
    for way in Search(wanted, index, WEIGHTINGS[_MODE], thorough=True).ways(planes):
        title = ", ".join(type(step).__name__.lower() for step in way.chain) or "as it is"
        ways[title] = coder.measure(Predicted(Prediction(name, way.chain), way.planes))
    started = time.process_time()
    best = best_prediction(pair.picture, references, quality, mode=_MODE)
    search = (time.process_time() - started) / coder.seconds
    chosen, speed = coder.alone, 0.0
    if best is not None:
        started = time.process_time()
        best.prediction(planes, (wanted.shape[1], wanted.shape[2]))
        speed = wanted[0].numel() / 1e6 / (time.process_time() - started)
        forms = [coder.alone, coder.measure(best), coder.measure(best.hinted())]
        chosen = min(forms, key=lambda one: one.share)
    ways[CHOSEN] = chosen
    shown = None if best is None or chosen is coder.alone else from_planes(best.planes[None])[0]
    return Outcome(pair, ways, search, speed, shown)


class _Measurer:
    """Codes one picture, and knows what it takes alone at any PSNR near that."""

    def __init__(self, picture: Tensor, quality: int, references: dict[bytes, Tensor]):
        self.picture, self.quality, self.references = picture, quality, references
        started = time.process_time()
        points = {q: self._point(q, None) for q in (quality + d for d in _ABOUT) if 1 <= q <= 100}
        self.seconds = (time.process_time() - started) / len(points)
        rising = sorted((psnr, math.log(size)) for size, psnr, _ in points.values())
        self.curve = PchipInterpolator(*zip(*rising, strict=True))
        self.alone = Coded(*points[quality], 100.0)

    def measure(self, predicted: Predicted) -> Coded:
        size, reached, score = self._point(self.quality, predicted)
        return Coded(size, reached, score, 100 * size / math.exp(self.curve(reached)))

    def _point(self, quality: int, predicted: Predicted | None) -> tuple[int, float, float]:
        (data,) = picture_codec.encode([self.picture], quality, mode=_MODE, predictions=[predicted])
        (decoded,) = picture_codec.decode([data], references=self.references)
        shown, wanted = decoded[None].float() / 255, self.picture[None].float() / 255
        return len(data), float(psnr(shown, wanted)), float(ssimulacra2(wanted, shown))


def _rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    return [
        {
            "pair": one.pair.name,
            "kind": one.pair.kind,
            "way": way,
            "bytes": f"{coded.size:,}",
            "PSNR-RGB": f"{coded.psnr:.2f}",
            "SSIMULACRA2": f"{coded.ssimulacra2:.1f}",
            "% of alone at this PSNR": f"{coded.share:.1f}",
        }
        for one in outcomes
        for way, coded in one.ways.items()
    ]


def _means(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """A row for each kind: the mean share of each way over the pairs that have it."""
    ways = list(dict.fromkeys(way for one in outcomes for way in one.ways if way != "alone"))
    ways.sort(key=lambda way: way == CHOSEN)
    rows = []
    for kind in dict.fromkeys(one.pair.kind for one in outcomes):
        these = [one for one in outcomes if one.pair.kind == kind]
        row = {"kind": kind, "pairs": str(len(these))}
        for way in ways:
            shares = [one.ways[way].share for one in these if way in one.ways]
            row[way] = f"{statistics.mean(shares):.1f}" if shares else ""
        search = statistics.median(one.search for one in these)
        speeds = [one.speed for one in these if one.speed]
        speed = f"{statistics.median(speeds):.1f}" if speeds else ""
        costs = {"time of search": f"{search:.2f} x coding alone", "MP/s of prediction": speed}
        rows.append(row | costs)
    return rows


def _plot(outcomes: Sequence[Outcome]) -> bytes:
    """A bar of each kind's mean for each way, PNG."""
    rows = _means(outcomes)
    figure = Figure(
        figsize=(8.5, 0.6 + 0.5 * len(rows) + 0.22 * len(rows) * 6), layout="constrained"
    )
    axes = figure.add_subplot()
    ways = [key for key in rows[0] if key not in _NO_WAYS]
    height = 0.85 / len(ways)
    for number, way in enumerate(ways):
        there = [(place, float(row[way])) for place, row in enumerate(rows) if row[way]]
        axes.barh(
            [place + (number - len(ways) / 2) * height for place, _ in there],
            [share for _, share in there],
            height,
            label=way,
            color="black" if way == CHOSEN else None,
        )
    axes.set_yticks(range(len(rows)), [row["kind"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 130)
    axes.axvline(100, color="black", linewidth=0.8)
    axes.set_xlabel("% of the bytes alone at equal PSNR-RGB, mean over pairs")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return png_of(figure)


def _shown(one: Outcome) -> dict[str, Any]:
    """What the page shows of a pair: names of pictures and the pictures."""
    pictures = {"coded alone first": one.pair.reference, "to be coded": one.pair.picture}
    if one.prediction is not None:
        rest = (one.pair.picture.int() - one.prediction.int()) * _LOUDER + 128
        pictures["predicted"] = one.prediction
        pictures[f"what is left over, x {_LOUDER}"] = rest.clamp(0, 255).to(torch.uint8)
    share = one.ways[CHOSEN].share
    title = f"{one.pair.kind}, {one.pair.name}: {share:.1f} % of alone"
    return {"title": title, "pictures": {n: encode_jpeg(x, 85) for n, x in pictures.items()}}
