"""The provenance tree: any depth, any level names. Institution → Patient → Study → Section is the default.

A node is its full path, a tuple of `level:name` strings; the root is `()`. Names may repeat under different
parents; `find` resolves a short `level:name` and refuses an ambiguous one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from expunge._printable import pluralize
from expunge.errors import InputError, nearest, nearest_few

Node = tuple[str, ...]


def lowest_common_ancestor(a: Node, b: Node) -> Node:
    """The deepest node above (or equal to) both."""
    shared = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        shared += 1
    return a[:shared]


def distance(a: Node, b: Node) -> int:
    """Edges between two nodes: depth(a) + depth(b) - 2 depth(LCA). Siblings 2, cousins 4, … ."""
    return len(a) + len(b) - 2 * len(lowest_common_ancestor(a, b))


def contains(ancestor: Node, node: Node) -> bool:
    """True if `node` lies in the subtree of `ancestor` (a node contains itself)."""
    return node[: len(ancestor)] == ancestor


@dataclass(frozen=True)
class Tree:
    """All nodes of a corpus, closed under "parent of"."""

    nodes: frozenset[Node]

    @classmethod
    def from_paths(cls, paths: Iterable[Node]) -> Tree:
        return cls(frozenset(p[:k] for p in set(paths) for k in range(len(p) + 1)) | {()})

    @cached_property
    def by_name(self) -> dict[str, list[Node]]:
        """`level:name` -> every node that ends in it."""
        table: dict[str, list[Node]] = {}
        for node in sorted(self.nodes):
            if node:
                table.setdefault(node[-1], []).append(node)
        return table

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Level names, shallow first."""
        depth: dict[str, int] = {}
        for node in self.nodes:
            if node:
                level = node[-1].split(":", 1)[0]
                depth[level] = min(depth.get(level, len(node)), len(node))
        return tuple(sorted(depth, key=lambda level: (depth[level], level)))

    def find(self, name: str, where: str = "scope") -> Node:
        """The node called `level:name` (or a full path joined by `/`); `InputError` if unknown or ambiguous."""
        if "/" in name:
            node = tuple(name.split("/"))
            if node in self.nodes:
                return node
        hits = self.by_name.get(name, [])
        if len(hits) == 1:
            return hits[0]
        if not hits:
            level = name.split(":", 1)[0]
            if ":" in name and level not in self.levels:
                raise InputError(where, f'unknown level "{level}"', nearest(level, self.levels))
            known = [n for n in self.by_name if n.startswith(level + ":")] or list(self.by_name)
            raise InputError(where, f'no node "{name}" in the tree', nearest_few(name, known))
        paths = ", ".join("/".join(h) for h in hits[:3])
        raise InputError(
            where, f'"{name}" names {pluralize(len(hits), "node")}', f"give the full path, for example {paths}"
        )
