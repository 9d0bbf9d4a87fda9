"""What a backup location holds: its snapshots, which of them is meant, and what no snapshot names any more."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.errors import InUseError, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.setup import identity
from vmaf_workspace.snapshot.location import FORMS, MANIFEST, OBJECT, Location, check_is_ours
from vmaf_workspace.snapshot.manifest import DamagedError, GoneError, Snapshot, manifest_name, parse, short

BACKUP, PRUNE = "backup", "prune"  # kinds of work that must know of each other
WAIT_S = 600.0  # a backup waits so long for a prune to end
LOOK_S = 5.0  # and then looks so often
LATEST = "latest"
SHOWN = 5  # other workspaces that are named where this one has no snapshot


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
    """The snapshot with this id. DamagedError for a manifest that is not what was written, GoneError where none is."""
    return parse(snapshot_id, read(location, snapshot_id))


def read(location: Location, snapshot_id: str) -> bytes:
    """The manifest of this snapshot as it is stored; GoneError where it is gone."""
    try:
        return location.read(manifest_name(snapshot_id))
    except FileNotFoundError:
        raise GoneError(f"the manifest of snapshot {short(snapshot_id)} is gone from {location.url}") from None


def find(location: Location, text: str = LATEST, *, root: Path | None = None) -> str:
    """The id that *text* means, as `found` has it; one that is named is not read."""
    text = text.strip() or LATEST
    return found(location, text, root=root).id if text == LATEST else _named(location, text, _known(location))


def found(location: Location, text: str = LATEST, *, root: Path | None = None) -> Snapshot:
    """The snapshot that *text* means: `latest`, an id, or the beginning of one (its time, or time and hash).

    The latest is that of the workspace *root*, or of any where that is not given.

    Raises WorkspaceError where there is no snapshot, RefusedError where there are only those of other workspaces,
    UsageError where *text* means none or several.
    """
    known = _known(location)
    text = text.strip() or LATEST
    if text != LATEST:
        return load(location, _named(location, text, known))
    newest = latest(location, root, known)
    if newest is None:
        raise RefusedError(_none_of(location, known, root))
    return newest


def _known(location: Location) -> list[str]:
    known = ids(location)
    if not known:
        raise WorkspaceError(f"there is no snapshot in {location.url}; `ws.backup-models` takes one")
    return known


def _named(location: Location, text: str, known: list[str]) -> str:
    meant = [snapshot_id for snapshot_id in known if snapshot_id.startswith(text)]
    meant = meant or [i for i in known if i.rpartition("-")[2].startswith(text)]  # people may give the hash alone
    if len(meant) == 1:
        return meant[0]
    what = "means none of" if not meant else f"means {len(meant)} of"
    raise UsageError(f"snapshot {text!r} {what} the snapshots in {location.url}; `ws.snapshots` lists them")


def latest(location: Location, root: Path | None, known: list[str] | None = None) -> Snapshot | None:
    """The newest snapshot of the workspace *root* (of any, without one); one taken for safety before a restore is none.

    It is told by the identity that a workspace keeps wherever it moves; where none has that, by host and path, as
    after an `rm -rf` and a new beginning, but not by the path that another workspace has moved away from. None where
    there is none; DamagedError where a newer manifest cannot be read, which names the newest that can.
    """
    own_identity = "" if root is None else identity(root)
    own_place = None if root is None else (socket.gethostname(), os.path.realpath(root))
    newest: Snapshot | None = None
    others: set[str] = set()
    damage: WorkspaceError | None = None
    for snapshot_id in reversed(ids(location) if known is None else known):
        try:
            snapshot = load(location, snapshot_id)
        except GoneError:
            continue
        except (DamagedError, RefusedError) as error:
            damage = damage or error
            continue
        if snapshot.is_safety:
            continue
        if root is None or (own_identity and snapshot.identity == own_identity):
            newest = snapshot
            break
        has_moved = snapshot.identity in others  # its newest is of another place, or has been looked at
        if snapshot.identity:
            others.add(snapshot.identity)
        if newest is None and not has_moved and (snapshot.host, snapshot.workspace) == own_place:
            newest = snapshot
            if not own_identity:
                break
    if damage is None:
        return newest
    remedy = "`ws.snapshots` lists those that can be read"
    if newest is not None:
        name = short(newest.id)
        remedy = f"the newest that can be read is {name}; `ws.restore-models --snapshot {name}` brings it back"
    raise DamagedError(f"{damage}\n`ws.verify` says more; {remedy}")


def _none_of(location: Location, known: list[str], root: Path | None) -> str:
    """Why there is no latest: whose snapshots there are instead, the newest of each."""
    others: dict[str, str] = {}
    for snapshot in (load(location, snapshot_id) for snapshot_id in reversed(known)):
        whose = f"{snapshot.workspace} on {snapshot.host}" + (", before a restore" if snapshot.is_safety else "")
        others.setdefault(whose, snapshot.id)
    lines = [f"  {short(snapshot_id)} of {whose}" for whose, snapshot_id in list(others.items())[:SHOWN]]
    return "\n".join(
        [
            f"no snapshot in {location.url} is known to be of the workspace {root}: it was never backed up there, was",
            "made anew, or came here without its marker. There are:",
            *lines,
            "--snapshot names the one you mean",
        ]
    )


def snapshots(location: Location) -> list[Listed]:
    """Every snapshot, oldest first."""
    pinned, verified = marked(location, "pins"), marked(location, "verified")
    found = (_listed(location, i, pinned=i in pinned, verified=i in verified) for i in ids(location))
    return [listed for listed in found if listed is not None]


def marked(location: Location, folder: str) -> set[str]:
    """Ids that are pinned (`pins`) or were found whole (`verified`), hashes of `damaged` objects."""
    return set(location.names(folder))


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
    manifest cannot be read: nobody can tell what it names; RefusedError where there is no snapshot: nothing says then
    that the place is one of backups; where something foreign lies in our folders; and where a listing leaves a snapshot
    out that is pinned or was verified.
    """
    if not ids(location):
        raise RefusedError(
            f"there is no snapshot in {location.url}, so nothing says that what lies there is ours; "
            "nothing was removed\n"
            "see that --at names the right place; `ws.backup-models` takes a snapshot"
        )
    check_is_ours(location, to_write=True)
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
    """Announce a backup, and wait until no prune runs. InUseError where one goes on for too long.

    Raises RefusedError where the place, or something in our folders there, is somebody else's.
    """
    check_is_ours(location, to_write=True)
    with location.announced(BACKUP, command):
        until_s = time.monotonic() + WAIT_S
        pause_s, is_said = 0.1, False
        while prunes := location.others(PRUNE):
            if time.monotonic() > until_s:
                raise InUseError(f"cannot back up to {location.url} while it is pruned: {prunes[0]}")
            if not is_said:
                about = f"waiting, at most {WAIT_S / 60:.0f} min, for the end of a prune of {location.url}"
                print(f"{about}: {prunes[0]}", file=sys.stderr)
            time.sleep(pause_s)
            pause_s, is_said = min(2 * pause_s, LOOK_S), True  # each look is some requests to an object store
        yield


