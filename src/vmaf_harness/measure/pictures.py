"""Frames of a pair as pictures, decoded, brought to the common form and paired as they are for the score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes
from vmaf_harness.engine.log import read_lines
from vmaf_harness.errors import EngineError
from vmaf_harness.measure.command import MeasurementJob, filter_chain
from vmaf_harness.measure.common_form import CommonForm, common_form
from vmaf_harness.measure.frames import read_frames
from vmaf_harness.measure.header import Header, input_arguments, read_headers
from vmaf_harness.measure.measurement import decoded_header
from vmaf_harness.recipe.asset import check_asset

_SIDES = ("distorted", "reference")  # inputs 0 and 1
_CUT = re.compile(r"lavfi\.scd\.score: *([\d.]+), lavfi\.scd\.time: *([\d.]+)")
_CUT_SCORE = 10  # of 100: ffmpeg's own threshold of its filter scdet
_HD_ROWS = 720  # from here on video without a tag is shown by BT.709, below by BT.601, as players do
_MATRICES = {"bt709": "bt709", "smpte240m": "smpte240m", "fcc": "fcc", "bt2020nc": "bt2020", "bt2020c": "bt2020"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePicture:
    """One frame of a pair: RGB of 8 bits a sample, row by row, and how far luma is apart, of 8 bits, 0 where it is not.

    `time_s` is that of the distorted frame, counted from its first; NaN where the file has no times.
    """

    frame: int
    time_s: float
    width_px: int
    height_px: int
    reference: bytes
    distorted: bytes
    difference: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The frames that were asked for, and the first frame of each scene of the reference but the first scene."""

    frames: tuple[FramePicture, ...]
    cuts: tuple[int, ...]


def take_pictures(job: MeasurementJob, frames: Sequence[int], processes: Processes) -> Pictures:
    """Decode a pair once, and keep the *frames* of these numbers, counted from 0 as in the score's log.

    Cuts are not looked for where frames are paired by time. Raises HarnessError for what `common_form` refuses,
    EngineError where ffmpeg fails or does not give these frames.
    """
    check_asset(job.asset)
    job.directory.mkdir(parents=True, exist_ok=True)
    distorted, reference = read_headers((job.asset.distorted, job.asset.reference), job.engine)
    return _attempt(job, sorted(set(frames)), processes, reference, distorted)


def _attempt(
    job: MeasurementJob, wanted: Sequence[int], processes: Processes, reference: Header, distorted: Header
) -> Pictures:
    """By what the headers say; once more by what the first frames are, where those differ from it."""
    form = common_form(job.asset, reference, distorted)
    log = job.directory / "pictures.log"
    code = processes.run(_command(job, form, reference, wanted), cwd=job.directory, log=log)
    listed = read_frames(read_lines(log), _SIDES)
    found = [decoded_header(h, listed.get(side)) for h, side in zip((distorted, reference), _SIDES, strict=True)]
    if found != [distorted, reference]:
        return _attempt(job, wanted, processes, found[1], found[0])
    size = form.width_px * form.height_px
    planes = {}
    for name, n_bytes in (("reference", 3 * size), ("distorted", 3 * size), ("difference", size)):
        content = _read(job.directory / f"{name}.raw")
        planes[name] = [content[at : at + n_bytes] for at in range(0, len(content), n_bytes)]
        if code or len(content) != n_bytes * len(wanted):
            raise EngineError(
                f"{job.asset.distorted.path}: ffmpeg gives no pictures of the frames {', '.join(map(str, wanted))} "
                f"(exit code {code}); the score of this video by `harness.score` says what is wrong with it"
            )
    times_s = listed["distorted"].times_s if "distorted" in listed else []
    pictures = [
        FramePicture(
            frame=frame,
            time_s=times_s[frame] - times_s[0] if frame < len(times_s) else nan,
            width_px=form.width_px,
            height_px=form.height_px,
            **{name: planes[name][index] for name in planes},
        )
        for index, frame in enumerate(wanted)
    ]
    cuts = {round(float(match[2])) for line in read_lines(log) if (match := _CUT.search(line))}
    return Pictures(frames=tuple(pictures), cuts=() if job.asset.pairing == "time" else tuple(sorted(cuts)))


def _command(job: MeasurementJob, form: CommonForm, reference: Header, wanted: Sequence[int]) -> list[str | Path]:
    asset = job.asset
    chains = {
        "distorted": filter_chain("distorted", asset.distorted, form.distorted, asset),
        "reference": filter_chain("reference", asset.reference, form.reference, asset),
    }
    numbers = "+".join(rf"eq(n\,{frame})" for frame in wanted) or "0"
    select = f"select={numbers}"
    default = "bt709" if form.height_px >= _HD_ROWS else "bt601"
    matrix = _MATRICES.get(reference.matrix, "bt601" if reference.matrix in ("bt470bg", "smpte170m") else default)
    rgb = f"scale=in_range={form.range}:out_range=pc:in_color_matrix={matrix}:flags=bicubic+accurate_rnd,format=rgb24"
    # Two inputs of a blend are paired as those of libvmaf are; with opacity 0 only its second is left.
    ends = ":shortest=1" if asset.pairing == "time" else ""
    graph = (
        f"[0:V:0]{chains['distorted']},split=3[d0][d1][d2];[1:V:0]{chains['reference']},split=3[r0][r1][r2];"
        f"[d0]{select},{rgb}[distorted];"
        f"[d1][r1]blend=all_mode=normal:all_opacity=0{ends},{select},{rgb}[reference];"
        f"[d2][r2]blend=all_mode=difference{ends},{select},extractplanes=y,format=gray[difference];"
        f"[r0]scdet=threshold={_CUT_SCORE},nullsink"
    )
    command: list[str | Path] = [job.engine, *TO_BE_READ]
    for video in (asset.distorted, asset.reference):
        command += ["-threads", str(job.threads), *input_arguments(video)]
    command += ["-filter_complex", graph]
    for name in ("distorted", "reference", "difference"):
        command += ["-map", f"[{name}]", "-fps_mode", "passthrough", "-f", "rawvideo", "-y", f"{name}.raw"]
    return command


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
