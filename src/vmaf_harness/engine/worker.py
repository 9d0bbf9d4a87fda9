"""What a worker of a Dask cluster does for us: it shows that it is fit, then runs tasks, each in scratch of its own.

Nothing here imports Dask at load: it is imported where a worker is running anyway.
"""

from __future__ import annotations

import os
import pickle
import platform
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vmaf_harness.engine.binary import Engine, find_same_engine
from vmaf_harness.engine.ffmpeg import Processes, StoppedError
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_workspace.live.lock import Run

PACKAGE = "vmaf-workspace"
MOUNT_PATIENCE_S = 10.0  # a network mount shows a new file late: NFS remembers that a name is missing for seconds
_LOOKS_EVERY_S = 0.5


class ClusterError(HarnessError):
    """The cluster, not one job, is what fails: no scheduler, no worker, or one that is not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a worker must have so that its numbers are those of this process."""

    libraries: tuple[str, ...] = ()  # that must have the version that they have here
    engine: Engine | None = None
    check: Callable[[Engine], object] | None = None  # raises HarnessError where the worker's ffmpeg lacks something


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What tasks of one kind share; `directory` is scratch of the run, where each task says that it has begun.

    `nonce` is a file there, and `word` is what is written in it.
    """

    root: Path  # the workspace
    command: str
    directory: Path
    nonce: Path
    word: str
    versions: tuple[tuple[str, str], ...]  # of Python packages
    engine: Engine | None
    check: bytes  # of `Needs`, pickled


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What a worker said of itself: its host, what stands against it, its ffmpeg, and the file that it wrote."""

    host: str
    problems: tuple[str, ...]
    engine: str = ""
    reply: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs: the ffmpegs are ended with it, and so is the scratch that it asks for."""

    processes: Processes
    engine: str  # path of the ffmpeg on this host; blank where no ffmpeg is needed
    run: Run


@dataclass(frozen=True, slots=True)
class Ended:
    """What a task made, or the error that is its own."""

    made: Any
    error: HarnessError | None = None


def dask_setup(_: object) -> None:
    """Of a worker that this program starts itself: Ctrl-C in a terminal is for the program, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def versions_of(libraries: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The versions of this package and of *libraries* in this process; blank where one is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # 15 ms, for which only a cluster asks

    found = []
    for name in (PACKAGE, *libraries):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, ""))
    return tuple(found)


_FITNESS: dict[Session, Fitness] = {}
_CHECKING = threading.Lock()


def fitness(session: Session) -> Fitness:
    """Whether this process is fit for the tasks of *session*; found out once."""
    with _CHECKING:
        if session not in _FITNESS:
            _FITNESS[session] = _found_fitness(session)
        return _FITNESS[session]


async def fitness_beside(session: Session) -> Fitness:
    """The same, in a thread, so that the worker's own loop goes on."""
    import asyncio

    return await asyncio.to_thread(fitness, session)


def run_task(session: Session, key: str, work: bytes, job: bytes) -> Ended:
    """Do one job on a worker: ``work(job, place)``, both pickled.

    They are loaded only once this worker is known to be fit: another version of ours would fail in the loading, with a
    traceback instead of what to install. That opens nothing: Dask itself loads and calls whatever it is sent.
    A HarnessError is the job's own and comes back as a value; ClusterError is raised where this worker is not fit.
    """
    here = fitness(session)
    if here.problems:
        raise ClusterError(unfit_text(here.host, here.problems))
    try:
        (session.directory / f"{key}@{here.host}@{uuid.uuid4().hex}").touch()
    except FileNotFoundError:  # the run is over, and its scratch is gone: nobody waits for this
        return Ended(None, StoppedError("the run is over"))
    except OSError as error:
        return Ended(None, EngineError(f"{here.host}: cannot write {session.directory}: {error.strerror}"))
    with Processes() as processes, Run(session.root, command=session.command) as run, _stopped_unless_wanted(processes):
        try:
            return Ended(pickle.loads(work)(pickle.loads(job), Place(processes, here.engine, run)))  # noqa: S301
        except StoppedError as error:
            _reschedule_if_leaving()
            return Ended(None, error)
        except EngineError as error:
            error.args = (f"{error}\non {here.host}",)  # another host may have more memory, or a whole disk
            return Ended(None, error)
        except HarnessError as error:
            return Ended(None, error)
        except OSError as error:
            return Ended(None, EngineError(f"on {here.host}: {error}"))


def begun_hosts(session: Session, key: str) -> list[str]:
    """The host of each worker that began the task *key*, in that order."""
    begun = []
    for entry in os.scandir(session.directory):
        name, _, rest = entry.name.partition("@")
        if name == key and rest:
            with suppress(OSError):
                begun.append((entry.stat().st_mtime_ns, rest.partition("@")[0]))
    return [host for _, host in sorted(begun)]


def unfit_text(host: str, problems: tuple[str, ...]) -> str:
    """What an error says of a worker that is not fit."""
    return "\n".join(f"worker on {host}: {problem}" for problem in problems)


def _found_fitness(session: Session) -> Fitness:
    host = platform.node()
    problems = [
        f"{name} {there or 'is missing'}, but {wanted} here; install {name}=={wanted} there"
        for (name, wanted), (_, there) in zip(
            session.versions, versions_of(tuple(name for name, _ in session.versions[1:])), strict=True
        )
        if there != wanted
    ]
    reply = None
    if not _sees(session):
        problems.append(
            f"cannot see {session.directory}, which this run has just written; mount the workspace there by this path"
        )
    else:
        reply = session.nonce.with_name(f"{session.nonce.name}.{uuid.uuid4().hex}")
        try:
            reply.write_text(session.word, encoding="ascii")
        except OSError as error:
            problems.append(f"cannot write into {session.directory}: {error.strerror}; mount it writable")
    engine = ""
    if session.engine is not None and not problems:
        try:
            same = find_same_engine(session.engine)
            if (check := pickle.loads(session.check)) is not None:  # noqa: S301
                check(same)
            engine = same.path
        except HarnessError as error:
            problems.append(str(error))
    return Fitness(host=host, problems=tuple(problems), engine=engine, reply=reply)


def _sees(session: Session) -> bool:
    until_s = time.monotonic() + MOUNT_PATIENCE_S
    while True:
        with suppress(OSError):
            if session.nonce.read_text(encoding="ascii") == session.word:
                return True
        if time.monotonic() > until_s:
            return False
        time.sleep(_LOOKS_EVERY_S)


@contextmanager
def _stopped_unless_wanted(processes: Processes) -> Iterator[None]:
    """End the ffmpegs as soon as nobody waits for the task, or the worker is on its way out.

    Dask interrupts no task that runs: whoever asked may be gone for long (Ctrl-C, `kill -9`, a lost scheduler).
    """
    over = threading.Event()
    is_wanted = _wanted()

    def watch() -> None:
        while not over.wait(_LOOKS_EVERY_S):
            if not is_wanted():
                processes.stop()
                return

    watcher = threading.Thread(target=watch, name="is the task wanted", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _wanted() -> Callable[[], bool]:
    worker: Any = import_module("distributed").get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return not _is_leaving(worker) and task is not None and task.state != "cancelled"

    return is_wanted


def _is_leaving(worker: Any) -> bool:
    return worker.status.name not in ("running", "paused", "init")


def _reschedule_if_leaving() -> None:
    """Give the task back where this worker ends before it does: a walltime, a `scancel`, a node that is drained."""
    distributed: Any = import_module("distributed")
    if _is_leaving(distributed.get_worker()):
        raise distributed.Reschedule
