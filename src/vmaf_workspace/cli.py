"""The console script `vmaf-ws`: the tasks of `ws` without the prefix, and without Invoke's 0.2 s."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmaf_workspace.command import Command, run
from vmaf_workspace.commands import COMMANDS
from vmaf_workspace.errors import USAGE, UsageError
from vmaf_workspace.trust import why_not

HELP = ("-h", "--help")
CONFIG_ENDINGS = (".yaml", ".yml", ".json")  # Invoke's, in its order, which are data
CODE_ENDING = ".py"  # Invoke's last: code, which only `invoke` runs
LARGEST = 1 << 20  # bytes of a configuration file


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a flag that argparse does not know)."""
    words = list(sys.argv[1:] if argv is None else argv)
    words[:1] = [word.removeprefix("ws.") for word in words[:1]]  # messages name the tasks so
    if words[:1] == ["run"] and "--" in words:  # what follows is another program's
        del words[words.index("--") :]
    elif words[:1] == ["run"]:  # a command without its `--`, as `run` then says
        words[1:] = [word for word in words if word in HELP]
    flags = vars(_parser().parse_args(_joined(words)))
    command: Command = flags.pop("command")
    flags = {name: command.flags[name] if value is None else value for name, value in flags.items()}
    unset = [flag for flag in ("workspace", "at") if flags.get(flag) == ""]
    if unset:
        try:
            flags |= _configured(unset)
        except UsageError as error:
            print(f"vmaf-ws: {error}", file=sys.stderr)
            return USAGE
        except Exception as error:  # Invoke's readers raise whatever their parsers do
            print(f"vmaf-ws: cannot read Invoke's configuration ({type(error).__name__}: {error})", file=sys.stderr)
            return USAGE
    return run(command, flags)


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
    parser = argparse.ArgumentParser(
        prog="vmaf-ws", description="Keep the workspace of VMAF's Python harness.", allow_abbrev=False
    )
    nowhere = argparse.SUPPRESS
    parser.add_argument(
        "--version", action=_Version, nargs=0, dest=nowhere, default=nowhere, help="print the version and exit"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        text = (command.function.__doc__ or "").splitlines()[0]
        usage = "%(prog)s [-h] [--workspace WORKSPACE] -- PROGRAM ..." if command.name == "run" else None
        sub = commands.add_parser(command.name, help=text, description=text, usage=usage, allow_abbrev=False)
        sub.set_defaults(command=command)
        for name, default in command.flags.items():
            flag, about = f"--{name.rstrip('_').replace('_', '-')}", command.help[name]  # `from_`, for Python
            if default is False:
                sub.add_argument(flag, dest=name, action="store_true", help=about)
            else:
                meta = name.rstrip("_").upper()
                sub.add_argument(flag, dest=name, default=default or None, type=given, metavar=meta, help=about)
    return parser


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


def _configured(flags: list[str]) -> dict[str, str]:
    """Defaults of *flags* in the config that `invoke` would read here; Invoke is imported only where there is one.

    Of a stranger's file, and of one that is code, a warning is all that comes.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed under our feet, which matters only where a path counts from it
        here = Path("/")
    project = next((place for place in (here, *here.parents) if os.path.isfile(place / "tasks.py")), None)
    home = os.path.expanduser("~")
    prefixes = [Path("/etc/invoke"), Path(home) / ".invoke", *([project / "invoke"] if project else [])]
    files = {os.path.abspath(file) for prefix in prefixes if (file := _config_file(prefix)) is not None}
    if not files and not {"INVOKE_WS_PATH", "INVOKE_WS_BACKUPS"} & set(os.environ):
        return {}
    from invoke.config import Config

    from vmaf_workspace.tasks import CONFIGURED, configured

    class Data(Config):
        """Invoke's, of these files alone."""

        def _load_yaml(self, path: Any) -> Any:
            return super()._load_yaml(path) if os.path.abspath(path) in files else self._load_py(path)

        _load_yml = _load_yaml

        def _load_json(self, path: Any) -> Any:
            return super()._load_json(path) if os.path.abspath(path) in files else self._load_py(path)

        def _load_py(self, path: Any) -> Any:
            raise FileNotFoundError(errno.ENOENT, "not read", path)

    config = Data(defaults={"ws": dict.fromkeys(CONFIGURED.values(), "")}, project_location=project)
    config.load_project()
    config.load_shell_env()
    return {flag: configured(config, flag) for flag in flags}


def _config_file(prefix: Path) -> str | None:
    """The first file of Invoke's that begins so and may be read; UsageError for one that is too large to be one.

    A link may lead to one, as those of people who keep such files elsewhere do.
    """
    for ending in CONFIG_ENDINGS:
        file = f"{prefix}{ending}"
        if not os.path.isfile(file):  # nor is there what may not be looked at; a FIFO would never end
            continue
        why = why_not(file) or why_not(os.path.realpath(file))
        if why is None:
            if os.stat(file).st_size > LARGEST:
                raise UsageError(f"{file} has {os.stat(file).st_size} bytes, too many for a configuration")
            return file
        print(f"warning: {file}, {why}, is not read; if you trust it, `chown` it to you", file=sys.stderr)
    code = f"{prefix}{CODE_ENDING}"
    if os.path.isfile(code) and why_not(code) is None:
        print(f"warning: {code} is code, which only `invoke` runs; write ws.path into a .yaml file", file=sys.stderr)
    return None


if __name__ == "__main__":
    sys.exit(main())
