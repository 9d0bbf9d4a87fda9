"""Plots: predictions over labels, their errors, and the scores of the frames of a pair."""

from __future__ import annotations

import colorsys
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from vmaf_harness.errors import HarnessError
from vmaf_harness.statistics import LogisticFit, Statistics
from vmaf_workspace.whole import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_INCHES = (7.1, 6.0)
SIZE_WITHOUT_LEGEND_INCHES = (5.55, 6.0)
FRAMES_SIZE_INCHES = (9.0, 4.2)
DPI = 150
LEGEND_FITS = 25  # contents; the names of more would be longer than the axes are high
TEXT, FAINT, CURVE = "#24292f", "#d8dce2", "#2f6fb7"

_drawing = threading.Lock()  # the filter of warnings below is one for all threads


def scatter_plot(
    path: Path,
    labels: Sequence[float],
    predictions: Sequence[float],
    content_ids: Sequence[int],
    title: str,
    statistics: Statistics | None,
    size_inches: tuple[float, float] | None = None,
    *,
    content_names: Mapping[int, str] | None = None,
    fit: LogisticFit | None = None,
    deviations: Sequence[float | None] = (),
) -> None:
    """Write a PNG with one point an asset and one colour a content; `statistics` is None where there are none.

    Where labels and predictions are on one scale, both axes are the same and the identity is drawn; otherwise the line
    that fits best. `fit` is drawn as the curve that it is, over the predictions; `deviations`, of the labels, as bars
    that end one below and one above. An existing file is replaced whole or not at all. May be called from several
    threads.

    Raises HarnessError where there is nothing to draw, for a size outside 1 to 100 inches, and where the file cannot
    be written.
    """

    def draw(axes: Axes, x: list[float], y: list[float]) -> None:
        _draw_line_and_limits(axes, x, y)
        if fit is not None:
            low, high = min(y), max(y)
            steps = [low + (high - low) * step / 200 for step in range(201)]
            axes.plot([fit.map(step) for step in steps], steps, color=TEXT, linewidth=1.8, alpha=0.75, zorder=2)
        for label, prediction, sd in zip(labels, predictions, deviations, strict=False):  # none are given at all
            if sd:
                axes.plot([label - sd, label + sd], [prediction] * 2, color=TEXT, linewidth=0.8, alpha=0.4, zorder=2.5)

    numbers = _numbers(statistics, fit)
    points = list(zip(labels, predictions, content_ids, strict=True))
    _points_plot(path, points, title, numbers, ("label", "prediction"), draw, size_inches, content_names or {})


def residual_plot(
    path: Path,
    labels: Sequence[float],
    predictions: Sequence[float],
    content_ids: Sequence[int],
    title: str,
    statistics: Statistics | None,
    size_inches: tuple[float, float] | None = None,
    *,
    content_names: Mapping[int, str] | None = None,
    fit: LogisticFit | None = None,
) -> None:
    """Write a PNG of the errors, prediction − label, over the labels; otherwise as `scatter_plot`.

    Predictions on another scale than the labels are mapped to it first, by `fit`, or by the best line without one: the
    differences of two scales are no errors. What is above the line at 0 is overrated. Errors of one content that lie
    together say that the model has not learnt what makes that content special.
    """
    pairs = [(x, y) for x, y in zip(labels, predictions, strict=True) if math.isfinite(x) and math.isfinite(y)]
    of, mapped = "prediction", list(predictions)
    if pairs and not _on_one_scale(*map(list, zip(*pairs, strict=True))) and len({y for _, y in pairs}) > 1:
        slope, intercept = linear_regression([y for _, y in pairs], [x for x, _ in pairs])
        of = "prediction, on the curve," if fit is not None else "prediction, on the best line,"
        mapped = [fit.map(y) if fit is not None else slope * y + intercept for y in predictions]

    def draw(axes: Axes, x: list[float], y: list[float]) -> None:
        axes.set_xlim(_limits(x))
        reach = max(map(abs, y)) * 1.12 or 1.0
        axes.set_ylim(-reach, reach)
        axes.axhline(0, color=TEXT, linewidth=1, linestyle=(0, (6, 4)), alpha=0.55, zorder=2)

    points = [(x, y - x, content) for x, y, content in zip(labels, mapped, content_ids, strict=True)]
    numbers = _numbers(statistics, fit if of != "prediction" else None)
    _points_plot(path, points, title, numbers, ("label", f"{of} − label"), draw, size_inches, content_names or {})


