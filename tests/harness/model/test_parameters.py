from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmaf_harness.errors import HarnessError, RecipeError
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import FeatureParam, read_feature_param
from vmaf_harness.model.model_param import build_model_param, read_model_param
from vmaf_harness.model.transform import ScoreTransform

SCALES = [f"vif_scale{scale}" for scale in range(4)]


def written(directory: Path, text: str) -> Path:
    path = directory / "param.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_features_are_sorted_by_the_names_that_they_have_in_a_model(nowhere: Path) -> None:
    text = f"feature_dict = {{\n    'VMAF_integer_feature': {[*SCALES, 'adm2', 'motion2']},  # as VMAF's models\n}}\n"
    param = read_feature_param(written(nowhere, text))
    assert param.feature_names == (
        "VMAF_integer_feature_adm2_score",
        "VMAF_integer_feature_motion2_score",
        *(f"VMAF_integer_feature_{scale}_score" for scale in SCALES),
    )
    assert param.feature_dict == {"VMAF_integer_feature": ["adm2", "motion2", *SCALES]}
    assert param.options == ()
    found = param.extraction
    assert found.options == (("model", ""), ("feature", "name=adm|name=motion|name=vif"))
    assert (found.executor_id, found.score) == ("VMAF_integer_feature_V1.0", "integer_adm2")


def test_both_kinds_can_be_in_one_model(nowhere: Path) -> None:
    text = "feature_dict = {'VMAF_integer_feature': ['adm2'], 'VMAF_feature': ['vif_scale0', 'vif', 'aim']}"
    param = read_feature_param(written(nowhere, text))
    names = ["VMAF_feature_aim_score", "VMAF_feature_vif_scale0_score", "VMAF_feature_vif_score"]
    assert param.feature_names == (*names, "VMAF_integer_feature_adm2_score")
    assert dict(param.extraction.options)["feature"] == "name=adm|name=float_adm|name=float_vif:debug=true"
    assert list(param.feature_dict) == ["VMAF_feature", "VMAF_integer_feature"]


@pytest.mark.parametrize("aggregate", ["VMAF_feature", "VMAF_integer_feature"])
def test_all_is_what_it_is_for_upstream(nowhere: Path, aggregate: str) -> None:
    """The 39 atoms of VmafFeatureExtractor 0.2.21 and of its integer twin."""
    param = read_feature_param(written(nowhere, f"feature_dict = {{'{aggregate}': 'all'}}"))
    parts = [f"{name}_{part}" for name in ("adm", "vif") for part in ("num", "den")]
    scaled = [f"{name}_scale{scale}" for name in (*parts, "adm", "vif") for scale in range(4)]
    single = ["vif", "vif2", "adm", "adm2", "adm3", "aim", "ansnr", "anpsnr", "motion", "motion2", "motion3"]
    assert sorted(param.feature_dict[aggregate]) == sorted([*single, *parts, *scaled])
    assert len(param.atoms) == 39


def test_options_go_to_the_features_that_they_are_of(nowhere: Path) -> None:
    text = """
feature_dict = {'VMAF_feature': ['adm2', 'motion2', 'vif_scale0']}
feature_optional_dict = {'VMAF_feature': {'adm_enhn_gain_limit': 1.0, 'adm_skip_scale0': True, 'vif_kernelscale': 1.5}}
"""
    param = read_feature_param(written(nowhere, text))
    adm = {"adm_enhn_gain_limit": 1.0, "adm_skip_scale0": True}
    assert param.options == (adm, {}, {"vif_kernelscale": 1.5})
    spelled = "name=float_adm:adm_enhn_gain_limit=1.0:adm_skip_scale0=true|name=float_motion"
    assert dict(param.extraction.options)["feature"] == f"{spelled}|name=float_vif:vif_kernelscale=1.5"
    assert param.extraction.score == "motion2"  # the one whose name no option adds to


def test_where_options_are_of_all_features_another_metric_is_the_score(nowhere: Path) -> None:
    text = "feature_dict = {'VMAF_feature': ['adm2']}\nfeature_optional_dict = {'VMAF_feature': {'adm_p_norm': 4}}"
    extraction = read_feature_param(written(nowhere, text)).extraction
    assert extraction.score == "psnr_y"
    assert dict(extraction.options)["feature"] == "name=float_adm:adm_p_norm=4|name=psnr"


