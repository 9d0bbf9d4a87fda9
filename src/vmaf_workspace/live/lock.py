"""Who is using the workspace: run directories with a lock, cleaners that exclude each other.

A run's lock is `flock` on the `run.json` inside its directory, so the kernel frees it when the process dies and the
file names the holder. The directory gets its final name only once the lock is held: no cleaner ever sees a run that
has begun and is not locked. `fcntl.flock` is called as it is: filelock wraps this one call and takes 70 ms to import.

A lock that is held proves that its holder lives. A free one proves that it is gone only where it would be seen: on the
same host, in the same PID namespace, through a mount that hands locks on. Elsewhere age decides; so a holder renews the
time of its file each minute, and writes down that it has ended.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from vmaf_workspace.config import below
from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8
from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.disk.unlink import TRASH, remove_tree
from vmaf_workspace.errors import InUseError, WorkspaceError
from vmaf_workspace.live.mounts import mount_of
from vmaf_workspace.setup import ensure, write_errors_explained

RUN_FILE = "run.json"
STARTING = ".starting-"  # a run directory that has no lock yet; seconds old, or left by a process that died
CLEANER = "cleaner.json"  # in the marker: the lock of whoever removes
MIN_AGE_S = 3600.0  # who cannot be asked, and has changed nothing for so long, is gone
RENEWED_EVERY_S = 60.0
COMMAND_LENGTH = 2000  # characters kept of a command: a list of files can be longer than what a reader reads


@dataclass(frozen=True, slots=True)
class Holder:
    """The process behind a lock, as it wrote itself down."""

    pid: int
    host: str
    command: str
    since_s: float  # seconds since the epoch
    namespace: str = ""  # of its process ids: two containers differ in that
    file_system: str = ""  # as it saw the place of its lock
    ended: bool = False  # it said so

    def __str__(self) -> str:
        if not self.pid:  # nobody could be read
            return f"somebody on {self.host} ({self.command})"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_s)) if self.since_s else "an unknown time"
        return f"process {self.pid} on {self.host} ({self.command}), since {since}"


class Run:
    """One run of a harness: its directories in `workdir/` and `output/`, made when first asked for, each locked.

    Leaving the context removes the `workdir/` directory unless `keep_workfiles`; `output/` stays for people, its lock
    freed. A killed run leaves both, and the next clean takes them.
    """

    def __init__(self, root: Path, *, command: str | None = None, keep_workfiles: bool = False) -> None:
        """Name a run in the workspace *root*; nothing is made yet. *command* defaults to the process's own."""
        import uuid

        self.id = str(uuid.uuid4())
        self.root = root
        self.keep_workfiles = keep_workfiles
        self.command = command if command is not None else " ".join(sys.argv)
        self.since_s = time.time()
        self._pid = os.getpid()
        self._locks: dict[str, int] = {}
        self._making = threading.Lock()  # worker threads ask for the same directory
        self._pulse = Heartbeat(self._locks)

    def workdir(self, *components: str) -> Path:
        """The run's directory in `workdir/`, or a path below it (only the run's own directory is made)."""
        return below(self._directory("workdir"), *components)

    def output(self, *components: str) -> Path:
        """The run's directory in `output/`, or a path below it (only the run's own directory is made)."""
        return below(self._directory("output"), *components)

    def __enter__(self) -> Run:
        """Nothing happens until a directory is asked for."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the scratch of the run and free its locks; a forked child that leaves, too, ends nothing."""
        if os.getpid() != self._pid:
            return
        self._pulse.stop()
        for fd in self._locks.values():
            _say_ended(fd, self.command, self.since_s)
        with ExitStack() as locks:
            for fd in self._locks.values():
                locks.callback(os.close, fd)
            if "workdir" in self._locks and not self.keep_workfiles:
                aside = f"{TRASH}{self.id}"  # so that a kill from here on leaves scratch, no riddle
                with suppress(OSError), open_directory(self.root / "workdir", follow=True) as workdir:
                    os.rename(self.id, aside, src_dir_fd=workdir, dst_dir_fd=workdir)
                    locks.close()  # NFS and FUSE only hide a file that is open, and its directory could not go
                    remove_tree(workdir, aside)
        self._locks.clear()

    def _directory(self, subdir: str) -> Path:
        final = self.root / subdir / self.id
        with self._making:
            if subdir not in self._locks:
                ensure(self.root)
                with write_errors_explained(self.root):
                    self._locks[subdir] = self._make(final)
                self._pulse.start()
        return final

    def _make(self, final: Path) -> int:
        starting = final.with_name(f"{STARTING}{self.id}")
        starting.mkdir()
        fd = -1
        try:
            fd = create_locked(starting / RUN_FILE, self.command, self.since_s)
            starting.rename(final)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            shutil.rmtree(starting, ignore_errors=True)
            raise
        return fd


