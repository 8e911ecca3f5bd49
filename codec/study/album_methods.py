"""Ways to store a set of pictures that show about the same: bytes at the PSNR of a JPEG file.

Every method codes each picture at several qualities; its bytes are read off where the PSNR-RGB is
that of Pillow's JPEG q85 4:2:0 of the picture, off the line through the logarithms.

Axes: C plane, H W pixels.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codec import picture as picture_codec
from codec.album.references import choose, pair_costs
from codec.align.search import SMALL, best_prediction
from codec.gallery import literal as literal_gallery
from codec.pictures.layout import from_array, to_array
from codec.pictures.resize import fit_into
from codec.prediction.chain import Predicted
from codec.search.encoders import Encoder, encoder
from codec.search.scores import SCORES
from codec.settings import Settings

GOAL = 85  # quality of the JPEG files whose PSNR is to be reached
_MODE = "mse"
_OWN = (55, 68, 78, 86, 92)
_OTHERS = {"avif": (45, 60, 72, 82, 90), "jxl": (60, 72, 82, 90, 95)}
_LITERAL = (75, 85, 92, 96)
_CRF = (14, 20, 26, 32)
_FINER = (0, 2, 4)  # qualities by which references may be finer than what stands on them
_STEP = 8  # of the qualities between which a predicted picture's bytes are read off
_HALF = 127
_BEYOND = 1.0  # dB that a curve is followed past its end
_psnr = SCORES["psnr"].measure


class Point(NamedTuple):
    """Bytes, and the PSNR-RGB in dB that they buy."""

    size: int
    psnr: float


class Goal(NamedTuple):
    """A picture, and what its JPEG file takes and reaches."""

    pixels: Tensor
    jpeg: Point


Method = Callable[[Sequence[Goal]], float]


def goals_of(pictures: Sequence[Tensor]) -> list[Goal]:
    """Pictures (3, H, W) uint8 with what a JPEG file reaches."""
    one = encoder("jpeg")
    found = []
    for pixels in pictures:
        (point,) = _curve(one, pixels, [GOAL])
        found.append(Goal(pixels, point))
    return found


def single_files(goals: Sequence[Goal]) -> float:
    """Bytes of the JPEG files."""
    return float(sum(goal.jpeg.size for goal in goals))


def each_alone(name: str) -> Method:
    """Every picture alone, with another codec."""
    one: Encoder = encoder(name)
    qualities = [
        min(one.qualities, key=lambda known: abs(known - wanted)) for wanted in _OTHERS[name]
    ]

    def method(goals: Sequence[Goal]) -> float:
        return sum(_at(_curve(one, goal.pixels, qualities), goal.jpeg.psnr) for goal in goals)

    return method


def _curve(one: Encoder, pixels: Tensor, qualities: Sequence[int]) -> list[Point]:
    found = []
    for quality in qualities:
        data = one.encode(pixels, quality)
        found.append(Point(len(data), _psnr(pixels, one.decode(data))))
    return found


def own_alone(goals: Sequence[Goal]) -> float:
    """Every picture alone, with this codec."""
    return sum(_own(goal) for goal in goals)


def _own(goal: Goal) -> float:
    return _at([_own_point(goal.pixels, quality) for quality in _OWN], goal.jpeg.psnr)


def own_set(goals: Sequence[Goal]) -> float:
    """A star or several, as albums choose it, with the best of a few qualities of references."""
    small = [fit_into(goal.pixels, SMALL) for goal in goals]
    pairs = [(n, m) for n in range(len(goals)) for m in range(n)]
    parents = choose(pair_costs(small, pairs))
    own = [(_own(goal), _quality_at(goal)) for goal in goals]
    total = sum(alone for alone, _ in own)
    for finer in _FINER if parents else ():
        total = min(total, _own_total(goals, parents, own, finer))
    return total


def _own_total(
    goals: Sequence[Goal],
    parents: dict[int, int],
    own: Sequence[tuple[float, int]],
    finer: int,
) -> float:
    """Bytes of a set whose references are finer by so many qualities.

    Args:
        goals: of the set.
        parents: which picture stands on which.
        own: bytes of each picture alone, and the quality that reaches its goal.
        finer: see above.
    """
    total = 0.0
    references: dict[int, dict[bytes, Tensor]] = {}
    for n in set(parents.values()):
        quality = min(100, own[n][1] + finer)
        (data,) = picture_codec.encode([goals[n].pixels], quality, mode=_MODE)
        references[n] = picture_codec.references_of([data])
    for n, goal in enumerate(goals):
        if n in parents:
            total += min(own[n][0], _from(goal, own[n][1], references[parents[n]]))
        elif n in references and finer:
            total += _own_point(goal.pixels, min(100, own[n][1] + finer)).size
        else:
            total += own[n][0]
    return total


def _quality_at(goal: Goal) -> int:
    """The lowest quality of this codec that reaches a picture's goal."""
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        (shown,) = picture_codec.preview([goal.pixels], [Settings(middle, _MODE)])
        reached = _psnr(goal.pixels, shown) >= goal.jpeg.psnr
        low, high = (low, middle) if reached else (middle, high)
    return high


