"""Encodes references: one ffmpeg decodes a reference once for many rungs of a ladder, and nothing half is ever named.

An encode is written beside its final place under a hidden name that carries the run's id. It gets its name when ffmpeg
ended well, every packet that it wrote is in the file, and the key frames decode. The outputs of one ffmpeg go through
the reference side by side and end together, so that none of them is whole before: `kill -9` costs those being made.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.encode.plan import REFERENCE, Encode, encode_command
from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes
from vmaf_harness.engine.frame_count import counted
from vmaf_harness.engine.log import explain_failure, find_damage, read_lines
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.frames import read_frames
from vmaf_harness.recipe.asset import Video
from vmaf_workspace.live.lock import RUN_FILE, Holder, is_holder_gone, try_lock

_PACKET_COUNTS = re.compile(r"Output stream #(\d+):0 \(video\): (\d+) frames encoded; (\d+) packets muxed")
_TEMPORARY = re.compile(r"\.(.+)\.([0-9a-f-]{36})\.(?:mp4|webm|mkv)", re.DOTALL)
# The output that an error is of.
_FAILED_OUTPUT = re.compile(r"^\[(?:vost|out)#(\d+)\D.*\[(?:error|fatal)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An encode that is there, verified. `encode_s` is its share of the time that its ffmpeg took."""

    path: Path
    sha256: str
    n_bytes: int
    width_px: int
    height_px: int
    n_frames: int
    duration_s: float
    bitrate_bps: float  # of the video alone, without the container
    encode_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeJob:
    """Encodes of one reference, by one ffmpeg; `directory` is scratch, made here."""

    engine: str
    encodes: tuple[Encode, ...]
    run_id: str
    directory: Path
    failures: Path

    @property
    def what(self) -> str:
        """What an error calls it."""
        return f"the encodes of {self.encodes[0].reference.video.path}"


class EncodeError(EngineError):
    """Some encodes of a job failed; the others are there.

    `made` and `failed` have the index of each encode in its job.
    """

    def __init__(self, made: dict[int, Encoded], failed: dict[int, HarnessError]) -> None:
        """The message is that of the failures."""
        self.made, self.failed = made, failed
        super().__init__("\n".join(map(str, failed.values())))


def encode(job: EncodeJob, processes: Processes, whole: Callable[[Encode, Encoded], None]) -> list[Encoded]:
    """Make the encodes of a job, each whole or not at all; *whole* gets each in this thread as soon as it has its name.

    Where their common ffmpeg fails, the one that it blames is tried by itself, and the others together again, or each
    by itself where it blames none. A HarnessError of *whole* is that encode's own. Raises EncodeError with what was
    made and what failed.
    """
    job.directory.mkdir(exist_ok=True)
    made: dict[int, Encoded] = {}
    failed: dict[int, HarnessError] = {}
    waiting = [list(range(len(job.encodes)))]
    while waiting:
        group = waiting.pop()
        ended = _attempt(job, group, processes)
        for index, encoded in ended.made.items():
            try:
                whole(job.encodes[index], encoded)
                made[index] = encoded
            except HarnessError as error:
                failed[index] = error
        if len(group) == 1 or ended.is_of_all:
            failed |= ended.failed
            continue
        others = [index for index in group if index not in ended.made and index not in ended.failed]
        waiting += [[index] for index in ended.failed]
        waiting += [others] if others else []
    if failed:
        raise EncodeError(made, failed)
    return [made[index] for index in range(len(job.encodes))]


