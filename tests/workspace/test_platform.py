"""Linux and macOS; elsewhere one sentence says so, before anything is imported that is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from trees import python

AS_ON_WINDOWS = """
import runpy, sys
sys.platform = "win32"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    "words", [("vmaf-ws", "where"), ("vmaf-ws", "--help"), ("vmaf-harness", "--help"), ("vmaf-ws", "where", "--json")]
)
def test_a_program_says_in_one_sentence_that_it_does_not_run_on_windows(words: tuple[str, ...]) -> None:
    program = os.path.join(os.path.dirname(sys.executable), words[0])
    done = python(AS_ON_WINDOWS, program, *words[1:])
    assert (done.code, done.out) == (1, "")
    assert done.err == "vmaf-workspace runs on Linux and macOS, not on Windows; use it in WSL or in a container\n"


@pytest.mark.parametrize("module", ["vmaf_workspace.tasks", "vmaf_workspace.nox", "vmaf_harness.tasks"])
def test_so_do_the_modules_that_others_import(module: str) -> None:
    done = python(f"import sys; sys.platform = 'win32'; import {module}")
    assert (done.code, done.err.count("\n")) == (1, 1), done
    assert "not on Windows" in done.err


def test_the_package_is_named_for_the_systems_that_it_runs_on() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert "Operating System :: MacOS" in text
    assert "Operating System :: POSIX :: Linux" in text
    assert "Windows" not in text
