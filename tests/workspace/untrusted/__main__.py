"""``python -m untrusted NAME COUNT [SEED]``; exit code 1 and the bytes, where a reader does what none may."""

from __future__ import annotations

import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from types import FrameType

from untrusted.readers import READERS
from untrusted.spoil import spoiled
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.wording import printable

MOST_S, MOST_BYTES = 2.0, 1 << 30


class TooSlowError(BaseException):
    """A reader took its two seconds."""


def main(words: list[str]) -> int:
    """Read so many spoiled contents; says which one a reader could not bear."""
    name, count, seed = words[0], int(words[1]), int(words[2]) if len(words) > 2 else 0
    signal.signal(signal.SIGPROF, _stop)
    with tempfile.TemporaryDirectory(prefix="vmaf-untrusted-") as directory:
        place = READERS[name](Path(directory))
        rights = place.rights()
        for right in rights:
            place.file.write_bytes(right)
            try:
                place.read()
            except WorkspaceError as error:
                raise AssertionError("a content that is right was refused") from error
        _limit_memory()
        values = 0
        for n in range(count):
            dice = random.Random(f"{name} {seed} {n}")
            content = spoiled(dice.choice(rights), dice)
            place.file.write_bytes(content)
            signal.setitimer(signal.ITIMER_PROF, MOST_S)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    place.read()
                values += 1
            except WorkspaceError as error:
                printable(str(error)).encode()
            except BaseException as error:
                signal.setitimer(signal.ITIMER_PROF, 0)
                print(f"{name}, number {n} of seed {seed}: {type(error).__name__}\n{content[:2000]!r}")
                traceback.print_exc(file=sys.stdout)
                return 1
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    print(f"{name}: {count} read, {values} had a value")
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TooSlowError(f"more than {MOST_S} s of processor time")


def _limit_memory() -> None:
    status = Path("/proc/self/status")
    if status.exists():
        size_kib = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmSize"))
        most = size_kib * 1024 + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
