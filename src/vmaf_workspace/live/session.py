"""Runs a program, such as another harness, in the workspace: it writes there, and no clean takes what it made.

The program and all that it starts get `VMAF_WORKSPACE`. Where its harness does not read that (upstream's computes its
paths in `vmaf.config`), a `sitecustomize` of ours, first on PYTHONPATH, changes `vmaf.config` as soon as it is imported
(`redirect/`). An interpreter told to heed neither environment nor site (`-I`, `-E`, `-S`) imports no
`sitecustomize`, so that is refused where it can be seen, and what the harness wrote elsewhere is named afterwards.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vmaf_workspace.contract import BY_NAME
from vmaf_workspace.errors import RefusedError, UsageError, WorkspaceError
from vmaf_workspace.live.session_lock import recording_scratch, session
from vmaf_workspace.live.shell_paths import harness_packages, runs_shell_commands, special_characters
from vmaf_workspace.live.signals import prompt_signals
from vmaf_workspace.locate import VARIABLE, Checkout, current_directory, find_checkout, ignores_variable

REDIRECT = Path(__file__).parent / "redirect"
MADE_VARIABLE = "VMAF_WORKSPACE_MADE"  # for our `sitecustomize`: where to write down which scratch was made
SIGNALLED = 128  # a shell's exit code for a program that a signal ended is this and the signal's number
PATIENCE_S = 20.0  # with a Python that is asked where its harness lies
_WHERE = """
from importlib.util import find_spec
found = find_spec("vmaf")
if found and found.origin:
    print(found.origin)
"""


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended. *elsewhere* are places that its harness wrote to although it was told not to."""

    code: int
    elsewhere: tuple[Path, ...] = ()


def run_in_workspace(root: Path, command: Sequence[str]) -> ProgramEnd:
    """Run *command* in the workspace *root* (made if missing), holding a session; returns when it has ended.

    Raises UsageError for a command that is empty or cannot be started, RefusedError where it could not be redirected.
    """
    environ = dict(os.environ)
    program = found_program(command, environ)
    deaf = refuse_what_is_not_led(command, program, environ)
    if special_characters(root) and (unsafe := shells(command, program, environ)):
        raise RefusedError(
            f"the harness in {unsafe[0]} puts paths into a shell's commands as they are, and {str(root)!r} holds "
            f"{special_characters(root)!r}:\nit could write to, or run, something else; "
            f"`ws.migrate --to` a path without them, or set {VARIABLE} to one"
        )
    began_ns = time.time_ns()
    with session(root, shlex.join(command)) as lock, recording_scratch(root) as made:
        env = redirected_environment(root, environ) | {MADE_VARIABLE: made}
        try:
            child = subprocess.Popen([*command], executable=program, env=env, pass_fds=(lock,))
        except OSError as error:
            raise not_started(program, error) from error
        code = code_of(child)
    elsewhere = [checkout.workspace for checkout in deaf if was_written(checkout.workspace, root, began_ns)]
    return ProgramEnd(code, tuple(elsewhere))


