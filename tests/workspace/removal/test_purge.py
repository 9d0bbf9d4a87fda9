"""`ws.purge-cache`: which results go by each selection, never under a live run, never unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from trees import (
    CLI,
    age,
    du,
    everything,
    in_a_mount_namespace,
    left,
    live_run,
    python,
    stored,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.contract import CACHE_TAG, PLACEHOLDER
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_purge
from vmaf_workspace.removal.execution import execute

HOUR_S = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Stored results of 1, 10, 100 and 1000 bytes, the least recently used first, and other things."""
    root = workspace(tmp_path / "ws")
    stored(root, "NFLX/c1/one.json", 1, idle_s=4 * HOUR_S)
    stored(root, "NFLX/c2/ten", 10, idle_s=3 * HOUR_S, executor="PSNR_V1.0")
    stored(root, "BVI/c1/hundred", 100, idle_s=2 * HOUR_S)
    age(write(root / "result_store_dir" / "encode_store" / "x264_V1" / "NFLX" / "c1" / "thousand", 1000), HOUR_S)
    age(write(root / "encode" / "deep" / "e.mp4", 10_000), 5 * HOUR_S)
    write(root / "model" / "m.pkl", 100_000)
    write(root / "dataset" / "v.yuv", 100_000)
    return root


def planned(root: Path, **selection: object) -> int:
    return plan_purge(root, Selection(**selection)).entries.apparent_bytes  # type: ignore[arg-type]


def test_everything_but_the_encodes_goes_without_a_selection(root: Path) -> None:
    others = [root / name for name in ("encode", "model", "dataset", "workdir", "output")]
    before, size = [everything(other) for other in others], du(root / "result_store_dir")
    done = ws("purge-cache", "--yes", "--json", "--workspace", root)
    assert done.code == 0, done
    assert done.json["removed"]["apparent_bytes"] == 1111
    assert done.json["removed"]["files"] == 4
    assert sorted(os.listdir(root / "result_store_dir")) == sorted([PLACEHOLDER, CACHE_TAG])
    assert [everything(other) for other in others] == before
    assert done.json["removed"]["disk_bytes"] <= size - du(root / "result_store_dir")


def test_twice_in_a_row_the_second_time_there_is_nothing(root: Path) -> None:
    assert execute(plan_purge(root, Selection())).removed == 4
    assert plan_purge(root, Selection()).entries == ()
    done = ws("purge-cache", "--workspace", root)  # no terminal, no --yes: there is nothing to ask about
    assert done.code == 0
    assert "nothing to remove" in done.out


def test_the_encodes_go_only_when_asked_for(root: Path) -> None:
    assert planned(root, with_encodes=True) == 11_111
    done = ws("purge-cache", "--with-encodes", "--yes", "--json", "--workspace", root)
    assert done.json["removed"]["apparent_bytes"] == 11_111
    assert sorted(os.listdir(root / "encode")) == sorted([PLACEHOLDER, CACHE_TAG])


@pytest.mark.parametrize(
    ("selection", "goes"),
    [
        ({"store": "file_result_store"}, 111),
        ({"store": "encode_store"}, 1000),
        ({"executor": "VMAF_V*"}, 101),
        ({"executor": "VMAF_V"}, 0),
        ({"executor": "*"}, 1111),
        ({"executor": "vmaf*"}, 0),
        ({"dataset": "NFLX"}, 1011),
        ({"dataset": "B?I"}, 100),
        ({"dataset": "[BN]*"}, 1111),
        ({"dataset": "../*"}, 0),
        ({"store": "file_result_store", "dataset": "NFLX"}, 11),
        ({"executor": "PSNR*", "dataset": "BVI"}, 0),
        ({"older_than_s": 2.5 * HOUR_S}, 11),
        ({"older_than_s": 0}, 1111),
        ({"older_than_s": 9 * HOUR_S}, 0),
        ({"max_files": 1}, 111),
        ({"max_files": 0}, 1111),
        ({"max_files": 4}, 0),
        ({"max_disk_bytes": 0}, 1111),
        ({"max_disk_bytes": 1 << 30}, 0),
        ({"max_disk_bytes": 2 * 4096}, 11),
        ({"dataset": "NFLX", "max_files": 1}, 11),
        ({"older_than_s": 3.5 * HOUR_S, "max_files": 2}, 11),
        ({"older_than_s": 1.5 * HOUR_S, "max_files": 3}, 111),
        ({"with_encodes": True, "older_than_s": 4.5 * HOUR_S}, 10_000),
        ({"with_encodes": True, "max_files": 3}, 10_001),
    ],
)
def test_a_selection_takes_what_it_says(selection: dict[str, object], goes: int, root: Path) -> None:
    assert planned(root, **selection) == goes


