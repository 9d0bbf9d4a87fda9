"""Lines and JSON of snapshots: the half of `vmaf_workspace.commands.tables` that speaks of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vmaf_workspace.commands.tables import object_json, pairs_json, print_json, print_table
from vmaf_workspace.groups import group_of
from vmaf_workspace.installation import install_command
from vmaf_workspace.snapshot.location import Location, why_no_snapshot
from vmaf_workspace.snapshot.manifest import manifest_name, short_id
from vmaf_workspace.wording import (
    WARNING,
    age_text,
    amount_text,
    bytes_text,
    count_text,
    number_text,
    print_list,
    print_warning,
    printable,
    say,
)

if TYPE_CHECKING:
    from vmaf_workspace.snapshot.backup import BackupReport
    from vmaf_workspace.snapshot.difference import Difference
    from vmaf_workspace.snapshot.manifest import Snapshot
    from vmaf_workspace.snapshot.restore import RestorePlan, RestoreReport
    from vmaf_workspace.snapshot.retention import Verdict
    from vmaf_workspace.snapshot.store import ListedSnapshot, PruneReport
    from vmaf_workspace.snapshot.verify import VerifyReport


def show_backup(taken: BackupReport, root: str, url: str, *, json: bool) -> None:
    """Print what `ws.backup-models` took."""
    if json:
        print_json(
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
            left_out=pairs_json(taken.left_out),
            broken=pairs_json(taken.broken),
        )
        return
    stored = f"{bytes_text(taken.stored_bytes)} of it new" if taken.stored_objects else "nothing of it new"
    what = f"{amount_text(taken.files, 'file', taken.apparent_bytes)}, {stored}"
    new = ", a new backup location: no snapshot was there before" if taken.is_first else ""
    say(f"snapshot {short_id(taken.id)}: {what}; in {printable(url)}{new}")
    if taken.dated_later is not None:
        print_warning(
            f"snapshot {short_id(taken.dated_later)} is dated later, as a clock was or is wrong, "
            "so it may be\n"
            f"taken for the latest; --snapshot {short_id(taken.id)} names this one. "
            f"Once nothing in the other is missed,\nmove {printable(url)}/{manifest_name(taken.dated_later)} away"
        )
    print_list("left out:", taken.left_out, file=sys.stderr)
    title = "warning: in the snapshot, and broken (`ws.models` says which models load):"
    print_list(title, taken.broken, file=sys.stderr, colour=WARNING)


def show_snapshots(snapshots: Sequence[ListedSnapshot], location: Location, *, json: bool) -> None:
    """Print what `ws.snapshots` found: of each workspace on each host, oldest first."""
    if json:
        print_json("snapshots", location=location.url, snapshots=[_listed_json(listed) for listed in snapshots])
        return
    if not snapshots:
        say(printable(why_no_snapshot(location)))
        return
    owners: dict[str, list[ListedSnapshot]] = {}
    for each in snapshots:
        owners.setdefault("" if each.snapshot is None else _owner(each.snapshot), []).append(each)
    for owner, theirs in sorted(owners.items(), key=lambda item: item[0] == ""):
        say(f"of {owner}:" if owner else "that cannot be read:")
        _print_snapshots(theirs)
    print_list("damaged:", [(short_id(each.id), each.problem) for each in snapshots if each.problem is not None])


def _print_snapshots(snapshots: Sequence[ListedSnapshot]) -> None:
    from vmaf_workspace.snapshot.store import is_in_future

    rows = []
    for listed in snapshots:
        found = listed.snapshot
        states = {
            "pinned": listed.pinned,
            "relied on by a wipe": listed.relied_on is not None,
            "verified": listed.verified,
            "safety": found is not None and found.is_safety,
            "dated in the future: not the latest while there is another": found is not None and is_in_future(found),
        }
        state = ", ".join(word for word, is_so in states.items() if is_so)
        if found is None:
            rows.append((short_id(listed.id), "-", "-", "-", "-", "DAMAGED"))
            continue
        taken = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.time_s))
        models = {group_of(file.path) for file in found.files if file.path.startswith("model/")}
        size = bytes_text(found.apparent_bytes)
        about = "; ".join(text for text in (state, printable(found.note)) if text)
        rows.append((short_id(listed.id), taken, number_text(len(models)), number_text(len(found.files)), size, about))
    print_table(("|SNAPSHOT", "|TAKEN", ">MODELS", ">FILES", ">SIZE", "NOTE"), rows)


def _listed_json(listed: ListedSnapshot) -> dict[str, Any]:
    from vmaf_workspace.snapshot.store import is_in_future

    row: dict[str, Any] = {"id": listed.id, "pinned": listed.pinned, "verified": listed.verified}
    if (found := listed.snapshot) is None:
        return row | {"problem": listed.problem}
    row |= {"time_s": found.time_s, "host": found.host, "workspace": found.workspace, "note": found.note}
    row |= {"identity": found.identity, "safety": found.is_safety, "dated_in_the_future": is_in_future(found)}
    row |= {"relied_on": listed.relied_on is not None}
    return row | {"files": len(found.files), "apparent_bytes": found.apparent_bytes}


def _owner(snapshot: Snapshot) -> str:
    return f"{printable(snapshot.workspace)} on {printable(snapshot.host)}"


def show_verify(found: VerifyReport, url: str, depth: str, exit_code: int, *, json: bool) -> None:
    """Print what `ws.verify` found."""
    if json:
        print_json(
            "verify",
            location=url,
            depth=str(depth),
            snapshots=found.snapshots,
            whole=found.whole,
            objects=found.objects,
            apparent_bytes=found.apparent_bytes,
            models_loaded=found.models,
            problems=pairs_json(found.problems, "what", "problem"),
            unloadable=pairs_json(found.unloadable.items(), "model", "problem"),
            exit_code=exit_code,
        )
        return
    how = {"quick": "there and of its size", "hashes": "of its hash", "restore": "of its hash, and restored"}
    objects = f"{amount_text(found.objects, 'object', found.apparent_bytes)}"
    if found.problems:
        damaged = f"{len(found.whole)} of {count_text(found.snapshots, 'snapshot')} whole"
        say(f"{damaged} in {printable(url)} ({objects} looked at), {count_text(len(found.problems), 'problem')}")
        print_list("problems:", found.problems)
        say("`ws.backup-models` stores again whatever of it the workspace still has", file=sys.stderr)
    else:
        say(f"{count_text(found.snapshots, 'snapshot')} whole in {printable(url)}: {objects}, each {how[str(depth)]}")
    if str(depth) == "restore" and found.models is None:
        brings = f"`{install_command('harness')}` brings what does"
        say(f"no model was loaded: nothing installed here loads one; {brings}", file=sys.stderr)
    elif found.models is not None:
        loaded = f"{count_text(found.models, 'model file')} tried"
        say(f"{loaded}, every model loads" if not found.unloadable else f"{loaded}, kept as they were backed up")
        print_list("models that do not load:", tuple(found.unloadable.items()))


def show_restore(
    plan: RestorePlan,
    done: RestoreReport | None,
    lacking: Sequence[tuple[str, str]],
    url: str,
    exit_code: int,
    *,
    json: bool,
) -> None:
    """Print what a restore would do (*done* None), or did; *lacking*: models, each with an older snapshot of it."""
    if json:
        fields: dict[str, Any] = {
            "workspace": str(plan.root),
            "location": url,
            "snapshot": plan.snapshot.id,
            "dry_run": done is None,
            "new": [file.path for file in plan.new],
            "new_directories": list(plan.directories),
            "same_files": plan.same,
            "replaced": [file.path for file in plan.replaced],
            "removed": list(plan.extra),
            "apparent_bytes": plan.apparent_bytes,
            "lacking": pairs_json(lacking, "model", "snapshot"),
            "exit_code": exit_code,
        }
        if done is not None:
            fields["safety_snapshot"] = done.safety
            fields["left"] = pairs_json(done.left)
        print_json("restore-models", **fields)
        return
    place = printable(str(plan.root))
    name = short_id(plan.snapshot.id)
    if done is None:
        print_list("would be restored:", [(file.path, "new") for file in plan.new])
        print_list("would be replaced, with --overwrite:", [(path, "differs") for path in plan.conflicts])
        size = bytes_text(plan.apparent_bytes)
        what = f"{count_text(len(plan.new), 'new file')}, {len(plan.conflicts)} different, {plan.same} identical"
        say(f"snapshot {name} into {place}: {what}, {size}; dry run: nothing was changed")
        _print_lacking(lacking)
        return
    there = count_text(plan.same, "identical file")
    what = f"{amount_text(done.files, 'file', done.apparent_bytes)}; {there} there already"
    say(f"restored {what}; in {place}, from snapshot {name}")
    if done.safety is not None:
        say(f"what was replaced is in snapshot {short_id(done.safety)}")
    print_list("not as the snapshot has it:", done.left, file=sys.stderr)
    _print_lacking(lacking)


def _print_lacking(lacking: Sequence[tuple[str, str]]) -> None:
    rows = [(model, f"--snapshot {short_id(snapshot_id)} has it") for model, snapshot_id in lacking]
    print_list("not in this snapshot, or not all of it, and in an older one:", rows, file=sys.stderr)


def show_difference(found: Difference, url: str, older: str, newer: str | None, *, json: bool) -> None:
    """Print what changed from *older* to *newer* (None: now): `+` added, `-` removed, `~` changed."""
    if json:
        print_json(
            "diff",
            location=url,
            snapshot=older,
            against=newer,
            added=[{"path": file.path, "apparent_bytes": file.size} for file in found.added],
            removed=[{"path": file.path, "apparent_bytes": file.size} for file in found.removed],
            changed=[{"path": b.path, "from_bytes": a.size, "to_bytes": b.size} for a, b in found.changed],
            same_files=found.same,
        )
        return
    lines = [(file.path, "+", bytes_text(file.size)) for file in found.added]
    lines += [(file.path, "-", bytes_text(file.size)) for file in found.removed]
    lines += [(b.path, "~", f"{bytes_text(a.size)} -> {bytes_text(b.size)}") for a, b in found.changed]
    for path, sign, size in sorted(lines):
        say(f"{sign} {printable(path)}  ({size})")
    to = "now" if newer is None else short_id(newer)
    counts = (
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed, {found.same} the same"
    )
    say(f"{short_id(older)} to {to}: {counts}")


def forget_json(verdicts: Sequence[Verdict], url: str, gone: Sequence[str], *, dry_run: bool) -> str:
    """`ws.forget --json`."""
    rows = [
        {
            "id": v.listed.id,
            "kept": v.is_kept,
            "reasons": list(v.reasons),
            "last_copies": list(v.last_copies),
            "held_now": list(v.held_now),
        }
        for v in verdicts
    ]
    return object_json("forget", location=url, dry_run=dry_run, snapshots=rows, forgotten=list(gone))


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print what stays and why, and what goes."""
    rows = []
    for verdict in verdicts:
        found = verdict.listed.snapshot
        age = "-" if found is None else age_text(int(found.time_s * 1e9))
        goes = "GOES" + (", and the last copy of what is named below" if verdict.last_copies else "")
        goes += ", and what is in the workspace now" if verdict.held_now else ""
        rows.append((short_id(verdict.listed.id), age, printable("; ".join(verdict.reasons)) or goes))
    if rows:
        print_table(("|SNAPSHOT", ">TAKEN", "KEPT BECAUSE"), rows)
    last = [(name, verdict) for verdict in verdicts for name in verdict.last_copies]
    what = {True: "stays; --drop-last-copies would drop it", False: "GOES"}
    print_list(
        "only one of these snapshots has, or has all of:",
        [(name, f"{short_id(verdict.listed.id)} {what[verdict.is_kept]}") for name, verdict in last],
    )


def show_prune(pruned: PruneReport, url: str, *, dry_run: bool, json: bool) -> None:
    """Print what `ws.prune` freed, or would."""
    if json:
        print_json(
            "prune",
            location=url,
            dry_run=dry_run,
            removed={"objects": pruned.objects, "apparent_bytes": pruned.apparent_bytes},
            kept_fresh=pruned.kept_fresh,
        )
        return
    what = f"{amount_text(pruned.objects, 'object', pruned.apparent_bytes)}, which no snapshot names"
    if not pruned.objects:
        say(f"nothing to free in {printable(url)}")
    elif dry_run:
        say(f"would free {what}; in {printable(url)}; dry run: nothing was changed")
    else:
        say(f"freed {what}; in {printable(url)}")
    if pruned.kept_fresh:
        say(f"{count_text(pruned.kept_fresh, 'object')} stored within the hour stay: a listing there may lag")
