"""Moving a workspace: by rename, across file systems, killed at every step, refused where something could be lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from trees import (
    Ended,
    age,
    in_a_mount_namespace,
    live_run,
    process,
    python,
    run,
    stored,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace import guard
from vmaf_workspace.contract import BY_NAME, MARKER, PLACEHOLDER, SUBDIRS, Loss
from vmaf_workspace.errors import InUseError, WorkspaceError
from vmaf_workspace.migration import copy
from vmaf_workspace.migration.execution import migrate
from vmaf_workspace.migration.links import REWRITTEN
from vmaf_workspace.migration.tree import Tree, read_tree
from vmaf_workspace.setup import setup

SHM = Path("/dev/shm")  # noqa: S108 - another file system, in memory; a directory of its own is made in it


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    if not SHM.is_dir() or os.stat(SHM).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip(f"{SHM} is no other file system here, so nothing can be copied across")
    with tempfile.TemporaryDirectory(prefix="vmaf-ws-", dir=SHM) as place:
        yield Path(place)


def filled(root: Path) -> Path:
    """A workspace with all that a move may lose: links, holes, modes, times, odd names."""
    workspace(root)
    write(root / "model" / "m.pkl", 1)
    os.link(root / "model" / "m.pkl", root / "model" / "same.pkl")
    os.symlink("m.pkl", root / "model" / "latest")
    os.symlink(root / "model" / "m.pkl", root / "output" / "absolute")
    os.symlink("/nowhere/at all", root / "output" / "outside")
    with (write(root / "dataset" / "holes.yuv", 10)).open("r+b") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"x" * 4096)
    write(root / "workdir" / "a uuid" / "ein\nName", 100).chmod(0o640)
    (root / "workdir" / "a uuid").chmod(0o750)
    write(Path(os.fsdecode(os.fsencode(root / "dataset") + b"/not utf-8 \xff")), 1000)
    write(root / "dataset" / ("n" * 255), 0)
    (root / "encode" / "empty").mkdir()
    stored(root, "d1/1/k", 100)
    age(root)
    return root


def seen(root: Path) -> dict[str, tuple[Any, ...]]:
    """What of *root* must be the same after a move: kind, mode, time, content, hard links; not inodes."""
    found: dict[str, tuple[Any, ...]] = {}
    inodes: dict[int, str] = {}
    for directory, names, files in os.walk(root):
        if MARKER in names:
            names.remove(MARKER)
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            about = os.lstat(path)
            below = os.path.relpath(path, root)
            content: object = ""
            if stat.S_ISLNK(about.st_mode):
                content = os.path.relpath(os.path.join(directory, os.readlink(path)), root)
            elif stat.S_ISREG(about.st_mode):
                content = Path(path).read_bytes()
            same = inodes.setdefault(about.st_ino, below)
            found[below] = (about.st_mode, int(about.st_mtime), content, same, about.st_nlink * (content != ""))
    return found


def move(source: Path, target: Path, *flags: str) -> Ended:
    return ws("migrate", "--from", source, "--to", target, "--yes", *flags)


def test_on_one_file_system_all_of_it_is_there_afterwards_and_nothing_is_copied(tmp_path: Path) -> None:
    root = filled(tmp_path / "ws")
    inode, before = (root / "model" / "m.pkl").stat().st_ino, seen(root)
    done = move(root, tmp_path / "new parent" / "moved")
    assert done.code == 0, done
    moved = tmp_path / "new parent" / "moved"
    assert done.out.splitlines()[-1] == f"export VMAF_WORKSPACE='{moved}'"
    assert not root.exists()
    assert {**seen(moved), "output/outside": ""} == {**before, "output/outside": ""}
    assert os.readlink(moved / "output" / "outside") == "/nowhere/at all"
    assert (moved / "model" / "m.pkl").stat().st_ino == inode
    assert (moved / "output" / "absolute").read_bytes() == b"x"
    assert guard.check(moved)


def test_across_file_systems_links_holes_modes_times_and_names_survive(tmp_path: Path, disk: Path) -> None:
    root = filled(tmp_path / "ws")
    before = seen(root)
    done = move(root, disk / "moved", "--json")
    assert (done.code, done.json["copied"], done.json["left_out"]) == (0, True, []), done
    moved = disk / "moved"
    after = seen(moved)
    assert {**after, "output/outside": ""} == {**before, "output/outside": ""}
    holes = (moved / "dataset" / "holes.yuv").stat()
    assert holes.st_blocks * 512 < 1 << 20
    assert (moved / "model" / "latest").is_symlink()
    assert (moved / "output" / "absolute").read_bytes() == b"x"
    assert not root.exists()
    assert os.listdir(tmp_path / "nowhere") == []
    assert os.listdir(disk) == ["moved"]
    assert guard.check(moved)


def test_across_file_systems_owners_groups_and_what_directories_are_marked_with_survive(
    tmp_path: Path, disk: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    root = filled(tmp_path / "ws")
    places = ["", MARKER, "model", "model/m.pkl", "model/latest"]
    owners = [1001, 1001, 1003, 1004, 1005]  # a marker counts where the owner of its workspace made it
    for uid, place in zip(owners, places, strict=True):
        os.chown(root / place, uid, 2001, follow_symlinks=False)
    (root / "model").chmod(0o2775)
    try:
        os.setxattr(root / "model", "user.owner", b"the team")
        os.setxattr(disk, "user.any", b"")
    except OSError:
        pytest.skip("a file system here has no extended attributes")
    assert move(root, disk / "moved").code == 0
    found = [os.lstat(disk / "moved" / place) for place in places]
    assert [(about.st_uid, about.st_gid) for about in found] == [(uid, 2001) for uid in owners]
    assert stat.S_IMODE(found[2].st_mode) == 0o2775
    assert os.getxattr(disk / "moved" / "model", "user.owner") == b"the team"


def test_without_root_the_group_of_a_team_survives(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has groups to give for certain")
    code = """
