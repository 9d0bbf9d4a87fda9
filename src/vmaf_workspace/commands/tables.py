"""What is said of each result, as tables, lines and JSON; only this and `snapshot_tables` say it.

Rich is imported where something turns while a person waits.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_workspace.commands.table import print_table as print_table
from vmaf_workspace.contract import CACHE_TAG, MARKER, PLACEHOLDER, SUBDIRS, executor_and_dataset
from vmaf_workspace.groups import group_of
from vmaf_workspace.wording import (
    ERROR,
    LIVE,
    WARNING,
    age_text,
    amount_text,
    as_typed,
    broken,
    bytes_text,
    coloured,
    command_name,
    count_text,
    duration_text,
    number_text,
    print_list,
    print_path,
    printable,
    say,
)

if TYPE_CHECKING:
    from vmaf_workspace.migration.plan import Migration
    from vmaf_workspace.removal.entries import Entries, Entry
    from vmaf_workspace.removal.execution import Report
    from vmaf_workspace.removal.plan import Kept, Plan
    from vmaf_workspace.report.doctor import Finding
    from vmaf_workspace.report.models import Model
    from vmaf_workspace.report.status import Status, StoredResults

VERSION = 1  # of the JSON objects
ROWS = 12  # of a plan: with its header, a summary and three questions, it is all on a screen of 24 lines
_FOR_PEOPLE = re.compile(r'("(?:error|found|problem|remedy|why|why_not)": )("(?:[^"\\]|\\.)*")')  # a key and its text
COSTLIEST = ("model", "checkpoints_dir", "model_param")  # what is lost by a wipe, the most work first


def object_json(task: str, **fields: Any) -> str:
    """The one object that `--json` prints; what is for people in it names commands as they are typed."""
    text = json.dumps({"version": VERSION, "task": task, **fields})
    return _FOR_PEOPLE.sub(lambda found: found[1] + json.dumps(as_typed(json.loads(found[2]))), text)


def print_json(task: str, **fields: Any) -> None:
    """Print that object."""
    print(object_json(task, **fields))


def pairs_json(pairs: Iterable[tuple[str, str]], name: str = "path", value: str = "why") -> list[dict[str, str]]:
    """Rows of two fields."""
    return [{name: one, value: other} for one, other in pairs]


def usage_json(files: int, apparent_bytes: int, disk_bytes: int) -> dict[str, int]:
    """The fields that every size has."""
    return {"files": files, "apparent_bytes": apparent_bytes, "disk_bytes": disk_bytes}


def status_json(root: str, reason: str, status: Status, stored: Sequence[StoredResults] | None = None) -> str:
    """`ws.status --json`; *stored* with `--stores`."""
    rows = [
        {
            "name": row.subdir.name,
            "exists": row.exists,
            **usage_json(row.usage.files, row.usage.apparent_bytes, row.usage.disk_bytes),
            "newest_s": row.usage.newest_ns / 1e9 if row.exists else None,
            "loss": row.subdir.loss.value,
            "removed_by": row.subdir.removed_by,
            "backed_up": row.subdir.backed_up,
            "target": row.target,
        }
        for row in status.rows
    ]
    total = status.total
    return object_json(
        "status",
        workspace=root,
        reason=reason,
        exists=status.exists,
        subdirs=rows,
        total=usage_json(total.files, total.apparent_bytes, total.disk_bytes),
        free_bytes=status.free_bytes,
        free_inodes=status.free_inodes,
        live=[kept_json(kept) for kept in status.live],
        stopped=pairs_json(status.stopped),
        unreadable=pairs_json(total.problems, value="problem"),
        **({} if stored is None else {"stores": [_stored_json(each) for each in stored]}),
    )


def _stored_json(stored: StoredResults) -> dict[str, Any]:
    usage = stored.usage
    return {
        "store": stored.store,
        "executor": stored.executor,
        "dataset": stored.dataset,
        **usage_json(usage.files, usage.apparent_bytes, usage.disk_bytes),
        "newest_s": usage.newest_ns / 1e9,
        "theirs": stored.theirs,
        "older": stored.older,
    }


def print_stored_results(stored: Sequence[StoredResults]) -> None:
    """Print what is stored by executor and dataset."""
    if not stored:
        say("no stored results")
        return
    rows = [
        (
            printable(each.store),
            printable(each.executor),
            printable(each.dataset),
            number_text(each.usage.files),
            bytes_text(each.usage.disk_bytes),
            age_text(each.usage.newest_ns),
            "; ".join(
                [
                    *([f"{each.theirs} by VMAF's own harness"] if each.theirs else []),
                    *([f"{each.older} of an older rule, not used"] if each.older else []),
                ]
            ),
        )
        for each in stored
    ]
    print_table(("|STORE", "|EXECUTOR", "|DATASET", ">FILES", ">SIZE", ">NEWEST", ""), rows)


def kept_json(kept: Kept) -> dict[str, Any]:
    """One thing that stays."""
    return {"path": kept.path, "why": kept.why, "live": kept.live, "locked": kept.locked}


def removal_json(plan: Plan, report: Report | None, exit_code: int) -> str:
    """What a task that removes would do (*report* None) or did."""
    kept = plan.kept if report is None else report.kept
    fields: dict[str, Any] = {
        "workspace": plan.root,
        "dry_run": report is None,
        "planned": usage_json(plan.entries.files, plan.entries.apparent_bytes, plan.entries.disk_bytes)
        | {"entries": len(plan.entries)},
        "entries": [
            {"path": e.path, "why": e.why, **usage_json(e.files, e.apparent_bytes, e.disk_bytes)} for e in plan.entries
        ],
        "kept": [kept_json(entry) for entry in kept],
        "exit_code": exit_code,
    }
    if plan.entries.cost_s:
        fields["extraction_s"] = round(plan.entries.cost_s, 3)
        fields["is_extraction_s_sampled"] = plan.is_cost_sampled
    if report is not None:
        fields["removed"] = usage_json(report.files, report.freed_apparent_bytes, report.freed_disk_bytes)
        fields["removed"]["entries"] = report.removed
        fields["changed"] = pairs_json(report.changed)
        fields["failures"] = pairs_json(report.failures, value="problem")
    return object_json(plan.operation, **fields)


def made_text(root: Path, made: Sequence[Path]) -> str:
    """One line: what `ws.setup` made in *root*, of which people know the subdirectories; the rest is small files."""
    there = printable(str(root))
    subdirs = [f"{subdir.name}/" for subdir in SUBDIRS if root / subdir.name in made]
    names = " and ".join([", ".join(subdirs[:-1]), subdirs[-1]] if len(subdirs) > 1 else subdirs)
    if root / MARKER in made:
        how = f"with {names}" if subdirs else "of the subdirectories that were there"
        return f"made a workspace in {there}, {how}"
    return f"made {names or 'what was missing of our small files'} in {there}"


def print_status(status: Status, root: Path) -> None:
    """Print the table of `ws.status` of the workspace *root*, and what stands out below it.

    Placeholders, tags and our marker are no files of anybody's, and are not counted.
    """
    rows = []
    for row in status.rows:
        files = row.usage.files - len(_placeholders(root / row.subdir.name))
        task = command_name(row.subdir.removed_by) if row.subdir.removed_by else "no task"
        rows.append(
            (
                f"{row.subdir.name}/" + (f"\n-> {printable(row.target)}" if row.target else ""),
                number_text(files) if row.exists else "-",
                bytes_text(row.usage.disk_bytes) if files > 0 else "-",
                duration_text(max(time.time() - row.usage.newest_ns / 1e9, 0.0)) if files > 0 else "-",
                re.split(r" again|: not", row.subdir.costs)[0],
                task.replace(" --", "\n--") if sys.stdout.isatty() else task,
            )
        )
    costs = "ITS LOSS\nCOSTS" if sys.stdout.isatty() else "ITS LOSS COSTS"  # in 80 columns, of any size
    total = status.total
    ours = sum(len(_placeholders(place)) for place in (root, *(root / row.subdir.name for row in status.rows)))
    ours += sum(len(files) for _, _, files in os.walk(root / MARKER))
    size = bytes_text(total.disk_bytes)
    rows.append(("total", number_text(max(total.files - ours, 0)), size, "", "", ""))
    print_table(("|DIRECTORY", ">FILES", ">SIZE", ">AGE", f"|{costs}", "|EMPTIED BY"), rows, total=True)
    say(f"free: {bytes_text(status.free_bytes)}, {count_text(status.free_inodes, 'inode')}")
    _print_live(status.live, kept="")
    print_list("no models:", status.stopped, colour=WARNING)
    print_list("cannot be read, so not counted:", total.problems)
    if not status.exists:
        say("(not there yet: a run, or `ws.setup`, makes it)")


def _placeholders(directory: Path) -> list[str]:
    """Which of our small files lie in *directory*."""
    return [name for name in (PLACEHOLDER, CACHE_TAG) if os.path.isfile(directory / name)]


def print_plan(plan: Plan) -> None:
    """Print what would go and what stays, and why: a row a model, run or dataset, what costs most first."""
    if plan.operation in ("clean-scratch", "wipe-models"):
        groups = plan.entries.grouped(_group_of)
    else:
        groups = plan.entries.grouped_by_place(_results_of)
    order = sorted(groups.items(), key=lambda group: (*_cost(group[1]), group[0]))
    shown = order if len(order) <= ROWS else order[: ROWS - 1]
    about = "about " if plan.is_cost_sampled else ""
    rows = [_row(printable(name), [entries], about) for name, entries in shown]
    if rest := [entries for _, entries in order[len(shown) :]]:
        rows.append((*_row(f"… {len(rest)} more", rest, about)[:3], "--json lists them all"))
    reasons = plan.entries.reasons
    if len(reasons) == 1 and not plan.entries.cost_s:  # said once, it leaves the names their room
        say(f"{', '.join(reasons)}:")
        print_table(("|PATH", ">FILES", ">SIZE"), [row[:3] for row in rows])
    elif rows:
        print_table(("|PATH", ">FILES", ">SIZE", "WHY"), rows)
    _print_kept(plan.kept)


def _results_of(place: str) -> str:
    """Whose results are in the directory *place* of a cache: an executor's of a dataset."""
    subdir, *rest = place.split("/")
    whose = executor_and_dataset(rest[1:]) if subdir == "result_store_dir" else None
    return f"{subdir}/{rest[0]}/{'/'.join(whose)}/" if whose else place


