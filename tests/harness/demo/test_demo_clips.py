"""The demo's clips: its own, or given ones of any length."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from clips import ffmpeg

from vmaf_harness.demo.clips import FRAMES, OWN, choose_clips, references_text
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.dataset import read_references


def video(engine: Engine, path: Path, n_frames: int) -> Path:
    source = f"testsrc2=s=96x80:r=25:d={n_frames / 25}"
    ffmpeg(engine, "-f", "lavfi", "-i", source, "-c:v", "libx264", "-qp", "20", path)
    return path


def test_clips_of_any_length_are_taken_for_as_long_as_they_are(engine: Engine, tmp_path: Path) -> None:
    lengths = {"it's a.mp4": 1, "b.mp4": 7, "c.mp4": FRAMES + 12}
    given = [video(engine, tmp_path / name, n) for name, n in lengths.items()]
    recipe = tmp_path / "r_dataset.py"
    recipe.write_text(references_text(choose_clips(given)))
    read = read_references(recipe)
    assert read.warnings == read.missing == ()
    assert [reference.video.path for reference in read.references] == given
    assert [reference.video.end_frame for reference in read.references] == [0, 6, FRAMES - 1]
    assert [reference.content_name for reference in read.references] == ["it's a", "b", "c"]


def test_one_text_may_name_all_clips(engine: Engine, tmp_path: Path) -> None:
    given = [video(engine, tmp_path / name, 2) for name in ("a b.mp4", "b.mp4", "c.mp4")]
    assert [clip.path for clip in choose_clips([Path(shlex.join(map(str, given)))])] == list(map(str, given))


def test_a_clip_that_cannot_be_decoded_is_named_before_anything_is_made(engine: Engine, tmp_path: Path) -> None:
    given = [video(engine, tmp_path / f"{n}.mp4", 3) for n in range(2)]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(HarnessError, match=r"broken\.mp4"):
        choose_clips([*given, tmp_path / "broken.mp4"])


def test_two_clips_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="give three"):
        choose_clips([tmp_path / "a.mp4", tmp_path / "b.mp4"])


def test_its_own_clips_are_named() -> None:
    assert [clip.name for clip in choose_clips()] == list(OWN)
