"""A ladder without its recipe: from what the stores of encodes and of results know."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from clips import ffmpeg
from ladders import Laddered, copy

from vmaf_harness.cli import main
from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.report.contents import Asked, Report, read_report
from vmaf_harness.report.ladder import LadderEncode
from vmaf_harness.report.page import page_html
from vmaf_harness.script import run_encode, run_testing
from vmaf_harness.script.options import Reporting
from vmaf_harness.script.reporting import run
from vmaf_workspace.errors import UsageError


@pytest.fixture
def made(laddered: Laddered, tmp_path: Path) -> Laddered:
    return copy(laddered, tmp_path)


def entries(root: Path) -> list[Path]:
    return list((root / "result_store_dir" / "encode_store").glob("*/*/*/*.json"))


def stored(made: Laddered, warnings: list[str] | None = None, **how: object) -> Report:
    warn = pytest.fail if warnings is None else warnings.append
    asked = Asked(encodes="l", anchor="libx264", clips=2, **how)  # type: ignore[arg-type]
    return read_report(made.workspace, asked, warn=warn)


def by_file(report: Report) -> dict[str, LadderEncode]:
    assert report.ladder is not None
    return {e.file: replace(e, asset_id=0, label=None, decode_fps=None) for e in report.ladder.encodes}


def test_it_has_the_numbers_that_it_has_with_its_recipe(made: Laddered) -> None:
    with_recipe = read_report(made.workspace, Asked(dataset=made.recipe, anchor="libx264", clips=0), warn=pytest.fail)
    made.recipe.unlink()
    without = stored(made)
    assert len(by_file(without)) == 32
    assert by_file(without) == by_file(with_recipe)
    assert without.ladder is not None
    assert with_recipe.ladder is not None
    assert without.ladder.deltas == with_recipe.ladder.deltas
    assert without.tested is None


def test_its_frames_are_shown_as_they_were_compared(made: Laddered) -> None:
    made.recipe.unlink()
    found = stored(made)
    assert [clip.problem for clip in found.clips] == [None, None]
    page = page_html(found, Asked(encodes="l"))
    assert len(re.findall(r"<img ", page)) == 3 * sum(len(clip.worst) for clip in found.clips) > 0
    assert "l: ladder" in page


def test_scores_of_another_dataset_are_those_of_the_same_files(made: Laddered) -> None:
    results = made.workspace / "result_store_dir" / "file_result_store" / "VMAF_V0.6.1"
    (results / "l").rename(results / "elsewhere")
    scores = [encode.score for encode in by_file(stored(made)).values()]
    assert len(scores) == 32
    assert None not in scores


@pytest.mark.parametrize("n", [2, 16])
def test_results_that_were_compared_otherwise_are_not_mixed_in_however_new(made: Laddered, n: int) -> None:
    before = by_file(stored(made))
    again, size = made.recipe.with_name("again_dataset.py"), "'quality_width': 176, 'quality_height': 144"
    text = made.recipe.read_text().replace("dataset_name = 'l'", "dataset_name = 'again'")
    again.write_text(text.replace(size, "'quality_width': 352, 'quality_height': 288", n))
    flags = ("--cache-result", "--suppress-plot", "--workspace", str(made.workspace))
    assert run_testing.main(["VMAF", str(again), *flags]) == 0
    warnings: list[str] = []
    assert by_file(stored(made, warnings)) == before
    assert [line for line in warnings if f"{n} stored results compared otherwise" in line]


def test_an_entry_of_before_says_that_it_lacks_its_reference(made: Laddered) -> None:
    for path in entries(made.workspace):
        entry = json.loads(path.read_text())
        del entry["reference"]
        path.write_text(json.dumps(entry) + "\n")
    warnings: list[str] = []
    found = stored(made, warnings)
    assert [line.partition(":")[0] for line in warnings] == ["the references of 32 encodes are not known"]
    assert found.ladder is not None
    assert set(found.ladder.contents.values()) == {"carphone", "bikes"}, "the names of the files say it"
    for encode in found.ladder.encodes:
        assert encode.score is not None
        assert shlex.split(encode.command)[shlex.split(encode.command).index("-i") + 1] == "REFERENCE"
    assert {clip.problem for clip in found.clips} == {"its reference is not known any more"}


def test_a_reference_that_is_another_file_now_is_not_shown(made: Laddered, tmp_path: Path) -> None:
    reference = tmp_path / "r.mp4"
    shutil.copyfile(made.references.with_name("bikes.mp4"), reference)
    changed = next(path for path in entries(made.workspace) if path.parent.name == "0")
    entry = json.loads(changed.read_text())
    entry["reference"]["path"] = str(reference)
    changed.write_text(json.dumps(entry) + "\n")
    warnings: list[str] = []
    stored(made, warnings)
    assert [line.partition(" not known")[0] for line in warnings] == ["the references of 1 encode are"]


def test_a_reference_in_the_workspace_is_found_where_the_workspace_is_now(laddered: Laddered, tmp_path: Path) -> None:
    store = EncodeResultStore(tmp_path, warn=pytest.fail)
    assert store._below_root(tmp_path / "dataset" / "a.mp4") == "dataset/a.mp4"
    assert store._source({"path": "dataset/a.mp4"})["reference"] == tmp_path / "dataset" / "a.mp4"
    found = EncodeResultStore(laddered.workspace, warn=pytest.fail).entries()
    assert {each.reference for each in found.values()} == {
        laddered.references.with_name(f"{name}.mp4") for name in ("carphone", "bikes")
    }


@pytest.mark.parametrize("said", [None, 3, "x", {}, {"path": 3}, {"path": "a\0b"}, {"content_name": ["x"]}])
def test_what_an_entry_says_in_other_words_is_nothing(made: Laddered, said: object) -> None:
    path = entries(made.workspace)[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference": said}) + "\n")
    found = EncodeResultStore(made.workspace, warn=pytest.fail).entries()
    assert len(found) == 32
    assert sum(each.reference is None and each.content_name is None for each in found.values()) == 1


def test_what_has_no_score_is_listed_without_one(made: Laddered) -> None:
    found = stored(made, quality_type="PSNR")
    assert found.as_dict()["unscored"] == 32
    assert "32 assets have no stored score of PSNR_V1.0.<" in page_html(found, Asked(encodes="l"))


def test_another_name_is_refused_with_those_that_are_there(made: Laddered) -> None:
    with pytest.raises(HarnessError, match=r"no encodes are stored of a dataset 'm'; there are l$"):
        run(Reporting(encodes="m", workspace=str(made.workspace)))
    with pytest.raises(UsageError, match="give one of them"):
        run(Reporting(encodes="l", dataset=made.recipe, workspace=str(made.workspace)))


def test_it_is_a_table_on_a_terminal_too(made: Laddered, capsys: pytest.CaptureFixture[str]) -> None:
    made.recipe.unlink()
    assert run(Reporting(encodes="l", clips=0, workspace=str(made.workspace))) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^(?:bikes|carphone) +lib(?:x264|svtav1) ", said, re.M)) >= 32
    assert "BD-RATE" in said


@pytest.mark.slow
def test_v1_means_for_each_encode_the_model_that_it_means_with_a_recipe(
    laddered: Laddered, engine: Engine, tmp_path: Path
) -> None:
    videos = []
    for number, fps in enumerate((25, 60)):
        reference = tmp_path / f"at{fps}.mp4"
        large = ("-vf", "scale=384:224", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
        ffmpeg(engine, "-r", str(fps), "-i", laddered.references.parent / "carphone.mp4", *large, reference)
        videos.append(f"{{'content_id': {number}, 'path': {str(reference)!r}}}")
    references = tmp_path / "v_dataset.py"
    references.write_text(f"dataset_name = 'l'\nyuv_fmt = 'notyuv'\nref_videos = [{', '.join(videos)}]\n")
    root = tmp_path / "ws"
    words = [str(references), "l", "--crf", "30", "40", "--label-with", "v1", "--workspace", str(root)]
    assert run_encode.main(words) == 0
    made = Laddered(root, root / "dataset" / "l_dataset.py", references)
    asked = Asked(dataset=made.recipe, clips=0, model="v1")
    with_recipe = read_report(root, asked, warn=pytest.fail)
    without = read_report(root, replace(asked, dataset=None, encodes="l"), warn=pytest.fail)
    assert by_file(without) == by_file(with_recipe)
    assert without.ladder is not None
    assert without.ladder.score == "VMAF_V1.0.16_3d0h+hfr_3d0h"
    assert all(encode.score is not None for encode in without.ladder.encodes)


def test_its_bd_rates_are_those_that_it_has_with_its_recipe(made: Laddered, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--anchor", "libx264", "--workspace", str(made.workspace)]
    assert main(["bd-rate", str(made.recipe), *where]) == 0
    with_recipe = capsys.readouterr().out
    made.recipe.unlink()
    assert main(["bd-rate", "--encodes", "l", *where]) == 0
    assert capsys.readouterr().out == with_recipe
    assert "libsvtav1" in with_recipe


@pytest.mark.parametrize("words", [[], ["l_dataset.py", "--encodes", "l"]])
def test_bd_rate_takes_a_recipe_or_stored_encodes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bd-rate", *words]) == 2
    assert "give the recipe of the encodes, or --encodes DATASET in its place" in capsys.readouterr().err
