"""What the journal of a restore says: which copy goes where, as data; whatever else lies in its place is none."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from vmaf_workspace.disk.path_text import here, stored
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.snapshot.manifest import is_place


class Journal(NamedTuple):
    """What a restore had begun to put in place."""

    token: str  # in the names of its hidden directories: 16 hex digits
    steps: list[dict[str, Any]]
    directories: dict[str, int]  # permission bits by path
    snapshot: str = ""  # whose files they are; a journal of an older version does not say


def written(token: str, steps: list[dict[str, Any]], directories: dict[str, int], snapshot: str = "") -> bytes:
    """A journal that `parsed` reads; ValueError for one that it would not."""
    journal = {"token": token, "steps": steps, "directories": directories, "snapshot": snapshot}
    content = json.dumps(stored(journal)).encode("ascii")
    found = parsed(content)
    if [step["path"] for step in found.steps] != [step["path"] for step in steps] or found.directories != directories:
        raise ValueError("it names what is no place for a model")
    return content


def parsed(content: bytes) -> Journal:
    """Read a journal; steps outside of what snapshots hold are left out. ValueError for what is none.

    An empty one is what a power cut leaves: nothing was replaced then.
    """
    if not content:
        return Journal("0" * 16, [], {})
    try:
        data = here(json.loads(content))
        token = int(data["token"], 16)
        if not 0 <= token < 1 << 64:
            raise ValueError("a token of more than 16 digits")
        steps = [_step(step) for step in data["steps"] if is_place(step["path"])]
        named = data.get("directories", {})  # a restore of an older version names none
        directories = {path: int(named[path]) & 0o777 for path in named if is_place(path) or path in BACKED_UP}
        snapshot = str(data.get("snapshot", ""))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return Journal(f"{token:016x}", steps, directories, snapshot)


def _step(step: dict[str, Any]) -> dict[str, Any]:
    staged, was, sha256 = step["staged"], step["was"], step["sha256"]
    if staged is not None and not (isinstance(staged, str) and staged.isascii() and staged.isdecimal()):
        raise TypeError(f"a copy called {str(staged)[:80]!r}")
    if was is not None and not (isinstance(was, list) and all(type(number) is int for number in was)):
        raise TypeError(f"{step['path']!r}: what was there is not told by numbers")
    if sha256 is not None and not isinstance(sha256, str):
        raise TypeError(f"{step['path']!r}: a hash of {str(sha256)[:80]!r}")
    return step if was is None else {**step, "was": was[:4]}  # the fifth, of an older version, is a device
