"""A file that is given where another kind is expected is named for what it is; ones that lie in dataset/, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clips import Clips
from trainable import LABELS, Trainable, write_recipe

from vmaf_harness.cli import main
from vmaf_harness.recipe.file_kind import Kind, kind_of

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def names(small: Trainable, vmaf_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A recipe by its bare name, in dataset/ alone, and parameter files in the current directory."""
    shutil.copy(small.dataset, vmaf_workspace / "dataset" / "mine_dataset.py")
    here = small.dataset.parent / "here"
    here.mkdir()
    shutil.copy(small.features, here / "f.py")
    shutil.copy(small.model, here / "m.py")
    monkeypatch.chdir(here)
    return {"RECIPE": "mine_dataset.py", "FEATURES": "f.py", "PARAMETERS": "m.py"}


@pytest.mark.parametrize(
    ("command", "order", "said"),
    [
        ("train", "FEATURES RECIPE PARAMETERS", "f.py: is a file of features (it has feature_dict), not a recipe"),
        ("train", "RECIPE PARAMETERS FEATURES", "m.py: is a file of model parameters (it has model_"),
        ("train", "PARAMETERS FEATURES RECIPE", "m.py: is a file of model parameters (it has model_"),
        ("train", "RECIPE FEATURES RECIPE", "mine_dataset.py: is a recipe (it has "),
        ("tune", "FEATURES RECIPE PARAMETERS", "f.py: is a file of features (it has feature_dict), not a recipe"),
        (
            "cross-validate",
            "FEATURES RECIPE PARAMETERS",
            "f.py: is a file of features (it has feature_dict), not a rec",
        ),
        ("extract", "FEATURES RECIPE", "f.py: is a file of features (it has feature_dict), not a recipe"),
    ],
)
def test_swapped_files_are_named_for_what_they_are(
    command: str, order: str, said: str, names: dict[str, str], capsys: Printed
) -> None:
    words = [names[each] for each in order.split()] + (["new"] if command in ("train", "tune") else [])
    assert main([command, *words]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    takes = {"train": " MODEL_PARAM MODEL", "tune": " MODEL_PARAM PARAM", "cross-validate": " MODEL_PARAM"}
    assert printed.rstrip().endswith(f"; give RECIPE FEATURE_PARAM{takes.get(command, '')}")


@pytest.mark.parametrize("command", [("test",), ("encode",), ("report", "--dataset"), ("bd-rate",), ("train",)])
def test_a_video_in_place_of_a_recipe_is_called_one_and_what_makes_a_recipe_is_named(
    command: tuple[str, ...], names: dict[str, str], clips: Clips, capsys: Printed
) -> None:
    rest = {"encode": ["out"], "train": ["f.py", "m.py", "new"]}.get(command[0], [])
    assert main([*command, str(clips.mp4("x264")), *rest]) == 1
    said = capsys.readouterr().err
    assert f"{clips.mp4('x264')}: is a video, not a recipe; " in said
    assert "new-dataset DIR` writes a recipe" in said


@pytest.mark.parametrize("name", ["f.py", "m.py"])
def test_a_parameter_file_in_place_of_a_model_is_called_one(name: str, names: dict[str, str], capsys: Printed) -> None:
    assert main(["test", names["RECIPE"], "--vmaf-model", name]) == 1
    assert f"{name} is a file of " in capsys.readouterr().err


def test_a_recipe_in_place_of_a_quality_type_is_no_list_of_types(names: dict[str, str], capsys: Printed) -> None:
    assert main(["test", names["RECIPE"], "VMAF"]) == 2
    assert "'mine_dataset.py' is no quality type, such as VMAF; the recipe comes after it" in capsys.readouterr().err


def test_a_ladder_without_labels_says_what_labels_it(small: Trainable, capsys: Printed) -> None:
    write_recipe(small.dataset, (None,) * 12)
    assert main(["train", *small.inputs, "new"]) == 1
    assert "--label-with version=vmaf_v0.6.1 labels its encodes" in capsys.readouterr().err
    write_recipe(small.dataset, (None, *LABELS[1:]))
    assert main(["train", *small.inputs, "new"]) == 1
    assert "--label-with" not in capsys.readouterr().err


def test_what_is_no_file_that_anybody_gives_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.txt").write_text("feature_dict = {}\n")
    assert kind_of(tmp_path / "a.py") is None
    assert kind_of(tmp_path / "b.txt") is None
    assert kind_of(tmp_path / "absent.py") is None
    assert kind_of(tmp_path) == (Kind.DIRECTORY, "")


def test_a_broken_recipe_is_a_recipe_still(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("dataset_name = 'a'\ndis_videos = [\n")
    assert kind_of(tmp_path / "a.py") == (Kind.RECIPE, "it has dis_videos")
