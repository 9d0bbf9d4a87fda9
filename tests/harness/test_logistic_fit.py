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
from vmaf_harness.statistics import (
    linear_fit,
    logistic_fit,
    statistics,
    statistics_json,
    statistics_text,
    try_logistic_fit,
)

TRUE = (60.0, 0.09, 55.0, 0.1, 40.0)
SCORES = np.linspace(5, 98, 40)


def expected(x: float, b1: float, b2: float, b3: float, b4: float, b5: float) -> float:
    return b1 * (0.5 - 1 / (1 + math.exp(b2 * (x - b3)))) + b4 * x + b5


def test_a_curve_of_this_kind_is_found_again() -> None:
    labels = [expected(x, *TRUE) for x in SCORES]
    fit = logistic_fit(labels, SCORES.tolist())
    assert fit.plcc == pytest.approx(1.0, abs=1e-9)
    assert fit.rmse == pytest.approx(0.0, abs=1e-5)
    assert fit.note is None
    assert [fit.map(x) for x in SCORES] == pytest.approx(labels, abs=1e-4)
    assert [expected(x, *fit.coefficients) for x in SCORES] == pytest.approx(labels, abs=1e-4)


def test_numbers_are_those_of_the_mapped_predictions() -> None:
    labels = [
        expected(x, *TRUE) + noise for x, noise in zip(SCORES, np.random.RandomState(0).normal(size=40), strict=True)
    ]
    fit = logistic_fit(labels, SCORES.tolist())
    mapped = statistics(labels, [fit.map(x) for x in SCORES])
    assert fit.plcc == pytest.approx(mapped.plcc)
    assert fit.rmse == pytest.approx(mapped.rmse * math.sqrt(40 / (40 - 5))), "over n less its parameters"
    assert 0.5 < fit.rmse < 1.1  # the noise that was added has 1
    raw = statistics(labels, SCORES.tolist())
    assert fit.plcc > raw.plcc
    assert fit.rmse < raw.rmse


def test_scales_and_directions_make_no_difference_to_the_correlation() -> None:
    labels = np.array([expected(x, *TRUE) for x in SCORES]) + np.random.RandomState(1).normal(size=40)
    plain = logistic_fit(labels.tolist(), SCORES.tolist())
    for factor, shift in ((1e-6, 0.0), (1e6, -3e7), (-1.0, 100.0)):
        fit = logistic_fit(labels.tolist(), (SCORES * factor + shift).tolist())
        assert fit.plcc == pytest.approx(plain.plcc, abs=1e-6)
        assert fit.rmse == pytest.approx(plain.rmse, rel=1e-4)


@pytest.mark.parametrize("seed", [42, 44, 68, 168, 204])
def test_no_start_leads_to_a_better_curve_that_is_monotone(seed: int) -> None:
    random = np.random.RandomState(seed)
    n = int(random.choice([20, 24, 40, 79]))
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
    assert logistic_fit(y.tolist(), x.tolist()).rmse <= 1.005 * math.sqrt(best / (n - 5))


NUMBERS = st.one_of(
    st.floats(0, 100),
    st.sampled_from([0.0, 50.0, 100.0]),  # as where scores are clipped
    st.floats(99, 100),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=20, max_size=40),
    st.sampled_from([1.0, -1.0, 1e-4, 1e5]),
    st.sampled_from([0.0, 1e3]),
)
def test_it_is_monotone_wherever_data_are_and_never_worse_than_a_line(
    pairs: list[tuple[float, float]], factor: float, shift: float
) -> None:
    labels = [label for label, _ in pairs]
    predictions = [prediction * factor + shift * abs(factor) for _, prediction in pairs]
    assume(max(labels) - min(labels) > 1e-3)
    assume(max(predictions) - min(predictions) > 1e-3 * abs(factor))
    raw, fit = statistics(labels, predictions), logistic_fit(labels, predictions)
    line = linear_fit(labels, predictions)
    # Of squares, not of RMSE: the curve pays for three parameters more.
    assert fit.rmse**2 * (raw.n - 5) <= line.rmse**2 * (raw.n - 2) * (1 + 1e-6) + 1e-9
    if math.isfinite(fit.plcc):
        assert fit.plcc >= abs(raw.plcc) - 1e-6
    b1, b2, b3, b4, _ = fit.coefficients
    low, high = min(predictions), max(predictions)
    # Between the predictions, too, and beside β₃, where it is steepest or flattest.
    at = [
        *np.linspace(low, high, 999),
        *predictions,
        *(min(max(b3 + step / b2, low), high) for step in (-3, -1, 0, 1, 3)),
    ]
    slopes = np.array([b1 * b2 / 4 / math.cosh(max(-300, min(300, b2 * (x - b3) / 2))) ** 2 + b4 for x in at])
    little = 1e-6 * (max(labels) - min(labels)) / (high - low)
    assert (slopes >= -little).all() or (slopes <= little).all()
    if abs(raw.plcc) > 1e-3:
        assert (slopes * math.copysign(1, raw.plcc) >= -little).all(), "in the direction of the correlation"


