"""Removal when things go wrong under it: kills at every step, runs that start, other cleaners, things swapped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import age, clean, ended_run, everything, left, live_run, process, python, run, stored, workspace, write, ws

from vmaf_workspace.contract import KEPT_NAMES, SUBDIRS
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.disk.workers import WorkerPool, is_single_threaded
from vmaf_workspace.errors import InUseError
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_clean, plan_purge
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.setup import ensure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


# A kill at every step: the n-th rename, unlink or rmdir of parent and children together ends them all.

KILLED_AT = """
import os, signal, sys
steps = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND)
limit, deadly = map(int, sys.argv[2:4])

def counted(call):
    def step(*args, **kwargs):
        os.write(steps, b".")  # O_APPEND: one count for all processes
        if os.fstat(steps).st_size >= limit:
            os.killpg(0, deadly)
        return call(*args, **kwargs)
    return step

os.rename, os.unlink, os.rmdir = map(counted, (os.rename, os.unlink, os.rmdir))
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[4:]))
"""


def killed_at(
    step: int, counter: Path, *args: str | os.PathLike[str], by: signal.Signals = signal.SIGKILL
) -> subprocess.CompletedProcess[bytes]:
    counter.unlink(missing_ok=True)
    command = [sys.executable, "-c", KILLED_AT, counter, str(step), str(by.value), *args]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, timeout=60, check=False
    )


def filled(root: Path) -> Path:
    workspace(root)
    for name, size in {"one": 1, "ten": 10}.items():
        write(root / "workdir" / name / "deep" / "frames.yuv", size)
    write(root / "output" / "plot.png", 100)
    for subdir in ("workdir", "output"):
        age(root / subdir)
    for name in ("d1/c1/k1", "d1/c1/k2", "d2/c1/k1"):
        stored(root, name, 1000)
    return root


def is_rest(path: Path) -> bool:
    """Whether *path* is more than an empty directory or what stays by contract."""
    return path.name not in KEPT_NAMES and not path.is_dir()


@pytest.mark.parametrize("command", [["clean-scratch", "--min-age", "0"], ["purge-cache", "--yes"]], ids=" ".join)
def test_killed_at_any_step_the_next_call_finishes_the_job_and_nothing_else_is_lost(
    command: list[str], tmp_path: Path
) -> None:
    emptied = ("workdir", "output") if command[0] == "clean-scratch" else ("result_store_dir",)
    spared = [subdir.name for subdir in SUBDIRS if subdir.name not in emptied]
    for step in range(1, 60):
        root = filled(tmp_path / str(step))
        before = [everything(root / name) for name in spared]
        code = killed_at(step, tmp_path / "steps", *command, "--workspace", root).returncode
        assert code in (0, -signal.SIGKILL)
        assert [everything(root / name) for name in spared] == before
        ensure(root)  # a run may start at once
        again = plan_clean(root, min_age_s=0) if command[0] == "clean-scratch" else plan_purge(root, Selection())
        report = execute(again)
        assert report.is_complete, report
        assert not [file for subdir in emptied for file in (root / subdir).rglob("*") if is_rest(file)]
        assert [everything(root / name) for name in spared] == before
        if code == 0:
            break
    assert code == 0
    assert step > 8, "the kills came at no step worth it"


def test_killed_half_way_what_was_not_begun_is_whole_and_what_was_is_hidden(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for number in range(6):
        for name in "abc":
            write(root / "workdir" / f"run{number}" / name, 10)
        age(root / "workdir" / f"run{number}")
    done = killed_at(9, tmp_path / "steps", "clean-scratch", "--min-age", "0", "--workspace", root)
    assert done.returncode == -signal.SIGKILL
    visible = [name for name in left(root) if not name.startswith(TRASH)]
    assert 0 < len(visible) < 6 or len(left(root)) > len(visible)
    for name in visible:
        assert sorted(os.listdir(root / "workdir" / name)) == ["a", "b", "c"]


def test_ctrl_c_in_the_middle_ends_with_130_and_the_next_call_finishes(tmp_path: Path) -> None:
    root = filled(tmp_path / "ws")
    done = killed_at(5, tmp_path / "steps", "clean-scratch", "--min-age", "0", "--workspace", root, by=signal.SIGINT)
    assert done.returncode == 130
    assert b"interrupted" in done.stderr
    assert b"Traceback" not in done.stderr
    assert clean(root, min_age_s=0).is_complete
    assert left(root) == left(root, "output") == []


def is_alive(pid: int) -> bool:
    """Whether *pid* runs; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_children_of_a_killed_parent_end_soon() -> None:
    code = """
import os, sys, time
from vmaf_workspace.disk.workers import WorkerPool
def work(job):
    time.sleep(0.05)
    os.write(1, b"%d\\n" % os.getpid())
with WorkerPool(list(range(10_000)), work, at_most=4) as children:
    os.write(1, b"ready\\n")
    for _ in children:
        pass
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline()
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed_at_s = time.monotonic()
    pids = {int(line) for line in child.stdout if line.strip() != "ready"}  # ends when no child holds the pipe
    child.stdout.close()
    assert pids
    while any(map(is_alive, pids)):
        assert time.monotonic() - killed_at_s < 20


# Children.


def in_children(code: str) -> str:
    """Run *code* where no thread forbids to fork, as the console script does."""
    done = python("import os, sys, signal\nfrom vmaf_workspace.disk.workers import WorkerPool\n" + code)
    assert done.code == 0, done.err
    return done.out


def test_each_job_comes_back_once_with_its_index() -> None:
    out = in_children("print(sorted(WorkerPool(list('abcdefg'), str.upper, at_most=3)))")
    assert out == str([(i, c) for i, c in enumerate("ABCDEFG")]) + "\n"
    assert in_children("print(list(WorkerPool([], str.upper, at_most=3)))") == "[]\n"


def test_bytes_that_are_no_utf8_and_long_results_survive_the_pipe() -> None:
    out = in_children(
        "print([r == chr(0xdcff) * 300000 for _, r in WorkerPool([1, 2], lambda j: chr(0xdcff) * 300000, at_most=2)])"
    )
    assert out == "[True, True]\n"


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)", "1 / 0"])
def test_a_child_that_dies_gives_none_for_what_it_had_left_and_the_others_finish(death: str) -> None:
    code = f"""
