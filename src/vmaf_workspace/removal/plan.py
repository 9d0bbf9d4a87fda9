"""What would be removed and what stays, as frozen data; a dry run is a plan that nobody executed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from vmaf_workspace.contract import BY_NAME, KEPT_NAMES, SCRATCH
from vmaf_workspace.disk.atomic import read_whole, write_whole
from vmaf_workspace.disk.path_text import here, stored
from vmaf_workspace.errors import RefusedError, UsageError, WorkspaceError

VERSION = 2  # 1 named devices
MOST = 1 << 94  # ns in 2^63 s, and more: XFS and Btrfs hold times past 2262, inodes take all of 64 bits
MAY_BE_NEGATIVE = frozenset({"newest_ns"})  # before 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that goes: a whole run directory in scratch, a file elsewhere.

    It is the same thing later if inode, newest mtime, number of files and size are the same. Its device is not asked:
    that has another number after the next boot, and what is mounted in its place is seen by itself.
    """

    path: str  # below the workspace, as this process names it; in a saved plan as `names.stored` has it
    inode: int
    newest_ns: int
    files: int
    apparent_bytes: int
    disk_bytes: int
    why: str
    cost_s: float = 0.0  # seconds of computing that its loss costs, as far as it is known

    @property
    def is_directory(self) -> bool:
        """Whether it is a run directory, by how it is listed: with a slash at its end."""
        return self.path.endswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One thing that stays, and why; *live* where a run is, or may be, using it."""

    path: str
    why: str
    live: bool
    locked: bool = False
    failed: bool = False  # it should have gone and cannot: a mount, a directory that may not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an operation removes; made from a scan, executed by `remove.execute`, once."""

    operation: str  # the task that made it: "clean-scratch", "purge-cache"
    root: str  # resolved
    made_at_s: float
    subdirs: tuple[str, ...]  # the only subdirectories it may touch
    min_age_s: float
    force: bool
    entries: tuple[Entry, ...]
    kept: tuple[Kept, ...] = ()

    @property
    def files(self) -> int:
        """Number of files that go."""
        return sum(entry.files for entry in self.entries)

    @property
    def disk_bytes(self) -> int:
        """What would be freed, as `du` counts."""
        return sum(entry.disk_bytes for entry in self.entries)

    @property
    def apparent_bytes(self) -> int:
        """Sum of the sizes of the files that go."""
        return sum(entry.apparent_bytes for entry in self.entries)

    @property
    def cost_s(self) -> float:
        """Seconds of computing that the loss costs, as far as they are known."""
        return sum(entry.cost_s for entry in self.entries)


Made = TypeVar("Made", Entry, Kept, Plan)


def save(plan: Plan, path: Path) -> None:
    """Write *plan* as JSON for a later `--apply`; what is written has been read again, and says the same."""
    if not path.name or path.is_dir():
        raise UsageError(f"cannot write the plan {path}: it is a directory")
    if path.exists() and not _is_plan(path):
        raise UsageError(f"{path} is there already and is no plan, so it stays; give the plan another name")

    def reader(content: bytes) -> None:
        if _read(content) != plan:
            raise ValueError("it would be read as another plan")

    try:
        text = json.dumps({"version": VERSION, "plan": stored(asdict(plan))}, indent=1)
        write_whole(path, text.encode("ascii") + b"\n", reader=reader)
    except OSError as error:
        raise UsageError(f"cannot write the plan {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorkspaceError(
            f"the plan {path} could not be read again, so it was not written ({error})\n"
            "nothing was changed; do without --plan, or see with `ws.doctor` what is strange in the workspace"
        ) from error


def load(path: Path, *, operation: str, root: Path, subdirs: frozenset[str]) -> Plan:
    """Read a saved plan; every path in it must lie in *subdirs* of *root*.

    Raises UsageError for a file that is no plan, RefusedError for a plan of another task, workspace or place: a plan
    is a list of things to delete, so it is believed no further than it could have been written here.
    """
    try:
        loaded = _read(read_whole(path, follow=True))
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
    """The plan that *content* is; where it is none, one of the errors that `load` puts into words."""
    data = here(json.loads(content.decode("ascii")))
    if data["version"] != VERSION:
        raise ValueError(f"a plan of version {data['version']!r}; this program reads version {VERSION}")
    plan = dict(data["plan"])
    entries = tuple(_checked(Entry(**entry)) for entry in plan["entries"])
    kept = tuple(_checked(Kept(**kept)) for kept in plan["kept"])
    subdirs = tuple(name for name in plan["subdirs"] if name in BY_NAME)
    return _checked(Plan(**(plan | {"subdirs": subdirs, "entries": entries, "kept": kept})))


def _is_plan(path: Path) -> bool:
    try:
        return set(json.loads(read_whole(path, follow=True))) == {"version", "plan"}
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _checked(made: Made) -> Made:
    for field in fields(made):
        value = getattr(made, field.name)
        kinds = {"float": ("float", "int"), "str": ("str",), "int": ("int",), "bool": ("bool",)}.get(str(field.type))
        if kinds is not None and type(value).__name__ not in kinds:
            raise TypeError(f"{field.name}: expected {field.type}, got {value!r}")
        if isinstance(value, int | float) and not -MOST < value < MOST:  # NaN is not, either
            raise ValueError(f"{field.name}: no file has such a size or time")
        if isinstance(value, int | float) and value < 0 and field.name not in MAY_BE_NEGATIVE:
            raise ValueError(f"{field.name}: less than nothing")
        if isinstance(value, str):
            os.fsencode(value)  # UnicodeEncodeError, a ValueError, for what can be no name
    return made


def new(
    operation: str,
    root: Path,
    entries: list[Entry],
    kept: list[Kept],
    *,
    subdirs: tuple[str, ...],
    min_age_s: float = 0.0,
    force: bool = False,
) -> Plan:
    """A plan of *entries*, sorted by path, so that the same scan gives the same plan."""
    assert set(subdirs) <= set(BY_NAME)
    return Plan(
        operation=operation,
        root=os.path.realpath(root),
        made_at_s=round(time.time(), 3),
        subdirs=subdirs,
        min_age_s=min_age_s,
        force=force,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        kept=tuple(sorted(kept, key=lambda entry: entry.path)),
    )