def _from(goal: Goal, quality: int, references: dict[bytes, Tensor]) -> float:
    """Bytes of a picture from references: between a quality that reaches the goal, and one that
    does not, if there is one; alone, the quality given reaches it."""
    guess = best_prediction(goal.pixels, references, quality, mode=_MODE)
    if guess is None:
        return math.inf
    forms = [guess, guess.hinted()]
    form = min(forms, key=lambda one: _own_point(goal.pixels, quality, one, references).size)
    points: list[Point] = []
    step = 0
    while not points or (1 < quality < 100 and not _crossed(points, goal.jpeg.psnr)):
        quality = min(100, max(1, quality + step))
        points.append(_own_point(goal.pixels, quality, form, references))
        step = -_STEP if points[-1].psnr >= goal.jpeg.psnr else _STEP
    return _at(points[-2:], goal.jpeg.psnr)


def _crossed(points: Sequence[Point], wanted: float) -> bool:
    return len({point.psnr >= wanted for point in points}) == 2


def _own_point(
    pixels: Tensor,
    quality: int,
    predicted: Predicted | None = None,
    references: dict[bytes, Tensor] | None = None,
) -> Point:
    (data,) = picture_codec.encode([pixels], quality, mode=_MODE, predictions=[predicted])
    (shown,) = picture_codec.decode([data], references=references or {})
    return Point(len(data), _psnr(pixels, shown))


def literal(goals: Sequence[Goal]) -> float:
    """US 9,282,331 as it stands there: a reference, and differences of pixels in the same places,
    both as JPEG; the reference with the smallest volume of differences."""
    if len({goal.pixels.shape for goal in goals}) > 1:
        return math.nan
    volumes = [
        sum(float((one.pixels.int() - other.pixels.int()).abs().sum()) for other in goals)
        for one in goals
    ]
    first = goals[volumes.index(min(volumes))]
    jpeg = encoder("jpeg")
    points: list[list[Point]] = [[] for _ in goals]
    for quality in _LITERAL:
        base = jpeg.encode(first.pixels, quality)
        shown = jpeg.decode(base)
        for number, goal in enumerate(goals):
            if goal is first:
                points[number].append(Point(len(base), _psnr(goal.pixels, shown)))
                continue
            rest = goal.pixels.int() - first.pixels.int()
            shifted = (rest.clamp(-_HALF, _HALF) + _HALF).to(torch.uint8)
            data = jpeg.encode(shifted, quality)
            made = shown.int() + jpeg.decode(data).int() - _HALF
            points[number].append(
                Point(len(data), _psnr(goal.pixels, made.clamp(0, 255).to(torch.uint8)))
            )
    return sum(_at(found, goal.jpeg.psnr) for found, goal in zip(points, goals, strict=True))


def gallery_literal(goals: Sequence[Goal]) -> float:
    """The first picture as JPEG, the others from it as the gallery's application has it, or as JPEG
    where no points match."""
    first, *rest = goals
    jpeg = encoder("jpeg")
    total = float(first.jpeg.size)
    shown = jpeg.decode(jpeg.encode(first.pixels, GOAL))
    for goal in rest:
        streams = [literal_gallery.encode(goal.pixels, shown, quality) for quality in _LITERAL]
        points = [
            Point(len(one), _psnr(goal.pixels, literal_gallery.decode(one, shown)))
            for one in streams
            if one is not None
        ]
        total += _at(points, goal.jpeg.psnr) if points else goal.jpeg.size
    return total


def as_video(goals: Sequence[Goal]) -> float:
    """The pictures as frames of x265, 4:4:4, at their mean PSNR."""
    import av

    if len({goal.pixels.shape for goal in goals}) > 1:
        return math.nan
    found = []
    for crf in _CRF:
        buffer = io.BytesIO()
        with av.open(buffer, "w", "matroska") as container:
            stream = container.add_stream("libx265", rate=25)
            stream.height, stream.width = goals[0].pixels.shape[1:]
            stream.pix_fmt = "yuv444p"
            stream.options = {
                "preset": "medium",
                "x265-params": f"crf={crf}:log-level=none:pools=1:frame-threads=1",
            }
            packets = []
            for goal in goals:
                frame = av.VideoFrame.from_ndarray(to_array(goal.pixels), format="rgb24")
                packets += stream.encode(frame.reformat(format="yuv444p"))
            packets += stream.encode()
            size = sum(packet.size for packet in packets)
            container.mux(packets)
        buffer.seek(0)
        with av.open(buffer, "r") as film:
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        reached = [
            _psnr(goal.pixels, from_array(np.ascontiguousarray(frame)))
            for frame, goal in zip(frames, goals, strict=True)
        ]
        found.append(Point(size, sum(reached) / len(reached)))
    wanted = sum(goal.jpeg.psnr for goal in goals) / len(goals)
    return _at(found, wanted)


def _at(points: Sequence[Point], wanted: float) -> float:
    """Bytes at a PSNR; of a picture that is better whatever is done, those of the worst one; not a
    number where it is never reached."""
    rising = sorted(points, key=lambda point: point.psnr)
    if rising[-1].psnr < wanted - _BEYOND:
        return math.nan
    if rising[0].psnr >= wanted:
        return float(rising[0].size)
    above = next((n for n, one in enumerate(rising) if one.psnr >= wanted), len(rising) - 1)
    low, high = rising[max(0, above - 1)], rising[above]
    share = (wanted - low.psnr) / max(high.psnr - low.psnr, 1e-6)
    return math.exp(math.log(low.size) + share * math.log(high.size / low.size))
