"""`ws.clean-scratch`: empties scratch, spares what lives, and the freed total tells which files went."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from trees import (
    CLI,
    HOUR_S,
    age,
    clean,
    du,
    ended_run,
    everything,
    in_a_mount_namespace,
    left,
    live_run,
    process,
    python,
    without_root_powers,
    workspace,
    write,
    ws,
    ws_later,
)

from vmaf_workspace.contract import CACHE_TAG, PLACEHOLDER, SUBDIRS
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.live.lock import RUN_FILE, Run
from vmaf_workspace.removal.candidates import live_runs, plan_clean
from vmaf_workspace.removal.execution import execute


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


def test_nothing_to_do(root: Path) -> None:
    before = everything(root)
    report = clean(root)
    assert (report.removed, report.files, report.freed_disk_bytes, report.is_complete) == (0, 0, 0, True)
    assert everything(root) == before


def test_it_empties_both_scratch_directories_keeps_their_placeholders_and_touches_nothing_else(root: Path) -> None:
    for s in SUBDIRS:
        age(write(root / s.name / "run" / "frames.yuv", 1000).parent)
    others = [root / s.name for s in SUBDIRS if s.name not in ("workdir", "output")]
    before = [everything(other) for other in others]
    report = clean(root, min_age_s=0)
    assert (report.removed, report.files, report.freed_apparent_bytes) == (2, 2, 2000)
    for subdir in ("workdir", "output"):
        assert sorted(os.listdir(root / subdir)) == sorted([PLACEHOLDER, CACHE_TAG])
    assert [everything(other) for other in others] == before


def test_twice_in_a_row_the_second_time_there_is_nothing(root: Path) -> None:
    age(ended_run(root, size=1000))
    assert clean(root).removed == 1
    report = clean(root)
    assert (report.removed, report.is_complete) == (0, True)


def test_the_freed_total_tells_which_went(root: Path) -> None:
    for name, size in {"one": 1, "ten": 10, "hundred": 100, "thousand": 1000}.items():
        write(root / "workdir" / name / "frames.yuv", size)
        if name in ("ten", "thousand"):
            age(root / "workdir" / name, -2 * HOUR_S)
    done = ws_later(2 * HOUR_S, "clean-scratch", "--json", "--workspace", root)
    assert done.json["removed"]["apparent_bytes"] == 101
    assert left(root) == ["ten", "thousand"]


def test_freed_bytes_are_what_du_says_less(root: Path) -> None:
    for number in range(5):
        write(root / "workdir" / f"run{number}" / "deep" / "frames.yuv", 10_000 * number)
        age(root / "workdir" / f"run{number}")
    before = du(root / "workdir")
    assert clean(root).freed_disk_bytes == before - du(root / "workdir")


def test_a_file_whose_other_link_stays_is_not_freed_and_one_whose_links_all_go_is_freed_once(root: Path) -> None:
    age(ended_run(root))
    clean(root, min_age_s=0)  # now the cleaners' own lock file is there
    kept = write(root / "model" / "kept", 100_000)
    for number in range(4):
        write(root / "workdir" / f"run{number}" / "own", 10_000)
        os.link(kept, root / "workdir" / f"run{number}" / "linked")
        if number:
            os.link(root / "workdir" / "run0" / "own", root / "workdir" / f"run{number}" / "first")
        age(root / "workdir" / f"run{number}")
    before = du(root)
    report = clean(root, min_age_s=0)
    assert report.removed == 4
    assert report.freed_disk_bytes == before - du(root)
    assert kept.stat().st_nlink == 1


def test_a_link_that_every_child_sees_before_any_removes_it_is_freed_once(root: Path) -> None:
    for number in range(4):
        write(root / "workdir" / f"run{number}" / "own", 10_000)
        os.link(root / "workdir" / f"run{number}" / "own", root / "output" / f"{number}")
        os.link(root / "workdir" / "run0" / "own", root / "workdir" / f"run{number}" / "first")
    kept = write(root / "model" / "kept", 100_000)
    os.link(kept, root / "workdir" / "run1" / "kept")
    age(ended_run(root))
    clean(root)
    code = """
