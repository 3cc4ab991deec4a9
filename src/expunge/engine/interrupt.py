"""Ctrl-C and SIGTERM as a flag, so that a run stops between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def watch_for_stop() -> Iterator[Callable[[], bool]]:
    """A function that is true from the first Ctrl-C or SIGTERM on; a second signal raises `KeyboardInterrupt`.

    Outside the main thread no handler can be set, and the function stays false.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)
