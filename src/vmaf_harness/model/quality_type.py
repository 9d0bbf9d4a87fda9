"""What is extracted for a quality type, with which model: a built-in one, or a JSON file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import FEATURE_VERSION, Extraction, ModelFile
from vmaf_harness.measure.metrics import RequestedMetric

DEFAULT_MODEL = "vmaf_v0.6.1"
QUALITY_TYPES = ("VMAF", "PSNR", "SSIM", "MS_SSIM")

# Those that libvmaf may bring (libvmaf/src/model.c); each build has some of them, so each is tried.
_V1_VIEWING = ("3d0h", "5d0h", "1d5h_2160", "3d0h_2160")
BUILT_IN = (
    *("vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1", "vmaf_4k_v0.6.1neg"),
    *("vmaf_float_v0.6.1", "vmaf_float_v0.6.1neg", "vmaf_float_4k_v0.6.1"),
    *(f"vmaf_v1.0.16_{size}" for size in _V1_VIEWING),
    *(f"vmaf_v1.0.16_hfr_{size}" for size in _V1_VIEWING),
)

# quality type -> (libvmaf's feature, its metric in the log that is the score)
_FEATURES = {
    "PSNR": ("psnr", "psnr_y"),
    "SSIM": ("float_ssim", "float_ssim"),
    "MS_SSIM": ("float_ms_ssim", "float_ms_ssim"),
}


def extraction(quality_type: str, *, model: str | None = None, phone_model: bool = False) -> Extraction:
    """The extraction of a quality type: `VMAF`, `PSNR`, `SSIM` or `MS_SSIM`.

    *model* is the name of a built-in version, also as `version=NAME`, or the path of a JSON model; *phone_model*
    applies the model's score transform. Only VMAF takes either. Raises HarnessError for a type or a model that is
    not understood.
    """
    if quality_type == "VMAF":
        return _vmaf_extraction(model or DEFAULT_MODEL, phone_model)
    if quality_type not in _FEATURES:
        raise HarnessError(f"unknown quality type {quality_type!r}; known are {', '.join(QUALITY_TYPES)}")
    if model or phone_model:
        raise HarnessError(f"{quality_type} has no model; --vmaf-model and --vmaf-phone-model are for VMAF")
    feature, score = _FEATURES[quality_type]
    # The empty model keeps libvmaf from computing v0.6.1 as well.
    options = (("model", ""), ("feature", f"name={feature}"))
    return Extraction(type=quality_type, version=FEATURE_VERSION, options=options, score=score)


def _vmaf_extraction(model: str, phone_model: bool) -> Extraction:
    transform = ":enable_transform=true" if phone_model else ""
    suffix = "-phone" if phone_model else ""
    path = model.removeprefix("path=")
    if path == model and not re.search(r"[/\\]|\.(json|pkl|model|onnx)$", model):
        name = model.removeprefix("version=")
        if not re.fullmatch(r"[A-Za-z0-9_.]+", name):
            raise HarnessError(f"{model!r} is neither the name of a built-in model nor the path of a .json model")
        if re.match(r"(vmaf_)?b_", name):
            raise HarnessError(
                f"{name} is a collection of models, which ffmpeg's filter does not load; give the path of its .json"
            )
        version = name.removeprefix("vmaf_").removeprefix("v") + suffix
        options = (("model", f"version={name}{transform}"),)
        return Extraction(type="VMAF", version=version, options=options, score="vmaf")
    file, wanted = _read_model_file(Path(path))
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(path).stem)[:80]
    return Extraction(
        type="VMAF",
        version=f"{stem}-{file.sha256[:8]}{suffix}",
        options=(("model", f"path={file.name}{transform}"),),
        score="vmaf",
        model=file,
        wanted=wanted,
    )


WRITES_FILES = "has the option heatmaps_path, by which libvmaf would write files; remove it from the model"


def writes_files(content: bytes) -> bool:
    """Whether libvmaf would write files for this JSON model: CAMBI's maps. What is no JSON is for others to say."""
    try:
        # As pairs, since of two fields of one name libvmaf takes both.
        return '"heatmaps_path"' in json.dumps(json.loads(content, object_pairs_hook=list))
    except (ValueError, RecursionError):
        return False


def _read_model_file(path: Path) -> tuple[ModelFile, tuple[RequestedMetric, ...]]:
    """A JSON model, read as everywhere, and the metrics that libvmaf makes of its features where they have options."""
    from vmaf_harness.model.files import parse_json_model  # and with it numpy, for which nobody else waits

    if path.suffix in (".pkl", ".model", ".onnx"):
        raise HarnessError(f"{path}: libvmaf reads no {path.suffix}; give the .json of the same model")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; give a built-in version or the path of a .json model") from error
    if writes_files(content):
        raise HarnessError(f"{path}: {WRITES_FILES}")
    model = parse_json_model(content, str(path))
    named = zip(model.feature_names, model.feature_opts_dicts or (), strict=False)
    wanted = (RequestedMetric.of(name, own) for name, own in named)
    # Of an extractor that nobody here knows, the names cannot be told.
    return ModelFile(content, hashlib.sha256(content).hexdigest()), tuple(each for each in wanted if each.extractor)