import sys, time
from pathlib import Path
import vmaf_workspace.removal.execution as remove
from vmaf_workspace.removal.candidates import live_runs, plan_clean
measure = remove.usage_of
def slowly(*args, **kwargs):
    usage = measure(*args, **kwargs)
    time.sleep(0.3)
    return usage
remove.usage_of = slowly
print(remove.execute(plan_clean(Path(sys.argv[1]), force=True)).freed_disk_bytes)
"""
    before = du(root)
    done = python(code, root)
    assert int(done.out) == before - du(root), done.err
    assert left(root) == left(root, "output") == []


def test_a_run_that_ends_while_the_plan_is_made_is_no_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lstat = age(ended_run(root)), os.lstat

    def too_late(path: str | Path) -> os.stat_result:
        if str(path) == str(run):
            run.rename(root / "dataset" / "moved")
        return lstat(path)

    monkeypatch.setattr(os, "lstat", too_late)
    assert plan_clean(root).entries == ()
    assert not run.exists()


def test_only_one_of_the_two(root: Path) -> None:
    for subdir in ("workdir", "output"):
        age(ended_run(root, subdir=subdir))
    assert clean(root, only=("output",)).removed == 1
    assert (left(root), left(root, "output")) == (["ended"], [])


# What lives stays.


def test_a_live_run_is_kept_and_its_holder_named_even_with_force(root: Path) -> None:
    with live_run(root, "workdir", "output") as child:
        names = left(root) + left(root, "output")
        for force in (False, True):
            report = clean(root, force=force, min_age_s=0)
            assert (report.removed, report.is_complete) == (0, True)
            assert all(f"process {child.pid} on" in kept.why for kept in report.kept)
            assert all("a live run" in kept.why and kept.locked for kept in report.kept)
        assert left(root) + left(root, "output") == names
        done = ws("clean-scratch", "--force", "--workspace", root)
        assert done.code == 0
        assert f"process {child.pid} on" in done.out


def test_a_run_that_was_killed_goes_at_once_however_young(root: Path) -> None:
    with live_run(root):
        pass
    assert len(left(root)) == 1
    report = clean(root)
    assert report.removed == 1
    assert left(root) == []


def test_without_a_lock_what_changed_lately_is_kept_and_force_takes_it(root: Path) -> None:
    run = write(root / "workdir" / "theirs" / "deep" / "frames.yuv").parent.parent
    age(run)
    os.utime(run / "deep" / "frames.yuv")  # one young file deep below is enough
    report = clean(root)
    assert [(kept.path, kept.live, kept.locked) for kept in report.kept] == [("workdir/theirs", True, False)]
    assert "--min-age" in report.kept[0].why
    assert clean(root, force=True).removed == 1


@pytest.mark.parametrize(
    ("min_age", "goes"), [("0s", True), ("90s", True), ("15min", True), ("1h", False), ("2d", False)]
)
def test_min_age_is_the_age_that_counts(min_age: str, goes: bool, root: Path) -> None:
    write(root / "workdir" / "theirs" / "a")
    done = ws_later(1800, "clean-scratch", "--min-age", min_age, "--workspace", root)
    assert done.code == 0
    assert (left(root) == []) == goes


@pytest.mark.parametrize("tool", [["cp", "-a"], ["rsync", "-a"], ["tar"]], ids=lambda words: words[0])
def test_what_was_put_there_lately_is_kept_whatever_times_it_brought_along(
    tool: list[str], root: Path, tmp_path: Path
) -> None:
    """A directory of theirs, a file put deep into one that was there, and a file right below the top."""
    source, target = tmp_path / "theirs", root / "workdir"
    write(source / "new" / "frames.yuv")
    write(source / "there" / "deep" / "log")
    write(source / "plot.png")
    (target / "there" / "deep").mkdir(parents=True)
    age(source, 72 * HOUR_S)
    if tool == ["tar"]:
        with subprocess.Popen(["tar", "-C", source, "-c", "."], stdout=subprocess.PIPE) as packed:
            subprocess.run(["tar", "-C", target, "-x"], stdin=packed.stdout, check=True)
    elif shutil.which(tool[0]) is None:
        pytest.skip(f"there is no {tool[0]}")
    else:
        subprocess.run([*tool, f"{source}/.", target], check=True)
    done = ws("clean-scratch", "--workspace", root)
    assert done.code == 0
    assert left(root) == ["new", "plot.png", "there"]
    assert done.out.count("given older times") == 3
    assert "--force" in done.out
    assert live_runs(root) == []  # nobody has to wait for what was only copied
    assert ws_later(2 * HOUR_S, "clean-scratch", "--workspace", root).code == 0
    assert left(root) == []


def test_many_entries_are_judged_as_few_are(root: Path) -> None:
    for number in range(60):
        write(root / "workdir" / f"old{number}" / "frames.yuv", 1)
        age(write(root / "workdir" / f"young{number}" / "frames.yuv", 1000), -2 * HOUR_S)
        age(ended_run(root, f"ended{number}", size=100, subdir="output"))
    with live_run(root, "workdir", "output") as child:
        done = ws_later(2 * HOUR_S, "clean-scratch", "--json", "--workspace", root)
        assert done.code == 0
        assert done.json["removed"]["entries"] == 120
        kept = done.json["kept"]
        assert len(kept) == 62
        assert [f"process {child.pid} " in entry["why"] for entry in kept if entry["locked"]] == [True, True]
        assert len(left(root)) == 61


def test_a_file_from_the_future_counts_as_young(root: Path) -> None:
    age(write(root / "workdir" / "theirs" / "a").parent, -7200)
    assert clean(root).removed == 0
    assert clean(root, force=True).removed == 1


@pytest.mark.parametrize("what", ["file", "cwd", "directory"])
def test_what_a_process_has_open_or_works_in_is_kept_and_force_takes_it(what: str, root: Path) -> None:
    held = age(write(root / "workdir" / "theirs" / "deep" / "frames.yuv").parent.parent) / "deep"
    code = {
        "file": "import sys; f = open(sys.argv[1] + '/frames.yuv'); print('ready', flush=True); sys.stdin.read()",
        "directory": "import os, sys; os.open(sys.argv[1], 0); print('ready', flush=True); sys.stdin.read()",
        "cwd": "import os, sys; os.chdir(sys.argv[1]); print('ready', flush=True); sys.stdin.read()",
    }[what]
    with process(code, held) as child:
        (kept,) = clean(root).kept
        assert f"open in process {child.pid}" in kept.why
        assert (kept.live, kept.locked) == (True, False)
        (forced,) = plan_clean(root, force=True).entries
        assert forced.why == "taken by --force, though somebody may use it"
        assert clean(root, force=True).removed == 1
    assert left(root) == []


def test_who_only_reads_through_the_tree_keeps_nothing(root: Path) -> None:
    runs = [age(ended_run(root, f"run{number}")) for number in range(300)]
    reading = """