def frames_plot(path: Path, scores: Sequence[float], title: str, pooled: Mapping[str, float], score: str) -> None:
    """Write a PNG of the score of each frame, counted from 0, with lines at pooled scores by their names.

    *score* names the axis. Raises HarnessError where there is nothing to draw, or the file cannot be written.
    """
    if not any(map(math.isfinite, scores)):
        raise HarnessError(f"nothing to draw in {path}: no frame has a score")
    width, height = FRAMES_SIZE_INCHES
    figure = _figure(width, height)
    axes = figure.add_axes((0.8 / width, 0.65 / height, (width - 2.4) / width, (height - 1.55) / height))
    shown = {name: value for name, value in pooled.items() if math.isfinite(value)}
    axes.plot(
        range(len(scores)), scores, color=CURVE, linewidth=1.4, marker="o" if len(scores) <= 60 else "", markersize=3
    )
    axes.set_xlim(-0.5, len(scores) - 0.5)
    low, high = _limits([*filter(math.isfinite, scores), *shown.values()])
    axes.set_ylim(low, high)
    least = (high - low) * 0.055  # between two texts
    at = -math.inf
    for name, value in sorted(shown.items(), key=lambda item: item[1]):
        axes.axhline(value, color=TEXT, linewidth=1, linestyle=(0, (6, 4)), alpha=0.45, zorder=1)
        at = max(value, at + least)
        axes.text(
            1.01,
            at,
            f"{name.replace('_', ' ')} {value:.2f}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=TEXT,
        )
    _write_heading(figure, title, f"{len(scores)} frames", 1.0, 0.8)
    _dress(axes, ("frame", score), 1.0)
    _write(figure, path)


