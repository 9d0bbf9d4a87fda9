"""The console script `vmaf-ws`: the tasks of `ws` without the prefix, and without Invoke's 0.2 s."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmaf_workspace.commands import parser
from vmaf_workspace.commands.command import Command, called, ended
from vmaf_workspace.commands.configuration import configured_here
from vmaf_workspace.commands.flags import meant
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.errors import DONE, USAGE, UsageError
from vmaf_workspace.wording import of_a_console

HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a flag that there is not)."""
    return console("vmaf-ws", "ws", "Keep the workspace of VMAF's Python harness.", COMMANDS, argv)


def console(prog: str, prefix: str, about: str, commands: Sequence[Command], argv: Sequence[str] | None) -> int:
    """The console script *prog*: runs one of *commands*, whose tasks have *prefix*."""
    with of_a_console():
        return _console(prog, prefix, about, commands, argv)


def _console(prog: str, prefix: str, about: str, commands: Sequence[Command], argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    words[:1] = [word.removeprefix(f"{prefix}.") for word in words[:1]]  # as Invoke has them
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    command = next((each for each in commands if words[:1] == [each.name]), None)
    if command is None:
        from vmaf_workspace.commands import completion

        commands = (*commands, completion.command_for(prog, commands))
        command = commands[-1] if words[:1] == [commands[-1].name] else None
    if command is None:
        return ended(prog, lambda: _without_command(prog, about, commands, words))
    own, after = _before_and_after(words[1:]) if command.name == "run" else (words[1:], [])

    def call() -> int:
        found = parser.given(command, own, prog=f"{prog} {command.name}")
        return called(command, found | {"command": after} if after else found, configured_here)

    return ended(command.name, call, json="--json" in own)


def _without_command(prog: str, about: str, commands: Sequence[Command], words: Sequence[str]) -> int:
    """Help, the version, or a UsageError; help that nobody asked for is no result, and goes to stderr."""
    if not words:
        print(overview(prog, about, commands), file=sys.stderr)
        return USAGE
    if words[0] in HELP:
        print(overview(prog, about, commands))
        return DONE
    if words == ["--version"]:
        from importlib.metadata import version  # takes as long as `where` itself

        print(f"{prog} {version('vmaf-workspace')}")
        return DONE
    how = f"\nusage: {prog} COMMAND [flags]; `{prog} --help` lists the commands"
    if words[0].startswith("-"):
        raise UsageError(f"{words[0]!r} stands where a COMMAND is expected; flags come after it{how}")
    raise UsageError(f"there is no command {words[0]!r}{meant(words[0], [each.name for each in commands])}{how}")


def overview(prog: str, about: str, commands: Sequence[Command]) -> str:
    """The list of the commands by what they are for, a line each, and where more is said."""
    width = max(len(each.name) for each in commands)
    lines = [f"usage: {prog} COMMAND [flags]", "", about]
    for group in dict.fromkeys(each.group for each in commands):
        lines += ["", f"{group}:"]
        lines += [f"  {e.name:{width}}  {e.summary.removesuffix('.')}".rstrip() for e in commands if e.group == group]
    lines += ["", f"`{prog} COMMAND --help` shows its flags and an example."]
    return "\n".join(lines)


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
