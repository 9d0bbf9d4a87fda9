"""The console script `vmaf-ws`: the tasks of `ws` without the prefix, and without Invoke's 0.2 s."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from vmaf_workspace.commands.command import Command, as_flags, dry, run
from vmaf_workspace.commands.lasting_stderr import drop
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.disk.trust import why_not
from vmaf_workspace.errors import FAILED, USAGE, UsageError, WorkspaceError

HELP = ("-h", "--help")
VARIABLES = {"INVOKE_RUNTIME_CONFIG", "INVOKE_WS_PATH", "INVOKE_WS_BACKUPS", "INVOKE_RUN_DRY"}
CONFIG_ENDINGS = (".yaml", ".yml", ".json", ".py")  # Invoke's; the last is code, which only `invoke` runs
LARGEST = 1 << 20  # bytes of a configuration file


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a flag that argparse does not know)."""
    words = list(sys.argv[1:] if argv is None else argv)
    words[:1] = [word.removeprefix("ws.") for word in words[:1]]  # messages name the tasks so
    after: list[str] = []
    if words[:1] == ["run"]:
        words, after = _before_and_after(words)
    try:
        given = vars(_parser().parse_args(_joined(words)))
    except (SystemExit, OSError) as ended:  # of --help, --version or a usage error, printed unless that failed
        try:
            if isinstance(ended, OSError):
                raise ended
            sys.stdout.flush()
        except OSError as error:
            drop(sys.stdout)
            return _unusable(f"its output could not be written ({error.strerror})", FAILED)
        raise
    command: Command = given.pop("command_")
    if after:
        given["command"] = after
    try:
        flags: dict[str, Any] = as_flags(command, given)
        config = _invokes_config()
        if config is not None:
            from vmaf_workspace.tasks import CONFIGURED, configured

            unset = [flag for flag in CONFIGURED if flag in command.flags and not flags.get(flag)]
            flags |= {flag: configured(config, flag) for flag in unset}
            if config.run.dry:
                flags = dry(command, flags)
    except WorkspaceError as error:
        return _unusable(str(error), error.exit_code)
    except Exception as error:  # Invoke's readers raise whatever their parsers do
        return _unusable(f"cannot read Invoke's configuration ({type(error).__name__}: {error})", USAGE)
    return run(command, flags)


def _unusable(why: str, code: int) -> int:
    with suppress(OSError):  # where stderr cannot be written, the exit code says it
        print(f"vmaf-ws: {why}", file=sys.stderr)
    return code


