"""Work in processes: answers in the order of the questions, errors as they are, one thread each."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from expunge.bench.workers import Workers, threads
from expunge.errors import InputError, RunFailed


def each(workers: Workers, function: Any, jobs: list[tuple[Any, ...]]) -> list[Any]:
    """Results in the order of the jobs."""
    results: dict[int, Any] = {}
    workers.each(function, jobs, results.__setitem__)
    return [results[k] for k in range(len(jobs))]


def test_every_job_is_reported_with_its_place_and_errors_as_they_are() -> None:
    workers = Workers(2)
    try:
        assert each(workers, pow, [(2, 3), (3, 2), (5, 2)]) == [8, 9, 25]
        assert each(workers, pow, []) == []
        assert each(workers, os.getenv, [("EXPUNGE_THREADS",), ("OMP_NUM_THREADS",)]) == ["1", "1"]
        with pytest.raises(ValueError, match="invalid literal"):
            each(workers, int, [("1",), ("x",), ("2",)])
        assert each(workers, pow, [(2, 2), (2, 4)]) == [4, 16]  # and goes on
        with pytest.raises(InputError, match="--workers: 0 processes") as caught:
            each(workers, Workers, [(0,), (0,)])
        assert caught.value.what == "0 processes can do nothing"
        with pytest.raises(RunFailed, match="a process ended early"):
            each(workers, os._exit, [(3,), (3,)])
    finally:
        workers.close()


def test_processes_end_with_the_one_that_started_them() -> None:
    """A killed command must not leave processes behind that hold its folder and go on computing."""
    import subprocess
    import sys

    code = (
        "import os, time\nfrom expunge.bench.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    w = Workers(2)\n    pids = set()\n    w.each(os.getpid, [()] * 8, lambda k, pid: pids.add(pid))\n"
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
    assert each(Workers(1), os.getpid, [()]) == [os.getpid()]
    with threads(1):
        assert os.environ["EXPUNGE_THREADS"] == "1"
    assert os.environ["EXPUNGE_THREADS"] == "3"
    monkeypatch.setenv("EXPUNGE_THREADS", "many")
    with pytest.raises(InputError, match='EXPUNGE_THREADS: "many" is not a number of threads'):
        Workers()
    with pytest.raises(InputError, match="0 processes can do nothing"):
        Workers(0)