class Heartbeat:
    """Renews the times of lock files while their holder lives, for those who cannot see the locks."""

    def __init__(self, locks: Mapping[str, int]) -> None:
        """*locks* are descriptors, by any name; there may be more of them later."""
        self._locks = locks
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless begun already."""
        if self._thread is None:
            thread = threading.Thread(target=self._renew, name="renews run.json", daemon=True)
            with suppress(RuntimeError):  # no more threads are to be had; what needs them says so itself
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Touch nothing any more: the descriptors may be closed."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(RENEWED_EVERY_S):
            for fd in list(self._locks.values()):
                with suppress(OSError):
                    os.utime(fd)


def create_locked(path: str | Path, command: str, since_s: float, *, mode: int = 0o666) -> int:
    """Make the lock file *path*, which must be new; the descriptor that holds it. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, about_this_process(command, since_s, fd=fd))
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        os.close(fd)
        raise
    return fd


def lock_doubt(fd: int) -> str:
    """Why the free lock on *fd* does not prove that its holder is gone; blank where it does."""
    holder = read_holder(fd)
    if holder is None or holder.ended:
        return ""
    mount = mount_of(fd)
    if mount.lock_doubt:
        return mount.lock_doubt
    if holder.host != os.uname().nodename:
        return f"it is of {holder.host or 'another host'}"
    if holder.namespace != _pid_namespace():
        return "it is of another container, or of another version of this program"
    if holder.file_system != mount.kind:
        return f"it was taken through {holder.file_system or 'another file system'}"
    return ""


def is_holder_gone(fd: int, *, min_age_s: float = MIN_AGE_S) -> bool:
    """Whether the holder of the free lock on *fd* is gone: for certain, or by the age of the file."""
    return not lock_doubt(fd) or max(time.time() - os.fstat(fd).st_mtime, 0.0) >= min_age_s


def perhaps_held(fd: int) -> Holder | None:
    """Who may still hold the lock on *fd*, free as it looks: who began lately, and whose lock would not be seen here.

    Between containers on one local disk locks are seen, so there nobody need wait after a kill.
    """
    holder, mount = read_holder(fd), mount_of(fd)
    is_seen = not mount.lock_doubt and holder is not None and holder.file_system in ("", mount.kind)
    return None if is_seen or is_holder_gone(fd) else holder


