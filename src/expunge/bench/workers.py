"""Independent jobs in processes of their own, one torch thread each; so their number changes nothing but the time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from expunge.errors import InputError, RunFailed
from expunge.models.threads import default_threads, set_threads

Done = Callable[[int, Any], None]


@dataclass
class Workers:
    """`count` processes, started when first needed; None takes what `EXPUNGE_THREADS` says, else the free cores."""

    count: int | None = None
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.count = default_threads() if self.count is None else self.count
        if self.count < 1:
            raise InputError("--workers", f"{self.count} processes can do nothing", "name 1 or more")

    def each(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], done: Done) -> None:
        """`function(*job)` for every job; `done(place, result)` as they finish. One worker means this process.

        `function` is defined at the top of a module. The first exception ends it all; `RunFailed` if a process dies.
        """
        if self.count == 1 or len(jobs) <= 1:
            with threads(1):
                for k, job in enumerate(jobs):
                    done(k, function(*job))
            return
        if self._pool is None:
            context: Any = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_initialize)
        futures = {self._pool.submit(function, *job): k for k, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                done(futures[future], future.result())
        except BrokenProcessPool as error:
            what = "a process ended early; it may have needed more memory than there is"
            hint = "start the same command again with a smaller --workers; it resumes"
            raise RunFailed(function.__name__, what, hint) from error
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Let the processes end after what they are doing."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Inside, the engine takes so many threads; None leaves things as they are."""
    before = os.environ.get("EXPUNGE_THREADS")
    if count is not None:
        os.environ["EXPUNGE_THREADS"] = str(count)
        set_threads()
    try:
        yield
    finally:
        if before is not None:
            os.environ["EXPUNGE_THREADS"] = before
        elif count is not None:
            del os.environ["EXPUNGE_THREADS"]
        if count is not None:
            set_threads()


def _initialize() -> None:
    """One thread in this process (torch is not imported yet), no warnings, no life after the parent's."""
    os.environ["EXPUNGE_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; between runs the parent decides what it means
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
