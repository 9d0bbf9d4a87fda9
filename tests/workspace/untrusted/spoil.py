"""Content that was right, spoiled: bits, cuts, tokens that break parsers, values that no program expects."""

from __future__ import annotations

import json
import random
from typing import Any

NUMBERS = ("1e999", "-1", "9" * 5000, "1" * 400, "NaN", "-Infinity", "1e-400", "0x7f", "18446744073709551616", "2**63")
TOKENS = (
    *NUMBERS,
    "\ud800",
    "\\ud800",
    "\0",
    "[" * 3000,
    "(" * 300 + ")" * 300,
    "{" * 3000,
    "-" * 9000 + "1",
    "not " * 2000 + "1",
    "x" * 100_000,
    "../../../etc/passwd",
    "/dev/zero",
    "null",
    "{}",
    "[]",
    "''",
    '"',
    "\r\n",
    "\u2028",
    "\ufeff",
    "lambda: 1",
    "__import__('os').abort()",
    "'%' * 10**9",
    "10 ** 10 ** 10",
    "[0] * 10**10",
    "<!ENTITY a '&a;&a;'>",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 1e-320, 10**400, -(2**63) - 1, float("nan"), float("inf")),
    *("", "\ud800", "\0", "x" * 100_000, "../..", "/", "nan", "1", [], {}, [[]], [None], {"": None}, [1] * 1000),
    [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]],
)


def spoiled(content: bytes, dice: random.Random) -> bytes:
    """*content* with one to four faults in it; what is JSON gets strange values in half of all cases."""
    if dice.random() < 0.5:
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            pass
        else:
            for _ in range(dice.choice((1, 1, 2, 3))):
                data = _with_strange_value(data, dice)
            return json.dumps(data).encode("utf-8", "surrogatepass") + b"\n"
    for _ in range(dice.choice((1, 1, 2, 4))):
        content = dice.choice((_flip, _cut, _token, _repeat, _swap))(content, dice)
    return content


def _with_strange_value(data: Any, dice: random.Random) -> Any:
    if isinstance(data, dict) and data and dice.random() < 0.9:
        key = dice.choice(list(data))
        if dice.random() < 0.15:
            return {name: value for name, value in data.items() if name != key}
        return {**data, key: _with_strange_value(data[key], dice)}
    if isinstance(data, list) and data and dice.random() < 0.9:
        n = dice.randrange(len(data))
        return [*data[:n], _with_strange_value(data[n], dice), *data[n + 1 :]]
    return dice.choice(VALUES)


def _flip(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(dice.randint(1, 8)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randint(0, len(content))]


def _token(content: bytes, dice: random.Random) -> bytes:
    """A token where one stands already, or anywhere."""
    token = dice.choice(TOKENS).encode("utf-8", "surrogatepass")
    places = [n for n, byte in enumerate(content) if byte in b"0123456789'\"[{=:, \n"] or [0]
    start = dice.choice(places) if dice.random() < 0.8 else dice.randint(0, len(content))
    end = start + dice.choice((0, 0, 1, 2, 8))
    return content[:start] + token + content[end:]


def _repeat(content: bytes, dice: random.Random) -> bytes:
    start = dice.randint(0, len(content))
    part = content[start : start + dice.randint(1, 200)]
    return content[:start] + part * dice.choice((2, 3, 50, 2000)) + content[start:]


def _swap(content: bytes, dice: random.Random) -> bytes:
    one, other = sorted((dice.randint(0, len(content)), dice.randint(0, len(content))))
    return content[other:] + content[one:other] + content[:one]
