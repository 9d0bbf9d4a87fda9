"""Tests a quality type on a dataset: scores, how well they follow the labels, and what is written of that."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.notes import relevant_notes
from vmaf_harness.measure.scoring import Outcome, Spread
from vmaf_harness.memory import without_garbage_collector
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import Labels
from vmaf_harness.statistics import (
    LogisticFit,
    Statistics,
    statistics,
    statistics_json,
    statistics_text,
    try_logistic_fit,
)
from vmaf_harness.training.doubts import scale_doubt, score_direction_doubt
from vmaf_workspace.wording import printable

if TYPE_CHECKING:
    from vmaf_harness.report.label_plot import PlotData

VERSION = 1  # of statistics.json


@dataclass(frozen=True, kw_only=True)  # no slots: what is computed once is kept in it
class ScoredDataset:
    """A dataset scored; `outcomes` in the order of the recipe.

    `kind` is ``training`` where the model was fitted to these very assets and labels.
    """

    recipe: Recipe
    labels: Labels
    extraction: Extraction
    pool: str
    outcomes: Sequence[Outcome]
    kind: str = ""

    @cached_property
    def scored(self) -> list[tuple[Outcome, float]]:
        """The assets that have a score, and the score."""
        return [(outcome, outcome.result.pools[self.pool]) for outcome in self.outcomes if outcome.result is not None]

    @cached_property
    def labelled(self) -> list[tuple[Outcome, float, float]]:
        """The assets that have a label and a score: (outcome, label, score)."""
        return [(o, o.asset.groundtruth, score) for o, score in self.scored if o.asset.groundtruth is not None]

    @cached_property
    def statistics(self) -> Statistics | None:
        """How well scores follow labels; None for fewer than two assets that have both."""
        labelled = self.labelled
        if len(labelled) < 2:
            return None
        return statistics([label for _, label, _ in labelled], [score for _, _, score in labelled])

    @cached_property
    def fit(self) -> LogisticFit | None:
        """The logistic curve; None where there is none."""
        return try_logistic_fit([label for _, label, _ in self.labelled], [score for _, _, score in self.labelled])

    @cached_property
    def agreement(self) -> dict[str, Any]:
        """Statistics and curve, as JSON has them."""
        labelled = self.labelled
        return statistics_json([label for _, label, _ in labelled], [score for _, _, score in labelled], self.fit)

    @property
    def what(self) -> str:
        """What was tested, for people, with the pool where it is not the usual one."""
        return shown_extraction(self.extraction, self.pool)

    @property
    def failed(self) -> int:
        """How many assets have no score: missing, failing, or not begun after a failure."""
        return len(self.recipe.missing) + len(self.outcomes) - len(self.scored)


def score_line(dataset: ScoredDataset, outcome: Outcome, score: float) -> str:
    """One asset's score with 6 decimals, as libvmaf prints them."""
    asset = outcome.asset
    name = printable(asset.distorted.path.name)
    line = f"asset {asset.asset_id}: {dataset.extraction.type} {score:.6f} (content {asset.content_id}, {name})"
    if (spread := outcome.spread) is None:
        return line
    interval = f"95 % from {spread.low:.6f} to {spread.high:.6f}"
    return f"{line}; bootstrap: mean {spread.mean:.6f}, sd {spread.sd:.6f}, {interval}"


def statistics_line(dataset: ScoredDataset) -> str:
    """SROCC, PLCC, KROCC and RMSE in a line, PLCC and RMSE also after a logistic fit; or why there are none.

    Labels that a model made are said to be that: following them is no proof of following people. Of the videos that a
    model was fitted to, `train` gives numbers too, and others: the line says what these are of.
    """
    tested = f"{printable(dataset.recipe.name)}, {dataset.what}"
    if dataset.statistics is None:
        few = f"statistics need at least two assets with a label and a score; there are {len(dataset.labelled)}"
        return f"{tested}: {few}"
    line = statistics_text(tested, dataset.agreement, dataset.kind)
    if dataset.kind:
        line += f"; the {dataset.pool.replace('_', ' ')} of the scores of frames"
    return f"{line}; labels: {printable(str(dataset.labels))}" if dataset.labels.source else line


def doubts(dataset: ScoredDataset) -> list[str]:
    """What of labels and scores, of which more is better, is probably a mistake: a line each."""
    content_ids = [outcome.asset.content_id for outcome, _, _ in dataset.labelled]
    labels = [label for _, label, _ in dataset.labelled]
    scores = [score for _, _, score in dataset.labelled]
    found = [score_direction_doubt(content_ids, labels, scores)]
    found += [scale_doubt(labels, scores)] if is_one_scale(dataset) else []
    return [line for line in found if line is not None]


def spread_line(dataset: ScoredDataset) -> str | None:
    """How wide the confidence intervals of a bootstrap model are; None for other models."""
    spreads = [(outcome.spread, outcome.asset.asset_id) for outcome, _ in dataset.scored if outcome.spread is not None]
    if not spreads:
        return None
    low, high = (fmean(getattr(spread, end) for spread, _ in spreads) for end in ("low", "high"))
    widest, asset_id = max((spread.high - spread.low, asset_id) for spread, asset_id in spreads)
    return (
        f"bootstrap: 95 % of a score from {low:.6f} to {high:.6f} on average, {high - low:.6f} wide; "
        f"widest {widest:.6f} (asset {asset_id}); each with --print-result"
    )


