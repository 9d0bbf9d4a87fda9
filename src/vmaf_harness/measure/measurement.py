"""Measures one asset with one ffmpeg: decode, bring to the common form, pair, libvmaf; streamed, nothing in between."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, fsum, isfinite, nan
from pathlib import Path
from typing import Any

from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes, escape_option
from vmaf_harness.engine.frame_count import counted
from vmaf_harness.engine.log import explain_failure, find_damage, read_lines
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.common_form import CommonForm, check_shapes, common_form
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.frames import SHOWINFO, Frames, first_mispaired, read_frames
from vmaf_harness.measure.header import LIMITED, Header, input_arguments, read_headers
from vmaf_harness.measure.metrics import check_metrics
from vmaf_harness.measure.notes import DAMAGE, PAIRING, Note
from vmaf_harness.measure.pixel_format import parse_pixel_format
from vmaf_harness.measure.plugin_frames import DISTORTED_YUV, REFERENCE_YUV, plugin_columns
from vmaf_harness.plugins import PluginError
from vmaf_harness.recipe.asset import RAW_FPS, Asset, Video, check_asset, selected_frames

_FRAME_COUNT = re.compile(r"Output stream #([12]):0 \(video\): (\d+) frames encoded")
_SCALER_INPUT = re.compile(r"\[scale@(\w+) @ \w+\] (?:\[\w+\] )?w:(\d+) h:(\d+) fmt:\S+ .*?sar:(\d+)/(\d+) -> ")
_RETIMING_FILTERS = ("fps", "select", "yadif")  # filters of a recipe after which a frame is not the one of its number
# Containers round times to whole milliseconds, which must not make a frame come before its partner.
_TIME_ROUNDING_S = 0.0015
_SIDES = ("distorted", "reference")  # inputs 0 and 1
_ENCODE_WORDS = {"enc_bitdepth": "encbd", "enc_height": "ench", "enc_width": "encw"}  # in the names of CAMBI's metrics
_OPTIONLESS = ("cambi_source", "cambi_full_reference")
_CAMBI_PX, _ENCODE_PX = 216, (180, 150)  # libvmaf/src/feature/cambi.c
_CAMBI_WINDOW_PX = 65  # of 3840×2160; of other sizes by width and height together
_ADM_PX = 17  # of the integer one; the float one and motion take 8 pixels, too
_SPEED_BLOCK_PX = 5
_SPEED_PX = 80  # 5 × 5 blocks after 4 halvings (libvmaf/src/feature/speed.c)
_SPEED_PRESCALES = {"5d0h": 0.6, "3d0h_2160": 0.5}  # of the built-in models whose names end so


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What libvmaf said of one asset."""

    frames: dict[str, list[float]]  # metric -> its value in each frame
    means: dict[str, float]  # metric -> libvmaf's own mean, taken before its log is rounded to 6 decimals
    extraction_s: float
    notes: tuple[Note, ...] = ()  # what a person should know of these numbers

    @property
    def n_frames(self) -> int:
        """How many frames were measured."""
        return len(next(iter(self.frames.values())))


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
        return f"asset {self.asset.asset_id} ({self.asset.distorted.path})"


def measure(job: MeasurementJob, processes: Processes) -> Measurement:
    """Measure one asset.

    Raises HarnessError where the two videos do not have the same number of frames (paired by number) or do not last as
    long (paired by time), where one changes its form in mid-stream, where the reference is damaged, and for what
    `common_form` refuses; EngineError where ffmpeg fails, in one line where its log tells why.
    """
    check_asset(job.asset)
    if job.extraction.plugins:
        _check_plugins(job)
    job.directory.mkdir(exist_ok=True)
    if job.extraction.model is not None:
        (job.directory / job.extraction.model.name).write_bytes(job.extraction.model.content)
    distorted, reference = read_headers((job.asset.distorted, job.asset.reference), job.engine)
    measurement = _attempt(job, processes, reference, distorted)
    if not job.keep_workfiles:
        shutil.rmtree(job.directory, ignore_errors=True)  # what is left goes with the run
    return measurement


def _check_plugins(job: MeasurementJob) -> None:
    """Raise PluginError, before anything is measured, where a plug-in cannot be used."""
    for use in job.extraction.plugins:
        use.load()
        if job.asset.pairing == "time":
            raise PluginError(
                f"asset {job.asset.asset_id}: the plug-in {use.what} gets frames paired by number; leave pairing = "
                "'time' (--pair-by time) out"
            )


