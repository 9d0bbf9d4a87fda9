"""Says how well a model predicts contents that it has not seen: by folds of contents, or leaving out one at a time.

A run that was killed half-way goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from glob import escape
from typing import TYPE_CHECKING, Any

from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.assets import check_plots
from vmaf_harness.script.options import CrossValidation
from vmaf_harness.script.progress import Progress, warn
from vmaf_harness.script.stop import fitted_stays, main_of, stoppable
from vmaf_harness.script.training_inputs import Work, folds_of, is_partial, read_inputs, working
from vmaf_harness.script.training_outputs import KINDS, Made, plot_names, summary_line, write_outputs
from vmaf_harness.statistics import statistics_json, statistics_text, try_logistic_fit
from vmaf_workspace.commands.tables import print_table
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.wording import say

if TYPE_CHECKING:
    from vmaf_harness.training.cross_validation import Fold
    from vmaf_harness.training.feature_table import ExtractedFeatures


@stoppable(fitted_stays)
def run(options: CrossValidation) -> int:
    """The exit code: 0 done, 1 failed, even in part, 2 usage, 130 after Ctrl-C."""
    inputs = read_inputs(options)
    check_plots(options, *map(escape, plot_names(options, inputs, "cross-validation")))
    folds_of([asset.content_id for asset in inputs.assets], options)  # too few contents: said before the extraction
    with working(inputs, options) as work:
        if options.shard is not None:
            return work.do_part(lambda part: _validated(work, part, folds_of(part.content_ids, options)))
        extracted = work.extracted()
        folds = folds_of(extracted.content_ids, options)
        predictions = _validated(work, extracted, folds)
        labels = [float(label or 0.0) for label in extracted.table.labels]
        per_fold: list[dict[str, Any]] = []
        for fold in folds:
            found = statistics_json([labels[row] for row in fold.rows], [predictions[row] for row in fold.rows])
            # No curve: a fold has few assets, and each would get one of its own.
            per_fold.append({"contents": list(fold.contents), **found})
        _show_folds(per_fold)
        fit = try_logistic_fit(labels, predictions)
        found = statistics_json(labels, predictions, fit)
        what = f"{inputs.parameters.model_type}, {len(folds)} folds"
        line = summary_line(inputs, what, found, KINDS["cross-validation"], options.pool)
        say(printable_lines(line), flush=True)
        work.warn_of_predictions(extracted, predictions)
        about = {"folds": per_fold, "statistics": found}
        made = Made(kind="cross-validation", predictions=predictions, fit=fit, about=about)
        is_whole = write_outputs(work.run, options, inputs, extracted, made)
    return FAILED if is_partial(inputs.recipe, extracted) or not is_whole else DONE


def _show_folds(per_fold: Sequence[Mapping[str, Any]]) -> None:
    """The statistics of each fold: on a terminal a table, elsewhere a line each."""
    contents = [", ".join(map(str, found["contents"])) for found in per_fold]
    if not sys.stdout.isatty():
        for number, (name, found) in enumerate(zip(contents, per_fold, strict=True), 1):
            print(statistics_text(f"fold {number}, contents {name}", found, KINDS["cross-validation"]))
        return
    names = ("srocc", "plcc", "krocc", "rmse")
    rows = [
        (
            str(number),
            name,
            str(found["n"]),
            *("-" if found.get(each) is None else f"{found[each]:.4f}" for each in names),
            found.get("note") or "",
        )
        for number, (name, found) in enumerate(zip(contents, per_fold, strict=True), 1)
    ]
    print_table((">FOLD", "CONTENTS", ">ASSETS", ">SROCC", ">PLCC", ">KROCC", ">RMSE", ""), rows)


def _validated(work: Work, extracted: ExtractedFeatures, folds: Sequence[Fold]) -> list[float]:
    from vmaf_harness.training.cross_validation import cross_validate

    checkpoints = work.checkpoints("cross-validation", extracted.table, folds)
    with Progress(len(folds), what="folds", quiet=work.options.quiet) as progress:

        def finished(index: int, fold: Fold) -> None:
            progress.step(f"fold {index + 1}: {len(fold.rows)} assets predicted")

        predictions = cross_validate(
            extracted.table,
            folds,
            work.inputs.features,
            work.inputs.parameters,
            seed=work.options.seed,
            workers=work.workers,
            checkpoints=checkpoints,
            finished=finished,
        )
    warn(checkpoints.kept)
    return predictions


main = main_of("run_vmaf_cross_validation", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
