"""The tasks of snapshots: call, print."""

# Without `from __future__ import annotations`: what they hold is read at every start.

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vmaf_workspace.commands.command import At, Command, Json, Quiet, Workspace, Yes, located
from vmaf_workspace.commands.flags import Flag, integer, seconds, subdirectory
from vmaf_workspace.commands.question import agreed, answer
from vmaf_workspace.errors import DONE, FAILED, REFUSED, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.wording import print_warning, say

if TYPE_CHECKING:
    from vmaf_workspace.snapshot.location import Location
    from vmaf_workspace.snapshot.manifest import Snapshot
    from vmaf_workspace.snapshot.wipe import Holders, WipePlan

_WITHIN = "keep all taken within this time before the newest of each workspace: 12h, 30d, 8w, 6mo"
_DROPPED = (
    "also drop models, or parts of them, that no kept snapshot of their workspace has, "
    "under any content or as they are in the workspace now"
)
_EMPTIED = "empty only this subdirectory: model, model_param or checkpoints_dir"


def backup_models(
    *,
    workspace: Workspace = "",
    at: At = "",
    note: Annotated[str, Flag("a line of text that `ws.snapshots` shows", metavar="TEXT")] = "",
    pin: Annotated[bool, Flag("keep this snapshot whatever `ws.forget` is told")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Take a snapshot of model/, model_param/ and checkpoints_dir/.

    Nothing in them changes, and what an earlier snapshot holds is not stored again.
    """
    from vmaf_workspace import guard
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.snapshot.backup import backup

    root, location = _root_and_location(workspace, at, warn=True)
    if not guard.check(root):
        raise RefusedError(
            f"there is no workspace at {root}, so there is nothing to back up; `ws.where` says why there"
        )
    with Progress("backing up", is_bytes=True, quiet=quiet) as show:
        taken = backup(root, location, note=note, pin=pin, progress=show.update)
    snapshot_tables.show_backup(taken, str(root), location.url, json=json)
    return DONE


def snapshots(*, workspace: Workspace = "", at: At = "", json: Json = False) -> int:
    """List the snapshots in the backup location; changes nothing."""
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.tables import spinner
    from vmaf_workspace.snapshot import store

    _, location = _root_and_location(workspace, at)
    with spinner("reading the snapshots"):
        found = store.list_snapshots(location)
    snapshot_tables.show_snapshots(found, location, json=json)
    return DONE


def verify(
    *,
    workspace: Workspace = "",
    at: At = "",
    snapshot: Annotated[str, Flag("check only this one: latest, or the beginning of its id", metavar="ID")] = "",
    quick: Annotated[bool, Flag("check only that every file is there, with its size")] = False,
    restore: Annotated[bool, Flag("also restore it into a temporary directory and load every model")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Check every hash of every snapshot; changes nothing."""
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot import verify as _verify

    if quick and restore:
        raise UsageError("--quick and --restore: one or the other")
    root, location = _root_and_location(workspace, at)
    depth = _verify.Depth.QUICK if quick else _verify.Depth.RESTORE if restore else _verify.Depth.HASHES
    chosen = [store.find_id(location, snapshot, root=root)] if snapshot else None
    with Progress("verifying", is_bytes=True, quiet=quiet) as show:
        found = _verify.verify(location, chosen, depth=depth, root=root, progress=show.update)
    code = FAILED if found.problems or found.unloadable else DONE
    snapshot_tables.show_verify(found, location.url, depth, code, json=json)
    return code


def restore_models(
    *,
    workspace: Workspace = "",
    at: At = "",
    snapshot: Annotated[
        str, Flag("restore this one: the beginning of its id", metavar="ID", default="the latest")
    ] = "",
    into: Annotated[str, Flag("restore into this directory instead of the workspace", metavar="DIR")] = "",
    only: Annotated[
        str, Flag("only the models that match this pattern, such as 'model/vmaf_v2*'", metavar="PATTERN")
    ] = "",
    overwrite: Annotated[bool, Flag("replace models that are there and differ, after a snapshot of them")] = False,
    dry_run: Annotated[bool, Flag("say what would be restored, change nothing")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Bring models back from a snapshot; what differs stays.

    The files belong to whoever restores them. A model that is there and differs stays as it is; --overwrite replaces
    it, after a snapshot of it.
    """
    from vmaf_workspace import guard
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.commands.tables import spinner
    from vmaf_workspace.locate import locate
    from vmaf_workspace.removal.candidates import refuse_live_runs
    from vmaf_workspace.setup import ensure
    from vmaf_workspace.snapshot import restore as _restore
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.staging import RESTORE, finish_interrupted

    root, location = _root_and_location(workspace, at)
    chosen = store.find_snapshot(location, snapshot, root=root)
    if snapshot.strip() in ("", store.LATEST):
        _warn_of_future(location, root, chosen)
    lacking = [] if only else store.lacking_models(location, root, chosen)
    if into:
        root = locate(into).path
        _restore.check_target(root, location)
    is_workspace = guard.is_marked(root) if into else guard.check(root)
    if is_workspace:
        refuse_live_runs(root, "restore models into")
    if not dry_run and root.is_dir():
        finish_interrupted(root, RESTORE)
    with spinner("comparing"):
        plan = _restore.plan_restore(root, chosen, only=only)
    done = None
    if not dry_run:
        if not (into or is_workspace):
            ensure(root)  # only now, so that its directories come back with what they allowed
        with Progress("restoring", is_bytes=True, quiet=quiet) as show:
            done = _restore.restore(plan, location, overwrite=overwrite, progress=show.update)
    code = FAILED if done is not None and done.left else DONE
    if done is None and plan.conflicts and not overwrite:  # as the restore itself would end
        code = REFUSED
    snapshot_tables.show_restore(plan, done, lacking, location.url, code, json=json)
    return code


def diff(
    *,
    workspace: Workspace = "",
    at: At = "",
    snapshot: Annotated[str, Flag("this one: the beginning of its id", metavar="ID", default="the latest")] = "",
    against: Annotated[str, Flag("compare with this snapshot", metavar="ID", default="what is there now")] = "",
    json: Json = False,
) -> int:
    """Show how a snapshot differs from what is there now."""
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.tables import spinner
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.difference import current_files, difference
    from vmaf_workspace.snapshot.tree import stopped_wipe
    from vmaf_workspace.wording import print_list

    root, location = _root_and_location(workspace, at)
    older = store.find_snapshot(location, snapshot, root=root)
    if snapshot.strip() in ("", store.LATEST):
        _warn_of_future(location, root, older)
    newer = store.find_snapshot(location, against, root=root) if against else None
    with spinner("comparing"):
        found = difference(older.files, current_files(root) if newer is None else newer.files)
    if newer is None:
        print_list("no part of this:", stopped_wipe(root), file=sys.stderr)
    newer_id = None if newer is None else newer.id
    snapshot_tables.show_difference(found, location.url, older.id, newer_id, json=json)
    return DONE


def forget(
    *,
    workspace: Workspace = "",
    at: At = "",
    keep_last: Annotated[int, Flag("keep the last N of each workspace", integer(0), metavar="N")] = 0,
    keep_daily: Annotated[
        int, Flag("keep one of each of the last N days with a snapshot", integer(0), metavar="N")
    ] = 0,
    keep_weekly: Annotated[
        int, Flag("keep one of each of the last N weeks with a snapshot", integer(0), metavar="N")
    ] = 0,
    keep_monthly: Annotated[
        int, Flag("keep one of each of the last N months with a snapshot", integer(0), metavar="N")
    ] = 0,
    keep_within: Annotated[float, Flag(_WITHIN, seconds, metavar="AGE")] = 0.0,
    drop_last_copies: Annotated[bool, Flag(_DROPPED)] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, Flag("say what would go and what stays, and why; change nothing")] = False,
    json: Json = False,
) -> int:
    """Drop old snapshots, but not the last copy of a model.

    It costs the older states of models. The --keep flags say which snapshots stay; at least one has to be given.
    """
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.snapshot import retention, store
    from vmaf_workspace.snapshot.location import why_no_snapshot
    from vmaf_workspace.wording import count_text, printable

    keep = retention.RetentionPolicy(
        last=keep_last, daily=keep_daily, weekly=keep_weekly, monthly=keep_monthly, within_s=keep_within
    )
    root, location = _root_and_location(workspace, at)
    verdicts = retention.plan_forget(
        store.list_snapshots(location),
        keep,
        damaged=store.noted_names(location, "damaged"),
        drop_last_copies=drop_last_copies,
        there=retention.state_now(root),
    )
    going = count_text(sum(not verdict.is_kept for verdict in verdicts), "snapshot")
    last = sorted({name for verdict in verdicts if not verdict.is_kept for name in verdict.last_copies})
    if not json:
        snapshot_tables.print_verdicts(verdicts)
    is_asked = not (dry_run or yes or all(verdict.is_kept for verdict in verdicts))
    now = sorted({name for verdict in verdicts if not verdict.is_kept for name in verdict.held_now} - {*last})
    costs = f", and with them the last copy of {retention.models_text(last)}" if last else ""
    costs += f", and what alone has {retention.models_text(now)} as in the workspace now" if now else ""
    if is_asked and not agreed(f"Forget {going}{costs}?", "forgotten"):
        say("nothing was forgotten", file=sys.stderr)
        return FAILED
    gone = [] if dry_run else retention.forget(location, verdicts)
    if json:
        print(snapshot_tables.forget_json(verdicts, location.url, gone, dry_run=dry_run))
    elif not verdicts:
        say(f"nothing to forget: {printable(why_no_snapshot(location))}")
    elif all(verdict.is_kept for verdict in verdicts):
        say(f"nothing to forget in {printable(location.url)}")
    elif dry_run:
        say(f"{going} would be forgotten; dry run: nothing was changed")
    else:
        say(f"{count_text(len(gone), 'snapshot')} forgotten; `ws.prune` frees what only they held")
    return DONE


def prune(
    *,
    workspace: Workspace = "",
    at: At = "",
    dry_run: Annotated[bool, Flag("say what would be freed")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Free what no snapshot names any more; costs nothing."""
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.snapshot import store

    _, location = _root_and_location(workspace, at)
    with Progress("pruning", is_bytes=True, quiet=quiet) as show:
        pruned = store.prune(location, dry_run=dry_run, progress=show.update)
    snapshot_tables.show_prune(pruned, location.url, dry_run=dry_run, json=json)
    return DONE


def wipe_models(
    *,
    workspace: Workspace = "",
    at: At = "",
    only: Annotated[
        Sequence[str], Flag(_EMPTIED, subdirectory(*BACKED_UP), several=True, metavar="SUBDIR")
    ] = BACKED_UP,
    keep_newest: Annotated[
        int | None,
        Flag("with --only checkpoints_dir: the checkpoints of so many newest runs stay", integer(1), metavar="N"),
    ] = None,
    without_snapshot: Annotated[bool, Flag("remove also what no snapshot holds; it is gone for good")] = False,
    yes: Annotated[bool, Flag("do not ask for the name; still refused where no snapshot holds all")] = False,
    dry_run: Annotated[bool, Flag("say what would go and which snapshot holds it, change nothing")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Remove trained models: costs work; a snapshot must hold them.

    It empties model/, model_param/ and checkpoints_dir/, once a snapshot that is verified now holds all that is there.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.removal.candidates import refuse_live_runs
    from vmaf_workspace.removal.execution import execute
    from vmaf_workspace.snapshot import wipe
    from vmaf_workspace.snapshot.locate import open_location
    from vmaf_workspace.snapshot.manifest import short_id

    if keep_newest is not None and set(only) != {"checkpoints_dir"}:
        raise UsageError("--keep-newest counts runs, which only checkpoints have: write --only checkpoints_dir as well")
    root = located(workspace).path
    with tables.spinner("reading the models"):
        found = wipe.plan_wipe(root, tuple(dict.fromkeys(only)), keep_newest=keep_newest or 0)
    with ExitStack() as until_removed:
        if found.plan.entries:
            refuse_live_runs(root, "wipe the models of")
            if not json:
                tables.print_plan(found.plan)
            location = None if without_snapshot else open_location(at, root=root)
            if location is not None:
                if yes and not dry_run:
                    until_removed.enter_context(wipe.holding_off_prune(location))
                _warn_of_future(location, root, None)
                held = _verified_holders(location, root, found, offer=not (yes or dry_run or json), quiet=quiet)
                names = " and ".join(map(short_id, held.ids))
                what = f"snapshot {names} holds" if len(held.ids) == 1 else f"snapshots {names} hold"
                if names:
                    say(f"{what} all of it, verified now", file=sys.stderr)
            if not dry_run and not yes:
                if not _names_typed(found):
                    say("nothing was removed", file=sys.stderr)
                    return FAILED
                if location is not None:  # a person may have taken long to answer
                    until_removed.enter_context(wipe.holding_off_prune(location))
                    wipe.check_still_whole(location, held)
        if dry_run:
            code = FAILED if any(kept.failed for kept in found.plan.kept) else DONE
            if json:
                print(tables.removal_json(found.plan, None, code))
            else:
                say(f"{tables.plan_and_place(found.plan)}; dry run: nothing was changed")
            return code
        if found.plan.entries and found.files and location is not None:
            contents = [file.sha256 for file in (*found.files, *found.rests) if file.sha256]
            for snapshot_id in held.ids:
                _note_reliance(location, snapshot_id, root, contents)
        plan, changed = wipe.without_changed(found)
        with Progress("removing", is_bytes=True, quiet=quiet) as progress:
            report = execute(plan, progress=progress.update)
    report.changed += changed
    code = DONE if report.is_complete else FAILED
    if json:
        print(tables.removal_json(found.plan, report, code))
    else:
        tables.print_report(found.plan, report)
    return code


COMMANDS = (
    Command("wipe-models", wipe_models, group="clean", example="--only checkpoints_dir --dry-run"),
    Command("backup-models", backup_models, group="models", example="--at s3://bucket/vmaf --note 'before tuning'"),
    Command("snapshots", snapshots, reads=True, group="models"),
    Command("verify", verify, group="models", example="--restore"),
    Command("restore-models", restore_models, group="models", example="--only 'model/mine*' --dry-run"),
    Command("diff", diff, reads=True, group="models"),
    Command("forget", forget, group="models", example="--keep-last 3 --keep-monthly 12 --dry-run"),
    Command("prune", prune, group="models", example="--dry-run"),
)


def _root_and_location(workspace: str, at: str, *, warn: bool = False) -> "tuple[Path, Location]":
    from vmaf_workspace.snapshot.locate import disk_warning, open_location

    root = located(workspace).path
    found = open_location(at, root=root)
    if warn and (warning := disk_warning(found, root)):
        print_warning(warning)
    return root, found


def _warn_of_future(location: "Location", root: Path, latest: "Snapshot | None") -> None:
    """Name the snapshots of *root* that are dated in the future; *latest* is what counts as it, if asked."""
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.manifest import manifest_name, short_id
    from vmaf_workspace.wording import printable

    for found in store.future_snapshots(location, root):
        if latest is not None and latest.id == found.id:
            what = "is taken for the latest, as there is no other"
        else:
            what = (
                "so it is not taken for the latest"
                if latest is None
                else f"so {short_id(latest.id)} counts as the latest"
            )
        print_warning(
            f"snapshot {short_id(found.id)} is dated in the future, by a wrong clock, {what}.\n"
            f"Once nothing in it is missed, move {printable(location.url)}/{manifest_name(found.id)} away"
        )


def _note_reliance(location: "Location", snapshot_id: str, root: Path, contents: list[str]) -> None:
    """Have forget keep the snapshot that is relied on now; a read-only place, where this cannot be noted, will do."""
    from vmaf_workspace.snapshot import store

    try:
        store.note_reliance(location, snapshot_id, root, contents)
    except RefusedError:
        raise
    except WorkspaceError as error:
        what = str(error).partition("\n")[0]
        print_warning(f"that this snapshot is needed cannot be noted, so a forget may drop it: {what}")


def _verified_holders(location: "Location", root: Path, found: "WipePlan", *, offer: bool, quiet: bool) -> "Holders":
    """Verified snapshots of all that would go; one is taken now where there is none and a person wants it."""
    from vmaf_workspace.commands import snapshot_tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.commands.tables import spinner
    from vmaf_workspace.snapshot.backup import backup
    from vmaf_workspace.snapshot.location import is_missing
    from vmaf_workspace.snapshot.wipe import holders_of

    with spinner("verifying the snapshot"):
        held = holders_of(location, found)
    place = f"{location.url} (which does not exist)" if is_missing(location) else location.url
    none = f"no verified snapshot in {place} holds all that would go"
    if not held.is_every_file and offer and sys.stdin.isatty() and agreed(f"{none}. Take one now?"):
        with Progress("backing up", is_bytes=True, quiet=quiet) as show:
            taken = backup(root, location, note="before a wipe", progress=show.update)
        snapshot_tables.show_backup(taken, str(root), location.url, json=False)
        with spinner("verifying the snapshot"):
            held = holders_of(location, found)
    if not held.is_every_file:
        raise RefusedError(
            f"{none}; nothing was removed\n"
            "`ws.backup-models` takes one; --without-snapshot gives the models up for good (--yes alone does not)"
        )
    if held.lacking:
        raise RefusedError(
            f"{held.lacking[0]!r} is left of a wipe that was stopped, and no verified snapshot in {location.url} holds "
            "what it is; nothing was removed\n"
            "give it a name again (`mv`), and it is a model that `ws.backup-models` takes; "
            "--without-snapshot gives it up for good (--yes alone does not)"
        )
    return held


def _names_typed(found: "WipePlan") -> bool:
    """Whether a person typed the name of each subdirectory that would be emptied."""
    from vmaf_workspace import wording

    if not sys.stdin.isatty():
        raise RefusedError("no terminal to ask at, so nothing was removed; --yes says yes")
    for subdir in found.plan.subdirs:
        entries = found.entries_of(subdir)
        if entries:
            size = wording.bytes_text(sum(entry.disk_bytes for entry in entries))
            question = f"Type {subdir} to empty it ({wording.count_text(len(entries), 'file')}, {size}): "
            if answer(question) != subdir:
                return False
    return True