@without_garbage_collector()
def write_tables(dataset: ScoredDataset, directory: Path) -> list[Path]:
    """Write `scores.csv` and `statistics.json` into *directory*."""
    scores, summary = directory / "scores.csv", directory / "statistics.json"
    # Names that are not UTF-8 are written as they are.
    with scores.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        has_spreads = any(outcome.spread is not None for outcome in dataset.outcomes)
        spread_of = [each.name for each in fields(Spread)] if has_spreads else []
        head = ["asset_id", "content_id", "distorted", "label", "label_std", "score", "n_frames", "extraction_s"]
        head += ["error", "notes"]
        table.writerow([*head, *(f"bootstrap_{name}" for name in spread_of)])
        for outcome in dataset.outcomes:
            asset, result = outcome.asset, outcome.result
            numbers: tuple[object, ...] = ("", "", "")
            if result is not None:
                numbers = (f"{result.pools[dataset.pool]:.6f}", result.n_frames, result.extraction_s)
            error = str(outcome.error or "").partition("\n")[0]
            spread = [f"{getattr(outcome.spread, name):.6f}" if outcome.spread else "" for name in spread_of]
            label = (asset.groundtruth, asset.groundtruth_std)
            notes = relevant_notes(asset, result.notes) if result else []
            told = "; ".join(f"{note.kind}: {note.side}: {note.text}" for note in notes)
            row = [asset.asset_id, asset.content_id, asset.distorted.path, *label, *numbers, error, told]
            table.writerow([*row, *spread])
        for problem in dataset.recipe.missing:
            table.writerow([problem.asset_id, *[""] * 7, problem.message, "", *("" for _ in spread_of)])
    about = {
        "version": VERSION,
        "dataset": dataset.recipe.name,
        "recipe": str(dataset.recipe.path),
        "executor_id": dataset.extraction.executor_id,
        "pool": dataset.pool,
        "scored": len(dataset.scored),
        "failed": dataset.failed,
        **dataset.labels.as_dict(),
        "statistics_kind": dataset.kind or None,
        "statistics": dataset.agreement if dataset.statistics is not None else None,
    }
    summary.write_text(json.dumps(about, indent=1) + "\n", encoding="ascii")
    return [scores, summary]


@without_garbage_collector()
def write_features(dataset: ScoredDataset, directory: Path) -> list[Path]:
    """Write the mean of each metric over the frames of each scored asset, as training writes its feature table."""
    from vmaf_harness.training.feature_table import write_columns

    results = [outcome.result for outcome, _ in dataset.scored if outcome.result is not None]
    if not results:
        return []
    names = [name for name in results[0].means if all(name in result.means for result in results)]
    assets = [outcome.asset for outcome, _ in dataset.scored]
    features = {name: [result.means[name] for result in results] for name in names}
    return write_columns(directory, assets, [asset.groundtruth for asset in assets], features)


def is_one_scale(dataset: ScoredDataset) -> bool:
    """Whether scores are meant to be labels, as VMAF's are; PSNR and SSIM have scales of their own."""
    return dataset.extraction.type == "VMAF"


def plot_data(dataset: ScoredDataset) -> PlotData:
    """What the plots of a dataset draw, its labelled assets in the order of the recipe."""
    from vmaf_harness.report.label_plot import PlotData

    labelled = dataset.labelled
    assets = [outcome.asset for outcome, _, _ in labelled]
    spreads = [outcome.spread for outcome, _, _ in labelled]
    return PlotData(
        title=f"{dataset.recipe.name}: {dataset.what}",
        labels=[label for _, label, _ in labelled],
        predictions=[score for _, _, score in labelled],
        content_ids=[asset.content_id for asset in assets],
        statistics=dataset.statistics,
        is_one_scale=is_one_scale(dataset),
        label=str(dataset.labels),
        prediction=dataset.what,
        kind=dataset.kind,
        fit=dataset.fit,
        content_names={asset.content_id: asset.shown_content for asset in assets},
        deviations=[asset.groundtruth_std for asset in assets],
        bar=dataset.labels.bar,
        spreads=[(spread.low, spread.high) if spread else None for spread in spreads],
    )


def shown_extraction(extraction: Extraction, pool: str) -> str:
    """What is tested, for people, with the pool where it is not the usual one."""
    return extraction.executor_id + (f", {pool}" if pool != "mean" else "")


def plot_names(recipe: Recipe, extraction: Extraction, pool: str) -> tuple[str, str]:
    """What the plots of a tested dataset are called, without what they end in: of its scores, and of their errors."""
    stem = f"{recipe.name}_{shown_extraction(extraction, pool).replace(', ', '_')}"
    return stem, f"{stem}_residuals"


def write_plots(
    dataset: ScoredDataset, directory: Path, size_inches: tuple[float, float] | None, suffix: str = "png"
) -> list[Path]:
    """Draw scores over labels, and their errors, into *directory*; nothing where no asset has both.

    *suffix* is ``png`` or ``svg``.

    Raises PlotError where that fails.
    """
    labelled = dataset.labelled
    if not labelled:
        return []
    from vmaf_harness.report.label_plot import residual_plot, scatter_plot

    scatter, residual = (
        directory / f"{name}.{suffix}" for name in plot_names(dataset.recipe, dataset.extraction, dataset.pool)
    )
    pairs = plot_data(dataset)
    scatter_plot(scatter, pairs, size_inches)
    return [scatter, residual] if residual_plot(residual, pairs, size_inches) else [scatter]


def printable_lines(text: object) -> str:
    """A message, line by line as a terminal can print it."""
    return "\n".join(map(printable, str(text).split("\n")))