def _before_and_after(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of ours and, of `run`, those of the program after the first `--`.

    Without a `--` the program is cut off, and `run` says where it goes.
    """
    if "--" in words:
        at = words.index("--")
        return words[:at], words[at + 1 :]
    at = 1
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] or words[at] in HELP else 2
    return words[:at], []


def _joined(words: list[str]) -> list[str]:
    """`--keep-within -3d` as one word: argparse would take the second for a flag, and no flag of ours begins so."""
    joined: list[str] = []
    for word in words:
        flag = joined[-1] if joined else ""
        if word[:1] == "-" and word[1:2].isdecimal() and flag.startswith("--") and "=" not in flag:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vmaf-ws", description="Keep the workspace of VMAF's Python harness.", allow_abbrev=False)
    nowhere = argparse.SUPPRESS
    parser.add_argument(
        "--version", action=_Version, nargs=0, dest=nowhere, default=nowhere, help="print the version and exit"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        text = (command.function.__doc__ or "").partition("\n")[0]  # `python -OO` has none
        usage = "%(prog)s [-h] [--workspace WORKSPACE] [--prove] -- PROGRAM ..." if command.name == "run" else None
        sub = commands.add_parser(command.name, help=text, description=text, usage=usage, allow_abbrev=False)
        sub.set_defaults(command_=command)
        for name, default in command.flags.items():
            flag, about = f"--{name.rstrip('_').replace('_', '-')}", command.help[name]  # `from_`, for Python
            if default is False:
                sub.add_argument(flag, dest=name, action="store_true", help=about)
            else:
                meta = name.rstrip("_").upper()
                sub.add_argument(flag, dest=name, default=default or None, type=given, metavar=meta, help=about)
    return parser


class _Parser(argparse.ArgumentParser):
    """Lets an error of writing to stdout through, which argparse passes over: help that nobody saw is no success."""

    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError) if file in (None, sys.stderr) else nullcontext():
            (file or sys.stderr).write(message or "")


class _Version(argparse.Action):
    """Looks the version up only when asked: it takes as long as `where` itself."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"vmaf-ws {version('vmaf-workspace')}")
        parser.exit()


def given(text: str) -> str:
    """*text*, for argparse, which refuses a blank one."""
    if not text.strip():  # a shell variable that is not set must not mean "everything"
        raise argparse.ArgumentTypeError("blank; leave the flag out, or give it a value")
    return text


def _invokes_config() -> Any:
    """Invoke's configuration as `invoke` would have it here; None, without an import of Invoke, where there is none.

    Of a stranger's file, and of one that is code, a warning is all that comes.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed under our feet, which matters only where a path counts from it
        here = Path("/")
    home = os.path.expanduser("~")
    prefixes = [Path("/etc/invoke"), Path(home) / ".invoke", *(place / "invoke" for place in (here, *here.parents))]
    files = (f"{prefix}{ending}" for prefix in prefixes for ending in CONFIG_ENDINGS)
    if not VARIABLES & set(os.environ) and not any(map(os.path.isfile, files)):
        return None
    from invoke.config import Config

    class Data(Config):
        """Invoke's, of files that are data."""

        def _load_yaml(self, path: Any) -> Any:
            _check_readable(path)
            return super()._load_yaml(path)

        _load_yml = _load_yaml

        def _load_json(self, path: Any) -> Any:
            _check_readable(path)
            return super()._load_json(path)

        def _load_py(self, path: Any) -> Any:
            if os.path.isfile(path) and why_not(path) is None:
                how = "write ws.path into a .yaml file"
                print(f"warning: {path} is code, which only `invoke` runs; {how}", file=sys.stderr)
            raise FileNotFoundError(errno.ENOENT, "not read", path)

    config = Data()  # the system's and the user's, which may say where a project begins
    project = _project(config)
    if project is not None:
        config.set_project_location(project)
        config.load_project()
    if runtime := os.environ.get("INVOKE_RUNTIME_CONFIG"):
        config.set_runtime_path(Path(runtime))
        config.load_runtime()
    config.load_shell_env()
    return config


def _project(config: Any) -> Path | None:
    """The directory that holds `tasks.py` or the package `tasks/`, as Invoke's own loader finds it; imports neither."""
    from invoke.exceptions import CollectionNotFound
    from invoke.loader import FilesystemLoader

    try:
        found = FilesystemLoader(config=config).find(config.tasks.collection_name)
    except (CollectionNotFound, OSError):  # what may not be looked at is not there
        return None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parents[1 if found.submodule_search_locations else 0]


def _check_readable(file: Any) -> None:
    """FileNotFoundError for a configuration that does not count, which is said; UsageError for one that is none.

    A link may lead to one, as those of people who keep such files elsewhere do.
    """
    if not os.path.isfile(file):  # nor is there what may not be looked at; a FIFO would never end
        raise FileNotFoundError(errno.ENOENT, "not there", file)
    why = why_not(file) or why_not(os.path.realpath(file))
    if why is not None:
        print(f"warning: {file}, {why}, is not read; if you trust it, `chown` it to you", file=sys.stderr)
        raise FileNotFoundError(errno.ENOENT, "not read", file)
    if os.stat(file).st_size > LARGEST:
        raise UsageError(f"{file} has {os.stat(file).st_size} bytes, too many for a configuration")


if __name__ == "__main__":
    sys.exit(main())
