"""Looks on files and folders: apply one, remove one, transfer one.

The same functions stand behind the commands, the studies and the notebooks. One bad file never
costs the others; see `codec.pictures.jobs`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from codec.pictures.folders import EXTENSIONS, VIDEO_EXTENSIONS
from codec.pictures.jobs import (
    BatchResult,
    FileResult,
    Job,
    OnResult,
    Output,
    Plan,
    plan_jobs,
    run_jobs,
)
from codec.pictures.picture_files import read_picture, write_picture, written_path
from defilter.analysis import Analysers, analysers_for
from defilter.look import Look
from defilter.networks import LookNetwork, default_network
from defilter.render import describe
from defilter.verbs import Converted, PathLike, apply_look, extract, remove
from defilter.video import is_video, render_video


def plan_rendering(
    photos: Sequence[PathLike],
    out: PathLike,
    templates: Sequence[Path] = (),
    skip_existing: bool = False,
    reserved: Sequence[str] = (),
) -> Plan:
    """Photos and videos, and where their renderings go.

    Renderings keep the names of photos, but HEIC becomes JPEG; videos become OUT/<stem>.mp4.

    Args:
        photos: files, folders and patterns.
        out: a folder, or for one photo a file.
        templates: files that must not be written over, and are not rendered where a folder holds
            them.
        skip_existing: leave photos whose rendering is there.
        reserved: names in the output folder that no rendering may take.
    """
    files = EXTENSIONS + VIDEO_EXTENSIONS
    output = Output(out, None, _rendered_name, skip_existing, reserved, files)
    return plan_jobs(photos, output, files, templates)


def plan_removing(photos: Sequence[PathLike], out: PathLike, skip_existing: bool = False) -> Plan:
    """Photos, and where they go without their filter; videos in folders are left aside."""
    return plan_jobs(photos, Output(out, None, written_path, skip_existing))


def _rendered_name(path: Path) -> Path:
    return path.with_suffix(".mp4") if is_video(path) else written_path(path)


def apply_to_files(
    look: Look,
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    analysers: Analysers | None = None,
) -> BatchResult:
    """Render photos and videos; what is no still picture is kept as it is.

    Args:
        look: to render with.
        photos: files, folders and patterns.
        out: folder, or for one photo a file.
        strength: rendering degree, 0 (as it was) to 1; None follows the scenes where they are
            known, else 1.
        analysers: what looks at the photos; None is what the look can use.

    Raises:
        ValueError: nothing to do, or several photos for one file.
    """
    return render_planned(plan_rendering(photos, out), look, strength, analysers)


def render_planned(
    plan: Plan,
    look: Look,
    strength: float | None = None,
    analysers: Analysers | None = None,
    quality: int | None = None,
    on_result: OnResult | None = None,
) -> BatchResult:
    """`apply_to_files` on a plan of `plan_rendering`.

    Args:
        plan: what is rendered where.
        look, strength, analysers: see `apply_to_files`.
        quality: of JPEG, WebP and AVIF files; None keeps that of JPEG files.
        on_result: called with each result as soon as it is known.
    """
    chosen = (analysers_for(look) if analysers is None else analysers).fitting(look)
    on_photo = _photo_worker(apply_look(look, strength, chosen), look, quality)

    def work(job: Job) -> FileResult:
        if not is_video(job.source):
            return on_photo(job)
        done = render_video(look, job.source, job.target, chosen, strength)
        if done.note:
            frames = f"{done.frames} frames are in {job.target}"
            return FileResult(job.source, None, error=f"{job.source}: {done.note}; {frames}")
        low, high = done.degrees
        degrees = (f"degrees {low:.2f} to {high:.2f}",) if chosen.scene is not None else ()
        quality_note = () if quality is None else ("the quality is for pictures",)
        return _sized(job, (*degrees, *quality_note, *done.notes))

    return run_jobs(plan, work, on_result)


def remove_from_files(
    photos: Sequence[PathLike], out: PathLike, network: LookNetwork | None = None
) -> BatchResult:
    """De-filter photos; see `apply_to_files`."""
    return remove_planned(plan_removing(photos, out), network or default_network())


def remove_planned(
    plan: Plan,
    network: LookNetwork,
    quality: int | None = None,
    on_result: OnResult | None = None,
) -> BatchResult:
    """`remove_from_files` on a plan of `plan_removing`; see `render_planned`."""
    work = _photo_worker(lambda picture: Converted(remove(picture, network)), None, quality)

    def photos_only(job: Job) -> FileResult:
        if is_video(job.source):
            raise ValueError(f"{job.source}: filters are removed from pictures, not from videos")
        return work(job)

    return run_jobs(plan, photos_only, on_result)


def transfer(
    template: Sequence[PathLike],
    photos: Sequence[PathLike],
    out: PathLike,
    strength: float | None = None,
    network: LookNetwork | None = None,
    analysers: Analysers | None = None,
) -> BatchResult:
    """Take the look of the templates and render photos and videos with it.

    Args:
        template: files or folders, all with one look; they are not rendered themselves.
        photos, out, strength: see `apply_to_files`.
        network: that takes the look; None is the one that ships.
        analysers: what to look for in templates and photos; None is everything.
    """
    extraction = extract(template, network, analysers)
    plan = plan_rendering(photos, out, extraction.templates)
    return render_planned(plan, extraction.look, strength, analysers)


def _photo_worker(
    convert: Callable[..., Converted], look: Look | None, quality: int | None
) -> Callable[[Job], FileResult]:
    """What reads, converts and writes one photo; notes compare with what `look` says."""

    def work(job: Job) -> FileResult:
        picture, analysis = convert(read_picture(job.source))
        lost = write_picture(picture, job.target, quality, like=job.source)
        said = describe(analysis, look) if analysis is not None and look is not None else ""
        return _sized(job, tuple(note for note in (said, *lost) if note))

    return work


def _sized(job: Job, notes: tuple[str, ...]) -> FileResult:
    before, after = (path.stat().st_size for path in (job.source, job.target))
    return FileResult(job.source, job.target, before, after, notes)
