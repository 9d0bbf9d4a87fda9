"""Makes a workspace: the eight subdirectories, their placeholders, the marker that says the tree is ours."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import (
    BY_NAME,
    CACHE_TAG,
    CACHE_TAG_TEXT,
    KEPT_NAMES,
    LOST_AND_FOUND,
    MARKER,
    PLACEHOLDER,
    PLACEHOLDER_TEXT,
    SUBDIRS,
    Loss,
)
from vmaf_workspace.disk.atomic import write_into
from vmaf_workspace.disk.git_index import tracked_content
from vmaf_workspace.disk.scan import files_below
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.identity import WORKSPACE, Owner, ensure_identity, take_turn
from vmaf_workspace.locate import VARIABLE

CANNOT_WRITE = {errno.EROFS, errno.EACCES, errno.EPERM}
CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def setup(root: Path) -> list[Path]:
    """Make the workspace at *root* and return what was made, in order; an existing placeholder stays as it is, and one
    that git tracks comes back as git has it.

    Only in a directory that is new, empty, ours already, or holds nothing but contract names; a contract subdirectory
    may be a symlink to an empty directory, which gets a marker of its own. Raises RefusedError otherwise.
    """
    targets = _checked(root)
    lacking = [name for name in BY_NAME if not os.path.lexists(root / name / PLACEHOLDER)]
    tracked = tracked_content(root, [f"{name}/{PLACEHOLDER}" for name in lacking]) if lacking else {}
    made: list[Path] = []
    with write_errors_explained(root):
        _mark(root, made)
        for subdir in SUBDIRS:
            directory = targets.get(subdir.name, root / subdir.name)
            if subdir.name in targets:
                _mark(directory, made, subdir=subdir.name, root=os.path.realpath(root))
            if not os.path.isdir(directory):
                directory.mkdir(exist_ok=True)  # another run may be making the same workspace
                made.append(directory)
            text = tracked.get(f"{subdir.name}/{PLACEHOLDER}", PLACEHOLDER_TEXT.encode())
            _write_once(directory / PLACEHOLDER, text, made)
            if subdir.loss in (Loss.NOTHING, Loss.TIME):
                _write_once(directory / CACHE_TAG, CACHE_TAG_TEXT.encode(), made)
    return made


def why_not_made(root: Path) -> str | None:
    """Why `setup` would refuse to make a workspace at *root*; None where it would make one."""
    try:
        _checked(root)
    except RefusedError as refused:
        return str(refused)
    return None


def ensure(root: Path) -> None:
    """Make the workspace at *root* unless it is there and whole; for writers, before their first write.

    Unlike `setup`, which a person asks for, it takes over no directory that holds something to clean or to purge.
    """
    if guard.is_marked(root) and all(os.path.isdir(root / name) for name in BY_NAME):
        return
    guard.check_marker(root)
    if not guard.is_default_location(root):
        found = removable_subdirs(root)
        if found and not guard.is_marked(root):  # asked last: another run may just have made it, and begun to write
            raise RefusedError(
                f"{root} is not marked as a workspace and has files in {', '.join(found)}:\n"
                "a later clean or purge would take them. Where they may go, `ws.setup` marks it;\n"
                f"otherwise set {VARIABLE} to a directory that is new or empty"
            )
    setup(root)


def removable_subdirs(root: Path) -> list[str]:
    """The subdirectories of *root* that hold a file which a clean or a purge would take; empty directories are none."""
    losable = [subdir.name for subdir in SUBDIRS if subdir.loss in (Loss.NOTHING, Loss.TIME)]
    return [
        f"{name}/"
        for name in losable
        if any(os.path.basename(path) not in KEPT_NAMES for path in files_below(root / name))
    ]


@contextmanager
def write_errors_explained(root: Path) -> Iterator[None]:
    """Turn the OSError of a write below *root* into a WorkspaceError with the workspace, the variable, the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkspaceError(
                f"no space left for the workspace {root} ({error.strerror}: {error.filename or root})\n"
                "what was stored before is intact; `ws.status` shows what fills it\n"
                f"free some (`ws.clean-scratch` costs nothing), or set {VARIABLE} to a directory on a larger disk"
            ) from error
        if error.errno in CANNOT_WRITE:
            raise WorkspaceError(
                f"cannot write into the workspace {root} ({error.strerror}: {error.filename or root})\n"
                f"it is where {VARIABLE}, or the checkout without it, puts the workspace (`ws.where` says which)\n"
                f"make it writable, or set {VARIABLE} to a directory that is"
            ) from error
        if error.errno in CANNOT_LOCK and error.filename is None:  # of a descriptor: a call with a path locks nothing
            raise WorkspaceError(
                f"cannot lock in the workspace {root} ({error.strerror}), so nobody could tell who uses it\n"
                "its file system has no locks: Lustre needs the mount option `flock`, NFS before version 4 lockd\n"
                f"mount it so, or set {VARIABLE} to a directory on another disk"
            ) from error
        raise


