"""The Invoke collection `ws`: ``from vmaf_workspace.tasks import ws`` in a `tasks.py`."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from vmaf_workspace.commands.command import Command, run
from vmaf_workspace.commands.configuration import configured
from vmaf_workspace.commands.flags import shell_words
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.errors import DONE
from vmaf_workspace.wording import of_invoke


class AfterDashes(str):
    """Stands for the command after `--`, where Invoke's parser found no flag for it; a Python caller has none."""

    __slots__ = ()


def collection(name: str, commands: Iterable[Command]) -> Collection:
    """*commands* as an Invoke collection."""
    return Collection(name, *map(_task, commands))


def _task(command: Command) -> Task[Any]:
    """*command* as an Invoke task: flags only, of text or switches, as Invoke's own conversions end in tracebacks."""

    def body(c: Context, **given: Any) -> None:
        for name, value in given.items():
            if value == [] and command.parameters[name].about.repeated:  # Invoke's, where it was not given
                given[name] = None
            if isinstance(value, AfterDashes):  # given, it is one too: Invoke makes it of the default's class
                given[name] = str(value) or _remainder(c) or None
        with of_invoke() if _is_typed() else nullcontext():
            code = run(command, given, lambda command, values: configured(command, values, c.config))
        if code != DONE:
            raise Exit(code=code)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("c", kind)]
    for name, each in command.parameters.items():
        default = False if each.is_switch else AfterDashes() if each.about.kind is shell_words else None
        parameters.append(inspect.Parameter(name, kind, default=default))
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Invoke reads flags from it
    body.__doc__ = command.function.__doc__
    help_ = {name: each.help for name, each in command.parameters.items()}
    repeated = [name for name, each in command.parameters.items() if each.about.repeated]
    return Task(body, name=command.name, help=help_, positional=(), auto_shortflags=False, iterable=repeated)


def _is_typed() -> bool:
    """Whether this is the program `invoke`: a task may be called from Python, or by a program of another name."""
    program = Path(sys.argv[0])
    return (program.parent.name if program.name == "__main__.py" else program.stem) in ("invoke", "inv")


def _remainder(c: Context) -> list[str]:
    """The words after `--`. Invoke joins them with blanks; the process's own still have their quoting."""
    from vmaf_workspace.live.session import after_dashes

    words = after_dashes(sys.argv)
    text = getattr(c, "remainder", " ".join(words))  # Invoke before 3.0 does not say
    return words if " ".join(words) == text else shlex.split(text)


ws = collection("ws", COMMANDS)
namespace = ws  # what Invoke looks for in a module: `Collection(vmaf_workspace.tasks)`, or this file as a tasks file
