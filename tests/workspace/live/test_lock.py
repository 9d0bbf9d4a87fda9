"""Who uses the workspace: a run's lock is held before its directory has a name, and freed by the kernel."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from trees import (
    CLI,
    LIVE_RUN,
    age,
    as_somebody_with_few_processes,
    clean,
    ended_run,
    in_a_mount_namespace,
    left,
    live_run,
    process,
    python,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.contract import MARKER
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.live.lock import RUN_FILE, STARTING, Holder, Run, removal_lock, try_lock
from vmaf_workspace.live.open_files import open_paths
from vmaf_workspace.live.session_lock import session
from vmaf_workspace.removal.candidates import live_runs, plan_clean
from vmaf_workspace.removal.plan import save_plan


def test_a_run_makes_nothing_until_a_directory_is_asked_for(tmp_path: Path) -> None:
    with Run(tmp_path / "ws"):
        pass
    assert not (tmp_path / "ws").exists()


def test_a_run_makes_the_workspace_and_locks_its_directory_and_says_who_it_is(tmp_path: Path) -> None:
    with Run(tmp_path / "ws", command="score things") as run:
        workdir = run.workdir()
        assert workdir == tmp_path / "ws" / "workdir" / run.id
        assert run.workdir("a", "b.yuv") == workdir / "a" / "b.yuv"
        about = json.loads((workdir / RUN_FILE).read_text())
        assert (about["pid"], about["command"]) == (os.getpid(), "score things")
        assert abs(about["since_s"] - time.time()) < 60
        holder = try_lock(workdir / RUN_FILE)
        assert isinstance(holder, Holder)
        assert (holder.pid, holder.host) == (os.getpid(), os.uname().nodename)
        assert f"process {os.getpid()}" in str(holder)


def test_leaving_a_run_removes_its_scratch_and_frees_its_output(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with Run(root) as run:
        write(run.workdir("deep", "frames.yuv"))
        write(run.output("plot.png"))
    assert left(root) == []
    lock = try_lock(root / "output" / run.id / RUN_FILE)
    assert isinstance(lock, int)
    os.close(lock)
    assert (root / "output" / run.id / "plot.png").exists()


def test_a_run_that_ends_removes_nothing_of_what_is_mounted_in_its_scratch(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(tmp_path / "outside" / "file", 1000)
    code = """
from vmaf_workspace.live.lock import Run
root, outside = map(Path, sys.argv[1:])
with Run(root) as run:
    run.workdir("deep", "bound").mkdir(parents=True)
    run.workdir("frames.yuv").touch()
    mount("--bind", outside, run.workdir("deep", "bound"))
