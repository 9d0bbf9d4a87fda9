"""A trained model for people: its card, what it was proved on, the ranges of its features, how to use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vmaf_harness.engine.ffmpeg import escape_option
from vmaf_harness.errors import HarnessError
from vmaf_harness.model.files import read_model
from vmaf_harness.report.summary import SummaryEntry
from vmaf_harness.training.card import SUFFIX
from vmaf_workspace.disk.atomic import read_regular

_SUFFIXES = (".pkl", ".json", ".bootstrap", SUFFIX.removesuffix(".json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRange:
    """A feature and the values that the model was fitted on; None where the model does not keep them."""

    name: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """All of it. `card` is the file as it is; `validated` are the newest statistics of contents that were not seen.

    They are of a cross-validation of the same dataset and kind of model; None where none is in output/. `uses` are
    (what for, command).
    """

    name: str
    card: dict[str, Any]
    labels: str | None
    validated: dict[str, Any] | None
    features: tuple[FeatureRange, ...]
    uses: tuple[tuple[str, str], ...]


def read_model_report(root: Path, given: str, entries: Sequence[SummaryEntry]) -> ModelReport | None:
    """What is known of a model, named as for --vmaf-model; None for one without a card, such as a built-in one.

    Raises HarnessError where its files cannot be read.
    """
    path = Path(given.removeprefix("path="))
    name = path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    directory = path.parent if path.name != str(path) or path.exists() else root / "model"
    file = directory / f"{name}{SUFFIX}"
    try:
        card = json.loads(read_regular(file, follow=True))
        if not isinstance(card, dict) or not isinstance(card["dataset"], dict):
            raise ValueError
        dataset, kind = card["dataset"]["name"], card["model_type"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise HarnessError(f"{file} is no card of a model ({error}); train the model again, or name another") from error
    own = next((each for each in entries if each.path == f"model/{name}{SUFFIX}"), None)
    proofs = [each for each in entries if each.run == "cross-validation" and each.statistics["n"]]
    proofs = [each for each in proofs if each.dataset == dataset and each.model in ("", kind)]
    newest = max(proofs, key=lambda each: each.made_s, default=None)
    return ModelReport(
        name=name,
        card=card,
        labels=own.labels if own else None,
        validated=asdict(newest) if newest else None,
        features=_ranges(directory, name, card),
        uses=_uses(directory, name),
    )


def _ranges(directory: Path, name: str, card: dict[str, Any]) -> tuple[FeatureRange, ...]:
    model = read_model(directory / f"{name}.pkl")
    parameters = card.get("parameters")
    by_ends = isinstance(parameters, dict) and parameters.get("norm_type") == "clip_0to1"
    if not by_ends or model.slopes is None or model.intercepts is None:
        return tuple(FeatureRange(name=each, low=None, high=None) for each in model.feature_names)
    # Rescaled to 0…1, from the least value of the training set to the greatest; the first pair is the score's.
    pairs = zip(model.feature_names, model.slopes[1:], model.intercepts[1:], strict=True)
    return tuple(
        FeatureRange(name=each, low=-intercept / slope, high=(1 - intercept) / slope)
        if slope
        else FeatureRange(name=each, low=None, high=None)
        for each, slope, intercept in pairs
    )


def _uses(directory: Path, name: str) -> tuple[tuple[str, str], ...]:
    pkl, json_file = directory / f"{name}.pkl", directory / f"{name}.json"
    uses = []
    if json_file.exists():
        graph = f"libvmaf=model={escape_option(f'path={json_file}')}"
        uses.append(("in ffmpeg", f"ffmpeg -i DISTORTED -i REFERENCE -lavfi '{graph}' -f null -"))
    pair = "--reference REFERENCE --distorted DISTORTED"
    uses.append(("one pair of videos", f"vmaf-harness score {pair} --vmaf-model {name}"))
    uses.append(("a dataset", f"vmaf-harness test RECIPE --vmaf-model {pkl.name} --print-result"))
    return tuple(uses)
