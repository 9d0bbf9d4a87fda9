"""Tiny-AI models: a small ONNX regressor of our own, and every sidecar that does not fit it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainable import SIX, Trainable

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.tiny import read_tiny
from vmaf_harness.script import run_testing

onnx = pytest.importorskip("onnx", reason="the tests' own model needs the package onnx")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

ORDER = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")  # not sorted, as published ones
MEAN, SD = (0.9, 0.5, 0.7, 0.8, 0.85, 4.0), (0.1, 0.2, 0.1, 0.1, 0.1, 3.0)
WEIGHTS = np.array([[4.0], [2.0], [1.0], [1.5], [0.5], [-0.25]], dtype=np.float32)
BIAS = 60.0


def graph(width: int = 6, *, external: str | None = None, inputs: int = 1, columns: bool = False) -> Any:
    """scores = features × weights + bias; weights in another file where *external* names one."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.resize(WEIGHTS, (width, 1))
    tensor = numpy_helper.from_array(weights, "weights")
    if external is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=external)
    bias = numpy_helper.from_array(np.array([BIAS], dtype=np.float32), "bias")
    given = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])]
    given += [helper.make_tensor_value_info("codec", TensorProto.FLOAT, ["n", 2])] * (inputs - 1)
    nodes = [helper.make_node("Gemm", ["features", "weights", "bias"], ["column"])]
    if columns:
        out = helper.make_tensor_value_info("column", TensorProto.FLOAT, ["n", 1])
    else:
        shape = numpy_helper.from_array(np.array([-1], dtype=np.int64), "shape")
        nodes.append(helper.make_node("Reshape", ["column", "shape"], ["score"]))
        out = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])
    initializers = [tensor, bias] + ([] if columns else [shape])
    made = helper.make_graph(nodes, "tiny", given, [out], initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def standardising(how: str) -> Any:
    """The same, after (features − mean) / sd, as different exporters write that."""
    from onnx import helper, numpy_helper

    made = graph()
    mean, sd = np.array(MEAN, dtype=np.float32), np.array([SD], dtype=np.float32)
    values = {"mean": mean, "sd": sd} if how != "folded" else {"mean": -mean / sd[0], "sd": 1 / sd}
    nodes = []
    for name, value in values.items():
        if how == "constants":
            tensor = numpy_helper.from_array(value, name)
            nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        elif how == "floats":
            nodes.append(helper.make_node("Constant", [], [name], value_floats=value.reshape(-1).tolist()))
        else:
            made.graph.initializer.append(numpy_helper.from_array(value, name))
    if how == "folded":
        nodes.append(helper.make_node("Mul", ["features", "sd"], ["centred"]))
        nodes.append(helper.make_node("Add", ["centred", "mean"], ["standardised"]))
    else:
        nodes.append(helper.make_node("Sub", ["features", "mean"], ["centred"]))
        nodes.append(helper.make_node("Div", ["centred", "sd"], ["standardised"]))
    made.graph.node[0].input[0] = "standardised"
    rest = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend([*nodes, *rest])
    return made


def write(directory: Path, model: Any = None, **about: Any) -> Path:
    path = directory / "tiny.onnx"
    path.write_bytes((graph() if model is None else model).SerializeToString())
    known: dict[str, Any] = {
        "id": "tiny",
        "kind": "fr",
        "feature_order": ORDER,
        "feature_mean": MEAN,
        "feature_std": SD,
    }
    known["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar = {name: value for name, value in (known | about).items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def frames(n: int = 5) -> dict[str, list[float]]:
    random = np.random.RandomState(1)
    return {f"VMAF_integer_feature_{name}_score": random.uniform(0.2, 1.0, n).tolist() for name in SIX}


def expected(features: dict[str, list[float]], *, standardised: bool = True) -> Any:
    x = np.stack([features[f"VMAF_integer_feature_{name}_score"] for name in ORDER], axis=1)
    if standardised:
        x = (x - np.array(MEAN)) / np.array(SD)
    return (x @ WEIGHTS)[:, 0] + BIAS


@pytest.mark.parametrize("columns", [False, True])
def test_features_are_standardised_in_the_order_of_the_sidecar(tmp_path: Path, columns: bool) -> None:
    model = read_tiny(write(tmp_path, graph(columns=columns)))
    assert model.predict(frames()) == pytest.approx(expected(frames()), abs=1e-4)
    assert model.features.feature_names == tuple(sorted(frames()))


INPUT = {"input_mean": MEAN, "input_std": SD}
OTHERS = {"feature_order": None, "feature_mean": None, "feature_std": None, "features": ORDER}


@pytest.mark.parametrize(
    ("about", "standardised"),
    [
        ({**INPUT, "notes": "Six features. Scaler (mean, std) baked into the ONNX graph as Constants"}, False),
        ({**INPUT, "notes": "The 3.5-fold graph standardises. What is not said here is said elsewhere."}, False),
        ({**INPUT, "notes": "standardisation is NOT in the graph"}, True),
        ({**INPUT, "notes": "The scaler isn't part of the graph; apply it before."}, True),
        ({**INPUT, "notes": "Standardise outside the ONNX graph."}, True),
        ({**INPUT, "notes": 7}, True),
        (INPUT, True),
        ({}, False),
    ],
)
def test_the_other_names_of_a_sidecar_are_known(tmp_path: Path, about: dict[str, Any], standardised: bool) -> None:
    model = read_tiny(write(tmp_path, **OTHERS, **about))
    assert model.predict(frames()) == pytest.approx(expected(frames(), standardised=standardised), abs=1e-3)
    if about:
        said = (
            "are standardised by its input_mean" if standardised else "are given as they are: its graph, as its notes"
        )
        assert said in "".join(model.notes)


@pytest.mark.parametrize("how", ["constants", "initializers", "floats", "folded"])
@pytest.mark.parametrize("notes", [None, "int8 version of another.", "standardisation is NOT in the graph"])
def test_a_graph_that_has_the_numbers_standardises_whatever_its_notes_say(
    tmp_path: Path, how: str, notes: str | None
) -> None:
    model = read_tiny(write(tmp_path, standardising(how), **OTHERS, **INPUT, notes=notes))
    assert model.predict(frames()) == pytest.approx(expected(frames()), abs=1e-3)
    assert "given as they are: its graph, which has input_mean and input_std, standardises them" in "".join(model.notes)


def test_what_the_scores_depend_on_is_in_its_identity(tmp_path: Path) -> None:
    def identity(weights: Any = WEIGHTS, **about: Any) -> str:
        (tmp_path / "tiny.onnx.data").write_bytes(weights.tobytes())
        return read_tiny(write(tmp_path, graph(external="tiny.onnx.data"), **about)).sha256

    assert identity() == identity(id="another", notes="another")
    assert identity() != identity(weights=WEIGHTS * 2)
    assert identity() != identity(feature_mean=[*MEAN[:5], 4.5])
    assert identity() != identity(feature_std=[*SD[:5], 4.5])
    assert identity() != identity(feature_order=ORDER[::-1])


def test_prefixes_choose_float_or_fixed_point_features(tmp_path: Path) -> None:
    order = ["float_adm2", "integer_vif_scale0", "vif_scale1", "VMAF_feature_vif_scale2_score", "vif_scale3", "motion2"]
    names = read_tiny(write(tmp_path, feature_order=order)).order
    assert names[0] == "VMAF_feature_adm2_score"
    assert names[1] == "VMAF_integer_feature_vif_scale0_score"
    assert names[3] == "VMAF_feature_vif_scale2_score"


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx.data").write_bytes(WEIGHTS.tobytes())
    model = read_tiny(write(tmp_path, graph(external="tiny.onnx.data")))
    os.remove(tmp_path / "tiny.onnx.data")  # what was read is what runs
    assert model.predict(frames()) == pytest.approx(expected(frames()), abs=1e-4)


@pytest.mark.parametrize("location", ["../weights", "/etc/hostname", "sub/../../weights", "link"])
def test_data_outside_the_folder_is_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "weights")
    with pytest.raises(HarnessError, match="outside its folder; it was not read"):
        read_tiny(write(folder, graph(external=location)))


def test_data_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"'tiny\.onnx\.data', which is not beside it"):
        read_tiny(write(tmp_path, graph(external="tiny.onnx.data")))


