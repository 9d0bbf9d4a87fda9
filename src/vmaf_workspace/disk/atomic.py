"""Small files of ours: there whole or not at all, read back before they count, and nothing else read in their place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.disk.trust import why_stat_untrusted

MOST_BYTES = 1 << 30  # that are read of one: a million files listed take a third of this


def write_atomically(path: Path, content: bytes, *, reader: Callable[[bytes], object] | None = None) -> None:
    """Make *path* hold *content*, or leave it as it was; OSError where it cannot be written.

    *reader* is given what the disk holds before that takes the name: what it raises goes through, and *path* stays.
    """
    with replacing(path) as temporary:
        with temporary.open("xb") as file:
            file.write(content)
        if reader is not None:
            reader(temporary.read_bytes())


def read_regular(
    path: str | Path, *, follow: bool = False, at_most: int = MOST_BYTES, top: str | Path | None = None
) -> bytes:
    """The content of a regular file; OSError for anything else, at once, and for more than *at_most* bytes.

    A link is not followed unless *follow*: where only we write, it is nobody's. With *top*, the directory that the
    file speaks for, a stranger's is a PermissionError that says whose it is.
    """
    with open_regular(path, follow=follow) as fd:
        about = os.fstat(fd)
        if top is not None and (why := why_stat_untrusted(about, os.stat(top), top)) is not None:
            raise PermissionError(errno.EPERM, f"a file {why}", str(path))
        if about.st_size > at_most:
            raise OSError(errno.EFBIG, f"it has {about.st_size} bytes, too many", str(path))
        with open(fd, "rb", closefd=False) as file:
            content = file.read(about.st_size + 1)  # Python takes as much memory as it is told to read
            if len(content) > about.st_size:  # it grew, or its file system says no sizes
                content += file.read()
        if len(content) > at_most:
            raise OSError(errno.EFBIG, f"it has {len(content)} bytes, too many", str(path))
        return content


def write_into(
    directory: Path, name: str, content: Callable[[int], bytes], *, sync: bool = False, new: bool = False
) -> None:
    """Make the file *name* in *directory* hold *content*, which is told the inode that it gets; raises OSError.

    For what lies where others may write, too: the directory is opened once, is no link, and nothing there is followed
    or written into. With *new*, FileExistsError where the name is taken.
    """
    part = name if new else f".{name}.{os.urandom(4).hex()}.tmp"
    with open_directory(directory) as fd:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=fd)
        try:
            with open(file, "wb") as out:
                out.write(content(os.fstat(file).st_ino))
                out.flush()
                if sync:
                    os.fsync(file)
            if not new:
                os.replace(part, name, src_dir_fd=fd, dst_dir_fd=fd)
        except BaseException:
            if not new:  # who finds a new one half written knows that nothing was said
                with suppress(OSError):
                    os.unlink(part, dir_fd=fd)
            raise


@contextmanager
def open_regular(path: str | Path, *, follow: bool = False) -> Iterator[int]:
    """A descriptor to read a regular file; OSError for anything else, at once: a FIFO or a device may have no end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield fd
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A sibling to write to: it becomes *path* when the block ends, and is gone where the block fails.

    Named `.<stem>.<8 hex digits>.tmp`, the stem shortened to 200 bytes.
    """
    stem = os.fsdecode(os.fsencode(path.stem)[:200])
    temporary = path.with_name(f".{stem}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
