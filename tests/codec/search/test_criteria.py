"""What must be met: a score, and the worst tile, on pictures that a mean alone lets ruin."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.pictures.ssimulacra2 import ssimulacra2
from codec.search import SCORES, Criterion, at_least, certified, encoder, find, find_batch
from codec.search.criteria import meets
from codec.search.encoders import OwnEncoder
from codec.search.find import scores_of
from codec.search.methods import Expectation, Prober, TargetUnreachable
from codec.search.prior import prior_of
from codec.search.tiles import SMOOTH_COUNTS_LESS, TILE, count_tiles, worst_tile
from tests.codec.search.test_search import SCALE, made_up, rising
from tests.codec.test_picture import photo


def sky(height: int = 192, width: int = 256) -> Tensor:
    """A smooth gradient with one level of noise."""
    ramp = torch.linspace(0, 40, height)[:, None].expand(height, width)
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    base = torch.tensor([90.0, 140.0, 200.0])[:, None, None]
    return (base + ramp + noise).round().to(torch.uint8)


def page(ink: tuple[int, int, int], paper: tuple[int, int, int], lines: int = 40) -> Tensor:
    """A page with lines of small print, from the top down."""
    array = np.full((480, 480, 3), paper, np.uint8)
    for line in range(lines):
        place = (8, 12 + 12 * line)
        cv2.putText(array, "small print 0123456789" * 2, place, cv2.FONT_HERSHEY_PLAIN, 0.7, ink)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (128, 128), (129, 300), (300, 5)])
def test_tiles_cover_everything_once(shape: tuple[int, int]) -> None:
    picture = torch.randint(256, (3, *shape), generator=torch.Generator().manual_seed(1))
    picture = picture.to(torch.uint8)
    assert worst_tile(picture, picture) > 99 - SMOOTH_COUNTS_LESS
    tops, lefts = (range(0, max(n, 1), TILE) for n in shape)
    assert count_tiles(picture) == len(tops) * len(lefts)
    for row, column in ((0, 0), (shape[0] - 1, shape[1] - 1)):
        spoiled = picture.clone()
        spoiled[:, max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8] ^= 128
        assert worst_tile(picture, spoiled) < worst_tile(picture, picture)


def test_the_worst_tile_is_the_lowest_of_all() -> None:
    picture = photo(0, 200, 256)
    decoded = encoder("jpeg").probe(picture, 30).decoded
    by_hand = [
        float(ssimulacra2(*(p[None, :, y : y + 128, x : x + 128].double() / 255
                            for p in (picture, decoded))))
        for y in (0, 72) for x in (0, 128)
    ]  # fmt: skip
    assert worst_tile(picture, decoded) == pytest.approx(min(by_hand), abs=0.1)


def test_smooth_tiles_have_to_be_better() -> None:
    smooth, decoded = sky(128, 128), encoder("jpeg").probe(sky(128, 128), 40).decoded
    plain = float(ssimulacra2(smooth[None] / 255, decoded[None] / 255))
    assert worst_tile(smooth, decoded) == pytest.approx(plain - SMOOTH_COUNTS_LESS, abs=0.1)


@pytest.mark.parametrize(
    ("name", "goal", "floor"),
    [("ssim", 0.97, 50), ("psnr", 30, 50), ("ssimulacra2", 80, 50), ("ssimulacra2", 60, 40)],
)
def test_floors(name: str, goal: float, floor: float) -> None:
    assert [c.goal for c in at_least(name, goal)] == [goal, floor]
    assert at_least(name, goal, 12)[1].goal == 12


@pytest.mark.parametrize(("name", "goal"), [("vmaf", 90), ("ssim", 1.5), ("psnr", math.inf)])
def test_goals_off_the_scale_are_refused(name: str, goal: float) -> None:
    with pytest.raises(ValueError, match="expected a"):
        at_least(name, goal)


@pytest.mark.parametrize("name", ["jpeg_444", "webp", "avif_444", "dfc"])
@pytest.mark.parametrize(
    "picture",
    [sky(), page((0, 0, 0), (255, 255, 255), 5), page((0, 150, 0), (190, 70, 70), 20)],
    ids=["sky", "page", "green on red"],
)
def test_a_mean_alone_ruins_what_the_floor_keeps(picture: Tensor, name: str) -> None:
    """All three pass an SSIM of 0.9 where a person would throw them away."""
    one = encoder(name)
    mean = find(picture, one, [Criterion(SCORES["ssim"], 0.9)])
    try:
        both = find(picture, one, at_least("ssim", 0.9))
    except TargetUnreachable:
        assert name == "webp"  # which halves chroma
        return
    assert both.quality >= mean.quality
    assert worst_tile(picture, one.decode(both.data)) >= 50
    if name == "jpeg_444":
        assert worst_tile(picture, one.decode(mean.data)) < 30 and both.quality > mean.quality + 5


def test_what_fails_first_is_all_that_is_measured() -> None:
    measured: list[str] = []

    def score(name: str, value: float) -> Criterion:
        def measure(x: Tensor, y: Tensor) -> float:
            measured.append(name)
            return value

        return Criterion(made_up(name)._replace(measure=measure), 0.5)

    picture = photo(0, 8, 8)
    assert scores_of(picture, picture, [score("a", 0.4), score("b", 0.6)]) == (0.4,)
    assert scores_of(picture, picture, [score("a", 0.6), score("b", 0.6)]) == (0.6, 0.6)
    assert measured == ["a", "a", "b"]


@settings(max_examples=150, deadline=None)
@given(
    first=st.tuples(st.floats(0.2, 2.5), st.floats(0.05, 2)),
    second=st.tuples(st.floats(0.2, 2.5), st.floats(0.05, 2)),
    places=st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_all_criteria_are_met_at_the_lowest_quality(
    first: tuple[float, float], second: tuple[float, float], places: tuple[int, int]
) -> None:
    curves = [rising(*first), rising(*second)]
    goals = [curve[place - 1] for curve, place in zip(curves, places, strict=True)]
    criteria = [Criterion(made_up(str(goal)), goal) for goal in goals]
    priors = [prior_of("made up", "ssim", SCALE, np.zeros(0)) for _ in curves]

    def measure(quality: int) -> tuple[tuple[float, ...], None]:
        scores = [curve[quality - 1] for curve in curves]
        return tuple(scores[: 1 + (scores[0] >= goals[0])]), None

    prober = Prober(measure, criteria, SCALE, Expectation(priors))
    passing = [q for q in SCALE if meets(measure(q)[0], criteria)]
    assert certified(prober) == passing[0]


def test_the_error_names_the_criterion_that_is_missed() -> None:
    with pytest.raises(TargetUnreachable, match=r"worst tile of 99.9, the best is 9\d\.") as error:
        find(photo(0, 64, 64), encoder("jpeg"), at_least("ssim", 0.9, 99.9))
    assert error.value.probes[-1].quality == 100
    with pytest.raises(TargetUnreachable, match=r"a score of 0.99999"):
        find(photo(0, 64, 64), encoder("jpeg"), at_least("ssim", 0.99999))


def test_a_batch_meets_all_criteria() -> None:
    one, criteria = OwnEncoder(effort="fast"), at_least("ssim", 0.9)
    for result in find_batch([sky(), photo()], one, criteria):
        assert not isinstance(result, TargetUnreachable)
        assert result.is_certified and all(s >= c.goal for s, c in zip(
            next(p.scores for p in result.probes if p.quality == result.quality), criteria,
            strict=True))  # fmt: skip
