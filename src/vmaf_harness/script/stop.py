"""A stop by a signal is no error: what a command leaves then is said in a line, and the exit code tells the signal."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from vmaf_harness.engine.jobs import Stopped, stop_on_signals

P = ParamSpec("P")


def stoppable(left: str = "") -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Of a function that returns an exit code: SIGINT, SIGTERM and SIGHUP end it; *left* says what stays then."""

    def decorated(function: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(function)
        def stopping(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                with stop_on_signals():
                    code = function(*args, **kwargs)
                    sys.stdout.flush()
                    return code
            except Stopped as stopped:
                print(f"stopped by {stopped}{left}", file=sys.stderr)
                return stopped.exit_code

        return stopping

    return decorated
