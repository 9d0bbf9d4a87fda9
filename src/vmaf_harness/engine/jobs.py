"""Runs jobs at once, results as they come; a stop ends every ffmpeg and is over within two seconds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from vmaf_harness.engine.ffmpeg import Processes, StoppedError
from vmaf_harness.errors import HarnessError
from vmaf_workspace.disk.workers import cores
from vmaf_workspace.live.signals import prompt_signals

Job = TypeVar("Job")
JobResult = TypeVar("JobResult")


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP asked the run to end."""

    def __init__(self, signum: int) -> None:
        """Exit codes as shells count them: 128 and the number of the signal."""
        self.exit_code = 128 + signum
        super().__init__(signal.Signals(signum).name)


def split_cores(n_jobs: int, processes: int | None) -> tuple[int, int]:
    """How many ffmpegs at once, and how many libvmaf threads each gets.

    One process a core, with one libvmaf thread and one decoding thread, was the fastest schedule of 12 pairs of
    1080p on 2 cores (18.7 s; one at a time with two threads 20.3 s, three or four at once 19.0 to 19.9 s).
    """
    available = cores()
    at_once = max(1, min(processes or available, n_jobs))
    return at_once, max(1, available // at_once)


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job, Processes], JobResult],
    finished: Callable[[int, JobResult | HarnessError], None],
    *,
    at_once: int,
    keep_going: bool,
) -> None:
    """Run ``work(job, processes)`` for each job, in order, `at_once` at a time, by threads.

    *finished* gets the index of a job and what it made, or the HarnessError it ended with, in this thread. After an
    error nothing new is begun, unless *keep_going*; what runs already is waited for, since it is paid for. Any other
    exception, of *finished* too, stops all that runs and is raised.
    """
    # Left in reverse: first the ffmpegs are ended, then there is nothing left that the threads would wait for.
    with ThreadPoolExecutor(at_once) as executor, Processes() as processes:
        failed = threading.Event()

        def here(job: Job) -> JobResult:
            if failed.is_set():
                raise StoppedError("another failed before it began")
            try:
                return work(job, processes)
            except HarnessError:
                if not keep_going:
                    failed.set()  # at once: the next job may begin before this thread hears of the failure
                raise

        futures: dict[Future[JobResult], int] = {}
        try:
            for index, job in enumerate(jobs):
                futures[executor.submit(here, job)] = index
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                try:
                    made: JobResult | HarnessError = future.result()
                except StoppedError:
                    continue
                except HarnessError as error:
                    made = error
                finished(futures[future], made)
                if isinstance(made, HarnessError) and not keep_going:
                    _cancel(futures)
        except BaseException:
            _cancel(futures)
            raise


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise Stopped at SIGINT, SIGTERM and SIGHUP, once: what cleans up then is not stopped in turn."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]

    def stop(signum: int, _: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signum)

    before = {each: signal.signal(each, stop) for each in caught}
    try:
        with prompt_signals():
            yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _cancel(futures: dict[Future[JobResult], int]) -> None:
    for future in futures:
        future.cancel()
