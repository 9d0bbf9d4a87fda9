"""What there is to back up: every file of the three subdirectories, by group; reads only, follows no symlink below."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_workspace.contract import KEPT_NAMES, MARKER
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.groups import BACKED_UP, group_of
from vmaf_workspace.snapshot.manifest import STAGING

STOPPED = "left of a wipe that was stopped: `ws.wipe-models` finishes it, `ws.restore-models` undoes it"
SPECIAL = "a FIFO, socket or device: it has no content to keep"
OUR_NAME = "a directory by a name of ours, which no snapshot holds and no wipe removes; give it another name"

# Size, mtime, ctime (ns), inode: equal means not changed. No device: it has another number after the next boot.
Signature = tuple[int, int, int, int]


@dataclass(slots=True)
class ModelTree:
    """Files and symlinks by path below the workspace, each with its `lstat`; apart, what is neither or is ours."""

    found: dict[str, os.stat_result] = field(default_factory=dict)
    special: dict[str, os.stat_result] = field(default_factory=dict)  # FIFOs, sockets, devices
    rests: dict[str, os.stat_result] = field(default_factory=dict)  # files of a wipe or a restore that was stopped
    ours: list[str] = field(default_factory=list)  # directories called like our placeholder
    modes: dict[str, int] = field(default_factory=dict)  # permission bits of every directory

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What no snapshot takes, as (path, why)."""
        return [
            *((path, SPECIAL) for path in self.special),
            *((path, OUR_NAME) for path in self.ours),
            *((path, STOPPED) for path in self.rests if is_in_trash(path)),
        ]

    @property
    def workspaces(self) -> list[str]:
        """Directories that are workspaces themselves."""
        return [directory_of(path) for path in self.modes if path.endswith(f"/{MARKER}") and path.count("/") > 1]

    def directories(self) -> set[str]:
        """Every directory with a file in it, as a path below the workspace."""
        return {directory_of(path) for path in self.found}

    def groups(self) -> dict[str, tuple[tuple[str, Signature], ...]]:
        """Members of each group, each with its signature: equal in two looks means nobody wrote in between."""
        groups: dict[str, list[tuple[str, Signature]]] = {}
        for path in sorted(self.found):
            groups.setdefault(group_of(path), []).append((path, signature(self.found[path])))
        return {group: tuple(members) for group, members in groups.items()}


def directory_of(path: str) -> str:
    """The directory of a file, both as paths below the workspace."""
    return path.rpartition("/")[0]


def signature(about: os.stat_result) -> Signature:
    """What tells that a file is the same, unread."""
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def is_in_trash(path: str) -> bool:
    """Whether a removal has renamed this aside, or a directory that it lies in."""
    return any(name.startswith(TRASH) for name in path.split("/"))


def stopped_wipe(root: Path) -> list[tuple[str, str]]:
    """What a wipe that was stopped has left, as (path, what to do); empty where that cannot be read."""
    with suppress(WorkspaceError):
        return [(path, why) for path, why in scan_models(root).left_out if why == STOPPED]
    return []


def scan_models(root: Path, subdirs: tuple[str, ...] = BACKED_UP) -> ModelTree:
    """All of *subdirs* of the workspace *root*, empty where there is none; a subdirectory may be a symlink.

    Raises WorkspaceError for a directory that cannot be read.
    """
    tree = ModelTree()
    for subdir in subdirs:
        top = os.path.realpath(root / subdir)
        pending = [""] if os.path.lexists(top) else []
        while pending:
            below = pending.pop()
            is_rest = is_in_trash(below) or below.startswith(STAGING)
            try:
                directory = os.path.join(top, below) if below else top
                if not is_rest:
                    tree.modes[f"{subdir}/{below}" if below else subdir] = os.lstat(directory).st_mode & 0o777
                with os.scandir(directory) as entries:
                    for entry in entries:
                        path = f"{below}/{entry.name}" if below else entry.name
                        is_directory = entry.is_dir(follow_symlinks=False)
                        if not below and entry.name in KEPT_NAMES:
                            if is_directory and entry.name != MARKER:
                                tree.ours.append(f"{subdir}/{path}")
                        elif is_directory:
                            pending.append(path)
                        else:
                            with suppress(FileNotFoundError):
                                about = entry.stat(follow_symlinks=False)
                                is_file = stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode)
                                kind = tree.rests if is_rest or entry.name.startswith(TRASH) else tree.found
                                (kind if is_file else tree.special)[f"{subdir}/{path}"] = about
            except FileNotFoundError:
                continue  # removed while we looked; a second look tells
            except OSError as error:
                raise unreadable_error(os.path.join(top, below), error) from error
    return tree


def unreadable_error(path: str, error: OSError) -> WorkspaceError:
    """What to say of models that cannot be read: nothing that is done without knowing them is right."""
    return WorkspaceError(
        f"cannot read {path} ({error.strerror}), and nobody can tell what it holds; nothing was changed\n"
        "make it readable, or move it out of the workspace"
    )
