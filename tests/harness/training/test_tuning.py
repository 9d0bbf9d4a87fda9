"""The search for gamma, C and nu."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from trainable import Trainable, write_model

from vmaf_harness.errors import HarnessError
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import build_model_param, read_model_param
from vmaf_harness.script import run_vmaf_training, run_vmaf_tuning
from vmaf_harness.statistics import statistics
from vmaf_harness.training.cross_validation import cross_validate, folds_by_content
from vmaf_harness.training.fit import Table, Workers
from vmaf_harness.training.tuning import grid_candidates, random_candidates, tune, with_parameters

FEATURES = FeatureParam(atoms=(("VMAF_integer_feature", "adm2"), ("VMAF_integer_feature", "vif_scale0")))
SVR = build_model_param("LIBSVMNUSVR", {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9})
FOLDS = folds_by_content([i % 6 for i in range(36)], 3, 0)


def table() -> Table:
    random = np.random.RandomState(3)
    columns = {name: random.uniform(0.2, 1.0, 36) for name in FEATURES.feature_names}
    first, second = columns.values()
    labels = 60 * np.sin(4 * first) + 40 * second + random.normal(0, 4, 36)
    return Table(features=columns, labels=labels, assets=[f"asset {i}" for i in range(36)])


def test_the_best_set_predicts_unseen_contents_best() -> None:
    candidates = grid_candidates({"gamma": [0.001, 0.1, 5.0], "C": [1.0, 8.0], "nu": [0.5]})
    tried = tune(table(), FOLDS, FEATURES, SVR, candidates)
    assert len(tried) == len(candidates) == 6
    assert [each.srocc for each in tried] == sorted((each.srocc for each in tried), reverse=True)
    assert tried[0].srocc > tried[-1].srocc
    for each in tried:
        parameters = with_parameters(SVR, each.parameters)
        found = statistics(
            np.asarray(table().labels, dtype=float).tolist(), cross_validate(table(), FOLDS, FEATURES, parameters)
        )
        assert (each.srocc, each.plcc, each.rmse) == (found.srocc, found.plcc, found.rmse)


def test_threads_change_nothing() -> None:
    candidates = grid_candidates({"gamma": [0.05, 0.5], "C": [1.0, 4.0]})
    one = tune(table(), FOLDS, FEATURES, SVR, candidates, workers=Workers(threads=1))
    assert one == tune(table(), FOLDS, FEATURES, SVR, candidates, workers=Workers(threads=3))


def test_drawn_sets_lie_between_the_ends_and_depend_on_the_seed_alone() -> None:
    ends = {"gamma": (0.01, 1.0), "C": (2.0,), "nu": (0.2, 0.9)}
    drawn = random_candidates(ends, 50, 4)
    assert drawn == random_candidates(ends, 50, 4) != random_candidates(ends, 50, 5)
    assert all(0.01 <= each["gamma"] <= 1 and each["C"] == 2 and 0.2 <= each["nu"] <= 0.9 for each in drawn)
    assert 10 < sum(each["gamma"] < 0.1 for each in drawn) < 40  # log-uniform


def test_nothing_is_drawn_from_the_logarithm_of_zero() -> None:
    with pytest.raises(HarnessError, match="gamma: 0 has no logarithm"):
        random_candidates({"gamma": (0, 1.0)}, 3, 0)


@pytest.mark.parametrize(
    ("parameters", "candidates", "said"),
    [
        (build_model_param("RANDOMFOREST", {}), [{"gamma": 0.1}], "has no gamma, C and nu to be tuned"),
        (SVR, [{"nu": 1.5}], "nu: expected a number above 0, at most 1, got 1.5"),
        (SVR, [{"C": -1.0}], "C: expected a positive number"),
        (SVR, [], "there is no set of parameters to try"),
    ],
)
def test_what_cannot_be_tuned_is_said(parameters: object, candidates: list[dict[str, float]], said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        tune(table(), FOLDS, FEATURES, parameters, candidates)  # type: ignore[arg-type]


def test_where_no_set_gives_a_model_the_reason_is_said() -> None:
    rows = table()
    name = FEATURES.feature_names[0]
    constant = Table(features={**rows.features, name: [0.5] * 36}, labels=rows.labels, assets=rows.assets)
    with pytest.raises(HarnessError, match=r"none of 2 sets of parameters gives a model: .* is 0\.5 in all"):
        tune(constant, FOLDS, FEATURES, SVR, grid_candidates({"gamma": [0.1, 0.2]}))


# The script


def test_the_best_set_is_written_where_training_finds_it(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=2)
    values = ["--gamma", "0.01", "0.1", "1", "--C", "1", "4", "--nu", "0.5"]
    assert run_vmaf_tuning.main([*small.inputs, "best", *values, "--folds", "4", "--cache-result"]) == 0
    out = capsys.readouterr().out
    path = vmaf_workspace / "model_param" / "best.pkl"
    assert str(path) in out
    chosen = read_model_param(path)
    assert (chosen.model_type, chosen.num_models) == ("BOOTSTRAP_LIBSVMNUSVR", 2)
    assert chosen.score_clip == (0.0, 100.0)
    (sets,) = vmaf_workspace.glob("output/*/tuning.csv")
    with sets.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    best = max(float(row["srocc"]) for row in rows)
    assert (float(rows[0]["gamma"]), float(rows[0]["C"])) == (chosen.svr["gamma"], chosen.svr["C"])
    assert float(rows[0]["srocc"]) == best
    assert f"cross-validated SROCC {best:.4f}" in out
    assert "the best of 6 sets" in out
    summary = json.loads(sets.with_name("statistics.json").read_bytes())
    assert summary["statistics"]["srocc"] == best
    assert run_vmaf_training.main([*small.inputs[:2], "best.pkl", "m", "--cache-result", "--suppress-plot"]) == 0
    assert pickles.read(vmaf_workspace / "model" / "m.pkl")["param_dict"]["gamma"] == chosen.svr["gamma"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["best"], 1, "5 folds need as many contents"),
        (["nowhere/best", "--folds", "2"], 1, "nowhere is not there"),
        (["x" * 252, "--folds", "2"], 1, "cannot write the parameters there: File name too long"),
        (["best", "--folds", "2", "--nu", "2"], 1, "nu: expected"),
        (["best", "--folds", "2", "--gamma", "0", "1", "--random", "3"], 1, "has no logarithm"),
    ],
)
def test_what_the_script_cannot_do_is_said(
    small: Trainable,
    vmaf_workspace: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    assert run_vmaf_tuning.main([*small.inputs, *arguments]) == code
    err = capsys.readouterr().err
    assert said in err
    assert ": extracted" not in err
    assert not (vmaf_workspace / "model_param" / "best.pkl").exists()


def test_a_forest_is_refused_before_anything_is_extracted(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.model.write_text("model_type = 'RANDOMFOREST'\nmodel_param_dict = {}\n", encoding="utf-8")
    assert run_vmaf_tuning.main([*small.inputs, "best", "--folds", "2"]) == 1
    err = capsys.readouterr().err
    assert "RANDOMFOREST has no gamma, C and nu" in err
    assert ": extracted" not in err


def test_a_number_that_is_none_is_a_mistyped_flag(small: Trainable, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("x", str(math.nan)):
        with pytest.raises(SystemExit):
            run_vmaf_tuning.main([*small.inputs, "best", "--gamma", text])
    assert "expected a number, got 'x'" in capsys.readouterr().err