import os, sys, time
print("ready", flush=True)
while True:
    for path in sys.argv[1:]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        time.sleep(0.002)
        os.close(fd)
"""
    with process(reading, *runs):
        kept = [plan_clean(root).kept for _ in range(5)]
    assert kept == [()] * 5


def test_what_a_process_has_open_by_another_path_is_kept(root: Path, tmp_path: Path) -> None:
    age(write(root / "workdir" / "held" / "log").parent)
    age(write(root / "workdir" / "not held" / "log").parent)
    (tmp_path / "in the container").mkdir()
    code = """
root, other = map(Path, sys.argv[1:])
mount("--bind", root, other)
held = subprocess.Popen(["sleep", "60"], stdin=open(other / "workdir" / "held" / "log"))
code, out, err = ws("clean-scratch", "--min-age", "0", "--workspace", root)
moved = ws("migrate", "--yes", "--workspace", root, "--to", f"{root}.moved")[0]
held.kill()
print(code, moved, f"open in process {held.pid}" in out, (root / "workdir" / "held").is_dir())
"""
    done = in_a_mount_namespace(code, root, tmp_path / "in the container")
    assert done.out == "0 4 True True\n", done
    assert left(root) == ["held"]


def test_what_a_process_opens_between_plan_and_execution_is_kept(root: Path) -> None:
    held = age(write(root / "workdir" / "theirs" / "frames.yuv").parent)
    plan = plan_clean(root)
    code = "import sys; f = open(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    with process(code, held / "frames.yuv"):
        report = execute(plan)
    assert (report.removed, len(report.kept)) == (0, 1)
    assert left(root) == ["theirs"]


def test_a_run_that_locks_between_plan_and_execution_is_kept(root: Path) -> None:
    run = ended_run(root)
    plan = plan_clean(root)
    code = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""
    with process(code, run / RUN_FILE):
        report = execute(plan)
    assert [kept.locked for kept in report.kept] == [True]
    assert left(root) == ["ended"]


# Links, mounts and names.


def test_symlinks_are_unlinked_and_their_targets_untouched(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    before = everything(tmp_path / "outside")
    run = ended_run(root)
    for place in (run, root / "workdir"):
        (place / "to-file").symlink_to(tmp_path / "outside" / "file")
        (place / "to-directory").symlink_to(tmp_path / "outside")
        (place / "up").symlink_to("..")
        (place / "loop").symlink_to("loop")
        (place / "dangling").symlink_to("nothing")
    report = clean(root, force=True)
    assert (report.removed, report.is_complete) == (6, True)
    assert left(root) == []
    assert everything(tmp_path / "outside") == before


def test_fifos_and_sockets_go_and_are_not_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (ended_run(root), root / "workdir"):
        os.mkfifo(place / "fifo")
        monkeypatch.chdir(place)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
        monkeypatch.chdir(root)
    assert clean(root, force=True).removed == 3
    assert left(root) == []


NAMES = [
    b"\xff\xfe",
    b"new\nline",
    b"-rf",
    b"--force",
    b" ",
    b"x" * 255,
    "über ☃".encode(),
    b"\x1b[31mred",
    b"*",
    b"\\",
]


@pytest.mark.parametrize("name", [*NAMES, b".hidden", b"...", b"run.json", b".starting", b"CACHEDIR.TAG "])
@pytest.mark.parametrize("kind", ["directory", "file"])
def test_any_name_goes(name: bytes, kind: str, root: Path) -> None:
    path = os.path.join(os.fsencode(root), b"workdir", name)
    if kind == "directory":
        os.mkdir(path)
        path = os.path.join(path, name)
    with open(path, "wb") as file:
        file.write(b"x" * 10)
    report = clean(root, force=True)
    assert (report.removed, report.freed_apparent_bytes, report.is_complete) == (1, 10, True)
    assert left(root) == []


def test_odd_names_are_printed_on_one_line_and_are_exact_in_json(root: Path) -> None:
    for name in NAMES:
        os.mkdir(os.path.join(os.fsencode(root), b"workdir", name))
    shown = ws("clean-scratch", "--workspace", root)
    assert "\x1b" not in shown.out
    assert len([line for line in shown.out.splitlines() if "min-age" in line]) == len(NAMES)
    planned = ws("clean-scratch", "--force", "--dry-run", "--json", "--workspace", root).json
    assert {os.fsencode(entry["path"]) for entry in planned["entries"]} == {b"workdir/" + n + b"/" for n in NAMES}


def test_a_rest_of_a_killed_clean_goes_whatever_its_age(root: Path) -> None:
    write(root / "workdir" / f"{TRASH}0123456789abcdef" / "young", 100)
    write(root / "output" / f"{TRASH}file", 10)
    report = clean(root)
    assert (report.removed, report.freed_apparent_bytes) == (2, 110)


def test_a_name_that_only_looks_like_a_rest_is_an_entry_as_any_other(root: Path) -> None:
    write(root / "workdir" / "vmaf-trash-1" / "young")
    write(root / "workdir" / ".vmaf-tras" / "young")
    assert clean(root).removed == 0


def test_directories_nested_thousands_deep_go(root: Path) -> None:
    here = os.getcwd()
    (root / "workdir" / "deep").mkdir()
    os.chdir(root / "workdir" / "deep")
    try:
        for _ in range(5000):
            os.mkdir("d")
            os.chdir("d")
        write(Path("bottom"), 1000)
        os.chdir(here)
        done = ws("clean-scratch", "--force", "--json", "--workspace", root)
        assert done.code == 0, done
        assert done.json["failures"] == []
        assert left(root) == []
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", root], check=True)  # pytest's own clean-up dies of a tree this deep


def test_mounts_inside_scratch_are_left_with_what_is_in_them_and_named(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    for name in ("bound", "memory", "deep/bound", "deep/empty"):
        (root / "workdir" / "run" / name).mkdir(parents=True)
    (root / "workdir" / "whole").mkdir()
    age(ended_run(root, "other"))
    code = """
