"""A command line of `expunge` in a process of its own that dies of SIGKILL at a chosen moment.

A moment is a time on the clock, or a number of a file operation, before which the process kills itself. The second kind
hits the short windows between making, writing and renaming a file, which a clock rarely does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 300.0  # seconds until a process counts as hanging
OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FORKS: Any = multiprocessing.get_context("forkserver")
PRELOAD = (
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "peft",
    "accelerate",
    "expunge.cli.app",
    "expunge.audit.run",
    "expunge.engine.unlearn",
    "expunge.engine.train.train_model",
    "expunge.scope",
)


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (-9 for a kill), seconds, number of file operations, what it printed."""

    code: int
    seconds: float
    operations: int
    output: str


def run(
    words: Sequence[str], out: Path, log: Path, seconds: float | None = None, operation: int | None = None
) -> Ended:
    """Run one command to its end, or to its kill.

    Args:
        words: the command line, without `expunge`.
        out: folder that it writes; operations elsewhere are not counted.
        log: file without ending for what it prints; the count of operations goes beside it.
        seconds: kill it then.
        operation: kill it before this operation, counted from 1.
    """
    FORKS.set_forkserver_preload(list(PRELOAD))
    count = log.with_suffix(".count")
    process = FORKS.Process(target=_command, args=(list(words), str(out), str(log), str(count), operation))
    started = time.perf_counter()
    process.start()
    process.join(PATIENCE if seconds is None else seconds)
    hangs = process.is_alive() and seconds is None
    process.kill()
    process.join()
    took = time.perf_counter() - started
    counted = count.stat().st_size if count.is_file() else 0
    output = log.read_text("utf-8", "replace") if log.is_file() else ""
    return Ended(124 if hangs else process.exitcode, took, counted, output)


def _command(words: list[str], out: str, log: str, count: str, operation: int | None) -> None:
    """In the child."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    counter = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for handle in (1, 2):
        os.dup2(stream, handle)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(1), "w", buffering=1) for _ in range(2))
    done = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if not (event in OPERATIONS and _is_inside(arguments, out)) and not _is_write(event, arguments, out):
            return
        done += 1
        if done == operation:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(counter, b".")

    sys.addaudithook(watch)
    from expunge.cli.app import app
    from expunge.cli.runner import run as command

    code = 1
    with contextlib.suppress(SystemExit):
        code = command(app, words)
    sys.stdout.flush()
    os._exit(code)


def _is_inside(arguments: tuple[Any, ...], out: str) -> bool:
    """Whether a file operation is on `out`, or relative to an open folder, as when a tree is removed."""
    names = [os.fsdecode(a) for a in arguments if isinstance(a, str | bytes | os.PathLike)]
    return any(name.startswith(out) or not name.startswith("/") for name in names)


def _is_write(event: str, arguments: tuple[Any, ...], out: str) -> bool:
    if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return False
    return bool(int(arguments[2] or 0) & WRITES) and os.fsdecode(arguments[0]).startswith(out)
