"""`new-dataset`: which videos are encodes of which, what is marked, and that nothing that was filled in is lost."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from clips import Clips

from vmaf_harness.cli import main
from vmaf_harness.encode.draft import find_videos
from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.dataset import read_recipe, read_references
from vmaf_harness.recipe.fields import FILL_IN

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def videos(clips: Clips, tmp_path: Path) -> Path:
    """Two references, three encodes, one of them below; and what is no video."""
    directory = tmp_path / "videos"
    (directory / "encodes").mkdir(parents=True)
    for name in ("cat.mp4", "cat_crf30.mp4", "dog.mp4", "encodes/dog-low.mp4", "encodes/cat_crf40.mp4"):
        (directory / name).symlink_to(clips.mp4("reference"))
    (directory / "notes.txt").write_text("no video")
    return directory


def test_encodes_are_found_by_their_names_beside_and_below_their_references(videos: Path) -> None:
    (videos / "encodes" / "bird.mp4").symlink_to(videos / "cat.mp4")
    (videos / "cat_crf30_again.mp4").symlink_to(videos / "cat.mp4")
    (videos / "cats.mp4").symlink_to(videos / "cat.mp4")
    found = find_videos(videos)
    names = {each.reference.name: [encode.name for encode in each.encodes] for each in found.contents}
    assert names == {
        "cat.mp4": ["cat_crf30.mp4", "cat_crf30_again.mp4", "cat_crf40.mp4"],
        "cats.mp4": [],
        "dog.mp4": ["dog-low.mp4"],
    }
    assert [path.name for path in found.left_out] == ["bird.mp4"]


def test_a_draft_is_refused_by_its_marks_and_read_when_they_are_filled_in(
    videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert main(["new-dataset", str(videos), "my"]) == 0
    path = vmaf_workspace / "dataset" / "my_dataset.py"
    printed = capsys.readouterr()
    assert printed.out == f"{path}\n"
    assert "2 references, 3 encodes" in printed.err
    assert f"fill in every {FILL_IN!r} there: mos" in printed.err
    assert main(["test", "my_dataset.py"]) == 1
    err = capsys.readouterr().err
    assert re.search(r"my_dataset.py:\d+: dis_videos\[0\]\.mos: is to be filled in, as are 2 more \(mos\)", err)
    assert [each.content_name for each in read_references(path).references] == ["cat", "dog"]
    path.write_text(path.read_text().replace(repr(FILL_IN), "71.5"))
    recipe = read_recipe(path)
    assert [(a.content_id, a.groundtruth, a.distorted.path.name) for a in recipe.assets] == [
        (0, 71.5, "cat_crf30.mp4"),
        (0, 71.5, "cat_crf40.mp4"),
        (1, 71.5, "dog-low.mp4"),
    ]
    assert not recipe.warnings
    assert main(["test", "PSNR", "my_dataset.py", "--suppress-plot"]) == 0


def test_videos_below_a_recipe_move_with_it_and_others_have_their_whole_path(
    videos: Path, tmp_path: Path, vmaf_workspace: Path
) -> None:
    assert main(["new-dataset", str(videos), str(videos / "mine_dataset.py"), "--label", "none"]) == 0
    assert main(["new-dataset", str(videos), "other", "--label", "none"]) == 0
    other = vmaf_workspace / "dataset" / "other_dataset.py"
    moved = tmp_path / "moved"
    videos.rename(moved)
    paths = {each.reference.name: each.reference for each in find_videos(moved).contents}
    found = {each.content_name: each.video.path for each in read_references(moved / "mine_dataset.py").references}
    assert found == {"cat": paths["cat.mp4"], "dog": paths["dog.mp4"]}
    assert str(videos / "cat.mp4") in other.read_text()
    assert "A whole path is where that video lies now" in other.read_text()
    # VMAF's own harness executes a recipe.
    names = runpy.run_path(str(moved / "mine_dataset.py"))
    assert {Path(each["path"]) for each in names["dis_videos"]} == {
        *(moved / name for name in ("cat_crf30.mp4", "encodes/cat_crf40.mp4", "encodes/dog-low.mp4"))
    }
    assert runpy.run_path(str(other))["ref_videos"][0]["path"] == str(videos / "cat.mp4")


def test_a_recipe_that_was_filled_in_is_not_replaced_a_draft_is(
    videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert main(["new-dataset", str(videos)]) == 0
    path = vmaf_workspace / "dataset" / "videos_dataset.py"
    assert main(["new-dataset", str(videos), "--label", "none"]) == 0
    assert FILL_IN not in path.read_text().partition('"""\n')[2]
    edited = path.read_text().replace("'asset_id': 0,", "'asset_id': 0, 'dmos': 71.5,")
    path.write_text(edited)
    assert main(["new-dataset", str(videos)]) == 3
    assert "no draft that nobody has edited" in capsys.readouterr().err
    assert path.read_text() == edited


