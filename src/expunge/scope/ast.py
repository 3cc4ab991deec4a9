"""The terms of a scope expression: each selects records of a corpus.

A term that matches nothing is an error even inside an `or`: a mistyped name must not forget less than the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.corpus import Corpus, Node, Record, contains
from expunge.corpus.record_store import ids, paths
from expunge.errors import InputError, nearest, nearest_few
from expunge.scope.mentions import InFile, Mentions

Ids = frozenset[str]
FIELDS: Mapping[str, Callable[[Record], str | None]] = {
    "id": lambda r: r.id,
    "subject": lambda r: r.subject,
    "kind": lambda r: r.kind,
    "concept": lambda r: r.concept,
    "split": lambda r: r.split,
}

CLOSED = ("kind", "concept", "split")  # fields whose values name no person


@dataclass(frozen=True, slots=True)
class InNode:
    """Records in the subtree of a node, named `level:name` or by its full path."""

    name: str

    def match(self, corpus: Corpus, where: str) -> Ids:
        node = self.node(corpus, where)
        return frozenset(
            name for name, path in zip(ids(corpus.records), paths(corpus.records), strict=True) if contains(node, path)
        )

    def node(self, corpus: Corpus, where: str) -> Node:
        return corpus.tree.find(self.name, where)


@dataclass(frozen=True, slots=True)
class Equals:
    """Records whose field or attribute has this value (a list: holds it)."""

    key: str
    value: str

    def match(self, corpus: Corpus, where: str) -> Ids:
        matches = frozenset(r.id for r in corpus if self.value in _values(r, self.key))
        if matches:
            return matches
        known = set(FIELDS).union(*(r.attributes for r in corpus))
        if self.key not in known:
            raise InputError(where, f'unknown attribute "{self.key}"', nearest(self.key, known))
        hint = nearest if self.key in CLOSED else nearest_few
        values = set().union(*(_values(r, self.key) for r in corpus))
        raise InputError(where, f'no record has {self.key}="{self.value}"', hint(self.value, values))


def _values(record: Record, key: str) -> set[str]:
    """The values of a field or attribute as texts; numbers and truth values as JSON writes them."""
    value: Any = FIELDS[key](record) if key in FIELDS else record.attributes.get(key)
    items = value if isinstance(value, (list, tuple)) else [value]
    return {str(item).lower() if isinstance(item, bool) else str(item) for item in items if item is not None}


@dataclass(frozen=True, slots=True)
class HasId:
    """Records by id; every id must exist."""

    ids: tuple[str, ...]

    def match(self, corpus: Corpus, where: str) -> Ids:
        for name in self.ids:
            if name not in corpus.by_id:
                raise InputError(where, f'no record has the id "{name}"', nearest_few(name, corpus.by_id))
        return frozenset(self.ids)


@dataclass(frozen=True, slots=True)
class Not:
    """Records that a term does not match."""

    term: Expression

    def match(self, corpus: Corpus, where: str) -> Ids:
        return frozenset(ids(corpus.records)) - self.term.match(corpus, where)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Records that every term matches."""

    terms: tuple[Expression, ...]

    def match(self, corpus: Corpus, where: str) -> Ids:
        return frozenset.intersection(*(term.match(corpus, where) for term in self.terms))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Records that at least one term matches."""

    terms: tuple[Expression, ...]

    def match(self, corpus: Corpus, where: str) -> Ids:
        return frozenset().union(*(term.match(corpus, where) for term in self.terms))


Expression = InNode | Equals | HasId | Mentions | InFile | Not | AllOf | AnyOf


def nodes(term: Expression, corpus: Corpus, where: str) -> tuple[Node, ...] | None:
    """The nodes that a term names if it is made of nodes alone (joined by `or`), else None."""
    if isinstance(term, InNode):
        return (term.node(corpus, where),)
    if isinstance(term, AnyOf):
        parts = [nodes(part, corpus, where) for part in term.terms]
        return None if None in parts else tuple(node for part in parts for node in part or ())
    return None
