"""A trained VMAF model: what it predicts, and the dictionaries that a `.pkl` and libvmaf's JSON hold of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from vmaf_harness.errors import ForeignModelError, HarnessError
from vmaf_harness.measure.features import NAMES_IN_MODELS, find_feature
from vmaf_harness.measure.metrics import atom_of
from vmaf_harness.model.forest import Forest
from vmaf_harness.model.formula import Curve, Line
from vmaf_harness.model.model_param import (
    CURVE_TYPE,
    DEFAULT_NUM_MODELS,
    FOREIGN_TYPES,
    LINE_TYPE,
    MODEL_TYPES,
    SVR_TYPES,
)
from vmaf_harness.model.plugin_regressor import PluginRegressor
from vmaf_harness.model.svm import Floats, Svm
from vmaf_harness.model.transform import ScoreTransform
from vmaf_harness.plugins import REGRESSORS, PluginUse, uses_of
from vmaf_harness.recipe.plain_data import PLAIN_TYPES, is_number, short_text, to_plain

MAX_FEATURES = 64  # libvmaf reads no more
GROUP_HASH = "group_sha256"
SHARED_FIELDS = (  # of model_dict, by all members of a group; each has its own regressor
    *("model_type", "norm_type", "feature_names", "slopes", "intercepts", "score_clip", "score_transform"),
    *("feature_dict", "feature_opts_dicts", "chroma_correction_parameter", "plugins"),
)
_FIELDS = (*SHARED_FIELDS, GROUP_HASH)
Regressor = Svm | Forest | Line | Curve | PluginRegressor
_SHOWN = 3  # features that an error names
_DELTA = 0.01  # over which libvmaf takes the slope of the score transform (libvmaf/src/predict.c)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A model: its features in the order of the columns, and one regressor or, with bootstrap, several.

    Features and score are rescaled by ``slope · x + intercept``; `slopes` and `intercepts` begin with the score's own,
    and are None where nothing is rescaled. `members[0]` was trained on all rows; it is the model's prediction.
    """

    model_type: str
    feature_names: tuple[str, ...]
    members: tuple[Regressor, ...]
    slopes: tuple[float, ...] | None = None
    intercepts: tuple[float, ...] | None = None
    feature_dict: Mapping[str, Any] = field(default_factory=dict)
    feature_opts_dicts: tuple[Mapping[str, Any], ...] | None = None
    score_clip: tuple[float, float] | None = None
    score_transform: ScoreTransform | None = None
    chroma_correction_parameter: float | None = None
    param_dict: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[PluginUse, ...] = ()  # that its features, or it, come from

    def predict(self, features: Mapping[str, ArrayLike], *, transform: bool | None = None) -> Floats:
        """The score of each row (frame), as libvmaf predicts it.

        *features* has a column of numbers for each of `feature_names`. The score transform is applied where the model
        says so, or as *transform* says; then the score is clipped. Raises HarnessError for a column that is missing.
        """
        return self._finished(self._raw(self.members[0], self._rescaled(features)), transform)

    def interval(self, features: Mapping[str, ArrayLike], *, transform: bool | None = None) -> dict[str, Floats]:
        """`mean`, standard deviation `sd` and 95 % interval, `low` to `high`, of the resampled members, for each row.

        As libvmaf does it: over predictions before transform and clip, which the mean and both ends then go through;
        the deviation is stretched as they stretch at the mean. Raises HarnessError for a model without such members.
        """
        if len(self.members) < 2:
            raise HarnessError(f"a {self.model_type} model of one member has no interval; train a BOOTSTRAP_ one")
        x = self._rescaled(features)
        raw = np.stack([self._raw(member, x) for member in self.members[1:]])
        mean, (low, high) = raw.mean(axis=0), np.percentile(raw, [2.5, 97.5], axis=0)
        above, below = self._finished(mean + _DELTA, transform), self._finished(mean - _DELTA, transform)
        mean, low, high = (self._finished(scores, transform) for scores in (mean, low, high))
        return {"mean": mean, "sd": raw.std(axis=0) * (above - below) / (2 * _DELTA), "low": low, "high": high}

    @property
    def why_no_json(self) -> str | None:
        """Why libvmaf could not load this model, None where it can."""
        if self.plugins:
            return f"libvmaf has no {' and no '.join(use.what for use in self.plugins)}"
        if self.model_type not in SVR_TYPES:
            return f"libvmaf has no {self.model_type}"
        unknown = [name for name in self.feature_names if not _name_in_json(name)]
        if unknown:
            more = [f"{len(unknown) - _SHOWN} more"] if len(unknown) > _SHOWN else []
            return f"libvmaf does not offer {' and '.join([*unknown[:_SHOWN], *more])} to models"
        if len(self.feature_names) > MAX_FEATURES:
            return f"libvmaf reads at most {MAX_FEATURES} features, and the model has {len(self.feature_names)}"
        return None

    def texts(self) -> list[str]:
        """LIBSVM's text of each member; none of a forest."""
        return [member.text() for member in self.members if isinstance(member, Svm)]

    def as_dict(self, texts: Sequence[str]) -> dict[str, Any]:
        """`param_dict` and `model_dict` as upstream pickles them, without the text of a member."""
        first = self.members[0]
        model: dict[str, Any] = {
            "model_type": self.model_type,
            "feature_names": list(self.feature_names),
            "norm_type": "none" if self.slopes is None else "linear_rescale",
        }
        if self.slopes is not None and self.intercepts is not None:
            model |= {"slopes": list(self.slopes), "intercepts": list(self.intercepts)}
        if self.feature_dict:
            atoms_by = self.feature_dict.items()
            model["feature_dict"] = {name: of if isinstance(of, str) else list(of) for name, of in atoms_by}
        if self.feature_opts_dicts is not None:
            model["feature_opts_dicts"] = [dict(options) for options in self.feature_opts_dicts]
        if self.score_clip is not None:
            model["score_clip"] = list(self.score_clip)
        if self.score_transform is not None:
            model["score_transform"] = self.score_transform.as_dict()
        if self.chroma_correction_parameter is not None:
            model["chroma_correction_parameter"] = self.chroma_correction_parameter
        if self.plugins:
            model["plugins"] = [use.as_dict() for use in self.plugins]
        if texts:
            model[GROUP_HASH] = group_hash(texts)
        model["model"] = None if isinstance(first, Svm) else first.as_dict()
        return {"param_dict": dict(self.param_dict), "model_dict": model}

    def as_json_dict(self, texts: Sequence[str], index: int) -> dict[str, Any]:
        """The dictionary that libvmaf reads from JSON, of one member; HarnessError where there can be none."""
        if self.why_no_json:
            raise HarnessError(f"the model cannot be written for libvmaf: {self.why_no_json}")
        made = self.as_dict(texts)
        names = [_name_in_json(name) for name in self.feature_names]
        made["model_dict"] |= {"feature_names": names, "model": texts[index]}
        return made

    def _rescaled(self, features: Mapping[str, ArrayLike]) -> Floats:
        columns = []
        for name in self.feature_names:
            if name not in features:
                raise HarnessError(f"the model needs the feature {name}; given are {', '.join(features)}")
            columns.append(np.asarray(features[name], dtype=np.float64))
        x = chroma_corrected(np.stack(columns, axis=1), self.feature_names, self.chroma_correction_parameter)
        if self.slopes is None or self.intercepts is None:
            return x
        rescaled: Floats = np.array(self.slopes[1:]) * x + np.array(self.intercepts[1:])
        return rescaled

    def _raw(self, member: Regressor, x: Floats) -> Floats:
        scores = member.predict(x)
        if self.slopes is None or self.intercepts is None:
            return scores
        return (scores - self.intercepts[0]) / self.slopes[0]

    def _finished(self, scores: Floats, transform: bool | None) -> Floats:
        if self.score_transform is not None and (self.score_transform.enabled if transform is None else transform):
            scores = self.score_transform.apply(scores)
        if self.score_clip is not None:
            scores = np.clip(scores, self.score_clip[0], self.score_clip[1])
        return scores