def _group_of(entry: Entry) -> str:
    """What an entry is part of, as people think: a model, a run of training, a run."""
    subdir, *rest = entry.path.split("/")
    if subdir == "checkpoints_dir" and len(rest) > 1:
        return f"{subdir}/{rest[0]}/"
    return entry.path if entry.is_directory else group_of(entry.path)


def _cost(entries: Entries) -> tuple[int, float, int]:
    """A key by which what costs most to have again comes first: models, then what was trained half, then sizes."""
    subdir = entries[0].path.split("/")[0]
    rank = COSTLIEST.index(subdir) if subdir in COSTLIEST else len(COSTLIEST)
    return rank, -entries.cost_s, -entries.disk_bytes


def _row(name: str, groups: Sequence[Entries], about: str) -> tuple[str, str, str, str]:
    cost_s = sum(entries.cost_s for entries in groups)
    why = groups[0][0].why + (f", in {about}{duration_text(cost_s)}" if cost_s else "")
    files = number_text(sum(entries.files for entries in groups))
    return name, files, bytes_text(sum(entries.disk_bytes for entries in groups)), why


def plan_summary(plan: Plan) -> str:
    """One line: what a plan takes."""
    if not plan.entries:
        return "nothing to remove"
    entries = f"{count_text(len(plan.entries), 'entry')}, " if plan.entries.files != len(plan.entries) else ""
    about = "about " if plan.is_cost_sampled else ""
    cost = f", {about}{duration_text(plan.entries.cost_s)} to compute again" if plan.entries.cost_s else ""
    return f"{entries}{count_text(plan.entries.files, 'file')}, {bytes_text(plan.entries.disk_bytes)}{cost}"


