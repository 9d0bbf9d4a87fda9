"""The features that libvmaf can extract: their names in parameter files and models, in libvmaf, and in its log.

A kind of features has the name that VMAF's own harness gives it (TYPE in python/vmaf/core/*feature_extractor.py,
2026-08). Where libvmaf has a feature that no kind of theirs has, the kind is named in their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature.

    `metric` is its name in libvmaf's log, which options may lengthen, and `needs` what `extractor` must be given for it
    to be there. `name_in_model` is the name by which libvmaf offers it to a JSON model; blank where it does not. A
    feature that is the mean of others has no metric, but their atoms in `mean_of`.
    """

    extractor: str
    metric: str
    needs: tuple[tuple[str, bool], ...] = ()
    name_in_model: str = ""
    mean_of: tuple[str, ...] = ()


_DEBUG = (("debug", True),)
_SCALES = range(4)
_VIF = tuple(f"vif_scale{scale}" for scale in _SCALES)
_PARTS = tuple(f"{name}_{part}" for name in ("adm", "vif") for part in ("num", "den"))
# The order of `all` is upstream's (VmafFeatureExtractor 0.2.21).
_VMAF = (
    *("adm", "adm2", "adm3", "aim", "ansnr", "anpsnr", "motion", "motion2", "motion3", "vif", "vif2"),
    *(f"adm_scale{scale}" for scale in _SCALES),
    *_VIF,
    *_PARTS,
    *(f"{part}_scale{scale}" for part in _PARTS for scale in _SCALES),
)
_FOR_MODELS = ("adm2", "adm3", "aim", "motion", "motion2", "motion3", *(f"adm_scale{n}" for n in _SCALES), *_VIF)


def _vmaf_feature(atom: str, kind: str) -> Feature:
    """A feature of VMAF's; *kind* is ``VMAF_feature`` (floats) or ``VMAF_integer_feature``."""
    if atom in ("ansnr", "anpsnr"):  # there is one kind of them
        return Feature(extractor="float_ansnr", metric=f"float_{atom}")
    is_float = kind == "VMAF_feature"
    family = "adm" if atom.startswith(("adm", "aim")) else "vif" if atom.startswith("vif") else "motion"
    extractor = f"float_{family}" if is_float else family
    if atom == "vif2":
        return Feature(extractor=extractor, metric="", mean_of=_VIF)
    metric = atom if is_float else f"integer_{atom}"
    needs_debug = atom in ("adm", "vif") or "_num" in atom or "_den" in atom or (atom == "motion" and not is_float)
    offered = f"{kind}_{atom}_score" if atom in _FOR_MODELS else ""
    if not is_float and atom.startswith("adm_scale"):  # libvmaf knows these by the name in its log only
        offered = metric if offered else ""
    needs = _DEBUG if needs_debug else ()
    return Feature(extractor=extractor, metric=metric, needs=needs, name_in_model=offered)


def _kind(extractor: str, metrics: Mapping[str, str], needs: Mapping[str, bool] | None = None) -> dict[str, Feature]:
    """The features of one extractor by atom, each offered to models by the name in the log."""
    given = tuple((needs or {}).items())
    return {atom: Feature(extractor=extractor, metric=metric, needs=given, name_in_model="" if given else metric)
            for atom, metric in metrics.items()}  # fmt: skip


def _of_libvmaf(kind: str, extractor: str, atoms: Iterable[str]) -> dict[str, Feature]:
    """Features that libvmaf offers to models by their full name."""
    return {atom: Feature(extractor=extractor, metric=atom, name_in_model=f"{kind}_{atom}_score") for atom in atoms}


_FAMILIES = ("ADM", "VIF", "motion")
_LCS = ("l", "c", "s")
_VMAF_KINDS = {
    kind: {atom: _vmaf_feature(atom, kind) for atom in _VMAF} for kind in ("VMAF_feature", "VMAF_integer_feature")
}


def _part_of_vmaf(kind: str, extractor: str) -> dict[str, Feature]:
    return {atom: of for atom, of in _VMAF_KINDS[kind].items() if of.extractor == extractor and not of.mean_of}


