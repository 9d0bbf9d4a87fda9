"""Says on stderr what a person should know, and how far a run is: a bar on a terminal, a line an asset elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vmaf_harness.engine.frame_count import FrameCount
from vmaf_harness.measure.scoring import Outcome, note_lines
from vmaf_harness.report.testing import printable_lines
from vmaf_workspace import wording
from vmaf_workspace.commands import progress
from vmaf_workspace.live.lock import Run


def warn(message: object) -> None:
    """A message on stderr, each line of it as a terminal can print it, and of its width."""
    print(wording.message(str(message), sys.stderr), file=sys.stderr, flush=True)


def warn_of(outcomes: Sequence[Outcome]) -> None:
    """Say which assets failed, and what else a person should know of the scores."""
    for outcome in outcomes:
        if outcome.error is not None:
            warn(outcome.error)
    for note in note_lines(outcomes):
        warn(note)


_PLOTS = (".png", ".svg")


def show_written(paths: Sequence[Path]) -> None:
    """Say which files were written: at a terminal their directory once, and their names below it.

    Elsewhere each path is a line: plots, which are results, on stdout, the rest on stderr.
    """
    if sys.stdout.isatty() and sys.stderr.isatty():
        for directory in dict.fromkeys(path.parent for path in paths):
            print(printable_lines(f"in {directory}:"))
            for path in paths:
                if path.parent == directory:
                    print(printable_lines(f"  {path.name}"))
        return
    for path in paths:
        print(printable_lines(path), file=sys.stdout if path.suffix in _PLOTS else sys.stderr, flush=True)


def frames_of(outcome: Outcome) -> int:
    """How many frames were measured for it now."""
    return 0 if outcome.result is None or outcome.cached else outcome.result.n_frames


_LINES = 100  # of more things there is a line a minute alone


class Progress(progress.Progress):
    """Called with (done, all, outcome) as assets are scored; on a terminal a bar is there from the beginning."""

    def __init__(
        self,
        total: int,
        *,
        pool: str = "mean",
        what: str = "scored",
        done: int = 0,
        run: Run | None = None,
        quiet: bool = False,
    ) -> None:
        """Nothing is shown yet; *what* is what has happened to the things that are *done*.

        *run* is that whose ffmpegs work on them, so that frames are counted; where *quiet*, nothing is said.
        """
        watch = None if run is None else FrameCount(run.root / "workdir" / run.id)
        super().__init__(what, total, done=done, watch=watch, quiet=quiet)
        self._pool = pool

    def __enter__(self) -> Progress:
        """Show an empty bar, whose clock runs from now on."""
        super().__enter__()
        return self

    def __call__(self, done: int, total: int, outcome: Outcome) -> None:
        """Show that another asset is done."""
        result = outcome.result
        score = f"{result.pools[self._pool]:.6f}" if result is not None else "failed"
        self.show(done, total, f"asset {outcome.asset.asset_id}: {score}", frames_of(outcome))

    def step(self, line: str = "", frames: int = 0) -> None:
        """Show that one more is done."""
        self.show(self.done + 1, self.total, line, frames)

    def show(self, done: int, total: int, line: str, frames: int = 0) -> None:
        """Say how far it is; the line, if any, is for where there is no terminal, and the things are not many."""
        self.update(done, total, frames)
        if line and total <= _LINES and not self.is_drawn and not self._is_quiet:
            print(f"{done}/{total} {line}", file=sys.stderr, flush=True)
