"""Who a workspace is, and where: what tells it from its copies, its twins, and itself after it moved.

*Who* is a random id in the marker. It is copied with the data, so the marker says *where* as well: host, machine and
path, where it was before, and the inode of the marker file itself, which a move on one disk keeps and a copy does not.
Whoever copies a whole machine or image copies that, too. So every snapshot takes a *turn*, a number and a token
that the marker and the manifest both have: a snapshot of a turn that our marker never took is of a twin, or of
this workspace before somebody set it back. No device number is kept: it changes with the next boot.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmaf_workspace import guard
from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.atomic import read_regular, write_into
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8, read_object
from vmaf_workspace.guard import LARGEST

WORKSPACE = "workspace.json"  # in the marker: of a workspace, rather than of the place of one subdirectory
MIGRATION = "migration.json"  # beside it, of a workspace that `ws.migrate` moved
MACHINE = Path("/etc/machine-id")
WAIT_S = 5.0  # for another backup of this workspace to take its turn, which takes milliseconds


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workspace is, or was."""

    host: str
    machine: str  # a hash of the machine's own id; "" where it has none, as in many containers, or an older version
    path: str  # without symlinks

    @classmethod
    def of(cls, root: Path) -> Place:
        """The place of *root* on this machine."""
        return cls(socket.gethostname(), _machine(), os.path.realpath(root))

    @classmethod
    def from_json(cls, data: Any) -> Place:
        """From JSON; ValueError for anything else."""
        if not isinstance(data, list) or len(data) != 3 or not all(isinstance(text, str) for text in data):
            raise ValueError(f"{str(data)[:80]!r}: expected host, machine and path")
        return cls(*data)

    def as_json(self) -> list[str]:
        """What `from_json` reads."""
        return [self.host, self.machine, self.path]

    def is_same(self, other: Place) -> bool:
        """Whether both are one place; a machine without an id is told by its host's name alone."""
        known = self.machine != "" != other.machine
        return (self.path, self.host) == (other.path, other.host) and (not known or self.machine == other.machine)

    def __str__(self) -> str:
        return f"{self.path} on {self.host}" if self.host else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A workspace, as its snapshots name it."""

    place: Place
    identity: str = ""  # tells it from others wherever it moves; "" in a copy, and where its marker says none
    was: tuple[Place, ...] = ()  # where it was before, or is seen from as well
    turn: int = 0  # snapshots that it took; 0 where that could not be noted
    token: str = ""  # of the last of these
    unlike: tuple[str, ...] = ()  # identities of those that it is a copy or a twin of
    copy_of: Place | None = None  # where the marker says that its workspace is, if that is not this one

    def is_at(self, place: Place) -> bool:
        """Whether it is there, or was."""
        return any(place.is_same(own) for own in (self.place, *self.was))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marker:
    """What a marker file says."""

    id: str
    at: Place | None = None  # None: an older version's migration, which left that open
    was: tuple[Place, ...] = ()
    inode: int = 0
    turn: int = 0
    token: str = ""
    unlike: tuple[str, ...] = ()
    made_at_s: int = 0


def owner(root: Path, *, by_writing: bool = False) -> Owner:
    """Who the workspace *root* is, as far as can be told without a write, or *by_writing*. A copy has no identity yet.

    Raises OSError where it cannot write.
    """
    here = Place.of(root)
    marker = _read(root)
    if marker is None:
        return Owner(place=here)
    at = marker.at or here
    at = replace(at, host=at.host or here.host)  # an older version's, which did not say
    if not _is_original(root, here, at, marker, _is_same_workspace if by_writing else _looks_the_same):
        return Owner(place=here, unlike=(*marker.unlike, marker.id), copy_of=at)
    return Owner(
        place=here,
        identity=marker.id,
        was=_distinct((*marker.was, at), but=here),
        turn=marker.turn,
        token=marker.token,
        unlike=marker.unlike,
    )


def ensure_identity(root: Path) -> bool:
    """Have the marker of *root* say who it is: a new identity where it has none, or another's. Whether it was made."""
    fresh = _as_marker(Owner(place=Place.of(root)), None)
    try:
        write_into(root / MARKER, WORKSPACE, lambda inode: _as_json(fresh, inode), new=True)
    except FileExistsError:
        marker, own = _read(root), owner(root, by_writing=True)
        wanted = _as_marker(own, marker)
        if wanted != marker or wanted.inode != _inode(root):
            with (
                suppress(OSError) if own.identity else nullcontext()
            ):  # it moved; on a read-only disk that is noted later
                _write(root, wanted)
        return False
    return True


