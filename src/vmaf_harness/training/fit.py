"""Fits models to feature tables: ν-SVR, alone or with bootstrap members, forests of trees, a line, a curve."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.engine.shard import PartDone, Shard
from vmaf_harness.engine.worker import Needs, Place
from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.forest import Forest
from vmaf_harness.model.formula import FIVE, Curve, Line, curve_values
from vmaf_harness.model.model import Model, Regressor, chroma_corrected
from vmaf_harness.model.model_param import CURVE_TYPE, LINE_TYPE, SVR_TYPES, ModelParam, plugins_of
from vmaf_harness.model.plugin_regressor import fit_by_plugin
from vmaf_harness.model.svm import Floats, Svm
from vmaf_workspace.disk.workers import cores

LIBRARIES = ("numpy", "scikit-learn", "scipy")  # on whose versions the bits of a fit depend
_Result = TypeVar("_Result")
_MAX_ITERATIONS = 10_000_000  # LIBSVM's own limit, which scikit-learn took out: without it some fits never end
_OLD_CRITERIA = {"mse": "squared_error", "mae": "absolute_error"}  # scikit-learn's names before 1.0
_SHOWN = 5  # assets that an error names


class TrainingError(HarnessError):
    """A table that no model can be fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """What a model is fitted to: a row an asset, in the recipe's order, which a fit depends on.

    `features` has a column by the name of each feature in the model, each a mean over frames; `labels` is in the unit
    of the score, NaN where an asset has none; `assets` is what an error calls each row.
    """

    features: Mapping[str, Sequence[float] | Floats]
    labels: Sequence[float | None] | Floats
    assets: Sequence[str]

    def rows(self, indices: Sequence[int] | NDArray[np.int64]) -> Table:
        """The table of these rows, in this order."""
        return Table(
            features={name: np.asarray(column, dtype=np.float64)[indices] for name, column in self.features.items()},
            labels=np.asarray(self.labels, dtype=np.float64)[indices],
            assets=[self.assets[index] for index in indices],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Who fits: *threads* (default: a core each), or a *cluster*, and of all that is to be fitted a *shard* alone."""

    threads: int | None = None
    cluster: Cluster | None = None
    shard: Shard | None = None

    def take(self, index: int) -> bool:
        """Whether what has this index is theirs."""
        return self.shard is None or self.shard.takes(index)


HERE = Workers()


def fit(
    table: Table,
    features: FeatureParam,
    parameters: ModelParam,
    *,
    seed: int = 0,
    workers: Workers = HERE,
    done: Mapping[int, Svm] | None = None,
    finished: Callable[[int, Svm], None] | None = None,
) -> Model:
    """Fit a model; the same table, parameters and seed give the same bits, whatever the *workers*.

    They are for the members of a bootstrap model; of a shard the end is PartDone as long as others are not *done*.

    Bootstrap member i from 1 is fitted to rows drawn with ``RandomState(i)``, as VMAF's own harness draws them; the
    residue kind keeps all rows and draws the errors of model 0 instead, which it adds to model 0's predictions.
    *seed* is the forest's, where the parameters have no ``random_state``. *done* are members fitted before by the same
    arguments, which are not fitted again; *finished* gets the others (index, member) as they come, in this thread.

    Raises TrainingError, a HarnessError, naming what is wrong: fewer than two rows, a feature that is missing, constant
    or not a number somewhere, a label that is missing, labels that are all equal, parameters that scikit-learn refuses
    or no fit is found with.
    """
    columns = _checked_columns(table, features.feature_names)
    columns[:, 1:] = chroma_corrected(columns[:, 1:], features.feature_names, parameters.chroma_correction_parameter)
    slopes, intercepts = _rescaling(columns, features.feature_names, parameters)
    xy = columns if slopes is None or intercepts is None else slopes * columns + intercepts
    x, y = np.ascontiguousarray(xy[:, 1:]), np.ascontiguousarray(xy[:, 0])
    members: tuple[Regressor, ...]
    if parameters.model_type in SVR_TYPES:
        members = _fit_members(x, y, parameters, dict(done or {}), finished, workers)
    elif parameters.model_type == LINE_TYPE:
        members = (_fit_line(x, y),)
    elif parameters.model_type == CURVE_TYPE:
        members = (_fit_curve(x, y, features.feature_names),)
    elif parameters.plugin is not None:
        members = (fit_by_plugin(parameters.plugin, x, y, parameters.of_plugin, seed),)
    else:
        members = (_fit_forest(x, y, parameters, seed),)
    return Model(
        model_type=parameters.model_type,
        feature_names=features.feature_names,
        members=members,
        slopes=None if slopes is None else tuple(slopes.tolist()),
        intercepts=None if intercepts is None else tuple(intercepts.tolist()),
        feature_dict=features.feature_dict,
        feature_opts_dicts=features.options or None,
        score_clip=parameters.score_clip,
        score_transform=parameters.score_transform,
        chroma_correction_parameter=parameters.chroma_correction_parameter,
        param_dict=parameters.param_dict,
        plugins=plugins_of(features, parameters),
    )


def _checked_columns(table: Table, names: Sequence[str]) -> Floats:
    """Labels and features side by side, checked; shape (rows, 1 + features)."""
    n = len(table.assets)
    if n < 2:
        raise TrainingError(f"a model needs at least two assets to be fitted to, got {n}")
    labels = np.asarray([math.nan if label is None else label for label in table.labels], dtype=np.float64)
    found = [labels]
    for name in names:
        if name not in table.features:
            raise TrainingError(f"feature {name} is not in the table; it has {', '.join(table.features)}")
        found.append(np.asarray(table.features[name], dtype=np.float64))
    for name, column in zip(("the labels", *names), found, strict=True):
        if column.shape != (n,):
            raise TrainingError(f"{name}: {n} numbers are needed, one of each asset, got the shape {column.shape}")
    _refuse_rows(table, ~np.isfinite(labels), "there is no label for", "give each asset one, or leave it out")
    for name, column in zip(names, found[1:], strict=True):
        no_number = f"feature {name} is no number for"
        _refuse_rows(table, ~np.isfinite(column), no_number, "measure again, or leave the asset out")
        if column.min() == column.max():
            raise TrainingError(
                f"feature {name} is {column[0]} in all {n} assets: a constant tells a model nothing; "
                "leave it out of feature_param, or add assets in which it differs"
            )
    if labels.min() == labels.max():
        raise TrainingError(f"the labels of all {n} assets are {labels[0]}: there is nothing to learn from them")
    return np.stack(found, axis=1)


def _refuse_rows(table: Table, wrong: NDArray[np.bool_], what: str, remedy: str) -> None:
    indices = np.flatnonzero(wrong)
    if len(indices):
        more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
        raise TrainingError(f"{what} {', '.join(table.assets[i] for i in indices[:_SHOWN])}{more}; {remedy}")


def _rescaling(columns: Floats, names: Sequence[str], parameters: ModelParam) -> tuple[Floats | None, Floats | None]:
    """Slope and intercept of each column, the label's first; None for norm type ``none``.

    ``clip_0to1`` maps a column's least and greatest value to 0 and 1, ``clip_minus1to1`` to −1 and 1,
    ``custom_clip_0to1`` its own ends where they are given; ``normalize`` makes mean 0 and population deviation 1.
    Nothing is clipped: values beyond the ends go on in a line.
    """
    if parameters.norm_type == "none":
        return None, None
    if parameters.norm_type == "normalize":
        deviation = columns.std(axis=0)
        return 1.0 / deviation, -columns.mean(axis=0) / deviation
    low, high = columns.min(axis=0), columns.max(axis=0)
    if parameters.norm_type == "clip_minus1to1":
        return 2.0 / (high - low), -(high + low) / (high - low)
    for index, name in enumerate(names, 1):
        if name in parameters.custom_ranges:
            low[index], high[index] = parameters.custom_ranges[name]
    return 1.0 / (high - low), -low / (high - low)


def _fit_members(
    x: Floats,
    y: Floats,
    parameters: ModelParam,
    members: dict[int, Svm],
    finished: Callable[[int, Svm], None] | None,
    workers: Workers,
) -> tuple[Svm, ...]:
    """Model 0 and the resampled ones, several at once."""

    def keep(index: int, member: Svm) -> None:
        members[index] = member
        if finished is not None:
            finished(index, member)

    is_residue = parameters.model_type.startswith("RESIDUE")
    to_fit = [index for index in range(parameters.num_models) if index not in members]
    # The residue kind draws from the errors of model 0, so that one comes first.
    rounds = [to_fit[:1], to_fit[1:]] if is_residue and to_fit[:1] == [0] else [to_fit]
    rounds[-1] = list(filter(workers.take, rounds[-1]))
    for indices in rounds:
        predicted = members[0].predict(x) if is_residue and 0 in members else None
        work = partial(_fit_member, x, y, predicted, parameters.svr)
        run_fits(work, indices, keep, name="model {}".format, workers=workers)
    if len(members) < parameters.num_models:
        raise PartDone
    return tuple(members[index] for index in range(parameters.num_models))


def run_fits(
    work: Callable[[int], _Result],
    indices: Sequence[int],
    finished: Callable[[int, _Result], None],
    *,
    name: Callable[[int], str],
    workers: Workers,
) -> None:
    """`work` of each index; *finished* gets what each made, as it comes, in this thread. The first error ends it.

    On a *cluster*, where there is one and several are to be fitted, whose errors call each by its *name*; else by
    threads.

    Threads, not processes: scikit-learn gives up the interpreter's lock while LIBSVM fits, and a fork beside other
    threads is unsafe. 20 members of 1000 rows and 6 features on 2 cores: 1.42 s by one thread, 0.75 s by two. Nobody
    can end a fit, so where a signal ends the run, its threads are left to end with the process; the main thread, the
    only one that hears of signals, therefore fits nothing itself.
    """
    if workers.cluster is not None and len(indices) > 1:

        def came(place: int, made: _Result | HarnessError) -> None:
            if isinstance(made, HarnessError):
                raise made
            finished(indices[place], made)

        needs = Needs(libraries=LIBRARIES)
        workers.cluster.run(indices, partial(_fit_there, work), came, needs=needs, name=name, keep_going=False)
        return
    at_once = min(workers.threads or cores(), len(indices))
    if at_once <= 1 and threading.current_thread() is not threading.main_thread():
        for index in indices:
            finished(index, work(index))
        return
    _import_svr()  # once, before threads wait for each other's import
    waiting: SimpleQueue[int] = SimpleQueue()
    made: SimpleQueue[tuple[int, _Result | None, BaseException | None]] = SimpleQueue()
    ended = threading.Event()
    for index in indices:
        waiting.put(index)

    def one_after_another() -> None:
        while not ended.is_set():
            try:
                index = waiting.get_nowait()
            except Empty:
                return
            try:
                made.put((index, work(index), None))
            except BaseException as error:  # raised where somebody waits for it
                made.put((index, None, error))

    running = [threading.Thread(target=one_after_another, daemon=True) for _ in range(at_once)]
    try:
        for thread in running:
            thread.start()
        for _ in indices:
            index, result, error = made.get()
            if error is not None:
                raise error
            finished(index, cast(_Result, result))
    except BaseException as error:
        ended.set()
        is_stop = not isinstance(error, Exception)
        atexit.register(_leave_fits, running, getattr(error, "exit_code", 130) if is_stop else None)
        raise


def _fit_there(work: Callable[[int], _Result], index: int, _: Place) -> _Result:
    return work(index)


def _leave_fits(running: Sequence[threading.Thread], exit_code: int | None) -> None:
    """When Python ends, it would free under a fit what that is fitted to: wait for it, or after a stop exit before."""
    alive = [thread for thread in running if thread.is_alive()]
    if alive and exit_code is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit_code)
    for thread in alive:
        thread.join()


def _fit_member(x: Floats, y: Floats, predicted: Floats | None, parameters: Mapping[str, Any], index: int) -> Svm:
    n = len(y)
    if index == 0:
        return _fit_svm(x, y, parameters)
    drawn = np.random.RandomState(index).choice(range(n), size=n, replace=True)
    if predicted is None:
        return _fit_svm(x[drawn], y[drawn], parameters)
    return _fit_svm(x, predicted + (y - predicted)[drawn], parameters)


def _fit_svm(x: Floats, y: Floats, parameters: Mapping[str, Any]) -> Svm:
    # LIBSVM reads gamma 0 as 1 / features; scikit-learn would take it at its word and predict a constant.
    parameters = {**parameters, "gamma": parameters["gamma"] or 1.0 / x.shape[1]}
    svr = _import_svr()(**parameters, max_iter=max(_MAX_ITERATIONS, 100 * len(y)))
    svr.fit(x, y)
    if svr.fit_status_:
        raise TrainingError(
            f"no fit is found in {svr.max_iter} steps; a smaller C or gamma, or a norm_type other than none, may help"
        )
    coefs, vectors = svr.dual_coef_[0], svr.support_vectors_
    if not (np.isfinite(coefs).all() and math.isfinite(svr.intercept_[0])):
        raise TrainingError("the fit gave numbers that are not finite; check C, nu, gamma and norm_type")
    kernel = {name: parameters[name] for name in ("kernel", "gamma", "degree", "coef0")}
    return Svm(rho=-float(svr.intercept_[0]), coefs=np.array(coefs), vectors=np.array(vectors), **kernel)


def _import_svr() -> Any:
    """The class, imported when there is something to fit: that takes longer than most fits."""
    from sklearn.svm import NuSVR

    warnings.filterwarnings("ignore", "Solver terminated early")  # an error of ours says it
    return NuSVR


def _fit_line(x: Floats, y: Floats) -> Line:
    from sklearn.linear_model import LinearRegression

    found = LinearRegression().fit(x, y)
    return Line(coefs=np.array(found.coef_), intercept=float(found.intercept_))


def _fit_curve(x: Floats, y: Floats, names: Sequence[str]) -> Curve:
    if len(names) != 1:
        raise TrainingError(f"{CURVE_TYPE} is a curve of one feature, and feature_param has {len(names)}; leave one")
    if len(y) < len(FIVE):
        raise TrainingError(f"{CURVE_TYPE} has {len(FIVE)} numbers to be found, and there are {len(y)} assets")
    from scipy.optimize import OptimizeWarning, curve_fit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # b1 and b5 stand for one number, so neither has a deviation
        try:  # begun and ended as VMAF's own harness does
            found, _ = curve_fit(curve_values, x[:, 0], y, p0=np.full(len(FIVE), 0.5), maxfev=20_000)
        except RuntimeError as error:
            raise TrainingError(f"no curve is found through the labels: {error}") from error
    return Curve(**dict(zip(FIVE, map(float, found), strict=True)))


def _fit_forest(x: Floats, y: Floats, parameters: ModelParam, seed: int) -> Forest:
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    kind = ExtraTreesRegressor if parameters.model_type == "EXTRATREES" else RandomForestRegressor
    given = {"random_state": seed, **{name: value for name, value in parameters.forest.items() if value is not None}}
    given["criterion"] = _OLD_CRITERIA.get(given.get("criterion", ""), given.get("criterion", "squared_error"))
    if given.get("max_features") == "auto":  # its old name in a regression
        given["max_features"] = 1.0
    try:
        grown = kind(**given).fit(x, y)
    except (ValueError, TypeError) as error:  # InvalidParameterError is both
        raise TrainingError(f"scikit-learn refuses the parameters of the forest: {error}") from error
    trees = [estimator.tree_ for estimator in grown.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])]).astype(np.int64)
    children, features = [], []
    for root, tree in zip(roots, trees, strict=True):
        pair = np.stack([tree.children_left, tree.children_right], axis=1).astype(np.int64)
        children.append(np.where(pair >= 0, pair + root, -1))
        features.append(np.maximum(tree.feature, 0).astype(np.int64))  # a leaf has −2
    return Forest(
        roots=roots,
        feature=np.concatenate(features),
        threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
        children=np.concatenate(children),
        value=np.concatenate([tree.value[:, 0, 0] for tree in trees]).astype(np.float64),
    )
