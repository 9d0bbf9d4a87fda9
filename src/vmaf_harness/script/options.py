"""The flags of the commands that score, encode and train: one line each, the same in Invoke, `vmaf-harness` and here.

What several commands have stands once, in what they inherit. This is read at every start, so nothing slow is imported,
and no comparison is made for each class, which takes 4 ms in all.
"""

# Without `from __future__ import annotations`: what they hold is read at every start.

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast

from vmaf_harness.engine.shard import Shard, read_shard
from vmaf_workspace.commands.command import Json, Quiet, Workspace
from vmaf_workspace.commands.flags import Flag, choice, inches, integer, number, path, seconds, size_bytes
from vmaf_workspace.errors import UsageError


def quality_type(text: str, flag: str) -> str:
    """The name of a quality type, which people may write in any case."""
    from vmaf_harness.errors import HarnessError
    from vmaf_harness.model.quality_type import named_type

    try:
        return named_type(text)
    except HarnessError as error:
        if text.endswith(".py"):  # a recipe in its place
            raise UsageError(f"{flag}: {text!r} is no quality type, such as VMAF; the recipe comes after it") from error
        raise UsageError(f"{flag}: {error}") from error


def bit_depth(text: str, flag: str) -> int:
    """Bits of a sample that video is compared in."""
    return int(choice(lambda: ("8", "10", "12", "16"))(text, flag))


def scheduler_address(text: str, flag: str) -> str:
    """A scheduler's address as Dask writes it, or `local:N`."""
    if not re.fullmatch(r"local:[1-9][0-9]{0,3}|(?!local:)\S+:\S+", text):
        raise UsageError(f"{flag}: expected an address such as tcp://node1:8786, or local:4, got {text!r}")
    return text


def words_of(module: str, name: str) -> Callable[[], Collection[str]]:
    """The words under *name* in a module of ours, which is imported when somebody asks for them."""
    return lambda: cast(Collection[str], getattr(import_module(f"vmaf_harness.{module}"), name))


def frame_rate(text: str, flag: str) -> float:
    """Frames a second, as a number or a fraction."""
    from fractions import Fraction

    try:
        rate = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        rate = 0.0
    if not 0 < rate <= 1000:
        raise UsageError(f"{flag}: expected frames a second, such as 25 or 30000/1001, got {text!r}")
    return rate


