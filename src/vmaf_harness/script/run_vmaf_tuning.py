"""Searches gamma, C and nu by cross-validated SROCC; the best set is written as a model_param for run_vmaf_training.

A search that was killed half-way goes on where it stopped. A set of the same name is replaced with `--overwrite`
alone, after a snapshot of it.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.errors import HarnessError
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.options import Tuning
from vmaf_harness.script.progress import Progress, warn
from vmaf_harness.script.stop import fitted_stays, main_of, stoppable
from vmaf_harness.script.training_inputs import Work, folds_of, is_partial, read_inputs, working, writable
from vmaf_harness.script.training_outputs import KINDS, write_statistics
from vmaf_harness.training.card import Inputs
from vmaf_harness.training.feature_table import write_table
from vmaf_harness.training.replacement import CheckContents, Replacement
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.groups import model_lock
from vmaf_workspace.setup import ensure
from vmaf_workspace.wording import say

if TYPE_CHECKING:
    from vmaf_harness.training.cross_validation import Fold
    from vmaf_harness.training.feature_table import ExtractedFeatures
    from vmaf_harness.training.tuning import Trial


@stoppable(fitted_stays)
def run(options: Tuning) -> int:
    """The exit code: 0 done, 1 failed, even in part, 2 usage, 130 after Ctrl-C."""
    inputs = read_inputs(options)
    folds_of([asset.content_id for asset in inputs.assets], options)  # too few contents: said before the extraction
    path = _output_path(options.output_param, inputs.root)
    candidates = _candidates(inputs, options)
    from vmaf_harness.training.checkpoints import has_checkpoints

    replacement = Replacement(inputs.root, path, _there, overwrite=options.overwrite, at=options.at)
    replacement.begin(may_be_same=has_checkpoints(inputs.root, "tuning", inputs.recipe.name))
    with working(inputs, options) as work:
        if options.shard is not None:
            return work.do_part(lambda part: _tuned(work, part, candidates, folds_of(part.content_ids, options)))
        extracted = work.extracted()
        tried = _tuned(work, extracted, candidates, folds_of(extracted.content_ids, options))
        best = tried[0]
        kind = KINDS["tuning"]
        numbers = f"SROCC {best.srocc:.4f}, PLCC {best.plcc:.4f}, RMSE {best.rmse:.4f}"
        say(f"{_set(best)}: {kind} {numbers}, the best of {len(tried)} sets{inputs.of_frames}", flush=True)
        replacement.write(lambda check: _write_set(path, inputs, best, check))
        print(printable_lines(path), flush=True)
        if options.cache_result:
            _write(work.run.output(), inputs, extracted, tried)
        assets = f"by cross-validated SROCC of {len(extracted.assets)} assets"
        warn(f"best of {len(tried)} sets, {assets}; 1 file written{replacement.summary}")
    return FAILED if is_partial(inputs.recipe, extracted) else DONE


def _there(path: Path) -> list[Path]:
    return [path] if os.path.lexists(path) else []


def _write_set(path: Path, inputs: Inputs, best: Trial, check: CheckContents) -> None:
    from vmaf_harness.model import pickles
    from vmaf_harness.training.tuning import with_parameters

    chosen = with_parameters(inputs.parameters, best.parameters)
    content = pickles.dumps({"model_type": chosen.model_type, "model_param_dict": dict(chosen.param_dict)})
    with model_lock(path.parent):
        check({path.name: content})
        pickles.write_bytes(path, content)


def _candidates(inputs: Inputs, options: Tuning) -> list[dict[str, float]]:
    """The sets to try; HarnessError, before the extraction, for those that no model can have."""
    from vmaf_harness.training.tuning import GRID, check_type, grid_candidates, random_candidates, with_parameters

    check_type(inputs.parameters)
    given = {"gamma": options.gamma, "C": options.cost, "nu": options.nu}
    values = {name: given[name] or GRID[name] for name in GRID}
    candidates = (
        grid_candidates(values) if options.random is None else random_candidates(values, options.random, options.seed)
    )
    for candidate in candidates:
        with_parameters(inputs.parameters, candidate)
    return candidates


def _tuned(
    work: Work, extracted: ExtractedFeatures, candidates: Sequence[dict[str, float]], folds: Sequence[Fold]
) -> list[Trial]:
    from vmaf_harness.training.tuning import tune

    checkpoints = work.checkpoints("tuning", extracted.table, folds)
    with Progress(len(candidates), what="tried", quiet=work.options.quiet) as progress:

        def finished(tried: Trial) -> None:
            progress.step(f"{_set(tried)}: cross-validated SROCC {tried.srocc:.4f}")

        found = tune(
            extracted.table,
            folds,
            work.inputs.features,
            work.inputs.parameters,
            candidates,
            workers=work.workers,
            checkpoints=checkpoints,
            finished=finished,
        )
    warn(checkpoints.kept)
    return found


def _write(directory: Path, inputs: Inputs, extracted: ExtractedFeatures, tried: Sequence[Trial]) -> None:
    """The feature table, every set that was tried, and the statistics of the best one."""
    sets = directory / "tuning.csv"
    with sets.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*tried[0].parameters, "srocc", "plcc", "rmse", "note"])
        for each in tried:
            writer.writerow([*each.parameters.values(), each.srocc, each.plcc, each.rmse, each.note or ""])
    best = tried[0]
    numbers = {"n": len(extracted.assets), "srocc": best.srocc, "plcc": best.plcc, "rmse": best.rmse}
    # The best of many is better than it will be elsewhere, so of how many is said beside it.
    about = {"parameters": dict(best.parameters), "sets": len(tried), "statistics": numbers}
    statistics = write_statistics(directory, "tuning", inputs, about)
    for path in (*write_table(extracted, directory), sets, statistics):
        warn(str(path))


def _set(tried: Trial) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in tried.parameters.items())


def _output_path(given: str, root: Path) -> Path:
    """Where the set goes: a bare name into `model_param/`; HarnessError where it cannot be written there."""
    path = Path(given if given.endswith(".pkl") else f"{given}.pkl")
    if path.name == ".pkl":
        raise HarnessError(f"{given!r} cannot be the name of a set of parameters")
    if os.path.basename(given) == given:
        ensure(root)
        path = root / "model_param" / path.name
    writable(path, "the parameters")
    return path


main = main_of("run_vmaf_tuning", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
