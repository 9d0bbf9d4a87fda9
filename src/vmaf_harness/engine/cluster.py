"""Runs jobs on a Dask cluster whose workers share the workspace's mount; everything that can be lost is noticed.

A future that is lost is an error with its cause, never a job that was not there. Results are stored by this process as
they come, so that whatever happens, the same command goes on from there.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from vmaf_harness.engine import worker
from vmaf_harness.engine.ffmpeg import StoppedError
from vmaf_harness.engine.worker import ClusterError, Ended, Fitness, Needs, Place, Session
from vmaf_harness.errors import HarnessError
from vmaf_workspace.installation import install_command, requirement
from vmaf_workspace.live.lock import Run
from vmaf_workspace.wording import count_text

Job = TypeVar("Job")
JobResult = TypeVar("JobResult")

LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
EXTRAS = "harness,distributed"
_CONNECT_S = 20.0  # a scheduler on a busy machine takes seconds to answer
_ANSWER_S = 30.0  # a scheduler that says nothing for so long is lost
_LOOKS_EVERY_S = 2.0
_SAID_AFTER_S = 5.0
_TRIES = 3  # times that a job is begun anew for what was its worker's, not its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Where a person wants jobs to run: a scheduler's address or its file, or so many processes of this machine."""

    address: str | None = None  # or local:N
    file: Path | None = None
    patience_s: float = 300.0  # without any worker

    def __str__(self) -> str:
        return f"{self.address or self.file}"


