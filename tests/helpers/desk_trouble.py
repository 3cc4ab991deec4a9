"""Several workers of a desk, which are frozen and killed at random moments; dead ones are replaced."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType

from helpers.desk import DeskCase
from helpers.desk_forks import Fork
from helpers.desk_processes import SHIFT, worker

DEAD_SECONDS = 6.0  # after which these workers count as dead
SETTINGS = {"ENDLESS": "1", "FAKE_SECONDS": "0.6", "DEAD_SECONDS": str(DEAD_SECONDS)}


@dataclass
class Trouble:
    """Workers, and what befalls them; a thread of its own, since a frozen worker can hold up who asks the desk.

    Attributes:
        most: How often something befalls one of them.
        share: How much of the work is done, from 0 to 1; whoever watches it sets this, and it spreads the trouble.
        counts: How often each thing happened.
    """

    case: DeskCase
    size: int
    rng: random.Random
    most: int
    share: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    _workers: dict[str, Fork] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)  # frozen ones, and when they wake up
    _stack: ExitStack = field(default_factory=ExitStack)
    _over: threading.Event = field(default_factory=threading.Event)
    _number: int = 0

    def __enter__(self) -> Trouble:
        for _ in range(self.size):
            self._start(self._new_name())
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._stack.close()

    def __str__(self) -> str:
        return ", ".join(f"{name} {n}" for name, n in sorted(self.counts.items()))

    def _go_on(self) -> None:
        while not self._over.wait(0.1):
            self._tick()

    def _tick(self) -> None:
        """Replace the dead, wake who slept long enough, and perhaps freeze or kill one."""
        now = time.monotonic()
        for name in [n for n, until in self._until.items() if now >= until]:
            del self._until[name]
            self._note("wake", name)
            os.kill(self._workers[name].pid, signal.SIGCONT)
        for name, process in list(self._workers.items()):
            if process.poll() is not None:
                self._note("end by itself", name)
                self._replace(name)
        awake = [name for name in self._workers if name not in self._until]
        due = min(self.most, 8 + self.most * self.share)
        if awake and self.counts.total() < due and self.rng.random() < 0.06:
            self._befall(self.rng.choice(awake))

    def _befall(self, name: str) -> None:
        what = self.rng.choices(["kill", "short freeze", "long freeze"], [4, 4, 2])[0]
        self.counts[what] += 1
        self._note(what, name)
        process = self._workers[name]
        if what == "kill":
            process.kill()
            process.wait()
            self._replace(name)
            return
        os.kill(process.pid, signal.SIGSTOP)
        least, longest = (0.2, DEAD_SECONDS / 2) if what == "short freeze" else (1.5 * DEAD_SECONDS, 2.5 * DEAD_SECONDS)
        self._until[name] = time.monotonic() + self.rng.uniform(least, longest)

    def _replace(self, name: str) -> None:
        """Another worker for one that is dead, under its name or a new one."""
        del self._workers[name]
        self._until.pop(name, None)
        self._start(name if self.rng.random() < 0.5 else self._new_name())

    def _new_name(self) -> str:
        self._number += 1
        return f"w{self._number}"

    def _start(self, name: str) -> None:
        self._workers[name] = self._stack.enter_context(worker(self.case, name, SHIFT, **SETTINGS))
        self._note("start", name)

    def _note(self, what: str, name: str) -> None:
        with (self.case.folder / "trouble.log").open("a") as stream:
            stream.write(f"{datetime.now(UTC):%H:%M:%S.%f} {what} {name} {self._workers[name].pid}\n")
