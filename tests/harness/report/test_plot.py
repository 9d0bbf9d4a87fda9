from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from vmaf_harness.report import drawing, frame_plot, label_plot, rate_plot
from vmaf_harness.report.drawing import PlotError, why_no_plot
from vmaf_harness.report.frame_plot import FrameLine, content_frames_plot, frames_plot
from vmaf_harness.report.label_plot import PlotData, _colours, residual_plot, scatter_plot
from vmaf_harness.report.rate_plot import RateLine, rate_quality_plot
from vmaf_harness.statistics import linear_fit, logistic_fit, statistics, try_logistic_fit

Pixels = npt.NDArray[np.int_]
GREY = 40  # texts, lines and grid have no hue: red, green and blue differ by less


def pixels(path: Path) -> Pixels:
    """Rows, columns and 0…255 for red, green and blue of a PNG, read by matplotlib's own reader."""
    return (imread(path)[..., :3] * 255).astype(int)


def hues(image: Pixels) -> int:
    """How many colours points have: colours of many pixels, since edges are blends of few."""
    coloured = image[image.max(axis=2) - image.min(axis=2) > GREY]
    _, counts = np.unique(coloured, axis=0, return_counts=True)
    return int((counts >= 20).sum())


def pairs(labels: Sequence[float], predictions: Sequence[float], ids: Sequence[int] = (), **more: Any) -> PlotData:
    found = statistics(labels, predictions) if len(labels) > 1 and all(map(math.isfinite, labels)) else None
    known: dict[str, Any] = {"title": "t", "content_ids": ids or [0] * len(labels), "statistics": found}
    return PlotData(labels=labels, predictions=predictions, **(known | more))


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written from here on."""
    figures: list[Figure] = []
    write = drawing.write_figure

    def kept(figure: Figure, path: Path) -> None:
        write(figure, path)
        figures.append(figure)

    for module in (label_plot, frame_plot, rate_plot):
        monkeypatch.setattr(module, "write_figure", kept)
    return figures


def texts(figure: Figure) -> list[str]:
    """All that is written in the legend of lines."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def draw(path: Path, count: int, contents: int, *, scale: float = 1.0, size: tuple[float, float] | None = None) -> None:
    random = Random(2)
    labels = [random.uniform(20, 100) for _ in range(count)]
    predictions = [(label + random.gauss(0, 4)) * scale for label in labels]
    content_ids = [index % contents for index in range(count)]
    scatter_plot(path, pairs(labels, predictions, content_ids, title="d: VMAF"), size)


def test_the_picture_is_a_png_of_the_size_asked_for(tmp_path: Path) -> None:
    draw(tmp_path / "p.png", 12, 3, size=(4, 3))
    data = (tmp_path / "p.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (600, 450)
    assert zlib.crc32(data[12:29]) == struct.unpack(">I", data[29:33])[0]


@pytest.mark.parametrize("contents", [1, 2, 9, 24])
def test_each_content_has_a_colour_of_its_own(tmp_path: Path, contents: int) -> None:
    draw(tmp_path / "p.png", contents * 2, contents, size=(8, 8))
    assert hues(pixels(tmp_path / "p.png")) >= contents


def test_eighty_contents_have_eighty_colours() -> None:
    rounded = {tuple(round(part * 255) for part in colour) for colour in _colours(80)}
    assert len(rounded) == 80


def test_a_legend_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    """Its dots stand right of the axes, which are square."""

    def coloured_on_the_right(contents: int, height: float) -> int:
        draw(tmp_path / "p.png", 120, contents, size=(7.1, height))
        return hues(pixels(tmp_path / "p.png")[:, 770:])

    assert coloured_on_the_right(9, 6) >= 9
    assert coloured_on_the_right(60, 6) == 0
    assert coloured_on_the_right(24, 3) == 0


@pytest.mark.parametrize(
    "predictions",
    [[15.0, 40.0, 85.0, 90.0], [1.0, 1.5, 2.0, 3.0], [300.0, 400.0, 500.0, 610.0], [7.0, 7.0, 7.0, 7.0]],
    ids=["near", "far below", "far above", "constant"],
)
def test_what_predicts_labels_is_drawn_against_the_identity_however_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictions: list[float]
) -> None:
    figures = drawn(monkeypatch)
    scatter_plot(tmp_path / "p.png", pairs([10.0, 50.0, 80.0, 90.0], predictions))
    (axes,) = figures[0].axes
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_aspect() == 1.0
    (line,) = axes.lines
    assert line.get_xdata() == pytest.approx(line.get_ydata())
    assert texts(figures[0]) == ["identity: prediction = label"]


