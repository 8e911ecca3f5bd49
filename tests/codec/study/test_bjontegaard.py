"""Delta rates of curves whose difference is known."""

import math

import pytest

from codec.study.bjontegaard import log_rate_difference, percent

CURVE = [(1000 * 2**i, 30.0 + 3 * i) for i in range(5)]


def test_ten_per_cent_fewer_bytes_are_ten_per_cent() -> None:
    fewer = [(0.9 * size, quality) for size, quality in CURVE]
    difference = log_rate_difference(CURVE, fewer)
    assert difference == pytest.approx(math.log(0.9))
    assert percent([difference]) == pytest.approx(-10)  # type: ignore[list-item]
    assert log_rate_difference(fewer, CURVE) == pytest.approx(-math.log(0.9))


def test_only_shared_qualities_count() -> None:
    part = [(0.5 * size, quality) for size, quality in CURVE[1:4]]
    assert log_rate_difference(CURVE, part) == pytest.approx(math.log(0.5))
    assert log_rate_difference(CURVE, [(1, 90.0), (2, 95.0)]) is None
    assert log_rate_difference(CURVE, CURVE[:1]) is None


def test_three_decibels_an_octave() -> None:
    better = [(size, quality + 3) for size, quality in CURVE]
    assert log_rate_difference(CURVE, better) == pytest.approx(math.log(0.5))


def test_points_that_do_not_rise_are_left_out() -> None:
    bumpy = [*CURVE, (5000, 31.0), (40_000, float("nan"))]
    assert log_rate_difference(CURVE, bumpy) == pytest.approx(0, abs=1e-12)