FEATURES: Mapping[str, Mapping[str, Feature]] = {
    **_VMAF_KINDS,
    **{f"float_{name}_feature": _part_of_vmaf("VMAF_feature", f"float_{name.lower()}") for name in _FAMILIES},
    **{f"integer_{name}_feature": _part_of_vmaf("VMAF_integer_feature", name.lower()) for name in _FAMILIES},
    "ANSNR_feature": _part_of_vmaf("VMAF_feature", "float_ansnr"),
    "PSNR_feature": _kind("float_psnr", {"psnr": "float_psnr"}),
    "integer_PSNR_feature": _kind("psnr", {name: name for name in ("psnr_y", "psnr_cb", "psnr_cr")}),
    "PSNRHVS_feature": _kind(
        "psnr_hvs", {name: name for name in ("psnr_hvs", "psnr_hvs_y", "psnr_hvs_cb", "psnr_hvs_cr")}
    ),
    "SSIM_feature": _kind("float_ssim", {"ssim": "float_ssim"})
    | _kind("float_ssim", {f"ssim_{part}": f"float_ssim_{part}" for part in _LCS}, {"enable_lcs": True}),
    "MS_SSIM_feature": _kind("float_ms_ssim", {"ms_ssim": "float_ms_ssim"})
    | _kind(
        "float_ms_ssim",
        {f"ms_ssim_{part}_scale{scale}": f"float_ms_ssim_{part}_scale{scale}" for scale in range(5) for part in _LCS},
        {"enable_lcs": True},
    ),
    "CIEDE2000_feature": _kind("ciede", {"ciede2000": "ciede2000"}),
    # libvmaf offers `float_moment` to models, which is no metric of its own.
    "Moment_feature": {
        atom: Feature(extractor="float_moment", metric=f"float_moment_{atom}")
        for atom in ("ref1st", "ref2nd", "dis1st", "dis2nd")
    },
    "Cambi_feature": _of_libvmaf("Cambi_feature", "cambi", ("cambi",)),
    "Cambi_FR_feature": _kind(
        "cambi", {name: name for name in ("cambi", "cambi_full_reference", "cambi_source")}, {"full_ref": True}
    ),
    "Speed_chroma_feature": _of_libvmaf(
        "Speed_chroma_feature", "speed_chroma", ("speed_chroma_u", "speed_chroma_v", "speed_chroma_uv")
    ),
    "Speed_temporal_feature": _of_libvmaf("Speed_temporal_feature", "speed_temporal", ("speed_temporal",)),
}

# What VMAF's own harness has and libvmaf has not: kind -> the reason, and what to take instead.
NOT_IN_LIBVMAF: Mapping[str, str] = {
    "STRRED_feature": "a program for MATLAB; Speed_temporal_feature is the nearest that libvmaf has",
    "STRREDOpt_feature": "a program for MATLAB; Speed_temporal_feature is the nearest that libvmaf has",
    "SpEED_Matlab_feature": "a program for MATLAB; Speed_chroma_feature and Speed_temporal_feature are libvmaf's",
    "STMAD_feature": "a program for MATLAB, and libvmaf has nothing like it",
    "ICID_feature": "a program for MATLAB; CIEDE2000_feature is the difference of colours that libvmaf has",
    "VifDiff_feature": "a program of its own; Speed_temporal_feature looks at differences of frames",
    "Moment_noref_feature": "computed in Python; Moment_feature has the same of both videos",
    "BRISQUE_noref_feature": "without a reference, computed in Python; Cambi_feature needs no reference either",
    "NIQE_noref_feature": "without a reference, computed in Python; Cambi_feature needs no reference either",
    "SITI_noref_feature": "computed in Python; ffmpeg's filter siti gives si and ti, VMAF_feature has motion",
    **dict.fromkeys(
        ("PyPsnr_feature", "Pypsnr_feature", "PyPsnr_maxdb100_feature", "Pypsnr_maxdb100_feature"),
        "computed in Python; PSNR_feature and integer_PSNR_feature are libvmaf's",
    ),
}


def find_feature(kind: str, atom: str) -> Feature | None:
    """The feature of this kind and atom; None where libvmaf has none."""
    return FEATURES.get(kind, {}).get(atom)


# By what a JSON model may call it, where that is not the name that a model has here.
NAMES_IN_MODELS: Mapping[str, str] = {
    of.name_in_model: f"{kind}_{atom}_score"
    for kind, atoms in reversed(list(FEATURES.items()))
    for atom, of in atoms.items()
    if of.name_in_model and of.name_in_model != f"{kind}_{atom}_score"
}
