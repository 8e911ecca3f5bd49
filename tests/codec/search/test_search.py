"""The quality search: formulas against their source, methods on curves whose answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.pictures.smallfry import SMALLFRY_MOST, smallfry
from codec.search import (
    SCORES,
    Criterion,
    Score,
    TargetUnreachable,
    at_least,
    bisection,
    certified,
    encoder,
    find,
    find_batch,
    gaussian_corrected,
    gaussian_literal,
    stepping,
)
from codec.search.curve import FlatScore, Gaussian
from codec.search.detail import detail
from codec.search.encoders import NAMES, OwnEncoder, PillowEncoder
from codec.search.methods import Expectation, Prober
from codec.search.prior import Prior, PriorModel, features, fit, prior_of
from tests.codec.test_picture import photo

METHODS = [certified, bisection, stepping, gaussian_corrected]
SCALE = range(1, 101)


def made_up(name: str = "made up") -> Score:
    """A score between 0 and 1 that is never measured."""
    return Score(name, lambda x, y: math.nan, lambda s: min(max(s, 0.0), 1 - 1e-9), 1.0)


def prober(scores: list[float], target: float, prior: Prior | None = None) -> Prober:
    """Probes of a made-up picture whose score at quality q is scores[q - 1]."""
    prior = prior or prior_of("made up", "ssim", SCALE, features(photo(), None))
    criteria = [Criterion(made_up(), target)]
    return Prober(lambda q: ((scores[q - 1],), None), criteria, SCALE, Expectation([prior]))


def rising(sharpness: float, offset: float) -> list[float]:
    """A rate-distortion-like curve."""
    return [1 - math.exp(-offset - sharpness * math.log(1 + q / 20)) for q in SCALE]


def lowest(scores: list[float], target: float) -> int:
    return next(q for q in SCALE if scores[q - 1] >= target)


def test_the_gaussian_goes_through_its_points() -> None:
    curve = Gaussian.through(80, 0.97, 60, 0.93)
    assert curve.quality(0.97) == pytest.approx(80)
    assert curve.quality(0.93) == pytest.approx(60)
    assert curve.score(curve.quality(0.95)) == pytest.approx(0.95)
    # q(s) = k / (sigma sqrt(2 pi)) exp(-(s - 1)^2 / (2 sigma^2)), columns 6 and 8
    sigma = math.sqrt(curve.spread / 2)
    k = curve.peak * sigma * math.sqrt(2 * math.pi)
    by_hand = k / (sigma * math.sqrt(2 * math.pi)) * math.exp(-((0.9 - 1) ** 2) / (2 * sigma**2))
    assert curve.quality(0.9) == pytest.approx(by_hand)
    assert Gaussian.through(80, 1.0, 60, 0.9).peak == pytest.approx(80)
    assert curve.score(10_000) == 1.0


@pytest.mark.parametrize(("s0", "s1"), [(0.9, 0.9), (0.9, 0.95)])
def test_flat_points_have_no_curve(s0: float, s1: float) -> None:
    with pytest.raises(FlatScore):
        Gaussian.through(80, s0, 60, s1)


def test_the_seed_steps_down_one_too_far() -> None:
    scores = rising(0.9, 0.5)
    target = scores[49] - 1e-6  # 50 passes, 49 does not
    start = Gaussian.through(80, 1.0, 60, scores[59]).quality(target)
    probes = prober(scores, target)
    found = gaussian_literal(probes)
    qualities = [p.quality for p in probes.probes]
    assert qualities[:2] == [60, round(start)]
    if start > 50:
        assert found == 49  # the first with s <= s*
        assert qualities[1:] == list(range(round(start), 48, -1))
    else:
        assert found == 50
    assert gaussian_corrected(prober(scores, target)) == 50


def test_the_seed_s_three_branches() -> None:
    down, up = [q / 100 for q in SCALE], [q**3 / 1e6 for q in SCALE]
    assert gaussian_literal(prober(down, 0.30)) == 30  # ends at equality from above or below
    assert gaussian_literal(prober(up, 0.905)) == 97  # steps up to the first that passes
    curve = Gaussian.through(80, 1.0, 60, 0.6)
    start = round(curve.quality(0.55))
    equal = [0.6 if q == 60 else 0.55 if q == start else q / 200 for q in SCALE]
    probes = prober(equal, 0.55)
    assert gaussian_literal(probes) == start and len(probes.probes) == 2


def test_the_seed_s_second_point_may_be_a_fraction() -> None:
    probes = prober(rising(0.9, 0.5), 0.8)
    gaussian_literal(probes, below=0.5)
    assert probes.probes[0].quality == 40


def test_a_curve_of_one_s_own_may_take_its_place() -> None:
    class Line:
        def quality(self, score: float) -> float:
            return 100 * score

        def score(self, quality: float) -> float:
            return quality / 100

    probes = prober([q / 100 for q in SCALE], 0.42)
    assert gaussian_corrected(probes, fit=lambda *_: Line()) == 42
    assert [p.quality for p in probes.probes][-2:] == [42, 41]


def test_steps_of_two_stay_on_the_scale() -> None:
    scores = rising(0.9, 0.5)
    for target in (scores[0], scores[99], scores[98]):
        for method in (gaussian_literal, gaussian_corrected, stepping):
            found = method(prober(scores, target), step=2)
            assert found in SCALE
    assert gaussian_corrected(prober(scores, scores[99]), step=2) == 100


@pytest.mark.parametrize("method", [*METHODS, gaussian_literal])
def test_out_of_reach_says_what_there_is(method: object) -> None:
    with pytest.raises(TargetUnreachable, match=r"the best is 0\.8000 at quality 100"):
        method(prober([0.7 + q / 1000 for q in SCALE], 0.999))  # type: ignore[operator]


@pytest.mark.parametrize("method", [gaussian_corrected, gaussian_literal])
def test_a_flat_score_falls_back_to_bisection(method: object) -> None:
    scores = [0.5] * 59 + [1.0] * 41
    assert method(prober(scores, 0.9)) == 60  # type: ignore[operator]


@settings(max_examples=150, deadline=None)
@given(
    sharpness=st.floats(0.2, 2.5),
    offset=st.floats(0.05, 2),
    where=st.integers(1, 100),
    method=st.sampled_from(METHODS),
)
def test_methods_are_exact_where_scores_rise(
    sharpness: float, offset: float, where: int, method: object
) -> None:
    scores = rising(sharpness, offset)
    target = scores[where - 1]
    probes = prober(scores, target)
    assert method(probes) == lowest(scores, target)  # type: ignore[operator]
    assert len({p.quality for p in probes.probes}) == len(probes.probes)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0, 0.99), min_size=100, max_size=100), st.floats(0.01, 0.9))
def test_certified_means_certified_even_where_scores_fall(
    scores: list[float], target: float
) -> None:
    probes = prober(scores, target)
    try:
        found = certified(probes)
    except TargetUnreachable:
        assert scores[-1] < target
        return
    known = {p.quality: p.score for p in probes.probes}
    assert known[found] >= target
    assert found == 1 or known[found - 1] < target
    assert len(probes.probes) <= 60


def test_certified_is_quick_on_usual_curves() -> None:
    depths = -np.log1p(-np.array(rising(0.9, 0.6)))
    photos = [f * depths + 0.05 * i for i, f in enumerate((0.8, 0.9, 1.0, 1.1, 1.25))]
    prior = without_detail(fit(np.stack(photos), np.zeros((5, 2))))
    counts = []
    for factor in (0.85, 0.95, 1.0, 1.05, 1.2):
        scores = list(1 - np.exp(-factor * depths - 0.1))
        for target in (0.7, 0.8, 0.85):
            if target > scores[-1]:
                continue
            probes = prober(scores, target, prior)
            assert certified(probes) == lowest(scores, target)
            counts.append(len(probes.probes))
    assert sum(counts) / len(counts) < 4 and max(counts) <= 5


def test_the_prior_goes_through_what_was_measured() -> None:
    prior = prior_of("jpeg", "ssim", SCALE, features(photo(), None))
    assert np.all(np.diff(prior.usual) >= 0) and prior.components.shape == (6, 100)
    known = {40: prior.usual[40] + 0.2, 80: prior.usual[80] + 0.3}
    expected = prior.expected(known)
    assert expected[[40, 80]] == pytest.approx(list(known.values()), abs=1e-3)
    assert np.all(np.diff(expected) >= 0)
    assert prior.expected({}) is prior.usual


def test_a_prior_of_one_mode_is_that_mode() -> None:
    base, mode = np.linspace(0, 4, 50), np.linspace(1, 2, 50)
    amounts = (-0.5, -0.1, 0.2, 0.4)
    photos = fit(np.stack([base + a * mode for a in amounts]), np.zeros((4, 2)))
    (value,) = {round(float(x), 6) for x in np.abs(photos.components[0]) / mode}
    assert value == pytest.approx(np.std(amounts), abs=1e-5)
    prior = without_detail(photos)
    assert prior.expected({10: prior.usual[10] + 0.3 * mode[10]}) == pytest.approx(
        prior.usual + 0.3 * mode, abs=0.02
    )


def without_detail(photos: PriorModel) -> Prior:
    return Prior(photos.usual, photos.spread @ photos.components)


def test_detail_tells_what_it_can() -> None:
    """Where the curve follows the detail, no mode is left to vary."""
    chance = np.random.default_rng(0)
    details = chance.normal(size=(200, 2))
    base, modes = np.linspace(0, 4, 50), np.stack((np.ones(50), np.linspace(0, 1, 50)))
    told = fit(base + details @ modes, details)
    untold = fit(base + chance.normal(size=(200, 2)) @ modes, details)
    shift = np.array([1.0, -1.0])
    expected = told.usual + (shift - told.centre) @ told.weights @ told.components
    assert expected == pytest.approx(base + shift @ modes, abs=0.02)
    left, all_of_it = (np.abs(p.spread @ p.components).max() for p in (told, untold))
    assert left < 0.02 and all_of_it > 0.9


def test_a_prior_varies_as_photos_do_beyond_their_detail() -> None:
    chance = np.random.default_rng(1)
    details = chance.normal(size=(4000, 2))
    modes = np.stack((np.ones(30), np.linspace(-1, 1, 30), np.linspace(0, 1, 30) ** 2))
    amounts = chance.normal(size=(4000, 3)) @ np.array([[1, 0.7, 0], [0, 0.5, 0.3], [0, 0, 0.4]])
    photos = fit(5 + details @ modes[:2] + amounts @ modes, details)
    prior = without_detail(photos)
    expected = np.cov(amounts @ modes, rowvar=False)
    assert prior.components.T @ prior.components == pytest.approx(expected, abs=0.15)


def test_detail_of_any_picture_is_finite_and_grows_with_noise() -> None:
    for shape in ((1, 1, 1), (3, 1, 40), (1, 9, 9)):
        assert np.isfinite(detail(torch.full(shape, 7, dtype=torch.uint8))).all()
    smooth = photo(1, 64, 64)
    noise = (smooth.int() + torch.randint(-20, 21, smooth.shape)).clamp(0, 255).to(torch.uint8)
    assert (detail(noise) > detail(smooth))[-2:].all()  # the variances


@pytest.mark.parametrize("name", NAMES)
def test_encoders_round_trip(name: str) -> None:
    one = encoder(name)
    for picture in (photo(), photo()[:1]):
        data = one.encode(picture, 70)
        decoded = one.decode(data)
        assert decoded.shape[1:] == picture.shape[1:] and decoded.dtype == torch.uint8
        assert decoded.shape[0] == len(picture) or name[:4] in ("webp", "avif")  # no grey there
        assert torch.equal(one.probe(picture, 70).decoded, decoded)
        assert len(one.encode(picture, 20)) < len(data)


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="out of jpeg, "):
        encoder("gif")


@pytest.mark.parametrize("name", ["ssim", "ms_ssim", "psnr", "smallfry", "ssimulacra2"])
def test_scores_rise_and_map_to_the_unit_interval(name: str) -> None:
    picture, jpeg = photo(1, 180, 180), encoder("jpeg")
    score = SCORES[name]
    found = [score.measure(picture, jpeg.decode(jpeg.encode(picture, q))) for q in (10, 50, 90)]
    assert found == sorted(found)
    units = [score.to_unit(s) for s in [-5.0, *found, score.measure(picture, picture)]]
    assert units == sorted(units) and units[0] >= 0 and units[-1] < 1


def test_ssimulacra2_has_no_lower_end() -> None:
    units = [SCORES["ssimulacra2"].to_unit(s) for s in (-300, 0, 50, 90, 100)]
    assert units == sorted(units) and units[0] >= 0 and units[-1] < 1


def by_hand(x: Tensor, y: Tensor) -> float:
    """SmallFry with loops, from the description of smallfry.c."""
    x, y = x.double(), y.double()
    height, width = x.shape
    peak = x.max().item()
    p = 10 * math.log10(65025 / ((x - y) ** 2).mean().item())
    p /= 50 if peak > 128 else 0.0016 * peak**2 - 0.38 * peak + 72.5
    p = min(max(p, 0), 1)
    d = (x - y).abs().tolist()
    total = count = 0.0

    def rate(a: float, b: float, c: float, e: float) -> float:
        r = abs(b - c) / ((abs(a - b) + abs(c - e) + 1e-4) / 2)
        return 0.0 if r <= 2 else (r - 2) / 3 if r <= 5 else 1.0

    for i in range(height):
        for j in range(7, width - 2, 8):
            total += rate(d[i][j - 1], d[i][j], d[i][j + 1], d[i][j + 2])
            count += 1
    for j in range(width):
        for i in range(7, height - 2, 8):
            total += rate(d[i - 1][j], d[i][j], d[i + 1][j], d[i + 2][j])
            count += 1
    return 37.1891885161239 * p + 78.5328607296973 * (1 - total / count)


@pytest.mark.parametrize("dark", [False, True])
def test_smallfry_by_hand(dark: bool) -> None:
    x = photo(1, 40, 52)[:1] // (3 if dark else 1)
    y = encoder("jpeg").decode(encoder("jpeg").encode(x, 30))
    assert smallfry(x, y) == pytest.approx(by_hand(x[0], y[0]), rel=1e-9)
    assert smallfry(x, x) == pytest.approx(SMALLFRY_MOST)


def test_a_search_with_a_real_encoder_is_exact() -> None:
    picture, jpeg, score = photo(), encoder("jpeg"), SCORES["ssim"]
    every = [score.measure(picture, jpeg.decode(jpeg.encode(picture, q))) for q in SCALE]
    found = find(picture, jpeg, [Criterion(score, 0.95)])
    assert every[found.quality - 1] >= 0.95 > every[found.quality - 2]
    assert found.reached and found.score == every[found.quality - 1]
    assert found.data == jpeg.encode(picture, found.quality)
    assert found.rounds == len(found.probes)
    assert all(p.bytes for p in found.probes)


def test_a_batch_is_searched_together() -> None:
    pictures = [photo(), photo(1, 64, 90), photo(2)]
    one, score = OwnEncoder(effort="fast"), SCORES["ssim"]
    found = find_batch(pictures, one, [Criterion(score, 0.93)])
    for picture, result in zip(pictures, found, strict=True):
        assert not isinstance(result, TargetUnreachable)
        known = {p.quality: p.score for p in result.probes}
        assert known[result.quality] >= 0.93 > known[result.quality - 1]
        assert score.measure(picture, one.decode(result.data)) == result.score
        assert result.rounds < len(result.probes)
    (hopeless,) = find_batch(pictures[:1], one, [Criterion(score, 0.99999)])
    assert isinstance(hopeless, TargetUnreachable)


def test_scales_of_other_lengths_work() -> None:
    short = PillowEncoder("short", ".jpg", "JPEG", (), range(40, 61))
    found = find(photo(), short, [Criterion(SCORES["psnr"], 31.0)])
    assert found.quality in short.qualities


def test_a_search_refuses_names_and_empty_rounds() -> None:
    with pytest.raises(ValueError, match="got something else"):
        find(photo(), "jpeg", at_least("ssim", 0.9))  # type: ignore[arg-type]
    for wrong in ("ssim", SCORES["ssim"], []):
        with pytest.raises(ValueError, match="at_least"):
            find(photo(), encoder("jpeg"), wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width of at least 1"):
        find_batch([photo()], OwnEncoder(), at_least("ssim", 0.9), width=0)
