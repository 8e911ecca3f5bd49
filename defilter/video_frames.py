"""Frames of a video as upright 8-bit pictures, and pictures as frames of an H.264 stream.

Axes: H W pixels of a frame.
"""

import struct
from fractions import Fraction
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from av.container import OutputContainer
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from defilter.video_colours import BT709, UNSPECIFIED, Coding, to_bt709
from defilter.video_labels import Say
from defilter.video_tracks import MonotonicTimes

# "Visually lossless or nearly so" in FFmpeg's guide to H.264. On pans over 6 Kodak photos, 704 x
# 480: SSIMULACRA2 84 with 0.25 bits a pixel; 22 gives 78 with 0.18, 14 gives 88 with 0.33, and
# 4:2:0 alone 92.
_CRF = "18"
_LIMITED = 1  # number of FFmpeg
_HD_ROWS = 720  # from here on, players take BT.709 where a file says nothing
_SAMPLING = {(8, 8): "4:4:4", (4, 8): "4:2:2", (8, 4): "4:4:0", (2, 8): "4:1:1", (2, 2): "4:1:0"}
_BESIDE_PIXELS = {
    "A53_CC": "closed captions",
    "SPHERICAL": "the description of a spherical picture",
    "STEREO3D": "the description of a stereoscopic picture",
    "ICC_PROFILE": "a colour profile",
    "S12M_TIMECODE": "time codes of single frames",
}

# Frames: what lies beside the pixels does so in every frame, and a frame that was asked for it is
# freed late, as the two hold each other: asked every time, a 1080p clip took 150 MB more.
_BESIDE_EVERY = 25


class Shape(NamedTuple):
    """Of upright frames: height and width in pixels, and the width of a pixel over its height."""

    height: int
    width: int
    aspect: Fraction


class FrameReader:
    """Frames as players show them, but with 8 bits of BT.709; what is changed is said."""

    def __init__(self, say: Say):
        self.say = say
        self.reformatter = VideoReformatter()
        self.deinterlacer: _Deinterlacer | None = None
        self.described: set[tuple[str, Coding]] = set()
        self.count = 0
        self.beside: dict[str, bytes] = {}
        self.peak = 0.0  # of the first frame: a curve that changed would flicker

    def progressive(self, frame: VideoFrame) -> list[VideoFrame]:
        """The frames that are ready after this one: itself, or deinterlaced ones, later."""
        if self.deinterlacer is None:
            if not frame.interlaced_frame:
                return [frame]
            self.deinterlacer = _Deinterlacer(frame)
            self.say("interlaced: deinterlaced (bwdif), one frame for two fields")
        return self.deinterlacer(frame)

    def remaining(self) -> list[VideoFrame]:
        """The frames that are left at the end."""
        return [] if self.deinterlacer is None else self.deinterlacer(None)

    def pixels(self, frame: VideoFrame) -> Tensor:
        """(3, H, W) uint8."""
        coding = self.coding(frame)
        self._describe(frame, coding)
        matrix = coding.matrix
        if matrix == UNSPECIFIED and frame.height >= _HD_ROWS:
            matrix = BT709
        ordinary = coding.is_ordinary
        shown = self.reformatter.reformat(
            frame, format="rgb24" if ordinary else "rgb48le", src_colorspace=matrix
        ).to_ndarray()
        pixels = torch.from_numpy(shown).permute(2, 0, 1) if ordinary else to_bt709(shown, coding)
        return _upright(pixels, frame.rotation, self.beside.get("DISPLAYMATRIX"))

    def coding(self, frame: VideoFrame) -> Coding:
        """How the colours of the next frame are coded."""
        if self.count % _BESIDE_EVERY == 0:
            self.beside = _side_data(frame)
            self.peak = self.peak if self.count else _peak(self.beside)
        self.count += 1
        return Coding(
            int(frame.color_primaries),
            int(frame.color_trc),
            int(frame.colorspace),
            self.peak,
            "DOVI_METADATA" in self.beside,
        )

    def shape(self, frame: VideoFrame, aspect: Fraction | None) -> Shape:
        """Of a frame when it is upright.

        Args:
            aspect: width of a pixel over its height as coded; None is square.
        """
        aspect = aspect or Fraction(1)
        if frame.rotation % 180:
            return Shape(frame.width, frame.height, 1 / aspect)
        return Shape(frame.height, frame.width, aspect)

    def _describe(self, frame: VideoFrame, coding: Coding) -> None:
        for name in self.beside:
            if name in _BESIDE_PIXELS:
                self.say(f"{_BESIDE_PIXELS[name]} left out")
        if (frame.format.name, coding) not in self.described:
            self.described.add((frame.format.name, coding))
            for note in (*coding.notes(), *_reductions(frame.format)):
                self.say(note)


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    """What comes beside the pixels, by its name in PyAV."""
    found: Any = frame.side_data
    try:
        return {beside.type.name: bytes(beside) for beside in found}
    except ValueError:  # of a kind that PyAV has no name for
        return {}


