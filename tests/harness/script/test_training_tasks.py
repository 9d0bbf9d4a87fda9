"""The tasks that train, called as Invoke calls them: their flags reach the scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from trainable import Trainable

from vmaf_harness.commands import COMMANDS
from vmaf_workspace.commands.command import run

BY_NAME = {command.name: command for command in COMMANDS}


def call(name: str, **flags: Any) -> int:
    return run(BY_NAME[name], flags)


def inputs(small: Trainable) -> dict[str, str]:
    names = ("dataset", "feature_param", "model_param")
    return dict(zip(names, small.inputs, strict=True))


def test_each_flag_has_its_help() -> None:
    for command in COMMANDS:
        assert all(parameter.help for parameter in command.parameters.values()), command.name


def test_a_model_is_tuned_validated_trained_tested_and_reported(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = inputs(small)
    assert call("extract", dataset=given["dataset"], feature_param=given["feature_param"]) == 0
    searched = {"gamma": "0.05,0.2", "cost": "4 8", "nu": "0.5", "folds": "2"}
    assert call("tune", **given, output_param="best", **searched, cache_result=True) == 0
    assert "best of 4 sets" in capsys.readouterr().err
    given["model_param"] = "best.pkl"
    plots = str(tmp_path / "plots")
    assert call("cross-validate", **given, leave_one_source_out=True, cache_result=True, save_plot=plots) == 0
    assert call("train", **given, output_model="m", cache_result=True, suppress_plot=True, seed="1") == 0
    tested = {"vmaf_model": "m.pkl", "cache_result": True, "print_result": True, "suppress_plot": True}
    assert call("test", dataset=given["dataset"], **tested, pool="median") == 0
    assert len(re.findall(r"^asset \d+: VMAF", capsys.readouterr().out, re.M)) == 12
    assert len(list((tmp_path / "plots").iterdir())) == 2
    assert call("report") == 0
    _, *rows = capsys.readouterr().out.splitlines()
    about = [re.split(r" {2,}|(?<=:\d\d) ", row)[1:] for row in rows[:5]]
    named = ["test", "training", "m", "cross-valid.", "tuning"]  # the newest first
    assert [row[0].split()[0] for row in about] == named
    assert [row.split()[-3][-1] for row in rows[:5]] == ["t", "t", "t", "c", "c"]  # tested on what it was fitted to
    assert call("report", json=True) == 0
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert entries[0]["statistics"]["n"] == 12


def test_a_workspace_without_models_has_an_empty_report(
    vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no model and no run has statistics here\n")
    assert not vmaf_workspace.exists()


def test_a_card_that_is_none_is_passed_over(vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vmaf_workspace / "model").mkdir(parents=True)
    for name, content in (("a", "{"), ("b", "[]"), ("c", '{"dataset": {}}')):
        (vmaf_workspace / "model" / f"{name}.card.json").write_text(content)
    assert call("report") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["extract", "train", "cross-validate", "tune", "test"])
def test_a_missing_dataset_is_a_mistyped_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name) == 2
    assert "--dataset is missing" in capsys.readouterr().err


def test_a_value_that_looks_like_a_flag_is_none(small: Trainable, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", **inputs(small), output_model="--seed") == 2
    assert "'--seed' looks like a flag" in capsys.readouterr().err


def test_a_pair_is_scored_by_a_trained_model_and_drawn(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.model.write_text(
        small.model.read_text().replace("LIBSVM", "BOOTSTRAP_LIBSVM").replace("{", "{'num_models': 3, ")
    )
    assert call("train", **inputs(small), output_model="m", cache_result=True, suppress_plot=True) == 0
    capsys.readouterr()
    pair = {"reference": str(small.directory / "3.mp4"), "distorted": str(small.videos(3)[0])}
    found = {}
    for suffix in ("pkl", "json"):
        model = str(vmaf_workspace / "model" / f"m.{suffix}")
        assert call("score", **pair, vmaf_model=model, save_plot=str(tmp_path / "plots")) == 0
        found[suffix] = capsys.readouterr().out
    assert float(found["pkl"].split()[1]) == pytest.approx(float(found["json"].split()[1]), abs=1e-3)
    assert re.search(r"^bootstrap: mean \S+, sd \S+, 95 % from \S+ to \S+$", found["pkl"], re.M)
    assert len(list((tmp_path / "plots").glob("3_24_VMAF_V*_frames.png"))) == 2
    model = str(vmaf_workspace / "model" / "m.pkl")
    assert call("score", **pair, vmaf_model=model, json=True) == 0
    assert set(json.loads(capsys.readouterr().out)["bootstrap"]) == {"mean", "sd", "low", "high"}
    assert call("score", **pair, vmaf_model="m") == 0
    assert capsys.readouterr().out == found["pkl"]
    assert call("score", **pair, vmaf_model="demo") == 1
    assert "there is no model 'demo' in " in capsys.readouterr().err
