"""What each task does: parse, call, print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vmaf_workspace.commands import flags
from vmaf_workspace.commands import snapshots as of_snapshots
from vmaf_workspace.commands.command import Command, located
from vmaf_workspace.commands.question import agreed
from vmaf_workspace.contract import SCRATCH, STORES
from vmaf_workspace.errors import DONE, FAILED, RefusedError, UsageError
from vmaf_workspace.guard import is_marked
from vmaf_workspace.locate import locate
from vmaf_workspace.wording import print_path, printable

MIN_AGE = "1h"  # a harness without locks writes more often than this while it runs


def where(*, workspace: str = "", json: bool = False) -> int:
    """Print the workspace's path, and on stderr what decided it; changes nothing."""
    location = located(workspace)
    if json:
        from vmaf_workspace.commands import tables

        print(tables.object_json("where", workspace=str(location.path), source=location.source, reason=location.reason))
        return DONE
    print_path(str(location.path))
    print(printable(location.reason), file=sys.stderr)
    return DONE


def setup(*, workspace: str = "", json: bool = False) -> int:
    """Make the eight subdirectories, their placeholders and our marker; existing files stay as they are."""
    from vmaf_workspace import setup as _setup
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables

    location = located(workspace)
    found = [] if is_marked(location.path) else _setup.removable(location.path)
    made = _setup.setup(location.path)
    if json:
        print(tables.object_json("setup", workspace=str(location.path), made=[str(path) for path in made]))
    elif made:
        print(f"made {wording.count_text(len(made), 'entry')} in {wording.printable(str(location.path))}")
    else:
        print(f"{wording.printable(str(location.path))} is set up already")
    if found:
        print(f"note: {', '.join(found)} held files before; a clean or a purge takes them from now on", file=sys.stderr)
    return DONE


def status(*, workspace: str = "", stores: bool = False, json: bool = False) -> int:
    """Show what is in the workspace, what its loss would cost, and who uses it; changes nothing."""
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import status as _status

    location = located(workspace)
    if location.path.exists() and not location.path.is_dir():
        raise RefusedError(f"{location.path} is a file, not a workspace; {location.reason}")
    with tables.spinner("reading the workspace"):
        found = _status.status(location.path, meanwhile=None if json else tables.load_table)
        stored = _status.stored(location.path) if stores else None
    if json:
        print(tables.status_json(str(location.path), location.reason, found, stored))
    else:
        print(f"{wording.printable(str(location.path))}  ({wording.printable(location.reason)})")
        tables.status_lines(found)
        if stored is not None:
            tables.stored_lines(stored)
    return DONE


