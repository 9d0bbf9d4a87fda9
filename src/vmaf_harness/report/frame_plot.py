"""The score of each frame, of one video or of all encodes of a content, as a plot; PNG, or SVG by the suffix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_harness.report.drawing import (
    CURVE,
    LINE_COLOURS,
    TEXT,
    PlotError,
    axis_limits,
    matplotlib_defaults,
    new_figure,
    style_axes,
    write_figure,
    write_heading,
)
from vmaf_workspace.wording import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES_SIZE_INCHES = (9.0, 4.2)
CONTENT_SIZE_INCHES = (6.6, 4.2)  # of a page: one that a phone shows whole (`inline_svg`)


def frames_plot(
    path: Path, scores: Sequence[float], title: str, pooled: Mapping[str, float], score: str, *, every: int = 1
) -> None:
    """Draw the score of each frame, counted from 0, with lines at pooled scores by their names.

    *score* names the axis, and the scores are of one frame in *every*. Raises PlotError where there is nothing to draw,
    where the file cannot be written, and for whatever goes wrong in matplotlib.
    """
    if not any(map(math.isfinite, scores)):
        raise PlotError(f"nothing to draw in {path}: no frame has a score")
    with matplotlib_defaults(path):
        width, height = FRAMES_SIZE_INCHES
        figure = new_figure(width, height)
        axes = figure.add_axes((0.8 / width, 0.65 / height, (width - 2.4) / width, (height - 1.55) / height))
        shown = {name: value for name, value in pooled.items() if math.isfinite(value)}
        marker = "o" if len(scores) <= 60 else ""
        numbers = range(0, len(scores) * every, every)
        axes.plot(numbers, scores, color=CURVE, linewidth=1.4, marker=marker, markersize=3)
        axes.set_xlim(-0.5 * every, numbers[-1] + 0.5 * every)
        low, high = axis_limits([*filter(math.isfinite, scores), *shown.values()])
        axes.set_ylim(low, high)
        _draw_levels(axes, shown, (high - low) * 0.055)
        write_heading(figure, title, f"{len(scores)} frames{f', one in {every}' if every > 1 else ''}", 1.0, 0.8)
        style_axes(figure, axes, ("frame", score), 1.0, (width - 2.4, height - 1.55))
        write_figure(figure, path)


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
    with matplotlib_defaults(path):
        width, height = CONTENT_SIZE_INCHES
        figure = new_figure(width, height)
        within = (width - 2.4, height - 1.55)
        axes = figure.add_axes((0.8 / width, 0.65 / height, within[0] / width, within[1] / height))
        for line in lines:
            x, y = _worst_of_stretches(line.scores, most)
            style: dict[str, Any] = {"linewidth": 2.0} if line.is_bold else {"linewidth": 1.0, "alpha": 0.55}
            colour = LINE_COLOURS[line.colour % len(LINE_COLOURS)]
            axes.plot(x, y, color=colour, zorder=4 if line.is_bold else 3, gid=line.gid, **style)
        n_frames = max(len(line.scores) for line in lines)
        axes.set_xlim(-0.5, n_frames - 0.5)
        low, high = axis_limits(finite)
        axes.set_ylim(low, high)
        for cut in cuts:
            axes.axvline(cut, color=TEXT, linewidth=0.9, linestyle=(0, (1, 2)), alpha=0.6, zorder=1)
        _draw_levels(axes, levels, (high - low) * 0.055)
        scenes = f"    {count_text(len(cuts), 'scene cut')} (dotted)" if cuts else ""
        bold = next((f"    thick: {line.name}" for line in lines if line.is_bold), "")
        write_heading(figure, title, f"{count_text(n_frames, 'frame')}{scenes}{bold}", 1.0, 0.8)
        style_axes(figure, axes, ("frame", score), 1.0, within)
        write_figure(figure, path)


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
