"""Features and regressors of other packages: used like our own, and named where they do something wrong."""

from __future__ import annotations

import csv
import json
import math
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from clips import HEIGHT_PX, N_FRAMES, WIDTH_PX, Clips, start
from packages import ERRORS, FEATURES, NEAREST, REGRESSORS, install
from trainable import LABELS, Trainable, write_features, write_model

from vmaf_harness.engine.ffmpeg import Processes, StoppedError
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.common_form import CommonForm
from vmaf_harness.measure.measurement import measure
from vmaf_harness.measure.plugin_frames import plugin_columns
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.model.files import read_model
from vmaf_harness.model.inspection import read
from vmaf_harness.model.model_param import read_model_param
from vmaf_harness.model.predictor import resolve_quality_type
from vmaf_harness.model.quality_type import extraction, named_type
from vmaf_harness.plugins import FramePair, PluginError, load
from vmaf_harness.script import run_extraction, run_testing, run_vmaf_cross_validation, run_vmaf_training

Printed = pytest.CaptureFixture[str]
Installing = Callable[..., Path]
Job = Callable[..., MeasurementJob]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installing:
    """Install packages, each found before those of earlier calls."""

    def run(package: str, points: dict[str, dict[str, str]], **about: str) -> Path:
        place = install(tmp_path / f"site{len(list(tmp_path.glob('site*')))}", package, points, **about)
        monkeypatch.syspath_prepend(str(place))
        return place

    return run


@pytest.fixture
def errors(installed: Installing) -> Path:
    return installed("luma-errors", {FEATURES: {"Errors_feature": ERRORS}})


def write_param(path: Path, kinds: dict[str, list[str] | str]) -> None:
    path.write_text(f"feature_dict = {kinds!r}\n")


def train(small: Trainable, *arguments: str) -> int:
    return run_vmaf_training.main([*small.inputs, *arguments, "--suppress-plot"])


def test_libvmaf_and_a_package_see_the_same_frames(errors: Path, job: Job) -> None:
    made = replace(job(), extraction=extraction("Errors_feature_mse"))
    assert made.extraction.options[1] == ("feature", "name=psnr")
    made = pickle.loads(pickle.dumps(made))  # noqa: S301 - as it is sent to a worker
    with Processes() as processes:
        found = measure(made, processes)
    assert found.n_frames == len(found.frames["Errors_feature_mse_score"]) == N_FRAMES
    for squared, psnr in zip(found.frames["Errors_feature_mse_score"], found.frames["psnr_y"], strict=True):
        assert 10 * math.log10(255**2 / squared) == pytest.approx(psnr, abs=1e-5)
    assert found.means["Errors_feature_mean_score"] == pytest.approx(
        np.mean(found.frames["Errors_feature_mean_score"]), abs=1e-9
    )
    assert not made.directory.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [ERRORS, ERRORS.replace("    found =", "    1 / 0\n    found =")], ids=["right", "fails"]
)
def test_a_package_is_used_by_the_workers_of_a_cluster(
    text: str, installed: Installing, small: Trainable, vmaf_workspace: Path
) -> None:
    if find_spec("distributed") is None:  # importing it here would take seconds
        pytest.skip("Dask is in the extra distributed")
    place = installed("luma-errors", {FEATURES: {"Errors_feature": text}})
    program = vmaf_workspace.parent / "cluster.py"
    program.write_text(
        "import sys\n"
        "from distributed import LocalCluster\n"
        "from vmaf_harness.script.run_testing import main\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(1, processes=True, dashboard_address=None) as cluster:\n"
        "        sys.exit(main([*sys.argv[1:], '--scheduler', cluster.scheduler_address]))\n"
    )
    arguments = ["Errors_feature_mse", str(small.dataset), "--print-result", "--suppress-plot"]
    environ = {**os.environ, "PYTHONPATH": str(place)}
    there = subprocess.run(
        [sys.executable, program, *arguments], capture_output=True, text=True, check=False, env=environ
    )
    if text != ERRORS:
        assert there.returncode == 1
        assert "Errors_feature of the package luma-errors (version 1) failed in extract: ZeroDivision" in there.stderr
        return
    assert there.returncode == 0, there.stderr
    here = start("run_testing", *arguments, PYTHONPATH=str(place))
    assert there.stdout == here.communicate(timeout=60)[0]


