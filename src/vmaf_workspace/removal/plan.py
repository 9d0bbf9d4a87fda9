"""What would be removed and what stays, as frozen data; a dry run is a plan that nobody executed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from vmaf_workspace.contract import BY_NAME, KEPT_NAMES, SCRATCH
from vmaf_workspace.disk.atomic import read_regular, write_atomically
from vmaf_workspace.disk.json_file import paths_from_utf8, paths_to_utf8, read_object
from vmaf_workspace.disk.scan import Usage
from vmaf_workspace.errors import RefusedError, UsageError, WorkspaceError
from vmaf_workspace.removal.entries import Entries, Entry

VERSION = 2  # 1 named devices
MOST = 1 << 94  # ns in 2^63 s, and more: XFS and Btrfs hold times past 2262, inodes take all of 64 bits
MAY_BE_NEGATIVE = frozenset({"newest_ns"})  # before 1970


class Use(StrEnum):
    """Why a thing stays: what a person is told of it, and how the task ends."""

    LOCKED = "locked"  # in use: a run holds its lock
    LIKELY = "likely"  # perhaps in use: young, or open in a process; `--force` takes it
    UNCLEAR = "unclear"  # nobody can tell, so it counts as in use; it should have gone perhaps, so the task ends with 1
    STUCK = "stuck"  # it should have gone and cannot: a mount, a directory that may not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One thing that stays, and why.

    *unused_from_s* is for what nobody can be asked about, whose age alone tells: when it will be old enough to be taken
    for unused, if nothing changes in it; infinite where its age is unknown. None for all else, and in a saved plan.
    """

    path: str
    why: str
    use: Use
    unused_from_s: float | None = field(default=None, compare=False)  # of the moment, which no plan keeps

    @property
    def live(self) -> bool:
        """Whether a run is, or may be, using it."""
        return self.use is not Use.STUCK

    @property
    def locked(self) -> bool:
        """Whether not even `--force` takes it."""
        return self.use in (Use.LOCKED, Use.UNCLEAR)

    @property
    def failed(self) -> bool:
        """Whether it should have gone, as far as one can tell."""
        return self.use in (Use.UNCLEAR, Use.STUCK)

    def as_json(self) -> dict[str, Any]:
        """As a saved plan has it."""
        return {name: getattr(self, name) for name in ("path", "why", "live", "locked", "failed")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Kept:
        """The reverse; KeyError, TypeError or ValueError for anything else."""
        for use in Use:
            kept = _checked(cls(path=data["path"], why=data["why"], use=use))
            if kept.as_json() == data:
                return kept
        raise ValueError(f"no thing stays like this: {data!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an operation removes; made from a scan, executed by `execution.execute`, once."""

    operation: str  # the task that made it: "clean-scratch", "purge-cache"
    root: str  # resolved
    made_at_s: float
    subdirs: tuple[str, ...]  # the only subdirectories it may touch
    min_age_s: float
    force: bool
    entries: Entries
    kept: tuple[Kept, ...] = ()
    is_cost_sampled: bool = False  # seconds of some entries stand for those of all


Record = TypeVar("Record", Entry, Kept, Plan)


def check_may_save(path: Path) -> None:
    """Raise RefusedError where *path* is something else than an earlier plan, UsageError where it is a directory."""
    if not path.name or path.is_dir():
        raise UsageError(f"cannot write the plan {path}: it is a directory")
    if path.exists() and read_object(path, follow=True).keys() != {"version", "plan"}:
        raise RefusedError(f"{path} is there already and is no plan, so it stays; give the plan another name")


def save_plan(plan: Plan, path: Path) -> None:
    """Write *plan* as JSON for a later `--apply`; what is written has been read again, and says the same."""
    check_may_save(path)

    def reader(content: bytes) -> None:
        if _read(content) != plan:
            raise ValueError("it would be read as another plan")

    try:
        text = json.dumps(
            {
                "version": VERSION,
                "plan": paths_to_utf8(
                    {each.name: getattr(plan, each.name) for each in fields(plan)}
                    | {"entries": list(map(asdict, plan.entries)), "kept": [kept.as_json() for kept in plan.kept]}
                ),
            },
            indent=1,
        )
        write_atomically(path, text.encode("ascii") + b"\n", reader=reader)
    except OSError as error:
        raise UsageError(f"cannot write the plan {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorkspaceError(
            f"the plan {path} could not be read again, so it was not written ({error})\n"
            "nothing was changed; do without --plan, or see with `ws.doctor` what is strange in the workspace"
        ) from error


def load_plan(path: Path, *, operation: str, root: Path, subdirs: frozenset[str]) -> Plan:
    """Read a saved plan; every path in it must lie in *subdirs* of *root*.

    Raises UsageError for a file that is no plan, RefusedError for a plan of another task, workspace or place: a plan
    is a list of things to delete, so it is believed no further than it could have been written here.
    """
    try:
        loaded = _read(read_regular(path, follow=True))
    except OSError as error:
        raise UsageError(f"cannot read the plan {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no plan that `--plan` wrote ({type(error).__name__}: {error})") from error
    if loaded.operation != operation:
        raise RefusedError(f"{path} is a plan of {loaded.operation}, not of {operation}")
    if loaded.root != os.path.realpath(root):
        raise RefusedError(f"{path} is a plan for {loaded.root}, not for {os.path.realpath(root)}")
    for entry in loaded.entries:
        first, *rest = entry.path.removesuffix("/").split("/")
        strange = not rest or not all(rest) or {".", ".."} & set(rest) or "\0" in entry.path
        misplaced = len(rest) != 1 if first in SCRATCH else entry.is_directory  # whole runs there, files elsewhere
        if strange or misplaced or first not in subdirs & set(loaded.subdirs):
            raise RefusedError(f"{path} lists {entry.path!r}, which {operation} never removes; nothing was touched")
        if rest[0] in KEPT_NAMES:
            raise RefusedError(f"{path} lists {entry.path!r}, which stays; nothing was touched")
    if not set(loaded.subdirs) <= subdirs:
        raise RefusedError(f"{path} is for {', '.join(loaded.subdirs)}, which {operation} never touches")
    return loaded


def _read(content: bytes) -> Plan:
    """The plan that *content* is; where it is none, one of the errors that `load_plan` puts into words."""
    data = paths_from_utf8(json.loads(content.decode("ascii")))
    if data["version"] != VERSION:
        raise ValueError(f"a plan of version {data['version']!r}; this program reads version {VERSION}")
    plan = dict(data["plan"])
    entries = Entries.of(_checked(Entry(**entry)) for entry in plan["entries"])
    kept = tuple(map(Kept.from_json, plan["kept"]))
    subdirs = tuple(name for name in plan["subdirs"] if name in BY_NAME)
    return _checked(Plan(**(plan | {"subdirs": subdirs, "entries": entries, "kept": kept})))


def _checked(made: Record) -> Record:
    for each in fields(made):
        value = getattr(made, each.name)
        kinds = {"float": ("float", "int"), "str": ("str",), "int": ("int",), "bool": ("bool",)}.get(str(each.type))
        if kinds is not None and type(value).__name__ not in kinds:
            raise TypeError(f"{each.name}: expected {each.type}, got {value!r}")
        if isinstance(value, int | float) and not -MOST < value < MOST:  # NaN is not, either
            raise ValueError(f"{each.name}: no file has such a size or time")
        if isinstance(value, int | float) and value < 0 and each.name not in MAY_BE_NEGATIVE:
            raise ValueError(f"{each.name}: less than nothing")
        if isinstance(value, str):
            os.fsencode(value)  # UnicodeEncodeError, a ValueError, for what can be no name
    return made


def make_plan(
    operation: str, root: Path, entries: list[Entry] | Entries, kept: list[Kept], *, subdirs: tuple[str, ...]
) -> Plan:
    """A plan of *entries*, sorted by path unless they are sorted already: the same scan gives the same plan."""
    assert set(subdirs) <= set(BY_NAME)
    return Plan(
        operation=operation,
        root=os.path.realpath(root),
        made_at_s=round(time.time(), 3),
        subdirs=subdirs,
        min_age_s=0.0,
        force=False,
        entries=entries if isinstance(entries, Entries) else Entries.of(sorted(entries, key=lambda entry: entry.path)),
        kept=tuple(sorted(kept, key=lambda entry: entry.path)),
    )


def kept_for_what_it_holds(path: str, usage: Usage) -> Kept:
    """The directory *path*, which stays for what is in it: a workspace, a mount, something that cannot be seen."""
    if usage.marked:
        where = ", ".join(repr(os.path.normpath(f"{path}/{place}")) for place in usage.marked)
        why = f"it holds a workspace of its own, {where}, which may hold models; move that out first"
    elif usage.mounts:
        why = f"something is mounted in it at {', '.join(map(repr, usage.mounts))}; unmount that first"
    else:
        where = repr(os.path.normpath(f"{path}/{usage.unseen[0]}"))
        problem = dict(usage.problems)[usage.unseen[0]]
        why = f"nobody can tell whether it holds a workspace of its own: {where} could not be read ({problem})"
    return Kept(path=f"{path}/", why=why, use=Use.STUCK)
