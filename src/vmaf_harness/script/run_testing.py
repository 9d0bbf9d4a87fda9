"""Scores a dataset, and says how well the scores follow its labels."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from glob import escape

from vmaf_harness.engine.jobs import Stopped
from vmaf_harness.measure.scoring import Outcome, check_pool, score_assets
from vmaf_harness.model.predictor import resolve_quality_type
from vmaf_harness.model.quality_type import HIGHER, find_type
from vmaf_harness.model.v1 import STANDARD, means_v1, score_by_choice, shown_of
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.labels import labels_of
from vmaf_harness.report.drawing import PlotError
from vmaf_harness.report.testing import (
    ScoredDataset,
    doubts,
    plot_names,
    score_line,
    spread_line,
    statistics_line,
    write_features,
    write_plots,
    write_tables,
)
from vmaf_harness.script.assets import check_plots, read_assets, run_options
from vmaf_harness.script.options import Testing
from vmaf_harness.script.progress import Progress, show_written, warn, warn_of
from vmaf_harness.script.reporting import show_tested
from vmaf_harness.script.spreading import cluster_of, said_part
from vmaf_harness.script.stop import main_of, measured_stays, stoppable
from vmaf_harness.training.card import is_of_training
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE, FAILED, WorkspaceError
from vmaf_workspace.live.lock import Run
from vmaf_workspace.wording import count_text, say


@stoppable(measured_stays)
def run(options: Testing) -> int:
    """The exit code: 0 done, 1 where an asset has no score, 2 usage, 130 after Ctrl-C."""
    root = located(options.workspace).path
    is_chosen = means_v1(options.vmaf_model, root)
    wanted, predictor = resolve_quality_type(
        options.quality_type,
        root,
        model=STANDARD if is_chosen else options.vmaf_model,
        phone_model=options.vmaf_phone_model,
        subsample=options.subsample,
        warn=warn,
    )
    recipe, assets = read_assets(options, root)
    if options.pair_by is not None:
        assets = tuple(replace(asset, pairing=options.pair_by) for asset in assets)
    if is_chosen:  # which models those are is known when the videos have been looked at
        check_plots(options, f"{escape(recipe.name)}_{escape(shown_of(()).executor_id)}*")
    else:
        tested = predictor.extraction if predictor is not None else wanted
        check_plots(options, *map(escape, plot_names(recipe, tested, options.pool)))
    predicted: dict[Asset, Outcome] = {}
    with Run(root, keep_workfiles=options.keep_workfiles) as run:
        try:
            with (
                cluster_of(options, run) as cluster,
                Progress(len(assets), pool=options.pool, run=run, quiet=options.quiet) as bar,
            ):

                def progress(done: int, total: int, outcome: Outcome) -> None:
                    """Show the score, which of a trained model is not what was measured."""
                    if predictor is not None:
                        outcome = predicted[outcome.asset] = predictor.predicted(outcome, options.pool)
                    bar(done, total, outcome)

                how = replace(
                    run_options(options, cluster),
                    keep_workfiles=options.keep_workfiles,
                    shard=options.shard,
                    frames=predictor is not None,
                )
                if is_chosen:
                    outcomes, wanted = score_by_choice(
                        assets,
                        run,
                        how,
                        phone_model=options.vmaf_phone_model or find_type(options.quality_type).phone_model,
                        subsample=options.subsample,
                        warn=warn,
                        progress=progress,
                    )
                else:
                    outcomes = score_assets(assets, wanted, run, how, warn=warn, progress=progress)
        except Stopped:
            shutil.rmtree(run.root / "output" / run.id, ignore_errors=True)
            raise
        if options.shard is not None:
            return DONE if said_part(options, outcomes, "scored") and not recipe.missing else FAILED
        if predictor is not None:
            outcomes = [
                predicted.get(outcome.asset) or predictor.predicted(outcome, options.pool) for outcome in outcomes
            ]
            wanted = predictor.extraction
        outcomes = [check_pool(outcome, options.pool) for outcome in outcomes]
        scored = [outcome.asset for outcome in outcomes if outcome.result is not None]
        of_training = options.vmaf_model and is_of_training(options.vmaf_model, root, recipe.name, scored)
        dataset = ScoredDataset(
            recipe=recipe,
            labels=labels_of(recipe, options.subj_model),
            extraction=wanted,
            pool=options.pool,
            outcomes=outcomes,
            kind="training" if of_training else "",
        )
        warn_of(outcomes)
        if options.print_result or len(assets) == 1:
            for outcome, score in dataset.scored:
                say(score_line(dataset, outcome, score))
        elif sys.stdout.isatty():
            show_tested(dataset)
        say(statistics_line(dataset), flush=True)
        scale = find_type(options.quality_type)
        if scale.better != HIGHER:
            warn(f"{options.quality_type} goes {scale.scale}")
        for doubt in doubts(dataset) if scale.better == HIGHER else ():
            warn(f"{recipe.path}: {doubt}")
        if (line := spread_line(dataset)) is not None and len(assets) > 1:
            say(line, flush=True)
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


def _write(dataset: ScoredDataset, run: Run, options: Testing) -> bool:
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
        warn(f"{'no table' if draws else 'no table and no plot'} is written: {error}")
    is_whole = True
    if draws:
        try:
            drawn = write_plots(dataset, options.save_plot or run.output(), options.plot_wh, options.plot_format)
            written += drawn
            if len(drawn) == 1:
                warn(
                    f"no plot of the errors: {dataset.extraction.type} has a scale of its own, and a line from there "
                    "to the labels needs at least eight assets that differ"
                )
        except PlotError as error:
            warn(str(error))
            is_whole = False
    show_written(written)
    return is_whole


main = main_of("run_testing", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
