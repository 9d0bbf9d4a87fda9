"""How well predictions follow labels, and how the scores of frames become the score of a video.

Pure Python on purpose: a run whose results are all cached should not wait for numpy (0.1 s) and scipy.stats (0.5 s to
be imported); the 10 000 pairs of a large dataset take 0.03 s here.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import correlation, fmean, median

from vmaf_harness.errors import StatisticsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Agreement of predictions with labels; correlations are NaN where `note` says why they are not defined."""

    n: int
    srocc: float
    plcc: float
    krocc: float
    rmse: float
    note: str | None = None


def statistics(labels: Sequence[float], predictions: Sequence[float]) -> Statistics:
    """All four statistics of paired numbers, in the unit of the labels where they have one.

    Raises StatisticsError for fewer than two pairs, sequences of different length, and numbers that are not finite.
    """
    if len(labels) != len(predictions):
        raise StatisticsError(f"{len(labels)} labels and {len(predictions)} predictions cannot be paired")
    if len(labels) < 2:
        raise StatisticsError(f"statistics need at least two assets, got {len(labels)}")
    for name, numbers in (("label", labels), ("prediction", predictions)):
        for index, number in enumerate(numbers):
            if not math.isfinite(number):
                raise StatisticsError(f"statistics need finite numbers; {name} {index} (counted from 0) is {number}")
    constant = [n for n, numbers in (("labels", labels), ("predictions", predictions)) if min(numbers) == max(numbers)]
    if constant:
        srocc_, plcc_, krocc_ = math.nan, math.nan, math.nan
        note = f"all {' and all '.join(constant)} are equal: no correlation is defined"
    else:
        srocc_, plcc_, krocc_ = srocc(labels, predictions), plcc(labels, predictions), krocc(labels, predictions)
        note = None
    return Statistics(n=len(labels), srocc=srocc_, plcc=plcc_, krocc=krocc_, rmse=rmse(labels, predictions), note=note)


def plcc(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's linear correlation: Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²), without a fit before it (ITU-T P.1401)."""
    x, y = _scaled(x), _scaled(y)
    return max(-1.0, min(1.0, correlation(x, y)))


def srocc(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank (Spearman 1904)."""
    return plcc(ranks(x), ranks(y))


def krocc(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's τ_b = (C − D) / √((P − X)(P − Y)); C and D concordant and discordant of P pairs, X and Y tied ones.

    D is counted as the exchanges that sort `y` after `x` is sorted (Knight 1966, doi:10.1080/01621459.1966.10480879).
    """
    pairs = len(x) * (len(x) - 1) // 2
    tied_x, tied_y, tied_both = _tied(x), _tied(y), _tied(zip(x, y, strict=True))
    discordant = 0
    seen: list[float] = []
    for _, value in sorted(zip(x, y, strict=True)):
        discordant += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return (pairs - tied_x - tied_y + tied_both - 2 * discordant) / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def rmse(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Root of the mean squared error √(Σ(label − prediction)² / n), in the unit of both (ITU-T P.1401)."""
    errors = [label - prediction for label, prediction in zip(labels, predictions, strict=True)]
    return math.hypot(*errors) / math.sqrt(len(errors))


def ranks(numbers: Sequence[float]) -> list[float]:
    """Rank of each number from 1; equal ones share the mean of their ranks."""
    rank_of: dict[float, float] = {}
    before = 0
    for number, count in sorted(Counter(numbers).items()):
        rank_of[number] = before + (count + 1) / 2
        before += count
    return [rank_of[number] for number in numbers]


def harmonic_mean(scores: Sequence[float]) -> float:
    """1 / mean(1 / (score + 1)) − 1: the harmonic mean, moved by one so that 0 is allowed (as libvmaf has it)."""
    if min(scores) <= -1:
        raise StatisticsError(f"the harmonic mean needs scores above −1, got {min(scores)}; pool by another method")
    return 1 / fmean(1 / (score + 1) for score in scores) - 1


def percentile(scores: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the scores lie, linear between neighbours (numpy's default method)."""
    ordered = sorted(scores)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    weight = position - low
    if weight < 0.5:  # from the nearer neighbour, so that rounding never leaves the interval
        return ordered[low] + (ordered[high] - ordered[low]) * weight
    return ordered[high] - (ordered[high] - ordered[low]) * (1 - weight)


POOLS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "harmonic_mean": harmonic_mean,
    "min": min,
    "median": median,
    "perc5": lambda scores: percentile(scores, 5),
    "perc10": lambda scores: percentile(scores, 10),
    "perc20": lambda scores: percentile(scores, 20),
}


def _scaled(numbers: Sequence[float]) -> list[float]:
    """Shifted and scaled into [0, 1], which no correlation notices: the squares of huge numbers overflow."""
    low, high = min(numbers), max(numbers)
    return [(number - low) / (high - low) for number in numbers]


def _tied(values: Iterable[object]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(values).values())
