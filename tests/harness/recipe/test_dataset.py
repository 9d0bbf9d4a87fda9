from __future__ import annotations

import ast
import gc
import math
import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.dataset import read_parameters, read_recipe, read_references
from vmaf_harness.recipe.source import read_literals

HEAD = "dataset_name = 'd'\nyuv_fmt = 'yuv420p'\nwidth = 64\nheight = 48\n"
PAIR = HEAD + "ref_videos = [{'content_id': 0, 'path': 'r.yuv'}]\n"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory with the files that most recipes below name."""
    for name in ("r.yuv", "d.yuv", "e.yuv", "r.mp4", "d.mp4"):
        (tmp_path / name).write_bytes(b"0")
    return tmp_path


def write(directory: Path, text: str) -> Path:
    path = directory / "some_dataset.py"
    path.write_text(text, encoding="utf-8")
    return path


def refused(directory: Path, text: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(directory, text))
    assert str(caught.value).startswith(str(caught.value.path))
    return caught.value


# What recipes look like


def test_a_plain_recipe_becomes_assets_in_its_order(clips: Path) -> None:
    recipe = read_recipe(
        write(
            clips,
            PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 7, 'path': 'd.yuv', 'dmos': 40},\n"
            " {'content_id': 0, 'asset_id': 2, 'path': 'r.yuv', 'dmos': 100.0, 'groundtruth_std': 1.5,\n"
            " 'rebuf_indices': []}]",
        )
    )
    assert (recipe.name, recipe.label_kind, recipe.ref_score, recipe.missing) == ("d", "dmos", None, ())
    first, second = recipe.assets
    assert (first.asset_id, first.groundtruth, first.groundtruth_std) == (7, 40.0, None)
    assert (second.asset_id, second.groundtruth, second.groundtruth_std) == (2, 100.0, 1.5)
    assert first.distorted.path == clips / "d.yuv"
    assert second.distorted.path == second.reference.path == clips / "r.yuv"
    assert (first.distorted.width_px, first.distorted.height_px, first.distorted.yuv_fmt) == (64, 48, "yuv420p")
    assert (first.quality_width_px, first.quality_height_px, first.resampling_type) == (64, 48, "bicubic")
    assert first.distorted.filters == ()


@pytest.mark.parametrize(
    "path",
    [
        "'d.yuv'",
        "'d' '.yuv'",
        "name + '.yuv'",
        "root + '/d.yuv'",
        "os.path.join(root, 'd.yuv')",
        "osp.join(root, 'd.yuv')",
        "join(root, 'd.yuv')",
        "os.path.join(os.path.dirname(os.path.abspath(__file__)), 'd.yuv')",
        "f'{root}/{name}.yuv'",
        "f'{name:s}.yuv'",
        "'%s.yuv' % name",
        "'%(stem)s.yuv' % {'stem': name}",
        "'%s/%s.%s' % (root, name, 'yuv')",
        "'{}/{}.yuv'.format(root, name)",
        "'{1}.{kind}'.format(root, name, kind='yuv')",
        "template.format(name)",
        "str(name) + '.yuv'",
    ],
)
def test_paths_are_built_as_published_recipes_build_them(clips: Path, path: str) -> None:
    text = (
        f"import os\nimport os.path as osp\nfrom os.path import join\nroot = {str(clips)!r}\nname = 'd'\n"
        "template = '{}.yuv'\n__all__ = [root, name, template]\n"
    )
    recipe = read_recipe(
        write(clips, text + PAIR + f"dis_videos = [{{'content_id': 0, 'asset_id': 0, 'path': {path}}}]")
    )
    assert [os.path.normpath(asset.distorted.path) for asset in recipe.assets] == [str(clips / "d.yuv")]


def test_paths_of_the_configuration_are_asked_of_the_workspace(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clips / "res/yuv").mkdir(parents=True)
    (clips / "res/yuv/a.yuv").write_bytes(b"0")
    (clips / "ws/encode").mkdir(parents=True)
    (clips / "ws/encode/b.yuv").write_bytes(b"0")
    monkeypatch.setenv("VMAF_RESOURCE", str(clips / "res"))
    monkeypatch.setenv("VMAF_WORKSPACE", str(clips / "ws"))
    recipe = read_recipe(
        write(
            clips,
            "from vmaf.config import VmafConfig\nfrom vmaf import config\n"
            + HEAD
            + "ref_videos = [{'content_id': 0, 'path': VmafConfig.resource_path('yuv', 'a.yuv')}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': config.VmafConfig.encode_path('b.yuv')},\n"
            "  {'content_id': 0, 'asset_id': 1, 'path': VmafConfig.workspace_path('encode', 'b.yuv')},\n"
            "  {'content_id': 0, 'asset_id': 2, 'path': config.ROOT + '/res/yuv/a.yuv'}]",
        )
    )
    assert recipe.missing == ()
    assert {asset.reference.path for asset in recipe.assets} == {clips / "res/yuv/a.yuv"}
    assert [asset.distorted.path.name for asset in recipe.assets] == ["b.yuv", "b.yuv", "a.yuv"]


def test_without_a_resource_tree_the_error_keeps_its_remedy_and_gets_a_place(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMAF_RESOURCE", raising=False)
    monkeypatch.chdir(clips)
    error = refused(
        clips,
        "from vmaf.config import VmafConfig\n" + HEAD + "ref_videos = [{'content_id': 0, 'path': 'r.yuv'},\n"
        " {'content_id': 1, 'path': VmafConfig.resource_path('a')}]",
    )
    assert (error.line, error.place) == (7, "ref_videos[1].path")
    assert "VMAF_RESOURCE" in str(error)


def test_whatever_else_published_files_hold_is_read_over(clips: Path) -> None:
    recipe = read_recipe(
        write(
            clips,
            '"""A docstring."""\n__copyright__ = "someone"\nimport numpy as np\nfrom vmaf import config\n# a comment\n'
            "dataset_name: str = 'd'\nyuv_fmt = 'yuv420p'\nwidth, height = 2 * 32, 96 // 2\n"
            "common = {'content_id': 0}\n"
            "ref_videos = [{**common, 'path': 'r.yuv', 'content_name': 'x',},]\n"
            "dis_videos = [{**common, 'asset_id': 0, 'path': 'd.yuv', 'os': {'a': 1, 'b': [2, np.nan]},\n"
            "   'train_or_test': 'train'}, ]\n"
            "dis_videos += [{'content_id': 0, 'asset_id': 1, 'path': 'e.yuv', 'os': {'a': 4, 'b': -float('nan')}}]\n"
            "pass\n",
        )
    )
    first, second = recipe.assets
    assert recipe.label_kind == "os"
    assert (first.content_name, first.groundtruth, first.distorted.height_px) == ("x", None, 48)
    assert first.raw_scores is not None
    assert first.raw_scores[0] == ("a", (1.0,))
    assert first.raw_scores[1][1][0] == 2.0
    assert math.isnan(first.raw_scores[1][1][1])
    assert second.raw_scores is not None
    assert math.isnan(second.raw_scores[1][1][0])


def test_raw_scores_in_a_list_are_numbered_by_observer(clips: Path) -> None:
    recipe = read_recipe(
        write(
            clips,
            "ref_score = 5\n"
            + PAIR
            + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv', 'os': [4, [3, 5], 1.5]}]",
        )
    )
    assert recipe.assets[0].raw_scores == ((0, (4.0,)), (1, (3.0, 5.0)), (2, (1.5,)))
    assert (recipe.label_kind, recipe.ref_score) == ("os", 5.0)


# What holds for which video


def test_what_only_the_reference_says_holds_for_the_distorted_video_too(clips: Path) -> None:
    asset = read_recipe(
        write(
            clips,
            "dataset_name = 'd'\nheight = 72\n"
            "ref_videos = [{'content_id': 0, 'path': 'r.yuv', 'yuv_fmt': 'yuv422p', 'width': 176, 'height': 144,\n"
            "  'quality_width': 176, 'quality_height': 144}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'}]",
        )
    ).assets[0]
    assert (asset.reference.width_px, asset.reference.height_px) == (176, 144)
    assert (asset.distorted.width_px, asset.distorted.height_px, asset.distorted.yuv_fmt) == (176, 72, "yuv422p")


def test_a_filter_of_one_video_is_not_applied_to_the_other(clips: Path) -> None:
    asset = read_recipe(
        write(
            clips,
            PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv',\n"
            " 'select_cmd': \"'between(n,0,9)'\", 'pad_cmd': 'iw+100:ih+100:50:50', 'crop_cmd': '288:162:144:81'}]",
        )
    ).assets[0]
    assert asset.reference.filters == ()
    assert asset.distorted.filters == (
        ("crop", "288:162:144:81"),
        ("pad", "iw+100:ih+100:50:50"),
        ("select", "'between(n,0,9)'"),
    )


@pytest.mark.parametrize(
    ("dataset", "distorted", "expected"),
    [
        ("", "", (None, None, None)),
        ("start_frame = 5\nend_frame = 9\n", "", (5, 9, None)),
        ("start_frame = 5\nend_frame = 9\n", ", 'start_frame': 1, 'end_frame': 2", (5, 9, None)),
        ("start_frame = 5\nend_frame = 9\n", ", 'dis_start_frame': 0, 'dis_end_frame': 4", (0, 4, None)),
        ("end_frame = 9\n", "", (None, 9, None)),
        ("fps = 24\nduration_sec = 0.5\n", "", (0, 11, None)),
        ("fps = 29.97\nduration_sec = 10\n", "", (0, 299, None)),
        ("fps = 24\nduration_sec = 0.5\nstart_frame = 10\n", "", (10, 21, None)),
        ("fps = 24\nduration_sec = 0.5\nstart_frame = 3\nend_frame = 4\n", "", (3, 4, None)),
        ("duration_sec = 0.5\n", "", (None, None, 0.5)),
    ],
)
def test_the_frame_range_is_what_the_recipe_says_or_follows_from_the_duration(
    clips: Path, dataset: str, distorted: str, expected: tuple[Any, ...]
) -> None:
    text = dataset + PAIR + f"dis_videos = [{{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'{distorted}}}]"
    video = read_recipe(write(clips, text)).assets[0].distorted
    assert (video.start_frame, video.end_frame, video.duration_s) == expected


def test_each_side_of_a_pair_can_have_its_own_range(clips: Path) -> None:
    asset = read_recipe(
        write(
            clips,
            HEAD + "ref_videos = [{'content_id': 0, 'path': 'r.yuv', 'ref_start_frame': 8, 'ref_end_frame': 9}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv', 'start_frame': 0, 'end_frame': 1}]",
        )
    ).assets[0]
    assert (asset.reference.start_frame, asset.reference.end_frame) == (8, 9)
    assert (asset.distorted.start_frame, asset.distorted.end_frame) == (0, 1)


def test_a_container_has_its_own_size_and_needs_a_quality_size(clips: Path) -> None:
    text = (
        "dataset_name = 'd'\nyuv_fmt = 'notyuv'\n{}ref_videos = [{{'content_id': 0, 'path': 'r.mp4', 'width': 9}}]\n"
        "dis_videos = [{{'content_id': 0, 'asset_id': 0, 'path': 'd.mp4'}}]"
    )
    asset = read_recipe(write(clips, text.format("quality_width = 640\nquality_height = 360\n"))).assets[0]
    assert (asset.reference.width_px, asset.quality_width_px, asset.quality_height_px) == (None, 640, 360)
    error = refused(clips, text.format(""))
    assert (error.line, error.place) == (4, "dis_videos[0]")
    assert "quality_width" in error.problem


def test_a_raw_reference_gives_the_quality_size_for_a_container(clips: Path) -> None:
    text = PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.mp4', 'yuv_fmt': 'notyuv'}]"
    asset = read_recipe(write(clips, text)).assets[0]
    assert (asset.distorted.width_px, asset.quality_width_px, asset.quality_height_px) == (None, 64, 48)


# Files


def test_the_search_directories_come_first_and_the_recipe_s_own_last(clips: Path) -> None:
    first, second = clips / "first", clips / "second"
    for directory in (first, second):
        (directory / "yuv").mkdir(parents=True)
    (second / "yuv/d.yuv").write_bytes(b"0")
    (clips / "yuv").mkdir()
    (clips / "yuv/d.yuv").write_bytes(b"0")
    recipe = write(clips, PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'yuv/d.yuv'}]")
    found = read_recipe(recipe, search=[first, second]).assets[0]
    assert found.distorted.path == second / "yuv/d.yuv"
    assert found.reference.path == clips / "r.yuv"


def test_a_bare_name_is_a_recipe_here_else_one_of_the_search_directories(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(clips, PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'}]")
    bare = Path(written.name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert read_recipe(bare, search=[tmp_path / "none", clips]).path == written
    assert read_references(bare, search=[clips]).references[0].video.path == clips / "r.yuv"
    for path in (Path("no") / bare, here / bare):
        with pytest.raises(RecipeError, match="No such file"):
            read_recipe(path, search=[clips])
    (here / bare).write_text(written.read_text().replace("r.yuv", str(clips / "r.yuv")))
    assert read_recipe(bare, search=[clips]).path == bare


def test_a_missing_file_leaves_the_other_assets_and_says_where_it_was_looked_for(clips: Path) -> None:
    (clips / "dir.yuv").mkdir()
    recipe = read_recipe(
        write(
            clips,
            PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 4, 'path': 'gone.yuv'},\n"
            "{'content_id': 0, 'asset_id': 5, 'path': 'd.yuv'}, {'content_id': 0, 'asset_id': 6, 'path': 'dir.yuv'},\n"
            "{'content_id': 0, 'asset_id': 7, 'path': '/no/where.yuv'},\n"
            "{'content_id': 0, 'asset_id': 8, 'path': '\\ud800.yuv'},\n"
            "{'content_id': 0, 'asset_id': 9, 'path': 'https://example.org/a.mp4'}]",
        ),
        search=[clips / "elsewhere"],
    )
    assert [asset.asset_id for asset in recipe.assets] == [5]
    assert [problem.asset_id for problem in recipe.missing] == [4, 6, 7, 8, 9]
    gone, directory, absolute, _, url = (problem.message for problem in recipe.missing)
    assert gone.startswith("dis_videos[0].path: 'gone.yuv'")
    assert f"looked in {clips / 'elsewhere'}, {clips} (No such file or directory)" in gone
    assert f"looked in {clips / 'elsewhere'} (No such file or directory), {clips} (not a regular file)" in directory
    assert absolute.count("/no/where.yuv") == 1
    assert url.endswith(
        ".path: https://example.org/a.mp4: URLs are not read; download it first, and give the file's path"
    )


def test_a_missing_reference_is_the_problem_of_each_of_its_videos(clips: Path) -> None:
    recipe = read_recipe(
        write(
            clips,
            HEAD + "ref_videos = [{'content_id': 0, 'path': 'r.yuv'}, {'content_id': 1, 'path': 'gone.yuv'}]\n"
            "dis_videos = [{'content_id': 1, 'asset_id': 0, 'path': 'd.yuv'},\n"
            " {'content_id': 0, 'asset_id': 1, 'path': 'd.yuv'}, {'content_id': 1, 'asset_id': 2, 'path': 'e.yuv'}]",
        )
    )
    assert [asset.asset_id for asset in recipe.assets] == [1]
    assert [problem.asset_id for problem in recipe.missing] == [0, 2]
    assert all(problem.message.startswith("ref_videos[1].path: 'gone.yuv'") for problem in recipe.missing)


# What is refused, and where


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ("'content': 0", "dis_videos[1].content", "is content_name meant?"),
        ("'widht': 64", "dis_videos[1].widht", "is width meant?"),
        ("'width': '64'", "dis_videos[1].width", "expected a positive integer, got '64'"),
        ("'width': 0", "dis_videos[1].width", "expected a positive integer, got 0"),
        ("'width': True", "dis_videos[1].width", "expected a positive integer, got True"),
        ("'fps': -10", "dis_videos[1].fps", "expected a positive number, got -10"),
        ("'dmos': 'good'", "dis_videos[1].dmos", "expected a number, got 'good'"),
        ("'mos': 3", "dis_videos[1].mos", "dis_videos[0] is labelled with dmos"),
        ("'yuv_fmt': 'yuv411p'", "dis_videos[1].yuv_fmt", "expected one of notyuv, yuv420p"),
        ("'resampling_type': 'magic'", "dis_videos[1].resampling_type", "expected one of bilinear, bicubic, lanczos"),
        ("'rebuf_indices': [0, 4]", "dis_videos[1].rebuf_indices", "rebuffering are not supported"),
        ("'rebuf_indices': 4", "dis_videos[1].rebuf_indices", "expected a list of frame numbers, got 4"),
        ("'groundtruth_std': -1.5", "dis_videos[1].groundtruth_std", "expected a number from 0, got -1.5"),
        ("'start_frame': 5, 'end_frame': 4", "dis_videos[1]", "ends with frame 4, before its first frame 5"),
        ("'quality_width': 5, 'width': 32", "dis_videos[1]", "lacks quality_width and quality_height"),
        ("'width': 128", "dis_videos[1]", "lacks quality_width and quality_height"),
        ("'crop_cmd': '1:1,movie=secret'", "dis_videos[1].crop_cmd", "expected the arguments of one ffmpeg filter"),
        ("'os': ['high']", "dis_videos[1].os", "not 'high'"),
        ("'os': 3", "dis_videos[1].os", "expected a list of scores"),
        ("'width': 64, 'width': 64", "dis_videos[1].width", "'width' is given twice"),
        (f"'dmos': {'9' * 400}", "dis_videos[1].dmos", "expected a number, got 999"),
        (f"'os': [1, {'9' * 400}]", "dis_videos[1].os", "expected numbers (None or NaN"),
        (f"'width': {'9' * 20}", "dis_videos[1].width", "expected a positive integer, got 999"),
        (f"'start_frame': {'9' * 20}", "dis_videos[1].start_frame", "expected an integer from 0, got 999"),
        ("'fps': 1e200, 'duration_sec': 1e200", "dis_videos[1]", "lasts 1e+200 s at 1e+200 frames a second"),
    ],
)
def test_a_field_that_is_not_understood_is_named_with_its_place(
    clips: Path, fields: str, place: str, said: str
) -> None:
    error = refused(
        clips,
        PAIR + "dis_videos = [\n {'content_id': 0, 'asset_id': 0, 'path': 'd.yuv', 'dmos': 1},\n"
        f" {{'content_id': 0, 'asset_id': 1, 'path': 'd.yuv',\n  {fields}}},\n]",
    )
    assert (error.place, said in error.problem) == (place, True), error
    assert error.line == (9 if place.count(".") else 8), error


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (
            "dataset_name = 'd\\ud800'\n" + PAIR.partition("\n")[2] + "dis_videos = []",
            "dataset_name",
            "expected a name without slashes",
        ),
        (
            HEAD + f"ref_videos = [{{'content_id': {'9' * 300}, 'path': 'r.yuv'}}]\ndis_videos = []",
            "ref_videos[0].content_id",
            "expected an integer, got 999",
        ),
        (PAIR, None, "lacks dis_videos"),
        (PAIR + "dis_videos = []", "dis_videos", "is empty"),
        (PAIR + "dis_videos = 3", "dis_videos", "expected a list of dictionaries, got 3"),
        (PAIR + "dis_videos = ['d.yuv']", "dis_videos[0]", "expected a dictionary, got 'd.yuv'"),
        (PAIR + "dis_videos = [{'content_id': 0, 'path': 'd.yuv'}]", "dis_videos[0]", "lacks asset_id"),
        (
            PAIR + "dis_videos = [{'content_id': 3, 'asset_id': 0, 'path': 'd.yuv'}]",
            "dis_videos[0].content_id",
            "no ref_video has content_id 3",
        ),
        (
            PAIR + "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'},\n"
            "{'content_id': 0, 'asset_id': 0, 'path': 'e.yuv'}]",
            "dis_videos[1].asset_id",
            "0 is that of dis_videos[0], too",
        ),
        (
            HEAD + "ref_videos = [{'content_id': 0, 'path': 'r.yuv'}, {'content_id': 0, 'path': 'd.yuv'}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'}]",
            "ref_videos[1].content_id",
            "0 is that of ref_videos[0], too",
        ),
        (
            "dataset_name = 'd'\nref_videos = [{'content_id': 0, 'path': 'r.yuv'}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv', 'yuv_fmt': 'yuv420p'}]",
            "ref_videos[0]",
            "lacks yuv_fmt",
        ),
        (
            "dataset_name = 'd'\nyuv_fmt = 'yuv420p'\nwidth = 64\nref_videos = [{'content_id': 0, 'path': 'r.yuv'}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv'}]",
            "dis_videos[0]",
            "lacks height",
        ),
        (PAIR + "dis_videos = []\nqualtiy_width = 3", "qualtiy_width", "is quality_width meant?"),
        ("dataset_name = '../../model'\nref_videos = []\ndis_videos = []", "dataset_name", "without slashes"),
        ("dataset_name = '.hidden'\nref_videos = []\ndis_videos = []", "dataset_name", "without a leading dot"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_its_place(
    clips: Path, text: str, place: str | None, said: str
) -> None:
    error = refused(clips, text)
    assert (error.place, said in error.problem) == (place, True), error
    assert (error.line is None) == (place is None)


@pytest.mark.parametrize(
    "code",
    [
        "os.system('touch executed')",
        "__import__('os').system('touch executed')",
        "open('executed', 'w')",
        'exec(\'open("executed", "w")\')',
        "getattr(os, 'system')('touch executed')",
        "(lambda: open('executed', 'w'))()",
        "[open('executed', 'w') for _ in (1,)]",
        "f\"{open('executed', 'w')}\"",
        "'{0.__class__}'.format(1)",
        "'{a[0]}'.format(a='x')",
        "'{:{}}'.format(1, 5)",
        "'%*d' % (9, 9)",
        "'%999999999d' % 9",
        "'{:999999999}'.format(9)",
        "f'{9:999999999}'",
        "'a' * 999999999",
        "[0] * 999999999",
        "9 ** 9 ** 9",
        "1 << 999999999",
        "os.environ['HOME']",
        "os.getcwd()",
        "os.path.join('a', 1)",
        "os.path.join(*['a'])",
        "undefined",
        "1 if True else 2",
        "1 / 0",
        "b'bytes'",
        "...",
        "3j",
        "str([1])",
        "VmafConfig.unknown_path()",
        "(x := 3)",
    ],
)
def test_nothing_is_executed(clips: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    before = sorted(os.listdir(clips))
    error = refused(
        clips, "import os\nfrom vmaf.config import VmafConfig\n" + HEAD + f"ref_videos = [{{'path': {code}}}]\n"
    )
    assert (error.line, error.place) == (7, "ref_videos[0].path"), error
    assert sorted(os.listdir(clips)) == sorted([*before, "some_dataset.py"])


@pytest.mark.parametrize(
    "statement",
    [
        "for x in (1, 2): y = x",
        "while True: pass",
        "if True: x = 1",
        "def f(): pass",
        "class C: pass",
        "with open('executed') as f: pass",
        "import os\nos.system('touch executed')",
        "from os import *",
        "del dataset_name",
        "assert True",
        "try: x = 1\nexcept Exception: pass",
        "dis_videos.append(1)",
        "a[0] = 1",
        "a.b = 1",
        "a, b = 1",
        "a, *b = (1, 2)",
        "raise SystemExit",
        "1 + 1",
        "@f\ndef g(): pass",
    ],
)
def test_a_statement_that_would_have_to_be_executed_is_refused_with_its_line(clips: Path, statement: str) -> None:
    error = refused(clips, HEAD + statement)
    assert error.line is not None
    assert error.line >= 5


def test_a_call_that_is_refused_is_named(clips: Path) -> None:
    error = refused(clips, "import os\nx = os.system('touch executed')\n")
    assert str(error).startswith(f"{clips / 'some_dataset.py'}:2: x: calls os.system()")


def test_text_that_doubles_line_by_line_is_refused_before_it_fills_the_memory(clips: Path) -> None:
    for first, again in (
        ("'xxxxxxxx'", "a + a"),
        ("[0]", "a + a"),
        ("[0]", "[*a, *a]"),
        ("9", "a * a"),
        ("'x'", "f'{a}{a}'"),
    ):
        error = refused(clips, f"a = {first}\n" + f"a = {again}\n" * 60)
        assert "grows beyond any recipe" in str(error)


@pytest.mark.parametrize(
    "statement",
    [
        "x = {N: 1, N: 2}",
        "x = {N: [open('x')]}",
        "x = [N][0]",
        "x = os.path.join('a', N)",
        "x = open(N)",
        "x = f'{N:d}'",
        "x = '%s' % N",
        "x = ref_videos + [{'path': -N}]",
        "dis_videos[N]['path'] = 'x'",
    ],
)
@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0b" + "1_" * 20000 + "1", "0O" + "7" * 9000])
def test_a_number_that_python_cannot_write_is_named_with_its_line(clips: Path, statement: str, number: str) -> None:
    error = refused(clips, PAIR + "import os\n# 0x" + "f" * 5000 + "\n" + statement.replace("N", number))
    assert "a number of thousands of digits" in str(error)
    assert error.line == PAIR.count("\n") + 3


def test_a_list_that_holds_itself_twice_over_and_over_is_refused_at_once(clips: Path) -> None:
    error = refused(clips, PAIR + "a = [0]\n" + "a = [a, a]\n" * 60 + "dis_videos = [{'crf': a}, a]\n")
    assert error.place == "dis_videos[0]"


def test_the_garbage_collector_is_left_as_it_was(clips: Path) -> None:
    refused(clips, "dis_videos = 1 + ")
    assert gc.isenabled()
    gc.disable()
    try:
        refused(clips, "dis_videos = 1 + ")
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "source",
    [
        b"a = (",
        b"print 'python 2'",
        b"a = 1\0",
        b"\xff\xfe",
        b"a = " + b"(" * 5000,
        b"a = " + b"-" * 9000 + b"1",
        b"  a = 1",
    ],
)
def test_a_file_that_is_not_python_is_refused_by_name(tmp_path: Path, source: bytes) -> None:
    path = tmp_path / "x_dataset.py"
    path.write_bytes(source)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


def test_a_recipe_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "gone_dataset.py", tmp_path):
        with pytest.raises(RecipeError) as caught:
            read_recipe(path)
        assert caught.value.path == path


# Parameter files


def test_parameters_are_read_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "p.py"
    path.write_text(
        "features = ['adm2', 'motion2']\nfeature_dict = {'VMAF_feature': features}\nmodel_param_dict = {'C': 4.0}\n"
    )
    names = frozenset({"feature_dict", "model_param_dict", "model_type"})
    assert read_parameters(path, names) == {
        "feature_dict": {"VMAF_feature": ["adm2", "motion2"]},
        "model_param_dict": {"C": 4.0},
    }
    with pytest.raises(RecipeError, match="model_param_dict: is not a supported field"):
        read_parameters(path, frozenset({"feature_dict"}))


# Round trips

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
)
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters), inner)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=trees)
def test_a_value_written_as_python_is_read_back(tmp_path: Path, value: object) -> None:
    path = tmp_path / "v.py"
    path.write_text(f"from math import inf\nvalue = {value!r}\n", encoding="utf-8")
    assert read_literals(path).values["value"] == value


videos = st.fixed_dictionaries(
    {"path": st.sampled_from(["d.yuv", "e.yuv", "r.yuv"])},
    optional={
        "dmos": st.floats(0, 100),
        "fps": st.sampled_from([24, 25, 29.97, 60]),
        "start_frame": st.integers(0, 5),
        "end_frame": st.integers(5, 9),
        "crop_cmd": st.just("2:2:0:0"),
        "resampling_type": st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(given_videos=st.lists(videos, min_size=1, max_size=6))
def test_every_field_written_into_a_recipe_arrives_in_its_asset(
    clips: Path, given_videos: list[dict[str, Any]]
) -> None:
    distorted = [{"content_id": 0, "asset_id": index, **video} for index, video in enumerate(given_videos)]
    recipe = read_recipe(write(clips, PAIR + f"dis_videos = {distorted!r}\n"))
    assert len(recipe.assets) == len(distorted)
    for asset, video in zip(recipe.assets, distorted, strict=True):
        assert asset.asset_id == video["asset_id"]
        assert asset.distorted.path == clips / video["path"]
        assert asset.groundtruth == video.get("dmos")
        assert asset.distorted.fps == video.get("fps")
        assert asset.distorted.start_frame == video.get("start_frame")
        assert asset.distorted.end_frame == video.get("end_frame")
        assert asset.distorted.filters == ((("crop", "2:2:0:0"),) if "crop_cmd" in video else ())
        assert asset.resampling_type == video.get("resampling_type", "bicubic")


# Random programs: whatever they are made of, reading one either gives plain data or an error, and calls nothing.

names = st.sampled_from(["spy", "os", "a", "open", "__builtins__", "VmafConfig", "float", "str"])
nodes: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["1", "'x'", "None", "2.5", "[]", "{}"]) | names,
    lambda inner: st.one_of(
        st.builds("{}({})".format, inner, inner),
        st.builds("{}.spy({})".format, inner, inner),
        st.builds("{}.__class__".format, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} % {})".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}}}".format, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("os.path.join({}, {})".format, inner, inner),
        st.builds("'{{}}'.format({})".format, inner),
        st.builds("(lambda: {})()".format, inner),
        st.builds("({} if {} else 1)".format, inner, inner),
        st.builds("[{} for a in {}]".format, inner, inner),
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(expression=nodes)
def test_a_random_expression_is_plain_data_or_an_error(tmp_path: Path, expression: str) -> None:
    path = tmp_path / "fuzz.py"
    path.write_text(f"import os\nfrom builtins import open as spy\na = 'a'\nvalue = {expression}\n", encoding="utf-8")
    try:
        value = read_literals(path).values["value"]
    except RecipeError:
        return
    assert_plain(value)
    allowed = ("os.path.join(", "'{}'.format(", "float(", "str(")
    for call in (node for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Call)):
        assert ast.unparse(call).startswith(allowed)


def assert_plain(value: object) -> None:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or type(value) in (str, int, float, bool)


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=rf"my_dataset\.py: is not there; looked in {tmp_path}, {tmp_path}/dataset;"):
        read_recipe(Path("my_dataset.py"), search=[tmp_path / "dataset"])
    (tmp_path / "dataset").mkdir(exist_ok=True)
    (tmp_path / "dataset" / "mine_dataset.py").write_text("dataset_name = 'mine'")
    for name in ("mine", "mine.py"):
        with pytest.raises(RecipeError, match=r"; is mine_dataset\.py meant\?"):
            read_recipe(Path(name), search=[tmp_path / "dataset"])


@pytest.mark.parametrize("read", [read_recipe, lambda path: read_parameters(path, frozenset({"feature_dict"}))])
def test_a_path_with_a_slip_in_its_name_is_answered_with_the_nearest_file_there(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ladder_dataset.py", "features.py", "ladder_dataset.csv"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    for slip in (Path("lader_dataset.py"), tmp_path / "lader_dataset.py", tmp_path / "ladder", tmp_path / "ladder.py"):
        with pytest.raises(RecipeError, match=r"; is ladder_dataset\.py meant\?"):
            read(slip)
    for other in (tmp_path / "zzz.py", tmp_path / "no" / "ladder_dataset.py"):
        with pytest.raises(RecipeError, match="name a file that can be read"):
            read(other)
