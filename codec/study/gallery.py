"""Twins found among many photos: by code, by kind of twin, by threshold, and how fast."""

import contextlib
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from codec.gallery.descriptors import Descriptor, describe
from codec.gallery.gallery import LOOKED_AT, Code
from codec.gallery.index import NEAREST, BlockTables, FaissScan, Scan, TorchScan, distances_to
from codec.gallery.matching import LEAST_INLIERS, agreement
from codec.gallery.thresholds import of_strangers
from codec.learn.made_pairs import graded
from codec.pictures.picture_files import encode_jpeg, read_picture
from codec.pictures.resize import resize
from codec.pictures.sample_photos import list_photos
from codec.pictures.storage import write_atomically
from codec.report import Report, render_page, save_tables
from codec.search.encoders import encoder
from codec.study.gallery_scenes import scene_views
from codec.study.rate_report import png_of

_REPEATS = 7
_SEED = 0
_SHOWN = 6


Change = Callable[[Tensor, random.Random], Tensor]


class Twin(NamedTuple):
    """A changed photo: how, of which one, and what it is known by."""

    kind: str
    number: int
    descriptor: Descriptor | None
    pixels: Tensor


def run(
    photos: str | None,
    scenes: list[str],
    out: str,
    queries: int,
    codes: int,
    look: Change | None = None,
    view: Callable[[Tensor], Tensor] | None = None,
) -> Report:
    """Describe photos, change some of them, and look for those.

    Args:
        photos: folder; None is scikit-image's.
        scenes: folders of pictures of scenes from several standpoints, see `scene_views`.
        out: folder for tables, JSON and the page.
        queries: photos that are changed.
        codes: random ones of 256 bits that the speed of a search is measured with.
        look: gives a photo a look, with a random one; None leaves those out.
        view: what descriptors see of a picture in a second run, such as a de-filter.
    """
    paths = list_photos(photos, "all")
    every = [
        describe(read_picture(path).pixels) for path in tqdm(paths, desc="photos", disable=None)
    ]
    known = [(path, found) for path, found in zip(paths, every, strict=True) if found is not None]
    rng = random.Random(_SEED)
    chosen = sorted(rng.sample(range(len(known)), min(queries, len(known))))
    twins = [
        Twin(kind, number, describe(pixels), pixels)
        for number in tqdm(chosen, desc="twins", disable=None)
        for kind, pixels in _twins(read_picture(known[number][0]).pixels, rng, look)
    ]
    descriptors = [found for _, found in known]
    found = {code: _ranks(descriptors, twins, code) for code in Code}
    tables = {"Recall at 1": _recalls(found, twins)}
    if view is not None:
        tables["Recall at 1, as a view shows pictures"] = _viewed(known, twins, view)
    if scenes:
        tables["The same scene from another standpoint"] = scene_views(descriptors, scenes)
    tables |= {
        "Candidates": _candidates(descriptors, twins, found),
        f"Search of {codes:,} random codes of 256 bits": _speeds(codes),
    }
    report = save_tables("gallery", tables, out, photos=len(known), queries=len(chosen))
    page = render_page(
        Path(__file__).with_name("gallery.html"),
        plot=_plot(descriptors, twins),
        missed=_missed(known, twins, found[Code.KEY]),
        tables=tables,
    )
    write_atomically(Path(out) / "report.html", page)
    return Report(report.summary, [])


def _viewed(
    known: list[tuple[Path, Descriptor]], twins: list[Twin], view: Callable[[Tensor], Tensor]
) -> list[dict[str, str]]:
    """Recall where a view is described instead of pictures."""
    descriptors = [
        describe(view(read_picture(path).pixels)) or before
        for path, before in tqdm(known, desc="views of photos", disable=None)
    ]
    seen = [
        twin._replace(descriptor=describe(view(twin.pixels)))
        for twin in tqdm(twins, desc="views of twins", disable=None)
    ]
    return _recalls({code: _ranks(descriptors, seen, code) for code in Code}, seen)