def found_program(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """The path of the program of *command*; UsageError where there is none."""
    if not command:
        raise UsageError("no command; give it after `--`: `ws.run -- python -m vmaf.script.run_testing …`")
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        raise UsageError(f"cannot find {command[0]!r}; is it installed, and on PATH?")
    return program


def not_started(program: str, error: OSError) -> WorkspaceError:
    """The error for a *program* that did not start: a UsageError, but where this machine had nothing left for it."""
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return WorkspaceError(
            f"cannot start {program}: {error.strerror}; too many processes or files of yours are open (`ulimit -a`)"
        )
    return UsageError(f"cannot start {program}: {error.strerror}")


def refuse_what_is_not_led(command: Sequence[str], program: str, environ: Mapping[str, str]) -> list[Checkout]:
    """The checkouts in reach whose harness does not read the variable; RefusedError where *command* cannot lead it."""
    deaf = [checkout for checkout in _checkouts(environ) if ignores_variable(checkout)]
    pythons = list(_find_pythons(program, command, environ))
    flag = next((flag for _, flag in pythons if flag), None)
    if flag and deaf:
        raise RefusedError(
            f"the harness in {deaf[0].root} does not read {VARIABLE}, and Python with {flag} takes no redirection:\n"
            f"it would write to {deaf[0].workspace}; leave {flag} out"
        )
    packages = _installed_packages(pythons, environ) if flag else []
    if unled := [package for package in packages if not _reads_the_variable(package)]:
        raise RefusedError(
            f"the harness in {unled[0]} does not read {VARIABLE}, and Python with {flag} takes no redirection:\n"
            f"it would write to a workspace of its own; leave {flag} out"
        )
    return deaf


def shells(command: Sequence[str], program: str, environ: Mapping[str, str]) -> list[Path]:
    """The harnesses in reach of *command* that put paths into a shell's commands as they are."""
    if "vmaf_harness" in shlex.join(command):
        return []
    in_reach = [package for checkout in _checkouts(environ) for package in harness_packages(checkout)]
    in_reach += _installed_packages(list(_find_pythons(program, command, environ)), environ)
    return [package for package in in_reach if runs_shell_commands(package)]


def code_of(child: subprocess.Popen[bytes]) -> int:
    """How *child* ends, as a shell counts it; signals that come meanwhile are handed on to it."""
    with prompt_signals(), _forwarding_signals(child):
        code = child.wait()
    return SIGNALLED - code if code < 0 else code


def redirected_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a harness writes to *root*, whether it reads the variable or not."""
    rest = environ.get("PYTHONPATH")
    return {**environ, VARIABLE: str(root), "PYTHONPATH": f"{REDIRECT}{os.pathsep}{rest}" if rest else str(REDIRECT)}


def after_dashes(argv: Sequence[str]) -> list[str]:
    """The command after the first `--`, with its quoting, which Invoke's own remainder has lost."""
    return list(argv[argv.index("--") + 1 :]) if "--" in argv else []


def _checkouts(environ: Mapping[str, str]) -> list[Checkout]:
    """Of the current directory, and of what is on PYTHONPATH."""
    places = [current_directory(), *(Path(p).absolute() for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    return list(dict.fromkeys(found for place in places if (found := find_checkout(place, anybodys=True)) is not None))


def _find_pythons(program: str, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Each Python that *command* starts, or that a script's first line names, with its flag of isolation, if any."""
    calls = [[program, *command[1:]]]
    with suppress(OSError):
        with open(program, "rb") as file:
            first = file.readline(256)
        if first.startswith(b"#!"):
            calls.append(os.fsdecode(first[2:]).split())
    for call in calls:
        while call and (os.path.basename(call[0]) == "env" or re.fullmatch(r"\w+=.*|-S", call[0])):
            call = call[1:]
        if not call or not re.fullmatch(r"(python|pypy)[\d.]*t?", os.path.basename(call[0])):
            continue
        python = shutil.which(call[0], path=environ.get("PATH"))
        if python is not None:
            yield python, _isolating_flag(call[1:])


def _isolating_flag(words: Sequence[str]) -> str | None:
    """The flag, if any, with which a Python that is given *words* imports no `sitecustomize`."""
    arguments = iter(words)
    for argument in arguments:
        if not argument.startswith("-") or argument in ("-", "--"):
            break
        match = re.fullmatch(r"([^cmWX]*)([cmWX]?)(.*)", argument[1:], re.DOTALL)
        if match is None or argument.startswith("--"):
            continue
        if set(match[1]) & set("IES"):
            return argument
        if match[2] in ("c", "m"):
            break  # what follows is the command's own
        if match[2] and not match[3]:
            next(arguments, None)  # the value of -W or -X
    return None


def _installed_packages(pythons: Sequence[tuple[str, str | None]], environ: Mapping[str, str]) -> list[Path]:
    """The package `vmaf` that each of *pythons* would import, which is asked for and not imported."""
    found = []
    for python, flag in pythons:
        with suppress(OSError, subprocess.SubprocessError):
            asked = [python, *([flag] if flag else []), "-c", _WHERE]
            done = subprocess.run(
                asked, env=environ, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=True
            )
            if lines := os.fsdecode(done.stdout).splitlines():
                found.append(Path(lines[-1]).parent)
    return found


def _reads_the_variable(package: Path) -> bool:
    try:
        return VARIABLE.encode() in (package / "config.py").read_bytes()
    except OSError:
        return True  # no harness of the shape that a redirection is for


@contextmanager
def _forwarding_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand signals on, and wait; Ctrl-C at a terminal reaches the child by itself."""

    def hand_on(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and _is_at_a_terminal():
            return
        with suppress(ProcessLookupError):
            child.send_signal(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_at_a_terminal() -> bool:
    """Whether this process is in the foreground of a terminal, so that all of its group get what is typed there."""
    with suppress(OSError), open("/dev/tty", "rb", buffering=0) as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


def was_written(workspace: Path, root: Path, since_ns: int) -> bool:
    """Whether an entry right below the subdirectories of *workspace* is new; not where it is *root* itself."""
    if os.path.realpath(workspace) == os.path.realpath(root):
        return False
    for subdir in BY_NAME:
        with suppress(OSError), os.scandir(workspace / subdir) as entries:
            if any(entry.stat(follow_symlinks=False).st_mtime_ns >= since_ns for entry in entries):
                return True
    return False
