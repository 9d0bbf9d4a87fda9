"""Hashes of files that have not changed since they were last backed up, so that they are not read again.

A cache beside no data: one file for each pair of workspace and location, in the user's cache directory. Lost or
unreadable, it only costs a second reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.disk.json_file import read_object
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.identity import Place
from vmaf_workspace.locate import user_directory
from vmaf_workspace.snapshot.tree import Signature

VERSION = 2
Seen = tuple[int, ...]  # a signature, as it was read
RACY_S = 2.0  # a file this fresh may change again within the same tick of its time stamp


def read(root: Path, url: str) -> dict[str, tuple[Seen, str]]:
    """What each file looked like, and its hash, by path; empty where nothing is known."""
    try:
        data = read_object(_file(root, url))
        if data.get("version") != VERSION:
            return {}
        return {path: (tuple(seen), str(sha256)) for path, (seen, sha256) in data["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, WorkspaceError):
        return {}


def write(root: Path, url: str, files: dict[str, tuple[Signature, str]]) -> None:
    """Keep *files* for the next time, but those too fresh to be told from a later version."""
    racy_ns = time.time_ns() - int(RACY_S * 1e9)
    kept = {path: (seen, sha) for path, (seen, sha) in files.items() if max(seen[1], seen[2]) < racy_ns}
    with suppress(OSError, WorkspaceError):
        path = _file(root, url)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"version": VERSION, "files": kept}).encode())


def _file(root: Path, url: str) -> Path:
    where = "\0".join((*Place.of(root).as_json(), url))  # hosts may share a home, and not what lies at a path
    key = hashlib.sha256(os.fsencode(where)).hexdigest()
    return user_directory("cache") / "backups" / f"{key}.json"
