"""The flags of the commands that score, encode and train: one line each, the same in Invoke, `vmaf-harness` and here.

What several commands have stands once, in what they inherit. This is read at every start, so nothing slow is imported,
and no comparison is made for each class, which takes 4 ms in all.
"""

# Without `from __future__ import annotations`: what they hold is read at every start.

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vmaf_workspace.commands.command import Json, Workspace
from vmaf_workspace.commands.flags import Flag, choice, inches, integer, number, path
from vmaf_workspace.errors import UsageError


def quality_type(text: str, flag: str) -> str:
    """The name of a quality type, which people may write in any case."""
    from vmaf_harness.errors import HarnessError
    from vmaf_harness.model.quality_type import named_type

    try:
        return named_type(text)
    except HarnessError as error:
        raise UsageError(f"{flag}: {error}") from error


def bit_depth(text: str, flag: str) -> int:
    """Bits of a sample that video is compared in."""
    return int(choice(lambda: ("8", "10", "12", "16"))(text, flag))


def pools() -> Collection[str]:
    """How scores of frames become one."""
    from vmaf_harness.statistics import POOLS

    return POOLS


def pairings() -> Collection[str]:
    """How frames of two videos are paired."""
    from vmaf_harness.recipe.asset import PAIRINGS

    return PAIRINGS


def raw_formats() -> Collection[str]:
    """How the samples of raw video may be laid out."""
    from vmaf_harness.recipe.asset import RAW_FORMATS

    return sorted(RAW_FORMATS)


def yuv_formats() -> Collection[str]:
    """The same, and the word for what ffmpeg can open."""
    from vmaf_harness.recipe.asset import NOTYUV

    return [*raw_formats(), NOTYUV]


def _subjective_models() -> Collection[str]:
    from vmaf_harness.recipe.subjective import MODELS

    return MODELS