def test_the_name_that_upstream_reads_is_read_and_the_other_one_warned_of(nowhere: Path) -> None:
    features = "feature_dict = {'VMAF_feature': ['adm2']}\n"
    given = "{'VMAF_feature': {'adm_p_norm': 4}}"
    param = read_feature_param(written(nowhere, f"{features}feature_optional_dict = {given}"))
    assert (param.options, param.warnings) == (({"adm_p_norm": 4},), ())
    old = read_feature_param(written(nowhere, f"{features}feature_option_dict = {given}"))
    assert old.options == param.options
    (warning,) = old.warnings
    assert "feature_option_dict is not read by VMAF's own harness; call it feature_optional_dict" in warning
    both = f"{features}feature_option_dict = {given}\nfeature_optional_dict = "
    assert read_feature_param(written(nowhere, both + given)).warnings == ()
    with pytest.raises(RecipeError, match=":2: feature_option_dict: differs from feature_optional_dict"):
        read_feature_param(written(nowhere, both + "{}"))


def test_each_set_of_options_is_extracted_once() -> None:
    limit = {"vif_enhn_gain_limit": 1.0}
    atoms = tuple(("VMAF_integer_feature", f"vif_scale{scale}") for scale in range(3))
    param = FeatureParam(atoms=atoms, options=(limit, {}, dict(limit)))
    assert dict(param.extraction.options)["feature"] == "name=vif|name=vif:vif_enhn_gain_limit=1.0"
    metrics = {"integer_vif_scale0": 1.0, "integer_vif_scale0_egl_1": 2.0, "integer_vif_scale1": 3.0,
               "integer_vif_scale1_egl_1": 4.0, "integer_vif_scale2_egl_1": 5.0}  # fmt: skip
    assert list(param.columns(metrics).values()) == [2.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model_type = 'LIBSVMNUSVR'", "lacks feature_dict"),
        ("feature_dict = []", r":1: feature_dict: expected a dictionary"),
        ("feature_dict = {}", r"feature_dict: expected a dictionary of features"),
        ("\nfeature_dict = {\n 'Moments_feature': 'all'}", r":3: feature_dict\.Moments_feature: unknown features"),
        ("feature_dict = {'VMAF_feature': 'some'}", r"expected 'all' or a list"),
        ("feature_dict = {'VMAF_feature': []}", r"expected 'all' or a list"),
        ("feature_dict = {'VMAF_feature': [\n'adm2',\n'adm9']}", r":3: feature_dict\.VMAF_feature\[1\]: unknown"),
        ("feature_dict = {'VMAF_feature': [1]}", "unknown feature 1"),
        ("feature_dict = {'VMAF_feature': 'all'}\nfeature_option_dict = 1", ":2: feature_option_dict: expected a dict"),
        ("feature_dict = {'VMAF_feature': 'all'}\nfeature_option_dict = {'X': {}}", "feature_dict has no X"),
        ("feature_dict = {'VMAF_feature': 'all'}\nfeature_option_dict = {'VMAF_feature': 1}", "dictionary of options"),
        (
            "feature_dict = {'VMAF_feature': 'all'}\nfeature_option_dict = {'VMAF_feature': {'psnr_x': 1}}",
            r":2: feature_option_dict\.VMAF_feature\.psnr_x: is of no extractor",
        ),
        (
            "feature_dict = {'VMAF_feature': 'all'}\nfeature_option_dict = {'VMAF_feature': {'adm_x': 'a|name=psnr'}}",
            "expected a number, true or false, or a name",
        ),
        ("feature_dict = {'VMAF_feature': 'all'}\nfeature_dikt = 2", "feature_dikt: is not a supported field"),
        ("import os\nfeature_dict = os.listdir('.')", "never executed"),
        ("feature_dict = {", "not Python"),
    ],
)  # fmt: skip
def test_what_is_not_understood_of_features_is_an_error_with_its_place(nowhere: Path, text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem) as caught:
        read_feature_param(written(nowhere, text))
    assert "param.py" in str(caught.value)


