"""What there is to back up: every file of the three subdirectories, by group; reads only, follows no symlink below."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_workspace.contract import KEPT_NAMES
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.groups import BACKED_UP, group_of
from vmaf_workspace.snapshot.manifest import STAGING
from vmaf_workspace.unlink import ASIDE

Signature = tuple[int, int, int, int, int]  # size, mtime, ctime (ns), inode, device: equal means not changed


@dataclass(slots=True)
class Tree:
    """Files and symlinks by path below the workspace, each with its `lstat`; what is neither is *left_out*."""

    found: dict[str, os.stat_result] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (path, why)
    modes: dict[str, int] = field(default_factory=dict)  # permission bits of every directory

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
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev


def look(root: Path, subdirs: tuple[str, ...] = BACKED_UP, *, with_rests: bool = False) -> Tree:
    """All of *subdirs* of the workspace *root*, empty where there is none; a subdirectory may be a symlink.

    *with_rests*: also what a removal or a restore that was killed left under a hidden name of ours.

    Raises WorkspaceError for a directory that cannot be read.
    """
    tree = Tree()
    for subdir in subdirs:
        top = os.path.realpath(root / subdir)
        pending = [""] if os.path.lexists(top) else []
        while pending:
            below = pending.pop()
            try:
                directory = os.path.join(top, below) if below else top
                tree.modes[f"{subdir}/{below}" if below else subdir] = os.lstat(directory).st_mode & 0o777
                with os.scandir(directory) as entries:
                    for entry in entries:
                        rest = entry.name.startswith(ASIDE) or (not below and entry.name.startswith(STAGING))
                        if (not below and entry.name in KEPT_NAMES) or (rest and not with_rests):
                            continue
                        path = f"{below}/{entry.name}" if below else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(path)
                            continue
                        _add(tree, f"{subdir}/{path}", entry)
            except FileNotFoundError:
                continue  # removed while we looked; a second look tells
            except OSError as error:
                raise unreadable(os.path.join(top, below), error) from error
    return tree


def unreadable(path: str, error: OSError) -> WorkspaceError:
    """What to say of models that cannot be read: nothing that is done without knowing them is right."""
    return WorkspaceError(
        f"cannot read {path} ({error.strerror}), and nobody can tell what it holds; nothing was changed\n"
        "make it readable, or move it out of the workspace"
    )


def _add(tree: Tree, path: str, entry: os.DirEntry[str]) -> None:
    try:
        about = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode):
        tree.found[path] = about
    else:
        tree.left_out.append((path, "a FIFO, socket or device: it has no content to keep"))
