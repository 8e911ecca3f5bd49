"""Ways to find the lowest quality whose score reaches a target, each its own function.

All take a `Prober` and a target on the score's own scale and return the quality they settle on;
`codec.search.find` makes a `Found` of it. Scores usually rise with quality, but not always by every
step: where they fall somewhere, `certified` still ends at a quality that passes while the one below
fails, which need not be the lowest of its kind.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from codec.search.curve import Curve, FlatScore, Gaussian
from codec.search.prior import Prior

NEARLY_ONE = 1 - 1e-9  # what scores of 1 and more become in [0, 1)
FIRST_QUALITY = 80  # q0 of the seed
SECOND_QUALITY = 60  # q' of the seed
Fit = Callable[[float, float, float, float], Curve]


class TargetUnreachable(ValueError):
    """Even the best quality scores below the target."""


class Probe(NamedTuple):
    """One encode-and-measure: quality, score on its own scale, bytes where it was encoded."""

    quality: int
    score: float
    bytes: int | None


class Prober:
    """Measures qualities, each once, and remembers in which order.

    Args:
        measure: quality -> (score, bytes or None).
        to_unit: the score's map to [0, 1).
        qualities: the scale.
        prior: what photos usually score.
    """

    def __init__(
        self,
        measure: Callable[[int], tuple[float, int | None]],
        to_unit: Callable[[float], float],
        qualities: range,
        prior: Prior,
    ):
        self.measure, self.to_unit, self.qualities, self.prior = measure, to_unit, qualities, prior
        self.probes: list[Probe] = []
        self._known: dict[int, float] = {}

    def __call__(self, quality: int) -> float:
        """The score of a quality."""
        if quality not in self._known:
            score, size = self.measure(quality)
            self.probes.append(Probe(quality, score, size))
            self._known[quality] = score
        return self._known[quality]

    def unit(self, quality: int) -> float:
        """The score of a quality in [0, 1)."""
        return self.to_unit(self(quality))

    def clamp(self, quality: float) -> int:
        return min(max(round(quality), self.qualities[0]), self.qualities[-1])


def unreachable_error(probes: Sequence[Probe], target: float) -> TargetUnreachable:
    """The error that says what the best probe reached."""
    best = max(probes, key=lambda probe: probe.score)
    return TargetUnreachable(
        f"expected a score of {target:g}, the best is {best.score:.4f} at quality {best.quality}"
    )


def gaussian_literal(
    prober: Prober,
    target: float,
    step: int = 1,
    below: int | float = SECOND_QUALITY,
    fit: Fit = Gaussian.through,
) -> int:
    """The seed as it stands: steps 200 to 216. The score of q0 is taken for 1, unmeasured.

    The downward branch ends at the first quality whose score is at or below the target, which is
    mostly one step too low: that miss is the seed's.

    Args:
        prober, target: see above.
        step: d.
        below: the second quality, or as a fraction what to take off q0 (0.5: half).
        fit: the curve, see `codec.search.curve`.
    """
    quality = _start(prober, target, 1.0, below, fit)
    if quality is None:
        return bisection(prober, target)
    score = prober(quality)
    if score > target:  # steps 209 to 211
        while prober(quality) > target and quality > prober.qualities[0]:
            quality = prober.clamp(quality - step)
        return quality
    return _step_up(prober, target, quality, step)


def gaussian_corrected(
    prober: Prober,
    target: float,
    step: int = 1,
    below: int | float = SECOND_QUALITY,
    fit: Fit = Gaussian.through,
) -> int:
    """The seed with the score of q0 measured, ending at the last quality that passes."""
    q0 = prober.clamp(FIRST_QUALITY)
    quality = _start(prober, target, prober.unit(q0), below, fit)
    if quality is None:
        return bisection(prober, target)
    if prober(quality) >= target:
        return _step_down(prober, target, quality, step)
    return _step_up(prober, target, quality, step)


def _start(prober: Prober, target: float, s0: float, below: int | float, fit: Fit) -> int | None:
    """The initial quality q'' of the curve, clamped; None where the score is flat."""
    q0 = prober.clamp(FIRST_QUALITY)
    q1 = prober.clamp(q0 * (1 - below) if isinstance(below, float) else below)
    s1 = prober.unit(q1)
    try:
        if s1 >= NEARLY_ONE:  # s' >= s0 := 1
            return None
        curve = fit(q0, s0, q1, s1)
    except FlatScore:
        return None
    return prober.clamp(curve.quality(prober.to_unit(target)))


def _step_up(prober: Prober, target: float, quality: int, step: int) -> int:
    while prober(quality) < target:
        if quality == prober.qualities[-1]:
            raise unreachable_error(prober.probes, target)
        quality = prober.clamp(quality + step)
    return quality


def _step_down(prober: Prober, target: float, quality: int, step: int) -> int:
    """The last quality that passes on the way down from one that does."""
    while quality > prober.qualities[0]:
        lower = prober.clamp(quality - step)
        if prober(lower) < target:
            break
        quality = lower
    return quality


def stepping(prober: Prober, target: float, step: int = 1) -> int:
    """Plain stepping from q0 = 80: what the seed improves on."""
    quality = prober.clamp(FIRST_QUALITY)
    if prober(quality) >= target:
        return _step_down(prober, target, quality, step)
    return _step_up(prober, target, quality, step)


def bisection(prober: Prober, target: float) -> int:
    """Halve the scale until one quality is left."""
    return _narrow(prober, target, lambda low, high: (low + high) // 2)


def certified(prober: Prober, target: float) -> int:
    """The default: start where pictures usually reach the target, then follow what was measured.

    The first guess is the prior's, the second moves by how photos differ at that score, later ones
    interpolate the depths -log(1 - s); see `prior.Prior.expected`. It ends when a quality passes
    and the one below fails, both probed.
    """
    goal = log_gap(prober.to_unit(target))
    first = prober.qualities[0]
    widths: list[int] = []

    def propose(low: int, high: int) -> int:
        widths.append(high - low)
        if len(widths) > 4 and widths[-1] * 2 > widths[-3]:
            return (low + high) // 2  # what is expected does not help here
        known = {p.quality - first: log_gap(prober.to_unit(p.score)) for p in prober.probes}
        return first + round(position_of(prober.prior.expected(known), goal))

    return _narrow(prober, target, propose)


def _narrow(prober: Prober, target: float, propose: Callable[[int, int], int]) -> int:
    """Probe what is proposed inside the bracket until `high` passes and `high - 1` fails."""
    low, high = prober.qualities[0] - 1, prober.qualities[-1] + 1
    while high - low > 1:
        quality = min(max(propose(low, high), low + 1), high - 1)
        if prober(quality) >= target:
            high = quality
        else:
            low = quality
    if high > prober.qualities[-1]:
        raise unreachable_error(prober.probes, target)
    return high


def log_gap(unit: float) -> float:
    """-log(1 - s), in which scores are nearly linear in each other."""
    return -math.log(max(1 - unit, 1e-12))


def position_of(curve: np.ndarray, wanted: float) -> float:
    """The position, counted from 0, at which a rising curve has a value; its ends outside."""
    upper = int(np.searchsorted(curve, wanted))
    if upper == 0:
        return 0.0
    if upper == len(curve):
        return len(curve) - 1.0
    left, right = curve[upper - 1], curve[upper]
    return upper - 1 + float((wanted - left) / (right - left))
