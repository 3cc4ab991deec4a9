"""A bound on the time of code that a small file can make run for ever, such as a chat template with nested loops."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _TimeIsUp(BaseException):
    """Raised inside the block from outside."""


@contextmanager
def time_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Raise `error` if the block takes longer; works in any thread, between two steps of Python code."""
    lock = threading.Lock()
    running, thread = True, threading.get_ident()

    def interrupt() -> None:
        with lock:
            if running:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TimeIsUp))

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            with lock:
                running = False
            timer.cancel()
    except _TimeIsUp:
        raise error from None
