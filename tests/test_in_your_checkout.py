"""Each snippet of the page `docs/in-your-checkout.md` does what the page says, in a stand-in of a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "workspace"))
from checkouts import checkout

from vmaf_workspace.contract import KEPT_NAMES

PAGE = (Path(__file__).parents[1] / "docs" / "in-your-checkout.md").read_text()
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {text.partition("\n")[0].removeprefix("# "): text for kind, text in SNIPPETS if kind != "sh"}
LINES = [line for kind, text in SNIPPETS if kind == "sh" for line in text.splitlines()]
STEPS = re.findall(r"- run: (vmaf-ws .*)", FILES[".github/workflows/harness.yml"])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = checkout(tmp_path / "checkout", "upstream", "clean")
    monkeypatch.chdir(made)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    return made


def sh(line: str, **variables: str) -> str:
    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, **variables}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done
    return done.stdout + done.stderr


def test_the_page_has_a_snippet_of_each_kind() -> None:
    assert FILES.keys() == {"noxfile.py", "tasks.py", "python/vmaf/config.py", ".github/workflows/harness.yml"}
    assert (len(LINES), len(STEPS)) == (3, 3)


def test_the_noxfile_has_both_sessions_in_under_ten_lines(root: Path) -> None:
    Path("noxfile.py").write_text(FILES["noxfile.py"])
    assert len(FILES["noxfile.py"].splitlines()) < 10
    listed = sh("nox --script-mode none -l")
    assert "* workspace(default)" in listed
    assert "* workspace(override)" in listed


def test_tasks_that_were_there_stay_beside_ours(root: Path) -> None:
    Path("tasks.py").write_text(FILES["tasks.py"])
    listed = sh("invoke -l")
    assert "  build" in listed
    assert "  ws.clean-scratch" in listed


def test_a_harness_that_adopts_reads_the_variable(root: Path) -> None:
    with open("python/vmaf/config.py", "a") as file:
        file.write(FILES["python/vmaf/config.py"])
    asked = 'python -c "from vmaf.config import VmafConfig as c; print(c.workdir_path(), c.model_path())"'
    assert sh(asked, PYTHONPATH="python", VMAF_WORKSPACE="/w").split() == ["/w/workdir", f"{root}/model"]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_each_line_of_a_shell_passes_for_a_clean_suite(line: str, root: Path) -> None:
    sh(line, PYTHONPATH=str(root / "python"), VMAF_WORKSPACE="")


@pytest.mark.slow
def test_each_step_of_the_workflow_passes(root: Path, tmp_path: Path) -> None:
    for step in STEPS:
        sh(step, PYTHONPATH=str(root / "python"), VMAF_WORKSPACE=str(tmp_path / "ws"))
    assert set(os.listdir(tmp_path / "ws" / "workdir")) <= KEPT_NAMES
