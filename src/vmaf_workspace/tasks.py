"""The Invoke collection `ws`: ``from vmaf_workspace.tasks import ws`` in a `tasks.py`."""

from __future__ import annotations

import inspect
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from vmaf_workspace.command import Command, Configured, run
from vmaf_workspace.commands import COMMANDS
from vmaf_workspace.errors import DONE, USAGE, UsageError

CONFIGURED = {"workspace": "path", "at": "backups"}  # flag -> its default in Invoke's configuration, below `ws`


def as_task(command: Command) -> Task[Any]:
    """*command* as an Invoke task; Invoke's own `--dry` is a dry run of it, CONFIGURED has its defaults."""

    def body(c: Context, **flags: Any) -> None:
        blank = [name for name, value in flags.items() if isinstance(value, str) and not value.strip()]
        if blank:  # a shell variable that is not set must not mean "everything"
            raise Exit(f"--{blank[0].replace('_', '-')}: blank; leave the flag out, or give it a value", code=USAGE)
        flags = {name: command.flags[name] if value is None else value for name, value in flags.items()}
        if "dry_run" in command.flags and c.config.run.dry:
            flags["dry_run"] = True
        try:
            flags |= {flag: configured(c.config, flag) for flag in CONFIGURED if flags.get(flag) == ""}
        except UsageError as error:
            raise Exit(str(error), code=error.exit_code) from None
        code = run(command, flags)
        if code != DONE:
            raise Exit(code=code)

    parameters = inspect.signature(command.function).parameters.values()
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    plain = [p.replace(kind=kind, default=None if p.default == "" else p.default) for p in parameters]
    body.__signature__ = inspect.Signature([context, *plain])  # type: ignore[attr-defined]  # Invoke reads flags from it
    body.__doc__ = command.function.__doc__
    return Task(body, name=command.name, help=command.help, positional=(), auto_shortflags=False)


def configured(config: Any, flag: str) -> str:
    """What Invoke's configuration has for *flag*, or "" where it is not set; UsageError where it is no path.

    A relative one is refused: it would mean another place in each directory that `invoke` is called from.
    """
    name = CONFIGURED[flag]
    section = config.get("ws") or {}
    path = section.get(name) if hasattr(section, "get") else section
    if path is None or path == "":
        return ""
    if isinstance(path, str):
        if path.startswith(("/", "~")) or "://" in path:
            return Configured(path)
        raise UsageError(f"Invoke's configuration, ws.{name}: {path!r} is relative; write the whole path, or from `~`")
    raise UsageError(f"Invoke's configuration, ws.{name}: expected a path, got {path!r}")


ws = Collection("ws", *(as_task(command) for command in COMMANDS))
ws.configure({"ws": dict.fromkeys(CONFIGURED.values(), "")})  # Invoke reads INVOKE_WS_PATH only where it knows `path`
