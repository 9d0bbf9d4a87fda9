"""`run_testing` and `run_cleaning_cache`, as people call them: what they print, write, store and never do twice."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from clips import ENCODERS, N_FRAMES, Clips, ffmpeg, program, recipe, start

from vmaf_harness.engine.binary import Engine
from vmaf_harness.measure.scoring import SHARED_AT_MOST, score_pair
from vmaf_harness.measure.store import store_directory
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.report.summary import read_entries
from vmaf_harness.script import run_cleaning_cache, run_testing
from vmaf_workspace.live.lock import Run

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def videos(clips: Clips, tmp_path: Path) -> Path:
    """A directory with copies of the clips, to be changed as a test likes."""
    place = tmp_path / "videos"
    shutil.copytree(clips.directory, place)
    return place


@pytest.fixture
def dataset(videos: Path) -> Path:
    return recipe(videos, "reference.mp4", [f"{name}.mp4" for name in ENCODERS])


@pytest.fixture
def counted(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The distorted video of every measurement that was started; it fails those of `fail.mp4`."""
    starts = tmp_path / "starts"
    starts.touch()
    text = f'case "$*" in *distorted*|*x26*|*av1*|*fail*) echo "$*" >> "{starts}";; esac\n'
    text += f'case "$*" in *fail.mp4*filter_complex*) echo no such thing >&2; exit 3;; esac\nexec "{engine.path}" "$@"'
    monkeypatch.setenv("VMAF_FFMPEG", str(program("ffmpeg", tmp_path, text)))
    return lambda: sorted(re.findall(r"file:\S*/(\w+)\.mp4 -threads", starts.read_text()))


def scores(printed: str) -> dict[int, float]:
    return {int(id_): float(score) for id_, score in re.findall(r"^asset (\d+): \S+ (\d+\.\d{6}) ", printed, re.M)}


def outputs(workspace: Path, name: str) -> list[Path]:
    return sorted((workspace / "output").glob(f"*/{name}"))


# What is printed and written


@pytest.mark.parametrize("quality_type", ["VMAF", "PSNR", "SSIM"])
def test_scores_and_statistics_are_printed(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, quality_type: str
) -> None:
    assert run_testing.main([quality_type, str(dataset), "--print-result", "--suppress-plot"]) == 0
    out = capsys.readouterr().out
    assert sorted(scores(out)) == [0, 1, 2]
    assert re.search(r"^some, \w+_V\S+, 3 assets: SROCC -?\d\.\d{4}, PLCC \S+, KROCC \S+, RMSE \d+\.\d{4}$", out, re.M)


def test_a_plot_a_table_and_statistics_are_written(dataset: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    assert run_testing.main(["VMAF", str(dataset), "--print-result", "--plot-wh", "4x3"]) == 0
    out = capsys.readouterr().out
    plot = outputs(vmaf_workspace, "some_VMAF_V0.6.1.png")[0]
    assert str(plot) in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    with outputs(vmaf_workspace, "scores.csv")[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["asset_id"]): float(row["score"]) for row in rows} == scores(out)
    assert {row["n_frames"] for row in rows} == {str(N_FRAMES)}
    summary = json.loads(outputs(vmaf_workspace, "statistics.json")[0].read_bytes())
    assert (summary["scored"], summary["failed"], summary["statistics"]["n"]) == (3, 0, 3)
    assert sorted(os.listdir(vmaf_workspace / "workdir")) == [".gitignore", "CACHEDIR.TAG"]


