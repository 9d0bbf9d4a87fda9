"""Removes the stored results of a dataset and a quality type; the next run measures them again."""

# Without `from __future__ import annotations`, as all that holds flags.

import glob
import sys
from typing import Annotated

from vmaf_harness.model.quality_type import find_type
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script.options import Dataset
from vmaf_harness.script.options import quality_type as as_quality_type
from vmaf_harness.script.stop import main_of, stoppable
from vmaf_workspace.commands import tables
from vmaf_workspace.commands.command import Workspace, located
from vmaf_workspace.commands.flags import Flag
from vmaf_workspace.contract import FILE_RESULT_STORE
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_purge, refuse_live_runs
from vmaf_workspace.removal.execution import execute

_WHOSE = "whose results go, of every version and model: VMAF, PSNR, SSIM, CAMBI, …"


@stoppable()
def run(
    *,
    quality_type: Annotated[str, Flag(_WHOSE, as_quality_type, positional=1)],
    dataset: Dataset,
    workspace: Workspace = "",
) -> int:
    """The exit code: 0 done or nothing to do, 1 failed in part, 2 usage, 3 refused, 4 in use."""
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


main = main_of("run_cleaning_cache", run, __doc__, example="VMAF my_dataset.py")

if __name__ == "__main__":
    sys.exit(main())
