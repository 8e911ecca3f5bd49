"""Which of some pictures another one is best predicted from, and how.

references = codec.references_of([stream])
predicted = codec.best_prediction(picture, references, quality=80)
(smaller,) = codec.encode([picture], 80, predictions=[predicted])
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from codec.align.features import Features, find_warp
from codec.align.flow import find_motion
from codec.align.light import find_grade, find_tone
from codec.align.trial import Trial, trial_of
from codec.planes import check_picture, to_planes
from codec.prediction.alpha import Alpha
from codec.prediction.chain import (
    HASH_BYTES,
    Predicted,
    Prediction,
    Step,
    fit_planes,
    is_exact,
)
from codec.prediction.grade import Grade
from codec.prediction.motion import Motion
from codec.prediction.warp import Warp
from codec.reading import check_references
from codec.residual.quantise import STEPS_PER_OCTAVE, WEIGHTINGS, Weighting, steps
from codec.residual.transform import FRACTION
from codec.settings import Settings, check_settings, step_of

_LOSSLESS_STEP = 2 * STEPS_PER_OCTAVE  # a grey level: no finer detail is worth anything
_LEAST_GAIN = 0.97  # of the bytes alone: what a trial is sure of
SMALL = 320  # pixels of the longer side of pictures that tell how others are predicted
_ABOUT = 1.02  # of the cheapest way, what a simpler one may cost
_STEP_BYTES = 3  # around what a step packs
_SPARSE = 2  # of pixels that tell the vectors of a large picture, one in so many each way
# When to look no further, in shares of the bytes alone.
_GOOD_ENOUGH = 0.1  # an edited copy, or a scene where nothing moved
_HOPELESS = 0.97  # strangers, where light alone saves nothing
HOPELESS_WARP = 1.4  # features agree, so that vectors may help yet


def best_prediction(
    picture: Tensor,
    candidates: Mapping[bytes, Tensor],
    quality: int = 80,
    *,
    mode: str = "perceptual",
    lossless: bool = False,
) -> Predicted | None:
    """The prediction that a trial finds cheapest, or None where the picture alone is.

    Args:
        picture: (3, H, W) RGB or (1, H, W) grey, uint8.
        candidates: exact planes (c, h, w) of pictures it may be predicted from, by their hash.
        quality, mode, lossless: that the picture will be encoded with.

    Raises:
        ValueError: what is no picture, a setting out of range, or candidates that are none.
    """
    check_picture(picture)
    check_settings(Settings(quality, mode))
    check_references(candidates)
    wanted = to_planes(picture[None])[0]
    if lossless:
        return best_for_planes(wanted, candidates, _LOSSLESS_STEP, WEIGHTINGS["mse"])
    return best_for_planes(wanted, candidates, step_of(quality, mode), WEIGHTINGS[mode])


def best_for_planes(
    wanted: Tensor, candidates: Mapping[bytes, Tensor], step_index: int, weighting: Weighting
) -> Predicted | None:
    """`best_prediction` of planes (C, H, W) int32 in 1/16 grey level at a step."""
    search = Search(wanted, step_index, weighting)
    best, least = None, _LEAST_GAIN * search.alone
    for name, planes in candidates.items():
        for way in search.ways(planes):
            if way.cost < least:
                best, least = Predicted(Prediction(name, way.chain), way.planes), way.cost
    return best


class Reference:
    """Exact planes (c, h, w), with what a search finds out about them once for many pictures."""

    def __init__(self, planes: Tensor):
        self.planes = planes
        self.features = Features(planes[0])
        self._small: dict[int, Reference] = {}

    def smaller(self, times: int) -> "Reference":
        """The same, smaller by a whole number."""
        if times not in self._small:
            self._small[times] = Reference(_shrunk(self.planes, times))
        return self._small[times]


def quick_for_planes(
    wanted: Tensor, candidates: Mapping[bytes, Reference], step_index: int, weighting: Weighting
) -> Predicted | None:
    """`best_for_planes` in about half the time: small versions tell which of the candidates is
    the best one, and which steps help."""
    times = max(1, max(wanted.shape[1:]) // SMALL)
    if times == 1:
        planes = {name: one.planes for name, one in candidates.items()}
        return best_for_planes(wanted, planes, step_index, weighting)
    search = Search(_shrunk(wanted, times), step_index, weighting)
    ways = [
        (way, name)
        for name, one in candidates.items()
        for way in search.ways_from(one.smaller(times))
    ]
    least = min((way.cost for way, _ in ways), default=math.inf)
    if least >= _LEAST_GAIN * search.alone:
        return None
    # The simplest of those that are about as good: steps take time, here and in every decoder.
    good = [one for one in ways if one[0].cost <= _ABOUT * least]
    way, name = min(good, key=lambda one: (len(one[0].chain), one[0].cost))
    large = Search(wanted, step_index, weighting)
    found = large.follow([type(step) for step in way.chain], candidates[name])
    if found is None or found.cost >= _LEAST_GAIN * large.alone:
        return None
    return Predicted(Prediction(name, found.chain), found.planes)


def _shrunk(planes: Tensor, times: int) -> Tensor:
    return F.avg_pool2d(planes[None].double(), times, ceil_mode=True)[0].round().int()


class Way(NamedTuple):
    """A way to predict a picture.

    Attributes:
        chain: its steps.
        size: bytes that these take.
        whole: the planes that they make of a reference's.
        planes: (C, H, W) of those, as many as the picture has.
        cost: bytes of the picture by the trial.
    """

    chain: tuple[Step, ...]
    size: int
    whole: Tensor
    planes: Tensor
    cost: float = math.inf


class Search:
    """Ways to predict a picture, the simplest first.

    Args:
        wanted: (C, H, W) int32 in 1/16 grey level.
        step_index: that it will be coded with.
        weighting: see `quantise.Weighting`.
        thorough: whether ways without much hope are tried, too.
        hopeless: share of its bytes alone above which vectors do not help a picture of a plane
            that both show.

    Attributes:
        own: the picture as others may be predicted from it.
    """

    def __init__(
        self,
        wanted: Tensor,
        step_index: int,
        weighting: Weighting,
        thorough: bool = False,
        hopeless: float = HOPELESS_WARP,
    ):
        self.wanted, self.thorough, self._hopeless = wanted, thorough, hopeless
        self.size = (wanted.shape[1], wanted.shape[2])
        self.trial: Trial = trial_of(wanted, step_index, weighting)
        self.step = steps()[step_index] / 2**FRACTION
        self.alone = self.trial.alone()
        self.own = Reference(wanted)

    def ways(self, planes: Tensor) -> Iterator[Way]:
        """Ways from other planes (c, h, w).

        Raises:
            ValueError: what are no exact planes.
        """
        if not is_exact(planes):
            raise ValueError("expected candidates as exact planes: codec.references_of(streams)")
        return self.ways_from(Reference(planes))

    def ways_from(self, reference: Reference) -> Iterator[Way]:
        """The same from planes that many pictures are compared with."""
        planes = reference.planes
        starts: list[tuple[Step, ...]] = [()] if planes.shape[1:] == self.wanted.shape[1:] else []
        warp = find_warp(self.own.features, reference.features)
        if warp is not None:
            starts.append((warp,))
        for start in starts:
            for way in self._from(self._begun(start, planes)):
                yield way
                if self._below(way.cost, _GOOD_ENOUGH):
                    return

    def follow(self, kinds: Collection[type[Step]], reference: Reference) -> Way | None:
        """The way with steps of these kinds, or None where the pictures share no plane.

        Args:
            kinds: of the steps.
            reference: what to predict from.
        """
        planes = reference.planes
        start: tuple[Step, ...] = ()
        if Warp in kinds or planes.shape[1:] != self.wanted.shape[1:]:
            warp = find_warp(self.own.features, reference.features)
            if warp is None:
                return None
            start = (warp,)
        found = self._begun(start, planes)
        if Motion in kinds:
            lit = self._next(found, find_tone(self.wanted, found.planes))
            motion = find_motion(self.wanted[0], lit.planes[0], self.step, _SPARSE)
            found = self._next(found, motion)
        light: Step | None = None
        if Grade in kinds and len(planes) == 3:
            light = find_grade(self.wanted, found.planes)
        found = self._next(found, light or find_tone(self.wanted, found.planes))
        if Alpha in kinds:
            found = self._next(found, self.trial.choose_alpha(found.planes))
        return self._priced(found)

    def _from(self, start: Way) -> Iterator[Way]:
        """Ways that go on from one: light, then what moved."""
        plain = self._priced(start)
        yield plain
        lit = self._priced(self._next(plain, find_tone(self.wanted, plain.planes)))
        yield lit
        hopeless = (self._hopeless if start.chain else _HOPELESS) * self.alone
        if min(plain.cost, lit.cost) > hopeless and not self.thorough:
            return
        # A grey reference has no colours to grade.
        grade = find_grade(self.wanted, plain.planes) if len(plain.whole) == 3 else None
        if grade is not None:
            graded = self._priced(self._next(plain, grade))
            yield graded
            if self._below(graded.cost, _GOOD_ENOUGH):
                return
        if self._below(lit.cost, _GOOD_ENOUGH):
            return
        moved = self._next(plain, find_motion(self.wanted[0], lit.planes[0], self.step))
        both = self._priced(self._next(moved, find_tone(self.wanted, moved.planes)))
        yield both
        yield self._priced(self._next(both, self.trial.choose_alpha(both.planes)))

    def _begun(self, chain: tuple[Step, ...], planes: Tensor) -> Way:
        """A way whose first steps are these, without a price."""
        whole = Prediction(bytes(HASH_BYTES), chain)(planes, self.size)
        size = sum(len(step.pack()) + _STEP_BYTES for step in chain)
        return Way(chain, size, whole, fit_planes(whole, len(self.wanted)))

    def _next(self, way: Way, step: Step) -> Way:
        """A way that goes one step further, without a price."""
        found = self._begun((step,), way.whole)
        return found._replace(chain=(*way.chain, step), size=way.size + found.size)

    def _priced(self, way: Way) -> Way:
        return way._replace(cost=self.trial.rest(way.planes) + way.size + HASH_BYTES)

    def _below(self, cost: float, share: float) -> bool:
        """Whether a cost is so low that no more is tried; never where all is to be tried."""
        return not self.thorough and cost < share * self.alone
