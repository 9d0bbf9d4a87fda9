"""The shipped pytest fixture: a workspace a test, in parallel too, and never the caller's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from trees import Ended, everything, run, workspace, write

TESTS = """
import os
from pathlib import Path
import pytest
from vmaf_workspace.config import VmafConfig
from vmaf_workspace.live.lock import Run

@pytest.mark.parametrize("number", range(6))
def test_alone(vmaf_workspace, number):
    assert not vmaf_workspace.exists()
    assert os.path.realpath(VmafConfig.workspace_path()) == os.path.realpath(vmaf_workspace)
    with Run(vmaf_workspace) as run:
        run.workdir("frames.yuv").write_bytes(b"x")
        run.output("plot.png").write_bytes(b"x")
        assert os.listdir(vmaf_workspace / "output") != []
    with open(os.environ["SEEN"], "a") as file:
        print(vmaf_workspace, os.getpid(), file=file)
"""


@pytest.fixture
def seen(nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (nowhere / "test_it.py").write_text(TESTS)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return tmp_path / "seen"


def pytest_run(*args: str) -> Ended:
    return run([sys.executable, "-m", "pytest", "-q", "-W", "error", *args])


@pytest.mark.parametrize("at", ["override", "default"])
def test_each_test_has_its_own_in_parallel_gone_afterwards_and_never_the_callers(
    at: str, seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = workspace(tmp_path / "own")
    write(own / "model" / "m.pkl")
    before = everything(own)
    monkeypatch.setenv("VMAF_WORKSPACE", str(own))
    done = pytest_run("-n", "2", f"--vmaf-workspace-at={at}")
    assert done.code == 0, done
    places, pids = zip(*(line.split() for line in seen.read_text().splitlines()), strict=True)
    assert len(set(places)) == 6
    assert len(set(pids)) == 2
    assert not any(Path(place).exists() for place in places)
    assert all(("/checkout/compat/python-vmaf/workspace" in place) == (at == "default") for place in places)
    assert everything(own) == before


@pytest.mark.parametrize("base", ["relative", "link"])
def test_a_base_is_where_the_workspaces_are_made_and_is_left_empty(base: str, seen: Path, tmp_path: Path) -> None:
    place = {"relative": Path("b ä"), "link": tmp_path / "link"}[base]
    if base == "link":
        (tmp_path / "real").mkdir()
        place.symlink_to("real")
    assert pytest_run(f"--vmaf-workspace-base={place}").code == 0
    assert all(f"{place.absolute()}/" in line for line in seen.read_text().splitlines())
    assert os.listdir(place) == []


def test_it_costs_a_session_that_does_not_use_it_nothing(nowhere: Path) -> None:
    (nowhere / "test_it.py").write_text(
        "import sys\ndef test_it():\n    assert not {'vmaf_workspace.live.lock', 'rich', 'invoke'} & set(sys.modules)\n"
    )
    assert pytest_run("-p", "no:xdist").code == 0
