"""What a model is made of, for people: the card beside it, and the statistics of how well predictions follow labels."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from vmaf_harness.errors import StatisticsError
from vmaf_harness.extract import Extracted
from vmaf_harness.parameters import FeatureParam, ModelParam
from vmaf_harness.recipe import Recipe
from vmaf_harness.statistics import logistic_fit, statistics

VERSION = 1  # of the card, and of statistics.json
SUFFIX = ".card.json"
_LIBRARIES = ("numpy", "scikit-learn", "vmaf-workspace")


def agreement(labels: Sequence[float], predictions: Sequence[float]) -> dict[str, Any]:
    """SROCC, PLCC, KROCC and RMSE as JSON has them, null where one is not defined; `logistic` after such a fit."""
    try:
        made = asdict(statistics(labels, predictions))
    except StatisticsError as error:
        return {"n": len(labels), "note": str(error)}
    with suppress(StatisticsError):  # too few for a curve
        made["logistic"] = _finite(asdict(logistic_fit(labels, predictions)))
    return _finite(made)


def agreement_line(name: str, found: Mapping[str, Any]) -> str:
    """The same in a line."""
    numbers = [
        f"{key.upper()} {found[key]:.4f}" for key in ("srocc", "plcc", "krocc", "rmse") if found.get(key) is not None
    ]
    note = f" ({found['note']})" if found.get("note") else ""
    return f"{name}, {found['n']} assets: {', '.join(numbers) or 'no statistics'}{note}"


def card(
    name: str,
    recipe: Recipe,
    extracted: Extracted,
    features: FeatureParam,
    parameters: ModelParam,
    *,
    dataset_sha256: str,
    subjective_model: str | None,
    seed: int,
    found: Mapping[str, Any],
) -> bytes:
    """The `.card.json` of a model called *name*; *found* is its `agreement` with what it was fitted to."""
    about = {
        "version": VERSION,
        "model": name,
        "model_type": parameters.model_type,
        "dataset": {
            "name": recipe.name,
            "recipe": os.path.basename(recipe.path),
            "sha256": dataset_sha256,
            "assets": len(extracted.assets),
            "contents": len(set(extracted.content_ids)),
            "left_out": len(recipe.missing) + len(extracted.outcomes) - len(extracted.assets),
            "label": recipe.label_kind,
            "subjective_model": subjective_model,
        },
        "features": list(features.feature_names),
        "feature_options": {name: dict(options) for name, options in features.options.items()},
        "parameters": dict(parameters.param_dict),
        "engine": extracted.versions,
        "libraries": {library: version(library) for library in _LIBRARIES},
        "seed": seed,
        "statistics_of": "the assets that the model was fitted to, by the means of their features",
        "statistics": found,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps(about, indent=1).encode("ascii") + b"\n"


def _finite(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    return {
        name: None if isinstance(number, float) and not math.isfinite(number) else number
        for name, number in numbers.items()
    }
