"""Measures a workspace by subdirectory: what lies near its top here, the directories below by several processes.

100 000 files in 500 directories, on two processors: 0.27 s by one process, 0.14 s by two.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vmaf_workspace.contract import BY_NAME, SCRATCH
from vmaf_workspace.disk.scan import BLOCK, Usage, Walk, open_directory, open_directory_below
from vmaf_workspace.disk.workers import BATCH, WorkerPool, cores
from vmaf_workspace.errors import WorkspaceError

_ENOUGH = 64  # directories to share out: with so many, no process waits long for another
_DEEPEST = 4  # levels down to which they are looked for
_AT_MOST = 8  # processes


@dataclass(frozen=True, slots=True)
class _Place:
    """A path below a directory: below the workspace, or below what its symlinked subdirectory *linked* leads to."""

    top: str
    linked: str
    path: str = ""

    def below(self, name: str) -> _Place:
        return _Place(self.top, self.linked, f"{self.path}/{name}" if self.path else name)

    @property
    def label(self) -> str:
        """The path below the workspace."""
        return "/".join(filter(None, (self.linked, self.path)))


@dataclass(slots=True)
class _Part:
    """What was counted there; *links* are its inodes with several links, as `Walk` has them."""

    place: _Place
    usage: Usage
    links: dict[tuple[int, int], list[int]] = field(default_factory=dict)


def usage_by_subdir(root: str) -> tuple[dict[str, Usage], dict[str, int]]:
    """Usage of each contract subdirectory and, under "", of the whole tree; as `du -s` counts each byte once.

    A symlinked subdirectory is measured where it leads and is no part of the whole, as with `du`. Then the newest
    modification time (ns) of each entry of the scratch subdirectories, by its path: what tells a live run by age.
    Raises WorkspaceError where a process that reads is killed, OSError where *root* cannot be read.
    """
    parts, waiting = _look_near_top(root)
    batches = [waiting[n : n + BATCH] for n in range(0, len(waiting), BATCH)]

    def measure(batch: list[_Place]) -> list[_Part]:
        made = []
        for place in batch:
            walk = Walk(Usage())
            with _problem_noted(walk.usage), _opened(place) as fd:
                walk.descend(fd)
            made.append(_Part(place, walk.usage, walk.links))
        return made

    with WorkerPool(batches, measure, at_most=min(cores(), _AT_MOST)) as children:
        for _, made in children:
            if made is None:
                raise WorkspaceError(f"a process that read {root} was killed; try again")
            parts += made
    return _sum_up(parts)


def _look_near_top(root: str) -> tuple[list[_Part], list[_Place]]:
    """What lies in the workspace itself, in scratch and in a few directories below; the directories that are left."""
    parts: list[_Part] = []
    waiting: list[_Place] = []
    place = _Place(root, "")
    with open_directory(root, follow=True) as fd:
        parts.append(_Part(place, _own(os.fstat(fd))))
        for name in sorted(os.listdir(fd)):
            _add_entry(fd, name, place.below(name), parts, waiting)
            target = os.path.join(root, name)
            if name in BY_NAME and os.path.islink(target) and os.path.isdir(target):
                linked = _Place(os.path.realpath(target), name)
                parts.append(_Part(linked, Usage()))
                with _problem_noted(parts[-1].usage), open_directory(linked.top) as there:
                    parts[-1].usage.add(_own(os.fstat(there)))
                    waiting.append(linked)
    for scratch in [place for place in waiting if place.label in SCRATCH]:  # whose entries are told apart
        waiting.remove(scratch)
        part = _Part(scratch, Usage())
        parts.append(part)
        with _problem_noted(part.usage), _opened(scratch) as fd:
            for name in os.listdir(fd):
                _add_entry(fd, name, scratch.below(name), parts, waiting)
    left: list[_Place] = []
    while waiting and len(waiting) + len(left) < _ENOUGH:
        place = waiting.pop(0)
        if place.path.count("/") >= _DEEPEST:
            left.append(place)
            continue
        walk = Walk(Usage())
        with _problem_noted(walk.usage), _opened(place) as fd:
            waiting += map(place.below, walk.count_entries(fd, ""))
        parts.append(_Part(place, walk.usage, walk.links))
    return parts, left + waiting


@contextmanager
def _opened(place: _Place) -> Iterator[int]:
    """A descriptor of that directory, reached through no symlink below its top."""
    with open_directory(place.top, follow=True) as top, open_directory_below(top, place.path) as fd:
        yield fd


def _add_entry(fd: int, name: str, place: _Place, parts: list[_Part], waiting: list[_Place]) -> None:
    """Count entry *name* of the directory *fd*; a directory waits to be read."""
    part = _Part(place, Usage())
    parts.append(part)
    with _problem_noted(part.usage):
        about = os.stat(name, dir_fd=fd, follow_symlinks=False)
        part.usage.add(_own(about))
        if stat.S_ISDIR(about.st_mode):
            waiting.append(place)
        else:
            part.usage.files, part.usage.apparent_bytes = 1, about.st_size
            if about.st_nlink > 1:
                part.links[about.st_dev, about.st_ino] = [1, about.st_nlink, part.usage.disk_bytes, about.st_size]


def _own(about: os.stat_result) -> Usage:
    """What an inode is, without what lies below it."""
    return Usage(disk_bytes=about.st_blocks * BLOCK, newest_ns=about.st_mtime_ns, changed_ns=about.st_ctime_ns)


@contextmanager
def _problem_noted(usage: Usage) -> Iterator[None]:
    """Note in *usage* why something cannot be read; what went while we looked is no problem."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        usage.problems.append(("", error.strerror or str(error)))


def _sum_up(parts: list[_Part]) -> tuple[dict[str, Usage], dict[str, int]]:
    """The parts by subdirectory and in all, an inode that several of them link to counted in the first; the newest."""
    linked = {part.place.linked for part in parts}
    rows: dict[str, Usage] = {"": Usage()}
    newest: dict[str, int] = {}
    seen: set[tuple[str, int, int]] = set()
    for part in sorted(parts, key=lambda part: part.place.label):
        place, usage = part.place, part.usage
        for key, (_, _, disk_bytes, apparent_bytes) in part.links.items():
            if (place.linked, *key) in seen:
                usage.disk_bytes -= disk_bytes
                usage.apparent_bytes -= apparent_bytes
            seen.add((place.linked, *key))
        usage.problems = [("/".join(filter(None, (place.label, path))), why) for path, why in usage.problems]
        subdir, _, below = place.label.partition("/")
        if subdir in BY_NAME and (place.linked or subdir not in linked):
            rows.setdefault(subdir, Usage()).add(usage)
        if subdir in SCRATCH and below:
            entry = f"{subdir}/{below.partition('/')[0]}"
            newest[entry] = max(newest.get(entry, 0), usage.newest_ns)
        if place.linked:
            rows[""].problems += usage.problems
        else:
            rows[""].add(usage)
    return rows, newest
