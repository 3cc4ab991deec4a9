"""Rules of a hierarchy and the settings of its levels, each validated on its own.

A MeSH tree number in `branches` contains its ancestors (`E04.100` lies in `E04`). The id of another ontology's term
does not; its reader follows is_a instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from expunge._config import FrozenModel
from expunge.concepts.dictionary import normalize_name

Level = Literal["L1", "L2", "L3", "L4"]
CRITERIA = ("branches", "semantic_types", "categories", "topics", "names")
TREE_NUMBER = re.compile(r"[A-Z]\d\d(\.\d{3})*")
BRANCH = re.compile(rf"[A-Z]|{TREE_NUMBER.pattern}|\w+:\S+")
SEMANTIC_TYPE = re.compile(r"T\d{3}")


class Grade(FrozenModel):
    """One level: its name, the share of the retain direction to remove (alpha), the weight of its tokens (beta)."""

    name: str = Field(min_length=1)
    alpha: float = Field(ge=0, allow_inf_nan=False)
    beta: float = Field(ge=0, allow_inf_nan=False)


class LevelTable(FrozenModel):
    """The settings of all four levels."""

    L1: Grade
    L2: Grade
    L3: Grade
    L4: Grade


class HierarchyRule(FrozenModel):
    """A level for everything that meets one criterion.

    Attributes:
        branches: MeSH category (`G`), MeSH tree number (`E04`, with all below) or an ontology id (`MONDO:0005618`)
        semantic_types: UMLS type ids (`T047`)
        categories: column -> values, for example subject_name: [Surgery]
        topics: values of a column `topic`
        names: terms; they beat every other criterion, for exceptions and for terms of no ontology
    """

    level: Level
    branches: tuple[str, ...] = ()
    semantic_types: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...]] = Field({})
    topics: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_criterion(self) -> HierarchyRule:
        criteria = [kind for kind in CRITERIA if getattr(self, kind)]
        if len(criteria) != 1:
            raise ValueError(
                f"a rule needs exactly one criterion, this one has {', '.join(criteria) or 'none'}; "
                f"known: {', '.join(CRITERIA)}"
            )
        for kind, shape in (("branches", BRANCH), ("semantic_types", SEMANTIC_TYPE)):
            for value in getattr(self, kind):
                if not shape.fullmatch(value):
                    raise ValueError(f'"{value}" is not of the kind {kind}; for example E04.100 or T047')
        if not all(value.strip() for _, value in self.values()) or not all(self.categories.values()):
            raise ValueError("holds an empty value or an empty list")
        return self

    def values(self) -> Iterator[tuple[str, str]]:
        """(criterion, value) of every value; a category's criterion is `categories.<column>`."""
        for column, values in self.categories.items():
            yield from ((f"categories.{column.strip().casefold()}", normalize_name(value)) for value in values)
        yield from (("branches", value) for value in self.branches)
        yield from (("semantic_types", value) for value in self.semantic_types)
        yield from (("topics", normalize_name(value)) for value in self.topics)
        yield from (("names", normalize_name(value)) for value in self.names)
