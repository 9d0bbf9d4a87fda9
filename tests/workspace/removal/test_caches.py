"""Many stored results: what is planned for them, shown of them, and removed, is what it is for few."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from trees import workspace, write, ws

from vmaf_workspace.commands import tables
from vmaf_workspace.disk.scan import DEEPEST
from vmaf_workspace.removal import caches
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_purge
from vmaf_workspace.removal.entries import Entries, Entry
from vmaf_workspace.removal.execution import BATCH, execute

STORE = "result_store_dir/file_result_store"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


def stored(root: Path, place: str, n: int, seconds: float = 1.0) -> None:
    """*n* results in one directory of the store, each younger than the one before."""
    directory = root / STORE / place
    directory.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        path = directory / f"{i:04}.json"
        path.write_text(json.dumps({"extraction_s": seconds}) + "\n")
        os.utime(path, (1_700_000_000 + i, 1_700_000_000 + i))


def test_seconds_of_a_sample_stand_for_those_of_all_and_are_called_about(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(root, "VMAF_V1/slow/c", 40, seconds=30.0)
    stored(root, "VMAF_V1/fast/c", 40, seconds=1.0)
    exact = plan_purge(root, Selection())
    monkeypatch.setattr(caches, "READ_ALL", 79)
    monkeypatch.setattr(caches, "SAMPLE", 10)
    sampled = plan_purge(root, Selection())
    assert (exact.entries.cost_s, exact.is_cost_sampled) == (1240.0, False)
    assert sampled.entries.cost_s == pytest.approx(1240.0)
    assert sampled.is_cost_sampled
    assert tables.plan_summary(exact).endswith(", 21 min to compute again")
    assert tables.plan_summary(sampled).endswith(", about 21 min to compute again")
    assert json.loads(tables.removal_json(sampled, None, 0))["is_extraction_s_sampled"]
    tables.print_plan(sampled)
    out = capsys.readouterr().out
    assert out.index("slow") < out.index("fast")  # what costs most is first
    assert "in about 20 min" in out


def test_what_is_shown_by_datasets_adds_up(root: Path) -> None:
    stored(root, "VMAF_V1/a/c1", 3)
    stored(root, "VMAF_V1/a/c2", 4)
    stored(root, "VMAF_V1/b/c1", 5)
    out = ws("purge-cache", "--dry-run", "--workspace", root).out
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith(STORE)}
    assert rows == {f"{STORE}/VMAF_V1/a/": "7", f"{STORE}/VMAF_V1/b/": "5"}


def test_of_more_files_than_a_child_takes_at_once_what_changed_stays_and_the_others_go(root: Path) -> None:
    stored(root, "VMAF_V1/a/c", BATCH + 10)
    plan = plan_purge(root, Selection(max_files=4))
    assert len(plan.entries) == BATCH + 6
    changed = root / plan.entries[7].path
    changed.write_text("used again")
    (root / plan.entries[9].path).unlink()  # gone by itself
    report = execute(plan)
    assert [path for path, _ in report.changed] == [plan.entries[7].path]
    assert (report.removed, report.failures) == (BATCH + 4, [])
    assert sorted(os.listdir(changed.parent)) == sorted(["0007.json", *(f"{BATCH + n:04}.json" for n in range(6, 10))])


def test_a_directory_deeper_than_any_store_is_named_and_the_rest_goes(root: Path) -> None:
    stored(root, "VMAF_V1/a/c", 1)
    here = os.getcwd()
    os.chdir(root / "result_store_dir")
    try:
        for _ in range(DEEPEST + 1):
            os.mkdir("d")
            os.chdir("d")
        write(Path("bottom"), 5)
    finally:
        os.chdir(here)
    done = ws("purge-cache", "--yes", "--json", "--workspace", root)
    assert (done.code, done.json["removed"]["files"], len(done.json["kept"])) == (1, 1, 1)


def test_entries_say_what_was_put_in_whatever_their_numbers() -> None:
    one = Entry(path="workdir/ünï/", inode=7, newest_ns=1, files=3, apparent_bytes=5, disk_bytes=8, why="old", cost_s=2)
    two = replace(one, path=f"output/{os.fsdecode(bytes([255]))}", why="left", newest_ns=-(1 << 93))
    three = replace(one, path="output/b", inode=(1 << 64) - 1, apparent_bytes=1 << 80)
    entries = Entries.of([one, two, three])
    assert list(entries) == [one, two, three]
    assert entries == (one, two, three)
    assert entries != (one, two)
    assert (entries.files, entries.apparent_bytes, entries.disk_bytes) == (9, 10 + (1 << 80), 24)
    assert entries.reasons == ["old", "left"]
    assert list(entries.runs()) == [(0, 1), (1, 3)]
    assert entries[1:] == (two, three)
    assert Entries.of([]) == ()


def test_files_of_any_date_are_sorted_by_it(root: Path) -> None:
    stored(root, "VMAF_V1/a/c", 3)
    (last, first, _) = sorted((root / STORE / "VMAF_V1/a/c").iterdir())
    os.utime(last, ns=(-(10**18), -(10**18)))
    os.utime(first, (13_000_000_000, 13_000_000_000))  # past what 64 bits of ns hold, where the disk holds that
    kept = {entry.path for entry in plan_purge(root, Selection()).entries}
    kept -= {entry.path for entry in plan_purge(root, Selection(max_files=1)).entries}
    assert kept == {str(first.relative_to(root))}
