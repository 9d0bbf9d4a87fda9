"""On a Dask cluster: the same results, and whatever can die there, dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clips import Clips, ffmpegs_below, recipe, start, wait_until
from clusters import PATIENCE_S, DaskProcesses, parent_of, spoilt_engine
from trainable import Trainable

from vmaf_harness.engine.binary import Engine

pytestmark = [
    pytest.mark.slow,
    # Importing it to see would take seconds.
    pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is in the extra distributed"),
]

GONE_WITHIN_S = 10.0


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def dask(place: Path) -> Iterator[DaskProcesses]:
    with DaskProcesses(place) as processes:
        yield processes


@pytest.fixture
def dataset_of(clips: Clips, place: Path) -> Callable[..., Path]:
    """Make a recipe of clips of these names, all the same picture and no two the same file."""

    def make(*names: str) -> Path:
        shutil.copy(clips.mp4("reference"), place / "reference.mp4")
        for index, name in enumerate(names):
            free = (12).to_bytes(4, "big") + b"free" + index.to_bytes(4, "big")  # a box that says nothing
            (place / f"dis-{name}.mp4").write_bytes(clips.mp4("x264").read_bytes() + free)
        return recipe(place, "reference.mp4", [f"dis-{name}.mp4" for name in names])

    return make


@pytest.fixture
def measured(place: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The names of what was measured so far, by an ffmpeg as `spoilt_engine` makes it."""
    monkeypatch.setenv("VMAF_FFMPEG", str(spoilt_engine(engine, place)))

    def names() -> list[str]:
        file = place / "measured"
        return [Path(line).stem.removeprefix("dis-") for line in file.read_text().split()] if file.exists() else []

    return names


def scoring(recipe: Path, dask: DaskProcesses, *flags: str) -> subprocess.Popen[str]:
    return start("run_testing", "VMAF", recipe, "--cache-result", "--suppress-plot", *on(dask), *flags)


def on(dask: DaskProcesses) -> tuple[str, ...]:
    return ("--scheduler-file", str(dask.file))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err