import os, sys
from vmaf_workspace.migration import copy
from vmaf_workspace.migration.tree import Tree, read_tree
about, fd = os.stat(sys.argv[1]), os.open(sys.argv[2], os.O_RDONLY)
os.chown(fd, 1001, 1001)
os.setgroups([2001]); os.setgid(1001); os.setuid(1001)
copy.set_owner_and_mode(fd, about)
now = os.fstat(fd)
print(now.st_uid, now.st_gid, oct(now.st_mode))
"""
    theirs, copied = tmp_path / "theirs", tmp_path / "copied"
    for path in (theirs, copied):
        path.mkdir()
    os.chown(theirs, 1002, 2001)
    theirs.chmod(0o2775)
    assert python(code, theirs, copied).out == "1001 2001 0o42775\n"


@pytest.mark.parametrize("across", [False, True], ids=["rename", "copy"])
def test_a_workspace_that_was_moved_finds_its_own_snapshots(across: bool, tmp_path: Path, disk: Path) -> None:
    root, target = filled(tmp_path / "ws"), (disk if across else tmp_path) / "moved"
    at = ("--at", tmp_path / "backups")
    taken = ws("backup-models", "--workspace", root, *at, "--json").json["snapshot"]
    ws("backup-models", "--workspace", filled(tmp_path / "other"), *at)
    assert move(root, target).code == 0
    (target / "model" / "m.pkl").unlink()
    done = ws("restore-models", "--workspace", target, *at, "--json")
    assert (done.code, done.json["snapshot"], done.json["new"]) == (0, taken, ["model/m.pkl"]), done


def test_many_entries_are_all_moved_and_nothing_is_left(tmp_path: Path, disk: Path) -> None:
    root = workspace(tmp_path / "ws")
    for number in range(200):
        write(root / "result_store_dir" / f"executor{number % 40}" / "d" / str(number), number)
    age(root)
    before = seen(root)
    assert move(root, disk / "moved").code == 0
    assert seen(disk / "moved") == before
    assert sorted(os.listdir(tmp_path)) == ["home", "nowhere"]


def test_the_variable_to_set_is_printed_with_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    target = tmp_path / os.fsdecode(b"b\xff\nd")
    done = move(filled(tmp_path / "ws"), target)
    assert done.out.endswith(f"export VMAF_WORKSPACE='{target}'\n"), done


def test_a_second_call_says_that_it_is_done(tmp_path: Path, disk: Path) -> None:
    root = filled(tmp_path / "ws")
    for target in (tmp_path / "second", disk / "third"):
        assert move(root, target).code == 0
        again = move(root, target, "--json")
        assert (again.code, again.json["was_done"]) == (0, True)
        root = target


def test_a_dry_run_says_how_and_changes_nothing(tmp_path: Path, disk: Path) -> None:
    root = filled(tmp_path / "ws")
    before = seen(tmp_path), seen(disk)
    for target, copied in ((tmp_path / "moved", False), (disk / "moved", True)):
        done = ws("migrate", "--from", root, "--to", target, "--dry-run", "--json")
        assert (done.code, done.json["copied"], done.json["dry_run"]) == (0, copied, True)
    assert (seen(tmp_path), seen(disk)) == before


def test_without_a_terminal_it_demands_yes(tmp_path: Path) -> None:
    root = filled(tmp_path / "ws")
    done = ws("migrate", "--from", root, "--to", tmp_path / "moved")
    assert done.code == 3
    assert "--yes" in done.err
    assert root.exists()


def test_what_has_no_content_is_left_out_across_file_systems_and_said(tmp_path: Path, disk: Path) -> None:
    root = workspace(tmp_path / "ws")
    run = root / "workdir" / "uuid"
    run.mkdir()
    os.mkfifo(run / "ref.fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(run / "s"))
        age(run)
        done = move(root, disk / "moved", "--json")
    assert done.code == 0, done
    assert {row["path"] for row in done.json["left_out"]} == {"workdir/uuid/ref.fifo", "workdir/uuid/s"}
    assert os.listdir(disk / "moved" / "workdir" / "uuid") == []
    again = workspace(tmp_path / "other")
    (again / "workdir" / "uuid").mkdir()
    os.mkfifo(again / "workdir" / "uuid" / "ref.fifo")
    age(again)
    assert move(again, tmp_path / "renamed").code == 0
    assert stat.S_ISFIFO((tmp_path / "renamed" / "workdir" / "uuid" / "ref.fifo").stat().st_mode)


@pytest.mark.parametrize("how", ["absolute", "relative"])
@pytest.mark.parametrize("across", [False, True], ids=["rename", "copy"])
def test_a_symlinked_subdirectory_stays_where_it_leads(how: str, across: bool, tmp_path: Path, disk: Path) -> None:
    fast = tmp_path / "fast disk"
    fast.mkdir()
    root = tmp_path / "ws"
    root.mkdir()
    (root / "workdir").symlink_to(fast if how == "absolute" else "../fast disk")
    workspace(root)
    write(fast / "run" / "frames.yuv", 10)
    age(root)
    age(fast)
    target = (disk if across else tmp_path / "below") / "moved"
    assert move(root, target).code == 0
    assert (target / "workdir").is_symlink()
    assert (target / "workdir" / "run" / "frames.yuv").stat().st_size == 10
    assert ws("clean-scratch", "--min-age", "0", "--workspace", target).code == 0
    assert not (fast / "run").exists()


def upstream(root: Path) -> Path:
    """A checkout of upstream with placeholders in its workspace; that workspace."""
    write(root / "python" / "vmaf" / "config.py")
    for name in BY_NAME:
        write(root / "workspace" / name / PLACEHOLDER).write_text("*\n!.gitignore\n# upstream's\n")
    return root / "workspace"


@pytest.mark.parametrize("across", [False, True], ids=["rename", "copy"])
def test_from_upstreams_place_to_the_forks_each_checkout_keeps_its_placeholders(
    across: bool, tmp_path: Path, disk: Path
) -> None:
    root = upstream(tmp_path / "upstream")
    write(root / "result_store_dir" / "file_result_store" / "VMAF_V0.1" / "d" / "1" / "a1b2").write_text("{'a': {0: 1")
    age(root)
    fork = (disk if across else tmp_path) / "fork" / "compat" / "python-vmaf" / "workspace"
    for name in ("model", "workdir"):
        write(fork / name / PLACEHOLDER).write_text("*\n!.gitignore\n# the fork's\n")
    done = move(root, fork)
    assert done.code == 0, done
    assert (fork / "result_store_dir/file_result_store/VMAF_V0.1/d/1/a1b2").read_text() == "{'a': {0: 1"
    assert (fork / "model" / PLACEHOLDER).read_text().endswith("# the fork's\n")
    assert (fork / "dataset" / PLACEHOLDER).read_text().endswith("# upstream's\n")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == sorted(
        f"{name}/{PLACEHOLDER}" for name in BY_NAME
    )
    assert move(root, fork).code == 0
    assert os.listdir(fork.parent) == ["workspace"]


# What must not be.


def test_a_target_that_may_hold_somebodys_files_is_refused_and_both_ends_stay(tmp_path: Path) -> None:
    root = filled(tmp_path / "ws")
    write(tmp_path / "full" / "thesis.tex")
    write(workspace(tmp_path / "another") / "model" / "theirs.pkl")
    write(tmp_path / "file")
    write(tmp_path / "checkout" / ".git" / "HEAD")
    (tmp_path / "checkout" / "python" / "vmaf").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "full")
    before = seen(tmp_path)
    targets = (
        "full",
        "another",
        "another/model",
        "file",
        "file/below",
        "checkout",
        "home",
        "ws",
        "ws/below",
        ".",
        "link",
    )
    for target in (*(tmp_path / name for name in targets), Path("/")):
        done = move(root, target)
        assert done.code == 3, (target, done)
    after = seen(tmp_path)
    after.pop("ws/.vmaf-workspace", None)
    assert after == before


def test_the_place_that_a_subdirectory_leads_to_is_refused_as_target_and_so_is_a_skeleton_around_it(
    tmp_path: Path,
) -> None:
    root = tmp_path / "ws"
    root.mkdir()
    for place in ("fast", "big/encode"):
        name = "workdir" if place == "fast" else "encode"
        (tmp_path / place).mkdir(parents=True)
        (root / name).symlink_to(tmp_path / place)
    workspace(root)
    for target in ("fast", "big", "big/encode"):
        done = move(root, tmp_path / target)
        assert done.code == 3, (target, done)
        assert guard.check(root)
    assert "leads to" in move(root, tmp_path / "fast").err
    assert ws("clean-scratch", "--workspace", root).code == 0


def test_a_source_that_is_no_workspace_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "cat.jpg")
    (tmp_path / "link").symlink_to(filled(tmp_path / "ws"))
    for source, code in (("photos", 3), ("missing", 1), ("link", 3), ("home", 3), (".", 3)):
        done = move(tmp_path / source, tmp_path / "moved")
        assert done.code == code, (source, done)
    assert not (tmp_path / "moved").exists()
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_live_run_refuses_it(tmp_path: Path, disk: Path) -> None:
    root = workspace(tmp_path / "ws")
    with live_run(root):
        for target in (tmp_path / "moved", disk / "moved"):
            done = move(root, target)
            assert (done.code, target.exists()) == (4, False), done
            assert "a live run" in done.err
    assert move(root, disk / "moved").code == 0


def test_a_mount_inside_is_refused(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "workdir" / "ram").mkdir()
    age(root)
    code = """
