"""Takes a snapshot.

The order leaves every listed snapshot whole wherever it is killed:
1. the work is announced, so that no prune runs meanwhile;
2. objects: what is there and named by a listed snapshot is left, all else stored under its hash, whole or not at all;
3. one flush of the disk, then a last look at the size of every object that the manifest will name, whether it is a
   file of its own, and at the root: a workspace that went away meanwhile looks like one without models;
4. the manifest, under its final name at once, then read again: what is reported is what lies there.
A kill leaves objects that no snapshot names; the next backup uses them, a prune frees them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.disk.content import LARGE, file_sha256, read_small
from vmaf_workspace.disk.workers import Progress, map_unordered, no_progress
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP, locked_directories, why_broken
from vmaf_workspace.identity import owner
from vmaf_workspace.live.lock import migration_lock
from vmaf_workspace.setup import identify_for_snapshot
from vmaf_workspace.snapshot import hash_cache
from vmaf_workspace.snapshot.local import inodes_of
from vmaf_workspace.snapshot.location import NO_INODES, Inodes, Location
from vmaf_workspace.snapshot.manifest import (
    DamagedError,
    File,
    Snapshot,
    manifest_name,
    new_manifest,
    object_name,
    short_id,
)
from vmaf_workspace.snapshot.staging import finish_interrupted
from vmaf_workspace.snapshot.store import (
    announced_backup,
    latest_snapshot,
    list_ids,
    load_snapshot,
    newest_turn,
    noted_names,
    read_manifest,
)
from vmaf_workspace.snapshot.tree import ModelTree, Signature, directory_of, scan_models, signature, unreadable_error

QUIET_S = 0.5  # a file this fresh may still be written, by a harness without locks
PATIENCE_S = 30.0  # for groups that go on changing
NEWEST = 10  # snapshots that are asked which objects are whole; others only cost a second look
_END = 16  # bytes of a file by which it is told whether it is whole
MOST = 100  # that are, where none of the newest is of this workspace: many may share a location


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup did."""

    id: str
    files: int
    apparent_bytes: int
    read_files: int  # the others were unchanged since the last time
    stored_objects: int
    stored_bytes: int
    left_out: tuple[tuple[str, str], ...]  # (path, why)
    is_first: bool  # of all that the location lists
    broken: tuple[tuple[str, str], ...] = ()  # (path, why) of what was read now and is no whole part of a model
    dated_later: str | None = None  # id of a snapshot of this workspace that stays the latest: a clock was wrong


class _ChangedError(Exception):
    """A file is not what it was when it was looked at."""


@dataclass(slots=True)
class _Backup:
    """One backup while it runs."""

    root: Path
    location: Location
    trust: _KnownObjects
    unchanged: dict[str, tuple[hash_cache.Seen, str]]  # by path: what it looked like, hash
    progress: Progress
    total: int = 0
    done: int = 0
    read: int = 0
    stored: dict[str, int] = field(default_factory=dict)  # objects, with their sizes
    links: dict[str, str] = field(default_factory=dict)  # where each symlink leads
    broken: dict[str, str] = field(default_factory=dict)  # by path: why
    put: set[str] = field(default_factory=set)  # objects that this process has seen stored, whole
    source_inodes: Inodes = NO_INODES  # the files of the workspace, none of which may be an object by a second name


