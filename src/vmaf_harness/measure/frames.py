"""The frames of an input, as ffmpeg's showinfo lists them: their times, and where their form changes in mid-stream."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from vmaf_harness.measure.header import FULL, LIMITED, UNTAGGED

SHOWINFO = "showinfo=checksum=0"
_FRAME = re.compile(r"\[showinfo@(\w+) @ \w+\] (?:\[info\] )?n: *\d+ pts: *(\S+) .*? fmt:(\S+) .*? s:(\d+)x(\d+) ")
_TIME_BASE = re.compile(r"\[showinfo@(\w+) @ \w+\] (?:\[info\] )?config in time_base: (\d+)/(\d+)")
# showinfo prints the format that the graph was made for, whatever a frame has; its source says where they differ.
_FORMAT_CHANGE = re.compile(r"\[graph \S+ input from stream (\d+):.* fmt: (\d+).*, incoming frame - .*? fmt: (\d+)")
_RANGE = re.compile(r"\[showinfo@(\w+) @ \w+\] (?:\[info\] )?color_range:(pc|tv|unknown)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForm:
    """What a frame is before any filter; `range` is None where the log does not tell."""

    pix_fmt: str
    width_px: int
    height_px: int
    range: str | None = LIMITED

    def __str__(self) -> str:
        """For people."""
        words = "full" if self.range == FULL else "limited"
        return f"{self.width_px}×{self.height_px} {self.pix_fmt}, {words} range"


@dataclass(slots=True)
class Frames:
    """What was listed of one input; `times_s` is NaN where a frame has no time, `tick_s` the unit of its times.

    `change` is (number of the frame counted from 0, what it was before, what it is), None where nothing changed.
    """

    times_s: list[float] = field(default_factory=list)
    tick_s: float = math.nan
    first: FrameForm | None = None
    last: FrameForm | None = None
    change: tuple[int, FrameForm, FrameForm] | None = None

    @property
    def changed(self) -> str | None:
        """The change in words; None where there is none."""
        if self.change is None:
            return None
        number, before, after = self.change
        return f"changes in mid-stream: frame {number} (counted from 0) is {after}, those before it {before}"

    def add(self, pts: str, form: FrameForm) -> None:
        """Take the next frame; *pts* is its time in ticks, since ffmpeg prints seconds with six digits only."""
        self.times_s.append(math.nan if pts == "NOPTS" else int(pts) * self.tick_s)
        if self.first is None or (replace(self.first, range=form.range) == form and self.first.range is None):
            self.first = form
        elif form != self.first and self.change is None:
            self.change = (len(self.times_s) - 1, self.first, form)
        self.last = form


def read_frames(log: Iterable[str], names: Sequence[str]) -> dict[str, Frames]:
    """What each ``showinfo@NAME`` of a log listed, by NAME; *names* are those of the inputs, in their order."""
    found: dict[str, Frames] = {}
    waiting: dict[str, tuple[str, str, int, int]] = {}  # a frame whose range is yet to come, in a line of its own

    def take(name: str, range_: str | None) -> None:
        if name in waiting:
            pts, pix_fmt, width_px, height_px = waiting.pop(name)
            frames = found.setdefault(name, Frames())
            form = _frame_form(pix_fmt, width_px, height_px, range_)
            # showinfo writes that line in pieces, and another thread's words may tear it: then as the frame before.
            frames.add(pts, replace(form, range=frames.last.range) if form.range is None and frames.last else form)

    for line in log:
        if (match := _FORMAT_CHANGE.search(line)) and match[2] != match[3]:
            frames = found.setdefault(names[int(match[1])], Frames())
            take(names[int(match[1])], None)
            if frames.first is not None and frames.change is None:
                other = replace(frames.first, pix_fmt="in another pixel format")
                frames.change = (len(frames.times_s), frames.first, other)
        if "[showinfo@" not in line:
            continue
        # Anywhere in the line: a decoder's words, from another thread, may stand before them.
        if match := _FRAME.search(line):
            take(match[1], None)
            waiting[match[1]] = (match[2], match[3], int(match[4]), int(match[5]))
        elif match := _RANGE.search(line):
            take(match[1], match[2])
        elif match := _TIME_BASE.search(line):
            found.setdefault(match[1], Frames()).tick_s = int(match[2]) / int(match[3])
    for name in tuple(waiting):
        take(name, None)
    return found


def _frame_form(pix_fmt: str, width_px: int, height_px: int, range_: str | None) -> FrameForm:
    if pix_fmt.startswith("yuvj"):  # the same samples under the name that full range had
        pix_fmt, range_ = "yuv" + pix_fmt.removeprefix("yuvj"), FULL
    range_ = LIMITED if range_ == UNTAGGED else range_
    return FrameForm(pix_fmt=pix_fmt, width_px=width_px, height_px=height_px, range=range_)


def mean_rate(times_s: Sequence[float]) -> float | None:
    """Frames a second, by the first time and the last; None for fewer than two frames, and where times are missing."""
    span_s = times_s[-1] - times_s[0] if len(times_s) > 1 else 0.0
    return (len(times_s) - 1) / span_s if span_s > 0 else None  # NaN is not above 0, either


def first_mispaired(reference_s: Sequence[float], distorted_s: Sequence[float]) -> tuple[int, float] | None:
    """The first frame whose two times say that it is paired with another one: (its number from 0, seconds apart).

    The start and a constant factor (23.976 against 24 frames a second) are taken out, by the first and the last frame;
    a frame is apart where what is left is more than half the mean interval of the distorted frames. None where there is
    none, and where not every frame has a time.
    """
    n = len(reference_s)
    if n != len(distorted_s) or n < 3 or not all(map(math.isfinite, (*reference_s, *distorted_s))):
        return None
    (ours_0, ours_n), (theirs_0, theirs_n) = ((each[0], each[-1]) for each in (reference_s, distorted_s))
    if ours_0 == ours_n or theirs_0 == theirs_n:
        return None
    factor = (theirs_n - theirs_0) / (ours_n - ours_0)
    half_s = abs(theirs_n - theirs_0) / (n - 1) / 2
    for index, (ours, theirs) in enumerate(zip(reference_s, distorted_s, strict=True)):
        apart_s = theirs - theirs_0 - factor * (ours - ours_0)
        if abs(apart_s) > half_s:
            return index, apart_s
    return None
