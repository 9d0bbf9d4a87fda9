"""Jobs run at once, each exactly one time; a failure or a stop leaves nothing running."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.engine.jobs import Stopped, run_jobs, split_cores, stop_on_signals
from vmaf_harness.errors import HarnessError
from vmaf_workspace.disk.workers import cores


def ignored(index: int, made: int | HarnessError) -> None:
    pass


def test_every_job_runs_once_and_reports_its_index() -> None:
    runs: Counter[int] = Counter()
    made: dict[int, int | HarnessError] = {}

    def work(job: int, _: Processes) -> int:
        runs[job] += 1
        return job * job

    run_jobs(range(50), work, made.__setitem__, at_once=4, keep_going=False)
    assert made == {i: i * i for i in range(50)}
    assert set(runs.values()) == {1}


def test_no_more_jobs_run_at_once_than_asked() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(job: int, _: Processes) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return job

    run_jobs(range(20), work, ignored, at_once=3, keep_going=False)
    assert most == 3


def fails_at_two(job: int, _: Processes) -> int:
    if job == 2:
        raise HarnessError("two")
    return job


def test_after_a_failure_nothing_new_is_begun() -> None:
    made: dict[int, int | HarnessError] = {}
    run_jobs(range(100), fails_at_two, made.__setitem__, at_once=1, keep_going=False)
    assert isinstance(made[2], HarnessError)
    assert sorted(made) == [0, 1, 2]


def test_keep_going_runs_all_others() -> None:
    made: dict[int, int | HarnessError] = {}
    run_jobs(range(100), fails_at_two, made.__setitem__, at_once=4, keep_going=True)
    assert sorted(made) == list(range(100))
    assert [index for index, each in made.items() if isinstance(each, HarnessError)] == [2]


def test_no_jobs_are_no_problem() -> None:
    run_jobs([], fails_at_two, ignored, at_once=1, keep_going=False)


def test_an_error_while_a_result_is_taken_stops_what_runs(tmp_path: Path) -> None:
    def work(job: int, processes: Processes) -> int:
        if job:
            processes.run(["/bin/sleep", "600"], cwd=tmp_path, log=tmp_path / f"{job}.log")
        return job

    def finished(index: int, made: int | HarnessError) -> None:
        raise OSError("the disk is full")

    began = time.monotonic()
    with pytest.raises(OSError, match="disk is full"):
        run_jobs(range(6), work, finished, at_once=3, keep_going=True)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(("n_jobs", "processes"), [(1, None), (2, None), (100, None), (100, 1), (100, 7), (1, 5)])
def test_cores_are_all_used_and_never_more_processes_than_jobs(n_jobs: int, processes: int | None) -> None:
    at_once, threads = split_cores(n_jobs, processes)
    assert 1 <= at_once <= min(n_jobs, processes or cores())
    assert threads >= 1
    assert at_once * threads <= max(cores(), at_once)
    if processes is None:
        assert at_once * threads > cores() // 2


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_once_and_what_cleans_up_is_not_stopped_in_turn(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    cleaned = []

    def stopped_twice() -> None:
        with stop_on_signals():
            try:
                os.kill(os.getpid(), signum)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), signum)
                cleaned.append(True)

    with pytest.raises(Stopped) as caught:
        stopped_twice()
    assert cleaned
    assert caught.value.exit_code == 128 + signum
    assert signal.getsignal(signum) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
