"""The mark by which this program knows its own pages and plots again: a new one replaces nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from vmaf_harness.recipe.file_kind import kind_of
from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.errors import RefusedError

MARK = "vmaf-harness"  # a page's generator, `Software` of a PNG, `Creator` of an SVG
_HEAD_BYTES = 1 << 16  # that are read; a page's styles come before its first words
_GENERATOR = re.compile(rf'<meta name="generator" content="{MARK}">'.encode())
_MADE_BY = re.compile(rb"<p class=\"soft\">Made \d{4}-\d\d-\d\d \d\d:\d\d by vmaf-harness ")  # before it had one
_PNG, _PNG_MARK = b"\x89PNG\r\n\x1a\n", b"tEXtSoftware\0" + MARK.encode()
_SVG_MARK = re.compile(rf"<dc:creator>\s*<cc:Agent>\s*<dc:title>{MARK}</dc:title>".encode())


def check_page(path: Path) -> None:
    """Raise RefusedError where *path* is anything but a page of ours: it would be lost."""
    _check(path, "page", _is_page)


def check_plot(path: Path) -> None:
    """Raise RefusedError where *path* is anything but a plot of ours."""
    _check(path, "plot", _is_plot)


def _check(path: Path, what: str, is_ours: Callable[[bytes], bool]) -> None:
    if not os.path.lexists(path):
        return
    try:
        with open_regular(path) as fd:
            if is_ours(os.read(fd, _HEAD_BYTES)):
                return
    except OSError:  # a link, a directory, a file that may not be read
        pass
    kind = "a link" if path.is_symlink() else kind[0] if (kind := kind_of(path)) is not None else ""
    raise RefusedError(
        f"{path} is there{f', {kind},' if kind else ''} and is no {what} that {MARK} made, so it stays; name another "
        "path, or move it away"
    )


def _is_page(head: bytes) -> bool:
    is_html = head[:20].lower().startswith(b"<!doctype html>")
    return is_html and bool(_GENERATOR.search(head) or _MADE_BY.search(head))


def _is_plot(head: bytes) -> bool:
    return _PNG_MARK in head if head.startswith(_PNG) else bool(_SVG_MARK.search(head))
