"""Tracks of a layered video: what they say of themselves, and frames as planes.

Axes: H W pixels of a plane.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codec.container import FormatError
from codec.layered.differences import Guess, OwnCoder
from codec.layered.geometry import TWO_BY_TWO, WHOLE, Division, Ratio, Size, Window, below
from codec.planes import from_planes, to_planes
from codec.prediction.numbers import pack_numbers, unpack_numbers
from codec.prediction.upsample import Kernel
from codec.settings import Settings

LABEL = "DFC_LAYER"  # of tracks of differences
OWN, OFFSET = 0, 1
_FORMAT = "yuv420p"
_UNSPECIFIED, _BT709, _LIMITED = 2, 1, 1  # of ISO 23091-2, and FFmpeg's name of a range
_HD_ROWS = 720


@dataclass(frozen=True)
class VideoSettings:
    """How a video is coded in layers.

    Attributes:
        ratio: of base and video.
        crf: of the H.264 base, 0 to 51.
        own: how differences are coded in this codec; None codes them as the patent does.
        offset: that differences are clamped to and shifted by, as the patent has it.
        difference_crf: of their H.264 then.
        division: into how many tracks they are cut then.
    """

    ratio: Ratio = TWO_BY_TWO
    crf: int = 23
    own: OwnCoder | None = field(default_factory=lambda: OwnCoder(Settings(60, "mse")))
    offset: int = 32
    difference_crf: int = 23
    division: Division = WHOLE


class Track(NamedTuple):
    """What a track of differences says of itself.

    Attributes:
        kind: OWN or OFFSET.
        ratio: of base and video.
        size: of the video.
        columns, rows, number: which block of which division, from 1.
        window: where it lies in the padded picture.
        offset: that differences were shifted by, 0 of our own.
    """

    kind: int
    ratio: Ratio
    size: Size
    columns: int
    rows: int
    number: int
    window: Window
    offset: int

    @property
    def is_own(self) -> bool:
        """Whether it is in this codec."""
        return self.kind == OWN

    def label(self) -> str:
        return pack_numbers(
            (
                self.kind,
                *self.ratio,
                *self.size,
                self.columns,
                self.rows,
                self.number,
                *self.window,
                self.offset,
            )
        ).hex()


def track_of(label: str) -> Track:
    """Inverse of `Track.label`.

    Raises:
        FormatError: not what it made.
    """
    try:
        n = unpack_numbers(bytes.fromhex(label), 13)
    except ValueError as error:
        raise FormatError(f"track: {error}") from error
    track = Track(n[0], Ratio(*n[1:3]), Size(*n[3:5]), n[5], n[6], n[7], Window(*n[8:12]), n[12])
    inside = track.window.lies_in(padded_size(track.size, track.ratio))
    known = (track.kind, track.offset > 0) in ((OWN, False), (OFFSET, True))
    known = known and 0 <= track.offset < 128
    if not known or min(n[1:8]) < 1 or max(n[1:3]) > 16 or not inside:
        raise FormatError(f"track: expected differences of a video, got {track}")
    return track


def padded_size(size: Size, ratio: Ratio) -> Size:
    """A size whose base has even sides."""
    down, across = 2 * ratio.down, 2 * ratio.across
    return Size(-(-size.height // down) * down, -(-size.width // across) * across)


Planes = tuple[Tensor, Tensor, Tensor]  # Y, U, V, each (1, H, W) uint8


def planes_of(frame: Any, size: Size | None = None) -> Planes:
    """The planes of a frame, upright, their last row and column repeated up to a size."""
    turn = turn_of(frame)
    if frame.format.name != _FORMAT:
        frame = frame.reformat(format=_FORMAT)
    found = []
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        x = torch.from_numpy(rows[:, : plane.width].copy())[None].rot90(turn, (1, 2))
        if size is not None:
            height, width = (n // (2 if number else 1) for n in size)
            pad = (0, width - x.shape[2], 0, height - x.shape[1])
            x = F.pad(x[None].float(), pad, mode="replicate")[0].to(torch.uint8)
        found.append(x)
    return found[0], found[1], found[2]


def turn_of(frame: Any) -> int:
    """How many times a frame has to be turned by 90 degrees against the clock to be upright."""
    return round(frame.rotation / 90) % 4


def copy_labels(made: Any, given: Any, frame: Any) -> None:
    """Give a track the labels of another one: meaning of colours, range, shape of pixels.

    Args:
        made: the track, of frames that are upright.
        given: the other track.
        frame: its first frame.
    """
    context, before = made.codec_context, given.codec_context
    guessed = _BT709 if frame.height >= _HD_ROWS else _UNSPECIFIED  # as players guess
    for name in ("colorspace", "color_primaries", "color_trc"):
        value = int(getattr(before, name))
        setattr(context, name, guessed if value == _UNSPECIFIED else value)
    kept = frame.format.name == _FORMAT
    context.color_range = int(before.color_range) if kept else _LIMITED
    aspect = given.sample_aspect_ratio
    if aspect:
        context.sample_aspect_ratio = 1 / aspect if turn_of(frame) % 2 else aspect


def set_times(stream: Any, unit: Fraction, rate: Fraction | None) -> None:
    """Let a track count in a unit of time; H.264 says its usual rate, instead of that unit's."""
    stream.time_base = stream.codec_context.time_base = unit
    if rate and stream.codec_context.name == "libx264":
        fps = f"{rate.numerator}/{rate.denominator}"
        stream.options = stream.options | {"x264-params": f"force-cfr=1:fps={fps}"}