def clean_scratch(
    *,
    workspace: str = "",
    only: str = "",
    min_age: str = MIN_AGE,
    force: bool = False,
    dry_run: bool = False,
    plan: str = "",
    apply: str = "",
    json: bool = False,
) -> int:
    """Empty workdir/ and output/: costs nothing, live runs are kept."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.removal import candidates
    from vmaf_workspace.removal.plan import load

    location = located(workspace)
    if apply and (only or force or min_age != MIN_AGE):
        raise UsageError("--apply removes what the plan lists; a selection goes to the call that makes the plan")
    subdirs = (only.rstrip("/"),) if only else SCRATCH
    if not set(subdirs) <= set(SCRATCH):
        raise UsageError(f"--only: {only!r} is not scratch; expected {' or '.join(SCRATCH)}")
    min_age_s = 0.0 if min_age.strip() == "0" else flags.seconds(min_age, "--min-age")
    if apply:
        found = load(Path(apply), operation=candidates.CLEAN, root=location.path, subdirs=frozenset(subdirs))
    else:
        with tables.spinner("looking for scratch"):
            found = candidates.plan_clean(location.path, only=subdirs, min_age_s=min_age_s, force=force)
    return _show_and_execute(found, dry_run=dry_run, save_to=plan, json=json)


def purge_cache(
    *,
    workspace: str = "",
    store: str = "",
    executor: str = "",
    dataset: str = "",
    older_than: str = "",
    max_size: str = "",
    max_files: str = "",
    with_encodes: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    plan: str = "",
    apply: str = "",
    json: bool = False,
) -> int:
    """Delete cached results (all, or as selected): costs time, the next run computes them again."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.removal import candidates
    from vmaf_workspace.removal.plan import load

    location = located(workspace)
    if apply and (store or executor or dataset or older_than or max_size or max_files):
        raise UsageError("--apply removes what the plan lists; a selection goes to the call that makes the plan")
    if store and store not in STORES:
        raise UsageError(f"--store: expected {' or '.join(STORES)}, got {store!r}")
    selection = candidates.Selection(
        store=store or None,
        executor=executor or None,
        dataset=dataset or None,
        older_than_s=flags.seconds(older_than, "--older-than") if older_than else None,
        max_disk_bytes=flags.size_bytes(max_size, "--max-size") if max_size else None,
        max_files=flags.count(max_files, "--max-files", of="files") if max_files else None,
        with_encodes=with_encodes,
    )
    if selection.with_encodes and selection.is_by_name:
        raise UsageError("--with-encodes takes encode/ too, which has no store, executor or dataset: name one or other")
    if apply:
        subdirs = candidates.CACHES if with_encodes else candidates.CACHES - {"encode"}
        found = load(Path(apply), operation=candidates.PURGE, root=location.path, subdirs=subdirs)
    else:
        with tables.spinner("looking at the caches"):
            found = candidates.plan_purge(location.path, selection)
    question = f"Delete {tables.plan_summary(found)}?"
    return _show_and_execute(found, dry_run=dry_run, save_to=plan, json=json, question=question, yes=yes)


def migrate(
    *, to: str = "", from_: str = "", workspace: str = "", dry_run: bool = False, yes: bool = False, json: bool = False
) -> int:
    """Move the whole workspace to another place or disk: copied, compared, then removed; nothing is lost."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.migration import execution as _migrate
    from vmaf_workspace.migration.plan import plan_migration
    from vmaf_workspace.wording import listing

    if not to.strip():
        raise UsageError("--to is missing; name a directory that is new or empty")
    source, target = located(from_ or workspace).path, locate(to).path
    with tables.spinner("reading the workspace"):
        moved = plan_migration(source, target)
    if dry_run and not moved.was_done:
        _migrate.refuse_users(moved)
    elif not moved.was_done:
        question = f"{'Go on to move' if moved.is_begun else 'Move'} {tables.moved_summary(moved)}?"
        if not yes:
            listing("would be left out:", moved.left_out, file=sys.stderr)
        if not yes and not agreed(question, "moved"):
            print("nothing was moved", file=sys.stderr)
            return FAILED
        with ExitStack() as bars:

            def bar(text: str) -> Callable[[int, int], None]:
                bars.close()
                return bars.enter_context(tables.progress(text))

            moved = _migrate.migrate(source, target, progress=bar)
    code = FAILED if moved.failures else DONE
    if json:
        print(tables.moved_json(moved, dry_run=dry_run, exit_code=code))
    else:
        tables.moved_lines(moved, dry_run=dry_run)
    return code


def models(*, workspace: str = "", at: str = "", json: bool = False) -> int:
    """Show every model: trained, shipped, built in and Tiny-AI; whether it is whole and loads; changes nothing."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import models

    location = located(workspace)
    with tables.spinner("trying the models"):
        found = models.models(location.path, at=at)
    if json:
        print(tables.models_json(str(location.path), found))
    else:
        tables.models_lines(found)
    return DONE


