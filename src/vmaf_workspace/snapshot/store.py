"""What a backup location holds: its snapshots, which of them is meant, and what no snapshot names any more."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vmaf_workspace.disk.workers import Progress, no_progress
from vmaf_workspace.errors import InUseError, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.identity import Place, is_foreign_turn, owner
from vmaf_workspace.snapshot.location import (
    MANIFEST,
    NAME_PATTERNS,
    OBJECT,
    Location,
    check_is_ours,
    is_missing,
    why_no_snapshot,
)
from vmaf_workspace.snapshot.manifest import DamagedError, GoneError, Snapshot, manifest_name, parse_manifest, short_id
from vmaf_workspace.wording import say

BACKUP, PRUNE = "backup", "prune"  # kinds of work that must know of each other
WAIT_S = 600.0  # a backup waits so long for a prune to end
LONGEST_PAUSE_S = 5.0  # and then looks so often
LATEST = "latest"
FUTURE_S = 3600.0  # clocks of different machines differ; what is dated further ahead is of a wrong one
NEWEST = 100  # snapshots that are read for a hint; others may share the location
SHOWN = 5  # other workspaces that are named where this one has no snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliance:
    """What a wipe removed since a snapshot held it: the content of `pins/<id>` then, which is empty for a pin."""

    identity: str
    place: Place
    contents: frozenset[str]  # hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSnapshot:
    """A snapshot as `ws.snapshots` shows it; *snapshot* None, and *problem* why, where its manifest is damaged."""

    id: str
    snapshot: Snapshot | None
    problem: str | None
    pinned: bool
    verified: bool  # some `ws.verify` of every hash found it whole
    relied_on: Reliance | None = None  # by a wipe


def list_ids(location: Location) -> list[str]:
    """Of every snapshot, oldest first; damaged ones too."""
    names = (name.removeprefix("snapshots/") for name in location.sizes("snapshots"))
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load_snapshot(location: Location, snapshot_id: str) -> Snapshot:
    """The snapshot with this id. DamagedError for a manifest that is not what was written, GoneError where none is."""
    return parse_manifest(snapshot_id, read_manifest(location, snapshot_id))


def read_manifest(location: Location, snapshot_id: str) -> bytes:
    """The manifest of this snapshot as it is stored; GoneError where it is gone."""
    try:
        return location.read(manifest_name(snapshot_id))
    except FileNotFoundError:
        raise GoneError(f"the manifest of snapshot {short_id(snapshot_id)} is gone from {location.url}") from None


def find_id(location: Location, text: str = LATEST, *, root: Path | None = None) -> str:
    """The id that *text* means, as `find_snapshot` has it; one that is named is not read."""
    text = text.strip() or LATEST
    return (
        find_snapshot(location, text, root=root).id
        if text == LATEST
        else _id_beginning_with(location, text, _existing_ids(location))
    )


def find_snapshot(location: Location, text: str = LATEST, *, root: Path | None = None) -> Snapshot:
    """The snapshot that *text* means: `latest`, an id, or the beginning of one (its time, or time and hash).

    The latest is that of the workspace *root*, or of any where that is not given.

    Raises WorkspaceError where there is no snapshot, RefusedError where there are only those of other workspaces,
    UsageError where *text* means none or several.
    """
    known = _existing_ids(location)
    text = text.strip() or LATEST
    if text != LATEST:
        return load_snapshot(location, _id_beginning_with(location, text, known))
    newest = latest_snapshot(location, root, known)
    if newest is None:
        raise RefusedError(_none_of(location, known, root))
    return newest


def _existing_ids(location: Location) -> list[str]:
    known = list_ids(location)
    if not known:
        raise WorkspaceError(why_no_snapshot(location))
    return known


def _id_beginning_with(location: Location, text: str, known: list[str]) -> str:
    meant = [snapshot_id for snapshot_id in known if snapshot_id.startswith(text)]
    meant = meant or [i for i in known if i.rpartition("-")[2].startswith(text)]  # people may give the hash alone
    if len(meant) == 1:
        return meant[0]
    what = "means none of" if not meant else f"means {len(meant)} of"
    raise UsageError(f"snapshot {text!r} {what} the snapshots in {location.url}; `ws.snapshots` lists them")


def latest_snapshot(location: Location, root: Path | None, known: list[str] | None = None) -> Snapshot | None:
    """The newest snapshot of the workspace *root* (of any, without one); one taken for safety is none.

    Nor is one that is dated in the future, while there is another. None where there is none; RefusedError, which names
    both, where a newer one may be a twin's; DamagedError where a newer manifest cannot be read, which names the newest
    that can.
    """
    damage: list[WorkspaceError] = []
    twins: list[Snapshot] = []
    newest = ahead = None
    for snapshot in _iter_own(location, root, known, damage=damage, twins=twins):
        if snapshot.is_safety:
            continue
        if not is_in_future(snapshot):
            newest = snapshot
            break
        ahead = ahead or snapshot
    newest = newest or ahead
    if damage:
        remedy = "`ws.snapshots` lists those that can be read"
        if newest is not None:
            name = short_id(newest.id)
            remedy = f"the newest that can be read is {name}; `ws.restore-models --snapshot {name}` brings it back"
        raise DamagedError(f"{damage[0]}\n`ws.verify` says more; {remedy}")
    newer = [twin for twin in twins if newest is None or twin.time_s >= newest.time_s]
    if newer:
        known_last = "it knows of none" if newest is None else f"{short_id(newest.id)} is the last that it knows of"
        raise RefusedError(
            f"nobody can tell which snapshot in {location.url} is the latest of the workspace {root}:\n"
            f"{known_last}, and {short_id(newer[0].id)} of {newer[0].place} is newer and has its identity.\n"
            "Either this workspace was set back since (by an image of its disk), or that one is another of one image.\n"
            "`ws.diff --snapshot` shows each; name the one you mean with --snapshot. "
            "The next backup here begins an identity of its own"
        )
    return newest


def own_snapshots(location: Location, root: Path) -> list[Snapshot]:
    """Every snapshot that counts as one of the workspace *root*, newest first, but for those that cannot be read."""
    return list(_iter_own(location, root))


def future_snapshots(location: Location, root: Path | None) -> list[Snapshot]:
    """The snapshots of the workspace *root* that are dated in the future: `latest_snapshot` passes them over."""
    limit = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time.time() + FUTURE_S))
    known = [i for i in list_ids(location) if i > limit]  # most often none: nothing is read
    return [snapshot for snapshot in _iter_own(location, root, known) if is_in_future(snapshot)] if known else []


def is_in_future(snapshot: Snapshot, now_s: float | None = None) -> bool:
    """Whether it is dated in the future, as it only is by a wrong clock, there or here."""
    return snapshot.time_s > (time.time() if now_s is None else now_s) + FUTURE_S


def lacking_models(location: Location, root: Path, chosen: Snapshot) -> list[tuple[str, str]]:
    """Models that *chosen* lacks wholly or in part and an older snapshot of *root* has, each with the newest that does.

    Of the NEWEST older ones.
    """
    there = {file.path for file in chosen.files}
    found: dict[str, str] = {}
    older = (snapshot for snapshot in _iter_own(location, root) if snapshot.time_s < chosen.time_s)
    for snapshot in islice(older, NEWEST):
        for group in {group_of(file.path) for file in snapshot.files if file.path not in there}:
            found.setdefault(group, snapshot.id)
    return sorted(found.items())


def newest_turn(location: Location, root: Path, listed: list[str], known: Mapping[str, Snapshot]) -> tuple[int, str]:
    """The newest turn of the identity of *root* among the NEWEST of *listed*, see `identity.take_turn`.

    Those that are *known* are not read again.
    """
    identity = owner(root).identity
    for snapshot_id in reversed(listed[-NEWEST:] if identity else ()):
        with suppress(DamagedError, RefusedError):
            snapshot = known.get(snapshot_id) or load_snapshot(location, snapshot_id)
            if snapshot.identity == identity and snapshot.turn[0] and not is_in_future(snapshot):
                return snapshot.turn
    return 0, ""


def _iter_own(
    location: Location,
    root: Path | None,
    known: list[str] | None = None,
    *,
    damage: list[WorkspaceError] | None = None,
    twins: list[Snapshot] | None = None,
) -> Iterator[Snapshot]:
    """The snapshots of the workspace *root* (all, without one), newest first, read as they are asked for.

    A workspace is told by its identity and its place, its own or one where it was before. Where no snapshot has that,
    by its place alone, as after an `rm -rf` and a new beginning; but not by one that another workspace has moved away
    from, nor one that several used in turns, and not in a copy. *damage* and *twins* get what cannot be read, and what
    has this identity and a turn that this workspace never took.
    """
    me = None if root is None else owner(root)
    at_place: list[Snapshot] = []
    others: set[str] = set()
    has_own = False
    for snapshot_id in reversed(list_ids(location) if known is None else known):
        try:
            snapshot = load_snapshot(location, snapshot_id)
        except GoneError:
            continue
        except (DamagedError, RefusedError) as error:
            if damage is not None:
                damage.append(error)
            continue
        if me is None:
            yield snapshot
        elif is_foreign_turn(me, snapshot.identity, *snapshot.turn):
            if twins is not None and not snapshot.is_safety:
                twins.append(snapshot)
        elif me.identity and snapshot.identity == me.identity and me.is_at(snapshot.place):
            has_own = True
            yield snapshot
        elif me.place.is_same(snapshot.place) and snapshot.identity not in (*others, *me.unlike):
            # Only one that began here may be the heir of what was here; one that moved in is another.
            if not me.was and (not snapshot.identity or (me.copy_of is None and snapshot.identity != me.identity)):
                at_place.append(snapshot)
        elif snapshot.identity:
            others.add(snapshot.identity)  # its newest is of another place
    if not has_own:
        yield from _of_one(at_place)


def _of_one(at_place: list[Snapshot]) -> list[Snapshot]:
    """The snapshots of the last workspace at one place; none where it and another took them in turns."""
    newest = at_place[0].identity if at_place else ""
    own = [snapshot for snapshot in at_place if snapshot.identity == newest]
    return own if at_place[: len(own)] == own else []


def _none_of(location: Location, known: list[str], root: Path | None) -> str:
    """Why there is no latest: whose snapshots there are instead, the newest of each."""
    safety = [] if root is None else own_snapshots(location, root)  # were one of them no safety, it would be the latest
    if safety:
        shown = [f"  {short_id(snapshot.id)} {snapshot.note}" for snapshot in safety[:SHOWN]]
        return "\n".join(
            [
                f"the workspace {root} was never backed up in {location.url}, so there is no latest snapshot of it.",
                "What there is of it was taken for safety, before something in it was replaced:",
                *shown,
                *([f"  and {len(safety) - SHOWN} more"] if len(safety) > SHOWN else []),
                f"`ws.restore-models --snapshot {short_id(safety[0].id)} --overwrite` brings the newest back "
                "(with --only MODEL a part of it), and `ws.diff --snapshot` shows what that would change.",
                "`ws.backup-models` backs up what is there now",
            ]
        )
    others: dict[tuple[str, bool], Snapshot] = {}
    for snapshot in (load_snapshot(location, snapshot_id) for snapshot_id in reversed(known)):
        others.setdefault((str(snapshot.place), snapshot.is_safety), snapshot)
    lines = [
        f"- {short_id(snapshot.id)} of {place}" + (f", {snapshot.note}" if is_safety else "")
        for (place, is_safety), snapshot in list(others.items())[:SHOWN]
    ]
    how = "it was never backed up there,\nwas made anew, or came here without its marker"
    me = None if root is None else owner(root)
    if me is not None and me.copy_of is not None:
        how = f"its marker is that of\n{me.copy_of}, so it is a copy, or came from there without `ws.migrate`"
    return "\n".join(
        [
            f"no snapshot in {location.url} is known to be of the workspace {root}: {how}. There are:",
            *lines,
            "--snapshot names the one you mean",
        ]
    )


def list_snapshots(location: Location) -> list[ListedSnapshot]:
    """Every snapshot, oldest first."""
    pins, verified = location.sizes("pins"), noted_names(location, "verified")
    relied = {name.removeprefix("pins/"): _read_reliance(location, name) for name, size in pins.items() if size}
    found = []
    for i in list_ids(location):
        snapshot, problem = None, None
        try:
            snapshot = load_snapshot(location, i)
        except GoneError:
            continue
        except (DamagedError, RefusedError) as error:
            problem = str(error)
        found.append(
            ListedSnapshot(
                id=i,
                snapshot=snapshot,
                problem=problem,
                pinned=f"pins/{i}" in pins and relied.get(i) is None,  # what cannot be read counts as pinned
                verified=i in verified,
                relied_on=relied.get(i),
            )
        )
    return found


def note_reliance(location: Location, snapshot_id: str, root: Path, contents: Iterable[str]) -> None:
    """Note that what goes from *root* now, with these hashes, is held by this snapshot: forget keeps it then.

    Raises RefusedError where a forget was faster.
    """
    me, pin = owner(root), f"pins/{snapshot_id}"
    wiped, size = set(contents), location.sizes_of([pin])[0]
    before = _read_reliance(location, pin) if size else None
    if size is None or (before is not None and (before.identity, before.place) == (me.identity, me.place)):
        wiped |= before.contents if before else set()
        about = {"identity": me.identity, "place": me.place.as_json(), "wiped": sorted(wiped)}
        location.write(pin, json.dumps(about).encode() + b"\n")
    elif size:  # two workspaces rely on it: it stays
        location.write(pin, b"")
    if location.sizes_of([manifest_name(snapshot_id)]) == [None]:
        raise RefusedError(
            f"snapshot {short_id(snapshot_id)}, which held what would go, is gone from {location.url};\n"
            "nothing was removed. `ws.backup-models` takes another"
        )


def _read_reliance(location: Location, name: str) -> Reliance | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        about = json.loads(location.read(name))
        return Reliance(
            identity=str(about["identity"]), place=Place.from_json(about["place"]), contents=frozenset(about["wiped"])
        )
    return None


def noted_names(location: Location, folder: str) -> set[str]:
    """Ids that are pinned (`pins`) or were found whole (`verified`), hashes of `damaged` objects."""
    return set(location.names(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What a prune freed."""

    objects: int
    apparent_bytes: int
    kept_fresh: int  # named by no snapshot, too young to tell in this location


