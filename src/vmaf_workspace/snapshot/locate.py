"""Which place is the backup location, and whether it may be one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.errors import RefusedError, UsageError
from vmaf_workspace.live.mounts import place_on_disk
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
    url = at.strip() or os.environ.get(VARIABLE, "").strip()
    url = url or str(user_directory("data", remedy=f"set {VARIABLE} or give --at") / "backups")
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


def _check(directory: Path, root: Path | None) -> None:
    real = Path(os.path.realpath(directory))
    if root is not None:
        tree = Path(os.path.realpath(root))
        ours = [place_on_disk(os.path.realpath(directory / folder)) for folder in ("", *NAME_PATTERNS)]
        for place in (tree, *(Path(os.path.realpath(tree / subdir.name)) for subdir in SUBDIRS)):
            there = place_on_disk(str(place))
            if any(one == there or one.startswith(f"{there}/") for one in ours):
                raise RefusedError(
                    f"the backup location {directory} lies inside the workspace ({place}): what takes one takes both;\n"
                    f"name another place with --at or {VARIABLE}"
                )
    guard.check_not_inside_another(real / "objects")
    if os.path.lexists(real) and not real.is_dir():
        raise RefusedError(f"the backup location {directory} is no directory; name another with --at or {VARIABLE}")
