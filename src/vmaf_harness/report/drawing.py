"""What all plots have in common: matplotlib under its own settings, a figure, its heading, axes, legend and file."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.report.mark import MARK, check_plot
from vmaf_workspace.disk.atomic import replacing
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.installation import install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

DPI = 150
TEXT, FAINT, CURVE = "#24292f", "#d8dce2", "#2f6fb7"
AXIS = "#8a8f98"
LINE_COLOURS = ("#2f6fb7", "#c2571a", "#2a8a4a", "#a23b8f", "#8a6d00", "#c43c4e", "#0f8a95", "#6b6f76")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_drawing = threading.Lock()  # matplotlib's settings, and the filter of warnings, are one for all threads


class PlotError(HarnessError):
    """A plot that cannot be drawn or written; never a reason to lose the numbers that were to be drawn."""


def check_directory(path: Path, *names: str) -> None:
    """Make the directory that plots will go to, and see that a file can be made there, before hours of work.

    Raises PlotError where not, RefusedError where something else than a plot of ours has one of *names* there, which
    are patterns as of `glob`.
    """
    for name in names:
        for there in sorted(path.glob(name)):
            check_plot(there)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise PlotError(f"{path}: cannot write plots there: {error.strerror}; name another directory") from error


def why_no_plot() -> str | None:
    """Why nothing can be drawn here, found out by drawing; None where it can."""
    try:
        with matplotlib_defaults(None):
            new_figure(1, 1).canvas.draw()
    except PlotError as error:
        return str(error)
    return None


@contextmanager
def matplotlib_defaults(path: Path | None) -> Iterator[None]:
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
        except RefusedError as error:
            raise PlotError(f"cannot write the plot: {error}") from error
        except ImportError as error:
            raise PlotError(f"{what}: {_one_line(error)}; `{install_command('harness')}`") from error
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


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of these inches."""
    # The object interface: pyplot keeps every figure in a global list, and may ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def write_heading(figure: Figure, title: str, numbers: str, scale: float, left: float) -> None:
    """Title and numbers above the axes, which begin *left* inches from the edge; as small as they must be to fit."""
    width, height = figure.get_size_inches()
    for text, size, weight, below_top in ((shortened(title, 60), 12, "bold", 0.4), (numbers, 9, "normal", 0.68)):
        line = figure.text(left / width, 1 - below_top * scale / height, text, fontsize=size * scale)
        line.set(color=TEXT, fontweight=weight, parse_math=False)  # a $ in a title is a $
        fit_into(figure, line, width - left - 0.05)


def style_axes(figure: Figure, axes: Axes, names: tuple[str, str], scale: float, inches: tuple[float, float]) -> None:
    """Name both axes, whose lengths are *inches*, and draw a grid behind what they hold."""
    for axis, name, length in zip((axes.xaxis, axes.yaxis), names, inches, strict=True):
        axis.set_label_text(shortened(name, 80), color=TEXT, fontsize=11 * scale, parse_math=False)
        fit_into(figure, axis.label, length)
    axes.grid(visible=True, color=FAINT, linewidth=0.7 * scale)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, labelsize=9.5 * scale, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(AXIS)


def fit_into(figure: Figure, text: Text, inches: float) -> None:
    """Make a text as small as it must be, in its longer direction."""
    extent = text.get_window_extent(renderer_of(figure))
    if (length := max(extent.width, extent.height) / DPI) > inches > 0:
        text.set_fontsize(float(text.get_fontsize()) * inches / length)


def draw_legend(
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
    wide = legend.get_window_extent(renderer_of(legend.figure)).width / DPI
    if wide > inches:
        legend.remove()
        drawn(size * inches / wide)


def renderer_of(figure: Any) -> Any:
    """What measures texts of a figure."""
    return figure.canvas.get_renderer()  # Agg's canvas has one


def axis_limits(values: list[float]) -> tuple[float, float]:
    """Where an axis of these values begins and ends."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(1.0, abs(low) * 0.1)  # a constant gets some room, too
    return low - margin, high + margin


def shortened(text: str, most: int) -> str:
    """The text in one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def write_figure(figure: Figure, path: Path) -> None:
    """Write it whole or not at all, and over nothing but a plot of ours (RefusedError)."""
    check_plot(path)
    with replacing(path) as temporary:
        if path.suffix == ".svg":
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": MARK})
        else:
            figure.savefig(temporary, format="png", metadata={"Software": MARK})
