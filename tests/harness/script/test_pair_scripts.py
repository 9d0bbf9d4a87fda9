"""`run_vmaf`, `run_psnr`, `run_result_assembly` and `score` of raw video, as people call them; ffmpeg's numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from clips import ENCODERS, HEIGHT_PX, N_FRAMES, WIDTH_PX, Clips, ffmpeg, program
from trainable import Trainable

from vmaf_harness.cli import main
from vmaf_harness.commands import COMMANDS
from vmaf_harness.engine.binary import Engine
from vmaf_harness.measure.scoring import SHARED_AT_MOST
from vmaf_harness.script import run_psnr, run_result_assembly, run_vmaf, run_vmaf_training
from vmaf_harness.tasks import harness
from vmaf_workspace.contract import KEPT_NAMES

Printed = pytest.CaptureFixture[str]
RAW = ("yuv420p", str(WIDTH_PX), str(HEIGHT_PX))


@pytest.fixture
def pair(clips: Clips) -> list[str]:
    return [*RAW, str(clips.yuv("reference")), str(clips.yuv("x264"))]


def by_hand(engine: Engine, directory: Path, reference: Path, distorted: Path, options: str) -> list[dict[str, float]]:
    """The metrics of each frame, as ffmpeg's filter alone has them."""
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH_PX}x{HEIGHT_PX}")
    command: list[str | Path] = [engine.path, "-nostdin", "-v", "error", *raw, "-i", distorted, *raw, "-i", reference]
    graph = f"libvmaf={options}:log_fmt=json:log_path=log.json"
    subprocess.run([*command, "-lavfi", graph, "-f", "null", "-"], cwd=directory, check=True)
    return [frame["metrics"] for frame in json.loads((directory / "log.json").read_bytes())["frames"]]


