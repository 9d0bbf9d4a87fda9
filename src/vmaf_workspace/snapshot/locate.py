"""Which place is the backup location, and whether it may be one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.errors import RefusedError, UsageError
from vmaf_workspace.locate import locate, user_directory
from vmaf_workspace.snapshot.local import LocalDirectory
from vmaf_workspace.snapshot.location import NAME_PATTERNS, VARIABLE, Location, check_is_ours

_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*(?:::|://)", re.IGNORECASE)


def open_location(at: str = "", *, root: Path | None = None) -> Location:
    """The location that *at* names (`--at`, Invoke's `ws.backups`), else VMAF_BACKUPS, else the user's data directory.

    Nothing is made yet. *root* is the workspace, which it may not lie in. Raises RefusedError for a directory in any
    workspace or with anybody else's files, UsageError for a URL that no installed driver knows.
    """
    url = at.strip() or os.environ.get(VARIABLE, "").strip() or _default()
    url = _LOCAL.sub("", url)  # what fsspec would reach by these is a directory, with links and a workspace around it
    if _URL.match(url):
        from vmaf_workspace.snapshot.remote import Remote

        return Remote(url)
    if "\0" in url:
        raise UsageError(f"a backup location with a NUL byte: {url!r}")
    directory = locate(url).path
    _check(directory, root)
    found = LocalDirectory(directory)
    check_is_ours(found)
    return found


def disk_warning(location: Location, root: Path) -> str | None:
    """What to say while *location* lies on the disk of the workspace *root*, which takes both when it dies.

    Or where it does not even outlive the process.
    """
    if location.url.startswith("memory:"):
        return f"{location.url} is in the memory of this process, and gone when it ends"
    if location.directory is None or not root.exists():
        return None
    nearest = next(place for place in (location.directory, *location.directory.parents) if place.exists())
    if os.stat(nearest).st_dev != os.stat(root).st_dev:
        return None
    return (
        f"the backups in {location.directory} are on the workspace's own disk, and would be lost with it; "
        f"--at, ws.backups or {VARIABLE} names another place"
    )


def _default() -> str:
    return str(user_directory("data", remedy=f"set {VARIABLE} or give --at") / "backups")


def _check(directory: Path, root: Path | None) -> None:
    real = Path(os.path.realpath(directory))
    if root is not None:
        tree, mounts = Path(os.path.realpath(root)), _mounts()
        ours = [_on_disk(os.path.realpath(directory / folder), mounts) for folder in ("", *NAME_PATTERNS)]
        for place in (tree, *(Path(os.path.realpath(tree / subdir.name)) for subdir in SUBDIRS)):
            there = _on_disk(str(place), mounts)
            if any(one == there or one.startswith(f"{there}/") for one in ours):
                raise RefusedError(
                    f"the backup location {directory} lies inside the workspace ({place}): what takes one takes both;\n"
                    f"name another place with --at or {VARIABLE}"
                )
    guard.check_not_inside_another(real / "objects")
    if os.path.lexists(real) and not real.is_dir():
        raise RefusedError(f"the backup location {directory} is no directory; name another with --at or {VARIABLE}")


def _mounts() -> list[tuple[str, str, str]]:
    """(where, its device, what of it) of each mount, a later one covering an earlier; none where nobody tells."""
    try:
        with open("/proc/self/mountinfo", encoding="ascii", errors="surrogateescape") as file:
            fields = [line.split(" ", 5) for line in file]
    except OSError:
        return []
    return [(os.fsdecode(_unescaped(at)), device, os.fsdecode(_unescaped(of))) for _, _, device, of, at, *_ in fields]


def _on_disk(real: str, mounts: list[tuple[str, str, str]]) -> str:
    """Where *real*, a path without links, is below the root of its file system, after the name of its device.

    So that a bind mount of what is in a workspace is in it. On a system that does not tell, *real* itself.
    """
    found, longest = real, -1
    for at, device, of in mounts:
        below = at.rstrip("/")
        if (real == at or real.startswith(f"{below}/")) and len(below) >= longest:
            longest = len(below)
            found = f"{device}{of.rstrip('/')}{real[len(below) :]}"
    return found


def _unescaped(field: str) -> bytes:
    """A name in mountinfo: space, tab, newline and backslash are there as octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), os.fsencode(field))
