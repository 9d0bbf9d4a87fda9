"""Where backups lie: a directory, or whatever fsspec reaches by URL; both answer to the same few verbs.

Names in a location are relative: `objects/ab/abcd…`, `snapshots/<id>.json`, `pins/<id>`, `verified/<id>`,
`damaged/<sha256>` for an object that a verify found so and no backup has stored again, and `running/…` for who is at
work in it. A name is there whole or not at all (what is not yet, in `parts/…`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.live.lock import Holder

VARIABLE = "VMAF_BACKUPS"
_ID = r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{64}"
OBJECT = re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}")
MANIFEST = re.compile(rf"snapshots/{_ID}\.json")
RUNNING = re.compile(r"running/(backup|prune|clock)-[0-9a-f]{16}\.json")
PART = re.compile(r"parts/[0-9a-f]{16}")
NAME_PATTERNS = {  # of every name that we write, by folder; nothing else is ever removed
    "objects": OBJECT,
    "snapshots": MANIFEST,
    "pins": re.compile(rf"pins/{_ID}"),
    "verified": re.compile(rf"verified/{_ID}"),
    "damaged": re.compile(r"damaged/[0-9a-f]{64}"),
    "running": RUNNING,
    "parts": PART,
}
# What systems put beside files unasked: NFS and FUSE for one that is removed while open, file managers, a new ext4.
_LITTER = re.compile(
    r"\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|@eaDir|lost\+found"
)
Inodes = frozenset[tuple[int, int]]  # device and inode of files that are somebody's, so that no object may be one
NO_INODES: Inodes = frozenset()


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

    def sizes_of(self, names: Sequence[str], *, source_inodes: Inodes = NO_INODES) -> list[int | None]:
        """Bytes of each of *names*, asked one by one, as listings may lag.

        None where it is not there, or is no file of its own: a link, or one of *source_inodes* under a second name.
        """

    def age_s(self, name: str) -> float:
        """Seconds since *name* was written, by the location's own clock where it has one."""

    def read(self, name: str) -> bytes:
        """The content of *name*; FileNotFoundError where it is not there, DamagedError where it is no regular file."""

    def sha256(self, name: str) -> str:
        """The hash of *name*, read now; FileNotFoundError where it is not there, DamagedError for no regular file."""

    def write(self, name: str, content: bytes) -> None:
        """Make *name* hold *content*, to stay: it outlives a power cut from now on."""

    def put(self, name: str, content: memoryview | Path, *, trusted: bool, source_inodes: Inodes = NO_INODES) -> bool:
        """Make sure the object *name* holds *content*; whether anything was stored.

        It outlives a power cut after `sync`. What is there with the right size is kept if *trusted*, as it is when a
        listed snapshot names it; else it is read, or stored anew: a power cut may have left it empty, a prune that
        nobody sees may be about to remove it. A link, or one of *source_inodes*, is replaced by a file of its own.
        """

    def fetch(self, name: str, to: str) -> tuple[str, int]:
        """Copy *name* to the new file *to*; the hash and bytes of what was copied.

        FileNotFoundError if it is gone, DamagedError where it is no regular file.
        """

    def remove(self, name: str) -> None:
        """Remove *name*, or nothing where it is gone already. RefusedError for a name that is not of our form."""

    def sync(self) -> None:
        """Have the disk hold what `put` stored."""

    def announced(self, kind: str, command: str) -> AbstractContextManager[None]:
        """Say to others that a *kind* of work runs here, until the block ends or this process dies."""

    def others_at_work(self, kind: str) -> list[Holder]:
        """Who else announced this *kind* of work and is alive."""

    def remove_leftovers(self) -> None:
        """Remove what dead processes left half-written; only while nobody else writes here."""


def is_missing(location: Location) -> bool:
    """Whether *location* is a directory that does not exist, which holds no snapshot until a backup makes it."""
    return location.directory is not None and not os.path.lexists(location.directory)


def why_no_snapshot(location: Location) -> str:
    """What to say where *location* lists no snapshot: a name that leads nowhere is most often a slip."""
    if is_missing(location):
        named = f"--at, ws.backups or {VARIABLE}"
        return f"the backup location {location.url} does not exist; see that {named} names the right one"
    return f"there is no snapshot in {location.url}; `ws.backup-models` takes one"


def check_removable(url: str, name: str) -> None:
    """Raise RefusedError for a name that is not of our form: whoever asks for its removal is mistaken."""
    form = NAME_PATTERNS.get(name.partition("/")[0])
    if form is None or not form.fullmatch(name):
        raise RefusedError(f"{name!r} in {url} is no name of ours, so it stays; nothing was removed")


def check_is_ours(location: Location, *, to_write: bool = False) -> None:
    """Raise RefusedError where *location* holds no snapshot, but what no backup that was killed can have left.

    *to_write*: also where there are snapshots, and one of our folders holds what we never put there.
    """
    has_snapshot = any(MANIFEST.fullmatch(name) for name in location.sizes("snapshots"))
    if has_snapshot and not to_write:
        return
    deep = location.directory is not None or not has_snapshot  # a store lists but a thousand objects a request
    at_the_top = () if has_snapshot else sorted(location.names(""))
    strange = next((name for name in at_the_top if name not in NAME_PATTERNS and not _LITTER.fullmatch(name)), None)
    strange = strange or _strange(location, deep=deep)
    if strange is not None and has_snapshot:
        raise RefusedError(
            f"{location.url} holds {strange!r}, which is not ours, in a folder where we write and remove; nothing was "
            "changed\nmove it elsewhere, or name another place with --at; what is there can be restored as it is"
        )
    if strange is not None:
        raise RefusedError(
            f"{location.url} holds {strange!r} and no snapshot, so it is somebody's; "
            "nothing was made.\nName a place that is new or empty, or one with snapshots in it"
        )


def _strange(location: Location, *, deep: bool) -> str | None:
    """Something in our folders that has not the form of our names there; not *deep*: right in `objects/` alone."""
    for folder, form in NAME_PATTERNS.items():
        if folder == "objects" and not deep:
            names, form = [f"objects/{name}" for name in location.names(folder)], re.compile("objects/[0-9a-f]{2}")
        else:
            names = list(location.sizes(folder))
        for name in sorted(names):
            if not form.fullmatch(name) and not any(map(_LITTER.fullmatch, name.split("/"))):
                return name
    return None


@contextmanager
def location_errors_explained(url: str, doing: str, *, missing_is_an_answer: bool = True) -> Iterator[None]:
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
    """Whether this is what a disk, or a driver that checks what it read, says of damage; the rest may be whole."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno == errno.EIO:
        return True
    return "checksum" in type(cause).__name__.lower()  # each driver has a class of its own: FlexibleChecksumError, …
