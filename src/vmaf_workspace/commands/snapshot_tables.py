"""Lines and JSON of snapshots: the half of `vmaf_workspace.commands.tables` that speaks of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vmaf_workspace.commands.tables import object_json, table
from vmaf_workspace.snapshot.manifest import manifest_name, short
from vmaf_workspace.wording import age_text, bytes_text, count_text, listing, printable

if TYPE_CHECKING:
    from vmaf_workspace.snapshot.backup import Taken
    from vmaf_workspace.snapshot.difference import Difference
    from vmaf_workspace.snapshot.manifest import Snapshot
    from vmaf_workspace.snapshot.restore import Restored, Restoring
    from vmaf_workspace.snapshot.retention import Verdict
    from vmaf_workspace.snapshot.store import Listed, Pruned
    from vmaf_workspace.snapshot.verify import Verified


def taken_json(taken: Taken, root: str, url: str) -> str:
    """`ws.backup-models --json`."""
    return object_json(
        "backup-models",
        workspace=root,
        location=url,
        snapshot=taken.id,
        files=taken.files,
        apparent_bytes=taken.apparent_bytes,
        read_files=taken.read_files,
        stored={"objects": taken.stored_objects, "apparent_bytes": taken.stored_bytes},
        is_new_location=taken.is_first,
        dated_later=taken.dated_later,
        left_out=[{"path": path, "why": why} for path, why in taken.left_out],
    )


def taken_lines(taken: Taken, url: str) -> None:
    """Print what a backup took."""
    stored = f"{bytes_text(taken.stored_bytes)} of it new" if taken.stored_objects else "nothing of it new"
    what = f"{count_text(taken.files, 'file')}, {bytes_text(taken.apparent_bytes)}, {stored}"
    new = ", a new backup location: no snapshot was there before" if taken.is_first else ""
    print(f"snapshot {short(taken.id)}: {what}; in {printable(url)}{new}")
    if taken.dated_later is not None:
        print(
            f"warning: snapshot {short(taken.dated_later)} is dated later, as a clock was or is wrong, so it may be\n"
            f"taken for the latest; --snapshot {short(taken.id)} names this one. "
            f"Once nothing in the other is missed,\nmove {printable(url)}/{manifest_name(taken.dated_later)} away",
            file=sys.stderr,
        )
    listing("left out:", taken.left_out, file=sys.stderr)


def snapshots_json(snapshots: Sequence[Listed], url: str) -> str:
    """`ws.snapshots --json`."""
    from vmaf_workspace.snapshot.store import is_ahead

    rows = []
    for listed in snapshots:
        row: dict[str, Any] = {"id": listed.id, "pinned": listed.pinned, "verified": listed.verified}
        if listed.snapshot is None:
            row["problem"] = listed.problem
        else:
            found = listed.snapshot
            row |= {"time_s": found.time_s, "host": found.host, "workspace": found.workspace, "note": found.note}
            row |= {"identity": found.identity, "safety": found.is_safety, "dated_in_the_future": is_ahead(found)}
            row |= {"relied_on": listed.relied_on is not None}
            row |= {"files": len(found.files), "apparent_bytes": found.apparent_bytes}
        rows.append(row)
    return object_json("snapshots", location=url, snapshots=rows)


def snapshots_lines(snapshots: Sequence[Listed], url: str) -> None:
    """Print the table of `ws.snapshots`, oldest first."""
    from vmaf_workspace.snapshot.store import is_ahead

    if not snapshots:
        print(f"there is no snapshot in {printable(url)}; `ws.backup-models` takes one")
        return
    owners = {_owner(each.snapshot) for each in snapshots if each.snapshot is not None}
    is_one = len(owners) == 1
    if is_one:
        print(f"all of {owners.pop()}")
    rows = []
    for listed in snapshots:
        found = listed.snapshot
        states = {
            "pinned": listed.pinned,
            "relied on by a wipe": listed.relied_on is not None,
            "verified": listed.verified,
            "safety": found is not None and found.is_safety,
            "dated in the future: not the latest while there is another": found is not None and is_ahead(found),
        }
        state = ", ".join(word for word, is_so in states.items() if is_so)
        if found is None:
            rows.append((short(listed.id), "-", "-", "-", *(() if is_one else ("-",)), "DAMAGED"))
            continue
        age, size = age_text(int(found.time_s * 1e9)), bytes_text(found.apparent_bytes)
        about = "; ".join(text for text in (state, printable(found.note)) if text)
        of = () if is_one else (_owner(found),)
        rows.append((short(listed.id), age, str(len(found.files)), size, *of, about))
    table(("|SNAPSHOT", ">TAKEN", ">FILES", ">SIZE", *(() if is_one else ("OF",)), "NOTE"), rows)
    listing("damaged:", [(short(each.id), each.problem) for each in snapshots if each.problem is not None])


def _owner(snapshot: Snapshot) -> str:
    return f"{printable(snapshot.workspace)} on {printable(snapshot.host)}"


def verified_json(found: Verified, url: str, depth: str, exit_code: int) -> str:
    """`ws.verify --json`."""
    return object_json(
        "verify",
        location=url,
        depth=str(depth),
        snapshots=found.snapshots,
        whole=found.whole,
        objects=found.objects,
        apparent_bytes=found.apparent_bytes,
        models_loaded=found.models,
        problems=[{"what": what, "problem": problem} for what, problem in found.problems],
        unloadable=[{"model": model, "problem": problem} for model, problem in found.unloadable.items()],
        exit_code=exit_code,
    )


def verified_lines(found: Verified, url: str, depth: str) -> None:
    """Print what a verify found."""
    how = {"quick": "there and of its size", "hashes": "of its hash", "restore": "of its hash, and restored"}
    objects = f"{count_text(found.objects, 'object')}, {bytes_text(found.apparent_bytes)}"
    if found.problems:
        damaged = f"{len(found.whole)} of {count_text(found.snapshots, 'snapshot')} whole"
        print(f"{damaged} in {printable(url)} ({objects} looked at), {count_text(len(found.problems), 'problem')}")
        listing("problems:", found.problems)
        print("`ws.backup-models` stores again whatever of it the workspace still has", file=sys.stderr)
    else:
        print(f"{count_text(found.snapshots, 'snapshot')} whole in {printable(url)}: {objects}, each {how[str(depth)]}")
    if str(depth) == "restore" and found.models is None:
        print("no model was loaded: nothing installed here loads one (`vmaf-workspace[harness]` does)", file=sys.stderr)
    elif found.models is not None:
        loaded = f"{count_text(found.models, 'model file')} tried"
        print(f"{loaded}, every model loads" if not found.unloadable else f"{loaded}, kept as they were backed up")
        listing("models that do not load:", tuple(found.unloadable.items()))


def restored_json(
    plan: Restoring, done: Restored | None, lacking: Sequence[tuple[str, str]], url: str, exit_code: int
) -> str:
    """`ws.restore-models --json`: what it would do (*done* None), or did; *lacking*: models, each with a snapshot."""
    fields: dict[str, Any] = {
        "workspace": str(plan.root),
        "location": url,
        "snapshot": plan.snapshot.id,
        "dry_run": done is None,
        "new": [file.path for file in plan.new],
        "new_directories": [directory.path for directory in plan.directories],
        "same_files": plan.same,
        "replaced": [file.path for file in plan.replaced],
        "removed": list(plan.extra),
        "apparent_bytes": plan.apparent_bytes,
        "lacking": [{"model": model, "snapshot": snapshot_id} for model, snapshot_id in lacking],
        "exit_code": exit_code,
    }
    if done is not None:
        fields["safety_snapshot"] = done.safety
        fields["left"] = [{"path": path, "why": why} for path, why in done.left]
    return object_json("restore-models", **fields)


def restored_lines(plan: Restoring, done: Restored | None, lacking: Sequence[tuple[str, str]]) -> None:
    """Print what a restore would do, or did; *lacking*: models that the snapshot lacks, each with an older that has."""
    place = printable(str(plan.root))
    name = short(plan.snapshot.id)
    if done is None:
        listing("would be restored:", [(file.path, "new") for file in plan.new])
        listing("would be replaced, with --overwrite:", [(path, "differs") for path in plan.conflicts])
        size = bytes_text(plan.apparent_bytes)
        what = f"{count_text(len(plan.new), 'new file')}, {len(plan.conflicts)} different, {plan.same} identical"
        print(f"snapshot {name} into {place}: {what}, {size}; dry run: nothing was changed")
        _lacking_lines(lacking)
        return
    there = count_text(plan.same, "identical file")
    what = f"{count_text(done.files, 'file')}, {bytes_text(done.apparent_bytes)}; {there} there already"
    print(f"restored {what}; in {place}, from snapshot {name}")
    if done.safety is not None:
        print(f"what was replaced is in snapshot {short(done.safety)}")
    listing("not as the snapshot has it:", done.left, file=sys.stderr)
    _lacking_lines(lacking)


def _lacking_lines(lacking: Sequence[tuple[str, str]]) -> None:
    rows = [(model, f"--snapshot {short(snapshot_id)} has it") for model, snapshot_id in lacking]
    listing("not in this snapshot, or not all of it, and in an older one:", rows, file=sys.stderr)


def difference_json(found: Difference, url: str, older: str, newer: str | None) -> str:
    """`ws.diff --json`; *newer* None is what is there now."""
    return object_json(
        "diff",
        location=url,
        snapshot=older,
        against=newer,
        added=[{"path": file.path, "apparent_bytes": file.size} for file in found.added],
        removed=[{"path": file.path, "apparent_bytes": file.size} for file in found.removed],
        changed=[{"path": b.path, "from_bytes": a.size, "to_bytes": b.size} for a, b in found.changed],
        same_files=found.same,
    )


def difference_lines(found: Difference, older: str, newer: str | None) -> None:
    """Print what changed from *older* to *newer* (None: now): `+` added, `-` removed, `~` changed."""
    lines = [(file.path, "+", bytes_text(file.size)) for file in found.added]
    lines += [(file.path, "-", bytes_text(file.size)) for file in found.removed]
    lines += [(b.path, "~", f"{bytes_text(a.size)} -> {bytes_text(b.size)}") for a, b in found.changed]
    for path, sign, size in sorted(lines):
        print(f"{sign} {printable(path)}  ({size})")
    to = "now" if newer is None else short(newer)
    counts = (
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed, {found.same} the same"
    )
    print(f"{short(older)} to {to}: {counts}")


def verdicts_json(verdicts: Sequence[Verdict], url: str, gone: Sequence[str], *, dry_run: bool) -> str:
    """`ws.forget --json`."""
    rows = [
        {"id": v.listed.id, "kept": v.is_kept, "reasons": list(v.reasons), "last_copies": list(v.last_copies)}
        for v in verdicts
    ]
    return object_json("forget", location=url, dry_run=dry_run, snapshots=rows, forgotten=list(gone))


def verdicts_lines(verdicts: Sequence[Verdict]) -> None:
    """Print what stays and why, and what goes."""
    rows = []
    for verdict in verdicts:
        found = verdict.listed.snapshot
        age = "-" if found is None else age_text(int(found.time_s * 1e9))
        goes = "GOES" + (", and the last copy of what is named below" if verdict.last_copies else "")
        rows.append((short(verdict.listed.id), age, printable("; ".join(verdict.reasons)) or goes))
    if rows:
        table(("|SNAPSHOT", ">TAKEN", "KEPT BECAUSE"), rows)
    last = [(name, verdict) for verdict in verdicts for name in verdict.last_copies]
    what = {True: "stays; --drop-last-copies would drop it", False: "GOES"}
    listing(
        "only one of these snapshots has, or has all of:",
        [(name, f"{short(verdict.listed.id)} {what[verdict.is_kept]}") for name, verdict in last],
    )


def pruned_json(pruned: Pruned, url: str, *, dry_run: bool) -> str:
    """`ws.prune --json`."""
    return object_json(
        "prune",
        location=url,
        dry_run=dry_run,
        removed={"objects": pruned.objects, "apparent_bytes": pruned.apparent_bytes},
        kept_fresh=pruned.kept_fresh,
    )


def pruned_lines(pruned: Pruned, url: str, *, dry_run: bool) -> None:
    """Print what a prune freed, or would."""
    what = f"{count_text(pruned.objects, 'object')}, {bytes_text(pruned.apparent_bytes)}, which no snapshot names"
    if not pruned.objects:
        print(f"nothing to free in {printable(url)}")
    elif dry_run:
        print(f"would free {what}; in {printable(url)}; dry run: nothing was changed")
    else:
        print(f"freed {what}; in {printable(url)}")
    if pruned.kept_fresh:
        print(f"{count_text(pruned.kept_fresh, 'object')} stored within the hour stay: a listing there may lag")
