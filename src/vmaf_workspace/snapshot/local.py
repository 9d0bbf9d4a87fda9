"""A backup location that is a directory: temporary sibling, then rename; `flock` tells who is alive."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vmaf_workspace.disk.atomic import open_regular, read_regular
from vmaf_workspace.disk.content import LARGE, copy_file, file_sha256, new_file, read_small, sync_file_system, write_all
from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.disk.workers import cores
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import Heartbeat, Holder, create_locked, perhaps_held, try_lock
from vmaf_workspace.live.mounts import mount_of
from vmaf_workspace.snapshot.location import (
    NO_INODES,
    PART,
    RUNNING,
    Inodes,
    check_removable,
    is_bad_block,
    location_errors_explained,
)
from vmaf_workspace.snapshot.manifest import DamagedError

# Where everything is written before it is renamed to its name. One directory: files made in 256 of them get inodes all
# over the disk, which took ext4 three times as long.
PARTS = "parts"
ANNOUNCING_S = 60.0  # an announcement gets its name within milliseconds
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
        with location_errors_explained(self.url, "list it"), suppress(FileNotFoundError):
            return os.listdir(f"{self._top}/{folder}")
        return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Of all that is no directory; links are not followed."""
        found: dict[str, int] = {}
        pending = [folder]
        with location_errors_explained(self.url, "list it"):
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

    def sizes_of(self, names: Sequence[str], *, source_inodes: Inodes = NO_INODES) -> list[int | None]:
        """By `stat`."""
        with location_errors_explained(self.url, "look into it"):
            return [_size(f"{self._top}/{name}", source_inodes) for name in names]

    def age_s(self, name: str) -> float:
        """By the modification time."""
        with location_errors_explained(self.url, f"look at {name}"):
            return time.time() - os.lstat(f"{self._top}/{name}").st_mtime

    def read(self, name: str) -> bytes:
        """All of it."""
        with self._reading(name):
            return read_regular(f"{self._top}/{name}")

    def sha256(self, name: str) -> str:
        """In chunks."""
        with self._reading(name):
            return file_sha256(f"{self._top}/{name}", follow=False)

    def write(self, name: str, content: bytes) -> None:
        """Content, then name, then both flushed."""
        with self._part_of(name) as part:
            _write_new(part, content, 0o644, flush=True)
        with (
            location_errors_explained(self.url, f"write {name}", missing_is_an_answer=False),
            open_directory(os.path.dirname(f"{self._top}/{name}"), follow=True) as fd,
        ):
            os.fsync(fd)

    def put(self, name: str, content: memoryview | Path, *, trusted: bool, source_inodes: Inodes = NO_INODES) -> bool:
        """A reflink where the file system has them, else copied by the kernel, else by us."""
        size = len(content) if isinstance(content, memoryview) else os.stat(content).st_size
        if self.sizes_of([name], source_inodes=source_inodes) == [size] and (trusted or self._is_whole(name)):
            return not trusted
        with self._part_of(name) as part:
            if isinstance(content, memoryview):
                _write_new(part, content, OBJECT_MODE)
            else:
                copy_file(str(content), part, OBJECT_MODE)
        return True

    def fetch(self, name: str, to: str) -> tuple[str, int]:
        """Small ones in one gulp; large ones copied by the kernel, then read back."""
        source = f"{self._top}/{name}"
        with self._reading(name), open_regular(source) as fd:
            content = read_small(fd) if os.fstat(fd).st_size <= LARGE else None
        if content is not None:
            _write_new(to, content, 0o600)
            return hashlib.sha256(content).hexdigest(), len(content)
        copy_file(source, to, 0o600, follow=False)
        return file_sha256(to), os.stat(to).st_size

    def remove(self, name: str) -> None:
        """Its directory stays."""
        check_removable(self.url, name)
        with location_errors_explained(self.url, f"remove {name}"), suppress(FileNotFoundError):
            os.unlink(f"{self._top}/{name}")

    def sync(self) -> None:
        """Flush this file system alone, once."""
        with location_errors_explained(self.url, "flush it"):
            sync_file_system(self._top)

    @contextmanager
    def announced(self, kind: str, command: str) -> Iterator[None]:
        """A file in `running/` whose lock the kernel frees when this process dies; in place only once locked.

        Where locks may not be seen, its time is renewed. Not elsewhere: it takes a thread, and who has one cannot fork.
        """
        name = f"running/{kind}-{os.urandom(8).hex()}.json"
        with ExitStack() as held:
            with self._part_of(name, "write there") as part:
                fd = create_locked(part, command, time.time(), mode=0o644)
                held.callback(os.close, fd)
            self._own.add(name)
            pulse = Heartbeat({name: fd})
            try:
                if mount_of(fd).lock_doubt:
                    pulse.start()
                yield
            finally:
                pulse.stop()
                self._own.discard(name)
                with suppress(OSError):
                    os.unlink(f"{self._top}/{name}")

    def others_at_work(self, kind: str) -> list[Holder]:
        """By trying each lock; the file of a dead one is removed. Where locks may not be seen, its age tells."""
        found = []
        for name in self.sizes("running"):
            if name in self._own or not RUNNING.fullmatch(name):
                continue
            with location_errors_explained(self.url, "look who is at work there"):
                state = try_lock(f"{self._top}/{name}")
            if isinstance(state, int):
                fd, state = state, perhaps_held(state)
                if state is None:
                    with suppress(OSError):
                        os.unlink(f"{self._top}/{name}")
                os.close(fd)
            if state is not None and os.path.basename(name).startswith(f"{kind}-"):
                found.append(state)
        return found

    def remove_leftovers(self) -> None:
        """Parts; a young one may be the announcement of somebody who is about to wait for us."""
        for name in self.sizes(PARTS):
            with suppress(FileNotFoundError):
                if PART.fullmatch(name) and self.age_s(name) > ANNOUNCING_S:
                    self.remove(name)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Errors of reading *name*, in words; DamagedError where it is no regular file."""
        try:
            with location_errors_explained(self.url, f"read {name}"):
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

    @contextmanager
    def _part_of(self, name: str, doing: str = "") -> Iterator[str]:
        """A place to write to, which becomes *name* when the block ends, and is gone where that fails."""
        with location_errors_explained(self.url, doing or f"write {name}", missing_is_an_answer=False):
            self._make_parent(name)
            self._make_parent(f"{PARTS}/")
            part = f"{self._top}/{PARTS}/{os.urandom(8).hex()}"
            try:
                yield part
                os.rename(part, f"{self._top}/{name}")
            except BaseException:
                with suppress(OSError):
                    os.unlink(part)
                raise

    def _make_parent(self, name: str) -> None:
        parent = os.path.dirname(name)
        if parent not in self._made:
            if not os.path.lexists(self._top):  # models that only their owner may read stay so
                os.makedirs(os.path.dirname(self._top), exist_ok=True)
                with suppress(FileExistsError):
                    os.mkdir(self._top, 0o700)
            os.makedirs(f"{self._top}/{parent}", exist_ok=True)
            self._made.add(parent)


def _size(path: str, source_inodes: Inodes) -> int | None:
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return None
    is_one_of_its_own = stat.S_ISREG(about.st_mode) and (about.st_dev, about.st_ino) not in source_inodes
    return about.st_size if is_one_of_its_own else None


def inodes_of(found: Iterable[os.stat_result]) -> Inodes:
    """Device and inode of files: what no object may be, by whatever name."""
    return frozenset((about.st_dev, about.st_ino) for about in found)


def _write_new(path: str, content: bytes | memoryview, mode: int, *, flush: bool = False) -> None:
    with new_file(path, mode) as fd:
        write_all(fd, content)
        if flush:
            os.fsync(fd)