def take_turn(root: Path, seen: tuple[int, str] = (0, "")) -> Owner:
    """Who *root* is in the snapshot that is about to be listed; a copy and a twin get their own identity now.

    *seen* is the newest turn of its identity in the backup location. The marker is written first: a turn whose
    snapshot never came only leaves a gap. Where it cannot be written, the owner takes none.
    """
    with suppress(OSError), _marker_lock(root):
        own = owner(root, by_writing=True)
        if own.identity and is_foreign_turn(own, own.identity, *seen):
            own = replace(own, identity="", was=(), unlike=(*own.unlike, own.identity))
        marker = _as_marker(own, _read(root))
        marker = replace(marker, turn=marker.turn + 1, token=os.urandom(8).hex())
        _write(root, marker)
        return replace(own, identity=marker.id, turn=marker.turn, token=marker.token)
    return replace(owner(root), turn=0, token="")


def is_foreign_turn(own: Owner, identity: str, turn: int, token: str) -> bool:
    """Whether a snapshot with this identity and turn is one that the workspace *own* never took."""
    return identity == own.identity and (turn > own.turn or (0 < turn == own.turn and token != own.token))


def carry_identity(root: Path, to: Path, *, final: Path) -> None:
    """Let the copy *to*, soon at *final*, be the same workspace as *root*, which goes; raises OSError."""
    own = owner(root)
    if own.identity:
        at = replace(own.place, path=os.path.realpath(final))
        marker = _as_marker(own, _read(root))
        _write(to, replace(marker, at=at, was=_distinct((*marker.was, own.place), but=at)))


def _is_original(root: Path, here: Place, at: Place, marker: _Marker, is_one: Callable[[Path, Path], bool]) -> bool:
    """Whether the marker is in the workspace that it was written for, rather than in a copy."""
    if at.is_same(here):
        return True  # a restored disk image is here, too
    if _is_still_there(at, here, marker):
        return is_one(root, Path(at.path))
    return marker.inode != 0 and marker.inode == _inode(root)  # moved, or seen from another host or container


def _is_still_there(at: Place, here: Place, marker: _Marker) -> bool:
    """Whether this workspace still is where its marker says: then *here* is a copy of it, or another mount."""
    other = None if at.path == here.path else _read(Path(at.path))
    return other is not None and other.id == marker.id


def _looks_the_same(root: Path, other: Path) -> bool:
    """Whether two paths lead to one workspace, by reading alone; no tool copies the change time."""
    one, two = root / MARKER / WORKSPACE, other / MARKER / WORKSPACE
    with suppress(OSError):
        a, b = os.lstat(one), os.lstat(two)
        if os.path.samestat(a, b):
            return True
        # Another mount of one file system may show other inodes and devices, never other times.
        if (a.st_mtime_ns, a.st_ctime_ns) == (b.st_mtime_ns, b.st_ctime_ns):
            return read_regular(one, at_most=LARGEST) == read_regular(two, at_most=LARGEST)
    return False


