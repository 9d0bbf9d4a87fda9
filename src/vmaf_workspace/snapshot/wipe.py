"""Plans what *wipe* removes: all models of a subdirectory, once a verified snapshot holds exactly that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.plan import Entry, Plan, new
from vmaf_workspace.scan import BLOCK
from vmaf_workspace.snapshot.difference import difference, files_now
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import DamagedError, File
from vmaf_workspace.snapshot.store import ids, load
from vmaf_workspace.snapshot.swap import finish_interrupted
from vmaf_workspace.snapshot.tree import look
from vmaf_workspace.snapshot.verify import verify

WIPE = "wipe-models"


@dataclass(frozen=True, slots=True)
class Wipe:
    """A plan of removal, and the content of what it lists."""

    plan: Plan
    files: tuple[File, ...]

    def entries_of(self, subdir: str) -> list[Entry]:
        """What goes from one subdirectory."""
        return [entry for entry in self.plan.entries if entry.path.startswith(f"{subdir}/")]


def plan_wipe(root: Path, subdirs: tuple[str, ...]) -> Wipe:
    """All that is in *subdirs* of *root*, each file read; RefusedError where *root* is not ours."""
    entries: list[Entry] = []
    files: list[File] = []
    if guard.check(root):
        finish_interrupted(root, WIPE)
        tree = look(root, subdirs, with_rests=True)
        kept = look(root, subdirs)
        kept.found = {path: about for path, about in tree.found.items() if path in kept.found}
        files = files_now(root, tree=kept)
        entries += [_entry(path, about) for path, about in tree.found.items()]
        entries += [_entry(path, os.lstat(root / path)) for path, _ in tree.left_out]
    return Wipe(new(WIPE, root, entries, [], subdirs=subdirs), tuple(files))


def held_by(location: Location, wipe: Wipe) -> str | None:
    """The newest snapshot that holds exactly the content of *wipe*, verified now, every hash; None where none does."""
    for snapshot_id in reversed(ids(location)):
        try:
            snapshot = load(location, snapshot_id)
        except (DamagedError, RefusedError):
            continue
        there = [file for file in snapshot.files if file.path.split("/")[0] in wipe.plan.subdirs]
        found = difference(there, wipe.files)
        if found.added or found.removed or found.changed:
            continue
        if snapshot_id in verify(location, [snapshot_id]).whole:
            return snapshot_id
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
        why="only training brings it back",
    )
