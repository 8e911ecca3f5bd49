"""Which of some pictures another one is best predicted from, and how.

references = codec.references_of([stream])
predicted = codec.best_prediction(picture, references, quality=80)
(smaller,) = codec.encode([picture], 80, predictions=[predicted])
"""

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
# When to look no further, in shares of the bytes alone.
_GOOD_ENOUGH = 0.1  # an edited copy, or a scene where nothing moved
_HOPELESS = 0.97  # strangers, where light alone saves nothing
_HOPELESS_WARP = 1.4  # features agree, so that vectors may help yet


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


def quick_for_planes(
    wanted: Tensor, candidates: Mapping[bytes, Tensor], step_index: int, weighting: Weighting
) -> Predicted | None:
    """`best_for_planes` in about half the time: small versions tell which of the candidates is
    the best one, and which steps help."""
    times = max(1, max(wanted.shape[1:]) // SMALL)
    if times == 1:
        return best_for_planes(wanted, candidates, step_index, weighting)
    search = Search(_shrunk(wanted, times), step_index, weighting)
    ways = [
        (way, name)
        for name, planes in candidates.items()
        for way in search.ways(_shrunk(planes, times))
    ]
    way, name = min(ways, key=lambda one: one[0].cost, default=(None, b""))
    if way is None or way.cost >= _LEAST_GAIN * search.alone:
        return None
    large = Search(wanted, step_index, weighting)
    found = large.follow([type(step) for step in way.chain], candidates[name])
    if found is None or found.cost >= _LEAST_GAIN * large.alone:
        return None
    return Predicted(Prediction(name, found.chain), found.planes)


def _shrunk(planes: Tensor, times: int) -> Tensor:
    return F.avg_pool2d(planes[None].double(), times, ceil_mode=True)[0].round().int()


class Way(NamedTuple):
    """A way to predict a picture: its steps, what they say (C, H, W), and bytes by the trial."""

    chain: tuple[Step, ...]
    planes: Tensor
    cost: float


class Search:
    """Ways to predict a picture, the simplest first.

    Args:
        wanted: (C, H, W) int32 in 1/16 grey level.
        step_index: that it will be coded with.
        weighting: see `quantise.Weighting`.
        thorough: whether ways without much hope are tried, too.
    """

    def __init__(
        self, wanted: Tensor, step_index: int, weighting: Weighting, thorough: bool = False
    ):
        self.wanted, self.thorough = wanted, thorough
        self.size = (wanted.shape[1], wanted.shape[2])
        self.trial: Trial = trial_of(wanted, step_index, weighting)
        self.step = steps()[step_index] / 2**FRACTION
        self.alone = self.trial.alone()
        self._features = Features(wanted[0])

    def ways(self, planes: Tensor) -> Iterator[Way]:
        """Ways from other planes (c, h, w).

        Raises:
            ValueError: what are no exact planes.
        """
        if not is_exact(planes):
            raise ValueError("expected candidates as exact planes: codec.references_of(streams)")
        starts: list[tuple[Step, ...]] = [()] if planes.shape[1:] == self.wanted.shape[1:] else []
        warp = find_warp(self._features, Features(planes[0]))
        if warp is not None:
            starts.append((warp,))
        for start in starts:
            for way in self._from(start, planes):
                yield way
                if self._below(way.cost, _GOOD_ENOUGH):
                    return

    def follow(self, kinds: Collection[type[Step]], planes: Tensor) -> Way | None:
        """The way with steps of these kinds, or None where the pictures share no plane.

        Args:
            kinds: of the steps.
            planes: exact ones (c, h, w).
        """
        chain: tuple[Step, ...] = ()
        if Warp in kinds or planes.shape[1:] != self.wanted.shape[1:]:
            warp = find_warp(self._features, Features(planes[0]))
            if warp is None:
                return None
            chain = (warp,)
        found = self._predict(chain, planes)
        if Motion in kinds:
            lit = self._predict((*chain, find_tone(self.wanted, found)), planes)
            chain = (*chain, find_motion(self.wanted[0], lit[0], self.step))
            found = self._predict(chain, planes)
        light: Step | None = None
        if Grade in kinds and len(planes) == 3:
            light = find_grade(self.wanted, found)
        chain = (*chain, light or find_tone(self.wanted, found))
        if Alpha in kinds:
            chain = (*chain, self.trial.choose_alpha(self._predict(chain, planes)))
        return self._way(chain, planes)

    def _from(self, start: tuple[Step, ...], planes: Tensor) -> Iterator[Way]:
        """Ways that begin with some steps: light, then what moved."""
        plain = self._way(start, planes)
        yield plain
        tone = find_tone(self.wanted, plain.planes)
        lit = self._way((*start, tone), planes)
        yield lit
        hopeless = (_HOPELESS_WARP if start else _HOPELESS) * self.alone
        if min(plain.cost, lit.cost) > hopeless and not self.thorough:
            return
        # A grey reference has no colours to grade.
        grade = find_grade(self.wanted, plain.planes) if len(planes) == 3 else None
        if grade is not None:
            graded = self._way((*start, grade), planes)
            yield graded
            if self._below(graded.cost, _GOOD_ENOUGH):
                return
        if self._below(lit.cost, _GOOD_ENOUGH):
            return
        motion = find_motion(self.wanted[0], lit.planes[0], self.step)
        moved = self._way((*start, motion), planes)
        chain = (*start, motion, find_tone(self.wanted, moved.planes))
        both = self._way(chain, planes)
        yield both
        yield self._way((*chain, self.trial.choose_alpha(both.planes)), planes)

    def _way(self, chain: tuple[Step, ...], planes: Tensor) -> Way:
        found = self._predict(chain, planes)
        size = len(Prediction(bytes(HASH_BYTES), chain).pack())
        return Way(chain, found, self.trial.rest(found) + size)

    def _predict(self, chain: tuple[Step, ...], planes: Tensor) -> Tensor:
        """What a chain says, (C, H, W) int32."""
        found = Prediction(bytes(HASH_BYTES), chain)(planes, self.size)
        return fit_planes(found, len(self.wanted))

    def _below(self, cost: float, share: float) -> bool:
        """Whether a cost is so low that no more is tried; never where all is to be tried."""
        return not self.thorough and cost < share * self.alone