_TYPES = "VMAF, PSNR, SSIM, MS_SSIM, VIF, ADM2, CAMBI, SPEED_CHROMA, … (another word lists all)"
QualityType = Annotated[str, Flag(_TYPES, quality_type, positional=1)]
Dataset = Annotated[Path, Flag("the recipe, a *_dataset.py; it is read, not executed", path, positional=2)]
VmafModel = Annotated[
    str | None,
    Flag("name of one in model/, built-in version (vmaf_4k_v0.6.1), or path of .json, .pkl, .onnx", metavar="MODEL"),
]
_POOLS = "mean, harmonic_mean, min, median, perc5, perc10, perc20"
Pool = Annotated[str, Flag(f"how scores of frames become one: {_POOLS}", choice(pools))]
PairBy = Annotated[
    str | None, Flag("pair frames by time, or by index, also where their times say otherwise", choice(pairings))
]
SubjModel = Annotated[
    str | None, Flag("makes labels from raw scores, such as MOS", choice(_subjective_models), metavar="NAME")
]
_DEPTH = "compare in at least so many bits, 10 as VMAF v1 is meant, also 8-bit video"
BitDepth = Annotated[int | None, Flag(_DEPTH, bit_depth, metavar="BITS")]
_RAW = "pixel format of raw video, such as yuv420p or yuv422p10le"
_OF_REFERENCE, _OF_DISTORTED = "of the reference, where the two differ", "of the distorted video, where the two differ"
YuvFmt = Annotated[
    str | None, Flag(f"{_RAW}; left out, or notyuv, for a file that ffmpeg can open", choice(yuv_formats))
]
Width = Annotated[int | None, Flag("of raw video, in pixels", integer(1))]
Height = Annotated[int | None, Flag("of raw video, in pixels", integer(1))]
RefYuvFmt = Annotated[str | None, Flag(f"--yuv-fmt {_OF_REFERENCE}", choice(yuv_formats))]
RefWidth = Annotated[int | None, Flag(f"--width {_OF_REFERENCE}", integer(1))]
RefHeight = Annotated[int | None, Flag(f"--height {_OF_REFERENCE}", integer(1))]
DisYuvFmt = Annotated[str | None, Flag(f"--yuv-fmt {_OF_DISTORTED}", choice(yuv_formats))]
DisWidth = Annotated[int | None, Flag(f"--width {_OF_DISTORTED}", integer(1))]
DisHeight = Annotated[int | None, Flag(f"--height {_OF_DISTORTED}", integer(1))]
PLOT_FORMATS = ("png", "svg")
OUT_FORMATS = ("text", "json", "xml")
_SEED = Flag("of what is drawn: folds, sets, forests", integer(0, (1 << 32) - 1))  # what numpy's generator takes
_WRITTEN_OVER = "replace what has this name, after a snapshot of it; without this, exit code 3"
_LABELS = "label with a model's scores, such as version=vmaf_v0.6.1; no opinions"
_SCHEDULER = "Dask scheduler whose workers share the workspace's mount"
_BARE_SET = "the set that is written, a .pkl; a bare name goes to model_param/"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Measuring:
    """Of every command that measures a dataset."""

    dataset: Dataset
    subj_model: SubjModel = None
    cache_result: Annotated[bool, Flag("read stored results, store new ones; table and numbers in output/")] = False
    processes: Annotated[
        int | None, Flag("ffmpegs, and fits, at once, instead of one a core", integer(1), metavar="N")
    ] = None
    parallelize: Annotated[bool, Flag("accepted; every core is used anyway (--processes 1: one)")] = False
    keep_going: Annotated[bool, Flag("leave out assets that are missing or fail; the exit code says so")] = False
    bit_depth: BitDepth = None
    refuse_damaged: Annotated[bool, Flag("take no damaged distorted video; without this, a warning")] = False
    workspace: Workspace = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Drawing:
    """Of every command that draws."""

    save_plot: Annotated[
        Path | None, Flag("where plots go, instead of the run's directory in output/", path, metavar="DIR")
    ] = None
    suppress_plot: Annotated[bool, Flag("draw nothing")] = False
    plot_format: Annotated[str, Flag("png, or svg, which stays sharp", choice(lambda: PLOT_FORMATS))] = "png"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Testing(Measuring, Drawing):
    """Of `test`."""

    quality_type: QualityType = "VMAF"
    vmaf_model: VmafModel = None
    vmaf_phone_model: Annotated[bool, Flag("apply the model's score transform, for small screens")] = False
    pool: Pool = "mean"
    pair_by: PairBy = None
    print_result: Annotated[bool, Flag("print the score of each asset")] = False
    plot_wh: Annotated[
        tuple[float, float] | None, Flag("size of a plot in inches, such as 5x5", inches, metavar="WxH")
    ] = None
    keep_workfiles: Annotated[bool, Flag("keep logs and decoded YUVs in workdir/")] = False
    scheduler: Annotated[str | None, Flag(_SCHEDULER, metavar="ADDRESS")] = None

    def __post_init__(self) -> None:
        if self.vmaf_model or self.vmaf_phone_model:
            from vmaf_harness.errors import HarnessError
            from vmaf_harness.model.quality_type import check_takes_model

            try:
                check_takes_model(self.quality_type, self.vmaf_model, self.vmaf_phone_model)
            except HarnessError as error:
                raise UsageError(str(error)) from error


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RawPair:
    """Of the scripts that score one pair of raw videos, in upstream's order."""

    yuv_fmt: Annotated[str, Flag(_RAW, choice(raw_formats), positional=1)]
    width: Annotated[int, Flag("of both videos, in pixels", integer(1), positional=2)]
    height: Annotated[int, Flag("of both videos, in pixels", integer(1), positional=3)]
    reference: Annotated[Path, Flag("the reference video, raw YUV", path, positional=4)]
    distorted: Annotated[Path, Flag("the distorted video, raw YUV", path, positional=5)]
    out_fmt: Annotated[str, Flag("text, json or xml, as VMAF's own harness has them", choice(lambda: OUT_FORMATS))] = (
        "text"
    )
    pool: Pool = "mean"
    workspace: Workspace = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VmafPair(RawPair):
    """Of `run_vmaf`."""

    model: VmafModel = None
    phone_model: Annotated[bool, Flag("apply the model's score transform, for small screens")] = False
    ci: Annotated[bool, Flag("the confidence interval, too, of a bootstrap model (--model)")] = False
    save_plot: Annotated[Path | None, Flag("draw the score of each frame into this directory", path, metavar="DIR")] = (
        None
    )
    local_explain: Annotated[bool, Flag("of VMAF's own harness; refused here")] = False

    def __post_init__(self) -> None:
        if self.local_explain:
            raise UsageError("--local-explain is not offered here; VMAF's own harness has it (vmaf-ws run -- …)")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Assembling:
    """Of `assemble-results`."""

    input_file: Annotated[Path, Flag("a text file that names a .json, or .xml, of a result a line", path, positional=1)]
    pool: Pool = "mean"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Converting:
    """Of `convert-model`."""

    input_pkl_filepath: Annotated[Path, Flag("the .pkl of the model, its .model beside it", path)]
    output_json_filepath: Annotated[Path, Flag("the .json that is written", path)]
    overwrite: Annotated[bool, Flag("replace another file there; without this, exit code 3")] = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Encoding(Drawing):
    """Of `encode`; with labels it draws them over bitrates."""

    ref_dataset: Annotated[Path, Flag("the recipe whose ref_videos are encoded; it is read", path, positional=1)]
    output_dataset: Annotated[str, Flag("the recipe that is written; a bare name goes to dataset/", positional=2)]
    codec: Annotated[Sequence[str], Flag("encoders of ffmpeg, such as 'libx264 libsvtav1'", several=True)] = (
        "libx264",
    )
    crf: Annotated[
        Sequence[str],
        Flag("constant qualities: '22 28', or for one encoder 'libx264=28 libsvtav1=45'", several=True),
    ] = ()
    bitrate: Annotated[Sequence[str], Flag("average bitrates, such as '500k 1.5M'", several=True)] = ()
    height: Annotated[Sequence[str], Flag("heights, such as '360 720 source'; the width follows", several=True)] = ()
    preset: Annotated[Sequence[str], Flag("speeds, such as 'libx264=fast libsvtav1=8'", several=True)] = ()
    option: Annotated[
        Sequence[str], Flag("other options of an encoder, such as libx264:tune=psnr", several=True, quoted=True)
    ] = ()
    label_with: Annotated[str | None, Flag(_LABELS, metavar="MODEL")] = None
    processes: Annotated[int | None, Flag("ffmpegs at once", integer(1), metavar="N")] = None
    keep_going: Annotated[bool, Flag("make the other encodes where one fails")] = False
    dry_run: Annotated[bool, Flag("print the ffmpeg commands, change nothing")] = False
    workspace: Workspace = ""


