"""The console script `vmaf-ws`: the tasks of `ws` without the prefix, and without Invoke's 0.2 s."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vmaf_workspace.command import Command, run
from vmaf_workspace.commands import COMMANDS
from vmaf_workspace.errors import USAGE, UsageError

HELP = ("-h", "--help")
CONFIG_ENDINGS = (".yaml", ".yml", ".json", ".py")  # Invoke's


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
            return _unusable(str(error))
        except Exception as error:  # Invoke's readers raise whatever their parsers do
            return _unusable(f"cannot read Invoke's configuration ({type(error).__name__}: {error})")
    return run(command, flags)


def _unusable(why: str) -> int:
    with suppress(OSError):  # where stderr cannot be written, the exit code says it
        print(f"vmaf-ws: {why}", file=sys.stderr)
    return USAGE


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
        text = (command.function.__doc__ or "").partition("\n")[0]
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
    """Defaults of *flags* in the config that `invoke` would read here; Invoke is imported only where there is one."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed under our feet, which matters only where a path counts from it
        here = Path("/")
    project = next((place for place in (here, *here.parents) if (place / "tasks.py").is_file()), None)
    home = os.path.expanduser("~")
    prefixes = [Path("/etc/invoke"), Path(home) / ".invoke", *([project / "invoke"] if project else [])]
    files = [prefix.with_name(prefix.name + ending) for prefix in prefixes for ending in CONFIG_ENDINGS]
    if not any(file.is_file() for file in files) and not {"INVOKE_WS_PATH", "INVOKE_WS_BACKUPS"} & set(os.environ):
        return {}
    from invoke.config import Config

    from vmaf_workspace.tasks import CONFIGURED, configured

    config = Config(defaults={"ws": dict.fromkeys(CONFIGURED.values(), "")}, project_location=project)
    config.load_project()
    config.load_shell_env()
    return {flag: configured(config, flag) for flag in flags}


if __name__ == "__main__":
    sys.exit(main())
