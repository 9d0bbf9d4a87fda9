"""Frames that are paired with the neighbours of those that they look like: told, and never where they are not."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from statistics import correlation, median

import pytest
from clips import ENCODERS, Measured, container, ffmpeg, recipe

from vmaf_harness.cli import main
from vmaf_harness.engine.binary import Engine
from vmaf_harness.measure.alignment import MOST, likeness
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.script import run_testing

N = 48
WIDTH_PX, HEIGHT_PX = 176, 144
LOSSLESS = ("-c:v", "ffv1")
Printed = pytest.CaptureFixture[str]
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(engine: Engine, real_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes a clip of real bikes: *n* frames from *first* on, as *encoder* has them."""
    directory = tmp_path_factory.mktemp("shifted")

    def make(first: int = 0, n: int = N, encoder: tuple[str, ...] = LOSSLESS, more: str = "") -> Path:
        suffix = "mkv" if encoder == LOSSLESS else "mp4"
        path = directory / f"{abs(hash((first, n, encoder, more)))}.{suffix}"
        if not path.exists():
            cut = f"trim=start_frame={first}:end_frame={first + n}"
            scaled = f"scale={WIDTH_PX}:{HEIGHT_PX},{cut},setpts=PTS-STARTPTS{more}"
            ffmpeg(engine, "-i", real_clips / "bikes.mp4", "-vf", scaled, *encoder, path)
        return path

    return make


def shift_of(measurement: Measurement) -> str:
    return next((note.text for note in measurement.notes if note.kind == "shift"), "")


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shift", [1, -2, MOST])
def test_a_shift_is_told_with_what_pairs_the_frames(shift: int, name: str, clip: Made, measured: Measured) -> None:
    reference = clip(MOST)
    shifted = measured(reference, clip(MOST + shift, encoder=ENCODERS[name]))
    later = "later" if shift > 0 else "earlier"
    assert f"its frames look like those that come {abs(shift)} {later} in its reference" in shift_of(shifted)
    aligned = measured(reference, clip(MOST, encoder=ENCODERS[name]))
    assert shift_of(aligned) == ""
    assert aligned.means["vmaf"] > shifted.means["vmaf"] + 10


@pytest.mark.parametrize("crf", [18, 35, 51])
def test_an_encode_of_whatever_rate_is_not_said_to_be_shifted(crf: int, clip: Made, measured: Measured) -> None:
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", str(crf))
    assert shift_of(measured(clip(), clip(encoder=encode))) == ""


@pytest.mark.parametrize(
    "more",
    [
        ",loop=loop=-1:size=1:start=0,trim=end_frame=48",  # nothing moves
        ",noise=alls=60:allf=t",  # no two frames are alike
        ",select='not(mod(n\\,2))',fps=25,tpad=stop_mode=clone:stop=48,trim=end_frame=48",  # each is shown twice
        ",gblur=sigma=12",
        ",eq=brightness=0.3:contrast=0.5",
    ],
    ids=["still", "noise", "half the rate", "blurred", "brighter"],
)
def test_what_differs_in_another_way_is_not_said_to_be_shifted_or_another_video(
    more: str, clip: Made, measured: Measured
) -> None:
    for reference in (clip(), clip(more=more)):
        told = {note.kind for note in measured(reference, clip(more=more)).notes}
        assert told.isdisjoint({"shift", "content"})


@pytest.mark.parametrize(
    "more",
    [",crop=88:72,scale=176:144", ",pad=iw*1.25:ih*1.25:-1:-1,scale=176:144", ",negate"],
    ids=["cropped", "with bars", "negative"],
)
def test_what_hardly_looks_like_its_reference_is_told(more: str, clip: Made, measured: Measured) -> None:
    (text,) = (note.text for note in measured(clip(), clip(more=more)).notes if note.kind == "content")
    assert re.match(r"its frames hardly look like those of its reference \(correlation -?\d\.\d\d\): ", text)


def test_likeness_is_the_median_correlation(tmp_path: Path) -> None:
    made = random.Random(1)
    frames = [[bytes(made.randrange(256) for _ in range(256)) for _ in range(9)] for _ in range(2)]
    for name, video in zip(("reference", "distorted"), frames, strict=True):
        (tmp_path / name).write_bytes(b"".join(video))
    expected = median(map(correlation, *frames))
    assert likeness(tmp_path / "reference", tmp_path / "distorted") == pytest.approx(expected, abs=1e-12)


