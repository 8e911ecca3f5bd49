"""Which pictures of a group the others are predicted from.

What one picture costs from another is tried on small versions of both; the choice is the one with
the smallest total (US 9,282,331, claim 1): a star, in which the others stand on one picture, or on
a few where that is smaller, or a tree.

Axes: pictures of a group.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from torch import Tensor

from codec.align.search import HOPELESS_WARP, Search
from codec.pictures.workers import spread, stop_if_asked
from codec.planes import to_planes
from codec.residual.quantise import WEIGHTINGS
from codec.settings import step_of
from codec.store.records import MOST_DEPTH

_QUALITY = 85  # that trials are coded at
# Of a picture's bytes alone, what a trial has to promise: of JPEG files q92, 0.55 became 85 % of
# what Lepton takes, and 0.63 to 0.85 more than that.
_WORTHWHILE, _WORTHWHILE_FILE = 0.9, 0.6
# A plane that both show leaves at most so much where vectors then reach that: 0.87 became 0.54, and
# 1.05 and more never less than 0.85.
_HOPELESS_FILE = 1.0


class Form(Enum):
    """How pictures of a group stand on each other."""

    STAR = "star"
    TREE = "tree"


class PairCost(Enum):
    """What is added up to choose a reference."""

    CODED = "coded"
    PIXEL = "pixel"


class Costs(NamedTuple):
    """What pictures cost.

    Attributes:
        alone: of each picture.
        pairs: pairs[child, reference] of those that were tried.
    """

    alone: list[float]
    pairs: dict[tuple[int, int], float]

    def of(self, child: int, reference: int) -> float:
        """What a picture costs from another, infinite where that was not tried."""
        return self.pairs.get((child, reference), math.inf)


def pair_costs(
    pictures: Sequence[Tensor],
    pairs: Sequence[tuple[int, int]],
    kind: PairCost = PairCost.CODED,
    are_files: bool = False,
) -> Costs:
    """Try pairs of pictures, each in one direction: what it costs in the other is about the same.

    Args:
        pictures: (3, H, W) uint8, small.
        pairs: which ones.
        kind: bytes of a trial, or the sum of the differences of pixels in the same places.
        are_files: whether every byte of their files has to come back, for which a trial has to
            promise more.
    """
    trial = _TRIALS[kind]
    trials = list(spread(lambda pixels: trial(pixels, are_files), pictures))

    def share_of(pair: tuple[int, int]) -> float:
        stop_if_asked()
        return trials[pair[0]].share(trials[pair[1]])

    found: dict[tuple[int, int], float] = {}
    for (child, reference), share in zip(pairs, spread(share_of, pairs), strict=True):
        if share < (_WORTHWHILE_FILE if are_files else _WORTHWHILE):
            found[child, reference] = share * trials[child].alone
            found[reference, child] = share * trials[reference].alone
    return Costs([one.alone for one in trials], found)


class _Coded:
    """A picture whose bytes are tried."""

    def __init__(self, pixels: Tensor, is_file: bool):
        planes = to_planes(pixels[None])[0]
        hopeless = _HOPELESS_FILE if is_file else HOPELESS_WARP
        step = step_of(_QUALITY, "mse")
        self._search = Search(planes, step, WEIGHTINGS["mse"], hopeless=hopeless)
        self.alone = self._search.alone

    def share(self, other: "_Coded") -> float:
        """Of its bytes alone, what it takes from another."""
        ways = self._search.ways_from(other._search.own)
        least = min((way.cost for way in ways), default=math.inf)
        return least / max(self.alone, 1.0)


class _Pixels:
    """A picture as the patent has it: what counts are differences in the same places."""

    def __init__(self, pixels: Tensor, _: bool):
        self._pixels = pixels.float()
        mean = self._pixels.mean((1, 2), keepdim=True)
        self.alone = float((self._pixels - mean).abs().sum())

    def share(self, other: "_Pixels") -> float:
        """Of its own differences to its mean, those to another picture."""
        if self._pixels.shape != other._pixels.shape:
            return math.inf
        return float((self._pixels - other._pixels).abs().sum()) / max(self.alone, 1.0)


_TRIALS: dict[PairCost, Callable[[Tensor, bool], Any]] = {
    PairCost.CODED: _Coded,
    PairCost.PIXEL: _Pixels,
}


def choose(costs: Costs, form: Form = Form.STAR) -> dict[int, int]:
    """Which picture stands on which, by number; those that are missing are stored whole."""
    return {Form.STAR: _star, Form.TREE: _tree}[form](costs)


def _star(costs: Costs) -> dict[int, int]:
    """One reference, and further ones as long as that makes the total smaller."""
    everyone = range(len(costs.alone))

    def total(references: list[int]) -> float:
        return sum(
            costs.alone[n]
            if n in references
            else min(costs.alone[n], *(costs.of(n, r) for r in references))
            for n in everyone
        )

    chosen: list[int] = []
    least = math.inf
    while len(chosen) < len(everyone):
        best = min((n for n in everyone if n not in chosen), key=lambda n: total([*chosen, n]))
        if total([*chosen, best]) >= least:
            break
        chosen.append(best)
        least = total(chosen)
    found = {}
    for n in everyone:
        nearest = min(chosen, key=lambda r: costs.of(n, r))
        if n not in chosen and costs.of(n, nearest) < costs.alone[n]:
            found[n] = nearest
    return found


def _tree(costs: Costs) -> dict[int, int]:
    """From the best single reference on, the picture that is cheapest from one that is there."""
    left = set(range(len(costs.alone)))
    depth: dict[int, int] = {}
    found: dict[int, int] = {}
    while left:
        savings = {
            (child, reference): costs.alone[child] - costs.of(child, reference)
            for child in left
            for reference in depth
            if depth[reference] < MOST_DEPTH
        }
        best = max(savings, key=lambda pair: savings[pair], default=None)
        if best is not None and savings[best] > 0:
            child, reference = best
            found[child], depth[child] = reference, depth[reference] + 1
        else:
            child = min(left, key=lambda n: _from_one(costs, n, left))
            depth[child] = 0
        left.remove(child)
    return found


def _from_one(costs: Costs, reference: int, others: set[int]) -> float:
    rest = sum(min(costs.alone[n], costs.of(n, reference)) for n in others if n != reference)
    return costs.alone[reference] + rest