def printed_json(capsys: Printed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_run_vmaf_prints_each_frame_as_ffmpeg_alone_scores_it(
    pair: list[str], clips: Clips, engine: Engine, tmp_path: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert run_vmaf.main([*pair, "--out-fmt", "json"]) == 0
    found = printed_json(capsys)
    frames = by_hand(engine, tmp_path, clips.yuv("reference"), clips.yuv("x264"), "model=version=vmaf_v0.6.1")
    assert [row["VMAF_score"] for row in found["frames"]] == [frame["vmaf"] for frame in frames]
    adm = [frame["integer_adm2"] for frame in frames]
    assert [row["VMAF_integer_feature_adm2_score"] for row in found["frames"]] == adm
    assert found["aggregate"]["VMAF_score"] == pytest.approx(
        sum(frame["vmaf"] for frame in frames) / N_FRAMES, abs=1e-6
    )
    assert found["executorId"] == "VMAF_V0.6.1"
    assert found["asset"]["identifier"] == "cmd_0_0_reference_176x144_vs_x264_176x144_q_176x144"
    for name in ("workdir", "output"):
        assert set(os.listdir(vmaf_workspace / name)) <= KEPT_NAMES


def test_text_and_xml_have_the_numbers_of_json(pair: list[str], capsys: Printed) -> None:
    assert run_psnr.main([*pair, "--out-fmt", "json", "--pool", "min"]) == 0
    found = printed_json(capsys)
    assert run_psnr.main([*pair, "--pool", "min"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith('Asset: {"asset_dict": {')
    assert text[1:3] == ["Executor: PSNR_V1.0", "Result:"]
    assert [float(score) for line in text for score in re.findall(r"^Frame .*PSNR_score:([\d.]+)", line)] == [
        row["PSNR_score"] for row in found["frames"]
    ]
    least = min(row["PSNR_score"] for row in found["frames"])
    assert f"PSNR_score:{least:.6f}" in text[-1]
    assert text[-1].startswith("Aggregate (min): ")
    assert run_psnr.main([*pair, "--out-fmt", "xml", "--pool", "min"]) == 0
    top = ElementTree.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
    assert [float(frame.attrib["PSNR_score"]) for frame in top.iter("frame")] == [
        row["PSNR_score"] for row in found["frames"]
    ]


def test_run_psnr_is_ffmpegs(pair: list[str], clips: Clips, engine: Engine, tmp_path: Path, capsys: Printed) -> None:
    assert run_psnr.main([*pair, "--out-fmt", "json"]) == 0
    frames = by_hand(engine, tmp_path, clips.yuv("reference"), clips.yuv("x264"), "model=:feature=name=psnr")
    assert [row["PSNR_score"] for row in printed_json(capsys)["frames"]] == [frame["psnr_y"] for frame in frames]


def test_the_phone_model_and_another_model_change_the_score(pair: list[str], capsys: Printed) -> None:
    scores = []
    for flags in ((), ("--phone-model",), ("--model", "vmaf_v0.6.1neg")):
        assert run_vmaf.main([*pair, "--out-fmt", "json", *flags]) == 0
        scores.append(printed_json(capsys)["aggregate"]["VMAF_score"])
    assert scores[2] <= scores[0] < scores[1]


def test_a_plot_of_the_frames_is_drawn_into_the_directory_named(
    pair: list[str], tmp_path: Path, capsys: Printed
) -> None:
    assert run_vmaf.main([*pair, "--save-plot", str(tmp_path / "plots")]) == 0
    assert [path.suffix for path in (tmp_path / "plots").iterdir()] == [".png"]


def test_ci_needs_a_bootstrap_model_and_adds_what_its_members_say(
    pair: list[str], small: Trainable, capsys: Printed
) -> None:
    assert run_vmaf.main([*pair, "--ci"]) == 1
    assert "--ci needs a bootstrap model, and VMAF_V0.6.1 has one member" in capsys.readouterr().err
    parameters = (
        "model_type = 'BOOTSTRAP_LIBSVMNUSVR'\nmodel_param_dict = {'num_models': 4, 'norm_type': 'clip_0to1'}\n"
    )
    small.model.write_text(parameters)
    assert run_vmaf_training.main([*small.inputs, "b", "--cache-result", "--suppress-plot"]) == 0
    capsys.readouterr()
    assert run_vmaf.main([*pair, "--model", "b", "--ci", "--out-fmt", "json"]) == 0
    found = printed_json(capsys)
    for row in [*found["frames"], found["aggregate"]]:
        ends = [row[f"BOOTSTRAP_VMAF_{end}_score"] for end in ("ci95_low", "bagging", "ci95_high")]
        assert ends == sorted(ends)
        assert {"BOOTSTRAP_VMAF_score", "BOOTSTRAP_VMAF_stddev_score"} < row.keys()
    assert found["executorId"].startswith("BOOTSTRAP_VMAF_Vb-")
    assert run_vmaf.main([*pair, "--model", "b", "--out-fmt", "json"]) == 0
    without = printed_json(capsys)
    assert without["aggregate"]["VMAF_score"] == found["aggregate"]["BOOTSTRAP_VMAF_score"]
    assert not [name for name in without["aggregate"] if name.startswith("BOOTSTRAP")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("yuv411p", "176", "144", "a", "b"), "--yuv-fmt: expected one of"),
        (("yuv420p", "0", "144", "a", "b"), "--width: expected an integer of 1 or more"),
        (("yuv420p", "176", "144", "a"), "the following arguments are required"),
        ((*RAW, "a", "b", "--vmaf-model", "m"), "unrecognized arguments: --vmaf-model m; is --model meant?"),
        ((*RAW, "a", "b", "--phone-mode"), "is --phone-model meant?"),
        ((*RAW, "a", "b", "--out-format", "json"), "is --out-fmt meant?"),
        ((*RAW, "a", "b", "--out-fmt", "csv"), "--out-fmt: expected one of text, json, xml"),
        ((*RAW, "a", "b", "--local-explain"), "--local-explain is not offered here"),
    ],
)
def test_a_wrong_word_is_2_and_says_what_is_meant(words: tuple[str, ...], said: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        run_vmaf.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_size_that_is_not_the_files_is_an_error_in_one_line(pair: list[str], capsys: Printed) -> None:
    assert run_vmaf.main([pair[0], "175", *pair[2:]]) == 1
    assert "its width, height or yuv_fmt is wrong" in capsys.readouterr().err


# Parts put together


def test_results_of_parts_become_the_result_of_the_whole(pair: list[str], tmp_path: Path, capsys: Printed) -> None:
    assert run_psnr.main([*pair, "--out-fmt", "xml"]) == 0
    (tmp_path / "a.xml").write_text(capsys.readouterr().out)
    listing = tmp_path / "parts.txt"
    listing.write_text(f"# two of them\n\n{tmp_path / 'a.xml'}\n{tmp_path / 'a.xml'}\n")
    assert run_result_assembly.main([str(listing)]) == 0
    whole = ElementTree.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
    frames = list(whole.iter("frame"))
    assert [frame.attrib["frameNum"] for frame in frames] == [str(number) for number in range(2 * N_FRAMES)]
    assert main(["assemble-results", str(listing), "--pool", "median"]) == 0
    printed = capsys.readouterr()
    assert 'method="median"' in printed.out
    assert "they were pooled by mean" in printed.err


@pytest.mark.parametrize("text", ["", "# nothing\n", "missing.json\n"])
def test_a_list_without_results_is_an_error(text: str, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "parts.txt").write_text(text)
    assert run_result_assembly.main([str(tmp_path / "parts.txt")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


# `score` of raw video


def test_score_of_raw_video_is_that_of_the_same_frames_in_a_file(clips: Clips, capsys: Printed) -> None:
    size = ("--width", str(WIDTH_PX), "--height", str(HEIGHT_PX))
    reference, distorted = (str(clips.yuv(name)) for name in ("reference", "x264"))
    both = ("--reference", reference, "--distorted", distorted)
    assert main(["score", *both, "--yuv-fmt", "yuv420p", *size]) == 0
    raw = capsys.readouterr().out
    coded = ("--reference", str(clips.mp4("reference")), "--distorted", str(clips.mp4("x264")))
    assert main(["score", *coded]) == 0
    assert capsys.readouterr().out == raw
    mixed = ("--reference", str(clips.mp4("reference")), "--distorted", distorted)
    assert main(["score", *mixed, "--yuv-fmt", "yuv420p", *size, "--ref-yuv-fmt", "notyuv"]) == 0
    assert capsys.readouterr().out == raw
    own = [f"--dis-{name}" for name in ("yuv-fmt", "width", "height")]
    given = [word for pair in zip(own, ("yuv420p", str(WIDTH_PX), str(HEIGHT_PX)), strict=True) for word in pair]
    assert main(["score", *mixed, *given]) == 0
    assert capsys.readouterr().out == raw


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--width", "176", "--height", "144"), "needs its --yuv-fmt, too"),
        (("--fps", "60"), "--fps is of raw video: a needs its --yuv-fmt, too"),
        (("--fps", "0"), "--fps: expected frames a second, such as 25 or 30000/1001, got '0'"),
        (("--fps", "1/0"), "--fps: expected frames a second"),
        (("--yuv-fmt", "yuv420p", "--width", "176"), "needs its --width and --height, too"),
        (("--yuv-fmt", "notyuv", "--dis-width", "176"), "--dis-width and --dis-height are of raw video"),
    ],
)
def test_flags_of_raw_video_that_do_not_say_enough_are_2(flags: tuple[str, ...], said: str, capsys: Printed) -> None:
    assert main(["score", "--reference", "a", "--distorted", "b", *flags]) == 2
    assert said in capsys.readouterr().err


def test_several_distorted_videos_are_a_table_and_one_that_fails_is_named(
    clips: Clips, tmp_path: Path, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spaced = tmp_path / "with a blank.mp4"
    spaced.symlink_to(clips.mp4("reference"))
    reference = ["--reference", str(clips.mp4("reference")), "--quality-type", "PSNR"]
    several = [*reference, "--distorted", str(clips.mp4("reference")), "--distorted", str(spaced)]
    assert main(["score", *several]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["DISTORTED", "MEAN", "HARMONIC", "PERC5", "MIN", "FRAMES"]
    assert len([row for row in rows if ".mp4" in row]) == 2
    assert main(["score", *several, str(tmp_path / "missing.mp4"), "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert [Path(each["distorted"]).name for each in found["videos"]] == ["reference.mp4", spaced.name, "missing.mp4"]
    assert found["videos"][0]["score"] == found["videos"][1]["score"]
    assert (found["exit_code"], "missing.mp4" in found["videos"][2]["error"]) == (1, True)
    assert "missing.mp4" in printed.err
    assert main(["score", *several, str(tmp_path / "missing.mp4")]) == 1
    assert re.search(r"missing\.mp4 +- +- +-", capsys.readouterr().out)


def test_plots_of_two_videos_of_one_name_are_refused(
    clips: Clips, tmp_path: Path, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(clips.mp4("reference"))
    assert main(["score", "--reference", video, "--distorted", video, video, "--save-plot", str(tmp_path)]) == 2
    assert "two of the videos have the same name" in capsys.readouterr().err


def test_invoke_takes_the_flag_again_for_another_video() -> None:
    (argument,) = (each for each in deepcopy(harness["score"]).get_arguments() if each.name == "distorted")
    assert argument.kind is list
    about = next(each for each in COMMANDS if each.name == "score").parameters["distorted"].about
    assert about.value("--distorted", ["a b.mp4", "c.mp4"]) == ("a b.mp4", "c.mp4")
    assert about.value("--distorted", "a b.mp4") == ("a b.mp4",)


# What a published number has to say


def test_score_says_its_reference_model_size_frames_pairing_and_versions(
    clips: Clips, engine: Engine, vmaf_workspace: Path, capsys: Printed
) -> None:
    words = ["score", "--reference", str(clips.mp4("reference")), "--distorted", str(clips.mp4("x264"))]
    assert main(words) == 0
    said = capsys.readouterr().err
    form = f"{N_FRAMES} frames by number at {WIDTH_PX}×{HEIGHT_PX}"
    made_by = f"ffmpeg {engine.ffmpeg}, libvmaf {engine.libvmaf}, vmaf-workspace {version('vmaf-workspace')}\n"
    assert said == f"mean of {form}, VMAF_V0.6.1, against reference.mp4\n{made_by}"
    assert main([*words, "--distorted", str(clips.mp4("av1")), "--pair-by", "time"]) == 0
    said = capsys.readouterr().err
    assert f"against reference.mp4, frames by time at {WIDTH_PX}×{HEIGHT_PX}, " in said
    assert said.count(made_by) == 1
    named = {**engine.versions, "vmaf-workspace": version("vmaf-workspace")}
    assert main([*words, "--json"]) == 0
    assert printed_json(capsys)["versions"] == named
    assert main([*words, "--distorted", str(clips.mp4("av1")), "--json"]) == 0
    assert [row["versions"] for row in printed_json(capsys)["videos"]] == [named] * 2


def test_score_says_which_size_was_scaled_and_which_rate_differs(
    clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    small = tmp_path / "small.mp4"
    ffmpeg(engine, "-i", clips.mp4("reference"), "-vf", "scale=88:72", "-r", "12", *ENCODERS["x264"], small)
    words = ["score", "--reference", str(clips.mp4("reference")), "--distorted", str(small), "--pair-by", "time"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert f"size: {small}: 88×72, scaled to its reference's {WIDTH_PX}×{HEIGHT_PX} (bicubic)\n" in said
    assert re.search(rf"^rate: {small}: 12 frames/s, its reference \d", said, re.MULTILINE)
    assert main([*words, "--json"]) == 0
    found = printed_json(capsys)
    assert (found["reference"], found["distorted"]) == (str(clips.mp4("reference")), str(small))
    assert [(note["kind"], note["video"]) for note in found["notes"]] == [("size", str(small)), ("rate", str(small))]
    assert found["notes"][0]["text"].startswith("88×72, scaled to its reference's")
    assert found["compared"].items() >= {"width_px": WIDTH_PX, "distorted_width_px": 88, "pairing": "time"}.items()


# Errors of what a recipe could say


def test_an_error_of_a_pair_names_no_asset_and_what_it_advises_compares_as_many_frames(
    clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "ffmpeg").symlink_to(engine.path)
    whole, short = tmp_path / "a whole one.mp4", tmp_path / "short.mp4"
    whole.write_bytes(clips.mp4("reference").read_bytes())
    ffmpeg(engine, "-i", clips.mp4("x264"), "-frames:v", "7", *ENCODERS["x264"], short)
    raw, short_raw = tmp_path / "raw.yuv", tmp_path / "short.yuv"
    raw.write_bytes(clips.yuv("reference").read_bytes())
    short_raw.write_bytes(clips.yuv("x264").read_bytes()[: 7 * WIDTH_PX * HEIGHT_PX * 3 // 2])
    of_raw = ["--yuv-fmt", "yuv420p", "--width", str(WIDTH_PX), "--height", str(HEIGHT_PX)]
    for pair, flags in (
        ((whole, short), []),
        ((short, whole), []),
        ((whole, short), ["--pair-by", "time"]),
        ((raw, short_raw), of_raw),
        ((short_raw, raw), of_raw),
        ((raw, short_raw), [*of_raw, "--pair-by", "time"]),
    ):
        words = ["score", "--reference", str(pair[0]), "--distorted", str(pair[1]), *flags]
        assert main(words) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "asset" not in said
        if "--pair-by" not in flags:
            assert "--n-frames 7 where both begin with the same frame" in said
            assert main([*words, "--n-frames", "7"]) == 0
            assert "7 frames by number" in capsys.readouterr().err
            continue
        found = re.search(r"cut the longer one \((.*?)\)[,;]", said)
        assert found is not None, said
        assert "`test` a recipe" in said
        subprocess.run(["sh", "-c", found[1]], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        (cut,) = tmp_path.glob("cut.*")
        longer = whole if whole in pair else raw
        assert main(["score", *(str(cut) if word == str(longer) else word for word in words[1:])]) == 0
        assert "7 frames by time" in capsys.readouterr().err
        cut.unlink()


def test_of_several_an_error_names_its_video_once_and_no_asset(
    clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    short, gone = tmp_path / "short.mp4", tmp_path / "gone.mp4"
    ffmpeg(engine, "-i", clips.mp4("x264"), "-frames:v", "7", *ENCODERS["x264"], short)
    words = ["score", "--reference", str(clips.mp4("reference")), "--distorted", str(short), str(gone)]
    assert main([*words, str(clips.mp4("x264"))]) == 1
    said = capsys.readouterr().err
    assert f"\n{gone}: No such file" in f"\n{said}"
    assert said.count(str(gone)) == 1
    assert "asset" not in said


@pytest.mark.parametrize("side", ["reference", "distorted"])
def test_a_url_is_said_not_to_be_read(side: str, clips: Clips, vmaf_workspace: Path, capsys: Printed) -> None:
    pair = {"reference": str(clips.mp4("reference")), "distorted": str(clips.mp4("x264"))}
    pair[side] = "https://example.org/a.mp4"
    assert main(["score", *(word for name, path in pair.items() for word in (f"--{name}", path))]) == 1
    said = capsys.readouterr().err
    assert "https://example.org/a.mp4: URLs are not read; download it first" in said


def test_several_are_scored_as_each_alone_and_the_error_of_one_is_its_own(
    clips: Clips, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    reference = ["score", "--reference", str(clips.mp4("reference")), "--json"]
    videos = [str(clips.mp4(name)) for name in ENCODERS] * 2
    alone = {}
    for video in dict.fromkeys(videos):
        assert main([*reference, "--distorted", video]) == 0
        alone[video] = printed_json(capsys)["frames"]
    videos.insert(1, str(tmp_path / "gone.mp4"))
    assert main([*reference, "--distorted", *videos]) == 1
    rows = printed_json(capsys)["videos"]
    assert [row["distorted"] for row in rows] == videos
    assert [row.get("frames") for row in rows] == [alone.get(video) for video in videos]
    assert "gone.mp4" in rows[1]["error"]


@pytest.mark.parametrize("n", [4, 12])
def test_a_reference_is_decoded_once_for_several_of_it(
    n: int, clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = program("ffmpeg", tmp_path, f'echo "$@" >> {tmp_path}/said\nexec {engine.path} "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(said))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    words = ["score", "--reference", str(clips.mp4("reference")), "--distorted", *[str(clips.mp4("x264"))] * n]
    assert main(words) == 0
    measured = [line for line in (tmp_path / "said").read_text().splitlines() if "libvmaf=" in line]
    assert len([line for line in measured if "reference.mp4" in line]) == n / SHARED_AT_MOST
