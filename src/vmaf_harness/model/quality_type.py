"""The quality types: what each one measures, how its scores are read, and with which model or feature of libvmaf.

Their names are those of the quality runners of VMAF's own harness (TYPE in python/vmaf/core/*quality_runner.py,
2026-08) in capitals; people may write them in any case, and with or without ``_``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, isinf
from pathlib import Path

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import FEATURE_VERSION, Extraction, ModelFile
from vmaf_harness.measure.features import FEATURES, Feature, find_feature
from vmaf_harness.measure.metrics import RequestedMetric
from vmaf_harness.measure.plugin_frames import plugin_metric
from vmaf_harness.plugins import FEATURES as PLUGIN_FEATURES
from vmaf_harness.plugins import installed, load, scale_of

DEFAULT_MODEL = "vmaf_v0.6.1"
HIGHER, LOWER, NEITHER = "higher", "lower", ""

# Those that libvmaf may bring (libvmaf/src/model.c); each build has some of them, so each is tried.
_V1_VIEWING = ("3d0h", "5d0h", "1d5h_2160", "3d0h_2160")
BUILT_IN = (
    *("vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1", "vmaf_4k_v0.6.1neg"),
    *("vmaf_float_v0.6.1", "vmaf_float_v0.6.1neg", "vmaf_float_4k_v0.6.1"),
    *(f"vmaf_v1.0.16_{size}" for size in _V1_VIEWING),
    *(f"vmaf_v1.0.16_hfr_{size}" for size in _V1_VIEWING),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityType:
    """What one quality type is.

    `low` and `high` are the ends of its scale; `better` says which of them is: ``higher`` or ``lower``, or blank where
    the number is no quality. `feature` is the kind and atom that is the score; None for VMAF, whose built-in model is
    `model`, blank where a person has to name one.
    """

    about: str
    low: float = 0.0
    high: float = 100.0
    better: str = HIGHER
    feature: tuple[str, str] | None = None
    model: str = ""
    phone_model: bool = False
    takes_model: bool = False

    @property
    def of_feature(self) -> Feature | None:
        """The feature of libvmaf that it is; None where it is a model, or of a plug-in."""
        return find_feature(*self.feature) if self.feature else None

    @property
    def stored_as(self) -> str:
        """The pattern of the executors whose results are of it."""
        if self.model and not self.takes_model:
            return f"VMAF_V{_version(self.model)}*"
        return "VMAF_V*-phone*" if self.phone_model else "VMAF_V*"

    @property
    def scale(self) -> str:
        """Its scale in words."""
        low, high = ("" if isinf(end) else f"{end:g}" for end in (self.low, self.high))
        ends = f"from {low} to {high}" if low and high else f"from {low}" if low else "without ends"
        return f"{ends}; {self.better} is better" if self.better else f"{ends}; no quality"


def _rows(
    better: str, high: float, kind: str, rows: Mapping[str, tuple[str, str]], *, low: float = 0.0
) -> dict[str, QualityType]:
    """Quality types that are features of one kind; of each its atom and what it is."""
    return {
        name: QualityType(about=about, low=low, high=high, better=better, feature=(kind, atom))
        for name, (atom, about) in rows.items()
    }


_SCALES = range(4)
_VIF = {
    "VIF": ("vif", "visual information fidelity, of all scales together"),
    "VIF2": ("vif2", "the mean of the four scales of VIF"),
    **{f"VIF_SCALE{scale}": (f"vif_scale{scale}", f"VIF at scale {scale}") for scale in _SCALES},
}
_ADM = {
    "ADM": ("adm", "detail loss, of all scales together"),
    "ADM2": ("adm2", "detail loss as VMAF takes it"),
    "ADM3": ("adm3", "detail loss and added impairments, as VMAF v1 takes it"),
    **{f"ADM_SCALE{scale}": (f"adm_scale{scale}", f"detail loss at scale {scale}") for scale in _SCALES},
}
_AIM = {"AIM": ("aim", "added impairments")}
_MOTION = {
    "MOTION": ("motion", "how much the reference moves since the frame before"),
    "MOTION2": ("motion2", "the lesser of that and the same to the frame after, as VMAF takes it"),
    "MOTION3": ("motion3", "how much the reference moves, as VMAF v1 takes it"),
}


def _of_vmaf(kind: str, prefix: str, suffix: str) -> dict[str, QualityType]:
    """The features of VMAF, of one of their two kinds."""
    made: dict[str, QualityType] = {}
    for better, high, rows in ((HIGHER, 1.0, _VIF), (HIGHER, 1.0, _ADM), (LOWER, 1.0, _AIM), (NEITHER, inf, _MOTION)):
        named = {prefix + name: (atom, about + suffix) for name, (atom, about) in rows.items()}
        made |= _rows(better, high, kind, named)
    return made


_PSNR = {
    "PSNR": ("psnr_y", "peak signal to noise of luma, in dB; 60 at most for 8 bits"),
    "PSNR_CB": ("psnr_cb", "the same of chroma, Cb"),
    "PSNR_CR": ("psnr_cr", "the same of chroma, Cr"),
}
_SPEED_CHROMA = {
    "SPEED_CHROMA": ("speed_chroma_uv", "information lost in chroma, as VMAF v1 takes it"),
    "SPEED_CHROMA_U": ("speed_chroma_u", "the same of Cb"),
    "SPEED_CHROMA_V": ("speed_chroma_v", "the same of Cr"),
}
_ANSNR = {"ANSNR": ("ansnr", "signal to noise after a filter, in dB"), "ANPSNR": ("anpsnr", "its peak kind, in dB")}
# Of its authors (resource/doc/cambi.md of VMAF, 2026-08); 24 is no end, but the most that they saw in a sequence.
_CAMBI = {"CAMBI": ("cambi", "banding in the distorted video; about 5 begins to annoy, 24 is the worst that was seen")}
_CAMBI_FR = {"CAMBI_FR": ("cambi_full_reference", "banding that the reference has not")}
_SPEED_TEMPORAL = {"SPEED_TEMPORAL": ("speed_temporal", "information lost in what changes between frames")}

QUALITY_TYPES: Mapping[str, QualityType] = {
    "VMAF": QualityType(about="VMAF, by vmaf_v0.6.1 or by --vmaf-model", model=DEFAULT_MODEL, takes_model=True),
    "VMAFNEG": QualityType(about="VMAF without what enhancement gains", model="vmaf_v0.6.1neg"),
    "VMAF_PHONE": QualityType(
        about="VMAF on a small screen, as by --vmaf-phone-model",
        model=DEFAULT_MODEL,
        takes_model=True,
        phone_model=True,
    ),
    "VMAFEXEC": QualityType(about="the same as VMAF: libvmaf computes it here", model=DEFAULT_MODEL, takes_model=True),
    "BOOTSTRAP_VMAF": QualityType(about="VMAF with a 95 % interval, by a bootstrap --vmaf-model", takes_model=True),
    **_rows(HIGHER, inf, "integer_PSNR_feature", _PSNR),
    **_rows(HIGHER, inf, "PSNRHVS_feature", {"PSNR_HVS": ("psnr_hvs", "PSNR weighted as eyes weigh it, in dB")}),
    **_rows(HIGHER, 1.0, "SSIM_feature", {"SSIM": ("ssim", "structural similarity of luma")}),
    **_rows(HIGHER, 1.0, "MS_SSIM_feature", {"MS_SSIM": ("ms_ssim", "structural similarity at five scales")}),
    **_of_vmaf("VMAF_integer_feature", "", ""),
    **_of_vmaf("VMAF_feature", "FLOAT_", ", in floats"),
    **_rows(HIGHER, inf, "ANSNR_feature", _ANSNR, low=-inf),
    **_rows(
        HIGHER, inf, "CIEDE2000_feature", {"CIEDE2000": ("ciede2000", "45 − 20 log10 of how far colours are apart")}
    ),
    **_rows(LOWER, inf, "Cambi_feature", _CAMBI),
    **_rows(LOWER, inf, "Cambi_FR_feature", _CAMBI_FR),
    **_rows(LOWER, inf, "Speed_chroma_feature", _SPEED_CHROMA),
    **_rows(LOWER, inf, "Speed_temporal_feature", _SPEED_TEMPORAL),
    **_rows(NEITHER, 255.0, "Moment_feature", {"MOMENT": ("dis1st", "mean luma of the distorted video")}),
}
# Further words for them, as `_key` has them; VMAF's own harness once called two so.
_OTHER_WORDS = {"dlm": "ADM2", "ti": "MOTION", "speed": "SPEED_CHROMA", "ciede": "CIEDE2000"}
_MATLAB = "a program for MATLAB, which libvmaf has not"
# Quality runners of VMAF's own harness that libvmaf cannot stand for: why, and what to take instead.
REFUSED: Mapping[str, str] = {
    "NIQE": "judges without a reference, and libvmaf lacks it; CAMBI looks at the distorted video alone",
    "BRISQUE": "judges without a reference, and libvmaf lacks it; CAMBI looks at the distorted video alone",
    "STRRED": f"is {_MATLAB}; take SPEED_TEMPORAL, which came of it",
    "STRREDOpt": f"is {_MATLAB}; take SPEED_TEMPORAL, which came of it",
    "SpEED_Matlab": f"is {_MATLAB}; take SPEED_CHROMA or SPEED_TEMPORAL",
    "STMAD": f"is {_MATLAB}; take VMAF",
    "ICID": f"is {_MATLAB}; take CIEDE2000",
    "STVMAF": f"is {_MATLAB}; take VMAF",
    "VMAF_legacy": "is a model of before 2016; take VMAF, or give an old .pkl or .json by --vmaf-model",
    "VMAF_LE": "explains scores by a library that is not used here; take VMAF",
    "EnsembleVMAF": "is the mean of several models; take VMAF once with each --vmaf-model",
    "BAGGING_VMAF": "is the mean of a bootstrap model's members; BOOTSTRAP_VMAF prints that mean beside the score",
    "SITI": "are numbers of the reference alone; take MOTION, or ffmpeg's filter siti",
}


LIST = "list"  # the word that is no quality type, and lists them
_COMMON = (
    "VMAF",
    "VMAFNEG",
    "PSNR",
    "SSIM",
    "MS_SSIM",
    "CIEDE2000",
    "CAMBI",
    "VIF",
    "ADM2",
)  # those that an error names


def named_type(text: str) -> str:
    """The name of the quality type that *text* means; HarnessError, with what to take instead, where there is none."""
    known = {_key(name): name for name in QUALITY_TYPES} | _OTHER_WORDS
    if (name := known.get(_key(text))) is not None:
        return name
    for name, why in REFUSED.items():
        if _key(name) == _key(text):
            raise HarnessError(f"{name} {why}")
    of_plugin = next((kind for kind in installed(PLUGIN_FEATURES) if _key(text).startswith(_key(kind))), None)
    if of_plugin is not None and of_plugin not in FEATURES:
        names = [f"{of_plugin}_{atom}" for atom in load(PLUGIN_FEATURES, of_plugin).use.atoms]
        if (named := next((name for name in names if _key(name) == _key(text)), None)) is not None:
            return named
        raise HarnessError(f"unknown quality type {text!r}; the plug-in {of_plugin} has {', '.join(names)}")
    if _key(text) == _key(LIST):
        raise HarnessError(f"known are {', '.join([*QUALITY_TYPES])}")
    close = dict.fromkeys(known[each] for each in get_close_matches(_key(text), known, n=3))
    meant = f"; is {' or '.join(close)} meant?" if close else ""
    raise HarnessError(f"unknown quality type {text!r}{meant}; known are {', '.join(_COMMON)}, …; {LIST!r} lists all")


def find_type(name: str) -> QualityType:
    """The quality type of a name as `named_type` gives it. HarnessError for a plug-in's that is not there any more."""
    if name in QUALITY_TYPES:
        return QUALITY_TYPES[name]
    kind, _, atom = name.partition("_feature_")
    kind += "_feature"
    plugin = load(PLUGIN_FEATURES, kind)
    low, high, better = scale_of(plugin, atom)
    about = f"a feature of the package {plugin.use.package}"
    return QualityType(about=about, low=low, high=high, better=better, feature=(kind, atom))


