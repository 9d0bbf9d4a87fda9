"""Which ffmpeg measures: `VMAF_FFMPEG`, the one on PATH if it has libvmaf, else the one that imageio-ffmpeg brings."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmaf_harness.errors import EngineError
from vmaf_workspace.whole import write_whole

VARIABLE = "VMAF_FFMPEG"
REMEDY = f"install imageio-ffmpeg (its ffmpeg has libvmaf), or set {VARIABLE} to an ffmpeg with libvmaf (5.1 or later)"
PROBE_S = 60.0  # a probe takes 0.02 s; on a cold network disk the binary's 170 MB come first

# One frame through libvmaf: shows that the filter works, and its version, which no listing tells. ffmpeg's own
# version is in its banner.
_PROBE = (
    *("-nostdin", "-f", "lavfi", "-i", "color=s=64x64:d=0.04", "-filter_complex"),
    "[0]split[a][b];[a][b]libvmaf=model=:feature=name=psnr:log_fmt=json:log_path=/dev/stdout",
    *("-f", "null", "-"),
)


@dataclass(frozen=True, slots=True)
class Engine:
    """An ffmpeg that measures, with the versions that may change a number."""

    path: str
    ffmpeg: str
    libvmaf: str

    @property
    def versions(self) -> dict[str, str]:
        """What a stored result depends on."""
        return {"ffmpeg": self.ffmpeg, "libvmaf": self.libvmaf}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a binary answered; believed as long as its file is the same."""

    size: int
    mtime_ns: int
    ffmpeg: str
    libvmaf: str
    problem: str  # blank, or why it cannot measure


class Engines:
    """Finds the engine, and remembers what a binary answered, so that a run without work starts none.

    `memory` is a JSON file; it is read when asked, and written only by `remember`.
    """

    def __init__(self, memory: Path | None = None) -> None:
        """Nothing is read or started yet."""
        self._memory = memory
        self._answers: dict[str, _Answer] | None = None
        self._is_new = False

    def find(self) -> Engine:
        """Return the engine; EngineError, with the remedy, where there is none that has libvmaf."""
        problems = []
        for path, wanted in _candidates():
            answer = self._ask(path)
            if not answer.problem:
                return Engine(path, answer.ffmpeg, answer.libvmaf)
            problems.append(answer.problem)
            if wanted:
                raise EngineError(f"{VARIABLE} names {path}, which cannot measure: {answer.problem}\n{REMEDY}")
        if problems:
            raise EngineError("\n".join([*problems, REMEDY]))
        raise EngineError(f"no ffmpeg found: neither on PATH, nor imageio-ffmpeg's\n{REMEDY}")

    def remember(self) -> None:
        """Write down what was learned; silently not where that cannot be written."""
        if not self._is_new or self._memory is None or self._answers is None:
            return
        with suppress(OSError):
            write_whole(self._memory, json.dumps({p: asdict(a) for p, a in self._answers.items()}).encode() + b"\n")
        self._is_new = False

    def _ask(self, path: str) -> _Answer:
        if self._answers is None:
            self._answers = _read(self._memory)
        try:
            status = os.stat(path)
        except OSError as error:
            return _Answer(0, 0, "", "", f"{path}: {error.strerror}")
        known = self._answers.get(path)
        if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return known
        answer = self._answers[path] = _Answer(status.st_size, status.st_mtime_ns, *_probe(path))
        self._is_new = True
        return answer


def _candidates() -> Iterator[tuple[str, bool]]:
    """Paths in order of preference, and whether a person asked for this one."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        path = shutil.which(os.path.expanduser(named))
        if path is None:
            raise EngineError(f"{VARIABLE} names {named!r}, which is no program that can be started\n{REMEDY}")
        yield os.path.abspath(path), True
        return
    if (path := shutil.which("ffmpeg")) is not None:
        yield os.path.abspath(path), False
    if (path := _bundled()) is not None:
        yield path, False


def _bundled() -> str | None:
    """imageio-ffmpeg's binary, found without importing it: its own look-up starts the binary each time."""
    spec = find_spec("imageio_ffmpeg")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(place, "binaries").glob("ffmpeg-*")):
            if os.access(binary, os.X_OK):
                return str(binary)
    return None


def _probe(path: str) -> tuple[str, str, str]:
    """Versions of ffmpeg and libvmaf, and the problem with it; blank where unknown, or where there is none."""
    arguments = [path, *_PROBE]
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", "", f"{shlex.join(arguments)}\ncould not be run: {error}"
    version = re.search(r"^ffmpeg version (\S+)", done.stderr, re.MULTILINE)
    ffmpeg = version[1] if version else "unknown"
    libvmaf = re.search(r'"version": "([^"]*)"', done.stdout)
    if done.returncode == 0 and libvmaf:
        return ffmpeg, libvmaf[1], ""
    last = "\n".join(done.stderr.splitlines()[-10:])
    why = "has no libvmaf" if "No such filter: 'libvmaf'" in done.stderr else "failed on one frame"
    return ffmpeg, "", f"{path} {why}: {shlex.join(arguments)}\nexit code {done.returncode}; last lines:\n{last}"


def _read(memory: Path | None) -> dict[str, _Answer]:
    if memory is None:
        return {}
    try:
        data: dict[str, Any] = json.loads(memory.read_bytes())
        return {path: _Answer(**answer) for path, answer in data.items()}
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # a memory that cannot be read is no memory
        return {}
