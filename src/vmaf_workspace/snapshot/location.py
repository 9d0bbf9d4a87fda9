"""Where backups lie: a directory, or whatever fsspec reaches by URL; both answer to the same few verbs.

Names in a location are relative: `objects/ab/abcd…`, `snapshots/<id>.json`, `pins/<id>`, `verified/<id>`,
`damaged/<sha256>` for an object that a verify found so and no backup has stored again, and `running/…` for who is at
work in it. A name is there whole or not at all (what is not yet, in `parts/…`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmaf_workspace import guard
from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.errors import RefusedError, UsageError, WorkspaceError
from vmaf_workspace.lock import Holder

VARIABLE = "VMAF_BACKUPS"
FOLDERS = frozenset({"objects", "snapshots", "pins", "verified", "damaged", "running", "parts"})
MANIFEST = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{64}\.json")
OBJECT = re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}")
PART = re.compile(r"[0-9a-f]{16}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*(?:::|://)", re.IGNORECASE)


class Location(Protocol):
    """A place of backups. Every method raises WorkspaceError, with the place and a remedy, where it cannot."""

    url: str  # as people name it
    directory: Path | None  # of a local one
    at_once: int  # how many files at a time make it fast
    may_fork: bool  # whether children may use it, else threads do
    settle_s: float  # how old an object must be before its absence from every listed manifest means anything

    def names(self, folder: str) -> list[str]:
        """What lies right in *folder* ("" is the location itself); empty where there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of everything below *folder*, by name; empty where there is no such folder."""

    def sizes_of(self, names: Sequence[str]) -> list[int | None]:
        """Bytes of each of *names*, asked one by one, as listings may lag; None where it is not there."""

    def age_s(self, name: str) -> float:
        """Seconds since *name* was written, by the location's own clock where it has one."""

    def read(self, name: str) -> bytes:
        """The content of *name*; FileNotFoundError where it is not there."""

    def sha256(self, name: str) -> str:
        """The hash of *name*, read now; FileNotFoundError where it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Make *name* hold *content*, to stay: it outlives a power cut from now on."""

    def put(self, name: str, content: memoryview | Path, *, trusted: bool) -> bool:
        """Make sure the object *name* holds *content*; whether anything was stored.

        It outlives a power cut after `sync`. What is there with the right size is kept if *trusted*, as it is when a
        listed snapshot names it; else it is read, or stored anew: a power cut may have left it empty, a prune that
        nobody sees may be about to remove it.
        """

    def fetch(self, name: str, to: str) -> tuple[str, int]:
        """Copy *name* to the new file *to*; the hash and bytes of what was copied, FileNotFoundError if it is gone."""

    def remove(self, name: str) -> None:
        """Remove *name*, or nothing where it is gone already."""

    def sync(self) -> None:
        """Have the disk hold what `put` stored."""

    def announced(self, kind: str, command: str) -> AbstractContextManager[None]:
        """Say to others that a *kind* of work runs here, until the block ends or this process dies."""

    def others(self, kind: str) -> list[Holder]:
        """Who else announced this *kind* of work and is alive."""

    def clear(self) -> None:
        """Remove what dead processes left half-written; only while nobody else writes here."""


@dataclass(frozen=True, slots=True)
class Named:
    """A location by name, and what named it."""

    url: str
    reason: str
    is_default: bool = False


def named(at: str = "", *, environ: Mapping[str, str] | None = None) -> Named:
    """Which location: *at* (`--at`, or Invoke's `ws.backups`), else VMAF_BACKUPS, else the user's data directory."""
    environ = os.environ if environ is None else environ
    if at.strip():
        return Named(at.strip(), "given explicitly")
    if environ.get(VARIABLE, "").strip():
        return Named(environ[VARIABLE].strip(), f"{VARIABLE} is set")
    import platformdirs

    place = Path(platformdirs.user_data_dir("vmaf-workspace", appauthor=False)) / "backups"
    return Named(str(place), f"{VARIABLE} is unset: the user's data directory", is_default=True)


def opened(name: Named | str, *, root: Path | None = None) -> Location:
    """The location of this name; nothing is made yet. *root* is the workspace, which it may not lie in.

    Raises RefusedError for a directory in any workspace or with anybody else's files, UsageError for a URL that no
    installed driver knows.
    """
    url = name.url if isinstance(name, Named) else name
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    if _URL.match(url):
        from vmaf_workspace.snapshot.remote import Remote

        return Remote(url)
    from vmaf_workspace.locate import locate
    from vmaf_workspace.snapshot.local import LocalDirectory

    if "\0" in url:
        raise UsageError(f"a backup location with a NUL byte: {url!r}")
    directory = locate(url).path
    _check(directory, root)
    found = LocalDirectory(directory)
    check_is_ours(found)
    return found


def check_is_ours(location: Location) -> None:
    """Raise RefusedError where *location* holds no snapshot, but what no backup that was killed can have left."""
    if any(MANIFEST.fullmatch(name) for name in location.names("snapshots")):
        return
    ours = re.compile("|".join((*FOLDERS, re.escape("lost+found"))))
    for folder, fits in (("", ours), ("objects", re.compile("[0-9a-f]{2}")), ("parts", PART), ("snapshots", MANIFEST)):
        for name in sorted(location.names(folder)):
            if not fits.fullmatch(name):
                raise RefusedError(
                    f"{location.url} holds {os.path.join(folder, name)!r} and no snapshot, so it is somebody's; "
                    "nothing was made.\nName a place that is new or empty, or one with snapshots in it"
                )


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


@contextmanager
def explained(url: str, doing: str, *, missing_is_an_answer: bool = True) -> Iterator[None]:
    """Turn the OSError of a location into a WorkspaceError: what failed, what still holds, what to do.

    FileNotFoundError goes through where it is an answer, for the caller to put into words.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and missing_is_an_answer:
            raise
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why, remedy = "is full", "free some there (`ws.forget` and `ws.prune` do), or name another with --at"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            why, remedy = "may not be used", "allow it, or name another place with --at"
        elif error.errno == errno.EIO:
            why, remedy = "has a disk that fails", "`ws.verify` names what is lost; copy the rest to another disk soon"
        else:
            why, remedy = (
                "cannot be reached",
                f"see that it is there and mounted, or name another with --at, {VARIABLE}",
            )
        raise WorkspaceError(
            f"cannot {doing}: the backup location {url} {why} ({reason})\n"
            "the workspace, and every snapshot taken before, are as they were\n"
            f"{remedy}"
        ) from error


def is_bad_block(error: WorkspaceError) -> bool:
    """Whether this is what a disk says of a block that it cannot read; the rest may be whole."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO


def _check(directory: Path, root: Path | None) -> None:
    real = Path(os.path.realpath(directory))
    if root is not None:
        tree = Path(os.path.realpath(root))
        for place in (tree, *(Path(os.path.realpath(tree / subdir.name)) for subdir in SUBDIRS)):
            if real == place or place in real.parents:
                raise RefusedError(
                    f"the backup location {directory} lies inside the workspace ({place}): what takes one takes both;\n"
                    f"name another place with --at or {VARIABLE}"
                )
    guard.check_not_inside_another(real / "objects")
    if os.path.lexists(real) and not real.is_dir():
        raise RefusedError(f"the backup location {directory} is no directory; name another with --at or {VARIABLE}")
