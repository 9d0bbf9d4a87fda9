"""What one snapshot holds, as data and as the JSON file that a person can read.

`snapshots/<id>.json` names every file and the object that is its content, so `cp` and `sha256sum` restore one without
this program. The id ends in the sha256 of the manifest's own bytes: a truncated or edited one is told at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vmaf_workspace.contract import KEPT_NAMES
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.identity import Owner, Place

VERSION = 1
_quoted = json.encoder.encode_basestring_ascii
STAGING = ".vmaf-restore-"  # what a restore has not yet put in its place, in each subdirectory
SHORT = 8  # hex digits of the hash that people are shown
MOST = 1 << 63  # bytes; and ns: no time before 1677 or after 2262 is kept, though ext4 holds times to 2446, XFS to 2486
LONGEST = 4096  # bytes of a path that Linux takes: step by step a longer one could be made, and never be read again
SHA256 = re.compile(r"[0-9a-f]{64}")
END_S = 253402300800.0  # the year 10000, which no calendar here knows


class DamagedError(WorkspaceError):
    """A manifest that is not what was written."""


class GoneError(DamagedError):
    """A manifest that was listed and is not there: forgotten meanwhile, as far as one can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a snapshot, or a symlink, which is kept as a link."""

    path: str  # below the workspace, as this process names it; in the manifest as `paths_to_utf8` has it
    mtime_ns: int
    size: int = 0  # bytes
    mode: int = 0  # permission bits
    sha256: str = ""  # "" for a symlink
    link: str | None = None  # where a symlink leads

    @classmethod
    def of(cls, path: str, about: os.stat_result, content: str) -> File:
        """The file of which *about* is the `lstat`; *content* is its hash, or where a symlink leads."""
        if stat.S_ISLNK(about.st_mode):
            return cls(path=path, mtime_ns=about.st_mtime_ns, link=content)
        mode = about.st_mode & 0o777
        return cls(path=path, mtime_ns=about.st_mtime_ns, size=about.st_size, mode=mode, sha256=content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The models of one workspace at one time."""

    id: str  # "20261020T101530.123Z-<sha256 of the manifest>"
    time_s: float
    host: str
    workspace: str
    note: str
    versions: dict[str, str]
    files: tuple[File, ...]  # sorted by path
    directories: dict[str, int] = field(default_factory=dict)  # permission bits by path; older manifests name none
    identity: str = ""  # of the workspace, wherever it moved; "" in older manifests
    is_safety: bool = False  # taken before a command replaced something, which its note says: nobody's latest
    machine: str = ""  # like the next two, see `vmaf_workspace.identity`; older manifests do not say
    was: tuple[Place, ...] = ()
    turn: tuple[int, str] = (0, "")

    @property
    def place(self) -> Place:
        """Where the workspace was."""
        return Place(self.host, self.machine, self.workspace)

    def is_at(self, place: Place) -> bool:
        """Whether the workspace was there, then or before."""
        return any(place.is_same(own) for own in (self.place, *self.was))

    @property
    def objects(self) -> dict[str, int]:
        """Size of each object that it names, by hash."""
        return {file.sha256: file.size for file in self.files if file.link is None}

    @property
    def apparent_bytes(self) -> int:
        """Sum of the sizes of its files."""
        return sum(file.size for file in self.files)


def short_id(snapshot_id: str) -> str:
    """An id as people are shown it, and may give it: the time and a few digits of the hash.

    Whatever else somebody put among the manifests is shown by its whole name.
    """
    return snapshot_id[: -64 + SHORT] if len(snapshot_id) > 64 else snapshot_id


def object_name(sha256: str) -> str:
    """Where the content with this hash lies in a backup location."""
    return f"objects/{sha256[:2]}/{sha256}"


def manifest_name(snapshot_id: str) -> str:
    """Where the manifest of a snapshot lies in a backup location."""
    return f"snapshots/{snapshot_id}.json"


