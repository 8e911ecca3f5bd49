"""Albums beside single files: bytes of sets of pictures at equal PSNR, and of files, exactly."""

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from codec.album.album import Album, open_album
from codec.learn.made_pairs import burst, set_of
from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import encode_jpeg, read_picture
from codec.pictures.resize import fit_into
from codec.pictures.sample_photos import load_pictures
from codec.pictures.storage import write_atomically
from codec.report import Report, render_page, save_tables
from codec.store.codings import code_whole
from codec.study.album_methods import (
    Method,
    as_video,
    each_alone,
    gallery_literal,
    goals_of,
    literal,
    own_alone,
    own_set,
    single_files,
)
from codec.study.rate_report import png_of

SHIFT, GAIN = 4.0, 1.04  # of bursts, see `made_pairs.burst`
_NOISE = {"burst": 1.2, "noisy burst": 3.0}
_FILE_QUALITY = 92
_MOST_FILES = 300  # of a folder
_THUMBNAIL = 200
OURS, ALONE, JPEG = "album", "ours, alone", "JPEG q85"


def methods() -> dict[str, Method]:
    """Ways to store a set of pictures, by name."""
    return {
        JPEG: single_files,
        "as the patent has it": literal,
        "as the gallery's application has it": gallery_literal,
        "JPEG XL e7": each_alone("jxl"),
        "AVIF s6 4:2:0": each_alone("avif"),
        ALONE: own_alone,
        "x265, as a video": as_video,
        OURS: own_set,
    }


def run(
    out: str,
    albums: str | None,
    photos: str | None,
    files: list[str],
    sets: list[str] | None,
    count: int,
    made: int,
) -> Report:
    """Store every set in every way.

    Args:
        out: folder for tables, JSON and the page.
        albums: folder of pictures called SET-NUMBER, or None.
        photos: photos that bursts are made of; None is scikit-image's.
        files: folders of JPEG files that are stored exactly.
        sets: of the albums; None is all.
        count: pictures of a set.
        made: how many photos bursts are made of.
    """
    pictures = _sets(albums, photos, sets, count, made)
    known = methods()
    sizes: dict[str, dict[str, float]] = {}
    failures = []
    with tqdm(total=len(pictures) * len(known), desc="sets", disable=None) as bar:
        for name, every in pictures.items():
            goals = goals_of(every)
            sizes[name] = {}
            for title, method in known.items():
                try:
                    sizes[name][title] = method(goals)
                except (ValueError, OSError, ImportError) as error:
                    failures.append(f"{name}, {title}: {error}")
                bar.update()
    exact = [_exact_row(name, data) for name, data in _files(photos, files, made).items()]
    tables = {
        f"Pictures, % of {JPEG} at equal PSNR-RGB": [_row(n, s, JPEG) for n, s in sizes.items()],
        f"Pictures, % of {ALONE}": [_row(n, s, ALONE) for n, s in sizes.items()],
        "Files, every byte back, % of the files": exact,
    }
    tables = {title: rows for title, rows in tables.items() if rows}
    if not tables:
        raise ValueError("expected sets of pictures, photos to make some of, or folders of files")
    report = save_tables("album", tables, out, sizes=sizes)
    page = render_page(
        Path(__file__).with_name("album.html"),
        plot=_plot(sizes),
        pictures={name: [_thumbnail(one) for one in every] for name, every in pictures.items()},
        tables=tables,
    )
    write_atomically(Path(out) / "report.html", page)
    return Report(report.summary, failures)


def _sets(
    albums: str | None, photos: str | None, sets: list[str] | None, count: int, made: int
) -> dict[str, list[Tensor]]:
    """Pictures of every set."""
    found: dict[str, list[Tensor]] = {}
    for name, pixels in list(load_pictures(photos)[0].items())[:made]:
        for kind, noise in _NOISE.items():
            rng = random.Random(Path(name).stem)
            found[f"{kind} of {Path(name).stem}"] = burst(pixels, SHIFT, GAIN, noise, rng, count)
    paths = [] if albums is None else [path for path, _ in list_pictures([albums])]
    for path in paths:
        name = set_of(path)
        if (sets is None or name in sets) and len(found.setdefault(name, [])) < count:
            found[name].append(read_picture(path).pixels)
    return {name: every for name, every in found.items() if len(every) > 1}