@pytest.mark.parametrize("count", [7, 8])
def test_another_scale_has_no_identity_and_a_line_only_of_enough_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    figures = drawn(monkeypatch)
    labels = [10.0 * i + i % 3 for i in range(count)]
    predictions = [30.0 + i for i in range(count)]  # of PSNR; some lie where labels do
    two = pairs(labels, predictions, is_one_scale=False)
    scatter_plot(tmp_path / "p.png", two)
    assert residual_plot(tmp_path / "r.png", two) is (count == 8)
    assert (tmp_path / "r.png").exists() is (count == 8)
    (axes,) = figures[0].axes
    assert axes.get_aspect() == "auto"
    assert len(axes.lines) == (count == 8)
    assert "RMSE" not in heading(figures[0]), "a difference of decibels and opinions is none"
    if count == 8:
        fit = linear_fit(labels, predictions)
        assert axes.lines[0].get_xdata() == pytest.approx([fit.map(30.0), fit.map(37.0)])
        assert texts(figures[0]) == [f"straight line, no identity: RMSE {fit.rmse:.3f}"]
        offsets = figures[1].axes[0].collections[0].get_offsets()
        errors = [fit.map(y) - x for x, y in zip(labels, predictions, strict=True)]
        assert np.asarray(offsets)[:, 1] == pytest.approx(errors)


def heading(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_axes_and_statistics_say_what_they_are_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    two = pairs([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], label="scores of the model m (no opinions)", kind="training")
    scatter_plot(tmp_path / "p.png", two)
    residual_plot(tmp_path / "r.png", two)
    for figure in figures:
        assert figure.axes[0].get_xlabel() == "scores of the model m (no opinions)"
        assert "training SROCC 1.0000" in heading(figure)


def test_nothing_that_is_written_leaves_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    labels = [float(i) for i in range(30)]
    for contents in (1, 6):
        wide = pairs(
            labels,
            labels,
            [i % contents for i in range(30)],
            title="W" * 90,
            label="scores of the model " + "m" * 90,
            prediction="M" * 90,
            kind="cross-validated",
            fit=try_logistic_fit(labels, labels),
            deviations=[1.0] * 30,
            spreads=[(x - 1, x + 1) for x in labels],
            content_names=dict.fromkeys(range(6), "W" * 40),
        )
        scatter_plot(tmp_path / "p.png", wide)
        residual_plot(tmp_path / "r.png", wide)
    for figure in figures:
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        width, height = figure.get_size_inches() * figure.dpi
        (axes,) = figure.axes
        written = [*figure.texts, *figure.legends, axes.xaxis.label, axes.yaxis.label, axes.get_legend()]
        figure.draw_without_rendering()
        for artist in filter(None, written):
            extent = artist.get_window_extent(renderer)
            assert extent.x0 >= -1, artist
            assert extent.x1 <= width + 1, artist
            assert extent.y0 >= -1, artist
            assert extent.y1 <= height + 1, artist


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [([50.0], [60.0]), ([3.0, 3.0, 3.0], [50.0, 50.0, 50.0]), ([3.0, 3.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])],
)
def test_one_asset_and_constant_numbers_are_drawn(
    tmp_path: Path, labels: list[float], predictions: list[float]
) -> None:
    for is_one_scale in (True, False):
        scatter_plot(tmp_path / "p.png", pairs(labels, predictions, is_one_scale=is_one_scale))
    assert residual_plot(tmp_path / "r.png", pairs(labels, predictions))
    assert not residual_plot(tmp_path / "none.png", pairs(labels, predictions, is_one_scale=False))
    assert hues(pixels(tmp_path / "p.png"))


def test_pairs_without_a_number_are_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    scatter_plot(tmp_path / "p.png", pairs([1.0, math.nan], [1.0, 2.0], [0, 1]))
    assert (tmp_path / "p.png").exists()
    with pytest.raises(PlotError, match="nothing to draw"):
        scatter_plot(tmp_path / "q.png", pairs([math.nan], [1.0]))
    assert not (tmp_path / "q.png").exists()