def _interpolations() -> Collection[str]:
    from vmaf_harness.report.bd_rate import INTERPOLATIONS

    return INTERPOLATIONS


_ANCHOR = "the codec that others are compared with, such as libx264 or 'libx264 slow'; else the recipe's first"
Anchor = Annotated[str | None, Flag(_ANCHOR, metavar="CODEC")]
Interpolation = Annotated[str, Flag("between the points of a curve: pchip or akima", choice(_interpolations))]
_LADDER = "the recipe of encodes that run_encode made, whose scores are stored"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Reporting:
    """Of `report`."""

    dataset: Annotated[Path | None, Flag("report this recipe: ladder, clips, scores against labels", path)] = None
    vmaf_model: Annotated[str | None, Flag("report this model; with --dataset its scores", metavar="MODEL")] = None
    quality_type: Annotated[str, Flag("the scores of --dataset, such as PSNR", quality_type)] = "VMAF"
    pool: Pool = "mean"
    anchor: Anchor = None
    interpolation: Interpolation = "pchip"
    clips: Annotated[int, Flag("how many clips of --dataset are decoded for their worst frames", integer(0))] = 6
    html: Annotated[Path | None, Flag("write one file to look at and to send", path, metavar="FILE")] = None
    open: Annotated[bool, Flag("open that file in a browser")] = False
    dry_run: Annotated[bool, Flag("write no page")] = False
    workspace: Workspace = ""
    json: Json = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BdRating:
    """Of `bd-rate`."""

    dataset: Annotated[Path, Flag(_LADDER, path, positional=1)]
    anchor: Anchor = None
    test: Annotated[Sequence[str], Flag("codecs that are compared with it, instead of all", several=True)] = ()
    interpolation: Interpolation = "pchip"
    quality_type: Annotated[str, Flag("the scores, such as PSNR", quality_type)] = "VMAF"
    vmaf_model: VmafModel = None
    pool: Pool = "mean"
    workspace: Workspace = ""
    json: Json = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Extraction(Measuring):
    """Of `extract`, and of every command that trains."""

    feature_param: Annotated[Path, Flag("the file that says which features (feature_dict)", path, positional=3)]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fitting(Extraction):
    """Of every command that fits models."""

    model_param: Annotated[Path, Flag("the file that says how to fit, or a tuned .pkl", path, positional=4)]
    seed: Annotated[int, _SEED] = 0
    pool: Annotated[str, Flag(f"how features of frames become one: {_POOLS}", choice(pools))] = "mean"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Folds(Fitting):
    """Of every command that cross-validates."""

    folds: Annotated[int, Flag("folds, each of whole contents", integer(1), metavar="N")] = 5
    leave_one_source_out: Annotated[bool, Flag("a fold for each content, instead of --folds")] = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CrossValidation(Folds, Drawing):
    """Of `cross-validate`."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Replacing(Fitting):
    """Of every command that writes under a name."""

    overwrite: Annotated[bool, Flag(_WRITTEN_OVER)] = False
    at: Annotated[str, Flag("where that snapshot goes, instead of ws.backups or VMAF_BACKUPS", metavar="URL")] = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Training(Replacing, Drawing):
    """Of `train`."""

    output_model: Annotated[str, Flag("the model that is written; a bare name goes to model/", positional=5)]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tuning(Replacing, Folds):
    """Of `tune`."""

    output_param: Annotated[str, Flag(_BARE_SET, positional=5)]
    gamma: Annotated[Sequence[float], Flag("values to try, such as '0.02 0.05'", number, several=True)] = ()
    cost: Annotated[Sequence[float], Flag("values of C to try, such as '1 4'", number, several=True, also="C")] = ()
    nu: Annotated[Sequence[float], Flag("values to try, such as '0.5 0.9'", number, several=True)] = ()
    random: Annotated[
        int | None, Flag("draw this many sets between the values, instead of trying all", integer(1), metavar="N")
    ] = None
