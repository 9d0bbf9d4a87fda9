"""What is promised, what was measured of it, and the table of both."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
VERSION = 1  # of the JSON object
PERFORMANCE = Path(__file__).parents[3] / "docs" / "performance.md"
MET, NOT_MET, PEER_MISSING, NO_BOUND = "met", "not met", "peer missing", "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a measurement must reach: a ratio of its seconds to its peer's, and perhaps a peak of memory."""

    what: str
    peer: str  # a command, or a number of seconds
    ratio: float
    at_least: bool = False  # the ratio is a gain, which must reach this
    peak_bytes: int | None = None
    from_n: int = 0  # files, runs or assets from which on it holds: below, the start of Python is most of it

    def __str__(self) -> str:
        memory = "" if self.peak_bytes is None else f", <= {self.peak_bytes / 1e6:.0f} MB"
        return f"{'>=' if self.at_least else '<='} {self.ratio:g}{memory}"


def _schedule(name: str) -> Bound:
    return Bound(what="36 encodes of 3 references, 720p", peer=f"bare ffmpeg, {name}", ratio=1.05)


BOUNDS = {
    "migrate out": Bound(what="migrate 2 GB, disk to tmpfs", peer="`cp -a` and `rm -rf`", ratio=2.0),
    "migrate in": Bound(what="migrate 2 GB, tmpfs to disk", peer="`cp -a` and `rm -rf`", ratio=2.0),
    "training": Bound(what="training on 1000 stored clips", peer="scikit-learn on a loaded table", ratio=1.3),
    "features loaded": Bound(what="of which features are loaded", peer="0.5 s", ratio=1.0),
    "bootstrap": Bound(what="20 bootstrap models, one thread", peer="a thread a core", ratio=1.7, at_least=True),
    "backup": Bound(what="first backup of 5000 files, disk", peer="restic or borg, the faster", ratio=1.0),
    "backup again": Bound(what="second backup of them", peer="restic or borg, the faster", ratio=0.5),
    "backup tmpfs": Bound(what="first backup of 5000 files, tmpfs", peer="restic or borg, the faster", ratio=1.0),
    "backup again tmpfs": Bound(what="second backup of them, tmpfs", peer="restic or borg, the faster", ratio=0.5),
    "verify": Bound(what="verify of them", peer="`sha256sum`", ratio=1.2),
    "restore": Bound(what="restore of them", peer="`cp -a`", ratio=1.2),
    "encode 1 by 1": _schedule("one an encode, one at a time"),
    "encode cores": _schedule("one an encode, one a core"),
    "encode shared 1": _schedule("one a reference, one at a time"),
    "encode shared": _schedule("one a reference, one a core"),
    "encode again": Bound(what="the same, there already", peer="1 s", ratio=1.0),
    "extraction": Bound(what="extraction of 12 × 1080p × 48", peer="bare ffmpeg a pair, its best schedule", ratio=0.97),
    "extraction again": Bound(what="the same, cached", peer="1 s", ratio=1.0),
    "cached": Bound(what="`run_testing` of 10 000 stored", peer="1.5 s", ratio=1.0),
    "cluster": Bound(what="24 × 1080p × 48 on two workers", peer="two processes here", ratio=1.05),
    "cluster task": Bound(what="a task that does nothing, there", peer="20 ms", ratio=1.0),
    "where": Bound(what="`invoke ws.where`", peer="an Invoke task that does nothing", ratio=1.3),
    "status": Bound(what="`ws.status` of 100 000 files", peer="`du -s`", ratio=1.8, peak_bytes=80_000_000),
    "clean tmpfs": Bound(what="clean 50 000 files, tmpfs", peer="`rm -rf`", ratio=2.5),
    "clean disk": Bound(what="clean 50 000 files, disk", peer="`rm -rf`", ratio=0.4),
    "clean allocated": Bound(what="clean 5 × 1 GiB, allocated", peer="`rm -rf`", ratio=1.0),
    "clean written": Bound(what="clean 5 × 1 GiB, written", peer="`rm -rf`", ratio=1.0),
    # `nox -s scale`
    "results status": Bound(what="`ws.status`", peer="`du -s`", ratio=2.0, peak_bytes=250_000_000, from_n=1_000_000),
    "results plan": Bound(
        what="`ws.purge-cache --max-size --dry-run`",
        peer="`find -printf` of the same fields",
        ratio=3.0,
        peak_bytes=250_000_000,
        from_n=1_000_000,
    ),
    "results purge": Bound(
        what="`ws.purge-cache` by age", peer="`find -delete`", ratio=0.5, peak_bytes=250_000_000, from_n=1_000_000
    ),
    "runs clean": Bound(what="`ws.clean-scratch` of run directories", peer="`rm -rf`", ratio=1.0, from_n=10_000),
    "cached run": Bound(what="`run_testing`, all stored", peer="0.15 ms an asset", ratio=1.0, from_n=10_000),
    "snapshot": Bound(what="`ws.backup-models`, nothing changed", peer="restic", ratio=0.5, from_n=10_000),
    "verify all": Bound(what="`ws.verify`", peer="`sha256sum`", ratio=1.2, from_n=10_000),
    "forget": Bound(what="`ws.forget` and `ws.prune` of snapshots", peer="restic", ratio=1.0, from_n=100),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement: medians in seconds, of several runs."""

    key: str
    n: int | None  # of what it was done to, where that was varied
    ours_s: float
    peer_s: float | None
    spread_s: tuple[float, float]
    peak_bytes: int | None
    growth: float | None  # seconds, for each tenfold of *n*: 10 is linear
    verdict: str
    note: str

    @property
    def bound(self) -> Bound:
        """What it must reach."""
        return BOUNDS[self.key]


class Record:
    """The measurements of one run, printed as they come."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(
        self,
        key: str,
        ours: Sequence[float],
        peer: Sequence[float],
        *,
        n: int | None = None,
        peak_bytes: int | None = None,
        note: str = "",
    ) -> None:
        """One more: *ours* and *peer* in seconds; no *peer* where there is none on this machine."""
        bound = BOUNDS[key]
        ours_s, peer_s = statistics.median(ours), statistics.median(peer) if peer else None
        before = next((row for row in reversed(self.rows) if row.key == key and row.n and n and row.n < n), None)
        growth = None
        if before is not None and before.n and n:
            growth = 10 ** (math.log(ours_s / before.ours_s) / math.log(n / before.n))
        row = Row(
            key=key,
            n=n,
            ours_s=ours_s,
            peer_s=peer_s,
            spread_s=(min(ours), max(ours)),
            peak_bytes=peak_bytes,
            growth=growth,
            verdict=verdict(bound, ours_s, peer_s, peak_bytes, n),
            note=note,
        )
        self.rows.append(row)
        print(" | ".join(_cells(row)), file=sys.stderr, flush=True)

    def as_json(self) -> str:
        """One object: the machine, and a row a measurement with what it must reach."""
        rows = [asdict(row) | {"bound": asdict(row.bound), "must_be": str(row.bound)} for row in self.rows]
        return json.dumps({"version": VERSION, "task": "performance", "machine": machine(), "measured": rows}, indent=1)

    def as_table(self) -> str:
        """A table in Markdown, which people read as it is, too."""
        cells = [list(HEADER), *(_cells(row) for row in self.rows)]
        widths = [max(len(line[n]) for line in cells) for n in range(len(HEADER))]
        lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        return "\n".join(f"| {line} |" for line in (lines[0], " | ".join("-" * width for width in widths), *lines[1:]))

    def write(self, section: str, command: str) -> None:
        """Put the table into its section of `docs/performance.md`; the others stay."""
        about = "\n".join(f"- {name}: {value}" for name, value in machine().items())
        text = PERFORMANCE.read_text(encoding="utf-8") if PERFORMANCE.exists() else _INTRODUCTION
        begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
        made = f"{begin}\n## `{command}`\n\n{about}\n\n{self.as_table()}\n{end}"
        before, found, rest = text.partition(begin)
        text = before + made + rest.partition(end)[2] if found else f"{text.rstrip()}\n\n{made}\n"
        PERFORMANCE.parent.mkdir(exist_ok=True)
        PERFORMANCE.write_text(text, encoding="utf-8")


