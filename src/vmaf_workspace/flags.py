"""What people write after a flag, as values: times, sizes, counts. Each raises UsageError, which names the flag."""

from __future__ import annotations

import re

from vmaf_workspace.errors import UsageError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def seconds(text: str, flag: str) -> float:
    """Seconds of `90s`, `15m`, `1h`, `2d`, `1w`, or a bare number of seconds."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([smhdw]?)", text.strip().lower())
    if match is None:
        raise UsageError(f"{flag}: expected a time such as 90s, 15m, 1h or 2d, got {text!r}")
    return float(match[1]) * SECONDS[match[2] or "s"]


def size_bytes(text: str, flag: str) -> int:
    """Bytes of `500M`, `1.5GiB`, or a bare number."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    if match is None:
        raise UsageError(f"{flag}: expected a size such as 500M or 1.5GiB, got {text!r}")
    return int(float(match[1]) * BYTES[match[2]])


def count(text: str, flag: str, *, of: str) -> int:
    """A number of *of*."""
    if not text.strip().isdecimal():
        raise UsageError(f"{flag}: expected a number of {of}, got {text!r}")
    return int(text)
