"""Quality over bitrate as a plot; PNG, or SVG by the suffix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_harness.report.drawing import (
    DPI,
    LINE_COLOURS,
    MARKERS,
    PlotError,
    axis_limits,
    draw_legend,
    matplotlib_defaults,
    new_figure,
    renderer_of,
    shortened,
    style_axes,
    write_figure,
    write_heading,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

RATE_SIZE_INCHES = (6.4, 4.8)
_LEGEND_INCHES = 2.6  # by which a plot with a legend is wider
MOST_DIRECT = 6  # lines that are labelled where they end; of more, a legend is quicker to read
_LABEL_SIZE = 8.5
_PLACES = (  # of a label, in the order that they are tried: at the last point or the first; to the right of it or …
    (-1, "left", "center", (7, 0)),
    (-1, "right", "bottom", (2, 6)),
    (0, "left", "center", (9, -3)),
    (0, "left", "top", (3, -5)),
    (-1, "left", "top", (-4, -6)),
    (0, "left", "bottom", (-4, 7)),
)


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

    Names stand where their lines end, if there are few and all of them find a place where they cover nothing; else
    right of the axes in a legend. Raises PlotError where there is nothing to draw, where the file cannot be written,
    and for whatever goes wrong in matplotlib.
    """
    if not any(line.points for line in lines):
        raise PlotError(f"nothing to draw in {path}: no encode has a score")
    with matplotlib_defaults(path):
        figure, axes, _ = _drawn(lines, title, numbers, score, legend_inches=0.0)
        if len(lines) > 1 and not _label_directly(figure, axes, lines):
            figure, axes, key = _drawn(lines, title, numbers, score, legend_inches=_LEGEND_INCHES)
            height_inches = axes.get_window_extent(renderer_of(figure)).height / DPI
            size = min(_LABEL_SIZE, _LABEL_SIZE * height_inches / (0.2 * len(lines)))
            place: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3, "handlelength": 2.2}
            names = [_name(line) for line in lines]
            draw_legend(axes, lambda _: key, names, size, _LEGEND_INCHES - 0.1, **place)
        write_figure(figure, path)


def _drawn(
    lines: Sequence[RateLine], title: str, numbers: str, score: str, *, legend_inches: float
) -> tuple[Figure, Axes, list[Line2D]]:
    """The plot without names, with so much room right of it, and what a legend shows of each line."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    width, height = RATE_SIZE_INCHES[0] + legend_inches, RATE_SIZE_INCHES[1]
    figure = new_figure(width, height)
    within = (width - 0.8 - max(legend_inches, 0.3), height - 1.55)
    axes = figure.add_axes((0.8 / width, 0.65 / height, within[0] / width, within[1] / height))
    axes.set_xscale("log")
    key: list[Line2D] = []
    for line in lines:
        colour, marker = _colour(line), MARKERS[line.marker % len(MARKERS)]
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
    rates = [rate for line in lines for rate, _ in line.points]
    low, high = min(rates), max(rates)
    room = (high / low) ** 0.06 if high > low else 1.5
    axes.set_xlim(low / room, high * room)
    axes.set_ylim(*axis_limits([quality for line in lines for _, quality in line.points]))
    axes.xaxis.set_major_locator(FixedLocator(_rate_ticks(low / room, high * room)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    write_heading(figure, title, numbers, 1.0, 0.8)
    style_axes(figure, axes, ("video bitrate in kbit/s (logarithmic)", score), 1.0, within)
    return figure, axes, key


def _label_directly(figure: Figure, axes: Axes, lines: Sequence[RateLine]) -> bool:
    """Write the name of each line at one of its ends; False where one would cover something, or leave the picture."""
    if len(lines) > MOST_DIRECT or any(line.is_hull or not line.points for line in lines):
        return False
    taken: list[Bbox] = []
    drawn = [spot for line in lines for spot in _spots(axes, line)]
    for line in lines:
        for at, ha, va, offset in _PLACES:
            label = axes.annotate(
                _name(line),
                line.points[at],
                xytext=offset,
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=_LABEL_SIZE,
                color=_colour(line),
                zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},  # no line of the grid through a name
                parse_math=False,
            )
            box = label.get_window_extent(renderer_of(figure)).padded(0.02 * DPI)
            within = figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1)
            within = within and axes.bbox.x0 <= box.x0 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1 + 20
            covers = any(map(box.overlaps, taken)) or any(box.contains(x, y) for x, y in drawn)
            if within and not covers:
                taken.append(box)
                break
            label.remove()
        else:
            return False
    return True


def _spots(axes: Axes, line: RateLine) -> list[tuple[float, float]]:
    """Where a line and its markers are in the picture, close enough to each other that no label falls between."""
    corners = [tuple(map(float, axes.transData.transform(point))) for point in sorted(line.points)]
    spots = [(x + dx, y + dy) for x, y in corners for dx in (-4.0, 0.0, 4.0) for dy in (-4.0, 0.0, 4.0)]
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = max(1, int(math.hypot(x1 - x0, y1 - y0) / 4))
        spots += [(x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps) for step in range(steps)]
    return spots


def _colour(line: RateLine) -> str:
    return LINE_COLOURS[line.colour % len(LINE_COLOURS)]


def _name(line: RateLine) -> str:
    return shortened(line.name, 34).lstrip("_") or "line"  # a leading _ would hide it in a legend


def _rate_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between two rates; every power of ten alone where those would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if low <= tick <= high] or [round(math.sqrt(low * high))]
