"""What the quality search costs: every method against an exhaustive sweep.

A sweep measures every quality of every picture once; the methods then search in its numbers, so all
see the same scores, and each probe's time is known.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from tqdm import tqdm

from codec.image_io import write_atomically
from codec.photos import load_pictures
from codec.search.encoders import Encoder, OwnEncoder, encoder
from codec.search.find import find_batch
from codec.search.methods import (
    Probe,
    Prober,
    TargetUnreachable,
    bisection,
    certified,
    depth,
    seed_corrected,
    seed_literal,
    stepping,
)
from codec.search.prior import SHIPPED, fit, prior_of
from codec.search.scores import SCORES, Score
from codec.study.record import Report, markdown_table, provenance

METHODS: dict[str, Callable[[Prober, float], int]] = {
    "certified (default)": certified,
    "bisection": bisection,
    "seed, literal, d=1": seed_literal,
    "seed, literal, d=2": partial(seed_literal, step=2),
    "seed, literal, second point 50 % below": partial(seed_literal, below=0.5),
    "seed, measured and corrected, d=1": seed_corrected,
    "seed, measured and corrected, d=2": partial(seed_corrected, step=2),
    "stepping from 80 (prior art)": stepping,
}


class Entry(NamedTuple):
    """A quality of a sweep: its score, bytes and the seconds that it took."""

    score: float
    bytes: int
    seconds: float


class Sweep(NamedTuple):
    """All qualities of one picture."""

    entries: dict[int, Entry]

    def measure(self, quality: int) -> tuple[float, int]:
        """Score and bytes of a quality, as a probe finds them."""
        return self.entries[quality][:2]

    def lowest(self, target: float) -> int | None:
        """The lowest quality from which on all pass; None if the best fails."""
        passing = None
        for quality in sorted(self.entries, reverse=True):
            if self.entries[quality].score < target:
                break
            passing = quality
        return passing

    def crossings(self, target: float) -> list[int]:
        """All qualities that pass while the one below fails: more than one where scores fall."""
        order = sorted(self.entries)
        passes = [self.entries[q].score >= target for q in order]
        return [
            q for q, here, below in zip(order, passes, [False, *passes], strict=False)
            if here and not below
        ]  # fmt: skip


def run(
    photos: str | None,
    out: str,
    encoders: list[str],
    targets: dict[str, list[float]],
    batch_targets: dict[str, list[float]],
) -> Report:
    """Compare the methods.

    Args:
        photos: picture or folder; None is the embedded photos.
        out: folder for JSON and Markdown.
        encoders: names, see `codec.search.encoders`.
        targets: by score, the thresholds.
        batch_targets: the same for `find_batch` with this project's codec.
    """
    pictures, failures = load_pictures(photos)
    rows: list[dict[str, Any]] = []
    for name in encoders:
        one = encoder(name)
        for score_name, thresholds in targets.items():
            score = SCORES[score_name]
            sweeps = sweep_pictures(pictures, one, score)
            rows += [
                _row(name, one, score, target, method, work, sweeps)
                for target in thresholds
                for method, work in METHODS.items()
            ]
    batched = _batched(list(pictures.values()), batch_targets)
    text = "\n\n".join(
        f"## {title}\n\n"
        + markdown_table(list(part[0]), [list(map(str, r.values())) for r in part])
        for title, part in (("Methods", rows), ("Batches of this codec", batched))
        if part
    )
    target = Path(out)
    record = provenance() | {"methods": rows, "batches": batched}
    write_atomically(target / "quality_search.json", json.dumps(record, indent=1).encode())
    write_atomically(target / "quality_search.md", f"# Quality search\n\n{text}\n".encode())
    return Report(f"{text}\n\nsaved in {target}", failures)


def sweep_pictures(
    pictures: dict[str, Tensor], one: Encoder, score: Score, every: int = 1
) -> dict[str, Sweep]:
    """Measure every quality, or every so many-th, of every picture."""
    sweeps = {}
    for title, picture in tqdm(pictures.items(), desc=f"{one.name} {score.name}", disable=None):
        entries = {}
        for quality in sorted({*one.qualities[::every], one.qualities[-1]}):
            started = time.perf_counter()
            data = one.encode(picture, quality)
            found = score.measure(picture, one.decode(data))
            entries[quality] = Entry(found, len(data), time.perf_counter() - started)
        sweeps[title] = Sweep(entries)
    return sweeps


def _row(
    name: str,
    one: Encoder,
    score: Score,
    target: float,
    method: str,
    work: Callable[[Prober, float], int],
    sweeps: dict[str, Sweep],
) -> dict[str, Any]:
    prior = prior_of(one.name, score.name, one.qualities)
    counts, off, more, seconds, exact, missed, unreachable = [], [], [], [], 0, 0, 0
    for sweep in sweeps.values():
        best = sweep.lowest(target)
        prober = Prober(sweep.measure, score.to_unit, one.qualities, prior)
        try:
            quality = work(prober, target)
        except TargetUnreachable:
            unreachable += 1
            exact += best is None
            counts.append(len(prober.probes))
            continue
        counts.append(len(prober.probes))
        seconds.append(sum(sweep.entries[p.quality].seconds for p in prober.probes))
        exact += quality in sweep.crossings(target)
        missed += sweep.entries[quality].score < target
        if best is not None:
            off.append(abs(quality - best))
            more.append(sweep.entries[quality].bytes / sweep.entries[best].bytes - 1)
    return {
        "encoder": name,
        "score": f"{score.name} {target:g}",
        "method": method,
        "probes": f"{statistics.mean(counts):.2f}",
        "most": max(counts),
        "exact": f"{exact}/{len(sweeps)}",
        "below target": missed,
        "unreachable": unreachable,
        "off by": f"{statistics.mean(off):.2f}" if off else "",
        "bytes": f"{100 * statistics.mean(more):+.2f} %" if more else "",
        "seconds": f"{statistics.mean(seconds):.2f}" if seconds else "",
    }


def _batched(pictures: list[Tensor], targets: dict[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    for score_name, thresholds in targets.items():
        for target in thresholds:
            started = time.perf_counter()
            found = find_batch(pictures, OwnEncoder(), SCORES[score_name], target)
            passed = time.perf_counter() - started
            done = [f for f in found if not isinstance(f, TargetUnreachable)]
            rows.append({
                "score": f"{score_name} {target:g}",
                "rounds": f"{statistics.mean(f.rounds for f in done):.2f}" if done else "",
                "most rounds": max((f.rounds for f in done), default=0),
                "probes": f"{statistics.mean(len(f.probes) for f in done):.1f}" if done else "",
                "unreachable": len(found) - len(done),
                "certified": f"{sum(_is_certified(f.probes, f.quality, target) for f in done)}"
                             f"/{len(done)}",
                "seconds a picture": f"{passed / len(found):.2f}",
            })  # fmt: skip
    return rows


def _is_certified(probes: tuple[Probe, ...], quality: int, target: float) -> bool:
    known = {p.quality: p.score for p in probes}
    below = known.get(quality - 1)
    return known[quality] >= target and (quality == 1 or (below is not None and below < target))


def fit_prior(
    photos: str | None, out: str | None, encoders: list[str], scores: list[str], every: int
) -> Report:
    """Fit the table that `codec.search.prior` reads: the usual score at each quality.

    Args:
        photos: photos that no benchmark uses; None is the embedded ones.
        out: JSON to write; None is the one that ships.
        encoders, scores: names.
        every: measure every so many-th quality; those between are interpolated.
    """
    pictures, failures = load_pictures(photos)
    path = SHIPPED if out is None else Path(out)
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in encoders:
        one = encoder(name)
        for score_name in scores:
            score = SCORES[score_name]
            sweeps = sweep_pictures(pictures, one, score, every)
            table[f"{name} {score_name}"] = _usual(list(sweeps.values()), score, one.qualities)
    write_atomically(path, (json.dumps(table, indent=0) + "\n").encode())
    return Report(f"{len(table)} rows in {path}", failures)


def _usual(sweeps: list[Sweep], score: Score, qualities: range) -> dict[str, list]:
    """A row of the table: the prior of -log(1 - unit score), for every quality."""
    known = sorted(sweeps[0].entries)
    curves = [[depth(score.to_unit(s.entries[q].score)) for q in known] for s in sweeps]
    prior = fit(np.stack([np.interp(list(qualities), known, curve) for curve in curves]))
    return {name: values.round(4).tolist() for name, values in prior._asdict().items()}