def test_any_title_and_any_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    names = {0: "_hidden", 1: "$x^$", 2: "内容", 3: "", 4: "n" * 300}
    title = "100 $ and \\frac \n 数据集 " + "t" * 300
    five = [1.0, 2, 3, 4, 5]
    scatter_plot(tmp_path / "p.png", pairs(five, five, [0, 1, 2, 3, 4], title=title, content_names=names, label=title))
    assert hues(pixels(tmp_path / "p.png")) >= 5


@pytest.mark.parametrize("size", [(0.0, 3.0), (3.0, -1.0), (1000.0, 3.0), (math.nan, 3.0)])
def test_a_size_that_cannot_be_drawn_is_refused(tmp_path: Path, size: tuple[float, float]) -> None:
    with pytest.raises(PlotError, match="cannot be drawn; give sides from 1 to 100"):
        draw(tmp_path / "p.png", 4, 2, size=size)


def test_the_smallest_size_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "p.png", 4, 2, size=(1, 1))
    assert pixels(tmp_path / "p.png").shape == (150, 150, 3)


def test_a_plot_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    draw(output / "p.png", 4, 2)
    with pytest.raises(PlotError, match="cannot write the plot"):
        draw(output / "gone/p.png", 4, 2)
    (output / "dir.png").mkdir()
    with pytest.raises(PlotError, match="cannot write the plot"):
        draw(output / "dir.png", 4, 2)
    before = (output / "p.png").read_bytes()
    draw(output / "p.png", 5, 2)
    assert (output / "p.png").read_bytes() != before
    assert sorted(os.listdir(output)) == ["dir.png", "p.png"]


def test_threads_draw_the_same_picture_at_the_same_time(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: draw(path, 30, 4), paths))
    assert len({path.read_bytes() for path in paths}) == 1


def test_pyplot_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom vmaf_harness.report.label_plot import PlotData, scatter_plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "two = PlotData(title='t', labels=[1.0, 2.0], predictions=[1.0, 2.0], content_ids=[0, 1], statistics=None)\n"
        f"scatter_plot(Path({str(tmp_path / 'p.png')!r}), two)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "p.png").exists()


def pixels_of(path: Path, *colour: int) -> int:
    """How many pixels have about this colour."""
    return int((np.abs(pixels(path) - np.array(colour)).max(axis=2) < 25).sum())


def test_a_fit_is_drawn_as_the_curve_that_it_is(tmp_path: Path) -> None:
    random = Random(5)
    predictions = [random.uniform(0, 100) for _ in range(40)]
    labels = [100 / (1 + math.exp(-(x - 50) / 12)) + random.gauss(0, 1) for x in predictions]
    ids = [i % 4 for i in range(40)]
    plain, fitted = tmp_path / "plain.png", tmp_path / "fitted.png"
    scatter_plot(plain, pairs(labels, predictions, ids))
    scatter_plot(fitted, pairs(labels, predictions, ids, fit=logistic_fit(labels, predictions)))
    line = (0x5B, 0x5E, 0x63)  # three quarters of the colour of texts, on white
    assert pixels_of(fitted, *line) > pixels_of(plain, *line) + 500


def test_bars_are_as_long_as_they_are_and_the_legend_says_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    three = pairs(
        [20.0, 50.0, 80.0],
        [25.0, 45.0, 82.0],
        deviations=[None, 8.0, 0.0],
        bar="label ± 2 of something",
        spreads=[(20.0, 31.0), None, (70.0, 90.0)],
    )
    scatter_plot(tmp_path / "p.png", three)
    residual_plot(tmp_path / "r.png", three)
    lines = [
        [segment.tolist() for bars in figure.axes[0].collections[1:] for segment in bars.get_segments()]  # type: ignore[attr-defined]
        for figure in figures
    ]
    assert lines[0] == [[[42.0, 45.0], [58.0, 45.0]], [[20.0, 20.0], [20.0, 31.0]], [[80.0, 70.0], [80.0, 90.0]]]
    assert lines[1] == [[[50.0, -13.0], [50.0, 3.0]], [[20.0, 0.0], [20.0, 11.0]], [[80.0, -10.0], [80.0, 10.0]]]
    for figure in figures:
        assert texts(figure)[1:] == ["label ± 2 of something", "95 % of the bootstrap"]
        low, high = figure.axes[0].get_ylim()
        assert low < min(y for bar in lines[figures.index(figure)] for _, y in bar)
        assert high > max(y for bar in lines[figures.index(figure)] for _, y in bar)


