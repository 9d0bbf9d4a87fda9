"""Frames within one video, as the ffmpeg that works on it has written them down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clips import N_FRAMES, Clips, recipe

from vmaf_harness.cli import main
from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes
from vmaf_harness.engine.frame_count import FILE, FrameCount, counted
from vmaf_workspace.commands import progress

Printed = pytest.CaptureFixture[str]


def test_frames_are_counted_and_half_a_video_is_half_a_thing(engine: Engine, clips: Clips, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    count = FrameCount(tmp_path)
    assert count() == (0, 0.0)
    command: list[str | Path] = [engine.path, *TO_BE_READ, "-i", clips.mp4("reference"), "-f", "null", "-"]
    with Processes() as processes:
        assert processes.run(counted(command, job, None), cwd=job, log=job / "ffmpeg.log") == 0
    assert count() == (0, 0.0)  # it has ended, and is counted by its result
    report = (job / FILE).read_text()
    (job / FILE).write_text(report.replace("progress=end", "progress=continue"))
    frames, parts = count()
    assert frames == N_FRAMES
    assert parts == pytest.approx(1.0, abs=0.1)  # by duration and rate of the file
    counted(command, job, 2 * N_FRAMES, things=4)
    (job / FILE).write_text(report.replace("progress=end", "progress=continue"))
    assert count() == (4 * N_FRAMES, 2.0)
    for left in job.iterdir():
        left.unlink()
    assert count() == (0, 0.0)


def test_frames_are_counted_of_what_scores_and_quiet_says_nothing(
    clips: Clips, vmaf_workspace: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SUMMARY_S", 0.0)
    path = str(recipe(clips.directory, "reference.mp4", ["x264.mp4", "reference.mp4"], name="counted"))
    flags = ("--suppress-plot", "--keep-workfiles", "--processes", "1")
    assert main(["test", "PSNR", path, *flags]) == 0
    err = capsys.readouterr().err
    assert "2/2 asset" in err
    assert re.search(r"^scored: 2 in \d+ s, [\d.]+ frames/s$", err, re.M)
    (run,) = (each for each in (vmaf_workspace / "workdir").iterdir() if each.is_dir())
    assert FrameCount(run)() == (0, 0.0)
    assert main(["test", "PSNR", path, "--suppress-plot", "--cache-result"]) == 0
    capsys.readouterr()
    assert main(["test", "PSNR", path, "--suppress-plot", "--cache-result"]) == 0  # all of it stored
    assert "frames/s" not in capsys.readouterr().err
    assert main(["test", "PSNR", path, *flags, "--quiet"]) == 0
    assert "/2 asset" not in capsys.readouterr().err
