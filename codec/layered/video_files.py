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
from codec.pictures.folders import VIDEO_EXTENSIONS
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


def are_videos(inputs: Sequence[Path | str]) -> bool:
    """Whether inputs are videos, by their names.

    Raises:
        VideoError: some are and some are not.
    """
    found = {Path(path).suffix.lower() in VIDEO_EXTENSIONS for path in inputs}
    if len(found) > 1:
        raise VideoError("expected pictures or videos, got both: one after the other")
    return found == {True}


def plan_video_layering(
    inputs: Sequence[Path | str], output: Path | str, skip: bool = False
) -> Plan:
    """Videos and where their layers go: OUT/<stem>.mkv, or one file."""
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
        return _result(job, done, (base,))

    return run_jobs(plan, one, on_result, most=1)  # frames are spread already


def plan_video_unlayering(
    inputs: Sequence[Path | str], output: Path | str, skip: bool = False
) -> Plan:
    """Videos in layers and where they go: OUT/<stem>.mkv without loss, or one file of any kind."""
    suffix = Path(output).suffix.lower()
    kept = suffix if suffix in VIDEO_EXTENSIONS else ".mkv"
    place = Output(output, kept, skip_existing=skip, files=VIDEO_EXTENSIONS)
    return plan_jobs(inputs, place, (".mkv",))


def unlayer_videos(plan: Plan, on_result: OnResult | None = None) -> BatchResult:
    """Write every video whole; see `codec.layered.video.unlayer_video`."""

    def one(job: Job) -> FileResult:
        return _result(job, unlayer_video(job.source, job.target), ())

    return run_jobs(plan, one, on_result, most=1)


def _result(job: Job, done: VideoDone, notes: tuple[str, ...]) -> FileResult:
    before, after = job.source.stat().st_size, job.target.stat().st_size
    poorer = bool(done.problems)
    return FileResult(
        job.source, job.target, before, after, (*notes, *done.problems), poorer=poorer
    )