def doctor(*, workspace: str = "", at: str = "", json: bool = False) -> int:
    """Look for what is wrong with engine, variables, disk, models, backups; each with its remedy; changes nothing."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import doctor as _doctor

    location = located(workspace)
    with tables.spinner("examining"):
        found = _doctor.examine(location, at=at)
    code = FAILED if any(finding.level is _doctor.Level.ERROR for finding in found) else DONE
    if json:
        print(tables.findings_json(str(location.path), found, code))
    else:
        tables.findings_lines(found)
    return code


def run_session(*, workspace: str = "", command: str = "") -> int:
    """Run the command after -- in the workspace: it writes there, and no clean takes what it makes."""
    from vmaf_workspace.live import session

    ended = session.run_in(located(workspace).path, shlex.split(command))
    for place in ended.elsewhere:
        print(f"warning: something was written to {place} meanwhile, which is not this workspace", file=sys.stderr)
    return ended.code


COMMANDS = (
    Command("where", where, reads=True),
    Command("setup", setup),
    Command(
        "status",
        status,
        {"stores": "also the stored results by executor and dataset"},
        reads=True,
    ),
    Command(
        "clean-scratch",
        clean_scratch,
        {
            "only": "clean this subdirectory alone: workdir or output",
            "min_age": "where no lock is seen, keep what changed within this time: 15min, 1h, 2d; 0 keeps nothing",
            "force": "also take what is fresh or held open; never what holds a lock",
        },
    ),
    Command(
        "purge-cache",
        purge_cache,
        {
            "store": f"only this store: {' or '.join(STORES)}",
            "executor": "only results of this executor, a pattern such as 'VMAF_V*'",
            "dataset": "only results of this dataset, a pattern",
            "older_than": "what was not used for this time: 12h, 30d",
            "max_size": "least recently used first, until the rest fits: 500M, 10G",
            "max_files": "least recently used first, until so many files are left",
            "with_encodes": "empty encode/ as well: hours of encoding",
        },
    ),
    *of_snapshots.COMMANDS,
    Command(
        "migrate",
        migrate,
        {
            "to": "where it goes: a directory that is new or empty",
            "from_": "the workspace that moves, instead of VMAF_WORKSPACE or the checkout's",
            "workspace": "the same as --from",
            "dry_run": "say what would be moved and how, change nothing",
        },
    ),
    Command("models", models, reads=True),
    Command("doctor", doctor, reads=True),
    Command(
        "run",
        run_session,
        {"command": "the command and its arguments as one text, quoted as for a shell, instead of after --"},
        several=frozenset({"command"}),
    ),
)


def _show_and_execute(
    plan: Any, *, dry_run: bool, save_to: str, json: bool, question: str | None = None, yes: bool = False
) -> int:
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.removal.candidates import refuse_live_runs
    from vmaf_workspace.removal.execution import execute
    from vmaf_workspace.removal.plan import save
    from vmaf_workspace.snapshot.tree import stopped_wipe

    if dry_run or save_to:
        code = FAILED if any(kept.failed for kept in plan.kept) else DONE  # as the removal itself would end
        if save_to:
            save(plan, Path(save_to))
        elif question is not None and plan.entries:
            refuse_live_runs(Path(plan.root), plan.operation.replace("-", " the ") + " of")
        if json:
            print(tables.removal_json(plan, None, code))
        else:
            tables.plan_lines(plan)
            name = wording.printable(save_to)
            end = f"written to {name}; `--apply {name}` removes it" if save_to else "dry run: nothing was changed"
            print(f"{tables.plan_summary(plan)} in {wording.printable(plan.root)}; {end}")
        return code
    if question is not None and plan.entries:
        refuse_live_runs(Path(plan.root), plan.operation.replace("-", " the ") + " of")
        if not json:
            tables.plan_lines(plan)
        if not yes and not agreed(question):
            print("nothing was removed", file=sys.stderr)
            return FAILED
    with tables.progress("removing") as progress:
        report = execute(plan, progress=progress)
    code = DONE if report.is_complete else FAILED
    if json:
        print(tables.removal_json(plan, report, code))
    else:
        tables.report_lines(plan, report)
    wording.listing("stays:", stopped_wipe(Path(plan.root)), file=sys.stderr)
    return code
