"""What stands under the name of a page or plot: replaced where this program made it, and refused before any work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from clips import Clips, recipe
from ladders import Laddered
from PIL import Image, PngImagePlugin
from trainable import Trainable

from vmaf_harness.cli import main
from vmaf_harness.report.drawing import PlotError, check_directory, matplotlib_defaults, new_figure, write_figure
from vmaf_harness.script import run_encode, run_testing, run_vmaf_cross_validation, run_vmaf_training
from vmaf_workspace.errors import RefusedError

Printed = pytest.CaptureFixture[str]


def a_picture(path: Path, text: str = "matplotlib") -> None:
    """A PNG as a person's own program writes it."""
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", text)
    Image.new("RGB", (8, 8), "red").save(path, "PNG", pnginfo=about)


def a_plot(path: Path) -> None:
    with matplotlib_defaults(path):
        write_figure(new_figure(1, 1), path)


PRECIOUS: dict[str, Callable[[Path], object]] = {
    "a recipe": lambda path: path.write_text("dataset_name = 'x'\nref_videos = []\n"),
    "another page": lambda path: path.write_text("<!DOCTYPE html><title>Made by hand with vmaf-harness</title>"),
    "a picture": a_picture,
    "nothing in it": lambda path: path.touch(),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
}


@pytest.mark.parametrize("what", PRECIOUS)
def test_a_page_takes_the_place_of_nothing_but_a_page(
    what: str, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "precious"
    PRECIOUS[what](path)
    before = path.read_bytes()
    assert main(["report", "--html", str(path)]) == 3
    said = capsys.readouterr()
    assert f"{path} is there" in said.err
    assert "is no page that vmaf-harness made, so it stays; name another path" in said.err
    assert path.read_bytes() == before


def test_what_is_in_the_way_of_a_page_is_said_by_its_kind(clips: Clips, tmp_path: Path, capsys: Printed) -> None:
    video = tmp_path / "reference.mp4"
    shutil.copy(clips.directory / "x264.mp4", video)
    (tmp_path / "link.html").symlink_to(video)
    size = video.stat().st_size
    for path, kind in ((video, "a video"), (tmp_path / "link.html", "a link"), (tmp_path, "a directory")):
        # The recipe is not there: what would be lost is said before anything is read.
        assert main(["report", "--dataset", "/nowhere_dataset.py", "--html", str(path)]) == 3
        assert f"{path} is there, {kind}, and is no page" in capsys.readouterr().err
    assert video.stat().st_size == size
    assert (tmp_path / "link.html").is_symlink()


def test_a_page_is_replaced_by_the_next_one_also_one_without_a_mark(vmaf_workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert main(["report", "--html", str(path)]) == 0
    made = path.read_text()
    assert '<meta name="generator" content="vmaf-harness">' in made.partition("</head>")[0]
    path.write_text(re.sub("<meta name=.generator.*\n", "", made))  # as earlier versions wrote it
    assert main(["report", "--html", str(path)]) == 0
    assert main(["report", "--html", str(path)]) == 0
    assert "generator" in path.read_text()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_plot_is_replaced_by_the_next_one_and_nothing_else_is(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"plot.{suffix}"
    a_plot(path)
    first = path.read_bytes()
    check_directory(tmp_path, "plot.*")
    a_plot(path)
    assert path.read_bytes() == first, "the same each time"
    PRECIOUS["a picture"](path)
    before = path.read_bytes()
    with pytest.raises(RefusedError, match="no plot that vmaf-harness made, so it stays; name another path"):
        check_directory(tmp_path, "plot.*")
    with pytest.raises(PlotError, match="no plot that vmaf-harness made"):  # the numbers are not lost over it
        a_plot(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("model", "version"), [("vmaf_v0.6.1", "0.6.1"), ("v1", "1.0.16_3d0h")])
def test_a_picture_that_has_the_name_of_a_plot_stops_a_test_before_it_measures(
    model: str, version: str, clips: Clips, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(clips.directory, videos)
    dataset = recipe(videos, "reference.mp4", ["x264.mp4", "x265.mp4"])
    picture = tmp_path / f"some_VMAF_V{version}.png"
    a_picture(picture)
    before = picture.read_bytes()
    given = ["VMAF", str(dataset), "--vmaf-model", model if model == "v1" else f"version={model}"]
    assert run_testing.main([*given, "--save-plot", str(tmp_path)]) == 3
    assert f"{picture} is there" in capsys.readouterr().err
    assert picture.read_bytes() == before
    assert not vmaf_workspace.exists()


def test_a_picture_that_has_the_name_of_a_plot_stops_a_fit_before_it_extracts(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path
) -> None:
    plots = tmp_path / "plots"
    given = [*small.inputs, "--save-plot", str(plots)]
    train = [*small.inputs, "m", "--save-plot", str(plots)]
    validate = [*given, "--folds", "2"]
    assert run_vmaf_training.main(train) == 0
    assert run_vmaf_cross_validation.main(validate) == 0
    drawn = sorted(plots.iterdir())
    assert len(drawn) == 4
    runs = list(vmaf_workspace.glob("output/*"))
    for path in drawn:
        kept = path.read_bytes()
        a_picture(path)
        again = run_vmaf_training.main([*train, "--overwrite"]) if "_m_" in path.name else None
        assert (run_vmaf_cross_validation.main(validate) if again is None else again) == 3
        path.write_bytes(kept)
    assert list(vmaf_workspace.glob("output/*")) == runs


def test_a_picture_that_has_the_name_of_a_plot_stops_a_score(clips: Clips, tmp_path: Path, capsys: Printed) -> None:
    pair = ["--reference", f"{clips.directory}/reference.mp4", "--distorted", f"{clips.directory}/x264.mp4"]
    assert main(["score", *pair, "--save-plot", str(tmp_path)]) == 0
    (plot,) = tmp_path.glob("x264_*_frames.png")
    a_picture(plot)
    capsys.readouterr()
    assert main(["score", *pair, "--save-plot", str(tmp_path)]) == 3
    assert capsys.readouterr().out == ""


def test_a_picture_that_has_the_name_of_a_plot_stops_an_encode(
    laddered: Laddered, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    a_picture(picture := tmp_path / "new_VMAF_V0.6.1_rates_0.png")
    rungs = ["--codec", "libx264", "--crf", "30", "40", "--label-with", "version=vmaf_v0.6.1"]
    assert run_encode.main([str(laddered.references), "new", *rungs, "--save-plot", str(tmp_path)]) == 3
    assert f"{picture} is there" in capsys.readouterr().err
    assert not vmaf_workspace.exists()
