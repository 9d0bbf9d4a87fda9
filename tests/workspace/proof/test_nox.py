"""`vmaf_workspace.nox` as a stranger's noxfile has it: real Nox, real tox, both back ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import checkout
from trees import Ended, subprocess_env

pytestmark = pytest.mark.slow  # each makes virtual environments, or runs pytest twice
BARE = """
from vmaf_workspace.nox import workspace_session
workspace_session(command=("pytest", "-q", "python/test"), env={"PYTHONPATH": "python"}, venv_backend="none")
"""
TOX = """
from vmaf_workspace.nox import workspace_session
workspace_session(command=("tox", "-c", "python"), install=("tox",), venv_backend="virtualenv", tags=["proof"])
"""
UV = """
from vmaf_workspace.nox import workspace_session
workspace_session(
    name="harness-places",
    command=("pytest", "-q", "python/test"),
    install=("pytest", "-e", "python"),
    venv_backend="uv",
)
"""


def nox(root: Path, noxfile: str, *words: str) -> Ended:
    (root / "noxfile.py").write_text(noxfile)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = [sys.executable, "-m", "nox", *words]
    done = subprocess.run(
        command, cwd=root, env=subprocess_env(PATH=path), stdin=subprocess.DEVNULL, capture_output=True, timeout=600
    )
    return Ended(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))


@pytest.mark.parametrize("shape", ["upstream", "fork"])
def test_one_call_proves_both_places_of_a_clean_suite_with_spaces_in_the_path(shape: str, tmp_path: Path) -> None:
    root = checkout(tmp_path / "a check out", shape, "clean", "forks")
    done = nox(root, BARE)
    assert done.code == 0, done
    assert "workspace(default): success" in done.err
    assert "workspace(override): success" in done.err
    assert "gave the override" in done.err


@pytest.mark.parametrize(
    ("test", "failing"), [("ignores", ("override",)), ("beside", ("default", "override")), ("leaves", ())]
)
def test_each_leak_fails_the_session_that_it_shows_in(test: str, failing: tuple[str, ...], tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "clean", test)
    done = nox(root, BARE)
    assert done.code == bool(failing), done
    for at in ("default", "override"):
        assert f"workspace({at}): {'aborted' if at in failing else 'success'}" in done.err
    assert ("left in workdir/: 1 .yuv file, 1 FIFO, 1 directory" in done.err) == (test == "leaves")


def test_tox_hands_the_override_on_though_its_ini_does_not(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "clean", "forks")
    done = nox(root, TOX, "-t", "proof")
    assert done.code == 0, done
    assert "python/vmaf/config.py gave the override" in done.err


def test_tox_that_sets_the_variable_itself_fails_instead_of_passing_twice(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean")
    ini = root / "python" / "tox.ini"
    ini.write_text(ini.read_text().replace("usedevelop", "setenv = PYTHONPATH = {toxinidir}\nusedevelop"))
    ini.write_text(
        ini.read_text().replace("setenv =", "setenv = VMAF_WORKSPACE = {toxinidir}/vmaf/workspace\n        ")
    )
    done = nox(root, TOX, "-s", "workspace(override)")
    assert done.code == 1, done
    assert "the override never reached the tests" in done.err


def test_an_editable_install_is_of_the_copy_and_is_used_again(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean")
    assert nox(root, UV).code == 0
    again = nox(root, UV, "-R", "-s", "harness-places(default)", "--", "-k", "clean")
    assert again.code == 0, again
    assert "uv pip install" not in again.err
    assert "-k clean" in again.err


def test_a_call_that_cannot_be_is_refused_when_the_noxfile_is_read(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork")
    done = nox(root, BARE.replace('("pytest", "-q", "python/test")', '"pytest"'), "-l")
    assert done.code != 0
    assert "expected command as a list of words" in done.out + done.err