def stored(workspace: Path) -> dict[str, Any]:
    """Every entry of the result store, without how long it took."""
    found = {}
    for path in (workspace / "result_store_dir").rglob("*.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("extraction_s", None)
        found[str(path.relative_to(workspace))] = lines
    return found


# The same results


def test_a_cluster_stores_what_a_run_here_stores_and_measures_each_once(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    vmaf_workspace: Path,
    tmp_path: Path,
) -> None:
    names = [f"{i}" for i in range(5)]
    dataset = dataset_of(*names)
    dask.worker()
    dask.worker()
    code, err = ended(scoring(dataset, dask))
    assert code == 0, err
    assert sorted(measured()) == names
    assert [line.split()[0] for line in err.splitlines() if "asset " in line] == [f"{i}/5" for i in range(1, 6)]
    other = tmp_path / "other"
    alone = start("run_testing", "VMAF", dataset, "--cache-result", "--suppress-plot", f"--workspace={other}")
    assert ended(alone)[0] == 0
    assert stored(vmaf_workspace) == stored(other)
    assert {path.name for path in (vmaf_workspace / "workdir").iterdir()} <= {".gitignore", "CACHEDIR.TAG"}
    assert "5 of them stored before" in ended(scoring(dataset, dask))[1]


def test_every_long_job_makes_on_a_cluster_the_bytes_that_it_makes_here(
    dask: DaskProcesses, small: Trainable, vmaf_workspace: Path, tmp_path: Path
) -> None:
    small.model.write_text(small.model.read_text().replace("'LIBSVMNUSVR'", "'BOOTSTRAP_LIBSVMNUSVR'"))
    text = small.model.read_text()
    assert "BOOTSTRAP" in text
    small.model.write_text(text.replace("model_param_dict = {", "model_param_dict = {'num_models': 4, "))
    dask.worker()
    dask.worker()
    there = tmp_path / "there"
    shutil.copytree(vmaf_workspace, there)
    said = []
    for where, flags in ((vmaf_workspace, ()), (there, on(dask))):
        said.append("")
        place = [f"--workspace={where}", *flags]
        commands = [
            ("run_encode", small.dataset, "e_dataset.py", "--crf", "30 40", "--label-with", "version=vmaf_v0.6.1"),
            ("run_vmaf_training", *small.inputs, "m", "--cache-result", "--suppress-plot"),
            ("run_vmaf_cross_validation", *small.inputs, "--folds", "3", "--suppress-plot"),
            (
                "run_vmaf_tuning",
                *small.inputs,
                "p",
                "--folds",
                "2",
                "--gamma",
                "0.02 0.05",
                "--cost",
                "1",
                "--nu",
                "0.5",
            ),
        ]
        for command in commands:
            process = start(str(command[0]), *command[1:], *place)
            out, err = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, err
            said[-1] += out.replace(str(where), "")
    assert said[0].count("SROCC") == said[1].count("SROCC") >= 3
    lines = [[line for line in each.splitlines() if "/output/" not in line] for each in said]
    assert lines[0] == lines[1]
    kept = [contents(where) for where in (vmaf_workspace, there)]
    assert any("checkpoints_dir" in name for name in kept[0])
    assert any("encode" in name for name in kept[0])
    assert kept[0].keys() == kept[1].keys()
    assert {name: (kept[0][name], kept[1][name]) for name in kept[0] if kept[0][name] != kept[1][name]} == {}


def contents(workspace: Path) -> dict[str, bytes]:
    """What stays for good: models, parameters, checkpoints, encodes and their recipes."""
    found = {}
    for subdir in ("model", "model_param", "checkpoints_dir", "encode", "dataset"):
        for path in (workspace / subdir).rglob("*"):
            if path.is_file():
                content = path.read_bytes().replace(str(workspace).encode(), b"")
                content = re.sub(
                    rb'^""".*?"""', b"", content, flags=re.DOTALL
                )  # a recipe's command names the workspace
                # When a card was made; the hash over a recipe, in which the command has the workspace.
                content = re.sub(rb'"made_at": "[^"]*"|[0-9a-f]{64}\n$', b"", content)
                found[str(path.relative_to(workspace))] = content
    return found


# What dies


def test_a_worker_that_is_killed_in_a_task_costs_that_task_alone(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
) -> None:
    dataset = dataset_of("slow", "1", "2")
    dask.worker()
    dask.worker()
    process = scoring(dataset, dask)
    wait_until(lambda: "slow" in measured(), PATIENCE_S)
    os.kill(worker_of_slow(vmaf_workspace), signal.SIGKILL)
    wait_until(lambda: measured().count("slow") == 2, PATIENCE_S)
    (place / "go").touch()
    code, err = ended(process)
    assert code == 0, err
    assert "3 assets scored" in err
    assert sorted(measured()) == ["1", "2", "slow", "slow"]


def worker_of_slow(workspace: Path) -> int:
    """The process of the worker that measures `dis-slow.mp4`."""
    found: list[int] = []

    def look() -> bool:
        for pid in ffmpegs_below(workspace):
            with suppress(OSError):  # it has ended meanwhile
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"vmaf.json" in words and b"dis-slow" in words:
                    found.append(parent_of(pid))
        return bool(found)

    wait_until(look, PATIENCE_S)
    return found[0]


@pytest.mark.parametrize("keep_going", [True, False])
def test_an_asset_whose_workers_all_die_fails_by_name_and_the_others_go_on(
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
    keep_going: bool,
) -> None:
    dataset = dataset_of("1", "poison", "2", "3")
    with DaskProcesses(place, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as dask:
        dask.worker(nanny=True)
        code, err = ended(scoring(dataset, dask, *(["--keep-going"] if keep_going else [])))
    assert code == 1
    assert "asset 1 (" in err
    assert "2 workers that had it died" in err
    assert os.uname().nodename in err
    assert measured().count("poison") == 2
    if keep_going:
        assert "3 assets scored" in err
        assert sorted(measured()) == ["1", "2", "3", "poison", "poison"]
        assert len(stored(vmaf_workspace)) == 3


def test_a_scheduler_that_is_killed_is_an_error_and_the_same_command_goes_on(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
) -> None:
    dataset = dataset_of("1", "2", "slow", "3")
    dask.worker()
    process = scoring(dataset, dask)
    lines: list[str] = []
    assert process.stderr is not None
    while "slow" not in measured() or len(lines) < 2:
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
        if len([line for line in lines if "asset" in line]) >= 2:
            wait_until(lambda: "slow" in measured(), PATIENCE_S)
    dask.scheduler.kill()
    code, err = ended(process)
    assert code == 1
    assert f"the scheduler {dask.file} is lost" in err
    assert "2 of 4 were done" in err
    assert "the same command again" in err
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), PATIENCE_S)
    dask.start_scheduler()
    dask.worker()
    (place / "go").touch()
    code, err = ended(scoring(dataset, dask))
    assert code == 0, err
    assert "4 assets scored, 2 of them stored before" in err


