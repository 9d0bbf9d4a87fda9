"""Removes the stored results of a dataset and a quality type; the next run measures them again."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from vmaf_harness.model.quality_type import QUALITY_TYPES
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script.exit_code import exit_code
from vmaf_workspace.cli import given
from vmaf_workspace.commands import tables
from vmaf_workspace.contract import FILE_RESULT_STORE
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.locate import locate
from vmaf_workspace.removal.candidates import Selection, plan_purge, refuse_live_runs
from vmaf_workspace.removal.execution import execute


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done or nothing to do, 1 failed in part, 2 usage, 3 refused, 4 in use."""
    options = _parsed(argv)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    location = locate(options.workspace)
    for warning in location.warnings:
        print(warning, file=sys.stderr)
    recipe = read_recipe(Path(options.dataset), search=[location.path / "dataset"])
    executors = f"{options.quality_type}_V*"  # every version and model
    selection = Selection(store=FILE_RESULT_STORE, executor=executors, dataset=glob.escape(recipe.name))
    plan = plan_purge(location.path, selection)
    if plan.entries:
        refuse_live_runs(location.path, "clean the cache of")
    tables.print_plan(plan)
    report = execute(plan)
    tables.print_report(plan, report)
    return DONE if report.is_complete else FAILED


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_cleaning_cache", description=__doc__, allow_abbrev=False)
    parser.add_argument("quality_type", choices=QUALITY_TYPES, help="whose results go, of every version and model")
    parser.add_argument("dataset", help="the recipe, a *_dataset.py")
    parser.add_argument("--workspace", type=given, metavar="PATH", help="instead of VMAF_WORKSPACE or the checkout's")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
