"""JSON of ours in files, and the names of files in it: UTF-8 whatever the locale, other bytes as lone surrogates.

Python decodes names as the locale says: under ISO-8859-1 the file `modèle.json`, whose è is two bytes, is a string of
one letter more. Written down like that it would be another file wherever the locale is another one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmaf_workspace.disk.atomic import MOST_BYTES, read_regular


def read_object(
    path: str | Path, *, follow: bool = False, at_most: int = MOST_BYTES, top: str | Path | None = None
) -> dict[str, Any]:
    """The JSON object in a file that `read_regular` reads; empty for whatever else is there."""
    try:
        data = json.loads(read_regular(path, follow=follow, at_most=at_most, top=top))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def paths_to_utf8(data: Any) -> Any:
    """*data* of JSON with each string that this process has for a name as it is to be written down."""
    return data if _is_utf8() else _mapped(data, lambda name: os.fsencode(name).decode("utf-8", "surrogateescape"))


def paths_from_utf8(data: Any) -> Any:
    """*data* of JSON with each string that was written down as this process would have it for a name."""
    return data if _is_utf8() else _mapped(data, lambda text: os.fsdecode(text.encode("utf-8", "surrogateescape")))


def _is_utf8() -> bool:
    return sys.getfilesystemencoding().lower() == "utf-8"


def _mapped(data: Any, change: Callable[[str], str]) -> Any:
    if isinstance(data, dict):
        return {_mapped(key, change): _mapped(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_mapped(value, change) for value in data]
    if not isinstance(data, str) or data.isascii():
        return data
    try:
        return change(data)
    except UnicodeEncodeError:  # the name of no file: a line of text that came from elsewhere
        return data