def test_of_raw_video_the_format_is_marked_and_the_size_is_that_in_its_name(
    clips: Clips, tmp_path: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    directory = tmp_path / "raw"
    directory.mkdir()
    for name in ("cat_64x48.yuv", "cat_64x48_low.yuv", "dog.yuv"):
        (directory / name).write_bytes(b"x")
    assert main(["new-dataset", str(directory)]) == 0
    assert "there: yuv_fmt, width, height, mos" in capsys.readouterr().err
    path = vmaf_workspace / "dataset" / "raw_dataset.py"
    assert "'width': 64, 'height': 48, 'quality_width': 64, 'quality_height': 48" in path.read_text()
    with pytest.raises(RecipeError, match=r"ref_videos\[0\]\.yuv_fmt: is to be filled in, as are 3 more"):
        read_references(path)


def test_a_directory_without_videos_is_said(tmp_path: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in (("empty", "there is no video in it"), ("missing", "name a directory of videos")):
        assert main(["new-dataset", str(tmp_path / name)]) == 1
        assert said in capsys.readouterr().err
    assert not (vmaf_workspace / "dataset" / "empty_dataset.py").exists()


def test_what_is_called_a_video_and_is_none_is_named_and_left_out(
    videos: Path, clips: Clips, vmaf_workspace: Path, capsys: Printed
) -> None:
    (videos / "cat_text.mp4").write_text("I am no video")
    (videos / "cat_short.mp4").write_bytes(clips.mp4("x264").read_bytes()[:500])
    (videos / "bird.y4m").write_text("nor am I")
    (videos / "bird_crf30.mp4").symlink_to(clips.mp4("x264"))
    (videos / "cat_176x144.yuv").touch()
    assert main(["new-dataset", str(videos), "my", "--label", "none"]) == 0
    said = capsys.readouterr().err.splitlines()
    for name in ("cat_text.mp4", "cat_short.mp4", "bird.y4m", "cat_176x144.yuv"):
        assert sum(line.startswith("left out: ") and str(videos / name) in line for line in said) == 1, name
    recipe = read_recipe(vmaf_workspace / "dataset" / "my_dataset.py")
    names = [asset.distorted.path.name for asset in recipe.assets]
    assert names == ["cat_crf30.mp4", "cat_crf40.mp4", "dog-low.mp4"]
    assert [each.content_name for each in read_references(recipe.path).references] == ["bird_crf30", "cat", "dog"]


def test_that_a_draft_is_replaced_is_said(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    assert main(["new-dataset", str(videos), "my"]) == 0
    assert "replaces" not in capsys.readouterr().err
    assert main(["new-dataset", str(videos), "my"]) == 0
    assert "it replaces a draft that was there, which nobody had edited\n" in capsys.readouterr().err


def test_a_directory_of_what_is_no_video_is_said(tmp_path: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    (tmp_path / "a.mp4").write_text("I am no video")
    assert main(["new-dataset", str(tmp_path), "my"]) == 1
    assert f"no reference is in it: {tmp_path / 'a.mp4'}" in capsys.readouterr().err
