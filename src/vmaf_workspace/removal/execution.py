"""Executes a plan of removal.

The order leaves a usable workspace wherever it is killed:
1. the guard is asked again, other cleaners are excluded, an adopted tree gets its marker;
2. each entry is looked at once more (is it what the plan saw? does a run hold its lock, or a process a file in it?);
3. it is renamed aside to a hidden name beside it, at once: nobody can begin to use it under its own name any more;
4. its files are unlinked, then its directories, deepest first; a kill leaves a hidden rest that the next clean takes;
5. of a cache, the directories that this emptied go, and no other that is empty.

Everything below a subdirectory is reached through directory descriptors with O_NOFOLLOW, so a link put in the way
while we work is unlinked or refused, never followed; and each directory opened is checked to lie on the same mount.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import SCRATCH
from vmaf_workspace.disk.scan import OPEN_DIRECTORY, Usage, mount_id, open_directory, usage_of
from vmaf_workspace.disk.unlink import TRASH, remove_or_note, remove_tree
from vmaf_workspace.disk.workers import Progress, WorkerPool, no_progress
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import removal_lock
from vmaf_workspace.removal.candidates import BESIDE_RUNS, liveness, open_entries, refuse_live_runs
from vmaf_workspace.removal.entries import Entries, Entry
from vmaf_workspace.removal.plan import Kept, Plan
from vmaf_workspace.setup import adopt

BATCH = 256  # files of one directory that a child takes at once: it is opened, and looked at, once for them
WORKERS = 16  # unlink latency overlaps: 50 000 files on ext4 took 1.05 s with 8, 0.80 s with 16, 0.80 s with 32


@dataclass(slots=True)
class Report:
    """What an execution did, measured as it went."""

    removed: int = 0  # entries
    files: int = 0
    freed_apparent_bytes: int = 0
    freed_disk_bytes: int = 0
    kept: list[Kept] = field(default_factory=list)  # the plan's, and what came alive since
    changed: list[tuple[str, str]] = field(default_factory=list)  # (path, what changed since the plan)
    failures: list[tuple[str, str]] = field(default_factory=list)  # (path, why it is still there)

    @property
    def is_complete(self) -> bool:
        """Whether all that the plan listed, live runs apart, is gone."""
        return not self.failures and not self.changed and not any(kept.failed for kept in self.kept)


# What a child did, and of the hard-linked files that went rows as `Usage.links` has them.
_Done = tuple[Report, list[list[int]]]


def execute(plan: Plan, *, progress: Progress = no_progress) -> Report:
    """Remove what *plan* lists and still is what it was; *progress* gets (bytes removed, bytes of the plan) as it goes.

    Raises RefusedError where the workspace is no longer ours, InUseError where another cleaner is at work. Failures
    of single entries are in the report.
    """
    report = Report(kept=list(plan.kept))
    root = Path(plan.root)
    if not guard.check(root) or not plan.entries:
        return report
    _adopt_unless_full(root)
    with removal_lock(root, plan.operation), ExitStack() as stack:
        if plan.operation not in BESIDE_RUNS:  # again: a run may have begun while a person read the question
            refuse_live_runs(root, f"{plan.operation.replace('-', ' the ')} of")
        places = guard.subdirectory_targets(root, marked=True)
        fds: dict[str, int] = {}
        in_use: dict[str, dict[str, int]] = {}
        jobs = [plan.entries[first:last] for first, last in _batches(plan.entries)]
        for subdir in {batch.place(0).split("/", 1)[0] for batch in jobs}:
            place = places.get(subdir, root / subdir)
            with suppress(FileNotFoundError):  # opened once, so that nothing put in its place later is touched
                fds[subdir] = stack.enter_context(open_directory(place))
            in_use[subdir] = open_entries(os.path.realpath(place)) if subdir in SCRATCH else {}

        def work(batch: Entries) -> _Done:
            return _remove_batch(fds, batch, in_use, force=plan.force)

        jobs.sort(key=lambda batch: -batch.files)  # the long ones first, spread over the children
        links: dict[tuple[int, int], list[int]] = {}
        done = 0
        with WorkerPool(jobs, work, at_most=WORKERS) as children:
            for index, result in children:
                _add_to_report(report, jobs[index], result, links)
                done += jobs[index].disk_bytes
                progress(done, plan.entries.disk_bytes)
    return report


def _batches(entries: Entries) -> Iterator[tuple[int, int]]:
    """(first, behind the last) of what a child takes at once: one run of scratch, or files of one directory."""
    for first, last in entries.runs(at_most=BATCH):
        if entries.place(first).split("/", 1)[0] in SCRATCH:
            yield from ((index, index + 1) for index in range(first, last))
        else:
            yield first, last


def _adopt_unless_full(root: Path) -> None:
    try:
        adopt(root)
    except WorkspaceError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise  # a full disk must not stop a clean: the next one marks the tree


def _remove_batch(fds: dict[str, int], batch: Entries, in_use: dict[str, dict[str, int]], *, force: bool) -> _Done:
    """Entries of one directory, in a child."""
    subdir, *parents = batch.place(0).removesuffix("/").split("/")
    report, _ = done = Report(), list[list[int]]()
    held: list[int] = []
    try:
        if subdir not in fds:
            return done
        fd = fds[subdir]
        top_mount = mount_id(fd) if parents else 0
        for parent in parents:
            fd = os.open(parent, OPEN_DIRECTORY, dir_fd=fd)
            held.append(fd)
            if mount_id(fd) != top_mount:
                why = "something is mounted above it; unmount that first"
                report.failures = [(entry.path, why) for entry in batch]
                return done
        for entry in batch:
            _remove_entry(fd, subdir, entry, in_use[subdir], done, force=force)
        if parents and (report.removed or report.failures):
            _remove_emptied(fds[subdir], parents, held)
    except FileNotFoundError:
        pass
    except OSError as error:
        report.failures = [(entry.path, error.strerror or str(error)) for entry in batch]
    finally:
        for fd in reversed(held):
            os.close(fd)
    return done


def _remove_entry(fd: int, subdir: str, entry: Entry, in_use: dict[str, int], done: _Done, *, force: bool) -> None:
    """One entry of the directory *fd*; what becomes of it is added to *done*, nothing where it is gone."""
    report, links = done
    name = os.path.basename(entry.path.removesuffix("/"))
    lock = -1
    try:
        if subdir in SCRATCH and not name.startswith(TRASH):
            state = liveness(fd, subdir, name, in_use, force=force)
            if isinstance(state, Kept):
                report.kept.append(state)
                return
            if state is not None:
                lock = state  # ours until it has another name: it cannot be run under this one again
        usage = usage_of(name, dir_fd=fd)
        about = os.stat(name, dir_fd=fd, follow_symlinks=False)
        changed = _change_since_plan(entry, about, usage)
        aside = None if changed else _rename_to_trash(fd, name, about)
        if aside is None:
            report.changed.append((entry.path, changed or "another file of this name is there now"))
            return
        if lock >= 0 and aside != name:  # NFS and FUSE only hide a file that is open, and its directory could not go
            os.close(lock)
            lock = -1
        links += _remove(fd, aside, entry, usage, report)
    except FileNotFoundError:
        pass
    except OSError as error:
        report.failures.append((entry.path, error.strerror or str(error)))
    finally:
        if lock >= 0:
            os.close(lock)


def _change_since_plan(entry: Entry, about: os.stat_result, usage: Usage) -> str | None:
    if about.st_ino != entry.inode:
        return "another file of this name is there now"
    if stat.S_ISDIR(about.st_mode) != entry.is_directory:
        return "its kind changed"
    if usage.mounts:
        return "something was mounted in it"
    if usage.marked:
        return "a workspace was made in it"
    if usage.unseen:
        return f"{usage.unseen[0]!r} in it could not be read ({dict(usage.problems)[usage.unseen[0]]})"
    if os.path.basename(entry.path.removesuffix("/")).startswith(TRASH):
        return None  # a rest, which the run that renamed it aside may be removing now
    if (usage.newest_ns, usage.files, usage.apparent_bytes) != (entry.newest_ns, entry.files, entry.apparent_bytes):
        return "it was changed"
    return None


def _rename_to_trash(fd: int, name: str, seen: os.stat_result) -> str | None:
    """The hidden name that *name* has now, or its own where it cannot have another; None where another was *seen*."""
    aside = name if name.startswith(TRASH) else f"{TRASH}{os.urandom(8).hex()}"
    if aside != name:
        try:
            os.rename(name, aside, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EXDEV):
                raise
            # No room for another name on a full disk, and room is what we are here to make; or a directory of an image
            # below an overlay, as containers have, which cannot be renamed.
            aside = name
    about = os.stat(aside, dir_fd=fd, follow_symlinks=False)
    if not os.path.samestat(about, seen):  # replaced in the instant before the rename
        if stat.S_ISDIR(about.st_mode):
            os.rename(aside, name, src_dir_fd=fd, dst_dir_fd=fd)  # fails where a newer one is, unless that is empty
        else:
            os.link(aside, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)  # fails where a newer one is
            os.unlink(aside, dir_fd=fd)
        return None
    return aside


def _remove(fd: int, aside: str, entry: Entry, usage: Usage, report: Report) -> list[list[int]]:
    """Remove what is *aside* now; the rows of its links that went."""
    name = os.path.basename(entry.path.removesuffix("/"))
    failures: list[tuple[str, str]] = []
    if entry.is_directory:
        failures = remove_tree(fd, aside)
    else:
        remove_or_note(os.unlink, aside, fd, aside, failures)
    rest = Usage()
    if failures:
        with suppress(OSError):
            rest = usage_of(aside, dir_fd=fd)
    still = {(link[0], link[1]) for link in rest.links}
    links = [link for link in usage.links if (link[0], link[1]) not in still]
    shared_bytes = sum(disk_bytes for *_, disk_bytes in links)
    above = entry.path.removesuffix("/").removesuffix(name)
    now = "" if aside == name else f"; what is left is in {above}{aside}"
    report.removed += not failures
    report.files += usage.files - rest.files
    report.freed_apparent_bytes += usage.apparent_bytes - rest.apparent_bytes
    report.freed_disk_bytes += max(usage.disk_bytes - rest.disk_bytes - shared_bytes, 0)
    report.failures += [(f"{above}{name}{path.removeprefix(aside)}", f"{problem}{now}") for path, problem in failures]
    return links


def _remove_emptied(top: int, parents: list[str], held: list[int]) -> None:
    """Remove those of *parents*, open as *held*, one below the other from *top* on, that are empty now.

    Only what an entry lay in is looked at: an empty directory of somebody else stays. A run that is just storing
    there makes it again.
    """
    above = [top, *held][: len(parents)]
    with suppress(OSError):  # not empty, as a rule
        for fd, directory, name in reversed(list(zip(above, held, parents, strict=False))):
            if not os.path.samestat(os.stat(name, dir_fd=fd, follow_symlinks=False), os.fstat(directory)):
                return  # another one bears its name now
            os.rmdir(name, dir_fd=fd)


def _add_to_report(report: Report, batch: Entries, done: _Done | None, links: dict[tuple[int, int], list[int]]) -> None:
    """Add what became of *batch* to *report*; *links* counts what of hard-linked files is gone, over all entries."""
    if done is None:
        why = "the process that was removing it was killed; give the same command again"
        report.failures += [(entry.path, why) for entry in batch]
        return
    for each in fields(Report):
        setattr(report, each.name, getattr(report, each.name) + getattr(done[0], each.name))
    for device, inode, gone, known, disk_bytes in done[1]:
        link = links.setdefault((device, inode), [0, 0])
        link[0] += gone
        link[1] = max(link[1], known)
        if link[0] >= link[1]:  # the last of them went with this entry
            report.freed_disk_bytes += disk_bytes
