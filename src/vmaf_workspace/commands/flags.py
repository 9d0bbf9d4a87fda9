"""What people write after a flag, as values: times, sizes, counts. Each raises UsageError, which names the flag.

A number without a unit is refused: other tools take it for seconds, hours, days or bytes. So is `m`, which is minutes
in some and months in restic, whose words ours are.
"""

from __future__ import annotations

import re

from vmaf_workspace.errors import UsageError

SECONDS = {
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 7 * 86400.0,
    "mo": 31 * 86400.0,  # what is kept for a month or a year is never kept for less than by the calendar
    "y": 366 * 86400.0,
}
UNITS = "s, min, h, d, w, mo (31 days), y (366 days)"
BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]+)?"


def seconds(text: str, flag: str) -> float:
    """Seconds of `90s`, `15min`, `1h`, `2d`, `1w`, `6mo`, `1y`, or of several, as in `1y6mo`."""
    found = re.findall(rf"({_NUMBER})\s*([a-z]*)\s*", text.strip().lower())
    if "".join(number + unit for number, unit in found) != re.sub(r"\s", "", text.lower()) or not found:
        raise UsageError(f"{flag}: expected a time such as 90s, 15min, 1h, 2d or 6mo, got {text!r}")
    for number, unit in found:
        if unit == "m":
            raise UsageError(f"{flag}: {text!r} may be minutes or months; write {number}min or {number}mo")
        if not unit:
            raise UsageError(f"{flag}: {text!r} needs a unit: {UNITS}")
        if unit not in SECONDS:
            raise UsageError(f"{flag}: {unit!r} is no unit of time; there are {UNITS}")
    return sum(float(number) * SECONDS[unit] for number, unit in found)


def size_bytes(text: str, flag: str) -> int:
    """Bytes of `500M`, `1.5GiB` or `100B`; each letter is 1024 times the one before."""
    match = re.fullmatch(rf"({_NUMBER})\s*(?:([KMGT])(?:I?B)?|(B))?", text.strip().upper())
    if match is None:
        raise UsageError(f"{flag}: expected a size such as 500M or 1.5GiB, got {text!r}")
    if not (match[2] or match[3]):
        raise UsageError(f"{flag}: {text!r} needs a unit: B, K, M, G, T")
    return int(float(match[1]) * BYTES[match[2] or ""])


def count(text: str, flag: str, *, of: str) -> int:
    """A number of *of*."""
    if not text.strip().isdecimal():
        raise UsageError(f"{flag}: expected a number of {of}, got {text!r}")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names of subdirectories, separated by blanks or commas, each once, without a slash at its end."""
    return tuple(dict.fromkeys(name.rstrip("/") for name in text.replace(",", " ").split()))
