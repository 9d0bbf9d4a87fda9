"""Plain data: what JSON can say; and a short text of any value, for errors."""

from __future__ import annotations

import itertools
import reprlib
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

PLAIN_TYPES = "finite numbers, text, true, false, None, and lists and dictionaries of these"
_MAX_ITEMS = 100_000
_MAX_DEPTH = 20
_SHORT_REPR = reprlib.Repr()
_SHORT_REPR.maxlevel = 2  # six lists of six lists of six … fill a screen


def to_plain(value: object) -> Any:
    """The same value, numpy's single numbers as Python's own; ValueError, saying which it is, for what is not plain.

    A pickle may hold a list in itself, or so often in others that they would never be gone through: what has more than
    100 000 parts, or is nested deeper than 20, is not plain either.
    """
    return _to_plain(value, 0, itertools.count())


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite number that fits into a float; a truth value is none."""
    # No math.isfinite: it fails on an integer of 400 digits.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def short_text(value: object) -> str:
    """The value as an error shows it, whatever its size."""
    try:
        return _SHORT_REPR.repr(value)
    except ValueError:  # Python spells no integer of more than 4300 digits
        return "a number of thousands of digits"


def _to_plain(value: object, depth: int, parts: Iterator[int]) -> Any:
    if next(parts) >= _MAX_ITEMS or depth > _MAX_DEPTH:
        raise ValueError("too many values in each other")
    if getattr(value, "shape", None) == ():  # a number of numpy, which is not imported for this
        value = value.item()  # type: ignore[attr-defined]
    if value is None or isinstance(value, (str, bool)) or is_number(value):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_to_plain(each, depth + 1, parts) for each in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_plain(each, depth + 1, parts) for key, each in value.items()}
    raise ValueError(short_text(value))