def test_a_walltime_gives_the_task_back_to_the_others(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
) -> None:
    dataset = dataset_of("slow", "1")
    dask.worker(nanny=True)
    dask.worker(nanny=True)
    process = scoring(dataset, dask)
    wait_until(lambda: "slow" in measured(), PATIENCE_S)
    worker = worker_of_slow(vmaf_workspace)
    ffmpegs = {pid for pid in ffmpegs_below(vmaf_workspace) if parent_of(pid) == worker}
    os.kill(parent_of(worker), signal.SIGTERM)  # as a batch system does, to the nanny that it has started
    wait_until(lambda: measured().count("slow") == 2, PATIENCE_S)
    wait_until(lambda: not ffmpegs & set(ffmpegs_below(vmaf_workspace)), GONE_WITHIN_S)
    (place / "go").touch()
    code, err = ended(process)
    assert code == 0, err
    assert "2 assets scored" in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_when_the_command_ends_no_ffmpeg_is_left_on_any_worker(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
    signum: signal.Signals,
) -> None:
    dataset = dataset_of("slow1", "slow2", "slow3", "slow4")
    dask.worker()
    dask.worker()
    process = scoring(dataset, dask)
    wait_until(lambda: len(measured()) == 2, PATIENCE_S)
    process.send_signal(signum)
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), GONE_WITHIN_S * (1 if signum == signal.SIGINT else 3))
    code, err = ended(process)
    assert code == (130 if signum == signal.SIGINT else -9)
    assert signum == signal.SIGKILL or "stopped by SIGINT" in err.splitlines()[-1]
    assert len(measured()) == 2


def test_ctrl_c_in_a_terminal_ends_the_processes_of_a_local_cluster_too(
    dataset_of: Callable[..., Path], measured: Callable[[], list[str]], place: Path, vmaf_workspace: Path
) -> None:
    dataset = dataset_of("slow1", "slow2")
    command = [sys.executable, "-m", "vmaf_harness.script.run_testing", "VMAF", str(dataset), "--scheduler", "local:2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    wait_until(lambda: len(measured()) == 2, PATIENCE_S)
    os.killpg(process.pid, signal.SIGINT)  # everybody in the foreground hears of it
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), GONE_WITHIN_S)
    code, err = ended(process)
    assert code == 130, err
    assert "Traceback" not in err
    wait_until(lambda: not is_group_alive(process.pid), PATIENCE_S)


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# Who is not there, or not fit