HEADER = ("measured", "of", "ours", "against", "peer", "ratio", "must be", "peak", "× for ten times", "verdict", "")
_INTRODUCTION = """# Performance: what was measured, against what, on what

Written by `nox -s bench -- --write` and `nox -s scale -- --write`: each number here is of one run on one machine, ours
and the peer's in turn. Read the ratios; the seconds are those of that machine on that day. *peer missing*: the program
to compare with was not installed there.
"""


def verdict(bound: Bound, ours_s: float, peer_s: float | None, peak_bytes: int | None, n: int | None) -> str:
    """Whether *bound* is kept; that is not asked of fewer than it holds for."""
    if n is not None and n < bound.from_n:
        return NO_BOUND
    if bound.peak_bytes is not None and (peak_bytes or 0) > bound.peak_bytes:
        return NOT_MET
    if peer_s is None:
        return PEER_MISSING
    ratio = ours_s / peer_s
    return MET if (ratio >= bound.ratio if bound.at_least else ratio <= bound.ratio) else NOT_MET


def machine() -> dict[str, str]:
    """What the numbers are of."""
    model = platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{len(os.sched_getaffinity(0))} × {model}",
        "load": f"{os.getloadavg()[0]:.1f} processes ready to run, ours included",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
    }


def _cells(row: Row) -> list[str]:
    bound = row.bound
    return [
        bound.what,
        "" if row.n is None else f"{row.n:,}".replace(",", " "),
        f"{row.ours_s:.3f} s",
        bound.peer,
        "" if row.peer_s is None else f"{row.peer_s:.3f} s",
        "" if row.peer_s is None else f"{row.ours_s / row.peer_s:.2f}",
        str(bound),
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f} MB",
        "" if row.growth is None else f"{row.growth:.1f}",
        row.verdict,
        row.note,
    ]