def plan_and_place(plan: Plan) -> str:
    """One line: what a plan takes, and of which workspace; one that does not exist is told from one that is clean."""
    if not os.path.lexists(plan.root):
        return f"{printable(plan.root)} does not exist; nothing to remove"
    return f"{plan_summary(plan)} in {printable(plan.root)}"


def print_report(plan: Plan, report: Report) -> None:
    """Print what was done, what stayed and why, and what failed."""
    if report.removed or report.files:
        what = f"{count_text(report.removed, 'entry')}, {count_text(report.files, 'file')}"
        say(f"removed {what}; {bytes_text(report.freed_disk_bytes)} freed in {printable(plan.root)}")
    elif not plan.entries:
        say(plan_and_place(plan))
    else:
        say(f"removed nothing in {printable(plan.root)}")
    _print_kept(report.kept)
    print_list("left, because changed since the plan:", report.changed)
    print_list("could not be removed:", report.failures, file=sys.stderr, colour=ERROR)


def migration_summary(moved: Migration) -> str:
    """One line: what moves from where to where, and how."""
    how = "copied, compared, then removed" if moved.copied else "renamed"
    what = f"{amount_text(moved.files, 'file', moved.disk_bytes)}"
    return f"{what}, from {printable(str(moved.source))} to {printable(str(moved.target))} ({how})"


