"""Our results in the form of VMAF's own harness: whole, where it looks for them, with the same numbers."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from clips import wait_until
from trainable import Trainable, write_features

from vmaf_harness.cli import main
from vmaf_harness.engine.binary import find_engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.export_results import VERSIONS, export_results
from vmaf_harness.measure.features import FEATURES
from vmaf_harness.measure.import_results import import_results
from vmaf_harness.measure.store import FileResultStore, store_directory
from vmaf_harness.measure.upstream_form import described, entry_name
from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.script import run_extraction, run_testing

Printed = pytest.CaptureFixture[str]
INTEGER = "VMAF_integer_feature"


def extract(small: Trainable, kind: str, atoms: str | tuple[str, ...] = "all", *flags: str) -> None:
    write_features(small.features, kind, atoms)
    assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result", *flags]) == 0


def recipe_of(small: Trainable) -> Recipe:
    return read_recipe(small.dataset, search=[])


def loaded(store: Path, recipe: Recipe, executor_id: str, index: int = 0) -> dict[str, list[float]]:
    """The scores of an asset by their key, read as VMAF's own harness reads them: a table, evaluated as a literal."""
    asset = recipe.assets[index]
    table = ast.literal_eval(
        (store / executor_id / recipe.name / str(asset.content_id) / entry_name(asset)).read_text()
    )
    assert set(table) == {
        *("dataset", "content_id", "asset_id", "ref_name", "dis_name", "asset", "executor_id", "scores_key", "scores"),
    }
    rows = range(len(table["scores"]))
    assert all(list(cells) == list(rows) for cells in table.values())
    assert set(table["executor_id"].values()) == {executor_id}
    assert set(table["asset"].values()) == {described(asset)}
    return {table["scores_key"][row]: table["scores"][row] for row in rows}


def test_a_whole_result_is_written_where_upstream_looks_with_every_atom_that_it_asks_for(
    small: Trainable, vmaf_workspace: Path
) -> None:
    extract(small, INTEGER)
    recipe, store = recipe_of(small), store_directory(vmaf_workspace)
    done = export_results(recipe, store, vmaf_workspace)
    # The same result is whole under the kinds that are parts of this one, too.
    kinds = {INTEGER, "integer_ADM_feature", "integer_VIF_feature", "integer_motion_feature", "ANSNR_feature"}
    assert (done.written, done.known, done.results, done.problems) == (12 * len(kinds), 0, 12, [])
    scores = loaded(store, recipe, f"{INTEGER}_V0.2.21", 4)
    assert scores.keys() == {f"{INTEGER}_{atom}_scores" for atom in FEATURES[INTEGER] if atom != "vif2"}
    ours = FileResultStore(
        vmaf_workspace, read_feature_param(small.features).extraction, find_engine(), warn=pytest.fail
    ).frames(recipe.assets[4])
    assert ours is not None
    assert scores[f"{INTEGER}_adm2_scores"] == ours["integer_adm2"]
    assert scores[f"{INTEGER}_ansnr_scores"] == ours["float_ansnr"]
    for kind in kinds:
        assert loaded(store, recipe, f"{kind}_V{VERSIONS[kind]}")


def test_what_was_exported_is_imported_with_the_same_numbers(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path
) -> None:
    extract(small, "PSNR_feature")
    (tmp_path / "theirs").mkdir()
    recipe = recipe_of(small)
    assert export_results(recipe, tmp_path / "theirs", vmaf_workspace).written == 12
    assert import_results(recipe, tmp_path / "theirs", vmaf_workspace).stored == 12
    ours = FileResultStore(
        vmaf_workspace, read_feature_param(small.features).extraction, find_engine(), warn=pytest.fail
    )
    for asset in recipe.assets:
        imported = [
            json.loads(path.read_bytes().splitlines()[1])["frames"]["PSNR_feature_psnr_score"]
            for path in (vmaf_workspace / "result_store_dir").rglob(f"PSNR_feature_V1.1/**/{asset.content_id}/*.json")
            if json.loads(path.read_bytes().splitlines()[0])["asset_id"] == asset.asset_id
        ]
        frames = ours.frames(asset)
        assert frames is not None
        assert imported == [frames["float_psnr"]]
    # What was imported is theirs already, and goes nowhere.
    again = export_results(recipe, tmp_path / "theirs", vmaf_workspace)
    assert (again.written, again.known) == (0, 12)
    assert again.left["imported from VMAF's own harness"] == 12


