"""What each script begins and ends with: its command line, and a stop by a signal, which is no error.

What a command leaves then is said in a line, and the exit code tells the signal.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import ParamSpec

from vmaf_harness.engine.jobs import Stopped, stop_on_signals
from vmaf_harness.script.options import Fitting, Measuring
from vmaf_workspace.commands.command import Command
from vmaf_workspace.commands.parser import script
from vmaf_workspace.wording import say

P = ParamSpec("P")


def main_of(name: str, run: Callable[..., int], about: str | None, *, example: str = "") -> Callable[..., int]:
    """The `main` of the script *name*: *run* with what the command line says, or the words given; its exit code."""

    def main(argv: Sequence[str] | None = None) -> int:
        return script(Command(name, run, example=example), argv, about=about or "")

    return main


def stoppable(left: str | Callable[..., str] = "") -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Of a function that returns an exit code: SIGINT, SIGTERM and SIGHUP end it; *left* says what stays then.

    That may depend on what the function was called with.
    """

    def decorated(function: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(function)
        def stopping(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                with stop_on_signals():
                    code = function(*args, **kwargs)
                    sys.stdout.flush()
                    return code
            except Stopped as stopped:
                stays = left if isinstance(left, str) else left(*args, **kwargs)
                say(f"stopped by {stopped}{stays}", sys.stderr)
                return stopped.exit_code

        return stopping

    return decorated


def measured_stays(options: Measuring) -> str:
    """What stays of a run that measures."""
    if options.cache_result or options.shard is not None:
        return "; what was measured is stored: the same command goes on from there"
    return "; nothing is stored: with --cache-result the same command would go on from where it was stopped"


def fitted_stays(options: Fitting) -> str:
    """What stays of a run that measures, and then fits: of several fits each that is done is a checkpoint."""
    if options.cache_result or options.shard is not None:
        return "; what was measured is stored, and what was fitted: the same command goes on from there"
    return "; features are not stored: with --cache-result the same command would go on from where it was stopped"
