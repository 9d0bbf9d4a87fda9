"""Unlinks one tree, whatever is in it: fd-relative, through no symlink, across no mount."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from vmaf_workspace.disk.scan import DEEPEST, OPEN_DIRECTORY, mount_id, usage_of

TRASH = ".vmaf-trash-"  # renamed aside by a removal; whatever bears this name is finished by the next clean


def remove_tree(parent: int, name: str) -> list[tuple[str, str]]:
    """Unlink the tree *name* in the directory *parent*; what could not go, as (path below *parent*, why).

    Never follows a link, never leaves the mount of *parent*. The caller's own directories are made writable for it, as
    compilers and package managers leave some read-only; one that nobody could read before goes only where it holds no
    workspace.
    """
    removal = _Removal(parent)
    removal.trees.append(name)
    while removal.trees:
        tree = removal.trees.pop()
        removal.remove(parent, tree, tree, 1)
    return removal.failures


class _Removal:
    """Trees on their way out of the directory *top*: those still to come, and what could not go."""

    def __init__(self, top: int) -> None:
        self.failures: list[tuple[str, str]] = []
        self.trees: list[str] = []
        self._top, self._mount = top, mount_id(top)

    def remove(self, parent: int, name: str, path: str, depth: int) -> None:
        """The directory *name* in *parent*, which errors call *path*."""
        try:
            with _open_readable(name, parent) as fd:
                if mount_id(fd) != self._mount:
                    self.failures.append((path, "something is mounted here; unmount it first"))
                    return
                self._empty(fd, path, depth)
        except FileNotFoundError:
            return
        except OSError as error:
            self.failures.append((path, error.strerror or str(error)))
            return
        remove_or_note(os.rmdir, name, parent, path, self.failures)

    def _empty(self, fd: int, prefix: str, depth: int) -> None:
        """Empty the directory *fd*; what is too deep to reach from here is moved to the top, for later."""
        try:
            with os.scandir(fd) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError as error:
            self.failures.append((prefix, error.strerror or str(error)))
            return
        if entries:
            _make_writable(fd)
        for name, is_directory in entries:
            path = f"{prefix}/{name}"
            if not is_directory:
                remove_or_note(os.unlink, name, fd, path, self.failures)
            elif depth < DEEPEST:
                self.remove(fd, name, path, depth + 1)
            else:  # too deep to hold every directory open: bring it up beside the tree
                up = f"{TRASH}{os.urandom(8).hex()}"
                try:
                    os.rename(name, up, src_dir_fd=fd, dst_dir_fd=self._top)
                    self.trees.append(up)
                except OSError as error:
                    self.failures.append((path, error.strerror or str(error)))


@contextmanager
def _open_readable(name: str, dir_fd: int) -> Iterator[int]:
    """A descriptor of the directory *name*, which is made readable where it is our own and may not be read."""
    try:
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=dir_fd)
    except PermissionError as denied:
        fd = _make_readable(name, dir_fd, denied)
    try:
        yield fd
    finally:
        os.close(fd)


def _make_readable(name: str, dir_fd: int, denied: PermissionError) -> int:
    closed = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        about = os.fstat(closed)
        if about.st_uid != os.geteuid() or mount_id(closed) != mount_id(dir_fd):
            raise denied
        os.chmod(f"/proc/self/fd/{closed}", stat.S_IMODE(about.st_mode) | stat.S_IRWXU)
        found = usage_of(name, dir_fd=dir_fd)
        if found.marked or found.mounts or found.unseen:
            os.chmod(f"/proc/self/fd/{closed}", stat.S_IMODE(about.st_mode))
            raise PermissionError(errno.EACCES, "it may hold a workspace of its own, or a mount: look into it")
        return os.open(name, OPEN_DIRECTORY, dir_fd=dir_fd)
    except FileNotFoundError:
        raise denied from None  # no /proc
    finally:
        os.close(closed)


def _make_writable(fd: int) -> None:
    """Let ourselves remove what lies in the directory *fd*, where it is our own and says no."""
    about = os.fstat(fd)
    if about.st_mode & stat.S_IRWXU != stat.S_IRWXU and about.st_uid == os.geteuid():
        with suppress(OSError):  # then each file in it says why it cannot go
            os.fchmod(fd, stat.S_IMODE(about.st_mode) | stat.S_IRWXU)


def remove_or_note(call: Callable[..., None], name: str, fd: int, path: str, failures: list[tuple[str, str]]) -> None:
    """Unlink or rmdir *name* in the directory *fd*; why it could not go is added to *failures*, as that of *path*."""
    try:
        call(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and any(failed.startswith(f"{path}/") for failed, _ in failures):
            return  # what is in the way has been named
        failures.append((path, error.strerror or str(error)))
