from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.files import read_model, write_model
from vmaf_harness.model.model import Model
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.model.svm import Svm
from vmaf_harness.training.fit import Table, TrainingError, Workers, fit

FEATURES = FeatureParam(atoms=tuple(("VMAF_integer_feature", atom) for atom in ("adm2", "motion2", "vif_scale0")))
ADM, MOTION, VIF = FEATURES.feature_names
BOOTSTRAP, RESIDUE = "BOOTSTRAP_LIBSVMNUSVR", "RESIDUEBOOTSTRAP_LIBSVMNUSVR"


def table(labels: Any = None, **columns: Any) -> Table:
    """Columns by adm, motion and vif replace what is made up."""
    random = np.random.RandomState(7)
    features = {ADM: random.uniform(0.4, 1.0, 60), MOTION: random.uniform(0, 30, 60), VIF: random.uniform(0.1, 0.9, 60)}
    learnt = 100 * features[ADM] * np.sqrt(features[VIF]) - 0.2 * features[MOTION] + random.normal(size=60)
    features |= {{"adm": ADM, "motion": MOTION, "vif": VIF}[name]: column for name, column in columns.items()}
    assets = [f"asset {i} (v{i}.mp4)" for i in range(60)]
    return Table(features=features, labels=learnt if labels is None else labels, assets=assets)


def fitted(model_type: str = "LIBSVMNUSVR", rows: Table | None = None, **parameters: Any) -> Model:
    given = build_model_param(model_type, {"norm_type": "clip_0to1", **parameters})
    return fit(rows or table(), FEATURES, given, workers=Workers(threads=1))


def svms(model: Model) -> list[Svm]:
    return [member for member in model.members if isinstance(member, Svm)]


def matrix(rows: Table) -> Any:
    return np.stack(
        [np.asarray(rows.labels, dtype=float), *(np.asarray(rows.features[n]) for n in FEATURES.feature_names)]
    )


@pytest.mark.parametrize(
    ("norm_type", "of"),
    [
        ("clip_0to1", lambda c: (np.min(c), np.max(c), 0.0, 1.0)),
        ("clip_minus1to1", lambda c: (np.min(c), np.max(c), -1.0, 1.0)),
        ("normalize", lambda c: (np.mean(c), np.mean(c) + np.std(c), 0.0, 1.0)),
    ],
)
def test_columns_are_rescaled_as_their_norm_says(norm_type: str, of: Callable[[Any], tuple[float, ...]]) -> None:
    model = fitted(norm_type=norm_type)
    assert model.slopes is not None
    assert model.intercepts is not None
    for column, slope, intercept in zip(matrix(table()), model.slopes, model.intercepts, strict=True):
        from_low, from_high, low, high = of(column)
        assert slope * from_low + intercept == pytest.approx(low, abs=1e-12)
        assert slope * from_high + intercept == pytest.approx(high)


def test_custom_ends_replace_those_of_a_feature() -> None:
    model = fitted(
        norm_type="custom_clip_0to1", custom_clip_0to1_map={MOTION: [0, 50], "VMAF_feature_vif_score": [0, 1]}
    )
    plain = fitted()
    assert model.slopes is not None
    assert model.intercepts is not None
    assert plain.slopes is not None
    assert (model.slopes[2], model.intercepts[2]) == (0.02, 0.0)
    assert model.slopes[:2] == plain.slopes[:2]
    assert model.slopes[3] == plain.slopes[3]


def test_norm_none_rescales_nothing() -> None:
    model = fitted(norm_type="none", gamma=0.01, C=100.0)
    assert (model.slopes, model.intercepts) == (None, None)
    assert model.predict(table().features).std() > 1


def test_a_model_follows_its_labels() -> None:
    model = fitted(C=4.0, nu=0.9, gamma=0.5)
    labels = np.asarray(table().labels, dtype=float)
    assert np.corrcoef(model.predict(table().features), labels)[0, 1] > 0.95


def test_the_fit_is_that_of_scikit_learn_on_the_rows_in_their_order() -> None:
    from sklearn.svm import NuSVR

    model = fitted(C=4.0, nu=0.9, gamma=0.05)
    rescaled = matrix(table()).T * np.array(model.slopes) + np.array(model.intercepts)
    svr = NuSVR(C=4.0, nu=0.9, gamma=0.05).fit(rescaled[:, 1:], rescaled[:, 0])
    (svm,) = svms(model)
    np.testing.assert_array_equal(svm.vectors, svr.support_vectors_)
    np.testing.assert_allclose(svm.predict(rescaled[:, 1:]), svr.predict(rescaled[:, 1:]), rtol=0, atol=1e-12)