def _attempt(job: MeasurementJob, processes: Processes, reference: Header, distorted: Header) -> Measurement:
    """Measure by what the headers say; once more by what the first frames are, where those differ from it."""
    form = common_form(job.asset, reference, distorted)
    encode = encode_options(job, form, distorted)
    _check_memory(job, form, encode)
    command = measure_command(job, form, encode)
    log = job.directory / "ffmpeg.log"
    began = time.perf_counter()
    expected = selected_frames(job.asset.distorted)
    code = processes.run(counted(command, job.directory, expected), cwd=job.directory, log=log)
    took_s = time.perf_counter() - began
    what = job.what
    frames = read_frames(read_lines(log), _SIDES)
    found = [decoded_header(h, frames.get(side)) for h, side in zip((distorted, reference), _SIDES, strict=True)]
    if found != [distorted, reference]:
        return _attempt(job, processes, found[1], found[0])
    for side, video in zip(_SIDES, (job.asset.distorted, job.asset.reference), strict=True):
        if side in frames and (changed := frames[side].changed) is not None:
            raise HarnessError(
                f"asset {job.asset.asset_id}: {video.path} {changed}; no score compares two forms: cut it there, and "
                "score each part"
            )
    if job.asset.pairing == "time":
        _check_lengths(job.asset, frames)
    # Where ffmpeg fails, or exits 0 without a whole log.
    if (code or not _is_whole(job.directory / "vmaf.json")) and (small := too_small(job.extraction, form, encode)):
        raise HarnessError(f"{what}: {small}")
    if code:
        raise EngineError(f"{what}: {_failure_text(job, command, code, log, 'ffmpeg failed')}")
    counts = _frame_counts(log)
    damaged = _damage_notes(job, processes, log)
    if counts is not None and job.asset.pairing != "time":
        _check_counts(job.asset, counts, damaged)
    measurement = _read_log(job.directory / "vmaf.json", took_s)
    if measurement is not None and encode:
        measurement = _without_encode(measurement, encode, what)
    compared, every = None if counts is None else counts[0], job.extraction.subsample
    if compared is not None and 1 < compared <= every:
        raise HarnessError(
            f"{what} has {compared} frames, of which one in {every} is the first alone, before which nothing moved; "
            f"--subsample may be {compared - 1} at most"
        )
    if measurement is None or compared is None or measurement.n_frames != ceil(compared / every):
        # ffmpeg exits 0 although libvmaf could not write its log, as on a full disk.
        lacks = "no frames" if measurement is None else f"{measurement.n_frames} frames"
        wanted = f"{compared} frames" if counts else "an unknown number of frames"
        of_them = f", of which one in {every} is measured" if every > 1 else ""
        lacks = f"ffmpeg compared {wanted}{of_them}, but libvmaf's log holds {lacks}"
        raise EngineError(f"{what}: {_failure_text(job, command, code, log, lacks)}")
    measurement = _with_plugins(measurement, job, form, processes, what)
    if job.extraction.score not in measurement.frames:
        raise EngineError(f"{what}: libvmaf's log has no {job.extraction.score}, only {', '.join(measurement.frames)}")
    check_metrics(job.extraction.wanted, measurement.frames)
    notes = [*form.notes, *_shape_notes(job.asset, log), *_timing_notes(job.asset, frames), *damaged]
    notes += [*_encode_notes(job, form, distorted, encode), *_speed_notes(job.extraction, form)]
    return replace(measurement, notes=tuple(notes))


def _with_plugins(
    measurement: Measurement, job: MeasurementJob, form: CommonForm, processes: Processes, what: str
) -> Measurement:
    """The same with the features of plug-ins, computed of what ffmpeg wrote in scratch."""
    began = time.perf_counter()
    frames: dict[str, list[float]] = {}
    every = job.extraction.subsample
    for use in job.extraction.plugins:
        try:
            frames |= plugin_columns(use, job.directory, form, measurement.n_frames, processes.check, every=every)
        except PluginError as error:
            raise PluginError(f"{what}: {error}") from error
    means = {metric: fsum(column) / len(column) for metric, column in frames.items()}
    return replace(
        measurement,
        frames={**measurement.frames, **frames},
        means={**measurement.means, **means},
        extraction_s=round(measurement.extraction_s + time.perf_counter() - began, 3),
    )


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


