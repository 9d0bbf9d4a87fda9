"""`ws.status`: a row a subdirectory, room, live runs; only reads."""

from __future__ import annotations

import os
from pathlib import Path

from trees import (
    age,
    du,
    ended_run,
    everything,
    live_run,
    python,
    run,
    stored,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.report.status import status


def test_a_row_for_each_subdirectory_with_what_it_holds(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for number, subdir in enumerate(SUBDIRS):
        write(root / subdir.name / "file", 10**number % 999_999)
    found = status(root)
    assert [row.subdir for row in found.rows] == list(SUBDIRS)
    for number, row in enumerate(found.rows):
        placeholders = sum((root / row.subdir.name / name).exists() for name in (".gitignore", "CACHEDIR.TAG"))
        assert row.exists
        assert row.usage.files == 1 + placeholders
        assert row.usage.apparent_bytes >= 10**number % 999_999
        assert row.usage.disk_bytes == du(root / row.subdir.name)
    assert found.total.disk_bytes == du(root)
    room = os.statvfs(root)
    assert abs(found.free_bytes - room.f_bavail * room.f_frsize) < 1 << 30
    assert found.free_inodes > 0


def test_a_missing_workspace_has_eight_empty_rows_and_is_not_made(tmp_path: Path) -> None:
    found = status(tmp_path / "a" / "ws")
    assert not found.exists
    assert [row.exists for row in found.rows] == [False] * 8
    assert found.free_bytes > 0
    assert not (tmp_path / "a").exists()


def test_it_changes_nothing_even_where_nothing_is_marked(tmp_path: Path) -> None:
    write(tmp_path / "ws" / "model" / "m.pkl")
    before = everything(tmp_path)
    done = ws("status", "--workspace", tmp_path / "ws")
    assert done.code == 0
    assert everything(tmp_path) == before


def test_live_runs_are_named_with_their_holder_and_dead_ones_are_not(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    age(ended_run(root))
    with live_run(root, "workdir", "output") as child:
        live = status(root).live
        assert sorted(kept.path.split("/")[0] for kept in live) == ["output", "workdir"]
        assert all(kept.locked and f"process {child.pid}" in kept.why for kept in live)


def test_a_run_without_a_lock_is_live_while_it_is_young(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "workdir" / "young" / "a")
    age(write(root / "workdir" / "old" / "a").parent)
    assert [kept.path for kept in status(root).live] == ["workdir/young"]


def test_an_unreadable_workspace_is_an_error_not_an_empty_table(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = workspace(tmp_path / "ws")
    root.chmod(0)
    code = "import sys; from vmaf_workspace.cli import main; sys.exit(main(['status', '--workspace', sys.argv[1]]))"
    done = python(code, root, prefix=prefix)
    root.chmod(0o755)
    assert done.code == 1, done
    assert "could not be read" in done.err


def test_a_file_in_the_place_of_the_workspace_is_refused(tmp_path: Path) -> None:
    done = ws("status", "--workspace", write(tmp_path / "ws"))
    assert (done.code, done.out) == (3, "")


def test_of_a_directory_without_a_workspace_it_is_said_what_setup_would_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = ws("status", "--workspace", empty)
    assert (done.code, done.out.splitlines()[1:]) == (
        0,
        [f"nothing of a workspace is in this directory; `vmaf-ws setup --workspace {empty}` makes one here"],
    )
    write(tmp_path / "theirs" / "thesis.txt")
    done = ws("status", "--workspace", tmp_path / "theirs")
    assert done.code == 0
    setup = f"`vmaf-ws setup --workspace {tmp_path / 'theirs'}`"
    assert f"nothing of a workspace is in this directory, and {setup} would refuse it:\n" in done.out
    assert "holds 'thesis.txt'" in done.out
    assert "DIRECTORY" not in done.out
    refused = ws("setup", "--workspace", tmp_path / "theirs")
    assert (refused.code, refused.err.removeprefix("setup: ")) == (3, "".join(done.out.splitlines(True)[2:]))
    assert ws("status", "--json", "--workspace", empty).json["subdirs"][0]["exists"] is False


def test_json_has_the_same_in_integers(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl", 1000)
    data = ws("status", "--json", "--workspace", root).json
    assert data["version"] == 1
    assert [row["name"] for row in data["subdirs"]] == [subdir.name for subdir in SUBDIRS]
    model = data["subdirs"][2]
    assert (model["loss"], model["removed_by"], model["backed_up"]) == ("work", "ws.wipe-models", True)
    assert type(model["disk_bytes"]) is type(model["apparent_bytes"]) is type(data["free_bytes"]) is int
    assert data["total"]["disk_bytes"] == du(root)


def test_the_table_shows_links_and_stays_on_one_line_each(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    target = tmp_path / "new\nline \x1b[31m"
    target.mkdir()
    for name in (".gitignore", "CACHEDIR.TAG"):
        (root / "workdir" / name).unlink()
    (root / "workdir").rmdir()
    (root / "workdir").symlink_to(target)
    done = ws("status", "--workspace", root)
    assert done.code == 0
    assert "\x1b" not in done.out
    lines = [line for line in done.out.splitlines() if line.startswith(tuple(s.name for s in SUBDIRS))]
    assert len(lines) == 8


def test_a_reader_that_was_killed_is_an_error(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
import vmaf_workspace.disk.subdir_usage as subdir_usage
import vmaf_workspace.report.status as status
from vmaf_workspace.errors import WorkspaceError
subdir_usage.Walk.descend = lambda walk, fd: os.kill(os.getpid(), 9)
try:
    status.status(Path(sys.argv[1]))
except WorkspaceError as error:
    print(error)
"""
    root = workspace(tmp_path / "ws")
    (root / "workdir" / "/".join("abcdefgh")).mkdir(parents=True)
    assert "was killed" in python(code, root).out


def test_stored_results_are_counted_by_executor_and_dataset_ours_and_those_of_vmafs_own_harness(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    stored(root, "d1/1/" + "a" * 64 + ".json", 1000)
    store = root / "result_store_dir" / "file_result_store"
    for executor, dataset, text in (("VMAF_V1", "d1", "{'a': {0: 1}}"), ("SSIM_V1.0", "d2", "{'a': {0")):
        write(store / executor / dataset / "1" / ("0" * 39 + "b")).write_text(text)  # the second is cut short
    write(store / "SSIM_V1.0" / "d2" / "1" / ("0" * 40 + "_work"))
    write(store / ".engines.json")
    found = ws("status", "--stores", "--json", "--workspace", root).json["stores"]
    rows = [(row["executor"], row["dataset"], row["files"], row["theirs"]) for row in found]
    assert rows == [("SSIM_V1.0", "d2", 2, 1), ("VMAF_V1", "d1", 2, 1)]
    assert found[0]["apparent_bytes"] == 8 + 1
    shown = ws("status", "--stores", "--workspace", root).out
    assert "SSIM_V1.0" in shown
    assert "1 by VMAF's own harness" in shown
    assert "stores" not in ws("status", "--json", "--workspace", root).json
    assert "no stored results" in ws("status", "--stores", "--workspace", tmp_path / "missing").out


def test_what_is_nested_without_end_ends_no_command_with_a_traceback(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    code = """
import os, sys
for place in ("result_store_dir/file_result_store/E/D", "model/x"):
    os.makedirs(f"{sys.argv[1]}/{place}")
    os.chdir(f"{sys.argv[1]}/{place}")
    for _ in range(1200):  # in all longer than a path may be
        os.mkdir("dir")
        os.chdir("dir")
"""
    made = python(code, root)
    assert made.code == 0, made
    try:
        for command in (["status", "--stores"], ["doctor"], ["models"]):
            done = ws(*command, "--workspace", root, cwd=tmp_path)
            assert "Traceback" not in done.err, (command, done)
            assert "File name too long" not in done.err, (command, done)
    finally:  # pytest's own removal calls itself, too
        assert run(["rm", "-rf", str(root)]).code == 0
