"""Models that libvmaf does not compute: a workspace's `.pkl`, bootstrap collections, Tiny-AI `.onnx`.

libvmaf extracts their features, which the result store keeps as any; the prediction is made here, frame by frame.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.errors import HarnessError, StatisticsError
from vmaf_harness.measure.extraction import FEATURE_VERSION, Extraction
from vmaf_harness.measure.features import find_feature
from vmaf_harness.measure.metrics import atom_of
from vmaf_harness.measure.scoring import Outcome, PairScore, Spread
from vmaf_harness.measure.store import Result
from vmaf_harness.model.feature_param import FeatureParam, feature_name, option_problem
from vmaf_harness.model.quality_type import BUILT_IN, check_takes_model, extraction, find_type, named_type
from vmaf_harness.plugins import FEATURES as PLUGIN_FEATURES
from vmaf_harness.plugins import PluginError
from vmaf_harness.recipe.file_kind import Kind, kind_of
from vmaf_harness.recipe.plain_data import short_text
from vmaf_harness.statistics import POOLS, pool_all
from vmaf_workspace.commands.flags import meant

if TYPE_CHECKING:
    from vmaf_harness.model.model import Model

Frames = Mapping[str, Sequence[float]]
SCORE = "vmaf"  # what the prediction is called among the metrics
# What libvmaf calls those of a bootstrap model (libvmaf/src/predict.c), by the fields of `Spread`.
SPREAD_METRICS = {"mean": "bagging", "sd": "stddev", "low": "ci_p95_lo", "high": "ci_p95_hi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A model and the features that it needs.

    `scores` predicts each frame from the features' values in it, by their names in the model; `spreads`, of bootstrap
    models, gives mean, sd, low and high of each frame.
    """

    name: str
    features: FeatureParam
    type: str = "VMAF"
    score: str = SCORE
    scores: Callable[[Frames], list[float]]
    spreads: Callable[[Frames], dict[str, list[float]]] | None = None

    @property
    def extraction(self) -> Extraction:
        """What is shown of it: its executor id, and where its features come from."""
        options = self.features.extraction.options
        shown = Extraction(type=self.type, version=self.name, options=options, score=self.score)
        return shown.subsampled(self.features.subsample)

    def predicted(self, outcome: Outcome, pool: str) -> Outcome:
        """The outcome of an extraction with frames, scored; a spread is pooled by *pool*, as the score is."""
        if outcome.result is None or outcome.frames is None:
            return outcome
        try:
            result, _, spread = self._pooled(outcome.result, outcome.frames, pool)
        except HarnessError as error:
            return replace(outcome, result=None, error=error)
        return replace(outcome, result=result, spread=spread)

    def predicted_pair(self, pair: PairScore, pool: str) -> tuple[PairScore, Spread | None]:
        """The same of one pair; its frames get the prediction, and the spread of it (`SPREAD_METRICS`), too."""
        result, predicted, spread = self._pooled(pair.result, pair.frames, pool)
        return replace(pair, result=result, frames={**predicted, **pair.frames}), spread

    def _pooled(
        self, result: Result, frames: Mapping[str, list[float]], pool: str
    ) -> tuple[Result, dict[str, list[float]], Spread | None]:
        columns = self.features.columns(frames)
        scores = self.scores(columns)
        if wrong := sum(not math.isfinite(score) for score in scores):
            raise HarnessError(f"{self.name}: predicts no number for {wrong} of {len(scores)} frames; is it damaged?")
        pools = pool_all(scores)
        predicted, spread = {self.score: scores}, None
        if self.spreads is not None:
            of_frames = self.spreads(columns)
            predicted |= {f"{self.score}_{SPREAD_METRICS[name]}": values for name, values in of_frames.items()}
            with suppress(StatisticsError):
                spread = Spread(**{name: POOLS[pool](values) for name, values in of_frames.items()})
        means = {**result.means, self.score: pools["mean"]}
        return replace(result, pools=pools, means=means), predicted, spread


def resolve_quality_type(
    quality_type: str,
    root: Path,
    *,
    model: str | None = None,
    phone_model: bool = False,
    subsample: int = 1,
    warn: Callable[[str], None],
) -> tuple[Extraction, Predictor | None]:
    """What is extracted for a quality type and model, and who predicts; None where libvmaf itself does.

    *quality_type* is as `named_type` takes it. *model* may be all that `features.extraction` takes, and also a name in
    `model/` of the workspace *root*, or the path of a `.pkl`, of a bootstrap collection in JSON, or of a Tiny-AI
    `.onnx`. One frame in *subsample* is measured. *warn* gets what was chosen where that is left open. Raises
    HarnessError for what is not understood.
    """
    name = named_type(quality_type)
    found = find_type(name)
    check_takes_model(name, model, phone_model)
    phone_model = phone_model or found.phone_model
    predictor = None
    if found.feature is None:
        model = _resolve_model_name(model, root, warn) if model else None
        predictor = _predictor_of(model, phone_model, warn) if model else None
    elif found.of_feature and found.of_feature.mean_of:  # the mean of features of libvmaf, which has none of it itself
        column, features = feature_name(*found.feature), FeatureParam(atoms=(found.feature,))
        predictor = Predictor(
            name=FEATURE_VERSION,
            type=name,
            score=found.feature[1],
            features=features,
            scores=lambda frames: list(frames[column]),
        )
    if predictor is None:
        wanted = extraction(name, model=model, phone_model=phone_model).subsampled(subsample)
    else:
        predictor = replace(predictor, features=replace(predictor.features, subsample=subsample))
        wanted = predictor.features.extraction
    if name == "BOOTSTRAP_VMAF" and (predictor is None or predictor.spreads is None):
        raise HarnessError(f"{model} is no bootstrap model, so it has no interval; say VMAF for it, or train one")
    return wanted, predictor


