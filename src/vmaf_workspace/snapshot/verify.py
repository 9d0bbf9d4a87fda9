"""Proves that snapshots can be restored; reads only, but for notes of what was found.

`verified/<id>` says that a snapshot was whole, `damaged/<sha256>` that an object was not: the next backup that has its
content stores it again.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vmaf_workspace.disk.scan import files_below
from vmaf_workspace.disk.workers import Progress, map_unordered, no_progress
from vmaf_workspace.errors import NotReadHereError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.installation import install_command
from vmaf_workspace.snapshot.local import inodes_of
from vmaf_workspace.snapshot.location import NO_INODES, Inodes, Location, check_is_ours, is_bad_block, why_no_snapshot
from vmaf_workspace.snapshot.manifest import DamagedError, GoneError, Snapshot, object_name, short_id
from vmaf_workspace.snapshot.store import list_ids, load_snapshot, noted_names
from vmaf_workspace.snapshot.tree import scan_models

LOADERS = "vmaf_workspace.load_model"  # entry points: callables of a Path that raise for a model that does not load
LoadModel = Callable[[Path], object]
MISSING = "is missing, or what lies there is a link or a model itself, and no file of its own"
OTHER_CONTENT = "does not have the content that its name says"
UNREADABLE = "cannot be read: its disk, or the store that holds it, may be failing"


class Depth(StrEnum):
    """How much a verify believes."""

    QUICK = "quick"  # every object is there and has its size
    HASHES = "hashes"  # and its content has its hash
    RESTORE = "restore"  # and a restored tree is right, and each model in it loads


@dataclass(slots=True)
class VerifyReport:
    """What a verify found."""

    snapshots: int = 0
    objects: int = 0
    apparent_bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)  # (what, what is wrong with it)
    unloadable: dict[str, str] = field(default_factory=dict)  # models that do not load, kept faithfully all the same
    models: int | None = None  # that were loaded; None where nothing here can load one
    whole: list[str] = field(default_factory=list)  # ids without a problem


def verify(
    location: Location,
    snapshot_ids: Sequence[str] | None = None,
    *,
    depth: Depth = Depth.HASHES,
    loaders: Sequence[LoadModel] | None = None,
    root: Path | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Check these snapshots, all by default; *progress* gets (bytes done, bytes in all).

    An object that is a file of the workspace *root* under a second name is none: it would go, or change, with that.
    *loaders* load a model file for Depth.RESTORE, those that installed packages offer by default. Raises
    WorkspaceError where there is no snapshot, or the location cannot be read.
    """
    chosen = list(list_ids(location) if snapshot_ids is None else snapshot_ids)
    report = VerifyReport()
    loaded: list[Snapshot] = []
    for snapshot_id in chosen:
        try:
            loaded.append(load_snapshot(location, snapshot_id))
        except WorkspaceError as error:
            if snapshot_ids is None and isinstance(error, GoneError):
                continue
            report.problems.append((f"snapshots/{snapshot_id}.json", str(error)))
    objects: dict[str, int] = {}
    for snapshot in loaded:
        objects |= snapshot.objects
    source_inodes = NO_INODES
    if root is not None:
        with suppress(WorkspaceError):  # where the models cannot be read, the snapshots can be verified all the same
            source_inodes = inodes_of(scan_models(root).found.values())
    wrong = _wrong_objects(location, objects, source_inodes, report, quick=depth is Depth.QUICK, progress=progress)
    if wrong and snapshot_ids is None:  # what was forgotten meanwhile may be pruned as well
        there = set(list_ids(location))
        loaded = [snapshot for snapshot in loaded if snapshot.id in there]
    report.snapshots = len(loaded) + len(report.problems)
    if not report.snapshots:
        raise WorkspaceError(why_no_snapshot(location))
    for snapshot in loaded:
        found = [(file.path, wrong[file.sha256]) for file in snapshot.files if file.sha256 in wrong]
        found += [
            (file.path, "its size is not that of its object")
            for file in snapshot.files
            if objects.get(file.sha256, file.size) != file.size
        ]
        report.problems += [(f"{short_id(snapshot.id)}: {path}", problem) for path, problem in found]
        if not found and depth is Depth.RESTORE:
            _restore_and_load(location, snapshot, installed_loaders() if loaders is None else loaders, report)
        if not found:
            report.whole.append(snapshot.id)
    with suppress(WorkspaceError):  # a read-only place takes no notes, and one with something foreign in our folders
        check_is_ours(location, to_write=True)
        for snapshot_id in noted_names(location, "verified") & (set(chosen) - set(report.whole)):
            location.remove(f"verified/{snapshot_id}")
        if depth is not Depth.QUICK:
            for sha256 in noted_names(location, "damaged") & (objects.keys() - wrong.keys()):
                location.remove(f"damaged/{sha256}")
            for sha256, problem in wrong.items():
                if problem.endswith((OTHER_CONTENT, UNREADABLE)):  # a backup sees itself what is missing or short
                    location.write(f"damaged/{sha256}", b"")
            for snapshot_id in report.whole:
                location.write(f"verified/{snapshot_id}", b"")
    return report


