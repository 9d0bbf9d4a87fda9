"""A throw-away copy of a checkout: a worktree of HEAD with the uncommitted changes laid over it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.proof.watch import DEFAULT_PLACES, git, paths, top

BUILDS = ("libvmaf/build", "core/build", "build")  # where a compiled libvmaf lies, which git ignores


@contextmanager
def throwaway(root: Path, place: Path) -> Iterator[Path]:
    """A copy of the checkout *root* at *place*, removed afterwards, as is one that a killed call left there.

    What git ignores is not in it, but for a link to a compiled build; a linked directory of its workspace is an empty
    one there, as the link would lead the tests to the real one. Raises RefusedError where *root* is no checkout
    of git's or *place* is something else, InUseError where another call uses *place*.
    """
    if top(root) != root:
        raise RefusedError(f"{root} is no checkout of git's, so no throw-away copy can be made; ask for in_place")
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.with_name(f"{place.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"{place} is in use by another proof of this checkout; wait for it to end") from None
        _remove(root, place)
        git(root, "worktree", "add", "--quiet", "--force", "--detach", str(place), "HEAD")
        try:
            _lay_over(root, place)
            yield place
        finally:
            _remove(root, place)
    finally:
        os.close(lock)


def build_of(root: Path) -> Path | None:
    """The compiled build in *root*; None where there is none."""
    return next((root / build for build in BUILDS if (root / build / "tools").is_dir()), None)


def _lay_over(root: Path, place: Path) -> None:
    """Make the tracked and the new files of *place* what they are in *root*."""
    changed = paths(git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD"))
    new = paths(git(root, "ls-files", "--others", "--exclude-standard", "-z"))
    for path in changed + new:
        source, target = root / path, place / path
        is_of_a_workspace = any(Path(at) in (Path(path), Path(path).parent) for at in DEFAULT_PLACES)
        if is_of_a_workspace and source.is_symlink() and source.is_dir():
            _parents(target, place)
            target.mkdir(exist_ok=True)
            continue
        if source.is_dir() and not source.is_symlink():  # another repository's, or a submodule
            continue
        if os.path.lexists(target) and not (target.is_dir() and not target.is_symlink()):
            target.unlink()
        if os.path.lexists(source):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            _parents(target, place)
            shutil.copy2(source, target, follow_symlinks=False)
    build = build_of(root)
    if build is not None and not os.path.lexists(target := place / build.relative_to(root)):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(build)


def _parents(target: Path, place: Path) -> None:
    """Make the directories above *target*; where one is a file or a link that went, it makes room."""
    for parent in reversed([path for path in target.parents if place in path.parents]):
        if os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()):
            parent.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)


def _remove(root: Path, place: Path) -> None:
    if not os.path.lexists(place):
        return
    if place.is_symlink() or (not (place / ".git").is_file() and any(place.iterdir())):
        raise RefusedError(f"{place} is no throw-away copy, so it is not replaced; move it away")
    with suppress(WorkspaceError):
        git(root, "worktree", "remove", "--force", "--force", str(place))
    if place.exists():
        shutil.rmtree(place)