def migration_json(moved: Migration, *, dry_run: bool, exit_code: int) -> str:
    """`ws.migrate --json`."""
    return object_json(
        "migrate",
        source=str(moved.source),
        target=str(moved.target),
        dry_run=dry_run,
        copied=moved.copied,
        **usage_json(moved.files, moved.apparent_bytes, moved.disk_bytes),
        left_out=pairs_json(moved.left_out),
        failures=pairs_json(moved.failures, value="problem"),
        was_done=moved.was_done,
        exit_code=exit_code,
    )


def print_migration(moved: Migration, *, dry_run: bool) -> None:
    """Print what a migration did, or would do, and on stdout's last line the variable to set."""
    if moved.was_done:
        say(f"{printable(str(moved.source))} was moved to {printable(str(moved.target))} already")
    else:
        say(f"{'would move' if dry_run else 'moved'} {migration_summary(moved)}")
    print_list("would be left out:" if dry_run else "left out:", moved.left_out, file=sys.stderr)
    print_list("the workspace moved, but its old place could not be removed:", moved.failures, file=sys.stderr)
    if not dry_run:
        print_path(f"export VMAF_WORKSPACE={shlex.quote(str(moved.target))}")


def models_json(root: str, models: Sequence[Model]) -> str:
    """`ws.models --json`."""
    return object_json("models", workspace=root, models=[asdict(model) for model in models])


def print_models(models: Sequence[Model], root: Path) -> None:
    """Print the table of `ws.models` of the workspace *root*, and below it what is wrong.

    What was trained here has a line a model, what a checkout ships a line a family.
    """
    if not models:
        say("no model here: none in model/, no checkout, none that libvmaf loads; `ws.doctor` tries the engine")
        return
    print(printable(str(root)))
    below = f"{root}/"
    families: dict[str, list[Model]] = {}
    for model in models:
        if model.files:
            own = f"{model.surface}:{_family(model.name) if model.surface != 'trained' else model.name}"
            families.setdefault(own, []).append(model)
    if rows := [_models_row(of) for of in families.values()]:
        names = ("TRAINING\nSROCC", "BACKED\nUP") if sys.stdout.isatty() else ("TRAINING SROCC", "BACKED UP")
        print_table(("|MODEL", f">{names[0]}", ">SIZE", "|LIBVMAF", f"|{names[1]}", "ABOUT"), rows)
    built_in = [model.name for model in models if not model.files and model.in_libvmaf]
    if built_in:
        say(f"built into libvmaf: {', '.join(built_in)}")
    wrong: dict[str, list[str]] = {}
    for model in models:
        missing = f"lacks {', '.join(model.missing)}" if model.missing else ""
        unloaded = model.why_not.replace("\n", "; ") if model.why_not and model.why_not != model.problem else ""
        unloaded = f"not loaded by libvmaf: {unloaded}" if unloaded else ""
        if why := "; ".join(text for text in (missing, model.problem or "", unloaded) if text):
            wrong.setdefault(why.replace(below, ""), []).append(model.name)
    print_list("not whole, or not loaded:", [(", ".join(names), why) for why, names in wrong.items()], colour=WARNING)
    noted: dict[str, list[str]] = {}
    for model in models:
        if model.note:
            noted.setdefault(model.note, []).append(model.name)
    print_list("to know:", [(", ".join(names), note) for note, names in noted.items()])