def test_another_video_is_told_and_one_without_texture_is_not(
    engine: Engine, clip: Made, real_clips: Path, measured: Measured, tmp_path: Path
) -> None:
    scaled = ("-vf", f"scale={WIDTH_PX}:{HEIGHT_PX}", "-frames:v", str(N), *LOSSLESS)
    ffmpeg(engine, "-i", real_clips / "bigbuckbunny.mp4", *scaled, tmp_path / "other.mkv")
    assert "content" in {note.kind for note in measured(clip(), tmp_path / "other.mkv").notes}
    for name, colour in (("black", "black"), ("grey", "gray")):
        grey = f"color=c={colour}:s={WIDTH_PX}x{HEIGHT_PX}:r=25:d={N / 25}"
        ffmpeg(engine, "-f", "lavfi", "-i", grey, *LOSSLESS, tmp_path / f"{name}.mkv")
    assert measured(tmp_path / "black.mkv", tmp_path / "grey.mkv").notes == ()


@pytest.mark.parametrize("rate", [50, 24, 15, 12.5])
def test_another_rate_is_no_shift(rate: float, clip: Made, measured: Measured) -> None:
    converted = clip(more=f",fps={rate},tpad=stop_mode=clone:stop={N},trim=end_frame={N}")
    assert shift_of(measured(clip(), converted)) == ""
    assert shift_of(measured(converted, clip())) == ""


def test_too_few_frames_tell_nothing(clip: Made, measured: Measured) -> None:
    assert shift_of(measured(clip(0, MOST), clip(1, MOST))) == ""


def test_the_flags_that_are_named_give_the_score_of_clips_cut_alike(
    clip: Made, vmaf_workspace: Path, capsys: Printed
) -> None:
    encode = clip(2, encoder=ENCODERS["x264"])
    words = ["score", "--reference", str(clip()), "--distorted", str(encode)]
    assert main(words) == 0
    said = " ".join(capsys.readouterr().err.split())
    found = re.search(rf"shift: {encode}: .*; score (--\S.*) pairs them", said)
    assert found is not None, said
    assert found[1] == f"--ref-start-frame 2 --n-frames {N - 2}"
    assert main([*words, *found[1].split(), "--json"]) == 0
    paired = json.loads(capsys.readouterr().out)
    assert paired["notes"] == []
    assert (paired["compared"]["reference_start_frame"], paired["compared"]["distorted_start_frame"]) == (2, 0)
    assert len(paired["frames"]["vmaf"]) == N - 2
    assert main([*words, *found[1].split()]) == 0
    by_flags = capsys.readouterr()
    assert "(from frame 2, the distorted from frame 0)" in " ".join(by_flags.err.split())
    # What is cut beforehand gives the same number.
    words[2:5] = [str(clip(2)), "--distorted", str(encode)]
    assert main([*words, "--n-frames", str(N - 2)]) == 0
    assert capsys.readouterr().out == by_flags.out