def check_directory(path: Path) -> None:
    """Make the directory that plots will go to, and see that a file can be made there, before hours of work.

    Raises HarnessError where not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise HarnessError(f"{path}: cannot write plots there: {error.strerror}; name another directory") from error


Point = tuple[float, float, int]  # x, y, content


def _points_plot(
    path: Path,
    given: Sequence[Point],
    title: str,
    numbers: str,
    names_of_axes: tuple[str, str],
    draw: Callable[[Axes, list[float], list[float]], None],
    size_inches: tuple[float, float] | None,
    content_names: Mapping[int, str],
) -> None:
    points = [point for point in given if math.isfinite(point[0]) and math.isfinite(point[1])]
    if not points:
        raise HarnessError(f"nothing to draw in {path}: no asset has both a label and a prediction")
    x, y = [point[0] for point in points], [point[1] for point in points]
    contents = sorted({content for _, _, content in points})
    names = [content_names.get(content, f"content {content}") for content in contents]
    colours = _colours(len(contents))
    colour_of = dict(zip(contents, colours, strict=True))

    wants_legend = 1 < len(contents) <= LEGEND_FITS
    usual = SIZE_INCHES if wants_legend else SIZE_WITHOUT_LEGEND_INCHES
    width, height = size_inches or usual
    if not (1 <= width <= 100 and 1 <= height <= 100):
        raise HarnessError(f"a plot of {width:g}×{height:g} inches cannot be drawn; give sides from 1 to 100")
    scale = max(0.6, min(1.6, width / usual[0], height / usual[1]))  # of texts and margins
    has_legend = wants_legend and len(contents) * 0.2 * scale < height - 1.55 * scale
    figure = _figure(width, height)
    # Margins in inches, so that the axes are square at the default sizes; constrained layout cuts labels off there.
    left, bottom, top, right = 0.8 * scale, 0.65 * scale, 0.9 * scale, (1.85 if has_legend else 0.3) * scale
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            max(0.2, width - left - right) / width,
            max(0.2, height - bottom - top) / height,
        ),
        anchor="NW",
    )
    axes.scatter(
        x,
        y,
        s=max(12.0, min(48.0, 6000 / len(points))) * scale,
        c=[colour_of[content] for _, _, content in points],
        edgecolors="white",
        linewidths=0.5 * scale,
        alpha=0.9,
        zorder=3,
    )
    draw(axes, x, y)
    _write_heading(
        figure, title, numbers or f"{len(points)} asset{'s' if len(points) > 1 else ''}, no statistics", scale, left
    )
    _dress(axes, names_of_axes, scale)
    if has_legend:
        _draw_legend(axes, names, colours, scale)
    _write(figure, path)


def _figure(width: float, height: float) -> Figure:
    # The object interface: pyplot keeps every figure in a global list, and may ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _write_heading(figure: Figure, title: str, numbers: str, scale: float, left: float) -> None:
    """Title and numbers above the axes, which begin *left* inches from the edge; as small as they must be to fit."""
    width, height = figure.get_size_inches()
    for text, size, weight, below_top in ((_shortened(title, 60), 12, "bold", 0.4), (numbers, 9, "normal", 0.68)):
        fits = (width - left) * 72 / (0.6 * len(text) + 1)  # an average letter is 0.6 of its height wide
        line = figure.text(left / width, 1 - below_top * scale / height, text, fontsize=min(size * scale, fits))
        line.set(color=TEXT, fontweight=weight, parse_math=False)  # a $ in a title is a $


def _dress(axes: Axes, names: tuple[str, str], scale: float) -> None:
    axes.set_xlabel(names[0], color=TEXT, fontsize=11 * scale)
    axes.set_ylabel(names[1], color=TEXT, fontsize=11 * scale)
    axes.grid(visible=True, color=FAINT, linewidth=0.7 * scale)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, labelsize=9.5 * scale, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#8a8f98")


def _colours(count: int) -> list[tuple[float, float, float]]:
    """Colours for white paper: neighbours differ in hue, and in lightness, too, where hues get close."""
    lightness = (0.45,) if count <= 8 else (0.38, 0.58) if count <= 24 else (0.32, 0.48, 0.64)
    return [
        colorsys.hls_to_rgb((0.58 + index / count) % 1, lightness[index % len(lightness)], 0.72)
        for index in range(count)
    ]


def _draw_line_and_limits(axes: Axes, x: list[float], y: list[float]) -> None:
    if _on_one_scale(x, y):
        limits = _limits([*x, *y])
        axes.set_xlim(limits)
        axes.set_ylim(limits)
        axes.set_aspect("equal")  # shrinks the axes within their place
        axes.plot(limits, limits, color=TEXT, linewidth=1, linestyle=(0, (6, 4)), alpha=0.55, zorder=2)
        return
    axes.set_xlim(_limits(x))
    axes.set_ylim(_limits(y))
    if min(x) < max(x):
        slope, intercept = linear_regression(x, y)
        ends = [min(x), max(x)]
        fitted = [slope * end + intercept for end in ends]
        axes.plot(ends, fitted, color=TEXT, linewidth=1, linestyle=(0, (6, 4)), alpha=0.55, zorder=2)


def _on_one_scale(x: list[float], y: list[float]) -> bool:
    """Whether labels and predictions overlap in most of their range."""
    low, high = max(min(x), min(y)), min(max(x), max(y))
    return high - low > (max(*x, *y) - min(*x, *y)) / 2


def _limits(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(1.0, abs(low) * 0.1)  # a constant gets some room, too
    return low - margin, high + margin


def _numbers(statistics: Statistics | None, fit: LogisticFit | None) -> str:
    if statistics is None:
        return ""
    if statistics.note:
        return f"n = {statistics.n}    RMSE {statistics.rmse:.3f}    {statistics.note}"
    curve = f"    on the curve PLCC {fit.plcc:.4f}  RMSE {fit.rmse:.3f}" if fit is not None else ""
    return (
        f"n = {statistics.n}    SROCC {statistics.srocc:.4f}    PLCC {statistics.plcc:.4f}    "
        f"KROCC {statistics.krocc:.4f}    RMSE {statistics.rmse:.3f}{curve}"
    )


def _shortened(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _draw_legend(axes: Axes, names: list[str], colours: list[tuple[float, float, float]], scale: float) -> None:
    from matplotlib.lines import Line2D

    dots = [Line2D([], [], linestyle="", marker="o", markersize=6 * scale, color=colour) for colour in colours]
    shown = [_shortened(name, 20).lstrip("_") or "content" for name in names]  # a leading _ hides an entry
    legend = axes.legend(
        dots,
        shown,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.3,
        fontsize=8.5 * scale,
        frameon=False,
        labelcolor=TEXT,
        handletextpad=0.1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a $


def _write(figure: Figure, path: Path) -> None:
    try:
        with replacing(path) as temporary, _drawing, warnings.catch_warnings():
            # A name in a script that the font lacks, or a plot too small for its text: drawn as well as it goes.
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(temporary, format="png", metadata={"Software": None})
    except OSError as error:
        raise HarnessError(f"cannot write the plot {path}: {error.strerror or error}") from error
