"""Groups of records by their place in the provenance tree, for edits that tell a target from its siblings.

A target is the highest node of which everything given to the method is to be forgotten, else the node that owns a
forgotten record. Its parts are its own records and each of its children. Only the paths of the given records count, so
a hospital with a single known patient is taken for that patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from expunge.corpus import Node, Record
from expunge.methods.editing import RETAIN, Group
from expunge.scope.relations import subject_of


@dataclass(frozen=True)
class Relatives:
    """Groups of records by place. The group of a part ends with the group of its siblings: see `siblings_of`.

    retained: Nodes with a retained record in or below them.
    compared: Sibling groups that some target is compared with.
    retained_groups: All groups of retained records.
    """

    retained: frozenset[Node]
    compared: frozenset[Group]
    retained_groups: frozenset[Group]

    @classmethod
    def of(cls, forget: Sequence[Record], retain: Sequence[Record]) -> Relatives:
        """Siblings: retained nodes of the same level under the same parent; none: all of that level; none: all."""
        places = {place(r) for r in retain}
        retained = frozenset(p[:k] for p in places for k in range(len(p) + 1))
        groups = frozenset(group for p in places for group in _around(p))
        relatives = cls(retained, frozenset(), groups)
        return replace(relatives, compared=frozenset(siblings_of(relatives.part(r)) for r in forget))

    def part(self, record: Record) -> Group:
        """The group of a forgotten record: its part of its target."""
        own = place(record)
        depth = next((k for k in range(1, len(own) + 1) if own[:k] not in self.retained), len(own))
        near, level = _near(own, depth), _level(own, depth)
        siblings = near if near in self.retained_groups else level if level in self.retained_groups else RETAIN
        return ("part", "/".join(own[: depth + 1]), *siblings)

    def siblings(self, record: Record) -> tuple[Group, ...]:
        """The groups of a retained record: for each target that it is a sibling of."""
        return tuple(group for group in _around(place(record)) if group in self.compared)


def siblings_of(part: Group) -> Group:
    """The group that a part is compared with."""
    return part[2:]


def place(record: Record) -> Node:
    """The path of a record; without one, its subject is a node of its own."""
    return record.path or (f"subject:{subject_of(record)}",)


def _around(node: Node) -> list[Group]:
    return [group for k in range(1, len(node) + 1) for group in (_near(node, k), _level(node, k))]


def _near(node: Node, depth: int) -> Group:
    return ("siblings", "/".join(node[: depth - 1]), node[depth - 1].split(":", 1)[0])


def _level(node: Node, depth: int) -> Group:
    return ("level", str(depth), node[depth - 1].split(":", 1)[0])
