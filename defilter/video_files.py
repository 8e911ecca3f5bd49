"""One video file into another: frames through the look, everything else beside them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from tqdm import tqdm

from codec.pictures.storage import atomic_path
from codec.pictures.workers import stop_if_asked
from defilter.video_frames import FrameReader, FrameWriter, Shape
from defilter.video_labels import (
    Say,
    copy_file_labels,
    copy_labels,
    labels_of,
    muxer_options,
    say_lost,
)
from defilter.video_smoothing import TemporalSmoother
from defilter.video_tracks import tracks_beside

_PICTURES_BESIDE = Disposition.attached_pic | Disposition.timed_thumbnails


class Unconvertible(ValueError):
    """Why a file could not be converted; does not name it."""


def convert(
    source: Path, target: Path, smoother: TemporalSmoother
) -> tuple[int, tuple[float, float], str, tuple[str, ...]]:
    """Render `source` into the .mp4 `target`, as a whole or not at all.

    Returns:
        What `defilter.video.VideoDone` holds.

    Raises:
        Unconvertible: with the reason.
    """
    notes: dict[str, None] = {}  # a set that keeps its order
    try:
        shape = _shape_of_first_frame(source)
        with atomic_path(target, like=source) as unfinished, av.open(str(source)) as given:
            options = muxer_options(given)
            with av.open(str(unfinished), "w", format="mp4", container_options=options) as made:
                frames, broken = _convert(given, made, smoother, shape, notes.setdefault)
                wanted = labels_of(made)
            say_lost(given, wanted, unfinished, notes.setdefault)
    except FFmpegError as error:
        raise Unconvertible(f"could not be converted ({error.strerror})") from error
    return frames, smoother.degrees, broken, tuple(notes)


def moving_pictures(given: InputContainer) -> VideoStream | None:
    """The first video stream that is no cover."""
    videos = (s for s in given.streams.video if not s.disposition & _PICTURES_BESIDE)
    return next(videos, None)


def _shape_of_first_frame(source: Path) -> Shape:
    """From decoding it, which also says whether the colours can be converted."""
    with contextlib.suppress(FFmpegError), av.open(str(source)) as given:
        stream = moving_pictures(given)
        if stream is not None:
            for frame in given.decode(stream):
                reader = FrameReader(_ignore)
                if obstacle := reader.coding(frame).obstacle():
                    raise Unconvertible(obstacle)
                return reader.shape(frame, stream.sample_aspect_ratio)
    raise Unconvertible("expected a video, found no picture that can be decoded")


def _ignore(note: str) -> None:
    pass


def _convert(
    given: InputContainer,
    made: OutputContainer,
    smoother: TemporalSmoother,
    shape: Shape,
    say: Say,
) -> tuple[int, str]:
    """Number of frames, and a sentence if the file breaks off."""
    stream = moving_pictures(given)
    assert stream is not None
    stream.thread_type = "AUTO"
    # All streams have to be there before the first packet is written.
    writer = FrameWriter(made, stream, shape)
    if (writer.height, writer.width) != shape[:2]:
        say(f"{shape.width} x {shape.height} pixels become {writer.width} x {writer.height}")
    tracks = tracks_beside(given, made, stream, say)
    copy_file_labels(given, made)
    copy_labels(stream, writer.stream)
    reader, count = FrameReader(say), 0
    packets = _Packets(given, [stream, *(s for s in given.streams if s.index in tracks)])
    with tqdm(total=stream.frames or None, unit="frame", desc=_name(given), disable=None) as bar:

        def put(frames: list[VideoFrame]) -> int:
            for frame in frames:
                stop_if_asked()
                pixels = reader.pixels(frame)
                smoother.follow(pixels)
                writer.put(smoother.render(pixels), frame)
                bar.update()
            return len(frames)

        for packet in packets:
            if packet.stream.index != stream.index:
                tracks[packet.stream.index].put(packet)
                continue
            for frame in packets.frames(packet):
                count += put(reader.progressive(frame))
        count += put(reader.remaining())
        writer.finish()
        for track in tracks.values():
            track.finish()
    note = packets.note
    if not note and stream.frames > count:
        note = f"the file ends early ({count} of {stream.frames} frames)"
    return count, note


def _name(given: InputContainer) -> str:
    return Path(given.name).name


class _Packets:
    """Packets of a file up to where it breaks off; `note` says if it did."""

    def __init__(self, given: InputContainer, streams: list):
        self.packets = given.demux(streams)
        self.note = ""

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yield next(self.packets)
            except StopIteration:
                return
            except FFmpegError as error:
                self.note = f"the file ends early ({error.strerror})"
                return

    def frames(self, packet: Any) -> list[VideoFrame]:
        try:
            return packet.decode()
        except FFmpegError as error:
            self.note = f"a part could not be decoded ({error.strerror})"
            return []
