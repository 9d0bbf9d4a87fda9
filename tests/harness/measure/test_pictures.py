"""Frames as pictures are those that were scored: the same ones, of the same form, paired the same way."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from clips import HEIGHT_PX, N_FRAMES, WIDTH_PX, Clips, container, ffmpeg, raw

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import EngineError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.measurement import measure
from vmaf_harness.measure.pictures import FramePicture, take_pictures

SIZE = WIDTH_PX * HEIGHT_PX


def luma(path: Path) -> npt.NDArray[np.int_]:
    """Frames of a raw 4:2:0 file, as rows of luma."""
    frames = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, SIZE * 3 // 2)
    return frames[:, :SIZE].astype(int)


def difference(picture: FramePicture) -> npt.NDArray[np.int_]:
    return np.frombuffer(picture.difference, np.uint8).astype(int)


def test_the_difference_is_that_of_the_samples_that_are_scored(
    job: Callable[..., MeasurementJob], clips: Clips
) -> None:
    ours, theirs = luma(clips.yuv("reference")), luma(clips.yuv("x264"))
    with Processes() as processes:
        taken = take_pictures(job(raw(clips.yuv("reference")), raw(clips.yuv("x264"))), [7, 2], processes)
    assert [picture.frame for picture in taken.frames] == [2, 7]
    for picture in taken.frames:
        assert (picture.width_px, picture.height_px) == (WIDTH_PX, HEIGHT_PX)
        assert (difference(picture) == abs(ours[picture.frame] - theirs[picture.frame])).all()
        assert len(picture.reference) == len(picture.distorted) == 3 * SIZE
        assert picture.reference != picture.distorted


def test_psnr_of_the_pictures_is_the_score_of_their_frames(
    job: Callable[..., MeasurementJob], clips: Clips, tmp_path: Path
) -> None:
    wanted = [0, 5, N_FRAMES - 1]
    with Processes() as processes:
        scores = measure(job(extraction_of="PSNR"), processes).frames["psnr_y"]
        taken = take_pictures(job(), wanted, processes)
    assert [picture.frame for picture in taken.frames] == wanted
    for picture in taken.frames:
        error = (difference(picture) ** 2).mean()
        assert 10 * math.log10(255**2 / error) == pytest.approx(scores[picture.frame], abs=1e-4)
        assert picture.time_s == pytest.approx(picture.frame / 29.97, abs=0.002)


def test_paired_by_time_the_reference_is_the_one_that_was_compared(
    job: Callable[..., MeasurementJob], engine: Engine, clips: Clips, tmp_path: Path
) -> None:
    half = tmp_path / "half.mkv"
    lossless = ("-c:v", "libx264", "-qp", "0", "-fps_mode", "passthrough")
    ffmpeg(engine, "-i", clips.mp4("reference"), "-vf", r"select=not(mod(n\,2))", *lossless, half)
    made = job(container(clips.mp4("reference")), container(half), pairing="time")
    with Processes() as processes:
        taken = take_pictures(made, [1, 3], processes)
    assert [difference(picture).max() for picture in taken.frames] == [0, 0]
    assert [picture.reference == picture.distorted for picture in taken.frames] == [True, True]


def test_a_cut_is_the_first_frame_of_a_scene(
    job: Callable[..., MeasurementJob], engine: Engine, clips: Clips, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mkv"
    graph = f"[0:v]trim=end_frame=4,setsar=1[a];color=white:s={WIDTH_PX}x{HEIGHT_PX}:r=30000/1001:d=0.2[b];[a][b]concat"
    ffmpeg(engine, "-i", clips.mp4("reference"), "-filter_complex", graph, "-c:v", "libx264", "-qp", "0", cut)
    with Processes() as processes:
        assert take_pictures(job(container(cut), container(cut)), [0], processes).cuts == (4,)
        assert take_pictures(job(), [0], processes).cuts == ()


def test_a_frame_that_is_not_there_is_an_error(job: Callable[..., MeasurementJob]) -> None:
    with Processes() as processes, pytest.raises(EngineError, match=f"no pictures of the frames 0, {N_FRAMES}"):
        take_pictures(job(), [N_FRAMES, 0], processes)