def remove_left_over(root: Path, directories: Iterable[Path]) -> set[Path]:
    """Remove what runs that were killed left beside the encodes; a run that is alive is spared.

    Returns the paths, without suffix, that those encodes would have got.
    """
    unfinished = set()
    for directory in directories:
        with suppress(OSError):
            for name in os.listdir(directory):
                match = _TEMPORARY.fullmatch(name)
                if match is None:
                    continue
                lock = try_lock(root / "workdir" / match[2] / RUN_FILE)
                if isinstance(lock, Holder):
                    continue
                if lock is not None:
                    is_alive = not is_holder_gone(lock)
                    os.close(lock)
                    if is_alive:
                        continue
                with suppress(FileNotFoundError):
                    os.unlink(directory / name)
                unfinished.add(directory / match[1])
    return unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What one ffmpeg made, and what it failed at; what is in neither came along with what failed."""

    made: dict[int, Encoded]
    failed: dict[int, HarnessError]
    is_of_all: bool = False  # what failed would fail in any other company, too


def _attempt(job: EncodeJob, indices: Sequence[int], processes: Processes) -> _Attempt:
    """Encode some of a job's encodes with one ffmpeg; verify and name them."""
    encodes = [job.encodes[index] for index in indices]
    targets = [e.path.with_name(f".{e.path.stem}.{job.run_id}{e.path.suffix}") for e in encodes]
    for encode in encodes:
        encode.path.parent.mkdir(exist_ok=True)
    log = job.directory / "ffmpeg.log"
    try:
        command = encode_command(job.engine, encodes, targets)
        began = time.perf_counter()
        last = encodes[0].reference.video.end_frame
        expected = None if last is None else last + 1
        code = processes.run(counted(command, job.directory, expected, len(encodes)), cwd=job.directory, log=log)
        encode_s = (time.perf_counter() - began) / len(encodes)
        if (unfit := _source_problem(encodes[0].reference.video, log)) is not None:
            return _Attempt(made={}, failed=dict.fromkeys(indices, unfit), is_of_all=True)
        if code:
            names, source = ", ".join(encode.path.name for encode in encodes), encodes[0].reference.video.path
            error = EngineError(f"cannot encode {names}: {_failure_text(job, command, code, log, [source])}")
            # The first: when one output fails, ffmpeg ends, and then others complain that they got no frame.
            to_blame = _FAILED_OUTPUT.search(log.read_text(encoding="utf-8", errors="replace"))
            return _Attempt(made={}, failed=dict.fromkeys([indices[int(to_blame[1])]] if to_blame else indices, error))
        counts = _packet_counts(log)
        try:
            _check_length(encodes[0].reference.video, max((frames for frames, _ in counts.values()), default=0))
        except HarnessError as error:
            return _Attempt(made={}, failed=dict.fromkeys(indices, error), is_of_all=True)
        made: dict[int, Encoded] = {}
        failed: dict[int, HarnessError] = {}
        for place, found in enumerate(_verified(job, encodes, targets, counts, processes)):
            if isinstance(found, HarnessError):
                failed[indices[place]] = found
                continue
            encode, target, (duration_s, n_stream_bytes) = encodes[place], targets[place], found
            with target.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                n_bytes = os.fstat(file.fileno()).st_size
            try:
                target.replace(encode.path)
            except IsADirectoryError:
                failed[indices[place]] = HarnessError(
                    f"{encode.path} is a directory, so an encode cannot have its name; move it away, and encode again"
                )
                continue
            made[indices[place]] = Encoded(
                path=encode.path,
                sha256=sha256,
                n_bytes=n_bytes,
                width_px=encode.picture.width_px,
                height_px=encode.picture.height_px,
                n_frames=counts[place][0],
                duration_s=round(duration_s, 6),
                bitrate_bps=round(n_stream_bytes * 8 / duration_s, 1),
                encode_s=round(encode_s, 3),
            )
        return _Attempt(made=made, failed=failed)
    finally:
        for target in targets:
            with suppress(OSError):
                target.unlink()


def _verified(
    job: EncodeJob,
    encodes: Sequence[Encode],
    targets: Sequence[Path],
    counts: dict[int, tuple[int, int]],
    run: Processes,
) -> list[tuple[float, int] | EngineError]:
    """Duration in seconds and bytes of video of each file, or an error for one that is not what was encoded."""
    sent = [counts.get(index, (0, 0))[1] for index in range(len(encodes))]
    found = _read_back(job, encodes, targets, sent, run)
    if len(encodes) > 1 and any(isinstance(each, EngineError) for each in found):
        # ffmpeg stops at the first that it cannot read, so that nothing is known of the others.
        return [_read_back(job, [e], [t], [n], run)[0] for e, t, n in zip(encodes, targets, sent, strict=True)]
    return found


