"""Plots: predictions over labels, their errors, scores of frames, quality over bitrate; PNG, or SVG by the suffix."""

from __future__ import annotations

import colorsys
import logging
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from vmaf_harness.errors import HarnessError, StatisticsError
from vmaf_harness.statistics import LinearFit, LogisticFit, Statistics, linear_fit
from vmaf_workspace.disk.atomic import replacing
from vmaf_workspace.wording import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

SIZE_INCHES = (7.1, 6.0)
SIZE_WITHOUT_LEGEND_INCHES = (5.55, 6.0)
FRAMES_SIZE_INCHES = (9.0, 4.2)
DPI = 150
MAX_LEGEND_CONTENTS = 25  # contents; the names of more would be longer than the axes are high
RATE_SIZE_INCHES = (9.0, 4.8)
_LEGEND_INCHES = 2.6
TEXT, FAINT, CURVE = "#24292f", "#d8dce2", "#2f6fb7"
AXIS = "#8a8f98"
LINE_COLOURS = ("#2f6fb7", "#c2571a", "#2a8a4a", "#a23b8f", "#8a6d00", "#c43c4e", "#0f8a95", "#6b6f76")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_DASHED: dict[str, Any] = {"color": TEXT, "linewidth": 1, "linestyle": (0, (6, 4)), "alpha": 0.55}
_SOLID: dict[str, Any] = {"color": TEXT, "linewidth": 1.8, "alpha": 0.75}
_LABEL_BAR: dict[str, Any] = {"color": TEXT, "linewidth": 0.8, "alpha": 0.4}
_LABEL_BAND: dict[str, Any] = {"color": TEXT, "linewidth": 5, "alpha": 0.16}  # where both kinds of bars stand upright
_SPREAD_BAR: dict[str, Any] = {"color": CURVE, "linewidth": 1.6, "alpha": 0.45}

_drawing = threading.Lock()  # matplotlib's settings, and the filter of warnings, are one for all threads


class PlotError(HarnessError):
    """A plot that cannot be drawn or written; never a reason to lose the numbers that were to be drawn."""


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
            limits = _limits([*across, *upwards])
            axes.set(xlim=limits, ylim=limits, aspect="equal")  # which shrinks the axes within their place
            axes.plot(limits, limits, zorder=2, **_DASHED)
        else:
            axes.set(xlim=_limits(across), ylim=_limits(upwards))
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
        axes.set_xlim(_limits(x))
        # From 0, which is always there, as far as errors go: symmetric axes were half empty.
        axes.set_ylim(*_limits([0.0, *y, *(end for _, *ends in (*bars, *tall) for end in ends)]))
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


