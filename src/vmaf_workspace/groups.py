"""Which files are one model, and who is writing one.

A model can be several files (`m.pkl`, `m.pkl.model`, `m.pkl.0001`, `m.json`, `m.card.json`, …); one without the others
is broken. Whoever puts them into their places holds `flock` on their directory meanwhile, which leaves no file and
ends with its process; so a backup takes a group before or after, never in between.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.disk.scan import open_directory

BACKED_UP = tuple(subdir.name for subdir in SUBDIRS if subdir.backed_up)
_BEGINS_PICKLE = tuple(bytes([each]) for each in b"\x80(c]})ILFSVNKGXU")  # the first but of protocols 0 and 1
_MEMBER = re.compile(r"(?s)(?P<stem>.+?)(?:\.pkl(?:\.\d{4,})?(?:\.model)?|(?:\.card|\.bootstrap)?\.json)")


def group_of(path: str) -> str:
    """The name of the group that *path* (below the workspace) belongs to: `model/m` for `model/m.pkl.0001.model`.

    A file that is no part of a model is a group of its own, under its own path.
    """
    above, slash, name = path.rpartition("/")
    match = _MEMBER.fullmatch(name)
    return f"{above}{slash}{match['stem']}" if match else path


def why_broken(path: str, first: bytes, last: bytes) -> str:
    """Why a file of a model cannot be whole, by its *first* and *last* bytes; "" where they say nothing against it.

    That costs nothing where a file is read anyway, and tells one that is empty, cut short, or another thing. Whether
    what lies between is right, only loading it says.
    """
    name = path.rpartition("/")[2]
    if not _MEMBER.fullmatch(name):
        return ""
    if not last:
        return "it is empty"
    if name.endswith(".json"):
        whole = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"") and last.rstrip()[-1:] in (
            b"}",
            b"]",
            b"",
        )
        return "" if whole else "no whole JSON: it does not begin and end as one"
    if name.endswith(".model"):
        return "" if last.endswith(b"\n") else "no whole text of LIBSVM: its last line has no end"
    return (
        ""
        if first[:1] in _BEGINS_PICKLE and last.endswith(b".")
        else "no whole pickle: it does not begin and end as one"
    )


@contextmanager
def model_lock(directory: Path) -> Iterator[None]:
    """Hold the lock of the models in *directory*; a second writer waits. Raises OSError where it is not there."""
    with open_directory(directory, follow=True) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def locked_directories(root: Path, directories: Iterable[str]) -> set[str]:
    """Which of *directories*, paths below *root*, somebody holds the lock of now."""
    held = set()
    for directory in directories:
        try:
            fd = os.open(root / directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # gone, or not ours to open: then what is in it cannot be read either
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held.add(directory)
        finally:
            os.close(fd)
    return held