def test_no_worker_is_said_and_then_an_error(
    dask: DaskProcesses, dataset_of: Callable[..., Path], vmaf_workspace: Path
) -> None:
    code, err = ended(scoring(dataset_of("1"), dask, "--worker-timeout", "3s"))
    assert code == 1
    said = [line for line in err.splitlines() if "has no worker" in line]
    assert len(said) == 2, err
    waiting, problem = said
    assert f"{dask.file} has no worker; waiting for one, for up to 3 s" in waiting
    assert "dask worker" in problem
    assert "--worker-timeout" in problem


def test_a_scheduler_that_is_not_there_is_an_error(dataset_of: Callable[..., Path], vmaf_workspace: Path) -> None:
    code, err = ended(start("run_testing", "VMAF", dataset_of("1"), "--scheduler", "tcp://127.0.0.1:9"))
    assert code == 1
    assert "cannot reach the scheduler tcp://127.0.0.1:9" in err


def test_a_scheduler_file_that_never_comes_is_said_and_then_an_error(
    dataset_of: Callable[..., Path], place: Path, vmaf_workspace: Path
) -> None:
    flags = ("--scheduler-file", place / "none.json", "--worker-timeout", "2s")
    code, err = ended(start("run_testing", "VMAF", dataset_of("1"), *flags))
    assert code == 1
    assert "waiting for it, for up to 2 s" in err
    assert f"dask scheduler --scheduler-file {place / 'none.json'}" in err


def test_a_cluster_whose_workers_have_all_left_is_an_error_in_the_end(
    dask: DaskProcesses, dataset_of: Callable[..., Path], measured: Callable[[], list[str]], vmaf_workspace: Path
) -> None:
    worker = dask.worker()
    process = scoring(dataset_of("1", "slow"), dask, "--worker-timeout", "4s")
    wait_until(lambda: "slow" in measured(), PATIENCE_S)
    worker.kill()
    code, err = ended(process)
    assert code == 1
    assert "has no worker, for 4 s; 1 of 2 were done" in err


def test_a_cluster_whose_workers_are_all_paused_for_lack_of_memory_is_an_error_in_the_end(
    dask: DaskProcesses, dataset_of: Callable[..., Path], measured: Callable[[], list[str]], vmaf_workspace: Path
) -> None:
    for _ in range(2):  # paused at this part of the limit, which Python alone takes
        dask.worker("--memory-limit", "2GiB", DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE="0.001")
    code, err = ended(scoring(dataset_of("1"), dask, "--worker-timeout", "4s"))
    assert code == 1
    waiting, problem = [line for line in err.splitlines() if "2 workers of" in line]
    assert "paused, for lack of memory; waiting for one, for up to 4 s" in waiting
    assert "more memory" in problem
    assert measured() == []


