"""A faithful copy of a tree on another file system, and the proof that it is one.

Content, holes, modes, times, hard links within the tree, symlinks as they are; owners where that is allowed. What has
no content (FIFOs, sockets, devices) is left out and named, as are extended attributes that did not arrive. A copy that
was killed is taken up again: a file of the same size and time is whole, because its time is set last.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.content import copy_range
from vmaf_workspace.disk.scan import BLOCK
from vmaf_workspace.disk.workers import Progress, WorkerPool, no_progress
from vmaf_workspace.errors import InUseError, WorkspaceError
from vmaf_workspace.migration.limits import COARSEST_NS, clashing_names
from vmaf_workspace.migration.tree import Tree, read_tree

WORKERS = 4  # copying waits for disks and for the kernel's memcpy
BATCH_FILES = 64  # a child's answer comes after so many files …
BATCH_BYTES = 64 << 20  # … or so many bytes
CHUNK = 1 << 18  # two of them stay in a core's cache: comparing 1 GB took 0.6 s, with 1 MiB 2.7 s
KEPT_ATTRIBUTES = ("user.", "system.posix_acl_")  # others are the system's own: SELinux's labels, NFS's view of ACLs
_Problem = tuple[str, str, int | None]  # path, what is wrong, errno


def copy(tree: Tree, source: str, target: str, *, modes: bool = True, progress: Progress = no_progress) -> None:
    """Copy *tree*, which lies at *source*, to *target*; what is there and not in *tree* goes, our marker apart.

    *progress* gets (bytes done, bytes in all); not *modes*: *target* keeps none. Raises WorkspaceError for the first
    file that cannot be copied; what was copied stays for the next try. `finish_directories` gives them their times.
    """
    _remove_others(tree, target)
    for path in tree.directories:
        with suppress(FileExistsError):
            os.mkdir(_join(target, path), 0o700)
    for path, (link, about) in tree.links.items():
        place = _join(target, path)
        with suppress(FileNotFoundError):
            os.unlink(place)
        os.symlink(link, place)
        if os.geteuid() == 0:
            with suppress(OSError):
                os.chown(place, about.st_uid, about.st_gid, follow_symlinks=False)
        os.utime(place, ns=(about.st_atime_ns, about.st_mtime_ns), follow_symlinks=False)

    def work(batch: list[list[str]]) -> _Problem | tuple[()]:
        for names in batch:
            try:
                _copy_linked(tree, source, target, names, modes=modes)
            except OSError as error:
                return names[0], error.strerror or str(error), error.errno
        return ()

    for path, problem, number in _in_batches(tree, work, progress):
        room = number in (errno.ENOSPC, errno.EDQUOT)
        raise WorkspaceError(
            f"cannot copy {_join(source, path)} to {target} ({problem}); {source} is as it was\n"
            + ("make room there" if room else "correct that")
            + ", then give the same command again: what was copied is not copied twice"
        )


def compare(tree: Tree, source: str, target: str, *, modes: bool = True, progress: Progress = no_progress) -> None:
    """Read both trees and raise unless they are the same: WorkspaceError for a copy that differs, InUseError for a

    source that somebody changed since it was listed as *tree*. Both have the same names, too, our marker right below
    the top apart: a file system that ignores case, say, has one name for what were two.
    """
    _compare_names(tree, read_tree(target, without=(MARKER,)), source, target)

    def work(batch: list[list[str]]) -> _Problem | tuple[()]:
        one, other = bytearray(CHUNK), bytearray(CHUNK)
        for names in batch:
            for path in names:
                try:
                    places = _join(source, path), _join(target, path)
                    problem = _difference(tree.files[path], *places, one, other, modes=modes)
                except OSError as error:
                    problem = error.strerror or str(error)
                if problem:
                    return path, problem, 0
        return ()

    for path, problem, _ in _in_batches(tree, work, progress):
        if _has_changed(tree, source, path):
            raise InUseError(
                f"{_join(source, path)} changed while it was copied; wait until nobody writes there, then try again"
            )
        raise WorkspaceError(
            f"the copy {_join(target, path)} is not what was copied ({problem}); {source} is as it was\n"
            f"look to the disk of {target}, remove what lies there, then try again"
        )
    for path, (link, _) in tree.links.items():
        if os.readlink(_join(target, path)) != link:
            raise WorkspaceError(f"the copy {_join(target, path)} leads elsewhere than {_join(source, path)}")


def _compare_names(tree: Tree, there: Tree, source: str, target: str) -> None:
    kinds = ((tree.directories, there.directories), (tree.files, there.files), (tree.links, there.links))
    wrong = sorted({path for one, other in kinds for path in one.keys() ^ other.keys()})
    if not wrong:
        return
    every = [*tree.directories, *tree.files, *tree.links]
    if pairs := clashing_names(every):
        raise WorkspaceError(
            f"{target} is on a file system that takes {pairs[0][0]!r} and {pairs[0][1]!r} for one name; "
            f"{source} is as it was\nrename one of them, or name a directory on another file system"
        )
    raise WorkspaceError(
        f"the copy {target} has not the same names as {source}: {wrong[0]!r} is on one side alone; "
        f"{source} is as it was\nlook to the disk of {target}, remove what lies there, then try again"
    )


def finish_directories(tree: Tree, source: str, target: str, *, modes: bool = True) -> None:
    """Give the directories of the copy their attributes, owners, modes and times; after the last file."""
    for path, about in reversed(tree.directories.items()):
        place = _join(target, path)
        _copy_attributes(_join(source, path), place)
        set_owner_and_mode(place, about, modes=modes)
        os.utime(place, ns=(about.st_atime_ns, about.st_mtime_ns))


def lost_attributes(tree: Tree, source: str, target: str | None) -> list[tuple[str, str]]:
    """(path, which) of the attributes that files and directories have at *source* and not, or otherwise, at *target*.

    None: of all that they have.
    """
    lost = []
    for path in (*tree.directories, *tree.files):
        had = _attributes(_join(source, path))
        has = _attributes(_join(target, path)) if had and target is not None else {}
        if names := sorted(name for name in had if has.get(name) != had[name]):
            lost.append((path or ".", f"moves without its {', '.join(names)}: the disk of the target does not take it"))
    return lost


def _attributes(place: str) -> dict[str, bytes]:
    try:
        names = [name for name in os.listxattr(place) if name.startswith(KEPT_ATTRIBUTES)]
        return {name: os.getxattr(place, name) for name in names}
    except (OSError, AttributeError):  # none there, or none on this system
        return {}


def _join(top: str, path: str) -> str:
    return f"{top}/{path}" if path else top


def _has_changed(tree: Tree, source: str, path: str) -> bool:
    try:
        now = os.lstat(_join(source, path))
    except OSError:
        return True
    then = tree.files[path]
    return (now.st_ino, now.st_size, now.st_mtime_ns) != (then.st_ino, then.st_size, then.st_mtime_ns)


def _in_batches(
    tree: Tree, work: Callable[[list[list[str]]], _Problem | tuple[()]], progress: Progress
) -> Iterator[_Problem]:
    """What failed; `work` on all files, in batches, in children."""
    batches: list[list[list[str]]] = [[]]
    sizes = [0]
    for names in tree.linked():
        if len(batches[-1]) >= BATCH_FILES or sizes[-1] >= BATCH_BYTES:
            batches.append([])
            sizes.append(0)
        batches[-1].append(names)
        sizes[-1] += tree.files[names[0]].st_size
    done, total = 0, sum(sizes)
    with WorkerPool(batches, work, at_most=WORKERS) as children:
        for index, answer in children:
            if answer is None:
                yield batches[index][0][0], "the process that did it was killed", 0
            elif answer:
                yield answer
            done += sizes[index]
            progress(done, total)


def _remove_others(tree: Tree, target: str) -> None:
    """What a killed copy left and the source has no longer; directories are opened up, so that more can be put in."""
    known = {*tree.files, *tree.links}
    pending, directories = [""], []
    while pending:
        below = pending.pop()
        with suppress(OSError):  # where there are no modes
            os.chmod(_join(target, below), 0o700)
        with os.scandir(_join(target, below)) as entries:
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if not below and entry.name == MARKER:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                    directories.append(path)
                elif path not in known:
                    os.unlink(entry.path)
    for path in reversed(directories):
        if path not in tree.directories:
            os.rmdir(_join(target, path))


def _copy_linked(tree: Tree, source: str, target: str, names: list[str], *, modes: bool) -> None:
    first, *others = names
    about, place = tree.files[first], _join(target, first)
    with suppress(FileNotFoundError):
        there = os.lstat(place)
        is_whole = there.st_size == about.st_size and _is_same_time(there, about)
        if not (stat.S_ISREG(there.st_mode) and is_whole):
            os.unlink(place)
    if not os.path.lexists(place):
        _copy_file(_join(source, first), place, about, modes=modes)
    for path in others:
        with suppress(FileNotFoundError):
            os.unlink(_join(target, path))
        os.link(place, _join(target, path), follow_symlinks=False)


def _copy_file(source: str, target: str, about: os.stat_result, *, modes: bool) -> None:
    with (
        open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as reader,
        open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0) as writer,
    ):
        is_sparse = about.st_blocks * BLOCK < about.st_size
        for begin, end in _extents(reader.fileno(), about.st_size) if is_sparse else [(0, about.st_size)]:
            copy_range(reader.fileno(), writer.fileno(), begin, end)
        if is_sparse:
            os.ftruncate(writer.fileno(), about.st_size)
        _copy_attributes(reader.fileno(), writer.fileno())  # first: a file that may not be written takes none
        set_owner_and_mode(writer.fileno(), about, modes=modes)
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))  # last: says that it is whole


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a sparse file has data, as (begin, end)."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to its end
                return
            raise
        end = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, end


def set_owner_and_mode(place: str | int, about: os.stat_result, *, modes: bool = True) -> None:
    """Let *place* have the owner, where that is allowed, the group and the mode of what *about* is of.

    Not *modes*: there are none, and the owner of all is whoever mounted it.
    """
    with suppress(OSError):  # not a group of ours, or a network disk with owners of its own
        os.chown(place, about.st_uid if os.geteuid() == 0 else -1, about.st_gid)
    with nullcontext() if modes else suppress(OSError):
        os.chmod(place, stat.S_IMODE(about.st_mode))


def _copy_attributes(source: str | int, target: str | int) -> None:
    try:
        names = os.listxattr(source)
    except (OSError, AttributeError):  # none there, or none on this system
        return
    for name in names:
        with suppress(OSError):  # another file system need not know them; `lost_attributes` names them
            os.setxattr(target, name, os.getxattr(source, name))


def _difference(
    then: os.stat_result, source: str, target: str, one: bytearray, other: bytearray, *, modes: bool
) -> str | None:
    """How the copy differs from the file, which was *then*; None where it does not. Both buffers are only that."""
    with (
        open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as a,
        open(os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as b,
    ):
        now, there = os.fstat(a.fileno()), os.fstat(b.fileno())
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (then.st_ino, then.st_size, then.st_mtime_ns):
            return "it changed meanwhile"
        if there.st_size != now.st_size:
            return f"{there.st_size} bytes instead of {now.st_size}"
        if (modes and there.st_mode != now.st_mode) or not _is_same_time(there, now):
            return "its mode or time"
        places = [(0, now.st_size)]
        if now.st_blocks * BLOCK < now.st_size:
            places = [*_extents(a.fileno(), now.st_size), *_extents(b.fileno(), now.st_size)]
        for begin, end in places:
            a.seek(begin)
            b.seek(begin)
            while begin < end:
                n = min(CHUNK, end - begin)
                if _read_into(a, one, n) != n or _read_into(b, other, n) != n:
                    return f"it is shorter than {end} bytes"
                if one != other if n == CHUNK else one[:n] != other[:n]:
                    return f"its content, from byte {begin}"
                begin += n
    return None


def _is_same_time(one: os.stat_result, other: os.stat_result) -> bool:
    return abs(one.st_mtime_ns - other.st_mtime_ns) < COARSEST_NS


def _read_into(file: Any, buffer: bytearray, n: int) -> int:
    """Bytes read into *buffer*, *n* unless the file ends."""
    view, done = memoryview(buffer)[:n], 0
    while done < n and (got := file.readinto(view[done:])):
        done += got
    return done