def chroma_corrected(x: Floats, names: Sequence[str], parameter: float | None) -> Floats:
    """Features by row, with loss of chroma told from detail where libvmaf found none in chroma: p (1 − adm3) for 0.

    As libvmaf does it (`libvmaf/src/predict.c`), where *parameter* is not 0. HarnessError where the one or the other of
    these two features is missing or there several times, which libvmaf does not answer for.
    """
    if not parameter:
        return x
    found = [[index for index, name in enumerate(names) if part in name] for part in ("speed_chroma", "adm3")]
    if any(len(indices) != 1 for indices in found):
        raise HarnessError("chroma_correction_parameter needs one feature of speed_chroma and one of adm3")
    (chroma,), (detail,) = found
    corrected = x.copy()
    corrected[:, chroma] = np.where(x[:, chroma] == 0.0, parameter * (1.0 - x[:, detail]), x[:, chroma])
    return corrected


def group_hash(texts: Sequence[str]) -> str:
    """sha256 of the texts of all members, which each part of a group carries: parts of two groups never match."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def num_models(info: Mapping[str, Any]) -> int:
    """How many members the group of this model has, as upstream tells it: by the parameters."""
    if info["model_dict"]["model_type"] not in SVR_TYPES[1:]:
        return 1
    count = info["param_dict"].get("num_models", DEFAULT_NUM_MODELS)
    with suppress(ValueError):
        count = to_plain(count)
    return count if type(count) is int and count >= 1 else 1


def check_model_info(info: object, name: str) -> dict[str, Any]:
    """Check the two dictionaries of a model; HarnessError names the field that is wrong. *name* says whose they are."""
    if not isinstance(info, dict) or not isinstance(info.get("model_dict"), dict):
        raise HarnessError(f"{name}: no model: model_dict: expected a dictionary")
    model = dict(info["model_dict"])

    def wrong(key: str, expected: str) -> NoReturn:
        got = f"got {short_text(model[key])}" if key in model else "which is missing"
        raise HarnessError(f"{name}: model_dict.{key}: expected {expected}, {got}")

    if not isinstance(info.get("param_dict", {}), dict):
        raise HarnessError(f"{name}: param_dict: expected a dictionary")
    for key in _FIELDS:
        try:
            model |= {key: to_plain(model[key])} if key in model else {}
        except ValueError:
            wrong(key, PLAIN_TYPES)
    if model.get("model_type") in FOREIGN_TYPES:
        raise ForeignModelError(f"{name}: not read here: a {model['model_type']} model; VMAF's own harness reads it")
    uses = uses_of(model, wrong)
    regressors = [use.name for use in uses if use.group == REGRESSORS]
    if model.get("model_type") not in (*MODEL_TYPES, *regressors):
        wrong("model_type", f"one of {', '.join(MODEL_TYPES)}")
    names = model.get("feature_names")
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) for n in names):
        wrong("feature_names", "a list of names")
    if len(set(names)) != len(names):
        wrong("feature_names", "each name once")
    if model.get("norm_type") not in ("none", "linear_rescale"):
        wrong("norm_type", "none or linear_rescale")
    if model["norm_type"] == "linear_rescale":
        for key in ("slopes", "intercepts"):
            if not _are_numbers(model.get(key), len(names) + 1):
                wrong(key, f"{len(names) + 1} numbers (the score's and one of each feature)")
        if model["slopes"][0] == 0:
            wrong("slopes", "a first slope, the score's, that is not 0")
    if model.get("score_clip") is not None and not _are_numbers(model["score_clip"], 2):
        wrong("score_clip", "[min, max]")
    options = model.get("feature_opts_dicts")
    if options is not None:
        fits = isinstance(options, (list, tuple)) and len(options) == len(names)
        if not fits or not all(isinstance(each, dict) for each in options):
            wrong("feature_opts_dicts", f"{len(names)} dictionaries, one of each feature")
    if not isinstance(model.get("feature_dict") or {}, dict):
        wrong("feature_dict", "a dictionary")
    chroma = model.get("chroma_correction_parameter")
    if chroma is not None and not _are_numbers([chroma], 1):
        wrong("chroma_correction_parameter", "a number")
    return {**info, "model_dict": model}


def build_model(info: Mapping[str, Any], texts: Sequence[tuple[str, str]], name: str) -> Model:
    """The model of checked dictionaries and (text, its name) of each member; HarnessError where they do not fit."""
    model = info["model_dict"]
    # Those that libvmaf's JSON has are called so there alone.
    names = tuple(
        name if find_feature(*(atom_of(name) or ("", ""))) else NAMES_IN_MODELS.get(name, name)
        for name in model["feature_names"]
    )
    uses = tuple(map(PluginUse.of, model.get("plugins") or ()))
    members: tuple[Regressor, ...] = tuple(Svm.of_text(text, len(names), whose) for text, whose in texts)
    if model["model_type"] not in SVR_TYPES:
        kinds: dict[str, type[Line] | type[Curve]] = {LINE_TYPE: Line, CURVE_TYPE: Curve}
        kind = kinds.get(model["model_type"], Forest)
        of_plugin = next((use for use in uses if use.group == REGRESSORS and use.name == model["model_type"]), None)
        where = f"{name}: model_dict.model"
        if of_plugin is not None:
            members = (PluginRegressor.of(model.get("model"), of_plugin, where),)
        else:
            members = (kind.of(model.get("model"), len(names), where),)
    try:
        transform = ScoreTransform.of(model["score_transform"]) if model.get("score_transform") is not None else None
    except ValueError as error:
        raise HarnessError(f"{name}: model_dict.score_transform: {error}") from None
    rescales = model["norm_type"] == "linear_rescale"
    clip, options = model.get("score_clip"), model.get("feature_opts_dicts")
    chroma = model.get("chroma_correction_parameter")
    return Model(
        model_type=model["model_type"],
        feature_names=names,
        members=members,
        slopes=tuple(map(float, model["slopes"])) if rescales else None,
        intercepts=tuple(map(float, model["intercepts"])) if rescales else None,
        feature_dict=model.get("feature_dict") or {},
        feature_opts_dicts=tuple(options) if options is not None else None,
        score_clip=(float(clip[0]), float(clip[1])) if clip is not None else None,
        score_transform=transform,
        chroma_correction_parameter=float(chroma) if chroma is not None else None,
        param_dict=info.get("param_dict", {}),
        plugins=uses,
    )


def _name_in_json(name: str) -> str:
    """What libvmaf calls a feature of a model; blank where it does not offer it. A name unknown here it may know."""
    found = find_feature(*(atom_of(name) or ("", "")))
    return found.name_in_model if found else name


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == count and all(map(is_number, value))
