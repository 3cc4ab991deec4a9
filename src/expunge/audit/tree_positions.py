"""Positions of the held-out retain records in the tree around the target: geometry only, no scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expunge.audit.details import TreeLevel
from expunge.corpus import Node, Record, lowest_common_ancestor
from expunge.scope.split import Split

DRAWN_WITH = {"same_attribute": "cousins"}  # a drawing has a place for distance and none for values


class TreePosition(NamedTuple):
    """Relation, depth at which the branch leaves the way to the target, depth at which it ends, edges to the target.

    Depths count nodes from the root. `distance` is None for records outside the target's tree.
    """

    relation: str
    branch: int
    depth: int
    distance: int | None


def tree_positions(split: Split) -> list[tuple[TreePosition, list[str]]]:
    """Positions with the row ids of their records, nearest branch first."""
    positions: dict[TreePosition, list[str]] = {}
    for r in split.retain_heldout:
        if relation := split.relation.get(r.id):
            position = tree_position(r, relation, split.tree_distance.get(r.id), split.nodes)
            positions.setdefault(position, []).append(r.row_id)
    return sorted(positions.items(), key=_order)


def tree_position(record: Record, relation: str, distance: int | None, nodes: Sequence[Node]) -> TreePosition:
    """Where a record of this relation and distance stands beside the nearest of the target's nodes."""
    relation = DRAWN_WITH.get(relation, relation)
    target = max(nodes, key=lambda n: (len(lowest_common_ancestor(n, record.path)), -len(n)))
    end = max(map(len, nodes))
    if relation == "ancestors":
        return TreePosition(relation, len(record.path), len(record.path), end - len(record.path))
    if relation == "siblings":
        return TreePosition(relation, end - 1, end, 2)
    if distance is None:
        return TreePosition(relation, 0, 0, None)
    shared = min(len(lowest_common_ancestor(target, record.path)), len(target) - 1)
    return TreePosition(relation, shared, shared + max(1, distance - len(target) + shared), distance)


def tree_levels(nodes: Sequence[Node]) -> tuple[TreeLevel, ...]:
    """The levels from the root to the target: name of the node, and number of the target's nodes there."""
    deepest = max(nodes, key=len)
    levels = []
    for k in range(1, len(deepest) + 1):
        here = {n[:k] for n in nodes if len(n) >= k}
        level, _, name = deepest[k - 1].partition(":")
        levels.append(TreeLevel(level=level, name=(name or level) if len(here) == 1 else "", count=len(here)))
    return tuple(levels)


def _order(item: tuple[TreePosition, list[str]]) -> tuple[bool, int, int, str]:
    position = item[0]
    return position.distance is None, -position.branch, position.depth, position.relation
