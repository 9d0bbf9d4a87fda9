"""Predictions over labels, and their errors, as plots; PNG, or SVG by the suffix."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_harness.errors import StatisticsError
from vmaf_harness.report.drawing import (
    CURVE,
    MARKERS,
    TEXT,
    PlotError,
    axis_limits,
    draw_legend,
    matplotlib_defaults,
    new_figure,
    shortened,
    style_axes,
    write_figure,
    write_heading,
)
from vmaf_harness.statistics import LinearFit, LogisticFit, Statistics, linear_fit
from vmaf_workspace.wording import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SIZE_INCHES = (7.1, 6.0)
SIZE_WITHOUT_LEGEND_INCHES = (5.55, 6.0)
MAX_LEGEND_CONTENTS = 25  # contents; the names of more would be longer than the axes are high
_ROW_INCHES = 0.18  # of the legend of lines, which is above the axes: in them it would hide points
_DASHED: dict[str, Any] = {"color": TEXT, "linewidth": 1, "linestyle": (0, (6, 4)), "alpha": 0.55}
_SOLID: dict[str, Any] = {"color": TEXT, "linewidth": 1.8, "alpha": 0.75}
_LABEL_BAR: dict[str, Any] = {"color": TEXT, "linewidth": 0.8, "alpha": 0.4}
_LABEL_BAND: dict[str, Any] = {"color": TEXT, "linewidth": 5, "alpha": 0.16}  # where both kinds of bars stand upright
_SPREAD_BAR: dict[str, Any] = {"color": CURVE, "linewidth": 1.6, "alpha": 0.45}
Point = tuple[float, float, int]  # x, y, content
LegendEntry = tuple[str, dict[str, Any]]  # of a legend: text, and how the line is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotData:
    """Labels and predictions of assets, one by one, and what a plot says of them.

    `is_one_scale`: predictions are meant to be labels, as VMAF's are; a matter of what they are, never of how near they
    come, which is what the plot is to show. `deviations` of the labels are what `bar` calls them, `spreads` (low, high)
    of the predictions are those of a bootstrap model. `kind` says of what predictions the statistics are (training).
    """

    title: str
    labels: Sequence[float]
    predictions: Sequence[float]
    content_ids: Sequence[int]
    statistics: Statistics | None  # None where there are none
    is_one_scale: bool = True
    label: str = "label"
    prediction: str = "prediction"
    kind: str = ""
    fit: LogisticFit | None = None
    content_names: Mapping[int, str] = field(default_factory=dict)
    deviations: Sequence[float | None] = ()
    bar: str = "label ± 1 standard error"
    spreads: Sequence[tuple[float, float] | None] = ()


def scatter_plot(path: Path, pairs: PlotData, size_inches: tuple[float, float] | None = None) -> None:
    """Draw predictions over labels, one point an asset, one colour and marker a content.

    On one scale both axes have the same limits and unit, and the dashed line is the identity, prediction = label,
    however far the points lie from it. On two scales there is none: the dashed line is then that of `linear_fit`, from
    predictions to labels, and none is drawn for fewer than eight assets. `fit` is drawn as the curve that it is, from
    the least prediction to the greatest. Bars are as long as deviations and spreads are. A legend says all of it.

    An existing file is replaced whole or not at all. May be called from several threads. Raises PlotError where there
    is nothing to draw, for a size outside 1 to 100 inches, where the file cannot be written, and for whatever goes
    wrong in matplotlib.
    """
    bars = [(label - sd, label + sd, y) for label, y, sd in _with_bars(pairs, pairs.deviations)]
    tall = [(label, low, high) for label, _, (low, high) in _with_bars(pairs, pairs.spreads)]
    key: list[LegendEntry] = []
    line: LinearFit | None = None
    if pairs.is_one_scale:
        key.append(("identity: prediction = label", _DASHED))
    elif (line := _fitted_line(pairs)) is not None:
        key.append((f"straight line, no identity: {_fit_text(line)}", _DASHED))
    if pairs.fit is not None:
        key.append((f"logistic curve: {_fit_text(pairs.fit)}", _SOLID))
    key += [(pairs.bar, _LABEL_BAR)] if bars else []
    key += [("95 % of the bootstrap", _SPREAD_BAR)] if tall else []

    def draw(axes: Axes, x: list[float], y: list[float]) -> None:
        low, high = min(y), max(y)
        across = [*x, *(end for *ends, _ in bars for end in ends)]
        upwards = [*y, *(end for _, *ends in tall for end in ends)]
        if pairs.is_one_scale:
            limits = axis_limits([*across, *upwards])
            axes.set(xlim=limits, ylim=limits, aspect="equal")  # which shrinks the axes within their place
            axes.plot(limits, limits, zorder=2, **_DASHED)
        else:
            axes.set(xlim=axis_limits(across), ylim=axis_limits(upwards))
        if line is not None:
            axes.plot([line.map(low), line.map(high)], [low, high], zorder=2, **_DASHED)
        if pairs.fit is not None:
            steps = [low + (high - low) * step / 200 for step in range(201)]
            axes.plot([pairs.fit.map(step) for step in steps], steps, zorder=2, **_SOLID)
        for left, right, prediction in bars:
            axes.hlines(prediction, left, right, zorder=2.5, **_LABEL_BAR)
        for label, *ends in tall:
            axes.vlines(label, *ends, zorder=2.4, **_SPREAD_BAR)

    points = list(zip(pairs.labels, pairs.predictions, pairs.content_ids, strict=True))
    _points_plot(path, points, pairs, (pairs.label, pairs.prediction), key, draw, size_inches)


def residual_plot(path: Path, pairs: PlotData, size_inches: tuple[float, float] | None = None) -> bool:
    """Draw the errors, prediction − label, over the labels; otherwise as `scatter_plot`.

    On one scale the errors are the differences themselves, nothing is fitted. Predictions on another scale than the
    labels are mapped to it first, by `fit`, or by `linear_fit` without one: the differences of two scales are no
    errors. Where neither can be had, nothing is drawn, and the answer is False. What is above the line at 0 is
    overrated. Errors of one content that lie together say that the model has not learnt what makes it special.
    """
    mapping: LogisticFit | LinearFit | None = None
    by, of = "", pairs.prediction
    if not pairs.is_one_scale:
        mapping = pairs.fit or _fitted_line(pairs)
        if mapping is None:
            return False
        by = "on the curve" if pairs.fit is not None else "on the line"
        of = f"{pairs.prediction} {by}"

    def mapped(prediction: float) -> float:
        return prediction if mapping is None else mapping.map(prediction)

    errors = [(label, mapped(y) - label, sd) for label, y, sd in _with_bars(pairs, pairs.deviations)]
    bars = [(label, error - sd, error + sd) for label, error, sd in errors]
    tall = [(label, *(mapped(end) - label for end in ends)) for label, _, ends in _with_bars(pairs, pairs.spreads)]
    key: list[LegendEntry] = [("no error" if mapping is None else f"no error; {by} {_fit_text(mapping)}", _DASHED)]
    key += [(pairs.bar, _LABEL_BAND)] if bars else []
    key += [("95 % of the bootstrap", _SPREAD_BAR)] if tall else []

    def draw(axes: Axes, x: list[float], y: list[float]) -> None:
        axes.set_xlim(axis_limits(x))
        # From 0, which is always there, as far as errors go: symmetric axes were half empty.
        axes.set_ylim(*axis_limits([0.0, *y, *(end for _, *ends in (*bars, *tall) for end in ends)]))
        axes.axhline(0, zorder=2, **_DASHED)
        for of, style in ((bars, _LABEL_BAND), (tall, _SPREAD_BAR)):
            for label, *ends in of:
                axes.vlines(label, *ends, zorder=2.5, **style)

    points = [
        (x, mapped(y) - x, content)
        for x, y, content in zip(pairs.labels, pairs.predictions, pairs.content_ids, strict=True)
    ]
    _points_plot(path, points, pairs, (pairs.label, f"{of} − label"), key, draw, size_inches)
    return True


def _with_bars(pairs: PlotData, bars: Sequence[Any]) -> list[tuple[float, float, Any]]:
    """Label, prediction and bar of the assets that have one; none are given at all where *bars* is empty."""
    return [
        (label, prediction, bar)
        for label, prediction, bar in zip(pairs.labels, pairs.predictions, bars, strict=False)
        if bar and math.isfinite(label) and math.isfinite(prediction)
    ]


def _fitted_line(pairs: PlotData) -> LinearFit | None:
    both = [
        (x, y) for x, y in zip(pairs.labels, pairs.predictions, strict=True) if math.isfinite(x) and math.isfinite(y)
    ]
    try:
        return linear_fit([x for x, _ in both], [y for _, y in both])
    except StatisticsError:  # too few, or all equal
        return None


def _points_plot(
    path: Path,
    given: Sequence[Point],
    pairs: PlotData,
    names_of_axes: tuple[str, str],
    key: Sequence[LegendEntry],
    draw: Callable[[Axes, list[float], list[float]], None],
    size_inches: tuple[float, float] | None,
) -> None:
    points = [point for point in given if math.isfinite(point[0]) and math.isfinite(point[1])]
    if not points:
        raise PlotError(f"nothing to draw in {path}: no asset has both a label and a prediction")
    x, y = [point[0] for point in points], [point[1] for point in points]
    contents = sorted({content for _, _, content in points})
    names = [pairs.content_names.get(content, f"content {content}") for content in contents]
    names = [shortened(name, 20).lstrip("_") or "content" for name in names]  # a leading _ hides an entry
    colours = _colours(len(contents))

    rows = math.ceil(len(key) / 2)
    wants_legend = 1 < len(contents) <= MAX_LEGEND_CONTENTS
    usual = SIZE_INCHES if wants_legend else SIZE_WITHOUT_LEGEND_INCHES
    usual = (usual[0], usual[1] + _ROW_INCHES * rows)
    width, height = size_inches or usual
    if not (1 <= width <= 100 and 1 <= height <= 100):
        raise PlotError(f"a plot of {width:g}×{height:g} inches cannot be drawn; give sides from 1 to 100")
    scale = max(0.6, min(1.6, width / usual[0], height / usual[1]))  # of texts and margins
    has_legend = wants_legend and len(contents) * 0.2 * scale < height - (1.55 + _ROW_INCHES * rows) * scale
    # Margins in inches, so that the axes are square at the default sizes; constrained layout cuts labels off there.
    left, bottom, right = 0.8 * scale, 0.65 * scale, (1.85 if has_legend else 0.3) * scale
    top = (0.9 + _ROW_INCHES * rows) * scale
    with matplotlib_defaults(path):
        figure = new_figure(width, height)
        within = max(0.2, width - left - right) / width, max(0.2, height - bottom - top) / height
        axes = figure.add_axes((left / width, bottom / height, *within), anchor="NW")
        dot: dict[str, Any] = {"s": max(12.0, min(48.0, 6000 / len(points))) * scale, "linewidths": 0.5 * scale}
        markers = [MARKERS[index % len(MARKERS)] for index in range(len(contents))]
        for content, colour, marker in zip(contents, colours, markers, strict=True):
            own = [point for point in points if point[2] == content]
            style: dict[str, Any] = {"c": [colour], "edgecolors": "white", "alpha": 0.9, "zorder": 3, "marker": marker}
            style |= {"gid": f"content-{content}", **dot}
            axes.scatter([point[0] for point in own], [point[1] for point in own], **style)
        draw(axes, x, y)
        numbers = _statistics_text(pairs) or f"{count_text(len(points), 'asset')}, no statistics"
        write_heading(figure, pairs.title, numbers, scale, left)
        style_axes(figure, axes, names_of_axes, scale, (width - left - right, height - bottom - top))
        from matplotlib.lines import Line2D

        def dots(size: float) -> list[Line2D]:
            style: dict[str, Any] = {"linestyle": "", "markersize": 0.7 * size}
            return [Line2D([], [], marker=m, color=c, **style) for m, c in zip(markers, colours, strict=True)]

        if key:  # what lines and bars are, in two columns between heading and axes
            lines = [Line2D([], [], **style) for _, style in key]
            place: dict[str, Any] = {"bbox_to_anchor": (left / width, 1 - 0.8 * scale / height), "ncols": 2}
            place |= {"borderaxespad": 0, "borderpad": 0, "labelspacing": 0.35}
            texts = [text for text, _ in key]
            draw_legend(figure, lambda _: lines, texts, 8.5 * scale, width - left - 0.05, **place)
        if has_legend:  # contents, right of the axes
            place = {"bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3, "handletextpad": 0.1}
            draw_legend(axes, dots, names, 8.5 * scale, right - 0.1 * scale, **place)
        write_figure(figure, path)


def _colours(count: int) -> list[tuple[float, float, float]]:
    """Colours for white paper: neighbours differ in hue, and in lightness, too, where hues get close."""
    lightness = (0.45,) if count <= 8 else (0.38, 0.58) if count <= 24 else (0.32, 0.48, 0.64)
    return [
        colorsys.hls_to_rgb((0.58 + index / count) % 1, lightness[index % len(lightness)], 0.72)
        for index in range(count)
    ]


def _statistics_text(pairs: PlotData) -> str:
    """Statistics without a fit; RMSE of two scales has no unit."""
    found = pairs.statistics
    if found is None:
        return ""
    kind, raw = f"{pairs.kind} " if pairs.kind else "", f"RMSE {found.rmse:.3f}" if pairs.is_one_scale else ""
    if found.note:
        return "    ".join(part for part in (f"n = {found.n}", raw and kind + raw, found.note) if part)
    correlations = f"{kind}SROCC {found.srocc:.4f}    PLCC {found.plcc:.4f}    KROCC {found.krocc:.4f}"
    return "    ".join(part for part in (f"n = {found.n}", correlations, raw) if part)


def _fit_text(fit: LogisticFit | LinearFit) -> str:
    plcc = f"PLCC {fit.plcc:.4f}, " if isinstance(fit, LogisticFit) and math.isfinite(fit.plcc) else ""
    return f"{plcc}RMSE {fit.rmse:.3f}"