def _predictor_of(model: str, phone_model: bool, warn: Callable[[str], None]) -> Predictor | None:
    """Who predicts what this model does; None where libvmaf itself does."""
    path = Path(model.removeprefix("path="))
    if path.suffix == ".onnx":
        from vmaf_harness.model.tiny import read_tiny

        if phone_model:
            raise HarnessError(f"{path}: an .onnx has no score transform; leave --vmaf-phone-model out")
        tiny = read_tiny(path)
        for note in tiny.notes:
            warn(note)
        return Predictor(name=_version_name(path, tiny.sha256), features=tiny.features, scores=tiny.predict)
    is_predicted = path.suffix == ".pkl" or (path.suffix == ".json" and _is_predicted_here(path))
    return _model_predictor(path, phone_model) if is_predicted else None


def model_features(model: Model, name: str) -> FeatureParam:
    """The features of a model; HarnessError for those that neither libvmaf nor a plug-in of the model extracts.

    *name* is what errors call it.
    """
    atoms = []
    uses = {use.name: use for use in model.plugins if use.group == PLUGIN_FEATURES}
    for index, feature in enumerate(model.feature_names):
        found = atom_of(feature)
        if found is None or (found[0] not in uses and find_feature(*found) is None):
            raise HarnessError(f"{name}: feature {feature} is none that libvmaf extracts for us")
        atoms.append(found)
        for option, value in (model.feature_opts_dicts[index] if model.feature_opts_dicts else {}).items():
            if (problem := option_problem(option, value)) is not None:
                raise HarnessError(f"{name}: model_dict.feature_opts_dicts: {short_text(option)}: {problem}")
    options = model.feature_opts_dicts or ()
    loaded = tuple(use.load().use for use in uses.values())  # with their atoms
    return FeatureParam(atoms=tuple(atoms), options=options if any(options) else (), plugins=loaded)


def _resolve_model_name(name: str, root: Path, warn: Callable[[str], None]) -> str:
    """The path of a model that a bare name means: a file here, else one of `model/`, else libvmaf's, as it was given.

    Raises HarnessError for a name that none of them has: libvmaf would say so again for each asset.
    """
    if re.search(r"[/\\]", name) or name.startswith(("path=", "version=")):
        return name
    if name.endswith((".pkl", ".json", ".onnx")):
        trained = root / "model" / name
        return str(trained) if os.path.exists(trained) and not os.path.exists(name) else name
    for suffix in (".pkl", ".json", ".bootstrap.json"):
        trained = root / "model" / f"{name}{suffix}"
        if os.path.exists(trained):
            if name in BUILT_IN:
                warn(f"{name} is {trained} here; version={name} is libvmaf's own")
            return str(trained)
    if name not in BUILT_IN and not re.match(r"(vmaf_)?b_", name):  # a collection has an error of its own
        if (found := kind_of(Path(name))) is not None and found[0] not in (Kind.MODEL, Kind.DIRECTORY):
            raise HarnessError(f"{name} is {found[0]}, not a model; `ws.models` lists those")
        raise HarnessError(
            f"there is no model {name!r} in {root / 'model'} or in libvmaf (`ws.models` lists them, version={name} "
            f"asks a newer libvmaf){_meant(name, root)}"
        )
    return name


def _meant(name: str, root: Path) -> str:
    """Which model may be meant by a name that none has: one of `model/` or of libvmaf's."""
    try:
        own = {file.partition(".")[0] for file in os.listdir(root / "model") if file.endswith((".pkl", ".json"))}
    except OSError:
        own = set()
    return meant(name, [*sorted(own), *BUILT_IN])


def _model_predictor(path: Path, phone_model: bool) -> Predictor:
    from vmaf_harness.model.files import read_model
    from vmaf_harness.model.model import group_hash

    model = read_model(path)
    try:
        for use in model.plugins:
            use.load()
    except PluginError as error:
        raise PluginError(f"{path}: {error}") from error
    transform = True if phone_model else None
    if phone_model and model.score_transform is None:
        raise HarnessError(f"{path} has no score transform; leave --vmaf-phone-model out")
    # The texts, too: upstream's .pkl says nothing of the .model beside it.
    digest = hashlib.sha256(path.read_bytes() + group_hash(model.texts()).encode()).hexdigest()

    def spreads(frames: Frames) -> dict[str, list[float]]:
        return {name: column.tolist() for name, column in model.interval(frames, transform=transform).items()}

    return Predictor(
        name=_version_name(path, digest) + ("-phone" if phone_model else ""),
        features=model_features(model, str(path)),
        scores=lambda frames: model.predict(frames, transform=transform).tolist(),
        spreads=spreads if len(model.members) > 1 else None,
    )


def _version_name(path: Path, sha256: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', path.stem)[:80]}-{sha256[:8]}"


def _is_predicted_here(path: Path) -> bool:
    """Whether libvmaf does not compute a JSON: models under 0, 1, …, or features that it does not offer to models.

    What cannot be read is for others to complain of.
    """
    from vmaf_harness.model.files import is_collection, read_model

    try:
        return is_collection(path.read_bytes(), str(path)) or read_model(path).why_no_json is not None
    except (OSError, HarnessError):
        return False
