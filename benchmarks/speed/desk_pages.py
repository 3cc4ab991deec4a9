"""Time the pages of the web desk with many readers, while no run works and while one does, and the search by reference.

The desk is that of `expunge desk demo` (`--desk`; made first if it is not there), with further requests up to
`--requests` in the states of `desk_inbox.MIX`: most closed, some hundred open, overdue, on hold, with letters pending.
A server in a process of its own serves it. Readers follow one another's pages with pauses; a real worker goes on with
the runs that the demo has left. Both phases alternate on one machine; seconds on the wall, at the reader.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.speed.desk_inbox import MIX
from benchmarks.speed.desk_server import PORT, Served
from benchmarks.speed.program import Parts, Results, positive, program, provenance, say
from expunge.cli.result import ResultTable
from expunge.errors import RunFailed

PAUSE = 4.0  # seconds on average between two pages of a reader
PAGES = ("/", "/?view=all&page={page}", "/requests/{reference}", "/plans", "/models", "/letters", "/log")
OPEN_SHARE = 0.8  # of the requests that a reader opens, those that wait for somebody
COLUMNS = ("phase", "pages", "median, ms", "p95, ms", "load")
FIGURES = ("pages", "median", "p95", "load")
SEARCHES = 60
Seconds = list[float]


@dataclass
class Readers:
    """People who read pages until they are stopped; each has a session of their own."""

    served: Served
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reconnections: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def read(self, cookie: str, seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=self.served.url, cookies={self.served.cookie: cookie}, timeout=60) as client:
            while not self._over.wait(rng.expovariate(1 / PAUSE)):
                is_open = rng.random() < OPEN_SHARE and self.served.open_references
                reference = rng.choice(self.served.open_references if is_open else self.served.references)
                path = rng.choice(PAGES).format(page=rng.randint(1, self.served.pages), reference=reference)
                began = time.perf_counter()
                try:
                    status: Any = self._get(client, path)
                except httpx.TransportError as error:
                    status = error
                self.seconds.append(time.perf_counter() - began)
                if status != 200:
                    self.failures.append(f"{path}: {status}")

    def _get(self, client: httpx.Client, path: str) -> int:
        """Status of a page. As browsers do, once more if the server has just closed the idle connection."""
        try:
            return client.get(path).status_code
        except (httpx.ReadError, httpx.RemoteProtocolError):
            self.reconnections += 1
            return client.get(path).status_code

    @classmethod
    def during(cls, served: Served, count: int, seconds: float) -> Readers:
        """Let `count` people read for some seconds."""
        readers = cls(served)
        threads = [
            threading.Thread(target=readers.read, args=(served.sessions[k], k), daemon=True) for k in range(count)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        readers._over.set()
        for thread in threads:
            thread.join(90)
        if readers.failures:
            raise RunFailed("pages", f"{len(readers.failures)} failed: {readers.failures[0]}")
        return readers


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile of seconds, in milliseconds."""
    return round(1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


def figures(values: Sequence[float]) -> dict[str, Any]:
    return {
        "pages": len(values),
        "median": round(1000 * statistics.median(values), 1),
        "p95": quantile(values, 0.95),
        "load": round(os.getloadavg()[0], 1),
    }


def search_times(served: Served, count: int = SEARCHES) -> list[float]:
    """Seconds from a typed reference, whole or the beginning of one, to the page that shows it."""
    times = []
    options: dict[str, Any] = {"base_url": served.url, "timeout": 60, "follow_redirects": True}
    with httpx.Client(cookies={served.cookie: served.sessions[-1]}, **options) as client:
        token = client.get("/").text.partition('name="csrf" value="')[2][:64]
        for k, reference in enumerate(random.Random(0).sample(served.references, count)):
            typed = reference if k % 2 else reference[:6]
            began = time.perf_counter()
            answer = client.post("/search", data={"csrf": token, "reference": typed})
            times.append(time.perf_counter() - began)
            if answer.status_code != 200 or typed not in answer.text:
                raise RunFailed("search", f"{typed} was not found: {answer.status_code}")
    return times


@contextmanager
def run_at_work(desk: Path, name: str) -> Iterator[None]:
    """A worker whose child trains or audits; it is stopped at the end, and goes on from its checkpoint next time."""
    words = [sys.executable, "-m", "expunge", "worker", "--desk", str(desk), "--name", name]
    worker = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 180
        while not child_of(worker.pid):
            if worker.poll() is not None or time.monotonic() > until:
                raise RunFailed("worker", "has no run to work on", "give another --desk")
            time.sleep(0.2)
        yield
        if not child_of(worker.pid):
            say("note: the run ended before the readers did")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)


def child_of(pid: int) -> int | None:
    """A process that a worker has started for a run."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended in the meantime
            if file.read_text().rpartition(")")[2].split()[1] == str(pid):
                return int(file.parent.name)
    return None


def measure(requests: int, readers: int, seconds: int, rounds: int, desk: str) -> Results:
    folder = Path(desk)
    pages: dict[str, list[Readers]] = {"idle": [], "run": []}
    searches: dict[str, Seconds] = {"idle": [], "run": []}
    with Served.start(folder, requests, readers) as served:
        say(f"{len(served.references):,} requests; warming up")
        Readers.during(served, readers, 10)
        for k in range(rounds):
            say(f"round {k + 1} of {rounds}: idle")
            pages["idle"].append(Readers.during(served, readers, seconds))
            searches["idle"] += search_times(served)
            with run_at_work(folder, f"bench-{k}"):
                say(f"round {k + 1} of {rounds}: while a run works")
                pages["run"].append(Readers.during(served, readers, seconds))
                searches["run"] += search_times(served)
    result: Results = {
        "measured": provenance("python -m benchmarks.speed.desk_pages"),
        "requests": len(served.references),
        "open": len(served.open_references),
        "mix": MIX,
        "readers": readers,
        "pause": PAUSE,
        "rounds": [{phase: figures(of[k].seconds) for phase, of in pages.items()} for k in range(rounds)],
        **{phase: figures([x for part in of for x in part.seconds]) for phase, of in pages.items()},
        "reconnections": sum(part.reconnections for of in pages.values() for part in of),
        "search": {phase: figures(values) for phase, values in searches.items()},
    }
    return result | {"ratio_p95": round(result["run"]["p95"] / result["idle"]["p95"], 2)}


def parts(result: Results) -> Parts:
    phases = {"idle": result["idle"], "run": result["run"]}
    phases |= {f"search, {name}": values for name, values in result["search"].items()}
    rows = tuple((name, *(values[key] for key in FIGURES)) for name, values in phases.items())
    return (ResultTable(COLUMNS, rows), f"p95 while a run works / idle: {result['ratio_p95']}")


main = program(
    __doc__,
    measure,
    parts,
    requests={"type": positive, "default": 10_000, "help": "requests in the inbox (default: 10000)"},
    readers={"type": positive, "default": 50, "help": "people who read (default: 50)"},
    seconds={"type": positive, "default": 60, "help": "of each phase (default: 60)"},
    rounds={"type": positive, "default": 2, "help": "pairs of phases (default: 2)"},
    desk={"default": "runs/desk-bench", "help": f"folder of the demo desk (default: runs/desk-bench); port {PORT}"},
)

if __name__ == "__main__":
    sys.exit(main(None))