(rest,) = (root / "workdir").glob(".vmaf-trash-*")
print(os.listdir(rest), os.listdir(rest / "deep" / "bound"))
"""
    done = in_a_mount_namespace(code, root, tmp_path / "outside")
    assert done.out == "['deep'] ['file']\n", done
    assert (tmp_path / "outside" / "file").exists()
    assert clean(root).removed == 1  # not mounted here
    assert left(root) == []


def test_kept_work_files_stay_unlocked_for_the_next_clean(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with Run(root, keep_workfiles=True) as run:
        write(run.workdir("frames.yuv"))
    assert left(root) == [run.id]
    assert clean(root).removed == 1


@pytest.mark.parametrize("out", ["..", "../other", "/etc", "a/../../../model"])
def test_no_name_leads_out_of_a_runs_directory(out: str, tmp_path: Path) -> None:
    with Run(tmp_path / "ws") as run:
        for directory in (run.workdir, run.output):
            with pytest.raises(RefusedError):
                directory(out)


def test_worker_threads_that_ask_at_once_get_the_same_directory(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for _ in range(20):
        found: list[object] = []
        barrier = threading.Barrier(4)

        def ask(run: Run, barrier: threading.Barrier, found: list[object]) -> None:
            barrier.wait()
            try:
                found.append(run.workdir())
            except OSError as error:
                found.append(error)

        with Run(root) as run:
            threads = [threading.Thread(target=ask, args=(run, barrier, found)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == [root / "workdir" / run.id] * 4


def test_a_command_of_any_length_is_named(tmp_path: Path) -> None:
    with Run(tmp_path / "ws", command="run " + "ü" * 100_000) as run:
        run.workdir()
        (kept,) = live_runs(tmp_path / "ws")
        assert f"process {os.getpid()}" in kept.why


def test_a_run_that_is_killed_frees_its_lock_and_leaves_its_directory(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with live_run(root) as child:
        (kept,) = live_runs(root)
        assert kept.locked
        assert f"process {child.pid}" in kept.why
        assert "a live run" in kept.why
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert live_runs(root) == []
        assert len(left(root)) == 1


def test_a_program_that_a_run_starts_does_not_keep_its_lock(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    starts_one = "import subprocess; subprocess.Popen(['sleep', '3'], close_fds=False); sys.stdin.read()"
    with process(LIVE_RUN.replace("sys.stdin.read()", starts_one), root, "workdir") as child:
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGKILL)  # the sleep lives on
        child.wait()
        assert [kept for kept in live_runs(root) if kept.locked] == []


# `run.json` as strangers leave it.


def nothing(path: Path) -> None:
    """No run.json at all."""


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00{")


def empty(path: Path) -> None:
    path.touch()


def nested(path: Path) -> None:
    path.write_text("[" * 60_000)


def of_another_program(path: Path) -> None:
    path.write_text('{"loss": 0.1, "epoch": 7}')


def with_odd_values(path: Path) -> None:
    path.write_text('{"pid": 1e999, "host": 1, "command": null, "since_s": 1e300}')


def directory(path: Path) -> None:
    path.mkdir()


def symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def dangling(path: Path) -> None:
    path.symlink_to("nothing")


def fifo(path: Path) -> None:
    os.mkfifo(path)


STRANGE = [nothing, garbage, empty, nested, of_another_program, with_odd_values, directory, symlink, dangling, fifo]


@pytest.mark.parametrize("strange", STRANGE)
def test_a_run_file_that_no_run_of_ours_wrote_is_no_lock(strange: Callable[[Path], None], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "workdir" / "theirs").mkdir()
    strange(root / "workdir" / "theirs" / RUN_FILE)
    assert try_lock(root / "workdir" / "theirs" / RUN_FILE) is None
    (kept,) = plan_clean(root).kept  # so its age counts, and it is young
    assert (kept.live, kept.locked) == (True, False)
    assert clean(root, force=True).removed == 1
    assert left(root) == []
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize("strange", [garbage, empty, nested, with_odd_values])
def test_a_lock_that_is_held_counts_whatever_the_file_says(strange: Callable[[Path], None], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "workdir" / "theirs").mkdir()
    path = root / "workdir" / "theirs" / RUN_FILE
    strange(path)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (kept,) = plan_clean(root, force=True, min_age_s=0).kept
        assert kept.locked
        assert "unknown" in kept.why
        assert clean(root, force=True).removed == 0
    assert clean(root, force=True).removed == 1


def test_a_holder_whose_name_no_file_can_have_is_named_all_the_same(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    path = write(root / "workdir" / "theirs" / RUN_FILE)
    path.write_text('{"pid": 7, "host": "\\ud800", "command": "a\\udfff", "since_s": 1}')
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        plan = plan_clean(root)
        (kept,) = plan.kept
        assert kept.locked
        assert r"process 7 on \ud800 (a\udfff)" in kept.why
        save_plan(plan, tmp_path / "p")
        assert clean(root, force=True).removed == 0


def test_a_run_and_what_hears_its_signals_need_no_thread(tmp_path: Path) -> None:
    code = """
import resource, sys, threading
from pathlib import Path
from vmaf_workspace.live.lock import Run
from vmaf_workspace.live.signals import prompt_signals
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
with Run(Path(sys.argv[1])) as run, prompt_signals():
    run.workdir()
    run.output()
    print(threading.active_count())
"""
    root = workspace(tmp_path / "ws")
    done = python(code, root, prefix=as_somebody_with_few_processes())
    assert (done.code, done.out, left(root)) == (0, "1\n", []), done


def test_a_lock_on_a_file_that_may_only_be_read_is_seen(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    prefix = without_root_powers()
    code = """
