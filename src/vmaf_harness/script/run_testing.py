"""Scores a dataset, and says how well the scores follow its labels."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vmaf_harness.engine.jobs import Stopped
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import Outcome, RunOptions, check_pool, note_lines, score_assets
from vmaf_harness.model.predictor import resolve_quality_type
from vmaf_harness.model.quality_type import QUALITY_TYPES
from vmaf_harness.recipe.asset import PAIRINGS
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.recipe.labels import labels_of
from vmaf_harness.recipe.subjective import DEFAULT_MODEL, MODELS, label_assets
from vmaf_harness.report.plot import PlotError, check_directory
from vmaf_harness.report.testing import (
    ScoredDataset,
    printable_lines,
    score_line,
    spread_line,
    statistics_line,
    write_features,
    write_plots,
    write_tables,
)
from vmaf_harness.script.exit_code import exit_code
from vmaf_harness.script.progress import Progress
from vmaf_harness.statistics import POOLS
from vmaf_harness.training.card import is_of_training
from vmaf_workspace.cli import given
from vmaf_workspace.errors import DONE, FAILED, WorkspaceError
from vmaf_workspace.live.lock import Run
from vmaf_workspace.locate import locate
from vmaf_workspace.wording import count_text, printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 where an asset has no score, 2 usage, 130 after Ctrl-C."""
    options = _parsed(argv)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    location = locate(options.workspace)
    for warning in location.warnings:
        _warn(warning)
    wanted, predictor = resolve_quality_type(
        options.quality_type,
        location.path,
        model=options.vmaf_model,
        phone_model=options.vmaf_phone_model,
        warn=_warn,
    )
    recipe = read_recipe(Path(options.test_dataset), search=[location.path / "dataset"])
    for warning in recipe.warnings:
        _warn(warning)
    for problem in recipe.missing:
        _warn(f"asset {problem.asset_id}: {problem.message}")
    if recipe.missing and not options.keep_going:
        raise HarnessError(f"missing assets: {len(recipe.missing)}, so nothing was scored; see --keep-going")
    assets = label_assets(recipe, options.subj_model, warn=_warn)
    if options.pair_by is not None:
        assets = tuple(replace(asset, pairing=options.pair_by) for asset in assets)
    if options.save_plot and not options.suppress_plot:
        check_directory(Path(options.save_plot))
    how = RunOptions(
        cache=options.cache_result,
        processes=options.processes,
        keep_going=options.keep_going,
        keep_workfiles=options.keep_workfiles,
        refuse_damaged=options.refuse_damaged,
        scheduler=options.scheduler,
        frames=predictor is not None,
    )
    with Run(location.path, keep_workfiles=options.keep_workfiles) as run:
        try:
            with Progress(len(assets), pool=options.pool) as progress:
                outcomes = score_assets(assets, wanted, run, how, warn=_warn, progress=progress)
        except Stopped:
            shutil.rmtree(run.root / "output" / run.id, ignore_errors=True)
            raise
        if predictor is not None:
            outcomes = [predictor.predicted(outcome, options.pool) for outcome in outcomes]
            wanted = predictor.extraction
        outcomes = [check_pool(outcome, options.pool) for outcome in outcomes]
        dataset = ScoredDataset(
            recipe=recipe,
            labels=labels_of(recipe, options.subj_model),
            extraction=wanted,
            pool=options.pool,
            outcomes=outcomes,
            kind=_kind(options, location.path, recipe, outcomes),
        )
        for outcome in outcomes:
            if outcome.error is not None:
                _warn(str(outcome.error))
        for note in note_lines(outcomes):
            _warn(note)
        if options.print_result or len(assets) == 1:
            for outcome, score in dataset.scored:
                print(score_line(dataset, outcome, score))
        print(statistics_line(dataset), flush=True)
        if (line := spread_line(dataset)) is not None and len(assets) > 1:
            print(line, flush=True)
        is_whole = _write(dataset, run, options)
        if options.keep_workfiles:
            print(f"work files: {run.workdir()}", file=sys.stderr)
        stored = sum(outcome.cached for outcome in outcomes)
        failed = f", {dataset.failed} without a score" if dataset.failed else ""
        print(
            f"{count_text(len(dataset.scored), 'asset')} scored, {stored} of them stored before{failed}",
            file=sys.stderr,
        )
    return FAILED if dataset.failed or not is_whole else DONE