def _peak(beside: dict[str, bytes]) -> float:
    """Brightest light in cd/m2: of the video, else of the display it was made on, else 0.

    The layouts are FFmpeg's AVContentLightMetadata and AVMasteringDisplayMetadata.
    """
    if "CONTENT_LIGHT_LEVEL" in beside:
        (most,) = struct.unpack_from("I", beside["CONTENT_LIGHT_LEVEL"])
        if most:
            return float(most)
    if "MASTERING_DISPLAY_METADATA" in beside:
        above, below, _, said = struct.unpack_from("4i", beside["MASTERING_DISPLAY_METADATA"], 72)
        if said and below:
            return above / below
    return 0.0


def _reductions(kind: VideoFormat) -> list[str]:
    """What 8 bits of 4:2:0 cannot hold of a pixel format."""
    notes = []
    bits = max(component.bits for component in kind.components)
    if bits > 8 and not kind.has_palette:
        notes.append(f"{bits} bits a sample became 8")
    if any(component.is_alpha for component in kind.components):
        notes.append("transparency left out")
    if kind.is_rgb or kind.has_palette:
        notes.append("RGB became YCbCr 4:2:0")
    elif len(kind.components) > 2:
        found = _SAMPLING.get((kind.chroma_width(8), kind.chroma_height(8)))
        if found:
            notes.append(f"colour {found} became 4:2:0")
    return notes


def _upright(pixels: Tensor, rotation: int, matrix: bytes | None) -> Tensor:
    """(3, H, W), turned and mirrored as players show it.

    Args:
        rotation: degrees against the clock.
        matrix: of ISO/IEC 14496-12, 6.2.2, which also mirrors; None does not.
    """
    if matrix is not None:
        a, b, _, c, d = struct.unpack_from("5i", matrix)
        if a * d - b * c < 0:
            pixels = pixels.flip(1)
    return pixels.rot90(round(rotation / 90) % 4, (1, 2)) if rotation else pixels


class _Deinterlacer:
    """FFmpeg's bwdif, one frame for each frame; frames that are not interlaced pass."""

    def __init__(self, first: VideoFrame):
        assert first.time_base is not None
        self.time_base = first.time_base
        self.graph = Graph()
        source = self.graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=self.time_base
        )
        filtered = self.graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self.graph.link_nodes(source, filtered, self.graph.add("buffersink")).configure()

    def __call__(self, frame: VideoFrame | None) -> list[VideoFrame]:
        """Frames that are ready; None is the end."""
        self.graph.vpush(frame)
        ready: list[VideoFrame] = []
        while True:
            try:
                done = self.graph.vpull()
            except (BlockingIOError, EOFError):
                return ready
            if done.pts is not None and done.time_base is not None:
                done.pts = round(done.pts * done.time_base / self.time_base)
            done.time_base = self.time_base
            ready.append(done)


class FrameWriter:
    """The H.264 stream of an output, with the times of another."""

    def __init__(self, made: OutputContainer, like: VideoStream, shape: Shape):
        self.made, self.times = made, MonotonicTimes()
        self.reformatter = VideoReformatter()
        self.stream = made.add_stream("libx264", rate=like.average_rate or 25)
        self.stream.options = {"crf": _CRF}
        self.height, self.width = (n + n % 2 for n in shape[:2])
        self.stream.width, self.stream.height = self.width, self.height
        self.stream.pix_fmt = "yuv420p"
        if like.time_base is not None:
            self.stream.time_base = self.stream.codec_context.time_base = like.time_base
        context = self.stream.codec_context
        context.sample_aspect_ratio = shape.aspect
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = _LIMITED

    def put(self, pixels: Tensor, like: VideoFrame) -> None:
        """Write (3, H, W) uint8 at the time of another frame."""
        pixels = pixels[:, : self.height, : self.width]  # frames rarely change their size
        down, right = self.height - pixels.shape[1], self.width - pixels.shape[2]
        if down or right:
            padded = F.pad(pixels[None].float(), (0, right, 0, down), "replicate")
            pixels = padded[0].to(torch.uint8)
        array = pixels.permute(1, 2, 0).contiguous().numpy()
        frame = self.reformatter.reformat(
            VideoFrame.from_ndarray(array, format="rgb24"),
            format="yuv420p",
            dst_colorspace=BT709,
            dst_color_range=_LIMITED,
        )
        frame.pts, frame.time_base = self.times(like.pts), like.time_base
        self.made.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self.made.mux(self.stream.encode(None))