def test_a_result_that_upstream_would_stop_at_is_left_and_the_remedy_is_named(
    small: Trainable, vmaf_workspace: Path
) -> None:
    recipe, store = recipe_of(small), store_directory(vmaf_workspace)
    done = export_results(recipe, store, vmaf_workspace)  # the six features of VMAF
    ((why, count),) = done.left.items()
    assert (done.written, count) == (0, 12)
    assert f"{INTEGER}_V1.0 lacks adm, " in why
    assert f"extract with feature_dict = {{'{INTEGER}': 'all'}}" in why
    assert run_testing.main(["SSIM", str(small.dataset), "--cache-result", "--suppress-plot"]) == 0
    done = export_results(recipe, store, vmaf_workspace)
    assert any(why.startswith("SSIM_V1.0 lacks ssim_l, ssim_c, ssim_s of SSIM_feature") for why in done.left)


def test_numbers_that_upstream_would_not_compute_are_left(small: Trainable, vmaf_workspace: Path) -> None:
    extract(small, "PSNR_feature", "all", "--bit-depth=10")
    write_features(small.features, INTEGER, "all")
    with small.features.open("a") as file:
        file.write(f"feature_optional_dict = {{{INTEGER!r}: {{'adm_enhn_gain_limit': 1.0}}}}\n")
    assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result"]) == 0
    done = export_results(recipe_of(small), store_directory(vmaf_workspace), vmaf_workspace)
    assert done.written == 0
    assert done.left["of other videos, or compared in another way, than the recipe says now"] == 12
    assert done.left["measured with options of features (adm_enhn_gain_limit)"] == 12
    path = next((vmaf_workspace / "result_store_dir").rglob("PSNR_feature_V1.0/**/*.json"))
    about = json.loads(path.read_bytes().splitlines()[0])
    assert about["key_of"]["least_depth"] == 10


def test_an_entry_that_is_there_stays_and_a_dry_run_writes_nothing(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path
) -> None:
    extract(small, "PSNR_feature")
    recipe, theirs = recipe_of(small), tmp_path / "theirs"
    theirs.mkdir()
    assert export_results(recipe, theirs, vmaf_workspace, dry_run=True).written == 12
    assert not list(theirs.iterdir())
    assert export_results(recipe, theirs, vmaf_workspace).written == 12
    (first, *_) = [path for path in theirs.rglob("*") if path.is_file()]
    first.write_text("half of an ent")
    again = export_results(recipe, theirs, vmaf_workspace)
    assert (again.written, again.known) == (0, 12)
    assert first.read_text() == "half of an ent"
    assert not list(theirs.rglob(".*"))


