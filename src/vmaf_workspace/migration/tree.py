"""What a directory holds, all of it, as one look finds it; two equal looks mean that nobody changed anything."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from vmaf_workspace.disk.scan import BLOCK
from vmaf_workspace.errors import InUseError, WorkspaceError

NO_CONTENT = "a FIFO, socket or device: it has no content to move"


@dataclass(slots=True)
class Tree:
    """What a directory holds, by path below it, each with its `lstat`; links are those that are symbolic."""

    directories: dict[str, os.stat_result] = field(default_factory=dict)  # parents first; "" is the top
    files: dict[str, os.stat_result] = field(default_factory=dict)
    links: dict[str, tuple[str, os.stat_result]] = field(default_factory=dict)  # where each leads
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (path, why)

    @property
    def apparent_bytes(self) -> int:
        """Sum of the sizes of the files; of hard-linked ones once."""
        return sum(self.files[names[0]].st_size for names in self.linked())

    @property
    def disk_bytes(self) -> int:
        """What the files take where they are, as `du` counts."""
        return sum(self.files[names[0]].st_blocks * BLOCK for names in self.linked())

    def linked(self) -> list[list[str]]:
        """The files, those that are hard links of each other together."""
        groups: dict[object, list[str]] = {}
        for path, about in self.files.items():
            groups.setdefault((about.st_dev, about.st_ino) if about.st_nlink > 1 else path, []).append(path)
        return list(groups.values())

    def digest(self) -> str:
        """Equal in two looks means nobody changed anything in between: names, inodes, sizes, times, links."""
        digest = hashlib.sha256()
        lines = [f"d {path}" for path in self.directories]
        lines += [f"f {path}\0{a.st_ino} {a.st_size} {a.st_mtime_ns} {a.st_ctime_ns}" for path, a in self.files.items()]
        lines += [f"l {path}\0{target}" for path, (target, _) in self.links.items()]
        for line in sorted(map(os.fsencode, lines)):  # the same in every locale
            digest.update(line + b"\0\0")
        return digest.hexdigest()


def read_tree(top: str, *, without: Sequence[str] = ()) -> Tree:
    """Everything below *top*, but for the entries *without* right below it.

    Raises WorkspaceError for a directory that cannot be read: a copy that misses files is none.
    """
    tree = Tree()
    pending = [""]
    while pending:
        below = pending.pop()
        directory = os.path.join(top, below) if below else top
        try:
            tree.directories[below] = os.lstat(directory)
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not below and entry.name in without:
                        continue
                    path = f"{below}/{entry.name}" if below else entry.name
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode):
                        pending.append(path)
                    elif stat.S_ISREG(about.st_mode):
                        tree.files[path] = about
                    elif stat.S_ISLNK(about.st_mode):
                        tree.links[path] = os.readlink(entry.path), about
                    else:
                        tree.left_out.append((path, NO_CONTENT))
        except FileNotFoundError:
            raise InUseError(f"{directory} changed while it was read; wait until nobody writes there") from None
        except OSError as error:
            raise WorkspaceError(
                f"cannot read {directory} ({error.strerror}); nothing was changed there\n"
                "make it readable, then try again"
            ) from error
    return tree
