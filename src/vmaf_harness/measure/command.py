"""The command that measures encodes of one reference: one ffmpeg decodes each video once, and libvmaf compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.engine.ffmpeg import TO_BE_READ, escape_option
from vmaf_harness.measure.alignment import GRID
from vmaf_harness.measure.common_form import CommonForm, common_form
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.feature_limits import check_memory, takes_encode
from vmaf_harness.measure.frames import SHOWINFO
from vmaf_harness.measure.header import Header, input_arguments
from vmaf_harness.measure.pixel_format import parse_pixel_format
from vmaf_harness.measure.plugin_frames import DISTORTED_YUV, REFERENCE_YUV
from vmaf_harness.recipe.asset import Asset, Video

# Containers round times to whole milliseconds, which must not make a frame come before its partner.
_TIME_ROUNDING_S = 0.0015
ONE_THREAD = ("-threads", "1")  # of a decoder: there is an ffmpeg per core, and more threads made 12 clips 3 % slower
_EVERY_FRAME = ("-fps_mode", "passthrough")  # no frame is doubled or dropped to keep a rate
NULL_OUTPUT = (*_EVERY_FRAME, "-f", "null", "-")
REFERENCE = "reference"  # what filters of the reference are called; those of the others by `distorted_name`


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementJob:
    """One asset to measure, with everything that takes; it can be sent to another process.

    `directory` is scratch, made here; `failures` is where the log of a failed ffmpeg is kept for people, or what
    makes that place when there is such a log.
    """

    engine: str
    asset: Asset
    extraction: Extraction
    directory: Path
    failures: Path | Callable[[], Path]
    threads: int = 1  # of libvmaf
    keep_workfiles: bool = False

    @property
    def what(self) -> str:
        """What an error calls it."""
        path = self.asset.distorted.path
        return f"asset {self.asset.asset_id} ({path})" if self.asset.in_recipe else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An asset to measure, what its videos are, the form that they are brought to, and what CAMBI has to be told."""

    job: MeasurementJob
    distorted: Header
    reference: Header
    form: CommonForm
    encode: Mapping[str, int]

    @property
    def reference_chain(self) -> str:
        """The filters of the reference."""
        return filter_chain(REFERENCE, self.job.asset.reference, self.form.reference, self.job.asset)


def compare(job: MeasurementJob, distorted: Header, reference: Header) -> Comparison:
    """How *job* is measured; raises HarnessError for what `common_form` refuses, and what CAMBI cannot take."""
    form = common_form(job.asset, reference, distorted)
    encode = encode_options(job, form, distorted)
    check_memory(job.extraction, form, encode, job.what)
    return Comparison(job=job, distorted=distorted, reference=reference, form=form, encode=encode)


def distorted_name(index: int) -> str:
    """What filters of the distorted video of this comparison are called in the log."""
    return f"distorted{index or ''}"


def log_name(index: int) -> str:
    """Where libvmaf writes the numbers of this comparison."""
    return f"vmaf{index or ''}.json"


def grid_name(name: str) -> str:
    """Where what is kept of the frames of an input is written; *name* is that of its filters."""
    return f"{name}.grid"


def measure_command(comparisons: Sequence[Comparison]) -> list[str | Path]:
    """The command for assets of one reference, to be started in a directory where no path is part of a filter graph.

    Inputs are the distorted videos, then the reference. Outputs are what libvmaf measured of each, which is thrown
    away, then as many as inputs, the grids of their frames, which ffmpeg counts, then all of the frames where they are
    kept: of one asset alone.
    """
    n = len(comparisons)
    job = comparisons[0].job
    writes = job.keep_workfiles or bool(job.extraction.plugins)
    graph, command = [], [job.engine, *TO_BE_READ]

    def split(side: str, *pads: str) -> str:
        pads = (*pads, f"{side}-all", *([f"{side}-kept"] if writes else []))
        return f"split={len(pads)}{''.join(f'[{pad}]' for pad in pads)};[{side}-all]{GRID}[{side}-counted]"

    for index, each in enumerate(comparisons):
        asset = each.job.asset
        command += [*ONE_THREAD, *input_arguments(asset.distorted)]
        chain = filter_chain(distorted_name(index), asset.distorted, each.form.distorted, asset)
        graph.append(f"[{index}:V:0]{chain},{split(f'd{index}', f'd{index}')}")
    command += [*ONE_THREAD, *input_arguments(job.asset.reference)]
    graph.append(f"[{n}:V:0]{comparisons[0].reference_chain},{split('r', *(f'r{index}' for index in range(n)))}")
    for index, each in enumerate(comparisons):
        graph.append(f"[d{index}][r{index}]libvmaf={_libvmaf_options(each, index)}[measured{index}]")
    command += ["-filter_complex", ";".join(graph)]
    for index in range(n):
        command += ["-map", f"[measured{index}]", *NULL_OUTPUT]
    files = {f"d{index}-counted": grid_name(distorted_name(index)) for index in range(n)}
    files["r-counted"] = grid_name(REFERENCE)
    if writes:
        files |= {"d0-kept": DISTORTED_YUV, "r-kept": REFERENCE_YUV}
    for pad, file in files.items():
        command += ["-map", f"[{pad}]", *_EVERY_FRAME, "-f", "rawvideo", file]
    return [*command]