def new_manifest(
    *,
    time_s: float,
    owner: Owner,
    note: str,
    files: list[File],
    directories: Mapping[str, int] | None = None,
    is_safety: bool = False,
) -> tuple[str, bytes]:
    """The id of a new snapshot, and its manifest; *directories* are permission bits by path.

    A time that the format does not hold becomes the nearest that it does. Raises WorkspaceError for what could be
    written and not be read again.
    """
    import platform
    from importlib.metadata import version

    about = {
        "version": VERSION,
        "time_s": round(time_s, 3),
        "host": owner.place.host,
        "machine": owner.place.machine,
        "workspace": owner.place.path,
        "identity": owner.identity,
        "was": [place.as_json() for place in owner.was],
        "turn": [owner.turn, owner.token],
        "note": note,
        "safety": is_safety,
        "versions": {"vmaf-workspace": version("vmaf-workspace"), "python": platform.python_version()},
    }
    in_order = tuple(sorted(map(_with_storable_time, files), key=lambda file: file.path))
    lines = ",\n".join(map(_as_json, in_order))
    modes = dict(sorted((directories or {}).items()))
    above = ",\n".join(
        f'{{"path": {_quoted(paths_to_utf8(path))}, "mode": "{mode:04o}"}}' for path, mode in modes.items()
    )
    content = (
        f'{json.dumps(paths_to_utf8(about))[:-1]}, "directories": [\n{above}\n], "files": [\n{lines}\n]}}\n'.encode(
            "ascii"
        )
    )
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time_s))
    snapshot_id = f"{stamp}.{int(time_s * 1000) % 1000:03d}Z-{hashlib.sha256(content).hexdigest()}"
    _check_readable(snapshot_id, content, in_order, modes)
    return snapshot_id, content