def test_a_model_param_file_is_read_as_upstream_writes_it(nowhere: Path) -> None:
    text = """
# ==== what is done before and after ==== #
model_type = "LIBSVMNUSVR"
model_param_dict = {
    'norm_type': 'clip_0to1',  # rescale to within [0, 1]
    'score_clip': [0.0, 100.0],
    'score_transform': {'p0': 1.7, 'p1': 1.1, 'p2': None, 'out_gte_in': 'true'},
    'dis1st_thr': 40.0,
    'gamma': 0.05, 'C': 4.0, 'nu': 0.9, 'cache_size': 200,
}
"""
    param = read_model_param(written(nowhere, text))
    assert (param.model_type, param.norm_type, param.num_models) == ("LIBSVMNUSVR", "clip_0to1", 1)
    svr = {"kernel": "rbf", "gamma": 0.05, "C": 4.0, "nu": 0.9, "cache_size": 200.0, "degree": 3, "coef0": 0.0}
    assert param.svr == svr
    assert param.score_clip == (0.0, 100.0)
    assert param.score_transform == ScoreTransform(p0=1.7, p1=1.1, out_gte_in=True)
    assert param.param_dict["dis1st_thr"] == 40.0


def test_one_file_can_be_both_arguments(nowhere: Path) -> None:
    text = "feature_dict = {'VMAF_feature': ['adm2']}\nmodel_type = 'RANDOMFOREST'\nmodel_param_dict = {'max_depth': 3}"
    path = written(nowhere, text)
    assert read_feature_param(path).feature_names == ("VMAF_feature_adm2_score",)
    assert read_model_param(path).forest == {"max_depth": 3}


def test_a_pickled_set_is_read_as_well(nowhere: Path) -> None:
    given = {"model_type": "LIBSVMNUSVR", "model_param_dict": {"C": 2.0}}
    pickles.write(nowhere / "best.pkl", given)
    assert read_model_param(nowhere / "best.pkl").svr["C"] == 2.0
    pickles.write(nowhere / "best.pkl", {**given, "model_param_dict": {"C": -2.0}})
    with pytest.raises(RecipeError, match=r"best\.pkl: model_param_dict\.C: expected a positive number"):
        read_model_param(nowhere / "best.pkl")
    for other in ([1], {"C": 2.0}):
        pickles.write(nowhere / "best.pkl", other)
        with pytest.raises(HarnessError, match=r"best\.pkl"):
            read_model_param(nowhere / "best.pkl")
    (nowhere / "best.pkl").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(HarnessError, match=r"refused the global os\.system"):
        read_model_param(nowhere / "best.pkl")


def shared_by_many() -> list[object]:
    """Two lists in two lists …: a list whose text would have 2^60 brackets."""
    made: list[object] = []
    for _ in range(60):
        made = [made, made]
    return made


@pytest.mark.parametrize(
    "value", [np.array([40.0]), np.array([1, 2]), {1, 2}, b"rbf", 1 << 20_000, shared_by_many()], ids=range(6)
)
@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        *(("BOOTSTRAP_LIBSVMNUSVR", name) for name in ("norm_type", "kernel", "C", "num_models", "dis1st_thr")),
        *(("LIBSVMNUSVR", name) for name in ("score_clip", "score_transform", "custom_clip_0to1_map")),
        *(("RANDOMFOREST", name) for name in ("n_estimators", "criterion", "random_state", "bootstrap")),
    ],
)
def test_a_parameter_of_a_pickled_set_that_is_no_plain_data_is_named(
    nowhere: Path, model_type: str, name: str, value: object
) -> None:
    given = {"model_type": model_type, "model_param_dict": {name: value}}
    (nowhere / "set.pkl").write_bytes(pickle.dumps(given))  # unlike ours, it keeps what is shared shared
    with pytest.raises(RecipeError, match=rf"set\.pkl: model_param_dict\.{name}: expected "):
        read_model_param(nowhere / "set.pkl")


@pytest.mark.parametrize("value", [np.array([1, 2]), ["LIBSVMNUSVR"], shared_by_many(), 1 << 20_000], ids=range(4))
def test_a_model_type_of_a_pickled_set_that_is_no_text_is_said(nowhere: Path, value: object) -> None:
    (nowhere / "set.pkl").write_bytes(pickle.dumps({"model_type": value, "model_param_dict": {}}))
    with pytest.raises(
        RecipeError, match=r"set\.pkl: model_type: unknown model type .*known are LIBSVMNUSVR"
    ) as caught:
        read_model_param(nowhere / "set.pkl")
    assert len(str(caught.value).replace(str(nowhere), "")) < 250