_TYPES = "VMAF, PSNR, SSIM, MS_SSIM, VIF, ADM2, CAMBI, SPEED_CHROMA, … (all: `--quality-type list`)"
QualityType = Annotated[str, Flag(_TYPES, quality_type, positional=1, metavar="TYPE")]
Dataset = Annotated[
    Path, Flag("the recipe, a *_dataset.py; it is read, not executed", path, positional=2, metavar="RECIPE")
]
_MODEL = "name in model/, built-in version (vmaf_4k_v0.6.1), v1 (by size and frame rate), path of .json, .pkl, .onnx"
VmafModel = Annotated[str | None, Flag(_MODEL, metavar="MODEL")]
_POOLS = "mean, harmonic_mean, min, median, perc5, perc10, perc20"
_pool = choice(words_of("statistics", "POOLS"))
Pool = Annotated[str, Flag(f"how scores of frames become one: {_POOLS}", _pool, metavar="HOW")]
_PAIR_BY = "pair frames by time, or by index, also where their times say otherwise"
PairBy = Annotated[str | None, Flag(_PAIR_BY, choice(words_of("recipe.asset", "PAIRINGS")), metavar="HOW")]
_model = choice(words_of("recipe.subjective", "MODELS"))
SubjModel = Annotated[str | None, Flag("how raw scores become labels, such as MOS", _model, metavar="NAME")]
_SUBSAMPLE = "measure one frame in N only: faster, but means change (libvmaf's n_subsample)"
Subsample = Annotated[int, Flag(_SUBSAMPLE, integer(1), metavar="N")]
_DEPTH = "compare in at least so many bits; VMAF v1 is meant for 10, also of 8-bit video"
BitDepth = Annotated[int | None, Flag(_DEPTH, bit_depth, metavar="BITS")]
_RAW = "pixel format of raw video, such as yuv420p or yuv422p10le"
_yuv_format = choice(words_of("recipe.asset", "YUV_FORMATS"))
_OF_REFERENCE, _OF_DISTORTED = "of the reference, where the two differ", "of the distorted video, where the two differ"
YuvFmt = Annotated[
    str | None, Flag(f"{_RAW}; left out, or notyuv, for a file that ffmpeg can open", _yuv_format, metavar="FORMAT")
]
Width = Annotated[int | None, Flag("width of raw video, in pixels", integer(1), metavar="N")]
Height = Annotated[int | None, Flag("height of raw video, in pixels", integer(1), metavar="N")]
Fps = Annotated[
    float | None, Flag("frames a second of raw video, such as 60 or 30000/1001", frame_rate, metavar="RATE")
]
RefYuvFmt = Annotated[str | None, Flag(f"--yuv-fmt {_OF_REFERENCE}", _yuv_format, metavar="FORMAT")]
RefWidth = Annotated[int | None, Flag(f"--width {_OF_REFERENCE}", integer(1), metavar="N")]
RefHeight = Annotated[int | None, Flag(f"--height {_OF_REFERENCE}", integer(1), metavar="N")]
DisYuvFmt = Annotated[str | None, Flag(f"--yuv-fmt {_OF_DISTORTED}", _yuv_format, metavar="FORMAT")]
DisWidth = Annotated[int | None, Flag(f"--width {_OF_DISTORTED}", integer(1), metavar="N")]
DisHeight = Annotated[int | None, Flag(f"--height {_OF_DISTORTED}", integer(1), metavar="N")]
RefStartFrame = Annotated[int, Flag("the reference begins with its frame N, counted from 0", integer(0), metavar="N")]
DisStartFrame = Annotated[int, Flag("the distorted video begins with its frame N", integer(0), metavar="N")]
NFrames = Annotated[int | None, Flag("compare so many frames, instead of all that follow", integer(1), metavar="N")]
DRAFTED = ("mos", "dmos", "groundtruth", "none")
PLOT_FORMATS = ("png", "svg")
OUT_FORMATS = ("text", "json", "xml")
_numpy_seed = integer(0, (1 << 32) - 1)  # what its generator takes
_SEED = Flag("of what is drawn at random: folds, sets, forests", _numpy_seed, metavar="N", default="0")
_WRITTEN_OVER = "replace what has this name, after a snapshot of it; else exit code 3"
_LABELS = "label encodes with a model's scores (no opinions), such as version=vmaf_v0.6.1"
_OLDEST = "least recently used go first, none in use"
_SCHEDULER = "run on Dask: a scheduler whose workers share the workspace's mount, or local:N processes here"
_SHARD = "do only part I of N, or with auto the part of this array job; then collect without --shard"
_BARE_SET = "the set that is written, a .pkl; a bare name goes to model_param/"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Spreading:
    """Of every command with jobs that several machines can share."""

    scheduler: Annotated[str | None, Flag(_SCHEDULER, scheduler_address, metavar="ADDRESS")] = None
    scheduler_file: Annotated[
        Path | None, Flag("the same, by the file that dask scheduler --scheduler-file writes", path, metavar="FILE")
    ] = None
    worker_timeout: Annotated[
        float, Flag("how long to wait where there is no worker", seconds, metavar="TIME", default="5min")
    ] = 300.0
    shard: Annotated[
        Shard | None, Flag(_SHARD, lambda text, flag: read_shard(text, flag, os.environ), metavar="I/N")
    ] = None

    def __post_init__(self) -> None:
        if self.scheduler and self.scheduler_file:
            raise UsageError("--scheduler and --scheduler-file name one scheduler each; give one of them")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Measuring(Spreading):
    """Of every command that measures a dataset."""

    dataset: Dataset
    subj_model: SubjModel = None
    cache_result: Annotated[bool, Flag("read stored results, store new ones; table and numbers in output/")] = False
    processes: Annotated[
        int | None, Flag("ffmpegs, and fits, at once", integer(1), metavar="N", default="one a core")
    ] = None
    parallelize: Annotated[bool, Flag("no effect: every core is used anyway (--processes 1: one)")] = False
    keep_going: Annotated[bool, Flag("leave out assets that are missing or fail; the exit code says so")] = False
    bit_depth: BitDepth = None
    subsample: Subsample = 1
    quiet: Quiet = False
    refuse_damaged: Annotated[bool, Flag("stop at a damaged distorted video; without this, warn")] = False
    max_store: Annotated[
        int | None,
        Flag(f"keep stored results within this size: {_OLDEST}", size_bytes, metavar="SIZE", env="VMAF_MAX_STORE"),
    ] = None
    max_store_files: Annotated[
        int | None, Flag("keep at most so many stored results", integer(0), metavar="N", env="VMAF_MAX_STORE_FILES")
    ] = None
    workspace: Workspace = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Drawing:
    """Of every command that draws."""

    save_plot: Annotated[
        Path | None, Flag("where plots go", path, metavar="DIR", default="the run's directory in output/")
    ] = None
    suppress_plot: Annotated[bool, Flag("draw nothing")] = False
    plot_format: Annotated[
        str, Flag("png, or svg, which stays sharp", choice(lambda: PLOT_FORMATS), metavar="FORMAT")
    ] = "png"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Testing(Measuring, Drawing):
    """Of `test`."""

    EXAMPLE = "VMAF my_dataset.py --cache-result --print-result"

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

    def __post_init__(self) -> None:
        super().__post_init__()
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

    EXAMPLE = "yuv420p 1920 1080 source.yuv encode.yuv --out-fmt json"

    yuv_fmt: Annotated[str, Flag(_RAW, choice(words_of("recipe.asset", "RAW_FORMATS")), positional=1, metavar="FORMAT")]
    width: Annotated[int, Flag("of both videos, in pixels", integer(1), positional=2, metavar="N")]
    height: Annotated[int, Flag("of both videos, in pixels", integer(1), positional=3, metavar="N")]
    reference: Annotated[Path, Flag("the reference video, raw YUV", path, positional=4, metavar="VIDEO")]
    distorted: Annotated[Path, Flag("the distorted video, raw YUV", path, positional=5, metavar="VIDEO")]
    out_fmt: Annotated[
        str, Flag("text, json or xml, as VMAF's own harness has them", choice(lambda: OUT_FORMATS), metavar="FORMAT")
    ] = "text"
    pool: Pool = "mean"
    subsample: Subsample = 1
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
            raise UsageError("--local-explain is not offered here; VMAF's own harness has it (`ws.run -- …`)")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Assembling:
    """Of `assemble-results`."""

    EXAMPLE = "results.txt > whole.xml"

    input_file: Annotated[
        Path, Flag("a text file that names a .json, or .xml, of a result a line", path, positional=1, metavar="FILE")
    ]
    pool: Pool = "mean"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Converting:
    """Of `convert-model`."""

    EXAMPLE = "--input-pkl-filepath mine.pkl --output-json-filepath mine.json"

    input_pkl_filepath: Annotated[Path, Flag("the .pkl of the model, its .model beside it", path, metavar="FILE")]
    output_json_filepath: Annotated[Path, Flag("the .json that is written", path, metavar="FILE")]
    overwrite: Annotated[bool, Flag("replace another file there; else exit code 3")] = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Drafting:
    """Of `new-dataset`."""

    EXAMPLE = "~/videos my --label mos"

    directory: Annotated[
        Path, Flag("the references, and their encodes beside or below them", path, positional=1, metavar="DIR")
    ]
    output_dataset: Annotated[
        str,
        Flag(
            "the recipe that is written; a bare name goes to dataset/",
            positional=2,
            metavar="RECIPE",
            default="the directory's name",
        ),
    ] = ""
    label: Annotated[
        str,
        Flag(
            "which label each encode has to be given: mos, dmos, groundtruth, none",
            choice(lambda: DRAFTED),
            metavar="KIND",
        ),
    ] = "mos"
    workspace: Workspace = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Encoding(Spreading, Drawing):
    """Of `encode`; with labels it draws them over bitrates."""

    EXAMPLE = "refs_dataset.py encodes --crf '22 32' --height '360 720'"

    ref_dataset: Annotated[
        Path, Flag("the recipe whose ref_videos are encoded; it is read", path, positional=1, metavar="RECIPE")
    ]
    output_dataset: Annotated[
        str, Flag("the recipe that is written; a bare name goes to dataset/", positional=2, metavar="RECIPE")
    ]
    codec: Annotated[
        Sequence[str],
        Flag("encoders of ffmpeg, such as 'libx264 libsvtav1'", several=True, metavar="ENCODER", default="libx264"),
    ] = ("libx264",)
    crf: Annotated[
        Sequence[str],
        Flag("constant qualities: '22 28', or for one encoder 'libx264=28 libsvtav1=45'", several=True, metavar="CRF"),
    ] = ()
    bitrate: Annotated[Sequence[str], Flag("average bitrates, such as '500k 1.5M'", several=True, metavar="RATE")] = ()
    height: Annotated[
        Sequence[str],
        Flag("heights, such as '360 720 source'; the width follows", several=True, metavar="PIXELS", default="source"),
    ] = ()
    preset: Annotated[
        Sequence[str], Flag("speeds, such as 'libx264=fast libsvtav1=8'", several=True, metavar="PRESET")
    ] = ()
    option: Annotated[
        Sequence[str],
        Flag("other options of an encoder, such as libx264:tune=psnr", several=True, quoted=True, metavar="OPTION"),
    ] = ()
    label_with: Annotated[str | None, Flag(_LABELS, metavar="MODEL")] = None
    drop_labels: Annotated[bool, Flag("replace a recipe that has labels by one without; else exit code 3")] = False
    processes: Annotated[int | None, Flag("ffmpegs at once", integer(1), metavar="N")] = None
    keep_going: Annotated[bool, Flag("make the other encodes where one fails")] = False
    quiet: Quiet = False
    dry_run: Annotated[bool, Flag("print the ffmpeg commands, change nothing")] = False
    workspace: Workspace = ""


