"""A backup location that is a directory: temporary sibling, then rename; `flock` tells who is alive."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vmaf_workspace.disk.atomic import read_whole
from vmaf_workspace.disk.kernel_copy import copy_in_kernel
from vmaf_workspace.disk.workers import cores
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import Holder, Pulse, about_this_process, perhaps_held, take
from vmaf_workspace.live.mounts import mount_of
from vmaf_workspace.snapshot.location import (
    NOBODYS,
    PART,
    RUNNING,
    Identities,
    check_removable,
    explained,
    is_bad_block,
)
from vmaf_workspace.snapshot.manifest import DamagedError

# Where everything is written before it is renamed to its name. One directory: files made in 256 of them get inodes all
# over the disk, which took ext4 three times as long.
PARTS = "parts"
ANNOUNCING_S = 60.0  # an announcement gets its name within milliseconds
CHUNK = 1 << 20  # bytes hashed at a time
NO_FILE = frozenset({errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ENXIO})  # a link, a FIFO, a directory, a socket
OBJECT_MODE = 0o444  # nobody edits an object by mistake


class LocalDirectory:
    """A `Location` on a file system of this machine, or mounted on it."""

    at_once = max(2, min(8, cores()))
    may_fork = True
    settle_s = 0.0  # a directory shows what is in it

    def __init__(self, directory: Path) -> None:
        """Nothing is made before the first write."""
        self.directory: Path | None = directory
        self.url = str(directory)
        self._top = str(directory)
        self._made: set[str] = set()
        self._own: set[str] = set()

    def names(self, folder: str) -> list[str]:
        """One listing."""
        with explained(self.url, "list it"), suppress(FileNotFoundError):
            return os.listdir(f"{self._top}/{folder}")
        return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Of all that is no directory; links are not followed."""
        found: dict[str, int] = {}
        pending = [folder]
        with explained(self.url, "list it"):
            while pending:
                below = pending.pop()
                try:
                    with os.scandir(f"{self._top}/{below}") as entries:
                        for entry in entries:
                            if entry.is_dir(follow_symlinks=False):
                                pending.append(f"{below}/{entry.name}")
                            else:
                                with suppress(FileNotFoundError):
                                    found[f"{below}/{entry.name}"] = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
        return found

    def sizes_of(self, names: Sequence[str], *, theirs: Identities = NOBODYS) -> list[int | None]:
        """By `stat`."""
        with explained(self.url, "look into it"):
            return [_size(f"{self._top}/{name}", theirs) for name in names]

    def age_s(self, name: str) -> float:
        """By the modification time."""
        with explained(self.url, f"look at {name}"):
            return time.time() - os.lstat(f"{self._top}/{name}").st_mtime

    def read(self, name: str) -> bytes:
        """All of it."""
        with self._reading(name):
            return read_whole(f"{self._top}/{name}")

    def sha256(self, name: str) -> str:
        """In chunks."""
        with self._reading(name):
            return file_sha256(f"{self._top}/{name}", follow=False)

    def write(self, name: str, content: bytes) -> None:
        """Content, then name, then both flushed."""
        with explained(self.url, f"write {name}", missing_is_an_answer=False):
            self._make_parent(name)
            path = f"{self._top}/{name}"
            part = self._part()
            try:
                _write_new(part, content, 0o644, flush=True)
                os.rename(part, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part)
                raise
            _flush_directory(os.path.dirname(path))

    def put(self, name: str, content: memoryview | Path, *, trusted: bool, theirs: Identities = NOBODYS) -> bool:
        """A reflink where the file system has them, else copied by the kernel, else by us."""
        path = f"{self._top}/{name}"
        size = len(content) if isinstance(content, memoryview) else os.stat(content).st_size
        if self.sizes_of([name], theirs=theirs) == [size] and (trusted or self._is_whole(name)):
            return not trusted
        with explained(self.url, f"write {name}", missing_is_an_answer=False):
            self._make_parent(name)
            part = self._part()
            try:
                if isinstance(content, memoryview):
                    _write_new(part, content, OBJECT_MODE)
                else:
                    copy_file(str(content), part, OBJECT_MODE)
                os.rename(part, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part)
                raise
        return True

    def fetch(self, name: str, to: str) -> tuple[str, int]:
        """Small ones in one gulp; large ones copied by the kernel, then read back."""
        source = f"{self._top}/{name}"
        with self._reading(name):
            fd = open_regular(source)
            try:
                content = read_small(fd) if os.fstat(fd).st_size <= LARGE else None
            finally:
                os.close(fd)
        if content is not None:
            _write_new(to, content, 0o600)
            return hashlib.sha256(content).hexdigest(), len(content)
        copy_file(source, to, 0o600, follow=False)
        return file_sha256(to), os.stat(to).st_size

    def remove(self, name: str) -> None:
        """Its directory stays."""
        check_removable(self.url, name)
        with explained(self.url, f"remove {name}"), suppress(FileNotFoundError):
            os.unlink(f"{self._top}/{name}")

    def sync(self) -> None:
        """Flush this file system alone, once."""
        with explained(self.url, "flush it"):
            sync_file_system(self._top)

    @contextmanager
    def announced(self, kind: str, command: str) -> Iterator[None]:
        """A file in `running/` whose lock the kernel frees when this process dies; in place only once locked.

        Where locks may not be seen, its time is renewed. Not elsewhere: it takes a thread, and who has one cannot fork.
        """
        name = f"running/{kind}-{os.urandom(8).hex()}.json"
        path = f"{self._top}/{name}"
        with explained(self.url, "write there", missing_is_an_answer=False):
            self._make_parent(name)
            part = self._part()
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                os.write(fd, about_this_process(command, time.time(), fd=fd))
                os.rename(part, path)
            except BaseException:
                os.close(fd)
                with suppress(OSError):
                    os.unlink(part)
                raise
        self._own.add(name)
        pulse = Pulse({name: fd})
        try:
            if mount_of(fd).doubt:
                pulse.start()
            yield
        finally:
            pulse.stop()
            self._own.discard(name)
            with suppress(OSError):
                os.unlink(path)
            os.close(fd)

    def others(self, kind: str) -> list[Holder]:
        """By trying each lock; the file of a dead one is removed. Where locks may not be seen, its age tells."""
        found = []
        for name in self.sizes("running"):
            if name in self._own or not RUNNING.fullmatch(name):
                continue
            with explained(self.url, "look who is at work there"):
                state = take(f"{self._top}/{name}")
            if isinstance(state, int):
                fd, state = state, perhaps_held(state)
                if state is None:
                    with suppress(OSError):
                        os.unlink(f"{self._top}/{name}")
                os.close(fd)
            if state is not None and os.path.basename(name).startswith(f"{kind}-"):
                found.append(state)
        return found

    def clear(self) -> None:
        """Parts; a young one may be the announcement of somebody who is about to wait for us."""
        for name in self.sizes(PARTS):
            with suppress(FileNotFoundError):
                if PART.fullmatch(name) and self.age_s(name) > ANNOUNCING_S:
                    self.remove(name)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Errors of reading *name*, in words; DamagedError where it is no regular file."""
        try:
            with explained(self.url, f"read {name}"):
                yield
        except WorkspaceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_FILE:
                raise DamagedError(
                    f"{name} in {self.url} is a link, a directory or a pipe, and no file of ours: "
                    "somebody put it there\n`ws.backup-models` stores again whatever of it the workspace still has"
                ) from error
            raise

    def _is_whole(self, name: str) -> bool:
        try:
            return self.sha256(name) == os.path.basename(name)
        except WorkspaceError as error:
            if is_bad_block(error):
                return False
            raise

    def _part(self) -> str:
        self._make_parent(f"{PARTS}/")
        return f"{self._top}/{PARTS}/{os.urandom(8).hex()}"

    def _make_parent(self, name: str) -> None:
        parent = os.path.dirname(name)
        if parent not in self._made:
            if not os.path.lexists(self._top):  # models that only their owner may read stay so
                os.makedirs(os.path.dirname(self._top), exist_ok=True)
                with suppress(FileExistsError):
                    os.mkdir(self._top, 0o700)
            os.makedirs(f"{self._top}/{parent}", exist_ok=True)
            self._made.add(parent)


def _size(path: str, theirs: Identities) -> int | None:
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return None
    is_one_of_its_own = stat.S_ISREG(about.st_mode) and (about.st_dev, about.st_ino) not in theirs
    return about.st_size if is_one_of_its_own else None


def identities(found: Iterable[os.stat_result]) -> Identities:
    """Device and inode of files: what no object may be, by whatever name."""
    return frozenset((about.st_dev, about.st_ino) for about in found)


def open_regular(path: str, *, follow: bool = False) -> int:
    """A descriptor to read the regular file *path*; OSError, of a number in NO_FILE, for anything else, at once."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return fd


