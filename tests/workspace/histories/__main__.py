"""``python -m histories COUNT SEED``: run so many random histories, from this seed on; 1 where one broke a promise.

``python -m histories NAME``: run one of `named`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from histories.named import NAMED, each
from histories.shrink import failure, shrunk
from histories.step import history
from histories.world import World

JOBS = min(2, len(os.sched_getaffinity(0)))
MOST = 3  # that are shrunk and shown, for each promise


def main(words: list[str]) -> int:
    """Run what is asked for; says what broke."""
    shm = Path("/dev/shm")  # noqa: S108  # in memory, where a flush costs nothing; nothing in it is predictable
    top = Path(tempfile.mkdtemp(prefix="vmaf-histories-", dir=shm if os.access(shm, os.W_OK) else None))
    try:
        if words[0] in NAMED:
            _let_threads_work()
            return _named(words[0], top)
        return _random(int(words[0]), int(words[1]), top)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _named(name: str, top: Path) -> int:
    for history_ in each(NAMED[name]):
        found = failure(history_, top)
        if found is not None:
            print(f"{found.history}\n=> {found.text}")
            return 1
        if World.outlived:  # it will not write more often
            break
    return 0


def _random(count: int, first: int, top: Path) -> int:
    began_s = time.monotonic()
    children = [_child(range(first + k, first + count, JOBS), top) for k in range(JOBS)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    print(f"{count} histories, {count / (time.monotonic() - began_s):.1f} a second, shrinking included")
    return max(map(abs, codes))


def _child(seeds: range, top: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 2
    try:
        _let_threads_work()
        code = _run(seeds, top)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _let_threads_work() -> None:
    """Our commands do not fork where there is a second thread, which is faster; a killed one is a fork, and does."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def _run(seeds: range, top: Path) -> int:
    shown: dict[str, int] = {}
    for seed in seeds:
        found = failure(history(seed), top)
        if found is None:
            continue
        shown[found.rule] = shown.get(found.rule, 0) + 1
        if shown[found.rule] <= MOST:
            least = shrunk(found, top)
            print(f"\n--- seed {seed} ---\n{least.history}\n=> {least.text}", flush=True)
    for rule, n in sorted(shown.items()):
        print(f"broken by {n} of {len(seeds)} histories: {rule}", flush=True)
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
