"""What is read of a ladder: its curves, hulls and deltas, the scores of its encodes, and how each was made."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ladders import AV1, N_FRAMES, X264, Laddered, copy

from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.report.bd_rate import bd_rate
from vmaf_harness.report.ladder import Ladder, find_codec, read_ladder
from vmaf_harness.report.stored import stored_dataset
from vmaf_harness.script.options import BdRating
from vmaf_harness.script.reporting import run_bd_rate
from vmaf_harness.statistics import percentile


def read(made: Laddered, **how: Any) -> Ladder:
    scored = stored_dataset(made.workspace, made.recipe, warn=pytest.fail)
    found = read_ladder(scored, EncodeResultStore(made.workspace, warn=pytest.fail).entries(), **how)
    assert found is not None
    return found


def test_every_encode_has_its_numbers(laddered: Laddered) -> None:
    found = read(laddered)
    assert len(found.encodes) == 2 * 2 * 4 * 2
    assert found.codecs == (X264, AV1)
    assert {encode.rate for encode in found.encodes if encode.codec == X264} == {"crf24", "crf30", "crf36", "crf42"}
    assert found.score == "VMAF_V0.6.1", "the scores that the labels are, without being asked for"
    scored = stored_dataset(laddered.workspace, laddered.recipe, warn=pytest.fail)
    for encode, outcome in zip(found.encodes, scored.outcomes, strict=True):
        assert outcome.frames is not None
        frames = outcome.frames["vmaf"]
        assert encode.score == pytest.approx(encode.label, abs=1e-5)
        assert encode.perc1 == pytest.approx(percentile(frames, 1))
        assert encode.min == pytest.approx(min(frames))
        assert encode.n_frames == len(frames) == N_FRAMES
        file = laddered.workspace / "encode" / "l" / encode.file
        assert encode.size_bytes == file.stat().st_size
        assert encode.bitrate_kbps < encode.size_bytes * 8 / encode.duration_s / 1000


def test_the_command_makes_the_same_file_again(laddered: Laddered, engine: Engine, tmp_path: Path) -> None:
    found = read(laddered)
    for encode in (found.encodes[0], found.encodes[-1]):
        program, *arguments = shlex.split(encode.command)
        assert program == "ffmpeg"
        quiet = [engine.path, "-nostdin", "-v", "error"]
        subprocess.run([*quiet, *arguments], check=True, cwd=tmp_path, stdin=subprocess.DEVNULL)
        files = tmp_path / encode.file, laddered.workspace / "encode" / "l" / encode.file
        made, there = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        assert made == there


def test_hulls_are_over_all_heights_and_deltas_over_hulls(laddered: Laddered) -> None:
    found = read(laddered)
    by_id = {encode.asset_id: encode for encode in found.encodes}
    for hull in found.hulls:
        assert hull.heights_px == (72, 144)
        best = max((e for e in found.encodes if (e.content_id, e.codec) == (hull.content_id, hull.codec)), key=quality)
        assert by_id[hull.asset_ids[-1]] == best
    (of_first, *_) = found.deltas
    anchor, test = [
        [(by_id[i].bitrate_kbps, quality(by_id[i])) for i in hull.asset_ids]
        for codec in (X264, AV1)
        for hull in found.hulls
        if (hull.content_id, hull.codec) == (0, codec)
    ]
    expected = bd_rate(anchor, test)
    assert (of_first.rate_percent, of_first.quality) == (expected.rate_percent, expected.quality)
    assert of_first.over == "hull of 72p, 144p"
    assert (found.deltas[-1].content, found.deltas[-1].contents) == ("mean", 2)
    assert found.deltas[-1].rate_percent == pytest.approx(sum(d.rate_percent or 0 for d in found.deltas[:2]) / 2)


def quality(encode: Any) -> float:
    score: float = encode.score
    return score


def test_an_encode_without_a_score_is_there_without_one(laddered: Laddered) -> None:
    scored = stored_dataset(laddered.workspace, laddered.recipe, quality_type="PSNR", warn=pytest.fail)
    found = read_ladder(scored, EncodeResultStore(laddered.workspace, warn=pytest.fail).entries())
    assert found is not None
    assert {encode.score for encode in found.encodes} == {None}
    assert {str(delta.why_not).partition(":")[0] for delta in found.deltas} == {"not scored"}


def test_v1_is_the_model_that_is_meant_for_each_asset(laddered: Laddered) -> None:
    scored = stored_dataset(laddered.workspace, laddered.recipe, model="v1", warn=pytest.fail)
    assert scored.extraction.executor_id == "VMAF_V1.0.16_3d0h"
    assert [(outcome.result, outcome.error) for outcome in scored.outcomes] == [(None, None)] * 32, "none is stored"


def test_a_codec_is_found_by_its_encoder_where_there_is_one() -> None:
    codecs = ["libx264 slow", "libx264 fast", "libsvtav1 8"]
    assert find_codec("libsvtav1", codecs) == "libsvtav1 8"
    assert find_codec("libx264 fast", codecs) == "libx264 fast"
    with pytest.raises(HarnessError, match="'libx264' is of several presets; there are 'libx264 slow', 'libx264 fast'"):
        find_codec("libx264", codecs)
    with pytest.raises(HarnessError, match="'libx265' is not in this ladder; there are 'libx264 slow'"):
        find_codec("libx265", codecs)


def test_bd_rate_is_a_command(laddered: Laddered, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"dataset": laddered.recipe, "workspace": str(laddered.workspace), "anchor": "libsvtav1"}
    assert run_bd_rate(BdRating(**options, test=("libx264",), json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert [delta["test"] for delta in found["deltas"]] == [X264] * 3
    assert run_bd_rate(BdRating(**options)) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert max(map(len, rows)) <= 80
    little = [each for each in found["deltas"] if each["overlap"] is not None and each["overlap"] < 0.25]
    assert captured.err.count("says little") == len(little)
    for row, delta in zip(rows[1:], found["deltas"], strict=False):
        assert f"{delta['rate_percent']:+.2f} %" in row
    assert rows[-1].startswith(f"against {AV1}, by pchip")


def test_bd_rate_that_cannot_be_had_says_why_and_fails(laddered: Laddered, capsys: pytest.CaptureFixture[str]) -> None:
    where: dict[str, Any] = {"dataset": laddered.recipe, "workspace": str(laddered.workspace)}
    assert run_bd_rate(BdRating(**where, quality_type="SSIM")) == 1
    captured = capsys.readouterr()
    assert "not scored" in captured.out
    said = " ".join(captured.err.split())
    assert re.search(
        rf"carphone, {AV1} and 1 more: \d+ of \d+ encodes of libx264 .* have no stored score; `harness\.test", said
    )
    lone, video = laddered.references.with_name("lone_dataset.py"), str(laddered.references.with_name("bikes.mp4"))
    lone.write_text(
        "dataset_name = 'lone'\nyuv_fmt = 'notyuv'\nquality_width = 176\nquality_height = 144\n"
        f"ref_videos = [{{'content_id': 0, 'path': {video!r}}}]\n"
        f"dis_videos = [{{'content_id': 0, 'asset_id': 0, 'path': {video!r}}}]\n"
    )
    with pytest.raises(HarnessError, match="names no encode of run_encode"):
        run_bd_rate(BdRating(dataset=lone, workspace=str(laddered.workspace)))


def test_a_labelled_ladder_leaves_a_plot_of_each_content(laddered: Laddered) -> None:
    plots = sorted(path.name for path in laddered.workspace.glob("output/*/*"))
    assert [name for name in plots if name.endswith(".png")] == [f"l_VMAF_V0.6.1_rates_{n}.png" for n in (0, 1)]


def test_on_a_terminal_an_encode_and_a_test_end_with_a_table(laddered: Laddered, tmp_path: Path) -> None:
    made = copy(laddered, tmp_path)
    where = ["--workspace", str(made.workspace)]
    said = on_a_terminal("test", "VMAF", str(made.recipe), "--cache-result", "--suppress-plot", *where)
    assert re.search(r"^FILE +ASSET +CONTENT +LABEL +SCORE\s*$", said, re.M)
    assert len(re.findall(r"^(?:\S+\.mp4)? +\d+ +(?:carphone|bikes) ", said, re.M)) == 32
    rates = ["--crf", "30", "40", "--preset", "libx264=veryfast", "--codec", "libx264"]
    said = on_a_terminal("encode", str(made.references), "again", *rates, *where)
    assert re.search(r"^CONTENT +CODEC +RATE +HEIGHT +KBIT/S +SCORE +5 % +MIN\s*$", said, re.M)
    assert len(re.findall(r"^(?:carphone|bikes) +libx264 veryfast +crf[34]0 +144 +[\d.]+ +-", said, re.M)) == 4
    assert "again_dataset.py --html FILE` writes a page of it" in " ".join(said.split())


def on_a_terminal(*arguments: str) -> str:
    """What one sees who runs the console script in a terminal of 100 columns."""
    command = [str(Path(sys.executable).with_name("vmaf-harness")), *arguments]
    said, code = pexpect.run(shlex.join(command), withexitstatus=True, timeout=300, dimensions=(50, 100))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r\n", "\n").replace("\r", "\n")
    assert code == 0, text
    return text
