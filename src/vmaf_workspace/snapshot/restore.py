"""Brings models back.

The order leaves the workspace whole wherever it is killed:
1. everything is copied out of the location into a hidden directory of each subdirectory, each hash checked on the way;
2. what will be replaced is in a snapshot of its own (the caller's safety snapshot), and the copies are flushed;
3. a journal in the workspace says which file goes where: from here on whoever comes next finishes the restore;
4. each file is renamed into its place; a file of a replaced group that the snapshot does not know goes;
5. every place is looked at once more, and read unless it is the very file that was copied: that is what is reported;
6. the journal and the hidden directories go, and what a wipe that was stopped had renamed aside of these files.
Killed before 3, nothing has changed; after it, `finish_restore` does the rest.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.disk.content import file_sha256, sync_file_system
from vmaf_workspace.disk.workers import Progress, cores, map_unordered, no_progress
from vmaf_workspace.errors import InUseError, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP, group_of
from vmaf_workspace.live.lock import removal_lock
from vmaf_workspace.setup import write_errors_explained
from vmaf_workspace.snapshot.backup import backup
from vmaf_workspace.snapshot.difference import content_of, current_files
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import DamagedError, File, Snapshot, object_name, places_above, short_id
from vmaf_workspace.snapshot.staging import (
    JOURNAL,
    RESTORE,
    Journal,
    file_id,
    finish_restore,
    not_in_place,
    put_in_place,
    real_subdirs,
    remove_staging,
    staging_directory,
    write_journal,
)
from vmaf_workspace.snapshot.tree import (
    ModelTree,
    Signature,
    directory_of,
    is_in_trash,
    scan_models,
    signature,
    unreadable_error,
)

NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})  # what symlink(2) says where there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore would do; made by `plan_restore`, executed by `restore`."""

    root: Path
    snapshot: Snapshot
    new: tuple[File, ...]  # not there now
    chosen: tuple[File, ...]  # all that is to be there in the end
    same: int  # number of files that are there, identical
    replaced: tuple[File, ...]  # there, different
    extra: tuple[str, ...]  # there, part of a model that is restored, unknown to the snapshot: it would break the group
    seen: dict[str, Signature]  # of all that goes: what changes before its turn stays
    tops: dict[str, str]  # where each subdirectory is: none is looked for again
    directories: dict[str, int]  # permission bits of those not there now; those that are there stay as they are

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Paths that would be lost to an overwrite."""
        return tuple(sorted([file.path for file in self.replaced] + list(self.extra)))

    @property
    def apparent_bytes(self) -> int:
        """What is copied."""
        return sum(file.size for file in (*self.new, *self.replaced))


@dataclass(slots=True)
class RestoreReport:
    """What a restore did."""

    files: int = 0
    apparent_bytes: int = 0
    safety: str | None = None  # id of the snapshot of what was replaced
    left: list[tuple[str, str]] = field(default_factory=list)  # (path, why it is not as the snapshot has it)


def check_target(directory: Path, location: Location) -> None:
    """Raise RefusedError where models may not be restored into *directory*, which need not be a workspace."""
    remedy = "name another directory with --into"
    guard.check_not_forbidden(directory, remedy=remedy)
    is_workspace = guard.is_marked(directory) or guard.is_default_location(directory)
    guard.check_not_inside_another(directory if is_workspace else directory / "model")
    if location.directory is None:
        return
    backups = Path(os.path.realpath(location.directory))
    for place in (Path(os.path.realpath(directory / subdir)) for subdir in BACKED_UP):
        if place == backups or place in backups.parents or backups in place.parents:
            raise RefusedError(f"{directory} overlaps the backup location {location.directory}; {remedy}")


def plan_restore(root: Path, snapshot: Snapshot, *, only: str = "") -> RestorePlan:
    """What restoring *snapshot* into *root* would do; *only* takes the models a member of which matches this glob.

    Raises RefusedError where a file or a symlink lies where a directory must be, UsageError where *only* fits nothing.
    """
    guard.subdirectory_targets(root, marked=True)
    tops = real_subdirs(root)
    chosen = _matching(snapshot, only) if only else list(snapshot.files)
    tree = scan_models(root)
    found = tree.found
    directories = {path: mode for path, mode in snapshot.directories.items() if path not in tree.modes}
    if only:
        above = {place for file in chosen for place in places_above(file.path)}
        directories = {path: mode for path, mode in directories.items() if path in above}
    _check_free(root, chosen, directories, tree)
    new = [file for file in chosen if file.path not in found]
    there = [file for file in chosen if file.path in found]
    same = dict(map_unordered(there, lambda file: is_same(root, file, found[file.path]), at_most=cores()))
    groups, wanted = {group_of(file.path) for file in chosen}, {file.path for file in chosen}
    extra = sorted(path for path in found if path not in wanted and group_of(path) in groups)
    replaced = [file for n, file in enumerate(there) if not same[n]]
    return RestorePlan(
        root=root,
        snapshot=snapshot,
        chosen=tuple(chosen),
        new=tuple(new),
        same=len(there) - len(replaced),
        replaced=tuple(replaced),
        extra=tuple(extra),
        seen={path: signature(found[path]) for path in (*(file.path for file in replaced), *extra)},
        directories=directories,
        tops=tops,
    )


def restore(
    plan: RestorePlan, location: Location, *, overwrite: bool = False, progress: Progress = no_progress
) -> RestoreReport:
    """Do what *plan* says; *progress* gets (bytes done, bytes in all).

    Raises RefusedError where something would be lost and *overwrite* does not allow it, DamagedError for an object
    that is not what the snapshot says: nothing was changed then.
    """
    if plan.conflicts and not overwrite:
        more = f" and {len(plan.conflicts) - 3} more" if len(plan.conflicts) > 3 else ""
        shown = ", ".join(repr(path) for path in plan.conflicts[:3]) + more
        raise RefusedError(
            f"{plan.root} has something else than snapshot {short_id(plan.snapshot.id)} in {shown}; "
            "nothing was restored.\n"
            "--overwrite replaces that, after a snapshot of what is there; --into DIR restores elsewhere"
        )
    report = RestoreReport()
    try:
        plan.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"cannot make the directory {plan.root} ({error.strerror}), so nothing was restored; name another"
        ) from error
    with removal_lock(plan.root, RESTORE):
        finish_restore(plan.root)
        if real_subdirs(plan.root) != plan.tops:
            raise InUseError(
                f"a subdirectory of {plan.root} was moved or replaced since the restore was planned; nothing was "
                "restored\nsee what is there now (`ws.status`), then restore again"
            )
        token = os.urandom(8).hex()
        steps = [
            {"path": file.path, "staged": str(n), "was": plan.seen.get(file.path), "sha256": file.sha256 or None}
            | ({} if file.link is None else {"link": file.link})
            for n, file in enumerate((*plan.new, *plan.replaced))
        ]
        steps += [{"path": path, "staged": None, "was": plan.seen[path], "sha256": None} for path in plan.extra]
        directories = plan.directories
        sizes = {file.path: file.size for file in plan.chosen}
        if not steps and not directories:  # all of it is there, read just now
            _remove_leftovers(plan)
            return report
        subdirs = sorted({path.split("/")[0] for path in (*(str(step["path"]) for step in steps), *directories)})
        try:
            with write_errors_explained(plan.root):
                for subdir in subdirs:
                    os.makedirs(staging_directory(plan.tops[subdir], token), mode=0o700)  # whatever its files allow
                made = _stage(plan, location, token, report, progress)
            if plan.conflicts:
                note = f"before a restore of {short_id(plan.snapshot.id)}"
                report.safety = backup(plan.root, location, note=note, is_safety=True).id
                for subdir in subdirs:
                    sync_file_system(staging_directory(plan.tops[subdir], token))
        except BaseException:
            remove_staging(plan.root, token)
            for subdir in directories.keys() & set(subdirs):  # those that were not there
                with suppress(OSError):
                    os.rmdir(plan.root / subdir)
            raise
        journal = Journal(token, steps, directories, plan.snapshot.id)
        write_journal(plan.root, journal, flush=bool(plan.conflicts))
        report.left = put_in_place(plan.tops, journal)
        report.left += not_in_place(plan.tops, steps, report.left, made)
        report.files = len(steps) - len([path for path, _ in report.left if path not in directories])
        report.apparent_bytes -= sum(sizes.get(path, 0) for path, _ in report.left)
        _remove_leftovers(plan, without={path for path, _ in report.left})
    return report


def _remove_leftovers(plan: RestorePlan, *, without: Collection[str] = ()) -> None:
    """Remove what a restore, or a stopped wipe of what it brought back, has left."""
    with suppress(FileNotFoundError):
        os.unlink(plan.root / JOURNAL)
    remove_staging(plan.root, "")
    there = {content_of(file) for file in plan.chosen if file.path not in without}
    aside = {path: about for path, about in scan_models(plan.root).rests.items() if is_in_trash(path)}
    for rest in current_files(plan.root, aside):
        if content_of(rest) in there:
            with suppress(OSError):
                os.unlink(plan.root / rest.path)


def is_same(root: Path, file: File, about: os.stat_result) -> bool:
    """Whether the file that is there now, whose `lstat` is *about*, has the content that a snapshot knows; read now."""
    path = os.path.join(root, file.path)
    if file.link is not None or stat.S_ISLNK(about.st_mode):
        return file.link is not None and stat.S_ISLNK(about.st_mode) and os.readlink(path) == file.link
    try:
        return about.st_size == file.size and file_sha256(path) == file.sha256
    except PermissionError as error:
        raise unreadable_error(path, error) from error


def _matching(snapshot: Snapshot, glob: str) -> list[File]:
    """Every file of the models that a member of, or the name of, fits *glob*."""
    groups = {
        group
        for path, group in ((file.path, group_of(file.path)) for file in snapshot.files)
        if fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(group, glob)
    }
    if not groups:
        raise UsageError(
            f"--only {glob!r} fits none of the models in snapshot {short_id(snapshot.id)};\n"
            "a pattern begins at the workspace, such as 'model/vmaf_v2*' or '*/vmaf_v2*'"
        )
    return [file for file in snapshot.files if group_of(file.path) in groups]


def _check_free(root: Path, chosen: list[File], directories: Iterable[str], tree: ModelTree) -> None:
    """No directory lies where a file must be, nothing else where a directory must be."""
    special = {path for path, _ in tree.left_out}
    no_directory = tree.found.keys() | special
    for directory in directories:
        if directory in no_directory:
            raise RefusedError(f"{root / directory} is no directory, and the snapshot has one there; move it away")
    checked = set()
    for file in chosen:
        above = directory_of(file.path)
        if above not in checked:
            checked.add(above)
            for place in places_above(file.path)[1:]:
                if place in no_directory:
                    raise RefusedError(
                        f"{root / place} is no directory, and {file.path!r} must go below it; move it away"
                    )
        if file.path in tree.modes or file.path in special:
            raise RefusedError(f"{root / file.path} is a directory, FIFO or device where a file must go; move it away")


def _stage(
    plan: RestorePlan, location: Location, token: str, report: RestoreReport, progress: Progress
) -> dict[str, list[int]]:
    """Copy every file out of *location*, each hash checked; what tells each copy, by the path that it is for."""
    places = {subdir: staging_directory(plan.tops[subdir], token) for subdir in BACKED_UP}

    files, total = (*plan.new, *plan.replaced), plan.apparent_bytes

    def copy(n: int) -> list[int]:
        file = files[n]
        to = f"{places[file.path.split('/')[0]]}/{n}"
        if file.link is not None:
            try:
                os.symlink(file.link, to)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                raise WorkspaceError(
                    f"{file.path!r} is a symlink, and the file system of {plan.root} keeps none ({error.strerror}); "
                    "nothing was restored\n--into a directory on another disk, or --only what is no link"
                ) from error
        else:
            try:
                sha256, size = location.fetch(object_name(file.sha256), to)
            except FileNotFoundError:
                raise DamagedError(_damage_text(plan.snapshot, file, "is missing")) from None
            if sha256 != file.sha256:
                raise DamagedError(_damage_text(plan.snapshot, file, "does not have the content that its name says"))
            if size != file.size:
                raise DamagedError(_damage_text(plan.snapshot, file, f"has {size} bytes, not the size of {file.size}"))
            os.chmod(to, file.mode)
        os.utime(to, ns=(file.mtime_ns, file.mtime_ns), follow_symlinks=False)
        return file_id(os.lstat(to))

    made: dict[str, list[int]] = {}
    for n, made_now in map_unordered(range(len(files)), copy, at_most=location.at_once, may_fork=location.may_fork):
        made[files[n].path] = made_now
        report.apparent_bytes += files[n].size
        progress(report.apparent_bytes, total)
    return made


def _damage_text(snapshot: Snapshot, file: File, what: str) -> str:
    return (
        f"snapshot {short_id(snapshot.id)} cannot be restored: {object_name(file.sha256)} ({file.path!r}) {what}\n"
        "nothing was changed; `ws.verify` names all that is wrong; an older snapshot, or --only, may do"
    )
