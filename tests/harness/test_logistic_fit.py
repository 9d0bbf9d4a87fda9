from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from vmaf_harness.errors import StatisticsError
from vmaf_harness.statistics import logistic_fit, statistics

TRUE = (60.0, 0.09, 55.0, 0.1, 40.0)
SCORES = np.linspace(5, 98, 40)


def curve(x: float, b1: float, b2: float, b3: float, b4: float, b5: float) -> float:
    return b1 * (0.5 - 1 / (1 + math.exp(b2 * (x - b3)))) + b4 * x + b5


def test_a_curve_of_this_kind_is_found_again() -> None:
    labels = [curve(x, *TRUE) for x in SCORES]
    fit = logistic_fit(labels, SCORES.tolist())
    assert fit.plcc == pytest.approx(1.0, abs=1e-9)
    assert fit.rmse == pytest.approx(0.0, abs=1e-5)
    assert fit.note is None
    assert [fit.map(x) for x in SCORES] == pytest.approx(labels, abs=1e-4)
    assert [curve(x, *fit.coefficients) for x in SCORES] == pytest.approx(labels, abs=1e-4)


def test_numbers_are_those_of_the_mapped_predictions() -> None:
    labels = [
        curve(x, *TRUE) + noise for x, noise in zip(SCORES, np.random.RandomState(0).normal(size=40), strict=True)
    ]
    fit = logistic_fit(labels, SCORES.tolist())
    mapped = statistics(labels, [fit.map(x) for x in SCORES])
    assert (fit.plcc, fit.rmse) == pytest.approx((mapped.plcc, mapped.rmse))
    assert 0.5 < fit.rmse < 1.1  # the noise that was added has 1
    raw = statistics(labels, SCORES.tolist())
    assert fit.plcc > raw.plcc
    assert fit.rmse < raw.rmse


def test_scales_and_directions_make_no_difference_to_the_correlation() -> None:
    labels = np.array([curve(x, *TRUE) for x in SCORES]) + np.random.RandomState(1).normal(size=40)
    plain = logistic_fit(labels.tolist(), SCORES.tolist())
    for factor, shift in ((1e-6, 0.0), (1e6, -3e7), (-1.0, 100.0)):
        fit = logistic_fit(labels.tolist(), (SCORES * factor + shift).tolist())
        assert fit.plcc == pytest.approx(plain.plcc, abs=1e-6)
        assert fit.rmse == pytest.approx(plain.rmse, rel=1e-4)


@pytest.mark.parametrize("seed", [42, 44, 68, 168, 204])
def test_no_start_leads_to_a_better_curve_that_is_monotone(seed: int) -> None:
    random = np.random.RandomState(seed)
    n = int(random.choice([6, 12, 20, 40, 79]))
    x = random.uniform(0, 100, n)
    y = 50 * np.tanh((x - 50) / 20) + random.normal(size=n) * 10
    u, best = (x - x.mean()) / x.std(), math.inf
    dense = np.linspace(u.min(), u.max(), 500)

    def errors(b: NDArray[np.float64]) -> NDArray[np.float64]:
        mapped: NDArray[np.float64] = b[0] * np.tanh(b[1] * (u - b[2]) / 2) + b[3] * u + b[4] - y
        return mapped

    for steepness in (0.5, 2.0, 8.0, 30.0):
        for middle in np.quantile(u, np.linspace(0.05, 0.95, 7)):
            start = (y.std(), steepness, middle, y.std() / 2, y.mean())
            reach = ([-math.inf, 0.1, u.min(), -math.inf, -math.inf], [math.inf, 50, u.max(), math.inf, math.inf])
            found = least_squares(errors, start, bounds=reach)
            b1, b2, b3, b4, b5 = found.x
            steps = np.diff([b1 * math.tanh(b2 * (at - b3) / 2) + b4 * at + b5 for at in dense])
            if (steps >= 0).all() or (steps <= 0).all():
                best = min(best, 2 * found.cost)
    assert logistic_fit(y.tolist(), x.tolist()).rmse <= 1.005 * math.sqrt(best / n)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=6, max_size=30))
def test_it_is_never_worse_than_a_straight_line(pairs: list[tuple[float, float]]) -> None:
    labels, predictions = (list(column) for column in zip(*pairs, strict=True))
    assume(max(labels) - min(labels) > 1e-3)
    assume(max(predictions) - min(predictions) > 1e-3)
    fit = logistic_fit(labels, predictions)
    assert fit.plcc >= abs(statistics(labels, predictions).plcc) - 1e-6
    assert fit.rmse <= np.std(labels) + 1e-9
    steps = np.diff([fit.map(x) for x in np.linspace(min(predictions), max(predictions), 301)])
    assert steps.min() >= -1e-6 or steps.max() <= 1e-6, "it is monotone"


def test_the_curve_does_not_turn_where_the_labels_do() -> None:
    x = np.linspace(-1, 1, 40)
    labels = np.tanh(8 * x) - 1.2 * x
    fit = logistic_fit(labels.tolist(), x.tolist())
    mapped = [fit.map(at) for at in x]
    assert np.diff(mapped).min() >= -1e-9
    assert fit.rmse == pytest.approx(math.sqrt(np.mean((labels - mapped) ** 2)))
    assert statistics(labels.tolist(), x.tolist()).plcc < fit.plcc < 1


def test_labels_that_no_curve_follows_give_numbers_and_no_crash() -> None:
    x = [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]
    fit = logistic_fit([9.0, 4.0, 1.0, 1.0, 4.0, 9.0], x)
    assert fit.rmse <= np.std([9.0, 4.0, 1.0, 1.0, 4.0, 9.0]) + 1e-9
    assert math.isfinite(fit.plcc) or fit.note is not None


@pytest.mark.parametrize(
    ("labels", "predictions", "problem"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 6.0], "at least six assets, got 5"),
        ([1.0] * 8, [1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0], "all labels are equal"),
        ([1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0], [1.0] * 8, "all predictions are equal"),
        ([1.0, 2.0, 3.0, 4.0, 6.0, math.nan], [1.0, 2.0, 3.0, 4.0, 6.0, 7.0], "finite"),
    ],
)
def test_what_no_curve_can_be_laid_through_is_an_error(
    labels: list[float], predictions: list[float], problem: str
) -> None:
    with pytest.raises(StatisticsError, match=problem):
        logistic_fit(labels, predictions)


def test_statistics_wait_for_no_scipy() -> None:
    code = (
        "import sys\nfrom vmaf_harness.statistics import logistic_fit\n"
        "logistic_fit([1, 2, 4, 7, 8, 9], [1, 2, 3, 4, 5, 6])\n"
        "sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