def work(job):
    if job == 2:
        {death}
    return job
print(sorted(WorkerPool([0, 1, 2, 3, 4, 5], work, at_most=2), key=str))
"""
    assert in_children(code) == str([(0, 0), (1, 1), (2, None), (3, 3), (4, None), (5, 5)]) + "\n"


@pytest.mark.parametrize("may_fork", [True, False])
def test_an_error_of_a_job_is_raised_with_its_kind_and_its_words(may_fork: bool) -> None:
    code = f"""
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.snapshot.manifest import DamagedError
def work(error):
    raise error
files = [OSError(28, "No space left", "/a b"), FileNotFoundError(2, "gone", "/x")]
for error in [*files, RefusedError("no"), DamagedError("cut")]:
    try:
        list(WorkerPool([error] * 3, work, at_most=2, may_fork={may_fork}))
    except (OSError, RefusedError, DamagedError) as raised:
        print(type(raised) is type(error), str(raised) == str(error), getattr(raised, "filename", None))
"""
    assert in_children(code) == "True True /a b\nTrue True /x\nTrue True None\nTrue True None\n"


def test_work_that_may_not_be_forked_stays_in_its_process() -> None:
    code = "print({pid == os.getpid() for _, pid in WorkerPool([1, 2], lambda _: os.getpid(), at_most=2, may_fork=%s)})"
    assert [in_children(code % may) for may in (True, False)] == ["{False}\n", "{True}\n"]


def test_a_child_that_is_killed_is_reported_and_the_exit_code_says_so(root: Path) -> None:
    for number in range(20):
        age(ended_run(root, f"run{number:02}", size=number + 1))
    code = """
import os, signal, sys
import vmaf_workspace.removal.execution as remove
whole = remove.remove_tree
def dies(fd, name):
    if os.path.getsize(f"/proc/self/fd/{fd}/{name}/frames.yuv") == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(fd, name)
remove.remove_tree = dies
from vmaf_workspace.cli import main
sys.exit(main(["clean-scratch", "--json", "--workspace", sys.argv[1]]))
"""
    done = python(code, root)
    assert done.code == 1
    report = done.json
    assert {
        "path": "workdir/run12/",
        "problem": "the process that was removing it was killed; give the same command again",
    } in report["failures"]
    assert report["removed"]["entries"] + len(report["failures"]) == 20
    assert clean(root).is_complete
    assert left(root) == []


def test_leaving_early_ends_the_children() -> None:
    out = in_children(
        """
