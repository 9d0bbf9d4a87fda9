"""Which snapshots are kept, and why; *forget* removes the others from the list, *prune* then frees their objects.

Three things are kept whatever the rule says, unless a person gives them up in words: a file of a model that no other
kept snapshot of its workspace has under any content (an older state of it is what a rule is there to drop), the content
that a wipe removed because this snapshot held it, until another one of that workspace does, and a model as it is in the
workspace now, which an old snapshot alone holds once that one was restored.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vmaf_workspace import guard
from vmaf_workspace.errors import UsageError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.snapshot.difference import content_of
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import File, Snapshot, manifest_name
from vmaf_workspace.snapshot.store import ListedSnapshot, is_in_future
from vmaf_workspace.snapshot.tree import scan_models

NAMED = 3  # models that are named where there are more
State = tuple[int, int, str | None]  # of a file: bytes, modification time (ns), and where it leads if it is a symlink


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How many to keep of each workspace of each host; days, weeks and months count where there is a snapshot."""

    last: int = 0
    daily: int = 0  # the newest of each day, by this machine's clock
    weekly: int = 0  # weeks begin on Monday
    monthly: int = 0
    within_s: float = 0.0  # all that are so much older than the newest, or less


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one snapshot; without a reason to keep it, it goes."""

    listed: ListedSnapshot
    reasons: tuple[str, ...]
    last_copies: tuple[str, ...] = ()  # models that no kept snapshot of its workspace has, or not all of
    held_now: tuple[str, ...] = ()  # models that no kept snapshot has as they are in the workspace now

    @property
    def is_kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


def plan_forget(
    snapshots: Sequence[ListedSnapshot],
    keep: RetentionPolicy,
    *,
    now_s: float | None = None,
    damaged: Set[str] = frozenset(),
    drop_last_copies: bool = False,
    there: Mapping[str, State] = MappingProxyType({}),
) -> list[Verdict]:
    """A verdict on each of *snapshots*, oldest first as they came. Raises UsageError where *keep* keeps nothing.

    What is pinned, the last verified one of each workspace and the last with any file, and what cannot be read stay
    whatever *keep* says. So do those that are dated in the future, those of one turn that two workspaces took, and,
    unless *drop_last_copies*, those with the last copy of a model; what is *damaged*, by its hash, is none. These, and
    those taken for safety before something was replaced, take no place of others. *there* is what is in the workspace
    now, see `state_now`; empty where nobody can tell.
    """
    if keep == RetentionPolicy():
        raise UsageError("say what to keep: --keep-last, --keep-daily, --keep-weekly, --keep-monthly or --keep-within")
    now_s = time.time() if now_s is None else now_s
    reasons: dict[str, list[str]] = {listed.id: [] for listed in snapshots}
    groups = _by_workspace(snapshots)
    for listed in snapshots:
        move_away = f"move {manifest_name(listed.id)} away once nothing in it is missed"
        if listed.snapshot is None:
            reasons[listed.id].append(f"damaged: {move_away}")
        elif is_in_future(listed.snapshot, now_s):
            reasons[listed.id].append(f"dated in the future, by a wrong clock: {move_away}")
        if listed.pinned:
            reasons[listed.id].append("pinned")
    last_copies: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for listed in _of_twins(group):
            reasons[listed.id].append("another workspace has its identity, so nobody can tell whose it is")
        dated = [listed for listed in group if listed.snapshot is not None and not is_in_future(listed.snapshot, now_s)]
        newest_first = sorted(dated, key=lambda listed: (_time_s(listed), listed.id), reverse=True)
        for is_safety in (False, True):
            of_kind = [each for each in newest_first if each.snapshot and each.snapshot.is_safety is is_safety]
            if of_kind:
                _note_reasons(of_kind, keep, reasons, newest_s=_time_s(newest_first[0]), is_safety=is_safety)
        last_copies |= _last_copies(newest_first, group, reasons, damaged)
        if not drop_last_copies:
            for snapshot_id in last_copies.keys() & {listed.id for listed in group}:
                reasons[snapshot_id].append(f"the last copy of {models_text(last_copies[snapshot_id])}")
    held_now = _held_now(snapshots, there, reasons, damaged)
    if not drop_last_copies:
        for snapshot_id, models in held_now.items():
            reasons[snapshot_id].append(
                f"alone has {models_text(models)} as in the workspace now (--drop-last-copies drops it)"
            )
    return [
        Verdict(
            listed=listed,
            reasons=tuple(reasons[listed.id]),
            last_copies=last_copies.get(listed.id, ()),
            held_now=held_now.get(listed.id, ()),
        )
        for listed in snapshots
    ]


def state_now(root: Path) -> dict[str, State]:
    """Each file of the models of the workspace *root*, by its path, unread; empty where that cannot be told."""
    found: dict[str, State] = {}
    with suppress(WorkspaceError, OSError):
        tree = scan_models(root).found if guard.check(root) else {}
        for path, about in tree.items():
            link = os.readlink(root / path) if stat.S_ISLNK(about.st_mode) else None
            found[path] = (about.st_size, about.st_mtime_ns, link)
    return found


def forget(location: Location, verdicts: Sequence[Verdict]) -> list[str]:
    """Remove the snapshots that are not kept; their ids. A pin that came meanwhile keeps its snapshot."""
    gone = []
    for verdict in verdicts:
        snapshot_id = verdict.listed.id
        if verdict.is_kept or _is_pinned(location, verdict.listed):
            continue
        with suppress(FileNotFoundError):
            content = location.read(manifest_name(snapshot_id))
            location.remove(manifest_name(snapshot_id))
            if _is_pinned(location, verdict.listed):  # by somebody who saw it an instant ago, and now relies on it
                location.write(manifest_name(snapshot_id), content)
                continue
        location.remove(f"verified/{snapshot_id}")
        if verdict.listed.relied_on is not None:
            location.remove(f"pins/{snapshot_id}")
        gone.append(snapshot_id)
    return gone


def models_text(names: Sequence[str]) -> str:
    """The first of *names*."""
    more = len(names) - NAMED
    return ", ".join(repr(name) for name in names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _by_workspace(snapshots: Sequence[ListedSnapshot]) -> list[list[ListedSnapshot]]:
    """The snapshots of each workspace, newest first: of one identity, and of a place that a newer one was at.

    An identity alone is not enough: it is copied with the data, and older versions left it to the copy.
    """
    groups: list[tuple[list[ListedSnapshot], Snapshot]] = []
    for listed in reversed(snapshots):
        found = listed.snapshot
        if found is None:
            continue
        for group, newest in groups:
            if newest.identity == found.identity and newest.is_at(found.place):
                group.append(listed)
                break
        else:
            groups.append(([listed], found))
    return [group for group, _ in groups]


def _of_twins(group: Sequence[ListedSnapshot]) -> list[ListedSnapshot]:
    """Those of *group* whose turn another one of it has, too, with another token."""
    tokens: dict[int, set[str]] = {}
    for listed in group:
        turn, token = listed.snapshot.turn if listed.snapshot else (0, "")
        if turn:
            tokens.setdefault(turn, set()).add(token)
    return [listed for listed in group if listed.snapshot and len(tokens.get(listed.snapshot.turn[0], ())) > 1]


def _note_reasons(
    newest_first: Sequence[ListedSnapshot],
    keep: RetentionPolicy,
    reasons: dict[str, list[str]],
    *,
    newest_s: float,
    is_safety: bool,
) -> None:
    """Say why some of the snapshots of one workspace stay; *newest_s* is when its newest was taken."""
    for_safety = " of those taken for safety" if is_safety else ""
    for listed in [listed for listed in newest_first if listed.verified][:1]:
        reasons[listed.id].append(f"the last verified one{for_safety}")
    for listed in newest_first[: keep.last]:
        reasons[listed.id].append(f"among the last {keep.last}{for_safety}")
    for count, period, label_of in (
        (keep.daily, "day", "%Y-%m-%d"),
        (keep.weekly, "week", "%G-W%V"),
        (keep.monthly, "month", "%Y-%m"),
    ):
        for listed, label in _newest_of_each(newest_first, label_of)[:count]:
            reasons[listed.id].append(f"the newest of {period} {label}{for_safety}")
    for listed in newest_first:
        if keep.within_s and newest_s - _time_s(listed) <= keep.within_s:
            reasons[listed.id].append("within the time to keep before the newest")
    filled = [listed for listed in newest_first if listed.snapshot and listed.snapshot.files]
    last = (filled or newest_first)[0]
    if not is_safety and not reasons[last.id]:
        what = "of its workspace" if last is newest_first[0] else "that is not empty"
        reasons[last.id].append(f"the last one {what}")


def _last_copies(
    newest_first: Sequence[ListedSnapshot],
    group: Sequence[ListedSnapshot],
    reasons: dict[str, list[str]],
    damaged: Set[str],
) -> dict[str, tuple[str, ...]]:
    """Models that only a going snapshot has, or has all of, by the id of the newest such."""
    held: list[tuple[Snapshot, list[File]]] = []  # by those that stay
    paths: set[str] = set()
    contents: set[str] = set()

    def stays(snapshot: Snapshot) -> None:
        files = [file for file in snapshot.files if file.sha256 not in damaged]
        held.append((snapshot, files))
        paths.update(file.path for file in files)
        contents.update(file.sha256 for file in files if file.sha256)

    for listed in group:
        if listed.snapshot is not None and reasons[listed.id]:
            stays(listed.snapshot)
    found: dict[str, tuple[str, ...]] = {}
    for listed in newest_first:
        snapshot = listed.snapshot
        if snapshot is None or reasons[listed.id]:
            continue
        whole = [file for file in snapshot.files if file.sha256 not in damaged]
        last = [file for file in whole if file.path not in paths and file.sha256 not in contents]
        wiped = listed.relied_on
        if wiped is not None:
            of_it = [files for it, files in held if it.identity == wiped.identity and it.is_at(wiped.place)]
            elsewhere = {file.sha256 for files in of_it for file in files}
            last += [file for file in whole if file.sha256 in wiped.contents - elsewhere]
        if last:
            found[listed.id] = tuple(sorted({group_of(file.path) for file in last}))
            stays(snapshot)
    return found


def _held_now(
    snapshots: Sequence[ListedSnapshot],
    there: Mapping[str, State],
    reasons: Mapping[str, Sequence[str]],
    damaged: Set[str],
) -> dict[str, tuple[str, ...]]:
    """Models that only a going snapshot has as they are *there*, by the id of the newest such.

    A restore gives files their times back, so size and time tell which content is there. Where another file has both,
    a snapshot stays for nothing, which does no harm.
    """
    held: set[tuple[str | None, str]] = set()
    going: list[Snapshot] = []
    for listed in snapshots:
        if listed.snapshot is None:
            continue
        if reasons[listed.id]:
            held.update(content_of(file) for file in listed.snapshot.files if file.sha256 not in damaged)
        else:
            going.append(listed.snapshot)
    found: dict[str, tuple[str, ...]] = {}
    for snapshot in sorted(going, key=lambda snapshot: (snapshot.time_s, snapshot.id), reverse=True):
        whole = [file for file in snapshot.files if file.sha256 not in damaged]
        if now := [file for file in whole if content_of(file) not in held and _is_there(file, there)]:
            found[snapshot.id] = tuple(sorted({group_of(file.path) for file in now}))
            held.update(map(content_of, whole))
    return found


def _is_there(file: File, there: Mapping[str, State]) -> bool:
    size, mtime_ns, link = there.get(file.path, (-1, 0, None))
    if link is not None or file.link is not None:
        return link == file.link
    return (size, mtime_ns) == (file.size, file.mtime_ns)


def _is_pinned(location: Location, listed: ListedSnapshot) -> bool:
    """Whether somebody pinned it, or a wipe relies on it that was not known of."""
    size = location.sizes_of([f"pins/{listed.id}"])[0]
    return size is not None and (size == 0 or listed.relied_on is None)


def _time_s(listed: ListedSnapshot) -> float:
    return listed.snapshot.time_s if listed.snapshot is not None else 0.0


def _newest_of_each(newest_first: Sequence[ListedSnapshot], of: str) -> list[tuple[ListedSnapshot, str]]:
    found: dict[str, ListedSnapshot] = {}
    for listed in newest_first:
        found.setdefault(time.strftime(of, time.localtime(_time_s(listed))), listed)
    return [(listed, name) for name, listed in found.items()]
