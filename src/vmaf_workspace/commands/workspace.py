"""What each task does: call, print."""

# Without `from __future__ import annotations`: what they hold is read at every start.

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from vmaf_workspace.commands import snapshots as of_snapshots
from vmaf_workspace.commands.command import At, Command, DryRun, Json, Quiet, Workspace, Yes, located
from vmaf_workspace.commands.flags import (
    Flag,
    choice,
    integer,
    path,
    seconds,
    seconds_or_0,
    shell_words,
    size_bytes,
    subdirectory,
)
from vmaf_workspace.commands.question import agreed
from vmaf_workspace.contract import SCRATCH, STORES
from vmaf_workspace.errors import DONE, FAILED, RefusedError, UsageError
from vmaf_workspace.guard import is_marked
from vmaf_workspace.locate import locate
from vmaf_workspace.wording import print_path, print_warning, printable, say

_FRESH = "of what has no lock, keep what changed within this time: 15min, 1h, 2d; 0 keeps nothing"
LEFTOVERS = ("show", "fail")
Plan = Annotated[Path | None, Flag("write the plan to this file, and change nothing else", path, metavar="FILE")]
Apply = Annotated[
    Path | None, Flag("remove what the plan in this file lists, but nothing that changed since", path, metavar="FILE")
]


def where(*, workspace: Workspace = "", json: Json = False) -> int:
    """Print the workspace's path, and why there; changes nothing.

    The path goes to stdout, what decided it to stderr.
    """
    location = located(workspace)
    if json:
        from vmaf_workspace.commands import tables

        print(tables.object_json("where", workspace=str(location.path), source=location.source, reason=location.reason))
        return DONE
    print_path(str(location.path))
    say(printable(location.reason), file=sys.stderr)
    return DONE


def setup(*, workspace: Workspace = "", json: Json = False) -> int:
    """Make the eight subdirectories and our marker; files stay."""
    from vmaf_workspace import setup as _setup
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables

    location = located(workspace)
    found = [] if is_marked(location.path) else _setup.removable_subdirs(location.path)
    made = _setup.setup(location.path)
    if json:
        print(tables.object_json("setup", workspace=str(location.path), made=[str(path) for path in made]))
    elif made:
        say(tables.made_text(location.path, made))
    else:
        say(f"{wording.printable(str(location.path))} is set up already")
    if found:
        say(f"note: {', '.join(found)} held files before; a clean or a purge takes them from now on", file=sys.stderr)
    return DONE


def status(
    *,
    workspace: Workspace = "",
    stores: Annotated[bool, Flag("also the stored results by executor and dataset")] = False,
    json: Json = False,
) -> int:
    """Show what is in it, what its loss would cost, and who uses it."""
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import status as _status

    location = located(workspace)
    if location.path.exists() and not location.path.is_dir():
        raise RefusedError(f"{location.path} is a file, not a workspace; {location.reason}")
    with tables.spinner("reading the workspace"):
        found = _status.status(location.path)
        stored = _status.stored_results(location.path) if stores else None
    if json:
        print(tables.status_json(str(location.path), location.reason, found, stored))
    elif found.exists and not any(row.exists for row in found.rows) and not is_marked(location.path):
        from vmaf_workspace.setup import why_not_made

        say(printable(f"{location.path}  ({location.reason})"))
        nothing = "nothing of a workspace is in this directory"
        if (why := why_not_made(location.path)) is None:
            say(f"{nothing}; `ws.setup` makes one here")
        else:
            say("\n".join([f"{nothing}, and `ws.setup` would refuse it:", *map(printable, why.split("\n"))]))
    else:
        say(printable(f"{location.path}  ({location.reason})"))
        tables.print_status(found, location.path)
        if stored is not None:
            tables.print_stored_results(stored)
    return DONE


