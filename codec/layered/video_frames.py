"""Frames of a layered video in this codec: what stands on what, and the bytes of each.

Frames follow the types of the base's: I stands on nothing but its base, P on the I or P before, B
on those before and after, and nothing on a B. A frame is one grey picture with U and V side by side
below Y, less what is predicted.

Axes: H W pixels of a plane, R S blocks of 16 x 16.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from codec.container import FormatError
from codec.layered.differences import OwnCoder
from codec.layered.geometry import Ratio, Size
from codec.layered.video_motion import (
    FUTURE,
    PAST,
    Standing,
    Vectors,
    Ways,
    choose_ways,
    predicted_planes,
    read_vectors,
    ways_for,
)
from codec.layered.video_tracks import Planes, enlarged_planes, planes_of
from codec.picture import encode, exact
from codec.pictures.workers import spread
from codec.planes import from_planes, to_planes
from codec.prediction.chain import Predicted, Prediction, hash_of
from codec.prediction.fields import pack_field, unpack_field
from codec.residual.quantise import steps
from codec.residual.rdoq import LAMBDA
from codec.residual.transform import FRACTION
from codec.settings import QUALITIES, Settings, step_of
from codec.varint import VarintError, pack_varint, unpack_varint

# By how many step indices an I is finer and a B coarser than a P (24 double a step). With B as fine
# as P bytes grow by 10 % for 0.25 dB; with 20 between them neighbours would differ by a decibel.
_FINER, _COARSER = 8, 12


class BaseFrame(NamedTuple):
    """A decoded frame of the base.

    Attributes:
        time: when it shows, in units of its track.
        planes: Y, U, V.
        kind: I, P or B.
        vectors: see `read_vectors`.
    """

    time: int
    planes: Planes
    kind: str
    vectors: dict[int, Vectors]


def base_frame(frame: Any) -> BaseFrame:
    """A frame as PyAV decodes it."""
    from av.video.frame import PictureType

    kind = PictureType(int(frame.pict_type)).name
    return BaseFrame(frame.pts, planes_of(frame), kind, read_vectors(frame))


class Layered(NamedTuple):
    """A frame to be coded or decoded.

    Attributes:
        base: its base.
        planes: what it shows, where that is known.
        data: its difference, where that is known.
    """

    base: BaseFrame
    planes: Planes | None = None
    data: bytes | None = None


Around = Mapping[int, Standing]
Made = TypeVar("Made")


class InOrder(Generic[Made]):
    """Works on frames in the order that they stand on each other; results come as they show.

    An I or P and the B before the last one need nothing of each other and are worked on at once.

    Args:
        work: a frame and what it may stand on -> a result, and what others may stand on.
    """

    def __init__(self, work: Callable[[Layered, Around], tuple[Made, Standing]]):
        self._work = work
        self._coming: list[Layered] = []  # B whose next I or P has not come yet
        self._between: list[Layered] = []  # B between the last two
        self._held: list[Made] = []  # the result of the last I or P, which shows after those
        self._around: dict[int, Standing] = {}  # those two

    def push(self, frame: Layered) -> list[Made]:
        """Take the frame that shows next; returns results that are due."""
        if frame.base.kind == "B":
            self._coming.append(frame)
            return []
        before = {PAST: self._around[FUTURE]} if FUTURE in self._around else {}
        jobs: list[tuple[Layered, Around]] = [(frame, before)]
        jobs += [(one, self._around) for one in self._between]
        (made, standing), *others = spread(lambda job: self._work(*job), jobs)
        due = [one for one, _ in others] + self._held
        self._held, self._around = [made], before | {FUTURE: standing}
        self._between, self._coming = self._coming, []
        return due

    def finish(self) -> list[Made]:
        """The results of what is left."""
        last = {PAST: self._around[FUTURE]} if FUTURE in self._around else {}
        between = [self._work(one, self._around)[0] for one in self._between]
        return between + self._held + [self._work(one, last)[0] for one in self._coming]


class FrameCoder:
    """Codes the differences of frames, and puts frames together from them.

    Args:
        ratio: of base and video.
        size: of the video, padded.
        coder: how.
    """

    def __init__(self, ratio: Ratio, size: Size, coder: OwnCoder):
        self._ratio, self._size, self._coder = ratio, size, coder

    def encode(self, frame: Layered, around: Around) -> tuple[tuple[int, bytes], Standing]:
        """The time and the bytes of a frame."""
        assert frame.planes is not None
        settings = _settings_for(frame.base.kind, self._coder.settings)
        enlarged = enlarged_planes(frame.base.planes, self._ratio, self._size)
        ways = ways_for(enlarged, frame.base.vectors, around)
        luma = to_planes(frame.planes[0][None])[0]
        step = steps()[step_of(settings.quality, settings.mode)] / 2**FRACTION
        chosen = choose_ways(luma, ways, LAMBDA * step * step)
        guess = stacked(predicted_planes(ways, chosen))
        predicted = Predicted(Prediction(hash_of(guess), (), hints=True), guess)
        device = self._coder.device
        (data,) = encode(
            [stacked(frame.planes)], **settings._asdict(), device=device, predictions=[predicted]
        )
        (found,) = exact([data], references={hash_of(guess): guess}, device=device)
        field = pack_field(chosen[None]) if len(ways.planes) > 1 else b""
        packed = pack_varint(len(field)) + field + data
        return (frame.base.time, packed), Standing(enlarged, unstacked(found))

    def decode(self, frame: Layered, around: Around) -> tuple["Whole", Standing]:
        """The base shows alone where a difference is missing, or what it stands on."""
        enlarged = enlarged_planes(frame.base.planes, self._ratio, self._size)
        standing, found = Standing(enlarged, enlarged), False
        if frame.data is not None:
            ways = ways_for(enlarged, frame.base.vectors, around)
            with contextlib.suppress(FormatError):
                standing, found = Standing(enlarged, self._planes(frame.data, ways)), True
        y, u, v = (from_planes(plane[None])[0] for plane in standing.exact)
        return Whole(frame.base.time, (y, u, v), found), standing

    def _planes(self, packed: bytes, ways: Ways) -> list[Tensor]:
        field, data = split_frame(packed)
        chosen = torch.zeros(ways.known.shape, dtype=torch.int16)
        if field:
            chosen = unpack_field(field)[0]
        guess = stacked(predicted_planes(ways, chosen))
        references = {hash_of(guess): guess}
        (found,) = exact([data], references=references, device=self._coder.device)
        if found.shape != guess.shape:
            raise FormatError(f"frame: expected {guess.shape}, got {tuple(found.shape)}")
        return unstacked(found)


def _settings_for(kind: str, settings: Settings) -> Settings:
    """The settings of an I, P or B: its quality is the one with the step that comes nearest."""
    mode = settings.mode
    wanted = step_of(settings.quality, mode) + {"I": -_FINER, "B": _COARSER}.get(kind, 0)
    quality = min(QUALITIES, key=lambda known: abs(step_of(known, mode) - wanted))
    return settings if kind == "P" else settings._replace(quality=quality)


class Whole(NamedTuple):
    """A frame that was put together.

    Attributes:
        time: when it shows.
        planes: Y, U, V, padded.
        is_whole: whether nothing was missing.
    """

    time: int
    planes: Planes
    is_whole: bool


def split_frame(packed: bytes) -> tuple[bytes, bytes]:
    """The choices of blocks and the stream of a frame.

    Raises:
        FormatError: not what `FrameCoder` made.
    """
    try:
        size, at = unpack_varint(packed, 0)
    except VarintError as error:
        raise FormatError(f"frame: {error}") from error
    return packed[at : at + size], packed[at + size :]


def stacked(planes: "list[Tensor] | Planes") -> Tensor:
    """Y, U, V as one plane: U and V side by side below Y."""
    return torch.cat((planes[0], torch.cat((planes[1], planes[2]), 2)), 1)


def unstacked(whole: Tensor) -> list[Tensor]:
    """Inverse of `stacked`."""
    height, width = whole.shape[1] * 2 // 3, whole.shape[2] // 2
    below = whole[:, height:]
    return [whole[:, :height], below[:, :, :width], below[:, :, width:]]
