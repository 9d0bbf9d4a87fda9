"""Labels from raw opinion scores: what a panel of observers says of each video, as one number.

MOS and DMOS are computed here; the models that weigh or reject observers come from the library `sureal`, in the extra
``subjective``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_workspace.installation import install_command

DEFAULT_MODEL = "MLE_CO_AP2"  # ITU-T P.910 Annex E: observers weighed by bias and inconsistency
OWN_MODELS = ("MOS", "DMOS")
SUREAL_MODELS = (
    *("MLE_CO_AP2", "MLE_CO_AP", "MLE_CO", "MLE", "DMOS_MLE", "DMOS_MLE_CO"),
    *("SR_MOS", "SR_DMOS"),  # ITU-R BT.500: observers rejected
    *("BR_MOS", "BR_SR_MOS"),  # ITU-T P.913 12.4: bias removed, then observers rejected
    *("ZS_MOS", "ZS_SR_MOS", "ZS_SR_DMOS", "LS", "LIVE_DMOS"),
)
MODELS = OWN_MODELS + SUREAL_MODELS


def label_assets(
    recipe: Recipe, model: str | None = None, *, warn: Callable[[str], None] = lambda _: None
) -> tuple[Asset, ...]:
    """The recipe's assets with `groundtruth` (and its standard error, where the model gives one) from their raw scores.

    Without `model`, labels that the recipe has are kept, and raw scores go through DEFAULT_MODEL. It is the same one
    whatever is installed: a label must not depend on the machine. Only assets whose files are there take part.
    `model` makes labels only from raw scores: *warn* is told that a recipe with labels of its own keeps them.

    Raises HarnessError for an unknown model, for one that needs scores which the recipe lacks, and without `sureal`.
    """
    if model is not None and model not in MODELS:
        raise HarnessError(f"unknown subjective model {model!r}; known are {', '.join(MODELS)}")
    if recipe.label_kind != "os":
        if model is None:
            return recipe.assets
        if recipe.label_kind is None:
            raise HarnessError(
                f"{recipe.path}: {model} needs raw scores ('os'), and this recipe has no label; add them"
            )
        warn(f"{recipe.path}: {model} is not used: this recipe has labels of its own ({recipe.label_kind})")
        return recipe.assets
    scored = [asset for asset in recipe.assets if asset.raw_scores is not None]
    if not scored:
        return recipe.assets
    if lacking := [asset for asset in scored if not _all_scores(asset)]:
        raise HarnessError(f"{recipe.path}: asset {lacking[0].asset_id} has no score at all; remove its 'os', or it")
    model = model or DEFAULT_MODEL
    if model == "MOS":
        labels = [mean_opinion_score(asset) for asset in scored]
    elif model == "DMOS":
        labels = _differential_scores(recipe, scored)
    else:
        labels = _sureal_scores(recipe, scored, model)
    decimals = _decimals(scored, recipe.ref_score)
    labelled: dict[int, Asset] = {}
    for asset, (score, standard_error) in zip(scored, labels, strict=True):
        if not math.isfinite(score):
            raise HarnessError(f"{recipe.path}: {model} gives asset {asset.asset_id} no number; try MOS or DMOS")
        finite = standard_error is not None and math.isfinite(standard_error)
        labelled[asset.asset_id] = replace(
            asset, groundtruth=round(score, decimals) + 0.0, groundtruth_std=standard_error if finite else None
        )
    return tuple(labelled.get(asset.asset_id, asset) for asset in recipe.assets)


def _decimals(assets: Sequence[Asset], ref_score: float | None) -> int:
    """Decimals of a label: 12 digits of the largest score, so that videos which a panel liked equally are equal.

    Sums in another order give 2.4 and 2.3999999999999995, which are two ranks to SROCC: 0.8768 instead of 0.9115 on
    9 assets.
    """
    largest = max(abs(score) for score in (ref_score or 0.0, *(s for asset in assets for s in _all_scores(asset))))
    return 11 - math.floor(math.log10(largest)) if largest else 12


def mean_opinion_score(asset: Asset) -> tuple[float, float | None]:
    """Mean of all scores, and its standard error (None for a single score), as ITU-R BT.500 has them.

    Repeated scores of an observer count one by one; missing ones (NaN) do not count.
    """
    scores = _all_scores(asset)
    error = statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None
    return statistics.fmean(scores), error


def _all_scores(asset: Asset) -> list[float]:
    return [score for _, scores in asset.raw_scores or () for score in scores if not math.isnan(score)]


def _differential_scores(recipe: Recipe, assets: Sequence[Asset]) -> list[tuple[float, float | None]]:
    """DMOS = MOS − MOS of the hidden reference + `ref_score` (hidden reference removal, ITU-T P.913)."""
    ref_score = _ref_score(recipe, "DMOS")
    of_reference: dict[int, float] = {}
    for asset in assets:
        if asset.distorted.path == asset.reference.path:
            if asset.content_id in of_reference:
                problem = f"content {asset.content_id} has its reference twice among dis_videos; DMOS needs it once"
                raise HarnessError(f"{recipe.path}: {problem}")
            of_reference[asset.content_id] = mean_opinion_score(asset)[0]
    labels = []
    for asset in assets:
        if asset.content_id not in of_reference:
            raise HarnessError(
                f"{recipe.path}: DMOS needs scores of the reference itself, and content {asset.content_id} has none; "
                "add its reference to dis_videos, or use MOS"
            )
        score, standard_error = mean_opinion_score(asset)
        labels.append((score - of_reference[asset.content_id] + ref_score, standard_error))
    return labels


def _ref_score(recipe: Recipe, model: str) -> float:
    if recipe.ref_score is None:
        raise HarnessError(f"{recipe.path}: {model} needs ref_score, the score of a perfect video; add it, or use MOS")
    return recipe.ref_score


def _sureal_scores(recipe: Recipe, assets: Sequence[Asset], model: str) -> list[tuple[float, float | None]]:
    if importlib.util.find_spec("sureal") is None:
        raise HarnessError(
            f"the subjective model {model} comes from the library sureal, which is not installed: "
            f"`{install_command('subjective')}`, or use MOS or DMOS"
        )
    if "DMOS" in model:
        _ref_score(recipe, model)
    dataset = SimpleNamespace(
        ref_videos=[
            {"content_id": content, "path": path}
            for content, path in {asset.content_id: str(asset.reference.path) for asset in assets}.items()
        ],
        dis_videos=[
            {
                "content_id": asset.content_id,
                "asset_id": asset.asset_id,
                "path": str(asset.distorted.path),
                "os": _scores_by_observer(recipe, asset, assets[0]),
            }
            for asset in assets
        ],
        ref_score=recipe.ref_score,
    )
    # It prints each iteration to stdout, which is ours for results, and warns on its way to an AIC that nobody reads.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sureal.dataset_reader import RawDatasetReader
        from sureal.subjective_model import SubjectiveModel

        solver = next(known for known in SubjectiveModel.get_subclasses_recursively() if model == known.TYPE)
        try:
            result: dict[str, Any] = solver(RawDatasetReader(dataset)).run_modeling()
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise HarnessError(
                f"{recipe.path}: {model} cannot be computed from these scores: {error or type(error).__name__}; "
                "try MOS or DMOS"
            ) from error
    errors = result.get("quality_scores_std", [None] * len(assets))
    return [
        (float(score), None if error is None else float(error))
        for score, error in zip(result["quality_scores"], errors, strict=True)
    ]


def _scores_by_observer(recipe: Recipe, asset: Asset, first: Asset) -> dict[int | str, list[float]]:
    """Scores by observer. Positions in lists name the same people only where all lists have the same length."""
    scores, others = asset.raw_scores or (), first.raw_scores or ()
    if isinstance(scores[0][0], int) != isinstance(others[0][0], int):
        list_of, dictionary_of = (asset, first) if isinstance(scores[0][0], int) else (first, asset)
        raise HarnessError(
            f"{recipe.path}: the scores of asset {list_of.asset_id} are a list, and those of asset "
            f"{dictionary_of.asset_id} a dictionary, so nobody can tell who gave them; name the observers everywhere"
        )
    if (isinstance(scores[0][0], int) or isinstance(others[0][0], int)) and (
        [observer for observer, _ in scores] != [observer for observer, _ in others]
    ):
        raise HarnessError(
            f"{recipe.path}: asset {asset.asset_id} has {len(scores)} observers and asset {first.asset_id} has "
            f"{len(others)}, in lists; name them in dictionaries, or put None where a score is missing"
        )
    return {observer: list(given) for observer, given in scores}
