"""What a backup location holds: its snapshots, which of them is meant, and what no snapshot names any more."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.errors import InUseError, UsageError, WorkspaceError
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import DamagedError, Snapshot, manifest_name, parse, short

BACKUP, PRUNE = "backup", "prune"  # kinds of work that must know of each other
WAIT_S = 600.0  # a backup waits so long for a prune to end
LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A snapshot as `ws.snapshots` shows it; *snapshot* None, and *problem* why, where its manifest is damaged."""

    id: str
    snapshot: Snapshot | None
    problem: str | None
    pinned: bool
    verified: bool  # some `ws.verify` of every hash found it whole


def ids(location: Location) -> list[str]:
    """Of every snapshot, oldest first; damaged ones too."""
    names = (name.removeprefix("snapshots/") for name in location.sizes("snapshots"))
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load(location: Location, snapshot_id: str) -> Snapshot:
    """The snapshot with this id. Raises DamagedError for a manifest that is not what was written or is gone."""
    return parse(snapshot_id, read(location, snapshot_id))


def read(location: Location, snapshot_id: str) -> bytes:
    """The manifest of this snapshot as it is stored; DamagedError where it is gone."""
    try:
        return location.read(manifest_name(snapshot_id))
    except FileNotFoundError:
        raise DamagedError(f"the manifest of snapshot {short(snapshot_id)} is gone from {location.url}") from None


def find(location: Location, text: str = LATEST, *, root: Path | None = None) -> str:
    """The id that *text* means: `latest`, an id, or the beginning of one (its time, or time and hash).

    The latest is that of the workspace *root* of this host, where the location has one of it.

    Raises WorkspaceError where there is no snapshot, UsageError where *text* means none or several.
    """
    known = ids(location)
    if not known:
        raise WorkspaceError(f"there is no snapshot in {location.url}; `ws.backup-models` takes one")
    text = text.strip() or LATEST
    if text == LATEST:
        return known[-1] if root is None else _latest_of(location, known, root)
    meant = [snapshot_id for snapshot_id in known if snapshot_id.startswith(text)]
    meant = meant or [i for i in known if i.rpartition("-")[2].startswith(text)]  # people may give the hash alone
    if len(meant) == 1:
        return meant[0]
    what = "means none of" if not meant else f"means {len(meant)} of"
    raise UsageError(f"snapshot {text!r} {what} the {len(known)} in {location.url}; `ws.snapshots` lists them")


def _latest_of(location: Location, known: list[str], root: Path) -> str:
    own = socket.gethostname(), os.path.realpath(root)
    for snapshot_id in reversed(known):
        try:
            snapshot = load(location, snapshot_id)
        except DamagedError as error:
            raise DamagedError(f"{error}\n`ws.verify` says more; --snapshot names an older one") from None
        if (snapshot.host, snapshot.workspace) == own:
            return snapshot_id
    return known[-1]


def snapshots(location: Location) -> list[Listed]:
    """Every snapshot, oldest first."""
    pinned, verified = marked(location, "pins"), marked(location, "verified")
    return [_listed(location, i, pinned=i in pinned, verified=i in verified) for i in ids(location)]


def marked(location: Location, folder: str) -> set[str]:
    """Ids that are pinned (`pins`), or were found whole (`verified`)."""
    return {name.removeprefix(f"{folder}/") for name in location.sizes(folder)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune freed."""

    objects: int
    apparent_bytes: int
    kept_fresh: int  # named by no snapshot, too young to tell in this location


def prune(location: Location, *, dry_run: bool = False, progress: Callable[[int, int], None] | None = None) -> Pruned:
    """Remove the objects that no snapshot names; *progress* gets (bytes done, bytes in all).

    Safe beside a backup: each announces itself before it looks for the other, so at least one of them sees the other.
    A prune that sees a backup raises InUseError, a backup that sees a prune waits. Raises DamagedError where a
    manifest cannot be read: nobody can tell what it names.
    """
    if dry_run:
        return _prune(location, dry_run=True, progress=progress)
    with location.announced(PRUNE, "ws.prune"):
        backups = location.others(BACKUP)
        if backups:
            raise InUseError(f"cannot prune {location.url} while a backup runs: {backups[0]}; wait for it to end")
        location.clear()
        return _prune(location, dry_run=False, progress=progress)


@contextmanager
def taking(location: Location, command: str) -> Iterator[None]:
    """Announce a backup, and wait until no prune runs. InUseError where one goes on for too long."""
    with location.announced(BACKUP, command):
        until_s = time.monotonic() + WAIT_S
        while prunes := location.others(PRUNE):
            if time.monotonic() > until_s:
                raise InUseError(f"cannot back up to {location.url} while it is pruned: {prunes[0]}")
            time.sleep(0.1)
        yield


def _prune(location: Location, *, dry_run: bool, progress: Callable[[int, int], None] | None) -> Pruned:
    there = location.sizes("objects")
    named: set[str] = set()
    for snapshot_id in ids(location):
        named |= load(location, snapshot_id).objects.keys()
    orphans = {name: size for name, size in there.items() if name.rpartition("/")[2] not in named}
    total = sum(orphans.values())
    objects = apparent_bytes = kept_fresh = done = 0
    for name, size in orphans.items():
        if location.settle_s and location.age_s(name) < location.settle_s:
            kept_fresh += 1
            continue
        if not dry_run:
            location.remove(name)
        objects += 1
        apparent_bytes += size
        done += size
        if progress is not None:
            progress(done, total)
    return Pruned(objects=objects, apparent_bytes=apparent_bytes, kept_fresh=kept_fresh)


def _listed(location: Location, snapshot_id: str, *, pinned: bool, verified: bool) -> Listed:
    try:
        snapshot, problem = load(location, snapshot_id), None
    except WorkspaceError as error:
        if not isinstance(error, DamagedError) and error.exit_code != 3:
            raise
        snapshot, problem = None, str(error)
    return Listed(id=snapshot_id, snapshot=snapshot, problem=problem, pinned=pinned, verified=verified)
