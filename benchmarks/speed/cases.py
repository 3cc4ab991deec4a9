"""Timed cases and ratios of times."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.speed.program import Results, Say
from expunge.cli.result import ResultTable
from expunge.errors import unknown
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig

NAMES = {"dest": "names", "default": "", "help": "names separated by commas, for example npo:28/4; default: all"}


def model_config(layers: int, vocabulary: int = 2048, width: int = 256) -> TinyConfig:
    return TinyConfig(layers=layers, width=width, vocabulary=vocabulary, context=512)


class NamedCase(ABC):
    """Adapters on the last `trained_blocks` blocks of `model`, in a `group` of cases."""

    group: str
    model: TinyConfig
    trained_blocks: int

    @property
    def size(self) -> str:
        """`28/4` for adapters on the last 4 of 28 blocks."""
        return f"{self.model.layers}/{self.trained_blocks}"

    @property
    def name(self) -> str:
        """`npo:28/4`."""
        return f"{self.group}:{self.size}"

    @abstractmethod
    def run(self, pairs: int, say: Say) -> Results:
        """The result of so many counted pairs."""


def run_cases(cases: Sequence[NamedCase], pairs: int, names: str, say: Say) -> Results:
    """group → N/k → result, at one thread. `names`: separated by commas, empty for all; unknown ones are refused."""
    known = [case.name for case in cases]
    selected = [name.strip() for name in names.split(",") if name.strip()]
    for name in selected:
        if name not in known:
            raise unknown("case", name, known, "--cases")
    set_threads(1)
    results: Results = {}
    for case in cases:
        if case.name in (selected or known):
            results.setdefault(case.group, {})[case.size] = case.run(pairs, say)
    return results


def case_table(results: Results, columns: Iterable[str], values: Callable[[Results], Iterable[Any]]) -> ResultTable:
    """One row per case of `run_cases`: its name, then `values` of its result."""
    rows = [[f"{group} {size}", *values(case)] for group, sizes in results.items() for size, case in sizes.items()]
    return ResultTable(("case", *columns), rows)


def compare_times(seconds: Mapping[str, Sequence[float]]) -> Results:
    """`ratio` of the first to the second series, pair by pair, and the median `seconds` of both."""
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    return {"ratio": spread(ratios), "seconds": {side: statistics.median(of) for side, of in seconds.items()}}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds on the wall of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