def _encode_notes(job: MeasurementJob, form: CommonForm, distorted: Header, encode: Mapping[str, int]) -> list[Note]:
    """The note of a file that is smaller than CAMBI can be told of, so that it looks at the picture scaled up."""
    is_smaller = distorted.width_px < form.width_px and distorted.height_px < form.height_px
    if not job.extraction.has_cambi or not is_smaller or "enc_width" in encode:
        return []
    if takes_encode(distorted.width_px, distorted.height_px) or job.asset.encode_width_px is not None:
        return []
    size = f"{distorted.width_px}×{distorted.height_px}"
    text = f"{size} is too small for CAMBI to be told of; it looks at {form.width_px}×{form.height_px}"
    return [Note(kind="encode", side="distorted", text=text)]


def _without_encode(measurement: Measurement, encode: Mapping[str, int], what: str) -> Measurement:
    """The metrics of CAMBI by the names that they have for every video; EngineError where it was not told."""
    words = {f"{_ENCODE_WORDS[name]}_{number}" for name, number in encode.items()}

    def plain(metric: str) -> str:
        if not metric.startswith("cambi"):
            return metric
        lacking = sorted(word for word in words if f"_{word}" not in metric)
        if lacking and not metric.startswith(_OPTIONLESS):  # the names of which no option changes
            raise EngineError(f"{what}: libvmaf's CAMBI was not told {', '.join(lacking)}, only {metric}")
        for word in words:
            metric = metric.replace(f"_{word}", "", 1)
        return metric

    frames = {plain(metric): column for metric, column in measurement.frames.items()}
    return replace(measurement, frames=frames, means={plain(name): mean for name, mean in measurement.means.items()})


def takes_encode(width_px: int, height_px: int) -> bool:
    """Whether CAMBI can be told of an encode of this size."""
    return width_px >= _ENCODE_PX[0] and height_px >= _ENCODE_PX[1] and max(width_px, height_px) >= _CAMBI_PX


def too_small(extraction: Extraction, form: CommonForm, encode: Mapping[str, int]) -> str | None:
    """Why libvmaf does not compute CAMBI, ADM or SpEED at this size, as far as the size says; None where it does."""
    size_px = (encode.get("enc_width", form.width_px), encode.get("enc_height", form.height_px))
    is_tiny = not takes_encode(*size_px) if "enc_width" in encode else max(size_px) < _CAMBI_PX
    if extraction.has_cambi and is_tiny:
        return (
            f"{size_px[0]}×{size_px[1]} is too small for CAMBI: the longer side needs {_CAMBI_PX} pixels, and what was "
            f"scaled up {_ENCODE_PX[0]}×{_ENCODE_PX[1]}; VMAF v0 (vmaf_v0.6.1) takes it"
        )
    if "adm" in extraction.extractors and min(form.width_px, form.height_px) < _ADM_PX:
        return (
            f"{form.width_px}×{form.height_px} is too small for ADM, which needs {_ADM_PX} pixels or more each way; "
            "give a quality size"
        )
    if (steps := _speed_steps(extraction, form)) is None:
        return None
    # The plane, rounded down, is scaled and rounded.
    least = [by * ceil((_SPEED_PX - 0.5) / _speed_prescale(extraction)) for by in steps]
    if form.width_px >= least[0] and form.height_px >= least[1]:
        return None
    return (
        f"{form.width_px}×{form.height_px} is too small for SpEED: it needs at least {least[0]}×{least[1]} pixels "
        f"({form.pix_fmt}); give a quality size, or take VMAF v0 (vmaf_v0.6.1)"
    )


def _speed_steps(extraction: Extraction, form: CommonForm) -> tuple[int, int] | None:
    """Pixels across and down of the picture for one of the smallest plane that SpEED looks at; None without SpEED."""
    if extraction.has_v1_features or "speed_chroma" in extraction.extractors:
        chroma = parse_pixel_format(form.pix_fmt).chroma
        return 1 if chroma == "444" else 2, 2 if chroma == "420" else 1
    return (1, 1) if "speed_temporal" in extraction.extractors else None


