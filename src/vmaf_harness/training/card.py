"""What a model is made of, for people: the card beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import ModelParam, plugins_of
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import Labels
from vmaf_harness.training.feature_table import ExtractedFeatures, content_hash
from vmaf_workspace.disk.atomic import read_regular

VERSION = 1  # of the card, and of statistics.json
SUFFIX = ".card.json"
_LIBRARIES = ("numpy", "scikit-learn", "vmaf-workspace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a command that trains names, read and checked; no video was opened yet."""

    root: Path
    recipe: Recipe
    labels: Labels
    assets: Sequence[Asset]
    features: FeatureParam
    parameters: ModelParam

    @property
    def of_frames(self) -> str:
        """What follows the name of a number where not every frame was measured."""
        return f", one frame in {self.features.subsample}" if self.features.subsample > 1 else ""


def card_bytes(
    name: str, inputs: Inputs, extracted: ExtractedFeatures, *, seed: int, pool: str, found: Mapping[str, Any]
) -> bytes:
    """The `.card.json` of a model called *name*; *found* are its `statistics_json` with what it was fitted to.

    *pool* is what made one number of a feature's frames. Raises HarnessError where a video cannot be read.
    """
    recipe, features, parameters = inputs.recipe, inputs.features, inputs.parameters
    about = {
        "version": VERSION,
        "model": name,
        "model_type": parameters.model_type,
        "dataset": {
            "name": recipe.name,
            "recipe": os.path.basename(recipe.path),
            "sha256": content_hash(extracted.assets, inputs.root),
            "assets": len(extracted.assets),
            "contents": len(set(extracted.content_ids)),
            "left_out": len(recipe.missing) + len(extracted.outcomes) - len(extracted.assets),
            **inputs.labels.as_dict(),
        },
        "features": list(features.feature_names),
        "feature_options": features.feature_options,
        "parameters": dict(parameters.param_dict),
        "engine": extracted.versions,
        "libraries": {library: version(library) for library in _LIBRARIES},
        "seed": seed,
        "statistics_kind": "training",
        "feature_pool": pool,
        "subsample": features.subsample,
        "statistics_of": f"the assets that the model was fitted to, by the {pool} of their features"
        + (f" in one frame in {features.subsample}" if features.subsample > 1 else ""),
        "statistics": found,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if uses := plugins_of(features, parameters):
        about["plugins"] = [use.as_dict() for use in uses]
    return json.dumps(about, indent=1).encode("ascii") + b"\n"


def is_of_run(path: Path, inputs: Inputs, *, seed: int, pool: str) -> bool:
    """Whether the model *path*, a `.pkl`, may be of a run of these arguments, as far as its card can tell."""
    features, parameters = inputs.features, inputs.parameters
    try:
        about = json.loads(read_regular(path.with_name(path.name.removesuffix(".pkl") + SUFFIX), follow=True))
        dataset = about["dataset"]
        expected = {"name": inputs.recipe.name, **inputs.labels.as_dict()}
        asked = json.loads(json.dumps([features.feature_options, dict(parameters.param_dict)]))
        return bool(
            {name: dataset[name] for name in expected} == expected
            and about["model_type"] == parameters.model_type
            and about["features"] == list(features.feature_names)
            and [about["feature_options"], about["parameters"]] == asked
            and about["seed"] == seed
            and about.get("feature_pool", "mean") == pool  # a card of before had no other
            and about.get("subsample", 1) == features.subsample
            and about.get("plugins", []) == [use.as_dict() for use in plugins_of(features, parameters)]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def is_of_training(model: str, root: Path, dataset: str, assets: Sequence[Asset]) -> bool:
    """Whether *model*, as `resolve_quality_type` takes it, was fitted to exactly these assets and labels, by its card.

    Statistics of such a test are those of training, and flatter the model. Videos are hashed only where the card names
    a dataset of this name with as many assets.
    """
    path = Path(model.removeprefix("path="))
    if path.name == model and not path.exists():
        path = root / "model" / path
    stem = path.name.removesuffix(".pkl").removesuffix(".json").removesuffix(".bootstrap")
    try:
        about = json.loads(read_regular(path.with_name(stem + SUFFIX), follow=True))["dataset"]
        if (about["name"], about["assets"]) != (dataset, len(assets)):
            return False
        return bool(about["sha256"] == content_hash(assets, root))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, HarnessError):
        return False  # no card, or none of ours
