"""Removes the stored results of a dataset and a quality type; the next run measures them again."""

# Without `from __future__ import annotations`, as all that holds flags.

import glob
import sys
from collections.abc import Sequence
from typing import Annotated

from vmaf_harness.model.quality_type import find_type
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script.options import Dataset
from vmaf_harness.script.options import quality_type as as_quality_type
from vmaf_harness.script.stop import stoppable
from vmaf_workspace.commands import tables
from vmaf_workspace.commands.command import Command, Workspace, located
from vmaf_workspace.commands.flags import Flag
from vmaf_workspace.commands.parser import script
from vmaf_workspace.contract import FILE_RESULT_STORE
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_purge, refuse_live_runs
from vmaf_workspace.removal.execution import execute

_WHOSE = "whose results go, of every version and model: VMAF, PSNR, SSIM, CAMBI, …"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code: 0 done or nothing to do, 1 failed in part, 2 usage, 3 refused, 4 in use."""
    return script(Command("run_cleaning_cache", run, example="VMAF my_dataset.py"), argv, about=__doc__ or "")


@stoppable()
def run(
    *,
    quality_type: Annotated[str, Flag(_WHOSE, as_quality_type, positional=1)],
    dataset: Dataset,
    workspace: Workspace = "",
) -> int:
    """As `main`, with values that were read."""
    root = located(workspace).path
    recipe = read_recipe(dataset, search=[root / "dataset"])
    found = find_type(quality_type)
    executors = f"{quality_type}_V*" if found.feature else found.stored_as  # every version and model
    selection = Selection(store=FILE_RESULT_STORE, executor=executors, dataset=glob.escape(recipe.name))
    plan = plan_purge(root, selection)
    if plan.entries:
        refuse_live_runs(root, "clean the cache of")
    tables.print_plan(plan)
    report = execute(plan)
    tables.print_report(plan, report)
    return DONE if report.is_complete else FAILED


if __name__ == "__main__":
    sys.exit(main())
