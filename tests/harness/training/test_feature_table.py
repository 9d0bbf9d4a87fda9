"""From a recipe to a feature table: which numbers are in it, in which order, and what is never measured twice."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trainable import CRFS, LABELS, SIX, Trainable, write_features, write_recipe

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import RunOptions, score_pair
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import FeatureParam, read_feature_param
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script import run_extraction
from vmaf_harness.training.feature_table import ExtractedFeatures, content_hash, extract_features, write_table
from vmaf_workspace.live.lock import Run


def extracted(
    assets: Sequence[Asset],
    features: FeatureParam,
    root: Path,
    *,
    cache: bool = False,
    keep_going: bool = False,
    pool: str = "mean",
) -> ExtractedFeatures:
    how = RunOptions(cache=cache, keep_going=keep_going)
    with Run(root) as run:
        return extract_features(assets, features, run, how, warn=lambda _: None, progress=lambda *_: None, pool=pool)


def test_the_table_has_a_row_an_asset_and_a_column_a_feature(small: Trainable, vmaf_workspace: Path) -> None:
    assets = read_recipe(small.dataset).assets
    made = extracted(assets[::-1], read_feature_param(small.features), vmaf_workspace, cache=True)
    assert list(made.table.features) == [f"VMAF_integer_feature_{atom}_score" for atom in SIX]
    assert list(made.table.labels) == list(LABELS[::-1])
    assert made.content_ids == [asset.content_id for asset in assets[::-1]]
    assert made.table.assets[0] == f"asset 11 (7_{CRFS[-1]}.mp4)"


@pytest.mark.parametrize(
    ("aggregate", "model", "prefix"),
    [("VMAF_integer_feature", "vmaf_v0.6.1", "integer_"), ("VMAF_feature", "vmaf_float_v0.6.1", "")],
)
def test_features_are_those_that_libvmaf_gives_its_own_models(
    small: Trainable, vmaf_workspace: Path, aggregate: str, model: str, prefix: str
) -> None:
    write_features(small.features, aggregate, (*SIX, "adm", "vif", "motion"))
    (asset,) = read_recipe(small.dataset).assets[2:3]
    table = extracted([asset], read_feature_param(small.features), vmaf_workspace).table
    with Run(vmaf_workspace) as run:
        pair = score_pair(asset.reference.path, asset.distorted.path, extraction("VMAF", model=model), run)
    for atom in SIX:
        expected = np.mean(pair.frames[prefix + atom])
        assert table.features[f"{aggregate}_{atom}_score"][0] == pytest.approx(expected, abs=2e-6)
    for atom in ("adm", "vif", "motion"):
        assert table.features[f"{aggregate}_{atom}_score"][0] > 0


def test_all_takes_every_atom(small: Trainable, vmaf_workspace: Path) -> None:
    write_features(small.features, "VMAF_integer_feature", "all")
    (asset,) = read_recipe(small.dataset).assets[:1]
    table = extracted([asset], read_feature_param(small.features), vmaf_workspace).table
    assert {f"VMAF_integer_feature_adm_scale{scale}_score" for scale in range(4)} < set(table.features)
    assert len(table.features) == 39


def test_each_feature_is_the_pool_of_its_frames_and_vif2_of_the_mean_of_its_scales(
    small: Trainable, vmaf_workspace: Path
) -> None:
    write_features(small.features, "VMAF_integer_feature", (*SIX, "vif2"))
    features = read_feature_param(small.features)
    made = extracted(read_recipe(small.dataset).assets, features, vmaf_workspace, cache=True, pool="min")
    for row, outcome in enumerate(made.outcomes):
        assert outcome.frames is not None
        scales = zip(*(outcome.frames[f"integer_vif_scale{scale}"] for scale in range(4)), strict=True)
        expected = {atom: min(outcome.frames[f"integer_{atom}"]) for atom in SIX}
        for atom, number in {**expected, "vif2": min(sum(four) / 4 for four in scales)}.items():
            assert made.table.features[f"VMAF_integer_feature_{atom}_score"][row] == number


def test_what_is_stored_is_not_measured_again(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(small.dataset), str(small.features), "--cache-result"]
    assert run_extraction.main(arguments) == 0
    assert "12 assets, 12 of them stored before; 6 features" in capsys.readouterr().err


def test_one_that_fails_ends_the_extraction_unless_it_is_to_go_on(small: Trainable, vmaf_workspace: Path) -> None:
    small.videos(3)[1].write_bytes(b"no video")
    assets, features = read_recipe(small.dataset).assets, read_feature_param(small.features)
    with pytest.raises(HarnessError, match="see --keep-going"):
        extracted(assets, features, vmaf_workspace, cache=True)
    made = extracted(assets, features, vmaf_workspace, cache=True, keep_going=True)
    assert [asset.asset_id for asset in made.assets] == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert len(made.table.labels) == 11


def test_no_asset_with_features_is_an_error(small: Trainable, vmaf_workspace: Path) -> None:
    (asset,) = read_recipe(small.dataset).assets[:1]
    asset.distorted.path.write_bytes(b"no video")
    with pytest.raises(HarnessError, match="no asset has features"):
        extracted([asset], read_feature_param(small.features), vmaf_workspace, keep_going=True)


def test_the_table_is_written_as_plain_data_and_for_people(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path
) -> None:
    made = extracted(read_recipe(small.dataset).assets, read_feature_param(small.features), vmaf_workspace, cache=True)
    pickled, text = write_table(made, tmp_path)
    read = pickles.read(pickled)
    with text.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert read["asset_id"] == [int(row["asset_id"]) for row in rows] == list(range(12))
    assert read["label"].tolist() == [float(row["label"]) for row in rows] == list(LABELS)
    for name, column in made.table.features.items():
        assert read["features"][name].tolist() == [float(row[name]) for row in rows] == list(column)


def test_a_dataset_is_known_by_its_content_and_labels(small: Trainable, vmaf_workspace: Path, tmp_path: Path) -> None:
    assets = read_recipe(small.dataset).assets
    before = content_hash(assets, vmaf_workspace)
    shutil.copytree(small.directory, tmp_path / "moved")
    assert content_hash(read_recipe(tmp_path / "moved" / small.dataset.name).assets, vmaf_workspace) == before
    assert content_hash([replace(assets[0], groundtruth=1.0), *assets[1:]], vmaf_workspace) != before
    shutil.copyfile(small.videos(0)[1], small.videos(0)[0])
    assert content_hash(assets, vmaf_workspace) != before


def test_labels_are_not_needed_to_extract(small: Trainable, vmaf_workspace: Path) -> None:
    write_recipe(small.dataset, labels=(None,) * 12)
    assert run_extraction.main([str(small.dataset), str(small.features), "--cache-result"]) == 0
    (table,) = vmaf_workspace.glob("output/*/features.pkl")
    assert np.isnan(pickles.read(table)["label"]).all()
