"""What stands on a command line, by its command: argparse, made from the parameters; it leaves their values to them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import MISSING
from typing import Any

from vmaf_workspace.commands.command import Command, Parameter, ended
from vmaf_workspace.commands.flags import meant
from vmaf_workspace.errors import UsageError
from vmaf_workspace.wording import filled, name_places, of_a_console

_WIDTH = 80  # columns of a terminal that nobody widened


class Parser(argparse.ArgumentParser):
    """Raises UsageError, and lets an error of writing to stdout through: help that nobody saw is no success."""

    flags: Sequence[str] = ()

    def error(self, message: str) -> Any:
        """Say what is wrong, how it is called, and which flags there are."""
        raise UsageError(f"{message}\n{self.format_usage().rstrip()}\n{listed('flags:', self.flags)}")

    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError) if file in (None, sys.stderr) else nullcontext():
            (file or sys.stderr).write(message or "")


def listed(what: str, parts: Sequence[str]) -> str:
    """`flags: --only --json`, in lines of at most 80 characters, none of *parts* broken."""
    lines = [what]
    for part in parts:
        if len(lines[-1]) + len(part) >= _WIDTH:
            lines.append(" " * (what.index(":") + 1))
        lines[-1] += f" {part}"
    return "\n".join(lines)


def given(
    command: Command, words: Sequence[str], *, prog: str, about: str = "", strict: bool = False
) -> dict[str, Any]:
    """What *words* give for the parameters of *command*, as text.

    What is positional may be given as a flag, too; of fewer words than places, those with a default stay out. Where
    *strict*, as in upstream's scripts, each place wants its word. Raises UsageError, SystemExit for --help.
    """
    places = command.places
    required = (e for e in command.parameters.values() if e.default is MISSING and not e.about.positional)
    usage = [
        *(each.name if strict or each.default is MISSING else f"[{each.name}]" for each in places),
        *(f"{each.flag} {each.metavar}" for each in required),
        "[flags]",
    ]
    parser = Parser(
        prog=prog,
        # After flags of several, a word is theirs.
        usage=command.usage or listed(f"usage: {prog}", usage).removeprefix("usage: "),
        description=about or command.about,
        epilog=f"example:\n  {prog} {command.example_words}".rstrip(),
        allow_abbrev=False,
        formatter_class=_Formatter,
        add_help=False,
    )
    arguments_of = parser.add_argument_group("arguments")
    flags_of = parser.add_argument_group("flags")
    flags_of.add_argument("-h", "--help", action="help", help="show this help")
    for each in places:
        arguments_of.add_argument(
            f"word:{each.name}",
            metavar=each.name,
            nargs=None if strict else "?",
            help=each.help.replace("%", "%%") + ("" if strict else f"; also as {each.flag}"),
        )
    for each in command.parameters.values():
        if not (strict and each.about.positional):
            add_flag(flags_of, each, is_shown=not each.about.positional)
    parser.flags = [each.flag for each in command.parameters.values() if not (strict and each.about.positional)]
    namespace, unknown = parser.parse_known_intermixed_args(_joined(words))
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown, command)}")
    found = vars(namespace)
    texts = [text for each in places if (text := found.pop(f"word:{each.name}")) is not None]
    free = [each for each in places if found.get(each.name) is None]
    while len(free) > len(texts) and (optional := [each for each in free if each.default is not MISSING]):
        free.remove(optional[0])
    if len(texts) > len(free):
        parser.error(f"unrecognized arguments: {' '.join(texts[len(free) :])}")
    return found | {each.name: text for each, text in zip(free, texts, strict=False)}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks lines between words, but never an example, which is to be pasted."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = super(argparse.RawDescriptionHelpFormatter, self)._fill_text
        parts = (part if part.startswith("example:") else filled(part, width, indent) for part in text.split("\n\n"))
        return "\n\n".join(parts)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Between words alone: neither a flag that is named nor what holds where nothing is said is broken."""
        kept = re.sub(
            r"\[(?:default|env): [^]]*\]",
            lambda found: found[0].replace(" ", "\0") if len(found[0]) <= width else found[0],
            " ".join(text.split()),
        )
        return [line.replace("\0", " ") for line in filled(kept, width)]


def _meant(unknown: Sequence[str], command: Command) -> str:
    """Which flags may be meant by those that there are not; a value without its flag, and where it may belong."""
    flags = {each.flag: each for each in command.parameters.values()}
    required = [each for each in flags.values() if each.default is MISSING and not each.about.positional]
    said = []
    for word in unknown:
        name = word.partition("=")[0]
        begun = [flag for flag in flags if name[:1] == "-" and flag.startswith(f"--{name.lstrip('-')}")]
        needed = [each.flag for each in required if each.flag in begun]
        if needed or (begun and re.fullmatch("-[A-Za-z]", name)):  # as other tools have it: -r, --ref
            said.append(f"; is {' or '.join(needed or begun)} meant?")
        elif name.startswith("--") or re.fullmatch("-[a-z]{2,}", name):
            said.append(meant(f"--{name.lstrip('-')}", [*flags]))
    if any(said):
        return "".join(dict.fromkeys(said))
    if required and not command.places:
        return f"; each value needs its flag: {' '.join(f'{each.flag} {each.metavar}' for each in required)}"
    return ""


def add_flag(parser: argparse._ActionsContainer, parameter: Parameter, *, is_shown: bool = True) -> argparse.Action:
    """Add the flag of *parameter*; where it is not *is_shown*, help has no line of it."""
    about = parameter.about
    flags = [parameter.flag, *([f"--{about.also}"] if about.also else [])]
    options: dict[str, Any] = {"dest": parameter.name, "help": parameter.help.replace("%", "%%")}
    if not is_shown:
        options["help"] = argparse.SUPPRESS
    if parameter.is_switch:
        return parser.add_argument(*flags, action="store_true", **options)
    options["metavar"] = parameter.metavar
    if about.several:
        options |= {"nargs": "+", "action": "extend"}
    return parser.add_argument(*flags, **options)


def _joined(words: Sequence[str]) -> list[str]:
    """`--keep-within -3d` as one word: argparse would take the second for a flag, and no flag of ours begins so."""
    joined: list[str] = []
    for word in words:
        flag = joined[-1] if joined else ""
        if word[:1] == "-" and word[1:2].isdecimal() and flag.startswith("--") and "=" not in flag:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def script(command: Command, argv: Sequence[str] | None, about: str) -> int:
    """Run *command* as upstream's scripts are called; SystemExit for --help and for words that cannot be read."""
    words = list(sys.argv[1:] if argv is None else argv)
    is_read = False

    def call() -> int:
        nonlocal is_read
        found = given(command, words, prog=command.name, about=about, strict=True)
        name_places(workspace=found.get("workspace"), at=found.get("at"))
        begin = command.bound(command.values(found))
        is_read = True
        return begin()

    with of_a_console():
        code = ended(command.name, call)
    if not is_read:
        sys.exit(code)
    return code