DESCRIBED = """
VERSION = "1"
ATOMS = ("depth", "bytes", "rows", "columns", "greatest")

def extract(pairs):
    found = {atom: [] for atom in ATOMS}
    for reference, distorted, depth, is_full_range in pairs:
        rows, columns = distorted[1].shape
        given = (depth, distorted[2].itemsize, rows, columns, distorted[0].max())
        for atom, number in zip(ATOMS, given):
            found[atom].append(number)
    return found
"""


def test_a_package_gets_the_planes_of_the_common_form(installed: Installing, job: Job) -> None:
    installed("described", {FEATURES: {"Described_feature": DESCRIBED}})
    of = extraction("Described_feature_depth")
    with Processes() as processes:
        shallow = measure(replace(job(quality_width_px=175, quality_height_px=143), extraction=of), processes).means
        deep = measure(replace(job(workfile_yuv_type="yuv422p10le"), extraction=of), processes).means
    names = [f"Described_feature_{atom}_score" for atom in ("depth", "bytes", "rows", "columns")]
    assert [shallow[name] for name in names] == [8, 1, 72, 88]
    assert [deep[name] for name in names] == [10, 2, HEIGHT_PX, WIDTH_PX / 2]
    assert 255 < deep["Described_feature_greatest_score"] < 1024


