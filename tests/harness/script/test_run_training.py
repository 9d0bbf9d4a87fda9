"""`run_vmaf_training`, and its models tested by `run_testing`, as people call them."""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import program, start
from matplotlib.figure import Figure
from trainable import LABELS, SIX, Trainable, write_features, write_model, write_recipe

from vmaf_harness.commands import score
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.store import store_directory
from vmaf_harness.model import pickles
from vmaf_harness.model.files import read_model
from vmaf_harness.report import drawing, label_plot
from vmaf_harness.report.summary import read_entries
from vmaf_harness.script import run_testing, run_vmaf_cross_validation, run_vmaf_training
from vmaf_workspace.report.models import trained_models

Printed = pytest.CaptureFixture[str]
BOOTSTRAP = "BOOTSTRAP_LIBSVMNUSVR"
# What libvmaf offers to models.
OFFERED = ("adm2", "motion2", *(f"{name}_scale{n}" for name in ("adm", "vif") for n in range(4)))
TESTING = ("VMAF", "--print-result", "--suppress-plot", "--cache-result")


def train(small: Trainable, name: str = "m", *flags: str) -> int:
    return run_vmaf_training.main([*small.inputs, name, "--cache-result", "--suppress-plot", *flags])


def scores(printed: str) -> dict[int, float]:
    return {int(id_): float(score) for id_, score in re.findall(r"^asset (\d+): \S+ (\d+\.\d{6}) ", printed, re.M)}


def scored_by(small: Trainable, model: str, capsys: Printed) -> dict[int, float]:
    capsys.readouterr()
    assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", model]) == 0
    return scores(capsys.readouterr().out)


# What is written