def test_a_worker_that_does_not_see_the_workspace_is_named(
    dask: DaskProcesses, dataset_of: Callable[..., Path], vmaf_workspace: Path, measured: Callable[[], list[str]]
) -> None:
    hidden = f'mount -t tmpfs none "{vmaf_workspace}" && exec "$@"'
    vmaf_workspace.mkdir(exist_ok=True)
    if subprocess.run(["unshare", "-m", "sh", "-c", hidden, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts may not be made here")
    dask.worker()
    dask.worker(prefix=["unshare", "-m", "sh", "-c", hidden, "sh"])
    code, err = ended(scoring(dataset_of("1"), dask))
    assert code == 1
    assert f"worker on {os.uname().nodename}" in err
    assert "mount the workspace there by this path" in err
    assert err.count("worker on") == 1
    assert measured() == []


def test_a_worker_with_another_version_of_ours_or_without_it_is_named(
    dask: DaskProcesses, dataset_of: Callable[..., Path], place: Path, vmaf_workspace: Path
) -> None:
    other = place / "other" / "vmaf_workspace-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: vmaf-workspace\nVersion: 0.0.1\n")
    dask.worker(PYTHONPATH=str(other.parent))
    code = "import sys; sys.modules['vmaf_harness'] = None; from distributed.cli.dask_worker import main; main()"
    dask.worker(python=["-c", code])
    exit_code, err = ended(scoring(dataset_of("1"), dask))
    assert exit_code == 1
    assert f"worker on {os.uname().nodename} (tcp://" in err
    assert "vmaf-workspace 0.0.1, but" in err
    assert "has no vmaf_harness" in err
    assert "nothing was begun" in err


def test_a_worker_that_comes_later_and_is_not_fit_ends_the_run_by_name(
    dask: DaskProcesses,
    dataset_of: Callable[..., Path],
    measured: Callable[[], list[str]],
    place: Path,
    vmaf_workspace: Path,
) -> None:
    other = place / "other" / "vmaf_workspace-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: vmaf-workspace\nVersion: 0.0.1\n")
    dask.worker()
    process = scoring(dataset_of(*(f"slow{i}" for i in range(12))), dask, "--keep-going")
    wait_until(lambda: len(measured()) == 1, PATIENCE_S)
    dask.worker(PYTHONPATH=str(other.parent))
    code, err = ended(process)
    assert code == 1
    assert f"worker on {os.uname().nodename}: vmaf-workspace 0.0.1, but" in err
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), PATIENCE_S)


def test_a_worker_that_hangs_is_an_error_in_the_end(
    dask: DaskProcesses, dataset_of: Callable[..., Path], vmaf_workspace: Path
) -> None:
    worker = dask.worker()
    worker.send_signal(signal.SIGSTOP)
    code, err = ended(scoring(dataset_of("1"), dask, "--worker-timeout", "1s"))
    assert code == 1
    assert f"a worker of {dask.file} does not answer within 21 s" in err


JOBS = """
import sys, time
from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.cluster import Cluster, Scheduler
from vmaf_harness.engine.worker import Needs
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_workspace.live.lock import Run
from pathlib import Path
made = {}
def work(job, place):
    if job == 2:
        raise EngineError("ffmpeg failed")
    eaten = [] if job else bytearray()
    for _ in range(60 if not job else 0):
        eaten += b"x" * 20_000_000
        time.sleep(0.02)
    return job
needs = Needs(engine=Engine("/nowhere/ffmpeg", "0.0", "0.0")) if "engine" in sys.argv else Needs()
with Run(Path(sys.argv[2])) as run, Cluster(Scheduler(file=Path(sys.argv[1])), run, warn=print) as cluster:
    try:
        cluster.run([0, 1, 2], work, made.__setitem__, needs=needs, name="job {}".format, keep_going=True)
    except HarnessError as error:
        print(error)
for index in sorted(made):
    print(index, made[index])
"""


def jobs(dask: DaskProcesses, workspace: Path, *words: str) -> str:
    command = [sys.executable, "-c", JOBS, str(dask.file), str(workspace), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_worker_whose_ffmpeg_gives_other_numbers_is_named(dask: DaskProcesses, vmaf_workspace: Path) -> None:
    dask.worker()
    said = jobs(dask, vmaf_workspace, "engine")
    assert f"worker on {os.uname().nodename}" in said
    assert "but ffmpeg 0.0, libvmaf 0.0 is used here" in said
    assert "VMAF_FFMPEG" in said


def test_a_job_that_needs_more_memory_than_a_worker_has_fails_alone(place: Path, vmaf_workspace: Path) -> None:
    with DaskProcesses(place, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as dask:
        dask.worker("--memory-limit", "700MB", nanny=True, DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE="False")
        # While its only worker begins anew, that it has none may be said.
        said = [line for line in jobs(dask, vmaf_workspace).splitlines() if "waiting for one" not in line]
    assert said[0].startswith("0 job 0: 2 workers that had it died")
    assert "memory" in said[0]
    assert said[1:] == ["1 1", "2 ffmpeg failed", f"on {os.uname().nodename}"]
