from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from vmaf_harness.errors import StatisticsError
from vmaf_harness.statistics import POOLS, Statistics, percentile, ranks, statistics

# Coarse numbers tie; fine ones hardly ever do.
numbers = st.one_of(st.integers(0, 5).map(float), st.floats(0, 100), st.floats(-1e6, 1e6))
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=60)
scores = st.lists(st.floats(0, 100), min_size=1, max_size=100)


@settings(deadline=None)
@given(pairs)
def test_correlations_are_those_of_scipy(given_pairs: list[tuple[float, float]]) -> None:
    labels, predictions = (list(column) for column in zip(*given_pairs, strict=True))
    for column in (labels, predictions):
        assume(max(column) - min(column) > 1e-6 * max(map(abs, column)))  # scipy warns of less
    found = statistics(labels, predictions)
    assert (found.n, found.note) == (len(labels), None)
    assert found.plcc == pytest.approx(stats.pearsonr(labels, predictions).statistic, abs=1e-7)
    assert found.srocc == pytest.approx(stats.spearmanr(labels, predictions).statistic, abs=1e-9)
    assert found.krocc == pytest.approx(stats.kendalltau(labels, predictions).statistic, abs=1e-9)
    error = np.sqrt(np.mean((np.array(labels) - np.array(predictions)) ** 2))
    assert found.rmse == pytest.approx(float(error), rel=1e-9, abs=1e-100)


@settings(deadline=None)
@given(st.lists(numbers, min_size=1))
def test_equal_numbers_share_their_mean_rank(values: list[float]) -> None:
    assert ranks(values) == list(stats.rankdata(values))


def test_a_monotone_prediction_has_perfect_ranks_and_an_imperfect_line() -> None:
    found = statistics([1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0])
    assert (found.srocc, found.krocc) == (1.0, 1.0)
    assert found.plcc == pytest.approx(0.984374)
    assert found.rmse == pytest.approx(math.sqrt((0 + 4 + 36 + 144) / 4))


def test_the_order_of_the_assets_and_a_swap_of_the_columns_make_no_difference() -> None:
    labels, predictions = [1.0, 5.0, 2.0, 2.0], [3.0, 9.0, 3.0, 1.0]
    there, back = statistics(labels, predictions), statistics(predictions[::-1], labels[::-1])
    assert (there.srocc, there.plcc, there.krocc, there.rmse) == pytest.approx(
        (back.srocc, back.plcc, back.krocc, back.rmse)
    )


@pytest.mark.parametrize(
    ("labels", "predictions", "note"),
    [
        ([3.0, 3.0], [1.0, 2.0], "all labels are equal: no correlation is defined"),
        ([1.0, 2.0], [0.1, 0.1], "all predictions are equal: no correlation is defined"),
        ([1.0, 1.0], [1.0, 1.0], "all labels and all predictions are equal: no correlation is defined"),
    ],
)
def test_constant_numbers_have_an_error_but_no_correlation(
    labels: list[float], predictions: list[float], note: str
) -> None:
    found = statistics(labels, predictions)
    assert found.note == note
    assert all(math.isnan(value) for value in (found.srocc, found.plcc, found.krocc))
    assert found.rmse == pytest.approx(
        math.sqrt(sum((a - b) ** 2 for a, b in zip(labels, predictions, strict=True)) / 2)
    )


@pytest.mark.parametrize(
    ("labels", "predictions", "said"),
    [
        ([], [], "statistics need at least two assets, got 0"),
        ([1.0], [1.0], "statistics need at least two assets, got 1"),
        ([1.0, 2.0], [1.0], "2 labels and 1 predictions"),
        ([1.0, math.nan], [1.0, 2.0], "label 1 (counted from 0) is nan"),
        ([1.0, 2.0], [math.inf, 2.0], "prediction 0 (counted from 0) is inf"),
    ],
)
def test_what_has_no_statistics_is_refused(labels: list[float], predictions: list[float], said: str) -> None:
    with pytest.raises(StatisticsError) as caught:
        statistics(labels, predictions)
    assert said in str(caught.value)


def test_tiny_and_huge_numbers_correlate_as_ordinary_ones_do() -> None:
    ordinary = statistics([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    for factor in (1e-200, 1e200):
        found = statistics([1.0 * factor, 2.0 * factor, 4.0 * factor], [1.0, 3.0, 2.0])
        assert found.plcc == pytest.approx(ordinary.plcc)


@settings(deadline=None)
@given(scores)
def test_pools_are_those_of_numpy(values: list[float]) -> None:
    array = np.array(values)
    expected = {
        "mean": np.mean(array),
        "harmonic_mean": 1.0 / np.mean(1.0 / (array + 1.0)) - 1.0,
        "min": np.min(array),
        "median": np.median(array),
        "perc5": np.percentile(array, 5),
        "perc10": np.percentile(array, 10),
        "perc20": np.percentile(array, 20),
    }
    assert {name: pool(values) for name, pool in POOLS.items()} == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(deadline=None)
@given(scores, st.floats(0, 100))
def test_a_percentile_is_exactly_numpy_s(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)), rel=1e-13, abs=1e-13)
    assert min(values) <= percentile(values, percent) <= max(values)


def test_a_score_of_zero_is_allowed_in_the_harmonic_mean_and_minus_one_is_not() -> None:
    assert POOLS["harmonic_mean"]([0.0, 100.0]) == pytest.approx(2 / (1 + 1 / 101) - 1)
    with pytest.raises(StatisticsError, match="above −1"):
        POOLS["harmonic_mean"]([-1.0, 5.0])


def test_the_result_says_when_two_runs_are_equal() -> None:
    assert statistics([1, 2], [2, 1]) == Statistics(n=2, srocc=-1.0, plcc=-1.0, krocc=-1.0, rmse=1.0)


def test_statistics_need_neither_numpy_nor_scipy() -> None:
    code = (
        "import sys\nfrom vmaf_harness.statistics import POOLS, statistics\n"
        "statistics([1, 2, 3], [2, 1, 3]); [pool([1.0, 2.0]) for pool in POOLS.values()]\n"
        "print(sorted({'numpy', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