def clean_scratch(
    *,
    workspace: Workspace = "",
    only: Annotated[
        str, Flag("clean only this subdirectory: workdir or output", subdirectory(*SCRATCH), metavar="SUBDIR")
    ] = "",
    min_age: Annotated[float | None, Flag(_FRESH, seconds_or_0, metavar="AGE", default="1h")] = None,
    force: Annotated[bool, Flag("also remove what changed lately or is open; never a run that holds its lock")] = False,
    dry_run: DryRun = False,
    plan: Plan = None,
    apply: Apply = None,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Empty workdir/ and output/: costs nothing, live runs are kept.

    VMAF's own harness takes no lock, so what it wrote in the last hour stays. Where nothing runs any more, say
    --min-age 0.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.live.lock import MIN_AGE_S
    from vmaf_workspace.removal import candidates
    from vmaf_workspace.removal.plan import check_may_save, load_plan

    if plan:
        check_may_save(plan)
    location = located(workspace)
    if apply:
        _refuse_selection(only, force, min_age is not None)
    subdirs = (only,) if only else SCRATCH
    min_age_s = MIN_AGE_S if min_age is None else min_age
    if apply:
        found = load_plan(apply, operation=candidates.CLEAN, root=location.path, subdirs=frozenset(subdirs))
    else:
        with tables.spinner("looking for scratch"):
            found = candidates.plan_clean(location.path, only=subdirs, min_age_s=min_age_s, force=force)
    return _show_and_execute(found, dry_run=dry_run, save_to=plan, json=json, quiet=quiet)


def purge_cache(
    *,
    workspace: Workspace = "",
    store: Annotated[
        str | None, Flag(f"only this store: {' or '.join(STORES)}", choice(lambda: STORES), metavar="STORE")
    ] = None,
    executor: Annotated[
        str | None, Flag("only results of this executor, a pattern such as 'VMAF_V*'", metavar="PATTERN")
    ] = None,
    dataset: Annotated[str | None, Flag("only results of this dataset, a pattern", metavar="PATTERN")] = None,
    older_than: Annotated[
        float | None, Flag("only what was not used for this time: 12h, 30d", seconds, metavar="AGE")
    ] = None,
    max_size: Annotated[
        int | None, Flag("remove the least recently used, until the rest fits: 500M, 10G", size_bytes, metavar="SIZE")
    ] = None,
    max_files: Annotated[
        int | None, Flag("remove the least recently used, until so many files are left", integer(0), metavar="N")
    ] = None,
    with_encodes: Annotated[bool, Flag("empty encode/ as well: hours of encoding")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    plan: Plan = None,
    apply: Apply = None,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Delete cached results: costs the time to compute them again.

    All of them, or as selected; --dry-run says how long the next run would take for them. Encodes stay, unless
    --with-encodes.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.removal import candidates
    from vmaf_workspace.removal.caches import Selection
    from vmaf_workspace.removal.plan import check_may_save, load_plan

    if plan:
        check_may_save(plan)
    location = located(workspace)
    if apply:
        _refuse_selection(store, executor, dataset, older_than is not None, max_size is not None, max_files is not None)
    selection = Selection(
        store=store,
        executor=executor,
        dataset=dataset,
        older_than_s=older_than,
        max_disk_bytes=max_size,
        max_files=max_files,
        with_encodes=with_encodes,
    )
    if selection.with_encodes and selection.is_by_name:
        raise UsageError("--with-encodes takes encode/ too, which has no store, executor or dataset: name one or other")
    if apply:
        subdirs = candidates.CACHES if with_encodes else candidates.CACHES - {"encode"}
        found = load_plan(apply, operation=candidates.PURGE, root=location.path, subdirs=subdirs)
    else:
        with tables.spinner("looking at the caches"):
            found = candidates.plan_purge(location.path, selection)
    question = f"Delete {tables.plan_summary(found)}?"
    return _show_and_execute(found, dry_run=dry_run, save_to=plan, json=json, quiet=quiet, question=question, yes=yes)


def migrate(
    *,
    to: Annotated[str, Flag("where it goes: a directory that is new or empty", metavar="DIR")],
    from_: Annotated[
        str, Flag("the workspace that moves", metavar="DIR", default="as for --workspace", env="VMAF_WORKSPACE")
    ] = "",
    workspace: Annotated[str, Flag("the same as --from", metavar="DIR")] = "",
    dry_run: Annotated[bool, Flag("say what would be moved and how, change nothing")] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Move the workspace to another place or disk; loses nothing.

    To another disk it is copied and compared, and only then removed. Stopped half-way, it goes on when called again.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.migration import execution as _migrate
    from vmaf_workspace.migration.plan import plan_migration
    from vmaf_workspace.wording import print_list

    source, target = located(from_ or workspace).path, locate(to).path
    with tables.spinner("reading the workspace"):
        moved = plan_migration(source, target)
    if dry_run and not moved.was_done:
        _migrate.refuse_users(moved)
    elif not moved.was_done:
        question = f"{'Go on to move' if moved.is_begun else 'Move'} {tables.migration_summary(moved)}?"
        if not yes:
            print_list("would be left out:", moved.left_out, file=sys.stderr)
        if not yes and not agreed(question, "moved"):
            say("nothing was moved", file=sys.stderr)
            return FAILED
        with ExitStack() as bars:

            def bar(text: str) -> Callable[[int, int], None]:
                bars.close()
                return bars.enter_context(Progress(text, is_bytes=True, quiet=quiet)).update

            moved = _migrate.migrate(source, target, progress=bar)
    code = FAILED if moved.failures else DONE
    if json:
        print(tables.migration_json(moved, dry_run=dry_run, exit_code=code))
    else:
        tables.print_migration(moved, dry_run=dry_run)
    return code


def models(*, workspace: Workspace = "", at: At = "", json: Json = False) -> int:
    """Show every model, and whether it is whole and loads.

    Those that were trained here, the checkout's own, libvmaf's built-in ones and those of Tiny-AI. Changes nothing.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import models

    location = located(workspace)
    with tables.spinner("trying the models"):
        found = models.find_models(location.path, at=at)
    if json:
        print(tables.models_json(str(location.path), found))
    else:
        tables.print_models(found, location.path)
    return DONE


def doctor(*, workspace: Workspace = "", at: At = "", json: Json = False) -> int:
    """Find what is wrong, each with its remedy; changes nothing.

    It looks at the engine, at variables, the disk, models and backups. The exit code is 1 when one finding is an error.
    """
    from vmaf_workspace.commands import tables
    from vmaf_workspace.report import doctor as _doctor

    location = located(workspace)
    with tables.spinner("examining"):
        found = _doctor.examine(location, at=at)
    code = FAILED if any(finding.level is _doctor.Level.ERROR for finding in found) else DONE
    if json:
        print(tables.findings_json(str(location.path), found, code))
    else:
        tables.print_findings(found)
    return code


def run_session(
    *,
    workspace: Workspace = "",
    prove: Annotated[
        bool, Flag("run tests twice, at the default workspace and at an overridden one, and fail for what they leak")
    ] = False,
    in_place: Annotated[
        bool, Flag("with --prove: use the default one of this checkout, and no throw-away copy")
    ] = False,
    leftovers: Annotated[
        str,
        Flag(
            "with --prove, of files that are left in workdir/ and output/: show them, or fail",
            choice(lambda: LEFTOVERS),
            metavar="WORD",
            default="show",
        ),
    ] = "",
    command: Annotated[
        Sequence[str],
        Flag(
            "the command and its arguments as one text, quoted as for a shell, instead of after --",
            shell_words,
            metavar="TEXT",
        ),
    ] = (),
) -> int:
    """Run a program in the workspace, safe from every clean."""
    from vmaf_workspace.live import session

    if prove:
        from vmaf_workspace.proof.command import prove_command

        return prove_command(list(command), base=workspace, in_place=in_place, leftovers=leftovers or "show")
    if in_place or leftovers:
        raise UsageError("--in-place and --leftovers are for --prove")
    ended = session.run_in_workspace(located(workspace).path, command)
    for place in ended.elsewhere:
        print_warning(f"something was written to {place} meanwhile, which is not this workspace")
    return ended.code


COMMANDS = (
    Command("where", where, reads=True, group="look", example="--json"),
    Command("status", status, reads=True, group="look", example="--stores"),
    Command("models", models, reads=True, group="look"),
    Command("doctor", doctor, reads=True, group="look"),
    Command("clean-scratch", clean_scratch, group="clean", example="--dry-run"),
    Command("purge-cache", purge_cache, group="clean", example="--older-than 30d --max-size 10G"),
    *of_snapshots.COMMANDS,
    Command("setup", setup, group="move", example="--workspace /fast/vmaf"),
    Command("migrate", migrate, group="move", example="--to /fast/vmaf"),
    Command(
        "run",
        run_session,
        usage="%(prog)s [flags] -- PROGRAM ...",
        group="run",
        example="-- python -m vmaf.script.run_testing VMAF my_dataset.py",
    ),
)


def _refuse_selection(*given: object) -> None:
    if any(given):
        raise UsageError("--apply removes what the plan lists; a selection goes to the call that makes the plan")


def _show_and_execute(
    plan: Any,
    *,
    dry_run: bool,
    save_to: Path | None,
    json: bool,
    quiet: bool,
    question: str | None = None,
    yes: bool = False,
) -> int:
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.commands.progress import Progress
    from vmaf_workspace.removal.candidates import refuse_live_runs
    from vmaf_workspace.removal.execution import execute
    from vmaf_workspace.removal.plan import save_plan
    from vmaf_workspace.snapshot.tree import stopped_wipe

    if dry_run or save_to:
        code = FAILED if any(kept.failed for kept in plan.kept) else DONE  # as the removal itself would end
        if save_to:
            save_plan(plan, save_to)
        elif question is not None and plan.entries:
            refuse_live_runs(Path(plan.root), plan.operation.replace("-", " the ") + " of")
        if json:
            print(tables.removal_json(plan, None, code))
        else:
            tables.print_plan(plan)
            name = wording.printable(str(save_to))
            end = f"written to {name}; `--apply {name}` removes it" if save_to else "dry run: nothing was changed"
            say(f"{tables.plan_and_place(plan)}; {end}")
        return code
    if question is not None and plan.entries:
        refuse_live_runs(Path(plan.root), plan.operation.replace("-", " the ") + " of")
        if not json:
            tables.print_plan(plan)
        if not yes and not agreed(question):
            say("nothing was removed", file=sys.stderr)
            return FAILED
    with Progress("removing", is_bytes=True, quiet=quiet) as progress:
        report = execute(plan, progress=progress.update)
    code = DONE if report.is_complete else FAILED
    if json:
        print(tables.removal_json(plan, report, code))
    else:
        tables.print_report(plan, report)
    wording.print_list("stays:", stopped_wipe(Path(plan.root)), file=sys.stderr)
    return code
