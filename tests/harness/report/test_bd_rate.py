"""Bjøntegaard's deltas: published numbers, another package's, what holds of any curve, and the four errors."""

from __future__ import annotations

import math
import re
import warnings
from itertools import pairwise
from random import Random

import pytest

from vmaf_harness.report.bd_rate import (
    BdRateError,
    NoOverlapError,
    NotMonotonicError,
    OutOfRangeError,
    Point,
    TooFewPointsError,
    bd_rate,
    hull,
)

# Two encoders of the widely used example: kbit/s and dB.
ANCHOR = [(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)]
TEST = [(893.34, 40.39), (407.8, 37.21), (204.93, 34.17), (112.75, 31.24)]


@pytest.mark.parametrize(
    ("interpolation", "rate_percent", "quality"),
    [("pchip", 31.379878, -1.183472), ("akima", 31.383989, -1.183659)],
)
def test_the_published_example_has_its_numbers(interpolation: str, rate_percent: float, quality: float) -> None:
    found = bd_rate(ANCHOR, TEST, interpolation)
    assert found.rate_percent == pytest.approx(rate_percent, abs=1e-6)
    assert found.quality == pytest.approx(quality, abs=1e-6)


def curve(random: Random) -> list[Point]:
    rate, quality = random.uniform(50, 300), random.uniform(20, 50)
    points = []
    for _ in range(random.randint(5, 9)):  # Akima of four is another one in older scipys
        points.append((rate, quality))
        rate, quality = rate * random.uniform(1.3, 2.2), quality + random.uniform(1, 9)
    return points


@pytest.mark.parametrize("interpolation", ["pchip", "akima"])
def test_deltas_are_those_of_another_package(interpolation: str) -> None:
    peer = pytest.importorskip("bjontegaard")
    random, compared = Random(16), 0
    while compared < 40:
        anchor, test = curve(random), curve(random)
        try:
            found = bd_rate(anchor, test, interpolation)
        except NoOverlapError:
            continue
        given = [list(each) for points in (anchor, test) for each in zip(*points, strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of little overlap, which we state as a number
            how = {"method": interpolation, "require_matching_points": False, "min_overlap": 0}
            assert found.rate_percent == pytest.approx(peer.bd_rate(*given, **how), rel=1e-6, abs=1e-6)
            if found.quality is not None:
                assert found.quality == pytest.approx(peer.bd_psnr(*given, **how), rel=1e-6, abs=1e-6)
        compared += 1


@pytest.mark.parametrize("interpolation", ["pchip", "akima"])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 2.0])
def test_all_rates_times_a_factor_is_that_factor(factor: float, interpolation: str) -> None:
    found = bd_rate(ANCHOR, [(rate * factor, quality) for rate, quality in ANCHOR], interpolation)
    assert found.rate_percent == pytest.approx((factor - 1) * 100, abs=1e-9)
    assert found.overlap == pytest.approx(1)


def test_all_qualities_moved_is_that_much_quality() -> None:
    found = bd_rate(ANCHOR, [(rate, quality + 0.5) for rate, quality in ANCHOR])
    assert found.quality == pytest.approx(0.5)
    assert found.rate_percent < 0


def test_the_order_and_the_unit_of_the_points_do_not_matter() -> None:
    bits = [(rate * 1000, quality) for rate, quality in reversed(TEST)]
    again = bd_rate([(rate * 1000, quality) for rate, quality in ANCHOR], bits)
    assert again.rate_percent == pytest.approx(bd_rate(ANCHOR, TEST).rate_percent, abs=1e-9)


def test_the_overlap_is_stated() -> None:
    found = bd_rate(ANCHOR, TEST)
    assert found.quality_overlap == (31.42, 40.28)
    assert found.rate_overlap == pytest.approx((112.75, 686.76))
    assert found.overlap == pytest.approx((40.28 - 31.42) / (40.39 - 31.24))


@pytest.mark.parametrize(
    ("anchor", "test", "error", "said"),
    [
        (ANCHOR[:3], TEST, TooFewPointsError, "the anchor has 3 points"),
        (ANCHOR, [], TooFewPointsError, "the test has 0 points"),
        (ANCHOR, [*TEST, (900.0, 40.0)], NotMonotonicError, "40.39 at bitrate 893.34, then 40 at 900"),
        (ANCHOR, [*TEST, TEST[0]], NotMonotonicError, "the test is not monotonic"),
        (ANCHOR, [*TEST, (2000.0, 40.39)], NotMonotonicError, "leave one of the two out"),
        (ANCHOR, [(rate, quality + 50) for rate, quality in TEST], NoOverlapError, "no quality in common"),
        (ANCHOR, [(rate * 1e15, quality) for rate, quality in TEST], OutOfRangeError, "10^15; are both curves in"),
        (ANCHOR, [(0.0, 1.0), *TEST], OutOfRangeError, "bitrate 0.0"),
        (ANCHOR, [(1.0, math.nan), *TEST], OutOfRangeError, "quality nan"),
        ([(-1.0, 1.0), *ANCHOR], TEST, OutOfRangeError, "the anchor has a point at bitrate -1.0"),
        (ANCHOR, [(math.inf, 99.0), *TEST], OutOfRangeError, "bitrate inf"),
    ],
)
def test_what_has_no_delta_is_an_error_of_its_own(
    anchor: list[Point], test: list[Point], error: type[BdRateError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        bd_rate(anchor, test)


def test_without_a_common_bitrate_there_is_a_rate_and_no_quality() -> None:
    found = bd_rate(ANCHOR, [(rate * 100, quality) for rate, quality in ANCHOR])
    assert found.rate_percent == pytest.approx(9900)
    assert (found.quality, found.rate_overlap) == (None, None)


def test_a_hull_leaves_out_what_a_mix_of_others_beats() -> None:
    points = [(100.0, 50.0), (200.0, 55.0), (300.0, 80.0), (400.0, 80.0), (500.0, 79.0), (100.0, 40.0), (600.0, 90.0)]
    assert hull(points) == [0, 2, 6]


def test_a_hull_is_above_every_point() -> None:
    random = Random(3)
    for _ in range(50):
        points = [(random.uniform(1, 1000), random.uniform(0, 100)) for _ in range(random.randint(1, 30))]
        kept = [points[index] for index in hull(points)]
        assert kept == sorted(kept)
        assert max(quality for _, quality in points) == kept[-1][1]
        for (left, low), (right, high) in pairwise(kept):
            between = [point for point in points if left <= point[0] <= right]
            assert all(q <= low + (high - low) * (rate - left) / (right - left) + 1e-9 for rate, q in between)


def test_a_hull_has_no_point_without_a_rate() -> None:
    assert hull([(0.0, 1.0), (math.nan, 2.0), (5.0, math.nan)]) == []
