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
from snapshot_trees import bring_back, content_of, damage, models, object_of, place, reforged, take
from trees import age, everything, process, write, ws

from vmaf_workspace.errors import InUseError, RefusedError, UsageError
from vmaf_workspace.identity import Place
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.local import LocalDirectory
from vmaf_workspace.snapshot.manifest import DamagedError, File, Snapshot, manifest_name, short_id
from vmaf_workspace.snapshot.retention import RetentionPolicy, forget, plan_forget
from vmaf_workspace.snapshot.store import ListedSnapshot
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
) -> ListedSnapshot:
    name = f"{time_s:020.3f}-{host}"
    files = () if empty else (File(path="model/m", mtime_ns=0),)
    about: dict[str, Any] = {"workspace": "/ws", "note": "", "versions": {}, "files": files, **more}
    snapshot = None if damaged else Snapshot(id=name, time_s=time_s, host=host, **about)
    return ListedSnapshot(id=name, snapshot=snapshot, problem=None, pinned=pinned, verified=verified)


def kept(snapshots: list[ListedSnapshot], **keep: float) -> list[int]:
    """How many days old those are that stay."""
    verdicts = plan_forget(snapshots, RetentionPolicy(**keep), now_s=NOW)  # type: ignore[arg-type]
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
    verdicts = plan_forget(DAILY, RetentionPolicy(last=1, daily=1), now_s=NOW)
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
    reasons = [verdict.reasons for verdict in plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)]
    assert [bool(each) for each in reasons] == [True, False, True, True, False, True]


def test_the_last_snapshot_with_a_model_in_it_outlives_empty_ones() -> None:
    snapshots = [listed(NOW - days * DAY_S, empty=days < 3) for days in range(5, -1, -1)]
    verdicts = plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)
    assert [v.reasons for v in verdicts if v.is_kept] == [("the last one that is not empty",), ("among the last 1",)]
    assert verdicts[2].is_kept


def test_the_last_snapshot_stays_where_only_an_older_one_is_pinned_or_verified() -> None:
    for pinned in (True, False):
        old = listed(NOW - 9 * DAY_S, pinned=pinned, verified=not pinned)
        assert kept([old, listed(NOW - 4 * DAY_S), listed(NOW - 3 * DAY_S)], within_s=DAY_S / 2) == [9, 3]


def test_every_workspace_counts_for_itself() -> None:
    others = [listed(NOW - days * DAY_S, host="there") for days in (50, 49)]
    verdicts = plan_forget([*others, *DAILY], RetentionPolicy(last=1), now_s=NOW)
    assert [v.listed.id for v in verdicts if v.is_kept] == [others[1].id, DAILY[-1].id]


def test_what_was_taken_before_a_restore_takes_no_place_of_a_latest() -> None:
    snapshots = [listed(NOW - 3), listed(NOW - 2), listed(NOW - 1, is_safety=True)]
    assert [v.is_kept for v in plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)] == [False, True, True]
    assert [v.is_kept for v in plan_forget(snapshots, RetentionPolicy(within_s=0.5), now_s=NOW)] == [False, True, True]


def test_a_workspace_that_moved_counts_as_one() -> None:
    was = (Place("here", "", "/old"),)
    for places, expected in ((was, [False, True]), ((), [True, True])):  # it may be a copy, where it does not say
        newer = listed(NOW - 1, workspace="/new", identity="i", was=places)
        snapshots = [listed(NOW - 2, workspace="/old", identity="i"), newer]
        assert [v.is_kept for v in plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)] == expected


def test_what_a_wrong_clock_dated_in_the_future_stays_and_takes_no_place() -> None:
    snapshots = [listed(NOW - 2 * DAY_S), listed(NOW - DAY_S), listed(NOW + 60), listed(NOW + 900 * DAY_S)]
    verdicts = plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)
    assert [v.is_kept for v in verdicts] == [False, False, True, True]
    assert verdicts[-1].listed.id in verdicts[-1].reasons[0]
    assert [v.is_kept for v in plan_forget(snapshots, RetentionPolicy(daily=2), now_s=NOW)] == [False, True, True, True]


def test_of_two_of_the_same_time_the_one_that_is_the_latest_is_kept() -> None:
    twins = [listed(NOW - 1), listed(NOW - 1)]
    twins = [replace(twin, id=f"{twin.id}{n}") for n, twin in enumerate(twins)]
    assert [v.is_kept for v in plan_forget(twins, RetentionPolicy(last=1), now_s=NOW)] == [False, True]


