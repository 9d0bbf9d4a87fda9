"""What libvmaf calls a feature, and whether it took the options: held against the real libvmaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.features import FEATURES
from vmaf_harness.measure.measurement import measure
from vmaf_harness.measure.metrics import OPTIONS, RequestedMetric, check_metrics, metric_name
from vmaf_harness.model.feature_param import FeatureParam

ADM2 = "VMAF_integer_feature_adm2_score"
GIVEN = {"vif_prescale_method": "bilinear"}  # where another number is not another value
ATOM = {"adm": "adm2", "vif": "vif_scale1", "motion": "motion2"}


def of_kind(extractor: str, options: Mapping[str, Any]) -> FeatureParam:
    aggregate = "VMAF_feature" if extractor.startswith("float_") else "VMAF_integer_feature"
    return FeatureParam(atoms=((aggregate, ATOM[extractor.removeprefix("float_")]),), options=(options,))


def measured(job: Callable[..., MeasurementJob], features: FeatureParam) -> dict[str, list[float]]:
    with Processes() as processes:
        return features.columns(measure(replace(job(), extraction=features.extraction), processes).frames)


def other_than(option: str, default: Any) -> Any:
    if option in GIVEN:
        return GIVEN[option]
    if isinstance(default, bool):
        return not default
    others: dict[str, Any] = {
        "adm_csf_mode": 2,
        "adm_csf_scale": 0.9,
        "adm_csf_diag_scale": 0.9,
        "adm_bypass_cm": 1,
        "adm_skip_aim_scale": 1,
        "adm_ref_display_height": 2160,
    }
    others |= {"motion_filter_size": 3, "adm_dlm_weight": 0.25, "adm_norm_view_dist": 1.5, "adm_p_norm": 4.0}
    return others.get(option, 1.0 if default in (100.0, 10000.0) else 0.5)


@pytest.mark.parametrize("extractor", ["adm", "float_adm", "vif", "float_vif", "motion", "float_motion"])
def test_every_option_that_is_listed_is_taken_and_at_its_default_changes_nothing(
    job: Callable[..., MeasurementJob], extractor: str
) -> None:
    known = {name: default for name, (_, default) in OPTIONS[extractor].items() if name != "debug"}
    changed = {name: other_than(name, default) for name, default in known.items()}
    changed.pop("adm_skip_aim", None)  # shows in no name
    assert measured(job, of_kind(extractor, changed))
    legal = {name: default for name, default in known.items() if name != "adm_skip_aim_scale"}  # −1 may not be said
    assert list(measured(job, of_kind(extractor, legal)).values()) == list(
        measured(job, of_kind(extractor, {})).values()
    )


@pytest.mark.parametrize(
    ("extractor", "options", "said"),
    [
        (
            "adm",
            {"adm_enhn_gain_limt": 1.0},
            r"did not take adm_enhn_gain_limt for adm, .*; is adm_enhn_gain_limit",
        ),
        ("vif", {"vif_enhn_gain_lmit": 1.0}, r"is vif_enhn_gain_limit meant\?"),
        ("vif", {"vif_kernelscale": 1.5}, "did not take vif_kernelscale for vif"),  # only the float kind has it
        ("adm", {"adm_enhn_gain_limit": 1.0, "adm_bogus": 3}, "did not take adm_bogus for adm"),
        ("adm", {"adm_bogus": 3, "adm_zzz": True}, "did not take adm_bogus and adm_zzz"),
        ("float_motion", {"motion_force_zer": True}, r"is motion_force_zero meant\?"),
    ],
)
def test_an_option_that_libvmaf_ignores_is_an_error(
    job: Callable[..., MeasurementJob], extractor: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(HarnessError, match=said):
        measured(job, of_kind(extractor, options))


def test_a_misspelt_option_beside_the_right_one_is_not_taken_for_it(job: Callable[..., MeasurementJob]) -> None:
    kind = "VMAF_integer_feature"
    options = ({"vif_enhn_gain_limit": 1.0}, {"vif_enhn_gain_limt": 1.0})
    features = FeatureParam(atoms=((kind, "vif_scale0"), (kind, "vif_scale1")), options=options)
    with pytest.raises(HarnessError, match="did not take vif_enhn_gain_limt"):
        measured(job, features)


def test_features_with_options_of_their_own_are_told_apart(job: Callable[..., MeasurementJob]) -> None:
    kind, limit = "VMAF_integer_feature", {"vif_enhn_gain_limit": 1.0}
    scales = [(kind, f"vif_scale{scale}") for scale in range(4)]
    mixed = measured(job, FeatureParam(atoms=tuple(scales), options=(limit, {}, limit, {})))
    limited = measured(job, FeatureParam(atoms=tuple(scales), options=(limit,) * 4))
    plain = measured(job, FeatureParam(atoms=tuple(scales)))
    for index, name in enumerate(mixed):
        assert mixed[name] == (plain if index % 2 else limited)[name]
        assert limited[name] != plain[name]


def test_an_option_that_no_name_shows_is_for_all_features_of_an_extractor_or_for_none(
    job: Callable[..., MeasurementJob],
) -> None:
    kind, skips = "VMAF_integer_feature", {"adm_skip_aim": True}
    atoms = ((kind, "adm2"), (kind, "aim"))
    everywhere = FeatureParam(atoms=atoms, options=(skips, skips))
    assert max(measured(job, everywhere)["VMAF_integer_feature_aim_score"]) == 0
    assert min(measured(job, FeatureParam(atoms=atoms))["VMAF_integer_feature_aim_score"]) > 0
    with pytest.raises(HarnessError, match="differ in adm_skip_aim, which changes numbers but no name"):
        measured(job, FeatureParam(atoms=atoms, options=(skips, {})))


def test_every_atom_of_both_kinds_is_measured_as_upstream_defines_it(job: Callable[..., MeasurementJob]) -> None:
    for kind in ("VMAF_feature", "VMAF_integer_feature"):
        found = {
            name.removeprefix(f"{kind}_").removesuffix("_score"): np.array(column)
            for name, column in measured(
                job, FeatureParam(atoms=tuple((kind, atom) for atom in FEATURES[kind]))
            ).items()
        }
        assert len(found) == 39
        for family in ("vif", "adm"):
            num, den = found[f"{family}_num"], found[f"{family}_den"]
            assert np.allclose(found[family], num / den, atol=1e-4)
            scales = range(4)
            for scale in scales:
                ratio = found[f"{family}_num_scale{scale}"] / found[f"{family}_den_scale{scale}"]
                assert np.allclose(found[f"{family}_scale{scale}"], ratio, atol=1e-4)
            assert np.allclose(num, sum(found[f"{family}_num_scale{scale}"] for scale in scales), rtol=1e-4)
        scales_of_vif = np.stack([found[f"vif_num_scale{n}"] / found[f"vif_den_scale{n}"] for n in range(4)])
        assert np.allclose(found["vif2"], scales_of_vif.mean(axis=0), atol=1e-5)
        assert (found["ansnr"] > 0).all()
        assert (found["anpsnr"] > found["ansnr"]).all()


def test_metrics_are_found_by_the_names_that_the_log_gives_them() -> None:
    assert metric_name("VMAF_feature_vif_scale3_score") == "vif_scale3"
    assert metric_name("VMAF_integer_feature_motion2_score") == "integer_motion2"
    assert metric_name("VMAF_integer_feature_ansnr_score") == metric_name("VMAF_feature_ansnr_score") == "float_ansnr"
    assert metric_name("Cambi_feature_cambi_score") == "cambi"
    known = ["integer_adm2_egl_1", "integer_adm_scale0_egl_1", "integer_adm_num", "integer_adm_egl_1", "adm2"]
    limit = {"adm_enhn_gain_limit": 1}
    assert RequestedMetric.of(ADM2, limit).find_in(known) == "integer_adm2_egl_1"
    assert RequestedMetric.of("VMAF_integer_feature_adm_score", limit).find_in(known) == "integer_adm_egl_1"
    assert RequestedMetric("VMAF_feature_adm2_score").find_in(known) == "adm2"
    with pytest.raises(HarnessError, match="libvmaf gives no motion2; it gives integer_adm2_egl_1"):
        check_metrics([RequestedMetric("VMAF_feature_motion2_score")], known)
    assert FeatureParam(atoms=(("VMAF_feature", "adm2"),)).columns({"adm2": [1.0], "motion2": [0.0]}) == {
        "VMAF_feature_adm2_score": [1.0]
    }


def test_an_option_that_is_newer_than_the_list_counts_where_a_name_shows_it() -> None:
    newer = RequestedMetric.of(ADM2, {"adm_enhn_gain_limit": 1.0, "adm_new_thing": 2.5})
    assert newer.find_in(["integer_adm2", "integer_adm2_egl_1_nt_2.5"]) == "integer_adm2_egl_1_nt_2.5"
    with pytest.raises(HarnessError, match="did not take adm_new_thing"):
        newer.find_in(["integer_adm2", "integer_adm2_egl_1"])


def test_what_libvmaf_computes_is_stored_as_before_where_the_numbers_are_as_before() -> None:
    integer = tuple(("VMAF_integer_feature", atom) for atom in ("adm2", "motion", "vif", "vif_scale0"))
    made: Extraction = FeatureParam(atoms=integer).extraction
    assert made.identity == {
        "executor_id": "VMAF_integer_feature_V1.0",
        "options": [["model", ""], ["feature", "name=adm|name=motion:debug=true|name=vif:debug=true"]],
        "model_sha256": None,
    }
