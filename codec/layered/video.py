"""Layered videos: an H.264 base that every player shows, and differences in tracks beside it.

Everything is in Matroska: the base of a fraction of the size first and by default, sound as it was,
then one track of differences in this codec, or m x n of them as in US 2018/0007375, where each is
H.264 itself. Pictures are planes Y, U, V as they are decoded, U and V half as large each way.

Axes: H W pixels of a plane.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from codec.container import FormatError
from codec.layered.differences import OwnCoder
from codec.layered.geometry import Sampling, Size, shrink
from codec.layered.video_frames import FrameCoder, InOrder, Layered, Whole, base_frame
from codec.layered.video_motion import keep_vectors
from codec.layered.video_tracks import (
    LABEL,
    Track,
    VideoSettings,
    copy_labels,
    cropped,
    frame_of,
    joined,
    padded_size,
    planes_of,
    set_times,
    take_time,
    track_of,
)
from codec.layered.video_writers import writers_for
from codec.pictures.storage import atomic_path
from codec.pictures.workers import stop_if_asked

# A vector says past or future, not which frame, so there has to be one of each.
_SIMPLE = {"refs": "1", "b-pyramid": "none", "weightp": "0", "g": "120"}
_BETWEEN = "mp4"  # of the base between two passes: Matroska keeps no decoding times
_CRF_WHOLE = "12"  # of whole videos that are not to be lossless


class VideoError(ValueError):
    """A video that cannot be read or written; the message names it."""


class VideoDone(NamedTuple):
    """What became of a video.

    Attributes:
        frames: how many.
        base, size: bytes of the base and of everything.
        problems: what went wrong, a sentence each.
        notes: what is lost by the way, a clause each.
    """

    frames: int
    base: int
    size: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def layer_video(source: Path, target: Path, settings: VideoSettings) -> VideoDone:
    """Write a .mkv with a base and differences.

    Sound is copied. What was finished stays where the source ends too early.

    Raises:
        VideoError: nothing in the file can be shown, or it cannot be written.
    """
    av = _av(source)
    if source.resolve() == target.resolve():
        raise VideoError(f"{target}: the output would overwrite it; choose another folder")
    try:
        _refuse_layers(source)
        with atomic_path(target, like=source) as unfinished:
            small = unfinished.with_name(unfinished.name + ".base")
            try:
                size, notes, problem = _write_base(source, small, settings)
                done = _write_layers(source, small, unfinished, size, settings)
            finally:
                small.unlink(missing_ok=True)
    except av.error.FFmpegError as error:
        raise VideoError(f"{source}: cannot be coded ({error.strerror})") from error
    return done._replace(problems=tuple(filter(None, (problem,))), notes=notes)


def _av(source: Path) -> Any:
    try:
        import av
        import av.error
    except ImportError as error:
        raise VideoError(f"{source}: videos need PyAV ({error}); pip install av") from error
    return av


def _write_base(
    source: Path, small: Path, settings: VideoSettings
) -> tuple[Size, tuple[str, ...], str]:
    """A first pass: the base. Returns the size of pictures, what is lost, where it breaks off."""
    import av
    import av.error

    first = next(_shown_frames(source), None)
    if first is None:
        raise VideoError(f"{source}: expected pictures, found none")
    size = Size(*planes_of(first)[0].shape[1:])
    padded = padded_size(size, settings.ratio)
    problem = ""
    with av.open(str(source)) as given, av.open(str(small), "w", format=_BETWEEN) as made:
        video = _video_of(given, source)
        stream = made.add_stream("libx264", rate=video.average_rate or 25)
        stream.options = {"crf": str(settings.crf), **_SIMPLE}
        stream.height, stream.width = settings.ratio.below(padded)
        stream.pix_fmt = "yuv420p"
        set_times(stream, video.time_base, video.average_rate)
        copy_labels(stream, video, first)
        try:
            for frame in given.decode(video):
                stop_if_asked()
                planes = planes_of(frame, padded)
                out = frame_of([shrink(x, settings.ratio, Sampling.BICUBIC) for x in planes])
                take_time(out, frame)
                made.mux(stream.encode(out))
        except av.error.FFmpegError as error:
            problem = f"breaks off ({error.strerror})"
        made.mux(stream.encode())
    return size, _what_is_lost(first), problem


def _what_is_lost(frame: Any) -> tuple[str, ...]:
    """A clause on what a frame has that layers of videos do not keep."""
    parts = frame.format.components
    bits = max(part.bits for part in parts)
    whole = all((part.width, part.height) == (frame.width, frame.height) for part in parts)
    lost = (f"{bits} bits of a sample become 8",) if bits > 8 else ()
    return (*lost, "chroma of full size is halved") if whole and len(parts) > 1 else lost


def _refuse_layers(path: Path) -> None:
    import av

    with av.open(str(path)) as given:
        if any(LABEL in stream.metadata for stream in given.streams.video):
            raise VideoError(f"{path}: is in layers already; unlayer it first")


def _video_of(given: Any, path: Path) -> Any:
    """The first track with pictures that is no difference."""
    for stream in given.streams.video:
        if LABEL not in stream.metadata:
            return stream
    raise VideoError(f"{path}: expected a video, found no pictures")


def _shown_frames(path: Path) -> Iterator[Any]:
    """The frames of a file in the order of their showing, as far as it goes, with vectors."""
    import av
    import av.error

    with av.open(str(path)) as given, contextlib.suppress(av.error.FFmpegError):
        video = _video_of(given, path)
        keep_vectors(video)
        yield from given.decode(video)


def _write_layers(
    source: Path, small: Path, target: Path, size: Size, settings: VideoSettings
) -> VideoDone:
    """A second pass: what the frames of the source have that those of the base have not."""
    import av
    from av.stream import Disposition

    frames = 0
    with (
        av.open(str(small)) as given,
        av.open(str(source)) as heard,
        av.open(str(target), "w", format="matroska") as made,
    ):
        base = made.add_stream_from_template(_video_of(given, small))
        base.disposition = Disposition.default
        sound = {one.index: made.add_stream_from_template(one) for one in heard.streams.audio}
        padded = padded_size(size, settings.ratio)
        rate, total = _video_of(given, small).average_rate, _video_of(given, small).frames
        writers = writers_for(made, size, padded, rate, settings)
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = base
                made.mux(packet)
        _copy_sound(heard, made, sound)
        pairs = zip(_shown_frames(source), _shown_frames(small), strict=False)
        for frame, small_frame in tqdm(pairs, total=total, unit="frame", disable=None):
            stop_if_asked()
            wanted = planes_of(frame, padded)
            for writer in writers:
                writer.write(made, wanted, small_frame)
            frames += 1
        for writer in writers:
            writer.finish(made)
    return VideoDone(frames, small.stat().st_size, target.stat().st_size)


def _copy_sound(given: Any, made: Any, tracks: dict[int, Any]) -> None:
    import av.error

    with contextlib.suppress(av.error.FFmpegError):  # where the source breaks off
        for packet in given.demux(*given.streams.audio) if tracks else ():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                made.mux(packet)


def unlayer_video(source: Path, target: Path) -> VideoDone:
    """Write the video that a base and differences make: .mkv without loss, others as H.264.

    Where a difference is missing or broken the base shows, which is reported.

    Raises:
        VideoError: no layered video, or it cannot be written.
    """
    av = _av(source)
    try:
        with (
            atomic_path(target, like=source) as unfinished,
            av.open(str(source)) as given,
            av.open(str(unfinished), "w", format=_format(target)) as made,
        ):
            frames, missing, notes = _unlayer(given, made, source, target)
            if not frames:
                raise VideoError(f"{source}: expected pictures, found none that can be shown")
    except av.error.FFmpegError as error:
        raise VideoError(f"{source}: cannot be put together ({error.strerror})") from error
    problems = (f"{missing} of {frames} frames lack differences; the base shows there",)
    return VideoDone(frames, 0, target.stat().st_size, problems if missing else (), notes)


def _format(target: Path) -> str:
    return "matroska" if target.suffix.lower() == ".mkv" else "mp4"


def _unlayer(given: Any, made: Any, source: Path, target: Path) -> tuple[int, int, tuple[str, ...]]:
    """Frames that were written, how many of them lack differences, and a clause on their size."""
    base = _video_of(given, source)
    keep_vectors(base)
    try:
        labels = {s.index: s.metadata[LABEL] for s in given.streams.video if LABEL in s.metadata}
        tracks = {index: track_of(label) for index, label in labels.items()}
    except FormatError as error:
        raise VideoError(f"{source}: {error}") from error
    if not tracks:
        raise VideoError(f"{source}: expected tracks of differences, found none")
    size = next(iter(tracks.values())).size
    together = _Together(tracks, _picture_track(made, base, size, target), made)
    sound = {s.index: made.add_stream_from_template(s) for s in given.streams.audio}
    for packet in given.demux():
        stop_if_asked()
        index = packet.stream.index
        if index in sound and packet.dts is not None:
            packet.stream = sound[index]
            made.mux(packet)
        elif index == base.index:
            together.shown += packet.decode()
        elif index in tracks:
            together.take(index, packet)
        together.show()
    together.show(last=True)
    wider = f"{together.size.width}x{together.size.height}, as H.264 has no odd sides"
    return together.frames, together.missing, () if together.size == size else (wider,)


def _picture_track(made: Any, base: Any, size: Size, target: Path) -> Any:
    """The track of the whole pictures; an odd side gets one more in H.264, which has none."""
    lossless, aspect = target.suffix.lower() == ".mkv", base.sample_aspect_ratio
    ffv1 = lossless and not aspect  # PyAV would lose it
    out = made.add_stream("ffv1" if ffv1 else "libx264", rate=base.average_rate or 25)
    out.height, out.width = size if ffv1 else (n + n % 2 for n in size)
    out.pix_fmt = "yuv420p"
    if not ffv1:
        out.options = {"qp": "0"} if lossless else {"crf": _CRF_WHOLE}
    set_times(out, base.time_base, base.average_rate)
    for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
        setattr(out.codec_context, name, int(getattr(base.codec_context, name)))
    if aspect:
        out.codec_context.sample_aspect_ratio = aspect
    return out


class _Together:
    """Frames of the base that wait for their differences, and differences for theirs."""

    def __init__(self, tracks: dict[int, Track], out: Any, made: Any):
        self.tracks, self.out, self.made = tracks, out, made
        self.shown: list[Any] = []
        self.waiting: dict[int, dict[int, Any]] = defaultdict(dict)  # by time, by track
        self.frames = self.missing = 0
        self.times: dict[int, Any] = {}  # the frames of the base, which say how long each shows
        first = next(iter(tracks.values()))
        padded = padded_size(first.size, first.ratio)
        self.size = Size(out.height, out.width)
        self.own = next((index for index, track in tracks.items() if track.is_own), None)
        self.in_order = InOrder(FrameCoder(first.ratio, padded, OwnCoder()).decode)

    def take(self, index: int, packet: Any) -> None:
        """A packet of differences."""
        if self.tracks[index].is_own:
            if packet.size:
                self.waiting[packet.pts][index] = bytes(packet)
            return
        for frame in packet.decode():
            self.waiting[frame.pts][index] = frame

    def show(self, last: bool = False) -> None:
        """Write the frames whose differences are all here, at the end the others, too."""
        while self.shown and (last or self._is_whole(self.shown[0])):
            frame = self.shown.pop(0)
            self.times[frame.pts] = frame
            found = self.waiting.pop(frame.pts, {})
            if self.own is not None:
                one = Layered(base_frame(frame), data=found.get(self.own))
                self._write(self.in_order.push(one))
            else:
                planes, whole = joined(planes_of(frame), self.tracks, found)
                self._write([Whole(frame.pts, planes, whole)])
        if last:
            self._write(self.in_order.finish())
            self.made.mux(self.out.encode())

    def _write(self, every: list[Whole]) -> None:
        for time, planes, is_whole in every:
            frame = frame_of(cropped(planes, self.size))
            take_time(frame, self.times.pop(time))
            self.made.mux(self.out.encode(frame))
            self.missing += not is_whole
            self.frames += 1

    def _is_whole(self, frame: Any) -> bool:
        return len(self.waiting.get(frame.pts, ())) == len(self.tracks)
