"""A free lock proves nothing where it might not be seen: then age decides, and a run that lives renews it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trees import LIVE_RUN, age, clean, ended_run, left, process, python, run, workspace, write, ws

from vmaf_workspace.contract import MARKER
from vmaf_workspace.errors import InUseError
from vmaf_workspace.live import lock
from vmaf_workspace.live.lock import CLEANER, RUN_FILE, Run, removal_lock
from vmaf_workspace.live.mounts import Mount, mount_at
from vmaf_workspace.live.session_lock import SESSIONS, live_sessions, session
from vmaf_workspace.removal.candidates import live_runs, plan_clean
from vmaf_workspace.snapshot.local import LocalDirectory

HOUR_S = 3600.0
SESSION = """
import sys
from pathlib import Path
from vmaf_workspace.live.session_lock import session
with session(Path(sys.argv[1]), "a session"):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One workspace by two paths, between which no lock is seen: its own, and a FUSE mount of it."""
    near, far = workspace(tmp_path / "near"), tmp_path / "far"
    far.mkdir()
    if shutil.which("bindfs") is None or run(["bindfs", near, far]).code != 0:
        pytest.skip("bindfs is not on this machine, or may not mount")
    yield near, far
    subprocess.run(["umount", far], check=True)


def in_a_container(*command: str | Path) -> list[str]:
    prefix = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or run([*prefix, "true"]).code != 0:
        pytest.skip("this machine lets the test make no PID namespace (unshare -p)")
    return [*prefix, *map(str, command)]


def rewritten(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


@pytest.mark.parametrize("way", ["run near, clean far", "run far, clean near"])
def test_a_live_run_is_kept_although_its_lock_is_not_seen(way: str, twice: tuple[Path, Path]) -> None:
    here, there = twice if way.startswith("run near") else twice[::-1]
    with process(LIVE_RUN, here, "workdir", "output", prefix=in_a_container()):
        report = clean(there)
        assert [kept.live for kept in report.kept] == [True, True]
        assert all("proves nothing" in kept.why or "open in process" in kept.why for kept in report.kept)
        assert len(left(here)) == len(left(here, "output")) == 1
        assert ws("migrate", "--yes", "--to", there.with_name("moved"), "--workspace", there).code in (3, 4)
    removed, until_s = 0, time.monotonic() + 20
    while removed < 2 and time.monotonic() < until_s:  # it dies, and bindfs closes its files, a moment later
        removed += clean(there, min_age_s=0).removed  # killed: whoever knows that says so
    assert removed == 2


def test_a_session_counts_although_its_lock_is_not_seen(twice: tuple[Path, Path]) -> None:
    near, far = twice
    with process(SESSION, near):
        assert [holder.command for holder in live_sessions(far).values()] == ["a session"]
        (lock_file,) = (near / MARKER / SESSIONS).iterdir()
        age(lock_file)
        assert not live_sessions(far)
        assert live_sessions(near)  # its lock is seen here


def test_a_run_that_has_ended_says_so_and_nobody_waits(twice: tuple[Path, Path]) -> None:
    near, far = twice
    with Run(far, keep_workfiles=True) as ended:
        write(ended.workdir("frames.yuv"))
        write(ended.output("plot.png"))
    until_s = time.monotonic() + 20
    while live_runs(near) and time.monotonic() < until_s:  # bindfs itself has a file open for a moment
        time.sleep(0.02)
    assert live_runs(near) == live_runs(far) == []
    assert clean(near).removed == 2


def test_what_a_fuse_mount_only_hides_is_gone_when_a_run_ends_or_is_cleaned(twice: tuple[Path, Path]) -> None:
    near, far = twice
    with Run(far) as ended:
        write(ended.workdir("frames.yuv"))
    assert left(near) == []
    ended_run(far)
    assert clean(far, min_age_s=0).is_complete
    assert left(near) == []


def test_a_cleaner_whose_lock_is_not_seen_excludes_another(twice: tuple[Path, Path]) -> None:
    near, far = twice
    with removal_lock(near, "the first"), pytest.raises(InUseError, match=f"the first.*{CLEANER}"):
        removal_lock(far, "the second").__enter__()
    with removal_lock(far, "the second"):  # the first has ended, and said so
        pass


def test_the_doctor_names_a_mount_that_may_not_hand_locks_on(twice: tuple[Path, Path]) -> None:
    near, far = twice
    found = [each for each in ws("doctor", "--json", "--workspace", far).json["findings"] if "fuse" in each["found"]]
    assert [(each["level"], "proves nothing" in each["found"]) for each in found] == [("warning", True)]
    assert "proves nothing" not in ws("doctor", "--json", "--workspace", near).out


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}, {"file_system": "fuse.sshfs"}])
def test_what_another_host_container_or_mount_wrote_goes_by_its_age(changes: dict[str, str], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    theirs = ended_run(root, "theirs")
    rewritten(theirs / RUN_FILE, **changes)
    ended_run(root, "ours")
    (kept,) = plan_clean(root).kept
    assert (kept.path, kept.live, kept.locked) == ("workdir/theirs", True, False)
    assert clean(root).removed == 1
    assert clean(root, force=True).removed == 1


def test_a_run_in_another_container_is_kept_on_a_common_disk_and_its_rest_goes_with_age(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    with process(LIVE_RUN, root, "workdir", prefix=in_a_container()):
        assert clean(root, force=True, min_age_s=0).removed == 0  # there the lock is seen
    until_s = time.monotonic() + 20
    (kept,) = plan_clean(root).kept
    while "another container" not in kept.why and time.monotonic() < until_s:  # it dies after what started it
        (kept,) = plan_clean(root).kept
    assert "another container" in kept.why
    assert clean(root, min_age_s=0).removed == 1


def test_a_live_run_and_a_live_session_renew_their_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEWED_EVERY_S", 0.02)
    root = workspace(tmp_path / "ws")
    with Run(root) as live, session(root, "it"):
        files = [live.workdir(RUN_FILE), live.output(RUN_FILE), *(root / MARKER / SESSIONS).iterdir()]
        for path in files:
            age(path)
        until_s = time.monotonic() + 20
        while any(time.time() - path.stat().st_mtime > HOUR_S for path in files) and time.monotonic() < until_s:
            time.sleep(0.02)
        assert [path.name for path in files if time.time() - path.stat().st_mtime > HOUR_S] == []


def test_a_forked_child_that_leaves_the_run_ends_nothing(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from vmaf_workspace.live.lock import Run
with Run(Path(sys.argv[1])) as run:
    here = run.workdir()
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    print(here.is_dir(), "ended" in (here / "run.json").read_text())
"""
    assert python(code, workspace(tmp_path / "ws")).out.split("\n")[0] == "True False"
    assert left(tmp_path / "ws") == []


