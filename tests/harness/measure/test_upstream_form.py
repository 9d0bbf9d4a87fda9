"""Results in the form of VMAF's own harness: its names, its texts, and what is read back of them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from clips import asset, container, raw

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.features import FEATURES
from vmaf_harness.measure.upstream_form import (
    UpstreamResult,
    assembled,
    entry_name,
    identifier,
    read_results,
    score_name,
)
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.quality_type import extraction

FRAMES = {"VMAF_score": [90.5, 80.25], "VMAF_integer_feature_adm2_score": [0.9, 0.1]}


def result(**changes: object) -> UpstreamResult:
    known: dict[str, object] = {"executor_id": "VMAF_V0.6.1", "identifier": "x", "frames": FRAMES}
    known["pooled"] = {"VMAF_score": 85.375, "VMAF_integer_feature_adm2_score": 0.5}
    return UpstreamResult(**(known | changes))  # type: ignore[arg-type]


def written(directory: Path, *results: UpstreamResult, kind: str = "json") -> list[Path]:
    paths = [directory / f"{number}.{kind}" for number in range(len(results))]
    for path, each in zip(paths, results, strict=True):
        path.write_text(each.json() if kind == "json" else each.xml())
    return paths


@pytest.mark.parametrize(
    ("quality_type", "metric", "name"),
    [
        ("VMAF", "vmaf", "VMAF_score"),
        ("VMAF", "integer_adm2", "VMAF_integer_feature_adm2_score"),
        ("VMAF", "integer_vif_scale0_egl_1", "VMAF_integer_feature_vif_scale0_egl_1_score"),
        ("VMAF", "motion2", "VMAF_feature_motion2_score"),
        ("VMAF", "float_ansnr", "VMAF_feature_ansnr_score"),
        ("VMAF", "cambi", "Cambi_feature_cambi_score"),
        ("VMAF", "speed_chroma_uv", "Speed_chroma_feature_speed_chroma_uv_score"),
        ("VMAF", "vmaf_ci_p95_lo", "BOOTSTRAP_VMAF_ci95_low_score"),
        ("PSNR", "psnr_y", "PSNR_score"),
        ("PSNR", "psnr_cb", "integer_PSNR_feature_psnr_cb_score"),
        ("VMAF", "float_psnr", "PSNR_feature_psnr_score"),
        ("PSNR_HVS", "psnr_hvs", "PSNR_HVS_score"),
        ("PSNR_HVS", "psnr_hvs_cb", "PSNRHVS_feature_psnr_hvs_cb_score"),
        ("CIEDE2000", "ciede2000", "CIEDE2000_score"),
        ("VMAF", "ciede2000", "CIEDE2000_feature_ciede2000_score"),
        ("CAMBI", "cambi", "Cambi_score"),
        ("CAMBI_FR", "cambi_full_reference", "Cambi_FR_score"),
        ("CAMBI_FR", "cambi_source", "Cambi_FR_feature_cambi_source_score"),
        ("CAMBI_FR", "cambi", "Cambi_FR_feature_cambi_score"),
        ("SPEED_CHROMA", "speed_chroma_uv", "SpeedChroma_score"),
        ("SPEED_CHROMA", "speed_chroma_u", "Speed_chroma_feature_speed_chroma_u_score"),
        ("SPEED_TEMPORAL", "speed_temporal", "SpeedTemporal_score"),
        ("MOMENT", "float_moment_ref2nd", "Moment_feature_ref2nd_score"),
        ("SSIM", "float_ssim_l", "SSIM_feature_ssim_l_score"),
        ("MS_SSIM", "float_ms_ssim_l_scale0", "MS_SSIM_feature_ms_ssim_l_scale0_score"),
        ("MS_SSIM", "float_ms_ssim", "MS_SSIM_score"),
    ],
)
def test_each_metric_has_the_name_that_upstream_gives_it(quality_type: str, metric: str, name: str) -> None:
    assert score_name(metric, extraction(quality_type)) == name


@pytest.mark.parametrize("kind", sorted(FEATURES))
def test_each_feature_has_its_name_in_upstream_as_the_name_of_its_metric(kind: str) -> None:
    for atom, feature in FEATURES[kind].items():
        if feature.mean_of:
            continue
        options = (("model", ""), ("feature", "name=cambi:full_ref=true" if kind == "Cambi_FR_feature" else ""))
        of = Extraction(type=kind, version="1.0", options=options, score="")
        of_ansnr = atom in ("ansnr", "anpsnr")  # of which libvmaf has one kind
        assert score_name(feature.metric, of) == f"{'VMAF_feature' if of_ansnr else _whole(kind)}_{atom}_score"


def _whole(kind: str) -> str:
    """The kind that libvmaf's metrics cannot be told from: that of which it is a part."""
    part = re.fullmatch(r"(float|integer)_(ADM|VIF|motion)_feature|(ANSNR)_feature", kind)
    return {"integer": "VMAF_integer_feature"}.get(part[1], "VMAF_feature") if part else kind


