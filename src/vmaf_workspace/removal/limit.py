"""Keeps stored results within a limit that a person set: least recently used first, and none that is in use.

A run that stores something calls this when it begins to and when it has. Nobody is asked, since the limit is the word,
and runs may be live: so nothing goes that was used since the earliest of them began, nor what the caller names. What a
run uses, it dates.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import FILE_RESULT_STORE, SCRATCH
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.live.lock import RUN_FILE, STARTING, holder_of
from vmaf_workspace.live.session_lock import live_sessions
from vmaf_workspace.removal.caches import Caches, Selection
from vmaf_workspace.removal.candidates import CACHES_BY_DEFAULT, TRIM, live_runs
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.removal.plan import Use, make_plan
from vmaf_workspace.wording import amount_text, bytes_text, count_text

CLOCKS_NS = 60 * 10**9  # by so much the clocks of hosts that share a mount may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What stored results may take; the default is no limit."""

    max_disk_bytes: int | None = None  # as `du` counts
    max_files: int | None = None

    def __bool__(self) -> bool:
        return not (self.max_disk_bytes is self.max_files is None)

    def __str__(self) -> str:
        size = [] if self.max_disk_bytes is None else [bytes_text(self.max_disk_bytes)]
        files = [] if self.max_files is None else [count_text(self.max_files, "file")]
        return " and ".join([*size, *files])


UNLIMITED = Limit()


def keep_within(root: Path, limit: Limit, *, run_id: str, began_s: float, used: Collection[str]) -> str:
    """Remove what is over the *limit*; a line that says what went, or why nothing did, blank where nothing had to.

    *run_id* and *began_s* are the calling run's, *used* the paths of results that it needs. Raises WorkspaceError where
    the workspace is not ours, or another task removes there.
    """
    if not limit or not guard.check(root):
        return ""
    since_s, user = _in_use_since(root, run_id, began_s)
    selection = Selection(
        store=FILE_RESULT_STORE,
        executor="*",  # not what the store remembers of files
        max_disk_bytes=limit.max_disk_bytes,
        max_files=limit.max_files,
    )
    caches = Caches(root, CACHES_BY_DEFAULT)
    own = {path.removeprefix(f"{root}/") for path in used}
    over = caches.selected(selection)
    unused_since_ns = int(since_s * 1e9) - CLOCKS_NS
    going = caches.selected(selection, unused_since_ns=unused_since_ns).without(own) if over else over
    report = execute(make_plan(TRIM, root, going, [], subdirs=CACHES_BY_DEFAULT))
    said = [f"stored results are kept within {limit}"]
    if report.files:
        said += [f"{amount_text(report.files, 'file', report.freed_disk_bytes)} removed, least recently used first"]
    if report.failures:
        said += [f"{count_text(len(report.failures), 'file')} could not go ({report.failures[0][1]})"]
    if len(over) > len(going):
        said += [f"{count_text(len(over) - len(going), 'file')} over it stay, in use {user}"]
    return "; ".join(said) if over else ""


def _in_use_since(root: Path, run_id: str, began_s: float) -> tuple[float, str]:
    """When the earliest of the runs that live now began, and who that is; 0 where nobody can tell."""
    earliest = (began_s, "by this run")
    for holder in live_sessions(root).values():
        earliest = min(earliest, (holder.since_s, f"by a session of {holder}"))
    for kept in live_runs(root):
        subdir, name, *_ = kept.path.split("/")
        if subdir not in SCRATCH or name == run_id or name.startswith(STARTING):
            continue
        since_s = 0.0
        if kept.use is Use.LOCKED:
            with suppress(OSError):
                holder_there = holder_of(read_regular(root / subdir / name / RUN_FILE))
                since_s = holder_there.since_s if holder_there is not None else 0.0
        earliest = min(earliest, (since_s, f"by {kept.path} ({kept.why})"))
    return min(earliest, (time.time(), "by this run"))