def test_another_width_than_its_features_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"shape \['n', 5\], but tiny\.json has 6 features"):
        read_tiny(write(tmp_path, graph(width=5)))


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"sha256": "0" * 64}, "is not the file that tiny.json describes"),
        ({"sha256": "none"}, "is not the file that tiny.json describes"),
        ({"kind": "nr"}, "kind: expected fr"),
        ({"feature_order": None}, "expected a list of names"),
        ({"feature_order": [*ORDER[:5], "adm2"]}, "each feature once"),
        ({"feature_order": [*ORDER[:5], "cambi"]}, "libvmaf extracts no 'cambi'"),
        ({"feature_mean": MEAN[:5]}, "feature_mean: expected 6 numbers"),
        ({"feature_std": None}, "feature_std: expected 6 numbers"),
        ({"feature_std": [*SD[:5], 0]}, "feature_std: expected positive numbers"),
        ({"feature_mean": [*MEAN[:5], "x"]}, "feature_mean: expected 6 numbers"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_said(tmp_path: Path, about: dict[str, Any], said: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(said)):
        read_tiny(write(tmp_path, **about))


def test_a_hash_that_the_sidecar_lacks_is_that_of_the_register_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, sha256="")
    sidecar = path.with_suffix(".json")
    about = json.loads(sidecar.read_text())
    del about["sha256"]
    sidecar.write_text(json.dumps(about))
    (note,) = read_tiny(path).notes
    assert "not checked: neither tiny.json nor registry.json beside it has its sha256" in note
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    for listed, is_right in ((right, True), ("0" * 64, False)):
        entry = {"id": "t", "onnx": "tiny.onnx", "sha256": listed}
        (tmp_path / "registry.json").write_text(json.dumps({"models": [{"onnx": "other.onnx"}, entry]}))
        if is_right:
            assert read_tiny(path).notes == ()
        else:
            with pytest.raises(HarnessError, match=r"is not the file that registry\.json describes"):
                read_tiny(path)


