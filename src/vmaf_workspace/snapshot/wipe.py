"""Plans what *wipe* removes: all models of a subdirectory, once a verified snapshot holds all of that, or more.

A wipe that was stopped, wherever, is finished by the same command: what holds the whole holds what is left of it. A
file that was renamed aside to go and is still there has lost its name, so for such a rest its content is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.disk.scan import BLOCK, Usage
from vmaf_workspace.errors import InUseError, RefusedError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.removal.entries import Entries, Entry
from vmaf_workspace.removal.plan import Kept, Plan, Use, make_plan
from vmaf_workspace.snapshot.difference import content_of, current_files, difference
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import File, Snapshot, short_id
from vmaf_workspace.snapshot.staging import finish_interrupted
from vmaf_workspace.snapshot.store import announced_backup, list_ids, own_snapshots
from vmaf_workspace.snapshot.tree import Signature, is_in_trash, scan_models, signature
from vmaf_workspace.snapshot.verify import verify

WIPE = "wipe-models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Which snapshots hold what a wipe would take, each verified now, every hash."""

    ids: tuple[str, ...]  # the newest that holds every file, then such as hold the rests
    is_every_file: bool
    lacking: tuple[str, ...]  # rests that none holds


@dataclass(frozen=True, slots=True, kw_only=True)
class WipePlan:
    """A plan of removal, and the content of what it lists."""

    plan: Plan
    files: tuple[File, ...]
    rests: tuple[File, ...]  # of a wipe that was stopped
    seen: dict[str, Signature]  # of each entry, when it was read

    def entries_of(self, subdir: str) -> list[Entry]:
        """What goes from one subdirectory."""
        return [entry for entry in self.plan.entries if entry.path.startswith(f"{subdir}/")]


def plan_wipe(root: Path, subdirs: tuple[str, ...], *, keep_newest: int = 0) -> WipePlan:
    """All that is in *subdirs* of *root*, each file read; RefusedError where *root* is not ours.

    What of it lies in the *keep_newest* directories that changed last, a run's each, stays.
    """
    entries: list[Entry] = []
    kept: list[Kept] = []
    files: list[File] = []
    rests: list[File] = []
    seen: dict[str, Signature] = {}
    if guard.check(root):
        finish_interrupted(root, WIPE)
        tree = scan_models(root, subdirs)
        going = {**tree.found, **tree.rests, **tree.special}
        for place in tree.workspaces:
            why = "it is a workspace of its own, whose files are not ours to wipe; move it out first"
            kept.append(Kept(path=f"{place}/", why=why, use=Use.STUCK))
            going = {path: about for path, about in going.items() if not path.startswith(f"{place}/")}
        newest = _newest_runs(going, keep_newest)
        going = {path: about for path, about in going.items() if _run_of(path) not in newest}
        files = current_files(root, {path: going[path] for path in tree.found if path in going})
        # What a restore had not yet put into its place is but a copy.
        rests = current_files(root, {path: going[path] for path in tree.rests if path in going and is_in_trash(path)})
        for path, about in going.items():  # before 1970 is 0, as a scan has it
            usage = Usage(1, about.st_size, about.st_blocks * BLOCK, max(0, about.st_mtime_ns))
            entries.append(Entry.of(path, about, usage, "only training or a snapshot brings it back"))
        seen |= {path: signature(about) for path, about in going.items()}
    plan = make_plan(WIPE, root, entries, kept, subdirs=subdirs)
    return WipePlan(plan=plan, files=tuple(files), rests=tuple(rests), seen=seen)


def _run_of(path: str) -> str:
    """What lies right in the subdirectory: the directory of a run."""
    return "/".join(path.split("/")[:2])


def _newest_runs(going: Mapping[str, os.stat_result], most: int) -> set[str]:
    changed_ns: dict[str, int] = {}
    for path, about in going.items():
        changed_ns[_run_of(path)] = max(changed_ns.get(_run_of(path), about.st_mtime_ns), about.st_mtime_ns)
    return set(sorted(changed_ns, key=lambda run: (changed_ns[run], run), reverse=True)[:most])


def holders_of(location: Location, wipe: WipePlan) -> Holders:
    """Which snapshots of this workspace hold the content of *wipe*, whatever more they hold; verified now, every hash.

    Another workspace's will not do: its owner may forget it without a look at this one.
    """
    verified: dict[str, bool] = {}
    newest_first = own_snapshots(location, Path(wipe.plan.root))

    def is_whole(snapshot: Snapshot) -> bool:
        if snapshot.id not in verified:
            verified[snapshot.id] = snapshot.id in verify(location, [snapshot.id], root=Path(wipe.plan.root)).whole
        return verified[snapshot.id]

    def holds(snapshot: Snapshot) -> bool:
        found = difference(snapshot.files, wipe.files)
        return not (found.added or found.changed)

    holding = (each for each in newest_first if holds(each) and is_whole(each))
    holder = next(holding, None) if wipe.files else None
    held = [] if holder is None else [holder.id]
    lacking = {content_of(file): file.path for file in wipe.rests}
    for snapshot in newest_first if lacking else ():
        there = {content_of(file) for file in snapshot.files}
        if there & lacking.keys() and is_whole(snapshot):
            held += [] if snapshot.id in held else [snapshot.id]
            lacking = {content: path for content, path in lacking.items() if content not in there}
    is_every_file = holder is not None or not wipe.files
    return Holders(ids=tuple(held), is_every_file=is_every_file, lacking=tuple(sorted(lacking.values())))


@contextmanager
def holding_off_prune(location: Location) -> Iterator[None]:
    """Let no prune begin until the block ends. InUseError where one goes on for too long."""
    with ExitStack() as announced:
        try:
            if list_ids(location):  # else the place itself may be gone, and nothing is to be made there
                announced.enter_context(announced_backup(location, f"`ws.{WIPE}`"))
        except (InUseError, RefusedError):
            raise
        except WorkspaceError:  # a read-only place, where no prune can begin either
            pass
        yield


def check_still_whole(location: Location, held: Holders) -> None:
    """Verify the snapshots once more, every hash; RefusedError where one is not whole, or not there any more."""
    for snapshot_id in held.ids:
        if snapshot_id in list_ids(location) and snapshot_id in verify(location, [snapshot_id]).whole:
            continue
        raise RefusedError(
            f"snapshot {short_id(snapshot_id)}, which held what would go, is no longer whole in {location.url}; "
            "nothing was removed\n`ws.verify` says what it lacks; `ws.backup-models` takes another"
        )


def without_changed(wipe: WipePlan) -> tuple[Plan, list[tuple[str, str]]]:
    """The plan without the models that changed since they were read, and the files of these as (path, why)."""
    root = Path(wipe.plan.root)
    changed = {path for path, seen in wipe.seen.items() if _signature_now(root / path) not in (None, seen)}
    groups = {group_of(path) for path in changed}
    why = {True: "it changed since it was read", False: "another file of this model changed since it was read"}
    stays = {entry.path: why[entry.path in changed] for entry in wipe.plan.entries if group_of(entry.path) in groups}
    entries = Entries.of(entry for entry in wipe.plan.entries if entry.path not in stays)
    return replace(wipe.plan, entries=entries), list(stays.items())


def _signature_now(path: Path) -> Signature | None:
    try:
        return signature(os.lstat(path))
    except OSError:  # gone, or it soon will be seen to be out of reach
        return None