def test_residuals_are_the_errors_in_the_colours_of_their_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    labels = [float(i) for i in range(30)]
    predictions = [label + (3 if i % 3 else -3) for i, label in enumerate(labels)]
    path = tmp_path / "r.png"
    fit = try_logistic_fit(labels, predictions)
    assert fit is not None
    assert residual_plot(path, pairs(labels, predictions, [i % 3 for i in range(30)], fit=fit))
    assert hues(pixels(path)) >= 3
    of_contents = [np.asarray(each.get_offsets())[:, 1].tolist() for each in figures[0].axes[0].collections[:3]]
    assert of_contents == [pytest.approx([error] * 10) for error in (-3.0, 3.0, 3.0)], "no fit makes them smaller"
    far = [label / 20 for label in labels]  # as of a model that is good for nothing
    assert residual_plot(tmp_path / "far.png", pairs(labels, far))
    errors = np.asarray(figures[1].axes[0].collections[0].get_offsets())[:, 1]
    assert errors == pytest.approx([-label * 0.95 for label in labels])
    exact = tmp_path / "exact.png"
    residual_plot(exact, pairs(labels, labels))  # no error at all still has an axis
    assert exact.stat().st_size > 5000


@pytest.mark.parametrize("has_fit", [False, True], ids=["line", "curve"])
def test_residuals_of_another_scale_are_those_of_what_is_fitted(has_fit: bool, tmp_path: Path) -> None:
    random = Random(7)
    labels = [random.uniform(10, 95) for _ in range(40)]
    predictions = [0.8 + label / 500 + random.gauss(0, 0.01) for label in labels]  # as SSIM is, all below 1
    fit = logistic_fit(labels, predictions) if has_fit else None
    residual_plot(tmp_path / "r.png", pairs(labels, predictions, is_one_scale=False, fit=fit), (6, 6))
    image = pixels(tmp_path / "r.png")
    of_points = (image.max(axis=2) - image.min(axis=2) > GREY).sum(axis=1)
    above, below = of_points[: len(image) // 2].sum(), of_points[len(image) // 2 :].sum()
    assert min(above, below) > 0.5 * max(above, below)


def test_frames_are_drawn_with_their_pools(tmp_path: Path) -> None:
    one, many = tmp_path / "one.png", tmp_path / "many.png"
    frames_plot(one, [50.0], "a $ in a_name", {"mean": 50.0, "harmonic_mean": math.nan}, "VMAF")
    frames_plot(many, [50 + i % 40 for i in range(500)], "t", {"mean": 69.5, "min": 50.0}, "VMAF")
    blue = (0x2F, 0x6F, 0xB7)
    assert pixels_of(many, *blue) > 2000 > pixels_of(one, *blue) > 0


def test_frames_without_a_number_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="no frame has a score"):
        frames_plot(tmp_path / "none.png", [math.nan], "t", {}, "VMAF")
    assert not (tmp_path / "none.png").exists()


# What the user has set for plots of their own


RC = """
backend: nonsense
text.usetex: True
font.family: No Such Font
savefig.format: svg
savefig.dpi: 10
savefig.bbox: tight
savefig.transparent: True
figure.constrained_layout.use: True
figure.facecolor: black
axes.facecolor: black
axes.unicode_minus: False
axes.formatter.use_locale: True
lines.linewidth: 20
xtick.labelsize: 40
path.sketch: 5, 100, 2
no.such.key: 1
a line that is none
"""
SCRIPT = """
import os, sys
from pathlib import Path
from vmaf_harness.report.frame_plot import frames_plot
from vmaf_harness.report.label_plot import PlotData, scatter_plot
two = PlotData(title="t", labels=[-1.0, 2.0], predictions=[-1.0, 2.0], content_ids=[0, 1], statistics=None)
scatter_plot(Path(sys.argv[1], "p.png"), two)
frames_plot(Path(sys.argv[1], "f.png"), [1.0, 2.0], "t", {"mean": 1.5}, "VMAF")
print(os.environ.get("MPLBACKEND"))
"""


