"""What a coded picture has to meet: a score, and a floor under its worst part."""

from collections.abc import Sequence
from typing import NamedTuple

from codec.search.scores import SCORES, WORST_TILE, Score

_FLOOR = 50.0  # medium quality
_FLOOR_BELOW_TARGET = 20.0


class Criterion(NamedTuple):
    """A score and the least that it may be."""

    score: Score
    goal: float


def at_least(name: str, goal: float, worst_tile: float | None = None) -> tuple[Criterion, ...]:
    """A score of the whole picture and a floor under its worst tile.

    A mean hides what is ruined in one place, and most scores do not see chroma. So no tile of
    128 x 128 pixels may have an SSIMULACRA2, which sees chroma, below 50, "medium quality"; where
    SSIMULACRA2 itself is the score, 20 below its goal if that is less. Smooth tiles have to be 20
    better, see `codec.search.tiles`.

    Args:
        name: of the score, see `SCORES`.
        goal: the least that it may be, on its own scale.
        worst_tile: another floor.

    Raises:
        ValueError: no such score, or a goal off its scale.
    """
    if name not in SCORES:
        raise ValueError(f"expected a score out of {', '.join(SCORES)}, got {name!r}")
    score = SCORES[name]
    score.check_target(goal)
    if worst_tile is None:
        worst_tile = _FLOOR
        if name == "ssimulacra2":
            worst_tile = min(worst_tile, goal - _FLOOR_BELOW_TARGET)
    return Criterion(score, goal), Criterion(WORST_TILE, worst_tile)


def meets(scores: Sequence[float], criteria: Sequence[Criterion]) -> bool:
    """Whether there is a score for every criterion, and each is high enough."""
    return len(scores) == len(criteria) and all(
        score >= c.goal for score, c in zip(scores, criteria, strict=True)
    )