def _kind(options: argparse.Namespace, root: Path, recipe: Recipe, outcomes: Sequence[Outcome]) -> str:
    """What the statistics are called, where they are of what the model was fitted to."""
    assets = [outcome.asset for outcome in outcomes if outcome.result is not None]
    of_training = options.vmaf_model and is_of_training(options.vmaf_model, root, recipe.name, assets)
    return "training" if of_training else ""


def _write(dataset: ScoredDataset, run: Run, options: argparse.Namespace) -> bool:
    """Tables and plots, into the run's output; whether all plots are there.

    A run that found everything stored does without tables where they cannot be written, and without plots that would
    lie beside them.
    """
    draws, written = not options.suppress_plot, []
    try:
        written = write_tables(dataset, run.output())
        if options.cache_result:
            written += write_features(dataset, run.output())
    except WorkspaceError as error:
        if not all(outcome.cached for outcome in dataset.outcomes):
            raise
        draws = draws and bool(options.save_plot)
        _warn(f"{'no table' if draws else 'no table and no plot'} is written: {error}")
    is_whole = True
    if draws:
        try:
            drawn = write_plots(dataset, Path(options.save_plot or run.output()), options.plot_wh)
            written += drawn
            if len(drawn) == 1:
                _warn(
                    f"no plot of the errors: {dataset.extraction.type} has a scale of its own, and a line from there "
                    "to the labels needs at least eight assets that differ"
                )
        except PlotError as error:
            _warn(str(error))
            is_whole = False
    for path in written:
        print(printable(str(path)), file=sys.stderr if path.suffix != ".png" else sys.stdout)
    return is_whole


def _warn(message: str) -> None:
    print(printable_lines(message), file=sys.stderr, flush=True)


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_testing", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("quality_type", choices=QUALITY_TYPES, help="what is measured")
    add("test_dataset", help="the recipe, a *_dataset.py; it is read, not executed")
    add(
        "--vmaf-model",
        metavar="MODEL",
        help="name of one in model/, built-in version (vmaf_v0.6.1, the default), or path of .json, .pkl, .onnx",
    )
    add("--vmaf-phone-model", action="store_true", help="apply the model's score transform, for small screens")
    add("--subj-model", metavar="NAME", choices=MODELS, help=f"makes labels from raw scores (default: {DEFAULT_MODEL})")
    add("--cache-result", action="store_true", help="read stored results, store new ones; features in output/")
    add("--parallelize", action="store_true", help="accepted; one ffmpeg a core runs anyway (--processes 1: one)")
    add("--processes", type=_count, metavar="N", help="ffmpegs at once (default: one a core)")
    add("--print-result", action="store_true", help="print the score of each asset")
    add("--save-plot", metavar="DIR", help="where the plots go (default: the run's directory in output/)")
    add("--plot-wh", type=_size, metavar="WxH", help="size of a plot in inches, such as 5x5")
    add("--suppress-plot", action="store_true", help="draw nothing")
    add("--pool", choices=tuple(POOLS), default="mean", help="how scores of frames become one (default: %(default)s)")
    add("--pair-by", choices=PAIRINGS, help="pair frames by their time, or by their index also where times differ")
    add("--refuse-damaged", action="store_true", help="no score for a damaged distorted video (default: a warning)")
    add("--keep-going", action="store_true", help="score the other assets where one is missing or fails")
    add("--keep-workfiles", action="store_true", help="keep logs and decoded YUVs in workdir/")
    add("--workspace", type=given, metavar="PATH", help="instead of VMAF_WORKSPACE or the checkout's")
    add("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers share the workspace's mount")
    options = parser.parse_args(argv)
    if options.vmaf_model is not None and not options.vmaf_model.strip():  # a variable that is not set
        parser.error("--vmaf-model is blank; name a model, or leave the flag out for vmaf_v0.6.1")
    if options.quality_type != "VMAF" and (options.vmaf_model or options.vmaf_phone_model):
        parser.error(f"--vmaf-model and --vmaf-phone-model are for VMAF, not for {options.quality_type}")
    return options


def _count(text: str) -> int:
    with suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got {text!r}")


def _size(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text)
    if match is None or not all(0 < float(side) <= 100 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"expected inches as WxH, such as 5x5, got {text!r}")
    return float(match[1]), float(match[2])


if __name__ == "__main__":
    sys.exit(main())
