"""Hierarchy of levels as data: which branches, types, categories, topics and names are L1 to L4, with alpha and beta.

Within a branch the longest prefix with a rule counts (`C23` in L2 beats `C` in L3). Between several branches of one
term the highest level counts, so that terms of the target are never taken for fundamentals. The order of rules does not
matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from expunge._config import FrozenModel, find_yaml, shipped_names
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.concepts.dictionary import Dictionary, DictionaryEntry, highest_level, normalize_name
from expunge.concepts.hierarchy_rules import TREE_NUMBER, HierarchyRule, LevelTable
from expunge.corpus.corpus import Corpus
from expunge.corpus.record import LEVELS, Record

SHIPPED = files("expunge.concepts") / "hierarchies"
COLUMNS: Mapping[str, str] = {
    "topic": "topics",
    "topics": "topics",
    "semantic_type": "semantic_types",
    "semantic_types": "semantic_types",
    "mesh_tree_number": "branches",
    "mesh_tree_numbers": "branches",
}  # attribute of a record -> criterion


def shipped() -> list[str]:
    """Names of the hierarchies in the package."""
    return shipped_names(SHIPPED, "hierarchy")


class Hierarchy(FrozenModel):
    """Levels and their rules; `source` names the origin of the rules."""

    name: str = Field(pattern=r"^[\w-]+$")
    title: str
    source: str
    levels: LevelTable
    rules: tuple[HierarchyRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_unique(self) -> Hierarchy:
        seen: dict[tuple[str, str], str] = {}
        for rule in self.rules:
            for key in rule.values():
                if key in seen:
                    raise ValueError(f'"{key[1]}" of {key[0]} stands in {seen[key]} and again in {rule.level}')
                seen[key] = rule.level
        return self

    @classmethod
    def load(cls, name: str | Path) -> Hierarchy:
        """A shipped hierarchy by name (`medical`), or a YAML file; `InputError` names its first mistake."""
        text, _, where = find_yaml(name, "hierarchy", SHIPPED)
        hint = "write `name:`, `levels:` and `rules:`, as in a shipped hierarchy"
        return validate(cls, load_yaml(text, where, hint), where, hint)

    @property
    def alpha(self) -> dict[str, float]:
        """Level -> share of the retain direction that is removed from the gradient."""
        return {level: getattr(self.levels, level).alpha for level in LEVELS}

    @property
    def beta(self) -> dict[str, float]:
        """Level -> mean weight of its tokens."""
        return {level: getattr(self.levels, level).beta for level in LEVELS}

    @cached_property
    def _table(self) -> dict[tuple[str, str], str]:
        return {key: rule.level for rule in self.rules for key in rule.values()}

    @cached_property
    def _category_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for kind, _ in self._table if kind.startswith("categories.")))

    def level_of_branches(self, branches: Iterable[str]) -> str | None:
        """The highest level among tree numbers or ontology ids, each by its longest prefix that has a rule."""
        return highest_level(
            next((self._table[key] for part in ancestors(branch) if (key := ("branches", part)) in self._table), None)
            for branch in branches
        )

    def level_of_types(self, types: Iterable[str]) -> str | None:
        """The highest level among UMLS semantic types."""
        return highest_level(self._table.get(("semantic_types", t)) for t in types)

    def level_of_names(self, names: Iterable[str]) -> str | None:
        """The highest level that a rule gives to one of these terms; case and spaces do not matter."""
        return highest_level(self._table.get(("names", normalize_name(name))) for name in names)

    def level_of_category(self, value: str) -> str | None:
        """The highest level that this value has in any category column or as a topic."""
        return highest_level(
            self._table.get((kind, normalize_name(value))) for kind in (*self._category_columns, "topics")
        )

    def level_of(
        self, names: Iterable[str] = (), branches: Iterable[str] = (), types: Iterable[str] = ()
    ) -> str | None:
        """The level of a concept by its names, else its branches, else its semantic types."""
        return self.level_of_names(names) or self.level_of_branches(branches) or self.level_of_types(types)

    def level_of_record(self, record: Record) -> str | None:
        """The record's own `concept`, else the highest level of its attributes; None if no rule fits."""
        return record.concept or highest_level(
            level for column, value in record.attributes.items() for level in self._levels_in(column, value)
        )

    def _levels_in(self, column: str, value: Any) -> Iterator[str | None]:
        column = column.strip().casefold()
        for text in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(text, str):
                continue
            yield self._table.get((f"categories.{column}", normalize_name(text)))
            criterion = COLUMNS.get(column)
            if criterion == "branches":
                yield self.level_of_branches((text,))
            elif criterion:
                yield self._table.get((criterion, normalize_name(text) if criterion == "topics" else text))

    def assign(self, corpus: Corpus) -> Corpus:
        """The corpus with a level on every record that had none and meets a rule; other records are unchanged."""
        return Corpus.of((r if r.concept else replace(r, concept=self.level_of_record(r)) for r in corpus), corpus.name)

    def dictionary(self) -> Dictionary:
        """The terms of the rules, with ids such as `finance:sanctions-screening`."""
        return Dictionary.of(
            DictionaryEntry(name, f"{self.name}:{_slug(name)}", rule.level)
            for rule in self.rules
            for name in rule.names
        )


def ancestors(branch: str) -> Iterator[str]:
    """A branch and its ancestors, nearest first: `E04.100.376`, `E04.100`, `E04`, `E`."""
    yield branch
    if TREE_NUMBER.fullmatch(branch):
        while "." in branch:
            branch = branch.rpartition(".")[0]
            yield branch
        yield branch[0]


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", normalize_name(text)).strip("-")