class Cluster:
    """The cluster that *scheduler* names, connected to when the first job is run; *run* has the workspace."""

    def __init__(self, scheduler: Scheduler, run: Run, *, warn: Callable[[str], None]) -> None:
        """Nothing is connected to yet. *warn* gets a line for what a person waits for."""
        self._scheduler, self._run, self._warn = scheduler, run, warn
        self._opened = ExitStack()
        self._client: Any = None
        self._distributed: Any = None
        self._alone_since_s: float | None = None  # since when there is no worker
        self._said = False

    def __enter__(self) -> Cluster:
        """Nothing happens until there is a job."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave: the scheduler then drops what runs, and the workers end their ffmpegs."""
        self._opened.close()

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place], JobResult],
        finished: Callable[[int, JobResult | HarnessError], None],
        *,
        needs: Needs,
        name: Callable[[Job], str],
        keep_going: bool,
    ) -> None:
        """Run ``work(job, place)`` for each job on a worker, in order; both are pickled.

        *finished* gets the index of a job and what it made, or the HarnessError it ended with, in this thread. After
        an error what no worker has yet is not begun, unless *keep_going*. *name* is what an error calls a job. Raises
        ClusterError where there is no scheduler, it is lost, no worker is there for `patience_s`, or one is not fit;
        any other exception of *work* or *finished* is raised, too, and what runs is dropped.
        """
        if not jobs:
            return
        client = self._connected()
        session = self._session(needs)
        self._wait_for_workers(0, len(jobs))
        self._check_workers(session)
        sent_work = _pickled(work)
        ended: SimpleQueue[Any] = SimpleQueue()
        pending: dict[str, int] = {}
        futures: dict[str, Any] = {}
        again: dict[int, int] = {}
        done, total = 0, len(jobs)

        def submit(index: int) -> None:
            key = f"vmaf-{session.word}-{index}-{again.get(index, 0)}"
            try:
                future = client.submit(
                    worker.run_task, session, key, sent_work, _pickled(jobs[index]), key=key, pure=False, retries=0
                )
            except Exception as error:
                if client.status == "running":
                    raise
                raise self._lost(done, total, str(error)) from error
            pending[key], futures[key] = index, future
            future.add_done_callback(ended.put)

        try:
            for index in range(total):
                submit(index)
            while pending:
                try:
                    future = ended.get(timeout=_LOOKS_EVERY_S)
                except Empty:
                    self._look(done, total)
                    continue
                if future.key not in pending:
                    continue
                said = self._outcome(future, done, total)
                if said is None:  # its worker died after it had ended: it is done once more
                    ended.put(future)
                    continue
                self._alone_since_s = None
                index = pending.pop(future.key)
                futures.pop(future.key).release()
                hosts = worker.begun_hosts(session, future.key) if isinstance(said, _Killed) else []
                made, is_of_worker = _judged(said, name(jobs[index]), hosts)
                if is_of_worker and again.get(index, 0) < _TRIES:
                    again[index] = again.get(index, 0) + 1
                    submit(index)
                    continue
                done += 1
                finished(index, made)
                if isinstance(made, HarnessError) and not keep_going:
                    self._drop_waiting(pending, futures, done, total)
        finally:
            for future in futures.values():
                with suppress(Exception):  # the client may be closed
                    future.release()

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        try:
            self._distributed = distributed = import_module("distributed")
        except ImportError as error:
            raise ClusterError(f"a scheduler needs Dask: `{install_command(EXTRAS)}`") from error
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors of ours say it
        local = LOCAL.fullmatch(self._scheduler.address or "")
        try:
            if local:
                how = {"silence_logs": logging.CRITICAL, "dashboard_address": ":0", "preload": [worker.__name__]}
                address = self._opened.enter_context(
                    distributed.LocalCluster(n_workers=int(local[1]), threads_per_worker=1, processes=True, **how)
                )
            else:
                address = self._scheduler.address or self._address_in_file()
            client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"cannot reach the scheduler {self._scheduler}: {error or type(error).__name__}; "
                "start it (dask scheduler), or correct its address"
            ) from error
        self._opened.callback(_close, client)
        self._client = client
        return client

    def _address_in_file(self) -> str:
        file = self._scheduler.file
        assert file is not None
        until_s, said = time.monotonic() + self._scheduler.patience_s, False
        while True:
            try:
                address = json.loads(file.read_bytes())["address"]
                if isinstance(address, str):
                    return address
                problem = "its address is no text"
            except OSError as error:
                problem = error.strerror or str(error)
            except (ValueError, TypeError, KeyError):  # being written
                problem = "it is no scheduler file"
            if time.monotonic() > until_s:
                raise ClusterError(f"{file}: {problem}; start one: dask scheduler --scheduler-file {file}")
            if not said:
                self._warn(f"{file}: {problem}; waiting for it, for up to {self._scheduler.patience_s:g} s")
                said = True
            time.sleep(0.5)

    def _session(self, needs: Needs) -> Session:
        word = uuid.uuid4().hex
        directory = self._run.workdir(f"cluster-{word}")
        directory.mkdir()
        nonce = directory / "nonce"
        nonce.write_text(word, encoding="ascii")
        return Session(
            root=self._run.root,
            command=self._run.command,
            directory=directory,
            nonce=nonce,
            word=word,
            versions=worker.versions_of(needs.libraries),
            engine=needs.engine,
            check=_pickled(needs.check),
        )

    def _wait_for_workers(self, done: int, total: int) -> None:
        while not self._look(done, total):
            time.sleep(0.2)

    def _look(self, done: int, total: int) -> bool:
        """Whether a worker is at work; ClusterError where the scheduler is lost, or none was there for too long."""
        client = self._client
        if client.status != "running":
            raise self._lost(done, total, "its connection ended")
        try:
            known = self._asked("identity")["workers"]
        except Exception as error:
            raise self._lost(done, total, str(error) or f"it said nothing for {_ANSWER_S:g} s") from error
        if any(each.get("status", "running") == "running" for each in known.values()):
            self._alone_since_s, self._said = None, False
            return True
        now_s = time.monotonic()
        if self._alone_since_s is None:
            self._alone_since_s = now_s
        what = (
            f"{self._scheduler} has no worker"
            if not known
            else f"{count_text(len(known), 'worker')} of {self._scheduler} paused, for lack of memory"
        )
        alone_s, patience_s = now_s - self._alone_since_s, self._scheduler.patience_s
        if alone_s >= patience_s:
            raise ClusterError(
                f"{what}, for {patience_s:g} s; {_so_far(done, total)}. Start one (dask worker ADDRESS), or give it "
                "more memory, then run the same command again; --worker-timeout says how long one is waited for"
            )
        if alone_s >= min(_SAID_AFTER_S, patience_s / 2) and not self._said:
            self._warn(f"{what}; waiting for one, for up to {patience_s:g} s")
            self._said = True
        return False

    def _check_workers(self, session: Session) -> None:
        """Ask every worker that is there now; one that comes later asks itself before its first task."""
        answers: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._client.run(worker.fitness_beside, session, on_error="return"))
            except Exception as error:  # raised below, where somebody waits
                answers.put(error)

        # Dask asks without a limit of time, and one worker that hangs would hold everybody up.
        threading.Thread(target=ask, name="asks workers", daemon=True).start()
        patience_s = self._scheduler.patience_s + 2 * worker.MOUNT_PATIENCE_S
        try:
            said = answers.get(timeout=patience_s)
        except Empty:
            raise ClusterError(
                f"a worker of {self._scheduler} does not answer within {patience_s:g} s, so nothing was begun; end it, "
                "and run the same command again"
            ) from None
        if isinstance(said, Exception):
            raise self._lost(0, 0, str(said)) from said
        problems = []
        for address, each in said.items():
            if isinstance(each, Fitness):
                if each.problems:
                    problems.append(worker.unfit_text(f"{each.host} ({address})", each.problems))
                elif each.reply is None or not _is_there(each.reply, session.word):
                    problems.append(
                        f"worker on {each.host} ({address}): what it wrote into {session.directory} is not seen here; "
                        "mount the workspace there by this path"
                    )
            elif isinstance(each, ImportError) or "No module named" in str(each):  # Dask wraps what it cannot load
                problems.append(f"worker at {address}: it has no vmaf_harness; {_there()}")
            elif not isinstance(each, OSError):  # one that is gone; Dask takes no more notice of it
                problems.append(f"worker at {address}: {type(each).__name__}: {each}")
        if problems:
            raise ClusterError("\n".join([*problems, "nothing was begun; mend these workers, or end them"]))

    def _outcome(self, future: Any, done: int, total: int) -> Ended | _Killed | None:
        """What became of a task; None where it has to be waited for again. Raises what is no job's own error."""
        try:
            ended: Ended = future.result(timeout=_ANSWER_S)
        except self._distributed.KilledWorker as error:
            return _Killed(error.allowed_failures + 1, str(getattr(error.last_worker, "address", error.last_worker)))
        except TimeoutError:
            self._look(done, total)
            return None
        except ImportError as error:
            raise ClusterError(f"a worker has no vmaf_harness ({error}); {_there()}") from error
        except self._distributed.client.CancelledError as error:  # by nobody here
            raise self._lost(done, total, str(error)) from error
        return ended

    def _drop_waiting(self, pending: dict[str, int], futures: dict[str, Any], done: int, total: int) -> None:
        """Begin nothing more; what a worker has already is waited for, since it is paid for."""
        try:
            at_work = {key for keys in self._asked("processing").values() for key in keys}
        except Exception as error:
            raise self._lost(done, total, str(error)) from error
        for key in [key for key in pending if key not in at_work and not futures[key].done()]:
            del pending[key]
            futures.pop(key).release()

    def _asked(self, what: str) -> Any:
        """What the scheduler answers; any exception where it does not, or not in time."""
        return self._client.sync(getattr(self._client.scheduler, what), callback_timeout=_ANSWER_S)

    def _lost(self, done: int, total: int, why: str) -> ClusterError:
        return ClusterError(
            f"the scheduler {self._scheduler} is lost ({why or 'no reason given'}); {_so_far(done, total)}. Start it "
            "again, and run the same command again"
        )