def test_a_store_that_is_not_there_is_made_and_a_file_is_refused(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    extract(small, "PSNR_feature")
    words = ["export-results", "--dataset", str(small.dataset), "--store"]
    assert main([*words, str(tmp_path / "new" / "store"), "--dry-run"]) == 0
    assert "would write 12 entries" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
    assert main([*words, str(tmp_path / "new" / "store")]) == 0
    assert "wrote 12 entries" in capsys.readouterr().out
    assert len(list((tmp_path / "new" / "store" / "PSNR_feature_V1.1").rglob("*"))) > 12
    (tmp_path / "file").write_text("something else")
    for flags in ([], ["--dry-run"]):
        assert main([*words, str(tmp_path / "file"), *flags]) == 3
        assert f"{tmp_path}/file is no directory; name a new one" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "something else"


def test_nothing_to_export_and_a_read_only_store(small: Trainable, vmaf_workspace: Path, tmp_path: Path) -> None:
    recipe = recipe_of(small)
    (tmp_path / "empty").mkdir()
    (tmp_path / "theirs").mkdir()
    assert export_results(recipe, tmp_path / "theirs", tmp_path / "empty").results == 0
    extract(small, "PSNR_feature")
    (tmp_path / "theirs" / "PSNR_feature_V1.1").write_text("a file in the way")
    with pytest.raises(HarnessError, match=r"PSNR_feature_V1\.1/.*: cannot be written: Not a directory; "):
        export_results(recipe, tmp_path / "theirs", vmaf_workspace)


def test_a_torn_result_of_ours_is_passed_over(small: Trainable, vmaf_workspace: Path, tmp_path: Path) -> None:
    extract(small, "PSNR_feature")
    torn, odd, *_ = (vmaf_workspace / "result_store_dir").rglob("PSNR_feature_V1.0/**/*.json")
    torn.write_bytes(torn.read_bytes()[:-20])
    line, frames = odd.read_bytes().splitlines()
    odd.write_bytes(json.dumps({**json.loads(line), "key_of": 7}).encode() + b"\n" + frames + b"\n")
    (tmp_path / "theirs").mkdir()
    assert export_results(recipe_of(small), tmp_path / "theirs", vmaf_workspace).written == 10


def test_the_command_says_what_it_wrote_and_what_it_left(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    extract(small, "PSNR_feature")
    capsys.readouterr()
    assert main(["export-results", f"--dataset={small.dataset}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("wrote 12 entries, of 12 results; 0 were there before\n")
    assert "left: 12 results: VMAF_integer_feature_V1.0 lacks adm, " in said
    assert main(["export-results", f"--dataset={small.dataset}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["written"], found["known"], found["problems"]) == (0, 12, [])
    assert sum(found["left"].values()) == 12


# As VMAF's own harness writes: in place, without a lock, the file empty at first and half there for a while. Who writes
# the same entry has computed the same: what two of them write at once may be the one's at first and the other's then.
WRITER = """
import os, sys, time
directory, name, number = sys.argv[1:]
number = float(number)
while True:
    about = {"dataset": "t_dataset", "content_id": 0, "asset_id": 0, "executor_id": "PSNR_feature_V1.1"}
    table = {key: {0: value} for key, value in about.items()}
    table |= {"scores_key": {0: "PSNR_feature_psnr_scores"}, "scores": {0: [number] * 1000}}
    os.makedirs(directory, exist_ok=True)
    text = str(table)
    with open(os.path.join(directory, name), "wt", buffering=1) as file:
        file.write(text[: len(text) // 2])
        file.flush()
        time.sleep(0.001)
        file.write(text[len(text) // 2 :])
"""


def test_upstreams_writers_beside_ours_on_one_store_give_a_value_or_a_miss(
    small: Trainable, vmaf_workspace: Path, capsys: Printed
) -> None:
    extract(small, "PSNR_feature")
    recipe, store = recipe_of(small), store_directory(vmaf_workspace)
    directory = store / "PSNR_feature_V1.1" / recipe.name / "0"
    name = entry_name(recipe.assets[0])
    before = {path: path.read_bytes() for path in store.rglob("*.json")}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(directory), each, str(number)])
        for number, each in ((10, name), (10, name), (20, "0" * 40))
    ]
    outcomes: set[str] = set()
    try:
        wait_until(lambda: (directory / name).exists() and (directory / ("0" * 40)).exists())

        def has_both() -> bool:
            done = import_results(recipe, store, vmaf_workspace)
            outcomes.update("miss" if "dictionary" in why or "empty" in why else why for _, why in done.problems)
            outcomes.update(["value"] if done.stored else [])
            for path in (store / "PSNR_feature_V1.1").rglob("*.json"):  # what was taken over is one writer's, whole
                frames = json.loads(path.read_bytes().splitlines()[1])["frames"]["PSNR_feature_psnr_score"]
                assert frames in ([10.0] * 1000, [20.0] * 1000)
                path.unlink()
            return outcomes >= {"miss", "value"}

        wait_until(has_both)
        capsys.readouterr()
        assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result"]) == 0
        assert "12 assets, 12 of them stored before" in capsys.readouterr().err
        done = export_results(recipe, store, vmaf_workspace)
        assert (done.written, done.known) == (11, 1)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert outcomes == {"miss", "value"}
    assert {path: path.read_bytes() for path in before} == before
    assert not list(store.rglob("*.broken"))
