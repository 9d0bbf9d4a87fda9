"""The engine is found and kept to its parent's life; what fails is shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clips import N_FRAMES, Clips, container, ffmpeg, ffmpegs_below, program, raw, wait_until

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import Processes, StoppedError, escape_option
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.command import MeasurementJob, compare, measure_command
from vmaf_harness.measure.common_form import common_form
from vmaf_harness.measure.header import read_headers
from vmaf_harness.measure.measurement import measure

ODD_NAMES = [
    b"a b",
    b"it's",
    b"a;touch X;b",
    b"$(touch X)",
    b"a:b\\c,d[e]",
    b"n\nl",
    "\u00fc\u65e5".encode(),
    b"\xff\xfe",
    b"-y",
    b"100%d",
    b"x|y",
    b" lead",
]


# Measuring


def test_the_score_is_the_one_of_ffmpegs_own_log(
    engine: Engine, clips: Clips, job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    with Processes() as processes:
        measured = measure(job(), processes)
    log = tmp_path / "own.json"
    graph = f"[0:v][1:v]libvmaf=log_fmt=json:log_path={escape_option(str(log))}"
    inputs = ("-i", clips.mp4("x264"), "-i", clips.mp4("reference"))
    ffmpeg(engine, *inputs, "-filter_complex", graph, "-f", "null", "-")
    own = json.loads(log.read_bytes())
    assert measured.n_frames == N_FRAMES
    assert measured.means["vmaf"] == pytest.approx(own["pooled_metrics"]["vmaf"]["mean"], abs=1e-6)
    assert measured.frames["vmaf"] == pytest.approx([f["metrics"]["vmaf"] for f in own["frames"]], abs=1e-6)


@pytest.mark.parametrize("encoder", ["x264", "x265", "av1"])
def test_a_container_scores_as_the_same_frames_in_a_yuv(
    clips: Clips, job: Callable[..., MeasurementJob], encoder: str
) -> None:
    with Processes() as processes:
        of_container = measure(job(distorted=container(clips.mp4(encoder))), processes)
        of_yuv = measure(job(raw(clips.yuv("reference")), raw(clips.yuv(encoder))), processes)
    assert of_container.frames == of_yuv.frames
    assert of_container.means == of_yuv.means


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names_and_nothing_else(
    clips: Clips, job: Callable[..., MeasurementJob], tmp_path: Path, name: bytes
) -> None:
    odd = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    odd.mkdir()
    (odd / "d.mp4").symlink_to(clips.mp4("x264"))
    with Processes() as processes:
        made = job(distorted=container(odd / "d.mp4"), extraction_of="PSNR")
        here = replace(made, directory=odd / "scratch", failures=odd / "failures")
        assert measure(here, processes).n_frames == N_FRAMES
    assert not list(tmp_path.rglob("X"))
    assert sorted(os.listdir(odd)) == ["d.mp4"]


@pytest.mark.parametrize("text", ["a:b", "it's", "a\\b", "a,b;c[d]", "version=x:enable_transform=true", "a b"])
def test_a_quoted_option_arrives_as_it_was(engine: Engine, tmp_path: Path, text: str) -> None:
    log = tmp_path / text
    graph = f"[0]split[a][b];[a][b]libvmaf=model=:feature=name=psnr:log_fmt=json:log_path={escape_option(str(log))}"
    ffmpeg(engine, "-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-filter_complex", graph, "-f", "null", "-")
    assert log.exists()


def test_frame_ranges_are_inclusive_and_paired_by_index(clips: Clips, job: Callable[..., MeasurementJob]) -> None:
    with Processes() as processes:
        whole = measure(job(extraction_of="PSNR"), processes)
        ranges = {"start_frame": 3, "end_frame": 7}
        part = measure(
            job(
                container(clips.mp4("reference"), **ranges),
                raw(clips.yuv("x264"), **ranges, fps=60.0),  # another rate makes no difference
                extraction_of="PSNR",
            ),
            processes,
        )
    assert part.frames["psnr_y"] == whole.frames["psnr_y"][3:8]


def test_a_duration_without_a_rate_trims_by_time(clips: Clips, job: Callable[..., MeasurementJob]) -> None:
    videos = [container(clips.mp4(name), duration_s=5 / 29.97) for name in ("reference", "x264")]
    with Processes() as processes:
        assert measure(job(*videos, extraction_of="PSNR"), processes).n_frames == 5


def test_crop_and_pad_come_before_scaling_and_other_filters_after(
    clips: Clips, job: Callable[..., MeasurementJob]
) -> None:
    filters = (("crop", "88:72:0:0"), ("pad", "iw+8:ih+8:4:4"), ("gblur", "sigma=2"))
    made = job(container(clips.mp4("reference"), filters=filters), container(clips.mp4("x264"), filters=filters))
    headers = read_headers((made.asset.reference, made.asset.distorted), made.engine)
    form = common_form(made.asset, *headers)
    for chain in (form.reference, form.distorted):
        order = [each.partition("=")[0] for each in chain]
        scaled = ["setparams", "crop", "pad", "scale", "format"]
        assert order == [*scaled, "gblur", "scale", "format", "setparams"]
    command = measure_command([compare(made, *reversed(headers))])
    graph = str(command[command.index("-filter_complex") + 1])
    assert graph.count("crop=88:72:0:0,pad=iw+8:ih+8:4:4,scale@") == 2
    with Processes() as processes:
        assert measure(made, processes).n_frames == N_FRAMES


def test_the_header_of_a_video_is_read_again_only_after_the_video_has_changed(
    clips: Clips, engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "reference.mp4"
    shutil.copyfile(clips.mp4("reference"), path)
    (first,) = read_headers([container(path)], engine.path)
    assert read_headers([container(path)], engine.path) == [first]
    ffmpeg(engine, "-i", clips.mp4("reference"), "-vf", "scale=64:48", tmp_path / "other.mp4")
    os.replace(tmp_path / "other.mp4", path)
    (second,) = read_headers([container(path)], engine.path)
    assert (first.width_px, second.width_px, second.height_px) == (first.width_px, 64, 48)
    assert first.width_px != 64


def test_both_videos_are_scaled_to_the_quality_size(
    clips: Clips, job: Callable[..., MeasurementJob], engine: Engine
) -> None:
    with Processes() as processes:
        made = job(quality_width_px=320, quality_height_px=240, resampling_type="lanczos")
        assert measure(made, processes).means["vmaf"] != measure(job(), processes).means["vmaf"]


def test_without_a_quality_size_the_reference_gives_it(
    clips: Clips, job: Callable[..., MeasurementJob], engine: Engine, tmp_path: Path
) -> None:
    small = tmp_path / "small.mp4"
    ffmpeg(engine, "-i", clips.mp4("x264"), "-vf", "scale=88:72", "-c:v", "libx264", small)
    with Processes() as processes:
        named = measure(job(distorted=container(small)), processes)
        asked = measure(job(distorted=container(small), quality_width_px=None, quality_height_px=None), processes)
    assert asked.frames == named.frames


def test_kept_work_files_are_the_frames_that_were_compared(clips: Clips, job: Callable[..., MeasurementJob]) -> None:
    made = job(extraction_of="PSNR")
    kept = replace(made, keep_workfiles=True)
    with Processes() as processes:
        measure(kept, processes)
    assert (made.directory / "reference.yuv").read_bytes() == clips.yuv("reference").read_bytes()
    assert (made.directory / "distorted.yuv").read_bytes() == clips.yuv("x264").read_bytes()


def test_scratch_goes_once_it_is_measured(job: Callable[..., MeasurementJob]) -> None:
    made = job()
    with Processes() as processes:
        measure(made, processes)
    assert not made.directory.exists()


# Frames are counted


def test_videos_of_different_length_are_an_error_with_both_counts(
    clips: Clips, job: Callable[..., MeasurementJob], engine: Engine, tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg(engine, "-i", clips.mp4("x264"), "-frames:v", "5", "-c:v", "libx264", short)
    for reference, distorted in ((clips.mp4("reference"), short), (short, clips.mp4("reference"))):
        with Processes() as processes, pytest.raises(HarnessError, match=r"\b5\b") as caught:
            measure(job(container(reference), container(distorted)), processes)
        assert str(N_FRAMES) in str(caught.value)


def test_raw_videos_of_different_length_are_an_error_with_both_counts(
    clips: Clips, job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    short = tmp_path / "short.yuv"
    short.write_bytes(clips.yuv("x264").read_bytes()[: 10 * 176 * 144 * 3 // 2])
    with Processes() as processes, pytest.raises(HarnessError, match=rf"{N_FRAMES} frames and .* gives 10"):
        measure(job(raw(clips.yuv("reference")), raw(short)), processes)


def test_a_partial_last_frame_is_an_error_before_anything_is_measured(
    clips: Clips, job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.yuv"
    torn.write_bytes(clips.yuv("x264").read_bytes()[:-7])
    with Processes() as processes, pytest.raises(HarnessError, match="11 frames and 38009 bytes left over"):
        measure(job(raw(clips.yuv("reference")), raw(torn)), processes)


def test_a_range_beyond_the_end_of_a_container_is_an_error(clips: Clips, job: Callable[..., MeasurementJob]) -> None:
    videos = [container(clips.mp4(name), end_frame=47) for name in ("reference", "x264")]
    with Processes() as processes, pytest.raises(HarnessError, match=rf"48 frames are asked for.* gives {N_FRAMES}"):
        measure(job(*videos), processes)


def test_a_range_that_begins_after_the_end_of_both_says_that_no_frame_is_left(
    clips: Clips, job: Callable[..., MeasurementJob]
) -> None:
    videos = [container(clips.mp4(name), start_frame=400) for name in ("reference", "x264")]
    with Processes() as processes, pytest.raises(HarnessError, match=r"no frame of .* is left .* start_frame"):
        measure(job(*videos), processes)


def test_pictures_too_small_for_a_quality_type_are_said_to_be_so(job: Callable[..., MeasurementJob]) -> None:
    made = job(quality_width_px=64, quality_height_px=48, extraction_of="MS_SSIM")
    with Processes() as processes, pytest.raises(EngineError, match="too small for MS-SSIM") as caught:
        measure(made, processes)
    assert "disk full" not in str(caught.value)


def test_a_log_that_was_not_written_is_an_error_although_ffmpeg_exits_0(
    engine: Engine, job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    made = job()
    silent = program("ffmpeg", tmp_path, f'"{engine.path}" "$@"; rm vmaf.json')
    missing = replace(made, engine=str(silent))
    with Processes() as processes, pytest.raises(EngineError, match="log holds no frames"):
        measure(missing, processes)


# A failure is shown


def failing_measurement(made: MeasurementJob, directory: Path, text: str) -> Path:
    """An ffmpeg that reads headers, and fails so where it is to measure."""
    return program(
        "ffmpeg", directory, f'case "$*" in *filter_complex*) ;; *) exec "{made.engine}" "$@";; esac\n{text}'
    )


def test_a_failed_engine_is_shown_with_arguments_exit_code_last_lines_and_log(
    job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    made = job()
    failing = failing_measurement(
        made, tmp_path, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i >&2; done; exit 7"
    )
    broken = replace(made, engine=str(failing))
    with Processes() as processes, pytest.raises(EngineError) as caught:
        measure(broken, processes)
    said = str(caught.value)
    assert f"{failing} -hide_banner" in said
    assert "exit code 7" in said
    assert "line 3\n" in said
    assert "line 12" in said
    assert "line 2\n" not in said
    log = Path(said.rpartition("full log: ")[2])
    assert log.read_text().startswith("line 1\n")


def test_errors_come_before_the_statistics_at_the_end_of_a_log(
    job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    text = "echo 'Error opening filter' >&2\nfor i in $(seq 20); do echo $i packets, 0 decode errors >&2; done; exit 7"
    made = job()
    failing = failing_measurement(made, tmp_path, text)
    with Processes() as processes, pytest.raises(EngineError) as caught:
        measure(replace(made, engine=str(failing)), processes)
    said = str(caught.value)
    assert "exit code 7; errors:\n  Error opening filter\nlast lines:\n  11 packets" in said
    assert "10 packets" not in said


def test_an_engine_that_reads_no_header_is_shown_with_what_it_said(
    job: Callable[..., MeasurementJob], tmp_path: Path
) -> None:
    failing = program("ffmpeg", tmp_path, "echo no such library >&2; exit 7")
    with Processes() as processes, pytest.raises(EngineError) as caught:
        measure(replace(job(), engine=str(failing)), processes)
    said = str(caught.value)
    assert f"{failing} -hide_banner" in said
    assert "exit code 7" in said
    assert "no such library" in said


def test_an_unreadable_video_is_shown_with_what_ffmpeg_said(job: Callable[..., MeasurementJob], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with Processes() as processes, pytest.raises(EngineError, match="Invalid data found"):
        measure(job(distorted=container(broken)), processes)


# No ffmpeg outlives what started it


def test_stopping_ends_what_runs_and_nothing_runs_after(tmp_path: Path) -> None:
    processes = Processes()
    began = time.monotonic()
    threading.Timer(0.2, processes.stop).start()
    with pytest.raises(StoppedError):
        processes.run(["/bin/sleep", "600"], cwd=tmp_path, log=tmp_path / "log")
    assert time.monotonic() - began < 20
    wait_until(lambda: not ffmpegs_below(tmp_path))  # the watcher, too
    with pytest.raises(StoppedError):
        processes.run(["/bin/sleep", "600"], cwd=tmp_path, log=tmp_path / "log")


def test_kill_9_of_the_parent_leaves_no_process(tmp_path: Path) -> None:
    text = (
        "import sys, threading, pathlib\n"
        "from vmaf_harness.engine.ffmpeg import Processes\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "processes = Processes()\n"
        "def run(i):\n"
        "    what = f'echo $$ > pid{i}; sleep 60 & wait'\n"
        "    processes.run(['/bin/sh', '-c', what], cwd=here, log=here / f'{i}')\n"
        "for i in range(3): threading.Thread(target=run, args=(i,)).start()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", text, tmp_path])
    try:
        wait_until(lambda: all((tmp_path / f"pid{i}").exists() for i in range(3)))
        assert len(ffmpegs_below(tmp_path)) >= 6
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not ffmpegs_below(tmp_path))