import time
pids = []
with WorkerPool([1, 2], lambda job: time.sleep(60), at_most=2) as children:
    pids = list(children._children.values())
print(len(pids), [os.path.exists(f"/proc/{pid}") for pid in pids])
"""
    )
    assert out == "2 [False, False]\n"


def test_where_threads_run_threads_do_the_work_and_no_fork_is_made(recwarn: pytest.WarningsRecorder) -> None:
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not is_single_threaded()
        pids = {pid for _, pid in WorkerPool([1, 2, 3], lambda _: os.getpid(), at_most=2)}
    finally:
        stop.set()
        thread.join()
    assert pids == {os.getpid()}
    assert not recwarn.list


# What changed since the plan is left.


def touched(entry: Path) -> None:
    os.utime(entry / "deep" / "frames.yuv")


def grown(entry: Path) -> None:
    with (entry / "deep" / "frames.yuv").open("ab") as file:
        file.write(b"more")
    age(entry)


def more_files(entry: Path) -> None:
    write(entry / "deep" / "new", 0)
    age(entry)


def replaced(entry: Path) -> None:
    entry.rename(entry.with_name("was"))
    write(entry / "deep" / "frames.yuv", 10)
    age(entry)


def replaced_by_a_symlink(entry: Path) -> None:
    entry.rename(entry.with_name("was"))
    entry.symlink_to("was")


def replaced_by_a_file(entry: Path) -> None:
    entry.rename(entry.with_name("was"))
    age(write(entry))


@pytest.mark.parametrize("change", [touched, grown, more_files, replaced, replaced_by_a_symlink, replaced_by_a_file])
def test_what_changed_since_the_plan_is_left_and_reported(change: Callable[[Path], None], root: Path) -> None:
    entry = root / "workdir" / "run"
    write(entry / "deep" / "frames.yuv", 10)
    age(write(root / "workdir" / "other" / "frames.yuv", 100).parent)
    age(entry)
    plan = plan_clean(root, min_age_s=0)
    change(entry)
    before = everything(entry)
    report = execute(plan)
    assert [path for path, _ in report.changed] == ["workdir/run/"]
    assert (report.freed_apparent_bytes, report.is_complete) == (100, False)
    assert os.path.lexists(entry)
    assert everything(entry) == before


def test_what_went_since_the_plan_is_no_failure(root: Path) -> None:
    age(ended_run(root))
    plan = plan_clean(root)
    assert execute(plan).removed == 1
    report = execute(plan)
    assert (report.removed, report.is_complete) == (0, True)


def test_a_rest_that_its_own_run_is_removing_since_the_plan_goes_all_the_same(root: Path) -> None:
    rest = root / "workdir" / f"{TRASH}of-a-run"
    write(rest / "gone" / "frames.yuv", 10)
    write(rest / "frames.yuv", 100)
    plan = plan_clean(root)
    shutil.rmtree(rest / "gone")
    report = execute(plan)
    assert (report.removed, report.freed_apparent_bytes, report.is_complete) == (1, 100, True)
    assert left(root) == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_swapped_in_at_the_instant_of_the_rename_is_put_back(kind: str, root: Path) -> None:
    age(
        write(root / "workdir" / "entry" / "frames.yuv", 10).parent
        if kind == "directory"
        else write(root / "workdir" / "entry")
    )
    code = """
import os, sys
from pathlib import Path
from vmaf_workspace.removal.candidates import plan_clean
from vmaf_workspace.removal.execution import execute
root, kind = Path(sys.argv[1]), sys.argv[2]
plan, rename = plan_clean(root, min_age_s=0), os.rename
def swapped(name, aside, **fds):
    if name == "entry":
        rename(root / "workdir" / "entry", root / "dataset" / "was")
        if kind == "directory":
            (root / "workdir" / "entry").mkdir()
            (root / "workdir" / "entry" / "new").touch()
        else:
            (root / "workdir" / "entry").write_text("new")
    rename(name, aside, **fds)
