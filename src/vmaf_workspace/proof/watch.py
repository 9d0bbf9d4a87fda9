"""What is in a checkout: at the default places of its workspace, and elsewhere where git does not ignore it."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.errors import WorkspaceError

DEFAULT_PLACES = ("workspace", "python/vmaf/workspace", "compat/python-vmaf/workspace")  # upstream's and the fork's
NOT_WATCHED = frozenset({"__pycache__", ".pytest_cache", ".nox", ".tox", ".venv", ".git"})  # the tools' own
Mark = tuple[int, int, int]  # of an entry: what changes when it does


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of an entry: *how* is `made`, `changed` or `removed`."""

    path: Path
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The entries of a checkout at one moment; what git does not show is not among *elsewhere*.

    Those of *tracked* were there before, as git has them.
    """

    root: Path
    workspace: Mapping[Path, Mark]
    elsewhere: Mapping[Path, Mark]
    tracked: frozenset[Path]


def default_places(root: Path) -> list[Path]:
    """Where a harness in the checkout *root* may have its workspace by default, there or not."""
    return [root / place for place in DEFAULT_PLACES]


def look(root: Path) -> Seen:
    """What is in the checkout *root* now; outside git only its default places are seen. Changes nothing."""
    workspace = {path: mark for place in default_places(root) for path, mark in entries(place).items()}
    shown = {path: new for path, new in _shown_by_git(root) if path not in workspace}
    elsewhere = {path: _mark(path) for path in shown}
    tracked = frozenset(path for path, new in shown.items() if not new)
    return Seen(root=root, workspace=workspace, elsewhere=elsewhere, tracked=tracked)


def entries(place: Path) -> dict[Path, Mark]:
    """*place* and all below it, links not followed; empty where it is not there."""
    if not os.path.lexists(place):
        return {}
    found = {place: _mark(place)}
    for directory, names, files in os.walk(place):
        names[:] = [name for name in names if name not in NOT_WATCHED]
        found |= {Path(directory, name): _mark(Path(directory, name)) for name in (*names, *files)}
    return found


def changes(
    before: Mapping[Path, Mark], after: Mapping[Path, Mark], tracked: frozenset[Path] = frozenset()
) -> list[Change]:
    """What became of the entries, by path; those of *tracked* are no new ones, as git did not show them before."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        if path not in before and path not in tracked:
            found.append(Change(path=path, how="made"))
        elif before.get(path) != after.get(path):  # of git's: what is as committed again is not shown any more
            found.append(Change(path=path, how="changed" if os.path.lexists(path) else "removed"))
    return found


def git(root: Path, *words: str) -> bytes:
    """What git says in *root*; WorkspaceError in its own words where it says no. No hook of the checkout is run."""
    of_a_hook = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # a proof may be run from one
    environ = {name: value for name, value in os.environ.items() if name not in of_a_hook}
    environ["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise WorkspaceError(f"cannot run git in {root}: {error.strerror}") from error
    if done.returncode:
        raise WorkspaceError(f"git {words[0]} in {root}: {os.fsdecode(done.stderr).strip()}")
    return done.stdout


def top(here: Path) -> Path | None:
    """The top of the git checkout that *here* lies in; None outside any."""
    try:
        return Path(os.fsdecode(git(here, "rev-parse", "--show-toplevel")).rstrip("\n"))
    except WorkspaceError:
        return None


def paths(listing: bytes) -> list[str]:
    """The paths of a listing of git's with a NUL after each."""
    return [os.fsdecode(path) for path in listing.split(b"\0") if path]


def _shown_by_git(root: Path) -> Iterator[tuple[Path, bool]]:
    """What differs from the last commit, or is new and not ignored; and whether it is new."""
    if top(root) is None:
        return
    for line in paths(git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")):
        path = line[3:].rstrip("/")
        if not NOT_WATCHED & set(path.split("/")):
            yield root / path, line.startswith("??")


def _mark(path: Path) -> Mark:
    """Of a directory only that it is one: its time changes with what it holds."""
    try:
        about = os.lstat(path)
    except OSError:
        return (0, 0, 0)
    kind = stat.S_IFMT(about.st_mode)
    return (kind, 0, 0) if stat.S_ISDIR(kind) else (kind, about.st_size, about.st_mtime_ns)


def kinds(found: Sequence[Path]) -> dict[str, int]:
    """How many of each kind: directories, FIFOs, links, files by their ending."""
    counted: dict[str, int] = {}
    for path in found:
        mode = _mark(path)[0]
        names = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
        name = names.get(mode) or (f"{path.suffix} file" if path.suffix else "file")
        counted[name] = counted.get(name, 0) + 1
    return counted
