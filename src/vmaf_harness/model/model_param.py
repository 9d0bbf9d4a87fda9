"""Reads `model_param` files: how a model is fitted to its features, and what is done to its scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vmaf_harness.errors import HarnessError, RecipeError
from vmaf_harness.model.feature_param import FILE_NAMES, FeatureParam, MakeError, error_maker
from vmaf_harness.model.transform import ScoreTransform
from vmaf_harness.plugins import REGRESSORS, PluginUse, find, installed, load, refuse_taken_names
from vmaf_harness.recipe.dataset import read_parameters
from vmaf_harness.recipe.plain_data import PLAIN_TYPES, is_number, short_text, to_plain
from vmaf_harness.recipe.positions import Place

SVR_TYPES = ("LIBSVMNUSVR", "BOOTSTRAP_LIBSVMNUSVR", "RESIDUEBOOTSTRAP_LIBSVMNUSVR")
FOREST_TYPES = ("RANDOMFOREST", "EXTRATREES")
LINE_TYPE, CURVE_TYPE = "LINEARREG", "5PL"
MODEL_TYPES = (*SVR_TYPES, *FOREST_TYPES, LINE_TYPE, CURVE_TYPE)
# Further kinds of model that VMAF's own harness has (TYPE in python/vmaf/core/*train_test_model.py).
FOREIGN_TYPES = ("NIQE", "MOMENTRANDOMFOREST", "BOOTSTRAP_RANDOMFOREST", "RESIDUEBOOTSTRAP_RANDOMFOREST")
KERNELS = ("rbf", "linear", "poly", "sigmoid")
NORM_TYPES = ("none", "clip_0to1", "clip_minus1to1", "normalize", "custom_clip_0to1")
DEFAULT_NUM_MODELS = 101  # one on all rows and 100 resamples, as VMAF's own harness has it

MAX_C = 1_000_000  # what LIBSVM's solver does not get through; people search up to 2^15
_MAX_MB = 1_000_000
_SVR_PARAMETERS: Mapping[str, tuple[Any, Callable[[Any], bool], str]] = {  # default, which values, and these in words
    "kernel": ("rbf", lambda v: v in KERNELS, f"one of {', '.join(KERNELS)}"),
    "gamma": (0.0, lambda v: is_number(v) and v >= 0, "a number from 0"),
    "C": (1.0, lambda v: is_number(v) and 0 < v <= MAX_C, f"a positive number up to {MAX_C}"),
    "nu": (0.5, lambda v: is_number(v) and 0 < v <= 1, "a number above 0, at most 1"),
    "cache_size": (200.0, lambda v: is_number(v) and 0 < v <= _MAX_MB, "a positive number of MB"),
    "degree": (3, lambda v: _is_whole(v, 1) and v <= 100, "an integer from 1 to 100"),
    "coef0": (0.0, is_number, "a number"),
}
# Those of scikit-learn's RandomForestRegressor; None is its default.
_CRITERIA = ("squared_error", "absolute_error", "friedman_mse", "poisson", "mse", "mae")
_FOREST_PARAMETERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "n_estimators": (lambda v: _is_whole(v, 1) and v < 10_000, "an integer from 1 to 9999"),
    "criterion": (lambda v: v in _CRITERIA, f"one of {', '.join(_CRITERIA)}"),
    "max_depth": (lambda v: _is_whole(v, 1), "an integer from 1"),
    "min_samples_split": (lambda v: _is_whole(v, 2) or _is_share(v), "an integer from 2, or a share up to 1.0"),
    "min_samples_leaf": (lambda v: _is_whole(v, 1) or (_is_share(v) and v < 1), "an integer from 1, or a share"),
    "min_weight_fraction_leaf": (lambda v: is_number(v) and 0 <= v <= 0.5, "a number from 0 to 0.5"),
    "max_features": (
        lambda v: v in ("auto", "sqrt", "log2") or _is_whole(v, 1) or _is_share(v),
        "auto, sqrt, log2, an integer from 1, or a share up to 1.0",
    ),
    "max_leaf_nodes": (lambda v: _is_whole(v, 2), "an integer from 2"),
    "min_impurity_decrease": (lambda v: is_number(v) and v >= 0, "a number from 0"),
    "bootstrap": (lambda v: isinstance(v, bool), "true or false"),
    "random_state": (lambda v: type(v) is int and 0 <= v < 1 << 32, "an integer from 0 to 4294967295"),
    "ccp_alpha": (lambda v: is_number(v) and v >= 0, "a number from 0"),
    "max_samples": (lambda v: _is_whole(v, 1) or _is_share(v), "an integer from 1, or a share up to 1.0"),
}
# Parameters of every model. dis1st_thr works on a feature (Moment's dis1st) that no model here has.
_COMMON = (
    *("norm_type", "custom_clip_0to1_map", "score_clip", "score_transform", "num_models", "dis1st_thr"),
    "chroma_correction_parameter",  # here only: VMAF's own harness has it in models, not in parameter files
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParam:
    """How a model is fitted, and what is done to its scores.

    `param_dict` is what the file said, kept with the model. `custom_ranges` are the ends that ``custom_clip_0to1``
    takes instead of a feature's own least and greatest value. `num_models` counts model 0. With a
    `chroma_correction_parameter`, no loss of chroma counts as that of detail (`model.chroma_corrected`). `plugin` is
    the regressor of a package that the type names, and `of_plugin` the parameters that it gets.
    """

    model_type: str
    param_dict: Mapping[str, Any]
    norm_type: str
    custom_ranges: Mapping[str, tuple[float, float]]
    score_clip: tuple[float, float] | None
    score_transform: ScoreTransform | None
    num_models: int
    svr: Mapping[str, Any]  # as scikit-learn has them, but for `gamma` 0, which means 1 / number of features (LIBSVM)
    forest: Mapping[str, Any]
    plugin: PluginUse | None = None
    of_plugin: Mapping[str, Any] = field(default_factory=dict)
    chroma_correction_parameter: float | None = None

    def is_other_scale(self, labels: Sequence[float]) -> bool:
        """Whether labels are further outside `score_clip` than a tenth of it: not of that scale.

        Nearer ones may be right: a DMOS goes above a perfect video's score where people preferred the encode.
        """
        if self.score_clip is None or not labels:
            return False
        low, high = self.score_clip
        return max(low - min(labels), max(labels) - high) > 0.1 * (high - low)

    def outside_clip(self, labels: Sequence[float]) -> str | None:
        """What a person should know of labels that no prediction can reach; None where all lie in `score_clip`."""
        if self.score_clip is None or not labels:
            return None
        low, high = self.score_clip
        outside = sum(not low <= label <= high for label in labels)
        if not outside:
            return None
        return (
            f"{outside} of {len(labels)} labels are outside score_clip [{low:g}, {high:g}]: they go from "
            f"{min(labels):g} to {max(labels):g}, and predictions are cut off there; "
            "give score_clip the scale of the labels, or leave it out"
        )


def plugins_of(features: FeatureParam, parameters: ModelParam) -> tuple[PluginUse, ...]:
    """The plug-ins that a model of these comes from."""
    return (*features.plugins, *((parameters.plugin,) if parameters.plugin else ()))


def read_model_param(path: Path) -> ModelParam:
    """Read a `model_param` file as data, or a pickled set of the same two names.

    Raises RecipeError, with line and place, for what is not understood, HarnessError for a pickle that is no such set.
    """
    if path.suffix != ".pkl":
        return _parse_model_param(read_parameters(path, FILE_NAMES), error_maker(path), path)
    from vmaf_harness.model.pickles import read

    values = read(path)
    if not isinstance(values, dict):
        raise RecipeError(path, "expected a pickled dictionary with model_type and model_param_dict")

    def wrong(place: Place, problem: str) -> HarnessError:
        return RecipeError(path, problem, place=".".join(map(str, place)))

    return _parse_model_param(values, wrong, path)


def build_model_param(model_type: str, param_dict: Mapping[str, Any]) -> ModelParam:
    """The same from values; HarnessError, naming the parameter, for what is not understood."""

    def wrong(place: Place, problem: str) -> HarnessError:
        return HarnessError(f"{'.'.join(map(str, place))}: {problem}")

    return _parse_model_param({"model_type": model_type, "model_param_dict": dict(param_dict)}, wrong, None)


def _parse_model_param(values: Mapping[str, Any], wrong: MakeError, path: Path | None) -> ModelParam:
    for name in ("model_type", "model_param_dict"):
        if name not in values:
            where = f"{path}: " if path else ""
            raise HarnessError(f"{where}lacks {name}; is this a model_param file?")
    model_type, given = values["model_type"], values["model_param_dict"]
    use = _regressor_of(model_type, wrong)
    if not isinstance(given, dict):
        raise wrong(("model_param_dict",), f"expected a dictionary, got {short_text(given)}")
    of_svr = _SVR_PARAMETERS if model_type in SVR_TYPES else {}
    own: Collection[str] = _FOREST_PARAMETERS if model_type in FOREST_TYPES else of_svr
    for name in given if use is None else ():
        if name not in own and name not in _COMMON:
            text = name if isinstance(name, str) else short_text(name)
            close = get_close_matches(text, (*own, *_COMMON), n=1)
            meant = f"is {close[0]} meant?" if close else f"known are {', '.join((*own, *_COMMON))}"
            raise wrong(("model_param_dict", text), f"is no parameter of {model_type}; {meant}")
    given = {name: _checked_plain(value, ("model_param_dict", name), wrong) for name, value in given.items()}

    def check(name: str, default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
        value = given.get(name, default)
        if not fits(value):
            raise wrong(("model_param_dict", name), f"expected {expected}, got {short_text(value)}")
        return value

    norm_type = check("norm_type", "none", lambda v: v in NORM_TYPES, f"one of {', '.join(NORM_TYPES)}")
    svr = {name: type(default)(check(name, default, fits, what)) for name, (default, fits, what) in of_svr.items()}
    is_bootstrap = model_type in SVR_TYPES[1:]
    num_models = check("num_models", DEFAULT_NUM_MODELS, lambda v: _is_whole(v, 1) and v < 10_000, "an integer from 1")
    if model_type in FOREST_TYPES:
        for name, (fits, expected) in _FOREST_PARAMETERS.items():
            if given.get(name) is not None:
                check(name, None, fits, expected)
    chroma = check(
        "chroma_correction_parameter",
        None,
        lambda v: v is None or (is_number(v) and 0 < v < 200),
        "a number from 0 to 200",
    )
    transform = given.get("score_transform")
    try:
        score_transform = ScoreTransform.of(transform) if transform is not None else None
    except ValueError as error:
        raise wrong(("model_param_dict", "score_transform"), str(error)) from None
    return ModelParam(
        model_type=model_type,
        param_dict=given,
        norm_type=norm_type,
        custom_ranges=_custom_ranges(given, norm_type, wrong),
        score_clip=_checked_range(given.get("score_clip"), ("model_param_dict", "score_clip"), wrong),
        score_transform=score_transform,
        num_models=num_models if is_bootstrap else 1,
        svr=svr,
        chroma_correction_parameter=None if chroma is None else float(chroma),
        forest={name: value for name, value in given.items() if name in _FOREST_PARAMETERS},
        plugin=use,
        of_plugin={name: value for name, value in given.items() if name not in _COMMON} if use else {},
    )


def _regressor_of(model_type: object, wrong: MakeError) -> PluginUse | None:
    """The plug-in that fits models of this type; None for a type of our own."""
    if isinstance(model_type, str):
        refuse_taken_names(REGRESSORS, [model_type], {*MODEL_TYPES, *FOREIGN_TYPES})
        if model_type in MODEL_TYPES:
            return None
        if find(REGRESSORS, model_type) is not None:
            return load(REGRESSORS, model_type).use
    known = ", ".join([*MODEL_TYPES, *installed(REGRESSORS)])
    raise wrong(
        ("model_type",), f"unknown model type {short_text(model_type)}; known are {known}; a package may bring others"
    )


def _checked_plain(value: object, place: Place, wrong: MakeError) -> Any:
    try:
        return to_plain(value)
    except ValueError as error:
        raise wrong(place, f"expected {PLAIN_TYPES}, got {error}") from None


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 1 << 31


def _is_share(value: object) -> bool:
    return type(value) is float and 0 < value <= 1


def _custom_ranges(given: Mapping[str, Any], norm_type: str, wrong: MakeError) -> dict[str, tuple[float, float]]:
    ranges = given.get("custom_clip_0to1_map")
    place: Place = ("model_param_dict", "custom_clip_0to1_map")
    if ranges is None:
        return {}
    if not isinstance(ranges, dict):
        raise wrong(place, "expected a dictionary feature → [min, max]")
    made = {}
    for name, ends in ranges.items():
        pair = _checked_range(ends, (*place, str(name)), wrong)
        if pair is None:
            raise wrong((*place, str(name)), "expected [min, max]")
        made[str(name)] = pair
    return made if norm_type == "custom_clip_0to1" else {}


def _checked_range(value: Any, place: Place, wrong: MakeError) -> tuple[float, float] | None:
    if value is None:
        return None
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value))
    if not is_pair or value[0] >= value[1]:
        raise wrong(place, f"expected [min, max], got {short_text(value)}")
    return float(value[0]), float(value[1])