def take_time(made: Any, frame: Any) -> None:
    """Show a frame or packet when another frame shows, and as long."""
    made.pts, made.time_base = frame.pts, frame.time_base
    if frame.duration:
        made.duration = frame.duration


def frame_of(planes: Sequence[Tensor]) -> Any:
    import av

    height, width = planes[0].shape[1:]
    frame = av.VideoFrame(width, height, _FORMAT)
    for plane, x in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = x[0].numpy()
        plane.update(rows.tobytes())
    return frame


def part_of_plane(window: Window, number: int) -> Window:
    """A window of a picture in one of its planes: Y has the whole, U and V the half."""
    return Window(*(n // (2 if number else 1) for n in window))


def guesses_of(base: Planes, window: Window, ratio: Ratio) -> list[Guess]:
    """What the planes of a block stand on; chroma has half the window."""
    found = []
    for number, x in enumerate(base):
        part = part_of_plane(window, number)
        there = Size(x.shape[1], x.shape[2])
        place, step = below(part, there, ratio, Kernel.BICUBIC)
        found.append(Guess(place.of(to_planes(x[None])[0]), step, (part.height, part.width)))
    return found


def enlarged_planes(base: Planes, ratio: Ratio, size: Size) -> list[Tensor]:
    """The planes of a base at a padded size, (1, H, W) int32 in 1/16 grey level."""
    return [guess.planes() for guess in guesses_of(base, Window(0, 0, *size), ratio)]


def windows_of(size: Size, division: Division) -> list[Window]:
    """Blocks whose sides are even, so that they have whole chroma."""
    half = Size(size.height // 2, size.width // 2)
    return [Window(*(2 * n for n in window)) for window in division.windows(half)]


def joined(
    base: Planes, tracks: Mapping[int, Track], found: Mapping[int, Any]
) -> tuple[Planes, bool]:
    """The padded planes of a frame from those of its blocks, and whether none is missing."""
    first = next(iter(tracks.values()))
    enlarged = enlarged_planes(base, first.ratio, padded_size(first.size, first.ratio))
    y, u, v = (from_planes(plane[None])[0] for plane in enlarged)
    whole = len(tracks) == first.columns * first.rows
    for index, track in tracks.items():
        try:
            parts = _decoded(found[index], base, track)
        except (KeyError, FormatError):
            whole = False
            continue
        for number, (plane, part) in enumerate(zip((y, u, v), parts, strict=True)):
            part_of_plane(track.window, number).of(plane).copy_(part)
    return (y, u, v), whole


def _decoded(found: Any, base: Planes, track: Track) -> list[Tensor]:
    """The planes of a block from the frame of its difference."""
    parts = []
    for x, guess in zip(planes_of(found), guesses_of(base, track.window, track.ratio), strict=True):
        if x.shape[1:] != guess.size:
            raise FormatError(f"expected a block of {guess.size}, got {tuple(x.shape[1:])}")
        parts.append((x.int() - track.offset + guess.pixels()).clamp(0, 255).to(torch.uint8))
    return parts


def cropped(planes: Sequence[Tensor], size: Size) -> list[Tensor]:
    """Planes without what was repeated; an odd side keeps half a chroma sample more."""
    return [
        x[:, : -(-size.height // half), : -(-size.width // half)].contiguous()
        for x, half in zip(planes, (1, 2, 2), strict=True)
    ]
