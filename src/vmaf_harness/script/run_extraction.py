"""Extracts the features of a dataset into the result store, and writes them down as a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmaf_harness.model.parameters import read_feature_param
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.exit_code import exit_code
from vmaf_harness.script.training_inputs import add_flags, extracted_of, is_partial, read_assets, warn
from vmaf_harness.training.feature_table import write_table
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.live.lock import Run
from vmaf_workspace.locate import locate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 failed, even in part, 2 usage, 130 after Ctrl-C."""
    options = _parsed(argv)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    location = locate(options.workspace)
    for warning in location.warnings:
        warn(warning)
    features = read_feature_param(Path(options.feature_param))
    for warning in features.warnings:
        warn(warning)
    recipe, assets = read_assets(options, location.path)
    with Run(location.path) as run:
        extracted = extracted_of(assets, features, run, options)
        for path in write_table(extracted, run.output()):
            print(printable_lines(path))
        cached = sum(outcome.cached for outcome in extracted.outcomes)
        warn(f"{len(extracted.assets)} assets, {cached} of them stored before; {len(features.atoms)} features")
    return FAILED if is_partial(recipe, extracted) else DONE


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_extraction", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("train_dataset", metavar="dataset", help="the recipe, a *_dataset.py; it is read, not executed")
    add("feature_param", help="the file that says which features (feature_dict)")
    add_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
