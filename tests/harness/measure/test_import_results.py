"""Results of VMAF's own harness, taken over: read as data, found again by content, never taken for our own."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.import_results import UNKNOWN, import_results, read_literal
from vmaf_harness.measure.store import FileResultStore
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_purge
from vmaf_workspace.report.status import stored_results
from vmaf_workspace.setup import setup

EXECUTOR = "VMAF_feature_V0.2.7"
SCORES = {"VMAF_feature_vif_scale0_scores": [0.5, 0.25], "VMAF_feature_adm2_scores": [0.9, 1.0]}


@pytest.fixture
def root(vmaf_workspace: Path) -> Path:
    setup(vmaf_workspace)
    return vmaf_workspace


@pytest.fixture
def recipe(root: Path) -> Recipe:
    """A dataset of a reference and three distorted videos, its files in `dataset/`."""
    for name in ("ref", "a", "b", "c"):
        (root / "dataset" / f"{name}.yuv").write_bytes(name.encode() * 500)
    dis = [{"content_id": 7, "asset_id": i, "path": f"{name}.yuv", "dmos": 50.0} for i, name in enumerate("abc")]
    path = root / "dataset" / "small_dataset.py"
    path.write_text(
        "dataset_name = 'small'\nyuv_fmt = 'yuv420p'\nwidth = 16\nheight = 16\n"
        f"ref_videos = [{{'content_id': 7, 'path': 'ref.yuv'}}]\ndis_videos = {dis!r}\n"
    )
    return read_recipe(path, search=[root / "dataset"])


def text_of(asset_id: int, scores: dict[str, Any] = SCORES, /, **changes: Any) -> str:
    """An entry as VMAF's own harness writes it: `str` of a table's dictionary."""
    about = {
        "dataset": "small",
        "content_id": 7,
        "asset_id": asset_id,
        "ref_name": "ref.yuv",
        "dis_name": f"{'abc'[asset_id]}.yuv",
        "asset": '{"asset_dict": {"height": 16, "width": 16}, "asset_id": 0}',
        "executor_id": EXECUTOR,
        **changes,
    }
    table = {name: dict.fromkeys(range(len(scores)), value) for name, value in about.items()}
    return str(table | {"scores_key": dict(enumerate(scores)), "scores": dict(enumerate(scores.values()))})


def entry(root: Path, text: str, *, executor: str = EXECUTOR, dataset: str = "small") -> Path:
    name = hashlib.sha1(f"{executor}{text}".encode()).hexdigest()  # noqa: S324 - as it names them
    path = root / "result_store_dir" / "file_result_store" / executor / dataset / "7" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def store(root: Path) -> Path:
    return root / "result_store_dir" / "file_result_store"


def ours(root: Path, score: str = "VMAF_feature_adm2_score") -> FileResultStore:
    kind, _, version = EXECUTOR.partition("_V")
    made = Extraction(type=kind, version=version, options=(("imported", EXECUTOR),), score=score)
    return FileResultStore(root, made, Engine("", UNKNOWN, UNKNOWN), warn=print)


def test_an_entry_is_found_again_by_the_content_of_its_videos_frames_and_means(root: Path, recipe: Recipe) -> None:
    path = entry(root, text_of(1))
    before = path.read_text(), path.stat().st_mtime_ns
    done = import_results(recipe, store(root), root)
    assert (done.stored, done.known, done.problems) == (1, 0, [])
    found = ours(root).get(recipe.assets[1])
    assert found is not None
    assert found.means == {"VMAF_feature_vif_scale0_score": 0.375, "VMAF_feature_adm2_score": 0.95}
    assert (found.n_frames, found.versions) == (2, {"ffmpeg": UNKNOWN, "libvmaf": UNKNOWN})
    assert ours(root).frames(recipe.assets[1]) == {key[:-1]: scores for key, scores in SCORES.items()}
    assert ours(root).get(recipe.assets[0]) is None
    assert (path.read_text(), path.stat().st_mtime_ns) == before


def test_a_second_import_finds_everything_there_and_a_changed_video_is_another(root: Path, recipe: Recipe) -> None:
    for asset_id in range(3):
        entry(root, text_of(asset_id))
    assert import_results(recipe, store(root), root).stored == 3
    again = import_results(recipe, store(root), root)
    assert (again.stored, again.known) == (0, 3)
    recipe.assets[2].distorted.path.write_bytes(b"another content")
    assert ours(root).get(recipe.assets[2]) is None


def test_an_imported_number_is_never_taken_for_one_of_ours(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0, {"VMAF_scores": [90.0]}, executor_id="VMAF_V0.6.1"), executor="VMAF_V0.6.1")
    assert import_results(recipe, store(root), root).stored == 1
    measured_here = FileResultStore(root, extraction("VMAF"), Engine("/ffmpeg", "9", "3"), warn=print)
    assert extraction("VMAF").executor_id == "VMAF_V0.6.1"
    assert measured_here.get(recipe.assets[0]) is None


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1])
def test_a_truncated_entry_is_reported_and_the_others_are_imported(cut: int, root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0))
    torn = entry(root, text_of(1)[:cut])
    done = import_results(recipe, store(root), root)
    assert done.stored == 1
    assert [name for name, _ in done.problems] == [str(torn.relative_to(store(root)))]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch EVALUATED')",
        "{'scores': open('EVALUATED', 'w')}",
        "{'scores': [x for x in range(10**9)]}",
        "{'scores': 9**9**9}",
        "{'scores': array(__import__('os'))}",
        "{'a': f'{1}'}",
        "[" * 100_000,
        "{'a': " + "-" * 50_000 + "1}",
        "\0",
        "import os",
        "[1, 2, 3]",
        "{}",
        "{'scores': {0: [1.0]}}",
    ],
    ids=range(13),
)
def test_what_is_no_table_is_reported_and_nothing_in_it_is_evaluated(text: str, root: Path, recipe: Recipe) -> None:
    entry(root, text)
    done = import_results(recipe, store(root), root)
    assert (done.stored, len(done.problems)) == (0, 1)
    assert not os.path.exists("EVALUATED")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dis_name": "z.yuv"}, "z.yuv"),
        ({"ref_name": "other.yuv"}, "other.yuv"),
        ({"content_id": 8}, "content 8"),
        ({"asset_id": 99}, "asset 99"),
        ({"asset_id": [1]}, "no such video"),
        ({"dataset": "large"}, "another dataset"),
        ({"executor_id": "SSIM_V1.0"}, "SSIM_V1.0"),
        ({"asset": '{"asset_dict": {"resampling_type": "lanczos"}}'}, "lanczos"),
    ],
)
def test_an_entry_of_another_asset_than_the_recipes_is_left(
    changes: dict[str, Any], said: str, root: Path, recipe: Recipe
) -> None:
    entry(root, text_of(0, **changes))
    done = import_results(recipe, store(root), root)
    assert done.stored == 0
    assert said in done.problems[0][1]


@pytest.mark.parametrize(
    "scores",
    [{"a_scores": [1.0], "b_scores": [1.0, 2.0]}, {"a_scores": []}, {"a_scores": ["x"]}, {"a_scores": [[1.0], [2.0]]},
     {"a_scores": 1.0}, {"a": [1.0]}, {"a_scores": [True]}, {"a_scores": [10**400]}],
    ids=range(8),
)  # fmt: skip
def test_scores_that_are_no_list_of_numbers_a_frame_are_reported(
    scores: dict[str, Any], root: Path, recipe: Recipe
) -> None:
    entry(root, text_of(0, scores))
    assert len(import_results(recipe, store(root), root).problems) == 1


def test_numbers_as_numpy_writes_them_are_read(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0).replace("[0.5, 0.25]", "array([np.float64(0.5), -2.5e-1])"))
    assert import_results(recipe, store(root), root).stored == 1
    frames = ours(root).frames(recipe.assets[0])
    assert frames is not None
    assert frames["VMAF_feature_vif_scale0_score"] == [0.5, -0.25]
    assert math.isnan(read_literal("nan"))
    assert read_literal("{1: [inf, -inf]}") == {1: [math.inf, -math.inf]}
    with pytest.raises(HarnessError, match="was not evaluated"):
        read_literal("float('nan')")


def test_what_stands_beside_the_entries_is_no_entry(root: Path, recipe: Recipe) -> None:
    path = entry(root, text_of(0))
    path.with_name(path.name + "_workfile").write_text("x")
    path.with_name("a" * 64 + ".json").write_text("{}")
    entry(root, text_of(1), dataset="another")
    done = import_results(recipe, store(root), root)
    assert (done.stored, done.of_other_datasets, done.problems) == (1, 1, [])


@pytest.mark.parametrize("named", ["", "result_store_dir", "result_store_dir/file_result_store"])
def test_the_workspace_that_has_the_store_will_do(
    named: str, root: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = tmp_path_factory.mktemp("upstream") / "workspace"
    entry(theirs, text_of(0))
    torn = entry(theirs, text_of(1)[:50])
    done = import_results(recipe, theirs / named, root)
    assert (done.stored, [name for name, _ in done.problems]) == (1, [str(torn.relative_to(store(theirs)))])


def test_a_directory_that_is_no_store_is_an_error_and_an_empty_store_is_none(
    root: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("photos")
    assert import_results(recipe, place, root).stored == 0
    (place / "cats").mkdir()
    (place / "cats" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(HarnessError, match="name a file_result_store, or the workspace"):
        import_results(recipe, place, root)


def test_a_number_of_too_many_digits_is_not_called_cut_short(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0).replace("0.25", "9" * 5000))
    ((_, why),) = import_results(recipe, store(root), root).problems
    assert "4300 digits" in why
    assert "cut short" not in why
    entry(root, text_of(1)[:200])
    assert any("cut short?" in why for _, why in import_results(recipe, store(root), root).problems)


@pytest.mark.parametrize(
    ("scores", "changes"),
    [
        ([1e308, 1e308], {}),
        (["inf", "-inf"], {}),
        ([0.5, 0.25], {"content_id": "0x" + "f" * 4000}),
        ([0.5, 0.25], {"asset_id": "0x" + "f" * 4000}),
    ],
)
def test_an_entry_with_numbers_that_are_none_is_left_and_the_others_are_imported(
    scores: list[Any], changes: dict[str, Any], root: Path, recipe: Recipe
) -> None:
    text = text_of(0, {"VMAF_feature_adm2_scores": scores}, **changes)
    odd = entry(root, text.replace("'inf'", "inf").replace("'-inf'", "-inf").replace("'0x", "0x").replace("f'", "f"))
    entry(root, text_of(1))
    done = import_results(recipe, store(root), root)
    assert [name for name, _ in done.problems] == [str(odd.relative_to(store(root)))]
    assert done.stored == 1


@pytest.mark.parametrize("about", ['{"other": 1}', "[1]", "3", '{"asset_dict": 3}'])
def test_an_entry_that_describes_its_asset_in_no_known_way_is_taken_by_what_else_it_says(
    about: str, root: Path, recipe: Recipe
) -> None:
    entry(root, text_of(0, asset=about))
    done = import_results(recipe, store(root), root)
    assert (done.stored, done.problems) == (1, [])


def test_scores_that_are_infinite_have_pools_as_far_as_these_are_defined(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0, {"PSNR_scores": ["inf", "inf"]}).replace("'inf'", "inf"))
    done = import_results(recipe, store(root), root)
    assert (done.stored, done.problems) == (1, [])


def test_a_dry_run_stores_nothing(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0))
    assert import_results(recipe, store(root), root, dry_run=True).stored == 1
    assert list(store(root).rglob("*.json*")) == []


def test_purge_selects_entries_of_both_kinds_by_executor_and_dataset(root: Path, recipe: Recipe) -> None:
    theirs = entry(root, text_of(0))
    other = entry(root, text_of(0)[:40], executor="SSIM_V1.0")
    import_results(recipe, store(root), root)
    plan = plan_purge(root, Selection(executor="VMAF_feature*", dataset="small"))
    listed = [os.path.basename(entry.path) for entry in plan.entries]
    assert len(listed) == 2
    assert theirs.name in listed
    assert other.name not in listed


def test_the_task_reports_and_fails_where_something_was_left(root: Path, recipe: Recipe) -> None:
    entry(root, text_of(0))
    entry(root, text_of(1)[:50])
    code = (
        "import sys; from vmaf_harness.commands import COMMANDS; from vmaf_workspace.commands.command import run; "
        + (
            "sys.exit(run(next(c for c in COMMANDS if c.name == 'import-results'), "
            "dict(dataset=sys.argv[1], workspace=sys.argv[2], json=True)))"
        )
    )
    command: list[str | Path] = [sys.executable, "-c", code, recipe.path, root]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    found = json.loads(done.stdout)
    assert (found["stored"], len(found["problems"]), found["exit_code"]) == (1, 1, 1)


def test_an_executor_that_holds_the_path_of_its_model_is_read_from_the_right(root: Path, recipe: Recipe) -> None:
    theirs = f"{EXECUTOR}_model_filepath_model/vmaf_float_v0.6.1.json"
    entry(root, text_of(0, executor_id=theirs), executor=theirs)
    entry(root, text_of(1, executor_id=theirs), executor=theirs, dataset="another")
    write_beside = entry(root, text_of(1)).with_name("0" * 40 + "_work")
    write_beside.write_text("rest")
    done = import_results(recipe, store(root), root)
    assert (done.stored, done.of_other_datasets, done.others, done.problems) == (2, 1, 1, [])
    assert import_results(recipe, store(root), root).known == 2
    listed = [each.path for each in plan_purge(root, Selection(dataset="another")).entries]
    assert len(listed) == 1
    assert "/another/" in listed[0]
    assert len(plan_purge(root, Selection(executor="*vmaf_float*", dataset="small")).entries) == 2
    assert plan_purge(root, Selection(dataset="vmaf_float*")).entries == ()
    assert {(each.executor, each.dataset) for each in stored_results(root)} >= {(theirs, "another"), (theirs, "small")}