def test_names_of_a_pickled_set_that_are_no_text_are_said(nowhere: Path) -> None:
    (nowhere / "set.pkl").write_bytes(pickle.dumps({"model_type": "LIBSVMNUSVR", "model_param_dict": {1 << 60: 1}}))
    with pytest.raises(RecipeError, match="is no parameter of LIBSVMNUSVR"):
        read_model_param(nowhere / "set.pkl")


def test_numbers_of_numpy_in_a_pickled_set_are_numbers(nowhere: Path) -> None:
    numbers = {"num_models": np.int64(4), "C": np.float32(2), "score_clip": [np.float64(0), np.int32(100)]}
    given = {"model_type": np.str_("BOOTSTRAP_LIBSVMNUSVR"), "model_param_dict": numbers}
    (nowhere / "set.pkl").write_bytes(pickle.dumps(given))
    param = read_model_param(nowhere / "set.pkl")
    assert (param.num_models, param.svr["C"], param.score_clip) == (4, 2.0, (0.0, 100.0))
    assert json.loads(json.dumps(param.param_dict)) == {"num_models": 4, "C": 2.0, "score_clip": [0.0, 100]}


def test_every_parameter_of_a_forest_is_taken_as_scikit_learn_takes_it() -> None:
    given = {
        "n_estimators": 5,
        "criterion": "mae",
        "max_depth": None,
        "min_samples_split": 0.1,
        "min_samples_leaf": 2,
        "min_weight_fraction_leaf": 0,
        "max_features": "sqrt",
        "max_leaf_nodes": 9,
        "min_impurity_decrease": 0.01,
        "bootstrap": True,
        "random_state": 4_294_967_295,
        "ccp_alpha": 0.0,
        "max_samples": 0.9,
    }
    assert build_model_param("RANDOMFOREST", given).forest == given