def test_gamma_0_is_one_over_the_number_of_features() -> None:
    assert svms(fitted())[0].gamma == 1 / 3
    assert svms(fitted(gamma=0.0))[0].text() == svms(fitted(gamma=1 / 3))[0].text()
    assert fitted(gamma=0.0).predict(table().features).std() > 1  # and no constant


def test_bootstrap_members_are_fits_of_the_drawn_rows() -> None:
    rows, model = table(), fitted(BOOTSTRAP, num_models=4)
    assert svms(model)[0].text() == svms(fitted())[0].text()
    rescaled = matrix(rows).T * np.array(model.slopes) + np.array(model.intercepts)
    none = build_model_param("LIBSVMNUSVR", {"norm_type": "none"})
    for index, member in enumerate(svms(model)[1:], 1):
        drawn = np.random.RandomState(index).choice(range(60), size=60, replace=True)
        columns = dict(zip(FEATURES.feature_names, rescaled[drawn, 1:].T, strict=True))
        alone = fit(Table(features=columns, labels=rescaled[drawn, 0], assets=rows.assets), FEATURES, none)
        assert member.text() == svms(alone)[0].text()


def test_residue_members_are_fits_of_drawn_errors_of_model_0() -> None:
    rows, model = table(), fitted(RESIDUE, num_models=3)
    rescaled = matrix(rows).T * np.array(model.slopes) + np.array(model.intercepts)
    first, *others = svms(model)
    predicted = first.predict(rescaled[:, 1:])
    none = build_model_param("LIBSVMNUSVR", {"norm_type": "none"})
    for index, member in enumerate(others, 1):
        drawn = np.random.RandomState(index).choice(range(60), size=60, replace=True)
        labels = predicted + (rescaled[:, 0] - predicted)[drawn]
        columns = dict(zip(FEATURES.feature_names, rescaled[:, 1:].T, strict=True))
        alone = fit(Table(features=columns, labels=labels, assets=rows.assets), FEATURES, none)
        assert member.text() == svms(alone)[0].text()


@pytest.mark.parametrize("model_type", [BOOTSTRAP, RESIDUE])
def test_threads_make_no_difference_to_the_bytes(model_type: str, nowhere: Path) -> None:
    parameters = build_model_param(model_type, {"norm_type": "normalize", "num_models": 7})
    made = []
    for threads in (1, 2, 5):
        model = fit(table(), FEATURES, parameters, workers=Workers(threads=threads))
        made.append([path.read_bytes() for path in write_model(nowhere / "m.pkl", model)])
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("model_type", [BOOTSTRAP, RESIDUE])
def test_what_was_fitted_before_is_not_fitted_again_and_ends_in_the_same_bytes(model_type: str, nowhere: Path) -> None:
    parameters = build_model_param(model_type, {"norm_type": "clip_0to1", "num_models": 6})
    seen: list[tuple[int, Svm]] = []
    whole = fit(table(), FEATURES, parameters, finished=lambda i, m: seen.append((i, m)))
    assert sorted(index for index, _ in seen) == list(range(6))
    # as a checkpoint would keep them: as text
    kept = {index: Svm.of_text(member.text(), 3, "checkpoint") for index, member in seen if index in (0, 2, 5)}
    again: list[int] = []
    resumed = fit(table(), FEATURES, parameters, done=kept, finished=lambda i, _: again.append(i))
    assert sorted(again) == [1, 3, 4]
    before = [path.read_bytes() for path in write_model(nowhere / "m.pkl", whole)]
    assert [path.read_bytes() for path in write_model(nowhere / "m.pkl", resumed)] == before
    everything = dict(enumerate(svms(whole)))
    assert fit(table(), FEATURES, parameters, done=everything).texts() == whole.texts()


def test_finished_members_are_told_in_the_thread_that_asked() -> None:
    threads = set()
    parameters = build_model_param(BOOTSTRAP, {"norm_type": "clip_0to1", "num_models": 4})
    fit(
        table(),
        FEATURES,
        parameters,
        workers=Workers(threads=2),
        finished=lambda *_: threads.add(threading.current_thread()),
    )
    assert threads == {threading.current_thread()}


def test_an_error_of_whoever_is_told_stops_the_fit() -> None:
    told: list[int] = []

    def full(index: int, _: Svm) -> None:
        told.append(index)
        raise HarnessError("the disk is full")

    parameters = build_model_param(BOOTSTRAP, {"norm_type": "clip_0to1", "num_models": 50})
    with pytest.raises(HarnessError, match="the disk is full"):
        fit(table(), FEATURES, parameters, workers=Workers(threads=2), finished=full)
    assert len(told) == 1


