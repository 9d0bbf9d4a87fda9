"""Removes what the demo made in a workspace, and nothing else.

The record says which files those are. Of them go those that are as the demo left them; what goes together stays
together: an encode with its entry in the store, the files of a model, the parts of one run of training. What a recipe
of somebody's in `dataset/` names stays too. The rest is that of every removal here: a plan that is shown, then executed
by `vmaf_workspace.removal`, which looks at each file once more and leaves what has changed since.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.demo.clips import NAME
from vmaf_harness.demo.record import Record, alone, encode_of, files_at_places, fingerprint, first_line
from vmaf_workspace import guard
from vmaf_workspace.commands import tables
from vmaf_workspace.commands.question import agreed
from vmaf_workspace.contract import ENCODE_STORE
from vmaf_workspace.disk.scan import usage_of
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.groups import group_of
from vmaf_workspace.removal.candidates import refuse_live_runs
from vmaf_workspace.removal.entries import Entry
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.removal.plan import Plan, make_plan
from vmaf_workspace.wording import print_list, say

CLEAN_DEMO = "clean-demo"
_WHY = "the demo makes it again"
_REST = "left by a clean of the demo that could not finish"
_SUBDIRS = ("dataset", "encode", "model", "model_param", "result_store_dir", "checkpoints_dir")
_MOST_SHOWN = 8
_MOST_RECIPE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What of the demo goes, and what of it stays, as (path, why)."""

    plan: Plan
    left: tuple[tuple[str, str], ...]
    is_under_way: bool  # a demo began here and has not ended: of what it was making nothing is recorded


def plan_clean(root: Path) -> Cleaning:
    """What the demo made in *root* and nobody has touched since; RefusedError where *root* is no workspace of ours."""
    record = Record.read(root) if guard.check(root) else Record(root=root)
    there = [path for path in record.files if os.path.lexists(root / path)]
    left = {path: why for path in there if (why := record.change(path)) is not None}
    named = _named_by_recipes(root, {path for path in there if path not in left})
    left |= {path: f"{recipe} names it" for path, recipe in named.items()}
    groups = {path: _group(root, path) for path in {*there, *_models(root)}}
    strange = {path: "the demo did not make it" for path in groups if path not in record.files}
    first = {groups[path]: path for path in (*strange, *left)}
    for path in there:
        if path not in left and (other := first.get(groups[path])) is not None:
            left[path] = f"it belongs to {other}, which stays"
    entries = [_entry(root, path, _WHY) for path in there if path not in left]
    entries += [_entry(root, path, _REST) for path in _rests(root, record)]
    plan = make_plan(CLEAN_DEMO, root, entries, [], subdirs=_SUBDIRS)
    return Cleaning(plan=plan, left=tuple(sorted(left.items())), is_under_way=record.there is not None)


def clean(root: Path, *, dry_run: bool = False, yes: bool = False) -> int:
    """Show what goes, ask, and remove it; the exit code. Without a terminal *yes* is needed.

    Raises InUseError where a demo or another run is at work here, and RefusedError as `plan_clean` does.
    """
    with alone(root):
        found = plan_clean(root)
        plan = found.plan
        if plan.entries:
            refuse_live_runs(root, "clean the demo of")
            tables.print_plan(plan)
        _print_left(found)
        if dry_run:
            print(f"{tables.plan_and_place(plan)}; dry run: nothing was changed")
            return DONE
        if plan.entries and not yes and not agreed(f"Remove {tables.plan_summary(plan)}?"):
            print("nothing was removed", file=sys.stderr)
            return FAILED
        report = execute(plan)
        tables.print_report(plan, report)
        _forget_gone(root)
    return DONE if report.is_complete else FAILED


def _forget_gone(root: Path) -> None:
    record = Record.read(root)
    record.files = {path: made for path, made in record.files.items() if os.path.lexists(root / path)}
    if os.path.isdir(root):
        record.save()


def _entry(root: Path, path: str, why: str) -> Entry:
    return Entry.of(path, os.lstat(root / path), usage_of(str(root / path)), why)


def _group(root: Path, path: str) -> str:
    """What goes or stays together with this file."""
    match path.split("/"):
        case (("model" | "model_param"), *_):
            return group_of(path)
        case "checkpoints_dir", directory, _:
            return f"checkpoints_dir/{directory}"
        case "result_store_dir", store, *_ if store == ENCODE_STORE:
            return encode_of(first_line(root / path))
    return path


def _models(root: Path) -> Iterator[str]:
    """Every file of a model or a set that is called like the demo's."""
    return files_at_places(root, ("model", "model_param"))


def _named_by_recipes(root: Path, paths: set[str]) -> dict[str, str]:
    """Which of these clips and encodes some other recipe in `dataset/` names, with that recipe."""
    wanted = {path: os.path.basename(path) for path in paths if path.startswith(("encode/", "dataset/"))}
    found: dict[str, str] = {}
    for recipe in sorted((root / "dataset").rglob("*.py")):
        own = str(recipe.relative_to(root))
        if own in paths:
            continue
        with suppress(OSError):
            if recipe.stat().st_size > _MOST_RECIPE_BYTES:
                continue
            text = recipe.read_text(encoding="utf-8", errors="replace")
            found |= {path: own for path, name in wanted.items() if name in text}
    return found


def _rests(root: Path, record: Record) -> Iterator[str]:
    """What a clean that was killed has renamed aside: the content of a recorded file that is gone from its place."""
    gone: dict[str, set[str]] = {}
    for path, made in record.files.items():
        if not os.path.lexists(root / path):
            gone.setdefault(os.path.dirname(path), set()).add(made.sha256)
    for directory, hashes in gone.items():
        for rest in (root / directory).glob(f"{TRASH}*"):
            path = str(rest.relative_to(root))
            with suppress(OSError):
                if fingerprint(root, path).sha256 in hashes:
                    yield path


def _print_left(found: Cleaning) -> None:
    """Say what stays: what goes together, or stays for one reason, in one line."""
    shown: dict[str, list[str]] = {}
    for path, why in found.left:
        shown.setdefault(why, []).append(path)
    lines = []
    for why, paths in shown.items():
        lines += [(path, why) for path in paths[:_MOST_SHOWN]]
        if len(paths) > _MOST_SHOWN:
            lines.append((f"… {len(paths) - _MOST_SHOWN} more", why))
    print_list("stays:", lines)
    if any(path.startswith("result_store_dir/") for path, _ in found.left):
        say(f"`ws.purge-cache --dataset {NAME}` removes results that stay; encodes then go by hand")
    if found.is_under_way:
        print("a demo was stopped here half-way, and what it was making is not recorded: call it again, then --clean")