def test_defaults_are_those_of_upstream() -> None:
    param = build_model_param("LIBSVMNUSVR", {})
    assert (param.norm_type, param.score_clip, param.score_transform) == ("none", None, None)
    svr = {"kernel": "rbf", "gamma": 0.0, "C": 1.0, "nu": 0.5, "cache_size": 200.0, "degree": 3, "coef0": 0.0}
    assert param.svr == svr
    assert build_model_param("BOOTSTRAP_LIBSVMNUSVR", {}).num_models == 101
    assert build_model_param("RESIDUEBOOTSTRAP_LIBSVMNUSVR", {"num_models": 21}).num_models == 21
    ranges = {"norm_type": "custom_clip_0to1", "custom_clip_0to1_map": {"VMAF_feature_adm2_score": [0, 1]}}
    assert build_model_param("LIBSVMNUSVR", ranges).custom_ranges == {"VMAF_feature_adm2_score": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("model_type", "given", "problem"),
    [
        ("NEURALNET", {}, "unknown model type 'NEURALNET'; known are LIBSVMNUSVR"),
        (None, {}, "unknown model type None"),
        ("LIBSVMNUSVR", {"norm_type": "clip"}, r"norm_type: expected one of none, clip_0to1.*got 'clip'"),
        ("LIBSVMNUSVR", {"norm_type": ["none"]}, "norm_type"),
        ("LIBSVMNUSVR", {"gama": 0.1}, r"gama: is no parameter of LIBSVMNUSVR; is gamma meant\?"),
        ("LIBSVMNUSVR", {"n_estimators": 10}, "n_estimators: is no parameter of LIBSVMNUSVR"),
        ("RANDOMFOREST", {"gamma": 0.1}, "gamma: is no parameter of RANDOMFOREST"),
        ("LIBSVMNUSVR", {"gamma": -1}, "gamma: expected a number from 0, got -1"),
        ("LIBSVMNUSVR", {"gamma": "auto"}, "gamma: expected a number from 0"),
        ("LIBSVMNUSVR", {"C": 0}, "C: expected a positive number"),
        ("LIBSVMNUSVR", {"C": 1e300}, "C: expected a positive number up to 1000000"),
        ("LIBSVMNUSVR", {"cache_size": 1e300}, "cache_size: expected a positive number of MB"),
        ("LIBSVMNUSVR", {"kernel": "poly", "degree": 5_000_000_000}, "degree: expected an integer from 1 to 100"),
        ("LIBSVMNUSVR", {"dis1st_thr": float("inf")}, "dis1st_thr: expected finite numbers, .* got inf"),
        ("LIBSVMNUSVR", {"dis1st_thr": {1: 2}}, "dis1st_thr: expected finite numbers"),
        ("LIBSVMNUSVR", {"custom_clip_0to1_map": [1]}, "custom_clip_0to1_map: expected a dictionary feature"),
        ("RANDOMFOREST", {"n_estimators": -1}, "n_estimators: expected an integer from 1 to 9999, got -1"),
        ("RANDOMFOREST", {"criterion": ["mse"]}, r"criterion: expected one of squared_error, .* got \['mse'\]"),
        ("RANDOMFOREST", {"criterion": "beauty"}, "criterion: expected one of"),
        ("RANDOMFOREST", {"max_depth": "deep"}, "max_depth: expected an integer from 1"),
        ("RANDOMFOREST", {"max_features": 1.5}, "max_features: expected auto, sqrt, log2"),
        ("RANDOMFOREST", {"bootstrap": 1}, "bootstrap: expected true or false"),
        ("LIBSVMNUSVR", {"C": True}, "C: expected a positive number"),
        ("LIBSVMNUSVR", {"nu": 1.5}, "nu: expected a number above 0, at most 1"),
        ("LIBSVMNUSVR", {"nu": float("nan")}, "nu: expected"),
        ("LIBSVMNUSVR", {"kernel": "cosine"}, "kernel: expected one of rbf"),
        ("LIBSVMNUSVR", {"cache_size": 0}, "cache_size"),
        ("LIBSVMNUSVR", {"degree": 2.5}, "degree: expected an integer"),
        ("BOOTSTRAP_LIBSVMNUSVR", {"num_models": 0}, "num_models: expected an integer from 1"),
        ("BOOTSTRAP_LIBSVMNUSVR", {"num_models": 2.0}, "num_models: expected an integer from 1"),
        ("LIBSVMNUSVR", {"score_clip": [100, 0]}, r"score_clip: expected \[min, max\], got \[100, 0\]"),
        ("LIBSVMNUSVR", {"score_clip": 100}, "score_clip"),
        ("LIBSVMNUSVR", {"score_transform": {"p4": 1}}, "score_transform: 'p4' is not known"),
        ("LIBSVMNUSVR", {"score_transform": {"out_gte_in": "yes"}}, "out_gte_in: expected true or false"),
        ("LIBSVMNUSVR", {"score_transform": {"knots": [[0, 0]]}}, "knots: expected 2 to 10 pairs"),
        (
            "LIBSVMNUSVR",
            {"norm_type": "custom_clip_0to1", "custom_clip_0to1_map": [1]},
            "expected a dictionary feature",
        ),
        (
            "LIBSVMNUSVR",
            {"norm_type": "custom_clip_0to1", "custom_clip_0to1_map": {"VMAF_feature_adm2_score": [1, 1]}},
            r"custom_clip_0to1_map\.VMAF_feature_adm2_score: expected \[min, max\]",
        ),
    ],
)
def test_parameters_that_are_not_understood_are_named(model_type: Any, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(HarnessError, match=problem):
        build_model_param(model_type, given)


def test_an_unknown_parameter_is_reported_with_its_line(nowhere: Path) -> None:
    path = written(nowhere, "model_type = 'LIBSVMNUSVR'\nmodel_param_dict = {\n    'C': 1.0,\n    'gama': 0.1,\n}\n")
    with pytest.raises(RecipeError, match=r"param\.py:4: model_param_dict\.gama: is no parameter"):
        read_model_param(path)
    with pytest.raises(HarnessError, match=r"param\.py: lacks model_type"):
        read_model_param(written(nowhere, "model_param_dict = {}"))
    path.unlink()
    with pytest.raises(RecipeError, match=r"param\.py: No such file"):
        read_model_param(path)


def test_reading_parameters_waits_for_no_numpy() -> None:
    code = "import sys, vmaf_harness.model.model_param; sys.exit('numpy' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