def frames_plot(
    path: Path, scores: Sequence[float], title: str, pooled: Mapping[str, float], score: str, *, every: int = 1
) -> None:
    """Draw the score of each frame, counted from 0, with lines at pooled scores by their names.

    *score* names the axis, and the scores are of one frame in *every*. Raises PlotError where there is nothing to draw,
    where the file cannot be written, and for whatever goes wrong in matplotlib.
    """
    if not any(map(math.isfinite, scores)):
        raise PlotError(f"nothing to draw in {path}: no frame has a score")
    with _matplotlib_defaults(path):
        width, height = FRAMES_SIZE_INCHES
        figure = _figure(width, height)
        axes = figure.add_axes((0.8 / width, 0.65 / height, (width - 2.4) / width, (height - 1.55) / height))
        shown = {name: value for name, value in pooled.items() if math.isfinite(value)}
        marker = "o" if len(scores) <= 60 else ""
        numbers = range(0, len(scores) * every, every)
        axes.plot(numbers, scores, color=CURVE, linewidth=1.4, marker=marker, markersize=3)
        axes.set_xlim(-0.5 * every, numbers[-1] + 0.5 * every)
        low, high = _limits([*filter(math.isfinite, scores), *shown.values()])
        axes.set_ylim(low, high)
        _draw_levels(axes, shown, (high - low) * 0.055)
        _write_heading(figure, title, f"{len(scores)} frames{f', one in {every}' if every > 1 else ''}", 1.0, 0.8)
        _style_axes(figure, axes, ("frame", score), 1.0, (width - 2.4, height - 1.55))
        _write(figure, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLine:
    """A line of a rate–quality plot: `points` are (kbit/s, quality); those of one `colour` belong together.

    A hull is broad and pale, and has no points of its own. `gid` is the id of its points, or of the hull, in an SVG.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    marker: int = 0
    is_hull: bool = False
    gid: str = ""


def rate_quality_plot(path: Path, lines: Sequence[RateLine], title: str, numbers: str, score: str) -> None:
    """Draw quality over bitrate, whose axis is logarithmic, into *path*; *numbers* stand below the *title*.

    Raises PlotError where there is nothing to draw, where the file cannot be written, and for whatever goes wrong in
    matplotlib.
    """
    every = [point for line in lines for point in line.points]
    if not every:
        raise PlotError(f"nothing to draw in {path}: no encode has a score")
    with _matplotlib_defaults(path):
        from matplotlib.lines import Line2D
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        width, height = RATE_SIZE_INCHES
        right = _LEGEND_INCHES if len(lines) > 1 else 0.3
        figure = _figure(width, height)
        within = (width - 0.8 - right, height - 1.55)
        axes = figure.add_axes((0.8 / width, 0.65 / height, within[0] / width, within[1] / height))
        axes.set_xscale("log")
        key: list[Line2D] = []
        for line in lines:
            colour, marker = LINE_COLOURS[line.colour % len(LINE_COLOURS)], MARKERS[line.marker % len(MARKERS)]
            x, y = [point[0] for point in line.points], [point[1] for point in line.points]
            style: dict[str, Any] = {"linewidth": 1.5}
            if line.is_hull:
                style = {"linewidth": 4.5, "alpha": 0.28, "solid_capstyle": "round"}
            axes.plot(x, y, color=colour, zorder=2 if line.is_hull else 3, gid=f"line-{line.gid}", **style)
            if not line.is_hull:
                axes.scatter(
                    x, y, c=colour, marker=marker, s=34, edgecolors="white", linewidths=0.6, zorder=4, gid=line.gid
                )
                style |= {"marker": marker, "markersize": 5.5}
            key.append(Line2D([], [], color=colour, **style))
        low, high = min(x for x, _ in every), max(x for x, _ in every)
        room = (high / low) ** 0.06 if high > low else 1.5
        axes.set_xlim(low / room, high * room)
        axes.set_ylim(*_limits([y for _, y in every]))
        axes.xaxis.set_major_locator(FixedLocator(_rate_ticks(low / room, high * room)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        _write_heading(figure, title, numbers, 1.0, 0.8)
        _style_axes(figure, axes, ("video bitrate in kbit/s (logarithmic)", score), 1.0, within)
        if len(lines) > 1:
            names = [_shortened(line.name, 34).lstrip("_") or "line" for line in lines]
            size = min(8.5, 8.5 * within[1] / (0.2 * len(lines)))
            place: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3, "handlelength": 2.2}
            _draw_legend(axes, lambda _: key, names, size, right - 0.1, **place)
        _write(figure, path)


def _rate_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between two rates; every power of ten alone where those would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low <= tick <= high] or [round(math.sqrt(low * high))]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLine:
    """The score of each frame of one encode; `gid` is the id of its line in an SVG. One that is `bold` stands out."""

    name: str
    scores: Sequence[float]
    colour: int
    gid: str
    is_bold: bool = False


def content_frames_plot(
    path: Path,
    lines: Sequence[FrameLine],
    title: str,
    score: str,
    levels: Mapping[str, float],
    cuts: Sequence[int],
    most: int = 400,
) -> None:
    """Draw the scores of the frames of all encodes of a content, frames counted from 0, into *path*.

    *levels* are horizontal lines by their names, *cuts* the first frames of scenes. Of a clip with more than *most*
    frames the worst frame of each stretch is drawn. Raises PlotError as `frames_plot` does.
    """
    finite = [value for line in lines for value in line.scores if math.isfinite(value)]
    if not finite:
        raise PlotError(f"nothing to draw in {path}: no frame has a score")
    with _matplotlib_defaults(path):
        width, height = FRAMES_SIZE_INCHES
        figure = _figure(width, height)
        within = (width - 2.4, height - 1.55)
        axes = figure.add_axes((0.8 / width, 0.65 / height, within[0] / width, within[1] / height))
        for line in lines:
            x, y = _worst_of_stretches(line.scores, most)
            style: dict[str, Any] = {"linewidth": 2.0} if line.is_bold else {"linewidth": 1.0, "alpha": 0.55}
            colour = LINE_COLOURS[line.colour % len(LINE_COLOURS)]
            axes.plot(x, y, color=colour, zorder=4 if line.is_bold else 3, gid=line.gid, **style)
        n_frames = max(len(line.scores) for line in lines)
        axes.set_xlim(-0.5, n_frames - 0.5)
        low, high = _limits(finite)
        axes.set_ylim(low, high)
        for cut in cuts:
            axes.axvline(cut, color=TEXT, linewidth=0.9, linestyle=(0, (1, 2)), alpha=0.6, zorder=1)
        _draw_levels(axes, levels, (high - low) * 0.055)
        scenes = f"    {count_text(len(cuts), 'scene cut')} (dotted)" if cuts else ""
        bold = next((f"    thick: {line.name}" for line in lines if line.is_bold), "")
        _write_heading(figure, title, f"{count_text(n_frames, 'frame')}{scenes}{bold}", 1.0, 0.8)
        _style_axes(figure, axes, ("frame", score), 1.0, within)
        _write(figure, path)


def _worst_of_stretches(scores: Sequence[float], most: int) -> tuple[list[int], list[float]]:
    """Numbers and scores of at most *most* frames, each the worst of as many that follow each other."""
    each = max(1, math.ceil(len(scores) / most))
    worst = [
        min(range(at, min(at + each, len(scores))), key=lambda index: (math.isnan(scores[index]), scores[index]))
        for at in range(0, len(scores), each)
    ]
    return worst, [scores[index] for index in worst]


def _draw_levels(axes: Axes, levels: Mapping[str, float], least: float) -> None:
    """Dashed lines at these heights, their names right of the axes and *least* apart."""
    at = -math.inf
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        axes.axhline(value, color=TEXT, linewidth=1, linestyle=(0, (6, 4)), alpha=0.45, zorder=1)
        at = max(value, at + least)
        text, beside = f"{name.replace('_', ' ')} {value:.2f}", axes.get_yaxis_transform()
        axes.text(1.01, at, text, transform=beside, va="center", fontsize=8.5, color=TEXT)


def check_directory(path: Path) -> None:
    """Make the directory that plots will go to, and see that a file can be made there, before hours of work.

    Raises PlotError where not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise PlotError(f"{path}: cannot write plots there: {error.strerror}; name another directory") from error


def why_no_plot() -> str | None:
    """Why nothing can be drawn here, found out by drawing; None where it can."""
    try:
        with _matplotlib_defaults(None):
            _figure(1, 1).canvas.draw()
    except PlotError as error:
        return str(error)
    return None


Point = tuple[float, float, int]  # x, y, content
LegendEntry = tuple[str, dict[str, Any]]  # of a legend: text, and how the line is drawn


@contextmanager
def _matplotlib_defaults(path: Path | None) -> Iterator[None]:
    """Import and use matplotlib here, under its own defaults; whatever goes wrong is a PlotError of one line.

    A user's matplotlibrc may ask for TeX, for fonts that are not there, or for other formats and sizes; `MPLBACKEND`
    may name what is not installed (a notebook passes its own on to every command), with which even the import fails.
    We need no back end but Agg's canvas. What the user has set is theirs again afterwards: we may be a guest in a
    notebook. Lines that matplotlib logs, of settings that it does not understand or directories that it cannot write,
    are not about what is drawn. One plot at a time: settings are one for all threads.
    """
    what = "no plot" if path is None else f"cannot write the plot {path}"
    logger = logging.getLogger("matplotlib")
    with _drawing, warnings.catch_warnings():
        # A name in a script that the font lacks, or a plot too small for its text: drawn as well as it goes.
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            matplotlib = _matplotlib()
            # Not the back end: to look whether one is set, pyplot would be imported, and choose.
            defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
            # Text stays text in an SVG, and what has an id there has the same one each time.
            with matplotlib.rc_context({**defaults, "svg.fonttype": "none", "svg.hashsalt": "vmaf-harness"}):
                yield
        except PlotError:
            raise
        except ImportError as error:
            raise PlotError(f"{what}: {_one_line(error)}; pip install 'vmaf-workspace[harness]'") from error
        except OSError as error:
            raise PlotError(f"{what}: {error.strerror or _one_line(error)}") from error
        except Exception as error:  # of a library that reads the user's files and fonts: no plot is worth a traceback
            raise PlotError(f"{what}: matplotlib fails: {_one_line(error)}") from error
        finally:
            logger.setLevel(level)


def _matplotlib() -> Any:
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    wanted = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if wanted is not None:
            os.environ["MPLBACKEND"] = wanted
    if wanted:
        with suppress(ValueError):  # no back end of that name
            matplotlib.rcParams["backend"] = wanted  # for the caller's own plots; this imports nothing
    return matplotlib


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


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
    names = [_shortened(name, 20).lstrip("_") or "content" for name in names]  # a leading _ hides an entry
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
    with _matplotlib_defaults(path):
        figure = _figure(width, height)
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
        _write_heading(figure, pairs.title, numbers, scale, left)
        _style_axes(figure, axes, names_of_axes, scale, (width - left - right, height - bottom - top))
        from matplotlib.lines import Line2D

        def dots(size: float) -> list[Line2D]:
            style: dict[str, Any] = {"linestyle": "", "markersize": 0.7 * size}
            return [Line2D([], [], marker=m, color=c, **style) for m, c in zip(markers, colours, strict=True)]

        if key:  # what lines and bars are, in two columns between heading and axes
            lines = [Line2D([], [], **style) for _, style in key]
            place: dict[str, Any] = {"bbox_to_anchor": (left / width, 1 - 0.8 * scale / height), "ncols": 2}
            place |= {"borderaxespad": 0, "borderpad": 0, "labelspacing": 0.35}
            texts = [text for text, _ in key]
            _draw_legend(figure, lambda _: lines, texts, 8.5 * scale, width - left - 0.05, **place)
        if has_legend:  # contents, right of the axes
            place = {"bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3, "handletextpad": 0.1}
            _draw_legend(axes, dots, names, 8.5 * scale, right - 0.1 * scale, **place)
        _write(figure, path)


_ROW_INCHES = 0.18  # of the legend of lines, which is above the axes: in them it would hide points


def _draw_legend(
    owner: Figure | Axes,
    handles: Callable[[float], list[Line2D]],
    names: list[str],
    size: float,
    inches: float,
    **placed: Any,
) -> None:
    """Draw a legend with letters of this *size*, smaller where it would be wider than *inches*."""

    def drawn(size: float) -> Legend:
        legend = owner.legend(
            handles(size), names, loc="upper left", fontsize=size, frameon=False, labelcolor=TEXT, **placed
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a $ in a name is a $
        return legend

    legend = drawn(size)
    wide = legend.get_window_extent(_renderer(legend.figure)).width / DPI
    if wide > inches:
        legend.remove()
        drawn(size * inches / wide)


def _renderer(figure: Any) -> Any:
    return figure.canvas.get_renderer()  # Agg's canvas has one


def _fit_into(figure: Figure, text: Text, inches: float) -> None:
    """Make a text as small as it must be, in its longer direction."""
    extent = text.get_window_extent(_renderer(figure))
    if (length := max(extent.width, extent.height) / DPI) > inches > 0:
        text.set_fontsize(float(text.get_fontsize()) * inches / length)


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
        line = figure.text(left / width, 1 - below_top * scale / height, text, fontsize=size * scale)
        line.set(color=TEXT, fontweight=weight, parse_math=False)  # a $ in a title is a $
        _fit_into(figure, line, width - left - 0.05)


def _style_axes(figure: Figure, axes: Axes, names: tuple[str, str], scale: float, inches: tuple[float, float]) -> None:
    for axis, name, length in zip((axes.xaxis, axes.yaxis), names, inches, strict=True):
        axis.set_label_text(_shortened(name, 80), color=TEXT, fontsize=11 * scale, parse_math=False)
        _fit_into(figure, axis.label, length)
    axes.grid(visible=True, color=FAINT, linewidth=0.7 * scale)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, labelsize=9.5 * scale, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(AXIS)


def _colours(count: int) -> list[tuple[float, float, float]]:
    """Colours for white paper: neighbours differ in hue, and in lightness, too, where hues get close."""
    lightness = (0.45,) if count <= 8 else (0.38, 0.58) if count <= 24 else (0.32, 0.48, 0.64)
    return [
        colorsys.hls_to_rgb((0.58 + index / count) % 1, lightness[index % len(lightness)], 0.72)
        for index in range(count)
    ]


def _limits(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(1.0, abs(low) * 0.1)  # a constant gets some room, too
    return low - margin, high + margin


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


def _shortened(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _write(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".svg":
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(temporary, format="png", metadata={"Software": None})