import sys
from pathlib import Path
from vmaf_workspace.removal.candidates import plan_clean
print([(kept.locked, kept.failed, kept.why) for kept in plan_clean(Path(sys.argv[1]), force=True).kept])
"""
    with Run(root) as live:
        live.workdir(RUN_FILE).chmod(0o444)
        seen = python(code, root, prefix=prefix)
        assert f"[(True, False, 'in use by process {os.getpid()}" in seen.out, seen
        live.workdir(RUN_FILE).chmod(0)  # another user's, made with umask 077: nobody can tell
        unknown = python(code, root, prefix=prefix)
        assert unknown.out.startswith("[(True, True, 'nobody can tell"), unknown
        assert live.workdir(RUN_FILE).exists()


def test_those_who_look_do_not_take_each_other_for_runs(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with Run(root, keep_workfiles=True) as run:
        run.workdir()
    one = try_lock(root / "workdir" / run.id / RUN_FILE)
    other = try_lock(root / "workdir" / run.id / RUN_FILE)
    assert isinstance(one, int)
    assert isinstance(other, int)
    os.close(one)
    os.close(other)


# A run that is just starting has no lock yet.


def test_a_directory_that_is_just_starting_is_kept_and_its_lock_never_tried(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    starting = root / "workdir" / f"{STARTING}abc"
    write(starting / RUN_FILE)
    with (starting / RUN_FILE).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for force in (False, True):
            report = clean(root, force=force, min_age_s=0)
            assert ([kept.why for kept in report.kept], report.removed) == (["a run that is just starting"], 0)
    assert left(root) == [f"{STARTING}abc"]


def test_a_directory_that_never_finished_starting_goes_once_it_is_old(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "workdir" / f"{STARTING}abc").mkdir()
    os.utime(root / "workdir" / f"{STARTING}abc", (time.time() - 7200,) * 2)
    assert clean(root, min_age_s=0).removed == 1


@pytest.mark.parametrize("seconds", [30, 90, 7200])
def test_a_directory_that_starts_in_the_future_is_kept_while_its_owner_lives(seconds: float, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    starting = root / "workdir" / f"{STARTING}abc"  # on a server whose clock is ahead of ours
    with live_run(root):
        (name,) = left(root)
        (root / "workdir" / name).rename(starting)  # locked already, its last name still to come
        age(starting, -seconds)
        for force in (False, True):
            (kept,) = clean(root, force=force, min_age_s=0).kept
            assert (kept.live, kept.locked) == (True, True)
        assert left(root) == [f"{STARTING}abc"]
    age(starting, -90)
    assert clean(root).removed == 1  # the lock of a dead owner is free, and its directory goes at once


def test_a_directory_that_starts_in_the_future_without_a_lock_is_young_and_goes_with_force(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    starting = root / "workdir" / f"{STARTING}abc"
    starting.mkdir()
    age(starting, -7200)
    (kept,) = clean(root).kept
    assert (kept.live, kept.locked) == (True, False)
    assert "in the future" in kept.why
    assert "`--min-age 0` takes it" in kept.why
    assert clean(root, force=True).removed == 1
    assert left(root) == []


# Cleaners exclude each other.


def test_a_second_cleaner_is_told_who_the_first_is(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    second = removal_lock(root, "purge-cache")
    first = f"process {os.getpid()} .*clean-scratch"
    with removal_lock(root, "clean-scratch"), pytest.raises(InUseError, match=first), second:
        pass
    with removal_lock(root, "purge-cache"):
        pass


def test_an_error_while_cleaning_frees_the_lock(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with pytest.raises(ZeroDivisionError), removal_lock(root, "x"):
        raise ZeroDivisionError
    with removal_lock(root, "y"):
        pass


def test_the_cleaners_lock_is_not_followed_through_a_symlink(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    precious = write(tmp_path / "precious", 1000)
    (root / MARKER / "cleaner.json").symlink_to(precious)
    with pytest.raises(WorkspaceError, match="is a symlink"), removal_lock(root, "x"):
        pass
    assert precious.stat().st_size == 1000


def test_a_colleagues_cleaner_lock_that_may_only_be_read_excludes_all_the_same(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    prefix = without_root_powers()
    code = """
import sys
from pathlib import Path
from vmaf_workspace.live.lock import removal_lock
with removal_lock(Path(sys.argv[1]), "x"):
    print("alone")
"""
    with removal_lock(root, "clean-scratch"):
        (root / MARKER / "cleaner.json").chmod(0o444)
        busy = python(code, root, prefix=prefix)
        assert busy.out == ""
        assert "InUseError" in busy.err
    assert python(code, root, prefix=prefix).out == "alone\n"


ONLY = """
import sys
from pathlib import Path
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import removal_lock
try:
    with removal_lock(Path(sys.argv[1]), "x"):
        print("alone")
