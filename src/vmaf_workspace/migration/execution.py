"""Moves a workspace, all of it, to another place.

On one file system it is a rename. The order there; killed anywhere, one of the two trees is whole, and the same
command goes on:
1. the source gets its marker and, in it, the journal; symlinks that would mean something else at the new place are
   rewritten, one at a time, into such as mean the same from both;
2. a target that holds nothing but placeholders is renamed aside;
3. the source is renamed to the target;
4. the target gets what a workspace has and the source lacked; a checkout keeps its placeholders; the journal says so.

Across file systems, after 1:
2. everything is copied into a hidden directory beside the target, synced, and both are read and compared;
3. the journal beside the copy is told what exactly was compared, and the copy is renamed to the target: the switch;
4. the source is renamed aside (of a mount point, what lies in it), and unless it still is exactly what was compared,
   both renames are taken back; where the copy no longer is that either, as people used it after a kill, both stay, and
   a person has to choose;
5. the journal says that the source goes; it is removed; then as 4 above.
Until the switch the source is the workspace, afterwards the target is; at no time is neither whole.
What may move where, and how far an earlier call came, is looked up in `migration.plan`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmaf_workspace import guard
from vmaf_workspace.contract import CACHE_TAG, KEPT_NAMES, LOST_AND_FOUND, MARKER, PLACEHOLDER, SUBDIRS, Loss
from vmaf_workspace.disk.atomic import write_into
from vmaf_workspace.disk.json_file import paths_to_utf8
from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.disk.trust import why_untrusted
from vmaf_workspace.disk.workers import Progress, WorkerPool, no_progress
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.identity import carry_identity
from vmaf_workspace.live.lock import migration_lock, removal_lock
from vmaf_workspace.live.open_files import open_paths_below
from vmaf_workspace.migration.links import make_portable
from vmaf_workspace.migration.plan import (
    JOURNAL,
    NO_MODES,
    Migration,
    MigrationState,
    is_same_file_system,
    is_skeleton,
    plan_migration,
    read_journal,
    staging_of,
    state_of,
    staying_behind,
    trash_of,
)
from vmaf_workspace.migration.tree import Tree, read_tree
from vmaf_workspace.removal.candidates import refuse_live_runs
from vmaf_workspace.setup import adopt, setup, write_errors_explained

MANY = 16  # entries below the subdirectories from which on removing them is worth children
StartProgress = Callable[[str], Progress]  # what is done -> the bar it moves


def migrate(source: Path, target: Path, *, progress: StartProgress | None = None) -> Migration:
    """Move the workspace *source* to *target*, or go on where an earlier call was stopped.

    Raises RefusedError where either end may not be used so, InUseError for live runs and sessions, WorkspaceError
    where it cannot be done (no room, a file that cannot be read); the source then is as it was.
    """
    planned = plan_migration(source, target)
    source, target = planned.source, planned.target
    if planned.was_done:
        return planned
    state = state_of(read_journal(target), source, target)
    with write_errors_explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    failures: list[tuple[str, str]] = []
    if state is None:  # the source still is the workspace
        keeps = guard.is_default_location(source)
        refuse_users(planned)
        free = [source / subdir.name for subdir in SUBDIRS if subdir.loss in (Loss.NOTHING, Loss.TIME)]
        # Files that cost nothing and come again at the target: room on a full disk for what has to be written there.
        tags = [place / CACHE_TAG for place in free if not place.is_symlink() and (place / CACHE_TAG).is_file()]
        tags = tags if planned.copied else []
        _making_room(tags, lambda: adopt(source))
        with _excluding_others(source):
            _refuse_users(source, "migrate")
            journal: dict[str, Any] = {"from": str(source), "to": str(target), "state": MigrationState.BEGUN}
            journal |= {"keeps_placeholders": keeps}
            with write_errors_explained(source):
                _making_room(tags, lambda: _write_journal(source, journal))
                _making_room(tags, lambda: make_portable(source))
            if not _rename(source, target):
                _copy_and_switch(source, target, journal, progress, modes=planned.keeps_modes)
                failures = _remove_source(source, target, progress)
    elif state in (MigrationState.COMPARED, MigrationState.REMOVING):
        with _excluding_others(source):
            failures = _remove_source(source, target, progress)
    if not failures:
        _complete_both_ends(source, target)
    tree = read_tree(str(target), without=(MARKER,))  # what is there now is reported, not what was planned
    said = read_journal(target).get("left_out")  # what was found missing in the copy, perhaps since an earlier call
    missing = [pair for pair in said if isinstance(pair, list)] if isinstance(said, list) else planned.left_out
    return replace(
        planned,
        files=len(tree.files) + len(tree.links),
        apparent_bytes=tree.apparent_bytes,
        disk_bytes=tree.disk_bytes,
        failures=tuple(failures),
        left_out=tuple((str(path), str(why)) for path, why in missing),
    )


def _making_room(tags: list[Path], step: Callable[[], None]) -> None:
    """Do *step*, on a full disk again and again while there is one of *tags* to remove before: to get off is why."""
    while True:
        try:
            return step()
        except (OSError, WorkspaceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
            if not is_full or not tags:
                raise
            tags.pop().unlink(missing_ok=True)


def refuse_users(planned: Migration) -> None:
    """Raise InUseError where somebody uses either end of a migration that has not switched yet."""
    if state_of(read_journal(planned.target), planned.source, planned.target) is None:
        _refuse_users(planned.source, "migrate")
        if guard.is_marked(planned.target):
            _refuse_users(planned.target, "migrate to")


def _write_journal(root: Path, journal: dict[str, Any]) -> None:
    with suppress(FileExistsError):
        os.mkdir(root / MARKER)
    write_into(root / MARKER, JOURNAL, lambda _: json.dumps(paths_to_utf8(journal)).encode() + b"\n", sync=True)


def _rename(source: Path, target: Path) -> bool:
    """Rename the source to the target; False where they lie on two file systems."""
    if not is_same_file_system(source, target):
        return False
    _refuse_users(source, "migrate")  # one may have begun while links were rewritten
    _clear_target(source, target)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # two subvolumes, or two mounts, of one file system
            raise WorkspaceError(
                f"cannot rename {source} to {target} ({error.strerror}); both are as they were"
            ) from error
        return False
    return True


def _clear_target(source: Path, target: Path) -> None:
    if os.path.lexists(target) and is_skeleton(target):
        _remove_tree(trash_of(target))  # of an earlier call
        os.rename(target, trash_of(target))
        if not is_skeleton(trash_of(target)):  # somebody wrote there in the instant before
            os.rename(trash_of(target), target)
            raise InUseError(f"{target} is no longer empty; {source} stays the workspace. Name another place")


@contextmanager
def _excluding_others(root: Path) -> Iterator[None]:
    """Exclude cleaners and backups of *root*, where there is a workspace, while the block runs."""
    with ExitStack() as held:
        if guard.is_marked(root):
            held.enter_context(removal_lock(root, "migrate"))
            held.enter_context(migration_lock(root, exclusive=True))
        yield


def _refuse_users(root: Path, what: str) -> None:
    """Raise InUseError for a live run, and for any process with a file of *root* open: it would go on writing there."""
    refuse_live_runs(root, what)
    for below, pid in _open_paths(root):
        raise InUseError(
            f"cannot {what} {root} while process {pid} of this host has {below!r} open, or works in it:\n"
            "what it writes there would be lost. Nothing was changed; wait for it to end (a shell: `cd` elsewhere),\n"
            "then try again"
        )


def _open_paths(root: Path) -> list[tuple[str, int]]:
    """Paths below *root* that processes of this host have open or work in, each with a pid; our marker's apart."""
    top = os.path.realpath(root)
    return sorted(  # of a file that was removed, nothing can be lost
        (below, pid)
        for below, pid in open_paths_below(top).items()
        if below.split("/")[0] != MARKER and os.path.lexists(f"{top}/{below}")
    )