def _speed_notes(extraction: Extraction, form: CommonForm) -> list[Note]:
    """The note of a picture for which SpEED says 0 whatever is in it.

    It takes the covariance of the places in a block from all positions of one in the picture, halved four times; of no
    more positions than places that has no inverse, and everything counts as equal (libvmaf/src/feature/speed.c).
    """
    if (steps := _speed_steps(extraction, form)) is None:
        return []
    positions = 1
    for size_px, step in zip((form.width_px, form.height_px), steps, strict=True):
        halved_px = int(size_px // step * _speed_prescale(extraction) + 0.5) >> 4
        positions *= halved_px // _SPEED_BLOCK_PX * _SPEED_BLOCK_PX - _SPEED_BLOCK_PX + 1
    if positions > _SPEED_BLOCK_PX**2:
        return []
    what = "as if no chroma were lost" if extraction.has_v1_features else "whatever is in it"
    text = (
        f"{form.width_px}×{form.height_px} has too few blocks for SpEED, which says 0, {what}; compare at a larger size"
    )
    return [Note(kind="speed", side="distorted", text=text)]


def _speed_prescale(extraction: Extraction) -> float:
    """What SpEED scales its pictures by before it looks at them: the least that is asked for."""
    given = [
        float(text) for text in re.findall(r"speed_prescale=([\d.]+)", dict(extraction.options).get("feature", ""))
    ]
    given += [float(str(dict(each.options).get("speed_prescale", 1.0))) for each in extraction.wanted]
    if extraction.model is None and extraction.has_v1_features:
        name = extraction.version.partition("-")[0].removeprefix("1.0.16_").removeprefix("hfr_")
        given.append(_SPEED_PRESCALES.get(name, 1.0))
    return min([1.0, *given])


def _check_memory(job: MeasurementJob, form: CommonForm, encode: Mapping[str, int]) -> None:
    """Raise HarnessError for a picture so wide that CAMBI leaves its memory (1872×160), which may crash or may not.

    At its last scale, of 4 halvings, its window reaches further than the picture is high (libvmaf/src/feature/cambi.c).
    """
    width_px, height_px = encode.get("enc_width", form.width_px), encode.get("enc_height", form.height_px)
    window_px = _CAMBI_WINDOW_PX * (width_px + height_px) // 375 // 16 | 1
    if job.extraction.has_cambi and window_px // 2 > ceil(height_px / 16):
        raise HarnessError(
            f"asset {job.asset.asset_id} ({job.asset.distorted.path}): {width_px}×{height_px} is too wide for its "
            "height for CAMBI of this libvmaf, which writes beyond its memory there; VMAF v0 (vmaf_v0.6.1) takes it"
        )


def measure_command(job: MeasurementJob, form: CommonForm, encode: Mapping[str, int] | None = None) -> list[str | Path]:
    """The command for one asset, to be started in `job.directory`, so that no path is part of a filter graph."""
    asset = job.asset
    options = [("log_fmt", "json"), ("log_path", "vmaf.json"), ("n_threads", str(job.threads))]
    options += job.extraction.options_for(encode or {})
    if asset.pairing == "time":
        options.append(("shortest", "1"))  # else libvmaf goes on with what is left of the reference
    libvmaf = ":".join(f"{name}={escape_option(value)}" for name, value in options)
    # Each side also goes to an output of its own, whose frames ffmpeg counts; that costs less than can be measured.
    distorted = filter_chain("distorted", asset.distorted, form.distorted, asset)
    reference = filter_chain("reference", asset.reference, form.reference, asset)
    graph = f"[0:V:0]{distorted},split[d][d-counted];[1:V:0]{reference},split[r][r-counted];"
    graph += f"[d][r]libvmaf={libvmaf}[measured]"
    command: list[str | Path] = [job.engine, *TO_BE_READ]
    command += [*_ONE_THREAD, *input_arguments(asset.distorted), *_ONE_THREAD, *input_arguments(asset.reference)]
    command += ["-filter_complex", graph, "-map", "[measured]", *_NULL_OUTPUT]
    writes = job.keep_workfiles or job.extraction.plugins
    for pad, file in (("[d-counted]", DISTORTED_YUV), ("[r-counted]", REFERENCE_YUV)):
        command += ["-map", pad, *((*_EVERY_FRAME, "-f", "rawvideo", file) if writes else _NULL_OUTPUT)]
    return command


# One decoding thread each: there is an ffmpeg per core, and more threads made 12 clips 3 % slower.
_ONE_THREAD = ("-threads", "1")
_EVERY_FRAME = ("-fps_mode", "passthrough")  # no frame is doubled or dropped to keep a rate
_NULL_OUTPUT = (*_EVERY_FRAME, "-f", "null", "-")


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
        if side == "distorted":
            return ",".join([*filters, "settb=AVTB", f"setpts=PTS-STARTPTS+{_TIME_ROUNDING_S}/TB"])
        # The last frame stays on the screen: the reference must not end before the last distorted frame.
        return ",".join([*filters, "tpad=stop=8:stop_mode=clone", "settb=AVTB", "setpts=PTS-STARTPTS"])
    # Frames are paired by their index, whatever their times; a second each, so that no rounding makes two the same.
    return ",".join([*filters, "settb=1", "setpts=N"])


def decoded_header(header: Header, frames: Frames | None) -> Header:
    """The header, with what the first frame is where the container said something else."""
    if frames is None or (first := frames.first) is None:
        return header
    is_said = first.range in (None, header.range or LIMITED) or parse_pixel_format(first.pix_fmt).kind == "gray"
    return replace(
        header,
        pix_fmt=first.pix_fmt,
        width_px=first.width_px,
        height_px=first.height_px,
        range=header.range if is_said else first.range,
    )


def _shape_notes(asset: Asset, log: Path) -> list[Note]:
    """The note of differing shapes where a recipe crops or pads, after which only ffmpeg knows them."""
    videos = dict(zip(_SIDES, (asset.distorted, asset.reference), strict=True))
    if not any(name in ("crop", "pad") for video in videos.values() for name, _ in video.filters):
        return []
    shapes: dict[str, Header] = {}
    for line in read_lines(log):
        if (match := _SCALER_INPUT.search(line)) and match[1] not in shapes:
            over, under = int(match[4]), int(match[5])
            sar = Fraction(over, under) if over and under else Fraction(1)
            shapes[match[1]] = Header(width_px=int(match[2]), height_px=int(match[3]), pix_fmt="", sar=sar)
    if len(shapes) < len(_SIDES):
        return []
    return check_shapes(asset, shapes["reference"], shapes["distorted"])


def _timing_notes(asset: Asset, frames: Mapping[str, Frames]) -> list[Note]:
    """The note of frames whose times say that their numbers pair the wrong ones; none where the recipe means it so."""
    retimed = any(
        name in _RETIMING_FILTERS for video in (asset.reference, asset.distorted) for name, _ in video.filters
    )
    if asset.pairing == "time" or retimed or len(frames) < len(_SIDES):
        return []
    apart = first_mispaired(frames["reference"].times_s, frames["distorted"].times_s)
    if apart is None:
        return []
    number, apart_s = apart
    text = (
        f"frames are paired by number, but times differ from frame {number} (counted from 0) on: there by "
        f"{apart_s * 1000:+.0f} ms, more than half a frame; --pair-by time pairs by time, --pair-by index says that it "
        "is meant so"
    )
    return [Note(kind=PAIRING, side="distorted", text=text)]


def _failure_text(job: MeasurementJob, command: Sequence[str | Path], code: int, log: Path, failure: str) -> str:
    inputs = (job.asset.distorted.path, job.asset.reference.path)
    return explain_failure(command, job.directory, code, log, inputs, job.failures, failure)


def _frame_counts(log: Path) -> tuple[int, int] | None:
    """Frames of the distorted and of the reference video, as ffmpeg counted them; None where it does not say."""
    counts = {match[1]: match[2] for line in read_lines(log) if (match := _FRAME_COUNT.search(line))}
    return (int(counts["1"]), int(counts["2"])) if len(counts) == 2 else None


def _damage_notes(job: MeasurementJob, processes: Processes, log: Path) -> list[Note]:
    """The note of a damaged distorted video, which packet loss may have been meant to be; a reference fails."""
    if not (found := find_damage(read_lines(log))):
        return []
    complaints: dict[str, tuple[int, str]] = {}
    for index, (side, video) in enumerate(zip(_SIDES, (job.asset.distorted, job.asset.reference), strict=True)):
        of_side = found
        if found.unnamed:  # a decoder complains that both use: whose words those are, decoding one alone tells
            alone = job.directory / f"{side}.log"
            command = [job.engine, *TO_BE_READ, *_ONE_THREAD, *input_arguments(video)]
            processes.run([*command, "-map", "0:V:0", *_NULL_OUTPUT], cwd=job.directory, log=alone)
            of_side, index = find_damage(read_lines(alone)), 0
        if number := of_side.of(index):
            complaints[side] = (number, of_side.first.get(index, "").rstrip(". "))
    if "reference" in complaints:
        number, words = complaints["reference"]
        raise HarnessError(
            f"asset {job.asset.asset_id}: {job.asset.reference.path} is damaged: ffmpeg complains {number} times, "
            f"first: {words}; bring the reference again, since everything is measured against it"
        )
    return [
        Note(kind=DAMAGE, side="distorted", text=f"damaged: ffmpeg complains {number} times, first: {words}")
        for number, words in complaints.values()
    ]


def _check_lengths(asset: Asset, frames: Mapping[str, Frames]) -> None:
    """Paired by time, both have to last as long, but for the last frame of each; HarnessError where they do not."""
    last_s, step_s = {}, 0.0
    for side, video in zip(_SIDES, (asset.distorted, asset.reference), strict=True):
        times_s = frames[side].times_s if side in frames else []
        if video.is_raw:
            times_s = [number / (video.fps or RAW_FPS) for number in range(selected_frames(video) or 0)]
        if not times_s or not all(map(isfinite, times_s)):
            raise HarnessError(
                f"asset {asset.asset_id}: {video.path} has frames without a time, so that none can be paired by it; "
                "leave pairing (--pair-by) out, or make a file that has times (ffmpeg -i … -c copy one.mkv)"
            )
        last_s[side] = times_s[-1] - times_s[0]
        step_s = max(step_s, *(after - before for before, after in pairwise(times_s)), 0.0)
    if abs(last_s["reference"] - last_s["distorted"]) > step_s * 1.5:
        raise HarnessError(
            f"asset {asset.asset_id}: the last frame of {asset.reference.path} is shown {last_s['reference']:.3f} s "
            f"after its first, that of {asset.distorted.path} {last_s['distorted']:.3f} s; name the common part with "
            "start_frame and end_frame, or duration_sec, in a recipe"
        )


def _check_counts(asset: Asset, counts: tuple[int, int], damaged: Sequence[Note]) -> None:
    distorted, reference = counts
    if not any(counts):
        raise HarnessError(
            f"asset {asset.asset_id}: no frame of {asset.reference.path} and {asset.distorted.path} is left to "
            "compare; do they end before start_frame, or does a select_cmd take none?"
        )
    if distorted != reference:
        why = (
            "in a recipe, start_frame and end_frame name the common ones, fps_cmd makes rates alike; pairing = 'time' "
            "(--pair-by time) pairs by time"
        )
        if damaged:  # which lost them; those that follow are shifted
            why = f"it is {damaged[0].text}; --pair-by time pairs those that are left"
        raise HarnessError(
            f"asset {asset.asset_id}: {asset.reference.path} gives {reference} frames and {asset.distorted.path} "
            f"gives {distorted}; {why}"
        )
    for video, count in ((asset.distorted, distorted), (asset.reference, reference)):
        drops = any(name in ("fps", "select") for name, _ in video.filters)
        if video.end_frame is None or drops:
            continue
        wanted = video.end_frame - (video.start_frame or 0) + 1
        if count != wanted:
            raise HarnessError(
                f"asset {asset.asset_id}: {wanted} frames are asked for (up to frame {video.end_frame}), "
                f"but {video.path} gives {count}; correct start_frame, end_frame, or duration_sec and fps"
            )


def _read_log(log: Path, took_s: float) -> Measurement | None:
    """libvmaf's JSON log; None where it is missing, cut short, or without frames."""
    try:
        data: dict[str, Any] = json.loads(log.read_bytes())
        rows = [frame["metrics"] for frame in data["frames"]]
        pooled = data["pooled_metrics"]
        frames = {metric: [_number(row[metric]) for row in rows] for metric in (rows[0] if rows else {})}
        means = {metric: _number(pooled[metric]["mean"]) for metric in frames}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Measurement(frames=frames, means=means, extraction_s=round(took_s, 3)) if frames else None


def _is_whole(log: Path) -> bool:
    return _read_log(log, 0.0) is not None


def _number(value: Any) -> float:
    """A number of libvmaf's log, which has null for what is infinite or none: PSNR-HVS of equal frames."""
    return nan if value is None else float(value)
