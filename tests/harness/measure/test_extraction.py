"""What is extracted, under which name it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clips import N_FRAMES

from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.measurement import measure
from vmaf_harness.model.files import read_model
from vmaf_harness.model.inspection import why_not_in_libvmaf
from vmaf_harness.model.quality_type import extraction


@pytest.mark.parametrize(
    ("quality_type", "score"),
    [("VMAF", "vmaf"), ("PSNR", "psnr_y"), ("SSIM", "float_ssim"), ("MS_SSIM", "float_ms_ssim")],
)
def test_each_quality_type_has_its_score_in_the_log(
    job: Callable[..., MeasurementJob], quality_type: str, score: str
) -> None:
    made = job(extraction_of=quality_type, quality_width_px=352, quality_height_px=288)  # MS-SSIM needs 176 lines
    with Processes() as processes:
        measured = measure(made, processes)
    assert made.extraction.score == score
    assert len(measured.frames[score]) == N_FRAMES
    assert ("vmaf" in measured.frames) == (quality_type == "VMAF")


@pytest.mark.parametrize(
    ("model", "phone", "executor_id", "option"),
    [
        (None, False, "VMAF_V0.6.1", "version=vmaf_v0.6.1"),
        ("vmaf_v0.6.1", False, "VMAF_V0.6.1", "version=vmaf_v0.6.1"),
        ("version=vmaf_v0.6.1", False, "VMAF_V0.6.1", "version=vmaf_v0.6.1"),
        ("vmaf_v0.6.1neg", False, "VMAF_V0.6.1neg", "version=vmaf_v0.6.1neg"),
        ("vmaf_4k_v0.6.1", False, "VMAF_V4k_v0.6.1", "version=vmaf_4k_v0.6.1"),
        (None, True, "VMAF_V0.6.1-phone", "version=vmaf_v0.6.1:enable_transform=true"),
    ],
)
def test_built_in_models_are_named_by_their_version(
    model: str | None, phone: bool, executor_id: str, option: str
) -> None:
    made = extraction("VMAF", model=model, phone_model=phone)
    assert made.executor_id == executor_id
    assert dict(made.options)["model"] == option


def test_a_json_model_scores_as_the_built_in_one(job: Callable[..., MeasurementJob], model: Path) -> None:
    with Processes() as processes:
        built_in = measure(job(), processes)
        from_file = measure(replace(job(), extraction=extraction("VMAF", model=str(model))), processes)
    assert from_file.frames["vmaf"] == built_in.frames["vmaf"]


def test_the_phone_model_scores_higher(job: Callable[..., MeasurementJob]) -> None:
    with Processes() as processes:
        plain = measure(job(), processes)
        phone = measure(replace(job(), extraction=extraction("VMAF", phone_model=True)), processes)
    assert phone.means["vmaf"] > plain.means["vmaf"] + 5


def test_a_json_model_is_known_by_its_content(model: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine: a, b.json"
    mine.write_bytes(model.read_bytes())
    before = extraction("VMAF", model=str(mine))
    data = json.loads(model.read_bytes())
    data["model_dict"]["score_clip"] = [0.0, 50.0]
    mine.write_text(json.dumps(data))
    after = extraction("VMAF", model=str(mine))
    assert before.identity != after.identity
    assert before.executor_id != after.executor_id
    assert before.executor_id.startswith("VMAF_Vmine__a__b-")


def test_a_model_changed_during_a_run_is_used_as_it_was_when_it_was_named(
    job: Callable[..., MeasurementJob], model: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(model.read_bytes())
    made = replace(job(), extraction=extraction("VMAF", model=str(mine)))
    mine.write_text("{}")
    with Processes() as processes:
        assert measure(made, processes).n_frames == N_FRAMES


@pytest.mark.parametrize("name", ["../../../../m.pkl", "m.onnx", "m.pkl.model"])
def test_models_that_are_not_json_are_refused_by_name(name: str) -> None:
    with pytest.raises(HarnessError, match="libvmaf reads no"):
        extraction("VMAF", model=name)


@pytest.mark.parametrize("name", ["no/such.json", "/etc", "vmaf_v0.6.1:enable_transform=true", "a,b", ";rm", "path=x"])
def test_a_model_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(HarnessError):
        extraction("VMAF", model=name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "model_dict: expected a dictionary"),
        (b"3", "model_dict: expected a dictionary"),
        (b"{}", "model_dict: expected a dictionary"),
        (b"\xff", "not UTF-8 without a byte order mark"),
    ],
)
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=said):
        extraction("VMAF", model=str(path))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_model_in_an_encoding_that_libvmaf_does_not_read_is_said_in_one_line(
    tmp_path: Path, model: Path, codec: str
) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(model.read_text().encode(codec))
    with pytest.raises(HarnessError, match=r"m\.json: not (UTF-8 without a byte order mark|JSON)") as caught:
        extraction("VMAF", model=str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(HarnessError) as again:
        read_model(path)
    assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("field", ["slopes", "intercepts", "feature_names"])
def test_a_model_that_lacks_a_number_is_not_given_to_libvmaf_which_would_read_on(
    tmp_path: Path, model: Path, field: str
) -> None:
    data = json.loads(model.read_bytes())
    data["model_dict"][field].pop()
    path = tmp_path / "m.json"
    path.write_text(json.dumps(data))
    with pytest.raises(HarnessError, match=r"m\.json: model_dict\.slopes: expected|model_dict\.intercepts: expected"):
        extraction("VMAF", model=str(path))
    assert "expected" in str(why_not_in_libvmaf(path))


@pytest.mark.parametrize("name", ["vmaf_v0.6.1neg", "vmaf_v1.0.16_3d0h", "vmaf_v0.6.1mfz"])
def test_options_of_published_models_are_found_in_the_names_of_the_log(
    job: Callable[..., MeasurementJob], model: Path, tmp_path: Path, name: str
) -> None:
    path = model.parent / f"{name}.json"
    if name == "vmaf_v0.6.1mfz":  # as published, but for the numbers of its machine
        data = json.loads(model.read_bytes())
        names = data["model_dict"]["feature_names"]
        data["model_dict"]["feature_opts_dicts"] = [{"motion_force_zero": True} if "motion" in n else {} for n in names]
        path = tmp_path / "mfz.json"
        path.write_text(json.dumps(data))
    made = extraction("VMAF", model=str(path))
    assert any(each.options for each in made.wanted)
    sizes = {"quality_width_px": 640, "quality_height_px": 360}
    with Processes() as processes:
        assert measure(replace(job(**sizes), extraction=made), processes).n_frames == N_FRAMES


def test_an_option_of_a_model_that_libvmaf_does_not_know_is_an_error_before_its_score_counts(
    job: Callable[..., MeasurementJob], model: Path, tmp_path: Path
) -> None:
    data = json.loads(model.read_bytes())
    names = data["model_dict"]["feature_names"]
    for options, said in (
        ({"adm_bogus": 1}, "libvmaf did not take adm_bogus for adm"),
        ({"adm_enhn_gain_limt": 1.0}, r"adm_enhn_gain_limt .*; is adm_enhn_gain_limit meant\?"),
        ({"vif_enhn_gain_limit": 1.0}, "libvmaf did not take vif_enhn_gain_limit for adm"),
    ):
        data["model_dict"]["feature_opts_dicts"] = [options if "adm2" in name else {} for name in names]
        path = tmp_path / "m.json"
        path.write_text(json.dumps(data))
        made = replace(job(), extraction=extraction("VMAF", model=str(path)))
        with Processes() as processes, pytest.raises(HarnessError, match=said):
            measure(made, processes)


@pytest.mark.parametrize(
    "spelled",
    [
        '"feature_opts_dicts": [{"heatmaps_path": "PLACE"}]',
        r'"feature_opts_dicts": [{"heat\u006daps_path": "PLACE"}]',
        '"feature_opts_dicts": [{"heatmaps_path": "PLACE"}], "feature_opts_dicts": []',
    ],
    ids=["plain", "escaped", "twice"],
)
def test_a_model_that_would_make_libvmaf_write_files_is_refused(
    tmp_path: Path, nowhere: Path, model: Path, spelled: str
) -> None:
    about = json.loads(model.read_bytes())["model_dict"]
    about["feature_names"][0] = "Cambi_feature_cambi_score"
    text = json.dumps({"model_dict": about}).replace('"model_type"', 'OPTIONS, "model_type"')
    path = tmp_path / "m.json"
    path.write_text(text.replace("OPTIONS", spelled).replace("PLACE", str(nowhere / "maps")))
    with pytest.raises(HarnessError, match="heatmaps_path"):
        extraction("VMAF", model=str(path))
    assert "heatmaps_path" in str(why_not_in_libvmaf(path))
    assert not (nowhere / "maps").exists()


def test_an_unknown_built_in_version_is_an_error_that_names_it(job: Callable[..., MeasurementJob]) -> None:
    made = replace(job(), extraction=extraction("VMAF", model="vmaf_v9.9.9"))
    with Processes() as processes, pytest.raises(EngineError, match=r"has no model vmaf_v9\.9\.9"):
        measure(made, processes)


def test_only_vmaf_has_a_model() -> None:
    with pytest.raises(HarnessError, match="not for SSIM, which has no model"):
        extraction("SSIM", model="vmaf_v0.6.1")


def test_an_unknown_quality_type_is_an_error() -> None:
    with pytest.raises(HarnessError, match=r"STRRED is a program for MATLAB, .*take SPEED_TEMPORAL"):
        extraction("STRRED")