def _copy_and_switch(
    source: Path, target: Path, journal: dict[str, Any], progress: StartProgress | None, *, modes: bool
) -> None:
    from vmaf_workspace.disk.content import sync_file_system
    from vmaf_workspace.migration import copy

    def sync(place: str) -> bool:
        sync_file_system(place)
        return True

    tree = read_tree(str(source), without=staying_behind(source))
    stage = staging_of(target)
    why = "which is a symlink" if stage.is_symlink() else why_untrusted(stage, top=source)
    if why is not None:  # its name can be guessed
        raise RefusedError(f"the copy would be made in {stage}, {why}; remove that, then give the same command again")
    taken_back = read_journal(stage)
    was_compared = taken_back.get("state") == MigrationState.COMPARED
    if was_compared and read_tree(str(stage), without=(MARKER,)).digest() != taken_back.get("copy"):
        raise RefusedError(
            f"{stage} was the workspace for a while, and somebody wrote there; nothing was removed.\n"
            f"Move what is new there into {source}, remove the rest of it, then give the same command again"
        )
    with write_errors_explained(target):
        with suppress(FileExistsError):
            stage.mkdir(mode=0o700)
        _write_journal(stage, journal)
        carry_identity(source, stage, final=target)
        # root may be moving what is another user's
        copy.set_owner_and_mode(str(stage / MARKER), os.lstat(source / MARKER), modes=modes)
        bar = progress("copying") if progress else no_progress
        copy.copy(tree, str(source), str(stage), modes=modes, progress=bar)
        bar = progress("comparing") if progress else no_progress
        with WorkerPool([str(stage)], sync, at_most=1) as syncing:  # the disk works while we compare
            copy.compare(tree, str(source), str(stage), modes=modes, progress=bar)
            for _, is_synced in syncing:
                if not is_synced:
                    sync_file_system(str(stage))  # says why
        copy.finish_directories(tree, str(source), str(stage), modes=modes)
        lost = [] if modes else [("everything", NO_MODES)]
        lost += tree.left_out + copy.lost_attributes(tree, str(source), str(stage))
        digests = {"digest": tree.digest(), "copy": read_tree(str(stage), without=(MARKER,)).digest()}
        _write_journal(stage, journal | {"state": MigrationState.COMPARED, "left_out": lost} | digests)
        sync_file_system(str(stage))
        _refuse_users(source, "migrate")  # one may have begun since
        _clear_target(source, target)
        os.rename(stage, target)


