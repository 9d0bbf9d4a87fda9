"""Of several values of a field the one holds that VMAF's own harness takes: a table of what its reader gave.

The column `theirs` is what `read_dataset` of Netflix/vmaf (2026-08, `python/vmaf/routine.py`) made of each recipe:
for the reference and for the distorted video the format, size, frames (first-last, both taken), scaler and filters;
then the size of comparison, `workfile_yuv_type`, `fps` and the label.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.asset import Asset, Video
from vmaf_harness.recipe.dataset import Recipe, read_recipe, read_references

HEAD = "yuv_fmt = 'yuv420p'\nwidth = 64\nheight = 48\n"
SIZED = HEAD + "quality_width = 32\nquality_height = 24\n"
Row = tuple[str, str, str, str | None, float | None, float | None]


class Case(NamedTuple):
    name: str
    dataset: str
    reference: str
    distorted: str
    theirs: Row
    ours: Row | None = None
    warned: tuple[str, ...] = ()


CASES = (
    # The same in both.
    Case(
        "nothing",
        HEAD,
        "",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
    ),
    Case(
        "start_frame and end_frame",
        HEAD + "start_frame = 2\nend_frame = 7\n",
        "'start_frame': 1, 'end_frame': 3",
        "'start_frame': 12, 'end_frame': 20",
        theirs=("yuv420p 64x48 2-7 bicubic", "yuv420p 64x48 2-7 bicubic", "64x48", None, None, None),
        warned=("ref_videos[0].start_frame", "ref_videos[0].end_frame"),
    ),
    Case(
        "a range of the distorted video",
        HEAD,
        "",
        "'start_frame': 12, 'end_frame': 20",
        theirs=("yuv420p 64x48 12-20 bicubic", "yuv420p 64x48 12-20 bicubic", "64x48", None, None, None),
    ),
    Case(
        "a range of each side",
        HEAD,
        "'ref_start_frame': 8, 'ref_end_frame': 9",
        "'dis_start_frame': 0, 'dis_end_frame': 1",
        theirs=("yuv420p 64x48 8-9 bicubic", "yuv420p 64x48 0-1 bicubic", "64x48", None, None, None),
    ),
    Case(
        "a range of one side beside the dataset's",
        HEAD + "start_frame = 2\nend_frame = 7\n",
        "'ref_start_frame': 3, 'ref_end_frame': 8",
        "",
        theirs=("yuv420p 64x48 3-8 bicubic", "yuv420p 64x48 2-7 bicubic", "64x48", None, None, None),
    ),
    Case(
        "duration_sec",
        HEAD + "fps = 10\nduration_sec = 1\n",
        "",
        "'duration_sec': 0.5",
        theirs=("yuv420p 64x48 0-9 bicubic", "yuv420p 64x48 0-9 bicubic", "64x48", None, 10, None),
        warned=("dis_videos[0].duration_sec",),
    ),
    Case(
        "fps",
        HEAD + "fps = 10\nduration_sec = 1\n",
        "'fps': 50",
        "'fps': 20",
        theirs=("yuv420p 64x48 0-9 bicubic", "yuv420p 64x48 0-9 bicubic", "64x48", None, 10, None),
        warned=("ref_videos[0].fps",),
    ),
    Case(
        "duration_sec and fps of the distorted video",
        HEAD,
        "",
        "'fps': 29.97, 'duration_sec': 10",
        theirs=("yuv420p 64x48 0-299 bicubic", "yuv420p 64x48 0-299 bicubic", "64x48", None, 29.97, None),
    ),
    Case(
        "fps of both videos",
        HEAD + "duration_sec = 1\n",
        "'fps': 50",
        "'fps': 20",
        theirs=("yuv420p 64x48 0-19 bicubic", "yuv420p 64x48 0-19 bicubic", "64x48", None, 20, None),
        warned=("ref_videos[0].fps",),
    ),
    Case(
        "a range beside a duration",
        HEAD + "fps = 10\nduration_sec = 1\nstart_frame = 3\nend_frame = 4\n",
        "",
        "",
        theirs=("yuv420p 64x48 3-4 bicubic", "yuv420p 64x48 3-4 bicubic", "64x48", None, 10, None),
    ),
    Case(
        "quality size",
        SIZED,
        "'quality_width': 8, 'quality_height': 8",
        "'quality_width': 16, 'quality_height': 16",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "32x24", None, None, None),
        warned=("ref_videos[0].quality_width", "ref_videos[0].quality_height"),
    ),
    Case(
        "quality size, half of it each",
        HEAD + "quality_width = 32\n",
        "",
        "'quality_width': 16, 'quality_height': 12",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "32x12", None, None, None),
        warned=("dis_videos[0].quality_width",),
    ),
    Case(
        "quality_width alone",
        HEAD + "quality_width = 32\n",
        "",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        warned=("quality_width",),
    ),
    Case(
        "crop_cmd",
        SIZED + "crop_cmd = '32:24:0:0'\n",
        "'crop_cmd': '16:16:0:0'",
        "'crop_cmd': '8:8:0:0'",
        theirs=(
            "yuv420p 64x48 all bicubic crop=32:24:0:0",
            "yuv420p 64x48 all bicubic crop=32:24:0:0",
            "32x24",
            None,
            None,
            None,
        ),
        warned=("ref_videos[0].crop_cmd",),
    ),
    Case(
        "crop_cmd of each",
        SIZED,
        "'crop_cmd': '16:16:0:0'",
        "'crop_cmd': '8:8:0:0'",
        theirs=(
            "yuv420p 64x48 all bicubic crop=16:16:0:0",
            "yuv420p 64x48 all bicubic crop=8:8:0:0",
            "32x24",
            None,
            None,
            None,
        ),
    ),
    Case(
        "crop_cmd of one",
        SIZED,
        "",
        "'crop_cmd': '8:8:0:0'",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic crop=8:8:0:0", "32x24", None, None, None),
    ),
    Case(
        "pad_cmd",
        SIZED + "pad_cmd = 'iw+2:ih'\n",
        "",
        "'pad_cmd': 'iw+4:ih'",
        theirs=(
            "yuv420p 64x48 all bicubic pad=iw+2:ih",
            "yuv420p 64x48 all bicubic pad=iw+2:ih",
            "32x24",
            None,
            None,
            None,
        ),
        warned=("dis_videos[0].pad_cmd",),
    ),
    Case(
        "pad_cmd of the reference",
        SIZED,
        "'pad_cmd': 'iw+4:ih'",
        "",
        theirs=("yuv420p 64x48 all bicubic pad=iw+4:ih", "yuv420p 64x48 all bicubic", "32x24", None, None, None),
    ),
    Case(
        "fps_cmd",
        HEAD + "fps_cmd = '10'\n",
        "",
        "'fps_cmd': '5'",
        theirs=("yuv420p 64x48 all bicubic fps=10", "yuv420p 64x48 all bicubic fps=10", "64x48", None, None, None),
        warned=("dis_videos[0].fps_cmd",),
    ),
    Case(
        "filters in their order",
        SIZED + "fps_cmd = '10'\npad_cmd = 'iw+2:ih'\ncrop_cmd = '32:24:0:0'\n",
        "",
        "",
        theirs=(
            "yuv420p 64x48 all bicubic crop=32:24:0:0 pad=iw+2:ih fps=10",
            "yuv420p 64x48 all bicubic crop=32:24:0:0 pad=iw+2:ih fps=10",
            "32x24",
            None,
            None,
            None,
        ),
    ),
    Case(
        "resampling_type",
        HEAD + "resampling_type = 'bilinear'\n",
        "",
        "'resampling_type': 'lanczos'",
        theirs=("yuv420p 64x48 all bilinear", "yuv420p 64x48 all lanczos", "64x48", None, None, None),
        warned=("dis_videos[0].resampling_type",),
    ),
    Case(
        "resampling_type of the reference beside the dataset's",
        HEAD + "resampling_type = 'bilinear'\n",
        "'resampling_type': 'lanczos'",
        "",
        theirs=("yuv420p 64x48 all lanczos", "yuv420p 64x48 all bilinear", "64x48", None, None, None),
        warned=("dis_videos[0].resampling_type",),
    ),
    Case(
        "resampling_type of the reference",
        HEAD,
        "'resampling_type': 'lanczos'",
        "",
        theirs=("yuv420p 64x48 all lanczos", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        warned=("dis_videos[0].resampling_type",),
    ),
    Case(
        "resampling_type of the distorted video",
        HEAD,
        "",
        "'resampling_type': 'lanczos'",
        theirs=("yuv420p 64x48 all lanczos", "yuv420p 64x48 all lanczos", "64x48", None, None, None),
    ),
    Case(
        "resampling_type of each",
        HEAD,
        "'resampling_type': 'lanczos'",
        "'resampling_type': 'bilinear'",
        theirs=("yuv420p 64x48 all lanczos", "yuv420p 64x48 all bilinear", "64x48", None, None, None),
        warned=("dis_videos[0].resampling_type",),
    ),
    Case(
        "resampling_type three times",
        HEAD + "resampling_type = 'bicubic'\n",
        "'resampling_type': 'lanczos'",
        "'resampling_type': 'bilinear'",
        theirs=("yuv420p 64x48 all lanczos", "yuv420p 64x48 all bilinear", "64x48", None, None, None),
        warned=("dis_videos[0].resampling_type",),
    ),
    Case(
        "workfile_yuv_type",
        HEAD + "workfile_yuv_type = 'yuv420p'\n",
        "",
        "'workfile_yuv_type': 'yuv420p10le'",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", "yuv420p", None, None),
        warned=("dis_videos[0].workfile_yuv_type",),
    ),
    Case(
        "workfile_yuv_type of the distorted video",
        HEAD,
        "",
        "'workfile_yuv_type': 'yuv420p10le'",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", "yuv420p10le", None, None),
    ),
    Case(
        "width and height",
        SIZED,
        "'width': 16, 'height': 12",
        "'width': 8, 'height': 6",
        theirs=("yuv420p 16x12 all bicubic", "yuv420p 8x6 all bicubic", "32x24", None, None, None),
    ),
    Case(
        "width and height of the reference",
        "yuv_fmt = 'yuv420p'\n",
        "'width': 16, 'height': 12",
        "",
        theirs=("yuv420p 16x12 all bicubic", "yuv420p 16x12 all bicubic", "16x12", None, None, None),
    ),
    Case(
        "width and height of the distorted video",
        "yuv_fmt = 'yuv420p'\n",
        "",
        "'width': 16, 'height': 12",
        theirs=("yuv420p 16x12 all bicubic", "yuv420p 16x12 all bicubic", "16x12", None, None, None),
    ),
    Case(
        "width of the dataset, both of the reference",
        "yuv_fmt = 'yuv420p'\nheight = 72\nquality_width = 32\nquality_height = 24\n",
        "'width': 16, 'height': 12",
        "",
        theirs=("yuv420p 16x12 all bicubic", "yuv420p 16x72 all bicubic", "32x24", None, None, None),
    ),
    Case(
        "yuv_fmt",
        HEAD,
        "'yuv_fmt': 'yuv444p'",
        "'yuv_fmt': 'yuv422p'",
        theirs=("yuv420p 64x48 all bicubic", "yuv422p 64x48 all bicubic", "64x48", None, None, None),
        warned=("ref_videos[0].yuv_fmt",),
    ),
    Case(
        "yuv_fmt of the reference",
        "width = 64\nheight = 48\n",
        "'yuv_fmt': 'yuv444p'",
        "",
        theirs=("yuv444p 64x48 all bicubic", "yuv444p 64x48 all bicubic", "64x48", None, None, None),
    ),
    Case(
        "yuv_fmt of the distorted video",
        HEAD,
        "",
        "'yuv_fmt': 'notyuv'",
        theirs=("yuv420p 64x48 all bicubic", "notyuv ? all bicubic", "64x48", None, None, None),
    ),
    Case(
        "both from containers",
        "yuv_fmt = 'notyuv'\nquality_width = 32\nquality_height = 24\nwidth = 64\nheight = 48\n",
        "'width': 9, 'height': 9",
        "",
        theirs=("notyuv ? all bicubic", "notyuv ? all bicubic", "32x24", None, None, None),
    ),
    Case(
        "dmos beside mos and os",
        HEAD,
        "",
        "'dmos': 2.5, 'mos': 4, 'os': [1, 5]",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, 2.5),
        warned=("dis_videos[0].mos", "dis_videos[0].os"),
    ),
    Case(
        "names of one's own",
        HEAD + "note = 'hello'\n",
        "'hrc': 'a'",
        "'hrc': 'a', 'crf': 23",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        warned=("note", "ref_videos[0].hrc", "dis_videos[0].crf"),
    ),
    # What theirs ignores counts here, with a word.
    Case(
        "start_frame alone",
        HEAD + "start_frame = 5\n",
        "",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 5-None bicubic", "yuv420p 64x48 5-None bicubic", "64x48", None, None, None),
        warned=("start_frame",),
    ),
    Case(
        "end_frame alone",
        HEAD,
        "",
        "'end_frame': 5",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 None-5 bicubic", "yuv420p 64x48 None-5 bicubic", "64x48", None, None, None),
        warned=("dis_videos[0].end_frame",),
    ),
    Case(
        "ref_start_frame alone",
        HEAD,
        "'ref_start_frame': 5",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 5-None bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        warned=("ref_videos[0].ref_start_frame",),
    ),
    Case(
        "dis_end_frame alone",
        HEAD,
        "",
        "'dis_end_frame': 5",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 all bicubic", "yuv420p 64x48 None-5 bicubic", "64x48", None, None, None),
        warned=("dis_videos[0].dis_end_frame",),
    ),
    Case(
        "start_frame alone beside a duration",
        HEAD + "fps = 10\nduration_sec = 1\n",
        "",
        "'start_frame': 4",
        theirs=("yuv420p 64x48 0-9 bicubic", "yuv420p 64x48 0-9 bicubic", "64x48", None, 10, None),
        ours=("yuv420p 64x48 4-13 bicubic", "yuv420p 64x48 4-13 bicubic", "64x48", None, 10, None),
        warned=("dis_videos[0].start_frame",),
    ),
    Case(
        "a range in the reference",
        HEAD,
        "'start_frame': 2, 'end_frame': 7",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 2-7 bicubic", "yuv420p 64x48 2-7 bicubic", "64x48", None, None, None),
        warned=("ref_videos[0].start_frame", "ref_videos[0].end_frame"),
    ),
    Case(
        "fps in the reference",
        HEAD,
        "'fps': 10",
        "'duration_sec': 1",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 0-9 bicubic", "yuv420p 64x48 0-9 bicubic", "64x48", None, 10, None),
        warned=("ref_videos[0].fps",),
    ),
    Case(
        "duration_sec in the reference",
        HEAD + "fps = 10\n",
        "'duration_sec': 1",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, 10, None),
        ours=("yuv420p 64x48 0-9 bicubic", "yuv420p 64x48 0-9 bicubic", "64x48", None, 10, None),
        warned=("ref_videos[0].duration_sec",),
    ),
    Case(
        "duration_sec without fps",
        HEAD + "duration_sec = 1\n",
        "",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 all 1.0s bicubic", "yuv420p 64x48 all 1.0s bicubic", "64x48", None, None, None),
        warned=("duration_sec",),
    ),
    Case(
        "quality size in the reference",
        HEAD,
        "'quality_width': 32, 'quality_height': 24",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "32x24", None, None, None),
        warned=("ref_videos[0].quality_width", "ref_videos[0].quality_height"),
    ),
    Case(
        "workfile_yuv_type in the reference",
        HEAD,
        "'workfile_yuv_type': 'yuv444p'",
        "",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", "yuv444p", None, None),
        warned=("ref_videos[0].workfile_yuv_type",),
    ),
    Case(
        "a filter that theirs does not read",
        HEAD + "eq_cmd = 'gamma=2'\n",
        "",
        "'gblur_cmd': '2', 'lutyuv_cmd': 'y=2', 'yadif_cmd': '0', 'format_cmd': 'gray', 'select_cmd': '1'",
        theirs=("yuv420p 64x48 all bicubic", "yuv420p 64x48 all bicubic", "64x48", None, None, None),
        ours=(
            "yuv420p 64x48 all bicubic eq=gamma=2",
            "yuv420p 64x48 all bicubic gblur=2 eq=gamma=2 lutyuv=y=2 yadif=0 format=gray select=1",
            "64x48",
            None,
            None,
            None,
        ),
        warned=(
            "dis_videos[0].gblur_cmd",
            "eq_cmd",
            "dis_videos[0].lutyuv_cmd",
            "dis_videos[0].yadif_cmd",
            "dis_videos[0].format_cmd",
            "dis_videos[0].select_cmd",
        ),
    ),
)


def write(directory: Path, dataset: str, reference: str, distorted: str) -> Path:
    for name in ("r.yuv", "d.yuv", "e.yuv"):
        (directory / name).write_bytes(b"0")
    path = directory / "some_dataset.py"
    path.write_text(
        f"dataset_name = 'd'\n{dataset}ref_videos = [{{'content_id': 0, 'path': 'r.yuv', {reference}}}]\n"
        f"dis_videos = [{{'content_id': 0, 'asset_id': 0, 'path': 'd.yuv', {distorted}}}]\n",
        encoding="utf-8",
    )
    return path


def shown(video: Video, asset: Asset) -> str:
    """One side, in the words of the table."""
    size = "?" if video.width_px is None else f"{video.width_px}x{video.height_px}"
    frames = f"{video.start_frame}-{video.end_frame}"
    frames = "all" if frames == "None-None" else frames
    if video.duration_s is not None:
        frames += f" {video.duration_s}s"
    filters = [f"{name}={given}" for name, given in video.filters]
    return " ".join([video.yuv_fmt, size, frames, video.resampling_type or asset.resampling_type, *filters])


def row(recipe: Recipe) -> Row:
    (asset,) = recipe.assets
    return (
        shown(asset.reference, asset),
        shown(asset.distorted, asset),
        f"{asset.quality_width_px}x{asset.quality_height_px}",
        asset.workfile_yuv_type,
        asset.distorted.fps,
        asset.groundtruth,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recipe_means_what_it_means_to_vmafs_own_harness_or_a_warning_names_the_field(
    case: Case, tmp_path: Path
) -> None:
    recipe = read_recipe(write(tmp_path, case.dataset, case.reference, case.distorted))
    assert row(recipe) == (case.ours or case.theirs)
    assert tuple(warning.split(": ")[1] for warning in recipe.warnings) == case.warned
    assert case.warned or case.ours is None, "nothing differs without a word"


def test_a_warning_names_file_line_place_and_both_values(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "start_frame = 2\nend_frame = 7\n", "", "'start_frame': 12, 'end_frame': 7")
    assert read_recipe(path).warnings == (
        f"{path}:8: dis_videos[0].start_frame: 12 here, 2 for the dataset: the dataset's holds, as in VMAF's own "
        "harness",
    )


def test_a_warning_comes_once_a_field_and_says_of_how_many_videos(tmp_path: Path) -> None:
    path = write(tmp_path, SIZED + "fps = 10\n", "", "")
    videos = [
        {"content_id": 0, "asset_id": n, "path": "d.yuv", "fps": 20, "gblur_cmd": "2", "start_frame": 1, "mine": n}
        for n in range(3)
    ]
    path.write_text(path.read_text() + f"dis_videos = {videos}\n")
    warnings = read_recipe(path).warnings
    assert sorted(warning.split(": ")[1] for warning in warnings) == [
        f"dis_videos[0].{field}" for field in ("fps", "gblur_cmd", "mine", "start_frame")
    ]
    assert all(warning.endswith(" (3 videos)") for warning in warnings)


def test_a_value_given_twice_that_is_the_same_is_no_contradiction(tmp_path: Path) -> None:
    same = "'fps': 10, 'start_frame': 2, 'end_frame': 7, 'crop_cmd': '8:8', 'quality_width': 32, 'quality_height': 24"
    dataset = "fps = 10.0\nstart_frame = 2\nend_frame = 7\ncrop_cmd = '8:8'\n"
    assert read_recipe(write(tmp_path, SIZED + dataset, same, same)).warnings == ()
    assert read_recipe(write(tmp_path, SIZED, same, same)).warnings == (), "nothing is used that theirs does not"


def test_where_one_of_several_videos_lacks_what_only_its_reference_has_a_warning_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, "'fps': 10", "'fps': 10")
    text = path.read_text()
    assert read_recipe(path).warnings == ()
    path.write_text(text + "dis_videos += [{'content_id': 0, 'asset_id': 1, 'path': 'e.yuv'}]\n")
    (warning,) = read_recipe(path).warnings
    assert "ref_videos[0].fps" in warning


def test_references_by_themselves_are_read_by_the_same_rule_without_a_word_on_what_run_encode_moves(
    tmp_path: Path,
) -> None:
    own = "'start_frame': 1, 'end_frame': 3, 'fps': 5, 'quality_width': 8, 'quality_height': 8"
    path = write(tmp_path, HEAD, own, "")
    found = read_references(path)
    (reference,) = found.references
    assert (reference.video.start_frame, reference.video.end_frame, reference.video.fps) == (1, 3, 5)
    assert (reference.quality_width_px, found.warnings) == (8, ())

    path = write(tmp_path, SIZED + "start_frame = 2\nfps = 10\n", own, "")
    found = read_references(path)
    (reference,) = found.references
    assert (reference.video.start_frame, reference.video.end_frame, reference.video.fps) == (2, 3, 10)
    assert (reference.quality_width_px, reference.quality_height_px) == (32, 24)
    assert [warning.split(": ")[1] for warning in found.warnings] == [
        f"ref_videos[0].{field}" for field in ("start_frame", "fps", "quality_width", "quality_height")
    ]


@pytest.mark.parametrize(
    ("dataset", "distorted", "said"),
    [
        ("strat_frame = 3\n", "", "is start_frame meant?"),
        ("quality_widht = 3\n", "", "is quality_width meant?"),
        ("", "'resampling': 'lanczos'", "is resampling_type meant?"),
        ("", "'dmso': 3", "is dmos meant?"),
    ],
)
def test_what_looks_like_a_field_misspelled_is_refused(tmp_path: Path, dataset: str, distorted: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path, HEAD + dataset, "", distorted))
    assert said in caught.value.problem


def test_a_name_like_a_field_that_is_there_is_one_of_the_writers_own(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, HEAD, "", "'mos': 3, 'mos_std': 0.5"))
    (warning,) = recipe.warnings
    assert "dis_videos[0].mos_std: is no field of a recipe" in warning
    assert recipe.assets[0].groundtruth == 3
