"""The curve of the patent: quality as a Gaussian of the score. US 9,325,996 B2, columns 6 and 8.

q(s) = k / (sigma sqrt(2 pi)) exp(-(s - 1)^2 / (2 sigma^2)), through two points. Any other class
with `through`, `quality` and `score` may take its place.
"""

import math
from dataclasses import dataclass
from typing import Protocol

_STEEPEST = 100.0  # exponent of the peak that is still a curve


class Curve(Protocol):
    """A curve between scores in [0, 1] and qualities above 0."""

    def quality(self, score: float) -> float: ...

    def score(self, quality: float) -> float: ...


class FlatScore(ValueError):
    """Two points through which no rising curve goes: the lower quality scores no lower."""


@dataclass(frozen=True)
class Gaussian:
    """q(s) = peak exp(-(s - 1)^2 / spread), s at most 1.

    Attributes:
        peak: k / (sigma sqrt(2 pi)), the quality of score 1.
        spread: 2 sigma^2.
    """

    peak: float
    spread: float

    @classmethod
    def through(cls, q0: float, s0: float, q1: float, s1: float) -> "Gaussian":
        """The curve through (q0, s0) and the lower (q1, s1).

        Raises:
            FlatScore: s1 is not below s0, or q1 not below q0.
        """
        if not (0 < q1 < q0 and s1 < s0):
            raise FlatScore(f"expected a lower score at {q1} than at {q0}, got {s1} and {s0}")
        spread = ((s1 - 1) ** 2 - (s0 - 1) ** 2) / math.log(q0 / q1)
        if (s0 - 1) ** 2 > _STEEPEST * spread:
            raise FlatScore(f"expected scores further apart than {s0} and {s1}")
        return cls(q0 * math.exp((s0 - 1) ** 2 / spread), spread)

    def quality(self, score: float) -> float:
        return self.peak * math.exp(-((score - 1) ** 2) / self.spread)

    def score(self, quality: float) -> float:
        """Inverse of `quality`; 1 from the peak on."""
        if quality >= self.peak:
            return 1.0
        return 1 - math.sqrt(self.spread * math.log(self.peak / quality))
