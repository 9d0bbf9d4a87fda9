"""How every script ends: errors are messages with an exit code, a stop is no error, and there is no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from vmaf_harness.execute import Stopped, stop_on_signals
from vmaf_harness.testing import shown
from vmaf_workspace.errors import DONE, FAILED, WorkspaceError


def exit_code(run: Callable[[], int]) -> int:
    """Call *run*, whose result is the exit code unless it ends with an error or is stopped by a signal."""
    try:
        with stop_on_signals():
            code = run()
            sys.stdout.flush()
            return code
    except WorkspaceError as error:
        print(shown(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head`: the reader has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        print(shown(error), file=sys.stderr)
        return FAILED
    except Stopped as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
