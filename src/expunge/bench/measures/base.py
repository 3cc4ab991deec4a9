"""What a measure is, and the registry of measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from expunge._registry import Registry
from expunge.bench.experiment import Arm, Experiment
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import WorldInstance

Columns = dict[str, float | None]
Cells = dict[str, dict[str, Columns]]  # request -> seed -> columns; empty columns where a run failed
Need = Literal["model", "run", "original", "stored", "study"]


class Study(Protocol):
    """A finished comparison as measures see it."""

    experiment: Experiment
    arms: tuple[Arm, ...]
    cells: list[WorldInstance]
    tuning: dict[str, dict[str, Any]]  # request -> arm -> its trials and the chosen one
    columns: dict[str, Cells]  # by name, references first
    failed: dict[str, list[str]]  # arm -> why there are no figures
    is_side: bool  # one of the smaller comparisons

    def column_names(self) -> list[str]:
        """Columns of all measures."""

    def places(self) -> list[ModelPlace]:
        """Models that did not fail, world instance by world instance, references first."""

    def runs(self) -> list[ModelPlace]:
        """Runs of all arms, failed ones too."""

    def audit(
        self, arms: tuple[Arm, ...], tuning: dict[str, dict[str, Any]], failed: dict[str, list[str]]
    ) -> dict[str, Cells]:
        """Columns of further runs on the same world instances; what failed is added to `failed`."""

    def fixed(self, trial: Trial, arms: tuple[Arm, ...]) -> dict[str, dict[str, Any]]:
        """A tuning that gives every arm the same trial."""


@dataclass(frozen=True)
class BenchMeasure:
    """One kind of figure of an experiment.

    Attributes:
        needs: what the registered function takes. `model` (place, language model), `original` (the same, of the
            original only) and `run` (place of a run) observe, and are stored as JSON; `stored` (place) returns columns
            of what is stored; `study` (the whole comparison) returns keys of the results.
        columns: columns of a model that are summarized.
        read: place to columns, for models that did not fail.
        compare: (name to columns of one world instance, options) to further columns.
        summarize: study to keys of the results.
    """

    name: str
    needs: Need
    columns: tuple[str, ...] = ()
    observe: Callable[..., Any] | None = None
    read: Callable[[ModelPlace], Columns] | None = None
    compare: Callable[[Mapping[str, Columns], Mapping[str, Any]], dict[str, Columns]] | None = None
    summarize: Callable[[Study], dict[str, Any]] | None = None


MEASURES: Registry[BenchMeasure] = Registry("measure", "expunge.bench.measures")


def measure(
    name: str, *, needs: Need, columns: tuple[str, ...] = (), **more: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a measure; `more` are further functions of `BenchMeasure`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        role = {"stored": "read", "study": "summarize"}.get(needs, "observe")
        MEASURES.add(name, BenchMeasure(name, needs, columns, **{role: function}, **more))
        return function

    return register


def round_columns(columns: Mapping[str, float | None]) -> Columns:
    """Columns with six decimals, as results hold them."""
    return {name: None if value is None else round(value, 6) for name, value in columns.items()}


def minus(a: float | None, b: float | None) -> float | None:
    """a - b, or None where either is missing."""
    return None if a is None or b is None else a - b
