"""The parameter files that come with VMAF's own harness: each trains a model, or says why not.

What they hold is written down here as facts (resource/feature_param, model_param and param, 2026-08).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trainable import Trainable

from vmaf_harness.model.files import read_model
from vmaf_harness.script import run_testing, run_vmaf_training

_SCALES = [f"vif_scale{scale}" for scale in range(4)]
_PHONE = {"p0": 1.70674692, "p1": 1.72643844, "p2": -0.00705305, "out_gte_in": "true"}
_CLIPPED = {"norm_type": "clip_0to1", "score_clip": [0.0, 100.0]}
FEATURE_PARAM: dict[str, dict[str, list[str]]] = {
    "ssim": {"SSIM_feature": ["ssim"]},
    "vmaf_feature_v1": {"VMAF_feature": ["vif", "adm", "motion", "ansnr"]},
    "vmaf_feature_v2": {"VMAF_feature": [*_SCALES, "adm2", "motion", "ansnr"]},
    "vmaf_feature_v3": {"VMAF_feature": [*_SCALES, "adm2", "motion"]},
    "vmaf_feature_v6": {"VMAF_feature": [*_SCALES, "adm2", "motion2"]},
}
_SVR, _BOOTSTRAP, _RESIDUE = "LIBSVMNUSVR", "BOOTSTRAP_LIBSVMNUSVR", "RESIDUEBOOTSTRAP_LIBSVMNUSVR"
_V2 = {**_CLIPPED, "gamma": 0.05, "C": 4.0, "nu": 0.9}
MODEL_PARAM: dict[str, tuple[str, dict[str, Any]]] = {
    "5PL_v1": ("5PL", _CLIPPED),
    "libsvmnusvr_v1": (_SVR, {**_CLIPPED, "gamma": 0.1, "C": 3.1, "nu": 0.9}),
    "libsvmnusvr_v2": (_SVR, _V2),
    "libsvmnusvr_v3": (_SVR, _V2),
    "randomforest_v1": (
        "RANDOMFOREST",
        {"norm_type": "none", "score_clip": [0.0, 100.0], "n_estimators": 10, "criterion": "mse", "max_depth": None}
        | {"random_state": 0},
    ),
}
_V6 = {**_CLIPPED, "score_transform": _PHONE, "gamma": 0.04, "C": 4.0, "nu": 0.9}
_V72 = {**_V6, "norm_type": "custom_clip_0to1", "gamma": 0.03, "C": 3.0, "num_models": 101}
_V72 |= {"custom_clip_0to1_map": {"VMAF_feature_adm_scale0_score": [0.5, 1.0]}}
_V6_ATOMS = FEATURE_PARAM["vmaf_feature_v6"]
_INTEGER = {"VMAF_integer_feature": _V6_ATOMS["VMAF_feature"]}
_V72_ATOMS = {"VMAF_feature": [*_SCALES, *(f"adm_scale{scale}" for scale in range(4)), "motion"]}
PARAM: dict[str, tuple[dict[str, list[str]], str, dict[str, Any]]] = {
    "vmaf_v1": (FEATURE_PARAM["vmaf_feature_v1"], *MODEL_PARAM["libsvmnusvr_v1"]),
    "vmaf_v2": (FEATURE_PARAM["vmaf_feature_v2"], _SVR, _V2),
    "vmaf_v3": (FEATURE_PARAM["vmaf_feature_v3"], _SVR, _V2),
    "vmaf_v4": (FEATURE_PARAM["vmaf_feature_v3"], _SVR, _V2),
    "vmaf_v6": (_V6_ATOMS, _SVR, _V6),
    "vmaf_v6_bootstrap": (_V6_ATOMS, _BOOTSTRAP, {**_V6, "num_models": 21}),
    "vmaf_v6_residue_bootstrap": (_V6_ATOMS, _RESIDUE, {**_V6, "num_models": 21}),
    "vmaf_v7.2_bootstrap": (_V72_ATOMS, _BOOTSTRAP, _V72),
    "vmaf_v7_bootstrap": (_V6_ATOMS, _BOOTSTRAP, {**_V6, "num_models": 101}),
    "vmaf_v8": (_INTEGER, _SVR, _V6),
    "vmaf_v8_bootstrap": (_INTEGER, _BOOTSTRAP, {**_V6, "num_models": 101}),
}
V6 = {name: (_V6_ATOMS, *given) for name, given in MODEL_PARAM.items()}
TRAINED = {
    **{f"feature_param/{name}": (atoms, _SVR, _V2) for name, atoms in FEATURE_PARAM.items()},
    **{f"model_param/{name}": given for name, given in V6.items() if name != "5PL_v1"},
    "model_param/5PL_v1": (FEATURE_PARAM["ssim"], *MODEL_PARAM["5PL_v1"]),
    **{f"param/{name}": given for name, given in PARAM.items()},
}


def write(directory: Path, atoms: object, model_type: str, parameters: object) -> list[str]:
    for name, lines in (
        ("f.py", [f"feature_dict = {atoms!r}"]),
        ("m.py", [f"model_type = {model_type!r}", f"model_param_dict = {parameters!r}"]),
    ):
        (directory / name).write_text("\n".join(lines) + "\n")
    return [str(directory / "f.py"), str(directory / "m.py")]


@pytest.mark.parametrize("name", TRAINED)
def test_each_parameter_file_trains_a_model_that_scores(
    name: str, small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atoms, model_type, parameters = TRAINED[name]
    arguments = [str(small.dataset), *write(small.directory, atoms, model_type, parameters), "m"]
    assert run_vmaf_training.main([*arguments, "--cache-result", "--suppress-plot"]) == 0
    printed = capsys.readouterr()
    made = read_model(vmaf_workspace / "model" / "m.pkl")
    assert made.model_type == model_type
    assert len(made.members) == parameters.get("num_models", 1)
    has_json = (vmaf_workspace / "model" / "m.json").exists()
    assert has_json == (made.why_no_json is None)
    assert has_json or f"no .json: {made.why_no_json}" in printed.err
    testing = ["VMAF", str(small.dataset), "--vmaf-model", "m.pkl", "--suppress-plot", "--cache-result"]
    assert run_testing.main(testing) == 0
    assert "12 assets" in capsys.readouterr().out


@pytest.mark.parametrize("model_type", ["EXTRATREES", "LINEARREG"])
def test_further_types_of_models_train_and_score_and_say_who_does_not_load_them(
    model_type: str, small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(small.dataset), *write(small.directory, _INTEGER, model_type, _CLIPPED), "m"]
    assert run_vmaf_training.main([*arguments, "--cache-result", "--suppress-plot"]) == 0
    said = capsys.readouterr().err
    assert f"no .json: libvmaf has no {model_type}" in said
    assert "does not load in VMAF's own harness" in said
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m.pkl", "--suppress-plot"]) == 0


def test_a_curve_of_several_features_is_refused(small: Trainable, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(small.dataset), *write(small.directory, _INTEGER, "5PL", _CLIPPED), "m"]
    assert run_vmaf_training.main([*arguments, "--cache-result", "--suppress-plot"]) == 1
    assert "5PL is a curve of one feature, and feature_param has 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("STRRED_feature", "libvmaf does not have these: a program for MATLAB; Speed_temporal_feature is the nearest"),
        ("Cambi_features", "unknown features; is Cambi_feature meant?"),
    ],
)
def test_a_kind_of_features_that_libvmaf_lacks_is_named_with_its_place(
    kind: str, said: str, small: Trainable, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(small.dataset), *write(small.directory, {kind: ["a"]}, _SVR, _V2), "m"]
    assert run_vmaf_training.main(arguments) == 1
    assert f"f.py:1: feature_dict.{kind}: {said}" in capsys.readouterr().err
