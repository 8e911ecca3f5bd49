"""Videos with a look: every frame rendered, sound kept, degrees that move smoothly.

Axes: H W pixels of a frame, h w pixels of what is kept of degrees between frames.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import torch
import torch.nn.functional as F
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor
from tqdm import tqdm

from defilter.analysis import Analysers
from defilter.areas.segmenter import AreaMap
from defilter.look import Look
from defilter.render import Analysis, analyse, blend, degree_map, render

_EXTENSIONS = (".mp4", ".mov", ".mkv", ".m4v", ".webm", ".avi")
_LOOK_EVERY = 6  # frames: what is seen changes slowly
_REDUCED = 8
_COARSE, _CUT = 16, 40.0  # every so many pixels; grey levels between frames that make a cut
_FOLLOW = 0.07  # share of the way to what was seen last, each frame
_CRF = "18"
_BT709, _LIMITED = 1, 1  # numbers of ITU-T H.273 and of FFmpeg
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
_COPIED_SOUND = ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac")


def is_video(path: Path | str) -> bool:
    """By its extension."""
    return Path(path).suffix.lower() in _EXTENSIONS


class VideoError(ValueError):
    """A file that is no video that can be read; the message names it."""


class VideoDone(NamedTuple):
    """Frames rendered, their least and greatest degree, a sentence if the file broke off."""

    frames: int
    degrees: tuple[float, float]
    note: str


class _TemporalSmoother:
    """What is seen in frames, followed with a delay so that nothing flickers."""

    def __init__(self, look: Look, analysers: Analysers, strength: float | None):
        self.look, self.analysers, self.strength = look, analysers, strength
        self.count = 0
        self.before: Tensor | None = None  # the last frame, coarsely
        self.shape: torch.Size | None = None
        self.seen: tuple[Tensor, AreaMap | None] | None = None  # degree (h, w) and areas
        self.used: tuple[Tensor, AreaMap | None] | None = None  # the same, with the delay
        self.degrees = (1.0, 0.0)

    def follow(self, pixels: Tensor) -> None:
        """Look at the next frame if it is due, or if it is the first after a cut."""
        coarse = pixels[:, ::_COARSE, ::_COARSE].float()
        cut = self.before is None or self.shape != pixels.shape
        if self.before is not None and not cut:
            cut = float((coarse - self.before).abs().mean()) > _CUT
        self.before, self.shape = coarse, pixels.shape
        if cut or self.count % _LOOK_EVERY == 0:
            self.seen = self._look(pixels)
        assert self.seen is not None
        self.used = self.seen if cut or self.used is None else _between(self.used, self.seen)
        self.count += 1

    def _look(self, pixels: Tensor) -> tuple[Tensor, AreaMap | None]:
        found = analyse(self.look, pixels, self.analysers, self.strength)
        low, high = self.degrees
        self.degrees = min(low, found.degree), max(high, found.degree)
        full = degree_map(found, self.analysers, *pixels.shape[1:])
        return F.avg_pool2d(full[None, None], _REDUCED, ceil_mode=True)[0, 0], found.areas

    def render(self, pixels: Tensor) -> Tensor:
        assert self.used is not None
        degree, areas = self.used
        everywhere = Analysis(1.0, None, [], areas)
        low, high = (float(x) for x in degree.aminmax())
        if high - low < 1 / 512:
            return render(self.look, pixels, everywhere._replace(degree=high), self.analysers)
        rendered = render(self.look, pixels, everywhere, self.analysers)
        size = [_REDUCED * n for n in degree.shape]
        enlarged = F.interpolate(degree[None, None], size, mode="bilinear")[0, 0]
        return blend(pixels, rendered, enlarged[: pixels.shape[1], : pixels.shape[2]])


def _between(
    used: tuple[Tensor, AreaMap | None], seen: tuple[Tensor, AreaMap | None]
) -> tuple[Tensor, AreaMap | None]:
    """One frame on the way from what is used to what was found last."""
    (degree, areas), (target, found) = used, seen
    if areas is not None and found is not None:
        found = AreaMap(areas.categories, torch.lerp(areas.weights, found.weights, _FOLLOW))
    return torch.lerp(degree, target, _FOLLOW), found


def render_video(
    look: Look,
    source: Path | str,
    target: Path | str,
    analysers: Analysers,
    strength: float | None = None,
) -> VideoDone:
    """Write an .mp4 (H.264, BT.709) of every frame with the look; times and sound are kept.

    Frames are turned upright; odd sides get one more row or column, as H.264 wants it. Sound that
    players expect in .mp4 is copied, other sound becomes AAC.

    Raises:
        VideoError: nothing in the file can be shown, or it cannot be written.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise VideoError(f"{target}: the output would overwrite it; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        size = _upright_size(source)
        with av.open(str(source)) as given, av.open(str(unfinished), "w", format="mp4") as made:
            done = _convert(
                given, made, _TemporalSmoother(look, analysers, strength), size, source.name
            )
        unfinished.replace(target)
    except FFmpegError as error:
        raise VideoError(f"{source}: could not be converted ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return done


def _upright_size(source: Path) -> tuple[int, int]:
    """Height and width of the first frame, which says how the file is turned."""
    with contextlib.suppress(FFmpegError), av.open(str(source)) as given:
        if given.streams.video:
            for frame in given.decode(video=0):
                height, width = _upright(frame).shape[1:]
                return height, width
    raise VideoError(f"{source}: expected a video, found no picture that can be decoded")


def _convert(
    given: av.container.InputContainer,
    made: av.container.OutputContainer,
    smoothed: _TemporalSmoother,
    size: tuple[int, int],
    name: str,
) -> VideoDone:
    stream = given.streams.video[0]
    stream.thread_type = "AUTO"
    # All streams have to be there before the first packet is written.
    pictures = _Pictures(made, stream, size)
    sounds = {track.index: _Sound(made, track) for track in given.streams.audio}
    packets = _Packets(given, [stream, *given.streams.audio])
    count = 0
    with tqdm(total=stream.frames or None, unit="frame", desc=name, disable=None) as progress:
        for packet in packets:
            if packet.stream.index in sounds:
                sounds[packet.stream.index].put(packet)
                continue
            for frame in packets.frames(packet):
                pixels = _upright(frame)
                smoothed.follow(pixels)
                pictures.put(smoothed.render(pixels), frame)
                count += 1
                progress.update()
        pictures.finish()
        for sound in sounds.values():
            sound.finish()
    note = packets.note
    if not note and stream.frames > count:
        note = f"the file ends early ({count} of {stream.frames} frames)"
    return VideoDone(count, smoothed.degrees, note)


class _MonotonicTimes:
    """Times that rise: where a file starts anew in its middle, what follows is moved."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.moved = 0
        self.step = 1

    def __call__(self, time: int | None, step: int | None = None) -> int:
        """The time of the next frame or packet.

        Args:
            time: in the stream's unit; None follows the last.
            step: usual distance; None is that of the last two.
        """
        self.step = step or self.step
        if self.last is None:
            self.last = 0 if time is None else time
            return self.last
        if time is None:
            self.last += self.step
            return self.last
        if time + self.moved <= self.last:
            self.moved = self.last + self.step - time
        if step is None:
            self.step = time + self.moved - self.last
        self.last = time + self.moved
        return self.last


class _Pictures:
    """The H.264 stream of an output, with the times of another."""

    def __init__(
        self, made: av.container.OutputContainer, like: VideoStream, size: tuple[int, int]
    ):
        self.made, self.times = made, _MonotonicTimes()
        self.stream = made.add_stream("libx264", rate=like.average_rate or 25)
        self.stream.options = {"crf": _CRF}
        self.height, self.width = (n + n % 2 for n in size)
        self.stream.width, self.stream.height = self.width, self.height
        self.stream.pix_fmt = "yuv420p"
        if like.time_base is not None:
            self.stream.time_base = self.stream.codec_context.time_base = like.time_base
        context = self.stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def put(self, pixels: Tensor, like: VideoFrame) -> None:
        pixels = pixels[:, : self.height, : self.width]  # frames rarely change their size
        down, right = self.height - pixels.shape[1], self.width - pixels.shape[2]
        if down or right:
            padded = F.pad(pixels[None].float(), (0, right, 0, down), "replicate")
            pixels = padded[0].to(torch.uint8)
        array = pixels.permute(1, 2, 0).contiguous().numpy()
        frame = VideoFrame.from_ndarray(array, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
        frame.pts, frame.time_base = self.times(like.pts), like.time_base
        self.made.mux(self.stream.encode(frame))

    def finish(self) -> None:
        self.made.mux(self.stream.encode(None))


class _Sound:
    """A sound track of an output: copied, or encoded anew where .mp4 has no place for it."""

    def __init__(self, made: av.container.OutputContainer, track: AudioStream):
        self.times = _MonotonicTimes()
        self.made, self.copied = made, track.codec_context.name in _COPIED_SOUND
        if self.copied:
            self.stream = made.add_stream_from_template(track)
        else:
            context = track.codec_context
            layout = _LAYOUTS.get(context.layout.nb_channels, "stereo")
            self.stream = made.add_stream("aac", rate=context.sample_rate, layout=layout)

    def put(self, packet: Any) -> None:
        if not self.copied:
            with contextlib.suppress(FFmpegError):  # a broken part is silence
                for frame in packet.decode():
                    self.made.mux(self.stream.encode(frame))
        elif packet.dts is not None:
            shown_later = (packet.pts or packet.dts) - packet.dts
            packet.dts = self.times(packet.dts, packet.duration)
            packet.pts = packet.dts + shown_later
            packet.stream = self.stream
            self.made.mux(packet)

    def finish(self) -> None:
        if not self.copied:
            self.made.mux(self.stream.encode(None))


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


def _upright(frame: VideoFrame) -> Tensor:
    """(3, H, W) uint8, turned as players show it."""
    pixels = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    return pixels.rot90(round(frame.rotation / 90) % 4, (1, 2)) if frame.rotation else pixels
