"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from expunge._printable import visible

ProgressCallback = Callable[[float, str], None]  # (share done in 0..1, note such as "93% exact")
EVERY = 5.0  # seconds between lines where there is no terminal
LEAST_DONE = 0.01  # share from which the time left is told


@dataclass
class Progress:
    """Reports the progress of long work to `stream`."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def say(self, text: str) -> None:
        """One line."""
        print(visible(text), file=self.stream, flush=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[ProgressCallback]:
        """A context whose value is called with the share done and a note; nothing is shown before the first call."""
        with self._bar(title) if self.stream.isatty() else self._lines(title) as draw:
            ticks: list[tuple[float, float, str]] = []  # when, how much was done, note: the first and the last

            def tick(done: float, note: str) -> None:
                now = time.perf_counter()
                ticks[1:] = [(now, done, note)]
                when, before, _ = ticks[0]
                draw(done, ", ".join(filter(None, (note, left(now - when, done - before, 1 - done)))))

            yield tick
            if ticks and ticks[-1][1] < 1:  # work that needed less than was allowed
                draw(1.0, ticks[-1][2])

    @contextmanager
    def _lines(self, title: str) -> Iterator[ProgressCallback]:
        last = 0.0

        def draw(done: float, note: str) -> None:
            nonlocal last
            if done >= 1 or time.perf_counter() - last >= EVERY:
                self.say(f"{title}: {done:4.0%}, {note}")
                last = time.perf_counter()

        yield draw

    @contextmanager
    def _bar(self, title: str) -> Iterator[ProgressCallback]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        # rich would send stdout through the bar's own console, and a JSON object with it
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=self.stream),
            redirect_stdout=False,
            redirect_stderr=False,
        ) as progress:
            task = progress.add_task(title, total=1.0, note="starting", start=True)
            yield lambda done, note: progress.update(task, completed=done, note=note)


def left(elapsed: float, done: float, rest: float) -> str:
    """Time left in words, from the seconds that `done` (a share) took; "" while it is too little to say anything."""
    if done < LEAST_DONE or rest <= 0:
        return ""
    seconds = round(elapsed / done * rest)
    return f"about {seconds // 60} min {seconds % 60:02d} s left" if seconds >= 60 else f"about {seconds} s left"
