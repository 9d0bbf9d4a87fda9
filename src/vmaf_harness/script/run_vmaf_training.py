"""Trains a model on a dataset: `.pkl` and `.pkl.model` for VMAF's own harness, `.json` for libvmaf, a card for people.

A bootstrap model that was killed half-way goes on where it stopped. A model of the same name is replaced with
`--overwrite` alone, after a snapshot of it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.engine.shard import PartDone
from vmaf_harness.errors import HarnessError
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.assets import check_plots
from vmaf_harness.script.options import Training
from vmaf_harness.script.progress import Progress, warn
from vmaf_harness.script.stop import fitted_stays, main_of, stoppable
from vmaf_harness.script.training_inputs import Work, is_partial, read_inputs, working, writable
from vmaf_harness.script.training_outputs import KINDS, Made, plot_names, summary_line, warn_of_model, write_outputs
from vmaf_harness.statistics import statistics_json, try_logistic_fit
from vmaf_harness.training.card import SUFFIX, Inputs, card_bytes, is_of_run
from vmaf_harness.training.feature_table import ExtractedFeatures
from vmaf_harness.training.replacement import Replacement
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.setup import ensure
from vmaf_workspace.wording import say

if TYPE_CHECKING:
    from vmaf_harness.model.model import Model


def model_path(given: str, root: Path) -> Path:
    """Where the `.pkl` of a model goes: a bare name into `model/` of the workspace *root*, which is made for it.

    Raises HarnessError for a name that no model can have, and where no file can be written there.
    """
    from vmaf_harness.model.files import check_name

    path = Path(given)
    if path.suffix in (".onnx", ".model") or not path.name.removesuffix(".pkl") or given.endswith("/"):
        raise HarnessError(f"{given!r} cannot be the name of a model; name it m, m.pkl or m.json")
    name = f"{path.name.removesuffix('.json').removesuffix('.pkl')}.pkl"
    check_name(Path(name))
    is_bare = path.name == given
    if is_bare:
        ensure(root)
    final = (root / "model" if is_bare else path.parent) / name
    writable(final, "the model")
    return final


@stoppable(fitted_stays)
def run(options: Training) -> int:
    """The exit code: 0 done, 1 failed, even in part, 2 usage, 130 after Ctrl-C."""
    inputs = read_inputs(options)
    path = model_path(options.output_model, inputs.root)
    check_plots(options, *map(escape, plot_names(options, inputs, "training")))
    replacement = _replacement(path, inputs, options)
    from vmaf_harness.model.files import write_model

    with working(inputs, options) as work:
        if options.shard is not None:
            return work.do_part(lambda part: _fitted(work, part))
        extracted = work.extracted()
        model = _fitted(work, extracted)
        labels = [float(label or 0.0) for label in extracted.table.labels]
        predictions = model.predict(extracted.table.features).tolist()
        fit = try_logistic_fit(labels, predictions)
        found = statistics_json(labels, predictions, fit)
        name = path.name.removesuffix(".pkl")
        about = card_bytes(name, inputs, extracted, seed=options.seed, pool=options.pool, found=found)
        written = replacement.write(lambda check: write_model(path, model, extra={SUFFIX: about}, check=check))
        what = inputs.parameters.model_type
        say(printable_lines(summary_line(inputs, what, found, KINDS["training"], options.pool)), flush=True)
        print(printable_lines(path), flush=True)
        warn_of_model(model, labels, predictions)
        work.warn_of_predictions(extracted, predictions)
        about_run = {"model": path.name, "statistics": found}
        made = Made(kind="training", predictions=predictions, fit=fit, about=about_run)
        is_whole = write_outputs(work.run, options, inputs, extracted, made)
        cached = sum(outcome.cached for outcome in extracted.outcomes)
        assets = f"{len(extracted.assets)} assets, {cached} of them stored before"
        warn(f"{assets}; {len(written)} files of the model written{replacement.summary}")
    return FAILED if is_partial(inputs.recipe, extracted) or not is_whole else DONE


def _replacement(path: Path, inputs: Inputs, options: Training) -> Replacement:
    """What the model may replace; RefusedError, before anything is extracted, where that is another one."""
    from vmaf_harness.model.files import finish_write, group_files

    finish_write(path)  # what a writer that was killed had begun
    found = Replacement(inputs.root, path, group_files, overwrite=options.overwrite, at=options.at)
    found.begin(may_be_same=is_of_run(path, inputs, seed=options.seed, pool=options.pool))
    return found


def _fitted(work: Work, extracted: ExtractedFeatures) -> Model:
    """Fit, members of a bootstrap model each to a checkpoint."""
    from vmaf_harness.model.svm import Svm
    from vmaf_harness.training.fit import fit

    inputs, options, table = work.inputs, work.options, extracted.table
    total = inputs.parameters.num_models
    if total == 1 and options.shard is not None:  # it has no parts, so it is for the run without one
        raise PartDone
    if total == 1:
        return fit(table, inputs.features, inputs.parameters, seed=options.seed)
    checkpoints = work.checkpoints("training", table)
    done: dict[int, Svm] = {}
    for index in range(total):
        text = checkpoints.get(f"{index:04d}")
        with suppress(HarnessError):  # a part that somebody edited is made again
            if isinstance(text, str):
                done[index] = Svm.of_text(text, len(inputs.features.feature_names), f"checkpoint {index}")
    if done:
        warn(f"{len(done)} of {total} models are taken from {checkpoints.directory}")
    with Progress(total, what="fitted", done=len(done), quiet=options.quiet) as progress:

        def finished(index: int, member: Svm) -> None:
            checkpoints.put(f"{index:04d}", member.text())
            progress.step(f"model {index}: {len(member.coefs)} support vectors")

        model = fit(
            table,
            inputs.features,
            inputs.parameters,
            seed=options.seed,
            workers=work.workers,
            done=done,
            finished=finished,
        )
    warn(checkpoints.kept)
    return model


main = main_of("run_vmaf_training", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
