"""A stderr that lasts: what cannot be said there, for want of a reader or of room, is not the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class Lasting:
    """A stream that goes nowhere once its reader is gone or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of any stream; never an OSError."""
        try:
            return self._stream.write(text)
        except OSError:
            drop(self._stream)
        return len(text)

    def flush(self) -> None:
        """As of any stream; never an OSError."""
        try:
            self._stream.flush()
        except OSError:
            drop(self._stream)


@contextmanager
def lasting_stderr() -> Iterator[None]:
    """While the block runs, no write to stderr fails."""
    before = sys.stderr
    lasting = sys.stderr = cast(TextIO, Lasting(before))
    try:
        yield
    finally:
        lasting.flush()
        if sys.stderr is lasting:
            sys.stderr = before


def drop(stream: TextIO) -> None:
    """Lead *stream*, and what it still holds, to nowhere."""
    with suppress(OSError):  # one without a descriptor, as a test's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
