"""Rows as lines of a terminal: in columns, names whole, what is said in words broken between them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmaf_workspace.wording import BOLD, cells, coloured, filled, terminal_columns

GAP = 2  # columns between two of the table
LEAST = 12  # columns that words are given, if need be
INDENT = "    "  # of words below their row


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, total: bool = False) -> None:
    """Print a table on stdout; a header that begins with `>` is a column of numbers, with `|` of names.

    Numbers and names are never broken into lines, nor cut. Other columns are words. Where a terminal is too narrow, the
    words of the last column stand below their row; and where that does not do, a long name of the first column stands
    above its own. Where there is no terminal, a row is a line. With *total* the last row is one.
    """
    kinds = [name[:1] if name.startswith((">", "|")) else "" for name in header]
    table = [[name.removeprefix(kind).split("\n") for name, kind in zip(header, kinds, strict=True)]]
    table += [[cell.split("\n") for cell in row] for row in rows]
    columns = terminal_columns(sys.stdout)
    widths = [max(cells(line) for row in table for line in row[n]) for n in range(len(header))]
    below: list[list[str]] = [[] for _ in table]
    if columns is not None:
        if _is_better_below(widths, kinds, columns):
            below = [
                [f"{INDENT}{line}" for text in row.pop() if text for line in filled(text, columns - len(INDENT))]
                for row in table
            ]
            widths, kinds = widths[:-1], kinds[:-1]
        widths = _fitting(widths, kinds, table, columns)
    for number, row in enumerate(table):
        is_bold = number == 0 or (total and number == len(rows))
        for line in (*_lines(row, widths, kinds), *below[number]):
            print(coloured(line, BOLD, sys.stdout) if is_bold else line)


def _is_better_below(widths: Sequence[int], kinds: Sequence[str], columns: int) -> bool:
    """Whether all but the last column, which alone has words, fit into *columns*, and no words fit beside them."""
    room = columns - sum(widths[:-1]) - GAP * (len(widths) - 1)
    return not kinds[-1] and all(kinds[:-1]) and room + GAP >= 0 and room < min(LEAST, widths[-1])


def _fitting(
    widths: Sequence[int], kinds: Sequence[str], table: Sequence[Sequence[Sequence[str]]], columns: int
) -> list[int]:
    """*widths* that take *columns* in all: words give way first, then the longest names of the first column."""
    found = list(widths)

    def excess() -> int:
        return sum(found) + GAP * (len(found) - 1) - columns

    while excess() > 0 and (words := [n for n, kind in enumerate(kinds) if not kind and found[n] > LEAST]):
        widest = max(words, key=found.__getitem__)
        found[widest] = max(found[widest] - excess(), LEAST)
    if excess() > 0 and kinds[0] == "|":
        room = found[0] - excess()
        found[0] = max((width for row in table for line in row[0] if (width := cells(line)) <= room), default=0)
        for n, kind in enumerate(kinds):  # words get what that has freed
            if not kind and excess() < 0:
                found[n] = min(widths[n], found[n] - excess())
    return found


def _lines(row: Sequence[Sequence[str]], widths: Sequence[int], kinds: Sequence[str]) -> list[str]:
    """One row, of lines of each cell, as lines."""
    lines = []
    found = [
        list(cell) if kind else [line for text in cell for line in filled(text, width)]
        for cell, kind, width in zip(row, kinds, widths, strict=True)
    ]
    if any(cells(line) > widths[0] for line in found[0]):
        lines += found[0]
        found[0] = [""]
    for n in range(max(map(len, found))):
        parts = []
        for cell, width, kind in zip(found, widths, kinds, strict=True):
            text = cell[n] if n < len(cell) else ""
            room = " " * (width - cells(text))
            parts.append(room + text if kind == ">" else text + room)
        lines.append((" " * GAP).join(parts).rstrip())
    return lines
