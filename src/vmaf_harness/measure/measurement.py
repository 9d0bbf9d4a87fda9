"""Measures one asset with one ffmpeg: decode, bring to the common form, pair, libvmaf; streamed, nothing in between."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, fsum, nan
from pathlib import Path
from typing import Any

from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes, StoppedError
from vmaf_harness.engine.frame_count import counted
from vmaf_harness.engine.log import Damage, explain_failure, find_damage, read_lines
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.command import (
    NULL_OUTPUT,
    ONE_THREAD,
    REFERENCE,
    Comparison,
    MeasurementJob,
    compare,
    distorted_name,
    grid_name,
    log_name,
    measure_command,
)
from vmaf_harness.measure.common_form import CommonForm, check_shapes, size_notes
from vmaf_harness.measure.feature_limits import speed_notes, takes_encode, too_small
from vmaf_harness.measure.frames import Frames, read_frames
from vmaf_harness.measure.header import LIMITED, Header, input_arguments, read_headers
from vmaf_harness.measure.metrics import check_metrics
from vmaf_harness.measure.notes import DAMAGE, Note
from vmaf_harness.measure.pairing import (
    SIDES,
    check_beginnings,
    check_counts,
    check_lengths,
    likeness_notes,
    timing_notes,
)
from vmaf_harness.measure.pixel_format import parse_pixel_format
from vmaf_harness.measure.plugin_frames import plugin_columns
from vmaf_harness.plugins import PluginError
from vmaf_harness.recipe.asset import (
    Asset,
    Video,
    check_asset,
    selected_frames,
)

_FRAME_COUNT = re.compile(r"Output stream #(\d+):0 \(video\): (\d+) frames encoded")
_SCALER_INPUT = re.compile(r"\[scale@(\w+) @ \w+\] (?:\[\w+\] )?w:(\d+) h:(\d+) fmt:\S+ .*?sar:(\d+)/(\d+) -> ")
LOG = "ffmpeg.log"
_ENCODE_WORDS = {"enc_bitdepth": "encbd", "enc_height": "ench", "enc_width": "encw"}  # in the names of CAMBI's metrics
_OPTIONLESS = ("cambi_source", "cambi_full_reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How two videos were compared: in which form, and what the distorted one had to be brought from.

    Sizes are those of the videos as they are shown. A rate is that of the header, None where nobody says; *resampling*
    is what scaled the distorted video, whatever its size.
    """

    width_px: int
    height_px: int
    pix_fmt: str
    pairing: str  # index or time
    distorted_width_px: int
    distorted_height_px: int
    resampling: str
    distorted_fps: float | None = None
    reference_fps: float | None = None
    distorted_start_frame: int = 0
    reference_start_frame: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What libvmaf said of one asset."""

    frames: dict[str, list[float]]  # metric -> its value in each frame
    means: dict[str, float]  # metric -> libvmaf's own mean, taken before its log is rounded to 6 decimals
    extraction_s: float
    notes: tuple[Note, ...] = ()  # what a person should know of these numbers
    compared: Compared | None = None  # None of what was not measured here

    @property
    def n_frames(self) -> int:
        """How many frames were measured."""
        return len(next(iter(self.frames.values())))


def measure(job: MeasurementJob, processes: Processes) -> Measurement:
    """Measure one asset.

    Raises HarnessError where the two videos do not have the same number of frames (paired by number) or do not last as
    long (paired by time), where one changes its form in mid-stream, where the reference is damaged, and for what
    `compare` refuses; EngineError where ffmpeg fails, in one line where its log tells why.
    """
    comparison = _prepare(job)
    output = _run([comparison], processes)
    while (found := output.decoded(0)) != comparison:  # once more by what the first frames are
        comparison = found
        output = _run([comparison], processes)
    measurement = _with_plugins(output.measurement(0), job, comparison.form, processes)
    if job.extraction.score not in measurement.frames:
        names = ", ".join(measurement.frames)
        raise EngineError(f"{job.what}: libvmaf's log has no {job.extraction.score}, only {names}")
    check_metrics(job.extraction.wanted, measurement.frames)
    if not job.keep_workfiles:
        shutil.rmtree(job.directory, ignore_errors=True)  # what is left goes with the run
    return measurement


class PartlyMeasuredError(HarnessError):
    """Not every asset of several could be measured; `made` has what became of each, None where it was not begun."""

    def __init__(self, made: Sequence[Measurement | HarnessError | None]) -> None:
        """In the order of the assets."""
        super().__init__("not every asset could be measured")
        self.made = made


def measure_together(
    jobs: Sequence[MeasurementJob], processes: Processes, *, keep_going: bool = False
) -> list[Measurement]:
    """Measure assets of one reference, which is decoded once for those that it is brought to the same form for.

    The numbers are those of `measure`, which measures alone what something is wrong with, so that the error is its own.
    Raises PartlyMeasuredError where an asset fails, after which none is begun unless *keep_going*.
    """
    made: list[Measurement | HarnessError | None] = [None] * len(jobs)
    if len(jobs) > 1:
        for index, measurement in _measure_by_shared_decoding(jobs, processes):
            made[index] = measurement
    for index, job in enumerate(jobs):
        if made[index] is None:
            try:
                made[index] = measure(job, processes)
            except StoppedError:
                raise
            except HarnessError as error:
                made[index] = error
                if not keep_going:
                    break
    measured = [each for each in made if isinstance(each, Measurement)]
    if len(measured) < len(jobs):
        raise PartlyMeasuredError(made)
    return measured


def can_share(job: MeasurementJob) -> bool:
    """Whether the decoding of the reference can serve other assets, too: not where frames are kept or looked at."""
    return not job.keep_workfiles and not job.extraction.plugins and job.asset.pairing != "time"


def _measure_by_shared_decoding(
    jobs: Sequence[MeasurementJob], processes: Processes
) -> Iterator[tuple[int, Measurement]]:
    """Those of *jobs* that nothing is wrong with, by their index."""
    by_form: dict[str, dict[int, Comparison]] = {}
    for index, job in enumerate(jobs):
        with _left_to_be_measured_alone():
            comparison = _prepare(job)
            by_form.setdefault(comparison.reference_chain, {})[index] = comparison
    for comparisons in by_form.values():
        if len(comparisons) == 1:
            continue
        with _left_to_be_measured_alone():
            output = _run(list(comparisons.values()), processes)
            for place, (index, comparison) in enumerate(comparisons.items()):
                with _left_to_be_measured_alone():
                    if output.decoded(place) == comparison:
                        measurement = output.measurement(place)
                        check_metrics(comparison.job.extraction.wanted, measurement.frames)
                        if comparison.job.extraction.score in measurement.frames:
                            yield index, measurement
            for comparison in comparisons.values():
                shutil.rmtree(comparison.job.directory, ignore_errors=True)


@contextmanager
def _left_to_be_measured_alone() -> Iterator[None]:
    """Pass over what `measure` will say."""
    try:
        yield
    except StoppedError:
        raise
    except HarnessError:
        pass


def _prepare(job: MeasurementJob) -> Comparison:
    check_asset(job.asset)
    if job.extraction.plugins:
        _check_plugins(job)
    distorted, reference = read_headers((job.asset.distorted, job.asset.reference), job.engine)
    return compare(job, distorted, reference)


def _check_plugins(job: MeasurementJob) -> None:
    """Raise PluginError, before anything is measured, where a plug-in cannot be used."""
    for use in job.extraction.plugins:
        use.load()
        if job.asset.pairing == "time":
            raise PluginError(
                f"{job.asset.prefix}the plug-in {use.what} gets frames paired by number; leave pairing = "
                "'time' (--pair-by time) out"
            )


def _run(comparisons: Sequence[Comparison], processes: Processes) -> _Output:
    """Decode and compare, in the directory of the first; whatever comes of it."""
    job = comparisons[0].job
    job.directory.mkdir(exist_ok=True)
    if job.extraction.model is not None:
        (job.directory / job.extraction.model.name).write_bytes(job.extraction.model.content)
    command = measure_command(comparisons)
    expected = selected_frames(job.asset.distorted)
    began = time.perf_counter()
    code = processes.run(
        counted(command, job.directory, expected, len(comparisons)), cwd=job.directory, log=job.directory / LOG
    )
    took_s = time.perf_counter() - began
    return _Output(comparisons=comparisons, command=command, code=code, took_s=took_s, processes=processes)


@dataclass(kw_only=True)
class _Output:
    """What one ffmpeg, which has ended, wrote of its comparisons; those are named by their index."""

    comparisons: Sequence[Comparison]
    command: Sequence[str | Path]
    code: int
    took_s: float
    processes: Processes  # to decode once more alone

    @property
    def directory(self) -> Path:
        """Where it ran."""
        return self.comparisons[0].job.directory

    @property
    def log(self) -> Path:
        """What it said."""
        return self.directory / LOG

    @cached_property
    def frames(self) -> dict[str, Frames]:
        """The frames of each input, by the name of its filters."""
        return read_frames(read_lines(self.log), [*map(distorted_name, range(len(self.comparisons))), REFERENCE])

    @cached_property
    def counts(self) -> dict[int, int]:
        """The frames of each output, as ffmpeg counted them; of one that it says nothing of, none."""
        matches = (_FRAME_COUNT.search(line) for line in read_lines(self.log))
        return {int(match[1]): int(match[2]) for match in matches if match}

    @cached_property
    def damage(self) -> Damage:
        """What it complained of."""
        return find_damage(read_lines(self.log))

    def decoded(self, index: int) -> Comparison:
        """The comparison, by what the first frames are where the headers said something else."""
        comparison = self.comparisons[index]
        distorted = decoded_header(comparison.distorted, self.frames.get(distorted_name(index)))
        reference = decoded_header(comparison.reference, self.frames.get(REFERENCE))
        if (distorted, reference) == (comparison.distorted, comparison.reference):
            return comparison
        return compare(comparison.job, distorted, reference)

    def measurement(self, index: int) -> Measurement:
        """What libvmaf said of it; HarnessError where something is wrong with it."""
        comparison = self.comparisons[index]
        job, form, encode = comparison.job, comparison.form, comparison.encode
        asset, what = job.asset, job.what
        names = {distorted_name(index): "distorted", REFERENCE: "reference"}
        frames = {side: self.frames[name] for name, side in names.items() if name in self.frames}
        for side, video in zip(SIDES, (asset.distorted, asset.reference), strict=True):
            if side in frames and (changed := frames[side].changed) is not None:
                raise HarnessError(
                    f"{asset.prefix}{video.path} {changed}; no score compares two forms: cut it there, and "
                    "score each part"
                )
        if asset.pairing == "time":
            check_lengths(asset, frames)
        numbers = self.directory / log_name(index)
        # Where ffmpeg fails, or exits 0 without a whole log.
        if (self.code or not _is_whole(numbers)) and (small := too_small(job.extraction, form, encode)):
            raise HarnessError(f"{what}: {small}")
        if self.code:
            check_beginnings(asset, frames, (index, len(self.comparisons)), read_lines(self.log))
            raise EngineError(f"{what}: {self._failure_text(job, 'ffmpeg failed')}")
        n = len(self.comparisons)
        both = self.counts.get(n + index), self.counts.get(2 * n)  # outputs, as `measure_command` has them
        counts = None if both[0] is None or both[1] is None else (both[0], both[1])
        damaged = self._damage_notes(index)
        grids = None
        if asset.pairing != "time":
            grids = self.directory / grid_name(REFERENCE), self.directory / grid_name(distorted_name(index))
        if counts is not None and asset.pairing != "time":
            check_counts(asset, counts, damaged, grids)
        measurement = _read_log(numbers, self.took_s / n)
        if measurement is not None and encode:
            measurement = _without_encode(measurement, encode, what)
        compared, every = None if counts is None else counts[0], job.extraction.subsample
        if compared is not None and 1 < compared <= every:
            raise HarnessError(
                f"{what} has {compared} frames, of which one in {every} is the first alone, before which nothing "
                f"moved; --subsample may be {compared - 1} at most"
            )
        if measurement is None or compared is None or measurement.n_frames != ceil(compared / every):
            # ffmpeg exits 0 although libvmaf could not write its log, as on a full disk.
            lacks = "no frames" if measurement is None else f"{measurement.n_frames} frames"
            wanted = f"{compared} frames" if counts else "an unknown number of frames"
            of_them = f", of which one in {every} is measured" if every > 1 else ""
            lacks = f"ffmpeg compared {wanted}{of_them}, but libvmaf's log holds {lacks}"
            raise EngineError(f"{what}: {self._failure_text(job, lacks)}")
        notes = [*form.notes, *_shape_notes(asset, form, self.log, names), *timing_notes(comparison, frames), *damaged]
        notes += likeness_notes(asset, grids, compared) if grids is not None else []
        notes += [*_encode_notes(job, form, comparison.distorted, encode), *speed_notes(job.extraction, form)]
        return replace(measurement, notes=tuple(notes), compared=_compared(comparison))

    def _failure_text(self, job: MeasurementJob, failure: str) -> str:
        inputs = [each.job.asset.distorted.path for each in self.comparisons] + [job.asset.reference.path]
        return explain_failure(self.command, self.directory, self.code, self.log, inputs, job.failures, failure)

    def _damage_notes(self, index: int) -> list[Note]:
        """The note of a damaged distorted video, which packet loss may have been meant to be; a reference fails."""
        asset = self.comparisons[index].job.asset
        complaints: dict[str, tuple[int, str]] = {}
        inputs = ((index, asset.distorted), (len(self.comparisons), asset.reference))
        for side, (number, video) in zip(SIDES, inputs, strict=True):
            of_side = self.damage
            if of_side.unnamed:  # a decoder complains that several use: whose words those are, decoding one alone tells
                of_side, number = self._damage_of(video), 0
            if count := of_side.of(number):
                complaints[side] = (count, of_side.first.get(number, "").rstrip(". "))
        if "reference" in complaints:
            number, words = complaints["reference"]
            raise HarnessError(
                f"{asset.prefix}{asset.reference.path} is damaged: ffmpeg complains {number} times, "
                f"first: {words}; bring the reference again, since everything is measured against it"
            )
        return [
            Note(kind=DAMAGE, side="distorted", text=f"damaged: ffmpeg complains {number} times, first: {words}")
            for number, words in complaints.values()
        ]

    def _damage_of(self, video: Video) -> Damage:
        """What ffmpeg complains of where it decodes nothing else."""
        log = self.directory / "alone.log"
        command = [self.command[0], *TO_BE_READ, *ONE_THREAD, *input_arguments(video), "-map", "0:V:0", *NULL_OUTPUT]
        self.processes.run(command, cwd=self.directory, log=log)
        return find_damage(read_lines(log))


def _with_plugins(measurement: Measurement, job: MeasurementJob, form: CommonForm, processes: Processes) -> Measurement:
    """The same with the features of plug-ins, computed of what ffmpeg wrote in scratch."""
    began = time.perf_counter()
    frames: dict[str, list[float]] = {}
    every = job.extraction.subsample
    for use in job.extraction.plugins:
        try:
            frames |= plugin_columns(use, job.directory, form, measurement.n_frames, processes.check, every=every)
        except PluginError as error:
            raise PluginError(f"{job.what}: {error}") from error
    means = {metric: fsum(column) / len(column) for metric, column in frames.items()}
    return replace(
        measurement,
        frames={**measurement.frames, **frames},
        means={**measurement.means, **means},
        extraction_s=round(measurement.extraction_s + time.perf_counter() - began, 3),
    )


def _compared(comparison: Comparison) -> Compared:
    asset, form = comparison.job.asset, comparison.form
    return Compared(
        width_px=form.width_px,
        height_px=form.height_px,
        pix_fmt=form.pix_fmt,
        pairing=asset.pairing or "index",
        distorted_width_px=comparison.distorted.width_px,
        distorted_height_px=comparison.distorted.height_px,
        resampling=asset.distorted.resampling_type or asset.resampling_type,
        distorted_fps=comparison.distorted.fps,
        reference_fps=comparison.reference.fps,
        distorted_start_frame=asset.distorted.start_frame or 0,
        reference_start_frame=asset.reference.start_frame or 0,
    )


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


def _shape_notes(asset: Asset, form: CommonForm, log: Path, names: Mapping[str, str]) -> list[Note]:
    """The notes of sizes and of differing shapes where a recipe crops or pads, after which only ffmpeg knows them."""
    videos = dict(zip(SIDES, (asset.distorted, asset.reference), strict=True))
    if not any(name in ("crop", "pad") for video in videos.values() for name, _ in video.filters):
        return []
    shapes: dict[str, Header] = {}
    for line in read_lines(log):
        if (match := _SCALER_INPUT.search(line)) and (side := names.get(match[1])) and side not in shapes:
            over, under = int(match[4]), int(match[5])
            sar = Fraction(over, under) if over and under else Fraction(1)
            shapes[side] = Header(width_px=int(match[2]), height_px=int(match[3]), pix_fmt="", sar=sar)
    if len(shapes) < len(SIDES):
        return []
    reference, distorted = shapes["reference"], shapes["distorted"]
    return [*size_notes(asset, form, reference, distorted), *check_shapes(asset, reference, distorted)]


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
