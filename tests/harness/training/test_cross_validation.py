"""Folds of contents, and predictions by models that have not seen them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainable import CONTENTS, Trainable, write_model, write_recipe

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.script import run_vmaf_cross_validation
from vmaf_harness.training.cross_validation import Fold, cross_validate, folds_by_content, leave_one_source_out
from vmaf_harness.training.fit import Table, TrainingError, Workers, fit

FEATURES = FeatureParam(atoms=(("VMAF_integer_feature", "adm2"), ("VMAF_integer_feature", "vif_scale0")))
SVR = build_model_param("LIBSVMNUSVR", {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9})


def table(n: int = 24) -> Table:
    random = np.random.RandomState(3)
    columns = {name: random.uniform(0.2, 1.0, n) for name in FEATURES.feature_names}
    labels = 60 * columns[FEATURES.feature_names[0]] + 40 * columns[FEATURES.feature_names[1]]
    return Table(features=columns, labels=labels, assets=[f"asset {i}" for i in range(n)])


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(2, 5), st.integers(0, 1000))
def test_each_row_is_in_one_fold_and_no_content_in_two(contents: list[int], n_folds: int, seed: int) -> None:
    if len(set(contents)) < n_folds:
        with pytest.raises(HarnessError, match="clips of one content never go to different folds"):
            folds_by_content(contents, n_folds, seed)
        return
    folds = folds_by_content(contents, n_folds, seed)
    assert len(folds) == n_folds
    assert sorted(row for fold in folds for row in fold.rows) == list(range(len(contents)))
    for fold in folds:
        assert fold.rows
        assert {contents[row] for row in fold.rows} == set(fold.contents)
    assert max(Counter(content for fold in folds for content in fold.contents).values()) == 1


def test_folds_have_about_the_same_number_of_clips() -> None:
    contents = [0] * 8 + [1] * 4 + [2] * 4 + [3] * 8
    assert sorted(len(fold.rows) for fold in folds_by_content(contents, 3, 0)) == [8, 8, 8]


def test_the_seed_shuffles_contents() -> None:
    contents = list(range(20))
    assert folds_by_content(contents, 4, 1) == folds_by_content(contents, 4, 1)
    assert folds_by_content(contents, 4, 1) != folds_by_content(contents, 4, 2)


def test_leaving_one_source_out_makes_a_fold_a_content() -> None:
    folds = leave_one_source_out([5, 2, 5, 9])
    assert folds == [Fold(contents=(c,), rows=rows) for c, rows in ((2, (1,)), (5, (0, 2)), (9, (3,)))]
    with pytest.raises(HarnessError, match="at least two contents"):
        leave_one_source_out([4, 4])


@pytest.mark.parametrize("n_folds", [0, 1])
def test_one_fold_is_none(n_folds: int) -> None:
    with pytest.raises(HarnessError, match="at least two folds"):
        folds_by_content([1, 2, 3], n_folds, 0)


def test_each_fold_is_predicted_by_a_model_of_the_others() -> None:
    rows, contents = table(), [i % 6 for i in range(24)]
    folds = folds_by_content(contents, 3, 0)
    predictions = cross_validate(rows, folds, FEATURES, SVR)
    for fold in folds:
        others = [row for row in range(24) if row not in fold.rows]
        alone = fit(rows.rows(others), FEATURES, SVR)
        np.testing.assert_array_equal(
            [predictions[row] for row in fold.rows], alone.predict(rows.rows(list(fold.rows)).features)
        )


def test_threads_and_bootstrap_members_change_no_number() -> None:
    rows, folds = table(), folds_by_content([i % 6 for i in range(24)], 3, 0)
    bootstrap = build_model_param("BOOTSTRAP_LIBSVMNUSVR", {**SVR.param_dict, "num_models": 9})
    one = cross_validate(rows, folds, FEATURES, SVR, workers=Workers(threads=1))
    assert one == cross_validate(rows, folds, FEATURES, SVR, workers=Workers(threads=4))
    assert one == cross_validate(rows, folds, FEATURES, bootstrap)


def test_a_fold_that_cannot_be_fitted_is_named() -> None:
    rows = table(4)
    same = Table(features=rows.features, labels=[1.0, 1.0, 1.0, 9.0], assets=rows.assets)
    with pytest.raises(TrainingError, match="without the contents 3 of fold 4: the labels of all 3 assets are 1"):
        cross_validate(same, leave_one_source_out([0, 1, 2, 3]), FEATURES, SVR)


# The script


def test_statistics_of_each_fold_and_of_all_are_printed(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_vmaf_cross_validation.main([*small.inputs, "--leave-one-source-out", "--cache-result"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for fold, content in enumerate(CONTENTS, 1):
        assert lines[fold - 1].startswith(f"fold {fold}, contents {content}, 3 assets: cross-validated SROCC ")
        assert "logistic" not in lines[fold - 1]
    assert re.match(r"t_dataset, LIBSVMNUSVR, 4 folds, 12 assets: cross-validated SROCC -?\d\.\d{4}, PLCC ", lines[4])
    (run,) = [path.parent for path in vmaf_workspace.glob("output/*/statistics.json")]
    about = json.loads((run / "statistics.json").read_bytes())
    assert [fold["contents"] for fold in about["folds"]] == [[content] for content in CONTENTS]
    assert about["statistics"]["n"] == 12
    assert len(list(run.glob("*.png"))) == 2
    assert not list((vmaf_workspace / "model").glob("*.pkl"))


def test_fewer_contents_than_folds_is_said_before_the_extraction(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_vmaf_cross_validation.main([*small.inputs]) == 1
    err = capsys.readouterr().err
    assert "5 folds need as many contents, and there are 4 (of 12 clips)" in err
    assert "ask for fewer by --folds N, for one each by --leave-one-source-out, or bring more contents" in err
    assert "extracted" not in err


def test_one_content_cannot_be_cross_validated(small: Trainable, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(small.dataset, contents=(3,))
    assert run_vmaf_cross_validation.main([*small.inputs, "--leave-one-source-out"]) == 1
    assert "at least two contents are needed, got 1" in capsys.readouterr().err


def test_a_forest_is_cross_validated_too(small: Trainable, capsys: pytest.CaptureFixture[str]) -> None:
    small.model.write_text("model_type = 'RANDOMFOREST'\nmodel_param_dict = {'norm_type': 'none', 'n_estimators': 5}\n")
    arguments = [*small.inputs, "--folds", "2", "--cache-result", "--suppress-plot"]
    assert run_vmaf_cross_validation.main(arguments) == 0
    first = capsys.readouterr()
    assert run_vmaf_cross_validation.main(arguments) == 0
    second = capsys.readouterr()
    assert first.out == second.out
    assert "fold" not in second.err
    assert run_vmaf_cross_validation.main([*arguments, "--seed", "5"]) == 0
    write_model(small.model)
