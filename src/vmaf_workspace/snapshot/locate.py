"""Which place is the backup location, and whether it may be one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.errors import RefusedError, UsageError
from vmaf_workspace.locate import locate
from vmaf_workspace.snapshot.local import LocalDirectory
from vmaf_workspace.snapshot.location import FORMS, VARIABLE, Location, check_is_ours

_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*(?:::|://)", re.IGNORECASE)


def opened(at: str = "", *, root: Path | None = None) -> Location:
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
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("vmaf-workspace", appauthor=False), "backups")


def _check(directory: Path, root: Path | None) -> None:
    real = Path(os.path.realpath(directory))
    if root is not None:
        tree = Path(os.path.realpath(root))
        ours = [_on_disk(Path(os.path.realpath(directory / folder))) for folder in ("", *FORMS)]
        for place in (tree, *(Path(os.path.realpath(tree / subdir.name)) for subdir in SUBDIRS)):
            there = _on_disk(place)
            if any(one == there or there in one.parents for one in ours):
                raise RefusedError(
                    f"the backup location {directory} lies inside the workspace ({place}): what takes one takes both;\n"
                    f"name another place with --at or {VARIABLE}"
                )
    guard.check_not_inside_another(real / "objects")
    if os.path.lexists(real) and not real.is_dir():
        raise RefusedError(f"the backup location {directory} is no directory; name another with --at or {VARIABLE}")


def _on_disk(real: Path) -> Path:
    """Where *real*, a path without links, is below the root of its file system, after the name of its device.

    So that a bind mount of what is in a workspace is in it. On a system that does not tell, *real* itself.
    """
    try:
        with open("/proc/self/mountinfo", encoding="ascii", errors="surrogateescape") as file:
            mounts = [line.split(" ", 5) for line in file]
    except OSError:
        return real
    found = real
    longest = -1
    for _, _, device, of, at, *_ in mounts:
        where = Path(os.fsdecode(_unescaped(at)))
        if (real == where or where in real.parents) and len(where.parts) >= longest:  # a later one covers an earlier
            longest = len(where.parts)
            found = Path(device, os.fsdecode(_unescaped(of)).lstrip("/"), *real.parts[len(where.parts) :])
    return found


def _unescaped(field: str) -> bytes:
    """A name in mountinfo: space, tab, newline and backslash are there as octal numbers."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), os.fsencode(field))
