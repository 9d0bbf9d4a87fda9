"""What a model is made of, for people: the card beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from vmaf_harness.extract import Extracted
from vmaf_harness.parameters import FeatureParam, ModelParam
from vmaf_harness.recipe import Recipe

VERSION = 1  # of the card, and of statistics.json
SUFFIX = ".card.json"
_LIBRARIES = ("numpy", "scikit-learn", "vmaf-workspace")


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
        "feature_options": features.feature_options,
        "parameters": dict(parameters.param_dict),
        "engine": extracted.versions,
        "libraries": {library: version(library) for library in _LIBRARIES},
        "seed": seed,
        "statistics_of": "the assets that the model was fitted to, by the means of their features",
        "statistics": found,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps(about, indent=1).encode("ascii") + b"\n"
