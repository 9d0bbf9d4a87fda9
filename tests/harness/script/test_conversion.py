"""`convert_model_from_pkl_to_json`: a model in the files of old becomes a JSON that scores the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainable import Trainable, write_features

from vmaf_harness.cli import main
from vmaf_harness.model import pickles
from vmaf_harness.model.files import read_model
from vmaf_harness.script import convert_model_from_pkl_to_json, run_testing, run_vmaf_training

Printed = pytest.CaptureFixture[str]


def of_python_2(value: object) -> Iterator[str]:
    """Protocol 0 as Python 2 wrote it, without its memo: text is `S'…'`."""
    if isinstance(value, dict):
        yield "(d"
        for key, item in value.items():
            yield from (*of_python_2(key), *of_python_2(item), "s")
    elif isinstance(value, (list, tuple)):
        yield "(l"
        for item in value:
            yield from (*of_python_2(item), "a")
    elif isinstance(value, str):
        yield f"S{value!r}\n"
    elif value is None:
        yield "N"
    else:
        yield f"{'I' if isinstance(value, int) else 'F'}{value!r}\n"


def old_pair(new: Path, old: Path) -> None:
    """The two files of *new* as Netflix shipped them: protocol 0, and no word of ours in them."""
    info = pickles.read(new)
    info["model_dict"].pop("group_sha256", None)
    info["model_dict"]["feature_dict"] = {"VMAF_feature": ["adm2"]}
    old.write_text("".join(of_python_2(info)) + ".")
    old.with_name(f"{old.name}.model").write_bytes(new.with_name(f"{new.name}.model").read_bytes())


def trained(small: Trainable, name: str, root: Path) -> Path:
    assert run_vmaf_training.main([*small.inputs, name, "--cache-result", "--suppress-plot"]) == 0
    return root / "model" / f"{name}.pkl"


def scores(small: Trainable, model: Path, capsys: Printed) -> list[float]:
    capsys.readouterr()
    flags = ("--vmaf-model", str(model), "--print-result", "--suppress-plot", "--cache-result")
    assert run_testing.main(["VMAF", str(small.dataset), *flags]) == 0
    return [float(score) for score in re.findall(r"^asset \d+: VMAF (\S+)", capsys.readouterr().out, re.M)]


def convert(source: Path, target: Path, *flags: str) -> int:
    named = ("--input-pkl-filepath", str(source), "--output-json-filepath", str(target))
    return convert_model_from_pkl_to_json.main([*named, *flags])


def test_a_pair_of_python_2_becomes_a_json_that_libvmaf_scores_the_same(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    old = tmp_path / "old.pkl"
    old_pair(trained(small, "m", vmaf_workspace), old)
    assert old.read_bytes().startswith(b"(dS'param_dict'\n")
    expected = scores(small, old, capsys)
    assert convert(old, tmp_path / "new.json") == 0
    assert json.loads((tmp_path / "new.json").read_bytes())["model_dict"]["model_type"] == "LIBSVMNUSVR"
    assert scores(small, tmp_path / "new.json", capsys) == pytest.approx(expected, abs=1e-4)
    assert len(expected) == 12


def test_a_bootstrap_group_becomes_a_collection_of_all_members(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    small.model.write_text("model_type = 'BOOTSTRAP_LIBSVMNUSVR'\nmodel_param_dict = {'num_models': 3}\n")
    source = trained(small, "b", vmaf_workspace)
    assert (
        main(["convert-model", "--input-pkl-filepath", str(source), "--output-json-filepath", f"{tmp_path}/b.json"])
        == 0
    )
    assert "loads no collection of models" in capsys.readouterr().err
    assert (tmp_path / "b.json").read_bytes() == source.with_name("b.bootstrap.json").read_bytes()
    assert len(read_model(tmp_path / "b.json").members) == 3


def test_another_file_of_that_name_stays_unless_overwrite(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    source, target = trained(small, "m", vmaf_workspace), tmp_path / "m.json"
    target.write_text("mine")
    assert convert(source, target) == 3
    assert target.read_text() == "mine"
    assert convert(source, target, "--overwrite") == 0
    content = target.read_bytes()
    assert convert(source, target) == 0  # the same again
    assert target.read_bytes() == content


def test_a_model_that_libvmaf_cannot_load_gets_no_json(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    write_features(small.features, "VMAF_feature", ("adm2", "ansnr"))
    source = trained(small, "a", vmaf_workspace)
    assert convert(source, tmp_path / "a.json") == 1
    assert "libvmaf does not offer VMAF_feature_ansnr_score to models; nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
    assert convert(tmp_path / "missing.pkl", tmp_path / "a.json") == 1
    assert convert(source, tmp_path / "a.pkl") == 1