def test_nothing_to_keep_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="--keep-last"):
        plan_forget(DAILY, RetentionPolicy())
    for bad in ("x", "-1", "1.5"):
        done = ws("forget", "--at", "b", f"--keep-last={bad}")
        assert (done.code, "--keep-last" in done.err) == (2, True)
    for bad, remedies in (("soon", ["6mo"]), ("30", ["needs a unit", "min", "mo"]), ("6m", ["6min", "6mo"])):
        done = ws("forget", "--at", "b", "--keep-within", bad)
        assert (done.code, [remedy for remedy in remedies if remedy not in done.err]) == (2, []), done


def of(days: float, *names: str, sha256: str = "", **more: Any) -> ListedSnapshot:
    """A snapshot with these files, so many days old."""
    files = tuple(File(path=name, mtime_ns=0, sha256=sha256 or name.ljust(64, "0")) for name in names)
    return listed(NOW - days * DAY_S, files=files, **more)


def test_within_counts_from_the_newest_snapshot_of_each_workspace_as_in_restic() -> None:
    old = [listed(NOW - days * DAY_S) for days in (43, 42, 41, 40)]
    assert kept(old, within_s=30 * DAY_S) == [43, 42, 41, 40]
    assert kept(old, within_s=1.5 * DAY_S) == [41, 40]
    ahead = listed(NOW + 900 * DAY_S)  # its clock is no measure
    assert kept([*old, ahead], within_s=1.5 * DAY_S) == [41, 40, -900]
    other = listed(NOW, host="there")
    assert kept([*old, other], within_s=1.5 * DAY_S) == [41, 40, 0]


def test_the_last_copy_of_a_model_stays_in_the_newest_snapshot_that_has_it_and_is_named() -> None:
    snapshots = [of(5, "model/a.pkl", "model/b.pkl"), of(4, "model/a.pkl", "model/b.pkl"), of(3, "model/a.pkl")]
    verdicts = plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW)
    assert [v.is_kept for v in verdicts] == [False, True, True]
    assert verdicts[1].last_copies == ("model/b",)
    assert verdicts[1].reasons == ("the last copy of 'model/b'",)
    verdicts = plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW, drop_last_copies=True)
    assert [(v.is_kept, v.last_copies) for v in verdicts] == [(False, ()), (False, ("model/b",)), (True, ())]


def test_a_member_of_a_model_is_part_of_it_and_an_older_state_or_another_name_is_no_last_copy() -> None:
    whole = of(5, "model/m.pkl", "model/m.pkl.model")
    assert plan_forget([whole, of(3, "model/m.pkl")], RetentionPolicy(last=1), now_s=NOW)[0].last_copies == ("model/m",)
    assert kept([of(5, "model/m.pkl", sha256="1" * 64), of(3, "model/m.pkl", sha256="2" * 64)], last=1) == [3]
    assert kept([of(5, "model/old.pkl", sha256="1" * 64), of(3, "model/new.pkl", sha256="1" * 64)], last=1) == [3]


def test_what_a_verify_found_damaged_is_no_copy() -> None:
    snapshots = [of(5, "model/m.pkl", sha256="1" * 64), of(3, "model/m.pkl", sha256="2" * 64)]
    verdicts = plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW, damaged={"2" * 64})
    assert [v.is_kept for v in verdicts] == [True, True]


def test_another_workspaces_copy_is_none_of_this_one() -> None:
    snapshots = [of(5, "model/b.pkl"), of(4, "model/a.pkl"), of(3, "model/b.pkl", host="there")]
    assert kept(snapshots, last=1) == [5, 4, 3]


def test_what_two_twins_took_in_one_turn_stays() -> None:
    twins = [listed(NOW - n, identity="i", turn=(1, f"{n}")) for n in (3, 2)]
    later = [listed(NOW - 1, identity="i", turn=(2, "x"))]
    verdicts = plan_forget([*twins, *later], RetentionPolicy(last=1), now_s=NOW)
    assert [v.is_kept for v in verdicts] == [True, True, True]
    assert "another workspace" in verdicts[0].reasons[0]


