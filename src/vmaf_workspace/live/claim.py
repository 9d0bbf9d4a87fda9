"""Work that several processes may want, done by one of them while the others wait.

A claim only saves work: who cannot make one, or takes one from a holder that lives after all, does the same once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmaf_workspace.live.lock import Heartbeat, Holder, create_locked, is_holder_gone, try_lock

_LOOKS_EVERY_S = 0.2
_BEGUN_WITHIN_S = 60.0  # between making the file and locking it: older, its maker was killed there


@contextmanager
def claim(path: Path, command: str) -> Iterator[None]:
    """Hold the claim *path*, a file in a directory that is made if missing; wait while somebody who lives has it."""
    fd = -1
    try:
        path.parent.mkdir(exist_ok=True)
        while fd < 0:
            try:
                fd = create_locked(path, command, time.time())
            except FileExistsError:
                _remove_if_left(path)
                time.sleep(_LOOKS_EVERY_S)
    except OSError:  # no locks, no writing: then without
        yield
        return
    pulse = Heartbeat({path.name: fd})
    try:
        pulse.start()
        yield
    finally:
        pulse.stop()
        with suppress(OSError):
            path.unlink()
        os.close(fd)


def _remove_if_left(path: Path) -> None:
    lock = try_lock(path)
    if isinstance(lock, Holder):
        return
    with suppress(OSError):  # removed by its holder meanwhile
        status = path.stat()
        if lock is None:
            is_left = time.time() - status.st_mtime > _BEGUN_WITHIN_S
        else:
            is_left = is_holder_gone(lock) and os.fstat(lock).st_ino == status.st_ino
        if is_left:
            path.unlink()
    if lock is not None:
        os.close(lock)
