"""*Forget* keeps what it was told to, pins and the last verified; *prune* frees what no snapshot names, and no more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_trees import bring_back, content_of, damage, models, object_of, place, take
from trees import age, everything, process, write, ws

from vmaf_workspace.errors import InUseError, UsageError
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.manifest import DamagedError, File, Snapshot, manifest_name
from vmaf_workspace.snapshot.retention import Keep, forget, plan_forget
from vmaf_workspace.snapshot.store import Listed
from vmaf_workspace.snapshot.verify import verify

NOW = datetime(2026, 3, 15, 12, 0).timestamp()
DAY_S = 86400.0


def listed(
    time_s: float,
    *,
    host: str = "here",
    pinned: bool = False,
    verified: bool = False,
    damaged: bool = False,
    empty: bool = False,
    **more: Any,
) -> Listed:
    name = f"{time_s:020.3f}-{host}"
    files = () if empty else (File(path="model/m", mtime_ns=0),)
    about: dict[str, Any] = {"workspace": "/ws", "note": "", "versions": {}, "files": files, **more}
    snapshot = None if damaged else Snapshot(id=name, time_s=time_s, host=host, **about)
    return Listed(id=name, snapshot=snapshot, problem=None, pinned=pinned, verified=verified)


def kept(snapshots: list[Listed], **keep: float) -> list[int]:
    """How many days old those are that stay."""
    verdicts = plan_forget(snapshots, Keep(**keep), now_s=NOW)  # type: ignore[arg-type]
    return [
        round((NOW - v.listed.snapshot.time_s) / DAY_S) for v in verdicts if v.is_kept and v.listed.snapshot is not None
    ]


DAILY = [listed(NOW - days * DAY_S) for days in range(60, -1, -1)]


def test_the_last_days_weeks_and_months() -> None:
    assert kept(DAILY, last=3) == [2, 1, 0]
    assert kept(DAILY, daily=2) == [1, 0]
    assert kept(DAILY, weekly=3) == [14, 7, 0]  # 2026-03-15 is a Sunday
    assert kept(DAILY, monthly=3) == [43, 15, 0]  # the last of January and February, and today
    assert kept(DAILY, within_s=3.5 * DAY_S) == [3, 2, 1, 0]
    assert kept(DAILY, last=1, monthly=2) == [15, 0]


def test_days_without_a_snapshot_do_not_count() -> None:
    assert kept([listed(NOW - days * DAY_S) for days in (400, 300, 200, 100)], daily=2) == [200, 100]


def test_each_kept_one_says_why() -> None:
    verdicts = plan_forget(DAILY, Keep(last=1, daily=1), now_s=NOW)
    assert verdicts[-1].reasons == ("among the last 1", "the newest of day 2026-03-15")


def test_pins_the_last_verified_and_damaged_ones_stay() -> None:
    snapshots = [
        listed(NOW - 9 * DAY_S, pinned=True),
        listed(NOW - 8 * DAY_S, verified=True),
        listed(NOW - 7 * DAY_S, verified=True),
        listed(NOW - 6 * DAY_S, damaged=True),
        listed(NOW - 5 * DAY_S),
        listed(NOW - 4 * DAY_S),
    ]
    reasons = [verdict.reasons for verdict in plan_forget(snapshots, Keep(last=1), now_s=NOW)]
    assert [bool(each) for each in reasons] == [True, False, True, True, False, True]


def test_the_last_snapshot_with_a_model_in_it_outlives_empty_ones() -> None:
    snapshots = [listed(NOW - days * DAY_S, empty=days < 3) for days in range(5, -1, -1)]
    verdicts = plan_forget(snapshots, Keep(last=1), now_s=NOW)
    assert [v.reasons for v in verdicts if v.is_kept] == [("the last one that is not empty",), ("among the last 1",)]
    assert verdicts[2].is_kept


def test_the_last_snapshot_stays_where_only_an_older_one_is_pinned_or_verified() -> None:
    for pinned in (True, False):
        old = listed(NOW - 9 * DAY_S, pinned=pinned, verified=not pinned)
        assert kept([old, listed(NOW - 4 * DAY_S), listed(NOW - 3 * DAY_S)], within_s=DAY_S) == [9, 3]


def test_every_workspace_counts_for_itself() -> None:
    others = [listed(NOW - days * DAY_S, host="there") for days in (50, 49)]
    verdicts = plan_forget([*others, *DAILY], Keep(last=1), now_s=NOW)
    assert [v.listed.id for v in verdicts if v.is_kept] == [others[1].id, DAILY[-1].id]


def test_what_was_taken_before_a_restore_takes_no_place_of_a_latest() -> None:
    snapshots = [listed(NOW - 3), listed(NOW - 2), listed(NOW - 1, is_safety=True)]
    assert [v.is_kept for v in plan_forget(snapshots, Keep(last=1), now_s=NOW)] == [False, True, True]
    assert [v.is_kept for v in plan_forget(snapshots, Keep(within_s=0.5), now_s=NOW)] == [False, True, False]


def test_a_workspace_that_moved_counts_as_one() -> None:
    snapshots = [listed(NOW - 2, workspace="/old", identity="i"), listed(NOW - 1, workspace="/new", identity="i")]
    assert [v.is_kept for v in plan_forget(snapshots, Keep(last=1), now_s=NOW)] == [False, True]


def test_what_a_wrong_clock_dated_in_the_future_stays_and_takes_no_place() -> None:
    snapshots = [listed(NOW - 2 * DAY_S), listed(NOW - DAY_S), listed(NOW + 60), listed(NOW + 900 * DAY_S)]
    verdicts = plan_forget(snapshots, Keep(last=1), now_s=NOW)
    assert [v.is_kept for v in verdicts] == [False, False, True, True]
    assert verdicts[-1].listed.id in verdicts[-1].reasons[0]
    assert [v.is_kept for v in plan_forget(snapshots, Keep(daily=2), now_s=NOW)] == [False, True, True, True]


def test_of_two_of_the_same_time_the_one_that_is_the_latest_is_kept() -> None:
    twins = [listed(NOW - 1), listed(NOW - 1)]
    twins = [replace(twin, id=f"{twin.id}{n}") for n, twin in enumerate(twins)]
    assert [v.is_kept for v in plan_forget(twins, Keep(last=1), now_s=NOW)] == [False, True]


def test_nothing_to_keep_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="--keep-last"):
        plan_forget(DAILY, Keep())
    for bad in ("x", "-1", "1.5"):
        done = ws("forget", "--at", "b", f"--keep-last={bad}")
        assert (done.code, "--keep-last" in done.err) == (2, True)
    assert ws("forget", "--at", "b", "--keep-within", "soon").code == 2


@settings(deadline=None)
@given(
    ages=st.lists(st.floats(0, 1000), min_size=1, max_size=40, unique=True),
    keep=st.builds(Keep, last=st.integers(0, 5), daily=st.integers(0, 5), within_s=st.floats(0, 1e7)),
)
def test_something_always_stays_and_more_to_keep_never_keeps_less(ages: list[float], keep: Keep) -> None:
    snapshots = [listed(NOW - days * DAY_S) for days in sorted(ages, reverse=True)]
    if keep == Keep():
        return
    verdicts = plan_forget(snapshots, keep, now_s=NOW)
    more = plan_forget(snapshots, Keep(last=keep.last + 1, daily=keep.daily + 1, within_s=keep.within_s + 1), now_s=NOW)
    assert verdicts[-1].is_kept or not keep.last
    assert any(verdict.is_kept for verdict in verdicts)
    assert all(b.is_kept for a, b in zip(verdicts, more, strict=True) if a.is_kept and "only one" not in a.reasons[0])


def three(tmp_path: Path) -> tuple[Path, list[str]]:
    """Three snapshots, each of another state of `m.pkl`."""
    root = models(tmp_path / "ws")
    taken = []
    for size in (21, 22, 23):
        age(write(root / "model" / "m.pkl", size))
        taken.append(take(root, tmp_path / "b").id)
        time.sleep(0.002)
    return root, taken


def test_forget_asks_and_prune_frees_exactly_what_no_snapshot_names(tmp_path: Path) -> None:
    root, taken = three(tmp_path)
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("forget", *at, "--keep-last", "1").code == 3  # no terminal, no --yes
    assert ws("forget", *at, "--keep-last", "1", "--dry-run").code == 0
    assert store.ids(place(tmp_path / "b")) == taken
    done = ws("forget", *at, "--keep-last", "1", "--yes", "--json")
    assert done.json["forgotten"] == taken[:2]
    before = everything(tmp_path / "b")
    assert ws("prune", *at, "--dry-run", "--json").json["removed"] == {"objects": 2, "apparent_bytes": 43}
    assert everything(tmp_path / "b") == before
    assert ws("prune", *at, "--json").json["removed"] == {"objects": 2, "apparent_bytes": 43}
    assert ws("prune", *at, "--json").json["removed"] == {"objects": 0, "apparent_bytes": 0}
    assert verify(place(tmp_path / "b")).problems == []


def test_nothing_to_forget_and_nothing_to_free_are_said_in_words(tmp_path: Path) -> None:
    root, _ = three(tmp_path)
    at = ("--workspace", root, "--at", tmp_path / "b")
    for flags in ((), ("--yes",), ("--dry-run",)):
        done = ws("forget", *at, "--keep-last", "3", *flags)
        assert (done.code, done.out.splitlines()[-1]) == (0, f"nothing to forget in {tmp_path / 'b'}"), done
    assert ws("prune", *at).out == f"nothing to free in {tmp_path / 'b'}\n"
    assert "1 snapshot forgotten; `ws.prune` frees what only" in ws("forget", *at, "--keep-last", "2", "--yes").out
    freed = "1 object, 21 B, which no snapshot names; in"
    assert ws("prune", *at, "--dry-run").out.startswith(f"would free {freed}")
    assert ws("prune", *at).out.startswith(f"freed {freed}")


def test_the_snapshots_of_a_copied_workspace_count_for_themselves(tmp_path: Path) -> None:
    root, copy = models(tmp_path / "ws"), tmp_path / "copy"
    shutil.copytree(root, copy, symlinks=True)
    write(copy / "model" / "own.pkl", 7)
    age(copy / "model")
    own = take(copy, tmp_path / "b").id
    for _ in range(2):
        take(root, tmp_path / "b")
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("forget", *at, "--keep-last", "1", "--yes").code == 0
    assert own in store.ids(place(tmp_path / "b"))
    assert ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--json").json["snapshot"] != own
    assert ws("restore-models", "--workspace", copy, "--at", tmp_path / "b", "--json").json["snapshot"] == own


def test_a_pinned_snapshot_outlives_every_forget(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    was = content_of(root)
    pinned = take(root, tmp_path / "b", pin=True).id
    for size in (21, 22):
        age(write(root / "model" / "m.pkl", size))
        take(root, tmp_path / "b")
    location = place(tmp_path / "b")
    forget(location, plan_forget(store.snapshots(location), Keep(last=1)))
    store.prune(location)
    assert pinned in store.ids(location)
    bring_back(tmp_path / "out", tmp_path / "b", pinned)
    assert content_of(tmp_path / "out") == was


def test_prune_stops_at_a_manifest_that_it_cannot_read_and_says_where_it_is(tmp_path: Path) -> None:
    root, taken = three(tmp_path)
    damage(tmp_path / "b", "manifest", root, taken[0])
    manifest = tmp_path / "b" / "snapshots" / f"{taken[0]}.json"
    before = everything(tmp_path / "b" / "objects")
    with pytest.raises(DamagedError, match=str(manifest)):
        store.prune(place(tmp_path / "b"))
    assert everything(tmp_path / "b" / "objects") == before
    manifest.unlink()
    assert store.prune(place(tmp_path / "b")).objects == 1


def test_what_a_forget_takes_while_others_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, taken = three(tmp_path)
    location = place(tmp_path / "b")
    manifest = tmp_path / "b" / "snapshots" / f"{taken[2]}.json"
    content = manifest.read_bytes()
    reading, sizing = location.read, location.sizes_of

    def read(name: str) -> bytes:
        if taken[2] in name:
            manifest.unlink(missing_ok=True)
        return reading(name)

    def sizes_of(names: Sequence[str], **options: Any) -> list[int | None]:
        manifest.unlink(missing_ok=True)
        object_of(tmp_path / "b", root / "model" / "m.pkl").unlink(missing_ok=True)
        return sizing(names, **options)

    with monkeypatch.context() as patched:
        patched.setattr(location, "read", read)
        assert [found.id for found in store.snapshots(location)] == taken[:2]
        manifest.write_bytes(content)
        assert store.found(location).id == taken[1]
        manifest.write_bytes(content)
        assert verify(location).whole == taken[:2]
        manifest.write_bytes(content)
        with pytest.raises(DamagedError, match="prune again"):
            store.prune(location)
    manifest.write_bytes(content)
    monkeypatch.setattr(location, "sizes_of", sizes_of)
    found = verify(location)
    assert (found.snapshots, found.whole, found.problems) == (2, taken[:2], [])


def test_prune_takes_nothing_but_objects_and_parts_of_ours(tmp_path: Path) -> None:
    root, _ = three(tmp_path)
    sha256 = "ab" * 32
    theirs = [
        write(tmp_path / "b" / name)
        for name in ("objects/a.stl", "objects/chair/mesh.obj", f"objects/cd/{sha256}", "parts/bolt.step")
    ]
    ours = [write(tmp_path / "b" / name) for name in (f"objects/ab/{sha256}", "parts/0123456789abcdef")]
    age(tmp_path / "b" / "parts")
    at = ("--workspace", root, "--at", tmp_path / "b", "--json")
    while foreign := [path for path in theirs if path.exists()]:
        done = ws("prune", *at)
        named = [path for path in foreign if repr(str(path.relative_to(tmp_path / "b"))) in done.err]
        assert (done.code, len(named), all(path.exists() for path in foreign + ours)) == (3, 1, True), done
        named[0].unlink()
    done = ws("prune", *at)
    assert (done.code, done.json["removed"]["objects"]) == (0, 1)
    assert [path.exists() for path in ours] == [False] * 2


def test_prune_refuses_a_place_without_a_snapshot(tmp_path: Path) -> None:
    orphan = write(tmp_path / "b" / "objects" / "ab" / ("ab" * 32))
    for options in ([], ["--dry-run"]):
        assert ws("prune", "--at", tmp_path / "b", *options).code == 3
    assert orphan.exists()


BACKING_UP = """
import sys
from vmaf_workspace.snapshot.locate import opened
from vmaf_workspace.snapshot.store import taking
with taking(opened(sys.argv[1]), "a backup"):
    print("ready", flush=True)
    sys.stdin.read()
"""
PRUNING = """
import sys
from vmaf_workspace.snapshot.locate import opened
with opened(sys.argv[1]).announced("prune", "a prune"):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_prune_refuses_while_a_backup_runs_and_not_after_it_was_killed(tmp_path: Path) -> None:
    _, taken = three(tmp_path)
    location = place(tmp_path / "b")
    location.remove(manifest_name(taken[0]))
    with process(BACKING_UP, tmp_path / "b") as child, pytest.raises(InUseError, match=str(child.pid)):
        store.prune(location)
    assert store.prune(location).objects == 1


def test_a_backup_waits_for_a_prune_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = models(tmp_path / "ws")
    with process(PRUNING, tmp_path / "b") as child:
        import threading

        assert child.stdin is not None
        end: Callable[[], object] = child.stdin.close
        timer = threading.Timer(0.5, end)
        timer.start()
        began = time.monotonic()
        take(root, tmp_path / "b")
        timer.join()
        assert time.monotonic() - began > 0.4
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert f"for the end of a prune of {tmp_path / 'b'}: process {child.pid} on" in said[0]