os.rename = swapped
print(execute(plan).changed)
"""
    done = python(code, root, kind)
    slash = "/" if kind == "directory" else ""
    assert done.out == f"[('workdir/entry{slash}', 'another file of this name is there now')]\n", done.err
    assert left(root) == ["entry"]
    assert (root / "workdir" / "entry" / "new").exists() or (root / "workdir" / "entry").read_text() == "new"


# Several at once.


def test_two_cleans_at_once_either_exclude_each_other_or_both_finish(root: Path) -> None:
    for number in range(200):
        write(root / "workdir" / f"run{number}" / "frames.yuv", 10)
    age(root / "workdir")
    program = [sys.executable, "-m", "vmaf_workspace.cli", "clean-scratch"]
    command = [*program, "--min-age", "0", "--json", "--workspace", str(root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate(timeout=60) for child in both]
    codes = sorted(child.returncode for child in both)
    assert codes in ([0, 0], [0, 4]), said
    for child, (out, err) in zip(both, said, strict=True):
        if child.returncode == 4:
            assert "another task is removing" in err
            assert json.loads(out)["exit_code"] == 4
    assert left(root) == []


def test_while_another_cleans_the_second_ends_with_4_and_names_it(root: Path) -> None:
    age(ended_run(root))
    code = """
import sys
from pathlib import Path
from vmaf_workspace.live.lock import removal_lock
with removal_lock(Path(sys.argv[1]), "clean-scratch"):
    print("ready", flush=True)
    sys.stdin.read()
"""
    with process(code, root) as child:
        done = ws("clean-scratch", "--workspace", root)
        assert done.code == 4
        assert f"process {child.pid}" in done.err
        assert left(root) == ["ended"]
    assert ws("clean-scratch", "--workspace", root).code == 0


HAMMER = """
import os, sys, time
from pathlib import Path
from vmaf_workspace.live.lock import Run
root, until = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
runs = 0
print("ready", flush=True)
while time.monotonic() < until:
    with Run(root) as run:
        for directory in (run.workdir(), run.output()):
            (directory / "frames.yuv").write_bytes(b"x" * 100)
        if runs % 3 == 0:
            time.sleep(0.01)
        for directory in (run.workdir(), run.output()):
            assert (directory / "frames.yuv").read_bytes() == b"x" * 100, directory
            assert (directory / "run.json").exists(), directory
    runs += 1
print(runs, flush=True)
"""


def test_a_run_that_starts_while_scratch_is_cleaned_is_never_hurt(root: Path) -> None:
    with process(HAMMER, root, "3") as one, process(HAMMER, root, "3") as other:
        cleans = 0
        while one.poll() is None or other.poll() is None:
            report = clean(root, force=True, min_age_s=0)
            assert report.failures == []
            cleans += 1
        counts = []
        for child in (one, other):
            assert child.stdout is not None
            assert child.returncode == 0, "a run lost its files, or failed to start"
            counts.append(int(child.stdout.readline()))
    assert cleans > 1  # of a busy machine
    assert min(counts) > 1
    clean(root, force=True)
    assert left(root) == left(root, "output") == []


def test_a_run_that_began_while_the_question_was_read_stops_the_purge(root: Path) -> None:
    stored(root, "d/c/k", 1000)
    plan = plan_purge(root, Selection())
    with live_run(root), pytest.raises(InUseError, match="live run"):
        execute(plan)
    assert execute(plan).freed_apparent_bytes == 1000


def test_progress_ends_at_the_whole_plan(root: Path) -> None:
    for number in range(5):
        age(ended_run(root, f"run{number}", size=10_000))
    seen: list[tuple[int, int]] = []
    plan = plan_clean(root)
    execute(plan, progress=lambda done, whole: seen.append((done, whole)))
    assert len(seen) == 5
    assert seen[-1] == (plan.entries.disk_bytes, plan.entries.disk_bytes)


def test_sigterm_ends_a_clean_and_its_children_and_the_next_finishes(root: Path) -> None:
    for number in range(300):
        for name in range(10):
            write(root / "workdir" / f"run{number}" / str(name))
    age(root / "workdir")
    child = subprocess.Popen(
        [sys.executable, "-m", "vmaf_workspace.cli", "clean-scratch", "--min-age", "0", "--workspace", root],
        start_new_session=True,
    )
    while len(left(root)) == 300 and child.poll() is None:
        time.sleep(0.001)
    child.terminate()
    child.wait()
    ended_at_s = time.monotonic()
    while any(is_alive(int(pid)) for pid in run(["pgrep", "-s", str(child.pid)]).out.split()):
        assert time.monotonic() - ended_at_s < 20
    assert ws("clean-scratch", "--min-age", "0", "--workspace", root).code == 0
    assert left(root) == []
