"""It is the same model everywhere: in memory, in the `.pkl` read again, in LIBSVM, and in libvmaf."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import Clips, asset, container

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import measure
from vmaf_harness.model.feature_param import FeatureParam, feature_name
from vmaf_harness.model.files import json_bytes, read_model, write_model
from vmaf_harness.model.model import Model, chroma_corrected
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.model.predictor import model_features
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.model.svm import Svm
from vmaf_harness.model.transform import ScoreTransform
from vmaf_harness.recipe.asset import Video
from vmaf_harness.training.fit import Table, Workers, fit

AGREE = 1e-3  # of a score between 0 and 100, per frame
PHONE = {"p0": 1.70674692, "p1": 1.72643844, "p2": -0.00705305, "out_gte_in": "true"}  # of VMAF's phone model
KNOTS = {"knots": [[0.0, 5.0], [40.0, 30.0], [70.0, 70.0], [90.0, 70.0], [100.0, 120.0]], "enabled": True}
SIX = ("adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3")
KINDS = {
    "float": [("VMAF_feature", atom) for atom in (*SIX, "adm_scale0", "adm_scale3", "motion")],
    "integer": [("VMAF_integer_feature", atom) for atom in (*SIX, "adm_scale0", "adm_scale3")],
    "both": [("VMAF_feature", "adm2"), ("VMAF_feature", "vif_scale2"), ("VMAF_integer_feature", "motion2")],
}


def features(kind: str) -> FeatureParam:
    return FeatureParam(atoms=tuple(sorted(KINDS[kind], key=lambda atom: feature_name(*atom))))


class Measured:
    """Frames of real clips, measured by the real libvmaf."""

    def __init__(self, engine: Engine, clips: Clips, directory: Path) -> None:
        self._engine, self._clips, self._directory = engine, clips, directory
        every = FeatureParam(atoms=tuple(sorted({*KINDS["float"], *KINDS["integer"]}, key=lambda a: feature_name(*a))))
        blurs = [(("gblur", f"sigma={sigma}"),) for sigma in (0.4, 0.8, 1.5, 3.0)]
        distorted = [container(clips.mp4(name)) for name in ("x264", "x265", "av1")]
        distorted += [container(clips.mp4("reference"), filters=blur) for blur in blurs]
        rows = [every.columns(self.frames(every.extraction, video)) for video in distorted]
        # Each frame is a row; the first frame has no motion, and two frames of a blurred clip are too alike to miss.
        self.columns = {name: np.concatenate([np.array(row[name]) for row in rows]) for name in every.feature_names}
        detail, motion = self.columns["VMAF_feature_vif_scale1_score"], self.columns["VMAF_feature_motion2_score"]
        self.labels = 12 + 80 * detail + motion + 3 * np.sin(50 * detail)

    def frames(self, extraction: Extraction, distorted: Video | None = None) -> dict[str, list[float]]:
        job = MeasurementJob(
            engine=self._engine.path,
            asset=asset(container(self._clips.mp4("reference")), distorted or container(self._clips.mp4("x264"))),
            extraction=extraction,
            directory=self._directory / "scratch",
            failures=self._directory / "failures",
        )
        with Processes() as processes:
            return measure(job, processes).frames

    def by_libvmaf(self, path: Path, *, transform: bool = False) -> dict[str, list[float]]:
        return self.frames(extraction("VMAF", model=str(path), phone_model=transform))

    @property
    def table(self) -> Table:
        return Table(features=self.columns, labels=self.labels, assets=[f"frame {i}" for i in range(len(self.labels))])

    def model(self, kind: str, model_type: str = "LIBSVMNUSVR", **parameters: Any) -> Model:
        given = {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9, "score_clip": [0.0, 100.0], **parameters}
        return fit(self.table, features(kind), build_model_param(model_type, given), workers=Workers(threads=1))


@pytest.fixture(scope="module")
def measured(engine: Engine, clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Measured(engine, clips, tmp_path_factory.mktemp("measured"))


def inputs(model: Model, metrics: Mapping[str, list[float]]) -> dict[str, Any]:
    return model_features(model, "it").columns(metrics)


def of_members(model: Model, features: Any) -> Any:
    """What each member predicts; shape (members, rows)."""
    return np.stack([replace(model, members=(member,)).predict(features) for member in model.members])


def differ(ours: Any, theirs: Any) -> float:
    assert len(ours) == len(theirs) > 0
    return float(np.max(np.abs(np.asarray(ours) - np.asarray(theirs))))


def spread(scores: Any) -> float:
    return float(np.max(scores) - np.min(scores))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "norm",
    [
        {"norm_type": "none", "gamma": 0.05},
        {"norm_type": "clip_0to1"},
        {"norm_type": "clip_minus1to1"},
        {"norm_type": "normalize"},
        {"norm_type": "custom_clip_0to1", "custom_clip_0to1_map": {"VMAF_feature_adm2_score": [0.4, 1.0]}},
    ],
    ids=lambda norm: norm["norm_type"],
)
def test_libvmaf_the_read_pkl_and_the_model_agree(
    measured: Measured, nowhere: Path, kind: str, norm: dict[str, Any]
) -> None:
    model = measured.model(kind, **norm)
    paths = write_model(nowhere / "m.pkl", model)
    assert [path.name for path in paths] == ["m.pkl", "m.pkl.model", "m.json"]
    metrics = measured.by_libvmaf(nowhere / "m.json")
    ours = model.predict(inputs(model, metrics))
    assert spread(metrics["vmaf"]) > 1  # it does predict something
    assert differ(ours, metrics["vmaf"]) <= AGREE
    for path in (nowhere / "m.pkl", nowhere / "m.json"):
        again = read_model(path)
        assert differ(again.predict(inputs(again, metrics)), ours) == 0.0
        assert (again.feature_names, again.feature_dict) == (model.feature_names, model.feature_dict)
        assert again.texts() == model.texts()


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid"])
def test_every_kernel_agrees(measured: Measured, nowhere: Path, kernel: str) -> None:
    model = measured.model("integer", kernel=kernel, gamma=0.1, coef0=0.25, degree=2, score_clip=None)
    write_model(nowhere / "m", model)
    metrics = measured.by_libvmaf(nowhere / "m.json")
    assert differ(model.predict(inputs(model, metrics)), metrics["vmaf"]) <= AGREE


@pytest.mark.parametrize(
    ("transform", "clip"),
    [
        (PHONE, [0.0, 100.0]),
        ({**PHONE, "enabled": True}, [0.0, 100.0]),
        ({**PHONE, "enabled": True}, None),
        (KNOTS, None),
        ({**KNOTS, "p1": 1.4, "out_lte_in": "true"}, [20.0, 55.0]),
        ({"knots": [[40.0, 0.0], [50.0, 30.0]], "enabled": True}, None),
        ({"p2": 0.01, "out_lte_in": "true", "enabled": False}, None),
        ({"enabled": True}, [30.0, 50.0]),
    ],
)
def test_score_transform_and_clip_agree_whether_asked_for_or_not(
    measured: Measured, nowhere: Path, transform: dict[str, Any], clip: list[float] | None
) -> None:
    model = measured.model("float", score_transform=transform, score_clip=clip)
    write_model(nowhere / "m", model)
    unasked = measured.by_libvmaf(nowhere / "m.json")
    asked = measured.by_libvmaf(nowhere / "m.json", transform=True)
    again = read_model(nowhere / "m.pkl")
    for each in (model, again):
        assert differ(each.predict(inputs(each, unasked)), unasked["vmaf"]) <= AGREE
        assert differ(each.predict(inputs(each, asked), transform=True), asked["vmaf"]) <= AGREE
    changes = transform.keys() - {"enabled"} and not transform.get("enabled")
    assert (differ(unasked["vmaf"], asked["vmaf"]) > 1) == bool(changes)
    if clip is not None:
        assert clip[0] <= min(asked["vmaf"]) <= max(asked["vmaf"]) <= clip[1]


@pytest.mark.parametrize("model_type", ["BOOTSTRAP_LIBSVMNUSVR", "RESIDUEBOOTSTRAP_LIBSVMNUSVR"])
def test_each_bootstrap_member_agrees(measured: Measured, nowhere: Path, model_type: str) -> None:
    model = measured.model("integer", model_type, num_models=4, score_transform={**PHONE, "enabled": True})
    paths = [path.name for path in write_model(nowhere / "m.pkl", model)]
    numbers = ["", ".0001", ".0002", ".0003"]
    parts = [f"m.pkl{number}{end}" for number in numbers for end in ("", ".model")]
    assert paths == [*parts, "m.json", "m.bootstrap.json"]
    metrics = measured.by_libvmaf(nowhere / "m.json")  # model 0, and it loads
    given = inputs(model, metrics)
    assert differ(model.predict(given), metrics["vmaf"]) <= AGREE
    every = of_members(model, given)
    assert every.shape == (4, len(metrics["vmaf"]))
    collection = json.loads((nowhere / "m.bootstrap.json").read_bytes())
    assert list(collection) == ["0", "1", "2", "3"]
    for index, scores in enumerate(every):
        (nowhere / "one.json").write_text(json.dumps(collection[str(index)]))
        assert differ(scores, measured.by_libvmaf(nowhere / "one.json")["vmaf"]) <= AGREE
        assert index == 0 or differ(scores, every[0]) > AGREE
    for again in (read_model(nowhere / "m.pkl"), read_model(nowhere / "m.bootstrap.json")):
        assert differ(of_members(again, given), every) == 0.0
        interval = again.interval(given)
        assert (interval["low"] <= interval["mean"]).all()
        assert (interval["mean"] <= interval["high"]).all()
        assert (interval["sd"] >= 0).all()


def test_the_interval_is_that_of_the_resampled_members(measured: Measured) -> None:
    model = measured.model("float", "BOOTSTRAP_LIBSVMNUSVR", num_models=5, score_clip=None)
    members = of_members(model, measured.columns)[1:]
    interval = model.interval(measured.columns)
    np.testing.assert_allclose(interval["mean"], members.mean(axis=0))
    np.testing.assert_allclose(interval["sd"], members.std(axis=0))
    np.testing.assert_allclose([interval["low"], interval["high"]], np.percentile(members, [2.5, 97.5], axis=0))
    line = replace(model, score_transform=ScoreTransform(p0=3.0, p1=2.0, enabled=True))
    np.testing.assert_allclose(line.interval(measured.columns)["sd"], 2 * interval["sd"])
    with pytest.raises(HarnessError, match="has no interval"):
        measured.model("float").interval(measured.columns)


def shipped(name: str) -> Path:
    spec = find_spec("ffmpeg_quality_metrics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "vmaf_models" / name


@pytest.mark.parametrize("name", ["vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1"])
@pytest.mark.parametrize("phone", [False, True])
def test_shipped_models_predict_what_libvmaf_has_built_in(measured: Measured, name: str, phone: bool) -> None:
    model = read_model(shipped(f"{name}.json"))
    metrics = measured.frames(extraction("VMAF", model=name, phone_model=phone))
    ours = model.predict(inputs(model, metrics), transform=phone)
    assert spread(metrics["vmaf"]) > 1
    assert differ(ours, metrics["vmaf"]) <= AGREE


def test_loss_of_chroma_that_is_none_is_told_from_loss_of_detail_as_libvmaf_tells_it() -> None:
    model = read_model(shipped("vmaf_v1.0.16_3d0h.json"))
    columns = {name: [0.9] for name in model.feature_names}
    chroma = next(name for name in columns if "speed_chroma" in name)
    given = model.predict({**columns, chroma: [120.0 * (1 - 0.9)]})
    assert model.predict({**columns, chroma: [0.0]}) == pytest.approx(given)
    assert model.predict({**columns, chroma: [1e-9]}) != pytest.approx(given)


def test_a_model_that_corrects_chroma_without_its_two_features_is_named() -> None:
    with pytest.raises(HarnessError, match="needs one feature of speed_chroma and one of adm3"):
        chroma_corrected(np.ones((1, 2)), ("VMAF_feature_adm3_score", "VMAF_feature_motion3_score"), 120.0)


def test_options_of_features_are_part_of_the_model(measured: Measured, nowhere: Path) -> None:
    limits = {"adm_enhn_gain_limit": 1.0, "vif_enhn_gain_limit": 1.0}
    plain = features("integer")
    own = tuple({k: v for k, v in limits.items() if k.startswith(atom[:3])} for _, atom in plain.atoms)
    chosen = replace(plain, options=own)
    columns = chosen.columns(measured.frames(chosen.extraction))
    model = replace(measured.model("integer"), feature_opts_dicts=chosen.options)
    write_model(nowhere / "m", model)
    metrics = measured.by_libvmaf(nowhere / "m.json")
    assert differ(model.predict(columns), metrics["vmaf"]) <= AGREE
    without = plain.columns(measured.frames(plain.extraction))
    assert differ(model.predict(without), metrics["vmaf"]) > AGREE
    assert read_model(nowhere / "m.json").feature_opts_dicts == chosen.options


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid"])
def test_libsvm_itself_reads_our_text_and_predicts_the_same(measured: Measured, nowhere: Path, kernel: str) -> None:
    svmutil = pytest.importorskip("libsvm.svmutil", reason="libsvm-official is not installed: it needs a C++ compiler")
    model = measured.model("float", kernel=kernel, gamma=0.3, coef0=0.5, norm_type="normalize")
    (svm,) = model.members
    assert isinstance(svm, Svm)
    path = nowhere / "m.pkl.model"
    path.write_text(svm.text())
    loaded = svmutil.svm_load_model(str(path))
    x = np.random.RandomState(0).normal(size=(50, len(model.feature_names)))
    x[:5, ::2] = 0.0
    theirs, _, _ = svmutil.svm_predict([], x.tolist(), loaded, "-q")
    assert spread(theirs) > 0.01
    assert differ(svm.predict(x), theirs) <= 1e-9
    svmutil.svm_save_model(str(path), loaded)  # and what LIBSVM writes is read by us; vectors have 8 digits there
    again = Svm.of_text(path.read_text(), x.shape[1], "m")
    assert differ(again.predict(x), theirs) <= 1e-4


def test_text_keeps_every_bit(measured: Measured) -> None:
    (svm,) = measured.model("float").members
    assert isinstance(svm, Svm)
    odd = replace(svm, rho=0.1 + 0.2, gamma=1 / 3, vectors=svm.vectors * math.pi)
    again = Svm.of_text(odd.text(), odd.vectors.shape[1], "m")
    assert (again.rho, again.gamma, again.kernel) == (odd.rho, odd.gamma, odd.kernel)
    np.testing.assert_array_equal(again.coefs, odd.coefs)
    np.testing.assert_array_equal(again.vectors, odd.vectors)


def test_predictions_of_many_rows_are_those_of_few(measured: Measured) -> None:
    model = measured.model("integer")
    columns = {name: np.tile(measured.columns[name], 30) for name in model.feature_names}
    many = model.predict(columns)
    assert len(many) > 2048
    np.testing.assert_allclose(many, np.tile(model.predict(measured.columns), 30), atol=1e-10)
    assert model.predict({name: [] for name in columns}).shape == (0,)


def test_a_missing_feature_is_named(measured: Measured) -> None:
    with pytest.raises(HarnessError, match="needs the feature VMAF_integer_feature_adm2_score"):
        measured.model("integer").predict({"VMAF_integer_feature_motion2_score": [1.0]})


def test_what_libvmaf_could_not_load_is_not_written_as_json(measured: Measured, nowhere: Path) -> None:
    model = measured.model("float")
    odd = replace(model, feature_names=("VMAF_feature_vif_score", *model.feature_names[1:]))
    assert [path.name for path in write_model(nowhere / "m", odd)] == ["m.pkl", "m.pkl.model"]
    with pytest.raises(HarnessError, match="does not offer VMAF_feature_vif_score"):
        odd.as_json_dict(odd.texts(), 0)


def set_field(info: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    model = {**info["model_dict"], key: value}
    if value is None:
        del model[key]
    return {**info, "model_dict": model}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model_type", "RANDOM", r"model_dict\.model_type: expected one of LIBSVMNUSVR.*got 'RANDOM'"),
        ("model_type", None, r"model_dict\.model_type: .*missing"),
        ("feature_names", None, r"model_dict\.feature_names"),
        ("feature_names", "adm2", r"model_dict\.feature_names: expected a list of names"),
        ("feature_names", ["a", "a"], "each name once"),
        ("norm_type", "clip_0to1", r"model_dict\.norm_type: expected none or linear_rescale"),
        ("slopes", [1.0, 2.0], r"model_dict\.slopes: expected 10 numbers"),
        ("slopes", [0.0, *[1.0] * 9], "a first slope, the score's, that is not 0"),
        ("intercepts", [math.inf] * 10, r"model_dict\.intercepts"),
        ("intercepts", None, r"model_dict\.intercepts: .*missing"),
        ("intercepts", [10**400] * 10, r"model_dict\.intercepts"),
        ("score_transform", {"p0": 10**400}, r"model_dict\.score_transform: expected finite numbers"),
        ("score_clip", [0.0], r"model_dict\.score_clip"),
        ("score_transform", {"p3": 1.0}, r"model_dict\.score_transform: 'p3' is not known"),
        ("score_transform", {"p1": "x"}, r"score_transform: p1: expected a number"),
        ("score_transform", {"knots": [[0, 0], [0, 1]]}, "x must rise"),
        ("score_transform", {"knots": [[i, i] for i in range(11)]}, "2 to 10 pairs"),
        ("feature_opts_dicts", [{}], r"model_dict\.feature_opts_dicts"),
        ("feature_dict", ["adm2"], r"model_dict\.feature_dict"),
        ("chroma_correction_parameter", "x", r"model_dict\.chroma_correction_parameter"),
        ("model", None, r"model_dict\.model: expected LIBSVM's text"),
        ("model", "text", r"model_dict\.model: not LIBSVM's text"),
        ("model", "svm_type c_svc\nkernel_type rbf\nSV\n", "svm_type c_svc is no regression"),
        ("model", "svm_type nu_svr\nkernel_type cubic\nSV\n", "kernel_type cubic"),
        ("model", "svm_type nu_svr\nkernel_type rbf\ngamma 1\ntotal_sv 1\nSV\n1 1:1\n", "lacks rho"),
        ("model", "svm_type nu_svr\nkernel_type linear\nrho 0\ntotal_sv 2\nSV\n1 1:1\n", "total_sv is 2, but 1"),
        ("model", "svm_type nu_svr\nkernel_type linear\nrho 0\ntotal_sv 1\nSV\n1 99:1\n", "line 6: '99:1' is of no"),
        ("model", "svm_type nu_svr\nkernel_type linear\nrho x\ntotal_sv 0\nSV\n", "rho: expected a number"),
        (
            "model",
            f"svm_type nu_svr\nkernel_type linear\nrho 0\ntotal_sv 1\nSV\n1 {'9' * 5000}:1\n",
            "line 6: '9{40}' is of no",
        ),
        ("model", "svm_type nu_svr\nkernel_type rbf\ngamma -50\nrho 0\ntotal_sv 0\nSV\n", "a gamma from 0"),
        (
            "model",
            "svm_type nu_svr\nkernel_type polynomial\ndegree 1e300\ngamma 1\ncoef0 0\nrho 0\ntotal_sv 0\nSV\n",
            "a degree from 0 to 100",
        ),
    ],
)
def test_json_of_a_wrong_schema_is_an_error_naming_the_field(
    measured: Measured, nowhere: Path, key: str, value: Any, problem: str
) -> None:
    model = measured.model("float")
    info = set_field(model.as_json_dict(model.texts(), 0), key, value)
    (nowhere / "m.json").write_text(json.dumps(info))
    with pytest.raises(HarnessError, match=problem) as caught:
        read_model(nowhere / "m.json")
    assert str(nowhere / "m.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"model_dict": 1}', '"model_dict"', "[" * 100_000, "\x00\xff"])
def test_what_is_no_model_at_all_is_an_error_with_its_path(nowhere: Path, text: str) -> None:
    (nowhere / "m.json").write_text(text, encoding="latin-1")
    with pytest.raises(HarnessError, match=r"m\.json: "):
        read_model(nowhere / "m.json")


def test_a_collection_with_a_gap_or_of_two_models_is_refused(measured: Measured, nowhere: Path) -> None:
    model = measured.model("integer", "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    every = {str(i): model.as_json_dict(model.texts(), i) for i in range(3)}
    path = nowhere / "m.bootstrap.json"
    path.write_bytes(json_bytes({"0": every["0"], "2": every["2"]}))
    with pytest.raises(HarnessError, match="without a gap"):
        read_model(path)
    path.write_bytes(json_bytes({**every, "1": set_field(every["1"], "slopes", [1.0] * 9)}))
    with pytest.raises(HarnessError, match=r"1: model_dict\.slopes: differs from that of model 0"):
        read_model(path)