def _remove_source(source: Path, target: Path, progress: StartProgress | None) -> list[tuple[str, str]]:
    """Remove what was copied, if it still is that; what could not go, as (path, why)."""
    journal, aside = read_journal(target), trash_of(source)
    if state_of(journal, source, target) is MigrationState.COMPARED:
        with _excluding_others(target):
            is_old = state_of(read_journal(source), source, target) is not None  # otherwise a new one, which stays
            if is_old and (aside.parent == source or not os.path.lexists(aside)):
                _refuse_users(source, "remove what was migrated from")
                try:
                    _put_aside(source, aside)
                except OSError as error:
                    return [(str(source), f"cannot be renamed ({error.strerror}), so it stays; {target} is whole")]
            if os.path.lexists(aside):
                try:
                    _check_again(source, target, journal)
                except WorkspaceError:
                    if os.path.lexists(aside) and _is_vacated(source, aside):
                        _take_back(source, aside)
                    raise
            _write_journal(target, journal | {"state": MigrationState.REMOVING})
    if progress:
        progress("removing")
    return _remove_tree(aside)


def _check_again(source: Path, target: Path, journal: dict[str, Any]) -> None:
    """Raise unless the source, renamed aside, may go. The target may have been used since, by people after a kill.

    InUseError where only the source changed: it becomes the workspace again. RefusedError where only a person can tell
    which of them counts: both stay.
    """
    aside = trash_of(source)
    here, there = (read_tree(str(place), without=(MARKER,)) for place in (aside, target))
    is_source_same = here.digest() == journal.get("digest") and not _open_paths(aside)
    is_target_same = there.digest() == journal.get("copy")
    if is_source_same and (is_target_same or not _lacking(there, here)):
        return
    if not is_target_same or _lacking(here, there) or not _is_vacated(source, aside):
        old = source if _is_vacated(source, aside) else aside
        lacking = [*_lacking(here, there), *_lacking(there, here)]
        missing = f", and only one of them has {lacking[0]!r}" if lacking else ""
        raise RefusedError(
            f"{old} and its copy {target} are no longer the same{missing}.\n"
            "Only you can tell what counts, so both stay. Bring what is missing or newer into the one that you keep,\n"
            "remove the other one, whole, then give the same command again"
        )
    _refuse_users(target, "take back")
    _take_back(source, aside)
    os.rename(target, staging_of(target))
    raise InUseError(
        f"{source} changed while it was copied, and stays the workspace; wait until nobody writes there,\n"
        "then give the same command again: what was copied is not copied twice"
    )


