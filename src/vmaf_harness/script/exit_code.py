"""How every script ends: errors are messages with an exit code, a stop is no error, and there is no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from vmaf_harness.engine.jobs import Stopped, stop_on_signals
from vmaf_harness.report.testing import printable_lines
from vmaf_workspace.commands.lasting_stderr import Lasting, drop
from vmaf_workspace.errors import FAILED, WorkspaceError


def exit_code(run: Callable[[], int], *, after_stop: str = "") -> int:
    """Call *run*, whose result is the exit code unless it ends with an error or is stopped by a signal.

    *after_stop* says what a stop leaves; it follows the name of the signal.
    """
    with _lasting_streams():
        try:
            with stop_on_signals():
                code = run()
                sys.stdout.flush()
                return code
        except WorkspaceError as error:
            print(printable_lines(error), file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:  # `| head`: nobody reads on, so nobody would see whether the rest was done
            drop(sys.stdout)
            return FAILED
        except OSError as error:
            print(printable_lines(error), file=sys.stderr)
            try:
                sys.stdout.flush()
            except OSError:  # it is stdout that failed: it would again when Python ends, with an exit code of its own
                drop(sys.stdout)
            return FAILED
        except Stopped as stopped:
            print(f"stopped by {stopped}{after_stop}", file=sys.stderr)
            return stopped.exit_code


@contextmanager
def _lasting_streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        # A stream that was closed when Python began is None (`>&-`).
        sys.stdout = cast("TextIO | None", sys.stdout) or nowhere
        sys.stderr = cast(TextIO, Lasting(cast("TextIO | None", sys.stderr) or nowhere))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
