"""Independent work in processes of its own, one torch thread each; what is asked first is answered first.

Surprising: one worker means this process. It computes with one thread as the others do, so the number of workers
changes nothing but the time.
"""

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
    """`count` processes; None takes what `EXPUNGE_THREADS` says, else the free cores. Started when first needed."""

    count: int | None = None
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.count = default_threads() if self.count is None else self.count
        if self.count < 1:
            raise InputError("--workers", f"{self.count} processes can do nothing", "name 1 or more")

    def each(self, function: Callable[..., Any], given: Sequence[tuple[Any, ...]], done: Done) -> list[Any]:
        """`function(*g)` for every g, in the order of `given`; `done(place, result)` as they finish.

        `function` stands at the top of a module. The first exception ends it all; work that is done is kept by
        whoever did it. `RunFailed` if a process dies.
        """
        found: list[Any] = [None] * len(given)
        if self.count == 1 or len(given) == 1:
            with one_thread():
                for k, g in enumerate(given):
                    found[k] = function(*g)
                    done(k, found[k])
            return found
        if not given:
            return found
        pool = self._started()
        futures = {pool.submit(function, *g): k for k, g in enumerate(given)}
        try:
            for future in as_completed(futures):
                k = futures[future]
                found[k] = future.result()
                done(k, found[k])
        except BrokenProcessPool as error:
            raise RunFailed(
                function.__name__,
                "a process ended early; it may have needed more memory than there is",
                "start the same command again with a smaller --workers; it resumes",
            ) from error
        finally:
            for future in futures:
                future.cancel()
        return found

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context: Any = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_born)
        return self._pool

    def close(self) -> None:
        """Let the processes end after what they are doing."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, the engine takes one thread."""
    before = os.environ.get("EXPUNGE_THREADS")
    os.environ["EXPUNGE_THREADS"] = "1"
    try:
        set_threads()
        yield
    finally:
        if before is None:
            del os.environ["EXPUNGE_THREADS"]
        else:
            os.environ["EXPUNGE_THREADS"] = before


def _born() -> None:
    """One thread in this process (torch is not there yet and reads it), no chatter, no life after the parent's."""
    os.environ["EXPUNGE_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; between runs the parent decides what it means
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
