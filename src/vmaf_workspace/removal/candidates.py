"""Plans what may go: scratch that no run uses (*clean*), caches that can be computed again (*purge*)."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import KEPT_NAMES, MARKER, SCRATCH
from vmaf_workspace.disk.scan import Usage, open_directory, usage_of
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.disk.workers import WorkerPool, cores
from vmaf_workspace.errors import InUseError
from vmaf_workspace.live.lock import MIN_AGE_S, RUN_FILE, STARTING, Holder, lock_doubt, try_lock
from vmaf_workspace.live.open_files import open_paths_below
from vmaf_workspace.live.session_lock import SESSIONS, TICK_NS, live_sessions, scratch_of_ended_sessions
from vmaf_workspace.removal.caches import Caches, Selection
from vmaf_workspace.removal.entries import Entry
from vmaf_workspace.removal.plan import Kept, Plan, Use, kept_for_what_it_holds, make_plan
from vmaf_workspace.wording import duration_text

CLEAN, PURGE, TRIM = "clean-scratch", "purge-cache", "trim-store"
_SESSION, _NEWER = "a session of ", "newer than the session of "  # and then whose
BESIDE_RUNS = frozenset({CLEAN, TRIM})  # each takes nothing that a live run uses; of the last no saved plan is taken
MANY = 50  # entries from which on reading them is worth a child a core
STARTING_S = 60.0  # a run locks its directory within milliseconds of making it
COARSEST_NS = 2_000_000_000  # time stamps of FAT: what a session made may look so much older than its start
CACHES_BY_DEFAULT = ("result_store_dir",)
CACHES = frozenset({*CACHES_BY_DEFAULT, "encode"})


def plan_clean(
    root: Path, *, only: tuple[str, ...] = SCRATCH, min_age_s: float = MIN_AGE_S, force: bool = False
) -> Plan:
    """What of the scratch of *root* belongs to no live run; a missing workspace gives an empty plan.

    A run is live while its lock is held. A harness without locks, or a free lock that proves nothing, leaves age to
    decide: a directory that changed or came here within *min_age_s*, or in which a process has something open, counts
    as live. *force* takes such a directory, never one whose lock is held.
    Raises RefusedError where *root* is not ours.
    """
    entries: list[Entry] = []
    kept: list[Kept] = []
    if guard.check(root):
        judge = _Judge(min_age_s=min_age_s, force=force, by_change=True)
        for subdir, name, found in _scratch(root, only, judge):
            path = f"{subdir}/{name}"
            if isinstance(found, Kept):
                kept.append(found)
            elif found.mounts or found.marked or found.unseen:
                kept.append(kept_for_what_it_holds(path, found))
            else:
                with suppress(FileNotFoundError):  # its run ended and took it along
                    entries.append(_scratch_entry(root, path, found, force=force))
    return replace(make_plan(CLEAN, root, entries, kept, subdirs=only), min_age_s=min_age_s, force=force)


def live_runs(root: Path, *, newest_ns: Mapping[str, int] | None = None) -> list[Kept]:
    """The runs and sessions that use the workspace now, each with its holder or what makes it look alive.

    *newest_ns*: the newest modification time of entries that were measured already, by path.
    """
    found = (kept for _, _, kept in _scratch(root, SCRATCH, _Judge(min_age_s=MIN_AGE_S, newest_ns=newest_ns)))
    held = [
        Kept(path=f"{MARKER}/{SESSIONS}/{name}", why=f"{_SESSION}{holder}", use=Use.LOCKED)
        for name, holder in live_sessions(root).items()
    ]
    return held + [kept for kept in found if isinstance(kept, Kept) and kept.live]


def plan_purge(root: Path, selection: Selection) -> Plan:
    """What of the caches of *root* the *selection* gives up; RefusedError where *root* is not ours.

    Last use is the modification time: the stores renew it when they answer from an entry. Listed by directory, then by
    name.
    """
    subdirs = CACHES_BY_DEFAULT + (("encode",) if selection.with_encodes else ())
    caches = Caches(root, subdirs if guard.check(root) else ())
    going, is_sampled = caches.with_costs(caches.selected(selection))
    return replace(make_plan(PURGE, root, going, caches.kept, subdirs=subdirs), is_cost_sampled=is_sampled)


def refuse_live_runs(root: Path, what: str) -> None:
    """Raise InUseError where a run is live: *what* takes things that a run may be about to read."""
    live = live_runs(root)
    if not live:
        return
    sessions = {kept.why.removeprefix(_SESSION) for kept in live if kept.why.startswith(_SESSION)}
    once = [kept for kept in live if kept.why.removeprefix(_NEWER) not in sessions]  # the session stands for these
    told = [kept for kept in once if kept.unused_from_s is None]
    listed = [f"- {kept.path!r}: {kept.why}" for kept in told]
    lines = [f"cannot {what} {root} while runs use it; nothing was changed:", *listed, "Wait for them to end."]
    if not told:
        lines = [f"cannot {what} {root}: a run may use what lies in its scratch; nothing was changed."]
    doubtful = [(kept, kept.unused_from_s) for kept in once if kept.unused_from_s is not None]
    if doubtful:
        lines.append("Nobody can tell whether anything uses this:")
        lines += [f"- {kept.path!r}: {kept.why}{_unused_from(since_s)}" for kept, since_s in doubtful]
        lines.append(
            "Look at it. If what made it has ended, move it out of the workspace or remove it, and do this again: "
            "`ws.clean-scratch --force` removes all such scratch that no process has locked"
        )
    raise InUseError("\n".join(lines))


def _unused_from(since_s: float) -> str:
    if since_s == math.inf:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since_s))
    return f"; unless it changes, it is taken for unused from {when} on"


def liveness(fd: int, subdir: str, name: str, opened_by: dict[str, int], *, force: bool) -> Kept | int | None:
    """Who uses entry *name* of the scratch directory *fd*: a Kept, a descriptor that holds its free lock, or None.

    None means a harness without locks, whose age is for the caller to judge.
    """
    path = f"{subdir}/{name}"
    about = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if name.startswith(STARTING) and abs(time.time() - about.st_mtime) < STARTING_S:  # its lock is not ours to try
        return Kept(path=f"{path}/", why="a run that is just starting", use=Use.LOCKED)
    try:
        is_directory = stat.S_ISDIR(about.st_mode)  # never through a link
        lock = try_lock(f"{name}/{RUN_FILE}", dir_fd=fd) if is_directory else None
    except PermissionError as error:
        why = f"nobody can tell whether a run uses it, because its {RUN_FILE} may not be read ({error.strerror})"
        return Kept(path=f"{path}/", why=why, use=Use.UNCLEAR)
    if isinstance(lock, Holder):
        return Kept(path=f"{path}/", why=f"in use by {lock}", use=Use.LOCKED)
    if name in opened_by and not force:
        if lock is not None:
            os.close(lock)
        why = f"open in process {opened_by[name]} of this host"
        return Kept(path=path, why=why, use=Use.LIKELY)
    return lock


def open_entries(directory: str) -> dict[str, int]:
    """Names in *directory* (resolved) that some process has open, or has something open in, with a pid."""
    return {path.split("/", 1)[0]: pid for path, pid in open_paths_below(directory).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """By what entries of scratch are judged.

    *by_change*: what was put there lately is young, too, whatever times it brought along. That spares it from a clean;
    it is no sign of a run that others have to wait for. *newest_ns* as in `live_runs`.
    """

    min_age_s: float
    force: bool = False
    by_change: bool = False
    newest_ns: Mapping[str, int] | None = None
    now_ns: int = 0
    session: Holder | None = None  # the earliest of those that are live
    made: Mapping[str, int] = field(default_factory=dict)  # as `scratch_of_ended_sessions` has it


def _scratch(root: Path, subdirs: tuple[str, ...], judge: _Judge) -> Iterator[tuple[str, str, Usage | Kept]]:
    """Each entry, with its measure or with why it stays."""
    sessions = live_sessions(root, min_age_s=0.0 if judge.force else judge.min_age_s).values()
    earliest = min(sessions, key=lambda holder: holder.since_s, default=None)
    judge = replace(judge, now_ns=time.time_ns(), session=earliest, made=scratch_of_ended_sessions(root))
    for subdir in subdirs:
        real = os.path.realpath(root / subdir)
        if not os.path.isdir(real):
            continue
        with ExitStack() as stack:
            try:
                fd = stack.enter_context(open_directory(real))
                names = sorted(set(os.listdir(fd)) - KEPT_NAMES)
            except OSError as error:
                yield (subdir, "", Kept(path=f"{subdir}/", why=f"cannot be read: {error.strerror}", use=Use.STUCK))
                continue

            work = partial(_judge_if_there, judge, fd, subdir, open_entries(real))
            if judge.newest_ns is not None or len(names) < MANY:
                judged: Iterable[tuple[int, Usage | Kept | bool | None]] = enumerate(map(work, names))
            else:
                judged = stack.enter_context(WorkerPool(names, work, at_most=cores()))
            for index, found in judged:
                if found is None:
                    why = "nobody can tell whether a run uses it, because the process that was reading it was killed"
                    found = Kept(path=f"{subdir}/{names[index]}", why=why, use=Use.UNCLEAR)
                if not isinstance(found, bool):
                    yield subdir, names[index], found


def _judge_if_there(judge: _Judge, fd: int, subdir: str, in_use: dict[str, int], name: str) -> Usage | Kept | bool:
    """What becomes of one entry; False where it went meanwhile."""
    try:
        return _judged(judge, fd, subdir, in_use, name)
    except FileNotFoundError:
        return False  # its run ended and took it along
    except OSError as error:
        return Kept(path=f"{subdir}/{name}", why=f"cannot be read: {error.strerror}", use=Use.STUCK)


def _judged(judge: _Judge, fd: int, subdir: str, in_use: dict[str, int], name: str) -> Usage | Kept:
    path, aside = f"{subdir}/{name}", name.startswith(TRASH)
    state = None if aside else liveness(fd, subdir, name, in_use, force=judge.force)
    if isinstance(state, Kept):
        return state
    unproven = ""
    if state is not None:
        unproven = lock_doubt(state)
        os.close(state)
    known_ns = None if judge.newest_ns is None else judge.newest_ns.get(path)
    usage = usage_of(name, dir_fd=fd) if known_ns is None else Usage(newest_ns=known_ns)
    if not aside and judge.session is not None and _is_newer(fd, name, usage, judge.session):
        return Kept(path=path, why=f"{_NEWER}{judge.session}", use=Use.LOCKED)
    if aside or judge.force or (state is not None and not unproven):
        return usage
    if state is None and _has_rested(fd, name, usage, judge.made.get(path)):
        return usage
    dated_ns = max(usage.newest_ns, usage.changed_ns if judge.by_change else 0)
    age_s = (judge.now_ns - dated_ns) / 1e9
    if max(age_s, 0.0) < judge.min_age_s:
        how = "changed" if dated_ns == usage.newest_ns else "given older times, as `cp -a` and `tar` do,"
        within = f", within --min-age {duration_text(judge.min_age_s)}" if judge.by_change else ""
        when = f"{how} {duration_text(max(age_s, 0))} ago{within}"
        if age_s < -COARSEST_NS / 1e9:
            date = time.strftime("%Y-%m-%d %H:%M", time.localtime(dated_ns / 1e9))
            when = f"dated {date}, in the future, so its age is unknown (`--min-age 0` takes it)"
        lock = f"its lock is free, which proves nothing: {unproven}" if unproven else "has no lock to ask"
        from_s = math.inf if age_s < -COARSEST_NS / 1e9 else dated_ns / 1e9 + judge.min_age_s
        return Kept(path=path, why=f"{when}, and {lock}", use=Use.LIKELY, unused_from_s=from_s)
    return usage


def _is_newer(fd: int, name: str, usage: Usage, session: Holder) -> bool:
    """Whether it may be of this session; of what `cp -p` or `tar` made the change time alone says so."""
    since_ns = session.since_s * 1e9
    changed_ns = max(usage.changed_ns, os.stat(name, dir_fd=fd, follow_symlinks=False).st_ctime_ns)
    return usage.newest_ns > since_ns - COARSEST_NS or changed_ns > since_ns - TICK_NS


def _has_rested(fd: int, name: str, usage: Usage, since_ns: int | None) -> bool:
    """Whether nothing of it changed from *since_ns* on, when the session that made it had ended; None is never."""
    if since_ns is None:
        return False
    changed_ns = max(usage.changed_ns, os.stat(name, dir_fd=fd, follow_symlinks=False).st_ctime_ns)
    return max(usage.newest_ns, changed_ns) < since_ns


def _scratch_entry(root: Path, path: str, usage: Usage, *, force: bool) -> Entry:
    about = os.lstat(root / path)
    name = os.path.basename(path)
    is_directory = stat.S_ISDIR(about.st_mode)
    if name.startswith(TRASH):
        why = "left by a clean that could not finish"
    elif is_directory and os.path.lexists(root / path / RUN_FILE):
        why = "its run has ended"
    else:
        why = "taken by --force, though somebody may use it" if force else "nobody uses it"
    return Entry.of(f"{path}/" if is_directory else path, about, usage, why)