root, outside = map(Path, sys.argv[1:])
run = root / "workdir" / "run"
mount("--bind", outside, run / "bound")
mount("--bind", outside, run / "deep" / "bound")
mount("--bind", outside, root / "workdir" / "whole")
mount("-t", "tmpfs", "none", run / "memory")
(run / "memory" / "file").write_text("x")
planned = ws("clean-scratch", "--force", "--dry-run", "--json", "--workspace", root)[1]
assert [entry["path"] for entry in json.loads(planned)["entries"]] == ["workdir/other/"], planned
code, out, err = ws("clean-scratch", "--force", "--workspace", root)
assert (code, sorted(os.listdir(root / "workdir"))) == (1, [".gitignore", "CACHEDIR.TAG", "run", "whole"]), (code, out)
assert "mounted" in err and "workdir/run" in err and "workdir/whole" in err, err
assert (run / "memory" / "file").exists() and (run / "deep" / "bound" / "file").exists()
print("left")
"""
    before = everything(tmp_path / "outside")
    done = in_a_mount_namespace(code, root, tmp_path / "outside")
    assert done.out == "left\n", done.err
    assert everything(tmp_path / "outside") == before


def test_mounts_are_seen_without_proc(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    (root / "workdir" / "run" / "bound").mkdir(parents=True)
    code = """
