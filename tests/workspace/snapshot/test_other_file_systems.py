"""Restores and plans where a file system has no symlinks, or no case, or another number than before."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from trees import age, in_a_mount_namespace, python, run, workspace, write, ws


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM", "EOPNOTSUPP"])
def test_a_link_where_there_are_none_is_named_and_nothing_is_blamed_on_locks(error: str, tmp_path: Path) -> None:
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=symlink,symlinkat"]
    strace += ["-e", f"inject=symlink,symlinkat:error={error}"]
    if shutil.which("strace") is None or run([*strace, "true"]).code != 0:
        pytest.skip("strace is missing or may not trace here")
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.json")
    (root / "model" / "best.json").symlink_to("m.json")
    age(root / "model")
    at = ("--workspace", root, "--at", tmp_path / "backups")
    assert ws("backup-models", *at).code == 0
    program = [*strace, sys.executable, "-m", "vmaf_workspace.cli"]
    done = run([*program, "restore-models", *at, "--into", tmp_path / "into"])
    assert done.code == 1
    assert "'model/best.json' is a symlink" in done.err
    assert "--into" in done.err
    assert "lock" not in done.err
    assert "None" not in done.err


FOLDING = """
import os, sys
link, stat = os.link, os.stat
def known(name, fd):  # as exFAT finds it
    return next((other for other in os.listdir(fd) if other.lower() == name.lower()), name)
def folding_stat(path, *, dir_fd=None, follow_symlinks=True):
    if dir_fd is not None:
        path = known(path, dir_fd)
    return stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
def folding_link(source, name, *, dst_dir_fd=None, **more):
    return link(source, name if dst_dir_fd is None else known(name, dst_dir_fd), dst_dir_fd=dst_dir_fd, **more)
os.stat, os.link = folding_stat, folding_link
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_two_names_that_are_one_where_case_does_not_count_are_named(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.json", 1)
    write(root / "model" / "M.json", 2)
    age(root / "model")
    at = ("--workspace", root, "--at", tmp_path / "backups")
    assert ws("backup-models", *at).code == 0
    for flags in ((), ("--overwrite",)):  # the second time one is there
        done = python(FOLDING, "restore-models", *at, "--into", tmp_path / "into", *flags)
        assert done.code == 1
        assert "takes this name and 'M.json' for one" in done.err
        assert "changed since" not in done.err
        assert os.listdir(tmp_path / "into" / "model") == ["M.json"]


def test_a_plan_and_a_restore_that_was_stopped_outlive_a_disks_new_number(tmp_path: Path) -> None:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is missing")
    code = """
import contextlib, signal
top = Path(sys.argv[1])
for name in ("disk", "other"):
    with (top / name).open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", top / name], check=True)
    (top / f"{name}-mnt").mkdir()

@contextlib.contextmanager
def mounted(name):
    if subprocess.run(["mount", "-o", "loop", top / name, top / f"{name}-mnt"]).returncode:
        print(json.dumps(None))
        sys.exit()
    try:
        yield os.stat(top / f"{name}-mnt").st_dev
    finally:
        subprocess.run(["umount", top / f"{name}-mnt"], check=True)

DYING = '''
import os, signal, sys
from vmaf_workspace.snapshot import restore
restore.put_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
'''
root = top / "disk-mnt" / "ws"
at = ("--workspace", root, "--at", top / "backups")
with mounted("disk") as before:
    ws("setup", "--workspace", root)
    (root / "workdir" / "old").mkdir()
    (root / "model" / "m.json").write_text("one")
    os.utime(root / "model" / "m.json", (1, 1))
    ws("backup-models", *at)
    (root / "model" / "m.json").write_text("another")
    for path in (root / "model" / "m.json", root / "workdir" / "old"):
        os.utime(path, (2, 2))
    ws("clean-scratch", "--min-age", "0", "--workspace", root, "--plan", top / "plan")
    died = subprocess.run([sys.executable, "-c", DYING, "restore-models", "--overwrite", *at], capture_output=True)
    print(died, file=sys.stderr)
    journal = (root / ".vmaf-restore.json").exists()
with mounted("other"), mounted("disk") as after:
    clean = ws("clean-scratch", "--workspace", root, "--apply", top / "plan")
    restored = ws("backup-models", *at)
    print(json.dumps([before != after, journal, clean, restored, (root / "model" / "m.json").read_text(),
                      (root / "workdir" / "old").exists()]))
"""
    done = in_a_mount_namespace(code, tmp_path)
    assert done.out, done
    found = json.loads(done.out)
    if found is None:
        pytest.skip("this machine mounts no disk image (-o loop)")
    is_renumbered, was_stopped, clean, restored, content, is_there = found
    assert was_stopped, done.err
    assert is_renumbered
    assert clean[0] == 0, clean
    assert not is_there
    assert restored[0] == 0, restored
    assert "all of it is in its place" in restored[2]
    assert content == "one"