_VERSION = re.compile(r"_?v\d.*", re.DOTALL)


def _family(name: str) -> str:
    """A name without its version and what comes after: `vmaf_float` of `vmaf_float_v0.6.1neg`."""
    directory, slash, own = name.rpartition("/")
    return f"{directory}{slash}{_VERSION.sub('', own) or own}"


def _models_row(models: Sequence[Model]) -> tuple[str, str, str, str, str, str]:
    """The row of one model, or of a family."""
    first = models[0]

    def answer(values: list[bool | None]) -> str:
        if len(set(values)) > 1:
            return f"{values.count(True)} of {len(values)}"
        return "?" if values[0] is None else "yes" if values[0] else "no"

    name, about = first.name, _about(first)
    if len(models) > 1:
        name = f"{_family(first.name)} ({len(models)})"
        versions = [model.name.removeprefix(_family(first.name)).lstrip("_") for model in models]
        bad = sum(bool(model.missing or model.problem) for model in models)
        about = f"{first.surface}: {f'{bad} of {len(models)} broken' if bad else 'all whole'}"
        if not sys.stdout.isatty():  # there is room
            about += f"; {', '.join(versions)}"
    return (
        printable(name),
        "-" if first.srocc is None or len(models) > 1 else f"{first.srocc:.4f}",
        bytes_text(sum(model.disk_bytes for model in models)),
        "-" if first.surface == "tiny" else answer([model.in_libvmaf for model in models]),
        answer([first.in_snapshot]) if first.surface == "trained" else "-",
        printable(about),
    )


def _about(model: Model) -> str:
    """Where it is, of what kind, whether its files are all there, when it was trained and on what."""
    words = [f"{model.surface}:"]
    if model.kind:
        words.append(model.kind + (f" × {model.members}" if (model.members or 1) > 1 else "") + ",")
    if model.features is not None:
        words.append(f"{count_text(len(model.features), 'feature')},")
    words.append(f"lacks {len(model.missing)}" if model.missing else "broken" if model.problem else "whole")
    if model.made_at:
        dataset = f" from {model.dataset}" if model.dataset else ""
        labels = f", labels: scores of {model.label_source}, no opinions" if model.label_source else ""
        words.append(f"(made {model.made_at[:10]}{dataset}{labels})")
    return " ".join(words)


def findings_json(root: str, findings: Sequence[Finding], exit_code: int) -> str:
    """`ws.doctor --json`."""
    return object_json(
        "doctor", workspace=root, findings=[asdict(finding) for finding in findings], exit_code=exit_code
    )


def print_findings(findings: Sequence[Finding]) -> None:
    """Print each finding, the worst last, where a person looks first; its remedy below it."""
    order = ("ok", "warning", "error")
    for finding in sorted(findings, key=lambda finding: order.index(finding.level)):
        what = "\n    ".join(printable(line) for line in finding.found.split("\n"))
        level = f"{finding.level:<8}"
        colour = {"warning": WARNING, "error": ERROR}.get(finding.level)
        text = broken(f"{level} {printable(finding.about)}: {what}", sys.stdout, "    ")
        print((coloured(level, colour, sys.stdout) if colour else level) + text[len(level) :])
        if finding.remedy:
            print(broken(f"         -> {printable(finding.remedy)}", sys.stdout, " " * 12))
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    say(f"{count_text(errors, 'error')}, {count_text(warnings, 'warning')}")


def _print_kept(kept: Sequence[Kept]) -> None:
    _print_live(kept, kept="kept, ")
    print_list(
        "cannot be removed:",
        [(entry.path, entry.why) for entry in kept if not entry.live],
        file=sys.stderr,
        colour=ERROR,
    )


def _print_live(entries: Sequence[Kept], *, kept: str) -> None:
    print_list(f"{kept}in use:", [(entry.path, entry.why) for entry in entries if entry.locked], colour=LIVE)
    perhaps = [(entry.path, entry.why) for entry in entries if entry.live and not entry.locked]
    print_list(f"{kept}perhaps in use (`ws.clean-scratch --force` takes them):", perhaps, colour=LIVE)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Say on a terminal that something is being read; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