mount("-t", "tmpfs", "none", Path(sys.argv[1], "workdir", "ram"))
for target in ("moved", "mnt"):
    if target == "mnt":
        subprocess.run(["umount", Path(sys.argv[1], "workdir", "ram")], check=True)
        os.mkdir(Path(sys.argv[2], target)); mount("-t", "tmpfs", "none", Path(sys.argv[2], target))
    print(*ws("migrate", "--yes", "--from", sys.argv[1], "--to", Path(sys.argv[2], target))[::2])
"""
    done = in_a_mount_namespace(code, root, tmp_path)
    assert [line[0] for line in done.out.splitlines() if line[:1].isdigit()] == ["3", "3"], done
    assert "unmount it first" in done.out
    assert "is a mount point" in done.out


def test_no_room_at_the_target_is_said_before_anything_is_copied(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "dataset" / "large.yuv", 3 << 20)
    code = """
os.mkdir(Path(sys.argv[2], "small")); mount("-t", "tmpfs", "-o", "size=1m", "none", Path(sys.argv[2], "small"))
print(*ws("migrate", "--yes", "--from", sys.argv[1], "--to", Path(sys.argv[2], "small", "moved"))[::2])
print(os.listdir(Path(sys.argv[2], "small")))
"""
    done = in_a_mount_namespace(code, root, tmp_path)
    assert done.out.startswith("1 migrate: no room"), done
    assert done.out.splitlines()[-1] == "[]"
    assert (root / "dataset" / "large.yuv").stat().st_size == 3 << 20


def test_a_file_that_cannot_be_read_stops_it_and_the_source_stays(tmp_path: Path, disk: Path) -> None:
    root = filled(tmp_path / "ws")
    before, mode = seen(root), (root / "model" / "m.pkl").stat().st_mode
    (root / "model" / "m.pkl").chmod(0o000)
    if os.getuid() == 0:
        os.chmod(disk, 0o777)  # noqa: S103 - without its powers, root is nobody special there
    command = [*without_root_powers(), sys.executable, "-m", "vmaf_workspace.cli", "migrate", "--yes"]
    done = subprocess.run(
        [*command, "--from", root, "--to", disk / "moved"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    assert "m.pkl" in done.stderr
    assert not (disk / "moved").exists()
    assert stat.S_IMODE((root / "model" / "m.pkl").stat().st_mode) == 0
    (root / "model" / "m.pkl").chmod(mode)
    assert seen(root) == before
    assert move(root, disk / "moved").code == 0
    assert os.listdir(disk) == ["moved"]


# Things that change or die on the way.


def test_what_was_written_while_it_was_copied_takes_the_switch_back_and_is_moved_by_the_next_call(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = filled(tmp_path / "ws"), disk / "moved"
    rename = os.rename
    done: list[object] = []

    def late(one: Path, other: Path) -> None:
        if other == target and not done:
            done.append(age(write(root / "dataset" / "late.yuv", 5)))
        rename(one, other)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(InUseError, match="changed while it was copied"):
        migrate(root, target)
    assert (root / "dataset" / "late.yuv").exists()
    assert not target.exists()
    migrate(root, target)
    assert (target / "dataset" / "late.yuv").stat().st_size == 5
    assert not root.exists()


def test_a_flipped_byte_in_the_copy_is_found_and_the_source_stays(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmaf_workspace.migration import copy

    root = filled(tmp_path / "ws")
    before, compare = seen(root), copy.compare

    def flipped(tree: Tree, source: str, target: str, **options: Any) -> None:
        path = Path(target, "model", "m.pkl")
        about = path.stat()
        path.write_bytes(b"y")
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        compare(tree, source, target, **options)

    monkeypatch.setattr(copy, "compare", flipped)
    with pytest.raises(Exception, match="is not what was copied"):
        migrate(root, disk / "moved")
    assert seen(root) == before
    assert not (disk / "moved").exists()


# A process that kills a fork of itself, and all its children, at the n-th step that changes something.

KILLED_AT = """
import os, signal, sys
from pathlib import Path

