"""Which snapshots are kept, and why; *forget* removes the others from the list, *prune* then frees their objects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vmaf_workspace.errors import UsageError
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.manifest import manifest_name
from vmaf_workspace.snapshot.store import Listed

AHEAD_S = 3600.0  # clocks of different machines differ; what is dated further ahead is of a wrong one


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many to keep of each workspace of each host; days, weeks and months count where there is a snapshot."""

    last: int = 0
    daily: int = 0  # the newest of each day, by this machine's clock
    weekly: int = 0  # weeks begin on Monday
    monthly: int = 0
    within_s: float = 0.0  # all that are younger


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one snapshot; without a reason to keep it, it goes."""

    listed: Listed
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


def plan_forget(snapshots: Sequence[Listed], keep: Keep, *, now_s: float | None = None) -> list[Verdict]:
    """A verdict on each of *snapshots*, oldest first as they came. Raises UsageError where *keep* keeps nothing.

    What is pinned, the last verified one of each workspace and the last with any file, and what cannot be read stay
    whatever *keep* says. So do those that are dated in the future. These, and those taken for safety before a restore,
    take no place of others.
    """
    if keep == Keep():
        raise UsageError("say what to keep: --keep-last, --keep-daily, --keep-weekly, --keep-monthly or --keep-within")
    now_s = time.time() if now_s is None else now_s
    reasons: dict[str, list[str]] = {listed.id: [] for listed in snapshots}
    groups: dict[tuple[tuple[str, ...], bool], list[Listed]] = {}
    for listed in snapshots:
        move_away = f"move {manifest_name(listed.id)} away once nothing in it is missed"
        if listed.snapshot is None:
            reasons[listed.id].append(f"damaged: {move_away}")
        elif _time_s(listed) > now_s + AHEAD_S:
            reasons[listed.id].append(f"dated in the future, by a wrong clock: {move_away}")
        else:
            of = listed.snapshot
            whose = (of.identity,) if of.identity else (of.host, of.workspace)
            groups.setdefault((whose, of.is_safety), []).append(listed)
        if listed.pinned:
            reasons[listed.id].append("pinned")
    for (_, is_safety), group in groups.items():
        newest_first = sorted(group, key=lambda listed: (_time_s(listed), listed.id), reverse=True)
        for listed in [listed for listed in newest_first if listed.verified][:1]:
            reasons[listed.id].append("the last verified one")
        for listed in newest_first[: keep.last]:
            reasons[listed.id].append(f"among the last {keep.last}")
        for count, period, label_of in (
            (keep.daily, "day", "%Y-%m-%d"),
            (keep.weekly, "week", "%G-W%V"),
            (keep.monthly, "month", "%Y-%m"),
        ):
            for listed, label in _newest_of_each(newest_first, label_of)[:count]:
                reasons[listed.id].append(f"the newest of {period} {label}")
        for listed in newest_first:
            if keep.within_s and now_s - _time_s(listed) <= keep.within_s:
                reasons[listed.id].append("within the time to keep")
        filled = [listed for listed in newest_first if listed.snapshot and listed.snapshot.files]
        last = (filled or newest_first)[0]
        if not is_safety and not reasons[last.id]:
            what = "of its workspace" if last is newest_first[0] else "that is not empty"
            reasons[last.id].append(f"the last one {what}")
    return [Verdict(listed=listed, reasons=tuple(reasons[listed.id])) for listed in snapshots]


def forget(location: Location, verdicts: Sequence[Verdict]) -> list[str]:
    """Remove the snapshots that are not kept; their ids. A pin that came meanwhile keeps its snapshot."""
    pinned = {name.removeprefix("pins/") for name in location.sizes("pins")}
    gone = [verdict.listed.id for verdict in verdicts if not verdict.is_kept and verdict.listed.id not in pinned]
    for snapshot_id in gone:
        location.remove(manifest_name(snapshot_id))
        location.remove(f"verified/{snapshot_id}")
    return gone


def _time_s(listed: Listed) -> float:
    return listed.snapshot.time_s if listed.snapshot is not None else 0.0


def _newest_of_each(newest_first: Sequence[Listed], of: str) -> list[tuple[Listed, str]]:
    found: dict[str, Listed] = {}
    for listed in newest_first:
        found.setdefault(time.strftime(of, time.localtime(_time_s(listed))), listed)
    return [(listed, name) for name, listed in found.items()]
