"""What a command that trains leaves in the run's directory of `output/`: table, numbers, plots."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING, Any

from vmaf_harness.model.model_param import CURVE_TYPE, LINE_TYPE, SVR_TYPES
from vmaf_harness.report.drawing import PlotError
from vmaf_harness.report.label_plot import PlotData, residual_plot, scatter_plot
from vmaf_harness.script.options import CrossValidation, Training
from vmaf_harness.script.progress import show_written, warn
from vmaf_harness.statistics import LogisticFit, statistics, statistics_text
from vmaf_harness.training.card import VERSION, Inputs
from vmaf_harness.training.feature_table import ExtractedFeatures, write_table
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import Run

if TYPE_CHECKING:
    from vmaf_harness.model.model import Model


_LEAST_SHARE = 0.2  # of the labels' spread: below, a model tells hardly more than a constant would
# What statistics of a run are called: those of the assets that a model was fitted to flatter it.
KINDS = {"training": "training", "cross-validation": "cross-validated", "tuning": "cross-validated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a run has found: a prediction for each row of its table, and *about* it for `statistics.json`."""

    kind: str  # training, cross-validation
    predictions: Sequence[float]
    fit: LogisticFit | None
    about: Mapping[str, Any]


def summary_line(inputs: Inputs, name: str, found: Mapping[str, Any], kind: str, pool: str) -> str:
    """What was found, in a line; *kind* as in `KINDS`. Labels that a model made are said to be that.

    It says, too, that features were pooled by *pool* and then predicted from, as a model is fitted: a test pools the
    scores of frames instead, and its numbers are others.
    """
    line = statistics_text(f"{inputs.recipe.name}, {name}{inputs.of_frames}", found, kind)
    line += f"; predicted from each feature's {pool.replace('_', ' ')} over the frames"
    return f"{line}; labels: {inputs.labels}" if inputs.labels.source else line


def write_outputs(
    run: Run, options: CrossValidation | Training, inputs: Inputs, extracted: ExtractedFeatures, made: Made
) -> bool:
    """What the run leaves for people: with `--cache-result` table and statistics, and plots unless suppressed.

    Whether all of it is there: a plot that cannot be drawn is a line on stderr, and the others are not tried then.
    """
    written: list[Path] = []
    if options.cache_result:
        written += write_table(extracted, run.output())
        written.append(write_statistics(run.output(), made.kind, inputs, made.about))
    is_whole = True
    if not options.suppress_plot:
        try:
            directory = options.save_plot or run.output()
            written += _plots(options, directory, inputs, extracted, made)
        except WorkspaceError as error:
            warn(error if isinstance(error, PlotError) else f"no plot: {error}")
            is_whole = False
    show_written(written)
    return is_whole


def warn_of_model(model: Model, labels: Sequence[float], predictions: Sequence[float]) -> None:
    """Say where a model does not load, and whether it predicts nearly the same for all that it was fitted to."""
    if model.why_no_json:
        warn(f"no .json: {model.why_no_json}")
    if model.plugins:
        warn(f"this model scores only where its plug-ins are: {', '.join(use.what for use in model.plugins)}")
    elif model.model_type not in (*SVR_TYPES, CURVE_TYPE):
        what = "model" if model.model_type == LINE_TYPE else "forest"
        warn(f"this {what} does not load in VMAF's own harness, whose {what}s are scikit-learn objects; it scores here")
    share = pstdev(predictions) / pstdev(labels)
    if share < _LEAST_SHARE:
        warn(
            f"nearly a constant: on the assets that it was fitted to, its predictions have {100 * share:.1f} % of the "
            f"labels' spread (standard deviation {pstdev(predictions):.3g} of {pstdev(labels):.3g}); VMAF's own "
            "parameters are C 4.0, nu 0.9, gamma 0.05, norm_type clip_0to1, score_clip [0, 100]"
        )


def write_statistics(directory: Path, kind: str, inputs: Inputs, about: Mapping[str, Any]) -> Path:
    """Write `statistics.json` into *directory*."""
    path = directory / "statistics.json"
    head = {"version": VERSION, "kind": kind, "dataset": inputs.recipe.name, **inputs.labels.as_dict()}
    head |= {"statistics_kind": KINDS[kind], "model_type": inputs.parameters.model_type}
    head |= {"subsample": inputs.features.subsample}
    path.write_text(json.dumps({**head, **about}, indent=1) + "\n", encoding="ascii")
    return path


def _plots(
    options: CrossValidation | Training, directory: Path, inputs: Inputs, extracted: ExtractedFeatures, made: Made
) -> list[Path]:
    name, model = inputs.recipe.name, _plotted_name(options, inputs)
    scatter, residual = (directory / f"{each}.{options.plot_format}" for each in plot_names(options, inputs, made.kind))
    labels = [float(label or 0.0) for label in extracted.table.labels]
    pairs = PlotData(
        title=f"{name}: {model} ({inputs.parameters.model_type}), {made.kind}{inputs.of_frames}",
        labels=labels,
        predictions=made.predictions,
        content_ids=extracted.content_ids,
        statistics=statistics(labels, made.predictions),
        label=str(inputs.labels),
        prediction=f"{KINDS[made.kind]} prediction",
        kind=KINDS[made.kind],
        fit=made.fit,
        content_names={asset.content_id: asset.shown_content for asset in extracted.assets},
        deviations=[asset.groundtruth_std for asset in extracted.assets],
        bar=inputs.labels.bar,
    )
    scatter_plot(scatter, pairs)
    residual_plot(residual, pairs)
    return [scatter, residual]


def plot_names(options: CrossValidation | Training, inputs: Inputs, kind: str) -> tuple[str, str]:
    """What the plots are called, without what they end in: of the predictions, and of their errors."""
    stem = f"{inputs.recipe.name}_{_plotted_name(options, inputs)}_{kind}"
    return stem, f"{stem}_residuals"


def _plotted_name(options: CrossValidation | Training, inputs: Inputs) -> str:
    """What a plot calls its model, so that no plot takes the place of another model's.

    A trained one has its name; one that is only validated has none, and is told by the name of its parameters' file and
    by what is in them.
    """
    if isinstance(options, Training):
        return Path(options.output_model).name.removesuffix(".json").removesuffix(".pkl")
    told: list[object] = [
        inputs.parameters.model_type,
        dict(inputs.parameters.param_dict),
        inputs.features.feature_options,
    ]
    told += [list(inputs.features.feature_names), options.seed, options.pool, options.folds]
    told.append(options.leave_one_source_out)
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
    return f"{options.model_param.stem}-{digest[:8]}"