def migrated(step, source, target, steps=Path(sys.argv[1])):
    steps.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.setsid()
    count = os.open(steps, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def counted(call):
        def counting(*args, **kwargs):
            os.write(count, b".")  # O_APPEND: one count for all processes
            if os.fstat(count).st_size >= step:
                os.killpg(0, signal.SIGKILL)
            return call(*args, **kwargs)
        return counting

    for name in "rename replace unlink rmdir mkdir link symlink sendfile copy_file_range utime".split():
        setattr(os, name, counted(getattr(os, name)))
    try:
        from vmaf_workspace.migration.execution import migrate
        os._exit(bool(migrate(source, target).failures))
    finally:
        os._exit(9)

"""
EVERY_STEP = """
sys.path[:0] = sys.argv[4:]
from test_migration import content, small
import time
from vmaf_workspace import guard
from vmaf_workspace.errors import InUseError
from vmaf_workspace.migration.execution import migrate
from vmaf_workspace.identity import owner
from vmaf_workspace.setup import setup
whole = content(small(Path(sys.argv[2], "like")))
for step in range(1, 400):
    root, target = small(Path(sys.argv[2], f"from{step}")), Path(sys.argv[3], f"to{step}")
    setup(target)  # a skeleton, which goes
    own = owner(root).identity
    code = migrated(step, root, target)
    assert code in (0, -signal.SIGKILL), code
    assert content(root) == whole or content(target) == whole, f"neither is whole after step {step}"
    if code == 0:
        break
    for _ in range(500):
        try:
            migrate(root, target)
            break
        except InUseError:  # a child of the killed process is still dying, its file open
            time.sleep(0.01)
    assert content(target) == whole
    assert guard.check(target)
    assert owner(target).identity == own  # its snapshots stay its own
    assert not root.exists()
    left = [name for top in (target.parent, target / "model") for name in os.listdir(top) if name[:6] == ".vmaf-"]
    assert left == [], f"left after step {step}"
print(step)
"""
ONE_STEP = "print(migrated(int(sys.argv[2]), *map(Path, sys.argv[3:])))"


def small(root: Path) -> Path:
    setup(root)
    write(root / "model" / "m.pkl", 10)
    os.link(root / "model" / "m.pkl", root / "model" / "n.pkl")
    os.symlink(root / "model" / "m.pkl", root / "model" / "latest")
    write(root / "workdir" / "run" / "frames.yuv", 100)
    age(root)
    return root


def content(root: Path) -> dict[str, bytes]:
    """Content of every file outside the marker, by path."""
    files = (
        path for path in root.rglob("*") if path.is_file() and MARKER not in path.parts and REWRITTEN not in str(path)
    )
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "across", [pytest.param(False, id="rename"), pytest.param(True, id="copy", marks=pytest.mark.slow)]
)
def test_killed_at_any_step_one_tree_is_whole_and_the_same_command_goes_on(
    across: bool, tmp_path: Path, disk: Path
) -> None:
    to = disk if across else tmp_path
    steps = (tmp_path / "steps", tmp_path, to, *map(Path, sys.path))
    done = python(KILLED_AT + EVERY_STEP, *steps, timeout=400)  # some 140 kills, each with its second call
    assert done.code == 0, done
    assert int(done.out) > (40 if across else 12), "the kills came at no step worth it"


def test_another_target_is_refused_while_a_migration_to_it_from_elsewhere_was_stopped(
    tmp_path: Path, disk: Path
) -> None:
    one, other = small(tmp_path / "one"), small(tmp_path / "other")
    assert python(KILLED_AT + ONE_STEP, tmp_path / "steps", "25", one, disk / "to").out.strip() == "-9"
    done = move(other, disk / "to")
    assert done.code == 3
    assert str(one) in done.err
    assert move(one, disk / "to").code == 0


def test_a_workspace_that_came_to_the_old_place_since_the_kill_stays(tmp_path: Path, disk: Path) -> None:
    whole = content(small(tmp_path / "like"))
    code = """
sys.path[:0] = sys.argv[4:]
from test_migration import small
for step in range(60, 400):
    root, target = small(Path(sys.argv[2], f"from{step}")), Path(sys.argv[3], f"to{step}")
    if migrated(step, root, target) == 0 or (target.exists() and not root.exists()):
        break
print(step)
"""
    step = python(KILLED_AT + code, tmp_path / "steps", tmp_path, disk, *map(Path, sys.path)).out.strip()
    root, target = tmp_path / f"from{step}", disk / f"to{step}"
    assert target.exists()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".vmaf-")] != []
    write(workspace(root) / "model" / "new.pkl", 7)
    migrate(root, target)
    assert content(target) == whole
    assert (root / "model" / "new.pkl").stat().st_size == 7
    assert [name for name in os.listdir(tmp_path) if name.startswith(".vmaf-")] == []


@pytest.fixture
def stopped(tmp_path: Path, disk: Path) -> tuple[Path, Path]:
    """A migration that was stopped right after the copy became the workspace: (source, target), both whole."""
    root, target = small(tmp_path / "ws"), disk / "moved"
    rename = os.rename

    def stopping(one: Path, other: Path) -> None:
        if one == root:
            raise KeyboardInterrupt
        rename(one, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", stopping)
        with pytest.raises(KeyboardInterrupt):
            migrate(root, target)
    assert content(root) == content(target)
    return root, target


def test_where_both_ends_changed_after_a_kill_both_stay_until_a_person_has_chosen(stopped: tuple[Path, Path]) -> None:
    root, target = stopped
    age(write(target / "model" / "new.pkl", 7))
    age(write(root / "model_param" / "p.pkl", 5))
    before = content(root), content(target)
    for _ in range(2):
        done = move(root, target)
        assert (done.code, "no longer the same" in done.err) == (3, True), done
        assert (content(root), content(target)) == before
    (root / "model_param" / "p.pkl").rename(root / "p")
    shutil.copy(root / "p", target / "model_param" / "p.pkl")
    shutil.rmtree(root)
    assert move(root, target).code == 0
    assert content(target) == before[1] | {"model_param/p.pkl": b"x" * 5}


def test_a_target_in_use_since_a_kill_is_kept_with_what_is_new_there(stopped: tuple[Path, Path]) -> None:
    root, target = stopped
    age(write(target / "model" / "new.pkl", 7))
    shutil.rmtree(target / "workdir" / "run")  # as a clean does
    whole = content(target)
    assert move(root, target).code == 0
    assert (content(target), root.exists()) == (whole, False)


@pytest.mark.parametrize("emptied", ["source", "target"])
def test_an_end_that_was_emptied_after_a_kill_does_not_take_the_other_along(
    emptied: str, stopped: tuple[Path, Path]
) -> None:
    root, target = stopped
    one, other = (root, target) if emptied == "source" else (target, root)
    whole = content(other)
    for name in BY_NAME:
        shutil.rmtree(one / name)  # as `rm -rf *` does, which spares our marker
    for _ in range(2):
        done = move(root, target)
        assert (done.code, "'model/" in done.err) == (3, True), done
        assert content(other) == whole
    shutil.rmtree(one)
    assert move(root, target).code == 0
    assert content(target) == whole


def test_a_workspace_made_anew_at_the_old_place_after_a_kill_does_not_take_the_copy_back(
    stopped: tuple[Path, Path],
) -> None:
    root, target = stopped
    whole = content(target)
    shutil.rmtree(root)
    age(write(workspace(root) / "model" / "new.pkl", 7))
    for _ in range(2):
        assert move(root, target).code in (0, 3)
        assert content(target) == whole
        assert (root / "model" / "new.pkl").exists()


def test_going_on_with_it_is_asked_as_well(stopped: tuple[Path, Path]) -> None:
    root, target = stopped
    before = content(root), content(target)
    done = ws("migrate", "--from", root, "--to", target)
    assert (done.code, "--yes" in done.err) == (3, True)
    assert (content(root), content(target)) == before


@pytest.mark.parametrize("across", [False, True], ids=["rename", "copy"])
def test_a_file_that_a_process_holds_open_refuses_it_in_every_subdirectory(
    across: bool, tmp_path: Path, disk: Path
) -> None:
    root, target = small(tmp_path / "ws"), (disk if across else tmp_path) / "moved"
    for name in ("checkpoints_dir", "dataset"):
        held = age(write(root / name / "run" / "held", 3))
        code = "import sys; file = open(sys.argv[1], 'ab'); print('ready', flush=True); sys.stdin.read()"
        with process(code, held) as child:
            done = move(root, target)
            assert (done.code, target.exists()) == (4, False), done
            assert str(child.pid) in done.err
            assert f"{name}/run/held" in done.err
    assert move(root, target).code == 0
    assert (target / "dataset" / "run" / "held").stat().st_size == 3


def test_a_run_that_begins_while_links_are_rewritten_keeps_its_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = filled(tmp_path / "ws"), tmp_path / "moved"
    replace = os.replace
    with ExitStack() as runs:

        def late(one: str, other: str, **directories: int) -> None:
            if other == "absolute":
                runs.enter_context(live_run(root))
            replace(one, other, **directories)

        monkeypatch.setattr(os, "replace", late)
        with pytest.raises(InUseError, match="a live run"):
            migrate(root, target)
    assert (root / "model" / "m.pkl").exists()
    assert not target.exists()


@pytest.mark.parametrize("across", [False, True])
def test_what_is_written_to_the_target_in_the_last_instant_stays(
    across: bool, tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = filled(tmp_path / "ws"), (disk if across else tmp_path) / "moved"
    workspace(target)
    rename = os.rename

    def late(one: Path, other: Path) -> None:
        if one == target:
            write(target / "model" / "new.pkl", 3)
        rename(one, other)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(InUseError, match="no longer empty"):
        migrate(root, target)
    assert (target / "model" / "new.pkl").stat().st_size == 3
    assert (root / "model" / "m.pkl").exists()


def test_a_file_opened_while_it_was_copied_keeps_the_source(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = small(tmp_path / "ws"), disk / "moved"
    rename = os.rename
    code = "import sys; file = open(sys.argv[1], 'ab'); print('ready', flush=True); sys.stdin.read()"
    with ExitStack() as opening:

        def late(one: Path, other: Path) -> None:
            if one == root:
                opening.enter_context(process(code, root / "model" / "m.pkl"))
            rename(one, other)

        monkeypatch.setattr(os, "rename", late)
        with pytest.raises(InUseError, match="stays the workspace"):
            migrate(root, target)
    assert content(root) == content(small(tmp_path / "like"))
    assert not target.exists()


def test_a_backup_and_a_migrate_exclude_each_other(tmp_path: Path) -> None:
    root = small(tmp_path / "ws")
    code = """
import sys
from pathlib import Path
from vmaf_workspace.live.lock import migration_lock
with migration_lock(Path(sys.argv[1]), exclusive=sys.argv[2:] == ["moves"]):
    print("ready", flush=True)
    sys.stdin.read()
"""
    backup = "backup-models", "--workspace", root, "--at", tmp_path / "backups"
    with process(code, root, "moves"):
        done = ws(*backup)
        assert (done.code, "vmaf-ws migrate" in done.err) == (4, True), done
    with process(code, root):
        assert ws(*backup).code == 0  # two backups are nothing to each other
        done = move(root, tmp_path / "moved")
        assert (done.code, "a backup" in done.err) == (4, True), done
    assert move(root, tmp_path / "moved").code == 0


def test_it_takes_no_longer_than_the_files_need(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    began = time.monotonic()
    assert move(root, tmp_path / "moved").code == 0
    assert time.monotonic() - began < 20  # a lock is waited for longer


@pytest.mark.parametrize("names", [("base.json", "BASE.json"), ("mode\u0300le", "mod\u00e8le"), ("run1/a", "RUN1/a")])
def test_a_copy_in_which_two_names_became_one_is_refused_naming_both(names: tuple[str, str], tmp_path: Path) -> None:
    one, other = names
    for name in (one, other):
        write(tmp_path / "source" / name)
    tree = read_tree(str(tmp_path / "source"))
    (tmp_path / "target").mkdir()
    copy.copy(tree, str(tmp_path / "source"), str(tmp_path / "target"))
    copy.compare(tree, str(tmp_path / "source"), str(tmp_path / "target"))
    gone = tmp_path / "target" / other.split("/")[0]  # what a file system that ignores case leaves of the two
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(WorkspaceError, match="for one name") as error:
        copy.compare(tree, str(tmp_path / "source"), str(tmp_path / "target"))
    for name in (one, other):
        assert repr(name.split("/")[0]) in str(error.value)


def test_what_a_killed_copy_left_goes_deeper_than_calls_may_be_and_whatever_it_allows(tmp_path: Path) -> None:
    write(tmp_path / "source" / "kept" / "a")
    write(tmp_path / "target" / "kept" / "gone")
    write(tmp_path / "target" / "/".join("d" * 200) / "gone")
    (tmp_path / "target" / "d" / "d").chmod(0)
    code = """
import sys
from vmaf_workspace.migration import copy
from vmaf_workspace.migration.tree import read_tree
tree = read_tree(sys.argv[1])
sys.setrecursionlimit(150)
copy.copy(tree, *sys.argv[1:])
"""
    done = python(code, tmp_path / "source", tmp_path / "target", prefix=without_root_powers())
    assert (done.code, sorted(os.listdir(tmp_path / "target"))) == (0, ["kept"]), done
    assert os.listdir(tmp_path / "target" / "kept") == ["a"]


def test_a_copy_that_holds_more_than_its_source_is_none(tmp_path: Path) -> None:
    write(tmp_path / "source" / "a")
    tree = read_tree(str(tmp_path / "source"))
    (tmp_path / "target").mkdir()
    copy.copy(tree, str(tmp_path / "source"), str(tmp_path / "target"))
    write(tmp_path / "target" / "b")
    with pytest.raises(WorkspaceError, match="'b' is on one side alone"):
        copy.compare(tree, str(tmp_path / "source"), str(tmp_path / "target"))


@pytest.mark.parametrize(
    ("link", "meant"),
    [
        ("{ws}/encode/../notes.txt", "{fast}/notes.txt"),  # absolute, behind a symlinked directory
        ("../encode/../notes.txt", None),
        ("sub/../../a.txt", None),  # `..` above where `sub` leads to
        ("../model/m.pkl", None),
        ("../../ws/model/m.pkl", "m.pkl"),  # out of the tree and in again, by its name
        ("{ws}/model/sub/../x.pkl", "{big}/x.pkl"),
        ("../../a.txt", "{top}/a.txt"),
        ("../../entry/model/m.pkl", "m.pkl"),  # into the tree by a link from outside of it
        ("{ws}/workdir/../model/m.pkl", "m.pkl"),
        ("{top}/a.txt", None),
    ],
)
@pytest.mark.parametrize("across", [False, True], ids=["rename", "copy"])
def test_a_symlink_means_the_same_after_a_move_whatever_links_and_dots_it_goes_through(
    link: str, meant: str | None, across: bool, tmp_path: Path, disk: Path
) -> None:
    root, fast, big = tmp_path / "ws", tmp_path / "fast" / "a", tmp_path / "big"
    workspace(root)
    for place in (fast / "encode", big / "deep"):
        place.mkdir(parents=True)
    shutil.rmtree(root / "encode")
    (root / "encode").symlink_to(fast / "encode")
    workspace(root)
    (root / "model" / "sub").symlink_to(big / "deep")
    (tmp_path / "entry").symlink_to("ws")
    for place in (fast / "notes.txt", big / "x.pkl", tmp_path / "a.txt", big / "a.txt", root / "model" / "m.pkl"):
        place.write_text(str(place.relative_to(tmp_path)))
    names = {"ws": root, "fast": fast, "big": big, "top": tmp_path}
    place = root / "model" / "link"
    place.symlink_to(link.format(**names))
    content = place.read_text() if place.exists() else None
    age(root)
    target = (disk if across else tmp_path) / "elsewhere" / "moved"
    assert move(root, target).code == 0
    moved = target / "model" / "link"
    assert (moved.read_text() if moved.exists() else None) == content
    assert os.readlink(moved) == (link if meant is None else meant).format(**names)


BOUND = """
os.mkdir(Path(sys.argv[2], "disk")); os.mkdir(Path(sys.argv[2], "shown"))
mount("-t", "tmpfs", "none", Path(sys.argv[2], "disk"))
subprocess.run(["bindfs", sys.argv[3], Path(sys.argv[2], "disk"), Path(sys.argv[2], "shown")], check=True)
flags = "--from", sys.argv[1], "--to", Path(sys.argv[2], "shown", "moved"), "--json"
for more in ("--dry-run", "--yes"):
    code, out, err = ws("migrate", *flags, more)
    lost = [[row["path"], row["why"]] for row in json.loads(out)["left_out"]]
    print(json.dumps([code, lost, os.listdir(Path(sys.argv[2], "disk"))]))
subprocess.run(["umount", Path(sys.argv[2], "shown")], check=True)
"""


@pytest.mark.skipif(shutil.which("bindfs") is None, reason="bindfs stands for disks that keep less; it is missing")
@pytest.mark.parametrize(
    ("lacking", "lost"),
    [
        ("--chmod-ignore", ["everything", "moves without its permission bits: the disk of the target keeps none"]),
        (
            "--xattr-none",
            ["model/m.pkl", "moves without its user.from: the disk of the target does not take it"],
        ),
    ],
)
def test_what_the_disk_of_the_target_does_not_keep_is_named_by_the_dry_run_as_by_the_move(
    lacking: str, lost: list[str], tmp_path: Path
) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl").chmod(0o640)
    try:
        os.setxattr(root / "model" / "m.pkl", "user.from", b"the team")
    except OSError:
        pytest.skip("no extended attributes here")
    age(root)
    if lacking == "--chmod-ignore":
        os.removexattr(root / "model" / "m.pkl", "user.from")
    done = in_a_mount_namespace(BOUND, root, tmp_path, lacking)
    dry, wet = map(json.loads, done.out.splitlines())
    assert dry == [0, [lost], []], done
    assert wet == [0, [lost], ["moved"]], done


def test_an_attribute_that_does_not_fit_is_named(tmp_path: Path, disk: Path) -> None:
    for top in (tmp_path / "a", disk / "b"):
        write(top / "m.pkl")
    tree = read_tree(str(tmp_path / "a"))
    try:
        os.setxattr(tmp_path / "a" / "m.pkl", "user.from", b"the team")
        os.setxattr(tmp_path / "a" / "m.pkl", "user.kept", b"1")
        os.setxattr(disk / "b" / "m.pkl", "user.kept", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    ((path, why),) = copy.lost_attributes(tree, str(tmp_path / "a"), str(disk / "b"))
    assert (path, "user.from:" in why, "user.kept" in why) == ("m.pkl", True, False)


def test_a_file_that_may_not_be_written_keeps_its_attributes(tmp_path: Path) -> None:
    code = """
import os, sys
from vmaf_workspace.migration import copy
from vmaf_workspace.migration.tree import Tree, read_tree
source, target = sys.argv[1:]
os.chmod(f"{source}/m.pkl", 0o600)
try:
    os.setxattr(f"{source}/m.pkl", "user.from", b"the team")
except OSError:
    sys.exit("no attributes")
os.chmod(f"{source}/m.pkl", 0o444)
tree = read_tree(source)
copy.copy(tree, source, target)
print(copy.lost_attributes(tree, source, target), oct(os.stat(f"{target}/m.pkl").st_mode))
"""
    write(tmp_path / "a" / "m.pkl")
    (tmp_path / "b").mkdir()
    done = python(code, tmp_path / "a", tmp_path / "b", prefix=without_root_powers())
    if "no attributes" in done.err:
        pytest.skip("no extended attributes here")
    assert done.out == "[] 0o100444\n", done


def test_a_full_disk_can_be_left(tmp_path: Path) -> None:
    code = """
disk = Path(sys.argv[1], "disk"); disk.mkdir()
mount("-t", "tmpfs", "-o", "size=1m,nr_inodes=" + sys.argv[2], "none", disk)
ws("setup", "--workspace", disk / "ws")
(disk / "ws" / "model" / "m.pkl").write_text("m")
(disk / "ws" / "model" / "absolute").symlink_to(disk / "ws" / "model" / "m.pkl")
try:
    for number in range(2000):
        (disk / f"fill{number}").write_bytes(bytes(4096))
except OSError:
    pass
print(ws("migrate", "--yes", "--from", disk / "ws", "--to", Path(sys.argv[1], "moved"))[::2])
print((Path(sys.argv[1]) / "moved" / "model" / "absolute").read_text(), os.path.lexists(disk / "ws"))
print(sorted(str(p.parent.name) for p in Path(sys.argv[1], "moved").glob("*/CACHEDIR.TAG")))
"""
    tags = sorted(subdir.name for subdir in SUBDIRS if subdir.loss in (Loss.NOTHING, Loss.TIME))
    for number, n_inodes in enumerate(("4000", "100")):
        place = tmp_path / str(number)
        place.mkdir()
        done = in_a_mount_namespace(code, place, n_inodes)
        assert done.out.splitlines() == ["(0, '')", "m False", str(tags)], done


def test_a_disk_that_does_not_say_how_much_is_free_is_no_full_one(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl")
    age(root)
    code = """
disk = Path(sys.argv[2], "disk"); disk.mkdir(); mount("-t", "ramfs", "none", disk)
print(ws("migrate", "--yes", "--from", sys.argv[1], "--to", disk / "moved")[0], (disk / "moved/model/m.pkl").exists())
"""
    assert in_a_mount_namespace(code, root, tmp_path).out == "0 True\n"


@pytest.mark.parametrize("fault", ["error=EPERM", "error=EBADF", "error=EOVERFLOW", "error=ENOSYS", "retval=0"])
def test_where_the_kernel_copies_nothing_it_is_copied_by_reading_and_writing(
    fault: str, tmp_path: Path, disk: Path
) -> None:
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=copy_file_range"]
    strace += ["-e", f"inject=copy_file_range:{fault}"]
    if shutil.which("strace") is None or run([*strace, "true"]).code != 0:
        pytest.skip("strace is missing or may not trace here")
    root = workspace(tmp_path / "ws")
    content = os.urandom(3 << 20)
    (root / "model" / "m.json").write_bytes(content)
    with (root / "model" / "holes.json").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(2 << 20)
        file.write(b"end")
    age(root)
    at = ("--workspace", str(root), "--at", str(tmp_path / "backups"))
    commands = (["backup-models", *at], ["restore-models", *at, "--into", str(tmp_path / "into")])
    for command in (*commands, ["migrate", "--yes", "--from", str(root), "--to", str(disk / "moved")]):
        done = run([*strace, sys.executable, "-m", "vmaf_workspace.cli", *command])
        assert done.code == 0, done
    for place in (tmp_path / "into", disk / "moved"):
        assert (place / "model" / "m.json").read_bytes() == content
        assert (place / "model" / "holes.json").read_bytes() == bytes(2 << 20) + b"end"