LARGE = 1 << 20  # bytes; what is smaller is held in memory
_own = (
    threading.local()
)  # buffers of each thread: new memory for each file made threads wait for each other in the kernel


def read_small(fd: int) -> memoryview:
    """Up to LARGE + 1 bytes of *fd*, so that more than LARGE is told; valid until this thread reads the next."""
    buffer = _buffer("content")
    size = 0
    while count := os.readv(fd, [buffer[size:]]):
        size += count
    return buffer[:size]


def _buffer(use: str) -> memoryview:
    buffers: dict[str, memoryview] = _own.__dict__
    if use not in buffers:
        buffers[use] = memoryview(bytearray(LARGE + 1))
    return buffers[use]


def file_sha256(path: str, *, follow: bool = True) -> str:
    """The hash of a file's content, read in chunks; OSError for what is no regular file."""
    digest = hashlib.sha256()
    buffer = _buffer("hashing")  # another one: what `read_small` gave is still to be written
    fd = open_regular(path, follow=follow)
    try:
        while count := os.readv(fd, [buffer]):
            digest.update(buffer[:count])
    finally:
        os.close(fd)
    return digest.hexdigest()


def copy_file(source: str, to: str, mode: int, *, follow: bool = True) -> None:
    """Copy content to the new file *to*: shared blocks where the file system can, else in the kernel, else by us."""
    fd = open_regular(source, follow=follow)
    try:
        out = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            _copy(fd, out)
        finally:
            os.close(out)
    finally:
        os.close(fd)


def _copy(fd: int, out: int) -> None:
    copy_in_kernel(fd, out, os.fstat(fd).st_size)  # makes reflinks on Btrfs and XFS
    while chunk := os.read(fd, CHUNK):
        _write_all(out, chunk)


def sync_file_system(path: str) -> None:
    """Flush the file system that *path* lies on; raises OSError where the disk could not take it."""
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()  # not Linux: every file system, and no word of failure
        elif libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)


def _write_new(path: str, content: bytes | memoryview, mode: int, *, flush: bool = False) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        _write_all(fd, content)
        if flush:
            os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, content: bytes | memoryview) -> None:
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, memoryview(content)[written:])


def _flush_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
