"""How well a model predicts contents that it has not seen: each fold is predicted by a model of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vmaf_harness.engine.shard import PartDone
from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.model import Model
from vmaf_harness.model.model_param import ModelParam
from vmaf_harness.training.checkpoints import Checkpoints
from vmaf_harness.training.fit import HERE, Table, TrainingError, Workers, fit, run_fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Contents that are predicted by a model of all the others; `rows` are their rows in the table."""

    contents: tuple[int, ...]
    rows: tuple[int, ...]


def folds_by_content(content_ids: Sequence[int], n_folds: int, seed: int) -> list[Fold]:
    """Deal contents, never single clips, into folds of about the same number of clips.

    *content_ids* has the content of each row. Contents are shuffled by *seed*; then each, the largest first, goes to
    the fold with the fewest clips so far. Raises HarnessError for fewer than two folds, and for fewer contents than
    folds.
    """
    sizes = Counter(content_ids)
    if n_folds < 2:
        raise HarnessError(f"cross-validation needs at least two folds, got {n_folds}")
    if len(sizes) < n_folds:
        raise HarnessError(
            f"{n_folds} folds need as many contents, and there are {len(sizes)} (of {len(content_ids)} clips): "
            "clips of one content never go to different folds; ask for fewer by --folds N, for "
            "one each by --leave-one-source-out, or bring more contents"
        )
    shuffled = np.random.RandomState(seed).permutation(sorted(sizes)).tolist()
    dealt: list[list[int]] = [[] for _ in range(n_folds)]
    for content in sorted(shuffled, key=lambda content: -sizes[content]):
        min(dealt, key=lambda fold: sum(sizes[each] for each in fold)).append(content)
    return [_fold_of_contents(contents, content_ids) for contents in dealt]


def leave_one_source_out(content_ids: Sequence[int]) -> list[Fold]:
    """A fold a content, in ascending order; HarnessError for fewer than two contents."""
    contents = sorted(set(content_ids))
    if len(contents) < 2:
        raise HarnessError(f"to leave one source out, at least two contents are needed, got {len(contents)}")
    return [_fold_of_contents([content], content_ids) for content in contents]


def cross_validate(
    table: Table,
    folds: Sequence[Fold],
    features: FeatureParam,
    parameters: ModelParam,
    *,
    seed: int = 0,
    workers: Workers = HERE,
    checkpoints: Checkpoints | None = None,
    finished: Callable[[int, Fold], None] | None = None,
) -> list[float]:
    """The prediction of each row by the model that has not seen its content, from the means of its features.

    Of a bootstrap model only model 0, which is its prediction, is fitted. The same arguments give the same numbers,
    whatever the *workers*. With *checkpoints* each fold is kept as it is finished, and not fitted again; *finished*
    gets the index of each other one, in this thread. Raises TrainingError, naming the fold, where no model can be
    fitted to the others; PartDone where folds of others than the shard lack.
    """
    alone = replace(parameters, num_models=1)

    def of(index: int) -> tuple[Model, list[float]]:
        fold = folds[index]
        others = sorted(set(range(len(table.assets))) - set(fold.rows))
        try:
            model = fit(table.rows(others), features, alone, seed=seed)
        except TrainingError as error:
            named = ", ".join(map(str, fold.contents[:5])) + (" …" if len(fold.contents) > 5 else "")
            raise TrainingError(f"without the contents {named} of fold {index + 1}: {error}") from error
        return model, model.predict(table.rows(list(fold.rows)).features).tolist()

    def keep(index: int, fitted: tuple[Model, list[float]]) -> None:
        model, predictions = fitted
        rows = list(folds[index].rows)
        made[rows] = predictions
        if checkpoints is not None:
            texts = model.texts()
            about = {"model": model.as_dict(texts), "texts": texts}  # the model as its .pkl and .pkl.model have it
            checkpoints.put(_part_name(index), {"rows": rows, "predictions": predictions, **about})
        if finished is not None:
            finished(index, folds[index])

    made = np.full(len(table.assets), np.nan)
    to_fit = []
    for index, fold in enumerate(folds):
        kept = _stored_predictions(checkpoints.get(_part_name(index)), fold) if checkpoints is not None else None
        if kept is None:
            to_fit.append(index)
        else:
            made[list(fold.rows)] = kept
    mine = list(filter(workers.take, to_fit))
    run_fits(of, mine, keep, name=lambda index: f"fold {index + 1}", workers=workers)
    if len(mine) < len(to_fit):
        raise PartDone
    result: list[float] = made.tolist()
    return result


def _fold_of_contents(contents: Sequence[int], content_ids: Sequence[int]) -> Fold:
    wanted = set(contents)
    rows = tuple(row for row, content in enumerate(content_ids) if content in wanted)
    return Fold(contents=tuple(sorted(contents)), rows=rows)


def _part_name(index: int) -> str:
    return f"fold-{index:04d}"


def _stored_predictions(part: Any, fold: Fold) -> list[float] | None:
    if not isinstance(part, dict) or part.get("rows") != list(fold.rows):
        return None
    predictions: object = part.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != len(fold.rows):
        return None
    return predictions if all(isinstance(each, float) for each in predictions) else None
