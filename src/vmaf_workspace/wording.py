"""How numbers, names and short lists are said, everywhere: `3 files`, `96.4 MiB`, a name on one line.

Messages name commands as Invoke's tasks, in backquotes: `ws.setup`. A console script, and `invoke`, say them
as they are called themselves; who calls a task from Python reads its name.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

SCRIPTS = {"ws": "vmaf-ws", "harness": "vmaf-harness"}  # collection of tasks -> the console script that has them too
LISTED = 20  # lines of a list on the screen; `--json` and `--plan` have them all


def printable(name: str) -> str:
    """*name* on one line: control characters and bytes that are no UTF-8 as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def bytes_text(n: int) -> str:
    """`96.4 MiB`; binary units, one decimal."""
    if n < 1024:
        return f"{n} B"
    power = min((n.bit_length() - 1) // 10, 4)
    return f"{n / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def count_text(n: int, noun: str) -> str:
    """`4 310 files`, `1 file`; *noun* in the singular, a regular one (`directory` included)."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number_text(n)} {noun if n == 1 else plural}"


def amount_text(n: int, noun: str, n_bytes: int) -> str:
    """`4 310 files, 96.4 MiB`."""
    return f"{count_text(n, noun)}, {bytes_text(n_bytes)}"


def number_text(n: int) -> str:
    """`4 310`."""
    return f"{n:,}".replace(",", " ")


def duration_text(seconds: float) -> str:
    """`3.2 h`, `1 h`, `23 min`, `41 s`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"


def age_text(newest_ns: int) -> str:
    """How long ago: `23 min ago`, `1.5 h ago`."""
    age_s = time.time() - newest_ns / 1e9
    return "now" if age_s < 1 else f"{duration_text(age_s)} ago"


_COMMAND = re.compile(rf"`({'|'.join(SCRIPTS)})\.([a-z][a-z-]*)([^`]*)`")
# Which commands take the flags that say where: few have no --workspace, and few have an --at.
_WITHOUT_WORKSPACE = {"ws": "", "harness": "assemble-results convert-model"}
_WITH_AT = {
    "ws": "models doctor wipe-models backup-models snapshots verify restore-models diff forget prune",
    "harness": "tune train",
}
# Of the whole process: threads and forked children speak to the same person.
_before_name: Mapping[str, str] = {}  # collection of tasks -> what stands before a command's name where it is typed
_named: Mapping[str, str] = {}  # flag -> what the person gave for it: where the commands that are advised work, too


@contextmanager
def of_a_console() -> Iterator[None]:
    """While it lasts, what is said names the console scripts: a person called one, and has perhaps no tasks."""
    with _typed_as({collection: f"{script} " for collection, script in SCRIPTS.items()}):
        yield


@contextmanager
def of_invoke() -> Iterator[None]:
    """While it lasts, what is said names what `invoke` is called with: `invoke ws.setup`."""
    with _typed_as({collection: f"invoke {collection}." for collection in SCRIPTS}):
        yield


@contextmanager
def _typed_as(before_name: Mapping[str, str]) -> Iterator[None]:
    global _before_name, _named
    outside = _before_name, _named
    _before_name, _named = before_name, {}
    try:
        yield
    finally:
        _before_name, _named = outside


def name_places(*, workspace: object = None, at: object = None) -> None:
    """From now on commands are said with the workspace and the backups that a person named by flags for this one."""
    global _named
    given = {"workspace": workspace, "at": at} if _before_name else {}
    _named = {name: str(value) for name, value in given.items() if value}


def as_typed(text: str) -> str:
    """*text* with each command that stands in backquotes as who called us types it: `vmaf-ws setup --workspace W`."""
    return _COMMAND.sub(_typed, text) if _before_name else text


def command_name(task: str) -> str:
    """The command of `ws.setup` as who called us types it, without any flag."""
    collection, _, name = task.partition(".")
    return f"{_before_name[collection]}{name}" if _before_name else task


def _typed(found: re.Match[str]) -> str:
    collection, name, rest = found.groups()
    has = re.findall(r"--[a-z-]+", rest.partition(" -- ")[0])
    takes = {
        "workspace": name not in _WITHOUT_WORKSPACE[collection].split() and "--from" not in has,
        "at": name in _WITH_AT[collection].split(),
    }
    # Before the rest, which may end in a flag without its value.
    named = {flag: value for flag, value in _named.items() if takes[flag] and f"--{flag}" not in has}
    flags = [f" --{flag} {shell_word(value)}" for flag, value in named.items()]
    return f"`{_before_name[collection]}{name}{''.join(flags)}{rest}`"


def shell_word(text: str) -> str:
    """*text* as a word for a shell, on one line and without a backquote; where that has to be, in Bash's quotes."""
    if text.isprintable() and "`" not in text:
        return shlex.quote(text)
    bytes_ = os.fsencode(text)
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"\\'`" else f"\\x{b:02x}" for b in bytes_) + "'"


