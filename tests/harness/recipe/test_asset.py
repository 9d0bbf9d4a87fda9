from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.asset import RAW_FORMATS, Asset, Video, check_asset, frame_bytes, frame_count


def raw(path: Path, frames: float, *, width: int = 6, height: int = 4, fmt: str = "yuv420p") -> Video:
    path.write_bytes(b"\x01" * int(frames * frame_bytes(fmt, width, height)))
    return Video(path=path, yuv_fmt=fmt, width_px=width, height_px=height)


def pair(reference: Video, distorted: Video) -> Asset:
    return Asset(dataset="d", content_id=0, asset_id=3, reference=reference, distorted=distorted)


def refused(asset: Asset) -> str:
    with pytest.raises(HarnessError) as caught:
        check_asset(asset)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fmt", "width", "height", "expected"),
    [
        ("yuv420p", 1920, 1080, 3_110_400),
        ("yuv420p10le", 1920, 1080, 6_220_800),
        ("yuv422p", 1920, 1080, 4_147_200),
        ("yuv444p16le", 1920, 1080, 12_441_600),
        ("yuv420p", 1, 1, 3),
        ("yuv422p", 3, 3, 9 + 2 * 6),
    ],
)
def test_a_frame_has_the_bytes_of_its_planes(fmt: str, width: int, height: int, expected: int) -> None:
    assert frame_bytes(fmt, width, height) == expected


@pytest.mark.parametrize("fmt", sorted(RAW_FORMATS))
def test_a_frame_has_the_bytes_that_ffmpeg_writes(fmt: str) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg to compare with").get_ffmpeg_exe()
    for size in ("64x48", "63x47", "1x1"):
        width, height = map(int, size.split("x"))
        source = f"color=size=64x48:rate=1:duration=1,format={fmt},scale={width}:{height}"
        arguments = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", fmt, "-frames:v", "1"]
        written = subprocess.run([*arguments, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
        assert frame_bytes(fmt, width, height) == len(written), size


def test_a_container_has_no_frame_size() -> None:
    with pytest.raises(HarnessError, match="notyuv has no fixed frame size"):
        frame_bytes("notyuv", 64, 48)


def test_the_frames_of_a_raw_file_are_counted_exactly(tmp_path: Path) -> None:
    assert frame_count(raw(tmp_path / "a.yuv", 1)) == 1
    assert frame_count(raw(tmp_path / "b.yuv", 48, width=7, height=5, fmt="yuv422p10le")) == 48


def test_8_bit_samples_that_a_recipe_calls_10_bit_are_told_by_their_values(tmp_path: Path) -> None:
    video = raw(tmp_path / "a.yuv", 1, fmt="yuv420p10le")
    video.path.write_bytes(bytes([128]) * video.path.stat().st_size)
    with pytest.raises(HarnessError, match="values above 1023"):
        frame_count(video)


def test_a_partial_last_frame_is_named_with_the_bytes_left_over(tmp_path: Path) -> None:
    video = raw(tmp_path / "cut.yuv", 2.5)
    with pytest.raises(HarnessError) as caught:
        frame_count(video)
    for part in (
        str(video.path),
        "90 bytes",
        "2 frames and 18 bytes left over",
        "yuv420p at 6×4 has 36 bytes",
        "yuv_fmt",
    ):
        assert part in str(caught.value)


def test_an_empty_file_has_no_frame(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="0 bytes are no frame"):
        frame_count(raw(tmp_path / "empty.yuv", 0))


def test_a_file_that_is_not_there_or_no_file_is_named(tmp_path: Path) -> None:
    good = raw(tmp_path / "good.yuv", 1)
    os.mkfifo(tmp_path / "fifo.yuv")
    for name, said in (("gone.yuv", "No such file"), (".", "not a regular file"), ("fifo.yuv", "not a regular file")):
        message = refused(pair(good, replace(good, path=tmp_path / name)))
        assert str(tmp_path / name) in message
        assert said in message
    container = Video(path=tmp_path / "gone.mp4", yuv_fmt="notyuv")
    assert "gone.mp4: No such file" in refused(pair(good, container))


def test_raw_video_without_a_size_is_refused(tmp_path: Path) -> None:
    good = raw(tmp_path / "good.yuv", 1)
    assert "needs its width and height" in refused(pair(good, replace(good, width_px=None)))


def test_videos_of_the_same_length_pass(tmp_path: Path) -> None:
    check_asset(pair(raw(tmp_path / "r.yuv", 10), raw(tmp_path / "d.yuv", 10, width=12, fmt="yuv444p")))


def test_videos_of_different_length_are_refused_with_both_counts(tmp_path: Path) -> None:
    message = refused(pair(raw(tmp_path / "r.yuv", 48), raw(tmp_path / "d.yuv", 10)))
    for part in ("asset 3", f"{tmp_path / 'r.yuv'} gives 48 frames", f"{tmp_path / 'd.yuv'} gives 10", "start_frame"):
        assert part in message


def test_ranges_of_the_same_length_pass_whatever_the_files_hold(tmp_path: Path) -> None:
    reference, distorted = raw(tmp_path / "r.yuv", 48), raw(tmp_path / "d.yuv", 10)
    check_asset(pair(replace(reference, start_frame=38), distorted))
    check_asset(pair(replace(reference, end_frame=9), distorted))
    check_asset(pair(replace(reference, start_frame=40, end_frame=47), replace(distorted, start_frame=0, end_frame=7)))
    assert "gives 8 frames" in refused(pair(replace(reference, start_frame=40, end_frame=47), distorted))


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [(0, 10, "0 to 10"), (10, None, "10 and later"), (9, 12, "9 to 12"), (20, 30, "20 to 30")],
)
def test_a_range_beyond_the_last_frame_is_refused(tmp_path: Path, start: int, end: int | None, wanted: str) -> None:
    video = replace(raw(tmp_path / "r.yuv", 10), start_frame=start, end_frame=end)
    message = refused(pair(video, video))
    assert f"frames {wanted} are asked for" in message
    assert "the file has 10" in message


def test_a_duration_without_a_rate_is_only_an_upper_limit(tmp_path: Path) -> None:
    reference, distorted = raw(tmp_path / "r.yuv", 48), raw(tmp_path / "d.yuv", 30)
    check_asset(pair(replace(reference, duration_s=1.0), replace(distorted, duration_s=1.0)))
    check_asset(pair(replace(reference, duration_s=5.0), replace(reference, duration_s=5.0)))
    assert "gives 48 frames" in refused(pair(replace(reference, duration_s=5.0), replace(distorted, duration_s=5.0)))


def test_the_length_of_a_container_is_left_to_the_decoder(tmp_path: Path) -> None:
    (tmp_path / "d.mp4").write_bytes(b"anything")
    container = Video(path=tmp_path / "d.mp4", yuv_fmt="notyuv")
    check_asset(pair(raw(tmp_path / "r.yuv", 10), container))
    assert "left over" in refused(pair(raw(tmp_path / "r.yuv", 1.5), container))
