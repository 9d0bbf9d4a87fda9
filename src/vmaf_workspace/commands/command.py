"""What a command is: a function with typed keyword parameters, which returns its exit code.

Invoke's tasks, `vmaf-ws`, `vmaf-harness` and the scripts of the harness are all made from these. What a flag means
stands once, beside its parameter. The first line of the function's docstring is its entry in the list of tasks, so it
states the consequence.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property, partial
from inspect import cleandoc, get_annotations, unwrap
from io import TextIOWrapper
from typing import Annotated, Any, get_type_hints

from vmaf_workspace.commands.flags import Flag
from vmaf_workspace.commands.lasting_stderr import drop, lasting_stderr
from vmaf_workspace.errors import DONE, FAILED, INTERRUPTED, RefusedError, UsageError, WorkspaceError
from vmaf_workspace.locate import Location, locate
from vmaf_workspace.wording import ERROR, as_typed, coloured, message, name_places, print_warning

# Flags that mean the same in every command.
Workspace = Annotated[
    str, Flag("the workspace", metavar="DIR", default="the checkout's, see where", env="VMAF_WORKSPACE")
]
At = Annotated[
    str,
    Flag(
        "where the backups are: a directory, or an fsspec URL; else ws.backups of Invoke's configuration",
        metavar="LOCATION",
        default="backups/ in your data directory",
        env="VMAF_BACKUPS",
    ),
]
Yes = Annotated[bool, Flag("do not ask")]
DryRun = Annotated[bool, Flag("print the plan, change nothing")]
Json = Annotated[bool, Flag("print one JSON object")]
Quiet = Annotated[bool, Flag("show no progress")]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a command: *default* is `MISSING` where it has to be given."""

    name: str
    about: Flag
    default: Any
    is_switch: bool

    @property
    def flag(self) -> str:
        """`--from` of `from_`, which Python needs."""
        return f"--{self.name.rstrip('_').replace('_', '-')}"

    @property
    def help(self) -> str:
        """What it does, and its default and variable where there are any: `… [default: 1h] [env: VMAF_BACKUPS]`."""
        says = str(self.default) if isinstance(self.default, (str, int)) and self.default else self.about.default
        default = f" [default: {says}]" if says else ""
        return as_typed(self.about.help) + default + (f" [env: {self.about.env}]" if self.about.env else "")

    @property
    def metavar(self) -> str:
        """What stands after the flag, in a word."""
        return self.about.metavar or self.name.rstrip("_").upper()


@dataclass(frozen=True)
class Command:
    """A function and the name that people call it by.

    Its parameters are keywords with an annotation that holds a `Flag`, or the fields of the one frozen dataclass that
    it takes. *reads*: it changes nothing, so Invoke's `--dry` may run it. *group* is the headline that it stands under
    in the list of commands; *example* is what follows its name on a command line that makes sense.
    """

    name: str
    function: Callable[..., int]
    reads: bool = False
    usage: str = ""
    group: str = ""
    example: str = ""

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Name -> parameter, in the order of the function; of options their own come before what they inherit."""
        found = get_type_hints(self.function, include_extras=True)
        defaults: Mapping[str, Any] = unwrap(self.function).__kwdefaults__ or {}  # a decorator has none
        if self._options:
            own_first = [name for kind in self._options.__mro__ for name in get_annotations(kind)]
            types = {each.name: each.type for each in fields(self._options)}
            found = {name: types[name] for name in dict.fromkeys(own_first) if name in types}
            defaults = {each.name: each.default for each in fields(self._options)}
        return {
            name: Parameter(name, kind.__metadata__[0], defaults.get(name, MISSING), kind.__origin__ is bool)
            for name, kind in found.items()
            if name != "return"
        }

    @property
    def places(self) -> list[Parameter]:
        """Those that are positional, in their order."""
        places = [each for each in self.parameters.values() if each.about.positional]
        return sorted(places, key=lambda each: each.about.positional)

    @property
    def summary(self) -> str:
        """What it does, in a line; nothing under `python -OO`."""
        return as_typed((self.function.__doc__ or "").partition("\n")[0])

    @property
    def example_words(self) -> str:
        """What follows its name in its example: its own, or that of its options (`EXAMPLE`)."""
        return self.example or str(getattr(self._options, "EXAMPLE", ""))

    @property
    def about(self) -> str:
        """All that its docstring says; nothing under `python -OO`."""
        return as_typed(cleandoc(self.function.__doc__ or ""))

    @property
    def _options(self) -> Any:
        return get_type_hints(self.function).get("options")

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What was *given* as the function takes it; None is the default. Raises UsageError, which names the flag."""
        return {
            name: _switched(self.parameters[name], value)
            if self.parameters[name].is_switch
            else self.parameters[name].about.value(self.parameters[name].flag, value)
            for name, value in given.items()
            if value is not None
        }

    def bound(self, values: Mapping[str, Any]) -> Callable[[], int]:
        """The call with these *values*. Raises UsageError where one is missing, or does not go with another."""
        lacking = [each for name, each in self.parameters.items() if each.default is MISSING and name not in values]
        if lacking:
            raise UsageError("\n".join(f"{each.flag} is missing: {each.about.help}" for each in lacking))
        return partial(self.function, self._options(**values)) if self._options else partial(self.function, **values)

    def words(self, options: Any) -> list[str]:
        """The command line that stands for *options*: what is positional in order, then flags that are no default."""
        words: list[str] = []
        for parameter in (*self.places, *(each for each in self.parameters.values() if not each.about.positional)):
            value = getattr(options, parameter.name)
            texts = [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]
            if parameter.about.positional:
                words += texts
            elif value != parameter.default:
                words += [parameter.flag, *([] if parameter.is_switch else texts)]
        return words


