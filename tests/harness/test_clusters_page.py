"""Each snippet of `docs/clusters.md` that needs no Slurm and no Kubernetes does what the page says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from trainable import Trainable

from vmaf_harness.measure.store import store_directory

PAGE = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {text.partition("\n")[0].removeprefix("# "): text for _, text in SNIPPETS if text.startswith("# ")}
SHELL = [text for kind, text in SNIPPETS if kind == "sh" and not text.startswith("# ")]
needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is in the extra distributed")


@pytest.fixture
def directory(small: Trainable, vmaf_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's commands are given: the dataset of the page, of which nothing is stored."""
    shutil.rmtree(store_directory(vmaf_workspace), ignore_errors=True)
    monkeypatch.chdir(small.directory)
    monkeypatch.setenv("VMAF_WORKSPACE", str(vmaf_workspace))  # the default is that of another directory
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    return small.directory


def sh(text: str, **variables: str) -> str:
    """Run *text* as a shell does that stops at an error; what it leaves in the background is ended."""
    process = subprocess.Popen(
        ["sh", "-ec", text],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    code = process.wait(timeout=400)
    os.killpg(process.pid, signal.SIGKILL) if "dask" in text else None
    said = process.stdout.read()
    process.stdout.close()
    assert code == 0, said
    return said


def n_stored(workspace: Path) -> int:
    return len(list(store_directory(workspace).rglob("*.json")))


def test_the_page_has_these_snippets() -> None:
    assert FILES.keys() == {"slurm.py", "dask.yaml", "array.sh", "collect.sh"}
    assert len(SHELL) == 3
    compile(FILES["slurm.py"], "slurm.py", "exec")


def test_the_manifest_is_one_that_a_cluster_would_read() -> None:
    yaml = pytest.importorskip("yaml", reason="Dask brings it")
    read = yaml.safe_load(FILES["dask.yaml"])
    worker = read["spec"]["worker"]["spec"]["containers"][0]
    assert (read["kind"], worker["args"][:2]) == ("DaskCluster", ["dask", "worker"])
    assert worker["args"][worker["args"].index("--nthreads") + 1] == "1"


@pytest.mark.slow
@needs_dask
def test_the_lines_for_dask_run(directory: Path, vmaf_workspace: Path) -> None:
    local, by_hand, _ = SHELL
    sh(local)
    assert n_stored(vmaf_workspace) == 12
    assert "12 assets" in sh(by_hand)
    assert (vmaf_workspace / "model" / "m.json").exists()


@pytest.mark.slow
def test_the_loop_of_parts_runs(directory: Path, vmaf_workspace: Path) -> None:
    said = sh(SHELL[2])
    assert "part 3/3: 4 assets extracted" in said
    assert "12 assets, 12 of them stored before" in said
    assert (vmaf_workspace / "model" / "m.json").exists()


@pytest.mark.slow
def test_the_array_as_a_loop_leaves_the_collecting_job_nothing_to_extract(
    directory: Path, vmaf_workspace: Path
) -> None:
    for task in (4, 1, 3):
        sh(FILES["array.sh"], SLURM_ARRAY_TASK_ID=f"{task}", SLURM_ARRAY_TASK_MIN="1", SLURM_ARRAY_TASK_COUNT="4")
    assert n_stored(vmaf_workspace) == 9
    assert "12 assets, 9 of them stored before" in sh(FILES["collect.sh"])
    assert (vmaf_workspace / "model" / "m.json").exists()