ERROR, WARNING, LIVE, BOLD = "1;31", "33", "36", "1"  # red and bold, yellow, cyan, bold: what a terminal calls them


def coloured(text: str, colour: str, file: TextIO) -> str:
    """*text* in that colour where *file* is a terminal that has colours, and nobody said NO_COLOR."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not file.isatty()
    return text if is_plain else f"\x1b[{colour}m{text}\x1b[0m"


def say(text: str, file: TextIO | None = None, *, flush: bool = False) -> None:
    """Print *text* on stdout, or *file*; on a terminal in lines that end between words."""
    print(broken(text, file or sys.stdout), file=file, flush=flush)


def print_warning(text: str) -> None:
    """Print *text* on stderr as a warning."""
    said = broken(f"warning: {text}", sys.stderr).removeprefix("warning:")
    print(coloured("warning:", WARNING, sys.stderr) + said, file=sys.stderr)


def broken(text: str, file: TextIO, indent: str = "") -> str:
    """*text* in lines that end between words where *file* is a terminal, those after the first with *indent*.

    A word is never broken, so that a path can be copied; nor is what stands in backquotes, which is to be typed.
    Commands are named as who called us types them.
    """
    text = as_typed(text)
    columns = terminal_columns(file)
    if columns is None:
        return text
    return "\n".join(line for each in text.split("\n") for line in filled(each, columns, indent))


def message(text: str, file: TextIO) -> str:
    """*text* as `broken`, without control characters; a line that begins with a blank or a bracket stays as it is.

    Such a line is a log's, or a command to be pasted. One that begins with a dash is of a list, and goes on below that.
    """
    lines = map(printable, as_typed(text).split("\n"))
    return "\n".join(
        line if line.startswith((" ", "(")) else broken(line, file, "  " if line.startswith("- ") else "")
        for line in lines
    )


def terminal_columns(file: TextIO) -> int | None:
    """How many columns the terminal has that *file* is; None where it is none."""
    if not file.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


_WORD = re.compile(r"(\s*)((?:[^\s`]*`[^`]*`)+\S*|\S+)")


def filled(line: str, columns: int, indent: str = "") -> list[str]:
    """*line* in lines of at most *columns* cells, those after the first with *indent*; a longer word has its own."""
    lines = [""]
    for blank, word in _WORD.findall(line):
        if lines[-1].strip() and cells(lines[-1] + blank + word) > columns:
            lines.append(indent + word)
        else:
            lines[-1] += blank + word
    return lines


def cells(text: str) -> int:
    """How many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def print_list(title: str, lines: Sequence[tuple[str, str]], *, file: TextIO | None = None, colour: str = "") -> None:
    """Print the first of *lines*, (path, why), under *title*, in *colour* if any; nothing where there are none."""
    if not lines:
        return
    title = as_typed(title)
    print(coloured(title, colour, file or sys.stdout) if colour else title, file=file)
    for path, why in lines[:LISTED]:
        print(broken(f"  {printable(path)}: {printable(why)}", file or sys.stdout, "    "), file=file)
    if len(lines) > LISTED:
        print(f"  … and {len(lines) - LISTED} more; --json lists them all", file=file)


def print_path(text: str) -> None:
    """Print *text* with the bytes that it stands for, UTF-8 or not; escaped where stdout takes none (a notebook's)."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        print(os.fsencode(text).decode("utf-8", "backslashreplace"))
    else:
        buffer.write(os.fsencode(text) + b"\n")
