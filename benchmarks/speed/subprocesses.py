"""Measurements in processes of their own, so that no measurement counts the memory of another."""

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
def isolated(preload: Sequence[str] = ()) -> Iterator[Run]:
    """A function `run(function, arguments)` that calls a module-level function in a new process.

    Args:
        preload: modules that a server process imports once; each new process is a fork of it. Without any, a new
            process starts from nothing.

    An exception of the function is raised in the caller; `RunFailed` if its process dies. Needs a system that forks.
    """
    context: Any = multiprocessing.get_context("forkserver" if preload else "spawn")
    if preload:
        context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:

        def run(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
            try:
                return pool.submit(function, **arguments).result()
            except BrokenProcessPool as error:
                hint = "it may have needed more memory than there is"
                raise RunFailed(function.__name__, "the process that ran it ended early", hint) from error

        yield run


def in_process(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The same call in this process, where a peak of memory includes everything done before."""
    return function(**arguments)