_ANCHOR = "the codec that others are compared with, such as libx264 or 'libx264 slow'; else the recipe's first"
Anchor = Annotated[str | None, Flag(_ANCHOR, metavar="CODEC")]
_between = choice(words_of("report.bd_rate", "INTERPOLATIONS"))
Interpolation = Annotated[str, Flag("how the points of a curve are joined: pchip or akima", _between, metavar="HOW")]
Encodes = Annotated[str | None, Flag("the encodes stored of this dataset, in place of a recipe", metavar="DATASET")]
_LADDER = "the recipe of encodes that run_encode made, whose scores are stored"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Reporting:
    """Of `report`."""

    EXAMPLE = "--dataset encodes_dataset.py --html ladder.html"

    dataset: Annotated[
        Path | None, Flag("report this recipe: ladder, clips, scores against labels", path, metavar="RECIPE")
    ] = None
    encodes: Encodes = None
    vmaf_model: Annotated[str | None, Flag("report this model; with --dataset its scores", metavar="MODEL")] = None
    quality_type: Annotated[str, Flag("the scores of --dataset, such as PSNR", quality_type, metavar="TYPE")] = "VMAF"
    pool: Pool = "mean"
    anchor: Anchor = None
    interpolation: Interpolation = "pchip"
    clips: Annotated[int, Flag("show the worst frames of so many clips of --dataset", integer(0), metavar="N")] = 6
    html: Annotated[Path | None, Flag("write one file to look at and to send", path, metavar="FILE")] = None
    open: Annotated[bool, Flag("open that file in a browser")] = False
    dry_run: Annotated[bool, Flag("write no page")] = False
    workspace: Workspace = ""
    json: Json = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BdRating:
    """Of `bd-rate`."""

    EXAMPLE = "encodes_dataset.py --anchor libx264 --test libsvtav1"

    dataset: Annotated[Path | None, Flag(_LADDER, path, positional=1, metavar="RECIPE")] = None
    encodes: Encodes = None
    anchor: Anchor = None
    test: Annotated[
        Sequence[str], Flag("codecs that are compared with it, instead of all", several=True, metavar="CODEC")
    ] = ()
    interpolation: Interpolation = "pchip"
    quality_type: Annotated[str, Flag("the scores, such as PSNR", quality_type, metavar="TYPE")] = "VMAF"
    vmaf_model: VmafModel = None
    pool: Pool = "mean"
    workspace: Workspace = ""
    json: Json = False

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.encodes is None):
            raise UsageError("give the recipe of the encodes, or --encodes DATASET in its place")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Extraction(Measuring):
    """Of `extract`, and of every command that trains."""

    EXAMPLE = "my_dataset.py features.py --cache-result"

    feature_param: Annotated[
        Path, Flag("the file that says which features (feature_dict)", path, positional=3, metavar="FILE")
    ]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fitting(Extraction):
    """Of every command that fits models."""

    model_param: Annotated[
        Path, Flag("the file that says how to fit, or a tuned .pkl", path, positional=4, metavar="FILE")
    ]
    seed: Annotated[int, _SEED] = 0
    pool: Annotated[str, Flag(f"how features of frames become one: {_POOLS}", _pool, metavar="HOW")] = "mean"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Folds(Fitting):
    """Of every command that cross-validates."""

    folds: Annotated[int, Flag("folds, each of whole contents", integer(1), metavar="N")] = 5
    leave_one_source_out: Annotated[bool, Flag("a fold for each content, instead of --folds")] = False


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CrossValidation(Folds, Drawing):
    """Of `cross-validate`."""

    EXAMPLE = "my_dataset.py features.py model.py --leave-one-source-out"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Replacing(Fitting):
    """Of every command that writes under a name."""

    overwrite: Annotated[bool, Flag(_WRITTEN_OVER)] = False
    at: Annotated[
        str, Flag("where that snapshot goes, as for `ws.backup-models`", metavar="LOCATION", env="VMAF_BACKUPS")
    ] = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Training(Replacing, Drawing):
    """Of `train`."""

    EXAMPLE = "my_dataset.py features.py model.py mine --cache-result"

    output_model: Annotated[
        str, Flag("the model that is written; a bare name goes to model/", positional=5, metavar="NAME")
    ]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tuning(Replacing, Folds):
    """Of `tune`."""

    EXAMPLE = "my_dataset.py features.py model.py mine --cost '1 4'"

    output_param: Annotated[str, Flag(_BARE_SET, positional=5, metavar="NAME")]
    gamma: Annotated[
        Sequence[float], Flag("values to try, such as '0.02 0.05'", number, several=True, metavar="NUMBER")
    ] = ()
    cost: Annotated[
        Sequence[float], Flag("values of C to try, such as '1 4'", number, several=True, metavar="NUMBER", also="C")
    ] = ()
    nu: Annotated[
        Sequence[float], Flag("values to try, such as '0.5 0.9'", number, several=True, metavar="NUMBER")
    ] = ()
    random: Annotated[
        int | None, Flag("draw this many sets between the values, instead of trying all", integer(1), metavar="N")
    ] = None
