"""Sessions: programs that `ws.run` started in the workspace, and the scratch that they made."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.live.lock import MIN_AGE_S, Heartbeat, Holder, create_locked, is_holder_gone, read_holder, try_lock
from vmaf_workspace.setup import ensure, write_errors_explained

SESSIONS = "sessions"  # in the marker: a lock file for each of them
RECORDS = "made"  # in the marker: a file for each of them, with the scratch that it made
ENDED = ".over"  # suffix of such a file once its session has ended
TICK_NS = 10_000_000  # the kernel's clock of time stamps lags by so much
RECORD_KEPT_S = 7 * 86400.0  # what a session made so long ago is old by itself


@contextmanager
def session(root: Path, command: str) -> Iterator[int]:
    """Hold a session in the workspace *root*, made if missing: what is newer than its start is nobody's to clean.

    Yields a descriptor; a child that inherits it holds the session on should this process be killed.
    """
    ensure(root)
    directory = root / MARKER / SESSIONS
    with write_errors_explained(root):
        directory.mkdir(exist_ok=True)
        for name in stale_sessions(root):
            with suppress(OSError):
                (directory / name).unlink()
        path = directory / f"{uuid.uuid4()}.json"
        fd = create_locked(path, command, time.time())
    pulse = Heartbeat({path.name: fd})
    try:
        pulse.start()
        yield fd
    finally:
        pulse.stop()
        os.close(fd)  # a child may hold it on: then its lock is not free, and its file stays
        with suppress(OSError):
            free = try_lock(path)
            if isinstance(free, int):
                path.unlink()
                os.close(free)


def live_sessions(root: Path, *, min_age_s: float = MIN_AGE_S) -> dict[str, Holder]:
    """The sessions that are held now, by the name of their lock file.

    Where a free lock proves nothing, one whose file was renewed within *min_age_s* counts as held.
    """
    return {name: holder for name, holder in _session_locks(root, min_age_s) if holder is not None}


def stale_sessions(root: Path) -> list[str]:
    """Names of lock files whose session is over; the next one removes them."""
    return [name for name, holder in _session_locks(root, MIN_AGE_S) if holder is None]


def _session_locks(root: Path, min_age_s: float) -> Iterator[tuple[str, Holder | None]]:
    directory = root / MARKER / SESSIONS
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:  # made by another user, whose programs nobody must take for ended
        yield "", Holder(0, "an unknown host", f"sessions that may not be listed: {error.strerror}", 0.0)
        return
    for name in names:
        try:
            lock = try_lock(directory / name)
        except OSError as error:  # of another user, who shares the workspace: nobody can tell that it is over
            lock = Holder(0, "an unknown host", f"a session that may not be read: {error.strerror}", 0.0)
        if isinstance(lock, int):
            fd, lock = lock, None if is_holder_gone(lock, min_age_s=min_age_s) else read_holder(lock)
            os.close(fd)
            if lock is None:
                yield name, None
        if lock is not None:
            with suppress(OSError):  # the clock of the file system dates what is made there; another host's is wrong
                lock = replace(lock, since_s=min(lock.since_s, (directory / name).lstat().st_mtime))
            if lock.since_s > time.time():  # the clock was set back: nobody can tell when it began
                lock = replace(lock, since_s=0.0)
            yield name, lock


@contextmanager
def recording_scratch(root: Path) -> Iterator[str]:
    """A file in which the programs of a session of *root* write down the scratch that they make.

    Once the block has ended, those entries are nobody's (`scratch_of_ended_sessions`). Its path is blank where no file
    can be made: then age decides.
    """
    directory = root / MARKER / RECORDS
    path = directory / str(uuid.uuid4())
    try:
        directory.mkdir(exist_ok=True)
        for name in os.listdir(directory):
            if time.time() - (directory / name).lstat().st_mtime > RECORD_KEPT_S:
                (directory / name).unlink()
        path.touch(exist_ok=False)
    except OSError:
        yield ""
        return
    try:
        yield str(path)
    finally:
        with suppress(OSError):
            if path.stat().st_size:
                time.sleep(2 * TICK_NS / 1e9)  # so that whatever the session wrote is older, and no later writer's is
                os.utime(path)  # by the clock of the file system, which dates what was made
                path.rename(f"{path}{ENDED}")
            else:
                path.unlink()


def scratch_of_ended_sessions(root: Path) -> dict[str, int]:
    """Entries of scratch that programs of `ws.run` made, and when their session ended, in ns, by their path."""
    made: dict[str, int] = {}
    directory = root / MARKER / RECORDS
    with suppress(OSError):
        for name in os.listdir(directory):
            if name.endswith(ENDED):
                path = directory / name
                for entry in read_regular(path, at_most=1 << 26).split(b"\0"):
                    made[os.fsdecode(entry)] = max(made.get(os.fsdecode(entry), 0), path.lstat().st_mtime_ns)
    return made
