"""Work in processes of their own, one for each piece, so that nobody's memory is counted for another.

The processes are copies of one that has imported the libraries and done nothing else: a start takes
milliseconds, not the seconds that the imports take.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from expunge.errors import RunFailed

Run = Callable[[Callable[..., Any], dict[str, Any]], Any]


@contextmanager
def apart(libraries: Sequence[str]) -> Iterator[Run]:
    """A function that calls another one by keywords in a new process; `libraries` are imported beforehand.

    The other function stands at the top of a module. What it raises is raised here; `RunFailed` if its process
    dies. Needs a system that can fork.
    """
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(libraries))
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:

        def run(function: Callable[..., Any], given: dict[str, Any]) -> Any:
            try:
                return pool.submit(function, **given).result()
            except BrokenProcessPool as error:
                raise RunFailed(
                    function.__name__,
                    "the process that ran it ended early",
                    "it may have needed more memory than there is",
                ) from error

        yield run


def here(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The same without a process: memory is then that of everything done so far."""
    return function(**given)
