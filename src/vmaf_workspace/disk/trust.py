"""Whose a file is, and whether it counts: what a stranger left where anybody may write says nothing to us.

A marker, a checkout found upward, a journal or a configuration file decides what is removed, and where. It counts only
where it belongs to the caller, to root, or to the owner of the directory that it speaks for, unless that directory lets
everybody write: there, owning it is no proof that its owner put anything in it.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

ROOT = 0


def why_untrusted(path: str | Path, *, top: str | Path | None = None) -> str | None:
    """Why what is at *path* counts for nothing, as the end of a sentence; None where it counts, or is not there.

    *top* is the directory that it speaks for: the one that it is in, unless told. A link is judged as what it is.
    """
    top = os.path.dirname(path) if top is None else top
    try:
        about = os.lstat(path)
        above = os.stat(top)
    except FileNotFoundError:
        return None
    except OSError as error:  # nobody can tell whose it is
        return f"which cannot be looked at ({error.strerror})"
    return why_stat_untrusted(about, above, top)


def why_stat_untrusted(about: os.stat_result, above: os.stat_result, top: str | Path) -> str | None:
    """The same of what was looked at already."""
    if about.st_uid in (os.geteuid(), ROOT):
        return None
    if about.st_uid != above.st_uid:
        return f"which belongs to {user_text(about.st_uid)}, not to you, to root, or to the owner of {top}"
    if above.st_mode & stat.S_IWOTH:
        return f"which belongs to {user_text(about.st_uid)}, as {top} does, where everybody may write"
    return None


def is_world_shared(directory: str | Path) -> bool:
    """Whether *directory* is one that people share, as the temporary directory: for everybody to write, and sticky."""
    try:
        mode = os.stat(directory).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def user_text(uid: int) -> str:
    """A name and a number, for people."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
