"""What is in a workspace now: a row a subdirectory, the room around it, the runs that use it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.contract import FILE_RESULT_STORE, RESULT_FORMAT, STORES, SUBDIRS, Subdir
from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.disk.scan import Usage, usage_of
from vmaf_workspace.disk.subdir_usage import usage_by_subdir
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.removal.candidates import live_runs
from vmaf_workspace.removal.plan import Kept
from vmaf_workspace.snapshot.tree import stopped_wipe

_THEIRS = re.compile(r"[0-9a-f]{40}")  # they name an entry by a sha1
_FORMAT = re.compile(rb'\{"format": (\d+),')  # how an entry of ours begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One subdirectory and what it holds; *target* where it is a symlink."""

    subdir: Subdir
    exists: bool
    usage: Usage
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A workspace at one moment. *total* is what `du -s` says of the tree."""

    rows: tuple[Row, ...]
    exists: bool
    total: Usage
    free_bytes: int  # for this user, on the workspace's file system
    free_inodes: int
    live: tuple[Kept, ...]
    stopped: tuple[tuple[str, str], ...] = ()  # what a wipe that was stopped has left: (path, what to do)


def status(root: Path) -> Status:
    """Look at *root*, which may be missing."""
    exists = os.path.isdir(root)
    found: dict[str, Usage] = {}
    newest_ns: dict[str, int] | None = None
    if exists:
        try:
            found, newest_ns = usage_by_subdir(str(root))
        except OSError as error:
            raise WorkspaceError(f"{root} could not be read ({error.strerror}); make it readable") from error
    nearest = next(place for place in (root, *root.absolute().parents) if os.path.exists(place))
    room = os.statvfs(nearest)
    return Status(
        rows=tuple(_row(root, subdir, found.get(subdir.name)) for subdir in SUBDIRS),
        exists=exists,
        total=found.get("", Usage()),
        free_bytes=room.f_bavail * room.f_frsize,
        free_inodes=room.f_favail,
        live=tuple(live_runs(root, newest_ns=newest_ns)) if exists else (),
        stopped=tuple(stopped_wipe(root)) if exists else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResults:
    """What a store holds of one executor and dataset.

    *theirs* are entries of VMAF's own harness, by their names; *older* are results of an older rule of comparing, which
    no run takes any more.
    """

    store: str
    executor: str
    dataset: str
    usage: Usage
    theirs: int
    older: int


def stored_results(root: Path) -> list[StoredResults]:
    """The stores of *root* by executor and dataset, ours and those of VMAF's own harness alike; slower."""
    found = []
    for store in STORES:
        top = root / "result_store_dir" / store
        for place, paths in sorted(_by_dataset(str(top)).items()):
            try:
                usage = usage_of(place)
            except OSError:
                continue  # it went while we looked
            *executor, dataset = Path(place).relative_to(top).parts
            theirs = sum(_THEIRS.fullmatch(os.path.basename(path)) is not None for path in paths)
            older = sum(map(_is_older, paths)) if store == FILE_RESULT_STORE else 0
            about = {"store": store, "executor": "/".join(executor), "dataset": dataset}
            found.append(StoredResults(**about, usage=usage, theirs=theirs, older=older))
    return found


def _by_dataset(store: str) -> dict[str, list[str]]:
    """The directory of each dataset -> its files; the names above are its executor's, which may be a path."""
    found: dict[str, list[str]] = {}
    pending = [(store, 0)]
    while pending:
        directory, depth = pending.pop()
        try:
            with os.scandir(directory) as entries:
                items = list(entries)
        except OSError:
            continue
        pending += [(item.path, depth + 1) for item in items if item.is_dir(follow_symlinks=False)]
        files = [item.path for item in items if not item.is_dir(follow_symlinks=False)]
        if files and depth >= 3:  # <executor>/<dataset>/<content>
            found.setdefault(os.path.dirname(directory), []).extend(files)
    return found


def _is_older(path: str) -> bool:
    if not path.endswith(".json"):
        return False
    try:
        with open_regular(path) as fd:
            match = _FORMAT.match(os.read(fd, 32))
    except OSError:
        return False
    return match is not None and int(match[1]) < RESULT_FORMAT


def _row(root: Path, subdir: Subdir, usage: Usage | None) -> Row:
    path = root / subdir.name
    target = os.path.realpath(path) if path.is_symlink() else None
    return Row(subdir=subdir, exists=usage is not None, usage=usage or Usage(), target=target)
