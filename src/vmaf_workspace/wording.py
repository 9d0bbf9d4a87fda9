"""How numbers, names and short lists are said, everywhere: `3 files`, `96.4 MiB`, a name on one line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

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


ERROR, WARNING, LIVE = "1;31", "33", "36"  # red and bold, yellow, cyan: what a terminal calls them


def coloured(text: str, colour: str, file: TextIO) -> str:
    """*text* in that colour where *file* is a terminal that has colours, and nobody said NO_COLOR."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not file.isatty()
    return text if is_plain else f"\x1b[{colour}m{text}\x1b[0m"


def print_warning(text: str) -> None:
    """Print *text* on stderr as a warning."""
    said = broken(f"warning: {text}", sys.stderr).removeprefix("warning:")
    print(coloured("warning:", WARNING, sys.stderr) + said, file=sys.stderr)


def broken(text: str, file: TextIO, indent: str = "") -> str:
    """*text* in lines that end between words where *file* is a terminal, those after the first with *indent*."""
    if not file.isatty():
        return text
    import textwrap
    from shutil import get_terminal_size

    wrapper = textwrap.TextWrapper(
        get_terminal_size().columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(map(wrapper.fill, text.split("\n")))


def print_list(title: str, lines: Sequence[tuple[str, str]], *, file: TextIO | None = None, colour: str = "") -> None:
    """Print the first of *lines*, (path, why), under *title*, in *colour* if any; nothing where there are none."""
    if not lines:
        return
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
