"""Plans what *wipe* removes: all models of a subdirectory, once a verified snapshot holds exactly that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.plan import Entry, Plan, new
from vmaf_workspace.scan import BLOCK
from vmaf_workspace.snapshot.difference import difference, files_now
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import File, short
from vmaf_workspace.snapshot.store import ids, own, taking
from vmaf_workspace.snapshot.swap import finish_interrupted
from vmaf_workspace.snapshot.tree import Signature, look, signature
from vmaf_workspace.snapshot.verify import verify

WIPE = "wipe-models"


@dataclass(frozen=True, slots=True)
class Wipe:
    """A plan of removal, and the content of what it lists."""

    plan: Plan
    files: tuple[File, ...]
    seen: dict[str, Signature]  # of each entry, when it was read

    def entries_of(self, subdir: str) -> list[Entry]:
        """What goes from one subdirectory."""
        return [entry for entry in self.plan.entries if entry.path.startswith(f"{subdir}/")]


def plan_wipe(root: Path, subdirs: tuple[str, ...]) -> Wipe:
    """All that is in *subdirs* of *root*, each file read; RefusedError where *root* is not ours."""
    entries: list[Entry] = []
    files: list[File] = []
    seen: dict[str, Signature] = {}
    if guard.check(root):
        finish_interrupted(root, WIPE)
        tree = look(root, subdirs, with_rests=True)
        kept = look(root, subdirs)
        kept.found = {path: about for path, about in tree.found.items() if path in kept.found}
        files = files_now(root, tree=kept)
        going = tree.found | {path: os.lstat(root / path) for path, _ in tree.left_out}
        entries += [_entry(path, about) for path, about in going.items()]
        seen |= {path: signature(about) for path, about in going.items()}
    return Wipe(new(WIPE, root, entries, [], subdirs=subdirs), tuple(files), seen)


def held_by(location: Location, wipe: Wipe) -> str | None:
    """The newest snapshot of this workspace that holds exactly the content of *wipe*; None where none does.

    Verified now, every hash. Another workspace's will not do: its owner may forget it without a look at this one.
    """
    for snapshot in own(location, Path(wipe.plan.root)):
        snapshot_id = snapshot.id
        there = [file for file in snapshot.files if file.path.split("/")[0] in wipe.plan.subdirs]
        found = difference(there, wipe.files)
        if found.added or found.removed or found.changed:
            continue
        if snapshot_id in verify(location, [snapshot_id]).whole:
            return snapshot_id
    return None


@contextmanager
def unpruned(location: Location) -> Iterator[None]:
    """Let no prune begin until the block ends. InUseError where one goes on for too long."""
    with ExitStack() as announced:
        try:
            if ids(location):  # else the place itself may be gone, and nothing is to be made there
                announced.enter_context(taking(location, f"ws.{WIPE}"))
        except (InUseError, RefusedError):
            raise
        except WorkspaceError:  # a read-only place, where no prune can begin either
            pass
        yield


def check_still_whole(location: Location, snapshot_id: str) -> None:
    """Verify the snapshot once more, every hash; RefusedError where it is not whole, or not there any more."""
    if snapshot_id not in ids(location) or snapshot_id not in verify(location, [snapshot_id]).whole:
        raise RefusedError(
            f"snapshot {short(snapshot_id)}, which held what would go, is no longer whole in {location.url}; "
            "nothing was removed\n`ws.verify` says what it lacks; `ws.backup-models` takes another"
        )


def unchanged(wipe: Wipe) -> tuple[Plan, list[tuple[str, str]]]:
    """The plan without the models that changed since they were read, and the files of these as (path, why)."""
    root = Path(wipe.plan.root)
    changed = {path for path, seen in wipe.seen.items() if _signature_now(root / path) not in (None, seen)}
    groups = {group_of(path) for path in changed}
    why = {True: "it changed since it was read", False: "another file of this model changed since it was read"}
    stays = {entry.path: why[entry.path in changed] for entry in wipe.plan.entries if group_of(entry.path) in groups}
    entries = tuple(entry for entry in wipe.plan.entries if entry.path not in stays)
    return replace(wipe.plan, entries=entries), list(stays.items())


def _signature_now(path: Path) -> Signature | None:
    try:
        return signature(os.lstat(path))
    except OSError:  # gone, or it soon will be seen to be out of reach
        return None


def _entry(path: str, about: os.stat_result) -> Entry:
    return Entry(
        path=path,
        device=about.st_dev,
        inode=about.st_ino,
        newest_ns=about.st_mtime_ns,
        files=1,
        apparent_bytes=about.st_size,
        disk_bytes=about.st_blocks * BLOCK,
        why="only training or a snapshot brings it back",
    )
