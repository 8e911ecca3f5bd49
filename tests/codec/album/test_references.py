"""Which pictures of a group the others stand on."""

import random

import torch

from codec.album.references import Costs, Form, PairCost, choose, pair_costs
from codec.learn.made_pairs import burst
from codec.store.records import MOST_DEPTH
from tests.codec.test_picture import photo


def both_ways(pairs: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    return pairs | {(b, a): cost for (a, b), cost in pairs.items()}


def test_the_smallest_total_is_taken() -> None:
    """Three pictures that are near to the second; brute force says the same."""
    costs = Costs([10, 11, 10], both_ways({(0, 1): 2, (1, 2): 2, (0, 2): 8}))
    assert choose(costs) == {0: 1, 2: 1}
    totals = [costs.alone[r] + sum(costs.of(n, r) for n in range(3) if n != r) for r in range(3)]
    assert totals.index(min(totals)) == 1


def test_nothing_alike_stays_alone() -> None:
    assert choose(Costs([10, 11, 10], {})) == {} == choose(Costs([], {}))
    assert choose(Costs([10, 11], both_ways({(0, 1): 12}))) == {}
    assert choose(Costs([10, 11], both_ways({(0, 1): 12})), Form.TREE) == {}


def test_two_scenes_of_a_group_have_a_reference_each() -> None:
    near = both_ways({(0, 1): 1, (0, 2): 1, (1, 2): 3, (3, 4): 1, (3, 5): 1, (4, 5): 3})
    costs = Costs([10] * 6, near)
    for form in Form:
        found = choose(costs, form)
        assert set(found.items()) == {(1, 0), (2, 0), (4, 3), (5, 3)}


def test_a_tree_follows_neighbours_but_not_too_far() -> None:
    costs = Costs([10] * 8, both_ways({(n, n + 1): 1 for n in range(7)}))
    found = choose(costs, Form.TREE)

    def depth(n: int) -> int:
        return 1 + depth(found[n]) if n in found else 0

    assert max(map(depth, range(8))) <= MOST_DEPTH
    assert len(found) >= 6 and len(choose(costs)) < len(found)


def test_trials_tell_a_burst_from_strangers() -> None:
    first, second = burst(photo(0, 96, 128), 1.0, 1.0, 0.5, random.Random(1))
    pictures = [first, photo(2, 96, 128), second]
    costs = pair_costs(pictures, [(1, 0), (2, 0), (2, 1)])
    assert set(costs.pairs) == {(2, 0), (0, 2)}
    assert choose(costs) in ({2: 0}, {0: 2})


def test_differences_of_pixels_as_the_patent_has_them() -> None:
    first = photo(0, 32, 40)
    second = (first.int() + 1).clamp(max=255).to(torch.uint8)
    costs = pair_costs([first, second, photo(0, 40, 32)], [(1, 0), (2, 0)], PairCost.PIXEL)
    assert set(costs.pairs) == {(1, 0), (0, 1)}  # sizes have to be the same
    difference = float((first.int() - second.int()).abs().sum())
    assert abs(costs.of(1, 0) - difference) < 1e-3 * difference + 1
