"""The Invoke collection `ws`: ``from vmaf_workspace.tasks import ws`` in a `tasks.py`."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from vmaf_workspace.commands.command import Command, Configured, as_flags, dry, run
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.errors import DONE, UsageError, WorkspaceError
from vmaf_workspace.live.session import after_dashes

CONFIGURED = {"workspace": "path", "at": "backups"}  # flag -> its default in Invoke's configuration, below `ws`


class AfterDashes(str):
    """Stands for the command after `--`, where Invoke's parser found no flag for it; a Python caller has none."""

    __slots__ = ()


def as_task(command: Command) -> Task[Any]:
    """*command* as an Invoke task; Invoke's own `--dry` is a dry run of it, CONFIGURED has its defaults."""

    def body(c: Context, **given: Any) -> None:
        try:
            for name, value in given.items():
                if isinstance(value, AfterDashes):  # given, it is one too: Invoke makes it of the default's class
                    given[name] = str(value) or _remainder(c) or None
            flags: dict[str, Any] = as_flags(command, given)
            if c.config.run.dry:
                flags = dry(command, flags)
            unset = [flag for flag in CONFIGURED if flag in command.flags and not flags.get(flag)]
            flags |= {flag: configured(c.config, flag) for flag in unset}
        except WorkspaceError as error:
            raise Exit(f"{command.name}: {error}", code=error.exit_code) from None
        code = run(command, flags)
        if code != DONE:
            raise Exit(code=code)

    parameters = inspect.signature(command.function).parameters.values()
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    absent = {"command": AfterDashes()}
    plain = [p.replace(kind=kind, default=absent.get(p.name) if p.default == "" else p.default) for p in parameters]
    body.__signature__ = inspect.Signature([context, *plain])  # type: ignore[attr-defined]  # Invoke reads flags from it
    body.__doc__ = command.function.__doc__
    return Task(body, name=command.name, help=command.help, positional=(), auto_shortflags=False)


def configured(config: Any, flag: str) -> str:
    """What Invoke's configuration has for *flag*, or "" where it is not set; UsageError where it is no path.

    A relative one is refused: it would mean another place in each directory that `invoke` is called from. Invoke reads
    INVOKE_WS_PATH itself only where another source has `ws.path`; to name it in a collection's configuration would
    end in a traceback of Invoke's where a file has `ws:` alone.
    """
    name = CONFIGURED[flag]
    section = config.get("ws")
    if section is not None and not hasattr(section, "get"):
        raise UsageError(f"Invoke's configuration, ws: expected `path` or `backups` below it, got {section!r}")
    path = section.get(name) if section is not None else None
    if path is None or path == "":
        prefix = config.env_prefix or config.prefix
        path = os.environ.get(f"{prefix}_ws_{name}".upper())
    if path is None or path == "":
        return ""
    if isinstance(path, str):
        if path.startswith(("/", "~")) or "://" in path:
            return Configured(path)
        raise UsageError(f"Invoke's configuration, ws.{name}: {path!r} is relative; write the whole path, or from `~`")
    raise UsageError(f"Invoke's configuration, ws.{name}: expected a path, got {path!r}")


def _remainder(c: Context) -> list[str]:
    """The words after `--`. Invoke joins them with blanks; the process's own still have their quoting."""
    words = after_dashes(sys.argv)
    text = getattr(c, "remainder", " ".join(words))  # Invoke before 3.0 does not say
    return words if " ".join(words) == text else shlex.split(text)


ws = Collection("ws", *(as_task(command) for command in COMMANDS))
namespace = ws  # what Invoke looks for in a module: `Collection(vmaf_workspace.tasks)`, or this file as a tasks file
