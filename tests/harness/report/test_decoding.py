"""How fast a video decodes, in seconds of the processor."""

from __future__ import annotations

from pathlib import Path

from clips import Clips, container, ffmpeg
from ladders import Laddered

from vmaf_harness.engine.binary import Engine
from vmaf_harness.report.contents import Asked, read_report
from vmaf_harness.report.decoding import LEAST_FRAMES, MOST_FRAMES, decode_all, frames_of_each


def test_larger_pictures_decode_slower(engine: Engine, tmp_path: Path) -> None:
    for name, size in (("small", "176x144"), ("large", "1280x720")):
        source = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=4")
        ffmpeg(engine, *source, "-c:v", "libx264", "-preset", "ultrafast", tmp_path / f"{name}.mp4")
    found = decode_all({n: container(tmp_path / f"{name}.mp4") for n, name in enumerate(("small", "large"))}, tmp_path)
    small, large = found[0], found[1]
    assert small is not None
    assert large is not None
    assert small > 2 * large > 0
    assert large == float(f"{large:.2g}"), "no digits that nobody knows"


def test_a_stream_without_a_container_is_decoded_once(engine: Engine, clips: Clips, tmp_path: Path) -> None:
    ffmpeg(engine, "-i", clips.mp4("x264"), "-c", "copy", tmp_path / "s.264")
    assert decode_all({0: container(tmp_path / "s.264")}, tmp_path)[0]


def test_what_cannot_be_decoded_has_no_speed_and_the_next_one_has(clips: Clips, tmp_path: Path) -> None:
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"no video")
    found = decode_all({0: container(broken), 1: container(clips.mp4("x264")), 2: container(broken)}, tmp_path)
    assert found[0] is found[2] is None
    assert found[1]


def test_many_videos_are_decoded_in_part() -> None:
    assert frames_of_each(0) == frames_of_each(1) == MOST_FRAMES
    assert frames_of_each(500) == LEAST_FRAMES
    assert LEAST_FRAMES < frames_of_each(100) < MOST_FRAMES


def test_nothing_is_decoded_without_clips(laddered: Laddered) -> None:
    told: list[int] = []
    asked = Asked(dataset=laddered.recipe, clips=0)
    found = read_report(laddered.workspace, asked, warn=print, told=lambda done, _: told.append(done))
    assert found.ladder is not None
    assert {encode.decode_fps for encode in found.ladder.encodes} == {None}
    assert told == []
    found = read_report(laddered.workspace, Asked(dataset=laddered.recipe, clips=1), warn=print)
    assert found.ladder is not None
    assert all(encode.decode_fps for encode in found.ladder.encodes), "also of those that are not shown"