root, outside = map(Path, sys.argv[1:])
from vmaf_workspace.disk.scan import mount_id, open_directory
from vmaf_workspace.disk.unlink import remove_tree
mount("--bind", outside, root / "workdir" / "run" / "bound")
with open_directory(root / "workdir") as fd:
    told = mount_id(fd)
    mount("-t", "tmpfs", "none", "/proc")
    print(mount_id(fd) == told, remove_tree(fd, "run"))
"""
    if [int(n) for n in os.uname().release.split(".")[:2]] < [5, 8]:
        pytest.skip("this kernel's statx does not tell the mount")
    done = in_a_mount_namespace(code, root, tmp_path / "outside")
    assert done.out == "True [('run/bound', 'something is mounted here; unmount it first')]\n", done
    assert (tmp_path / "outside" / "file").exists()


def test_something_mounted_between_plan_and_execution_is_left(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    (ended_run(root) / "deep").mkdir()
    code = """
from vmaf_workspace.removal.candidates import live_runs, plan_clean
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.disk.unlink import remove_tree
root, outside = map(Path, sys.argv[1:])
plan = plan_clean(root, force=True)
mount("--bind", outside, root / "workdir" / "ended" / "deep")
report = execute(plan)
print(report.removed, report.changed)
workdir = os.open(root / "workdir", os.O_RDONLY)
print(remove_tree(workdir, "ended"))
(root / "workdir" / "whole").mkdir()
mount("--bind", outside, root / "workdir" / "whole")
print(remove_tree(workdir, "whole"))
"""
    done = in_a_mount_namespace(code, root, tmp_path / "outside")
    assert done.out.startswith("0 [('workdir/ended/', 'something was mounted in it')]"), done
    assert "[('ended/deep', 'something is mounted here; unmount it first')]" in done.out
    assert "[('whole', 'something is mounted here; unmount it first')]" in done.out
    assert (tmp_path / "outside" / "file").exists()


# What cannot go is said.


def test_one_path_that_fails_is_named_the_others_go_and_the_exit_code_says_so(root: Path) -> None:
    prefix = without_root_powers()
    for name, size in {"one": 1, "ten": 10, "hundred": 100}.items():
        age(write(root / "workdir" / name / "sub" / "frames.yuv", size).parent.parent)
    with suppress(PermissionError):
        os.chown(root / "workdir" / "ten" / "sub", 65534, -1)
    if (root / "workdir" / "ten" / "sub").stat().st_uid == os.getuid():
        pytest.skip("a directory of another user cannot be made")
    done = python(CLI, "clean-scratch", "--min-age", "0", "--json", "--workspace", root, prefix=prefix)
    (stuck,) = left(root)  # renamed aside, the next clean tries again; the report has the name that people know
    assert done.code == 1
    assert done.json["exit_code"] == 1
    assert done.json["removed"]["apparent_bytes"] == 101
    assert [(f["path"], f["problem"]) for f in done.json["failures"]] == [
        ("workdir/ten/sub/frames.yuv", f"Permission denied; what is left is in workdir/{stuck}")
    ]
    assert clean(root, min_age_s=0).freed_apparent_bytes == 10
    assert left(root) == []


@pytest.mark.parametrize("mode", [0o555, 0o300, 0o000, 0o400])
def test_directories_of_ones_own_that_may_not_be_written_or_read_go(mode: int, root: Path) -> None:
    entry = write(root / "workdir" / "build" / "cache" / "deep" / "file", 10).parents[2]
    write(entry / "cache" / "other", 100)
    age(entry)
    for closed in ("cache/deep", "cache"):
        (entry / closed).chmod(mode)
    done = python(CLI, "clean-scratch", "--json", "--min-age", "0", "--workspace", root, prefix=without_root_powers())
    assert (done.code, left(root), done.json["failures"]) == (0, [], [])


def test_a_workspace_in_a_directory_that_nobody_could_read_stays(root: Path) -> None:
    entry = root / "workdir" / "closed"
    (entry / "sub").mkdir(parents=True)
    workspace(root.parent / "nested").rename(entry / "sub" / "nested")
    write(entry / "sub" / "nested" / "model" / "m.pkl")
    age(entry)
    (entry / "sub").chmod(0o300)
    done = python(CLI, "clean-scratch", "--json", "--min-age", "0", "--workspace", root, prefix=without_root_powers())
    assert done.code == 1
    assert "workspace of its own" in done.json["failures"][0]["problem"]
    (rest,) = left(root)
    (root / "workdir" / rest / "sub").chmod(0o700)
    assert (root / "workdir" / rest / "sub" / "nested" / "model" / "m.pkl").exists()


def test_a_directory_that_may_not_be_read_is_left_and_named(root: Path) -> None:
    prefix = without_root_powers()
    age(write(root / "workdir" / "closed" / "file").parent)
    (root / "workdir" / "closed").chmod(0)
    age(ended_run(root))
    done = python(CLI, "clean-scratch", "--force", "--json", "--workspace", root, prefix=prefix)
    (root / "workdir" / "closed").chmod(0o755)
    assert done.code == 1
    assert left(root) == ["closed"]
    assert [kept["path"] for kept in done.json["kept"]] == ["workdir/closed/"]


def test_a_subdirectory_that_may_not_be_read_is_named_and_the_other_is_cleaned(root: Path) -> None:
    prefix = without_root_powers()
    age(ended_run(root))
    age(ended_run(root, subdir="output"))
    (root / "workdir").chmod(0)
    done = python(CLI, "clean-scratch", "--workspace", root, prefix=prefix)
    (root / "workdir").chmod(0o755)
    assert done.code == 1
    assert "workdir/: cannot be read: Permission denied" in done.err
    assert (left(root), left(root, "output")) == (["ended"], [])


def test_a_full_disk_can_be_cleaned(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    code = """
from vmaf_workspace.setup import setup
disk = Path(sys.argv[1])
for adopted in (False, True):
    mount("-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "none", disk)
    root = disk / "compat" / "python-vmaf" / "workspace" if adopted else disk / "ws"
    run = root / "workdir" / "run"
    if not adopted:
        setup(root)
    run.mkdir(parents=True)
    number = 0
    try:
        while True:
            (run / str(number)).write_bytes(b"x" * 5000)
            number += 1
    except OSError as error:
        assert error.errno == 28, error
    try:
        while True:
            number += 1
            (run / str(number)).touch()
    except OSError as error:
        assert error.errno == 28, error
    assert os.statvfs(disk).f_bfree == os.statvfs(disk).f_ffree == 0
    os.chdir("/")
    code, _, err = ws("clean-scratch", "--force", "--workspace", root)
    print(code, err, os.statvfs(disk).f_bfree > 40, sorted(os.listdir(root / "workdir"))[2:])
    subprocess.run(["umount", disk], check=True)
"""
    done = in_a_mount_namespace(code, tmp_path / "disk")
    lines = done.out.splitlines()
    assert lines == ["0  True []", "0  True []"], done


def test_what_a_containers_image_brought_with_it_goes_although_it_cannot_be_renamed(tmp_path: Path) -> None:
    root = workspace(tmp_path / "image" / "ws")
    age(ended_run(root, size=1000))
    code = """
top = Path(sys.argv[1])
(top / "over").mkdir()
(top / "seen").mkdir()
mount("-t", "tmpfs", "none", top / "over")
for name in ("upper", "work"):
    (top / "over" / name).mkdir()
layers = f"lowerdir={top / 'image'},upperdir={top / 'over' / 'upper'},workdir={top / 'over' / 'work'}"
for more in (",userxattr", ""):  # the first is what a user may mount
    if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers + more, top / "seen"]).returncode == 0:
        break
