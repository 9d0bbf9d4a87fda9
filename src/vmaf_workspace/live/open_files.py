"""What processes of this host have open, or work in."""

from __future__ import annotations

import os
import time
from contextlib import suppress

SECOND_LOOK_S = 0.1  # a scan has a directory open for milliseconds


def open_paths() -> dict[str, int]:
    """Every path that a process of this host has open or works in, with a pid; only what we may see, and on Linux."""
    paths: dict[str, int] = {}
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return paths
    own = str(os.getpid())
    for pid in pids:
        if pid == own:
            continue
        try:
            links = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        for link in (f"/proc/{pid}/cwd", *links):
            with suppress(OSError):
                target = os.readlink(link)
                if target.startswith("/"):
                    paths[target] = int(pid)
    return paths


def open_paths_below(directory: str) -> dict[str, int]:
    """What of *directory* (resolved) some process has open or works in, by its path below that, with a pid.

    Also where it knows the place by another path: in a container, or through a bind mount. A directory counts that is
    still open at a second look: who was only reading the tree, as `ws.status` or another clean does, has gone on then.
    """
    found = _find_open_paths(directory)
    if not any(os.path.isdir(os.path.join(directory, below)) for below in found):
        return found
    time.sleep(SECOND_LOOK_S)
    again = _find_open_paths(directory)
    return {
        below: pid
        for below, pid in (found | again).items()
        if (below in found and below in again) or not os.path.isdir(os.path.join(directory, below))
    }


def _find_open_paths(directory: str) -> dict[str, int]:
    prefix = directory.rstrip("/") + "/"
    names: set[str] = set()
    with suppress(OSError):
        names.update(os.listdir(directory))
    found: dict[str, int] = {}
    for path, pid in open_paths().items():
        if path.startswith(prefix):
            found[path.removeprefix(prefix)] = pid
            continue
        parts = path.split("/")
        for n in (n for n, part in enumerate(parts) if part in names):
            below = "/".join(parts[n:])
            with suppress(OSError):
                if os.path.samefile(f"/proc/{pid}/root{path}", prefix + below):
                    found[below] = pid
    return found
