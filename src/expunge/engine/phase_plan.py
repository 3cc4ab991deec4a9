"""Where the phases of a run begin and end: as planned, or earlier where the stop rule ends one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any


class PhasePlan:
    """Ends of the phases in steps of the run. A phase that ends early moves those behind it."""

    def __init__(self, steps: Sequence[int]) -> None:
        """steps: planned steps of each phase."""
        self._ends = list(accumulate(steps))

    def start(self, number: int) -> int:
        """Steps of the run before a phase."""
        return self._ends[number - 1] if number else 0

    def end(self, number: int) -> int:
        """Steps of the run after a phase."""
        return self._ends[number]

    @property
    def total(self) -> int:
        """Steps of the run."""
        return self._ends[-1]

    @property
    def steps(self) -> list[int]:
        """Steps of each phase."""
        return [self.end(k) - self.start(k) for k in range(len(self._ends))]

    def cut(self, number: int, end: int) -> None:
        """End a phase after `end` steps of the run, if that is earlier."""
        earlier = max(0, self._ends[number] - end)
        self._ends[number:] = [step - earlier for step in self._ends[number:]]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"ends": list(self._ends)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._ends = [int(step) for step in state["ends"]]
