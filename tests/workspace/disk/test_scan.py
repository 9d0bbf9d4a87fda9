"""Sizes are what `du` says, for every kind of file; what could not be read is said, never guessed."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from trees import age, du, in_a_mount_namespace, python, without_root_powers, workspace, write

from vmaf_workspace.contract import SCRATCH
from vmaf_workspace.disk.scan import DEEPEST, usage_of
from vmaf_workspace.disk.subdir_usage import usage_by_subdir


def du_apparent(path: Path) -> int:
    """Sum of the sizes of what is no directory, hard links once."""
    sizes = {}
    for directory, names, files in os.walk(path):
        for name in names + files:
            about = os.lstat(os.path.join(directory, name))
            if not stat.S_ISDIR(about.st_mode):
                sizes[about.st_dev, about.st_ino] = about.st_size
    return sum(sizes.values())


def plain(top: Path) -> None:
    for number, size in enumerate((1, 10, 100, 1000, 100_000)):
        write(top / ("a" * (number + 1)) / "file", size)


def hard_links(top: Path) -> None:
    write(top / "one" / "file", 10_000)
    (top / "other").mkdir()
    os.link(top / "one" / "file", top / "other" / "again")
    os.link(top / "one" / "file", top / "one" / "third")


def sparse(top: Path) -> None:
    with write(top / "sparse").open("r+b") as file:
        file.truncate(100 << 20)


def preallocated(top: Path) -> None:
    with write(top / "reserved").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)


def symlinks(top: Path) -> None:
    write(top.parent / "outside" / "file", 1 << 20)
    (top / "to-file").symlink_to(top.parent / "outside" / "file")
    (top / "to-directory").symlink_to(top.parent / "outside")
    (top / "long").symlink_to("x" * 1000)
    (top / "loop").symlink_to("loop")


def special(top: Path) -> None:
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(top)
        listening.bind("socket")
        os.chdir(here)


def odd_names(top: Path) -> None:
    for name in (b"\xff\xfe", b"new\nline", b"-rf", b" ", b"x" * 255, "über".encode(), b"\\"):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(b"x" * 5000)


def big_directory(top: Path) -> None:
    for number in range(500):
        write(top / "many" / f"{'n' * 100}{number}", 0)


def nothing(top: Path) -> None:
    """An empty directory."""


SHAPES = [plain, hard_links, sparse, preallocated, symlinks, special, odd_names, big_directory, nothing]


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_equal_du(shape: Callable[[Path], None], tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    shape(top)
    usage = usage_of(str(top))
    assert usage.disk_bytes == du(top)
    assert usage.apparent_bytes == du_apparent(top)
    found = subprocess.run(["find", top, "!", "-type", "d", "-printf", "x"], check=True, capture_output=True).stdout
    assert usage.files == len(found)
    assert not usage.problems
    assert not usage.mounts


def test_a_whole_workspace_equals_du_with_each_hard_link_once(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for shape in SHAPES:
        for subdir in ("workdir", "output", "model", "dataset"):
            top = root / subdir / shape.__name__
            top.mkdir()
            shape(top)
    os.link(root / "model" / "plain" / "a" / "file", root / "workdir" / "again")
    write(root / "foreign" / "file", 70_000)
    rows, _ = usage_by_subdir(str(root))
    assert rows[""].disk_bytes == du(root)
    for name in ("encode", "checkpoints_dir", "model"):
        assert rows[name].disk_bytes == du(root / name)
    assert rows["dataset"].files > 500


def test_a_symlinked_subdirectory_is_measured_where_it_leads_and_no_part_of_the_whole(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    plain(tmp_path / "fast")
    (root / "workdir" / ".gitignore").unlink()
    (root / "workdir" / "CACHEDIR.TAG").unlink()
    (root / "workdir").rmdir()
    (root / "workdir").symlink_to(tmp_path / "fast")
    rows, _ = usage_by_subdir(str(root))
    assert rows["workdir"].disk_bytes == du(tmp_path / "fast")
    assert rows[""].disk_bytes == du(root)


def test_newest_is_the_youngest_of_files_and_directories_below(tmp_path: Path) -> None:
    write(tmp_path / "top" / "a" / "b" / "old")
    age(tmp_path / "top", 1000)
    os.utime(tmp_path / "top" / "a" / "b" / "old", ns=(0, 5_000_000_000_000_000_007))
    assert usage_of(str(tmp_path / "top")).newest_ns == 5_000_000_000_000_000_007
    os.utime(tmp_path / "top" / "a" / "b", ns=(0, 5_000_000_000_000_000_008))
    assert usage_of(str(tmp_path / "top")).newest_ns == 5_000_000_000_000_000_008


def test_hard_links_that_stay_elsewhere_are_told_from_those_that_go_together(tmp_path: Path) -> None:
    hard_links(tmp_path / "top")
    assert usage_of(str(tmp_path / "top")).links == []
    usage = usage_of(str(tmp_path / "top" / "one"))
    about = os.stat(tmp_path / "top" / "one" / "file")
    assert usage.links == [[about.st_dev, about.st_ino, 2, 3, about.st_blocks * 512]]


def test_an_unreadable_directory_is_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    prefix = without_root_powers()
    write(tmp_path / "top" / "open" / "file", 1000)
    write(tmp_path / "top" / "closed" / "file", 1000)
    (tmp_path / "top" / "closed").chmod(0)
    code = """
