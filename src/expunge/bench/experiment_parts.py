"""What an experiment's file says beside its models and arms: claims, goals, and what its page prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel


class ExperimentPart(FrozenModel):
    """Base of what stands in an experiment's file: frozen, and an unknown key is an error."""


class Claim(ExperimentPart):
    """`arm` - `minus` in `column`, or on `level` of the target's chapter, has this sign beyond its interval."""

    name: str
    arm: str
    minus: str
    column: str = ""
    level: str = ""
    sign: Literal["+", "-"]
    text: str


class Goal(ExperimentPart):
    """A limit on `column`; with `times_second` a multiple of the value of the second retrained seed."""

    column: str
    text: str
    at_most: float | None = None
    at_least: float | None = None
    times_second: bool = False


class Goals(ExperimentPart):
    """Goals of one arm, on the means over requests or request by request."""

    arm: str
    by_request: bool = True
    list: tuple[Goal, ...]


class PageTable(ExperimentPart):
    """A table of the page: what stands at `of` in the results, one row per key that a `*` matches."""

    title: str
    of: str = Field("methods/*", description="path of keys into the results, joined by `/`")
    columns: Mapping[str, str] | Literal["requests"] = Field(description="path below a row to its head")
    cell: tuple[str, ...] = Field((), description="keys below a column that share its cell")
    places: int = 3
    text: str = ""


class PagePlot(ExperimentPart):
    """A picture: the name of a function in `plots.KINDS`, the name of its file, and its settings."""

    kind: str
    file: str
    text: str
    settings: Mapping[str, Any] = {}


class PageSpec(ExperimentPart):
    """What `bench report` prints, in the file or in one that `report` names; the first table is for the terminal."""

    text: str = ""
    tables: tuple[PageTable, ...] = Field(min_length=1)
    plots: tuple[PagePlot, ...] = ()
