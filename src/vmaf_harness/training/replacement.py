"""What is there already under the name that a run writes: work, so nothing of it goes unasked or without a snapshot.

The same run again writes the same bytes, which replaces nothing. For all else there is `--overwrite`, which has a
snapshot taken first. What that snapshot holds, and what would be written, is compared with what is there once more
under the lock of the directory, in the instant before it is replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import TypeVar

from vmaf_harness.training.card import SUFFIX
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP, group_of
from vmaf_workspace.wording import count_text

_Result = TypeVar("_Result")
# Gets what would be written, by name; raises where that may not be.
CheckContents = Callable[[Mapping[str, bytes]], None]


class NoSnapshotError(RefusedError):
    """Something would be replaced that no snapshot was taken of."""


class Replacement:
    """The name that a run writes, and what it may replace there."""

    def __init__(
        self, root: Path, path: Path, files: Callable[[Path], Sequence[Path]], *, overwrite: bool, at: str
    ) -> None:
        """*files* gives what is there under the name *path*; *at* is the backup location, as in `ws.backup-models`."""
        self._root, self._path, self._files, self._overwrite, self._at = root, path, files, overwrite, at
        self._held: dict[str, str] = {}  # content by name, in the snapshot
        self._snapshot: str | None = None
        self._replaced = 0

    def begin(self, *, may_be_same: bool) -> None:
        """Before anything is computed: refuse, or take the snapshot; later where this *may be the same* run again.

        Raises RefusedError where something is there and `--overwrite` was not given, or no snapshot can be taken.
        """
        if may_be_same or not self._files(self._path):
            return
        if not self._overwrite:
            raise NoSnapshotError(self._refusal(len(self._files(self._path))))
        self._take_snapshot()

    def write(self, write: Callable[[CheckContents], _Result]) -> _Result:
        """What *write* gives, which calls its argument under the lock of the directory, with all that it will write."""
        try:
            return write(self._check)
        except NoSnapshotError:
            if not self._overwrite:
                raise
        self._take_snapshot()
        return write(self._check)

    @property
    def summary(self) -> str:
        """What was replaced, for the last line: how much, and what brings it back."""
        if not self._replaced:
            return ""
        from vmaf_workspace.snapshot.manifest import short_id

        which = f"--snapshot {short_id(self._snapshot or '')} --only {shlex.quote(escape(group_of(self._below())))}"
        at = f" --at {shlex.quote(self._at)}" if self._at else ""
        files = count_text(self._replaced, "file")
        return f", over {files} that were there: `ws.restore-models {which} --overwrite{at}` brings them back"

    def _check(self, new: Mapping[str, bytes]) -> None:
        there = {path.name: _content_of(path) for path in self._files(self._path)}
        differ = [name for name, content in there.items() if name not in new or not _is_same(content, new[name])]
        lacking = [name for name in differ if self._held.get(name) != there[name][0]]
        if lacking:
            raise NoSnapshotError(self._refusal(len(differ)))
        self._replaced = len(differ)

    def _take_snapshot(self) -> None:
        """Take a snapshot that holds what is there now; RefusedError where none can."""
        from vmaf_workspace import guard
        from vmaf_workspace.snapshot.backup import backup
        from vmaf_workspace.snapshot.locate import open_location
        from vmaf_workspace.snapshot.store import load_snapshot

        below = self._below()
        try:
            guard.check(self._root)
            location = open_location(self._at, root=self._root)
            self._snapshot = backup(self._root, location, note=f"before {below} was replaced", is_safety=True).id
            snapshot = load_snapshot(location, self._snapshot)
        except InUseError:
            raise
        except WorkspaceError as error:
            raise RefusedError(
                f"--overwrite has a snapshot taken of what it replaces, and none can be: {error}\n"
                f"{self._path} stays as it is; name a backup location with --at, or give another name"
            ) from error
        above = below.rpartition("/")[0]
        self._held = {
            file.path.rpartition("/")[2]: f"-> {file.link}" if file.link is not None else file.sha256
            for file in snapshot.files
            if file.path.rpartition("/")[0] == above
        }

    def _below(self) -> str:
        """The path below the workspace, as snapshots name it; RefusedError for one that no snapshot reaches."""
        directory = os.path.realpath(self._path.parent)
        for subdir in BACKED_UP:
            top = os.path.realpath(self._root / subdir)
            if directory == top or directory.startswith(f"{top}/"):
                return f"{subdir}{directory.removeprefix(top)}/{self._path.name}"
        raise RefusedError(
            f"{self._path} is there already, and --overwrite replaces only what a snapshot of the workspace "
            f"{self._root} holds:\nwhat lies in its {'/, '.join(BACKED_UP)}/. Move it away first, or give another name"
        )

    def _refusal(self, n: int) -> str:
        return (
            f"{self._path} is there already ({count_text(n, 'file')}), so nothing was written\n"
            "--overwrite replaces it, after a snapshot of it; or give another name"
        )


def _content_of(path: Path) -> tuple[str, bytes | None]:
    """What tells a file's content, and that of a card itself, which has the date of its run in it."""
    if path.is_symlink():
        return f"-> {os.readlink(path)}", None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path} is in the way and cannot be read ({error.strerror}); move it away") from error
    return hashlib.sha256(content).hexdigest(), content if path.name.endswith(SUFFIX) else None


def _is_same(there: tuple[str, bytes | None], new: bytes) -> bool:
    sha256, card = there
    return sha256 == hashlib.sha256(new).hexdigest() or (card is not None and _undated(card) == _undated(new))


def _undated(card: bytes) -> object:
    try:
        about = json.loads(card)
        return {name: value for name, value in about.items() if name != "made_at"}
    except (ValueError, AttributeError, RecursionError):
        return card
