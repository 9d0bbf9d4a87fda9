"""One of several parts of a command's work, where machines share nothing but the workspace: an array job's task.

Every part stores what it makes. Whatever parts were run, in whatever order, twice or never: the same command without a
part does what is left, and writes what the whole is for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vmaf_workspace.errors import UsageError

Item = TypeVar("Item")
AUTO = "auto"
_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
_AWS = ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")


class PartDone(Exception):  # noqa: N818  # no error
    """A part is done, and what it was to be a part of is not whole yet."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, from 1, of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def takes(self, index: int) -> bool:
        """Whether the item of this index is of this part."""
        return index % self.of == self.number - 1

    def part(self, items: Sequence[Item]) -> list[Item]:
        """Every `of`-th of *items*, so that what lies together, and takes equally long, is dealt out."""
        return [item for index, item in enumerate(items) if self.takes(index)]


def read_shard(text: str, flag: str, environ: Mapping[str, str]) -> Shard:
    """The shard that ``I/N`` means, or that the variables of an array job say for ``auto``; UsageError for none.

    Slurm numbers the tasks of an array as people like (``--array=0-7``, ``1-8``, ``2-16:2``); AWS Batch begins at 0.
    """
    if text != AUTO:
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{flag}: expected I/N, with I from 1 to N, such as 3/8, or {AUTO}, got {text!r}")
        return Shard(int(match[1]), int(match[2]))
    for names, first, step in (
        (_SLURM, environ.get("SLURM_ARRAY_TASK_MIN", "0"), environ.get("SLURM_ARRAY_TASK_STEP", "1")),
        (_AWS, "0", "1"),
    ):
        words = [environ.get(name, "") for name in names]
        if not words[0]:
            continue
        if not all(re.fullmatch(r"[0-9]{1,9}", word) for word in (*words, first, step)) or int(step) < 1:
            raise UsageError(f"{flag} {AUTO}: {names[0]} is {words[0]!r}, but {names[1]} is {words[1]!r}; give I/N")
        place, count = int(words[0]) - int(first), int(words[1])
        if place % int(step) or not 0 <= place // int(step) < count:
            raise UsageError(
                f"{flag} {AUTO}: task {words[0]} of {count} from {first} on: an array with gaps; give I/N instead"
            )
        return Shard(place // int(step) + 1, count)
    raise UsageError(f"{flag} {AUTO}: this is no task of an array: neither {_SLURM[0]} nor {_AWS[0]} is set; give I/N")