else:
    sys.exit("no overlay")
workdir = top / "seen" / "ws" / "workdir"
try:
    os.rename(workdir / "ended", workdir / "renamed")
    sys.exit("no overlay of a kind that refuses")
except OSError as error:
    assert error.errno == 18, error
print(*ws("clean-scratch", "--min-age", "0", "--workspace", top / "seen" / "ws")[::2], sorted(os.listdir(workdir)))
"""
    done = in_a_mount_namespace(code, tmp_path)
    if "no overlay" in done.err:
        pytest.skip("this machine mounts no overlay that refuses to rename a directory")
    assert done.out == "0  ['.gitignore', 'CACHEDIR.TAG']\n", done
    assert left(root) == ["ended"]


def test_runs_without_locks_go_by_the_youngest_of_their_files_not_by_their_name(root: Path) -> None:
    age(write(root / "output" / "plot.png", 10), -2 * HOUR_S)
    write(root / "output" / "old.png", 100)
    done = ws_later(2 * HOUR_S, "clean-scratch", "--json", "--workspace", root)
    assert done.json["removed"]["apparent_bytes"] == 100
    assert left(root, "output") == ["plot.png"]


# A workspace in the scratch of another.


def nested(root: Path) -> Path:
    """A workspace with a model, in a directory that became another one's scratch afterwards."""
    inner = root / "output" / "vmaf"
    (root / ".vmaf-workspace").rename(root.parent / "hidden")
    workspace(inner)
    (root.parent / "hidden").rename(root / ".vmaf-workspace")
    write(inner / "model" / "best.pkl", 1000)
    age(inner)
    return inner


