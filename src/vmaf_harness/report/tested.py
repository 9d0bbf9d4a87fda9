"""How well the scores of a dataset follow its labels, asset by asset and content by content, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from vmaf_harness.errors import StatisticsError
from vmaf_harness.report.testing import ScoredDataset, is_one_scale
from vmaf_harness.statistics import LinearFit, LogisticFit, linear_fit, rmse, srocc

WORST = 10  # assets that a page names


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedAsset:
    """An asset; `error` is score − label, of a score on another scale mapped to the labels' first, None without."""

    asset_id: int
    content_id: int
    content: str
    file: str
    label: float
    label_std: float | None
    score: float
    low: float | None  # 95 % of a bootstrap model
    high: float | None
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedContent:
    """The assets of one content; SROCC is None where it is not defined, or for fewer than three."""

    content_id: int
    content: str
    n: int
    mean_error: float | None
    rmse: float | None
    srocc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """All of it; `mapping` says how scores became labels' unit, None where they are in it. `worst` are asset_ids."""

    dataset: str
    score: str
    labels: str
    kind: str
    statistics: dict[str, Any]
    mapping: str | None
    assets: tuple[TestedAsset, ...]
    contents: tuple[TestedContent, ...]
    worst: tuple[int, ...]


def read_tested(scored: ScoredDataset) -> Tested | None:
    """What is known of a dataset's labelled assets that have a score; None for fewer than two."""
    if scored.statistics is None:
        return None
    mapping: LogisticFit | LinearFit | None = None
    if not is_one_scale(scored):
        mapping = scored.fit or _line(scored)

    def error(label: float, score: float) -> float | None:
        if mapping is not None:
            return mapping.map(score) - label
        return score - label if is_one_scale(scored) else None

    assets = tuple(
        TestedAsset(
            asset_id=outcome.asset.asset_id,
            content_id=outcome.asset.content_id,
            content=outcome.asset.shown_content,
            file=outcome.asset.distorted.path.name,
            label=label,
            label_std=outcome.asset.groundtruth_std,
            score=score,
            low=outcome.spread.low if outcome.spread else None,
            high=outcome.spread.high if outcome.spread else None,
            error=error(label, score),
        )
        for outcome, label, score in scored.labelled
    )
    groups: dict[int, list[TestedAsset]] = {}
    for asset in assets:
        groups.setdefault(asset.content_id, []).append(asset)
    by_error = sorted((each for each in assets if each.error is not None), key=lambda each: -abs(each.error or 0.0))
    names: dict[type, str] = {LogisticFit: "by the logistic curve", LinearFit: "by a straight line"}
    return Tested(
        dataset=scored.recipe.name,
        score=scored.what,
        labels=str(scored.labels),
        kind=scored.kind,
        statistics=scored.agreement,
        mapping=names.get(type(mapping)),
        assets=assets,
        contents=tuple(_content(group) for group in groups.values()),
        worst=tuple(each.asset_id for each in by_error[:WORST]),
    )


def _line(scored: ScoredDataset) -> LinearFit | None:
    try:
        return linear_fit([label for _, label, _ in scored.labelled], [score for _, _, score in scored.labelled])
    except StatisticsError:
        return None


def _content(assets: list[TestedAsset]) -> TestedContent:
    errors = [asset.error for asset in assets if asset.error is not None]
    labels, scores = [asset.label for asset in assets], [asset.score for asset in assets]
    has_ranks = len(assets) > 2 and min(labels) < max(labels) and min(scores) < max(scores)
    return TestedContent(
        content_id=assets[0].content_id,
        content=assets[0].content,
        n=len(assets),
        mean_error=fmean(errors) if errors else None,
        rmse=rmse(errors, [0.0] * len(errors)) if errors else None,
        srocc=srocc(labels, scores) if has_ranks else None,
    )