def test_a_model_of_a_packages_features_is_trained_stored_and_tested_like_others(
    errors: Path, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_param(small.features, {"Errors_feature": "all", "VMAF_integer_feature": ["adm2"]})
    assert train(small, "m", "--cache-result") == 0
    said = capsys.readouterr().err
    assert "12 assets, 0 of them stored before" in said
    assert "no .json: libvmaf has no Errors_feature of the package luma-errors" in said
    models = vmaf_workspace / "model"
    assert sorted(each.name for each in models.glob("m.*")) == ["m.card.json", "m.pkl", "m.pkl.model"]
    card = json.loads((models / "m.card.json").read_bytes())
    assert card["features"][:2] == ["Errors_feature_mean_score", "Errors_feature_mse_score"]
    assert [each["package"] for each in card["plugins"]] == ["luma-errors"]
    assert train(small, "m", "--cache-result") == 0
    assert "12 assets, 12 of them stored before" in capsys.readouterr().err
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result", "--print-result"]) == 0
    printed = capsys.readouterr()
    assert "12 assets scored, 12 of them stored before" in printed.err
    assert printed.out.count("asset ") == 12
    assert run_vmaf_cross_validation.main([*small.inputs, "--folds=2", "--cache-result", "--suppress-plot"]) == 0


def test_a_feature_of_a_package_is_a_quality_type(
    errors: Path, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    command = ["errors-feature-MSE", str(small.dataset), "--cache-result", "--print-result", "--suppress-plot"]
    assert run_testing.main(command) == 0
    said = capsys.readouterr()
    assert "asset 0: Errors_feature_mse " in said.out
    assert "from 0 to 65025; lower is better" in said.err
    assert run_testing.main(command) == 0
    assert "12 of them stored before" in capsys.readouterr().err
    with pytest.raises(HarnessError, match="the plug-in Errors_feature has Errors_feature_mse, Errors_feature_mean"):
        named_type("errors_feature_what")


def test_another_version_is_measured_again_and_no_model_of_the_first_takes_it(
    errors: Path, installed: Installing, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_features(small.features, "Errors_feature", ("mse",))
    assert train(small, "m", "--cache-result") == 0
    sys.path.remove(str(errors))
    installed("luma-errors", {FEATURES: {"Errors_feature": ERRORS.replace('"1"', '"2"')}}, version="2.0")
    capsys.readouterr()
    assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result"]) == 0
    assert "12 assets, 0 of them stored before" in capsys.readouterr().err
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m"]) == 1
    said = capsys.readouterr().err
    assert "Errors_feature of the package luma-errors has version 2 here, and 1 is needed" in said
    assert "install that version of luma-errors" in said


def test_features_of_one_name_in_another_package_are_not_taken_for_those_of_the_first(
    errors: Path, installed: Installing, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_features(small.features, "Errors_feature", ("mse",))
    assert train(small, "m", "--cache-result") == 0
    sys.path.remove(str(errors))
    place = installed("Luma_Errors", {FEATURES: {"Errors_feature": ERRORS}})  # the same name, as other tools write it
    assert train(small, "m", "--cache-result") == 0
    assert "12 assets, 12 of them stored before" in capsys.readouterr().err
    sys.path.remove(str(place))
    installed("other-errors", {FEATURES: {"Errors_feature": ERRORS.replace("reference - ", "")}})
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result"]) == 1
    said = capsys.readouterr().err
    assert "Errors_feature of the package luma-errors is needed, and here Errors_feature is of" in said
    assert "install luma-errors instead of it" in said
    assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result"]) == 0
    assert "12 assets, 0 of them stored before" in capsys.readouterr().err


def test_a_model_whose_package_is_gone_can_be_looked_at_and_says_what_it_needs(
    errors: Path, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    write_features(small.features, "Errors_feature", ("mse",))
    assert train(small, "m", "--cache-result") == 0
    sys.path.remove(str(errors))
    path = vmaf_workspace / "model" / "m.pkl"
    assert read_model(path).feature_names == ("Errors_feature_mse_score",)
    assert "luma-errors" in read(path)["why_no_json"]
    capsys.readouterr()
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result"]) == 1
    assert "has the kind of features Errors_feature; install the package luma-errors" in capsys.readouterr().err


NUMBERS = "[1.0 for _ in pairs]"
WRONG_FEATURES = {  # what `extract` does -> what is said of it
    "raise ValueError('no good')": r"failed in extract: ValueError: no good \(.*\.py:4\)",
    "raise SystemExit(0)": "failed in extract: SystemExit: 0",
    f"return {{'a': {NUMBERS}[1:]}}": f"returns {N_FRAMES - 1} numbers from extract for a, and {N_FRAMES} are needed",
    "return {'a': [float('nan') for _ in pairs]}": "returns nan from extract for a, 12 times of 12",
    "return {'a': [i if i else float('inf') for i, _ in enumerate(pairs)]}": r"inf .* 1 times of 12 \(first 0\)",
    "return {'a': ['x' for _ in pairs]}": "returns no numbers from extract for a",
    "return {'a': 1}": "returns no numbers from extract for a",
    f"return {{'b': {NUMBERS}}}": "has to return a from extract, by name, and returns b",
    f"return {NUMBERS}": "has to return a from extract, by name, and returns list",
    "next(pairs).reference[0][0, 0] = 1": "failed in extract: ValueError: assignment destination is read-only",
}


@pytest.mark.parametrize("does", WRONG_FEATURES)
def test_a_feature_that_does_wrong_is_an_error_that_names_its_package(
    does: str, installed: Installing, job: Job
) -> None:
    text = f"VERSION, ATOMS = '7', ['a']\n\ndef extract(pairs):\n    {does}\n"
    installed("wrong-features", {FEATURES: {"Wrong_feature": text}})
    made = replace(job(), extraction=extraction("Wrong_feature_a"))
    with Processes() as processes, pytest.raises(PluginError, match=WRONG_FEATURES[does]) as raised:
        measure(made, processes)
    assert "asset 0 " in str(raised.value)
    assert "Wrong_feature of the package wrong-features (version 7)" in str(raised.value)
    assert "correct the package" in str(raised.value)


def test_an_asset_with_a_feature_that_does_wrong_is_left_out_where_the_others_go_on(
    installed: Installing, small: Trainable, capsys: Printed
) -> None:
    fails = ERRORS.replace("    return found", "    assert found['mse'][0] < 30, 'too much'\n    return found")
    installed("fragile", {FEATURES: {"Fragile_feature": fails}})
    write_features(small.features, "Fragile_feature", ("mse",))
    assert run_extraction.main([str(small.dataset), str(small.features), "--keep-going"]) == 1
    said = capsys.readouterr().err
    assert "failed in extract: AssertionError: too much" in said
    assert 0 < int(said.partition(" assets, 0 of them")[0].split()[-1]) < 12


IMPORTS = {  # the text of the module -> what is said of it
    "1 / 0": "failed in its import: ZeroDivisionError",
    "import a_module_that_nobody_has": "failed in its import: ModuleNotFoundError",
    "raise SystemExit": "failed in its import: SystemExit",
    "def f(:": "failed in its import: SyntaxError",
    "VERSION, ATOMS = '1', ['a']": "has no function extract",
    "ATOMS = ['a']\ndef extract(pairs): ...": "has no VERSION that is text",
    "VERSION = 1\ndef extract(pairs): ...": "has no VERSION that is text: 1",
    "VERSION = '1'\ndef extract(pairs): ...": "has no ATOMS",
    "VERSION, ATOMS = '1', ['a', 'a']\ndef extract(pairs): ...": "has no ATOMS that are names, each once",
    "VERSION, ATOMS = '1', ['a b']\ndef extract(pairs): ...": "has no ATOMS that are names",
    "VERSION, ATOMS = '1', 'ab'\ndef extract(pairs): ...": "has no ATOMS that are names",
}


@pytest.mark.parametrize("text", IMPORTS, ids=range(len(IMPORTS)))
def test_a_package_that_cannot_be_used_is_an_error_of_those_who_ask_for_it_alone(
    text: str, installed: Installing, tmp_path: Path
) -> None:
    installed("broken", {FEATURES: {"Broken_feature": text}, REGRESSORS: {"BROKEN": "1 / 0"}})
    write_param(tmp_path / "asks.py", {"Broken_feature": ["a"]})
    with pytest.raises(PluginError, match=f"Broken_feature of the package broken .*{IMPORTS[text]}"):
        read_feature_param(tmp_path / "asks.py")
    with pytest.raises(PluginError, match="Broken_feature of the package broken"):
        named_type("Broken_feature_a")
    write_param(tmp_path / "others.py", {"VMAF_feature": ["adm2"]})
    assert read_feature_param(tmp_path / "others.py").feature_names == ("VMAF_feature_adm2_score",)
    write_model(tmp_path / "model.py")
    assert read_model_param(tmp_path / "model.py").model_type == "LIBSVMNUSVR"
    assert named_type("psnr") == "PSNR"
    write_param(tmp_path / "none.py", {"qq": ["a"]})
    with pytest.raises(HarnessError, match=r"known are .*Broken_feature"):  # by name: nothing of it is imported
        read_feature_param(tmp_path / "none.py")


def test_commands_that_do_not_use_a_broken_package_do_not_import_it(
    installed: Installing, clips: Clips, tmp_path: Path, vmaf_workspace: Path
) -> None:
    text = f"open({str(tmp_path / 'IMPORTED')!r}, 'w')\n1 / 0\n"
    place = installed("broken", {FEATURES: {"Broken_feature": text}, REGRESSORS: {"BROKEN": text}})
    score = [sys.executable, "-m", "vmaf_harness.cli", "score"]
    done = subprocess.run(
        [*score, f"--reference={clips.mp4('reference')}", f"--distorted={clips.mp4('x264')}"],
        env={**os.environ, "PYTHONPATH": str(place), "VMAF_WORKSPACE": str(vmaf_workspace)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:5]) == (0, "VMAF "), done.stderr
    assert not (tmp_path / "IMPORTED").exists()


def test_names_of_our_own_and_of_two_packages_are_refused_where_they_are_asked_for(
    installed: Installing, tmp_path: Path
) -> None:
    installed("taker", {FEATURES: {"VMAF_feature": ERRORS}, REGRESSORS: {"LIBSVMNUSVR": NEAREST, "NIQE": NEAREST}})
    write_param(tmp_path / "f.py", {"VMAF_feature": ["adm2"]})
    with pytest.raises(PluginError, match="the package taker has a kind of features VMAF_feature, a name of our own"):
        read_feature_param(tmp_path / "f.py")
    write_param(tmp_path / "f.py", {"VMAF_integer_feature": ["adm2"]})
    assert read_feature_param(tmp_path / "f.py").atoms
    for name in ("LIBSVMNUSVR", "NIQE"):
        write_model(tmp_path / "m.py", name)
        with pytest.raises(PluginError, match=f"the package taker has a regressor {name}, a name of our own"):
            read_model_param(tmp_path / "m.py")
    for package in ("one", "other"):
        installed(package, {FEATURES: {"Twice_feature": ERRORS}})
    with pytest.raises(PluginError, match=r"Twice_feature is in several packages: (one, other|other, one); uninstall"):
        load(FEATURES, "Twice_feature")


def test_a_kind_whose_name_no_model_could_hold_is_refused(installed: Installing) -> None:
    installed("odd", {FEATURES: {"Errors": ERRORS, "A_feature_b_feature": ERRORS}})
    for name in ("Errors", "A_feature_b_feature"):
        with pytest.raises(PluginError, match=f"{name} of the package odd .* has a name that no kind of features"):
            load(FEATURES, name)


def test_features_of_a_package_take_no_options(errors: Path, tmp_path: Path) -> None:
    text = "feature_dict = {'Errors_feature': ['mse']}\nfeature_optional_dict = {'Errors_feature': {'adm_x': 1}}\n"
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(HarnessError, match=r"f\.py:2: .*the plug-in Errors_feature takes none"):
        read_feature_param(tmp_path / "f.py")
    write_param(tmp_path / "f.py", {"Errors_feature": ["msee"]})
    with pytest.raises(HarnessError, match="unknown feature 'msee'; known are mean, mse"):
        read_feature_param(tmp_path / "f.py")


def test_frames_paired_by_time_are_refused_before_anything_is_measured(errors: Path, job: Job) -> None:
    made = replace(job(pairing="time"), extraction=extraction("Errors_feature_mse"))
    with Processes() as processes, pytest.raises(PluginError, match="Errors_feature of the package luma-errors gets"):
        measure(made, processes)
    assert not made.directory.exists()


def test_what_is_extracted_without_a_package_is_stored_under_the_key_of_before(errors: Path, tmp_path: Path) -> None:
    write_param(tmp_path / "f.py", {"VMAF_integer_feature": ["adm2"]})
    plain = read_feature_param(tmp_path / "f.py").extraction
    assert set(plain.identity) == {"executor_id", "options", "model_sha256"}
    write_param(tmp_path / "f.py", {"VMAF_integer_feature": ["adm2"], "Errors_feature": ["mse"]})
    both = read_feature_param(tmp_path / "f.py").extraction
    assert both.identity["plugins"] == [["luma-errors", "Errors_feature", "1", "mse", "mean"]]
    assert both.executor_id == "VMAF_integer_feature_and_Errors_feature_V1.0"
    assert both.options == plain.options


def test_of_one_frame_in_so_many_a_package_gets_those_that_libvmaf_measures(errors: Path, tmp_path: Path) -> None:
    form = CommonForm(width_px=3, height_px=3, pix_fmt="yuv420p", range="tv")
    (tmp_path / "reference.yuv").write_bytes(bytes(17 * 8))
    (tmp_path / "distorted.yuv").write_bytes(b"".join(bytes([number]) * 17 for number in range(8)))
    use = load(FEATURES, "Errors_feature").use
    found = plugin_columns(use, tmp_path, form, 3, Processes().check, every=3)
    assert found["Errors_feature_mean_score"] == [0.0, 3.0, 6.0]
    with pytest.raises(HarnessError, match=r"reference\.yuv ends before frame 9"):
        plugin_columns(use, tmp_path, form, 4, Processes().check, every=3)


def test_a_stop_ends_a_feature_at_its_next_frame(installed: Installing, tmp_path: Path) -> None:
    text = ERRORS.replace("for pair in pairs:", "for pair in _all(pairs):") + (
        "\ndef _all(pairs):\n    try:\n        yield from pairs\n    except Exception:\n        yield from ()\n"
    )
    installed("stubborn", {FEATURES: {"Stubborn_feature": text}})
    for name in ("reference.yuv", "distorted.yuv"):
        (tmp_path / name).write_bytes(bytes(6 * 4))
    processes = Processes()
    form = CommonForm(width_px=2, height_px=2, pix_fmt="yuv420p", range="tv")
    use = load(FEATURES, "Stubborn_feature").use
    assert plugin_columns(use, tmp_path, form, 4, processes.check)["Stubborn_feature_mse_score"] == [0.0] * 4
    processes.stop()
    with pytest.raises(StoppedError):
        plugin_columns(use, tmp_path, form, 4, processes.check)


def test_a_regressor_of_a_package_is_trained_stored_as_data_and_tested(
    installed: Installing, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    place = installed("nearest", {REGRESSORS: {"NEAREST": NEAREST}})
    write_model(small.model, "NEAREST", norm_type="clip_0to1", neighbours=1)
    assert train(small, "m", "--cache-result", "--seed", "5") == 0
    said = capsys.readouterr()
    assert "training SROCC 1.0000" in said.out
    assert "no .json: libvmaf has no NEAREST of the package nearest" in said.err
    path = vmaf_workspace / "model" / "m.pkl"
    stored = pickles.read(path)["model_dict"]
    assert (stored["model_type"], stored["model"]["state"]["seed"]) == ("NEAREST", 5)
    assert stored["plugins"][0]["package"] == "nearest"
    assert len(stored["model"]["state"]["y"]) == len(LABELS)
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result", "--print-result"]) == 0
    (scores,) = vmaf_workspace.glob("output/*/scores.csv")
    with scores.open(newline="") as file:
        found = [float(row["score"]) for row in csv.DictReader(file)]
    assert all(min(LABELS) - 1e-6 <= score <= max(LABELS) + 1e-6 for score in found)
    # A frame's score is the label of an asset, so the mean of eight frames is one of eighths of sums of labels.
    assert len(set(found)) > 3
    assert run_vmaf_cross_validation.main([*small.inputs, "--folds=2", "--cache-result", "--suppress-plot"]) == 0
    sys.path.remove(str(place))
    capsys.readouterr()
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result"]) == 1
    assert "has the regressor NEAREST; install the package nearest" in capsys.readouterr().err
    assert train(small, "other") == 1
    assert "unknown model type 'NEAREST'" in capsys.readouterr().err


WRONG_REGRESSORS = {  # what `fit` and `predict` return -> what is said of it
    ("1 / 0", "[]"): "failed in fit: ZeroDivisionError",
    ("x", "[]"): "returns from fit what no model can store: .*got ndarray",
    ("{1: 2}", "[]"): "returns from fit what no model can store",
    ("[float('nan')]", "[]"): "returns from fit what no model can store",
    ("(lambda a: a.append(a) or a)([])", "[]"): "returns from fit what no model can store",
    ("object()", "[]"): "returns from fit what no model can store",
    ("None", "1 / 0"): "failed in predict: ZeroDivisionError",
    ("None", "x[:-1, 0]"): "returns 11 numbers from predict for 12 rows, and 12 are needed",
    ("None", "x[:, 0] * float('nan')"): "returns nan from predict for 12 rows, 12 times of 12",
    ("None", "x"): "returns no numbers from predict",
    ("None", "None"): "returns no numbers from predict",
}


@pytest.mark.parametrize("returned", WRONG_REGRESSORS, ids=range(len(WRONG_REGRESSORS)))
def test_a_regressor_that_does_wrong_is_an_error_that_names_its_package(
    returned: tuple[str, str], installed: Installing, small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    text = f"VERSION = '3'\ndef fit(x, y, parameters, seed): return {returned[0]}\n"
    installed("wrong", {REGRESSORS: {"WRONG": f"{text}def predict(state, x): return {returned[1]}\n"}})
    write_model(small.model, "WRONG")
    assert train(small, "m", "--cache-result") == 1
    said = capsys.readouterr().err
    assert "WRONG of the package wrong (version 3) " in said
    assert "Traceback" not in said
    assert re.search(WRONG_REGRESSORS[returned], said), said
    assert not list((vmaf_workspace / "model").glob("m.*"))


def test_a_stored_model_whose_state_or_package_is_no_data_is_refused(
    installed: Installing, small: Trainable, vmaf_workspace: Path
) -> None:
    installed("nearest", {REGRESSORS: {"NEAREST": NEAREST}})
    write_model(small.model, "NEAREST")
    assert train(small, "m", "--cache-result") == 0
    path = vmaf_workspace / "model" / "m.pkl"
    info = pickles.read(path)
    for changed in ({"model": {"state": (1, 2)}}, {"plugins": [{"name": "NEAREST"}]}, {"plugins": "NEAREST"}):
        pickles.write(path, {**info, "model_dict": {**info["model_dict"], **changed}})
        with pytest.raises(HarnessError, match=r"model_dict\.(model|plugins): expected"):
            read_model(path)
    pickles.write(path, {**info, "model_dict": {**info["model_dict"], "plugins": []}})
    with pytest.raises(HarnessError, match=r"model_dict\.model_type: expected one of"):
        resolve_quality_type("VMAF", vmaf_workspace, model="m", warn=print)


def test_the_packages_of_the_docs_work(installed: Installing, small: Trainable, capsys: Printed) -> None:
    text = (Path(__file__).parents[2] / "docs" / "plug-ins.md").read_text()
    feature, regressor = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    toml = tomllib.loads(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])
    points = toml["project"]["entry-points"]
    ((kind, _),) = points[FEATURES].items()
    ((name, _),) = points[REGRESSORS].items()
    installed(toml["project"]["name"], {FEATURES: {kind: feature}, REGRESSORS: {name: regressor}})
    write_features(small.features, kind, "all")
    write_model(small.model, name, neighbours=2)
    assert train(small, "m") == 0
    assert f"no .json: libvmaf has no {kind} of the package {toml['project']['name']}" in capsys.readouterr().err
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--suppress-plot"]) == 0


def test_the_documented_pair_has_the_fields_that_packages_unpack() -> None:
    assert FramePair._fields == ("reference", "distorted", "depth", "is_full_range")