def _files(photos: str | None, folders: Sequence[str], made: int) -> dict[str, list[bytes]]:
    """JPEG files of every set: bursts of four, and folders."""
    found = {}
    for name, pixels in list(load_pictures(photos)[0].items())[:made]:
        rng = random.Random(Path(name).stem)
        shots = burst(pixels, SHIFT, GAIN, _NOISE["burst"], rng, 4)
        found[f"burst of {Path(name).stem}, q{_FILE_QUALITY}"] = [
            encode_jpeg(one, _FILE_QUALITY) for one in shots
        ]
    for folder in folders:
        paths = [path for path, _ in list_pictures([folder], (".jpg", ".jpeg"))]
        step = max(1, len(paths) // _MOST_FILES)
        found[Path(folder).name] = [path.read_bytes() for path in paths[::step][:_MOST_FILES]]
    return found


def _exact_row(name: str, files: Sequence[bytes]) -> dict[str, str]:
    """What files take alone and in an album, and how long that is."""
    total = sum(map(len, files))
    lepton, alone = _timed(lambda: sum(len(code_whole(data).data) for data in files))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        folder.mkdir()
        for number, data in enumerate(files):
            (folder / f"{number:04}.jpg").write_bytes(data)
        with open_album(Path(place) / "a.dfa", create=True) as album:
            every = [(folder / f"{n:04}.jpg", f"{n:04}.jpg") for n in range(len(files))]
            _, seconds = _timed(lambda: _added(album, every))
            stats = album.collection.stats()
    return {
        "set": name,
        "files": str(len(files)),
        "bytes": f"{total:,}",
        "Lepton": f"{100 * lepton / total:.1f}",
        "JPEG XL": _share(_jpeg_xl(files), total),
        OURS: f"{100 * stats.stored / total:.1f}",
        "predicted": str(stats.predicted),
        "time, x Lepton's": f"{seconds / alone:.1f}",
        "files a second": f"{len(files) / seconds:.2f}",
    }


def _added(album: Album, files: Sequence[tuple[Path, str]]) -> None:
    """Files that are one group, whatever they say of their time, if they say nothing."""
    album.collection.add(files)
    album.group()
    if all(item.taken is None for item in album.store.items()) and len(files) <= 8:
        number = album.store.add_group("made together")
        for _, name in files:
            album.store.change_item(name, group=number)
    album.arrange()


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return act(), time.perf_counter() - started


def _jpeg_xl(files: Sequence[bytes]) -> float:
    """Bytes of the files as JPEG XL transcodes them; what it refuses stays as it is."""
    try:
        import imagecodecs
    except ImportError:
        return math.nan
    total = 0
    for data in files:
        try:
            total += min(len(data), len(imagecodecs.jpegxl_encode_jpeg(data)))
        except (RuntimeError, ValueError):
            total += len(data)
    return float(total)


def _row(name: str, sizes: dict[str, float], anchor: str) -> dict[str, str]:
    row = {"set": name}
    if anchor == JPEG:
        row["bytes of JPEG"] = f"{sizes[JPEG]:,.0f}"
    return row | {
        title: _share(size, sizes[anchor])
        for title, size in sizes.items()
        if title != anchor and (anchor == JPEG or title in (OURS, "x265, as a video"))
    }


def _share(size: float, total: float) -> str:
    return "" if math.isnan(size) else f"{100 * size / total:.1f}"


def _plot(sizes: dict[str, dict[str, float]]) -> bytes:
    """Bars of every set, PNG."""
    titles = [title for title in methods() if title != JPEG]
    figure = Figure(figsize=(8.5, 1 + 0.16 * len(titles) * len(sizes)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.85 / len(titles)
    for number, title in enumerate(titles):
        there = [
            (place, 100 * found[title] / found[JPEG])
            for place, found in enumerate(sizes.values())
            if not math.isnan(found.get(title, math.nan))
        ]
        axes.barh(
            [place + (number - len(titles) / 2) * height for place, _ in there],
            [share for _, share in there],
            height,
            label=title,
            color="black" if title == OURS else None,
        )
    axes.set_yticks(range(len(sizes)), list(sizes))
    axes.invert_yaxis()
    axes.axvline(100, color="black", linewidth=0.8)
    axes.set_xlabel(f"% of the bytes of {JPEG} 4:2:0, at its PSNR-RGB")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return png_of(figure)


def _thumbnail(pixels: Tensor) -> bytes:
    return encode_jpeg(fit_into(pixels, _THUMBNAIL), 80)