def by_a_process(directory: Path, here: Path, environ: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Both pictures, drawn by a process of its own that has *here* as current directory, and says nothing more."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(directory)],
        env={**os.environ, **environ},
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{environ.get('MPLBACKEND')}\n", "what the user has set stays"
    return (directory / "p.png").read_bytes(), (directory / "f.png").read_bytes()


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A directory where fonts are looked up only once: that takes a second."""
    return {"MPLCONFIGDIR": str(tmp_path_factory.mktemp("fonts"))}


@pytest.fixture(scope="module")
def plain(fonts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The pictures of a user who has set nothing."""
    here = tmp_path_factory.mktemp("plain")
    return by_a_process(here / "pictures", here, fonts)


Pictures = tuple[bytes, bytes]


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "Qt4Agg", "TkAgg", "nonsense", ""])
def test_no_back_end_of_the_user_matters(tmp_path: Path, fonts: dict[str, str], plain: Pictures, backend: str) -> None:
    assert by_a_process(tmp_path / "set", tmp_path, {**fonts, "MPLBACKEND": backend}) == plain


@pytest.mark.parametrize("where", ["here", "variable", "home", "config"])
def test_no_matplotlibrc_of_the_user_matters(
    tmp_path: Path, fonts: dict[str, str], plain: Pictures, where: str
) -> None:
    own = tmp_path / "own"
    directory = own / ".config" / "matplotlib" if where == "home" else own
    directory.mkdir(parents=True)
    (directory / "matplotlibrc").write_text(RC)
    variables = {"variable": "MATPLOTLIBRC", "home": "HOME", "config": "MPLCONFIGDIR"}
    environ = {**(fonts if where in ("here", "variable") else {})}
    environ |= {variables[where]: str(own)} if where in variables else {}
    assert by_a_process(tmp_path / "set", own if where == "here" else tmp_path, environ) == plain


def test_a_directory_of_settings_that_cannot_be_written_is_not_spoken_of(tmp_path: Path, plain: Pictures) -> None:
    assert by_a_process(tmp_path / "set", tmp_path, {"MPLCONFIGDIR": "/sys/nowhere", "HOME": "/sys"}) == plain


def test_settings_and_back_end_are_the_callers_own_again(tmp_path: Path) -> None:
    """In a notebook we are a guest."""
    code = (
        "import logging, matplotlib, warnings\nfrom pathlib import Path\n"
        "from vmaf_harness.report.frame_plot import frames_plot\n"
        "matplotlib.rcParams['font.size'] = 31\nlogging.getLogger('matplotlib').setLevel(logging.INFO)\n"
        "before = dict(matplotlib.rcParams.copy()), list(warnings.filters)\n"
        f"frames_plot(Path({str(tmp_path / 'f.png')!r}), [1.0, 2.0], 't', {{}}, 'VMAF')\n"
        "assert (dict(matplotlib.rcParams.copy()), list(warnings.filters)) == before\n"
        "assert logging.getLogger('matplotlib').level == logging.INFO\n"
        "assert matplotlib.rcParams['backend'].lower() == 'svg'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "MPLBACKEND": "svg"})
    late = code.replace("import logging, matplotlib, warnings", "import warnings").split("matplotlib.rcParams['font")[0]
    late += f"frames_plot(Path({str(tmp_path / 'g.png')!r}), [1.0, 2.0], 't', {{}}, 'VMAF')\nimport matplotlib\n"
    late += "assert matplotlib.rcParams['backend'].lower() == 'svg'\n"
    subprocess.run([sys.executable, "-c", late], check=True, env={**os.environ, "MPLBACKEND": "svg"})


def test_a_broken_matplotlib_is_one_line(tmp_path: Path) -> None:
    for name, text in (("missing", "raise ImportError('no such\\nlibrary')"), ("damaged", "1 / 0")):
        package = tmp_path / name / "matplotlib"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(text + "\n")
        code = "from vmaf_harness.report.drawing import why_no_plot\nprint(why_no_plot())"
        environ = {**os.environ, "PYTHONPATH": str(package.parent)}
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ)
        assert len(done.stdout.splitlines()) == 1
        assert done.stdout.startswith("no plot: ")
        assert done.stderr == ""
    assert why_no_plot() is None


LINES = [
    RateLine(name="x264 720p", points=[(400.0, 50.0), (900.0, 70.0), (2000.0, 90.0)], colour=0, gid="a"),
    RateLine(name="av1 720p", points=[(300.0, 55.0), (1000.0, 80.0)], colour=1, marker=1, gid="b"),
    RateLine(name="hull: x264", points=[(400.0, 50.0), (2000.0, 90.0)], colour=0, is_hull=True),
]


