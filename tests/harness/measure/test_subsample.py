"""One frame in N: ffmpeg's own numbers, described as such everywhere, and never taken for those of all frames."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clips import HEIGHT_PX, N_FRAMES, WIDTH_PX, Clips, recipe
from trainable import Trainable

from vmaf_harness.cli import main
from vmaf_harness.engine.binary import Engine
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.script import run_cleaning_cache, run_extraction, run_psnr, run_testing, run_vmaf, run_vmaf_training

Printed = pytest.CaptureFixture[str]
EVERY = 5
MEASURED = [0, 5, 10]  # of 12 frames


@pytest.fixture
def raw_pair(clips: Clips) -> list[str]:
    return ["yuv420p", str(WIDTH_PX), str(HEIGHT_PX), str(clips.yuv("reference")), str(clips.yuv("x264"))]


def by_hand(engine: Engine, clips: Clips, directory: Path, options: str) -> dict[str, Any]:
    """What ffmpeg's filter alone writes."""
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH_PX}x{HEIGHT_PX}")
    inputs: list[str | Path] = [*raw, "-i", clips.yuv("x264"), *raw, "-i", clips.yuv("reference")]
    graph = f"libvmaf={options}:log_fmt=json:log_path=log.json"
    command: list[str | Path] = [engine.path, "-nostdin", "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, cwd=directory, check=True)
    found: dict[str, Any] = json.loads((directory / "log.json").read_bytes())
    return found


def test_run_vmaf_scores_one_frame_in_n_as_ffmpeg_alone_does(
    raw_pair: list[str], clips: Clips, engine: Engine, tmp_path: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert run_vmaf.main([*raw_pair, "--subsample", str(EVERY), "--out-fmt", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    alone = by_hand(engine, clips, tmp_path, f"model=version=vmaf_v0.6.1:n_subsample={EVERY}")
    assert [row["frameNum"] for row in found["frames"]] == [row["frameNum"] for row in alone["frames"]] == MEASURED
    assert [row["VMAF_score"] for row in found["frames"]] == [row["metrics"]["vmaf"] for row in alone["frames"]]
    assert found["aggregate"]["VMAF_score"] == pytest.approx(alone["pooled_metrics"]["vmaf"]["mean"], abs=1e-6)
    assert found["executorId"] == f"VMAF_V0.6.1-subsample{EVERY}"


def test_a_frame_says_what_it_says_among_all_motion_too(
    raw_pair: list[str], vmaf_workspace: Path, capsys: Printed
) -> None:
    assert run_vmaf.main([*raw_pair, "--out-fmt", "json"]) == 0
    full = json.loads(capsys.readouterr().out)["frames"]
    assert run_vmaf.main([*raw_pair, "--subsample", str(EVERY), "--out-fmt", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == [full[number] for number in MEASURED]
    assert full[5]["VMAF_integer_feature_motion2_score"] > 0


def test_run_psnr_and_score_say_what_they_measured(raw_pair: list[str], vmaf_workspace: Path, capsys: Printed) -> None:
    assert run_psnr.main([*raw_pair, "--subsample", str(EVERY)]) == 0
    printed = capsys.readouterr().out
    assert [line.partition(":")[0] for line in printed.splitlines() if line.startswith("Frame ")] == [
        f"Frame {number}" for number in MEASURED
    ]
    assert f"-subsample{EVERY}" in printed
    words = ["score", "--reference", raw_pair[3], "--distorted", raw_pair[4], "--yuv-fmt", "yuv420p"]
    words += ["--width", raw_pair[1], "--height", raw_pair[2], "--subsample", str(EVERY)]
    assert main(words) == 0
    assert (
        f"frames by number at {raw_pair[1]}×{raw_pair[2]}, one in {EVERY}, VMAF_V0.6.1-subsample{EVERY}, "
        in capsys.readouterr().err
    )
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["subsample"], found["executor_id"]) == (EVERY, f"VMAF_V0.6.1-subsample{EVERY}")
    assert main([*words[:-2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subsample"] == 1


def test_stored_results_of_some_frames_and_of_all_never_mix(
    clips: Clips, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    dataset = recipe(clips.directory, "reference.mp4", ["x264.mp4", "av1.mp4"], name="sub")
    scores: dict[int, tuple[str, list[str], list[str]]] = {}
    for every in (1, EVERY, 1, EVERY, 3):
        words = ["PSNR", str(dataset), "--cache-result", f"--subsample={every}", "--suppress-plot"]
        assert run_testing.main(words) == 0
        printed = capsys.readouterr()
        paths = [Path(line) for line in printed.err.splitlines() if line.startswith("/")]
        rows = list(csv.DictReader(next(path for path in paths if path.name == "scores.csv").read_text().splitlines()))
        about = json.loads(next(path for path in paths if path.name == "statistics.json").read_bytes())
        found = about["executor_id"], [row["score"] for row in rows], [row["n_frames"] for row in rows]
        stored = every in scores
        assert f"2 assets scored, {2 if stored else 0} of them stored before" in printed.err
        assert scores.setdefault(every, found) == found
        assert about["executor_id"] in printed.out
    assert [scores[every][0] for every in (1, EVERY, 3)] == [
        "PSNR_V1.0",
        "PSNR_V1.0-subsample5",
        "PSNR_V1.0-subsample3",
    ]
    assert [scores[every][2] for every in (1, EVERY, 3)] == [["12"] * 2, ["3"] * 2, ["4"] * 2]
    assert len({tuple(each[1]) for each in scores.values()}) == 3
    assert run_cleaning_cache.main(["PSNR", str(dataset)]) == 0
    left = [path for path in (vmaf_workspace / "result_store_dir").rglob("*.json") if "sub" in path.parts]
    assert left == []


@pytest.mark.parametrize("quality_type", ["VMAF", "VMAFNEG", "VMAF_PHONE", "VIF2"])
def test_the_cache_of_every_type_is_cleaned_of_such_results_too(
    quality_type: str, clips: Clips, vmaf_workspace: Path, capsys: Printed
) -> None:
    dataset = recipe(clips.directory, "reference.mp4", ["x264.mp4"], name="cleaned")
    assert run_testing.main([quality_type, str(dataset), "--cache-result", "--subsample=6", "--suppress-plot"]) == 0
    assert "-subsample6" in capsys.readouterr().out
    store = vmaf_workspace / "result_store_dir" / "file_result_store"
    if quality_type != "VIF2":  # which is stored as the features that it is the mean of
        assert list(store.rglob("cleaned/*/*.json"))
        assert run_cleaning_cache.main([quality_type, str(dataset)]) == 0
        assert not list(store.rglob("cleaned/*/*.json"))


def test_a_model_is_trained_and_tested_on_some_frames_and_its_card_says_so(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    extracted = [str(small.dataset), str(small.features), "--subsample=4", "--cache-result"]
    assert run_extraction.main(extracted) == 0
    assert " 0 of them stored before" in capsys.readouterr().err
    assert run_extraction.main(extracted) == 0
    assert " 0 of them stored before" not in capsys.readouterr().err
    words = [str(small.dataset), str(small.features), str(small.model), "some", "--cache-result", "--suppress-plot"]
    capsys.readouterr()
    assert run_vmaf_training.main([*words, "--subsample=4"]) == 0
    printed = capsys.readouterr()
    assert "t_dataset, LIBSVMNUSVR, one frame in 4, 12 assets: training SROCC" in printed.out
    statistics = next(line for line in printed.err.splitlines() if line.endswith("statistics.json"))
    assert json.loads(Path(statistics).read_bytes())["subsample"] == 4
    card = json.loads((vmaf_workspace / "model" / "some.card.json").read_bytes())
    assert card["subsample"] == 4
    assert "one frame in 4" in card["statistics_of"]
    capsys.readouterr()
    tested = ["VMAF", str(small.dataset), "--vmaf-model=some", "--suppress-plot", "--subsample=4", "--cache-result"]
    assert run_testing.main(tested) == 0
    printed = capsys.readouterr()
    assert " 0 of them stored before" not in printed.err
    assert "-subsample4" in printed.out
    # Another training under that name, of other frames, is not taken for the same one.
    assert run_vmaf_training.main(words) != 0


@pytest.mark.parametrize("given", ["0", "-2", "x", "1.5"])
def test_a_wrong_number_is_refused_in_words(given: str, raw_pair: list[str], capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        run_vmaf.main([*raw_pair, f"--subsample={given}"])
    assert ended.value.code == 2
    assert f"--subsample: expected an integer of 1 or more, got {given!r}" in capsys.readouterr().err


def test_a_step_that_leaves_the_first_frame_alone_is_refused_with_the_largest_that_does_not(
    raw_pair: list[str], vmaf_workspace: Path, capsys: Printed
) -> None:
    assert run_vmaf.main([*raw_pair, f"--subsample={N_FRAMES}"]) == 1
    assert "has 12 frames, of which one in 12 is the first alone" in (said := capsys.readouterr().err)
    assert "--subsample may be 11 at most" in said
    assert run_vmaf.main([*raw_pair, f"--subsample={N_FRAMES - 1}"]) == 0


def test_all_frames_are_named_as_ever() -> None:
    assert extraction("VMAF").subsampled(1) == extraction("VMAF")
    assert FeatureParam(atoms=(("VMAF_feature", "adm2"),)).extraction.subsample == 1