def test_a_workspace_in_the_scratch_of_another_is_kept_and_named_even_with_force(root: Path) -> None:
    inner = nested(root)
    before = everything(inner)
    for flags in ((), ("--force",)):
        done = ws("clean-scratch", "--min-age", "0", "--json", "--workspace", root, *flags)
        assert done.code == 1
        (kept,) = done.json["kept"]
        assert kept["path"] == "output/vmaf/"
        assert "a workspace of its own, 'output/vmaf'" in kept["why"]
    assert everything(inner) == before
    with Run(inner) as live:
        live.workdir()
        before = everything(inner)
        assert ws("clean-scratch", "--min-age", "0", "--workspace", root).code == 0
        assert ws("clean-scratch", "--min-age", "0", "--force", "--workspace", root).code == 1
        assert everything(inner) == before


def test_a_workspace_that_moved_in_since_the_plan_is_left(root: Path, tmp_path: Path) -> None:
    age(write(root / "output" / "run" / "x").parent)
    plan = plan_clean(root)
    (root / "output" / "run" / ".vmaf-workspace").mkdir()
    age(root / "output" / "run")
    report = execute(plan)
    assert report.removed == 0
    assert (root / "output" / "run" / "x").exists()


def test_a_workspace_named_workdir_is_no_scratch_of_its_parent(tmp_path: Path) -> None:
    inner = workspace(tmp_path / "par" / "workdir")
    write(inner / "model" / "best.pkl", 1000)
    before = everything(inner)
    assert ws("setup", "--workspace", tmp_path / "par").code == 3
    (tmp_path / "par" / ".vmaf-workspace").mkdir()
    assert ws("clean-scratch", "--force", "--workspace", tmp_path / "par").code == 3
    assert everything(inner) == before