def test_quality_is_drawn_over_log_bitrate_with_a_line_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    rate_quality_plot(tmp_path / "r.png", LINES, "t", "n", "VMAF")
    (axes,) = figures[0].axes
    assert axes.get_xscale() == "log"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [line.name for line in LINES]
    ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    assert ticks == [500.0, 1000.0, 2000.0]
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [list(point) for point in LINES[0].points]
    assert hues(pixels(tmp_path / "r.png")) >= 2


def lines_of(*ends: float) -> list[RateLine]:
    """Lines that rise to these qualities at one bitrate."""
    return [
        RateLine(
            name=f"codec {n} fast", points=[(100.0, end / 2), (300.0, end * 0.9), (900.0, end)], colour=n, marker=n
        )
        for n, end in enumerate(ends)
    ]


def test_few_lines_are_named_where_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    lines = lines_of(95.0, 60.0, 30.0)
    rate_quality_plot(tmp_path / "r.png", lines, "t", "n", "VMAF")
    (axes,) = figures[0].axes
    assert axes.get_legend() is None
    assert [text.get_text() for text in axes.texts] == [line.name for line in lines]
    renderer = drawing.renderer_of(figures[0])
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for n, box in enumerate(boxes):
        assert not any(map(box.overlaps, boxes[:n]))
        assert figures[0].bbox.x0 <= box.x0 < box.x1 <= figures[0].bbox.x1
        for line in lines:
            path = axes.lines[lines.index(line)].get_path().transformed(axes.transData)
            assert not path.intersects_bbox(box, filled=False), f"{lines[n].name} over {line.name}"


@pytest.mark.parametrize("ends", [(90.0, 90.0, 90.0, 90.0), tuple(range(30, 100, 10))], ids=["one end", "many"])
def test_lines_that_leave_no_room_for_names_have_a_legend(
    ends: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = drawn(monkeypatch)
    rate_quality_plot(tmp_path / "r.png", lines_of(*ends), "t", "n", "VMAF")
    (axes,) = figures[0].axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [line.name for line in lines_of(*ends)]
    assert not axes.texts


@pytest.mark.parametrize("rates", [(1.0, 1.0), (3.0, 4.0), (0.5, 900_000.0)])
def test_any_rates_have_a_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: tuple[float, float]) -> None:
    figures = drawn(monkeypatch)
    points = [(rates[0], 1.0), (rates[1], 2.0)]
    rate_quality_plot(tmp_path / "r.png", [RateLine(name="x", points=points, colour=0)], "t", "n", "VMAF")
    low, high = figures[0].axes[0].get_xlim()
    assert any(low <= tick <= high for tick in figures[0].axes[0].get_xticks())


def test_nothing_to_draw_over_rates_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="no encode has a score"):
        rate_quality_plot(tmp_path / "r.png", [], "t", "n", "VMAF")


def test_frames_of_a_long_clip_are_drawn_by_their_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    scores = [80.0] * 100_000
    scores[77_777] = 12.0
    line = FrameLine(name="a", scores=scores, colour=0, gid="a", is_bold=True)
    content_frames_plot(tmp_path / "f.png", [line], "t", "VMAF", {"mean": 79.0}, [500, 60_000])
    y = np.asarray(figures[0].axes[0].lines[0].get_ydata())
    assert len(y) <= 400
    assert y.min() == 12.0
    assert np.asarray(figures[0].axes[0].lines[0].get_xdata())[y.argmin()] == 77_777
    assert "2 scene cuts (dotted)" in figures[0].texts[1].get_text()


def test_the_suffix_makes_it_an_svg_with_its_words_as_text(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        rate_quality_plot(tmp_path / name, LINES, "<t>", "n", "VMAF")
    text = (tmp_path / "one.svg").read_text()
    assert text.startswith("<?xml")
    assert ">x264 720p</text>" in text
    assert "&lt;t&gt;" in text
    assert text == (tmp_path / "other.svg").read_text(), "the same is drawn as the same bytes"
    scatter_plot(tmp_path / "s.svg", pairs([1.0, 2.0], [1.0, 2.0]))
    assert 'id="content-0"' in (tmp_path / "s.svg").read_text()


def test_contents_have_markers_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    draw(tmp_path / "p.png", 20, 4)
    shapes = [
        np.asarray(collection.get_paths()[0].vertices).tolist() for collection in figures[0].axes[0].collections[:4]
    ]
    assert all(shapes.count(shape) == 1 for shape in shapes)