def test_a_bare_name_goes_to_model_as_a_whole_group(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    assert train(small) == 0
    out = capsys.readouterr().out
    assert str(vmaf_workspace / "model" / "m.pkl") in out
    line = (
        r"^t_dataset, LIBSVMNUSVR, 12 assets: training SROCC 0\.\d{4}, PLCC.*; predicted from each feature's mean over"
    )
    assert re.search(line, out, re.M)
    assert {"m.pkl", "m.pkl.model", "m.json", "m.card.json"} < set(os.listdir(vmaf_workspace / "model"))


def test_the_card_says_what_the_model_is_made_of(small: Trainable, vmaf_workspace: Path) -> None:
    assert train(small, "m", "--seed", "3") == 0
    card = json.loads((vmaf_workspace / "model" / "m.card.json").read_bytes())
    assert card["dataset"]["name"] == "t_dataset"
    assert (card["dataset"]["assets"], card["dataset"]["contents"], card["dataset"]["left_out"]) == (12, 4, 0)
    assert re.fullmatch("[0-9a-f]{64}", card["dataset"]["sha256"])
    assert card["features"] == [f"VMAF_integer_feature_{atom}_score" for atom in SIX]
    assert card["parameters"]["nu"] == 0.9
    assert set(card["engine"]) == {"ffmpeg", "libvmaf"}
    assert card["seed"] == 3
    assert card["statistics"]["n"] == 12
    assert 0.5 < card["statistics"]["srocc"] <= 1
    assert card["statistics_kind"] == "training"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", card["made_at"])


def test_training_twice_gives_the_same_bytes(small: Trainable, vmaf_workspace: Path) -> None:
    write_model(small.model, BOOTSTRAP, num_models=4)
    assert train(small, "a", "--processes", "1") == 0
    shutil.rmtree(vmaf_workspace / "checkpoints_dir")
    assert train(small, "b") == 0
    models = vmaf_workspace / "model"
    for suffix in ("pkl", "pkl.model", "pkl.0003", "pkl.0003.model", "json", "bootstrap.json"):
        assert (models / f"a.{suffix}").read_bytes() == (models / f"b.{suffix}").read_bytes()


def test_a_path_is_where_the_model_goes(small: Trainable, tmp_path: Path, vmaf_workspace: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert train(small, str(tmp_path / "mine" / "m.json")) == 0
    assert sorted(os.listdir(tmp_path / "mine")) == ["m.card.json", "m.json", "m.pkl", "m.pkl.model"]
    assert not list((vmaf_workspace / "model").glob("m.*"))


def test_plots_of_two_models_lie_side_by_side(small: Trainable, vmaf_workspace: Path, tmp_path: Path) -> None:
    other = small.directory / "other" / small.model.name
    other.parent.mkdir()
    write_model(other, C=2.0)
    directory = tmp_path / "plots"
    for model, name in ((small.model, "m"), (other, "n")):
        inputs = [str(small.dataset), str(small.features), str(model)]
        plots = [f"--save-plot={directory}", "--plot-format=svg"]
        assert run_vmaf_training.main([*inputs, name, *plots]) == 0
        assert run_vmaf_cross_validation.main([*inputs, "--folds", "2", *plots]) == 0
    assert len(list(directory.glob("*.svg"))) == 2 * 2 * 2
    assert "t_dataset: n (LIBSVMNUSVR), training" in (directory / "t_dataset_n_training.svg").read_text()


def test_a_cached_run_leaves_its_table_numbers_and_plots(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result"]) == 0
    (run,) = [path.parent for path in vmaf_workspace.glob("output/*/statistics.json")]
    plots = ["t_dataset_m_training.png", "t_dataset_m_training_residuals.png"]
    assert sorted(os.listdir(run)) == ["features.csv", "features.pkl", "run.json", "statistics.json", *plots]
    assert json.loads((run / "statistics.json").read_bytes())["statistics"]["n"] == 12
    assert pickles.read(run / "features.pkl")["label"].tolist() == list(LABELS)
    out = capsys.readouterr().out
    for name in plots:
        assert (run / name).read_bytes().startswith(b"\x89PNG")
        assert str(run / name) in out


def test_plots_go_where_they_are_wanted(small: Trainable, tmp_path: Path) -> None:
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result", "--save-plot", str(tmp_path / "p")]) == 0
    assert len(os.listdir(tmp_path / "p")) == 2


def test_nothing_is_stored_unasked(small: Trainable, vmaf_workspace: Path) -> None:
    shutil.rmtree(vmaf_workspace / "result_store_dir")
    assert run_vmaf_training.main([*small.inputs, "m", "--suppress-plot"]) == 0
    assert not list(store_directory(vmaf_workspace).glob("VMAF*"))
    assert not list(vmaf_workspace.glob("output/*/features.*"))


def test_a_forest_has_no_json(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    small.model.write_text("model_type = 'RANDOMFOREST'\nmodel_param_dict = {'norm_type': 'none', 'n_estimators': 5}\n")
    assert train(small) == 0
    err = capsys.readouterr().err
    assert "no .json: libvmaf has no RANDOMFOREST" in err
    assert "this forest does not load in VMAF's own harness" in err
    assert not (vmaf_workspace / "model" / "m.json").exists()
    assert len(scored_by(small, "m.pkl", capsys)) == 12


# Its models tested


@pytest.mark.parametrize("times", [1, 2], ids=["12 assets", "24 assets"])
def test_a_test_says_how_scores_follow_labels_on_a_logistic_curve_too_where_there_are_assets_enough(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, times: int
) -> None:
    text = small.dataset.read_text()
    videos = re.findall(r"^    \{'content_id': \d+, 'asset_id': .*\n", text, re.M)
    for index, video in enumerate(videos * (times - 1), len(videos)):
        again = re.sub(r"'asset_id': \d+", f"'asset_id': {index}", video)
        text = text.removesuffix("]\n") + again + "]\n"
    small.dataset.write_text(text)
    assert run_testing.main(["VMAF", str(small.dataset), "--cache-result"]) == 0
    (line,) = re.findall(rf"^t_dataset, VMAF_V0.6.1, {12 * times} assets: .*", capsys.readouterr().out, re.M)
    (path,) = vmaf_workspace.glob("output/*/statistics.json")
    found = json.loads(path.read_bytes())["statistics"]
    if times == 1:
        assert "logistic" not in line
        assert "logistic" not in found
    else:
        assert found["logistic"]["plcc"] > found["plcc"]
        assert found["logistic"]["rmse"] < found["rmse"]
        curve = f"; on a logistic curve PLCC {found['logistic']['plcc']:.4f}, RMSE {found['logistic']['rmse']:.4f}"
        assert curve in line
    assert {plot.name for plot in path.parent.glob("*.png")} == {
        "t_dataset_VMAF_V0.6.1.png",
        "t_dataset_VMAF_V0.6.1_residuals.png",
    }


def test_a_test_on_what_a_model_was_fitted_to_is_called_training(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert train(small) == 0
    for model in ("m", "m.pkl", "m.json", str(vmaf_workspace / "model" / "m.json")):
        capsys.readouterr()
        assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", model]) == 0
        assert re.search(
            r", 12 assets: training SROCC .*; the mean of the scores of frames$", capsys.readouterr().out, re.M
        )
    assert run_testing.main([*TESTING, str(small.dataset)]) == 0
    assert ", 12 assets: SROCC " in capsys.readouterr().out, "VMAF's own model has not seen it"
    write_recipe(small.dataset, labels=(11.0, *LABELS[1:]))
    assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", "m"]) == 0
    assert ", 12 assets: SROCC " in capsys.readouterr().out, "another label, another dataset"
    kinds = [
        json.loads(path.read_bytes())["statistics_kind"] for path in vmaf_workspace.glob("output/*/statistics.json")
    ]
    assert sorted(map(str, kinds)) == ["None", "None", *["training"] * 5]


def test_who_made_the_labels_is_kept_and_said(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.dataset.write_text(f"label_source = 'VMAF_V0.6.1neg'\n{small.dataset.read_text()}")
    titles, write = [], drawing.write_figure

    def noted(figure: Figure, path: Path) -> None:
        titles.append(figure.axes[0].get_xlabel())
        write(figure, path)

    monkeypatch.setattr(label_plot, "write_figure", noted)
    said = "; labels: scores of the model VMAF_V0.6.1neg (no opinions)"
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result"]) == 0
    assert run_vmaf_cross_validation.main([*small.inputs, "--leave-one-source-out", "--cache-result"]) == 0
    assert run_testing.main(["VMAF", str(small.dataset), "--cache-result"]) == 0
    out = capsys.readouterr().out
    assert [line.endswith(said) for line in out.splitlines() if " 12 assets: " in line] == [True] * 3
    assert titles == [said.removeprefix("; labels: ")] * 6
    about = {"label": "groundtruth", "label_source": "VMAF_V0.6.1neg", "subjective_model": None}
    card = json.loads((vmaf_workspace / "model" / "m.card.json").read_bytes())
    assert about.items() <= card["dataset"].items()
    runs = [json.loads(path.read_bytes()) for path in vmaf_workspace.glob("output/*/statistics.json")]
    assert [about.items() <= run.items() for run in runs] == [True] * 3
    found = read_entries(vmaf_workspace)
    assert {entry.labels for entry in found} == {said.removeprefix("; labels: ")}
    assert sorted(str(entry.kind) for entry in found) == ["None", "cross-validated", "training", "training"]
    (model,) = trained_models(vmaf_workspace)
    assert model.label_source == "VMAF_V0.6.1neg"


def test_a_test_leaves_its_features_as_training_does(small: Trainable, vmaf_workspace: Path) -> None:
    assert run_testing.main(["VMAF", str(small.dataset), "--suppress-plot"]) == 0
    assert not list(vmaf_workspace.glob("output/*/features.*")), "not without --cache-result"
    assert run_testing.main([*TESTING, str(small.dataset)]) == 0
    (pickled,) = vmaf_workspace.glob("output/*/features.pkl")
    table = pickles.read(pickled)
    with pickled.with_name("features.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table["asset_id"] == [int(row["asset_id"]) for row in rows] == list(range(12))
    assert table["label"] == [float(row["label"]) for row in rows] == list(LABELS)
    assert {"vmaf", "integer_adm2", "integer_vif_scale3"} <= set(table["features"])
    for name, column in table["features"].items():
        assert column == [float(row[name]) for row in rows]
    assert train(small) == 0
    trained = pickles.read(next(path for path in vmaf_workspace.glob("output/*/features.pkl") if path != pickled))
    assert set(trained) == set(table)
    adm2 = table["features"]["integer_adm2"]
    assert adm2 == pytest.approx(trained["features"]["VMAF_integer_feature_adm2_score"].tolist(), abs=1e-9)


@pytest.mark.parametrize(
    ("aggregate", "atoms"), [("VMAF_integer_feature", OFFERED), ("VMAF_feature", (*OFFERED, "motion"))]
)
def test_libvmaf_and_the_pkl_give_the_same_scores(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, aggregate: str, atoms: tuple[str, ...]
) -> None:
    write_features(small.features, aggregate, atoms)
    assert train(small) == 0
    of_libvmaf = scored_by(small, str(vmaf_workspace / "model" / "m.json"), capsys)
    ours = scored_by(small, "m.pkl", capsys)
    assert len(ours) == 12
    assert ours == pytest.approx(of_libvmaf, abs=1e-3)
    assert max(ours.values()) > min(ours.values()) + 10


@pytest.mark.parametrize(
    "version", ["vmaf_v0.6.1neg", "vmaf_4k_v0.6.1", "vmaf_4k_v0.6.1neg", "vmaf_float_v0.6.1", "vmaf_v1.0.16_3d0h"]
)
def test_every_family_of_built_in_models_scores(small: Trainable, capsys: Printed, version: str) -> None:
    write_recipe(small.dataset, contents=(0,), scale=2)
    found = scored_by(small, version, capsys)
    assert found[0] > found[2]


def test_pictures_that_are_too_small_for_a_model_are_said(small: Trainable, capsys: Printed) -> None:
    write_recipe(small.dataset, contents=(0,))
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "vmaf_v1.0.16_3d0h", "--suppress-plot"]) == 1
    err = capsys.readouterr().err
    assert "176×144 is too small for CAMBI: the longer side needs 216 pixels" in err
    assert len([line for line in err.splitlines() if line.startswith("asset 0 (")]) == 1
    assert len(err.splitlines()) < 10, "a line an asset, and no ffmpeg command"


def test_options_of_a_model_begin_no_other_extractor(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    assert train(small) == 0
    path = vmaf_workspace / "model" / "m.pkl"
    info = pickles.read(path)
    for options in (
        {"adm_enhn_gain_limit": f"1|name=cambi:heatmaps_path={tmp_path / 'maps'}"},
        {f"adm_x=1|name=cambi:heatmaps_path={tmp_path / 'maps'}:full_ref": 1},
        {"adm_enhn_gain_limit": [1]},
    ):
        info["model_dict"]["feature_opts_dicts"] = [options, *[{}] * 5]
        pickles.write(path, info)
        capsys.readouterr()
        assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--suppress-plot"]) == 1
        assert "m.pkl: model_dict.feature_opts_dicts: " in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("model_type", ["LIBSVMNUSVR", BOOTSTRAP])
def test_scores_that_cannot_be_pooled_as_asked_are_errors_of_their_assets(
    model_type: str, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_recipe(small.dataset, tuple(label - 60 for label in LABELS))
    write_model(small.model, model_type, score_clip=None, **({"num_models": 4} if model_type == BOOTSTRAP else {}))
    assert train(small) == 0
    capsys.readouterr()
    assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", "m", "--pool=harmonic_mean"]) == 1
    printed = capsys.readouterr()
    failed = re.findall(r"^asset \d+ \(\S+\): its frames have no harmonic mean; pool by", printed.err, re.M)
    assert len(re.findall(r"^asset \d+: VMAF \d", printed.out, re.M)) == 12 - len(failed)
    assert 0 < len(failed) < 12
    assert "nan" not in printed.out
    (table,) = (vmaf_workspace / "output").glob("*/scores.csv")
    with table.open(newline="") as file:
        assert sum("no harmonic mean" in row["error"] for row in csv.DictReader(file)) == len(failed)
    reference, distorted = str(small.directory / "0.mp4"), str(small.videos(0)[2])
    with pytest.raises(HarnessError, match="its frames have no harmonic mean"):
        score(reference=reference, distorted=distorted, vmaf_model="m", pool="harmonic_mean")
    capsys.readouterr()
    assert score(reference=reference, distorted=distorted, vmaf_model="m", json=True) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["pools"]["harmonic_mean"] is None


def test_a_bootstrap_model_prints_its_interval(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    write_model(small.model, BOOTSTRAP, num_models=4)
    assert train(small) == 0
    capsys.readouterr()
    arguments = ["VMAF", str(small.dataset), "--print-result", "--suppress-plot", "--cache-result"]
    assert run_testing.main([*arguments, "--vmaf-model", "m.pkl"]) == 0
    out = capsys.readouterr().out
    pattern = r"; bootstrap: mean (\S+), sd (\S+), 95 % from (\S+) to (\S+)$"
    found = [tuple(map(float, each)) for each in re.findall(pattern, out, re.M)]
    assert len(found) == 12
    assert all(low <= mean <= high and sd >= 0 for mean, sd, low, high in found)
    (table,) = vmaf_workspace.glob("output/*/scores.csv")
    with table.open(newline="") as file:
        assert float(next(csv.DictReader(file))["bootstrap_mean"]) == found[0][0]
    assert run_testing.main([*arguments[:2], *arguments[3:], "--vmaf-model", "m.pkl"]) == 0
    (line,) = re.findall(r"^bootstrap: .*", capsys.readouterr().out, re.M)
    low, high, wide = map(float, re.findall(r"from (\S+) to (\S+) on average, (\S+) wide; widest", line)[0])
    assert low == pytest.approx(sum(each[2] for each in found) / 12, abs=1e-6)
    assert high - low == pytest.approx(wide, abs=2e-6)
    collection = scored_by(small, "m.bootstrap.json", capsys)
    assert collection == scores(out)
    assert scored_by(small, "m.json", capsys) == pytest.approx(collection, abs=1e-3)


def test_a_bare_name_is_a_model_of_the_workspace_or_of_libvmaf(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_model(small.model, BOOTSTRAP, num_models=3)
    assert train(small, "demo.v2") == 0
    models = vmaf_workspace / "model"
    whole = scored_by(small, "demo.v2.pkl", capsys)
    assert scored_by(small, "demo.v2", capsys) == whole
    assert scored_by(small, "demo.v2.bootstrap", capsys) == whole
    for path in models.glob("demo.v2.pkl*"):
        path.unlink()
    assert scored_by(small, "demo.v2", capsys) == scored_by(small, "demo.v2.json", capsys)
    (models / "demo.v2.json").unlink()
    assert scored_by(small, "demo.v2", capsys) == whole
    built_in = scored_by(small, "vmaf_4k_v0.6.1", capsys)
    assert scored_by(small, "version=vmaf_4k_v0.6.1", capsys) == built_in
    assert train(small, "vmaf_4k_v0.6.1") == 0
    capsys.readouterr()
    assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", "vmaf_4k_v0.6.1"]) == 0
    captured = capsys.readouterr()
    assert scores(captured.out) == whole
    assert f"vmaf_4k_v0.6.1 is {models / 'vmaf_4k_v0.6.1.pkl'} here; version=vmaf_4k_v0.6.1 is" in captured.err
    assert scored_by(small, "version=vmaf_4k_v0.6.1", capsys) == built_in


@pytest.mark.parametrize("name", ["demo", "vmaf_v0.6.2", "x" * 300, "."])
def test_a_bare_name_of_no_model_is_said_once_and_no_ffmpeg_is_started(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, name: str
) -> None:
    started = tmp_path / "started"
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    ffmpeg.chmod(0o755)
    monkeypatch.setenv("VMAF_FFMPEG", str(ffmpeg))
    shutil.rmtree(vmaf_workspace / "result_store_dir")
    assert run_testing.main([*TESTING, str(small.dataset), "--vmaf-model", name]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert f"there is no model {name!r} in {vmaf_workspace / 'model'} or in libvmaf" in captured.err
    assert not started.exists()


def test_ends_of_a_feature_that_the_model_lacks_are_warned_of(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    ends = {"VMAF_integer_feature_adm2_score": [0.2, 1.0], "VMAF_feature_adm2_score": [0.1, 1.0]}
    write_model(small.model, norm_type="custom_clip_0to1", custom_clip_0to1_map=ends)
    assert train(small) == 0
    err = capsys.readouterr().err
    assert "custom_clip_0to1_map names VMAF_feature_adm2_score, which is none of the features VMAF_integer_" in err
    assert "it is not used" in err
    del ends["VMAF_feature_adm2_score"]
    write_model(small.model, norm_type="custom_clip_0to1", custom_clip_0to1_map=ends)
    assert train(small, "other") == 0
    assert "custom_clip_0to1_map" not in capsys.readouterr().err


def test_a_score_transform_is_applied_when_asked_for(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    write_model(small.model, score_transform={"p0": 10.0, "p1": 0.5})
    assert train(small) == 0
    plain = scored_by(small, "m.pkl", capsys)
    for model in ("m.pkl", "m.json"):
        arguments = ["VMAF", str(small.dataset), "--vmaf-model", model, "--vmaf-phone-model", "--print-result"]
        assert run_testing.main([*arguments, "--suppress-plot", "--cache-result"]) == 0
        bent = scores(capsys.readouterr().out)
        assert bent == pytest.approx({id_: 10 + score / 2 for id_, score in plain.items()}, abs=2e-3)


def test_a_tuned_set_is_a_model_param(small: Trainable, vmaf_workspace: Path) -> None:
    chosen = {"norm_type": "normalize", "C": 2.0, "nu": 0.5, "gamma": 0.1}
    pickles.write(
        vmaf_workspace / "model_param" / "best.pkl", {"model_type": "LIBSVMNUSVR", "model_param_dict": chosen}
    )
    assert run_vmaf_training.main([*small.inputs[:2], "best.pkl", "m", "--cache-result", "--suppress-plot"]) == 0
    assert json.loads((vmaf_workspace / "model" / "m.json").read_bytes())["param_dict"] == chosen


def test_a_model_that_is_nearly_a_constant_is_said(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    write_model(small.model, norm_type="none", C=0.001)
    assert train(small) == 0
    err = capsys.readouterr().err
    assert re.search(r"nearly a constant: .* have 0\.\d % of the labels' spread", err)
    assert "C 4.0, nu 0.9, gamma 0.05, norm_type clip_0to1" in err
    write_model(small.model)
    assert train(small, "other") == 0
    assert "nearly a constant" not in capsys.readouterr().err


OLD = ("vif", "adm", "motion", "ansnr")  # of VMAF's first models


def test_models_with_ansnr_are_trained_and_their_pkl_and_json_give_one_number(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    write_features(small.features, "VMAF_feature", OLD)
    assert train(small) == 0
    assert "no .json: libvmaf does not offer VMAF_feature_adm_score and VMAF_feature_ansnr_score" in (
        capsys.readouterr().err
    )
    made = read_model(vmaf_workspace / "model" / "m.pkl")
    info = made.as_dict([])
    info["model_dict"]["model"] = made.texts()[0]
    (tmp_path / "old.json").write_text(json.dumps(info))  # as VMAF's own nflx_v1.json is written
    ours = scored_by(small, "m.pkl", capsys)
    assert len(set(ours.values())) == 12
    assert scored_by(small, str(tmp_path / "old.json"), capsys) == ours


def test_all_features_of_upstream_are_trained(small: Trainable, vmaf_workspace: Path) -> None:
    write_features(small.features, "VMAF_feature", "all")
    assert train(small) == 0
    assert len(read_model(vmaf_workspace / "model" / "m.pkl").feature_names) == 39


def test_a_misspelt_option_ends_the_training_before_anything_is_stored(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    with small.features.open("a") as file:
        file.write("feature_optional_dict = {'VMAF_integer_feature': {'adm_enhn_gain_limt': 1.0}}\n")
    stored = sorted(store_directory(vmaf_workspace).rglob("*.json"))
    assert train(small) == 1
    err = capsys.readouterr().err
    assert "libvmaf did not take adm_enhn_gain_limt for adm" in err
    assert "is adm_enhn_gain_limit meant?" in err
    assert sorted(store_directory(vmaf_workspace).rglob("*.json")) == stored
    assert not list((vmaf_workspace / "model").glob("m*"))


def test_options_of_single_features_give_one_number_in_every_form_of_a_model(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    assert train(small) == 0
    model = vmaf_workspace / "model" / "m.pkl"
    info = json.loads(model.with_suffix(".json").read_bytes())
    names = info["model_dict"]["feature_names"]
    own = [{"vif_enhn_gain_limit": 1.0} if name.endswith("vif_scale2_score") else {} for name in names]
    info["model_dict"]["feature_opts_dicts"] = own
    (tmp_path / "one.json").write_text(json.dumps(info))
    several = json.loads(json.dumps(info))
    several["model_dict"]["model_type"] = BOOTSTRAP
    (tmp_path / "several.json").write_text(json.dumps({str(index): several for index in range(3)}))
    head = pickles.read(model)
    head["model_dict"]["feature_opts_dicts"] = own
    pickles.write(model, head)
    by_libvmaf = scored_by(small, str(tmp_path / "one.json"), capsys)
    for form in ("m.pkl", str(tmp_path / "several.json")):
        assert scored_by(small, form, capsys) == pytest.approx(by_libvmaf, abs=1e-3)
    head["model_dict"]["feature_opts_dicts"] = [{"vif_enhn_gain_limit": 1.0} if "vif" in name else {} for name in names]
    pickles.write(model, head)
    merged = scored_by(small, "m.pkl", capsys)
    assert max(abs(merged[asset] - by_libvmaf[asset]) for asset in merged) > 1e-3


# Bad input


def forget_label(small: Trainable) -> None:
    write_recipe(small.dataset, labels=(*LABELS[:3], None, *LABELS[4:]))


def make_constant(small: Trainable) -> None:
    reference, distorted = small.directory / "0.mp4", small.directory / "0_24.mp4"
    for content in (0, 1, 3, 7):
        for source, videos in ((reference, [small.directory / f"{content}.mp4"]), (distorted, small.videos(content))):
            for video in videos:
                if video != source:
                    shutil.copyfile(source, video)


class Touch:
    """Pickled, it makes a file when it is read by `pickle`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


BAD = {
    "missing label": (forget_label, "there is no label for asset 3 (1_24.mp4)"),
    "unknown model type": (lambda s: write_model(s.model, "SVM"), "unknown model type 'SVM'"),
    "unknown norm": (lambda s: write_model(s.model, norm_type="zscore"), "norm_type: expected one of none"),
    "unknown parameter": (lambda s: write_model(s.model, Gamma=1), "is gamma meant?"),
    "unknown feature": (lambda s: write_features(s.features, "VMAF_feature", ("adm22",)), "unknown feature 'adm22'"),
    "unknown aggregate": (
        lambda s: write_features(s.features, "VMAF_features", "all"),
        "unknown features; is VMAF_feature meant?",
    ),
    "constant feature": (make_constant, "a constant tells a model nothing"),
    "one asset": (
        lambda s: s.dataset.write_text(re.sub(r"(?m)^    .*'asset_id': (?!0,).*\n", "", s.dataset.read_text())),
        "at least two assets",
    ),
    "missing video": (lambda s: s.videos(1)[0].unlink(), "missing assets: 1, so nothing was made"),
    "broken video": (lambda s: s.videos(1)[0].write_bytes(b"x"), "assets without features: 1, so"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_an_error_and_leaves_no_model(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, bad: str
) -> None:
    spoil, said = BAD[bad]
    spoil(small)
    assert train(small) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not list((vmaf_workspace / "model").glob("m*"))


def test_a_feature_that_is_no_number_names_the_asset_and_is_measured_again(
    small: Trainable,
    vmaf_workspace: Path,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Printed,
) -> None:
    for stored in store_directory(vmaf_workspace).glob("VMAF_integer_feature_V1.0/t_dataset/3/*.json"):
        first, rest = stored.read_text().split("\n", 1)
        summary = json.loads(first)
        if summary["asset_id"] == 7:
            summary["means"]["integer_adm2"] = float("nan")
        stored.write_text(f"{json.dumps(summary)}\n{rest}")
    nan = 'sed -i "s/\\"mean\\": [0-9.]*/\\"mean\\": NaN/" vmaf.json'
    with monkeypatch.context() as faulty:
        text = f'"{engine.path}" "$@" || exit $?\ncase "$*" in *3_33.mp4*) {nan};; esac'
        faulty.setenv("VMAF_FFMPEG", str(program("nan", tmp_path, text)))
        assert train(small) == 1
    err = capsys.readouterr().err
    assert "integer_adm2 is no number; measured again" in err
    assert "feature VMAF_integer_feature_adm2_score is no number for asset 7 (3_33.mp4)" in err
    assert train(small) == 0
    assert train(small) == 0
    assert capsys.readouterr().err.count("measured again") == 1


def test_a_place_where_no_plot_can_be_is_said_before_anything_is_fitted(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    arguments = [*small.inputs, "m", "--cache-result", "--save-plot", "/sys/plots"]  # read-only for everybody
    assert run_vmaf_training.main(arguments) == 1
    assert "/sys/plots: cannot write plots there: " in capsys.readouterr().err
    assert not list((vmaf_workspace / "model").glob("m.*"))
    assert run_vmaf_training.main([*arguments, "--suppress-plot"]) == 0


def test_assets_left_out_are_said_and_make_the_run_a_failure(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    small.videos(1)[0].unlink()
    small.videos(3)[0].write_bytes(b"no video")
    assert train(small, "m", "--keep-going") == 1
    card = json.loads((vmaf_workspace / "model" / "m.card.json").read_bytes())
    assert (card["dataset"]["assets"], card["dataset"]["left_out"]) == (10, 2)
    assert "1_24.mp4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("nowhere/m", "nowhere is not there; make it first"),
        ("/sys/m", "cannot write the model there"),  # read-only for everybody
        ("m.onnx", "cannot be the name of a model"),
        (".pkl", "cannot be the name of a model"),
        ("models/", "cannot be the name of a model"),
        (".hid", "a model cannot be called '.hid'"),
        ("x.bootstrap", "a model cannot be called 'x.bootstrap'"),
        ("x.card.json", "a model cannot be called 'x.card'"),
        ("x" * 241, "name it with at most 240 bytes"),
        ("ü" * 121, "name it with at most 240 bytes"),
    ],
)
def test_a_place_that_takes_no_model_is_said_before_the_extraction(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, output: str, said: str
) -> None:
    shutil.rmtree(vmaf_workspace / "result_store_dir")
    assert train(small, output) == 1
    assert said in capsys.readouterr().err
    assert not list(store_directory(vmaf_workspace).glob("VMAF*"))


def test_a_tampered_model_param_is_not_run(small: Trainable, capsys: Printed) -> None:
    evil, was_run = small.directory / "evil.pkl", small.directory / "was_run"
    evil.write_bytes(pickle.dumps(Touch(was_run)))
    assert run_vmaf_training.main([*small.inputs[:2], str(evil), "m"]) == 1
    assert "system" in capsys.readouterr().err
    assert not was_run.exists()


def tampered(model: Path) -> None:
    model.write_bytes(pickle.dumps(Touch(model.with_name("was_run"))))


def no_text(model: Path) -> None:
    model.with_name("m.pkl.model").unlink()


def of_scikit_learn(model: Path) -> None:
    from sklearn.svm import NuSVR

    model.write_bytes(pickle.dumps({"param_dict": {}, "model_dict": {"model": NuSVR()}}))


def of_another_model(model: Path) -> None:
    text = model.with_name("m.pkl.model")
    text.write_text(text.read_text().replace("rho ", "rho 1"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_text, "lacks its m.pkl.model"),
        (of_scikit_learn, "NuSVR"),
        (tampered, "system"),
        (of_another_model, "do not belong together"),
        (lambda model: model.write_bytes(b"\x80\x04N."), "model_dict: expected a dictionary"),
        (lambda model: model.unlink(), "no such model"),
    ],
)
def test_a_model_that_is_not_whole_or_not_plain_is_not_tested(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, spoil: Callable[[Path], None], said: str
) -> None:
    assert train(small) == 0
    model = vmaf_workspace / "model" / "m.pkl"
    spoil(model)
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", str(model), "--cache-result"]) == 1
    assert said in capsys.readouterr().err
    assert not model.with_name("was_run").exists()


@pytest.mark.parametrize("content", ['{"0": 1}', '{"0": {"model_dict": {}}}', "[]", '{"model_dict": {'])
def test_a_json_that_is_no_model_is_said(small: Trainable, tmp_path: Path, capsys: Printed, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", str(tmp_path / "m.json")]) == 1
    err = capsys.readouterr().err
    assert "m.json" in err
    assert "Traceback" not in err


def test_a_built_in_collection_is_refused_with_the_remedy(small: Trainable, capsys: Printed) -> None:
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "vmaf_b_v0.6.3"]) == 1
    assert "give the path of its .json" in capsys.readouterr().err


# What cannot be drawn


def broken_matplotlib(directory: Path) -> dict[str, str]:
    (directory / "broken" / "matplotlib").mkdir(parents=True)
    (directory / "broken" / "matplotlib" / "__init__.py").write_text("raise ImportError('its library is gone')\n")
    return {"PYTHONPATH": str(directory / "broken")}


def in_a_process(small: Trainable, name: str, *flags: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    dataset, features, model = small.inputs
    arguments = {
        "run_testing": ["VMAF", dataset],
        "run_vmaf_training": [dataset, features, model, "m"],
        "run_vmaf_cross_validation": [dataset, features, model, "--leave-one-source-out"],
    }[name]
    process = start(name, *arguments, *flags, **environ)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


SCRIPTS = ("run_testing", "run_vmaf_training", "run_vmaf_cross_validation")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("run_testing", "matplotlib"),
        ("run_testing", "disk"),
        ("run_vmaf_training", "directory"),
        *(
            pytest.param(name, fault, marks=pytest.mark.slow)
            for name in SCRIPTS[1:]
            for fault in ("matplotlib", "disk")
        ),
        *(pytest.param(name, "directory", marks=pytest.mark.slow) for name in (SCRIPTS[0], SCRIPTS[2])),
    ],
)
def test_what_cannot_be_drawn_is_a_line_after_everything_else(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, engine: Engine, name: str, fault: str
) -> None:
    plots = tmp_path / "plots"
    environ = broken_matplotlib(tmp_path) if fault == "matplotlib" else {}
    if fault == "directory":  # gone while videos are measured
        gone = program("ffmpeg", tmp_path, f"rm -rf '{plots}'\nexec '{engine.path}' \"$@\"")
        environ = {"VMAF_FFMPEG": str(gone)}
    if fault == "disk":  # the old plot is too large a file to be written again
        plots.mkdir()
        unlimited = program("ffmpeg", tmp_path, f"ulimit -S -f unlimited\nexec '{engine.path}' \"$@\"")
        environ = {"PYTHONPATH": str(tmp_path), "VMAF_FFMPEG": str(unlimited)}
        (tmp_path / "sitecustomize.py").write_text(
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (12000, resource.RLIM_INFINITY))\n"
        )
    code, out, err = in_a_process(small, name, "--cache-result", f"--save-plot={plots}", **environ)
    assert code == 1
    assert " 12 assets: " in out
    assert ".png" not in out
    assert "Traceback" not in err
    cause = {"matplotlib": "its library is gone", "disk": "File too large", "directory": "No such file or directory"}[
        fault
    ]
    (line,) = [line for line in err.splitlines() if "plot" in line]
    assert line.startswith(f"cannot write the plot {plots}/t_dataset_")
    assert cause in line
    assert len(list(vmaf_workspace.glob("output/*/statistics.json"))) == 1
    assert len(list(vmaf_workspace.glob("output/*/features.csv"))) == 1
    if name == "run_vmaf_training":
        assert {"m.pkl", "m.pkl.model", "m.json", "m.card.json"} < set(os.listdir(vmaf_workspace / "model"))


@pytest.mark.parametrize("json_flag", [False, True])
def test_a_score_is_printed_whole_before_a_plot_fails(
    small: Trainable, tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch, json_flag: bool
) -> None:
    pair: dict[str, Any] = {"reference": str(small.directory / "3.mp4"), "distorted": str(small.videos(3)[0])}
    assert score(**pair, json=json_flag) == 0
    whole = capsys.readouterr().out
    code = (
        f"import sys\nfrom vmaf_harness.commands import score\nfrom pathlib import Path\n"
        f"sys.exit(score(**{pair!r}, json={json_flag}, save_plot=Path({str(tmp_path / 'plots')!r})))"
    )
    environ = {**os.environ, **broken_matplotlib(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "its library is gone" in line]) == 1
    assert "Traceback" not in done.stderr
    if json_flag:
        expected, found = json.loads(whole), json.loads(done.stdout)
        assert found["frames"] == expected["frames"]
        assert found["score"] == expected["score"]
    else:
        assert done.stdout == whole


# Features pooled otherwise than by their mean


def test_features_are_pooled_as_asked_and_the_card_says_so(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert train(small, "mean") == 0
    assert train(small, "low", "--pool", "perc10") == 0
    cards = [json.loads((vmaf_workspace / "model" / f"{name}.card.json").read_bytes()) for name in ("mean", "low")]
    assert [card["feature_pool"] for card in cards] == ["mean", "perc10"]
    assert cards[1]["statistics_of"].endswith("by the perc10 of their features")
    assert train(small, "low", "--pool", "perc10") == 0  # the same run again
    capsys.readouterr()
    assert train(small, "low") == 3  # another
