"""Says on stderr what a person should know, and how far a run is: a bar on a terminal, a line an asset elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.report.testing import printable_lines

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_DAY_S = 86400.0  # rich forgets what is older than 30 s, which one asset may take: then nothing is said of the rest


def warn(message: object) -> None:
    """A message, each line of it as a terminal can print it."""
    print(printable_lines(message), file=sys.stderr, flush=True)


class Progress:
    """Called with (done, all, outcome) as assets are scored; on a terminal a bar is there from the beginning."""

    def __init__(self, total: int, *, pool: str = "mean", what: str = "scored", done: int = 0) -> None:
        """Nothing is printable_lines yet; *what* is what has happened to the things that are *done*."""
        self._total, self._done, self._pool, self._what = total, done, pool, what
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        """Show an empty bar, whose clock runs from now on."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

            columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(
                *columns,
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                speed_estimate_period=_DAY_S,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int, outcome: Outcome) -> None:
        """Show that another asset is done."""
        result = outcome.result
        score = f"{result.pools[self._pool]:.6f}" if result is not None else "failed"
        self.show(done, total, f"asset {outcome.asset.asset_id}: {score}")

    def step(self, line: str) -> None:
        """Show that one more is done."""
        self._done += 1
        self.show(self._done, self._total, line)

    def show(self, done: int, total: int, line: str) -> None:
        """Say how far it is; the line is for where there is no terminal."""
        if self._bar is None or self._task is None:
            print(f"{done}/{total} {line}", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, completed=done)