def installed_loaders() -> list[LoadModel]:
    """What installed packages offer for loading a model.

    Raises WorkspaceError where one that offers it cannot, as without the packages of an extra: a check that was asked
    for and not made must not look like one that was passed.
    """
    from importlib.metadata import entry_points

    found: list[LoadModel] = []
    for entry in entry_points(group=LOADERS):
        try:
            found.append(entry.load())
        except ImportError as error:
            raise WorkspaceError(
                f"models cannot be loaded here: {entry.value} is offered and needs more ({error})\n"
                f"`{install_command('harness')}` brings it; without --restore every hash is checked"
            ) from error
    return found


def _wrong_objects(
    location: Location,
    objects: dict[str, int],
    source_inodes: Inodes,
    report: VerifyReport,
    *,
    quick: bool,
    progress: Progress,
) -> dict[str, str]:
    """What is wrong, by hash, of the objects that are not as they should be."""
    wrong: dict[str, str] = {}
    total = sum(objects.values())

    names = [object_name(sha256) for sha256 in objects]
    sizes = dict(zip(objects, location.sizes_of(names, source_inodes=source_inodes), strict=True))

    def check(sha256: str) -> str | None:
        name = object_name(sha256)
        if sizes[sha256] is None:
            return f"{name} {MISSING}"
        if sizes[sha256] != objects[sha256]:
            return f"{name} has {sizes[sha256]} bytes instead of {objects[sha256]}"
        try:
            if not quick and location.sha256(name) != sha256:
                return f"{name} {OTHER_CONTENT}"
        except (FileNotFoundError, DamagedError):  # since its size was asked
            return f"{name} {MISSING}"
        except WorkspaceError as error:
            if not is_bad_block(error):
                raise
            return f"{name} {UNREADABLE}"
        return None

    hashes = list(objects)
    for n, problem in map_unordered(hashes, check, at_most=location.at_once, may_fork=location.may_fork):
        report.objects += 1
        report.apparent_bytes += objects[hashes[n]]
        if problem is not None:
            wrong[hashes[n]] = problem
        progress(report.apparent_bytes, total)
    return wrong


def _restore_and_load(
    location: Location, snapshot: Snapshot, loaders: Sequence[LoadModel], report: VerifyReport
) -> None:
    from vmaf_workspace.snapshot.restore import plan_restore, restore

    with tempfile.TemporaryDirectory(prefix="vmaf-ws-verify-") as place:
        top = Path(place)
        try:
            restore(plan_restore(top, snapshot), location)
        except WorkspaceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorkspaceError(
                    f"no space left to restore snapshot {short_id(snapshot.id)} into a temporary directory, {top}\n"
                    f"it takes {snapshot.apparent_bytes} bytes; set TMPDIR to a directory on a larger disk"
                ) from error
            raise
        if loaders:
            report.models = report.models or 0
            for path in sorted(map(Path, files_below(top / "model"))):
                is_card = path.name.endswith(".card.json")
                if is_card or path.suffix not in (".pkl", ".json") or not path.is_file():
                    continue
                report.models += 1
                try:
                    for load_model in loaders:
                        load_model(path)
                except NotReadHereError:  # whole; a loader of another package may read it
                    continue
                except Exception as error:  # whatever a loader of another package raises for a broken model
                    below = path.relative_to(top).as_posix()
                    said = str(error).replace(f"{top}/", "")  # a place that is gone by then
                    why = f"{path.name} does not load, in {short_id(snapshot.id)} to begin with: {said}"
                    report.unloadable.setdefault(group_of(below), why)
