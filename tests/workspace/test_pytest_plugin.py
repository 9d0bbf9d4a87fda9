"""The shipped pytest fixture: a workspace a test, in parallel too, and never the caller's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from checkouts import checkout
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


HARNESS_TESTS = """
import os, subprocess, sys
{first}
def places():
    from vmaf.config import VmafConfig
    return VmafConfig.workspace_path(), VmafConfig.workdir_path("x")

def test_one(vmaf_workspace):
    assert places() == (str(vmaf_workspace), str(vmaf_workspace / "workdir" / "x"))

def test_another(vmaf_workspace):
    assert places() == (str(vmaf_workspace), str(vmaf_workspace / "workdir" / "x"))

def test_without_the_fixture_it_is_where_it_was():
    assert places()[0] == os.environ["OWN"]
"""
ALL_TESTS = """
import os, subprocess, sys
import pytest
from vmaf.run import run
from vmaf.config import VmafConfig

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    place = run()
    assert place.startswith(os.environ["VMAF_WORKSPACE"] + "/workdir/")
    child = "from vmaf.config import VmafConfig as c; print(c.workspace_path())"
    assert subprocess.check_output([sys.executable, "-c", child], text=True).strip() == VmafConfig.workspace_path()
    with open(os.environ["SEEN"], "a") as file:
        print(VmafConfig.workspace_path(), os.getpid(), file=file)
"""
SHAPES = {"upstream": "workspace", "fork": "python/vmaf/workspace"}


@pytest.mark.parametrize("first", ["", "import vmaf.config"], ids=["imported-by-a-test", "imported-before"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_imported_harness_is_moved_for_each_test_and_is_then_as_it_was(
    shape: str, first: str, tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", shape)
    monkeypatch.setenv("PYTHONPATH", str(root / "python"))
    monkeypatch.setenv("OWN", str(root / SHAPES[shape]))
    (nowhere / "test_it.py").write_text(HARNESS_TESTS.format(first=first))
    done = pytest_run()
    assert done.code == 0, done


def test_what_of_a_harness_cannot_be_moved_is_said(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(checkout(tmp_path / "checkout", "upstream") / "python"))
    (nowhere / "test_it.py").write_text("import vmaf.run\ndef test_it(vmaf_workspace): pass\n")
    done = pytest_run()
    assert done.code == 1
    assert "vmaf.run.run took a path of the workspace when imported" in done.out


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one", "xdist"])
@pytest.mark.parametrize("shape", SHAPES)
def test_for_all_moves_the_whole_session_and_every_worker_has_its_own(
    shape: str, parallel: tuple[str, ...], seen: Path, tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", shape)
    before = everything(root / SHAPES[shape])
    monkeypatch.setenv("PYTHONPATH", str(root / "python"))
    (nowhere / "conftest.py").write_text("import vmaf.run\n")
    (nowhere / "test_it.py").write_text(ALL_TESTS)
    done = pytest_run("--vmaf-workspace-for-all", "--vmaf-workspace-base", str(tmp_path / "base"), *parallel)
    assert done.code == 0, done
    found = {tuple(line.split()) for line in seen.read_text().splitlines()}
    assert len({place for place, _ in found}) == len({pid for _, pid in found}) == (2 if parallel else 1)
    assert os.listdir(tmp_path / "base") == []
    assert everything(root / SHAPES[shape]) == before


def test_for_all_at_the_default_place_is_refused(nowhere: Path) -> None:
    done = pytest_run("--vmaf-workspace-for-all", "--vmaf-workspace-at=default")
    assert done.code == 4
    assert "is an override" in done.err