def _switched(parameter: Parameter, given: Any) -> bool:
    if not isinstance(given, bool):
        raise UsageError(f"{parameter.flag}: expected True or False, got {given!r}")
    return given


def dry(command: Command, values: Mapping[str, Any]) -> dict[str, Any]:
    """*values* for a call that must change nothing, as Invoke's `--dry` asks; RefusedError where that cannot be had."""
    if "dry_run" in command.parameters:
        return {**values, "dry_run": True}
    if not command.reads:
        raise RefusedError(
            f"{command.name} acts and has no dry run, so nothing was done; leave --dry (`run.dry`, INVOKE_RUN_DRY) out"
        )
    return dict(values)


Configure = Callable[[Command, dict[str, Any]], dict[str, Any]]  # adds to values what a configuration has


def run(command: Command, given: Mapping[str, Any], configure: Configure | None = None) -> int:
    """Call *command* with what was *given*; an error is printed and becomes its exit code, as does Ctrl-C.

    A full or closed log changes neither the work nor the exit code.
    """
    return ended(command.name, lambda: called(command, given, configure), json=given.get("json") is True)


def called(command: Command, given: Mapping[str, Any], configure: Configure | None = None) -> int:
    """As `run`, but errors are raised."""
    name_places(workspace=given.get("workspace") or given.get("from_"), at=given.get("at"))
    values = command.values(given)
    return command.bound(configure(command, values) if configure else values)()


def ended(name: str, call: Callable[[], int], *, json: bool = False) -> int:
    """The exit code of *call*, whose errors are printed under *name*, with *json* as an object too."""
    _stand_in_for_closed_streams()
    # When it ends, Python looks for cycles among all objects, again and again: 0.3 s where scikit-learn was imported.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    with lasting_stderr():
        return _ended(name, call, json=json)


def _ended(name: str, call: Callable[[], int], *, json: bool) -> int:
    code: int | None = None
    if isinstance(sys.stdout, TextIOWrapper):  # a name that the terminal's encoding lacks must not end a task half-way
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _code(call)
        sys.stdout.flush()
        return code
    except WorkspaceError as error:
        return _failed(name, error, error.exit_code, json=json)
    except BrokenPipeError:  # `| head`: nobody reads on, so nobody would see whether the rest was done
        drop(sys.stdout)
        return FAILED
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:
            drop(sys.stdout)
            end = "stopped where" if code is None else f"ended with {code}, but"
            error = OSError(f"{end} its output could not be written ({error.strerror})")
        return _failed(name, error, FAILED, json=json)
    except KeyboardInterrupt:
        print("interrupted; what was begun is finished by the next call", file=sys.stderr)
        return INTERRUPTED


def _code(call: Callable[[], int]) -> int:
    try:
        return call()
    except SystemExit as done:  # argparse's, when help is printed
        return int(done.code or DONE)


class Configured(str):
    """What Invoke's configuration has for a flag that was not given."""

    __slots__ = ()


def located(workspace: str) -> Location:
    """The workspace that the flag --workspace means, or none of it; warnings go to stderr."""
    location = locate(workspace)
    if isinstance(workspace, Configured):
        location = replace(location, reason="ws.path is set in Invoke's configuration")
    for warning in location.warnings:
        print_warning(warning)
    return location


def _stand_in_for_closed_streams() -> None:
    """Open what is closed, as after `>&-` or in a service: Python has None for it, and a lock could become stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # stays open


def _failed(name: str, error: Exception, code: int, *, json: bool) -> int:
    who = f"{name}:"
    text = message(f"{who} {error}", sys.stderr)
    print((who if code == INTERRUPTED else coloured(who, ERROR, sys.stderr)) + text[len(who) :], file=sys.stderr)
    if json:
        from vmaf_workspace.commands import tables

        try:
            print(tables.object_json(name, error=str(error), exit_code=code), flush=True)
        except OSError:  # where stdout is what failed
            drop(sys.stdout)
    return code
