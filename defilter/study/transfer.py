"""The main job: take a look from templates, put it on photos, and show what happened."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from torch import nn

from codec.pictures.folders import list_pictures
from codec.pictures.picture_files import Picture, read_picture, to_dtype, write_picture
from codec.pictures.sample_photos import embedded_photos
from defilter.analysis import Analysers, default_analysers, reduced_for_networks
from defilter.coverage import photo_coverage
from defilter.extract import Extraction
from defilter.look import save_look
from defilter.study.demonstration import demonstration_look
from defilter.study.maps import gather, without_maps, write_maps
from defilter.study.report import (
    MOST_SLIDERS,
    Comparison,
    reduced,
    write_contact_sheet,
    write_report,
)
from defilter.transfer import Done, apply_look, convert_each, extract, plan_outputs, remove
from defilter.weights import DEFAULT_WEIGHTS, load_network

LOOK_NAMES = ("look.cube", "look.png", "look.json")
MAPS = "maps"
OWN_NAMES = (*LOOK_NAMES, "contact_sheet.png", "report.html", MAPS)
DEMONSTRATION_TEMPLATE = "motorcycle_left.png"  # many colours: it shows much of a look
MOST_TEMPLATES = 4  # shown


class TransferResult(NamedTuple):
    """What a transfer wrote, and what failed; printed by evaluate.py."""

    out: Path
    extraction: Extraction
    failures: list[str]
    summary: str


def run(
    template: str | list[str] | None,
    photos: str | list[str] | None,
    out: str,
    strength: float | None,
    weights: str | None,
    analysers: Analysers | None = None,
) -> TransferResult:
    """Extract, render, report.

    Args:
        template: picture(s) or folder(s) with one look; None is an embedded photo graded by
            `demonstration_look`.
        photos: picture(s) or folder(s) to render; None is the embedded photos.
        out: folder for look.cube, look.png, look.json, contact_sheet.png, report.html, maps and
            the renderings, which keep the photos' names.
        strength: rendering degree, 0 to 1; None follows how alike the scenes are.
        weights: a network from train.py; None is the one that ships.
        analysers: what to look for in template and photos; None is everything.

    Raises:
        ValueError: unusable input; the message names it.
    """
    if strength is not None and not (isinstance(strength, float | int) and 0 <= strength <= 1):
        raise ValueError(f"expected a strength from 0 to 1, got {strength!r}")
    target = Path(out)
    chosen = [str(path) for path in embedded_photos()] if photos is None else _as_list(photos)
    given = [] if template is None else _as_list(template)
    plan = plan_outputs(chosen, target, given, OWN_NAMES)
    started = time.perf_counter()
    network = load_network(weights)
    analysers = default_analysers() if analysers is None else analysers
    loaded = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sources = given or [str(_graded_template(Path(folder)))]
        extraction = extract(sources, network, analysers)
        extracted = time.perf_counter()
        used = extraction.look.provenance["templates"]
        shown = [path for path, _ in list_pictures(sources) if path.name in used]
        templates = [
            _compare_template(read_picture(path), path.name, network)
            for path in shown[:MOST_TEMPLATES]
        ]
    for name in LOOK_NAMES:
        save_look(extraction.look, target / name)
    comparisons: list[Comparison] = []
    failures: list[str] = []
    rendering, mark = 0.0, time.perf_counter()
    for done in convert_each(plan, apply_look(extraction.look, strength, analysers)):
        rendering += time.perf_counter() - mark
        if done.failure:
            failures.append(done.failure)
        else:
            comparisons.append(_compare(done, target, extraction, analysers, len(comparisons)))
        mark = time.perf_counter()
    if not comparisons:
        raise ValueError("no photo could be rendered: " + "; ".join(failures))
    timings = {
        "load the networks": loaded - started,
        "extract the look": extracted - loaded,
        f"render {len(comparisons)} photos": rendering,
    }
    network_name = (
        f"{Path(weights or DEFAULT_WEIGHTS).name} {extraction.look.provenance['network']}"
    )
    write_contact_sheet(templates, comparisons, target / "contact_sheet.png")
    write_report(
        extraction.look, templates, comparisons, timings, network_name, target / "report.html"
    )
    degrees = [c.evidence.strength for c in comparisons if c.evidence is not None]
    summary = (
        f"{len(comparisons)} of {len(plan)} photos rendered into {target}, at degrees "
        f"{min(degrees):.2f} to {max(degrees):.2f}: open {target / 'report.html'}"
    )
    return TransferResult(target, extraction, failures, summary)


def _as_list(paths: object) -> list[str]:
    """Paths as strings: a folder may be called 2024, which a command line gives as a number."""
    if isinstance(paths, Iterable) and not isinstance(paths, str):
        return [str(path) for path in paths]
    return [str(paths)]


def _graded_template(folder: Path) -> Path:
    """The demonstration's template as a JPEG file, as users have one."""
    source = next(p for p in embedded_photos() if p.name == DEMONSTRATION_TEMPLATE)
    photo = read_picture(source)
    graded = to_dtype(demonstration_look(photo.floats()[None])[0], photo.pixels.dtype)
    path = folder / f"{source.stem}_graded.jpg"
    write_picture(Picture(graded, file_format="JPEG"), path)
    return path


def _compare_template(template: Picture, name: str, network: nn.Module) -> Comparison:
    removed = remove(template, network)
    return Comparison(name, reduced(removed.floats()), reduced(template.floats()), 1.0)


def _compare(
    done: Done, out: Path, extraction: Extraction, analysers: Analysers, number: int
) -> Comparison:
    """A rendering beside its photo; its maps are written."""
    picture = read_picture(done.source)
    photo = picture.floats()
    name = done.target.relative_to(out)
    evidence = None
    if done.analysis is not None:
        analysis = done.analysis
        if analysis.areas is None and analysers.areas is not None:
            # To be shown, though the look has no use for them.
            analysis = analysis._replace(
                areas=analysers.areas(reduced_for_networks(picture.pixels))
            )
        evidence = gather(analysis, extraction.look, analysers, *photo.shape[1:])
        write_maps(evidence, out / MAPS / name)
    with_picture = number < MOST_SLIDERS
    if evidence is not None and not with_picture:
        evidence = without_maps(evidence)
    return Comparison(
        name.as_posix(),
        reduced(photo) if with_picture else None,
        reduced(read_picture(done.target).floats()) if with_picture else None,
        photo_coverage(photo, extraction.before),
        evidence,
    )