# A small process in between: the peak of a child begins with that of its parent, and this one has grown to 300 MB.
_MEASURED = """
import os, sys, time
report, *words = sys.argv[1:]
began = time.perf_counter()
pid = os.posix_spawnp(words[0], words, os.environ)
_, status, usage = os.wait4(pid, 0)
os.write(int(report), b"%r %d" % (time.perf_counter() - began, usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""


class Timed:
    """Wall seconds and peak memory of one command."""

    def __init__(self, *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
        """Run *command* to its end; a failure ends the measurement with its output."""
        words = [os.fspath(part) for part in command]
        with tempfile.TemporaryFile() as report:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _MEASURED, str(report.fileno()), *words],
                cwd=cwd,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[report.fileno()],
                check=False,
            )
            self.output = done.stdout
            if done.returncode:
                sys.exit(f"{command} exited {done.returncode}:\n{self.output.decode(errors='replace')}")
            report.seek(0)
            wall_s, peak_kb = report.read().split()
        self.wall_s, self.peak_bytes = float(wall_s), int(peak_kb) * 1024


@contextmanager
def place_in(parent: Path) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="vmaf-ws-bench-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def finish(record: Record, *, as_json: bool, write: bool, section: str, command: str) -> None:
    """Print what was measured, and write it down where that is wanted."""
    print(record.as_json() if as_json else record.as_table())
    if write:
        record.write(section, command)


def flags(parser: Any) -> None:
    """What `bench` and `scale` both take."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
