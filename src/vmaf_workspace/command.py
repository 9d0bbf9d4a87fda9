"""What a command is: a function whose keyword flags are strings or booleans, and which returns its exit code.

Invoke's tasks and `vmaf-ws` are both made from these. The first line of the function's docstring is its entry in the
list of tasks, so it states the consequence.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from typing import Any

from vmaf_workspace.errors import FAILED, INTERRUPTED, WorkspaceError
from vmaf_workspace.lasting import drop, lasting_stderr
from vmaf_workspace.locate import Location, locate

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
    """A function, the name of its task, and the help of those of its flags that COMMON does not say."""

    name: str
    function: Callable[..., int]
    own_help: dict[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> dict[str, str | bool]:
        """Parameter name -> default: False for a switch, "" for a value."""
        return {name: p.default for name, p in inspect.signature(self.function).parameters.items()}

    @property
    def help(self) -> dict[str, str]:
        """Parameter name -> what it does."""
        return {name: (COMMON | self.own_help)[name] for name in self.flags}


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
    from vmaf_workspace import render

    print("\n".join(map(render.printable, f"{command.name}: {error}".split("\n"))), file=sys.stderr)
    if flags.get("json"):
        try:
            print(render.object_json(command.name, error=str(error), exit_code=code), flush=True)
        except OSError:  # where stdout is what failed
            drop(sys.stdout)
    return code
