"""Extracts the features of a dataset into the result store, and writes them down as a table."""

from __future__ import annotations

import sys
from dataclasses import replace

from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.assets import files_named, read_assets
from vmaf_harness.script.options import Extraction
from vmaf_harness.script.progress import warn
from vmaf_harness.script.spreading import cluster_of
from vmaf_harness.script.stop import main_of, measured_stays, stoppable
from vmaf_harness.script.training_inputs import extract_part, extracted_of, is_partial
from vmaf_harness.training.feature_table import write_table
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.live.lock import Run


@stoppable(measured_stays)
def run(options: Extraction) -> int:
    """The exit code: 0 done, 1 failed, even in part, 2 usage, 130 after Ctrl-C."""
    root = located(options.workspace).path
    with files_named(options, root):
        features = replace(read_feature_param(options.feature_param), subsample=options.subsample)
        for warning in features.warnings:
            warn(warning)
        recipe, assets = read_assets(options, root)
    with Run(root) as run, cluster_of(options, run) as cluster:
        if options.shard is not None:
            is_whole = extract_part(assets, features, run, options, cluster)
            return DONE if is_whole and not recipe.missing else FAILED
        extracted = extracted_of(assets, features, run, options, cluster)
        for path in write_table(extracted, run.output()):
            print(printable_lines(path))
        cached = sum(outcome.cached for outcome in extracted.outcomes)
        of_frames = f" of one frame in {features.subsample}" if features.subsample > 1 else ""
        stored = f"{len(extracted.assets)} assets, {cached} of them stored before"
        warn(f"{stored}; {len(features.atoms)} features{of_frames}")
    return FAILED if is_partial(recipe, extracted) else DONE


main = main_of("run_extraction", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