def test_a_quantised_model_shares_the_sidecar_of_its_base(tmp_path: Path) -> None:
    quantised = tmp_path / "tiny.int8.onnx"
    quantised.write_bytes(graph(columns=True).SerializeToString())
    digest = hashlib.sha256(quantised.read_bytes()).hexdigest()
    write(tmp_path, int8_sha256=digest)
    assert read_tiny(quantised).predict(frames()) == pytest.approx(expected(frames()), abs=1e-4)
    write(tmp_path, int8_sha256="0" * 64)
    with pytest.raises(HarnessError, match=r"tiny\.int8\.onnx is not the file that tiny\.json describes"):
        read_tiny(quantised)


def test_a_second_input_cannot_be_given(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="asks for the inputs features, codec"):
        read_tiny(write(tmp_path, graph(inputs=2)))


def no_sidecar(path: Path) -> None:
    path.with_suffix(".json").unlink()


def no_json(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


def no_model(path: Path) -> None:
    path.write_bytes(b"no model")
    sidecar = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(sidecar | {"sha256": hashlib.sha256(b"no model").hexdigest()}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_sidecar, "No such file or directory; a Tiny-AI model is an .onnx and a .json"),
        (no_json, "not JSON"),
        (no_model, "not an ONNX model"),
        (os.remove, "No such file or directory"),
    ],
)
def test_files_that_are_no_model_are_said(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    path = write(tmp_path)
    spoil(path)
    with pytest.raises(HarnessError, match=re.escape(said)):
        read_tiny(path)


def test_predictions_that_are_no_numbers_are_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="predicts no number for some of 5 frames"):
        read_tiny(write(tmp_path)).predict({name: [float("nan")] * 5 for name in frames()})


def test_a_dataset_is_scored_by_it(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    arguments = ["VMAF", str(small.dataset), "--vmaf-model", str(path), "--print-result", "--suppress-plot"]
    assert run_testing.main([*arguments, "--cache-result"]) == 0
    captured = capsys.readouterr()
    scores = [float(score) for score in re.findall(r"^asset \d+: VMAF (\S+) ", captured.out, re.M)]
    assert len(scores) == 12
    assert "12 assets scored, 12 of them stored before" in captured.err  # the features of training
    assert re.search(r"^t_dataset, VMAF_Vtiny-[0-9a-f]{8}, 12 assets: SROCC 0\.", captured.out, re.M)
    assert run_testing.main([*arguments, "--vmaf-phone-model"]) == 1
    assert "has no score transform" in capsys.readouterr().err
    write(tmp_path, **OTHERS, **INPUT)
    assert run_testing.main([*arguments, "--cache-result"]) == 0
    assert f"{path}: features are standardised by its input_mean and input_std" in capsys.readouterr().err