def test_labels_that_nothing_predicts_get_no_smaller_error_by_a_curve() -> None:
    """The mean squared error of noise of deviation 1 is about 1, whatever the parameters; over n it is 0.76."""
    random = np.random.RandomState(0)
    errors = [logistic_fit(*random.normal(size=(2, 20)).tolist()).rmse ** 2 for _ in range(150)]
    assert 0.93 < np.mean(errors) < 1.15


def test_the_curve_does_not_turn_where_the_labels_do() -> None:
    x = np.linspace(-1, 1, 40)
    labels = np.tanh(8 * x) - 1.2 * x
    fit = logistic_fit(labels.tolist(), x.tolist())
    mapped = [fit.map(at) for at in x]
    assert np.diff(mapped).min() >= -1e-9
    assert fit.rmse == pytest.approx(math.sqrt(sum((labels - mapped) ** 2) / 35))
    assert statistics(labels.tolist(), x.tolist()).plcc < fit.plcc < 1


def test_labels_that_no_curve_follows_give_numbers_and_no_crash() -> None:
    x = [float(i) for i in range(-10, 11)]
    labels = [each * each for each in x]
    fit = logistic_fit(labels, x)
    assert fit.rmse <= np.std(labels) * math.sqrt(21 / 16) + 1e-9
    assert math.isfinite(fit.plcc) or fit.note is not None


TWENTY = [float(i) for i in range(20)]


@pytest.mark.parametrize(
    ("labels", "predictions", "problem"),
    [
        (TWENTY[:19], TWENTY[1:], "at least 20 assets, got 19"),
        ([1.0] * 20, TWENTY, "all labels are equal"),
        (TWENTY, [1.0] * 20, "all predictions are equal"),
        ([*TWENTY[:19], math.nan], TWENTY, "finite"),
    ],
)
def test_what_no_curve_can_be_laid_through_is_an_error(
    labels: list[float], predictions: list[float], problem: str
) -> None:
    with pytest.raises(StatisticsError, match=problem):
        logistic_fit(labels, predictions)
    assert try_logistic_fit(labels, predictions) is None


def test_too_few_for_a_curve_have_none_anywhere() -> None:
    few, enough = (
        statistics_json(TWENTY[:19], TWENTY[1:], try_logistic_fit(TWENTY[:19], TWENTY[1:])),
        statistics_json(TWENTY, TWENTY, try_logistic_fit(TWENTY, TWENTY)),
    )
    assert "logistic" not in few
    assert "logistic" not in statistics_text("a", few)
    assert enough["logistic"]["rmse"] == pytest.approx(0)
    assert "; on a logistic curve PLCC 1.0000, RMSE 0.0000" in statistics_text("a", enough)
    assert "logistic" not in statistics_json(TWENTY, TWENTY), "not unasked, as for a fold"


def test_a_line_is_that_of_least_squares_and_pays_for_its_parameters() -> None:
    random = np.random.RandomState(3)
    x = random.uniform(25, 45, 12)
    y = 3 * x - 40 + random.normal(size=12) * 4
    slope, intercept = np.polyfit(x, y, 1)
    fit = linear_fit(y.tolist(), x.tolist())
    assert (fit.slope, fit.intercept) == pytest.approx((slope, intercept))
    assert fit.rmse == pytest.approx(math.sqrt(sum((y - slope * x - intercept) ** 2) / 10))
    with pytest.raises(StatisticsError, match="a line of two parameters needs at least 8 assets, got 7"):
        linear_fit(TWENTY[:7], TWENTY[:7])


def test_statistics_wait_for_no_scipy() -> None:
    code = (
        "import sys\nfrom vmaf_harness.statistics import logistic_fit\n"
        "logistic_fit([i * i for i in range(20)], list(range(20)))\n"
        "sys.exit('numpy' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
