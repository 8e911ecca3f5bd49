"""What `optimise` costs and saves on picture files as they are, JPEG files with their tables.

Every search is the real one. It is exact where it is certified: the quality that it found was seen
to pass, and the one below to fail.
"""

import json
import statistics
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import PictureError, read_picture
from codec.pictures.storage import write_atomically
from codec.report import Report, markdown_table, provenance
from codec.search import (
    Encoder,
    Request,
    TargetUnreachable,
    at_least,
    encoder,
    jpeg_source,
    optimise,
)


def run(
    photos: str,
    out: str,
    encoders: list[str],
    targets: dict[str, list[float]],
    worst_tile: float | None,
) -> Report:
    """Search every file with every encoder for every target.

    Args:
        photos: picture or folder.
        out: folder for JSON and Markdown.
        encoders: names, see `codec.search.encoders`.
        targets: by score, the goals.
        worst_tile: the floor under the worst tile; None is the usual one, -1000 none.
    """
    pictures, failures = {}, []
    for path, name in list_pictures([photos]):
        try:
            pixels = read_picture(path, keep_profile=True).stored()
            if pixels.dtype != torch.uint8:
                raise PictureError(f"{path}: expected 8 bits a channel")
            pictures[str(name)] = pixels, jpeg_source(path.read_bytes()), path.stat().st_size
        except PictureError as error:
            failures.append(str(error))
    searches = [
        {"encoder": name, "target": f"{score} {goal:g}", "file": title} | _search(
            encoder(name), Request(at_least(score, goal, worst_tile), source), pixels, size
        )
        for name in encoders
        for score, goals in targets.items()
        for goal in goals
        for title, (pixels, source, size) in tqdm(
            pictures.items(), desc=f"{name} {score} {goal:g}", disable=None
        )
    ]  # fmt: skip
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for search in searches:
        groups.setdefault((search["encoder"], search["target"]), []).append(search)
    rows = [_row(*key, group) for key, group in groups.items()]
    text = markdown_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    folder = Path(out)
    record = provenance() | {"rows": rows, "searches": searches}
    write_atomically(folder / "file_search.json", json.dumps(record, indent=1).encode())
    write_atomically(folder / "file_search.md", f"# Search on files\n\n{text}\n".encode())
    return Report(f"{text}\n\nsaved in {folder}", failures)


def _search(one: Encoder, request: Request, pixels: torch.Tensor, size: int) -> dict[str, Any]:
    """What became of one file."""
    try:
        found = optimise(pixels, one, request)
    except TargetUnreachable as error:
        return {"probes": len(error.probes), "halving": len(error.probes), "kept": True}
    place = found.encoder.qualities.index(found.quality)
    return {
        "probes": found.cost,
        "halving": _probes_of_bisection(place, len(found.encoder.qualities)),
        "kept": len(found.data) >= size,
        "certified": found.is_certified,
        "kind": "lossless" if found.lossless else found.encoder.name,
        "quality": found.quality,
        "share": len(found.data) / size,
        "qualities": [p.quality for p in (*found.others, *found.probes)],
    }


def _probes_of_bisection(place: int, length: int) -> int:
    """How many probes halving the scale takes to a place on it."""
    low, high, count = -1, length, 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle >= place else (middle, high)
        count += 1
    return count


def _row(name: str, target: str, searches: list[dict[str, Any]]) -> dict[str, Any]:
    reached = [search for search in searches if "quality" in search]
    counts = [search["probes"] for search in searches]
    return {
        "encoder": name,
        "target": target,
        "files": len(searches),
        "probes": f"{statistics.mean(counts):.2f}",
        "most": max(counts),
        "bisection": f"{statistics.mean(search['halving'] for search in searches):.2f}",
        "exact": f"{sum(search['certified'] for search in reached)}/{len(reached)}",
        "out of reach": len(searches) - len(reached),
        "full chroma": sum(search["kind"].endswith("_444") for search in reached),
        "lossless": sum(search["kind"] == "lossless" for search in reached),
        "kept": sum(search["kept"] for search in searches),
        "of the input": f"{statistics.mean(min(s.get('share', 1), 1) for s in searches):.3f}",
    }