except WorkspaceError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("left_of_it", ["nothing", "an empty file", "garbage"])
def test_a_cleaner_whose_lock_file_was_removed_or_emptied_excludes_all_the_same(
    left_of_it: str, tmp_path: Path
) -> None:
    root = workspace(tmp_path / "ws")
    path = root / MARKER / "cleaner.json"
    with removal_lock(root, "clean-scratch"):
        path.unlink()
        if left_of_it != "nothing":
            path.write_bytes(b"" if left_of_it == "an empty file" else b"\xff\0{")
        age(ended_run(root))
        done = ws("clean-scratch", "--workspace", root)
        assert (done.code, done.out) == (4, ""), done
        assert "a process that has not said its name" in done.err
        assert left(root) == ["ended"]
    assert clean(root).removed == 1


def test_where_a_colleagues_lock_may_neither_be_read_nor_made_nothing_is_removed(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    prefix = without_root_powers()
    age(ended_run(root))
    path = root / MARKER / "cleaner.json"
    with removal_lock(root, "clean-scratch"):
        path.chmod(0)  # another user's, made with umask 077
        unreadable = python(ONLY, root, prefix=prefix)
        done = python(CLI, "clean-scratch", "--workspace", root, prefix=prefix)
        path.unlink()
        (root / MARKER).chmod(0o555)
        missing = python(ONLY, root, prefix=prefix)
        (root / MARKER).chmod(0o755)
    for said in (unreadable, missing):
        assert said.out.startswith("WorkspaceError cannot write into the workspace"), said
        assert str(path) in said.out
    assert (done.code, done.out, left(root)) == (1, "", ["ended"]), done


def test_a_cleaner_that_found_no_room_for_its_lock_excludes_one_that_finds_room(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    code = """
from vmaf_workspace.errors import InUseError
from vmaf_workspace.live.lock import removal_lock
from vmaf_workspace.setup import setup
disk = Path(sys.argv[1])
mount("-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "none", disk)
setup(disk / "ws")
try:
    for number in range(64):
        (disk / str(number)).touch()
except OSError as error:
    assert error.errno == 28, error
with removal_lock(disk / "ws", "first"):
    (disk / "0").unlink()
    try:
        with removal_lock(disk / "ws", "second"):
            print("two at once")
    except InUseError:
        print("excluded", (disk / "ws" / ".vmaf-workspace" / "cleaner.json").exists())
"""
    done = in_a_mount_namespace(code, tmp_path / "disk")
    assert done.out == "excluded True\n", done


def test_where_no_run_can_be_made_the_error_says_where_and_what_to_do(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = workspace(tmp_path / "ws")
    (root / "workdir").chmod(0o555)
    code = """
import sys
from pathlib import Path
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import Run
try:
    Run(Path(sys.argv[1])).workdir()
except WorkspaceError as error:
    print(error)
"""
    done = python(code, root, prefix=prefix)
    assert f"cannot write into the workspace {root}" in done.out, done
    assert left(root) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_where_the_file_system_has_no_locks_the_error_says_so_and_what_to_do(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path / "ws")

    def flock(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    for use in (lambda: removal_lock(root, "x"), lambda: session(root, "x"), lambda: nullcontext(Run(root).workdir())):
        with pytest.raises(WorkspaceError, match="Lustre needs the mount option `flock`"), use():
            pass
    assert left(root) == []


def test_open_files_and_current_directories_of_other_processes_are_seen(tmp_path: Path) -> None:
    (tmp_path / "in here").mkdir()
    write(tmp_path / "held")
    code = "import os, sys; os.chdir(sys.argv[1]); f = open(sys.argv[2]); print('ready', flush=True); sys.stdin.read()"
    with process(code, tmp_path / "in here", tmp_path / "held") as child:
        seen = open_paths()
        assert seen[str(tmp_path / "in here")] == child.pid
        assert seen[str(tmp_path / "held")] == child.pid


def test_a_forked_child_that_leaves_the_block_takes_nothing_of_its_parents(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from vmaf_workspace.live.lock import Run
root = Path(sys.argv[1])
with Run(root) as run:
    own = run.workdir()
    (own / "frames").touch()
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    print((own / "frames").exists())
print(own.exists())
"""
    assert python(code, tmp_path / "ws").out == "True\nFalse\n"
