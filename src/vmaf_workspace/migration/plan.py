"""What a migration would do: both ends looked at, and how far an earlier call came; changes nothing."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmaf_workspace import guard
from vmaf_workspace.contract import BY_NAME, KEPT_NAMES, LOST_AND_FOUND, MARKER
from vmaf_workspace.disk.json_file import paths_from_utf8, read_object
from vmaf_workspace.disk.scan import mount_id, open_directory, open_path, usage_of
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.guard import LARGEST
from vmaf_workspace.migration.limits import limits_of
from vmaf_workspace.migration.tree import Tree, read_tree

JOURNAL = "migration.json"  # in the marker of the tree that moves, later of the one that came


NO_MODES = "moves without its permission bits: the disk of the target keeps none"


class MigrationState(StrEnum):
    """How far a migration came, as its journal says."""

    BEGUN = "begun"
    COMPARED = "compared"  # the copy is the same as the source was: it may take its place
    REMOVING = "removing"  # the target is the workspace; what is left of the source goes
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What a migration did, or would do; *copied* where it had to, across file systems."""

    source: Path
    target: Path
    copied: bool
    files: int = 0
    apparent_bytes: int = 0
    disk_bytes: int = 0
    left_out: tuple[tuple[str, str], ...] = ()  # (path, why)
    keeps_modes: bool = True  # the target's file system has permission bits
    failures: tuple[tuple[str, str], ...] = ()  # (path, why it is still at the source)
    is_begun: bool = False  # by an earlier call, which was stopped
    was_done: bool = False  # before this call


def plan_migration(source: Path, target: Path) -> Migration:
    """What `migrate` would do; changes nothing, and raises what it would raise at its start."""
    real, target = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if source.is_symlink():
        raise RefusedError(f"{source} is a symlink to {real}; name what moves: --from {real}")
    source = real
    is_done = state_of(read_journal(target), source, target) is MigrationState.DONE
    if is_done and (not os.path.lexists(source) or is_skeleton(source)):
        return Migration(source=source, target=target, copied=False, was_done=True)
    _check(source, target)
    is_copy = not is_same_file_system(source, target)
    from vmaf_workspace.migration import copy

    begun = read_journal(target)
    place = source if os.path.lexists(source) else trash_of(source)
    tree = read_tree(str(place), without=staying_behind(place)) if os.path.isdir(place) else Tree()
    lost: list[tuple[str, str]] = []
    if is_copy and state_of(begun, source, target) is None:
        _check_room(tree, target)
        limits = limits_of(_nearest(target) / f".vmaf-probe-{_hash(target)}", tree)
        lost = [("everything", NO_MODES)] if limits.modes else []
        lost += copy.lost_attributes(tree, str(place), None) if limits.attributes else []
    return Migration(
        source=source,
        target=target,
        copied=is_copy,
        files=len(tree.files) + len(tree.links),
        apparent_bytes=tree.apparent_bytes,
        disk_bytes=tree.disk_bytes,
        left_out=(*tree.left_out, *lost) if is_copy else (),
        keeps_modes=not any(why == NO_MODES for _, why in lost),
        is_begun=state_of(begun or read_journal(staging_of(target)), source, target) is not None,
    )


def is_skeleton(directory: Path) -> bool:
    """Whether *directory* holds nothing but what `ws.setup` or a checkout puts into an empty workspace."""
    try:
        names = set(os.listdir(directory))
        if names - {*BY_NAME, *KEPT_NAMES, *staying_behind(directory)}:
            return False
        for name in names & set(BY_NAME):
            place = directory / name  # one with a marker is where a subdirectory of another workspace leads to
            if os.path.islink(place) or set(os.listdir(place)) - (KEPT_NAMES - {MARKER}):
                return False
    except OSError:
        return False
    return bool(read_journal(directory).get("state", MigrationState.DONE) == MigrationState.DONE)


def read_journal(root: Path) -> dict[str, Any]:
    """What the journal of the last migration in *root* says; empty where there is none, or a stranger's."""
    journal: dict[str, Any] = paths_from_utf8(read_object(root / MARKER / JOURNAL, at_most=LARGEST, top=root))
    return journal


def state_of(journal: dict[str, Any], source: Path, target: Path) -> MigrationState | None:
    """The state of this journal, None unless it is of this migration."""
    if (journal.get("from"), journal.get("to")) != (str(source), str(target)):
        return None
    try:
        return MigrationState(str(journal.get("state")))
    except ValueError:
        return None


