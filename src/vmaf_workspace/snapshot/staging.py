"""Puts restored files into their places, and finishes what a restore that was killed had begun.

A journal at the workspace's root says which staged file goes where, and what was there when that was decided: what
has changed since stays as it is. Doing it twice is the same as doing it once. What is reported is what is on disk in
the end: each place is looked at once more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from vmaf_workspace.disk.atomic import read_whole
from vmaf_workspace.disk.scan import OPEN_DIRECTORY
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.live.lock import only_cleaner
from vmaf_workspace.snapshot.journal import Journal, parsed, written
from vmaf_workspace.snapshot.local import file_sha256
from vmaf_workspace.snapshot.manifest import STAGING, short
from vmaf_workspace.snapshot.tree import signature

JOURNAL = ".vmaf-restore.json"
RESTORE = "restore-models"
LOST = "its copy is gone, and it is not in its place"
CHANGED = "changed since the restore was planned, so it stays"


def finish_interrupted(root: Path, command: str) -> None:
    """Finish a restore that was killed, if there is one. InUseError where one is at work right now.

    Raises WorkspaceError where its copies are gone: models are half restored then, and a snapshot of them would be the
    latest. Only another restore goes on.
    """
    if os.path.lexists(root / JOURNAL):
        with only_cleaner(root, command):
            finish(root, command)


def finish(root: Path, command: str = RESTORE) -> list[tuple[str, str]]:
    """Finish a restore that was killed while it put files into their places; (path, why) of what stays as it is.

    Says on stderr that there was one, whatever task came upon it: what stays may have left a model half restored. What
    a restore that was killed earlier has left goes, but where copies are LOST: then that is what the journal stays to
    say until a restore is done. The caller excludes others, as `restore` does.
    """
    left: list[tuple[str, str]] = []
    began: Journal | None = None
    try:
        began = parsed(read_whole(root / JOURNAL, top=root))
        token, steps, directories, snapshot = began
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
        tops = tops_of(root)
        left = swap(tops, token, steps, directories, check=True)
        left += not_in_place(tops, steps, left)
        _say_finished(root, left)
        if lost := [path for path, why in left if why == LOST]:
            if command == RESTORE:
                return left
            which = short(snapshot) or "ID"
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
    from vmaf_workspace.wording import listing, printable

    how = "all but what follows; `ws.restore-models --overwrite` brings that" if left else "all of it is in its place"
    print(f"finished a restore in {printable(str(root))} that was interrupted: {how}", file=sys.stderr)
    listing("not as the snapshot has it:", left, file=sys.stderr)


def tops_of(root: Path) -> dict[str, str]:
    """Where each subdirectory is now; asked once, so that a link put in its place later is followed by nobody."""
    return {subdir: os.path.realpath(root / subdir) for subdir in BACKED_UP}


def staging(top: str, token: str) -> str:
    """The hidden directory of a restore in the subdirectory *top*: on the file system that its files must be on."""
    return os.path.join(top, f"{STAGING}{token}")


def write_journal(root: Path, journal: dict[str, Any], *, flush: bool) -> None:
    """From here on the restore will be finished; with *flush*, which can take long, after a power cut as well."""
    try:
        content = written(
            journal["token"], journal["steps"], journal.get("directories", {}), journal.get("snapshot", "")
        )
    except ValueError as error:
        raise WorkspaceError(f"cannot write down what is to be restored ({error}); nothing was changed") from error
    part = root / f"{JOURNAL}-{journal['token']}"
    with open(part, "xb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    part.rename(root / JOURNAL)


def swap(
    tops: Mapping[str, str],
    token: str,
    steps: list[dict[str, Any]],
    directories: Mapping[str, int],
    *,
    check: bool = False,
) -> list[tuple[str, str]]:
    """Put each staged file into its place; what changed since it was planned stays as it is and is returned.

    *directories* are made, their owner's alone until the files are in them, then given these permission bits. Done
    twice it is the same as done once. With *check* the staged files are read first: a power cut may have left some
    empty.
    """
    left: list[tuple[str, str]] = []
    _allow(tops, dict.fromkeys(sorted(directories), 0o700))
    for parent, found in groupby(sorted(steps, key=_parent), key=_parent):
        in_parent = list(found)
        subdir, *below = parent.split("/")
        staged = staging(tops[subdir], token)
        try:
            with _directory(tops[subdir], below) as fd:
                for step in in_parent:
                    left += _put_in_place(staged, step, fd, check=check)
        except OSError as error:  # its directory cannot be made or entered
            left += [(step["path"], error.strerror or str(error)) for step in in_parent]
    return left + _allow(tops, dict(sorted(directories.items(), reverse=True)))  # deepest first


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
            with _directory(tops[subdir], below, make=False) as fd:
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


def _allow(tops: Mapping[str, str], directories: Mapping[str, int]) -> list[tuple[str, str]]:
    """Make directories and set their permission bits, in this order; (path, why) where that cannot be done."""
    left = []
    for path, mode in directories.items():
        subdir, *below = path.split("/")
        try:
            with _directory(tops[subdir], below) as fd:
                special = stat.S_IMODE(os.fstat(fd).st_mode) & ~0o777  # set-group-id: the place is shared
                os.fchmod(fd, special | mode)
        except OSError as error:
            left.append((path, error.strerror or str(error)))
    return left


def _parent(step: dict[str, Any]) -> str:
    return str(step["path"]).rpartition("/")[0]


def _put_in_place(directory: str, step: dict[str, Any], fd: int, *, check: bool) -> list[tuple[str, str]]:
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
    other = next((other for other in names if _is(there, _lstat(other, fd))), "")
    return f"the file system takes this name and {other!r} for one, so only that is there; --into another one has both"


def _is(one: os.stat_result, other: os.stat_result | None) -> bool:
    return other is not None and os.path.samestat(one, other)


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
def _directory(top: str, below: list[str], *, make: bool = True) -> Iterator[int]:
    """A descriptor of a directory below *top*, made where it is missing, reached through no symlink."""
    fd = os.open(top, OPEN_DIRECTORY)
    try:
        for name in below:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = child
        yield fd
    finally:
        os.close(fd)
