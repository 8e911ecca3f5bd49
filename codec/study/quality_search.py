"""What the quality search costs: every method against an exhaustive sweep.

A sweep measures every quality of every picture once; the methods then search in its numbers, so all
see the same scores, and each probe's time is known.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from codec.pictures.sample_photos import load_pictures
from codec.pictures.storage import write_atomically
from codec.report import Report, markdown_table, provenance
from codec.search.criteria import Criterion
from codec.search.encoders import Encoder, OwnEncoder, encoder
from codec.search.find import expectation_of, find_batch
from codec.search.methods import (
    Expectation,
    Prober,
    TargetUnreachable,
    bisection,
    certified,
    gaussian_corrected,
    gaussian_literal,
    stepping,
)
from codec.search.scores import SCORES
from codec.search.sweep import Sweep, sweep_pictures

METHODS: dict[str, Callable[[Prober], int]] = {
    "certified (default)": certified,
    "bisection": bisection,
    "US 9,325,996, literal, d=1": gaussian_literal,
    "US 9,325,996, literal, d=2": partial(gaussian_literal, step=2),
    "US 9,325,996, literal, second point 50 % below": partial(gaussian_literal, below=0.5),
    "US 9,325,996, measured and corrected, d=1": gaussian_corrected,
    "US 9,325,996, measured and corrected, d=2": partial(gaussian_corrected, step=2),
    "stepping from 80 (prior art)": stepping,
}


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
    _check_targets(dict(targets))
    _check_targets(dict(batch_targets))
    if isinstance(encoders, str):
        raise ValueError(f"expected a list of encoders, got {encoders!r}: encoders=[{encoders}]")
    pictures, failures = load_pictures(photos)
    rows: list[dict[str, Any]] = []
    for name in encoders:
        one = encoder(name)
        sweeps = sweep_pictures(pictures, one, [SCORES[score] for score in targets])
        for score_name, found in sweeps.items():
            for target in targets[score_name]:
                criteria = [Criterion(SCORES[score_name], target)]
                expected = {
                    title: expectation_of(picture, one, criteria, one.qualities, None)
                    for title, picture in pictures.items()
                }
                rows += [_row(one, criteria, method, found, expected) for method in METHODS]
    batched = _batched(list(pictures.values()), batch_targets)
    text = "\n\n".join(
        f"## {title}\n\n"
        + markdown_table(list(part[0]), [list(map(str, r.values())) for r in part])
        for title, part in (("Methods", rows), ("Batches of this codec", batched))
        if part
    )
    folder = Path(out)
    record = provenance() | {"methods": rows, "batches": batched}
    write_atomically(folder / "quality_search.json", json.dumps(record, indent=1).encode())
    write_atomically(folder / "quality_search.md", f"# Quality search\n\n{text}\n".encode())
    return Report(f"{text}\n\nsaved in {folder}", failures)


def _check_targets(targets: dict[str, list[float]]) -> None:
    for name, thresholds in targets.items():
        if name not in SCORES:
            raise ValueError(f"expected scores out of {', '.join(SCORES)}, got {name!r}")
        numbers = isinstance(thresholds, Sequence) and not isinstance(thresholds, str)
        if not numbers or not all(isinstance(target, int | float) for target in thresholds):
            raise ValueError(f"expected a list of numbers as targets of {name}, got {thresholds!r}")
        for target in thresholds:
            SCORES[name].check_target(target)


def _row(
    one: Encoder,
    criteria: list[Criterion],
    method: str,
    sweeps: dict[str, Sweep],
    expected: dict[str, Expectation],
) -> dict[str, Any]:
    counts, off, more, seconds, exact, missed, unreachable = [], [], [], [], 0, 0, 0
    score, target = criteria[0]
    for title, sweep in sweeps.items():
        best = sweep.lowest(target)
        prober = Prober(sweep.measure, criteria, one.qualities, expected[title])
        try:
            quality = METHODS[method](prober)
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
        "encoder": one.name,
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
            found = find_batch(pictures, OwnEncoder(), [Criterion(SCORES[score_name], target)])
            passed = time.perf_counter() - started
            done = [f for f in found if not isinstance(f, TargetUnreachable)]
            rows.append(
                {
                    "score": f"{score_name} {target:g}",
                    "rounds": f"{statistics.mean(f.rounds for f in done):.2f}" if done else "",
                    "most rounds": max((f.rounds for f in done), default=0),
                    "probes": f"{statistics.mean(len(f.probes) for f in done):.1f}" if done else "",
                    "unreachable": len(found) - len(done),
                    "certified": f"{sum(f.is_certified for f in done)}/{len(done)}",
                    "seconds a picture": f"{passed / len(found):.2f}",
                }
            )
    return rows
