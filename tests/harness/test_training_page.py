"""`docs/training.md` does what it says: ``python tests/harness/test_training_page.py --write`` writes its output."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))
from pages import files, played
from scenes import videos

from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.model.model_param import MODEL_TYPES, NORM_TYPES, read_model_param
from vmaf_harness.recipe.dataset import read_recipe

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def written(text: str) -> str:
    return played(text, {"videos": videos})


@pytest.mark.slow
def test_commands_of_the_page_print_what_it_shows() -> None:
    text = PAGE.read_text()
    assert written(text) == text, "write it again: --write"


def test_files_of_the_page_are_whole(tmp_path: Path) -> None:
    shown = files(PAGE.read_text())
    for name, content in shown.items():
        (tmp_path / name).write_text(content)
    assert shown.keys() == {"my_dataset.py", "features.py", "model.py", "my_references.py"}
    assert len(read_recipe(tmp_path / "my_dataset.py").missing) == 12  # the videos are not here
    assert len(read_feature_param(tmp_path / "features.py").feature_names) == 6
    assert read_model_param(tmp_path / "model.py").svr["C"] == 4.0


def test_every_kind_of_model_and_of_scaling_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name in (*MODEL_TYPES, *NORM_TYPES):
        assert f"`{name}`" in text, name


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(written(PAGE.read_text()))
