"""How much bitrate an encoder saves against another at the same quality (Bjøntegaard), and the hull of a ladder.

scipy is imported where it is needed: nothing else here is slow to load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vmaf_harness.errors import StatisticsError

LEAST_POINTS = 4  # of a curve (VCEG-M33 lays a polynomial of degree three through four)
INTERPOLATIONS = ("pchip", "akima")

Point = tuple[float, float]  # (bitrate, in any one unit above 0; quality)


class BdRateError(StatisticsError):
    """Why two curves have no delta; `reason` is that in a few words, for a cell of a table."""

    reason = "no delta"


class TooFewPointsError(BdRateError):
    """A curve has fewer than `LEAST_POINTS` points."""

    reason = "too few points"


class NotMonotonicError(BdRateError):
    """More bits give no more quality somewhere on a curve, so that a quality has no one bitrate."""

    reason = "not monotonic"


class NoOverlapError(BdRateError):
    """The two curves have no quality in common."""

    reason = "no overlap"


class OutOfRangeError(BdRateError):
    """A bitrate or a quality is no number that a curve can have."""

    reason = "out of range"


@dataclass(frozen=True, slots=True, kw_only=True)
class BdRate:
    """The deltas of a test curve against an anchor.

    `rate_percent` is below 0 where the test needs fewer bits; `quality`, in its own unit, is above 0 where the test is
    better, and None where the curves have no bitrate in common. `quality_overlap` and `rate_overlap` (low, high) are
    what the curves have in common, and what the deltas were taken over; `overlap` is the share, 0 to 1, that the first
    has of all qualities of both.
    """

    rate_percent: float
    quality: float | None
    quality_overlap: tuple[float, float]
    rate_overlap: tuple[float, float] | None
    overlap: float


def bd_rate(anchor: Sequence[Point], test: Sequence[Point], interpolation: str = "pchip") -> BdRate:
    """BD-rate in percent and BD-quality of *test* against *anchor*, each a curve of at least four points in any order.

    r(q) is log₁₀ of the bitrate, interpolated over quality; over the qualities q₀ to q₁ that both curves have,

        BD-rate = (10^d − 1) · 100 %,  d = 1/(q₁ − q₀) ∫ (r_test(q) − r_anchor(q)) dq;

    BD-quality is the mean of q_test(r) − q_anchor(r) over the log₁₀ rates that both have (Bjøntegaard, "Calculation of
    average PSNR differences between RD-curves", VCEG-M33, 2001). That lays one polynomial of degree three through each
    curve; this takes the piecewise cubic of Fritsch and Carlson, "pchip", which never overshoots, as the JVET's common
    test conditions do (JVET-T2010), or that of Akima (1970), "akima". At four points the three differ by some 0.01 %.

    Raises one of the four kinds of BdRateError: a curve of fewer points, one whose quality does not rise with its
    bitrate, curves with nothing in common, a bitrate that is not above 0 or a number that is not finite.
    """
    curves = [_checked(points, name) for points, name in ((anchor, "anchor"), (test, "test"))]
    low, high = _common([[quality for _, quality in curve] for curve in curves])
    if high <= low:
        ranges = " and ".join(f"{curve[0][1]:g} to {curve[-1][1]:g}" for curve in curves)
        raise NoOverlapError(f"the curves have no quality in common: {ranges}; encode rates between them")
    of_anchor, of_test = (_mean([(q, r) for r, q in curve], low, high, interpolation) for curve in curves)
    if abs(exponent := of_test - of_anchor) > _LARGEST_EXPONENT:
        raise OutOfRangeError(f"the bitrates differ by a factor of 10^{exponent:.0f}; are both curves in one unit?")
    quality, rate_overlap = None, None
    from_log, to_log = _common([[rate for rate, _ in curve] for curve in curves])
    if from_log < to_log:
        of_anchor, of_test = (_mean(curve, from_log, to_log, interpolation) for curve in curves)
        quality, rate_overlap = of_test - of_anchor, (10**from_log, 10**to_log)
    all_qualities = [quality for curve in curves for _, quality in curve]
    return BdRate(
        rate_percent=(10**exponent - 1) * 100,
        quality=quality,
        quality_overlap=(low, high),
        rate_overlap=rate_overlap,
        overlap=(high - low) / (max(all_qualities) - min(all_qualities)),
    )


_LARGEST_EXPONENT = 12


def hull(points: Sequence[Point]) -> list[int]:
    """Which *points* are on the upper convex hull of quality over bitrate, by index, from the lowest bitrate up.

    A point below the line between two others is never the best use of bits: a mix of those two is better. What is
    beyond the best quality is left out: more bits for no more. Bitrates that are not above 0 are no points.
    """
    wanted = [index for index, (rate, quality) in enumerate(points) if rate > 0 and math.isfinite(rate + quality)]
    kept: list[int] = []
    for index in sorted(wanted, key=lambda index: (points[index][0], -points[index][1])):
        rate, quality = points[index]
        if kept and quality <= points[kept[-1]][1]:
            continue
        while len(kept) > 1 and _turns_up(points[kept[-2]], points[kept[-1]], (rate, quality)):
            kept.pop()
        kept.append(index)
    return kept


def _turns_up(first: Point, middle: Point, last: Point) -> bool:
    """Whether the middle one is on or below the line between the others."""
    return (middle[1] - first[1]) * (last[0] - first[0]) <= (last[1] - first[1]) * (middle[0] - first[0])


def _checked(points: Sequence[Point], name: str) -> list[Point]:
    """The curve over log₁₀ of the bitrate, in ascending order."""
    if len(points) < LEAST_POINTS:
        raise TooFewPointsError(
            f"the {name} has {len(points)} points, and a curve needs {LEAST_POINTS}; encode it at more rates"
        )
    for rate, quality in points:
        if not (math.isfinite(rate) and rate > 0 and math.isfinite(quality)):
            raise OutOfRangeError(f"the {name} has a point at bitrate {rate} and quality {quality}, which no curve has")
    ordered = sorted(points)
    for (rate, quality), (next_rate, next_quality) in pairwise(ordered):
        if next_rate <= rate or next_quality <= quality:
            raise NotMonotonicError(
                f"the {name} is not monotonic: {quality:g} at bitrate {rate:g}, then {next_quality:g} at "
                f"{next_rate:g}; leave one of the two out"
            )
    return [(math.log10(rate), quality) for rate, quality in ordered]


def _common(both: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Where two ranges begin and end to be one; the other way round where they never are."""
    return max(map(min, both)), min(map(max, both))


def _mean(points: Sequence[Point], low: float, high: float, interpolation: str) -> float:
    """The mean from *low* to *high* of the curve through *points*."""
    from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

    x, y = zip(*points, strict=True)
    curve = {"pchip": PchipInterpolator, "akima": Akima1DInterpolator}[interpolation](x, y)
    return float(curve.integrate(low, high)) / (high - low)
