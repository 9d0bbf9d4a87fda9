"""How far the ffmpegs of a run are: each writes it down beside its log, and whoever shows it reads that now and then.

So nothing has to be passed from where an ffmpeg runs, be it another thread or another machine, to the screen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

FILE = "ffmpeg.progress"
EXPECTED = "ffmpeg.frames"  # how many frames there will be, 0 where nobody says, and of how many things
_TAIL = 2048  # bytes that surely hold the last report
_HEAD = 1 << 16  # bytes of a log in which the first input is described
_FRAME = re.compile(rb"^frame=\s*(\d+)", re.MULTILINE)
_DURATION = re.compile(rb"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_RATE = re.compile(rb"Video: .*?, (\d+(?:\.\d+)?)(k?) fps")


def counted(command: Sequence[str | Path], directory: Path, expected: int | None, things: int = 1) -> list[str | Path]:
    """*command* as one that writes into *directory* how far it is, with so many *things* at once.

    *expected* frames, where a recipe says how many.
    """
    (directory / FILE).unlink(missing_ok=True)
    (directory / EXPECTED).write_text(f"{expected or 0} {things}", encoding="ascii")
    return [command[0], "-progress", str(directory / FILE), "-stats_period", "0.5", *command[1:]]


class FrameCount:
    """How far the ffmpegs below a run's *directory* are that run now; what has ended is counted by its result."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet; *directory* need not be there."""
        self._directory = directory

    def __call__(self) -> tuple[int, float]:
        """Frames that they have worked through, and how many things that is: 0.5 for half a video."""
        all_frames, parts = 0, 0.0
        with suppress(OSError):
            for name in os.listdir(self._directory):
                directory = self._directory / name
                report = _report(directory)
                if report is None or report[1]:
                    continue
                frames, things = report[0], 1
                if expected := _expected(directory):
                    in_all, things = expected
                    parts += min(frames / in_all, 1.0) * things
                all_frames += frames * things
        return all_frames, parts


def _report(directory: Path) -> tuple[int, bool] | None:
    """Frames so far, and whether those are all; None where nothing was written yet."""
    with suppress(OSError), (directory / FILE).open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
        tail = file.read()
        if found := _FRAME.findall(tail):
            return int(found[-1]), tail.rstrip().endswith(b"progress=end")
    return None


def _expected(directory: Path) -> tuple[float, int] | None:
    """Frames of what runs there, by what a recipe says, else by duration and rate of the first input; and of what."""
    try:
        said, things = map(int, (directory / EXPECTED).read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    if said:
        return said, things
    with suppress(OSError), (directory / "ffmpeg.log").open("rb") as file:
        head = file.read(_HEAD)
        duration, rate = _DURATION.search(head), _RATE.search(head)
        if duration and rate:
            duration_s = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
            frames = duration_s * float(rate[1]) * (1000 if rate[2] else 1)
            return (frames, things) if frames else None
    return None