def trash_of(directory: Path) -> Path:
    """Where *directory* is while it goes; a name of its own, so that the next call finds it.

    What lies in a mount point goes into it: the mount point itself can be neither renamed nor removed.
    """
    name = f"{TRASH}{_hash(directory)}"
    return directory / name if is_mount(directory) else directory.with_name(name)


def staying_behind(source: Path) -> tuple[str, ...]:
    """What right below *source* is not moved: our marker, and what the system made in a disk's top."""
    return (MARKER, LOST_AND_FOUND) if is_mount(source) else (MARKER,)


def is_mount(directory: Path) -> bool:
    """Whether something is mounted at *directory*, a bind mount of the same disk included."""
    try:
        with open_path(directory.parent) as above, open_path(directory) as top:
            return mount_id(above) != mount_id(top)
    except OSError:  # not there, or no directory
        return False


def staging_of(target: Path) -> Path:
    """Where the copy is until it is whole: beside *target*, under a name of its own, so that the next call finds it."""
    return target.with_name(f".vmaf-moving-{_hash(target)}")


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def is_same_file_system(source: Path, target: Path) -> bool:
    """Whether *source*, or where it was, and what will hold *target* are one file system: a rename may do."""
    if is_mount(source):
        return False
    place = source if os.path.lexists(source) else source.parent
    nearest = next(place for place in target.parents if os.path.lexists(place))
    return os.lstat(place).st_dev == os.stat(nearest).st_dev


def _check(source: Path, target: Path) -> None:
    """Both ends: may the one be emptied, and the other become a workspace?"""
    for one, other, how in ((target, source, "inside"), (source, target, "around")):
        if other == one or other in one.parents:
            raise RefusedError(f"{target} lies {how} the workspace {source}; name a place beside it")
    guard.check_not_forbidden(target)
    guard.check_not_inside_another(target)
    state = state_of(read_journal(target), source, target)
    if state is None:
        _check_target(target)
        if not guard.check(source):
            raise WorkspaceError(f"there is no workspace at {source}, so nothing moves; `ws.where` says why there")
        with open_directory(source.parent) as fd:
            mounts = [place for place in usage_of(source.name, dir_fd=fd).mounts if place != "."]
        if mounts:
            raise RefusedError(f"something is mounted in {source} ({', '.join(mounts)}); unmount it first")
        stage = read_journal(staging_of(target))
        if stage and state_of(stage, source, target) is None:
            raise RefusedError(
                f"{staging_of(target)} is left of a migration from {stage.get('from')}, which was interrupted;\n"
                "give that command again, or remove it"
            )
    elif os.path.lexists(source):
        guard.check_not_forbidden(source)


def _check_target(target: Path) -> None:
    if not os.path.lexists(target):
        nearest = next(place for place in target.parents if os.path.lexists(place))
        if not nearest.is_dir():
            raise RefusedError(f"{nearest} is a file, so {target} cannot be made")
        return
    if not target.is_dir():
        raise RefusedError(f"{target} is a file; name a directory that is new or empty")
    if is_mount(target):
        raise RefusedError(f"{target} is a mount point; name a directory below it, such as {target / 'workspace'}")
    guard.check_marker(target)
    if os.path.lexists(target / MARKER) and not guard.is_marked(target):
        raise RefusedError(
            f"{target} is marked as the place that a workspace's subdirectory leads to, so it can be no workspace;\n"
            "name a directory that is new or empty"
        )
    if not is_skeleton(target):
        raise RefusedError(f"{target} is not empty, and nothing is merged; name a directory that is new or empty")


def _nearest(target: Path) -> Path:
    """The directory that what is above *target* will be made in, or is."""
    return next(place for place in target.parents if os.path.isdir(place))


def _check_room(tree: Tree, target: Path) -> None:
    """Raise WorkspaceError where the file system of *target* has less room than *tree* takes."""
    room, needed, inodes = os.statvfs(_nearest(target)), tree.disk_bytes, len(tree.files) + len(tree.directories)
    stage = staging_of(target)
    if stage.is_dir():
        there = read_tree(str(stage))
        needed, inodes = needed - there.disk_bytes, inodes - len(there.files) - len(there.directories)
    if not room.f_blocks:  # ramfs and some network disks do not say
        return
    free = room.f_bavail * room.f_frsize
    if needed > free or (room.f_files and inodes > room.f_favail):
        raise WorkspaceError(
            f"no room at {target}: {needed} bytes and {inodes} inodes are needed, "
            f"{free} and {room.f_favail} are free;\n"
            "nothing was copied: free some there, or empty scratch and caches first (`ws.clean-scratch`, "
            "`ws.purge-cache`)"
        )
