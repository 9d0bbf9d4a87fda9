"""Signals that are heard at once, whatever the main thread waits for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAKING = signal.SIGURG  # ignored by who does not ask for it
WOKEN_AFTER_S = (0.0, 0.05, 0.2, 0.5)


@contextmanager
def prompt_signals() -> Iterator[None]:
    """While the block runs, a signal wakes the main thread, which alone runs Python's handlers, from any wait.

    A signal that comes to another thread, or to the main one just before it begins to wait for a lock or a child,
    interrupts nothing: Ctrl-C then counted when that wait was over, once in about fifty times on a busy machine. Here
    a thread hears of every signal by `signal.set_wakeup_fd`, and interrupts the main one, more than once.

    Outside the main thread nothing is done: there no handler can be set either.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    main = threading.get_ident()

    over = threading.Event()

    def wake() -> None:
        while number := os.read(reader, 1):
            for after_s in WOKEN_AFTER_S if number[0] != WAKING else ():
                if over.wait(after_s):
                    break
                signal.pthread_kill(main, WAKING)
        os.close(reader)

    waker = threading.Thread(target=wake, name="signals", daemon=True)
    try:
        waker.start()
    except RuntimeError:  # no more threads are to be had: signals are heard as they are without us
        os.close(reader)
        os.close(writer)
        yield
        return
    handler = signal.signal(WAKING, lambda *_: None)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        over.set()
        waker.join()  # before SIGURG is somebody else's again
        signal.signal(WAKING, handler)