def _put_aside(source: Path, aside: Path) -> None:
    """Let nobody find the workspace at *source*; of a mount point entry by entry, the marker with the journal last."""
    if aside.parent != source:
        os.rename(source, aside)
        return
    aside.mkdir(exist_ok=True)
    for name in sorted(set(os.listdir(source)) - {aside.name, LOST_AND_FOUND}, key=lambda name: name == MARKER):
        os.rename(source / name, aside / name)


def _take_back(source: Path, aside: Path) -> None:
    """The reverse: the marker, and with it the journal, first."""
    if aside.parent != source:
        os.rename(aside, source)
        return
    for name in sorted(os.listdir(aside), key=lambda name: name != MARKER):
        os.rename(aside / name, source / name)
    aside.rmdir()


def _is_vacated(source: Path, aside: Path) -> bool:
    """Whether nothing is at *source* but what was put aside there: nobody has begun another workspace."""
    if aside.parent != source:
        return not os.path.lexists(source)
    return not set(os.listdir(source)) - {aside.name, LOST_AND_FOUND}


def _lacking(one: Tree, other: Tree) -> list[str]:
    """What no task of ours may remove, is in *other*, and is not in *one*."""
    free = {subdir.name for subdir in SUBDIRS if subdir.loss in (Loss.NOTHING, Loss.TIME)}
    paths = {*other.files, *other.links} - {*one.files, *one.links}
    return sorted(path for path in paths if path.split("/")[0] not in free and Path(path).name not in KEPT_NAMES)


def _remove_tree(directory: Path) -> list[tuple[str, str]]:
    """What of *directory* could not be removed, as (path, why)."""
    from vmaf_workspace.disk.scan import mount_id
    from vmaf_workspace.disk.unlink import remove_tree
    from vmaf_workspace.removal.execution import WORKERS

    if not os.path.lexists(directory):
        return []

    with open_directory(directory.parent) as fd, open_directory(directory.name, dir_fd=fd) as top:

        def work(entry: tuple[str, str]) -> None:
            with suppress(OSError), open_directory(entry[0], dir_fd=top) as parent:  # what stays is reported below
                if mount_id(parent) == mount_id(top):
                    remove_tree(parent, entry[1])

        inner = [name for name in os.listdir(top) if os.path.isdir(directory / name)]
        inner = [name for name in inner if not os.path.islink(directory / name)]
        entries = [(name, below) for name in inner for below in os.listdir(directory / name)]
        if len(entries) >= MANY:  # as in a clean: the waiting for the disk overlaps
            with WorkerPool(entries, work, at_most=WORKERS) as children:
                for _ in children:
                    pass
        return [(str(directory.parent / path), why) for path, why in remove_tree(fd, directory.name)]


def _complete_both_ends(source: Path, target: Path) -> None:
    """Give both ends what they should have: a workspace at the target, placeholders in a checkout at the source."""
    journal, skeleton = read_journal(target), trash_of(target)
    for subdir in SUBDIRS:
        was = skeleton / subdir.name / PLACEHOLDER
        place = target / subdir.name / PLACEHOLDER
        if was.is_file() and place.parent.is_dir() and not place.parent.is_symlink():
            os.replace(was, place)  # a checkout's own
    _remove_tree(skeleton)
    setup(target)
    if journal.get("keeps_placeholders"):
        for subdir in SUBDIRS:
            text = target / subdir.name / PLACEHOLDER
            with suppress(OSError):  # as on a disk that is read-only by now; they cost nothing
                (source / subdir.name).mkdir(parents=True, exist_ok=True)
                (source / subdir.name / PLACEHOLDER).write_bytes(text.read_bytes())
    _write_journal(target, journal | {"state": MigrationState.DONE})
