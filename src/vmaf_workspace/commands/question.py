"""Asks a person at a terminal; what was typed before the question was shown is no answer to it."""

from __future__ import annotations

import sys
import termios
from contextlib import suppress

from vmaf_workspace.errors import CancelledError, RefusedError
from vmaf_workspace.wording import broken


def agreed(question: str, done: str = "removed") -> bool:
    """Whether a person answers yes; *done* is what did not happen otherwise.

    Raises RefusedError without a terminal, CancelledError for Ctrl-C.
    """
    if not sys.stdin.isatty():
        raise RefusedError(
            f"{question.removesuffix('?')}: no terminal to ask at, so nothing was {done}; --yes says yes"
        )
    return answer(f"{question} [y/N] ", done).lower() in ("y", "yes")


def answer(prompt: str, done: str = "removed") -> str:
    """The line that a person types, without blanks around it. Raises CancelledError for Ctrl-C."""
    with suppress(termios.error):  # keys that were meant for something else, while a bar still ran
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print(f"{broken(prompt.rstrip(), sys.stderr)} ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip()
    except KeyboardInterrupt:
        print(file=sys.stderr)  # what follows belongs on a line of its own, not behind the terminal's ^C
        raise CancelledError(f"interrupted; nothing was {done}") from None
