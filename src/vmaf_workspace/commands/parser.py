"""What stands on a command line, by its command: argparse, made from the parameters; it leaves their values to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import MISSING
from typing import Any

from vmaf_workspace.commands.command import Command, Parameter, ended
from vmaf_workspace.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError, and lets an error of writing to stdout through: help that nobody saw is no success."""

    def error(self, message: str) -> Any:
        """Say what is wrong, and how it is called."""
        raise UsageError(f"{message}\n{self.format_usage().rstrip()}")

    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError) if file in (None, sys.stderr) else nullcontext():
            (file or sys.stderr).write(message or "")


def given(
    command: Command, words: Sequence[str], *, prog: str, about: str = "", strict: bool = False
) -> dict[str, Any]:
    """What *words* give for the parameters of *command*, as text.

    What is positional may be given as a flag, too; of fewer words than places, those with a default stay out. Where
    *strict*, as in upstream's scripts, each place wants its word. Raises UsageError, SystemExit for --help.
    """
    places = command.places
    names = "".join(f"{each.name} " for each in places)
    parser = Parser(
        prog=prog,
        usage=command.usage or f"%(prog)s {names}[flags]",  # after flags of several, a word is theirs
        description=about or command.summary,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for each in places:
        parser.add_argument(f"word:{each.name}", metavar=each.name, nargs=None if strict else "?", help=each.help)
    for each in command.parameters.values():
        if not (strict and each.about.positional):
            _add(parser, each)
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


def _meant(unknown: Sequence[str], command: Command) -> str:
    """Which flag may be meant by one that there is not: a longer or shorter name of it, else a close one."""
    from difflib import get_close_matches

    known = [each.flag for each in command.parameters.values()]
    for word in unknown:
        name = word.partition("=")[0]
        tail = name.lstrip("-")
        if not name.startswith("--") or not tail:
            continue
        longer = [flag for flag in known if flag.endswith(f"-{tail}") or name.endswith(f"-{flag.lstrip('-')}")]
        if found := longer or get_close_matches(name, known, n=1):
            return f"; is {' or '.join(found)} meant?"
    return ""


def _add(parser: Parser, parameter: Parameter) -> None:
    about = parameter.about
    flags = [parameter.flag, *([f"--{about.also}"] if about.also else [])]
    options: dict[str, Any] = {"dest": parameter.name, "help": parameter.help.replace("%", "%%")}
    if parameter.is_switch:
        parser.add_argument(*flags, action="store_true", **options)
        return
    options["metavar"] = about.metavar or parameter.name.rstrip("_").upper()
    if about.several:
        options |= {"nargs": "+", "action": "extend"}
    parser.add_argument(*flags, **options)


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
        begin = command.bound(command.values(given(command, words, prog=command.name, about=about, strict=True)))
        is_read = True
        return begin()

    code = ended(command.name, call)
    if not is_read:
        sys.exit(code)
    return code
