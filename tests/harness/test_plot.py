from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from vmaf_harness.errors import HarnessError
from vmaf_harness.plot import _colours, _draw_line_and_limits, frames_plot, residual_plot, scatter_plot
from vmaf_harness.statistics import logistic_fit, statistics

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


def draw(path: Path, count: int, contents: int, *, scale: float = 1.0, size: tuple[float, float] | None = None) -> None:
    random = Random(2)
    labels = [random.uniform(20, 100) for _ in range(count)]
    predictions = [(label + random.gauss(0, 4)) * scale for label in labels]
    content_ids = [index % contents for index in range(count)]
    scatter_plot(path, labels, predictions, content_ids, "d: VMAF", statistics(labels, predictions), size)


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
        return hues(pixels(tmp_path / "p.png")[:, 800:])

    assert coloured_on_the_right(9, 6) == 9
    assert coloured_on_the_right(60, 6) == 0
    assert coloured_on_the_right(24, 3) == 0


def test_numbers_on_one_scale_get_equal_axes(tmp_path: Path) -> None:
    """The identity leaves a diagonal; with other scales the axes fill their place."""
    same = Figure().add_subplot()
    _draw_line_and_limits(same, [10.0, 90.0], [15.0, 85.0])
    assert same.get_xlim() == same.get_ylim()
    assert same.get_aspect() == 1.0
    other = Figure().add_subplot()
    _draw_line_and_limits(other, [1.0, 5.0], [15.0, 85.0])
    assert other.get_aspect() == "auto"
    assert other.lines[0].get_xydata() == pytest.approx(np.array([[1.0, 15.0], [5.0, 85.0]]))


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [([50.0], [60.0]), ([3.0, 3.0, 3.0], [50.0, 50.0, 50.0]), ([3.0, 3.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])],
)
def test_one_asset_and_constant_numbers_are_drawn(
    tmp_path: Path, labels: list[float], predictions: list[float]
) -> None:
    found = statistics(labels, predictions) if len(labels) > 1 else None
    scatter_plot(tmp_path / "p.png", labels, predictions, [0] * len(labels), "one", found)
    assert hues(pixels(tmp_path / "p.png"))


def test_pairs_without_a_number_are_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    scatter_plot(tmp_path / "p.png", [1.0, math.nan], [1.0, 2.0], [0, 1], "t", None)
    assert (tmp_path / "p.png").exists()
    with pytest.raises(HarnessError, match="nothing to draw"):
        scatter_plot(tmp_path / "q.png", [math.nan], [1.0], [0], "t", None)
    assert not (tmp_path / "q.png").exists()


def test_any_title_and_any_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    names = {0: "_hidden", 1: "$x^$", 2: "内容", 3: "", 4: "n" * 300}
    title = "100 $ and \\frac \n 数据集 " + "t" * 300
    scatter_plot(
        tmp_path / "p.png", [1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5], [0, 1, 2, 3, 4], title, None, content_names=names
    )
    assert hues(pixels(tmp_path / "p.png")) >= 5


@pytest.mark.parametrize("size", [(0.0, 3.0), (3.0, -1.0), (1000.0, 3.0), (math.nan, 3.0)])
def test_a_size_that_cannot_be_drawn_is_refused(tmp_path: Path, size: tuple[float, float]) -> None:
    with pytest.raises(HarnessError, match="cannot be drawn; give sides from 1 to 100"):
        draw(tmp_path / "p.png", 4, 2, size=size)


def test_the_smallest_size_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "p.png", 4, 2, size=(1, 1))
    assert pixels(tmp_path / "p.png").shape == (150, 150, 3)


def test_a_plot_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    draw(output / "p.png", 4, 2)
    with pytest.raises(HarnessError, match="cannot write the plot"):
        draw(output / "gone/p.png", 4, 2)
    (output / "dir.png").mkdir()
    with pytest.raises(HarnessError, match="cannot write the plot"):
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
        "import sys\nfrom pathlib import Path\nfrom vmaf_harness.plot import scatter_plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"scatter_plot(Path({str(tmp_path / 'p.png')!r}), [1.0, 2.0], [1.0, 2.0], [0, 1], 't', None)\n"
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
    found, fit = statistics(labels, predictions), logistic_fit(labels, predictions)
    scatter_plot(plain, labels, predictions, ids, "t", found)
    scatter_plot(fitted, labels, predictions, ids, "t", found, fit=fit)
    line = (0x5B, 0x5E, 0x63)  # three quarters of the colour of texts, on white
    assert pixels_of(fitted, *line) > pixels_of(plain, *line) + 500


def test_deviations_of_labels_are_bars_as_wide_as_they_are(tmp_path: Path) -> None:
    labels, predictions, ids = [20.0, 50.0, 80.0], [25.0, 45.0, 82.0], [0, 0, 0]

    def dark(name: str, deviations: list[float | None]) -> int:
        scatter_plot(tmp_path / name, labels, predictions, ids, "t", None, deviations=deviations)
        return int((pixels(tmp_path / name).max(axis=2) < 230).sum())

    none = dark("none.png", [None, None, 0.0])
    one, two = dark("one.png", [None, 8.0, None]), dark("two.png", [None, 8.0, 8.0])
    assert one - none > 50
    assert two - one == pytest.approx(one - none, rel=0.3)


def test_residuals_lie_around_zero_in_the_colours_of_their_contents(tmp_path: Path) -> None:
    labels = [float(i) for i in range(30)]
    predictions = [label + (3 if i % 3 else -3) for i, label in enumerate(labels)]
    path = tmp_path / "r.png"
    residual_plot(path, labels, predictions, [i % 3 for i in range(30)], "t", statistics(labels, predictions))
    assert hues(pixels(path)) >= 3
    exact = tmp_path / "exact.png"
    residual_plot(exact, labels, labels, [0] * 30, "t", None)  # no error at all still has an axis
    assert exact.stat().st_size > 5000


@pytest.mark.parametrize("has_fit", [False, True], ids=["line", "curve"])
def test_residuals_of_another_scale_are_those_of_what_is_fitted(has_fit: bool, tmp_path: Path) -> None:
    random = Random(7)
    labels = [random.uniform(10, 95) for _ in range(40)]
    predictions = [0.8 + label / 500 + random.gauss(0, 0.01) for label in labels]  # as SSIM is, all below 1
    found, fit = statistics(labels, predictions), logistic_fit(labels, predictions) if has_fit else None
    residual_plot(tmp_path / "r.png", labels, predictions, [0] * 40, "t", found, (6, 6), fit=fit)
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
    with pytest.raises(HarnessError, match="no frame has a score"):
        frames_plot(tmp_path / "none.png", [math.nan], "t", {}, "VMAF")
    assert not (tmp_path / "none.png").exists()