def _prune(location: Location, *, dry_run: bool, progress: Callable[[int, int], None] | None) -> Pruned:
    there = location.sizes("objects")
    named: set[str] = set()
    listed = ids(location)
    _check_all_listed(location, listed)
    for snapshot_id in listed:
        named |= _names(location, snapshot_id)
    orphans = {n: size for n, size in there.items() if OBJECT.fullmatch(n) and n.rpartition("/")[2] not in named}
    total = sum(orphans.values())
    objects = apparent_bytes = kept_fresh = done = 0
    for name, size in orphans.items():
        try:
            if location.settle_s and location.age_s(name) < location.settle_s:  # asked at the last moment
                kept_fresh += 1
                continue
        except FileNotFoundError:  # another prune was faster
            continue
        if not dry_run:
            location.remove(name)
        objects += 1
        apparent_bytes += size
        done += size
        if progress is not None:
            progress(done, total)
    for sha256 in () if dry_run else marked(location, "damaged") - named:
        if FORMS["damaged"].fullmatch(f"damaged/{sha256}"):
            location.remove(f"damaged/{sha256}")
    return Pruned(objects=objects, apparent_bytes=apparent_bytes, kept_fresh=kept_fresh)


def _check_all_listed(location: Location, listed: list[str]) -> None:
    """Raise RefusedError where a listing leaves out a snapshot that is there, by its pin or the note of a verify."""
    unlisted = sorted((marked(location, "pins") | marked(location, "verified")) - set(listed))
    names = [name for name in map(manifest_name, unlisted) if MANIFEST.fullmatch(name)]
    for name, size in zip(names, location.sizes_of(names), strict=True):
        if size is not None:
            raise RefusedError(
                f"{location.url} does not list {name}, which is there: whoever went by that listing would remove what "
                "it needs; nothing was pruned\ntry again later; if this lasts, look what stands between here and there"
            )


def _names(location: Location, snapshot_id: str) -> set[str]:
    """Hashes of the objects that a snapshot names. DamagedError, with what to do, where nobody can tell."""
    try:
        return set(load(location, snapshot_id).objects)
    except GoneError as error:
        raise GoneError(f"{error} since it was listed; nothing was pruned\nonce no forget runs, prune again") from error
    except (DamagedError, RefusedError) as error:
        raise DamagedError(
            f"{error}\nnothing was pruned, as nobody can tell what that snapshot needs\n"
            f"once nothing in it is missed, move {location.url}/{manifest_name(snapshot_id)} away"
        ) from error


def _listed(location: Location, snapshot_id: str, *, pinned: bool, verified: bool) -> Listed | None:
    try:
        snapshot, problem = load(location, snapshot_id), None
    except GoneError:
        return None
    except WorkspaceError as error:
        if not isinstance(error, DamagedError) and error.exit_code != 3:
            raise
        snapshot, problem = None, str(error)
    return Listed(id=snapshot_id, snapshot=snapshot, problem=problem, pinned=pinned, verified=verified)
