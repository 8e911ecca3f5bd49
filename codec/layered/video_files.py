"""Files of videos to videos in layers, and back."""

from collections.abc import Sequence
from pathlib import Path

from codec.layered.video import (
    VideoDone,
    VideoError,
    layer_video,
    unlayer_video,
)
from codec.layered.video_tracks import VideoSettings
from codec.pictures.folders import EXTENSIONS, VIDEO_EXTENSIONS
from codec.pictures.jobs import (
    BatchResult,
    FileResult,
    Job,
    OnResult,
    Output,
    Plan,
    check_output,
    plan_jobs,
    run_jobs,
)


def are_videos(inputs: Sequence[Path | str], others: tuple[str, ...] = EXTENSIONS) -> bool:
    """Whether inputs are videos, by their names; a folder is where it holds nothing else.

    Raises:
        VideoError: some are and some are not.
    """
    found = {_is_video(Path(path), others) for path in inputs}
    if len(found) > 1:
        raise VideoError("expected pictures or videos, got both: one after the other")
    return found == {True}


def _is_video(path: Path, others: tuple[str, ...]) -> bool:
    if not path.is_dir():
        return path.suffix.lower() in VIDEO_EXTENSIONS
    names = [one.name.lower() for one in path.rglob("*")]
    is_other = any(name.endswith(others) for name in names)
    return not is_other and any(name.endswith(VIDEO_EXTENSIONS) for name in names)


def plan_video_layering(
    inputs: Sequence[Path | str], output: Path | str, skip: bool = False
) -> Plan:
    """Videos and where their layers go: OUT/<stem>.mkv, or one file."""
    check_output(output, (".mkv",))
    return plan_jobs(
        inputs, Output(output, ".mkv", skip_existing=skip, files=VIDEO_EXTENSIONS), VIDEO_EXTENSIONS
    )


def layer_videos(
    plan: Plan, settings: VideoSettings, on_result: OnResult | None = None
) -> BatchResult:
    """Write the layers of every video; see `codec.layered.video.layer_video`."""

    def one(job: Job) -> FileResult:
        done = layer_video(job.source, job.target, settings)
        base = f"{done.frames} frames, base {done.base:,} bytes"
        return _result(job, done, (base, *done.notes))

    return run_jobs(plan, one, on_result, most=1)  # frames are spread already


def plan_video_unlayering(
    inputs: Sequence[Path | str], output: Path | str, skip: bool = False
) -> Plan:
    """Videos in layers and where they go: OUT/<stem>.mkv without loss, or one file of any kind."""
    check_output(output, (".mkv", ".mp4", ".mov", ".m4v"))
    suffix = Path(output).suffix.lower()
    kept = suffix if suffix in VIDEO_EXTENSIONS else ".mkv"
    place = Output(output, kept, skip_existing=skip, files=VIDEO_EXTENSIONS)
    return plan_jobs(inputs, place, (".mkv",))


def unlayer_videos(plan: Plan, on_result: OnResult | None = None) -> BatchResult:
    """Write every video whole; see `codec.layered.video.unlayer_video`."""

    def one(job: Job) -> FileResult:
        done = unlayer_video(job.source, job.target)
        return _result(job, done, done.notes)

    return run_jobs(plan, one, on_result, most=1)


def _result(job: Job, done: VideoDone, notes: tuple[str, ...]) -> FileResult:
    before, after = job.source.stat().st_size, job.target.stat().st_size
    poorer = bool(done.problems)
    return FileResult(
        job.source, job.target, before, after, (*notes, *done.problems), poorer=poorer
    )
