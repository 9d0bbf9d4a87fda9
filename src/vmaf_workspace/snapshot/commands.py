"""The tasks of snapshots: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_workspace.errors import DONE, FAILED, RefusedError, UsageError

if TYPE_CHECKING:
    from vmaf_workspace.snapshot.location import Location

WORKSPACE = "the workspace, instead of VMAF_WORKSPACE or the checkout's"
AT = "the backup location: a directory or an fsspec URL, instead of ws.backups or VMAF_BACKUPS"
JSON = "print one JSON object"


def backup_models(*, workspace: str = "", at: str = "", note: str = "", pin: bool = False, json: bool = False) -> int:
    """Take a snapshot of model/, model_param/ and checkpoints_dir/; changes nothing in them."""
    from vmaf_workspace import guard, render
    from vmaf_workspace.snapshot.backup import backup

    root = _workspace(workspace)
    location = _location(at, root, warn=True)
    if not guard.check(root):
        raise RefusedError(
            f"there is no workspace at {root}, so there is nothing to back up; `ws.where` says why there"
        )
    with render.progress("backing up") as progress:
        taken = backup(root, location, note=note, pin=pin, progress=progress)
    if json:
        print(render.taken_json(taken, str(root), location.url))
    else:
        render.taken_lines(taken, location.url)
    return DONE


def snapshots(*, workspace: str = "", at: str = "", json: bool = False) -> int:
    """List the snapshots of the backup location; changes nothing."""
    from vmaf_workspace import render
    from vmaf_workspace.snapshot import store

    location = _location(at, _workspace(workspace))
    with render.spinner("reading the snapshots"):
        found = store.snapshots(location)
    if json:
        print(render.snapshots_json(found, location.url))
    else:
        render.snapshots_lines(found, location.url)
    return DONE


def verify(
    *,
    workspace: str = "",
    at: str = "",
    snapshot: str = "",
    quick: bool = False,
    restore: bool = False,
    json: bool = False,
) -> int:
    """Check every hash of every snapshot (or one); changes nothing."""
    from vmaf_workspace import render
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot import verify as _verify

    if quick and restore:
        raise UsageError("--quick and --restore: one or the other")
    location = _location(at, _workspace(workspace))
    depth = _verify.Depth.QUICK if quick else _verify.Depth.RESTORE if restore else _verify.Depth.HASHES
    chosen = [store.find(location, snapshot)] if snapshot else None
    with render.progress("verifying") as progress:
        found = _verify.verify(location, chosen, depth=depth, progress=progress)
    code = FAILED if found.problems else DONE
    if json:
        print(render.verified_json(found, location.url, depth, code))
    else:
        render.verified_lines(found, location.url, depth)
    return code


def restore_models(
    *,
    workspace: str = "",
    at: str = "",
    snapshot: str = "",
    into: str = "",
    only: str = "",
    overwrite: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Bring models back from a snapshot; what is there and different stays, unless --overwrite."""
    from vmaf_workspace import guard, render
    from vmaf_workspace.clean import refuse_live_runs
    from vmaf_workspace.locate import locate
    from vmaf_workspace.setup import ensure
    from vmaf_workspace.snapshot import restore as _restore
    from vmaf_workspace.snapshot import store

    root = _workspace(workspace)
    location = _location(at, root)
    chosen = store.load(location, store.find(location, snapshot))
    if into:
        root = locate(into).path
    elif guard.check(root):
        refuse_live_runs(root, "restore models into")
    elif not dry_run:
        ensure(root)
    with render.spinner("comparing"):
        plan = _restore.plan_restore(root, chosen, only=only)
    done = None
    if not dry_run:
        with render.progress("restoring") as progress:
            done = _restore.restore(plan, location, overwrite=overwrite, progress=progress)
    code = FAILED if done is not None and done.left else DONE
    if json:
        print(render.restored_json(plan, done, location.url, code))
    else:
        render.restored_lines(plan, done)
    return code


TASKS: tuple[tuple[str, Callable[..., int], dict[str, str]], ...] = (
    (
        "backup-models",
        backup_models,
        {
            "workspace": WORKSPACE,
            "at": AT,
            "note": "a line of text that `ws.snapshots` shows",
            "pin": "keep this snapshot whatever `ws.forget` is told",
            "json": JSON,
        },
    ),
    ("snapshots", snapshots, {"workspace": WORKSPACE, "at": AT, "json": JSON}),
    (
        "verify",
        verify,
        {
            "workspace": WORKSPACE,
            "at": AT,
            "snapshot": "check this one alone: latest, or the beginning of its id",
            "quick": "only that everything is there and has its size",
            "restore": "also restore it into a temporary directory and load every model",
            "json": JSON,
        },
    ),
    (
        "restore-models",
        restore_models,
        {
            "workspace": WORKSPACE,
            "at": AT,
            "snapshot": "restore this one instead of the latest: the beginning of its id",
            "into": "restore into this directory instead of the workspace",
            "only": "only the models that match this pattern, such as 'model/vmaf_v2*'",
            "overwrite": "replace what is there and different, after a snapshot of it",
            "dry_run": "say what would be restored, change nothing",
            "json": JSON,
        },
    ),
)


def _workspace(workspace: str) -> Path:
    from vmaf_workspace.locate import locate

    location = locate(workspace)
    for warning in location.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return location.path


def _location(at: str, root: Path, *, warn: bool = False) -> Location:
    from vmaf_workspace.snapshot import location as _location

    name = _location.named(at)
    found = _location.opened(name, root=root)
    if warn and name.is_default and (warning := _location.disk_warning(found, root)):
        print(f"warning: {warning}", file=sys.stderr)
    return found
