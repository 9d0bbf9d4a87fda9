"""Searches gamma, C and nu of a ν-SVR: the set whose predictions of unseen contents follow their labels best."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmaf_harness.engine.shard import PartDone
from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model_param import SVR_TYPES, ModelParam, build_model_param
from vmaf_harness.statistics import statistics
from vmaf_harness.training.checkpoints import Checkpoints
from vmaf_harness.training.cross_validation import Fold, cross_validate
from vmaf_harness.training.fit import HERE, Table, TrainingError, Workers, run_fits

# Around VMAF's own choice, C 4.0, nu 0.9, gamma 0.04 to 0.05; gamma 0 is 1 / number of features.
GRID: Mapping[str, tuple[float, ...]] = {
    "gamma": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    "C": (1.0, 2.0, 4.0, 8.0, 16.0),
    "nu": (0.5, 0.9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A set of parameters, and how the predictions of all folds together follow the labels; NaN where they do not."""

    parameters: Mapping[str, float]
    srocc: float
    plcc: float
    rmse: float
    note: str | None = None


_KEPT = ("srocc", "plcc", "rmse", "note")


def grid_candidates(values: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Every combination, as scikit-learn's ParameterGrid orders them."""
    from sklearn.model_selection import ParameterGrid

    return [dict(each) for each in ParameterGrid({name: list(of) for name, of in values.items()})]


def random_candidates(values: Mapping[str, Sequence[float]], n: int, seed: int) -> list[dict[str, float]]:
    """*n* sets between the least and the greatest value of each, drawn by scikit-learn's ParameterSampler.

    gamma and C are drawn from a log-uniform distribution, nu from a uniform one. Raises HarnessError where gamma
    begins at 0, which has no logarithm.
    """
    from scipy.stats import loguniform, uniform
    from sklearn.model_selection import ParameterSampler

    between: dict[str, Any] = {}
    for name, of in values.items():
        low, high = min(of), max(of)
        if low == high:
            between[name] = [low]
        elif name == "nu":
            between[name] = uniform(low, high - low)
        elif low <= 0:
            raise HarnessError(f"{name}: {low} has no logarithm; give values above 0 to draw between")
        else:
            between[name] = loguniform(low, high)
    drawn = ParameterSampler(between, n, random_state=seed)
    return [{name: float(value) for name, value in each.items()} for each in drawn]


def tune(
    table: Table,
    folds: Sequence[Fold],
    features: FeatureParam,
    parameters: ModelParam,
    candidates: Sequence[Mapping[str, float]],
    *,
    workers: Workers = HERE,
    checkpoints: Checkpoints | None = None,
    finished: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Cross-validate each candidate; best first: by SROCC, then by RMSE, then in the order given.

    A candidate replaces these parameters of *parameters*. One that no model can be fitted with comes last, with a
    note. With *checkpoints* each is kept as it is finished, and not tried again; *finished* gets the others, in
    this thread. Raises HarnessError for a model that is no ν-SVR, a parameter out of its range, and where
    every candidate fails; PartDone where sets of others than the shard of the *workers* lack.
    """
    check_type(parameters)
    if not candidates:
        raise HarnessError("there is no set of parameters to try")
    sets = [with_parameters(parameters, candidate) for candidate in candidates]
    labels = [float(label or 0.0) for label in table.labels]
    made: dict[int, Trial] = {}
    for index, candidate in enumerate(candidates):
        kept = checkpoints.get(_part_name(candidate)) if checkpoints is not None else None
        if isinstance(kept, dict) and set(kept) == set(_KEPT):
            made[index] = Trial(parameters=candidate, **kept)

    def of(index: int) -> Trial:
        candidate, one = candidates[index], Workers(threads=1)
        try:
            found = statistics(labels, cross_validate(table, folds, features, sets[index], workers=one))
        except TrainingError as error:
            return Trial(parameters=candidate, srocc=math.nan, plcc=math.nan, rmse=math.nan, note=str(error))
        return Trial(parameters=candidate, srocc=found.srocc, plcc=found.plcc, rmse=found.rmse, note=found.note)

    def keep(index: int, tried: Trial) -> None:
        made[index] = tried
        if checkpoints is not None:
            checkpoints.put(_part_name(candidates[index]), {name: getattr(tried, name) for name in _KEPT})
        if finished is not None:
            finished(tried)

    to_try = [index for index in range(len(candidates)) if index not in made]
    mine = list(filter(workers.take, to_try))
    run_fits(of, mine, keep, name=lambda index: f"set {dict(candidates[index])}", workers=workers)
    if len(mine) < len(to_try):
        raise PartDone
    ranked = [made[index] for index in range(len(candidates))]
    ranked.sort(key=lambda tried: (math.isnan(tried.srocc), -tried.srocc, tried.rmse))
    if math.isnan(ranked[0].srocc):
        raise HarnessError(f"none of {len(ranked)} sets of parameters gives a model: {ranked[0].note}")
    return ranked


def check_type(parameters: ModelParam) -> None:
    """Raise HarnessError for a model that is no ν-SVR."""
    if parameters.model_type not in SVR_TYPES:
        raise HarnessError(f"{parameters.model_type} has no gamma, C and nu to be tuned; give a {SVR_TYPES[0]}")


def with_parameters(parameters: ModelParam, candidate: Mapping[str, float]) -> ModelParam:
    """The same parameters but for those of *candidate*; HarnessError for one that is out of its range."""
    return build_model_param(parameters.model_type, {**parameters.param_dict, **candidate})


_FILE_NAME = str.maketrans({"{": None, "}": None, '"': None, " ": None, ":": "=", ",": "_"})


def _part_name(candidate: Mapping[str, float]) -> str:
    return "set-" + json.dumps(dict(candidate), sort_keys=True).translate(_FILE_NAME)