def backup(
    root: Path,
    location: Location,
    *,
    note: str = "",
    pin: bool = False,
    is_safety: bool = False,
    progress: Progress = no_progress,
) -> BackupReport:
    """Take a snapshot of the models of the workspace *root*; *progress* gets (bytes done, bytes in all).

    A group that is being written is waited for. Raises InUseError, naming it, where that takes longer than PATIENCE_S;
    WorkspaceError for a file or a location that cannot be read or written; RefusedError where all models are gone
    since the last snapshot, which an empty one would pass for. Nothing is listed then.
    """
    finish_interrupted(root, "backup-models")
    with migration_lock(root), announced_backup(location, "`ws.backup-models`"):
        cache = hash_cache.read(root, location.url)
        listed = list_ids(location)
        work = _Backup(root, location, _KnownObjects(location, listed, root), cache, progress)
        place = _root_state(root)
        tree, taken = _store_all(work)
        if work.stored:
            location.sync()
        _store_missing(work, tree, taken)
        _check_still_there(work, tree, place, listed)
        files = [File.of(path, about, taken[path] or work.links[path]) for path, about in tree.found.items()]
        snapshot_id, content = new_manifest(
            time_s=time.time(),
            owner=identify_for_snapshot(root, newest_turn(location, root, listed, work.trust.read)),
            note=note,
            files=files,
            directories=tree.modes,
            is_safety=is_safety,
        )
        if pin:
            location.write(f"pins/{snapshot_id}", b"")  # first, or a forget in between would take it
        location.write(manifest_name(snapshot_id), content)
        _check_readable(location, snapshot_id, content, pin=pin)
        for sha256 in work.trust.damaged & set(taken.values()):
            location.remove(f"damaged/{sha256}")
        dated_later = _dated_later(work, snapshot_id, listed)
    hash_cache.write(
        root, location.url, {path: (signature(tree.found[path]), sha) for path, sha in taken.items() if sha}
    )
    return BackupReport(
        id=snapshot_id,
        files=len(files),
        apparent_bytes=sum(file.size for file in files),
        read_files=work.read,
        stored_objects=len(work.stored),
        stored_bytes=sum(work.stored.values()),
        left_out=(*tree.left_out, *_links_leading_out(work, tree)),
        is_first=not listed,
        broken=tuple(sorted((path, why) for path, why in work.broken.items() if path in tree.found)),
        dated_later=dated_later,
    )


def _store_all(work: _Backup) -> tuple[ModelTree, dict[str, str]]:
    """The tree as it was taken, and the hash of each file ("" for a symlink); waits for groups that change."""
    taken: dict[str, tuple[Signature, str]] = {}
    until_s = time.monotonic() + PATIENCE_S
    while True:
        held = locked_directories(work.root, BACKED_UP)
        before = scan_models(work.root)
        held |= locked_directories(work.root, before.directories())
        groups = before.groups()
        now_ns = time.time_ns()
        fresh = {
            g for g, members in groups.items() if any(0 <= now_ns - seen[1] < QUIET_S * 1e9 for _, seen in members)
        }
        busy = {group for group in groups if directory_of(group) in held} | fresh
        paths = [path for group, members in groups.items() if group not in busy for path, _ in members]
        _store_changed(work, before, paths, taken)
        held = locked_directories(work.root, before.directories())
        # Between the two looks: a restore that changes a group during both of them, or died in it, has its journal now.
        finish_interrupted(work.root, "backup-models")
        after = scan_models(work.root)
        now = after.groups()
        unstable = {
            group
            for group in {**groups, **now}
            if directory_of(group) in held
            or any(taken.get(path, (None, ""))[0] != seen for path, seen in now.get(group, ()))
            or groups.get(group) != now.get(group)
        }
        if not unstable:
            return after, {path: taken[path][1] for path in after.found}
        if time.monotonic() > until_s:
            group = min(unstable)
            how = "its directory is locked by its writer" if directory_of(group) in held else "it went on changing"
            raise InUseError(
                f"the model {group!r} is being written ({how}, for {PATIENCE_S:.0f} s): its snapshot would be broken\n"
                "none was taken; those taken before are as they were\n"
                "wait for its writer to end, then back up again"
            )
        time.sleep(0.05)


def _store_changed(work: _Backup, tree: ModelTree, paths: list[str], taken: dict[str, tuple[Signature, str]]) -> None:
    """Have the location hold the content of *paths*; those that changed under our hands are left for later."""
    jobs = [path for path in paths if taken.get(path, (None, ""))[0] != signature(tree.found[path])]
    work.total += sum(tree.found[path].st_size for path in jobs)
    to_read = []
    for path in jobs:
        about = tree.found[path]
        seen, sha256 = work.unchanged.get(path, ((), ""))
        if stat.S_ISLNK(about.st_mode):
            with suppress(OSError):  # replaced meanwhile: the next look tells
                work.links[path] = os.readlink(os.path.join(work.root, path))
                taken[path] = (signature(about), "")
        elif seen == signature(about) and work.trust.holds(sha256, about.st_size):
            taken[path] = (signature(about), sha256)
            _advance(work, about.st_size)
        else:
            to_read.append(path)
    if not to_read:
        return
    work.trust.read_all()
    work.source_inodes = inodes_of(tree.found.values())

    def take(path: str) -> tuple[str, bool, str] | None:
        with suppress(_ChangedError, FileNotFoundError):
            return _store_file(work, path, tree.found[path])
        return None

    for n, done in map_unordered(to_read, take, at_most=work.location.at_once, may_fork=work.location.may_fork):
        if done is not None:
            path, (sha256, is_new, why) = to_read[n], done
            work.broken.pop(path, None)  # of an earlier look
            if why:
                work.broken[path] = why
            taken[path] = (signature(tree.found[path]), sha256)
            work.read += 1
            if is_new:
                work.stored[sha256] = tree.found[path].st_size
            _advance(work, tree.found[path].st_size)


