"""A signal is handled at once, whichever thread the kernel gave it to and whatever the main thread waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from vmaf_workspace.live.signals import prompt_signals

CODE = """
import contextlib, signal, sys, threading, time
from vmaf_workspace.live.signals import prompt_signals

def end(number, _):
    print("heard", flush=True)
    raise SystemExit(3)

def to_itself():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

signal.signal(signal.SIGTERM, end)
threading.Thread(target=to_itself, daemon=True).start()
with prompt_signals():
    WAIT
"""


@pytest.mark.parametrize(
    "wait",
    [
        "threading.Event().wait()",
        "import subprocess; subprocess.run(['sleep', '60'], stdout=subprocess.DEVNULL)",  # it outlives us
        "from concurrent.futures import ThreadPoolExecutor as Pool; Pool().submit(time.sleep, 60).result()",
    ],
    ids=["lock", "child", "future"],
)
def test_a_signal_that_another_thread_gets_interrupts_the_main_one(wait: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", CODE.replace("WAIT", wait)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    too_long = threading.Timer(30, process.kill)
    too_long.start()
    assert process.stdout.readline() == "heard\n"
    too_long.cancel()
    process.kill()  # Python waits for its pool
    process.communicate()


def test_afterwards_everything_is_as_before() -> None:
    before = threading.active_count(), signal.getsignal(signal.SIGURG)
    for _ in range(3):
        with prompt_signals(), prompt_signals():
            pass
    assert (threading.active_count(), signal.getsignal(signal.SIGURG)) == before
    assert signal.set_wakeup_fd(-1) == -1
