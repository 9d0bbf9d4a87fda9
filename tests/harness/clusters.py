"""A real Dask cluster of processes for the tests: a scheduler, and workers that can be killed, stopped and spoilt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from clips import program, wait_until

from vmaf_harness.engine.binary import Engine

PATIENCE_S = 180.0  # on a busy machine Python alone takes seconds to begin
WORKER = ("-m", "distributed.cli.dask_worker")


class DaskProcesses:
    """Start a scheduler, which writes its address into `file`; leaving kills all that is left, by its own id."""

    def __init__(self, directory: Path, **environ: str) -> None:
        """*environ* is the scheduler's."""
        self.file = directory / "scheduler.json"
        self._directory = directory
        self._started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler(**environ)

    def __enter__(self) -> DaskProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start_scheduler(self, **environ: str) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        started = self._start(
            "scheduler",
            [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"],
            ["--no-dashboard", "--scheduler-file", str(self.file)],
            environ,
        )
        wait_until(self.file.exists, PATIENCE_S)
        return started

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def worker(
        self,
        *flags: str,
        prefix: Sequence[str] = (),
        python: Sequence[str] = WORKER,
        nanny: bool = False,
        wait: bool = True,
        **environ: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, in a process group of its own; *prefix* is what it is started by."""
        name = f"w{len(self._started)}"
        place = self._directory / name
        place.mkdir()
        own = ["--name", name, "--nthreads", "1", "--no-dashboard", "--local-directory", str(place)]
        own += ["--nanny" if nanny else "--no-nanny", "--scheduler-file", str(self.file), *flags]
        started = self._start(name, [*prefix, sys.executable, *python], own, environ)
        if wait:
            wait_until(lambda: b"Registered to" in (self._directory / f"{name}.log").read_bytes(), PATIENCE_S)
        return started

    def _start(
        self, name: str, program: Sequence[str], flags: Sequence[str], environ: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("wb") as log:
            started = subprocess.Popen(
                [*program, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env={**os.environ, **environ},
                process_group=0,
            )
        self._started.append(started)
        return started


def spoilt_engine(engine: Engine, directory: Path) -> Path:
    """An ffmpeg that writes down each measurement in `measured`; one of `dis-poison…` kills whoever started it.

    One of `dis-slow…` waits until there is a file `go` in *directory*.
    """
    here = f'"{directory}"'
    return program(
        "ffmpeg",
        directory,
        f"""case "$*" in *vmaf.json*)
    for each; do case "$each" in *dis-*.mp4) echo "$each" >> {here}/measured;; esac; done
    case "$*" in *dis-poison*) kill -9 $PPID; sleep 60;; esac
    case "$*" in *dis-slow*) while [ ! -e {here}/go ]; do sleep 0.1; done;; esac;;
esac
exec "{engine.path}" "$@"
""",
    )


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
