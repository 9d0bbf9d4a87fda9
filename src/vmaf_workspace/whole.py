"""Files that are there whole or not at all: written to a temporary sibling, which then takes the name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Make *path* hold *content*, or leave it as it was; OSError where it cannot be written."""
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A sibling to write to: it becomes *path* when the block ends, and is gone where the block fails.

    Named `.<stem>.<8 hex digits>.tmp`, the stem shortened to 200 bytes.
    """
    stem = os.fsdecode(os.fsencode(path.stem)[:200])
    temporary = path.with_name(f".{stem}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