import sys
from vmaf_workspace.disk.scan import usage_of
usage = usage_of(sys.argv[1])
print(usage.files, usage.problems)
"""
    done = python(code, tmp_path / "top", prefix=prefix)
    (tmp_path / "top" / "closed").chmod(0o755)
    assert done.out == "1 [('closed', 'Permission denied')]\n"


@pytest.mark.parametrize("depth", [DEEPEST - 2, DEEPEST, DEEPEST + 1, 600])
def test_a_tree_is_measured_however_deep_it_is(depth: int, tmp_path: Path) -> None:
    deep = tmp_path / "top" / "/".join("d" * depth)
    write(deep / "a" / "b" / "file", 10)
    write(deep / "c" / ".vmaf-workspace" / "workspace.json", 100)
    write(deep.parent / "beside", 1000)
    write(tmp_path / "top" / "first", 10000)
    usage = usage_of(str(tmp_path / "top"))
    assert (usage.files, usage.apparent_bytes, usage.problems, usage.unseen) == (4, 11110, [], [])
    assert usage.marked == [f"{'/'.join('d' * depth)}/c/"]
    assert usage.disk_bytes == du(tmp_path / "top")


def test_what_could_not_be_looked_into_for_want_of_descriptors_is_unseen(tmp_path: Path) -> None:
    write(tmp_path / "top" / "/".join("d" * 40) / ".vmaf-workspace" / "workspace.json")
    code = """
import resource, sys
from vmaf_workspace.disk.scan import usage_of
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
usage = usage_of(sys.argv[1])
print(len(usage.unseen), usage.marked)
"""
    assert python(code, tmp_path / "top").out == "1 []\n"


def test_a_file_that_goes_while_we_look_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stays", "goes"):
        write(tmp_path / "top" / "deep" / name, 10)
    scandir = os.scandir

    def late(fd: int) -> nullcontext[list[os.DirEntry[str]]]:
        with scandir(fd) as found:
            entries = list(found)
        (tmp_path / "top" / "deep" / "goes").unlink(missing_ok=True)  # listed, and gone before it is looked at
        return nullcontext(entries)

    monkeypatch.setattr(os, "scandir", late)
    for top in ("top", "top/deep"):
        write(tmp_path / "top" / "deep" / "goes", 10)
        usage = usage_of(str(tmp_path / top))
        assert (usage.files, usage.apparent_bytes, usage.problems) == (1, 10, [])


def test_mounts_below_are_named_and_left_out_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "top" / "bound" / "hidden")
    write(tmp_path / "top" / "file", 10)
    write(tmp_path / "elsewhere" / "file", 1000)
    code = """
from vmaf_workspace.disk.scan import usage_of
top, elsewhere = map(Path, sys.argv[1:])
mount("--bind", elsewhere, top / "bound")
(top / "memory").mkdir()
mount("-t", "tmpfs", "none", top / "memory")
usage = usage_of(str(top))
print(usage.files, sorted(usage.mounts), usage_of(str(top), cross_mounts=True).apparent_bytes)
"""
    done = in_a_mount_namespace(code, tmp_path / "top", tmp_path / "elsewhere")
    assert done.out == "1 ['bound', 'memory'] 1010\n", done


def test_a_file_that_several_processes_come_upon_counts_once(tmp_path: Path) -> None:
    """In 200 directories, which are shared out: each holds a link to the file of another one."""
    root = workspace(tmp_path / "ws")
    for n in range(200):
        write(root / "model" / f"{n % 9}" / f"{n:03d}" / "own", 1000 * n)
    for n in range(200):
        other = (n * 7 + 3) % 200
        os.link(
            root / "model" / f"{other % 9}" / f"{other:03d}" / "own", root / "model" / f"{n % 9}" / f"{n:03d}" / "a"
        )
        write(root / "workdir" / f"{n:03d}" / "x" / "file", 10)
        os.utime(root / "workdir" / f"{n:03d}" / "x" / "file", ns=(0, 4_000_000_000_000_000_000 + n))
    rows, newest = usage_by_subdir(str(root))
    assert rows[""].disk_bytes == du(root)
    assert rows["model"].disk_bytes == du(root / "model")
    files = [path for path in (root / "model").rglob("*") if path.is_file()]
    sizes = {path.stat().st_ino: path.stat().st_size for path in files}
    assert (rows["model"].files, rows["model"].apparent_bytes) == (len(files), sum(sizes.values()))
    assert newest["workdir/123"] == 4_000_000_000_000_000_123
    assert newest.keys() == {f"{scratch}/{name}" for scratch in SCRATCH for name in os.listdir(root / scratch)}


@pytest.mark.parametrize("place", ["workdir", "workdir/run", "model/a/b/c/d/e/f", "dataset", "result_store_dir/a"])
def test_a_directory_that_cannot_be_read_is_named_wherever_it_is(place: str, tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = workspace(tmp_path / "ws")
    write(root / place / "closed" / "file", 1000)
    write(root / place / "open" / "file", 1000)
    (root / place / "closed").chmod(0)
    code = """
import sys
from vmaf_workspace.disk.subdir_usage import usage_by_subdir
rows, _ = usage_by_subdir(sys.argv[1])
print(rows[""].problems, rows[sys.argv[2]].problems)
"""
    done = python(code, root, place.partition("/")[0], prefix=prefix)
    (root / place / "closed").chmod(0o755)
    problem = [(f"{place}/closed", "Permission denied")]
    assert done.out == f"{problem} {problem}\n"
