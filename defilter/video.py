"""Videos with a look: every frame rendered, whatever else .mp4 has a place for kept.

Nothing here needs PyAV, which reads and writes videos, until a video is rendered.
"""

from pathlib import Path
from typing import NamedTuple

from codec.pictures.folders import VIDEO_EXTENSIONS
from defilter.analysis import Analysers
from defilter.look import Look
from defilter.video_smoothing import TemporalSmoother


def is_video(path: Path | str) -> bool:
    """By its extension."""
    return Path(path).suffix.lower() in VIDEO_EXTENSIONS


class VideoError(ValueError):
    """A video that cannot be read or written; the message names it."""


class VideoDone(NamedTuple):
    """What became of a video.

    Attributes:
        frames: how many were rendered.
        degrees: least and greatest rendering degree.
        note: a sentence if the file broke off; empty if it is whole.
        notes: what could not travel, or was changed, a sentence each.
    """

    frames: int
    degrees: tuple[float, float]
    note: str
    notes: tuple[str, ...] = ()


def render_video(
    look: Look,
    source: Path | str,
    target: Path | str,
    analysers: Analysers,
    strength: float | None = None,
) -> VideoDone:
    """Write an .mp4 (H.264, BT.709) of every frame with the look.

    Frames are turned upright and deinterlaced; high dynamic range is tone mapped; odd sides get one
    more row or column, as H.264 wants it. Times, pixel aspect, sound, subtitles, chapters, labels
    and covers travel; where .mp4 has no place for something, the notes say so. Sound that players
    expect in .mp4 is copied, other sound becomes AAC; subtitles become those of .mp4.

    Raises:
        VideoError: nothing in the file can be shown, or it cannot be written.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise VideoError(f"{target}: the output would overwrite it; choose another folder")
    try:
        from defilter.video_files import Unconvertible, convert
    except ImportError as error:
        raise VideoError(f"{source}: videos need PyAV ({error}); pip install av") from error
    try:
        return VideoDone(*convert(source, target, TemporalSmoother(look, analysers, strength)))
    except Unconvertible as error:
        raise VideoError(f"{source}: {error}") from error
