"""Measures one asset with one ffmpeg: decode, filter, scale, pair by index, libvmaf; streamed, nothing in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmaf_harness.asset import RAW_FPS, Asset, Video, check_asset
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.features import Extraction
from vmaf_harness.ffmpeg import Processes, described, quoted
from vmaf_harness.metrics import check
from vmaf_workspace.errors import WorkspaceError

_FRAMES = re.compile(r"Output stream #([12]):0 \(video\): (\d+) frames encoded")
_NO_FEATURE = re.compile(r"libvmaf ERROR vmaf_predict_score\w*\(\): no feature '([^']*)'")
_TOO_SMALL = "scale below 1x1"  # libvmaf's MS-SSIM; ffmpeg may exit 0
_BEFORE_SCALING = ("crop", "pad")  # the other filters of a recipe work at the quality size, as in VMAF's own harness


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What libvmaf said of one asset."""

    frames: dict[str, list[float]]  # metric -> its value in each frame
    means: dict[str, float]  # metric -> libvmaf's own mean, taken before its log is rounded to 6 decimals
    extraction_s: float

    @property
    def n_frames(self) -> int:
        """How many frames were compared."""
        return len(next(iter(self.frames.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
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


def measure(job: Job, processes: Processes) -> Measurement:
    """Measure one asset.

    Raises HarnessError where the two videos do not have the same number of frames, and EngineError, with arguments,
    exit code, last lines and the place of the log, where ffmpeg fails, but in one line for pictures that are too small.
    """
    check_asset(job.asset)
    job.directory.mkdir(exist_ok=True)
    if job.extraction.model is not None:
        (job.directory / job.extraction.model.name).write_bytes(job.extraction.model.content)
    command = arguments(job)
    log = job.directory / "ffmpeg.log"
    began = time.perf_counter()
    code = processes.run(command, cwd=job.directory, log=log)
    took_s = time.perf_counter() - began
    what = f"asset {job.asset.asset_id} ({job.asset.distorted.path})"
    if code:
        raise EngineError(f"{what}: {_why(job, command, code, log, 'ffmpeg failed')}")
    counts = _counted(log)
    if counts is not None:
        _check_counts(job.asset, counts)
    measurement = _read(job.directory / "vmaf.json", took_s)
    if measurement is None or counts is None or measurement.n_frames != counts[0]:
        # ffmpeg exits 0 although libvmaf could not write its log, as on a full disk.
        found = "no frames" if measurement is None else f"{measurement.n_frames} frames"
        wanted = f"{counts[0]} frames" if counts else "an unknown number of frames"
        lacks = f"ffmpeg compared {wanted}, but libvmaf's log holds {found}; is the disk full?"
        raise EngineError(f"{what}: {_why(job, command, code, log, lacks)}")
    if job.extraction.score not in measurement.frames:
        raise EngineError(f"{what}: libvmaf's log has no {job.extraction.score}, only {', '.join(measurement.frames)}")
    check(job.extraction.wanted, measurement.frames)
    if not job.keep_workfiles:
        shutil.rmtree(job.directory, ignore_errors=True)  # what is left goes with the run
    return measurement


def arguments(job: Job) -> list[str | Path]:
    """The command for one asset, to be started in `job.directory`, so that no path is part of a filter graph."""
    asset = job.asset
    options = [("log_fmt", "json"), ("log_path", "vmaf.json"), ("n_threads", str(job.threads)), *job.extraction.options]
    libvmaf = ":".join(f"{name}={quoted(value)}" for name, value in options)
    # Each side also goes to an output of its own, whose frames ffmpeg counts; that costs less than can be measured.
    distorted, reference = _chain(asset.distorted, asset), _chain(asset.reference, asset)
    if asset.quality_width_px is None and not (asset.distorted.is_raw and asset.reference.is_raw):
        # Nobody named a size, and only decoding tells it: the distorted video gets whatever the reference has.
        graph = f"[1:V:0]{reference},split=3[r][r-counted][r-sized];[0:V:0]{distorted}[d-own];"
        graph += f"[d-own][r-sized]scale=w=rw:h=rh:flags={asset.resampling_type},split[d][d-counted];"
    else:
        graph = f"[0:V:0]{distorted},split[d][d-counted];[1:V:0]{reference},split[r][r-counted];"
    graph += f"[d][r]libvmaf={libvmaf}[measured]"
    command: list[str | Path] = [job.engine, "-hide_banner", "-nostdin", "-nostats", "-v", "verbose", "-y"]
    command += [*_input(asset.distorted), *_input(asset.reference)]
    command += ["-filter_complex", graph, "-map", "[measured]", *_NULL]
    for pad, file in (("[d-counted]", "distorted.yuv"), ("[r-counted]", "reference.yuv")):
        command += ["-map", pad, *((*_PASS, "-f", "rawvideo", file) if job.keep_workfiles else _NULL)]
    return command


_PASS = ("-fps_mode", "passthrough")  # no frame is doubled or dropped to keep a rate
_NULL = (*_PASS, "-f", "null", "-")


def _input(video: Video) -> list[str | Path]:
    # One decoding thread each: there is an ffmpeg per core, and more threads made 12 clips 3 % slower.
    raw: list[str | Path] = []
    if video.is_raw:
        size = f"{video.width_px}x{video.height_px}"
        raw = ["-f", "rawvideo", "-pixel_format", video.yuv_fmt, "-video_size", size]
        raw += ["-framerate", repr(video.fps or RAW_FPS)]
    # `file:` so that no name is taken for a protocol.
    return ["-threads", "1", *raw, "-i", "file:" + os.path.abspath(video.path)]


def _chain(video: Video, asset: Asset) -> str:
    """The filters of one input: frames, then the recipe's own, then what makes the two alike."""
    trim = []
    if video.start_frame is not None:
        trim.append(f"start_frame={video.start_frame}")
    if video.end_frame is not None:
        trim.append(f"end_frame={video.end_frame + 1}")
    if video.duration_s is not None:
        trim.append(f"duration={video.duration_s!r}")
    filters = [f"trim={':'.join(trim)}"] if trim else []
    filters += [f"{name}={given}" for name, given in video.filters if name in _BEFORE_SCALING]
    if asset.quality_width_px is not None:  # does nothing to a frame that has this size
        filters.append(f"scale={asset.quality_width_px}:{asset.quality_height_px}:flags={asset.resampling_type}")
    filters += [f"{name}={given}" for name, given in video.filters if name not in _BEFORE_SCALING]
    if asset.workfile_yuv_type is not None:
        filters.append(f"format={asset.workfile_yuv_type}")
    # Frames are paired by their index, whatever their times; a second each, so that no rounding makes two the same.
    return ",".join([*filters, "settb=1", "setpts=N"])


def _why(job: Job, command: Sequence[str | Path], code: int, log: Path, failure: str) -> str:
    """A failure and what ffmpeg said; one line where the pictures are too small, as all of a dataset may be."""
    said = log.read_text(encoding="utf-8", errors="replace")
    kept = keep_log(log, job.failures)
    if (lacks := _NO_FEATURE.search(said)) is not None:
        small = f"libvmaf computed no {lacks[1]}; are the pictures too small? CAMBI needs 216 pixels one way"
    elif _TOO_SMALL in said:
        small = f"the pictures are too small for {job.extraction.type}, which halves them several times"
    else:
        return f"{failure}\n{described(command, job.directory, code, log, kept)}"
    return small + (f"; full log: {kept}" if kept is not None else "")


def _counted(log: Path) -> tuple[int, int] | None:
    """Frames of the distorted and of the reference video, as ffmpeg counted them; None where it does not say."""
    counts = dict(_FRAMES.findall(log.read_text(encoding="utf-8", errors="replace")))
    return (int(counts["1"]), int(counts["2"])) if len(counts) == 2 else None


def _check_counts(asset: Asset, counts: tuple[int, int]) -> None:
    distorted, reference = counts
    if not any(counts):
        raise HarnessError(
            f"asset {asset.asset_id}: no frame of {asset.reference.path} and {asset.distorted.path} is left to "
            "compare; do they end before start_frame, or does a select_cmd take none?"
        )
    if distorted != reference:
        raise HarnessError(
            f"asset {asset.asset_id}: {asset.reference.path} gives {reference} frames and {asset.distorted.path} "
            f"gives {distorted}; name the common ones with start_frame and end_frame"
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


def _read(log: Path, took_s: float) -> Measurement | None:
    """libvmaf's JSON log; None where it is missing, cut short, or without frames."""
    try:
        data: dict[str, Any] = json.loads(log.read_bytes())
        rows = [frame["metrics"] for frame in data["frames"]]
        pooled = data["pooled_metrics"]
        frames = {metric: [float(row[metric]) for row in rows] for metric in (rows[0] if rows else {})}
        means = {metric: float(pooled[metric]["mean"]) for metric in frames}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Measurement(frames=frames, means=means, extraction_s=round(took_s, 3)) if frames else None


def keep_log(log: Path, failures: Path | Callable[[], Path]) -> Path | None:
    """Move the log of a failed ffmpeg to where people find it after the run; None where that fails."""
    with suppress(OSError, WorkspaceError):
        directory = failures if isinstance(failures, Path) else failures()
        directory.mkdir(exist_ok=True)
        kept = directory / f"{log.parent.name}.log"
        shutil.copyfile(log, kept)
        return kept
    return None
