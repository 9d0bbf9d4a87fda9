"""Puts restored files into their places, and finishes what a restore that was killed had begun.

A journal at the workspace's root says which staged file goes where, and what was there when that was decided: what
has changed since stays as it is. Doing it twice is the same as doing it once. What is reported is what is on disk in
the end: each place is looked at once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.disk.content import file_sha256
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8
from vmaf_workspace.disk.scan import open_directory, open_directory_below
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.live.lock import removal_lock
from vmaf_workspace.snapshot.manifest import STAGING, is_model_path, short_id
from vmaf_workspace.snapshot.tree import signature

JOURNAL = ".vmaf-restore.json"
RESTORE = "restore-models"
LOST = "its copy is gone, and it is not in its place"
CHANGED = "changed since the restore was planned, so it stays"


class Journal(NamedTuple):
    """What a restore had begun to put in place."""

    token: str  # in the names of its hidden directories: 16 hex digits
    steps: list[dict[str, Any]]
    directories: dict[str, int]  # permission bits by path
    snapshot: str = ""  # whose files they are; a journal of an older version does not say


def finish_interrupted(root: Path, command: str) -> None:
    """Finish a restore that was killed, if there is one. InUseError where one is at work right now.

    Raises WorkspaceError where its copies are gone: models are half restored then, and a snapshot of them would be the
    latest. Only another restore goes on.
    """
    if os.path.lexists(root / JOURNAL):
        with removal_lock(root, command):
            finish_restore(root, command)


def finish_restore(root: Path, command: str = RESTORE) -> list[tuple[str, str]]:
    """Finish a restore that was killed while it put files into their places; (path, why) of what stays as it is.

    Says on stderr that there was one, whatever task came upon it: what stays may have left a model half restored. What
    a restore that was killed earlier has left goes, but where copies are LOST: then that is what the journal stays to
    say until a restore is done. The caller excludes others, as `restore` does.
    """
    left: list[tuple[str, str]] = []
    began: Journal | None = None
    try:
        began = decode_journal(read_regular(root / JOURNAL, top=root))
    except FileNotFoundError:
        pass
    except PermissionError as error:  # it says what to remove, so a stranger's word is not enough
        raise WorkspaceError(
            f"{root / JOURNAL} says what a restore left to do, and does not count: {error.strerror}.\n"
            "Nothing was touched. Whoever made it finishes it by `ws.restore-models`;\n"
            "if you trust it, `chown` it to you, otherwise remove it"
        ) from error
    except (OSError, ValueError) as error:
        raise WorkspaceError(
            f"{root / JOURNAL} says what a restore left to do and cannot be read ({error}); nothing was touched.\n"
            "Remove it, then restore again"
        ) from error
    if began is not None:
        tops = real_subdirs(root)
        left = put_in_place(tops, began, check=True)
        left += not_in_place(tops, began.steps, left)
        _say_finished(root, left)
        if lost := [path for path, why in left if why == LOST]:
            if command == RESTORE:
                return left
            which = short_id(began.snapshot) or "ID"
            raise WorkspaceError(
                f"a restore in {root} was interrupted, and what it had copied is gone: {lost[0]!r} is not restored\n"
                f"so models there may be half of a group; {command} did nothing more\n"
                f"`ws.restore-models --snapshot {which} --overwrite` restores them anew; "
                f"where they are not missed, remove {root / JOURNAL}"
            )
        os.unlink(root / JOURNAL)
    remove_staging(root, "")
    return left


def _say_finished(root: Path, left: list[tuple[str, str]]) -> None:
    from vmaf_workspace.wording import print_list, printable, say

    how = "all but what follows; `ws.restore-models --overwrite` brings that" if left else "all of it is in its place"
    say(f"finished a restore in {printable(str(root))} that was interrupted: {how}", file=sys.stderr)
    print_list("not as the snapshot has it:", left, file=sys.stderr)


def real_subdirs(root: Path) -> dict[str, str]:
    """Where each subdirectory is now; asked once, so that a link put in its place later is followed by nobody."""
    return {subdir: os.path.realpath(root / subdir) for subdir in BACKED_UP}


def staging_directory(top: str, token: str) -> str:
    """The hidden directory of a restore in the subdirectory *top*: on the file system that its files must be on."""
    return os.path.join(top, f"{STAGING}{token}")


def write_journal(root: Path, journal: Journal, *, flush: bool) -> None:
    """From here on the restore will be finished; with *flush*, which can take long, after a power cut as well."""
    try:
        content = json.dumps(paths_to_utf8(journal._asdict())).encode("ascii")
        found = decode_journal(content)
        paths = [[step["path"] for step in steps] for steps in (found.steps, journal.steps)]
        if paths[0] != paths[1] or found.directories != journal.directories:
            raise ValueError("it names what is no place for a model")
    except ValueError as error:
        raise WorkspaceError(f"cannot write down what is to be restored ({error}); nothing was changed") from error
    part = root / f"{JOURNAL}-{journal.token}"
    with open(part, "xb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    part.rename(root / JOURNAL)


def decode_journal(content: bytes) -> Journal:
    """Read a journal; steps outside of what snapshots hold are left out. ValueError for what is none.

    An empty one is what a power cut leaves: nothing was replaced then.
    """
    if not content:
        return Journal("0" * 16, [], {})
    try:
        data = paths_from_utf8(json.loads(content))
        token = int(data["token"], 16)
        if not 0 <= token < 1 << 64:
            raise ValueError("a token of more than 16 digits")
        steps = [_step(step) for step in data["steps"] if is_model_path(step["path"])]
        named = data.get("directories", {})  # a restore of an older version names none
        directories = {path: int(named[path]) & 0o777 for path in named if is_model_path(path) or path in BACKED_UP}
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


def put_in_place(tops: Mapping[str, str], journal: Journal, *, check: bool = False) -> list[tuple[str, str]]:
    """Put each staged file into its place; what changed since it was planned stays as it is and is returned.

    Directories are made, their owner's alone until the files are in them, then given their permission bits. Done
    twice it is the same as done once. With *check* the staged files are read first: a power cut may have left some
    empty.
    """
    left: list[tuple[str, str]] = []
    _set_modes(tops, dict.fromkeys(sorted(journal.directories), 0o700))
    for parent, found in groupby(sorted(journal.steps, key=_parent), key=_parent):
        in_parent = list(found)
        subdir, *below = parent.split("/")
        staged = staging_directory(tops[subdir], journal.token)
        try:
            with _open_below(tops[subdir], below) as fd:
                for step in in_parent:
                    left += _apply_step(staged, step, fd, check=check)
        except OSError as error:  # its directory cannot be made or entered
            left += [(step["path"], error.strerror or str(error)) for step in in_parent]
    return left + _set_modes(tops, dict(sorted(journal.directories.items(), reverse=True)))  # deepest first


def not_in_place(
    tops: Mapping[str, str],
    steps: list[dict[str, Any]],
    left: list[tuple[str, str]],
    made: Mapping[str, Sequence[int]] | None = None,
) -> list[tuple[str, str]]:
    """What of the rest, but for *left*, is not on disk as its step says, looked for once more by its path.

    A file is read, unless it is the very one that *made* knows by its path, as `file_id` has it: written and hashed.
    """
    known, wrong = {path for path, _ in left}, []
    asked = sorted((step for step in steps if step["path"] not in known), key=_parent)
    for parent, found in groupby(asked, key=_parent):
        in_parent = list(found)
        subdir, *below = parent.split("/")
        try:
            with _open_below(tops[subdir], below, make=False) as fd:
                for step in in_parent:
                    name = step["path"].rpartition("/")[2]
                    there = _lstat(name, fd)
                    is_it = there is not None and file_id(there) == list((made or {}).get(step["path"], ()))
                    if not is_it and not _is_done(step, name, fd):
                        wrong.append((step["path"], "it is not there as it was restored: somebody changed it"))
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError)  # and so is what was to go from there
            why = error.strerror or str(error)
            wrong += [(step["path"], why) for step in in_parent if not (is_gone and step["staged"] is None)]
    return wrong


def file_id(about: os.stat_result) -> list[int]:
    """What a file keeps when it gets another name."""
    return [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns]


def remove_staging(root: Path, token: str) -> None:
    """Hidden directories of this restore, or (token "") of all that died; journals that never got their name."""
    for subdir in BACKED_UP:
        top = os.path.realpath(root / subdir)
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(top):
                if name.startswith(f"{STAGING}{token}"):
                    shutil.rmtree(os.path.join(top, name), ignore_errors=True)
    for part in root.glob(f"{JOURNAL}-{token}*"):
        part.unlink(missing_ok=True)


def _set_modes(tops: Mapping[str, str], directories: Mapping[str, int]) -> list[tuple[str, str]]:
    """Make directories and set their permission bits, in this order; (path, why) where that cannot be done."""
    left = []
    for path, mode in directories.items():
        subdir, *below = path.split("/")
        try:
            with _open_below(tops[subdir], below) as fd:
                special = stat.S_IMODE(os.fstat(fd).st_mode) & ~0o777  # set-group-id: the place is shared
                os.fchmod(fd, special | mode)
        except OSError as error:
            left.append((path, error.strerror or str(error)))
    return left


def _parent(step: dict[str, Any]) -> str:
    return str(step["path"]).rpartition("/")[0]


def _apply_step(directory: str, step: dict[str, Any], fd: int, *, check: bool) -> list[tuple[str, str]]:
    """One step, in the directory *fd*; (path, why) where it was not done."""
    name = step["path"].rpartition("/")[2]
    staged = None if step["staged"] is None else f"{directory}/{step['staged']}"
    try:
        if staged is not None and step["was"] is None and not check and _link(staged, name, fd):
            return []
        there = _lstat(name, fd)
        copied = None if staged is None else _lstat(staged)
        if staged is not None and copied is None:  # it is in its place already, or nowhere
            if _is_done(step, name, fd):
                return []
            is_as_before = there is None or (step["was"] is not None and signature(there) == tuple(step["was"]))
            return [(step["path"], LOST if is_as_before else CHANGED)]
        if staged is not None and check and step["sha256"] and file_sha256(staged) != step["sha256"]:
            return [(step["path"], "its copy is damaged; restore again")]
        if there is None:
            if staged is not None and not _link(staged, name, fd):  # a rename would replace what came this instant
                if _lstat(name, fd) is not None:
                    return [(step["path"], _twin(name, fd) or "appeared since the restore was planned, so it stays")]
                os.rename(staged, name, dst_dir_fd=fd)
        elif copied is not None and os.path.samestat(there, copied):
            pass  # killed between its new name and the end of the old one
        elif step["was"] is None or signature(there) != tuple(step["was"]):
            return [(step["path"], _twin(name, fd) or CHANGED)]
        elif staged is None:
            os.unlink(name, dir_fd=fd)
        else:
            os.rename(staged, name, dst_dir_fd=fd)
    except OSError as error:
        return [(step["path"], error.strerror or str(error))]
    return []


def _twin(name: str, fd: int) -> str:
    """Why *name* cannot be had in the directory *fd* where a file is found by it that bears another; else blank."""
    names = os.listdir(fd)
    if name in names:
        return ""
    there = os.stat(name, dir_fd=fd, follow_symlinks=False)
    other = next((one for one in names if (about := _lstat(one, fd)) and os.path.samestat(there, about)), "")
    return f"the file system takes this name and {other!r} for one, so only that is there; --into another one has both"


def _is_done(step: dict[str, Any], name: str, fd: int) -> bool:
    """Whether *name* in the directory *fd* is what this step was to make of it; read now."""
    there = _lstat(name, fd)
    if step["staged"] is None or there is None:
        return step["staged"] is None and there is None
    if step["sha256"] is None:  # a link; where it leads, journals of an older version do not say
        return stat.S_ISLNK(there.st_mode) and step.get("link") in (None, os.readlink(name, dir_fd=fd))
    if not stat.S_ISREG(there.st_mode):
        return False
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == str(step["sha256"])


def _lstat(path: str, fd: int | None = None) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _link(staged: str, name: str, fd: int) -> bool:
    """Give *staged* its name if that is still free; False where it is not, or the file system has no second names."""
    try:
        os.link(staged, name, dst_dir_fd=fd, follow_symlinks=False)
    except OSError:
        return False
    os.unlink(staged)
    return True


@contextmanager
def _open_below(top: str, below: list[str], *, make: bool = True) -> Iterator[int]:
    """A descriptor of a directory below *top*, made where it is missing, reached through no symlink."""
    with open_directory(top) as fd, open_directory_below(fd, "/".join(below), make=make) as found:
        yield found
