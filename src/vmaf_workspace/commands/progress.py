"""How far a task is, how fast, and how long yet: a bar on a terminal, a line a minute elsewhere, a line at the end.

It goes to stderr. Rich is imported where it draws a bar.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from vmaf_workspace.wording import bytes_text, duration_text, number_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

EVERY_S = 60.0  # between two lines where there is no terminal
LOOK_S = 0.5  # between two looks at what is being worked on
SUMMARY_S = 1.0  # what took less is not worth a line
ENOUGH_S = 2.0  # before, no rate says anything

Watch = Callable[[], tuple[int, float]]  # of what is being worked on: frames so far, and how many things that is


class Progress:
    """How far *total* things, or bytes (*is_bytes*), are; *what* is what happens to them, as in `removing`.

    *watch* says how far those are that are not done yet. Where *quiet*, nothing is said.
    """

    def __init__(
        self,
        what: str,
        total: int = 0,
        *,
        done: int = 0,
        is_bytes: bool = False,
        watch: Watch | None = None,
        quiet: bool = False,
    ) -> None:
        """Nothing is shown yet, and the clock stands."""
        self.what, self.total, self.done = what, total, done
        self._first, self._is_bytes, self._watch, self._is_quiet = done, is_bytes, watch, quiet
        self._frames_done, self._frames, self._parts, self._looked_s = 0, 0, 0.0, 0.0
        self._began_s = self._told_s = time.monotonic()
        self._is_terminal = False  # asked once: 5000 files are 5000 updates
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._ended = threading.Event()
        self._clock: threading.Thread | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar, so that no line a thing is needed."""
        return self._bar is not None

    def __enter__(self) -> Progress:
        """Start the clock; on a terminal the bar of *total* things is there from now on."""
        self._began_s = self._told_s = time.monotonic()
        if self._is_quiet:
            return self
        self._is_terminal = sys.stderr.isatty()
        if self._is_terminal:
            if not self._is_bytes:
                self._draw()
        elif not self._is_bytes:
            self._clock = threading.Thread(target=self._tell_by_itself, name="progress", daemon=True)
            try:
                self._clock.start()
            except RuntimeError:  # no thread to be had: then no line
                self._clock = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bar away; what ended well, and took its time, leaves a line."""
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._clock is not None:
            self._clock.join()
        if error is None and not self._is_quiet and self.done > self._first:
            self._look(0.0)
            elapsed_s = time.monotonic() - self._began_s
            if elapsed_s >= SUMMARY_S:
                how = ", ".join(part for part in (duration_text(elapsed_s), self._rate(elapsed_s)) if part)
                print(f"{self.what}: {self._amount(self.done - self._first)} in {how}", file=sys.stderr, flush=True)

    def update(self, done: int, total: int, frames: int = 0) -> None:
        """So many of *total* are done; *frames* are those of what was done since, none where it was stored before."""
        self._frames_done += frames
        if self.done == self._first and not self._is_bytes and done > self._first + 1:
            self._first = done - 1  # the others were done before, and took no time
        self.done, self.total = done, total
        if self._is_bytes and self._bar is None and self._is_terminal:
            self._draw()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        # Of bytes, without a thread: what is removed or copied is so by forked children, and beside one none are made.
        if self._is_bytes and self._bar is None and not self._is_quiet and time.monotonic() - self._told_s >= EVERY_S:
            self._tell()

    def text(self) -> str:
        """`3 of 12, 245 frames/s, 12 s so far, about 40 s left`."""
        self._look(LOOK_S)
        elapsed_s = time.monotonic() - self._began_s
        count = f"{self._amount(self.done)} of {self._amount(self.total)}"
        worked = self.done - self._first + self._parts
        # Bytes are counted by whole files: before a hundredth of them, a large file would seem to take days.
        is_early = self._is_bytes and worked * 100 < self.total - self._first
        parts = [count, "" if is_early else self._rate(elapsed_s), f"{duration_text(elapsed_s)} so far"]
        if worked > 0 and elapsed_s >= ENOUGH_S and not is_early:
            left_s = max(self.total - self.done - self._parts, 0.0) * elapsed_s / worked
            parts.append(f"about {duration_text(left_s)} left")
        return ", ".join(part for part in parts if part)

    def _amount(self, number: int) -> str:
        return bytes_text(number) if self._is_bytes else number_text(number)

    def _rate(self, elapsed_s: float) -> str:
        if elapsed_s <= 0:
            return ""
        if self._is_bytes:
            return f"{bytes_text(int((self.done - self._first) / elapsed_s))}/s"
        rate, unit = (self._frames_done + self._frames) / elapsed_s, "frames/s"
        if not rate:
            rate, unit = (self.done - self._first) * 60.0 / elapsed_s, "a minute"
        return f"{rate:.{0 if rate >= 10 else 1}f} {unit}" if rate else ""

    def _look(self, after_s: float) -> None:
        now_s = time.monotonic()
        if self._watch is not None and now_s - self._looked_s >= after_s:
            self._looked_s = now_s
            self._frames, self._parts = self._watch()

    def _tell_by_itself(self) -> None:
        while not self._ended.wait(EVERY_S):
            if self.total:
                self._tell()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        print(f"{self.what}: {self.text()}", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.progress import Task as RichTask
        from rich.text import Text

        progress = self

        class Said(ProgressColumn):
            """The text, computed when it is drawn, so that its clock runs."""

            def render(self, task: RichTask) -> Text:
                text = progress.text()
                task.completed = progress.done + progress._parts  # what is half done moves the bar, too
                return Text(text, overflow="ellipsis", no_wrap=True)

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=12), Said())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task(self.what, total=self.total, completed=self.done)
        self._bar.start()
