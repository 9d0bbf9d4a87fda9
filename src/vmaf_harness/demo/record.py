"""What the demo made in a workspace, written down with checksums, so that later it is told from all else there.

The record lies in the marker of the workspace. A file is the demo's when it was not there before the demo began, is
something that the demo makes, and was there when a step of it had ended; a person's own of the same name never is. What
somebody has changed since, or a stored result that another run has used since, is the demo's no longer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vmaf_harness.demo.clips import NAME, OWN, PAIR
from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_workspace.contract import ENCODE_STORE, FILE_RESULT_STORE, MARKER, STORES
from vmaf_workspace.disk.atomic import read_regular, write_atomically
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8, read_object
from vmaf_workspace.errors import InUseError
from vmaf_workspace.groups import group_of
from vmaf_workspace.setup import write_errors_explained

FILE = "demo.json"  # in the marker
VERSION = 1
_CLIPS = frozenset(f"{clip}.mp4" for clip in (*OWN, *PAIR))
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file as the demo left it; `used_ns` is the time of a stored result, which each use of it renews."""

    sha256: str
    used_ns: int | None = None


@dataclass(slots=True, kw_only=True)
class Record:
    """The files that the demo made in the workspace *root*, by their paths below it.

    `there` is what lay at the demo's places before one began that has not ended: it was killed, or failed.
    """

    root: Path
    files: dict[str, MadeFile] = field(default_factory=dict)
    there: frozenset[str] | None = None

    @classmethod
    def read(cls, root: Path) -> Record:
        """The record as it is; empty where there is none, or none that could have been written here.

        It says what may be removed, so no path in it is believed that the demo does not write.
        """
        data = paths_from_utf8(read_object(root / MARKER / FILE, at_most=_MOST_BYTES, top=root))
        found = cls(root=root)
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            if data["version"] != VERSION:
                return found
            files = {path: MadeFile(**made) for path, made in data["files"].items() if is_place(path)}
            there = None if data["there"] is None else frozenset(map(str, data["there"]))
            found.files, found.there = files, there
        return found

    def begin(self) -> bool:
        """Note what is there already: a demo begins, and saves this before it writes. Whether one was stopped before.

        What is not as the last one left it is a person's from now on.
        """
        was_stopped = self.there is not None
        kept = {path: made for path, made in self.files.items() if self.change(path) is None}
        if self.there is None:
            self.there = frozenset(files_at_places(self.root)) - kept.keys()
        self.there |= self.files.keys() - kept.keys()
        self.files = kept
        return was_stopped

    def owns(self, group: str) -> bool:
        """Whether each file of this group, such as ``model/demo``, is the demo's; also where there is none."""
        return all(path in self.files for path in files_at_places(self.root) if group_of(path) == group)

    def note(self, *subdirs: str) -> None:
        """A step has ended that writes into *subdirs*: what is there now, and was not before, is the demo's."""
        for path in products(self.root, subdirs):
            if path in self.files or path not in (self.there or ()):
                with suppress(OSError):
                    self.files[path] = fingerprint(self.root, path)
        self.save()

    def end(self) -> None:
        """The demo has ended well."""
        self.there = None
        self.save()

    def change(self, path: str) -> str | None:
        """Why this file is not what the demo left; None where it is."""
        made = self.files[path]
        try:
            if (found := fingerprint(self.root, path)) == made:
                return None
        except FileNotFoundError:
            return "it is gone"
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        return "it was changed since the demo made it" if found.sha256 != made.sha256 else "another run has used it"

    def save(self) -> None:
        """Write the record; without any file in it, and no demo under way, there is none."""
        path = self.root / MARKER / FILE
        with write_errors_explained(self.root):
            if not self.files and self.there is None:
                path.unlink(missing_ok=True)
                return
            there = None if self.there is None else sorted(self.there)
            files = {name: asdict(self.files[name]) for name in sorted(self.files)}
            content = json.dumps(paths_to_utf8({"version": VERSION, "there": there, "files": files}))
            write_atomically(path, content.encode("ascii") + b"\n")


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the one demo, or clean of it, in the workspace *root*; InUseError where there is another.

    The lock is on `dataset/` itself: it leaves no file. Where a directory cannot be locked, as on NFS, go without.
    """
    fd = -1
    try:
        fd = os.open(root / "dataset", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise InUseError(
            f"another demo is at work in {root}; wait until it has ended, or name another --workspace"
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def fingerprint(root: Path, path: str) -> MadeFile:
    """What the regular file *path* is now; OSError for anything else, or where a link leads to it."""
    subdir, *below = path.split("/")
    real = os.path.join(os.path.realpath(root / subdir), *below)  # the subdirectory itself may be a link
    if os.path.realpath(real) != real:
        raise OSError(0, "a link is in its place", path)
    content = read_regular(real)
    used_ns = os.stat(real).st_mtime_ns if subdir == "result_store_dir" else None
    return MadeFile(sha256=hashlib.sha256(content).hexdigest(), used_ns=used_ns)


def is_place(path: str) -> bool:
    """Whether the demo writes a file of this path."""
    subdir, *below = path.split("/")
    if not all(below) or {".", ".."} & set(below) or "\0" in path:
        return False
    match subdir, below:
        case "dataset", [_, name]:
            return below[0] == NAME and (name in _CLIPS or name.startswith((f"{NAME}_", f"{NAME}.")))
        case "encode", [directory, _]:
            return directory == NAME
        case "result_store_dir", [store, _, dataset, _, name]:
            return store in STORES and dataset == NAME and name.endswith(".json")
        case (("model" | "model_param"), [_]):
            return group_of(path) == f"{subdir}/{NAME}"
        case "checkpoints_dir", [directory, _]:
            return f"-{NAME}-" in directory
    return False


def files_at_places(root: Path, subdirs: Collection[str] = ()) -> Iterator[str]:
    """The files that lie where the demo writes its own, whoever made them; of all subdirectories, or of these."""
    for pattern in (
        f"dataset/{NAME}/*",
        f"encode/{NAME}/*",
        f"result_store_dir/*/*/{NAME}/*/*.json",
        f"model/{NAME}.*",
        f"model_param/{NAME}.*",
        f"checkpoints_dir/*-{NAME}-*/*",
    ):
        if not subdirs or pattern.split("/")[0] in subdirs:
            for found in root.glob(pattern):
                path = str(found.relative_to(root))
                if is_place(path) and stat.S_ISREG(found.lstat().st_mode):
                    yield path


def products(root: Path, subdirs: Collection[str]) -> list[str]:
    """Those of them that a demo makes: encodes of its recipe, results of these, checkpoints of its dataset."""
    encodes = _encodes(root) if {"encode", "result_store_dir"} & set(subdirs) else {}
    hashes = set(encodes.values())
    found = []
    for path in files_at_places(root, subdirs):
        subdir, *below = path.split("/")
        if subdir == "encode" and path not in encodes:
            continue
        if subdir == "result_store_dir":
            about = first_line(root / path)
            if below[0] == ENCODE_STORE and encode_of(about) not in encodes:
                continue
            if below[0] == FILE_RESULT_STORE and _distorted(about) not in hashes:
                continue
        if subdir == "checkpoints_dir" and read_object((root / path).with_name("about.json")).get("dataset") != NAME:
            continue
        found.append(path)
    return found


def first_line(path: Path) -> dict[str, Any]:
    """The summary of a stored encode or result; empty for what is none."""
    try:
        found = json.loads(read_regular(path).partition(b"\n")[0])
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def encode_of(about: Mapping[str, Any]) -> str:
    """The path, below the workspace, of the encode that an entry of the encode store is of."""
    return f"encode/{about.get('path')}"


def _distorted(about: Mapping[str, Any]) -> object:
    with suppress(KeyError, TypeError):
        return about["key_of"]["distorted"]["sha256"]
    return None


def _encodes(root: Path) -> dict[str, str]:
    """The encodes that the demo's recipe names, with their hashes."""
    found: dict[str, str] = {}
    with suppress(HarnessError, OSError):
        for asset in read_recipe(root / "dataset" / NAME / f"{NAME}_dataset.py").assets:
            path = f"encode/{NAME}/{asset.distorted.path.name}"
            if os.path.abspath(asset.distorted.path) == os.path.abspath(root / path):
                found[path] = fingerprint(root, path).sha256
    return found