def _key(name: str) -> str:
    return re.sub(r"[_-]", "", name).lower()


def extraction(quality_type: str, *, model: str | None = None, phone_model: bool = False) -> Extraction:
    """The extraction of a quality type, as `QUALITY_TYPES` names them.

    *model* is the name of a built-in version, also as `version=NAME`, or the path of a JSON model; *phone_model*
    applies the model's score transform. Only VMAF takes either. Raises HarnessError for a type or a model that is
    not understood.
    """
    name = named_type(quality_type)
    found = find_type(name)
    check_takes_model(name, model, phone_model or found.phone_model)
    feature = found.of_feature
    if found.feature is not None and feature is None:
        kind, atom = found.feature
        plugins = (load(PLUGIN_FEATURES, kind).use,)
        options = (("model", ""), ("feature", "name=psnr"))  # libvmaf has to measure something
        score = plugin_metric(kind, atom)
        return Extraction(type=name, version=FEATURE_VERSION, options=options, score=score, plugins=plugins)
    if feature is None:
        if not (model or found.model):
            raise HarnessError(f"{name} needs a bootstrap model; give its .pkl, .json or name by --vmaf-model")
        return _vmaf_extraction(model or found.model, phone_model or found.phone_model)
    members = [FEATURES[found.feature[0]][atom] for atom in feature.mean_of] if found.feature else []
    needs = "".join(f":{option}={str(value).lower()}" for option, value in feature.needs)
    # The empty model keeps libvmaf from computing v0.6.1 as well.
    options = (("model", ""), ("feature", f"name={feature.extractor}{needs}"))
    score = feature.metric or members[0].metric
    return Extraction(type=name, version=FEATURE_VERSION, options=options, score=score)


