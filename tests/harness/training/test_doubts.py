"""What is said of a dataset that is probably wrong, by the commands that train and test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trainable import LABELS, Trainable, write_model, write_recipe

from vmaf_harness.script import run_testing, run_vmaf_cross_validation, run_vmaf_training
from vmaf_harness.training.doubts import clip_doubt, residual_doubt, scale_doubt, score_direction_doubt

Said = Callable[..., str]


@pytest.fixture
def said(small: Trainable, capsys: pytest.CaptureFixture[str]) -> Said:
    """What training, or another command, says on stderr; its exit code is as expected."""

    def run(command: str = "train", code: int = 0) -> str:
        capsys.readouterr()
        if command == "train":
            found = run_vmaf_training.main([*small.inputs, "m", "--cache-result", "--suppress-plot", "--overwrite"])
        elif command == "cross-validate":
            flags = ("--leave-one-source-out", "--cache-result", "--suppress-plot")
            found = run_vmaf_cross_validation.main([*small.inputs, *flags])
        else:
            found = run_testing.main(["VMAF", str(small.dataset), "--cache-result", "--suppress-plot"])
        assert found == code
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("command", ["train", "cross-validate", "test"])
def test_nothing_is_doubted_of_a_sound_dataset(command: str, said: Said) -> None:
    assert "?" not in said(command)


@pytest.mark.parametrize("command", ["train", "cross-validate"])
def test_a_video_that_is_listed_twice_is_named(command: str, small: Trainable, said: Said) -> None:
    first, second, _ = small.videos(0)
    shutil.copy(first, second)
    assert "asset 0 (0_24.mp4), asset 1 (0_33.mp4) are the same video, labelled 95, 88: which label" in said(command)
    write_recipe(small.dataset, labels=(LABELS[0], *LABELS[:1], *LABELS[2:]))
    assert "asset 0 (0_24.mp4), asset 1 (0_33.mp4) are the same video, which counts 2 times" in said(command)


def test_one_video_compared_at_two_sizes_or_from_two_frames_is_no_doubt(small: Trainable, said: Said) -> None:
    first, second, _ = small.videos(0)
    shutil.copy(first, second)
    text = small.dataset.read_text()
    small.dataset.write_text(re.sub(r"('path': '0_33.mp4')", r"\1, 'start_frame': 1", text))
    assert "same video" not in said("train")


@pytest.mark.parametrize("command", ["train", "cross-validate"])
def test_a_reference_that_is_listed_as_its_own_encode_is_named(command: str, small: Trainable, said: Said) -> None:
    shutil.copy(small.directory / "3.mp4", small.videos(3)[0])
    assert "asset 6 (3_24.mp4): a reference, listed as an encode of itself" in said(command)


def test_labels_of_a_shorter_scale_than_score_clip_are_doubted(small: Trainable, said: Said) -> None:
    write_recipe(small.dataset, labels=tuple(1 + label / 25 for label in LABELS))
    assert "labels lie within 1.8..4.84, score_clip is 0..100: is it meant?" in said()
    assert "labels lie within 1.8..4.84, scores within " in said("test")
    write_model(small.model, score_clip=[1.0, 5.0])
    assert "score_clip" not in said()


def test_of_many_clips_of_one_content_some_tell() -> None:
    many = 100_000  # all of their pairs would take an hour
    falling = [float(-row) for row in range(many)]
    assert "fall" in str(score_direction_doubt([0] * many, falling, [float(row) for row in range(many)]))
    assert score_direction_doubt([0] * many, falling, falling) is None


@pytest.mark.parametrize("command", ["train", "cross-validate", "test"])
def test_labels_that_fall_as_quality_rises_are_doubted(command: str, small: Trainable, said: Said) -> None:
    write_recipe(small.dataset, labels=tuple(100 - label for label in LABELS))
    assert "labels fall as quality rises" in said(command)


def test_a_content_that_lies_far_from_the_others_is_named(small: Trainable, said: Said) -> None:
    shutil.copy(small.directory / "0.mp4", small.directory / "7.mp4")  # a reference of another content
    assert "content 7 (7) is off by " in said()


def test_a_label_far_outside_score_clip_ends_before_anything_is_made(
    small: Trainable, said: Said, vmaf_workspace: Path
) -> None:
    write_recipe(small.dataset, labels=tuple(label - 80 for label in LABELS))
    below = sum(label < 80 for label in LABELS)
    expected = f"{below} of 12 labels are outside score_clip [0, 100]: they go from -60 to 16"
    for command in ("train", "cross-validate"):
        assert expected in said(command, 1)
    assert not list((vmaf_workspace / "model").glob("m.*"))
    write_recipe(small.dataset, labels=(*LABELS[:-1], 102.0))  # as a DMOS may be: the encode was preferred
    assert "1 of 12 labels are outside score_clip" in said()


def test_the_doubts_leave_honest_numbers_alone() -> None:
    assert clip_doubt([92.0, 95.0], (0.0, 100.0)) is None
    assert clip_doubt([0.4, 3.0], None) is None
    assert scale_doubt([2.0, 30.0], [20.0, 90.0]) is None
    assert scale_doubt([], []) is None
    names = {0: "a", 1: "b", 2: "c"}
    assert residual_doubt([0, 1, 2], names, [10.0, 50.0, 90.0], [10.1, 50.1, 90.9]) is None, "far off, and tiny"
    assert residual_doubt([0, 1], names, [10.0, 90.0], [10.1, 50.0]) is None, "of two, either may be the wrong one"
