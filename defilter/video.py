"""Videos with a look: every frame rendered, sound copied, degrees that move smoothly.

Axes: H W pixels of a frame, h w pixels of what is kept of degrees between frames.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import torch
import torch.nn.functional as F
from av.error import FFmpegError
from av.video.frame import VideoFrame
from torch import Tensor
from tqdm import tqdm

from defilter.areas.segmenter import AreaMap
from defilter.look import Look
from defilter.rendering import Knowledge, Seen, blend, degree_map, look_at, render

EXTENSIONS = (".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi")
_LOOK_EVERY = 6  # frames: what is seen changes slowly
_FOLLOW = 0.35  # share of what is newly seen in what is used, each time
_CRF = "18"


class VideoError(ValueError):
    """A file that is no video that can be read; the message names it."""


class VideoDone(NamedTuple):
    """Frames that were rendered, and a sentence if the file ended early."""

    frames: int
    note: str


class _Smoothed:
    """What is seen in frames, followed with a delay so that nothing flickers."""

    def __init__(self, look: Look, knowledge: Knowledge, strength: float | None):
        self.look, self.knowledge, self.strength = look, knowledge, strength
        self.seen: Seen | None = None
        self.level: Tensor | None = None

    def update(self, pixels: Tensor) -> None:
        found = look_at(self.look, pixels, self.knowledge, self.strength)
        height, width = pixels.shape[1:]
        full = degree_map(found._replace(degree=1.0), self.knowledge, height, width)
        level = F.avg_pool2d(1 - full[None, None], 8, ceil_mode=True)[0, 0]
        before = self.seen
        if before is None or self.level is None:
            self.seen, self.level = found, level
            return
        degree = before.degree + _FOLLOW * (found.degree - before.degree)
        areas = found.areas
        if areas is not None and before.areas is not None:
            mixed = torch.lerp(before.areas.weights, areas.weights, _FOLLOW)
            areas = AreaMap(areas.categories, mixed)
        self.seen = found._replace(degree=degree, areas=areas)
        self.level = torch.lerp(self.level, level, _FOLLOW)

    def render(self, pixels: Tensor) -> Tensor:
        assert self.seen is not None and self.level is not None
        if float(self.level.max()) < 1 / 512:
            return render(self.look, pixels, self.seen._replace(faces=[]), self.knowledge)
        everywhere = self.seen._replace(degree=1.0, faces=[])
        looked = render(self.look, pixels, everywhere, self.knowledge)
        height, width = pixels.shape[1:]
        size = [8 * n for n in self.level.shape]
        level = F.interpolate(self.level[None, None], size, mode="bilinear")[0, 0]
        return blend(pixels, looked, self.seen.degree * (1 - level[:height, :width]))


def render_video(
    look: Look,
    source: Path | str,
    target: Path | str,
    knowledge: Knowledge,
    strength: float | None = None,
) -> VideoDone:
    """Write an .mp4 (H.264) of every frame with the look; times of frames and sound are kept.

    Frames of odd sides get one more row or column, as H.264 wants it.

    Raises:
        VideoError: nothing in the file can be shown.
    """
    source, target = Path(source), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".mp4", dir=target.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        with av.open(str(source)) as given, av.open(name, "w", format="mp4") as made:
            done = _convert(given, made, _Smoothed(look, knowledge, strength), source.name)
    except FFmpegError as error:
        unfinished.unlink(missing_ok=True)
        raise VideoError(f"{source}: expected a video ({error.strerror})") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if not done.frames:
        unfinished.unlink()
        raise VideoError(f"{source}: expected a video, found no picture that can be decoded")
    unfinished.replace(target)
    return done


def _convert(
    given: av.container.InputContainer,
    made: av.container.OutputContainer,
    smoothed: _Smoothed,
    name: str,
) -> VideoDone:
    if not given.streams.video:
        return VideoDone(0, "")
    stream = given.streams.video[0]
    stream.thread_type = "AUTO"
    written = _video_like(made, stream)
    sound = given.streams.audio[0] if given.streams.audio else None
    copied = None if sound is None else made.add_stream_from_template(sound)
    packets = _Packets(given, [stream] if sound is None else [stream, sound])
    count = 0
    with tqdm(total=stream.frames or None, unit="frame", desc=name, disable=None) as progress:
        for packet in packets:
            if packet.stream is sound:
                if packet.dts is not None:
                    packet.stream = copied
                    made.mux(packet)
                continue
            for frame in packets.frames(packet):
                if count % _LOOK_EVERY == 0:
                    smoothed.update(_pixels(frame))
                made.mux(written.encode(_looked(frame, smoothed)))
                count += 1
                progress.update()
        if count:
            made.mux(written.encode(None))
    return VideoDone(count, packets.note)


def _video_like(
    made: av.container.OutputContainer, stream: av.video.stream.VideoStream
) -> av.video.stream.VideoStream:
    """An H.264 stream with the times of another; its sides are even."""
    written = made.add_stream("libx264", rate=stream.average_rate or 25, options={"crf": _CRF})
    written.width, written.height = (n + n % 2 for n in (stream.width, stream.height))
    written.pix_fmt = "yuv420p"
    if stream.time_base is not None:
        written.time_base = written.codec_context.time_base = stream.time_base
    return written


class _Packets:
    """Packets of a file up to where it breaks off; `note` says if it did."""

    def __init__(self, given: av.container.InputContainer, streams: list):
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


def _pixels(frame: VideoFrame) -> Tensor:
    return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)


def _looked(frame: VideoFrame, smoothed: _Smoothed) -> VideoFrame:
    pixels = smoothed.render(_pixels(frame))
    right, down = pixels.shape[2] % 2, pixels.shape[1] % 2
    if right or down:
        pixels = F.pad(pixels[None].float(), (0, right, 0, down), "replicate")[0].to(torch.uint8)
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    looked = VideoFrame.from_ndarray(array, format="rgb24")
    looked.pts, looked.time_base = frame.pts, frame.time_base
    return looked
