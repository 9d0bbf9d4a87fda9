"""A limit of stored results is kept: least recently used first, never what a live run may use."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from trees import age, live_run, stored, workspace, write

from vmaf_workspace.contract import MARKER
from vmaf_workspace.errors import InUseError, RefusedError
from vmaf_workspace.live.lock import CLEANER, Run
from vmaf_workspace.removal.limit import Limit, keep_within

DAY_S = 86400.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Results 0 to 9, used so many days ago, and an encode's."""
    root = workspace(tmp_path / "ws")
    for days in range(10):
        stored(root, f"NFLX/c/{days}.json", 4096, idle_s=days * DAY_S + 3600)
    store = root / "result_store_dir"
    age(write(store / "encode_store" / "x264_V1" / "NFLX" / "c" / "e.json", 4096), 99 * DAY_S)
    age(write(store / "file_result_store" / ".content_hashes.jsonl", 4096), 99 * DAY_S)
    return root


def kept(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "result_store_dir" / "file_result_store").rglob("*.json"))


def within(root: Path, *used: Path, **limit: int) -> str:
    with Run(root) as run:
        return keep_within(root, Limit(**limit), run_id=run.id, began_s=run.since_s, used=[str(path) for path in used])


@pytest.mark.parametrize(
    "limit", [{"max_files": 4}, {"max_disk_bytes": 4 * 4096}, {"max_files": 4, "max_disk_bytes": 1 << 30}]
)
def test_the_least_recently_used_go_until_the_rest_is_within(limit: dict[str, int], root: Path) -> None:
    said = within(root, **limit)
    assert kept(root) == ["0", "1", "2", "3"]
    assert said.endswith("; 6 files, 24.0 KiB removed, least recently used first")
    assert (root / "result_store_dir" / "encode_store" / "x264_V1" / "NFLX" / "c" / "e.json").exists()
    assert (root / "result_store_dir" / "file_result_store" / ".content_hashes.jsonl").exists()
    assert within(root, **limit) == ""


def test_without_a_limit_and_below_it_nothing_is_said_or_done(root: Path) -> None:
    assert within(root) == within(root, max_files=10) == within(root / "missing", max_files=0) == ""
    assert len(kept(root)) == 10


def test_what_the_run_uses_itself_stays_however_long_ago_it_was_stored(root: Path) -> None:
    oldest = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c" / "9.json"
    said = within(root, oldest, max_files=2)
    assert kept(root) == ["0", "1", "9"]
    assert "1 file over it stay, in use by this run" in said


def test_what_was_used_since_another_live_run_began_stays_and_what_was_not_goes(root: Path) -> None:
    with live_run(root):
        store = root / "result_store_dir" / "file_result_store" / "VMAF_V1" / "NFLX" / "c"
        os.utime(store / "9.json")  # as a store does that answers
        said = within(root, max_files=0)
        assert kept(root) == ["9"]
    assert "in use by workdir/" in said
    assert "a live run" in said


def test_nothing_goes_while_somebody_works_who_does_not_say_since_when(root: Path) -> None:
    write(root / "output" / "upstreams" / "file", 5)
    said = within(root, max_files=0)
    assert len(kept(root)) == 10
    assert "in use by output/upstreams" in said


def test_two_do_not_remove_at_once(root: Path) -> None:
    lock = os.open(root / MARKER / CLEANER, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(InUseError):
        within(root, max_files=0)
    os.close(lock)
    assert len(kept(root)) == 10


def test_a_directory_that_is_not_ours_is_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path / "other" / "result_store_dir" / "file_result_store" / "a" / "b" / "c" / "d.json", 10)
    os.utime(path, (0, time.time() - DAY_S))
    with pytest.raises(RefusedError):
        within(tmp_path / "other", max_files=0)
    assert path.exists()