@pytest.mark.parametrize(
    ("line", "doubtful"),
    [
        ("- ext4 /dev/sda rw", False),
        ("- tmpfs none rw", False),
        ("- overlay overlay rw,lowerdir=/a", False),
        ("- fuse.sshfs host:/x rw", True),
        ("- fuse /a rw", True),
        ("- fuseblk /dev/sdb rw", True),
        ("- virtiofs share rw", True),
        ("- 9p share rw,trans=virtio", True),
        ("- cifs //host/x rw", True),
        ("- somefs none rw", True),
        ("- nfs4 host:/x rw,vers=4.2,local_lock=none", False),
        ("- nfs host:/x rw,vers=3,nolock,local_lock=all", True),
        ("- nfs host:/x rw,vers=3,local_lock=flock", True),
        ("- lustre o:/y rw,flock,lazystatfs", False),
        ("- lustre o:/y rw,localflock", True),
        ("- lustre o:/y rw", True),
    ],
)
def test_what_is_known_of_a_mount_decides_what_a_free_lock_proves(line: str, doubtful: bool, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 8:1 / / rw,relatime {line}\n")
    assert bool(mount_at(Path("/mnt"), mountinfo=table).lock_doubt) == doubtful


@pytest.mark.parametrize("end", ["\v", "\f", "\x1c", "\x85", "\u2028", "\r"])
def test_a_mount_in_whose_name_python_sees_the_end_of_a_line_is_known(end: str, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    lines = ["1 0 8:1 / / rw - ext4 /dev/sda rw", f"2 1 0:9 / /mnt/a{end}b rw - fuse.sshfs host:/x rw", ""]
    table.write_bytes("\n".join(lines).encode())
    assert mount_at(Path(f"/mnt/a{end}b/ws"), mountinfo=table).kind == "fuse.sshfs"


def test_a_mount_that_nobody_knows_proves_nothing() -> None:
    assert Mount().lock_doubt
    assert os.path.exists("/proc/self/mountinfo")


def test_a_backup_whose_lock_is_not_seen_is_not_taken_for_a_dead_one(twice: tuple[Path, Path]) -> None:
    for here, there in (twice, twice[::-1]):
        with LocalDirectory(here / "bk").announced("backup", "the first"):
            other = LocalDirectory(there / "bk")
            assert [holder.command for holder in other.others_at_work("backup")] == ["the first"]
            assert other.others_at_work("prune") == []
            assert len(other.names("running")) == 1
            for name in other.names("running"):
                age(there / "bk" / "running" / name)
            assert other.others_at_work("backup") == []  # killed hours ago
            assert other.names("running") == []
