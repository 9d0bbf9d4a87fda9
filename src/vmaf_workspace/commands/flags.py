"""What a flag is, and how what people write after it becomes a value; what is none raises UsageError, which names it.

A number without a unit is refused: other tools take it for seconds, hours, days or bytes. So is `m`, which is minutes
in some and months in restic, whose words ours are.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

Kind = Callable[[str, str], Any]  # text, flag -> value


def text(text: str, flag: str) -> str:  # noqa: ARG001  # a kind like the others
    """What was written."""
    return text


def path(text: str, flag: str) -> Path:  # noqa: ARG001
    """A path, with `~` as a shell has it: after `--dataset=` no shell expands it."""
    return Path(os.path.expanduser(text))


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


def seconds_or_0(text: str, flag: str) -> float:
    """As `seconds`; a bare 0, which is the same in every unit, too."""
    return 0.0 if text.strip() == "0" else seconds(text, flag)


def size_bytes(text: str, flag: str) -> int:
    """Bytes of `500M`, `1.5GiB` or `100B`; each letter is 1024 times the one before."""
    match = re.fullmatch(rf"({_NUMBER})\s*(?:([KMGT])(?:I?B)?|(B))?", text.strip().upper())
    if match is None:
        raise UsageError(f"{flag}: expected a size such as 500M or 1.5GiB, got {text!r}")
    if not (match[2] or match[3]):
        raise UsageError(f"{flag}: {text!r} needs a unit: B, K, M, G, T")
    return int(float(match[1]) * BYTES[match[2] or ""])


def integer(least: int, most: int | None = None) -> Kind:
    """An integer from *least* on, to *most*."""

    def kind(text: str, flag: str) -> int:
        number = int(text) if re.fullmatch(r"\s*[0-9]{1,18}\s*", text) else -1
        if number < least or (most is not None and number > most):
            expected = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise UsageError(f"{flag}: expected an integer {expected}, got {text!r}")
        return number

    return kind


def number(text: str, flag: str) -> float:
    """A finite number."""
    with suppress(ValueError):
        if math.isfinite(float(text)):
            return float(text)
    raise UsageError(f"{flag}: expected a number, got {text!r}")


def inches(text: str, flag: str) -> tuple[float, float]:
    """Width and height of a plot, each up to 100 inches: `5x5`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text)
    if match is None or not all(0 < float(side) <= 100 for side in match.groups()):
        raise UsageError(f"{flag}: expected inches as WxH, such as 5x5, got {text!r}")
    return float(match[1]), float(match[2])


class Choice:
    """One of *known*, which is called when there is something to check: the module that knows may load slowly.

    *ending* may stand behind it. No dataclass: making one takes a hundredth of a start.
    """

    def __init__(self, known: Callable[[], Collection[str]], ending: str = "") -> None:
        """Nothing is called yet."""
        self.known, self.ending = known, ending

    def __call__(self, text: str, flag: str) -> str:
        """The one that *text* is. Raises UsageError, which names a near one, where it is none."""
        word, known = text.rstrip(self.ending) if self.ending else text, self.known()
        if word not in known:
            raise UsageError(f"{flag}: expected one of {', '.join(known)}, got {word!r}{meant(word, known)}")
        return word


def choice(known: Callable[[], Collection[str]]) -> Kind:
    """One of *known*."""
    return Choice(known)


def meant(word: str, known: Collection[str]) -> str:
    """`; is clean-scratch meant?`: those of *known* that are longer or shorter than *word*, else a close one."""
    from difflib import get_close_matches

    tail = word.lstrip("-")
    if not tail:
        return ""
    longer = [each for each in known if each.endswith(f"-{tail}") or each.startswith(f"{word}-")]
    shorter = [each for each in known if word.endswith(f"-{each.lstrip('-')}")]
    found = longer or shorter or get_close_matches(word, known, n=1)
    return f"; is {' or '.join(found)} meant?" if found else ""


def subdirectory(*known: str) -> Kind:
    """One of *known*, also with a slash at its end, as shells complete it."""
    return Choice(lambda: known, ending="/")


def listed(text: str) -> list[str]:
    """The words of *text*, separated by blanks or commas."""
    return text.replace(",", " ").split()


def shell_words(text: str, flag: str) -> list[str]:
    """The words of *text* as a shell parts them."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error} in {text!r}; quote it as for a shell") from error


@dataclass(frozen=True, slots=True)
class Flag:
    """What a parameter's annotation says beside its type: `Annotated[int, Flag("how many", integer(1))]`.

    *several* values stand in one text, parted by blanks or commas; where *quoted*, as a shell parts them; where
    *repeated*, the flag is given again for each. *also* is
    another name of it on a command line. A parameter without a default has to be given. *metavar* says what stands
    after the flag; *default* and *env*, for people, what holds where it is not given, and the variable that is asked.
    """

    help: str
    kind: Kind = text
    positional: int = 0  # from 1: words without a flag fill places in the order of these numbers
    several: bool = False
    quoted: bool = False
    repeated: bool = False
    metavar: str = ""
    also: str = ""
    default: str = ""
    env: str = ""

    def value(self, name: str, given: Any) -> Any:
        """What was *given* for the flag *name*, as its function takes it: text, a number, a path, or a list of these.

        Raises UsageError for what is none of these, and for a blank text: a shell variable that is not set must not
        mean "everything".
        """
        is_list = isinstance(given, (list, tuple, set, frozenset))
        words = [_word(name, word) for word in (given if is_list else [given])]
        if isinstance(given, (set, frozenset)):
            words.sort()
        if self.kind is shell_words and is_list:
            return words
        if self.repeated:
            pass  # each is a word of its own, with the blanks in it
        elif self.several and not self.quoted:
            words = [part for word in words for part in listed(word)]
        elif self.several and not is_list:
            words = shell_words(words[0], name)
        if self.positional and words and words[0].startswith("-"):
            raise UsageError(f"{name}: {words[0]!r} looks like a flag; write ./{words[0]} for a file")
        if len(words) != 1 and not (self.several and words):
            raise UsageError(f"{name}: expected one value, got {len(words)}")
        values = tuple(self.kind(word, name) for word in words)
        return values if self.several else values[0]


def _word(name: str, given: Any) -> str:
    if isinstance(given, (os.PathLike, bytes)):
        given = os.fsdecode(given)
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str):
        raise UsageError(f"{name}: expected text, a number or a path, got {given!r}")
    if not given.strip():
        raise UsageError(f"{name}: blank; leave the flag out, or give it a value")
    return given
