"""What is on disk; reads only, follows no symlink, and says what it could not read."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from vmaf_workspace.contract import MARKER

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEEPEST = 200  # directories held open at once; below them one is, and the way up is by `..`
BLOCK = 512  # unit of st_blocks, POSIX


@dataclass(slots=True)
class Usage:
    """Sizes of a tree. Hard links count once, as `du` counts; directories count in `disk_bytes` alone.

    A row of *links*: device, inode, its links in the tree, its links in all, its bytes on disk.
    """

    files: int = 0  # everything that is no directory
    apparent_bytes: int = 0  # sum of st_size of the files
    disk_bytes: int = 0  # allocated, directories included: what `du` says
    newest_ns: int = 0  # newest modification time in the tree, directories included
    changed_ns: int = 0  # newest change time in it, which nobody can set to an older one
    links: list[list[int]] = field(default_factory=list)  # of each inode with a link from elsewhere
    problems: list[tuple[str, str]] = field(default_factory=list)  # (path below the tree, what is wrong with it)
    mounts: list[str] = field(default_factory=list)  # paths below the tree where another file system is mounted
    marked: list[str] = field(default_factory=list)  # directories of the tree that are workspaces themselves
    unseen: list[str] = field(default_factory=list)  # directories that we cannot look into, and a removal perhaps can

    def add(self, other: Usage) -> None:
        """Count *other* in."""
        for each in fields(self):
            one, two = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, max(one, two) if each.name in ("newest_ns", "changed_ns") else one + two)


def usage_of(
    name: str, *, dir_fd: int | None = None, cross_mounts: bool = False, seen: set[tuple[int, int]] | None = None
) -> Usage:
    """Measure the file or the tree *name*. *seen* carries hard links over several calls.

    A mount below is named and left out, unless *cross_mounts*, as `du` does. Raises OSError for *name* itself alone.
    """
    usage = Usage()
    links: dict[tuple[int, int], list[int]] = {}
    about = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    if stat.S_ISDIR(about.st_mode):
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=dir_fd)
        try:
            mount = None if cross_mounts else mount_id(fd)
            if mount is not None and dir_fd is not None and mount != mount_id(dir_fd):
                usage.mounts.append(".")
            walk = Walk(usage, seen=seen, mount=mount)
            walk.descend(fd)
            links = walk.links
        finally:
            os.close(fd)
        usage.disk_bytes += about.st_blocks * BLOCK
    else:
        usage.files = 1
        key = (about.st_dev, about.st_ino)
        if about.st_nlink == 1 or seen is None or key not in seen:
            usage.apparent_bytes, usage.disk_bytes = about.st_size, about.st_blocks * BLOCK
        if about.st_nlink > 1:
            links[key] = [1, about.st_nlink, about.st_blocks * BLOCK, about.st_size]
            if seen is not None:
                seen.add(key)
    usage.newest_ns = max(usage.newest_ns, about.st_mtime_ns)
    usage.changed_ns = max(usage.changed_ns, about.st_ctime_ns)
    usage.links = [[*key, count, known, size] for key, (count, known, size, _) in links.items() if known > count]
    return usage


class Walk:
    """One measurement while it runs, into *usage*; what is in *seen* counts no more.

    *mount* is the only one that is measured, None where all are. `links` has of each inode with several links: those in
    the tree, all, its bytes on disk, its size.
    """

    def __init__(self, usage: Usage, *, seen: set[tuple[int, int]] | None = None, mount: int | None = None) -> None:
        self.usage, self.seen, self.mount = usage, set() if seen is None else seen, mount
        self.links: dict[tuple[int, int], list[int]] = {}

    def descend(self, fd: int, prefix: str = "", depth: int = 1) -> None:
        """Count what is in the directory *fd*, each directory on the way held open."""
        for name in self.count_entries(fd, prefix):
            path = f"{prefix}{name}"
            if (child := self._open(fd, name, path)) is None:
                continue
            try:
                if self.mount is not None and mount_id(child) != self.mount:
                    self.usage.mounts.append(path)
                elif depth < DEEPEST:
                    self.descend(child, f"{path}/", depth + 1)
                else:
                    self._descend_deep(child, f"{path}/")
            except OSError as error:
                self._note_unseen(path, error)
            finally:
                os.close(child)

    def _descend_deep(self, fd: int, prefix: str) -> None:
        """The same with one directory open, however deep it goes; each `..` must be where we came from."""
        here = os.dup(fd)
        try:
            above = [(prefix, self.count_entries(here, prefix), _inode(here))]
            while above:
                prefix, waiting, _ = above[-1]
                if not waiting:
                    above.pop()
                    if above:
                        here = _open_parent(here, above[-1][2])
                    continue
                path = f"{prefix}{(name := waiting.pop())}"
                if (child := self._open(here, name, path)) is None:
                    continue
                if self.mount is not None and mount_id(child) != self.mount:
                    os.close(child)
                    self.usage.mounts.append(path)
                    continue
                os.close(here)
                here, below = child, []
                try:
                    below = self.count_entries(here, f"{path}/")
                except OSError as error:
                    self._note_unseen(path, error)
                above.append((f"{path}/", below, _inode(here)))
        finally:
            os.close(here)

    def _open(self, fd: int, name: str, path: str) -> int | None:
        try:
            return os.open(name, OPEN_DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note_unseen(path, error)
            return None

    def _note_unseen(self, path: str, error: OSError) -> None:
        self.usage.problems.append((path, error.strerror or str(error)))
        if error.errno not in (errno.EACCES, errno.EPERM):  # what forbids a look forbids a removal as well
            self.usage.unseen.append(path)

    def count_entries(self, fd: int, prefix: str) -> list[str]:
        """Count what lies right in the directory *fd*; the names of its directories."""
        usage, links = self.usage, self.links
        files = apparent = blocks = 0
        newest, changed = usage.newest_ns, usage.changed_ns
        below: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a live run removes what it no longer needs
                if about.st_mtime_ns > newest:
                    newest = about.st_mtime_ns
                if about.st_ctime_ns > changed:
                    changed = about.st_ctime_ns
                if stat.S_ISDIR(about.st_mode):
                    below.append(entry.name)
                    if entry.name == MARKER:
                        usage.marked.append(prefix or ".")
                    blocks += about.st_blocks
                    continue
                files += 1
                if about.st_nlink > 1:
                    key = (about.st_dev, about.st_ino)
                    if key in links:
                        links[key][0] += 1
                        continue
                    if key in self.seen:
                        continue
                    self.seen.add(key)
                    links[key] = [1, about.st_nlink, about.st_blocks * BLOCK, about.st_size]
                apparent += about.st_size
                blocks += about.st_blocks
        usage.files += files
        usage.apparent_bytes += apparent
        usage.disk_bytes += blocks * BLOCK
        usage.newest_ns, usage.changed_ns = newest, changed
        return below


def _open_parent(fd: int, inode: tuple[int, int]) -> int:
    """The directory that *fd*, which is closed, lies in; OSError unless that is *inode*."""
    try:
        up = os.open("..", OPEN_DIRECTORY, dir_fd=fd)
    except OSError as error:
        raise OSError(errno.ESTALE, f"the way back up is closed: {error.strerror}") from error
    if _inode(up) != inode:
        os.close(up)
        raise OSError(errno.ESTALE, "moved while it was read")
    os.close(fd)
    return up


def _inode(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino


def mount_id(fd: int) -> int:
    """Which mount *fd* lies on: tells a bind mount of the same file system apart, which st_dev does not (Linux).

    Elsewhere st_dev, which tells other file systems apart.
    """
    try:
        info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:  # no /proc in this chroot, or no Linux
        if error.errno in (errno.EMFILE, errno.ENFILE):  # what lacks descriptors is no other mount
            raise
        return _mount_id_without_proc(fd)
    try:
        for line in os.read(info, 4096).splitlines():
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    finally:
        os.close(info)
    return os.fstat(fd).st_dev


def _mount_id_without_proc(fd: int) -> int:
    """The same by statx(2), which is slower to begin with and knows it from Linux 5.8 on; else st_dev."""
    empty_path, mnt_id = 0x1000, 0x1000
    try:
        import ctypes

        about = ctypes.create_string_buffer(256)
        found = ctypes.CDLL(None).statx(fd, b"", empty_path, mnt_id, about) == 0
    except (ImportError, AttributeError, OSError):  # a libc without it, or no descriptor left to load it
        found = False
    if found and int.from_bytes(about.raw[:4], sys.byteorder) & mnt_id:
        return int.from_bytes(about.raw[144:152], sys.byteorder)
    return os.fstat(fd).st_dev


def files_below(top: str | os.PathLike[str]) -> Iterator[str]:
    """Paths of all below *top* that is no directory; no link is followed, however deep it goes.

    What cannot be read, or has a longer name than the system takes, is passed over.
    """
    pending = [os.fspath(top)]
    while pending:  # os.walk and Path.rglob call themselves for each level before Python 3.12 and 3.13
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        yield entry.path
        except OSError:
            continue


@contextmanager
def open_directory(directory: str | Path, *, dir_fd: int | None = None, follow: bool = False) -> Iterator[int]:
    """A descriptor of *directory*; a symlink in its last component is an error unless *follow*."""
    fd = os.open(directory, OPEN_DIRECTORY & ~(os.O_NOFOLLOW if follow else 0), dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def open_path(directory: str | Path) -> Iterator[int]:
    """A descriptor to ask about *directory*, which need not be readable, as the parents of a home often are not."""
    fd = os.open(directory, OPEN_DIRECTORY | getattr(os, "O_PATH", 0))
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def open_directory_below(top: int, below: str, *, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory *below* the descriptor *top*, reached through no symlink; with *make*, made."""
    fd = os.dup(top)
    try:
        for name in filter(None, below.split("/")):
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            os.close(fd)  # one is held, however deep it goes
            fd = child
        yield fd
    finally:
        os.close(fd)
