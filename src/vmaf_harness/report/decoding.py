"""How fast videos decode: one pass to nothing, by one thread, when it is asked.

Seconds are those of the processor, as ffmpeg counts them from its first packet on (`-benchmark`): what else this
machine does changes them less (by a tenth, by a third for very small pictures, where the time on the clock was twice as
long), and starting ffmpeg is not in them. They come in milliseconds, so two digits of a speed are as many as are known;
a short video is decoded again and again until it has as many frames as a long one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.engine.ffmpeg import TO_BE_READ, Processes
from vmaf_harness.engine.log import read_lines
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.header import input_arguments
from vmaf_harness.recipe.asset import Video

MOST_FRAMES, LEAST_FRAMES = 240, 24  # of one video; the more videos, the fewer
_FRAMES_OF_ALL = 12_000
_SECONDS = re.compile(r"\bbench: utime=([\d.]+)s stime=([\d.]+)s")
_FRAMES = re.compile(r"; (\d+) frames decoded;")


def frames_of_each(n_videos: int) -> int:
    """How many frames of each of so many videos are decoded at most: 500 videos of 1080p then take about a minute."""
    return max(LEAST_FRAMES, min(MOST_FRAMES, _FRAMES_OF_ALL // max(1, n_videos)))


def decode_fps(video: Video, engine: str, processes: Processes, directory: Path, most_frames: int) -> float | None:
    """Frames a second of processor time, to two digits; None where it cannot be decoded, or that took no time.

    *directory* is scratch.
    """
    log = directory / "decode.log"
    for again in (("-stream_loop", "-1"), ()):  # a stream without a container cannot be gone back in
        command = [engine, *TO_BE_READ, "-benchmark", "-threads", "1", *again, *input_arguments(video)]
        command += ["-map", "0:V:0", "-frames:v", str(most_frames), "-fps_mode", "passthrough", "-f", "null", "-"]
        with suppress(HarnessError):
            code = processes.run(command, cwd=directory, log=log)
            said = "\n".join(read_lines(log))
            seconds, frames = _SECONDS.search(said), _FRAMES.search(said)
            if code == 0 and seconds is not None and frames is not None:
                taken_s = float(seconds[1]) + float(seconds[2])
                return float(f"{int(frames[1]) / taken_s:.2g}") if taken_s > 0 else None
    return None


def decode_all(
    videos: Mapping[int, Video], directory: Path, *, told: Callable[[int], object] = lambda _: None
) -> dict[int, float | None]:
    """The speed of each video, one after the other; *told* gets how many are done, and *directory* is scratch."""
    engine = find_engine().path if videos else ""
    found = {}
    with Processes() as processes:
        for number, video in videos.items():
            found[number] = decode_fps(video, engine, processes, directory, frames_of_each(len(videos)))
            told(len(found))
    return found