def _libvmaf_options(comparison: Comparison, index: int) -> str:
    job = comparison.job
    options = [("log_fmt", "json"), ("log_path", log_name(index)), ("n_threads", str(job.threads))]
    options += job.extraction.options_for(comparison.encode)
    if job.asset.pairing == "time":
        options.append(("shortest", "1"))  # else libvmaf goes on with what is left of the reference
    return ":".join(f"{name}={escape_option(value)}" for name, value in options)


def filter_chain(side: str, video: Video, to_form: Sequence[str], asset: Asset) -> str:
    """The filters of one input: which frames, then what makes the two videos alike."""
    trim = []
    if video.start_frame is not None:
        trim.append(f"start_frame={video.start_frame}")
    if video.end_frame is not None:
        trim.append(f"end_frame={video.end_frame + 1}")
    if video.duration_s is not None:
        trim.append(f"duration={video.duration_s!r}")
    filters = [f"trim={':'.join(trim)}"] if trim else []
    if not video.is_raw:
        filters.append(SHOWINFO.replace("showinfo", f"showinfo@{side}", 1))
    # The first scale is the one that scales; its name makes the log tell which size came into it.
    sized = next(index for index, each in enumerate(to_form) if each.startswith("scale="))
    filters += [*to_form[:sized], to_form[sized].replace("scale=", f"scale@{side}=", 1), *to_form[sized + 1 :]]
    if asset.pairing == "time":
        # Each distorted frame with the one that the reference shows at its time: libvmaf takes the latest not after it.
        if side != REFERENCE:
            return ",".join([*filters, "settb=AVTB", f"setpts=PTS-STARTPTS+{_TIME_ROUNDING_S}/TB"])
        # The last frame stays on the screen: the reference must not end before the last distorted frame.
        return ",".join([*filters, "tpad=stop=8:stop_mode=clone", "settb=AVTB", "setpts=PTS-STARTPTS"])
    # Frames are paired by their index, whatever their times; a second each, so that no rounding makes two the same.
    return ",".join([*filters, "settb=1", "setpts=N"])


def encode_options(job: MeasurementJob, form: CommonForm, distorted: Header) -> dict[str, int]:
    """What CAMBI has to be told of how the distorted video was encoded, where that is not what is compared.

    The recipe's word, else the file's own. CAMBI takes the compared size for an encode that is larger in a direction,
    and so it is told none then, nor the size of a file that is too small for it, of which no recipe speaks. A video
    that a recipe crops or pads has no size of its own for what is left.
    """
    asset = job.asset
    if not job.extraction.has_cambi:
        return {}
    width_px, height_px = asset.encode_width_px, asset.encode_height_px
    if width_px is None or height_px is None:
        is_cut = any(name in ("crop", "pad") for name, _ in asset.distorted.filters)
        of_file = (form.width_px, form.height_px) if is_cut else (distorted.width_px, distorted.height_px)
        if not takes_encode(*of_file) and width_px is None and height_px is None:
            of_file = form.width_px, form.height_px
        width_px, height_px = width_px or of_file[0], height_px or of_file[1]
    depth = asset.encode_depth or parse_pixel_format(distorted.pix_fmt).depth
    told: dict[str, int] = {}
    if depth != parse_pixel_format(form.pix_fmt).depth:
        told["enc_bitdepth"] = depth
    is_smaller = width_px <= form.width_px and height_px <= form.height_px
    if is_smaller and (width_px, height_px) != (form.width_px, form.height_px):
        told |= {"enc_height": height_px, "enc_width": width_px}
    return told