ENDLESS = """
import sys
import numpy as np
import sklearn.svm
from vmaf_harness.training.cross_validation import cross_validate, folds_by_content
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.script.stop import stoppable
from vmaf_harness.training.fit import Table, fit
from vmaf_harness.training.tuning import tune
features = FeatureParam(atoms=(("VMAF_feature", "adm2"), ("VMAF_feature", "vif_scale0")))
draw, n = np.random.RandomState(0).uniform, 4000
table = Table(features={name: draw(size=n) for name in features.feature_names}, labels=draw(size=n), assets=[""] * n)
folds = folds_by_content([row % 4 for row in range(n)], 2, 0)
given = {"C": 1e6, "gamma": 1.0, "num_models": 4}
def run():
    print("fitting", flush=True)
    if sys.argv[1] == "cross-validation":
        cross_validate(table, folds, features, build_model_param("LIBSVMNUSVR", given))
    elif sys.argv[1] == "tuning":
        tune(table, folds, features, build_model_param("LIBSVMNUSVR", given), [{"nu": 0.4}, {"nu": 0.6}, {"nu": 0.8}])
    else:
        fit(table, features, build_model_param(sys.argv[1], given))
    return 0
sys.exit(stoppable()(run)())
"""


@pytest.mark.parametrize(
    ("what", "signum"),
    [
        ("LIBSVMNUSVR", signal.SIGINT),
        (BOOTSTRAP, signal.SIGINT),
        pytest.param(RESIDUE, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("cross-validation", signal.SIGINT, marks=pytest.mark.slow),
        ("tuning", signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_fit_at_once(what: str, signum: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "fitting\n"
    time.sleep(0.7)  # now LIBSVM fits
    process.send_signal(signum)
    try:
        _, err = process.communicate(timeout=15)  # the fit takes minutes
    finally:
        process.kill()
    assert (process.returncode, err) == (128 + signum, f"stopped by {signum.name}\n")


def test_a_fit_that_is_never_found_ends_with_an_error() -> None:
    draw, n = np.random.RandomState(0).uniform, 100
    columns = {name: draw(size=n) for name in FEATURES.feature_names}
    noise = Table(features=columns, labels=draw(size=n), assets=["a"] * n)
    with pytest.raises(TrainingError, match="no fit is found in 10000000 steps; a smaller C or gamma"):
        fit(noise, FEATURES, build_model_param("LIBSVMNUSVR", {"C": 1e6, "gamma": 1.0}))


def test_a_forest_is_grown_as_its_parameters_say(nowhere: Path) -> None:
    model = fitted("RANDOMFOREST", n_estimators=5, criterion="mse", max_depth=4, max_features="auto", random_state=3)
    write_model(nowhere / "f", model)
    np.testing.assert_array_equal(
        read_model(nowhere / "f.pkl").predict(table().features), model.predict(table().features)
    )
    labels = np.asarray(table().labels, dtype=float)
    assert np.corrcoef(model.predict(table().features), labels)[0, 1] > 0.9


def test_a_forest_without_a_state_takes_the_seed() -> None:
    parameters = build_model_param("RANDOMFOREST", {"n_estimators": 5})
    one, same, other = (fit(table(), FEATURES, parameters, seed=seed).predict(table().features) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_parameters_that_scikit_learn_refuses_are_an_error_of_ours() -> None:
    with pytest.raises(TrainingError, match="scikit-learn refuses the parameters of the forest"):
        fitted("RANDOMFOREST", max_samples=0.5, bootstrap=False)


def without(column: Any, *indices: int) -> Any:
    changed = np.asarray(column, dtype=float).copy()
    changed[list(indices)] = math.nan
    return changed


@pytest.mark.parametrize("norm_type", ["none", "clip_0to1", "clip_minus1to1", "normalize", "custom_clip_0to1"])
@pytest.mark.parametrize("model_type", ["LIBSVMNUSVR", BOOTSTRAP, RESIDUE, "RANDOMFOREST"])
def test_a_constant_feature_is_named(norm_type: str, model_type: str) -> None:
    with pytest.raises(TrainingError, match=f"feature {MOTION} is 0.0 in all 60 assets: a constant") as caught:
        fitted(model_type, table(motion=np.zeros(60)), norm_type=norm_type)
    assert caught.value.exit_code == 1


def test_a_feature_that_is_no_number_is_named_with_its_assets() -> None:
    rows = table(vif=without(table().features[VIF], 3, 17))
    with pytest.raises(
        TrainingError, match=rf"feature {VIF} is no number for asset 3 \(v3.mp4\), asset 17 \(v17.mp4\);"
    ):
        fitted(rows=rows)
    infinite = np.asarray(table().features[VIF]).copy()
    infinite[5] = math.inf
    with pytest.raises(TrainingError, match="is no number for asset 5"):
        fitted(rows=table(vif=infinite))


def test_assets_without_a_label_are_named_the_first_five() -> None:
    with pytest.raises(TrainingError, match=r"no label for asset 0 .*, asset 4 \(v4.mp4\) and 55 more; give each"):
        fitted(rows=table(labels=[None] * 60))
    with pytest.raises(TrainingError, match=r"there is no label for asset 9 \(v9.mp4\);"):
        fitted(rows=table(labels=without(table().labels, 9)))


def test_labels_that_are_all_equal_are_an_error() -> None:
    with pytest.raises(TrainingError, match=r"the labels of all 60 assets are 50\.0"):
        fitted(rows=table(labels=[50.0] * 60))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_assets_are_an_error(n: int) -> None:
    with pytest.raises(TrainingError, match=f"at least two assets to be fitted to, got {n}"):
        fitted(rows=table().rows(range(n)))


def test_two_assets_are_enough() -> None:
    assert fitted(rows=table().rows([0, 1])).predict(table().features).shape == (60,)


def test_a_feature_that_the_table_lacks_is_named() -> None:
    rows = table()
    del rows.features[ADM]  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match=f"feature {ADM} is not in the table; it has {MOTION}"):
        fitted(rows=rows)


def test_columns_of_another_length_are_an_error() -> None:
    with pytest.raises(TrainingError, match=rf"{ADM}: 60 numbers are needed"):
        fitted(rows=table(adm=[1.0, 2.0]))


def test_rows_are_taken_in_the_order_asked_for() -> None:
    part = table().rows([5, 2, 2])
    assert part.assets == ["asset 5 (v5.mp4)", "asset 2 (v2.mp4)", "asset 2 (v2.mp4)"]
    np.testing.assert_array_equal(part.labels, np.asarray(table().labels, dtype=float)[[5, 2, 2]])
    np.testing.assert_array_equal(part.features[ADM], np.asarray(table().features[ADM])[[5, 2, 2]])


def test_scikit_learn_is_imported_only_to_fit() -> None:
    code = "import sys, vmaf_harness.training.fit, vmaf_harness.model.files; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_line_is_scikit_learns_and_comes_back_from_its_file(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    rows = table()
    made = fitted("LINEARREG", norm_type="none")
    x = np.stack([np.asarray(rows.features[name]) for name in FEATURES.feature_names], axis=1)
    expected = LinearRegression().fit(x, rows.labels).predict(x)
    assert made.predict(rows.features) == pytest.approx(expected, abs=1e-9)
    write_model(tmp_path / "m.pkl", made)
    assert np.array_equal(read_model(tmp_path / "m.pkl").predict(rows.features), made.predict(rows.features))


def test_extremely_random_trees_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    rows = table()
    made = fitted("EXTRATREES", norm_type="none", n_estimators=5, random_state=1)
    x = np.stack([np.asarray(rows.features[name]) for name in FEATURES.feature_names], axis=1)
    expected = ExtraTreesRegressor(n_estimators=5, random_state=1).fit(x, rows.labels).predict(x)
    assert made.predict(rows.features) == pytest.approx(expected, abs=1e-9)
    write_model(tmp_path / "m.pkl", made)
    assert np.array_equal(read_model(tmp_path / "m.pkl").predict(rows.features), made.predict(rows.features))


def test_a_curve_of_five_numbers_finds_the_curve_that_labels_lie_on(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 60)
    labels = 3.0 + 0.5 - 1 / (1 + np.exp(8 * (x - 0.4))) + 0.7 * x
    one = FeatureParam(atoms=(("SSIM_feature", "ssim"),))
    rows = Table(features={one.feature_names[0]: x}, labels=labels, assets=table().assets)
    made = fit(rows, one, build_model_param("5PL", {"norm_type": "none"}))
    assert made.predict(rows.features) == pytest.approx(labels, abs=1e-6)
    write_model(tmp_path / "m.pkl", made)
    assert np.array_equal(read_model(tmp_path / "m.pkl").predict(rows.features), made.predict(rows.features))