def adopt(root: Path) -> None:
    """Mark a tree that the guard has let through unmarked: the default workspace of a checkout."""
    if not guard.is_marked(root):
        with write_errors_explained(root):
            _mark(root, [])


def identify_for_snapshot(root: Path, seen: tuple[int, str] = (0, "")) -> Owner:
    """Who the workspace *root* is in the snapshot that is about to be listed, its marker made if it has none.

    *seen* is the newest turn of its identity in the backup location, see `identity.take_turn`.
    """
    with suppress(OSError):  # on a read-only disk its host and path must do
        if not guard.is_marked(root) and guard.is_default_location(root):
            _mark(root, [])
    return take_turn(root, seen)


def _checked(root: Path) -> dict[str, Path]:
    """The subdirectories that are links, and where they lead; RefusedError where no workspace may be made."""
    guard.check_not_forbidden(root)
    guard.check_not_inside_another(root)
    if not guard.is_marked(root):
        _check_may_become_ours(root)
    return guard.subdirectory_targets(root, marked=False)


def _check_may_become_ours(root: Path) -> None:
    guard.check_marker(root)
    marker = root / MARKER
    if os.path.islink(root) and not os.path.exists(root):
        raise RefusedError(f"{root} is a symlink to nothing; remove it, or set {VARIABLE} to a directory")
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise RefusedError(f"{root} is not a directory; remove it, or set {VARIABLE} to a directory") from None
    except PermissionError as error:
        raise RefusedError(f"cannot look into {root} ({error.strerror}), so it stays as it is") from None
    if guard.is_default_location(root):
        return
    if MARKER in names and set(os.listdir(marker)) & set(BY_NAME):
        raise RefusedError(f"{root} is marked as a place for another workspace's subdirectory, so it is none itself")
    ours = {*BY_NAME, PLACEHOLDER, MARKER, *([LOST_AND_FOUND] if os.path.ismount(root) else [])}
    foreign = sorted(set(names) - ours)
    if foreign:
        shown = ", ".join(repr(name) for name in foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise RefusedError(
            f"{root} holds {shown}, which no workspace does, so it may be somebody's; nothing was made.\n"
            "Name a directory that is new, empty, or holds only the eight subdirectories"
        )


def _mark(directory: Path, made: list[Path], *, subdir: str = WORKSPACE, root: str | None = None) -> None:
    guard.check_marker(directory)  # last of all: what it is now is written into
    marker = directory / MARKER
    if not os.path.isdir(marker):
        marker.mkdir(parents=True, exist_ok=True)
        made.append(marker)
    _write_once(marker / PLACEHOLDER, b"*\n", made)  # git never sees it
    if root is None:
        made += [marker / WORKSPACE] if ensure_identity(directory) else []
        return
    about = json.dumps({"version": 1, "made_at_s": int(time.time()), "of": root}).encode() + b"\n"
    if os.path.lexists(marker / subdir) and guard.owner_of(directory, subdir) != root:
        write_into(marker, subdir, lambda _: about)  # its workspace is gone, or leads elsewhere now
    _write_once(marker / subdir, about, made)


def _write_once(path: Path, content: bytes, made: list[Path]) -> None:
    try:
        write_into(path.parent, path.name, lambda _: content, new=True)
    except FileExistsError:
        return
    made.append(path)
