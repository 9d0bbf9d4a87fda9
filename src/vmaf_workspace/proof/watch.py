"""What is in a checkout: at the default places of its workspace, and elsewhere where git does not ignore it.

At the default places nothing is passed over by its name, and links of the workspace and of its subdirectories are
followed, as people link them to a larger disk. The user's own workspace, outside any checkout, is a default place too.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.contract import BY_NAME
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.locate import user_directory

DEFAULT_PLACES = ("workspace", "python/vmaf/workspace", "compat/python-vmaf/workspace")  # upstream's and the fork's
NOT_WATCHED = frozenset({"__pycache__", ".pytest_cache", ".nox", ".tox", ".venv", ".git"})  # the tools' own
Mark = tuple[int, int, int, int, int]  # of an entry: what changes when it does


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of an entry: *how* is `made`, `changed` or `removed`, or `used`.

    That is a directory in which something was made or removed; it is as it was where nothing else is told of it.
    """

    path: Path
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The entries of a checkout at one moment; what git does not show is not among *elsewhere*.

    Those of *tracked* were there before, as git has them; *head* is the commit, blank without one. *users* is the
    user's own workspace, which no checkout encloses.
    """

    root: Path
    workspace: Mapping[Path, Mark]
    users: Mapping[Path, Mark]
    elsewhere: Mapping[Path, Mark]
    tracked: frozenset[Path]
    head: str


def default_places(root: Path) -> list[Path]:
    """Where a harness in the checkout *root* may have its workspace by default, there or not."""
    return [root / place for place in DEFAULT_PLACES]


def users_place() -> list[Path]:
    """Where a workspace is outside any checkout; none where this user has no home."""
    try:
        return [user_directory("data") / "workspace"]
    except WorkspaceError:
        return []


def look(root: Path) -> Seen:
    """What is in the checkout *root* now; outside git only its default places are seen. Changes nothing."""
    workspace, users = (
        {path: mark for place in places for path, mark in _of_a_workspace(place).items()}
        for places in (default_places(root), users_place())
    )
    head = ""
    elsewhere: dict[Path, Mark] = {}
    tracked: set[Path] = set()
    if top(root) is not None:
        for path, new in _shown_by_git(root):
            if path in workspace:
                continue
            whole = path.is_dir() and not path.is_symlink()  # another repository in this one, which git does not enter
            elsewhere |= entries(path, but=NOT_WATCHED) if whole else {path: _mark(path)}
            if not new:
                tracked.add(path)
        exclude = root / os.fsdecode(git(root, "rev-parse", "--git-path", "info/exclude")).rstrip("\n")
        head = _head(root)
        elsewhere[exclude] = _mark(exclude)  # what it names would be hidden from git
    return Seen(root=root, workspace=workspace, users=users, elsewhere=elsewhere, tracked=frozenset(tracked), head=head)


def _of_a_workspace(place: Path) -> dict[Path, Mark]:
    linked = [place / name for name in BY_NAME if (place / name).is_symlink()]
    return entries(place) | {path: mark for top in linked for path, mark in entries(top).items()}


def entries(place: Path, *, but: frozenset[str] = frozenset({"__pycache__"})) -> dict[Path, Mark]:
    """*place*, which may be a link, and all below it, links not followed; empty where it is not there.

    What has one of the names *but* is left out.
    """
    if not os.path.lexists(place):
        return {}
    found = {place: _mark(place, follow=os.path.isdir(place))}
    for directory, names, files in os.walk(place):
        names[:] = [name for name in names if name not in but]
        found |= {Path(directory, name): _mark(Path(directory, name)) for name in (*names, *files)}
    return found


def changes(
    before: Mapping[Path, Mark], after: Mapping[Path, Mark], tracked: frozenset[Path] = frozenset()
) -> list[Change]:
    """What became of the entries, by path; those of *tracked* are no new ones, as git did not show them before."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None and path not in tracked:
            found.append(Change(path=path, how="made"))
        elif old and new and old != new and _but_time(old) == _but_time(new) and stat.S_ISDIR(old[0]):
            if not os.path.lexists(path / "__pycache__"):  # which is made there by an import
                found.append(Change(path=path, how="used"))
        elif old != new:  # of git's: what is as committed again is not shown any more
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
        raise WorkspaceError(f"git {' '.join(words)} in {root}: {os.fsdecode(done.stderr).strip()}")
    return done.stdout


def top(here: Path) -> Path | None:
    """The top of the git checkout that *here* lies in; None outside any.

    WorkspaceError where there is one that git will not read, as one of another owner in a container: nothing that is
    written in it would be seen.
    """
    try:
        return Path(os.fsdecode(git(here, "rev-parse", "--show-toplevel")).rstrip("\n"))
    except WorkspaceError:
        if any(os.path.lexists(place / ".git") for place in (here, *here.parents)):
            raise
        return None


def ignores_itself(root: Path, path: Path) -> bool:
    """Whether git does not show *path*, a `.gitignore` in *root*, by a rule of its own."""
    try:
        told = git(root, "-c", "core.quotePath=false", "check-ignore", "-v", "--no-index", str(path))
    except WorkspaceError:  # nothing ignores it
        return False
    return os.fsdecode(told).startswith(f"{path.relative_to(root)}:")


def paths(listing: bytes) -> list[str]:
    """The paths of a listing of git's with a NUL after each."""
    return [os.fsdecode(path) for path in listing.split(b"\0") if path]


def _head(root: Path) -> str:
    try:
        return os.fsdecode(git(root, "rev-parse", "--verify", "HEAD")).strip()
    except WorkspaceError:  # nothing is committed yet
        return ""


def _shown_by_git(root: Path) -> Iterator[tuple[Path, bool]]:
    """What differs from the last commit, or is new and not ignored; and whether it is new."""
    for line in paths(git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")):
        path = line[3:].rstrip("/")
        if not NOT_WATCHED & set(path.split("/")):
            yield root / path, line.startswith("??")


def _mark(path: Path, *, follow: bool = False) -> Mark:
    """Mode, inode, size, and the times of content and of the inode: nobody can set the last one back.

    Of a directory the size and that time say nothing of what it holds.
    """
    try:
        about = os.stat(path, follow_symlinks=follow)
    except OSError:
        return (0, 0, 0, 0, 0)
    if stat.S_ISDIR(about.st_mode):
        return (about.st_mode, about.st_ino, 0, about.st_mtime_ns, 0)
    return (about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _but_time(mark: Mark) -> Mark:
    return (*mark[:3], 0, mark[4])


def kinds(found: Sequence[Path]) -> dict[str, int]:
    """How many of each kind: directories, FIFOs, links, files by their ending."""
    counted: dict[str, int] = {}
    for path in found:
        mode = stat.S_IFMT(_mark(path)[0])
        names = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket"}
        name = names.get(mode) or (f"{path.suffix} file" if path.suffix else "file")
        counted[name] = counted.get(name, 0) + 1
    return counted