def parse_manifest(snapshot_id: str, content: bytes) -> Snapshot:
    """Read a manifest. Raises DamagedError where its bytes are not those that its id names.

    Raises RefusedError for one that names a place outside the three subdirectories (absolute, `..`, through a link),
    however its id came to fit.
    """
    if hashlib.sha256(content).hexdigest() != snapshot_id.rpartition("-")[2]:
        raise DamagedError(
            f"the manifest of snapshot {short_id(snapshot_id)} is damaged: {len(content)} bytes that do not have the "
            "hash in its name"
        )
    try:
        data = paths_from_utf8(json.loads(content))
        if data["version"] != VERSION:
            raise DamagedError(
                f"snapshot {short_id(snapshot_id)} has version {data['version']!r}; this reads {VERSION}"
            )
        files = tuple(_from_json(file) for file in data["files"])
        time_s = float(data["time_s"])
        if not 0 <= time_s < END_S:
            raise ValueError(f"taken at {time_s!r} s")
        snapshot = Snapshot(
            id=snapshot_id,
            time_s=time_s,
            host=str(data["host"]),
            workspace=str(data["workspace"]),
            note=str(data["note"]),
            versions={str(name): str(text) for name, text in data["versions"].items()},
            files=files,
            directories=dict(map(_directory_from_json, data.get("directories", []))),
            identity=str(data.get("identity", "")),
            is_safety=data.get("safety", False) is True,
            machine=str(data.get("machine", "")),
            was=tuple(Place.from_json(place) for place in data.get("was", [])),
            turn=_turn_from_json(data.get("turn", [0, ""])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DamagedError(
            f"the manifest of snapshot {short_id(snapshot_id)} cannot be read ({type(error).__name__}: {error})"
        ) from error
    _check_paths(snapshot)
    return snapshot


def _with_storable_time(file: File) -> File:
    """*file* with a time that the format holds; Restic and Borg bring such times nearer, too."""
    if -MOST <= file.mtime_ns < MOST:
        return file
    return replace(file, mtime_ns=max(-MOST, min(MOST - 1, file.mtime_ns)))


def _check_readable(snapshot_id: str, content: bytes, files: tuple[File, ...], directories: dict[str, int]) -> None:
    """Raise WorkspaceError unless `parse_manifest` finds these files and directories in the new manifest *content*."""
    why = "it would be read as something else"
    try:
        found = parse_manifest(snapshot_id, content)
        if found.files == files and found.directories == directories:
            return
    except WorkspaceError as error:
        why = str(error).partition("\n")[0]
    raise WorkspaceError(
        f"the manifest of this snapshot could not be read again, so none was taken: {why}\n"
        "those taken before are as they were; move what it names out of the workspace, then back up again"
    )


def _as_json(file: File) -> str:
    """One line of the manifest; put together by hand, because the encoder takes five times as long for a thousand."""
    path = _quoted(paths_to_utf8(file.path))
    if file.link is not None:
        return f'{{"path": {path}, "link": {_quoted(paths_to_utf8(file.link))}, "mtime_ns": {file.mtime_ns}}}'
    return (
        f'{{"path": {path}, "size": {file.size}, "mode": "{file.mode:04o}", "mtime_ns": {file.mtime_ns}, '
        f'"sha256": "{file.sha256}"}}'
    )


def _from_json(data: dict[str, Any]) -> File:
    path, mtime_ns = data["path"], data["mtime_ns"]
    if not isinstance(path, str) or type(mtime_ns) is not int or not -MOST <= mtime_ns < MOST:
        raise TypeError(f"{path!r}: expected a path and a time in ns")
    if not _is_possible_path(path):
        raise ValueError(f"{path[:80]!r}…: no system has such a path")
    if "link" in data:
        link = data["link"]
        if not isinstance(link, str) or not link or "\0" in link or not _is_possible_path(link):
            raise TypeError(f"{path!r}: a link to {str(link)[:80]!r}")
        return File(path=path, mtime_ns=mtime_ns, link=link)
    size, sha256 = data["size"], data["sha256"]
    if type(size) is not int or not 0 <= size < MOST:
        raise TypeError(f"{path!r}: a size of {size!r}")
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise TypeError(f"{path!r}: a hash of {sha256!r}")
    return File(path=path, mtime_ns=mtime_ns, size=size, mode=int(data["mode"], 8) & 0o777, sha256=sha256)


def _directory_from_json(data: dict[str, Any]) -> tuple[str, int]:
    path = data["path"]
    if not isinstance(path, str) or not _is_possible_path(path):
        raise TypeError(f"{str(path)[:80]!r}: expected the path of a directory")
    return path, int(data["mode"], 8) & 0o777


def _turn_from_json(data: Any) -> tuple[int, str]:
    turn, token = data
    if type(turn) is not int or not 0 <= turn < MOST or not isinstance(token, str):
        raise TypeError(f"a turn of {str(data)[:80]}")
    return turn, token


def _is_possible_path(path: str) -> bool:
    """Whether the system could have been asked for *path*."""
    try:
        return (len(path) if path.isascii() else len(os.fsencode(path))) < LONGEST
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return False


def is_model_path(path: str) -> bool:
    """Whether *path* is one that a snapshot may name: below a backed-up subdirectory, and no name of our own there."""
    parts = path.split("/")
    if len(parts) < 2 or parts[0] not in BACKED_UP or not all(parts) or {".", ".."} & set(parts) or "\0" in path:
        return False
    if not _is_possible_path(path):
        return False
    return parts[1] not in KEPT_NAMES and not parts[1].startswith((TRASH, STAGING))


def places_above(path: str) -> list[str]:
    """The directories that *path* lies in, the deepest last."""
    above = path.split("/")[:-1]
    return ["/".join(above[:n]) for n in range(1, len(above) + 1)]


def _check_paths(snapshot: Snapshot) -> None:
    paths = {file.path for file in snapshot.files}
    directories: set[str] = set()
    for file in snapshot.files:
        above, _, name = file.path.rpartition("/")
        if above not in directories or name in (".", "..", "") or above.count("/") == 0 or "\0" in name:
            if not is_model_path(file.path) or paths.intersection(places_above(file.path)):
                raise RefusedError(
                    f"snapshot {short_id(snapshot.id)} names {file.path!r}, which is no place for a model; "
                    "nothing was touched"
                )
            directories.add(above)
    for directory in snapshot.directories:
        places = [directory, *places_above(directory)]
        if not (is_model_path(directory) or directory in BACKED_UP) or paths.intersection(places):
            raise RefusedError(
                f"snapshot {short_id(snapshot.id)} names the directory {directory!r}, "
                "which is no place for models; nothing was touched"
            )
    if len(paths) != len(snapshot.files):
        raise RefusedError(f"snapshot {short_id(snapshot.id)} names a file twice; nothing was touched")