def test_what_was_pooled_otherwise_than_usual_says_so_everywhere(
    dataset: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    for pool in ("mean", "perc5"):
        assert run_testing.main(["PSNR", str(dataset), "--cache-result", "--pool", pool]) == 0
    out = capsys.readouterr().out
    assert "some, PSNR_V1.0, 3 assets" in out
    assert "some, PSNR_V1.0, perc5, 3 assets" in out
    assert {path.name for path in outputs(vmaf_workspace, "*.png")} == {
        f"some_PSNR_V1.0{more}.png" for more in ("", "_perc5")
    }
    assert sorted(entry.what for entry in read_entries(vmaf_workspace)) == ["some, PSNR_V1.0", "some, PSNR_V1.0, perc5"]


def test_a_name_cannot_send_escapes_to_the_terminal(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    (videos / "x264.mp4").rename(videos / "a\x1b]0;b\x07.mp4")
    made = recipe(videos, "reference.mp4", ["a\x1b]0;b\x07.mp4", "missing\x1b[2J.mp4"], name="s\x1b[31m")
    assert run_testing.main(["PSNR", str(made), "--keep-going", "--print-result", "--suppress-plot"]) == 1
    printed = capsys.readouterr()
    assert "a\\x1b]0;b\\x07.mp4" in printed.out
    assert "1 asset scored" in printed.err
    assert not {"\x1b", "\x07"} & set(printed.out + printed.err)


def test_deviations_of_labels_are_in_the_table(videos: Path, vmaf_workspace: Path) -> None:
    made = recipe(videos, "reference.mp4", ["x264.mp4", "x265.mp4"])
    made.write_text(made.read_text().replace("'dmos': 80.0", "'dmos': 80.0, 'groundtruth_std': 2.5"))
    assert run_testing.main(["PSNR", str(made)]) == 0
    with outputs(vmaf_workspace, "scores.csv")[0].open(newline="") as file:
        assert [(row["label"], row["label_std"]) for row in csv.DictReader(file)] == [("90.0", ""), ("80.0", "2.5")]


def test_the_plot_goes_where_it_is_wanted(dataset: Path, vmaf_workspace: Path, tmp_path: Path, capsys: Printed) -> None:
    here = tmp_path / "plots" / "here"
    assert run_testing.main(["VMAF", str(dataset), "--save-plot", str(here)]) == 0
    assert {path.name for path in here.iterdir()} == {"some_VMAF_V0.6.1.png", "some_VMAF_V0.6.1_residuals.png"}
    assert not outputs(vmaf_workspace, "*.png")
    capsys.readouterr()
    assert run_testing.main(["PSNR", str(dataset), "--save-plot", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*_residuals.png")), "three assets tell no scale"
    assert "no plot of the errors: PSNR has a scale of its own" in capsys.readouterr().err


def test_a_place_where_no_plot_can_be_is_said_before_anything_is_measured(
    dataset: Path, videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    for place in ("/sys/plots", str(videos / "x264.mp4" / "plots")):
        assert run_testing.main(["PSNR", str(dataset), "--cache-result", "--save-plot", place]) == 1
        err = capsys.readouterr().err
        assert f"{place}: cannot write plots there: " in err
        assert "Errno" not in err
        assert not vmaf_workspace.exists()
    assert run_testing.main(["PSNR", str(dataset), "--save-plot", "/sys/plots", "--suppress-plot"]) == 0


def test_print_result_prints_6_decimals_into_a_pipe_too(dataset: Path, vmaf_workspace: Path) -> None:
    process = start("run_testing", "VMAF", dataset, "--print-result", "--suppress-plot")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(scores(out)) == 3
    assert "\x1b" not in out + err


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_goes(dataset: Path, vmaf_workspace: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="a terminal is made by pexpect")
    command = ["-m", "vmaf_harness.script.run_testing", "PSNR", str(dataset), "--print-result", "--suppress-plot"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    printed, code = pexpect.run(
        shlex.join([sys.executable, *command]), withexitstatus=True, env=environ, encoding="utf-8", timeout=60
    )
    assert code == 0
    assert " of 3, " in printed
    assert "1/3 asset" not in printed  # a line an asset is for logs
    assert len(re.findall(r"asset \d: PSNR \d+\.\d{6} ", printed)) == 3


def test_on_a_terminal_the_bar_is_there_before_the_first_asset_is_done(
    dataset: Path, vmaf_workspace: Path, engine: Engine, tmp_path: Path
) -> None:
    pexpect = pytest.importorskip("pexpect", reason="a terminal is made by pexpect")
    may_go = tmp_path / "may_go"
    waiting = f'case "$*" in *x26*|*av1*) while [ ! -e "{may_go}" ]; do sleep 0.05; done;; esac\n'
    slow = program("ffmpeg", tmp_path, f'{waiting}exec "{engine.path}" "$@"')
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "VMAF_FFMPEG": str(slow)}
    arguments = ["-m", "vmaf_harness.script.run_testing", "PSNR", str(dataset), "--suppress-plot"]
    child = pexpect.spawn(sys.executable, arguments, env=environ, encoding="utf-8", timeout=30)
    child.expect("0 of 3")
    child.expect("1 s so far")
    may_go.touch()
    child.expect("3 assets scored")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_dataset_of_one_asset_prints_its_score(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    one = recipe(videos, "reference.mp4", ["x264.mp4"])
    assert run_testing.main(["VMAF", str(one), "--suppress-plot"]) == 0
    out = capsys.readouterr().out
    assert list(scores(out)) == [0]
    assert "statistics need at least two assets" in out


def test_a_dataset_without_labels_prints_its_scores(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    unlabelled = recipe(videos, "reference.mp4", ["x264.mp4", "x265.mp4"], labels=False)
    assert run_testing.main(["VMAF", str(unlabelled), "--print-result"]) == 0
    out = capsys.readouterr().out
    assert len(scores(out)) == 2
    assert "there are 0" in out


def test_a_yuv_recipe_scores_as_the_same_frames_in_containers(
    videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    head = "yuv_fmt = 'yuv420p'\nwidth = 176\nheight = 144"
    of_yuv = recipe(videos, "reference.yuv", [f"{n}.yuv" for n in ENCODERS], name="yuv", head=head)
    of_mp4 = recipe(videos, "reference.mp4", [f"{n}.mp4" for n in ENCODERS], name="mp4")
    printed = []
    for each in (of_yuv, of_mp4):
        assert run_testing.main(["VMAF", str(each), "--print-result", "--suppress-plot"]) == 0
        printed.append(scores(capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert len(printed[0]) == 3


@pytest.mark.parametrize("pool", ["mean", "harmonic_mean", "min", "median", "perc5", "perc10", "perc20"])
def test_frames_are_pooled_as_asked_from_the_store_too(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, pool: str
) -> None:
    arguments = ["PSNR", str(dataset), "--print-result", "--suppress-plot", "--cache-result", "--pool", pool]
    run_testing.main(arguments)
    measured = scores(capsys.readouterr().out)
    run_testing.main(arguments)
    printed = capsys.readouterr()
    assert scores(printed.out) == measured
    assert "3 of them stored before" in printed.err
    entry = json.loads(next(store_directory(vmaf_workspace).glob("*/*/*/*.json")).read_bytes().splitlines()[1])
    assert len(entry["frames"]["psnr_y"]) == N_FRAMES


def test_raw_scores_become_labels(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    path = videos / "raw_dataset.py"
    path.write_text(
        "dataset_name = 'raw'\nyuv_fmt = 'notyuv'\nquality_width = 176\nquality_height = 144\n"
        "ref_videos = [{'content_id': 0, 'path': 'reference.mp4'}]\n"
        "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'x264.mp4', 'os': [3, 4, 5]},\n"
        "  {'content_id': 0, 'asset_id': 1, 'path': 'x265.mp4', 'os': [1, 2, 2]}]\n"
    )
    assert run_testing.main(["PSNR", str(path), "--subj-model", "MOS", "--suppress-plot"]) == 0
    with outputs(vmaf_workspace, "scores.csv")[0].open(newline="") as file:
        assert [float(row["label"]) for row in csv.DictReader(file)] == pytest.approx([4.0, 5 / 3])


def test_videos_are_looked_for_in_the_workspace_first(videos: Path, vmaf_workspace: Path, tmp_path: Path) -> None:
    (vmaf_workspace / "dataset").mkdir(parents=True)
    for name in ("reference.mp4", "x264.mp4"):
        shutil.move(videos / name, vmaf_workspace / "dataset" / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run_testing.main(["PSNR", str(recipe(elsewhere, "reference.mp4", ["x264.mp4"])), "--suppress-plot"]) == 0


def test_another_workspace_can_be_named(dataset: Path, vmaf_workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other workspace"
    assert run_testing.main(["PSNR", str(dataset), "--suppress-plot", "--workspace", str(other)]) == 0
    assert outputs(other, "scores.csv")
    assert not vmaf_workspace.exists()


def test_kept_work_files_are_named(dataset: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    assert run_testing.main(["PSNR", str(dataset), "--suppress-plot", "--keep-workfiles"]) == 0
    place = Path(re.findall(r"work files: (.*)", capsys.readouterr().err)[0])
    assert len(list(place.glob("*/distorted.yuv"))) == 3
    assert place.parent == vmaf_workspace / "workdir"


def test_odd_names_are_scored(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    odd = videos / "a;touch X;b it's [1]"
    odd.mkdir()
    for name in ("reference.mp4", "x264.mp4"):
        shutil.copy(videos / name, odd / f"{name} {name}")
    made = recipe(odd, "reference.mp4 reference.mp4", ["x264.mp4 x264.mp4"])
    assert run_testing.main(["PSNR", str(made), "--print-result", "--cache-result"]) == 0
    assert not list(videos.rglob("X"))


# What is stored


def test_nothing_is_stored_without_cache_result(dataset: Path, vmaf_workspace: Path) -> None:
    run_testing.main(["PSNR", str(dataset), "--suppress-plot"])
    assert not store_directory(vmaf_workspace).exists()


def test_a_stored_dataset_starts_no_ffmpeg_at_all(
    dataset: Path, vmaf_workspace: Path, counted: Callable[[], list[str]], capsys: Printed, tmp_path: Path
) -> None:
    arguments = ["VMAF", str(dataset), "--cache-result", "--print-result", "--suppress-plot"]
    run_testing.main(arguments)
    first = scores(capsys.readouterr().out)
    (tmp_path / "starts").unlink()
    (tmp_path / "starts").mkdir()  # the program could not write down that it was started, and would fail
    assert run_testing.main(arguments) == 0
    assert scores(capsys.readouterr().out) == first


@pytest.mark.parametrize("what", ["distorted", "reference"])
def test_a_video_replaced_under_the_same_name_is_scored_again(
    dataset: Path, videos: Path, vmaf_workspace: Path, capsys: Printed, what: str
) -> None:
    arguments = ["VMAF", str(dataset), "--cache-result", "--print-result", "--suppress-plot"]
    run_testing.main(arguments)
    before = scores(capsys.readouterr().out)
    shutil.copy(videos / "reference.mp4" if what == "distorted" else videos / "av1.mp4", videos / "new")
    os.replace(videos / "new", videos / ("x264.mp4" if what == "distorted" else "reference.mp4"))
    run_testing.main(arguments)
    after = scores(capsys.readouterr().out)
    assert after[0] != before[0]
    assert (after[1] == before[1]) == (what == "distorted")


def test_a_model_replaced_under_the_same_name_scores_again(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, tmp_path: Path, model: Path
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(model.read_bytes())
    arguments = ["VMAF", str(dataset), "--vmaf-model", str(mine), "--cache-result", "--print-result", "--suppress-plot"]
    run_testing.main(arguments)
    before = scores(capsys.readouterr().out)
    data = json.loads(model.read_bytes())
    data["model_dict"]["score_clip"] = [0.0, 20.0]
    mine.write_text(json.dumps(data))
    run_testing.main(arguments)
    assert max(before.values()) > 20
    assert max(scores(capsys.readouterr().out).values()) == 20


def test_a_model_path_leads_nowhere_in_the_workspace(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, tmp_path: Path, model: Path
) -> None:
    shutil.copy(model, tmp_path / "m.json")
    up = os.path.relpath(tmp_path / "m.json", Path.cwd())
    deep = f"../{Path.cwd().name}/{up}"
    assert run_testing.main(["VMAF", str(dataset), "--vmaf-model", deep, "--cache-result", "--suppress-plot"]) == 0
    assert {path.name for path in store_directory(vmaf_workspace).iterdir() if path.is_dir()} == {
        extraction("VMAF", model=deep).executor_id
    }


def test_an_entry_cut_short_is_named_once_and_measured_again(
    dataset: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    arguments = ["PSNR", str(dataset), "--cache-result", "--print-result", "--suppress-plot"]
    run_testing.main(arguments)
    before = scores(capsys.readouterr().out)
    entry = next(store_directory(vmaf_workspace).glob("*/*/*/*.json"))
    entry.write_bytes(entry.read_bytes()[:100])
    assert run_testing.main(arguments) == 0
    printed = capsys.readouterr()
    assert scores(printed.out) == before
    assert printed.err.count(str(entry)) == 1
    run_testing.main(arguments)
    assert str(entry) not in capsys.readouterr().err


# What fails


def test_an_ffmpeg_that_fails_costs_those_that_shared_it_one_measurement_more_and_none_later(
    videos: Path, vmaf_workspace: Path, counted: Callable[[], list[str]], capsys: Printed
) -> None:
    (videos / "fail.mp4").write_bytes((videos / "x264.mp4").read_bytes() + b"another content")
    made = recipe(videos, "reference.mp4", ["x264.mp4", "fail.mp4", "x265.mp4", "av1.mp4"])
    arguments = ["PSNR", str(made), "--cache-result", "--print-result", "--suppress-plot", "--keep-going"]
    assert run_testing.main(arguments) == 1
    printed = capsys.readouterr()
    assert sorted(scores(printed.out)) == [0, 2, 3]
    begun = Counter(counted())
    assert begun.keys() == {"av1", "fail", "x264", "x265"}
    assert begun["fail"] == 2
    assert begun.total() <= 4 + SHARED_AT_MOST
    assert "3 assets" in printed.out
    assert "exit code 3" in printed.err
    assert "no such thing" in printed.err
    log = Path(re.findall(r"full log: (.*)", printed.err)[0])
    assert log.read_text() == "no such thing\n"
    assert run_testing.main(arguments) == 1
    assert Counter(counted()) - begun == {"fail": 1}


def test_without_keep_going_what_is_done_is_stored(
    videos: Path, vmaf_workspace: Path, counted: Callable[[], list[str]], capsys: Printed
) -> None:
    (videos / "fail.mp4").write_bytes((videos / "av1.mp4").read_bytes() + b"another content")
    made = recipe(videos, "reference.mp4", ["x264.mp4", "x265.mp4", "av1.mp4", "fail.mp4"])
    arguments = ["PSNR", str(made), "--cache-result", "--suppress-plot", "--processes", "1"]
    assert run_testing.main(arguments) == 1
    begun = Counter(counted())  # all of them by one ffmpeg, which failed; then alone, up to the one that fails
    assert begun["fail"] == 2
    stored = len(list(store_directory(vmaf_workspace).glob("*/*/*/*.json")))
    assert stored == begun.total() - 4 - 1
    assert run_testing.main([*arguments, "--keep-going"]) == 1
    assert len(Counter(counted()) - begun) == 4 - stored
    assert len(list(store_directory(vmaf_workspace).glob("*/*/*/*.json"))) == 3


def test_a_missing_file_is_named_with_its_place_and_the_others_are_scored_when_asked(
    videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    made = recipe(videos, "reference.mp4", ["x264.mp4", "missing.mp4", "x265.mp4"])
    assert run_testing.main(["PSNR", str(made), "--print-result", "--suppress-plot"]) == 1
    printed = capsys.readouterr()
    assert "dis_videos[1].path: 'missing.mp4' is not there" in printed.err
    assert scores(printed.out) == {}
    assert not vmaf_workspace.exists()
    assert run_testing.main(["PSNR", str(made), "--print-result", "--suppress-plot", "--keep-going"]) == 1
    assert sorted(scores(capsys.readouterr().out)) == [0, 2]


def test_a_wrong_size_is_an_error_and_the_others_are_scored_when_asked(
    videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    with (videos / "x265.yuv").open("ab") as file:
        file.write(b"x")
    head = "yuv_fmt = 'yuv420p'\nwidth = 176\nheight = 144"
    made = recipe(videos, "reference.yuv", ["x264.yuv", "x265.yuv", "av1.yuv"], head=head)
    assert run_testing.main(["PSNR", str(made), "--print-result", "--suppress-plot", "--keep-going"]) == 1
    printed = capsys.readouterr()
    assert sorted(scores(printed.out)) == [0, 2]
    assert f"{N_FRAMES} frames and 1 bytes left over" in printed.err


def test_each_video_is_scaled_as_the_recipe_says_of_it(
    videos: Path, engine: Engine, vmaf_workspace: Path, capsys: Printed
) -> None:
    def psnr(dataset: str, reference: str, distorted: str) -> float:
        path = videos / "scaled_dataset.py"
        path.write_text(
            f"dataset_name = 's'\nquality_width = 264\nquality_height = 216\nyuv_fmt = 'yuv420p'\n{dataset}\n"
            f"ref_videos = [{{'content_id': 0, {reference}}}]\n"
            f"dis_videos = [{{'content_id': 0, 'asset_id': 0, 'dmos': 1, {distorted}}}]\n"
        )
        assert run_testing.main(["PSNR", str(path), "--print-result", "--suppress-plot", "--cache-result"]) == 0
        return scores(capsys.readouterr().out)[0]

    scaled, numbers = {}, set()
    for name, kind in (("reference", "bilinear"), ("reference", "lanczos"), ("x264", "lanczos"), ("x264", "bicubic")):
        scaled[name, kind] = path = videos / f"{name}_{kind}.yuv"
        size = f"scale=264:216:flags={kind}"
        raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "176x144")
        ffmpeg(engine, *raw, "-i", videos / f"{name}.yuv", "-vf", size, "-pix_fmt", "yuv420p", "-f", "rawvideo", path)
    for reference, distorted, given in (
        ("bilinear", "lanczos", ("resampling_type = 'bilinear'", "", ", 'resampling_type': 'lanczos'")),
        ("lanczos", "bicubic", ("", ", 'resampling_type': 'lanczos'", "")),
        ("lanczos", "lanczos", ("", "", ", 'resampling_type': 'lanczos'")),
    ):
        dataset, of_reference, of_distorted = given
        small = f"{dataset}\nwidth = 176\nheight = 144"
        found = psnr(small, f"'path': 'reference.yuv'{of_reference}", f"'path': 'x264.yuv'{of_distorted}")
        paths = scaled["reference", reference].name, scaled["x264", distorted].name
        assert found == pytest.approx(psnr("width = 264\nheight = 216", *(f"'path': {name!r}" for name in paths)))
        numbers.add(round(found, 3))
    assert len(numbers) == 3, "and each way gives a number of its own"


def test_what_the_recipe_says_twice_is_told_and_the_dataset_s_holds(
    dataset: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    def psnr(text: str) -> tuple[dict[int, float], str]:
        dataset.write_text(text)
        assert run_testing.main(["PSNR", str(dataset), "--print-result", "--suppress-plot"]) == 0
        printed = capsys.readouterr()
        return scores(printed.out), printed.err

    text = dataset.read_text()
    both = text.replace("'asset_id'", "'start_frame': 5, 'end_frame': 9, 'asset_id'")
    alone, _ = psnr(both)
    expected, said = psnr("start_frame = 1\nend_frame = 3\n" + text)
    assert "start_frame" not in said
    found, said = psnr("start_frame = 1\nend_frame = 3\n" + both)
    assert found == expected != alone
    assert said.count("start_frame: 5 here, 1 for the dataset: the dataset's holds") == 1
    assert said.count("end_frame: 9 here, 3 for the dataset: the dataset's holds") == 1


@pytest.mark.parametrize("line", ["os.system('touch X')", "widht = 3"])
def test_a_recipe_that_is_not_understood_runs_nothing(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, line: str
) -> None:
    dataset.write_text(dataset.read_text() + f"import os\n{line}\n")
    assert run_testing.main(["PSNR", str(dataset)]) == 1
    assert f"{dataset}:" in capsys.readouterr().err
    assert not Path("X").exists()
    assert not vmaf_workspace.exists()


def test_a_missing_engine_is_an_error_and_makes_nothing(
    dataset: Path, vmaf_workspace: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_FFMPEG", "/nowhere/ffmpeg")
    assert run_testing.main(["VMAF", str(dataset)]) == 1
    assert "set VMAF_FFMPEG to an ffmpeg with libvmaf" in capsys.readouterr().err
    assert not vmaf_workspace.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["VMAF"],
        ["STRRED", "x"],
        ["PSNR", "x", "--vmaf-model", "vmaf_v0.6.1"],
        ["SSIM", "x", "--vmaf-phone-model"],
        ["VMAF", "x", "--processes", "0"],
        ["VMAF", "x", "--processes", "two"],
        ["VMAF", "x", "--plot-wh", "5"],
        ["VMAF", "x", "--plot-wh", "0x5"],
        ["VMAF", "x", "--pool", "mode"],
        ["VMAF", "x", "--vmaf-model", ""],
        ["VMAF", "x", "--vmaf-model= "],
        ["VMAF", "x", "--subj-model", "NONE"],
        ["VMAF", "x", "--cache"],
    ],
)
def test_arguments_that_cannot_be_read_exit_with_2(arguments: list[str], vmaf_workspace: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run_testing.main(arguments)
    assert caught.value.code == 2


def test_upstreams_flags_are_all_taken(dataset: Path, vmaf_workspace: Path, tmp_path: Path) -> None:
    flags = "--vmaf-model vmaf_v0.6.1 --vmaf-phone-model --cache-result --parallelize --processes 2 --print-result"
    plot = ["--save-plot", str(tmp_path), "--plot-wh", "5x5", "--pool", "harmonic_mean"]
    assert run_testing.main(["VMAF", str(dataset), *flags.split(), *plot]) == 0
    assert run_testing.main(["VMAF", str(dataset), *flags.split(), "--suppress-plot"]) == 0


# One pair


def test_a_pair_is_scored_with_all_its_frames(clips: Clips, vmaf_workspace: Path) -> None:
    with Run(vmaf_workspace) as run:
        score = score_pair(clips.mp4("reference"), clips.mp4("x264"), extraction("VMAF"), run)
    assert len(score.frames["vmaf"]) == score.result.n_frames == N_FRAMES
    assert score.result.pools["min"] == min(score.frames["vmaf"])
    assert not (vmaf_workspace / "workdir" / run.id).exists()


# Cleaning the cache


def test_the_results_of_one_dataset_and_type_go_and_no_others(
    dataset: Path, videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    other = recipe(videos, "reference.mp4", ["x264.mp4"], name="some [x]*")
    for each in (dataset, other):
        for quality_type in ("PSNR", "SSIM"):
            run_testing.main([quality_type, str(each), "--cache-result", "--suppress-plot"])
    store = store_directory(vmaf_workspace)
    capsys.readouterr()

    def stored() -> dict[str, int]:
        return {str(d.relative_to(store)): len(list(d.rglob("*.json"))) for d in sorted(store.glob("*/*"))}

    assert run_cleaning_cache.main(["PSNR", str(dataset)]) == 0
    assert stored() == {"PSNR_V1.0/some [x]*": 1, "SSIM_V1.0/some": 3, "SSIM_V1.0/some [x]*": 1}
    out = capsys.readouterr().out
    assert "removed 3 entries" in out
    assert "can be extracted again, in " in out
    assert run_cleaning_cache.main(["SSIM", str(other)]) == 0
    assert stored() == {"PSNR_V1.0/some [x]*": 1, "SSIM_V1.0/some": 3}


@pytest.mark.parametrize("name", ["cleaning_cache", "encode", "extraction", "testing"])
def test_a_blank_workspace_is_refused_and_does_not_mean_the_default(name: str, capsys: Printed) -> None:
    script = import_module(f"vmaf_harness.script.run_{name}")
    with pytest.raises(SystemExit, match="2"):
        script.main(["PSNR", "some_dataset.py", "--workspace", " "])
    assert "--workspace: blank; leave the flag out" in capsys.readouterr().err


def test_cleaning_twice_finds_nothing_the_second_time(dataset: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    assert run_cleaning_cache.main(["PSNR", str(dataset)]) == 0
    run_testing.main(["PSNR", str(dataset), "--cache-result", "--suppress-plot"])
    assert run_cleaning_cache.main(["PSNR", str(dataset)]) == 0
    capsys.readouterr()
    assert run_cleaning_cache.main(["PSNR", str(dataset)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_a_cache_that_is_not_ours_is_refused(dataset: Path, tmp_path: Path, capsys: Printed) -> None:
    theirs = tmp_path / "theirs" / "result_store_dir" / "file_result_store" / "PSNR_V1.0" / "some" / "0"
    theirs.mkdir(parents=True)
    (theirs / "a.json").write_text("{}")
    assert run_cleaning_cache.main(["PSNR", str(dataset), "--workspace", str(tmp_path / "theirs")]) == 3
    assert (theirs / "a.json").exists()


def test_results_that_nobody_reads_are_a_failure_without_a_traceback(dataset: Path, vmaf_workspace: Path) -> None:
    process = start("run_testing", "PSNR", dataset, "--print-result", "--suppress-plot")
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_progress_that_nobody_reads_does_not_end_the_run(dataset: Path, vmaf_workspace: Path) -> None:
    process = start("run_testing", "PSNR", dataset, "--print-result", "--suppress-plot", "--cache-result")
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(scores(out)) == 3


def test_a_run_whose_whole_output_ends_early_scores_all_and_fails(dataset: Path, vmaf_workspace: Path) -> None:
    command = [sys.executable, "-m", "vmaf_harness.script.run_testing", "PSNR", str(dataset)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*command, "--cache-result", "--suppress-plot"], stdout=writer, stderr=writer, timeout=60)
    os.close(writer)
    assert done.returncode == 1
    assert len(list(store_directory(vmaf_workspace).glob("*/*/*/*.json"))) == 3


def test_help_needs_no_engine_and_no_heavy_import() -> None:
    code = (
        "import sys\nfrom vmaf_harness.script import run_testing, run_cleaning_cache\n"
        "heavy = {'numpy', 'scipy', 'matplotlib', 'rich', 'distributed', 'imageio_ffmpeg', 'sureal'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_terminal_is_told_the_directory_once_and_the_names_below_it(dataset: Path, vmaf_workspace: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="a terminal is made by pexpect")
    command = [
        sys.executable,
        "-m",
        "vmaf_harness.cli",
        "test",
        "PSNR",
        str(dataset),
        "--cache-result",
        "--suppress-plot",
    ]
    printed, code = pexpect.run(
        shlex.join(command), withexitstatus=True, env={**os.environ, "TERM": "xterm"}, encoding="utf-8", timeout=60
    )
    assert code == 0
    assert len(re.findall(rf"in {vmaf_workspace}/output/\S+:\r\n  scores.csv\r\n  ", printed)) == 1, printed
    assert printed.count("/output/") == 1
