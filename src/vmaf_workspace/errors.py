"""Every error of the workspace, with the exit code that a task ends with."""

from __future__ import annotations

DONE = 0  # done, or nothing to do
FAILED = 1  # failed, even in part
USAGE = 2  # a flag or an argument that cannot be read
REFUSED = 3  # a safety rule says no
IN_USE = 4  # a live run, or another cleaner, is in the way
INTERRUPTED = 130  # Ctrl-C, as shells count it


class WorkspaceError(Exception):
    """Base of all errors that a person is shown; the message says what, why, and what to do."""

    exit_code = FAILED

    def __reduce__(self) -> tuple[object, ...]:
        """Of all errors, whatever their `__init__` takes: a worker on another host sends them by pickle."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[WorkspaceError], args: tuple[object, ...], fields: dict[str, object]) -> WorkspaceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(WorkspaceError):
    """A flag, an argument or a variable that cannot be read."""

    exit_code = USAGE


class RefusedError(WorkspaceError):
    """A safety rule says no; nothing was changed."""

    exit_code = REFUSED


class CancelledError(WorkspaceError):
    """A person interrupted the question; nothing was changed."""

    exit_code = INTERRUPTED


class InUseError(WorkspaceError):
    """A live run or another cleaner is in the way; nothing was changed."""

    exit_code = IN_USE


class NotReadHereError(WorkspaceError):
    """What reads models raises it for one that is whole, and that only another harness reads."""