def _is_same_workspace(root: Path, other: Path) -> bool:
    """Whether what is written in one is there in the other: not in a file system's own snapshot, which looks alike."""
    if not _looks_the_same(root, other):
        return False
    name = f".here-{os.urandom(8).hex()}"
    try:
        os.close(os.open(root / MARKER / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return os.path.lexists(other / MARKER / name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(root / MARKER / name)


def _as_marker(own: Owner, before: _Marker | None) -> _Marker:
    """What the marker of *own* should say; a new identity where it has none."""
    if not own.identity or before is None:
        return _Marker(id=os.urandom(16).hex(), at=own.place, unlike=own.unlike, made_at_s=int(time.time()))
    at, was = own.place, own.was
    if before.at is not None and not before.at.is_same(at) and _is_still_there(before.at, at, before):
        at, was = before.at, _distinct((*was, at), but=before.at)  # two mounts: it stays there, and is seen here too
    return replace(before, at=at, was=was)


def _distinct(places: Iterable[Place], *, but: Place) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(place for place in places if not place.is_same(but)))


def _read(root: Path) -> _Marker | None:
    """What the marker of *root* says; None where it names nobody."""
    try:
        about = paths_from_utf8(read_object(root / MARKER / WORKSPACE, at_most=LARGEST))
        if not isinstance(about.get("id"), str) or not about["id"]:
            return None
        at = None
        if about.get("at"):
            at = Place(str(about.get("host", "")), str(about.get("machine", "")), str(about["at"]))
        turn = about.get("turn", [0, ""])
        return _Marker(
            id=about["id"],
            at=at,
            was=tuple(Place.from_json(place) for place in about.get("was", [])) if at else _migrated_from(root),
            inode=int(about.get("inode", 0)),
            turn=int(turn[0]),
            token=str(turn[1]),
            unlike=tuple(str(other) for other in about.get("unlike", [])),
            made_at_s=int(about.get("made_at_s", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
        return None


def _migrated_from(root: Path) -> tuple[Place, ...]:
    """Where a workspace was that an older version migrated, and that was not backed up since."""
    journal = paths_from_utf8(read_object(root / MARKER / MIGRATION, at_most=LARGEST, top=root))
    place = Place.of(root)
    if journal.get("to") != place.path or "from" not in journal:
        return ()
    return (replace(place, path=str(journal["from"])),)


def _write(root: Path, marker: _Marker) -> None:
    write_into(root / MARKER, WORKSPACE, lambda inode: _as_json(marker, inode))


def _as_json(marker: _Marker, inode: int) -> bytes:
    about: dict[str, object] = {"version": 1, "made_at_s": marker.made_at_s, "id": marker.id}
    if marker.at is not None:
        about |= {"host": marker.at.host, "machine": marker.at.machine, "at": marker.at.path}
    about |= {"inode": inode, "turn": [marker.turn, marker.token]}
    about |= {"was": [place.as_json() for place in marker.was], "unlike": list(marker.unlike)}
    return json.dumps(paths_to_utf8(about)).encode() + b"\n"


def _inode(root: Path) -> int:
    try:
        return os.lstat(root / MARKER / WORKSPACE).st_ino
    except OSError:
        return 0


def _machine() -> str:
    """A hash of the machine's id, which itself should leave no machine (machine-id(5)); "" where there is none."""
    try:
        text = MACHINE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    if not re.fullmatch("[0-9a-f]{32}", text):  # empty in images, "uninitialized" at the first boot
        return ""
    return hashlib.sha256(f"vmaf-workspace {text}".encode()).hexdigest()[:32]


@contextmanager
def _marker_lock(root: Path) -> Iterator[None]:
    """Let one process at a time write the marker of *root*; where the file system has no locks, go on without.

    The marker file itself is locked, not its directory or the workspace, which whoever takes a turn may have locked.
    """
    if not guard.is_marked(root):  # what is not ours gets no identity
        raise FileNotFoundError(root)
    path, until_s = root / MARKER / WORKSPACE, time.monotonic() + WAIT_S
    with ExitStack() as stack:
        with suppress(OSError):
            while time.monotonic() < until_s:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                with ExitStack() as attempt:
                    attempt.callback(os.close, fd)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        time.sleep(0.01)
                        continue
                    if os.path.samestat(os.fstat(fd), os.lstat(path)):  # nobody has replaced it meanwhile
                        stack.push(attempt.pop_all())
                        break
        yield