def _twins(pixels: Tensor, rng: random.Random, look: Change | None) -> Iterator[tuple[str, Tensor]]:
    """A photo as people keep it once more."""
    height, width = pixels.shape[1:]
    top, left = (int(rng.uniform(0, 0.2) * n) for n in (height, width))
    yield "crop to 80 %", pixels[:, top : top + int(0.8 * height), left : left + int(0.8 * width)]
    yield "half size", resize(pixels, [max(1, height // 2), max(1, width // 2)])
    jpeg = encoder("jpeg")
    yield "JPEG q30", jpeg.decode(jpeg.encode(pixels, 30))
    gamma = rng.choice((0.6, 1.6))
    yield "gamma", (255 * (pixels / 255) ** gamma).round().to(torch.uint8)
    yield "8 degrees", _turned(pixels, math.radians(8))
    yield "a look of 27 numbers", graded(pixels, rng)
    if look is not None:
        yield "a test look", look(pixels, rng)


def _turned(pixels: Tensor, angle: float) -> Tensor:
    """A photo turned about its middle, black where there is nothing."""
    height, width = pixels.shape[1:]
    c, s = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[[c, -s * height / width, 0], [s * width / height, c, 0]]])
    grid = F.affine_grid(matrix, [1, 3, height, width], align_corners=False)
    turned = F.grid_sample(pixels[None].float(), grid, "bicubic", align_corners=False)
    return turned[0].round().clamp(0, 255).to(torch.uint8)


def _ranks(descriptors: list[Descriptor], twins: list[Twin], code: Code) -> list[tuple[int, int]]:
    """Of every twin, the place of its photo among the nearest, NEAREST if it is not there, and the
    place once points were matched."""
    scan = Scan(np.stack([getattr(one, code.value) for one in descriptors]))
    found = []
    for twin in tqdm(twins, desc=f"search by {code.value}", disable=None):
        if twin.descriptor is None:
            found.append((NEAREST, NEAREST))
            continue
        nearest = scan.search(getattr(twin.descriptor, code.value), NEAREST).numbers.tolist()
        place = nearest.index(twin.number) if twin.number in nearest else NEAREST
        looked = nearest[:LOOKED_AT]
        inliers = {n: agreement(twin.descriptor, descriptors[n]).inliers for n in looked}
        looked.sort(key=lambda n: -inliers[n])
        again = looked.index(twin.number) if twin.number in looked else NEAREST
        found.append((place, again))
    return found


def _recalls(found: dict[Code, list[tuple[int, int]]], twins: list[Twin]) -> list[dict[str, str]]:
    rows = []
    for kind in (*dict.fromkeys(twin.kind for twin in twins), "all but looks", "all"):
        these = [n for n, twin in enumerate(twins) if _is_of(twin.kind, kind)]
        row = {"twin": kind, "queries": str(len(these))}
        for code, ranks in found.items():
            bits = 8 * code.size
            places = [ranks[n] for n in these]
            row[f"{bits} bits"] = f"{np.mean([place == 0 for place, _ in places]):.3f}"
            row[f"{bits} bits, points"] = f"{np.mean([again == 0 for _, again in places]):.3f}"
            row[f"{bits} bits, in {NEAREST}"] = f"{np.mean([p < NEAREST for p, _ in places]):.3f}"
        rows.append(row)
    return rows


def _is_of(kind: str, wanted: str) -> bool:
    return wanted in ("all", kind) or (wanted == "all but looks" and "look" not in kind)


def _candidates(
    descriptors: list[Descriptor], twins: list[Twin], found: dict[Code, list[tuple[int, int]]]
) -> list[dict[str, str]]:
    """By threshold: twins and strangers that are nearer, and that agree in enough points."""
    rows = []
    there = [twin for twin in twins if twin.descriptor is not None]
    for code in found:
        own, strangers = _distances(descriptors, there, code)
        thresholds = {
            "the largest of the largest, as the application has it": int(own.max()),
            "95 % of twins": int(np.quantile(own, 0.95)),
            "1 % of strangers (default)": of_strangers(code.value),
        }
        for name, limit in thresholds.items():
            near = [(t, n) for t, row in enumerate(strangers) for n in np.flatnonzero(row < limit)]
            some = near[:: max(1, len(near) // 2000)]
            agree = [
                agreement(there[t].descriptor, descriptors[n]).inliers >= LEAST_INLIERS  # type: ignore[arg-type]
                for t, n in some
            ]
            rows.append(
                {
                    "threshold": f"{8 * code.size} bits: {name}",
                    "bits": str(limit),
                    "twins nearer": f"{100 * np.mean(own < limit):.1f} %",
                    "strangers nearer": f"{100 * len(near) / strangers.size:.2f} %",
                    "of them, points agree": f"{100 * np.mean(agree or [False]):.2f} %",
                }
            )
    return rows


def _distances(
    descriptors: list[Descriptor], twins: list[Twin], code: Code
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of twins to their photos, (T,), and to all others, (T, N), those to their own set
    so far away that they never count."""
    codes = np.stack([getattr(one, code.value) for one in descriptors])
    every = [distances_to(getattr(twin.descriptor, code.value), codes) for twin in twins]
    distances = np.stack(every).astype(np.int64)
    numbers = np.array([twin.number for twin in twins])
    own_distances = distances[np.arange(len(twins)), numbers].copy()
    distances[np.arange(len(twins)), numbers] = 8 * codes.shape[1] + 1
    return own_distances, distances


def _speeds(count: int) -> list[dict[str, str]]:
    """Milliseconds of a search, median and spread, with what is installed."""
    rng = np.random.default_rng(_SEED)
    codes = rng.integers(0, 256, (count, 32), np.uint8)
    query = codes[count // 2]
    scan, tables = Scan(codes), BlockTables(codes)
    in_torch = TorchScan(codes)
    ways: dict[str, Callable[[], Any]] = {
        f"NumPy, {NEAREST} nearest": lambda: scan.search(query),
        f"PyTorch, {NEAREST} nearest": lambda: in_torch.search(query),
        f"block tables, within {tables.radius} bits": lambda: tables.search(query),
    }
    with contextlib.suppress(ImportError):
        by_faiss = FaissScan(codes)
        ways[f"FAISS, {NEAREST} nearest"] = lambda: by_faiss.search(query)
    rows = []
    for name, way in ways.items():
        times = []
        for _ in range(_REPEATS + 1):
            started = time.perf_counter()
            way()
            times.append(1e3 * (time.perf_counter() - started))
        del times[0]
        spread = f"{min(times):.1f} to {max(times):.1f}"
        rows.append(
            {"way": name, "ms, median": f"{statistics.median(times):.1f}", "spread": spread}
        )
    return rows


def _plot(descriptors: list[Descriptor], twins: list[Twin]) -> bytes:
    """Histograms of the distances of twins and of strangers, PNG."""
    there = [twin for twin in twins if twin.descriptor is not None]
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    for axes, code in zip(figure.subplots(1, 2), Code, strict=True):
        own, strangers = _distances(descriptors, there, code)
        bits = 8 * code.size
        bins = np.linspace(0, 0.7 * bits, 60)
        others = strangers[strangers <= bits]
        axes.hist(others, bins, density=True, alpha=0.6, label="strangers")
        axes.hist(own, bins, density=True, alpha=0.6, label="twins")
        axes.axvline(of_strangers(code.value), color="black", linewidth=0.8)
        axes.set_xlabel(f"Hamming distance of {bits} bits")
        axes.set_yticks([])
        axes.legend(fontsize=8)
    return png_of(figure)


def _missed(
    known: list[tuple[Path, Descriptor]], twins: list[Twin], ranks: list[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Some of the twins that the key did not find first: the twin and its photo."""
    missed = [twin for twin, (place, _) in zip(twins, ranks, strict=True) if place]
    return [
        {
            "title": f"{known[twin.number][0].name}, {twin.kind}",
            "pictures": [
                encode_jpeg(twin.pixels, 85),
                encode_jpeg(read_picture(known[twin.number][0]).pixels, 85),
            ],
        }
        for twin in missed[:: max(1, len(missed) // _SHOWN)][:_SHOWN]
    ]
