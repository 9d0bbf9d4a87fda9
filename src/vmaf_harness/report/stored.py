"""A dataset's scores as the result store has them: nothing is measured, and nothing is written but times of use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.scoring import Outcome, PairScore, check_pool
from vmaf_harness.measure.store import FileResultStore
from vmaf_harness.model.predictor import Predictor, resolve_quality_type
from vmaf_harness.model.quality_type import BUILT_IN, extraction
from vmaf_harness.model.v1 import STANDARD, choose, means_v1, shown_of
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.recipe.labels import labels_of
from vmaf_harness.recipe.subjective import label_assets
from vmaf_harness.report.testing import ScoredDataset
from vmaf_harness.training.card import is_of_training


def stored_dataset(
    root: Path,
    path: Path,
    *,
    quality_type: str = "VMAF",
    model: str | None = None,
    pool: str = "mean",
    warn: Callable[[str], None],
) -> ScoredDataset:
    """The dataset of a recipe with the scores that are stored; outcomes without one have neither result nor error.

    Without a *model*, VMAF is the one whose scores the labels are, where the recipe says so. Frames, and those of a
    model that predicts here, are in the outcomes. Raises HarnessError for what `read_recipe` and `resolve_quality_type`
    refuse.
    """
    recipe = read_recipe(path, search=[root / "dataset"])
    for warning in recipe.warnings:
        warn(warning)
    if model is None and quality_type == "VMAF":
        model = _teacher(recipe)
    assets, engine = label_assets(recipe, None, warn=warn), find_engine()
    is_chosen = means_v1(model, root)  # a model for each asset
    wanted, predictor = resolve_quality_type(quality_type, root, model=STANDARD if is_chosen else model, warn=warn)
    stores: dict[str, FileResultStore] = {}
    outcomes = []
    for asset in assets:
        own = wanted
        if is_chosen:
            try:
                own = extraction("VMAF", model=choose(asset, engine.path).model)
            except HarnessError as error:
                outcomes.append(Outcome(asset=asset, error=error))
                continue
        if own.executor_id not in stores:
            stores[own.executor_id] = FileResultStore(root, own, engine, warn=warn)
            stores[own.executor_id].hash_contents(assets)
        outcomes.append(_outcome(asset, stores[own.executor_id], own, predictor, pool))
    if is_chosen:
        models = [each for each in BUILT_IN if extraction("VMAF", model=each).executor_id in stores]
        wanted = shown_of(models) if models else wanted
    scored = [outcome.asset for outcome in outcomes if outcome.result is not None]
    is_training = bool(scored) and model is not None and is_of_training(model, root, recipe.name, scored)
    return ScoredDataset(
        recipe=recipe,
        labels=labels_of(recipe, None),
        extraction=predictor.extraction if predictor is not None else wanted,
        pool=pool,
        outcomes=outcomes,
        kind="training" if is_training else "",
    )


def _teacher(recipe: Recipe) -> str | None:
    """The built-in model whose scores the labels are; None where they are somebody's opinions, or another's scores."""
    of_name = {extraction("VMAF", model=version).executor_id: version for version in BUILT_IN}
    version = of_name.get(recipe.label_source or "")
    if version is None and (recipe.label_source or "").startswith("VMAF_V1."):
        return "v1"  # several of v1's, one for each asset
    return f"version={version}" if version is not None else None


def _outcome(
    asset: Asset, store: FileResultStore, wanted: Extraction, predictor: Predictor | None, pool: str
) -> Outcome:
    try:
        result, frames, spread = store.get(asset), store.frames(asset), None
        if result is None or frames is None:
            return Outcome(asset=asset)
        if predictor is not None:
            pair, spread = predictor.predicted_pair(PairScore(result=result, frames=frames), pool)
            result, frames = pair.result, pair.frames
            wanted = predictor.extraction
        # Only the score: all metrics of all frames of 500 encodes would fill the memory.
        frames = {wanted.score: frames[wanted.score]}
        return check_pool(Outcome(asset=asset, result=result, cached=True, frames=frames, spread=spread), pool)
    except HarnessError as error:
        return replace(Outcome(asset=asset), error=error)