def _store_file(work: _Backup, path: str, about: os.stat_result) -> tuple[str, bool, str]:
    """Store the content of one file; its hash, whether that was new, and why it is no part of a model ("" where it is).

    _ChangedError where it is not *about*'s.
    """
    full = os.path.join(work.root, path)
    content: Path | memoryview
    try:
        if about.st_size > LARGE:
            content, sha256 = Path(full), file_sha256(full)
            with open_regular(full) as fd:
                ends = os.pread(fd, _END, 0), os.pread(fd, _END, about.st_size - _END)
        else:
            with open_regular(full) as fd:
                is_same = signature(os.fstat(fd)) == signature(about)
                content = read_small(fd)
            if not is_same or len(content) != about.st_size:
                raise _ChangedError(path)
            sha256 = hashlib.sha256(content).hexdigest()
            ends = bytes(content[:_END]), bytes(content[-_END:])
        is_trusted = sha256 in work.put or work.trust.names(sha256)
        stored = work.location.put(object_name(sha256), content, trusted=is_trusted, source_inodes=work.source_inodes)
    except PermissionError as error:
        raise unreadable_error(full, error) from error
    now = None
    with suppress(FileNotFoundError):
        now = os.lstat(full)
    if now is None or signature(now) != signature(about):
        if stored and about.st_size > LARGE:  # what was copied may be neither the old content nor the new
            with suppress(FileNotFoundError):
                if work.location.sha256(object_name(sha256)) != sha256:
                    work.location.remove(object_name(sha256))
        raise _ChangedError(path)
    work.put.add(sha256)
    return sha256, stored, why_broken(path, *ends)


def _store_missing(work: _Backup, tree: ModelTree, taken: dict[str, str]) -> None:
    """Every object that the manifest will name is there, of its size; one that is not is stored once more."""
    work.source_inodes = inodes_of(tree.found.values())
    wrong = _missing(work, tree, {sha256: path for path, sha256 in taken.items() if sha256})
    if not wrong:
        return
    for sha256, path in wrong.items():
        full = os.path.join(work.root, path)
        if file_sha256(full) == sha256:
            work.location.put(object_name(sha256), Path(full), trusted=False, source_inodes=work.source_inodes)
            work.stored[sha256] = tree.found[path].st_size
    work.location.sync()
    for sha256, path in _missing(work, tree, wrong).items():
        raise WorkspaceError(
            f"{work.location.url} does not hold what was stored there: {path!r} ({sha256[:12]}…) is missing or short\n"
            "no snapshot was taken; those taken before are as they were\n"
            "look whether that place loses writes, or name another with --at"
        )


def _root_state(root: Path) -> tuple[int, int, bool] | None:
    """What tells that a workspace still is where it was: device, inode, whether it is ours; None where none is."""
    try:
        about = os.stat(root)
        return about.st_dev, about.st_ino, guard.check(root)
    except FileNotFoundError:
        return None
    except RefusedError:  # a restore into some directory takes a snapshot of what it replaces there
        return about.st_dev, about.st_ino, False


def _check_still_there(work: _Backup, tree: ModelTree, place: tuple[int, int, bool] | None, listed: list[str]) -> None:
    if _root_state(work.root) != place:
        raise InUseError(
            f"the workspace {work.root} was moved, removed or replaced while it was backed up; no snapshot was taken\n"
            "those taken before are as they were; see what is there now (`ws.where`, `ws.doctor`), then back up again"
        )
    last = None if tree.found else latest_snapshot(work.location, work.root, listed)
    if last is not None and last.files:
        from vmaf_workspace.wording import count_text

        held = count_text(len(last.files), "file")
        raise RefusedError(
            f"there is no model in {work.root}, and its last snapshot, {short_id(last.id)}, holds {held}; "
            "none was taken:\nan empty one would be the latest. "
            "`ws.restore-models` brings them back; if they went on purpose, nothing is left to back up"
        )