def prune(location: Location, *, dry_run: bool = False, progress: Progress = no_progress) -> PruneReport:
    """Remove the objects that no snapshot names; *progress* gets (bytes done, bytes in all).

    Safe beside a backup: each announces itself before it looks for the other, so at least one of them sees the other.
    A prune that sees a backup raises InUseError, a backup that sees a prune waits. Raises DamagedError where a
    manifest cannot be read: nobody can tell what it names; RefusedError where there is no snapshot: nothing says then
    that the place is one of backups; where something foreign lies in our folders; and where a listing leaves a snapshot
    out that is pinned or was verified.
    """
    if not list_ids(location):
        if is_missing(location):
            raise RefusedError(f"{why_no_snapshot(location)}; nothing was removed")
        raise RefusedError(
            f"there is no snapshot in {location.url}, so nothing says that what lies there is ours; "
            "nothing was removed\n"
            "see that --at names the right place; `ws.backup-models` takes a snapshot"
        )
    check_is_ours(location, to_write=True)
    with nullcontext() if dry_run else location.announced(PRUNE, "`ws.prune`"):
        if not dry_run:
            if backups := location.others_at_work(BACKUP):
                raise InUseError(f"cannot prune {location.url} while a backup runs: {backups[0]}; wait for it to end")
            location.remove_leftovers()
        there = location.sizes("objects")
        named: set[str] = set()
        listed = list_ids(location)
        _check_listing(location, set(listed))
        for snapshot_id in listed:
            named |= _needed_objects(location, snapshot_id)
        orphans = {n: size for n, size in there.items() if OBJECT.fullmatch(n) and n.rpartition("/")[2] not in named}
        total = sum(orphans.values())
        objects = apparent_bytes = kept_fresh = 0
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
            progress(apparent_bytes, total)
        for sha256 in () if dry_run else noted_names(location, "damaged") - named:
            if NAME_PATTERNS["damaged"].fullmatch(f"damaged/{sha256}"):
                location.remove(f"damaged/{sha256}")
    return PruneReport(objects=objects, apparent_bytes=apparent_bytes, kept_fresh=kept_fresh)