@pytest.mark.parametrize(
    ("reference", "distorted", "flags"),
    [
        ((0, N), (1, N - 1), f"--ref-start-frame 1 --n-frames {N - 1}"),
        ((3, N - 3), (0, N), f"--dis-start-frame 3 --n-frames {N - 3}"),
        ((0, N), (2, N + 2), f"--ref-start-frame 2 --n-frames {N - 2}"),
        ((0, N), (0, N - 4), f"--n-frames {N - 4}"),
    ],
)
def test_of_two_that_are_not_as_long_the_frames_that_both_have_are_named(
    reference: tuple[int, int],
    distorted: tuple[int, int],
    flags: str,
    clip: Made,
    vmaf_workspace: Path,
    capsys: Printed,
) -> None:
    encode = clip(*distorted, encoder=ENCODERS["x265"])
    words = ["score", "--reference", str(clip(*reference)), "--distorted", str(encode)]
    assert main(words) == 1
    assert flags in " ".join(capsys.readouterr().err.split())
    assert main([*words, *flags.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []


def test_a_part_of_raw_video_is_that_of_its_frames(
    engine: Engine, clip: Made, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    for name, video in (("r", clip()), ("d", clip(encoder=ENCODERS["x264"]))):
        ffmpeg(engine, "-i", video, "-pix_fmt", "yuv420p", tmp_path / f"{name}.yuv")
    size = ("--yuv-fmt", "yuv420p", "--width", str(WIDTH_PX), "--height", str(HEIGHT_PX))
    part = ("--ref-start-frame", "3", "--dis-start-frame", "3", "--n-frames", "20")
    words = ["score", "--reference", str(tmp_path / "r.yuv"), "--distorted", str(tmp_path / "d.yuv"), *size]
    assert main([*words, *part]) == 0
    of_raw = capsys.readouterr().out
    words = ["score", "--reference", str(clip()), "--distorted", str(clip(encoder=ENCODERS["x264"]))]
    assert main([*words, *part]) == 0
    assert capsys.readouterr().out == of_raw


@pytest.mark.parametrize("side", ["ref", "dis"])
def test_more_frames_than_there_are_is_an_error_that_names_the_flags(
    side: str, clip: Made, vmaf_workspace: Path, capsys: Printed
) -> None:
    words = ["score", "--reference", str(clip()), "--distorted", str(clip())]
    assert main([*words, "--n-frames", str(N + 1)]) == 1
    assert "--n-frames" in capsys.readouterr().err
    assert main([*words, f"--{side}-start-frame", str(N)]) == 1
    assert "--n-frames" in capsys.readouterr().err
    assert main([*words, f"--{side}-start-frame", "-1"]) == 2


def test_frames_that_are_paired_by_time_or_meant_so_are_no_shift(
    clip: Made, measured: Measured, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert shift_of(measured(clip(), clip(1), pairing="time")) == ""
    words = ["score", "--reference", str(clip()), "--distorted", str(clip(1))]
    assert main([*words, "--pair-by", "index"]) == 0
    assert "shift" not in capsys.readouterr().err


def test_a_shifted_video_of_a_dataset_is_named_also_where_its_result_was_stored(
    clip: Made, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    encode = ENCODERS["x264"]
    videos = {"r.mkv": clip(), "same.mp4": clip(encoder=encode), "late.mp4": clip(1, encoder=encode)}
    for name, path in videos.items():
        (tmp_path / name).symlink_to(path)
    dataset = recipe(tmp_path, "r.mkv", ["same.mp4", "late.mp4"])
    for _ in range(2):
        assert run_testing.main(["VMAF", str(dataset), "--cache-result", "--suppress-plot"]) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert said.count("shift: ") == 1
        assert re.search(r"shift: \S*late.mp4: its frames look like those that come 1 later", said)
        assert f"frames 1 to {N - 1} of the reference and 0 to {N - 2} of it: ref_start_frame" in said
    (table,) = {path.read_text() for path in vmaf_workspace.glob("output/*/scores.csv")}
    notes = [row["notes"] for row in csv.DictReader(table.splitlines())]
    assert [note.startswith("shift: distorted: ") for note in notes] == [False, True]


def test_a_shift_is_told_where_frames_are_kept_too(
    clip: Made, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    for name, path in (("r.mkv", clip()), ("late.mp4", clip(1, encoder=ENCODERS["x264"]))):
        (tmp_path / name).symlink_to(path)
    dataset = recipe(tmp_path, "r.mkv", ["late.mp4"])
    assert run_testing.main(["VMAF", str(dataset), "--keep-workfiles", "--suppress-plot"]) == 0
    assert "look like those that come 1 later" in " ".join(capsys.readouterr().err.split())
    assert len(list(vmaf_workspace.glob("workdir/*/*/distorted.yuv"))) == 1


def test_encodes_that_share_a_decoding_have_each_their_own_shift(
    clip: Made, vmaf_workspace: Path, capsys: Printed
) -> None:
    encodes = [clip(first, encoder=ENCODERS["x264"]) for first in (0, 1, 3)]
    words = ["score", "--reference", str(clip()), "--distorted", *map(str, encodes), "--json"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)["videos"]
    found = [re.findall(r"come (\d) later", "".join(note["text"] for note in row["notes"])) for row in rows]
    assert found == [[], ["1"], ["3"]]


def test_a_video_given_whole_has_its_own_first_frame(clip: Made, measured: Measured) -> None:
    part = container(clip(), start_frame=4, end_frame=N - 1)
    assert "ref_start_frame" in (told := shift_of(measured(part, container(clip(2), end_frame=N - 5))))
    assert f"frames 4 to {N - 3} of the reference and 2 to {N - 5}" in told