def check_takes_model(name: str, model: str | None, phone_model: bool) -> None:
    """Raise HarnessError where a model is given to a quality type that has none."""
    if (model or phone_model) and not (found := find_type(name)).takes_model:
        why = f"which is {found.model}" if found.model else "which has no model"
        raise HarnessError(f"--vmaf-model and --vmaf-phone-model are for VMAF, not for {name}, {why}")


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
        version = _version(name) + suffix
        options = (("model", f"version={name}{transform}"),)
        is_v1 = bool(re.match(r"vmaf_v1\.", name))
        return Extraction(type="VMAF", version=version, options=options, score="vmaf", has_v1_features=is_v1)
    file, wanted, has_cambi = _read_model_file(Path(path))
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(path).stem)[:80]
    return Extraction(
        type="VMAF",
        version=f"{stem}-{file.sha256[:8]}{suffix}",
        options=(("model", f"path={file.name}{transform}"),),
        score="vmaf",
        model=file,
        has_v1_features=has_cambi,
        wanted=wanted,
    )


def _version(model: str) -> str:
    return model.removeprefix("vmaf_").removeprefix("v")


WRITES_FILES = "has the option heatmaps_path, by which libvmaf would write files; remove it from the model"


def writes_files(content: bytes) -> bool:
    """Whether libvmaf would write files for this JSON model: CAMBI's maps. What is no JSON is for others to say."""
    try:
        # As pairs, since of two fields of one name libvmaf takes both.
        return '"heatmaps_path"' in json.dumps(json.loads(content, object_pairs_hook=list))
    except (ValueError, RecursionError):
        return False


def _read_model_file(path: Path) -> tuple[ModelFile, tuple[RequestedMetric, ...], bool]:
    """A JSON model, read as everywhere, the metrics of its features that have options, and whether it has CAMBI."""
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
    known = tuple(each for each in wanted if each.extractor)
    has_cambi = any(RequestedMetric(name).extractor == "cambi" for name in model.feature_names)
    return ModelFile(content, hashlib.sha256(content).hexdigest()), known, has_cambi