def test_forget_names_and_keeps_last_copies_and_drops_them_when_told_in_words(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    old = take(root, tmp_path / "b").id
    (root / "model" / "m.pkl.model").unlink()
    shutil.rmtree(root / "checkpoints_dir" / "run")
    new = take(root, tmp_path / "b").id
    at = ("--workspace", root, "--at", tmp_path / "b")
    done = ws("forget", *at, "--keep-last", "1", "--yes")
    assert done.code == 0
    for said in ("the last copy of 'checkpoints_dir/run/fold1', 'model/m'", "--drop-last-copies", "nothing to forget"):
        assert said in done.out, done
    done = ws("forget", *at, "--keep-last", "1", "--drop-last-copies")
    assert (done.code, "the last copy of 'checkpoints_dir/run/fold1', 'model/m'" in done.err) == (3, True), done
    assert store.list_ids(place(tmp_path / "b")) == [old, new]
    done = ws("forget", *at, "--keep-last", "1", "--drop-last-copies", "--yes", "--json")
    assert done.json["forgotten"] == [old]
    assert done.json["snapshots"][0]["last_copies"] == ["checkpoints_dir/run/fold1", "model/m"]


def test_what_a_wipe_relied_on_stays_until_another_snapshot_of_this_workspace_holds_it(tmp_path: Path) -> None:
    root, other = models(tmp_path / "ws"), models(tmp_path / "other")
    at = ("--workspace", root, "--at", tmp_path / "b")
    relied_on = take(root, tmp_path / "b").id
    age(write(root / "model" / "m.pkl", 50))
    take(root, tmp_path / "b")
    age(write(root / "model" / "m.pkl", 1))
    take(other, tmp_path / "b")
    was = content_of(root)
    assert ws("wipe-models", *at, "--yes").code == 0
    assert verify(place(tmp_path / "b")).problems == []  # now the newest is the last verified one
    assert "relied on by a wipe" in ws("snapshots", *at).out
    for _ in range(2):
        assert ws("forget", *at, "--keep-last", "1", "--yes").code == 0
        assert ws("prune", *at).code == 0
        assert relied_on in store.list_ids(place(tmp_path / "b"))
    bring_back(root, tmp_path / "b", relied_on)
    assert content_of(root) == was
    take(root, tmp_path / "b")
    forgotten = ws("forget", *at, "--keep-last", "1", "--yes", "--json").json["forgotten"]
    assert relied_on in forgotten
    assert not (tmp_path / "b" / "pins" / relied_on).exists()


def test_wipes_of_two_workspaces_or_a_pin_keep_a_snapshot_for_good(tmp_path: Path) -> None:
    root, taken = three(tmp_path)
    location = place(tmp_path / "b")
    store.note_reliance(location, taken[0], root, ["1" * 64])
    store.note_reliance(location, taken[0], root, ["2" * 64])
    [relied] = [found.relied_on for found in store.list_snapshots(location) if found.id == taken[0]]
    assert relied is not None
    assert relied.contents == {"1" * 64, "2" * 64}
    store.note_reliance(location, taken[0], models(tmp_path / "other"), ["3" * 64])
    assert store.list_snapshots(location)[0].pinned
    store.note_reliance(location, taken[0], root, ["1" * 64])
    assert store.list_snapshots(location)[0].pinned
    (tmp_path / "b" / "snapshots" / f"{taken[1]}.json").unlink()
    with pytest.raises(RefusedError, match="is gone"):
        store.note_reliance(location, taken[1], root, ["1" * 64])


def test_a_pin_that_comes_while_a_forget_removes_brings_the_snapshot_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, taken = three(tmp_path)
    location = place(tmp_path / "b")
    verdicts = plan_forget(store.list_snapshots(location), RetentionPolicy(last=1))
    removing = location.remove

    def remove(name: str) -> None:
        if taken[0] in name:
            location.write(f"pins/{taken[0]}", b"")
        removing(name)

    monkeypatch.setattr(location, "remove", remove)
    assert forget(location, verdicts) == [taken[1]]
    assert store.load_snapshot(location, taken[0]).id == taken[0]


def test_what_is_dated_in_the_future_is_not_the_latest_while_there_is_another(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    at = ("--workspace", root, "--at", tmp_path / "b")
    first = take(root, tmp_path / "b").id
    ahead = reforged(tmp_path / "b", first, lambda data: data.update(time_s=4e9))
    (tmp_path / "b" / "snapshots" / f"{first}.json").unlink()
    for command in ("restore-models", "diff"):
        done = ws(command, *at, "--json")
        assert (done.code, done.json["snapshot"], "no other" in done.err) == (0, ahead, True), done
    newest = take(root, tmp_path / "b").id
    for command in ("restore-models", "diff"):
        done = ws(command, *at, "--json")
        assert (done.code, done.json["snapshot"]) == (0, newest), done
        assert f"{short_id(ahead)} is dated in the future" in done.err
        assert "in the future" not in ws(command, *at, "--snapshot", ahead).err
    assert "dated in the future" in ws("snapshots", *at).out
    assert [row["dated_in_the_future"] for row in ws("snapshots", *at, "--json").json["snapshots"]] == [False, True]
    assert any("in the future" in each["found"] for each in ws("doctor", *at, "--json").json["findings"])
    assert "dated in the future" in ws("wipe-models", *at, "--dry-run").err
    assert "dated later" in ws("backup-models", *at).err


def test_restore_names_models_that_only_an_older_snapshot_has(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(root / "model" / "gone.pkl", 7)
    age(root / "model")
    at = ("--workspace", root, "--at", tmp_path / "b")
    older = take(root, tmp_path / "b").id
    (root / "model" / "gone.pkl").unlink()
    (root / "model" / "m.pkl.model").unlink()
    take(root, tmp_path / "b")
    for flags in ((), ("--dry-run",)):
        done = ws("restore-models", *at, *flags)
        for name in ("model/gone", "model/m"):
            assert f"  {name}: --snapshot {short_id(older)} has it" in done.err, done
    lacking = ws("restore-models", *at, "--json").json["lacking"]
    assert lacking == [{"model": name, "snapshot": older} for name in ("model/gone", "model/m")]
    assert ws("restore-models", *at, "--snapshot", older, "--json").json["lacking"] == []


class Forgetful(LocalDirectory):
    """A place whose listing leaves one name out, as an object store's or a proxy's may."""

    leaves_out = ""

    def names(self, folder: str) -> list[str]:
        return [name for name in super().names(folder) if f"{folder}/{name}" != self.leaves_out]

    def sizes(self, folder: str) -> dict[str, int]:
        return {name: size for name, size in super().sizes(folder).items() if name != self.leaves_out}


@pytest.mark.parametrize("folder", ["pins", "verified"])
def test_prune_asks_by_name_for_what_is_pinned_or_verified_and_not_listed(folder: str, tmp_path: Path) -> None:
    _, taken = three(tmp_path)
    location = Forgetful(tmp_path / "b")
    location.write(f"{folder}/{taken[0]}", b"")
    location.leaves_out = manifest_name(taken[0])
    before = everything(tmp_path / "b" / "objects")
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match=short_id(taken[0])):
            store.prune(location, dry_run=dry_run)
    assert everything(tmp_path / "b" / "objects") == before
    location.leaves_out = ""
    assert store.prune(location).objects == 0
    location.remove(manifest_name(taken[0]))  # moved away by hand, and the note of it still there
    assert store.prune(location).objects == 1


@settings(deadline=None)
@given(
    ages=st.lists(st.floats(0, 1000), min_size=1, max_size=40, unique=True),
    keep=st.builds(RetentionPolicy, last=st.integers(0, 5), daily=st.integers(0, 5), within_s=st.floats(0, 1e7)),
)
def test_something_always_stays_and_more_to_keep_never_keeps_less(ages: list[float], keep: RetentionPolicy) -> None:
    snapshots = [listed(NOW - days * DAY_S) for days in sorted(ages, reverse=True)]
    if keep == RetentionPolicy():
        return
    verdicts = plan_forget(snapshots, keep, now_s=NOW)
    more = plan_forget(
        snapshots, RetentionPolicy(last=keep.last + 1, daily=keep.daily + 1, within_s=keep.within_s + 1), now_s=NOW
    )
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


def test_forget_keeps_the_snapshot_that_alone_holds_what_is_in_the_workspace_now(tmp_path: Path) -> None:
    root, (good, rejected, newest) = three(tmp_path)
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("restore-models", *at, "--snapshot", good, "--overwrite").code == 0
    assert (
        ws("forget", "--workspace", tmp_path / "none", *at[2:], "--keep-last", "1", "--dry-run", "--json").json[
            "snapshots"
        ][0]["kept"]
        is False
    ), "without the workspace nobody can tell"
    done = ws("forget", *at, "--keep-last", "1", "--yes", "--json")
    assert done.json["forgotten"] == [rejected]
    rows = {row["id"]: row for row in done.json["snapshots"]}
    assert rows[good]["held_now"] == ["model/m"]
    assert rows[good]["reasons"] == ["alone has 'model/m' as in the workspace now (--drop-last-copies drops it)"]
    assert rows[newest]["kept"]
    told = ("forget", *at, "--keep-last", "1", "--drop-last-copies")
    assert "and what is in the workspace now" in ws(*told, "--dry-run").out
    asked = ws(*told)
    assert (asked.code, "alone has 'model/m' as in the workspace now" in asked.err) == (3, True)
    assert ws(*told, "--yes", "--json").json["forgotten"] == [good]
    take(root, tmp_path / "b")  # the newest holds it now, so that nothing else is kept for it
    assert ws("forget", *at, "--keep-last", "1", "--yes", "--json").json["forgotten"] == [newest]


def test_what_is_in_the_workspace_now_keeps_one_snapshot_and_only_where_no_kept_one_has_it() -> None:
    def state(days: int, content: str, *, mtime_ns: int = 7, is_safety: bool = False) -> ListedSnapshot:
        file = File(path="model/m.pkl", size=3, mtime_ns=mtime_ns, sha256=content * 64)
        found = listed(NOW - days * DAY_S, is_safety=is_safety)
        assert found.snapshot is not None
        return replace(found, snapshot=replace(found.snapshot, files=(file,)))

    def ages_kept(*snapshots: ListedSnapshot) -> list[bool]:
        there = {"model/m.pkl": (3, 7, None)}
        return [v.is_kept for v in plan_forget(snapshots, RetentionPolicy(last=1), now_s=NOW, there=there)]

    other = state(0, "b", mtime_ns=8)
    assert ages_kept(state(3, "a"), state(2, "a"), state(1, "b", mtime_ns=8), other) == [False, True, False, True]
    assert ages_kept(state(3, "a"), state(1, "a", mtime_ns=9)) == [False, True], "the same under another time"
    assert ages_kept(state(3, "a", mtime_ns=6), other) == [False, True], "nobody can tell"


def test_the_last_of_those_taken_for_safety_is_called_that(tmp_path: Path) -> None:
    day = [listed(NOW - days * DAY_S, verified=True, is_safety=days % 2 == 0) for days in (3, 2, 1, 0)]
    verdicts = plan_forget(day, RetentionPolicy(last=1), now_s=NOW)
    assert [verdict.reasons for verdict in verdicts[2:]] == [
        ("the last verified one", "among the last 1"),
        ("the last verified one of those taken for safety", "among the last 1 of those taken for safety"),
    ]


def test_forget_asks_and_prune_frees_exactly_what_no_snapshot_names(tmp_path: Path) -> None:
    root, taken = three(tmp_path)
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("forget", *at, "--keep-last", "1").code == 3  # no terminal, no --yes
    assert ws("forget", *at, "--keep-last", "1", "--dry-run").code == 0
    assert store.list_ids(place(tmp_path / "b")) == taken
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
    said = f"1 snapshot forgotten; `vmaf-ws prune {' '.join(map(str, at))}` frees what only"
    assert said in ws("forget", *at, "--keep-last", "2", "--yes").out
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
    assert own in store.list_ids(place(tmp_path / "b"))
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
    forget(location, plan_forget(store.list_snapshots(location), RetentionPolicy(last=1)))
    store.prune(location)
    assert pinned in store.list_ids(location)
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
        assert [found.id for found in store.list_snapshots(location)] == taken[:2]
        manifest.write_bytes(content)
        assert store.find_snapshot(location).id == taken[1]
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
from vmaf_workspace.snapshot.locate import open_location
from vmaf_workspace.snapshot.store import announced_backup
with announced_backup(open_location(sys.argv[1]), "a backup"):
    print("ready", flush=True)
    sys.stdin.read()
"""
PRUNING = """
import sys
from vmaf_workspace.snapshot.locate import open_location
with open_location(sys.argv[1]).announced("prune", "a prune"):
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
