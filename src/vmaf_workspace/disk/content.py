"""Content of files: read, hashed, copied and flushed; copied in the kernel where that can be had, as shared blocks."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.disk.scan import open_directory

MOST = 1 << 30  # bytes that the kernel is asked to copy at a time
CHUNK = 1 << 20  # bytes copied or hashed at a time
LARGE = 1 << 20  # bytes; what is smaller is held in memory
# Between two kinds of file systems; not known to the kernel, or to a container's filter of calls; not by this driver.
CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
CANNOT |= {errno.EACCES, errno.EBADF, errno.EOVERFLOW, errno.ETXTBSY}
# Buffers of each thread: new memory for each file made threads wait for each other in the kernel.
_own = threading.local()


def copy_range(reader: int, writer: int, begin: int, end: int) -> None:
    """Copy bytes *begin* to *end* to the same place of another file; fewer, and no error, where the file ends before.

    Raises OSError for what reading and writing meet, as a full disk.
    """
    os.lseek(reader, begin, os.SEEK_SET)
    os.lseek(writer, begin, os.SEEK_SET)
    while begin < end and hasattr(os, "copy_file_range"):
        try:
            n = os.copy_file_range(reader, writer, min(MOST, end - begin))  # makes reflinks on Btrfs and XFS
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            break
        if n == 0:  # not the end for certain: some file systems say it at once
            break
        begin += n
    while begin < end and (chunk := os.read(reader, min(CHUNK, end - begin))):
        write_all(writer, chunk)
        begin += len(chunk)


def copy_file(source: str, to: str, mode: int, *, follow: bool = True) -> None:
    """Copy content to the new file *to*."""
    with open_regular(source, follow=follow) as fd, new_file(to, mode) as out:
        copy_range(fd, out, 0, os.fstat(fd).st_size)


@contextmanager
def new_file(path: str, mode: int) -> Iterator[int]:
    """A descriptor to write the file *path* by, which must be new."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Write all of *content*, however little the system takes at a time."""
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, memoryview(content)[written:])


def read_small(fd: int) -> memoryview:
    """Up to LARGE + 1 bytes of *fd*, so that more than LARGE is told; valid until this thread reads the next."""
    buffer = _buffer("content")
    size = 0
    while count := os.readv(fd, [buffer[size:]]):
        size += count
    return buffer[:size]


def file_sha256(path: str, *, follow: bool = True) -> str:
    """The hash of a file's content, read in chunks; OSError for what is no regular file."""
    digest = hashlib.sha256()
    buffer = _buffer("hashing")  # another one: what `read_small` gave is still to be written
    with open_regular(path, follow=follow) as fd:
        while count := os.readv(fd, [buffer]):
            digest.update(buffer[:count])
    return digest.hexdigest()


def _buffer(use: str) -> memoryview:
    buffers: dict[str, memoryview] = _own.__dict__
    if use not in buffers:
        buffers[use] = memoryview(bytearray(LARGE + 1))
    return buffers[use]


def sync_file_system(path: str) -> None:
    """Flush the file system that the directory *path* lies on; raises OSError where the disk could not take it."""
    import ctypes

    with open_directory(path, follow=True) as fd:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()  # not Linux: every file system, and no word of failure
        elif libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