def test_a_run_takes_over_no_directory_that_holds_something_to_clean(tmp_path: Path) -> None:
    results = write(tmp_path / "project" / "output" / "thesis_results", 100)
    write(tmp_path / "project" / "model" / "mine.pkl", 10)
    with pytest.raises(RefusedError, match=r"has files in output/"):
        Run(tmp_path / "project").workdir()
    assert not (tmp_path / "project" / ".vmaf-workspace").exists()
    done = ws("setup", "--workspace", tmp_path / "project")  # a person may say so
    assert done.code == 0
    assert "output/ held files before; a clean or a purge takes them" in done.err
    assert results.exists()


@pytest.mark.parametrize("depth", [150, 205, 600])
def test_a_workspace_nested_at_any_depth_keeps_its_entry(depth: int, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    top = root / "workdir" / "old"
    model = write(top / "/".join("d" * depth) / "model" / "m.pkl")
    write(model.parent.parent / ".vmaf-workspace" / "workspace.json")
    age(top)
    report = clean(root, min_age_s=0)
    assert [(kept.path, kept.failed) for kept in report.kept] == [("workdir/old/", True)]
    assert model.exists()


def test_an_entry_that_could_not_be_looked_through_is_kept(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    model = write(root / "workdir" / "old" / "/".join("d" * 60) / "model" / "m.pkl")
    write(model.parent.parent / ".vmaf-workspace" / "workspace.json")
    age(root / "workdir" / "old")
    code = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n" + CLI
    done = python(code, "clean-scratch", "--min-age", "0", "--workspace", root)
    assert (done.code, model.exists()) == (1, True), done
    assert "nobody can tell" in done.err