def test_least_recently_used_goes_first_and_nothing_older_stays(root: Path) -> None:
    big = write(root / "result_store_dir" / "file_result_store" / "X" / "D" / "c" / "big", 1 << 20)
    age(big, 2.5 * HOUR_S)  # does not fit; what was used before it goes as well, however small
    assert planned(root, max_disk_bytes=1 << 20) == (1 << 20) + 11


def test_use_again_renews(root: Path) -> None:
    os.utime(root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c1" / "one.json")
    assert planned(root, max_files=1) == 1110


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--older-than", "soon"], "--older-than"),
        (["--older-than", "-1h"], "--older-than"),
        (["--max-size", "big"], "--max-size"),
        (["--max-size", "-5"], "--max-size"),
        (["--max-size", "9" * 400], "--max-size"),
        (["--max-files", "1.5"], "--max-files"),
        (["--max-files", "٣x"], "--max-files"),
        (["--store", "model"], "--store"),
        (["--store", ".."], "--store"),
        (["--with-encodes", "--dataset", "x"], "--with-encodes"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_flag_that_cannot_be_read_is_a_usage_error_that_names_it(flags: list[str], word: str, root: Path) -> None:
    before = everything(root)
    argument = (
        "=".join(flags) if len(flags) == 2 and flags[1].startswith("-") and flags[0] != "--with-encodes" else None
    )
    done = ws("purge-cache", *([argument] if argument else flags), "--yes", "--workspace", root)
    assert (done.code, done.out) == (2, ""), done
    assert word in done.err
    assert everything(root) == before


def test_upstreams_stores_and_what_lies_beside_them_go_the_same_way(root: Path) -> None:
    content = root / "result_store_dir" / "file_result_store" / "VMAF_legacy_VF0.2.7" / "NFLX_public" / "0"
    name = "a" * 40
    write(content / name).write_text(str({"VMAF_scores": {0: 1.5}}))
    write(content / f"{name}.VMAF_integer_feature_adm2_score", 30)  # a work file beside it
    write(content / f"{name}_vmaf.xml", 50)
    plan = plan_purge(root, Selection(executor="VMAF_legacy*", dataset="NFLX_public"))
    assert len(plan.entries) == 3
    report = execute(plan)
    assert (report.removed, report.is_complete) == (3, True)
    assert not content.parent.parent.exists()


def test_empty_directories_go_with_their_files_and_others_stay(root: Path) -> None:
    execute(plan_purge(root, Selection(dataset="BVI")))
    store = root / "result_store_dir" / "file_result_store" / "VMAF_V1"
    assert sorted(os.listdir(store)) == ["NFLX"]


@pytest.mark.parametrize("selection", [Selection(), Selection(dataset="BVI")])
def test_only_directories_that_the_purge_emptied_go(selection: Selection, root: Path) -> None:
    store = root / "result_store_dir" / "file_result_store"
    empty = [root / "result_store_dir" / "my" / "empty" / "dir", store / "OTHER" / "keepme", store / "VMAF_V1" / "NEXT"]
    nested = workspace(root.parent / "nested").rename(root / "result_store_dir" / "nested")
    (nested / "checkpoints_dir" / "run1").mkdir()
    for directory in empty:
        directory.mkdir(parents=True)
    before = everything(nested)
    execute(plan_purge(root, selection))
    assert [directory for directory in empty if not directory.is_dir()] == []
    assert everything(nested) == before
    assert not (store / "VMAF_V1" / "BVI").exists()


def test_a_directory_put_in_the_place_of_the_emptied_one_stays(root: Path) -> None:
    plan = plan_purge(root, Selection())
    swapped = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "BVI"
    swapped.rename(root / "BVI.old")
    (swapped / "c1").mkdir(parents=True)
    execute(plan)
    assert (swapped / "c1").is_dir()


def test_files_that_are_in_no_store_go_with_everything_but_by_no_name(root: Path) -> None:
    write(root / "result_store_dir" / "stray", 7)
    assert planned(root) == 1118
    assert planned(root, executor="*") == planned(root, dataset="*") == 1111


def test_the_cost_is_the_extraction_that_stored_results_say(root: Path) -> None:
    store = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c9"
    for name, seconds in {"a": 1800, "b": 1800.5, "nan": float("nan"), "inf": 1e999, "minus": -5, "text": "x"}.items():
        write(store / f"{name}.json").write_text(json.dumps({"extraction_s": seconds}) + "\nframes\n")
    write(store / "deep.json").write_text("[" * 100_000)
    write(store / "cut.json").write_text('{"extraction')
    os.mkfifo(store / "fifo.json")
    (store / "link.json").symlink_to("a.json")
    assert plan_purge(root, Selection()).entries.cost_s == 3600.5
    done = ws("purge-cache", "--dry-run", "--workspace", root)
    assert "can be extracted again, in 1 h" in done.out


def test_what_is_known_of_encodes_costs_encoding_not_extraction(root: Path) -> None:
    entry = write(root / "result_store_dir" / "encode_store" / "libx264_V165" / "NFLX" / "c1" / "k.json")
    entry.write_text('{"extraction_s": 7200.0}\n')
    age(write(root / "encode" / "NFLX" / "e.mp4"), HOUR_S)
    done = ws("purge-cache", "--dry-run", "--store", "encode_store", "--executor", "libx264*", "--workspace", root)
    assert "can be encoded again, in 2 h" in done.out
    assert ", 2 h to compute again in " in done.out
    assert "extract" not in done.out


# Never under a live run, never unasked.


@pytest.mark.parametrize("subdir", ["workdir", "output"])
def test_a_live_run_stops_it_and_is_named_and_nothing_is_removed(subdir: str, root: Path) -> None:
    before = everything(root / "result_store_dir")
    with live_run(root, subdir) as child:
        for flags in (["--yes"], [], ["--yes", "--json"]):
            done = ws("purge-cache", *flags, "--workspace", root)
            assert done.code == 4, done
            assert f"process {child.pid}" in done.err
        assert done.json["exit_code"] == 4
        assert ws("purge-cache", "--dry-run", "--workspace", root).code == 4  # as the real one would
    assert everything(root / "result_store_dir") == before
    assert ws("purge-cache", "--yes", "--workspace", root).code == 0  # its holder died: nobody to wait for


def test_a_run_without_a_lock_stops_it_while_it_is_young(root: Path) -> None:
    run = write(root / "workdir" / "theirs" / "frames.yuv").parent
    assert ws("purge-cache", "--yes", "--workspace", root).code == 4
    age(run)
    assert ws("purge-cache", "--yes", "--workspace", root).code == 0


def test_without_a_terminal_and_without_yes_it_is_refused(root: Path) -> None:
    before = everything(root)
    done = ws("purge-cache", "--workspace", root)
    assert done.code == 3
    assert "--yes" in done.err
    assert everything(root) == before


# What cannot go, and links.


def test_symlinks_in_a_store_are_unlinked_and_not_followed(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    before = everything(tmp_path / "outside")
    store = root / "result_store_dir" / "file_result_store"
    (store / "link").symlink_to(tmp_path / "outside")
    (store / "VMAF_V1" / "NFLX" / "c1" / "link").symlink_to(tmp_path / "outside" / "file")
    report = execute(plan_purge(root, Selection()))
    assert (report.removed, report.is_complete) == (6, True)
    assert everything(tmp_path / "outside") == before


def test_a_directory_swapped_for_a_symlink_after_the_plan_is_not_followed(root: Path, tmp_path: Path) -> None:
    store = root / "result_store_dir" / "file_result_store" / "VMAF_V1"
    plan = plan_purge(root, Selection(executor="VMAF_V1"))
    store.rename(tmp_path / "moved")  # same inodes: only the way there tells
    store.symlink_to(tmp_path / "moved")
    before = everything(tmp_path / "moved")
    report = execute(plan)
    assert (report.removed, len(report.failures)) == (0, 2)
    assert everything(tmp_path / "moved") == before


def test_a_changed_result_is_left_and_reported(root: Path) -> None:
    plan = plan_purge(root, Selection())
    changed = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "BVI" / "c1" / "hundred"
    os.utime(changed)
    report = execute(plan)
    assert [path for path, _ in report.changed] == [str(changed.relative_to(root))]
    assert report.freed_apparent_bytes == 1011
    assert changed.exists()


def test_hard_linked_results_are_freed_with_the_last_link(root: Path) -> None:
    store = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c1"
    os.link(store / "one.json", store / "again")
    os.link(root / "model" / "m.pkl", store / "model")
    links_bytes = du(root / "model" / "m.pkl")
    report = execute(plan_purge(root, Selection()))
    assert report.files == 6
    assert report.freed_disk_bytes == 4 * 4096 < links_bytes


def test_a_rest_of_a_killed_purge_goes_with_any_selection_that_reaches_it(root: Path) -> None:
    write(root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c1" / f"{TRASH}00", 5)
    assert planned(root, older_than_s=9 * HOUR_S) == 5


def test_a_cache_that_cannot_be_read_is_named_and_the_other_goes(root: Path) -> None:
    prefix = without_root_powers()
    write(root / "encode" / "clip.mp4", 10)
    (root / "result_store_dir").chmod(0)
    done = python(CLI, "purge-cache", "--with-encodes", "--yes", "--workspace", root, prefix=prefix)
    (root / "result_store_dir").chmod(0o755)
    assert (done.code, left(root, "encode")) == (1, [])
    assert "result_store_dir/: cannot be read: Permission denied" in done.err


def test_an_unreadable_directory_is_named_the_rest_goes_and_the_exit_code_says_so(root: Path) -> None:
    prefix = without_root_powers()
    closed = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX"
    closed.chmod(0)
    code = "import sys; from vmaf_workspace.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, "purge-cache", "--yes", "--json", "--workspace", root, prefix=prefix)
    closed.chmod(0o755)
    assert done.code == 1
    assert done.json["removed"]["apparent_bytes"] == 1110
    assert [(kept["path"], kept["why"]) for kept in done.json["kept"]] == [
        (str(closed.relative_to(root)), "Permission denied")
    ]
    assert (closed / "c1" / "one.json").exists()


def test_a_mount_in_a_store_is_left_with_its_empty_directories(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 1000)
    (tmp_path / "outside" / "empty" / "deep").mkdir(parents=True)
    (root / "result_store_dir" / "file_result_store" / "bound").mkdir()
    code = """
root, outside = map(Path, sys.argv[1:])
mount("--bind", outside, root / "result_store_dir" / "file_result_store" / "bound")
code, out, err = ws("purge-cache", "--yes", "--workspace", root)
print(code, "mounted" in err)
"""
    before = everything(tmp_path / "outside")
    done = in_a_mount_namespace(code, root, tmp_path / "outside")
    assert done.out == "1 True\n", done
    assert everything(tmp_path / "outside") == before


def test_a_store_deeper_than_a_path_may_be_long_goes(root: Path) -> None:
    here = os.getcwd()
    os.chdir(root / "result_store_dir")
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        write(Path("bottom"), 5)
    finally:
        os.chdir(here)
    done = ws("purge-cache", "--yes", "--json", "--workspace", root)
    assert done.code == 0, done
    assert done.json["removed"]["apparent_bytes"] == 1116
    assert done.json["kept"] == []
