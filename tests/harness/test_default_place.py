"""What runs at the default place (places.py) is every command that finds a workspace, and all eight subdirectories."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest
from ladders import Laddered
from places import AT_THE_DEFAULT

from vmaf_harness.cli import main
from vmaf_harness.commands import COMMANDS
from vmaf_workspace.contract import SUBDIRS


def test_each_command_that_finds_a_workspace_and_each_subdirectory_is_tested_there() -> None:
    used = {word for words in AT_THE_DEFAULT.values() for word in words.split()}
    commands = {each.name for each in COMMANDS if "workspace" in each.parameters}
    assert commands >= {"train", "score", "encode"}
    assert used >= commands | {f"{subdir.name}/" for subdir in SUBDIRS}
    assert used <= {each.name for each in COMMANDS} | {f"{subdir.name}/" for subdir in SUBDIRS}


def test_each_that_is_named_is_there_and_has_a_workspace_of_its_own() -> None:
    with_one = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        file = path.relative_to(Path(__file__).parent).as_posix()
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        with_one |= {f"{file}::{f.name}" for f in functions if "vmaf_workspace" in {arg.arg for arg in f.args.args}}
    assert with_one >= set(AT_THE_DEFAULT)


def test_a_command_finds_the_workspace_that_nobody_names(
    laddered: Laddered, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(laddered.workspace, vmaf_workspace)
    recipe = str(vmaf_workspace / "dataset" / laddered.recipe.name)
    assert main(["bd-rate", "--dataset", recipe, "--json"]) == 0
    assert {delta["content"] for delta in json.loads(capsys.readouterr().out)["deltas"]} >= {"carphone", "bikes"}
    torn = vmaf_workspace / "result_store_dir" / "file_result_store" / "VMAF_feature_V0.2.7" / "l" / "0" / ("a" * 40)
    torn.parent.mkdir(parents=True)
    torn.write_text("{'dataset': {0: 'l'")
    assert main(["import-results", "--dataset", recipe, "--json"]) == 1
    assert torn.name in str(json.loads(capsys.readouterr().out)["problems"])
    assert main(["report", "--dataset", recipe, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"]