def _dated_later(work: _Backup, snapshot_id: str, listed: list[str]) -> str | None:
    """The snapshot that was there before this one and is later by its name, where it is of the same workspace."""
    later = [i for i in listed if i > snapshot_id]
    with suppress(DamagedError, RefusedError):
        found = latest_snapshot(work.location, work.root, later) if later else None
        return None if found is None else found.id
    return None


def _links_leading_out(work: _Backup, tree: ModelTree) -> list[tuple[str, str]]:
    """The symlinks that lead to what no snapshot of this workspace holds."""
    tops = [f"{os.path.realpath(work.root / subdir)}/" for subdir in BACKED_UP]
    found = []
    for path in sorted(work.links.keys() & tree.found.keys()):
        target = os.path.realpath(os.path.join(work.root, path))
        if os.path.exists(target) and not f"{target}/".startswith(tuple(tops)):
            found.append((path, f"kept as a link; what it leads to, {target}, is not in the snapshot"))
    return found


def _check_readable(location: Location, snapshot_id: str, content: bytes, *, pin: bool) -> None:
    """Raise WorkspaceError unless the location now holds what was written there: done means looked at."""
    with suppress(DamagedError):
        is_pinned = not pin or location.sizes_of([f"pins/{snapshot_id}"]) != [None]
        if is_pinned and read_manifest(location, snapshot_id) == content:
            return
    raise WorkspaceError(
        f"{location.url} does not hold what was written there: snapshot {short_id(snapshot_id)} cannot be read again\n"
        "it is not to be relied on; those taken before are as they were\n"
        "look whether that place loses writes, or name another with --at"
    )


def _missing(work: _Backup, tree: ModelTree, objects: dict[str, str]) -> dict[str, str]:
    """Those of *objects* (hash to a path with that content) that are not there, as files of their own of their size."""
    sizes = work.location.sizes_of([object_name(sha256) for sha256 in objects], source_inodes=work.source_inodes)
    found = zip(objects.items(), sizes, strict=True)
    return {sha256: path for (sha256, path), size in found if size != tree.found[path].st_size}


def _advance(work: _Backup, size: int) -> None:
    work.done += size
    work.progress(work.done, work.total)


class _KnownObjects:
    """Which objects of a location are known to be whole: those that a listed snapshot names, newest ones first.

    Not those that a verify found damaged since. The NEWEST are asked, and on to the last one of the workspace *root*.
    """

    def __init__(self, location: Location, listed: list[str], root: Path) -> None:
        self.damaged = noted_names(location, "damaged")
        self.read: dict[str, Snapshot] = {}
        self._location = location
        self._listed = listed[-MOST:]
        self._asked = 0
        self._own = owner(root)
        self._has_own = False
        self._names: dict[str, int] = {}

    def names(self, sha256: str) -> bool:
        """Whether a snapshot that is asked names it, and no verify found it damaged."""
        while sha256 not in self._names and self._read_next():
            pass
        return sha256 in self._names and sha256 not in self.damaged

    def read_all(self) -> None:
        """Know all there is to know, before several ask at once."""
        while self._read_next():
            pass

    def _read_next(self) -> bool:
        if not self._listed or (self._asked >= NEWEST and self._has_own):
            return False
        self._asked += 1
        with suppress(DamagedError, RefusedError):
            newest = self._listed.pop()
            found = load_snapshot(self._location, newest)
            self.read = self.read or {newest: found}
            is_at_place = (found.host, found.workspace) == (self._own.place.host, self._own.place.path)
            self._has_own |= is_at_place or found.identity == self._own.identity != ""
            self._names.update(found.objects)
        return True

    def holds(self, sha256: str, size: int) -> bool:
        """Whether it is named, of this size, and there; the last look before the manifest asks the disk."""
        return self.names(sha256) and self._names[sha256] == size