def _read_back(
    job: EncodeJob, encodes: Sequence[Encode], targets: Sequence[Path], sent: Sequence[int], run: Processes
) -> list[tuple[float, int] | EngineError]:
    """The same by one ffmpeg; *sent* is how many packets, of a frame each, went into each."""
    # Every packet is read and counted, and the key frames are decoded: decoding all took a fourteenth of the encoding.
    light = ("-threads", "1", "-skip_frame", "nokey", "-skip_loop_filter", "all", "-skip_idct", "all")
    command: list[str | Path] = [job.engine, *TO_BE_READ, "-xerror"]
    for target in targets:
        command += [*light, "-i", "file:" + os.path.abspath(target)]
    for index in range(len(targets)):
        command += ["-map", f"{index}:v:0", "-fps_mode", "passthrough", "-f", "null", "-"]
        command += ["-map", f"{index}:v:0", "-c", "copy", "-f", "framecrc", f"packets-{index}"]
    log = job.directory / "verify.log"
    code = run.run(command, cwd=job.directory, log=log)
    times: list[tuple[float, int] | EngineError] = []
    for index, encode in enumerate(encodes):
        found, duration_s, n_bytes = _read_packets(job.directory / f"packets-{index}")
        if code or not sent[index] or found != sent[index]:
            about = _failure_text(job, command, code, log, [encode.path for encode in encodes])
            lost = f"{sent[index]} frames were encoded, {found} can be read back"
            times.append(EngineError(f"{encode.path.name}: {lost}: {about}"))
        else:
            times.append((duration_s, n_bytes))
    return times


def _source_problem(video: Video, log: Path) -> HarnessError | None:
    """What the log of its encoding says against a reference: its pictures change, or it is damaged."""
    frames = read_frames(read_lines(log), (REFERENCE,)).get(REFERENCE)
    if frames is not None and frames.changed is not None:
        return HarnessError(f"{video.path} {frames.changed}; bring it to one format first, or cut it there")
    found = find_damage(read_lines(log))
    if not found:
        return None
    n, first = found.of(0) + found.unnamed, next(iter(found.first.values()))
    return HarnessError(
        f"{video.path} is damaged: ffmpeg complains {n} times, at first {first!r}; encodes of it would be blamed for "
        "that: fetch or make the file again"
    )


def _failure_text(job: EncodeJob, command: Sequence[str | Path], code: int, log: Path, inputs: Sequence[Path]) -> str:
    return explain_failure(command, job.directory, code, log, inputs, job.failures, "ffmpeg failed")


def _read_packets(listing: Path) -> tuple[int, float, int]:
    """Number, duration in seconds and bytes of the packets in a framecrc listing; zeros where it cannot be read."""
    tick_s, shown, n_bytes, last = 0.0, [], 0, 0
    try:
        for line in listing.read_text(encoding="ascii").splitlines():
            if line.startswith("#tb 0: "):
                over, under = line.removeprefix("#tb 0: ").split("/")
                tick_s = int(over) / int(under)
            elif not line.startswith("#"):
                _, _, at, length, size, *_ = line.split(",")
                shown.append(int(at))
                last = int(length)
                n_bytes += int(size)
    except (OSError, ValueError, ZeroDivisionError):
        return 0, 0.0, 0
    if not shown or not tick_s:
        return 0, 0.0, 0
    # The last frame's own duration is not in every container: it is taken to be as long as the others.
    n = len(shown)
    ticks = (max(shown) - min(shown)) * n / (n - 1) if n > 1 else last
    return n, (ticks or 1) * tick_s, n_bytes


def _packet_counts(log: Path) -> dict[int, tuple[int, int]]:
    """Frames encoded and packets written of each output, as ffmpeg counted them."""
    found = _PACKET_COUNTS.findall(log.read_text(encoding="utf-8", errors="replace"))
    return {int(output): (int(frames), int(packets)) for output, frames, packets in found}


def _check_length(video: Video, count: int) -> None:
    if video.end_frame is not None and count != video.end_frame + 1:
        raise HarnessError(
            f"{video.path}: frame {video.end_frame} is asked for (counted from 0), but the file gives {count} frames; "
            "correct end_frame, or duration_sec and fps"
        )