@dataclass(frozen=True, slots=True)
class _Killed:
    """Dask gave a task up, since so many workers died that had it."""

    times: int
    last_worker: str


def _judged(said: Ended | _Killed, what: str, hosts: Sequence[str]) -> tuple[Any, bool]:
    """What a job made, or its error; and whether that is rather its worker's doing. *hosts* began it."""
    if isinstance(said, _Killed):
        where = ", ".join(dict.fromkeys(hosts)) or "hosts that left no word"
        died = f"{count_text(said.times, 'worker')} that had it died, on {where} (the last was {said.last_worker})"
        error = HarnessError(
            f"{what}: {died}; the worker's log, or the batch system's, says why: often memory, so give it more, or run "
            "fewer on a node"
        )
        # Dask blames every task that a dead worker had, also those that only waited there.
        return error, len(hosts) < said.times
    if isinstance(said.error, StoppedError):  # the worker was on its way out
        return HarnessError(f"{what}: {said.error}, on each worker that began it"), True
    return (said.made if said.error is None else said.error), False


def _pickled(value: object) -> bytes:
    """Also of functions within functions, which `pickle` cannot."""
    dumps: Callable[[object], bytes] = import_module("cloudpickle").dumps
    return dumps(value)


def _there() -> str:
    return f"there: `pip install '{requirement(EXTRAS, elsewhere=True)}'`"


def _so_far(done: int, total: int) -> str:
    return f"{done} of {total} were done until then, and what was stored is not done again"


def _is_there(reply: Path, word: str) -> bool:
    until_s = time.monotonic() + worker.MOUNT_PATIENCE_S
    while True:
        with suppress(OSError):
            if reply.read_text(encoding="ascii") == word:
                return True
        if time.monotonic() > until_s:
            return False
        time.sleep(0.2)


def _close(client: Any) -> None:
    with suppress(Exception):  # a scheduler that is gone
        client.close(timeout=_CONNECT_S)