def test_the_metric_that_stands_for_features_is_no_score_of_a_quality_type() -> None:
    features = FeatureParam(atoms=(("VMAF_integer_feature", "adm2"),)).extraction
    assert score_name(features.score, features) == "VMAF_integer_feature_adm2_score"


def test_an_asset_is_called_as_upstream_calls_it(tmp_path: Path) -> None:
    of_raw = asset(raw(tmp_path / "Ref A.yuv"), raw(tmp_path / "dis-1.yuv"), dataset="test")
    assert identifier(of_raw) == "test_0_0_ref_a_176x144_vs_dis_1_176x144_q_176x144"
    coded = asset(
        container(tmp_path / "a.mp4", filters=(("crop", "288:162:144:81"),), start_frame=2, end_frame=5),
        container(tmp_path / "b.mp4"),
        resampling_type="lanczos",
        workfile_yuv_type="yuv420p10le",
    )
    name = "d_0_0_a_notyuv_lanczos_2to5_crop288_162_144_81_vs_b_notyuv_lanczos_q_176x144_wf_yuv420p10le"
    assert identifier(coded) == name
    long = asset(raw(tmp_path / f"{'r' * 100}.yuv"), raw(tmp_path / f"{'d' * 100}.yuv"))
    assert len(identifier(long)) == len(entry_name(long)) == 40


@pytest.mark.parametrize("kind", ["json", "xml"])
def test_what_is_written_is_read_again_with_the_same_numbers(kind: str, tmp_path: Path) -> None:
    (found,) = read_results(written(tmp_path, result(), kind=kind))
    assert (found.frames, found.executor_id, found.identifier, found.method) == (FRAMES, "VMAF_V0.6.1", "x", "mean")


def test_json_has_the_fields_of_upstream_in_its_order_and_no_number_that_is_none() -> None:
    found = json.loads(result(method="harmonic_mean", pooled={"VMAF_score": math.nan}).json())
    assert list(found) == ["executorId", "asset", "frames", "aggregate"]
    assert found["frames"][1] == {"frameNum": 1, "VMAF_integer_feature_adm2_score": 0.1, "VMAF_score": 80.25}
    assert found["aggregate"] == {"VMAF_score": None, "method": "harmonic_mean"}


def test_parts_become_one_result_of_all_frames(tmp_path: Path) -> None:
    second = result(frames={"VMAF_score": [10.0], "VMAF_integer_feature_adm2_score": [0.2]})
    paths = written(tmp_path, result(), second)
    whole = assembled(read_results(paths), paths, "mean")
    assert whole.frames["VMAF_score"] == [90.5, 80.25, 10.0]
    assert whole.pooled["VMAF_score"] == pytest.approx((90.5 + 80.25 + 10) / 3, abs=1e-12)  # each frame counts the same
    assert assembled(read_results(paths), paths, "min").pooled["VMAF_score"] == 10.0


def test_parts_of_several_executors_or_scores_are_refused_by_name(tmp_path: Path) -> None:
    paths = written(tmp_path, result(), result(executor_id="PSNR_V1.0"))
    with pytest.raises(HarnessError, match=r"1\.json is of PSNR_V1\.0, and .*0\.json of VMAF_V0\.6\.1"):
        assembled(read_results(paths), paths, "mean")
    paths = written(tmp_path, result(), result(frames={"VMAF_score": [1.0]}))
    with pytest.raises(HarnessError, match="do not have the same scores: VMAF_integer_feature_adm2_score"):
        assembled(read_results(paths), paths, "mean")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"frames": []}'),
        ("a.json", "[]"),
        ("a.json", '{"executorId": "V", "asset": {"identifier": "x"}, "frames": [{"VMAF_score": [1, 2]}]}'),
        ("a.xml", "<result><asset/></result>"),
        ("a.xml", '<!DOCTYPE r [<!ENTITY a "b">]><result executorId="V"/>'),
        ("a.txt", "VMAF 1"),
    ],
)
def test_what_is_no_result_is_refused_by_name(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HarnessError, match=r"a\.(json|xml)|\.txt"):
        read_results([tmp_path / name])


def test_parts_with_frames_of_different_scores_are_refused(tmp_path: Path) -> None:
    rows = [{"frameNum": 0, "VMAF_score": 1.0}, {"frameNum": 1, "VMAF_score": 1.0, "PSNR_score": 2.0}]
    about = {"executorId": "V", "asset": {"identifier": "x"}, "frames": rows}
    (tmp_path / "a.json").write_text(json.dumps(about))
    with pytest.raises(HarnessError, match="each frame has the same scores"):
        read_results([tmp_path / "a.json"])
