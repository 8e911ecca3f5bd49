"""The main job: take a look from templates, put it on photos, and show what happened."""

import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from codec.pictures.apply import render_mapping
from codec.pictures.jobs import FileResult, Job, Output, plan_jobs, run_jobs
from codec.pictures.picture_files import (
    Picture,
    read_picture,
    to_dtype,
    write_picture,
    written_path,
)
from codec.pictures.resize import PRESET_SIZE, squash
from codec.pictures.sample_photos import embedded_photos
from codec.report import Report
from defilter.analysis import Analysers, default_analysers, reduced_for_networks
from defilter.coverage import photo_coverage
from defilter.extraction import FIT_SIZE, Extraction, inverse_of
from defilter.look import save_look
from defilter.networks import DEFAULT_WEIGHTS, load_look_network
from defilter.render import WEAK
from defilter.study.demonstration import demonstration_look
from defilter.study.maps import gather, without_maps, write_maps
from defilter.study.report import (
    MOST_SLIDERS,
    Comparison,
    reduced,
    write_contact_sheet,
    write_report,
)
from defilter.verbs import Converted, apply_look, extract

LOOK_NAMES = ("look.cube", "look.png", "look.json")
MAPS = "maps"
OWN_NAMES = (*LOOK_NAMES, "contact_sheet.png", "report.html", MAPS)
DEMONSTRATION_TEMPLATE = "motorcycle_left.png"  # many colours: it shows much of a look
MOST_TEMPLATES = 4  # shown


def run(
    template: str | list[str] | None,
    photos: str | list[str] | None,
    out: str,
    strength: float | None,
    weights: str | None,
    analysers: Analysers | None = None,
) -> Report:
    """Extract, render, report.

    Args:
        template: picture(s) or folder(s) with one look; None is an embedded photo graded by
            `demonstration_look`, whose look is put on the photos wholly.
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
    demonstration = template is None and strength is None
    strength = 1.0 if demonstration else strength
    target = Path(out)
    chosen = [str(path) for path in embedded_photos()] if photos is None else _as_list(photos)
    given = [] if template is None else _as_list(template)
    clock = _Clock()
    network = load_look_network(weights)
    analysers = default_analysers() if analysers is None else analysers
    clock.stop("load the networks")
    with ExitStack() as stack:
        if not given:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = [str(_graded_template(Path(folder)))]
        extraction = extract(given, network, analysers)
        name = Path(weights or DEFAULT_WEIGHTS).name
        clock.stop(f"extract the look with {name} {extraction.look.provenance['network']}")
        shown = zip(extraction.templates[:MOST_TEMPLATES], extraction.removed, strict=False)
        templates = [_compare_template(path, removed) for path, removed in shown]
    look = extraction.look
    output = Output(target, reserved=OWN_NAMES, rename=written_path)
    plan = plan_jobs(chosen, output, others=extraction.templates)
    if not plan.jobs:
        raise ValueError("; ".join(one.error for one in plan.failures))
    for name in LOOK_NAMES:
        save_look(look, target / name)
    renderer = _Renderer(extraction, analysers, strength, plan.jobs[:MOST_SLIDERS], target)
    done = run_jobs(plan, renderer)
    comparisons = [renderer.comparisons[job] for job in plan.jobs if job in renderer.comparisons]
    if not comparisons:
        raise ValueError("no photo could be rendered: " + "; ".join(done.failures))
    timings = clock.seconds | {f"render {len(comparisons)} photos": renderer.seconds}
    write_contact_sheet(templates, comparisons, target / "contact_sheet.png")
    write_report(look, templates, comparisons, timings, target / "report.html")
    degrees = [c.maps.degree for c in comparisons if c.maps is not None]
    summary = (
        f"{len(comparisons)} of {len(done.results)} photos rendered into {target}, "
        f"{_degrees(degrees, demonstration)}: open {target / 'report.html'}"
    )
    return Report(summary, done.failures)


def _as_list(paths: object) -> list[str]:
    """Paths as strings: a folder may be called 2024, which a command line gives as a number."""
    if isinstance(paths, Iterable) and not isinstance(paths, str):
        return [str(path) for path in paths]
    return [str(paths)]


def _degrees(degrees: list[float], demonstration: bool) -> str:
    """How strongly photos were rendered, in words."""
    low, high = min(degrees), max(degrees)
    if demonstration:
        return "at strength 1, so that the whole look is seen"
    hint = ", strength=1 overrules the scenes" if low < WEAK else ""
    return f"at degrees {low:.2f} to {high:.2f}{hint}"


class _Clock:
    """Seconds since the last stop, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.mark = time.perf_counter()

    def stop(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self.mark = now - self.mark, now


class _Renderer:
    """Renders photos and puts each beside its rendering; several at once."""

    def __init__(
        self,
        extraction: Extraction,
        analysers: Analysers,
        strength: float | None,
        shown: Sequence[Job],
        out: Path,
    ):
        self.extraction, self.analysers, self.out = extraction, analysers, out
        self.convert = apply_look(extraction.look, strength, analysers)
        self.shown = frozenset(shown)
        self.comparisons: dict[Job, Comparison] = {}
        self.seconds = 0.0

    def __call__(self, job: Job) -> FileResult:
        photo = read_picture(job.source)
        started = time.perf_counter()
        converted = self.convert(photo)
        self.seconds += time.perf_counter() - started
        notes = write_picture(converted.picture, job.target, like=job.source)
        self.comparisons[job] = self._compare(photo, converted, job)
        return FileResult(job.source, job.target, notes=notes)

    def _compare(self, picture: Picture, converted: Converted, job: Job) -> Comparison:
        """A photo beside its rendering; its maps are written."""
        analysis, look = converted.analysis, self.extraction.look
        assert analysis is not None
        if analysis.areas is None and self.analysers.areas is not None:
            # To be shown, though the look has no use for them.
            areas = self.analysers.areas(reduced_for_networks(picture.pixels))
            analysis = analysis._replace(areas=areas)
        photo = picture.floats()
        maps = gather(analysis, look, self.analysers, *photo.shape[1:])
        name = job.target.relative_to(self.out)
        write_maps(maps, self.out / MAPS / name)
        with_pictures = job in self.shown
        return Comparison(
            name.as_posix(),
            reduced(photo) if with_pictures else None,
            reduced(converted.picture.floats()) if with_pictures else None,
            photo_coverage(photo, self.extraction.before),
            maps if with_pictures else without_maps(maps),
        )


def _graded_template(folder: Path) -> Path:
    """The demonstration's template as a JPEG file, as users have one."""
    source = next(p for p in embedded_photos() if p.name == DEMONSTRATION_TEMPLATE)
    photo = read_picture(source)
    graded = to_dtype(demonstration_look(photo.floats()[None])[0], photo.pixels.dtype)
    path = folder / f"{source.stem}_graded.jpg"
    write_picture(Picture(graded, file_format="JPEG"), path)
    return path


def _compare_template(path: Path, removed: Tensor) -> Comparison:
    """A template beside what it is without its look, which the network saw squashed."""
    template = read_picture(path)
    small = squash(squash(template.floats()[None], PRESET_SIZE), FIT_SIZE)[0]
    clean = template.with_pixels(render_mapping(template.pixels, inverse_of(small, removed)))
    return Comparison(path.name, reduced(clean.floats()), reduced(template.floats()))