@contextmanager
def announced_backup(location: Location, command: str) -> Iterator[None]:
    """Announce a backup, and wait until no prune runs. InUseError where one goes on for too long.

    Raises RefusedError where the place, or something in our folders there, is somebody else's.
    """
    check_is_ours(location, to_write=True)
    with location.announced(BACKUP, command):
        until_s = time.monotonic() + WAIT_S
        pause_s, is_said = 0.1, False
        while prunes := location.others_at_work(PRUNE):
            if time.monotonic() > until_s:
                raise InUseError(f"cannot back up to {location.url} while it is pruned: {prunes[0]}")
            if not is_said:
                about = f"waiting, at most {WAIT_S / 60:.0f} min, for the end of a prune of {location.url}"
                say(f"{about}: {prunes[0]}", file=sys.stderr)
            time.sleep(pause_s)
            pause_s, is_said = min(2 * pause_s, LONGEST_PAUSE_S), True  # each look is some requests to an object store
        yield


def _check_listing(location: Location, listed: set[str]) -> None:
    """Ask by name for each snapshot that is pinned or was verified and is not *listed*: a listing may leave one out."""
    noted = {name for folder in ("pins", "verified") for name in noted_names(location, folder)}
    unlisted = sorted(name for name in noted - listed if MANIFEST.fullmatch(manifest_name(name)))
    for name, size in zip(unlisted, location.sizes_of([manifest_name(i) for i in unlisted]), strict=True):
        if size is not None:
            raise RefusedError(
                f"{location.url} does not list {manifest_name(name)}, which is there, so its listing says not all;\n"
                "nothing was pruned, as nobody can tell what is needed. Try again when it lists that snapshot"
            )


def _needed_objects(location: Location, snapshot_id: str) -> set[str]:
    """Hashes of the objects that a snapshot names. DamagedError, with what to do, where nobody can tell."""
    try:
        return set(load_snapshot(location, snapshot_id).objects)
    except GoneError as error:
        raise GoneError(f"{error} since it was listed; nothing was pruned\nonce no forget runs, prune again") from error
    except (DamagedError, RefusedError) as error:
        raise DamagedError(
            f"{error}\nnothing was pruned, as nobody can tell what that snapshot needs\n"
            f"once nothing in it is missed, move {location.url}/{manifest_name(snapshot_id)} away"
        ) from error
