"""Ways to find the lowest quality that meets all criteria, each its own function.

All take a `Prober` and return the quality they settle on; `codec.search.find` makes a `Found` of
it. Scores usually rise with quality, but not always by every step: where they fall somewhere,
`certified` still ends at a quality that passes while the one below fails, which is not necessarily
the lowest passing quality.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from codec.search.criteria import Criterion, meets
from codec.search.curve import Curve, FlatScore, Gaussian
from codec.search.prior import Prior, expected_position, log_gap
from codec.search.scores import NEARLY_ONE

FIRST_QUALITY = 80  # q0 of US 9,325,996
SECOND_QUALITY = 60  # q' of US 9,325,996
Fit = Callable[[float, float, float, float], Curve]


class Probe(NamedTuple):
    """One encode-and-measure.

    Attributes:
        quality: on the encoder's scale.
        scores: one a criterion, each on its own scale, up to the first that is missed.
        bytes: of the file, where there is one.
        passes: whether all criteria are met.
    """

    quality: int
    scores: tuple[float, ...]
    bytes: int | None
    passes: bool

    @property
    def score(self) -> float:
        """Of the first criterion."""
        return self.scores[0]


class TargetUnreachable(ValueError):
    """Even the best quality misses a criterion.

    Attributes:
        probes: what was measured, in order.
    """

    def __init__(self, message: str, probes: Sequence[Probe] = ()):
        super().__init__(message)
        self.probes = tuple(probes)


class Expectation(NamedTuple):
    """What is known before the first probe.

    Attributes:
        priors: what photos usually score at each quality of the scale, one a criterion.
        jump: place on the scale where the picture comes from a file with the same quantisation,
            and scores far more than at the qualities around it; None if there is none.
    """

    priors: Sequence[Prior]
    jump: int | None = None

    def position(self, probes: dict[int, Probe], criteria: Sequence[Criterion]) -> float:
        """The place on the scale, from 0, where all criteria should be met.

        Args:
            probes: by place.
            criteria: what to meet.
        """
        smooth = {place: probe for place, probe in probes.items() if place != self.jump}
        known = [
            {
                place: log_gap(c.score.to_unit(probe.scores[number]))
                for place, probe in smooth.items()
                if number < len(probe.scores)
            }
            for number, c in enumerate(criteria)
        ]
        goals = [log_gap(c.score.to_unit(c.goal)) for c in criteria]
        place = expected_position(self.priors, known, goals)
        if self.jump is not None and self.jump not in probes and place > self.jump - 1:
            return self.jump
        return place


class Prober:
    """Measures qualities, each once, and remembers in which order.

    Args:
        measure: quality -> (scores as in `Probe`, bytes or None).
        criteria: what all have to be met; the first is the one that US 9,325,996 knows.
        qualities: the scale, rising.
        expectation: what photos usually score.
    """

    def __init__(
        self,
        measure: Callable[[int], tuple[tuple[float, ...], int | None]],
        criteria: Sequence[Criterion],
        qualities: Sequence[int],
        expectation: Expectation,
    ):
        self.measure, self.criteria = measure, criteria
        self.qualities, self.expectation = qualities, expectation
        self._known: dict[int, Probe] = {}

    def probe(self, quality: int) -> Probe:
        """What a quality of the scale comes to."""
        if quality not in self._known:
            scores, size = self.measure(quality)
            self._known[quality] = Probe(quality, scores, size, meets(scores, self.criteria))
        return self._known[quality]

    def __call__(self, quality: int) -> float:
        """The score of a quality for the first criterion."""
        return self.probe(quality).score

    @property
    def probes(self) -> list[Probe]:
        """What was measured, in order."""
        return list(self._known.values())

    @property
    def goal(self) -> float:
        """Of the first criterion."""
        return self.criteria[0].goal

    def unit(self, quality: int) -> float:
        """The score of a quality for the first criterion, in [0, 1)."""
        return self.criteria[0].score.to_unit(self(quality))

    def clamp(self, quality: float) -> int:
        """The quality of the scale that is at least this one, or the last."""
        return self.qualities[min(self.place(round(quality)), len(self.qualities) - 1)]

    def place(self, quality: int) -> int:
        """How many qualities of the scale are lower."""
        return bisect_left(self.qualities, quality)

    def moved(self, quality: int, by: int) -> int:
        """The quality so many places further, on the scale."""
        place = self.place(quality) + by
        return self.qualities[min(max(place, 0), len(self.qualities) - 1)]

    def expected_place(self) -> float:
        """Where all criteria should be met, after what was measured."""
        probes = {self.place(quality): probe for quality, probe in self._known.items()}
        return self.expectation.position(probes, self.criteria)


def unreachable_error(probes: Sequence[Probe], criteria: Sequence[Criterion]) -> TargetUnreachable:
    """The error that says which criterion no probe met, and what the best one reached."""
    best = [
        max((p.scores[number], p.quality) for p in probes if len(p.scores) > number)
        for number in range(max(len(p.scores) for p in probes))
    ]
    missed = next(
        (
            n
            for n, (c, (score, _)) in enumerate(zip(criteria, best, strict=False))
            if score < c.goal
        ),
        len(best) - 1,
    )
    score, goal = criteria[missed]
    return TargetUnreachable(
        f"expected {score.title} of {goal:g}, "
        f"the best is {best[missed][0]:.4f} at quality {best[missed][1]}",
        probes,
    )


def gaussian_literal(
    prober: Prober,
    step: int = 1,
    below: int | float = SECOND_QUALITY,
    fit: Fit = Gaussian.through,
) -> int:
    """US 9,325,996 as it stands: steps 200 to 216. The score of q0 is taken for 1, unmeasured.

    The downward branch ends at the first quality whose score is at or below the target, which is
    mostly one step too low: that miss is the patent's.

    Args:
        prober: see above.
        step: d.
        below: the second quality, or as a fraction what to take off q0 (0.5: half).
        fit: the curve, see `codec.search.curve`.
    """
    quality = _start(prober, 1.0, below, fit)
    if quality is None:
        return bisection(prober)
    score = prober(quality)
    if score > prober.goal:  # steps 209 to 211
        while prober(quality) > prober.goal and quality > prober.qualities[0]:
            quality = prober.moved(quality, -step)
        return quality
    while prober(quality) < prober.goal:
        quality = _one_up(prober, quality, step)
    return quality


def gaussian_corrected(
    prober: Prober,
    step: int = 1,
    below: int | float = SECOND_QUALITY,
    fit: Fit = Gaussian.through,
) -> int:
    """US 9,325,996 with the score of q0 measured, ending at the last quality that passes."""
    q0 = prober.clamp(FIRST_QUALITY)
    quality = _start(prober, prober.unit(q0), below, fit)
    if quality is None:
        return bisection(prober)
    return _step_to_the_first(prober, quality, step)


def _start(prober: Prober, s0: float, below: int | float, fit: Fit) -> int | None:
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
    return prober.clamp(curve.quality(prober.criteria[0].score.to_unit(prober.goal)))


def _one_up(prober: Prober, quality: int, step: int) -> int:
    if quality == prober.qualities[-1]:
        raise unreachable_error(prober.probes, prober.criteria)
    return prober.moved(quality, step)


def _step_to_the_first(prober: Prober, quality: int, step: int) -> int:
    """The last quality that passes on the way down, or the first on the way up."""
    if not prober.probe(quality).passes:
        while not prober.probe(quality).passes:
            quality = _one_up(prober, quality, step)
        return quality
    while quality > prober.qualities[0]:
        lower = prober.moved(quality, -step)
        if not prober.probe(lower).passes:
            break
        quality = lower
    return quality


def stepping(prober: Prober, step: int = 1) -> int:
    """Plain stepping from q0 = 80: what US 9,325,996 improves on."""
    return _step_to_the_first(prober, prober.clamp(FIRST_QUALITY), step)


def bisection(prober: Prober) -> int:
    """Halve the scale until one quality is left."""
    return _narrow(prober, lambda low, high: (low + high) // 2)


def certified(prober: Prober) -> int:
    """The default: start where pictures usually meet the criteria, then follow what was measured.

    The first guess is the prior's, the second moves by how photos differ at that score, later ones
    interpolate the depths -log(1 - s); see `prior.Prior.expected`. Of several criteria the one that
    should be met last decides. It ends when a quality passes and the one below fails, both probed.
    """
    widths: list[int] = []

    def propose(low: int, high: int) -> int:
        widths.append(high - low)
        if len(widths) > 4 and widths[-1] * 2 > widths[-3]:
            return (low + high) // 2  # what is expected does not help here
        return round(prober.expected_place())

    return _narrow(prober, propose)


def _narrow(prober: Prober, propose: Callable[[int, int], int]) -> int:
    """Probe what is proposed inside the bracket until `high` passes and `high - 1` fails.

    Both are places on the scale. What was probed before counts.
    """
    passed = [prober.place(p.quality) for p in prober.probes if p.passes]
    high = min(passed, default=len(prober.qualities))
    failed = [prober.place(p.quality) for p in prober.probes if not p.passes]
    low = max((place for place in failed if place < high), default=-1)
    while high - low > 1:
        place = min(max(propose(low, high), low + 1), high - 1)
        if prober.probe(prober.qualities[place]).passes:
            high = place
        else:
            low = place
    if high == len(prober.qualities):
        raise unreachable_error(prober.probes, prober.criteria)
    return prober.qualities[high]