def try_lock(path: str | Path, *, dir_fd: int | None = None) -> int | Holder | None:
    """Try for the lock file *path*: a descriptor that holds it, the Holder that has it, or None where there is none.

    The caller closes the descriptor, which frees the lock. It is a shared one: that keeps a run out and lets others
    look at the same time. A free file that no run of ours wrote is no lock: it says nothing of who is alive. What
    another free one proves, `lock_doubt` says. Raises OSError where nobody can tell, as with another user's file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return read_holder(fd) or unknown_holder()
            if read_holder(fd) is not None:
                held, fd = fd, -1
                return held
        return None
    finally:
        if fd >= 0:
            os.close(fd)


@contextmanager
def removal_lock(root: Path, command: str) -> Iterator[None]:
    """Exclude other cleaners of *root* while the block runs; InUseError, naming the holder, where one is at work.

    Raises WorkspaceError where nobody can tell, as with a lock file of another user that may not be read.
    """
    with write_errors_explained(root):
        fd = _open_cleaner_lock(root)
    with ExitStack() as locks:
        if fd is not None:
            locks.callback(os.close, fd)
            with write_errors_explained(root):
                _exclude_others(fd, root)
        try:  # this one, too: it excludes where the file could not be made, for a full disk, or was removed since
            directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            locks.callback(os.close, directory)
            _exclude_others(directory, root)
        except OSError:
            if fd is None:  # otherwise the file will do: NFS locks no directory
                raise
        if fd is not None:
            if (holder := perhaps_held(fd)) is not None:
                raise InUseError(
                    f"another task may be removing in {root}: {holder}, and whether it still does, nobody can tell "
                    f"({lock_doubt(fd)}); wait for it to end, or remove {root / MARKER / CLEANER} if it has"
                )
            with suppress(OSError):  # a full disk must not stop a clean; the lock is what counts
                os.ftruncate(fd, 0)
                os.pwrite(fd, about_this_process(command, time.time(), fd=fd), 0)
            locks.callback(_say_ended, fd, command, time.time())  # before it is closed
        yield


@contextmanager
def migration_lock(root: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Keep the workspace *root* where it is while the block runs; *exclusive*: be the one task that moves it.

    The two exclude each other, and neither excludes cleaners. Raises InUseError where the other is at work.
    """
    with ExitStack() as held:
        try:
            marker = held.enter_context(open_directory(root / MARKER))  # of which no file is left or need be written
            fcntl.flock(marker, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "a backup of it" if exclusive else "`ws.migrate`"
            raise InUseError(f"{root} is in use by {what}; wait for that to end, then try again") from None
        except OSError:  # not marked yet, or NFS, which locks no directory; a backup looks again before it ends
            pass
        yield


def _open_cleaner_lock(root: Path) -> int | None:
    """The file that holds the lock and names the cleaner; None where there is no room for it."""
    path, flags = root / MARKER / CLEANER, os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError as denied:  # made by a colleague in a workspace that a group shares
        try:
            fd = os.open(path, flags | os.O_RDONLY)
        except FileNotFoundError:
            raise denied from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise WorkspaceError(f"{path} is a symlink, where a lock is a file; remove it") from None
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
            raise
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise WorkspaceError(f"{path} is no regular file, as a lock is; remove it")
    return fd


def _exclude_others(fd: int, root: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = read_holder(fd) or "a process that has not said its name"
        raise InUseError(f"another task is removing in {root}: {holder}; wait for it to end") from None


def about_this_process(command: str, since_s: float, *, fd: int | None = None, ended: bool = False) -> bytes:
    """What a holder writes into its lock file, which is open as *fd*, as `try_lock` reads it."""
    about = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "command": command[:COMMAND_LENGTH],
        "since_s": round(since_s, 3),
        "namespace": _pid_namespace(),
        "file_system": "" if fd is None else mount_of(fd).kind,
    }
    return json.dumps(paths_to_utf8(about | ({"ended": True} if ended else {}))).encode() + b"\n"


def _say_ended(fd: int, command: str, since_s: float) -> None:
    with suppress(OSError):  # a full disk, or a colleague's file: then age tells it
        os.pwrite(fd, about_this_process(command, since_s, fd=fd, ended=True), 0)


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux, or no /proc
        return ""


def read_holder(fd: int) -> Holder | None:
    """Who wrote itself down in *fd*; None for anything else, or for one that is just about to."""
    try:
        return holder_of(os.pread(fd, 1 << 16, 0))
    except OSError:
        return None


def holder_of(content: bytes) -> Holder | None:
    """Who wrote this, as `about_this_process` has it; None for anything else."""
    try:
        about = paths_from_utf8(json.loads(content))
        holder = Holder(
            pid=int(about["pid"]),
            host=_writable_text(about["host"]),
            command=_writable_text(about["command"]),
            since_s=float(about["since_s"]),
            namespace=_writable_text(about.get("namespace", "")),
            file_system=_writable_text(about.get("file_system", "")),
            ended=about.get("ended") is True,
        )
        time.localtime(holder.since_s)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return holder


def _writable_text(said: Any) -> str:
    """*said* as this process can write it down: what its locale lacks, or no encoding has, is escaped."""
    text = str(said)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("ascii", "backslashreplace").decode("ascii")
    return text


def unknown_holder() -> Holder:
    """Somebody who did not say who."""
    return Holder(0, "an unknown host", "unknown command", time.time())
