"""Encodes the references of a recipe by a ladder, and writes the recipe of the encodes.

Everything is combined with everything: each codec at each rate, height and preset. A value may be for one codec alone,
as in --crf libx264=28 libsvtav1=45; it then comes in place of what is given for all. Encodes that are there already
are not made again.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path

from vmaf_harness.encode.encoders import find_encoders
from vmaf_harness.encode.ladder import read_ladder
from vmaf_harness.encode.ladder_run import EncodeOutcome, encode_all, part_of, plan_ladder, stored_outcomes
from vmaf_harness.encode.plan import Encode, encode_command, group_by_reference
from vmaf_harness.encode.recipe import (
    GroundTruth,
    check_may_write,
    dataset_name,
    output_path,
    recipe_text,
    write_recipe,
)
from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.engine.binary import Engine, find_engine
from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.scoring import RunOptions, score_assets
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.model.v1 import STANDARD, means_v1, score_by_choice
from vmaf_harness.recipe.dataset import read_recipe, read_references
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.assets import check_plots
from vmaf_harness.script.options import Encoding
from vmaf_harness.script.progress import Progress, warn, warn_of
from vmaf_harness.script.reporting import show_encoded
from vmaf_harness.script.spreading import cluster_of
from vmaf_harness.script.stop import main_of, stoppable
from vmaf_workspace.commands.command import Command, located
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.live.lock import Run
from vmaf_workspace.wording import printable


@stoppable("; what was encoded stays, and the same command encodes the rest")
def run(options: Encoding) -> int:
    """The exit code: 0 done, 1 where an encode failed, 2 usage, 3 refused, 130 after Ctrl-C."""
    root = located(options.workspace).path
    model = STANDARD if means_v1(options.label_with, root) else options.label_with  # it is chosen for each encode later
    teacher = extraction("VMAF", model=model) if options.label_with else None
    output = output_path(options.output_dataset, root)
    before = check_may_write(output, root, has_labels=teacher is not None or options.drop_labels)
    references = read_references(options.ref_dataset, search=[root / "dataset"])
    for warning in references.warnings:
        warn(warning)
    check_plots(options, *([f"{escape(dataset_name(output))}_VMAF_V*_rates_*"] if teacher is not None else []))
    engine = find_engine()
    rungs = read_ladder(
        find_encoders(list(dict.fromkeys(options.codec)), engine),
        crfs=options.crf,
        bitrates=options.bitrate,
        heights=options.height,
        presets=options.preset,
        options=options.option,
    )
    store = EncodeResultStore(root, warn=warn, has_others=options.shard is not None)
    ladder = plan_ladder(references, rungs, engine, store)
    problems = [*references.missing, *ladder.problems]
    for line in (*problems, *ladder.left_out):
        warn(line)
    if problems and not options.keep_going:
        raise HarnessError(f"{len(problems)} references cannot be encoded, so nothing was; see --keep-going")
    if not ladder.encodes:
        raise HarnessError("nothing to encode: no reference is as tall as a rung of the ladder")
    if options.dry_run:
        _show(stored_outcomes(ladder.encodes, store), engine)
        return FAILED if problems else DONE
    with Run(root) as run, cluster_of(options, run) as cluster:
        encodes = ladder.encodes if options.shard is None else part_of(ladder.encodes, options.shard)
        with Progress(len(encodes), what="encoded", run=run, quiet=options.quiet) as progress:
            outcomes = encode_all(
                encodes,
                engine,
                run,
                store,
                processes=options.processes,
                keep_going=options.keep_going,
                cluster=cluster,
                progress=lambda done, total, outcome: progress.show(done, total, _line(outcome), _frames(outcome)),
            )
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        missing = sum(outcome.encoded is None for outcome in outcomes)
        for outcome in failed:
            warn(f"{outcome.encode.path.name}: {outcome.error}")
        cached = sum(outcome.cached for outcome in outcomes)
        made = len(outcomes) - missing
        summary = f"{made} encodes, {cached} of them there before" + (f", {missing} not made" if missing else "")
        if options.shard is not None:
            warn(
                f"part {options.shard}: {summary}; the same command without --shard makes what is left, and the recipe"
            )
            if teacher is not None and made:  # under the numbers that it has in the whole recipe
                of_part = {outcome.encode.path: outcome for outcome in outcomes}
                whole = [of_part.get(encode.path, EncodeOutcome(encode=encode)) for encode in ladder.encodes]
                _labels(whole, output, run, teacher, options, cluster)
            return FAILED if problems or missing else DONE
        if missing == len(outcomes) or (missing and not options.keep_going):
            warn(f"{summary}; no recipe is written")
            return FAILED
        labels, unlabelled = None, 0
        if teacher is not None:
            labels = _labels(outcomes, output, run, teacher, options, cluster)
            unlabelled = made - len(labels.by_asset)
        if output.parent == root / "dataset":
            store.ensure()
        write_recipe(output, root, outcomes, _command_line(options), labels)
        # A run that makes nothing writes nothing, unless it is told where.
        draws = labels is not None and not options.suppress_plot and (cached < made or options.save_plot)
        show_encoded(root, output, lambda: options.save_plot or run.output(), options.plot_format if draws else None)
    print(printable_lines(output))
    if before and before != made:
        warn(f"it had {before} encodes before, and has {made} now; none was removed from encode/")
    warn(summary + (f", {unlabelled} without a label" if unlabelled else ""))
    for outcome in failed:
        warn(f"failed: {outcome.encode.path.name}")
    return FAILED if problems or missing or unlabelled else DONE


def _command_line(options: Encoding) -> str:
    """What makes the same encodes, wherever."""
    anywhere = replace(options, scheduler=None, scheduler_file=None, worker_timeout=Encoding.worker_timeout, shard=None)
    return shlex.join(["run_encode", *Command("run_encode", run).words(anywhere)])


def _frames(outcome: EncodeOutcome) -> int:
    """How many frames were encoded now."""
    return 0 if outcome.encoded is None or outcome.cached else outcome.encoded.n_frames


def _labels(
    outcomes: Sequence[EncodeOutcome],
    output: Path,
    run: Run,
    teacher: Extraction,
    options: Encoding,
    cluster: Cluster | None,
) -> GroundTruth:
    """Scores of a model in place of opinions; they are stored as those of `run_testing`, which finds them there."""
    unlabelled = run.workdir(output.name)
    # Its dataset has the name that the final recipe gives it, and so have the results that are stored.
    unlabelled.write_text(recipe_text(unlabelled, run.root, outcomes, "", None), encoding="utf-8")
    recipe = read_recipe(unlabelled)
    how = RunOptions(cache=True, processes=options.processes, keep_going=options.keep_going, cluster=cluster)
    with Progress(len(recipe.assets), run=run, quiet=options.quiet) as progress:
        if means_v1(options.label_with, run.root):
            scored, teacher = score_by_choice(recipe.assets, run, how, warn=warn, progress=progress)
        else:
            scored = score_assets(recipe.assets, teacher, run, how, warn=warn, progress=progress)
    warn_of(scored)
    by_asset = {o.asset.asset_id: round(o.result.pools["mean"], 6) for o in scored if o.result is not None}
    if len(by_asset) < len(scored) and not options.keep_going:
        raise HarnessError(f"{len(scored) - len(by_asset)} encodes have no label, so no recipe is written")
    about = (
        f"The ground truth is what a model, {teacher.executor_id}, says of each encode (mean of all frames). "
        "These are not opinion scores: nobody has watched these videos."
    )
    return GroundTruth(about=about, source=teacher.executor_id, by_asset=by_asset)


def _show(outcomes: Sequence[EncodeOutcome], engine: Engine) -> None:
    """Print the commands of a dry run; a real one writes to hidden names first, and verifies."""
    to_do: list[Encode] = [outcome.encode for outcome in outcomes if outcome.encoded is None]
    for group in group_by_reference(to_do):
        encodes = [to_do[index] for index in group]
        command = encode_command(engine.path, encodes, [encode.path for encode in encodes])
        print(printable_lines(shlex.join(map(str, command))))
    warn(f"{len(to_do)} to encode, {len(outcomes) - len(to_do)} there already; dry run: nothing was changed")


def _line(outcome: EncodeOutcome) -> str:
    name = printable(outcome.encode.path.name)
    encoded = outcome.encoded
    return f"{name}: failed" if encoded is None else f"{name}: {encoded.bitrate_bps / 1000:.1f} kbit/s"


main = main_of("run_encode", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
