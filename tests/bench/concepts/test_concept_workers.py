"""Work in processes: answers in the order of the questions, errors as they are, one thread each."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from expunge.bench.concepts.workers import Workers, one_thread
from expunge.errors import InputError, RunFailed


def quiet(k: int, found: Any) -> None:
    """Nobody listens."""


def test_answers_come_in_the_order_of_the_questions_and_are_told_as_they_finish() -> None:
    workers, told = Workers(2), list[tuple[int, Any]]()
    try:
        assert workers.each(pow, [(2, 3), (3, 2), (5, 2)], lambda k, found: told.append((k, found))) == [8, 9, 25]
        assert sorted(told) == [(0, 8), (1, 9), (2, 25)]
        assert workers.each(os.getenv, [("EXPUNGE_THREADS",), ("OMP_NUM_THREADS",)], quiet) == ["1", "1"]
        with pytest.raises(ValueError, match="invalid literal"):
            workers.each(int, [("1",), ("x",), ("2",)], quiet)
        assert workers.each(pow, [(2, 2), (2, 4)], quiet) == [4, 16]  # and goes on
        with pytest.raises(InputError, match="--workers: 0 processes") as caught:
            workers.each(Workers, [(0,), (0,)], quiet)
        assert (caught.value.what, caught.value.hint) == ("0 processes can do nothing", "name 1 or more")
        with pytest.raises(RunFailed, match="a process ended early"):
            workers.each(os._exit, [(3,), (3,)], quiet)
    finally:
        workers.close()


def test_processes_end_with_the_one_that_started_them() -> None:
    """A killed command must not leave processes behind that hold its folder and go on computing."""
    import subprocess
    import sys

    code = (
        "import os, time\nfrom expunge.bench.concepts.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    w = Workers(2)\n    pids = set(w.each(os.getpid, [()] * 8, lambda k, f: None))\n"
        "    print(*pids, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    assert not any(_alive(pid) for pid in children)


def _alive(pid: int) -> bool:
    """Is it there, and no mere entry that nobody has collected?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:  # noqa: PTH123
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_worker_is_this_process_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_THREADS", "3")
    assert Workers().count == 3
    assert Workers(1).each(os.getpid, [()], quiet) == [os.getpid()]
    with one_thread():
        assert os.environ["EXPUNGE_THREADS"] == "1"
    assert os.environ["EXPUNGE_THREADS"] == "3"
    monkeypatch.setenv("EXPUNGE_THREADS", "many")
    with pytest.raises(InputError, match='EXPUNGE_THREADS: "many" is not a number of threads'):
        Workers()
    with pytest.raises(InputError, match="0 processes can do nothing"):
        Workers(0)
