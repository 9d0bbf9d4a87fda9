"""Finished parts of long runs: found by the same run alone, and what a kill leaves is enough to go on."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import start, wait_until
from trainable import LABELS, Trainable, write_features, write_model, write_recipe

from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import ModelParam, build_model_param
from vmaf_harness.script import run_vmaf_cross_validation, run_vmaf_training, run_vmaf_tuning
from vmaf_harness.training.checkpoints import Checkpoints, checkpoint_key
from vmaf_harness.training.fit import Table

FEATURES = FeatureParam(atoms=(("VMAF_integer_feature", "adm2"), ("VMAF_integer_feature", "motion2")))
ADM, MOTION = FEATURES.feature_names
TABLE = Table(features={ADM: [0.1, 0.2, 0.4], MOTION: [1.0, 5.0, 2.0]}, labels=[1.0, 2.0, 3.0], assets=["a", "b", "c"])
PARAMETERS = build_model_param("LIBSVMNUSVR", {"norm_type": "none"})


def key(
    table: Table = TABLE, features: FeatureParam = FEATURES, parameters: ModelParam = PARAMETERS, seed: int = 0
) -> str:
    return checkpoint_key(table, features, parameters, seed=seed)


def test_a_part_comes_back_as_it_was_put(tmp_path: Path) -> None:
    warned: list[str] = []
    kept = Checkpoints(tmp_path / "ws", "training", "some", key(), warn=warned.append)
    assert kept.get("0001") is None
    assert not (tmp_path / "ws").exists()
    kept.put("0001", {"rows": [1, 2], "of": np.array([0.1, -0.0])})
    again = Checkpoints(tmp_path / "ws", "training", "some", key(), warn=warned.append).get("0001")
    assert again["rows"] == [1, 2]
    assert again["of"].tobytes() == np.array([0.1, -0.0]).tobytes()
    assert not warned


def test_a_damaged_part_is_said_and_made_again(tmp_path: Path) -> None:
    warned: list[str] = []
    kept = Checkpoints(tmp_path / "ws", "training", "some", key(), warn=warned.append)
    kept.put("0001", "text")
    (part,) = kept.directory.glob("*.pkl")
    part.write_bytes(part.read_bytes()[:-3])
    assert kept.get("0001") is None
    assert str(part) in warned[0]


def test_the_name_of_a_dataset_leads_nowhere(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "training", "../../x/y", key(), warn=lambda _: None)
    assert kept.directory.parent == tmp_path / "checkpoints_dir"


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(seed=1),
        lambda: key(replace(TABLE, labels=[1.0, 2.0, 3.5])),
        lambda: key(replace(TABLE, features={ADM: [0.1, 0.2, 0.4], MOTION: [1.0, 5.0, 2.5]})),
        lambda: key(TABLE.rows([0, 2, 1])),
        lambda: key(features=FeatureParam(atoms=FEATURES.atoms[:1])),
        lambda: key(features=replace(FEATURES, options=({"adm_enhn_gain_limit": 1.0}, {}))),
        lambda: key(parameters=build_model_param("LIBSVMNUSVR", {"norm_type": "normalize"})),
        lambda: key(parameters=build_model_param("BOOTSTRAP_LIBSVMNUSVR", {"norm_type": "none"})),
    ],
)
def test_other_data_or_parameters_have_another_key(other: Callable[[], str]) -> None:
    assert key() == key(
        Table(
            features={MOTION: TABLE.features[MOTION], ADM: TABLE.features[ADM]},
            labels=np.array([1.0, 2.0, 3.0]),
            assets="xyz",
        )
    )
    assert other() != key()


# Runs that were killed

MODELS = 200
SUFFIXES = (
    "pkl",
    "pkl.model",
    "pkl.0001",
    f"pkl.{MODELS - 1:04d}",
    f"pkl.{MODELS - 1:04d}.model",
    "json",
    "bootstrap.json",
)


def parts(workspace: Path) -> list[Path]:
    return sorted((workspace / "checkpoints_dir").glob("*/*.pkl"))


def kill_half_way(workspace: Path, script: str, *arguments: str, after: int = 5) -> int:
    """Start a script, kill it after so many parts; how many there are then."""
    process = start(script, *arguments)
    wait_until(lambda: len(parts(workspace)) >= after or process.poll() is not None, 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had ended before it was killed"
    return len(parts(workspace))


def taken(workspace: Path) -> dict[str, bytes]:
    """What the checkpoints and the runs in `output/` hold, which then are gone; not `run.json`, which has a date."""
    found = {}
    for path in [*parts(workspace), *workspace.glob("output/*/*.*")]:
        if path.name != "run.json":
            found[path.name] = path.read_bytes()
        path.unlink()
    return found


@pytest.mark.parametrize("model_type", ["BOOTSTRAP_LIBSVMNUSVR", "RESIDUEBOOTSTRAP_LIBSVMNUSVR"])
def test_a_bootstrap_that_was_killed_ends_with_the_same_bytes(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str], model_type: str
) -> None:
    write_model(small.model, model_type, num_models=MODELS)
    flags = ("--cache-result", "--suppress-plot")
    done = kill_half_way(vmaf_workspace, "run_vmaf_training", *small.inputs, "m", *flags)
    models = vmaf_workspace / "model"
    assert not list(models.glob("m*"))
    assert run_vmaf_training.main([*small.inputs, "m", *flags]) == 0
    err = capsys.readouterr().err
    assert f"{done} of {MODELS} models are taken from" in err
    assert len(err.splitlines()) < MODELS - done + 20
    resumed = {suffix: (models / f"m.{suffix}").read_bytes() for suffix in SUFFIXES}
    for part in parts(vmaf_workspace):
        part.unlink()
    assert run_vmaf_training.main([*small.inputs, "m", *flags]) == 0
    assert "are taken from" not in capsys.readouterr().err
    assert resumed == {suffix: (models / f"m.{suffix}").read_bytes() for suffix in SUFFIXES}


def test_checkpoints_that_stay_are_named_with_what_frees_them(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result", "--suppress-plot"]) == 0
    write_model(small.model)
    by_content = ("--folds", "2", "--cache-result")
    assert run_vmaf_cross_validation.main([*small.inputs, *by_content, "--suppress-plot"]) == 0
    assert run_vmaf_tuning.main([*small.inputs, "best", *by_content, "--gamma", "0.1", "--C", "1", "--nu", "0.5"]) == 0
    err = capsys.readouterr().err
    for directory in {part.parent for part in parts(vmaf_workspace)}:
        assert f"checkpoints are kept in {directory} for the same run; " in err
    assert err.count("`vmaf-ws wipe-models --only checkpoints_dir` removes all of them") == 3
    named = ["--workspace", str(vmaf_workspace)]
    assert run_vmaf_cross_validation.main([*small.inputs, *by_content, "--suppress-plot", *named]) == 0
    flag = f"--workspace {shlex.quote(str(vmaf_workspace))}"
    assert f"`vmaf-ws wipe-models {flag} --only checkpoints_dir` removes" in capsys.readouterr().err


def test_a_bootstrap_that_is_stopped_says_so_and_keeps_its_parts(small: Trainable, vmaf_workspace: Path) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=2000)
    process = start("run_vmaf_training", *small.inputs, "m", "--cache-result", "--suppress-plot")
    wait_until(lambda: len(parts(vmaf_workspace)) > 4 or process.poll() is not None, 60)
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in err
    assert "Traceback" not in err
    assert len(parts(vmaf_workspace)) > 4
    assert not list((vmaf_workspace / "model").glob("m*"))


def test_a_search_that_was_killed_ends_with_the_same_set(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small.inputs, "best", "--cache-result", "--random", "80", "--folds", "4"]
    done = kill_half_way(vmaf_workspace, "run_vmaf_tuning", *arguments)
    best = vmaf_workspace / "model_param" / "best.pkl"
    assert not best.exists()
    assert run_vmaf_tuning.main(arguments) == 0
    captured = capsys.readouterr()
    tried = [line for line in captured.err.splitlines() if "/80 C" in line]
    assert len(tried) == 80 - done
    resumed = captured.out, best.read_bytes(), taken(vmaf_workspace)
    assert run_vmaf_tuning.main(arguments) == 0
    assert (capsys.readouterr().out, best.read_bytes(), taken(vmaf_workspace)) == resumed


@pytest.mark.slow
def test_a_cross_validation_that_was_killed_ends_with_the_same_bytes(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forest = "model_type = 'RANDOMFOREST'\nmodel_param_dict = {'norm_type': 'none', 'n_estimators': 1500}\n"
    small.model.write_text(forest)  # a fold takes a second
    arguments = [*small.inputs, "--cache-result", "--leave-one-source-out", "--suppress-plot", "--processes", "1"]
    done = kill_half_way(vmaf_workspace, "run_vmaf_cross_validation", *arguments, after=1)
    assert 1 <= done < 4
    assert not list(vmaf_workspace.glob("output/*/statistics.json"))
    assert run_vmaf_cross_validation.main(arguments) == 0
    captured = capsys.readouterr()
    assert f"{4 - done}/4 fold" in captured.err
    assert f"{5 - done}/4 fold" not in captured.err
    resumed = captured.out, taken(vmaf_workspace)
    assert run_vmaf_cross_validation.main(arguments) == 0
    assert (capsys.readouterr().out, taken(vmaf_workspace)) == resumed


def test_cross_validation_goes_on_with_the_folds_that_are_missing(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small.inputs, "--cache-result", "--leave-one-source-out", "--suppress-plot"]
    assert run_vmaf_cross_validation.main(arguments) == 0
    first = capsys.readouterr()
    assert "4/4 fold" in first.err
    for part in parts(vmaf_workspace)[1:3]:
        part.unlink()
    assert run_vmaf_cross_validation.main(arguments) == 0
    second = capsys.readouterr()
    assert "2/4 fold" in second.err
    assert "3/4 fold" not in second.err
    assert second.out == first.out


def other_labels(small: Trainable) -> None:
    write_recipe(small.dataset, labels=(LABELS[0] - 0.5, *LABELS[1:]))


def other_parameters(small: Trainable) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3, gamma=0.3)


def other_features(small: Trainable) -> None:
    write_features(small.features, "VMAF_integer_feature", ("adm2", "vif_scale0"))


@pytest.mark.parametrize("change", [other_labels, other_parameters, other_features])
def test_checkpoints_of_other_data_or_parameters_are_not_picked_up(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Trainable], None]
) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    arguments = [*small.inputs, "m", "--cache-result", "--suppress-plot"]
    assert run_vmaf_training.main(arguments) == 0
    assert run_vmaf_training.main(arguments) == 0
    assert "3 of 3 models are taken from" in capsys.readouterr().err
    change(small)
    assert run_vmaf_training.main([*arguments, "--overwrite"]) == 0
    assert "are taken from" not in capsys.readouterr().err
    assert len(os.listdir(vmaf_workspace / "checkpoints_dir")) == 3  # the placeholder, too


def test_an_edited_member_is_fitted_again(small: Trainable, vmaf_workspace: Path) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    arguments = [*small.inputs, "m", "--cache-result", "--suppress-plot"]
    assert run_vmaf_training.main(arguments) == 0
    whole = (vmaf_workspace / "model" / "m.bootstrap.json").read_bytes()
    parts(vmaf_workspace)[1].write_bytes(parts(vmaf_workspace)[1].read_bytes().replace(b"total_sv", b"total_xx"))
    assert run_vmaf_training.main(arguments) == 0
    assert (vmaf_workspace / "model" / "m.bootstrap.json").read_bytes() == whole
