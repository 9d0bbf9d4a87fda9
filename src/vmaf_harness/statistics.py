"""How well predictions follow labels, and how the scores of frames become the score of a video.

Pure Python on purpose: a cached run of 24 assets, with its curve, takes 0.36 s of processor time so, 1.8 s where
scipy.optimize is imported for the curve, and 2.9 s where scipy.stats is, for ranks and τ (medians of 10, on two busy
cores). Computing is nothing beside that: the curve takes 0.01 s for 24 assets and 0.2 s for 1000, ranks and τ of 10 000
pairs 0.03 s.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from operator import mul
from statistics import correlation, fmean, linear_regression, median
from typing import Any

from vmaf_harness.errors import StatisticsError

Numbers = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Agreement of predictions with labels; correlations are NaN where `note` says why they are not defined."""

    n: int
    srocc: float
    plcc: float
    krocc: float
    rmse: float
    note: str | None = None


def statistics(labels: Numbers, predictions: Numbers) -> Statistics:
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


def plcc(x: Numbers, y: Numbers) -> float:
    """Pearson's linear correlation: Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²), without a fit before it (ITU-T P.1401)."""
    x, y = _unit_scaled(x), _unit_scaled(y)
    return max(-1.0, min(1.0, correlation(x, y)))


def srocc(x: Numbers, y: Numbers) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank (Spearman 1904)."""
    return plcc(ranks(x), ranks(y))


def krocc(x: Numbers, y: Numbers) -> float:
    """Kendall's τ_b = (C − D) / √((P − X)(P − Y)); C and D concordant and discordant of P pairs, X and Y tied ones.

    D is counted as the exchanges that sort `y` after `x` is sorted (Knight 1966, doi:10.1080/01621459.1966.10480879).
    """
    pairs = len(x) * (len(x) - 1) // 2
    tied_x, tied_y, tied_both = _tied_pairs(x), _tied_pairs(y), _tied_pairs(zip(x, y, strict=True))
    discordant = 0
    seen: list[float] = []
    for _, value in sorted(zip(x, y, strict=True)):
        discordant += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    return (pairs - tied_x - tied_y + tied_both - 2 * discordant) / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def rmse(labels: Numbers, predictions: Numbers) -> float:
    """Root of the mean squared error √(Σ(label − prediction)² / n), in the unit of both, without a fit before it.

    ITU-T P.1401 divides by n − 1 here, and calls that no mapping; over n it is the size of the errors that are there.
    """
    errors = [label - prediction for label, prediction in zip(labels, predictions, strict=True)]
    return math.hypot(*errors) / math.sqrt(len(errors))


def ranks(numbers: Numbers) -> list[float]:
    """Rank of each number from 1; equal ones share the mean of their ranks."""
    rank_of: dict[float, float] = {}
    before = 0
    for number, count in sorted(Counter(numbers).items()):
        rank_of[number] = before + (count + 1) / 2
        before += count
    return [rank_of[number] for number in numbers]


ASSETS_PER_PARAMETER = 4  # of a curve that is laid through the pairs; fewer, and it bends after their noise


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """The straight line through the pairs; `rmse` is over n − 2, in the unit of the labels."""

    slope: float
    intercept: float
    rmse: float

    def map(self, prediction: float) -> float:
        """The label that the line gives for a prediction."""
        return self.slope * prediction + self.intercept


def linear_fit(labels: Numbers, predictions: Numbers) -> LinearFit:
    """The line of least squares from predictions to labels, for predictions on a scale of their own (PSNR, SSIM).

    label = slope · prediction + intercept, RMSE √(Σ(label − line)² / (n − 2)): n less the parameters of the mapping, as
    ITU-T P.1401 has it. Raises StatisticsError where `statistics` does, for fewer than four assets a parameter, and
    where either side is constant.
    """
    raw = _check_enough(labels, predictions, "a line", "two", 2)
    slope, intercept = linear_regression(predictions, labels)
    errors = rmse(labels, [slope * each + intercept for each in predictions])
    return LinearFit(slope=slope, intercept=intercept, rmse=errors * math.sqrt(raw.n / (raw.n - 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticFit:
    """Agreement after a curve was laid through the pairs; `coefficients` are β₁ to β₅ of `logistic_fit`."""

    coefficients: tuple[float, float, float, float, float]
    plcc: float
    rmse: float  # over n − 5, in the unit of the labels
    note: str | None = None

    def map(self, prediction: float) -> float:
        """The label that the curve gives for a prediction; beyond those that it was laid through it is a guess."""
        b1, b2, b3, b4, b5 = self.coefficients
        return b1 * math.tanh(b2 * (prediction - b3) / 2) / 2 + b4 * prediction + b5


def logistic_fit(labels: Numbers, predictions: Numbers) -> LogisticFit:
    """PLCC and RMSE after the 5-parameter logistic, least squares: two scales of quality need not be a line apart.

    Q(x) = β₁ (1/2 − 1/(1 + exp(β₂ (x − β₃)))) + β₄ x + β₅ (Sheikh, Sabir and Bovik 2006, doi:10.1109/TIP.2006.881959,
    after VQEG's reports), where 1/2 − 1/(1 + eᵗ) = tanh(t/2)/2. ITU-T P.1401 asks for such a mapping before both, and
    that it be monotone: this one is, from the least prediction to the greatest, between them too, in the direction of
    the correlation; curves that turn fit noise. Its slope β₁ β₂ / (4 cosh²(β₂ (x − β₃) / 2)) + β₄ is extreme at β₃,
    which lies within the predictions, and at their end that is farther from it, so those two slopes decide.

    RMSE is √(Σ(label − Q)² / (n − 5)), n less the parameters of the mapping (P.1401's N − d): more parameters bring
    errors down even where they mean nothing. For the same reason there is no curve for fewer than four assets a
    parameter, 20, and none for a fold of a cross-validation. A straight line is one of these curves, so the
    sum of squares is never greater than that of the line of least squares.

    For given β₂ and β₃ the other three are linear, and solved for (variable projection: Golub and Pereyra 1973,
    doi:10.1137/0710036); those two are searched on a grid, and from its deepest valleys on by simplex (Nelder and Mead
    1965, doi:10.1093/comjnl/7.4.308). β₂ is between `FLATTEST` and `STEEPEST` over the standard deviation of the
    predictions: a flatter curve is a line, a steeper one a step between two neighbours.
    Raises StatisticsError where `statistics` does, for fewer than 20 pairs, and where either side is constant.
    """
    raw = _check_enough(labels, predictions, "a curve", "five", 5)
    x_mean, x_sd, u = _standardized(predictions)
    y_mean, y_sd, v = _standardized(labels)
    r = sum(map(mul, u, v)) / raw.n
    up = math.copysign(1.0, r)

    def projected(b2: float, b3: float) -> tuple[float, float, float, float]:
        """What part of the labels' variance the best curve explains, factors of its tanh and line, mean of its tanh."""
        t = [math.tanh(b2 * (each - b3) / 2) for each in u]
        mean, s, p = sum(t) / raw.n, sum(map(mul, t, u)) / raw.n, sum(map(mul, t, v)) / raw.n
        variance = sum(map(mul, t, t)) / raw.n - mean * mean
        line = (r * r, 0.0, r, mean)
        if variance - s * s < 1e-9:  # as good as a line itself
            return line
        steepest = b2 / 2  # of the tanh, which is at β₃; it is flattest at one of the ends
        flattest = steepest * (1 - max(max(t), -min(t)) ** 2)
        factor = (p - s * r) / (variance - s * s)
        slope = r - factor * s
        if up * (slope + factor * steepest) >= 0 and up * (slope + factor * flattest) >= 0:
            return r * r + factor * (p - s * r), factor, slope, mean
        # The best one turns. The best of those that do not is level where it would begin to: at β₃ or at an end.
        found = [line]
        for level, sign in ((steepest, -up), (flattest, up)):
            factor = (p - level * r) / (variance - 2 * level * s + level * level)
            if factor * sign > 0:
                found.append((factor * (p - level * r), factor, -factor * level, mean))
        return max(found)

    low, high = math.log(FLATTEST), math.log(STEEPEST)
    ordered = sorted(u)

    def left(point: tuple[float, float]) -> float:
        flatness, b3 = point
        outside = max(low - flatness, flatness - high, ordered[0] - b3, b3 - ordered[-1], 0.0)
        return outside if outside else -projected(math.exp(flatness), b3)[0]

    rows = [low + (high - low) * row / (_ROWS - 1) for row in range(_ROWS)]
    # Where the predictions lie, so that each start has some on both sides.
    columns = [percentile(ordered, 100 * (column + 0.5) / _COLUMNS) for column in range(_COLUMNS)]
    grid = [[left((flatness, b3)) for b3 in columns] for flatness in rows]
    valleys = [
        (value, (rows[row], columns[column]))
        for row, values in enumerate(grid)
        for column, value in enumerate(values)
        if value <= min(min(near[max(0, column - 1) : column + 2]) for near in grid[max(0, row - 1) : row + 2])
    ]
    best = min((_simplex(left, start) for _, start in sorted(valleys)[:_STARTS]), key=left)
    b2, b3 = math.exp(best[0]), best[1]
    _, factor, b4, mean = projected(b2, b3)
    b1, b5 = 2 * factor, -factor * mean
    curve = LogisticFit(coefficients=(b1, b2, b3, b4, b5), plcc=math.nan, rmse=math.nan)
    mapped = [curve.map(each) * y_sd + y_mean for each in u]
    is_flat = min(mapped) == max(mapped)
    b4_scaled = b4 * y_sd / x_sd
    return LogisticFit(
        coefficients=(b1 * y_sd, b2 / x_sd, x_mean + b3 * x_sd, b4_scaled, y_mean + b5 * y_sd - b4_scaled * x_mean),
        plcc=math.nan if is_flat else plcc(labels, mapped),
        rmse=rmse(labels, mapped) * math.sqrt(raw.n / (raw.n - 5)),
        note="no curve fits better than a constant: no correlation is defined" if is_flat else None,
    )


def try_logistic_fit(labels: Numbers, predictions: Numbers) -> LogisticFit | None:
    """The same, None where no curve can be laid through them: mostly because there are fewer than 20 assets."""
    try:
        return logistic_fit(labels, predictions)
    except StatisticsError:
        return None


def _check_enough(labels: Numbers, predictions: Numbers, what: str, word: str, parameters: int) -> Statistics:
    """The statistics of pairs that are enough, and differ enough, for a fit."""
    raw = statistics(labels, predictions)
    if raw.note is not None:
        raise StatisticsError(raw.note)
    if raw.n < (least := ASSETS_PER_PARAMETER * parameters):
        raise StatisticsError(f"{what} of {word} parameters needs at least {least} assets, got {raw.n}")
    return raw


FLATTEST, STEEPEST = 0.1, 50.0  # β₂ of `logistic_fit`, over the standard deviation of the predictions
_ROWS, _COLUMNS = 9, 17  # of the grid: values of β₂ and of β₃
_STARTS = 6  # of the grid's valleys, the deepest


def _standardized(numbers: Numbers) -> tuple[float, float, list[float]]:
    """Mean and standard deviation (over n), and how many of these each number is from the mean."""
    mean = fmean(numbers)
    sd = math.hypot(*(number - mean for number in numbers)) / math.sqrt(len(numbers))
    return mean, sd, [(number - mean) / sd for number in numbers]


def _simplex(value: Callable[[tuple[float, float]], float], start: tuple[float, float]) -> tuple[float, float]:
    """Where a function of two numbers is smallest, going downhill from *start*."""
    corners = [start, (start[0] + 0.3, start[1]), (start[0], start[1] + 0.15)]
    triangle = sorted((value(corner), corner) for corner in corners)
    for _ in range(200):
        (best, top), (second, side), (worst, bottom) = triangle
        if abs(top[0] - bottom[0]) + abs(top[1] - bottom[1]) < 1e-7:
            break
        centre = ((top[0] + side[0]) / 2, (top[1] + side[1]) / 2)

        def along(by: float, centre: tuple[float, float] = centre, bottom: tuple[float, float] = bottom) -> Any:
            point = (centre[0] + by * (centre[0] - bottom[0]), centre[1] + by * (centre[1] - bottom[1]))
            return value(point), point

        found = along(1.0)
        if found[0] < best:
            found = min(found, along(2.0))
        elif found[0] >= second:
            found = min(along(0.5), along(-0.5))
        if found[0] < worst:
            triangle = sorted((triangle[0], triangle[1], found))
        else:
            towards = [((top[0] + each[0]) / 2, (top[1] + each[1]) / 2) for each in (side, bottom)]
            triangle = sorted((triangle[0], *((value(point), point) for point in towards)))
    return triangle[0][1]


def statistics_json(labels: Numbers, predictions: Numbers, fit: LogisticFit | None = None) -> dict[str, Any]:
    """SROCC, PLCC, KROCC and RMSE as JSON has them, null where one is not defined; *fit* under `logistic`."""
    try:
        made = asdict(statistics(labels, predictions))
    except StatisticsError as error:
        return {"n": len(labels), "note": str(error)}
    if fit is not None:
        made["logistic"] = _without_nan(asdict(fit))
    return _without_nan(made)


def statistics_text(name: str, found: Mapping[str, Any], kind: str = "") -> str:
    """The same in a line; *kind* says of what predictions, as in ``training SROCC``."""
    numbers = _format_numbers(found, "srocc", "plcc", "krocc", "rmse")
    line = f"{name}, {found['n']} assets: {f'{kind} ' if kind and numbers else ''}{numbers or 'no statistics'}"
    line += f" ({found['note']})" if found.get("note") else ""
    if (fit := found.get("logistic")) is None:
        return line
    return f"{line}; on a logistic curve {_format_numbers(fit, 'plcc', 'rmse')}" + (
        f" ({fit['note']})" if fit["note"] else ""
    )


def harmonic_mean(scores: Numbers) -> float:
    """1 / mean(1 / (score + 1)) − 1: the harmonic mean, moved by one so that 0 is allowed (as libvmaf has it)."""
    if min(scores) <= -1:
        raise StatisticsError(f"the harmonic mean needs scores above −1, got {min(scores)}; pool by another method")
    return 1 / fmean(1 / (score + 1) for score in scores) - 1


def percentile(scores: Numbers, percent: float) -> float:
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


def pool_all(scores: Numbers) -> dict[str, float]:
    """The score of a video by every pool; NaN where one is not defined for such scores."""
    pools = dict.fromkeys(POOLS, math.nan)
    for method, pool in POOLS.items():
        with suppress(StatisticsError, ArithmeticError, ValueError):  # a harmonic mean of negative scores; infinities
            pools[method] = pool(scores)
    return pools


def _unit_scaled(numbers: Numbers) -> list[float]:
    """Shifted and scaled into [0, 1], which no correlation notices: the squares of huge numbers overflow."""
    low, high = min(numbers), max(numbers)
    return [(number - low) / (high - low) for number in numbers]


def _tied_pairs(values: Iterable[object]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(values).values())


def _format_numbers(found: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name.upper()} {found[name]:.4f}" for name in names if found.get(name) is not None)


def _without_nan(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    return {
        name: None if isinstance(number, float) and not math.isfinite(number) else number
        for name, number in numbers.items()
    }
