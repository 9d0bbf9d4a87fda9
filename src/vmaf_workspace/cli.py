"""The console script `vmaf-ws`: the tasks of `ws` without the prefix, and without Invoke's 0.2 s."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vmaf_workspace.commands import parser
from vmaf_workspace.commands.command import Command, called, ended
from vmaf_workspace.commands.configuration import configured_here
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.errors import DONE

HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a flag that there is not)."""
    return console("vmaf-ws", "ws", "Keep the workspace of VMAF's Python harness.", COMMANDS, argv)


def console(prog: str, prefix: str, about: str, commands: Sequence[Command], argv: Sequence[str] | None) -> int:
    """The console script *prog*: runs one of *commands*, whose tasks have *prefix*."""
    words = list(sys.argv[1:] if argv is None else argv)
    words[:1] = [word.removeprefix(f"{prefix}.") for word in words[:1]]  # messages name the tasks so
    command = next((each for each in commands if words[:1] == [each.name]), None)
    if command is None:
        return ended(prog, lambda: _without_command(prog, about, commands, words))
    own, after = _before_and_after(words[1:]) if command.name == "run" else (words[1:], [])

    def call() -> int:
        found = parser.given(command, own, prog=f"{prog} {command.name}")
        return called(command, found | {"command": after} if after else found, configured_here)

    return ended(command.name, call, json="--json" in own)


def _without_command(prog: str, about: str, commands: Sequence[Command], words: Sequence[str]) -> int:
    """Help, the version, or a UsageError."""
    top = parser.Parser(prog=prog, description=about, allow_abbrev=False)
    top.add_argument("--version", action="store_true", help="print the version and exit")
    listed = top.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for command in commands:
        listed.add_parser(command.name, help=command.summary)
    if not top.parse_args(words).version:
        top.error("name a COMMAND")
    from importlib.metadata import version  # takes as long as `where` itself

    print(f"{prog} {version('vmaf-workspace')}")
    return DONE


def _before_and_after(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words of ours and, of `run`, those of the program after the first `--`.

    Without a `--` the program is cut off, and `run` says where it goes.
    """
    if "--" in words:
        at = words.index("--")
        return words[:at], words[at + 1 :]
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] or words[at] in HELP else 2
    return words[:at], []


if __name__ == "__main__":
    sys.exit(main())
