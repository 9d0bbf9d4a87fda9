"""What a command is: a function whose keyword flags are strings or booleans, and which returns its exit code.

Invoke's tasks and `vmaf-ws` are both made from these. The first line of the function's docstring is its entry in the
list of tasks, so it states the consequence.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from typing import Any

from vmaf_workspace.commands.lasting_stderr import drop, lasting_stderr
from vmaf_workspace.errors import FAILED, INTERRUPTED, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.locate import Location, locate
from vmaf_workspace.wording import printable

COMMON = {  # the help of flags that mean the same in every command
    "workspace": "the workspace, instead of VMAF_WORKSPACE or the checkout's",
    "at": "the backup location: a directory or an fsspec URL, instead of ws.backups or VMAF_BACKUPS",
    "yes": "do not ask",
    "dry_run": "print the plan, change nothing",
    "plan": "write the plan to this file, change nothing",
    "apply": "remove what the plan in this file lists and is unchanged since",
    "json": "print one JSON object",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A function, the name of its task, and the help of those of its flags that COMMON does not say.

    *reads*: it changes nothing, so Invoke's `--dry` may run it. *several* are flags whose text is more than one word.
    """

    name: str
    function: Callable[..., int]
    own_help: dict[str, str] = field(default_factory=dict)
    reads: bool = False
    several: frozenset[str] = frozenset()

    @property
    def flags(self) -> dict[str, str | bool]:
        """Parameter name -> default: False for a switch, "" for a value."""
        return {name: p.default for name, p in inspect.signature(self.function).parameters.items()}

    @property
    def help(self) -> dict[str, str]:
        """Parameter name -> what it does."""
        return {name: (COMMON | self.own_help)[name] for name in self.flags}


def as_flags(command: Command, given: Mapping[str, Any]) -> dict[str, str | bool]:
    """What was *given*, as the function takes it: None is the default; numbers and paths are text, lists are words.

    Raises UsageError for what is none of these, and for a blank text: a shell variable that is not set must not mean
    "everything".
    """
    return {name: _as_flag(command, name, value) for name, value in given.items()}


def _as_flag(command: Command, name: str, value: Any) -> str | bool:
    flag = f"--{name.rstrip('_').replace('_', '-')}"  # `from_`, for Python
    default = command.flags.get(name, "")
    if value is None:
        return default
    if isinstance(default, bool) or isinstance(value, bool):
        if not (isinstance(default, bool) and isinstance(value, bool)):
            kind = "True or False" if isinstance(default, bool) else "a value"
            raise UsageError(f"{flag}: expected {kind}, got {value!r}")
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        words = [_as_text(flag, word) for word in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
        if name in command.several:
            return shlex.join(words)
        if len(words) != 1:
            raise UsageError(f"{flag}: expected one value, got {len(words)}")
        return words[0]
    return _as_text(flag, value)


def _as_text(flag: str, value: Any) -> str:
    if isinstance(value, (os.PathLike, bytes)):
        value = os.fsdecode(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise UsageError(f"{flag}: expected text, a number or a path, got {value!r}")
    if not value.strip():
        raise UsageError(f"{flag}: blank; leave the flag out, or give it a value")
    return value


def dry(command: Command, flags: Mapping[str, Any]) -> dict[str, Any]:
    """*flags* for a call that must change nothing, as Invoke's `--dry` asks; RefusedError where that cannot be had."""
    if "dry_run" in command.flags:
        return {**flags, "dry_run": True}
    if not command.reads:
        raise RefusedError(
            f"{command.name} acts and has no dry run, so nothing was done; leave --dry (`run.dry`, INVOKE_RUN_DRY) out"
        )
    return dict(flags)


def run(command: Command, flags: dict[str, Any]) -> int:
    """Call *command*; an error is printed and becomes its exit code, as does Ctrl-C; a full log changes neither."""
    _stand_in_for_closed_streams()
    with lasting_stderr():
        return _run(command, flags)


def _run(command: Command, flags: dict[str, Any]) -> int:
    code: int | None = None
    if isinstance(sys.stdout, TextIOWrapper):  # a name that the terminal's encoding lacks must not end a task half-way
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command.function(**flags)
        sys.stdout.flush()
        return code
    except WorkspaceError as error:
        return _failed(command, flags, error, error.exit_code)
    except BrokenPipeError:  # `| head`: nobody reads on, so nobody would see whether the rest was done
        drop(sys.stdout)
        return FAILED
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:
            drop(sys.stdout)
            ended = "stopped where" if code is None else f"ended with {code}, but"
            error = OSError(f"{ended} its output could not be written ({error.strerror})")
        return _failed(command, flags, error, FAILED)
    except KeyboardInterrupt:
        print("interrupted; what was begun is finished by the next call", file=sys.stderr)
        return INTERRUPTED


class Configured(str):
    """What Invoke's configuration has for a flag that was not given."""

    __slots__ = ()


def located(workspace: str) -> Location:
    """The workspace that the flag --workspace means, or none of it; warnings go to stderr."""
    location = locate(workspace)
    if isinstance(workspace, Configured):
        location = replace(location, reason="ws.path is set in Invoke's configuration")
    for warning in location.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return location


def _stand_in_for_closed_streams() -> None:
    """Open what is closed, as after `>&-` or in a service: Python has None for it, and a lock could become stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # stays open


def _failed(command: Command, flags: dict[str, Any], error: Exception, code: int) -> int:
    print("\n".join(map(printable, f"{command.name}: {error}".split("\n"))), file=sys.stderr)
    if flags.get("json"):
        from vmaf_workspace.commands import tables

        try:
            print(tables.object_json(command.name, error=str(error), exit_code=code), flush=True)
        except OSError:  # where stdout is what failed
            drop(sys.stdout)
    return code
