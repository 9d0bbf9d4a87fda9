"""`vmaf_workspace.nox` as a stranger's noxfile has it: real Nox, real tox, both back ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import TESTS, checkout
from trees import Ended, run, subprocess_env

import vmaf_workspace

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


NOTIFIED = """
import nox
nox.options.sessions = ["ask"]
@nox.session(venv_backend="none")
def ask(session):
    session.notify("workspace(override)")
"""
SHELL = """
import os, shutil
from vmaf.config import VmafConfig
def run():
    os.system("mkdir -p " + VmafConfig.workdir_path("x"))
    return VmafConfig.workdir_path("x")
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


def test_a_session_that_another_one_notifies_is_as_good(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean")
    done = nox(root, BARE + NOTIFIED)
    assert done.code == 0, done
    assert "workspace(override): success" in done.err
    assert "workspace(default)" not in done.err


def test_the_session_is_asked_for_by_the_python_that_it_is_for(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    noxfile = UV.replace('"uv",', f'"virtualenv",\n    python=["3.2", "{version}"],')
    done = nox(root, noxfile, "-p", version)
    assert done.code == 0, done
    for at in ("default", "override"):
        assert f"harness-places-{version}(at='{at}'): success" in done.err or f"-{version}({at}): success" in done.err
    assert "3.2" not in done.err


def test_xdist_is_led_in_every_worker_and_a_leak_is_named_with_its_test(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "clean", "forks")
    parallel = BARE.replace('"-q"', '"-q", "-n", "2"')
    done = nox(root, parallel, "-s", "workspace(override)")
    assert done.code == 0, done
    assert int(done.err.partition("gave the override, in ")[2].split()[0]) >= 3
    (root / "python" / "test" / "ignores_test.py").write_text(TESTS["ignores"])
    leaks = nox(root, parallel, "-s", "workspace(override)")
    assert leaks.code == 1, leaks
    assert re.search(r"workspace/output/cache\.pkl  by \S*ignores_test\.py::test_ignores_the_variable", leaks.err), (
        leaks
    )


@pytest.mark.parametrize("shape", ["upstream", "fork"])
def test_a_harness_that_gives_paths_to_a_shell_gets_a_name_without_blanks(shape: str, tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", shape, "clean")
    plain = nox(root, BARE, "-s", "workspace(override)")
    assert plain.code == 0, plain
    assert "the workspace is" in plain.err
    assert "/a workspace über Eck, a link" in plain.err
    (root / "python" / "vmaf" / "run.py").write_text(SHELL)
    shell = nox(root, BARE, "-s", "workspace(override)")
    assert shell.code == 0, shell
    assert "/workspace-über-Eck, a link" in shell.err
    assert f"its name has no blanks: {root}/python/vmaf puts paths into a shell's commands as they are" in shell.err


def test_a_harness_that_adopts_is_led_without_a_redirection(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "clean", "forks")
    with open(root / "python" / "vmaf" / "config.py", "a") as file:
        file.write("\nfrom vmaf_workspace.config import adopt\nadopt(VmafConfig)\n")
    done = nox(root, BARE)
    assert done.code == 0, done
    assert "gave the override" in done.err


def test_where_nox_is_missing_it_is_said_how_it_comes_there() -> None:
    src = Path(vmaf_workspace.__file__).parents[1]
    code = f"import sys; sys.path[:0] = [{str(src)!r}]; import vmaf_workspace.nox"
    done = run([sys.executable, "-I", "-S", "-c", code])  # -S: nothing that is installed
    assert done.code == 1, done
    package = "'vmaf-workspace @ git+ADDRESS'"  # nothing says where it came from
    for remedy in (f"pipx inject nox {package}", f"uv tool run --with {package} nox", "# /// script"):
        assert remedy in done.err


def test_a_call_that_cannot_be_is_refused_when_the_noxfile_is_read(tmp_path: Path) -> None:
    root = checkout(tmp_path / "checkout", "fork")
    done = nox(root, BARE.replace('("pytest", "-q", "python/test")', '"pytest"'), "-l")
    assert done.code != 0
    assert "expected command as a list of words" in done.out + done.err
