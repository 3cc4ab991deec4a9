"""Where retain_heldout records stand in the tree around the target, and what is still known at each place.

A place is a relation with the depth at which its branch leaves the way to the target and the depth at which it ends,
both counted in nodes from the root. Surprising: cousins who share a value with the target stand with the other
cousins at their distance, because a drawing has a place for distance and none for values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from expunge.audit.check_result import bounds
from expunge.audit.checks.retention import measured, smaller
from expunge.audit.context import Context
from expunge.corpus import Node, Record, lowest_common_ancestor

KIN = {"same_attribute": "cousins"}  # drawn with


class TreePosition(NamedTuple):
    """`distance`: edges to the target, None for what stands in no tree of its kind."""

    relation: str
    branch: int
    depth: int
    distance: int | None


def tree(ctx: Context) -> dict[str, Any]:
    """The way to the target and the places around it; empty where nothing that is to be forgotten stands in a tree."""
    nodes = ctx.split.nodes
    if not nodes:
        return {}
    found: dict[TreePosition, list[str]] = {}
    for r in ctx.split.retain_heldout:
        if relation := ctx.split.relation.get(r.id):
            place = place_of(r, relation, ctx.split.tree_distance.get(r.id), nodes)
            found.setdefault(place, []).append(r.row_id)
    return {
        "way": way(nodes),
        "targets": len(nodes),
        "places": [{**place._asdict(), **_kept(ctx, ids)} for place, ids in sorted(found.items(), key=_near)],
    }


def place_of(record: Record, relation: str, distance: int | None, nodes: Sequence[Node]) -> TreePosition:
    """Where a record of this relation and distance stands beside the nearest of the target's nodes."""
    relation = KIN.get(relation, relation)
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


def way(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """From the root to the target, level by level: its name, and how many nodes stand there."""
    deepest = max(nodes, key=len)
    steps = []
    for k in range(1, len(deepest) + 1):
        here = {n[:k] for n in nodes if len(n) >= k}
        level, _, name = deepest[k - 1].partition(":")
        steps.append({"level": level, "name": (name or level) if len(here) == 1 else "", "count": len(here)})
    return steps


def _near(item: tuple[TreePosition, list[str]]) -> tuple[bool, int, int, str]:
    place = item[0]
    return place.distance is None, -place.branch, place.depth, place.relation


def _kept(ctx: Context, ids: Sequence[str]) -> dict[str, Any]:
    """Retention at a place by the measure that counts."""
    found = measured(ctx, "retain_heldout", ids)
    metric = smaller(found)
    kept = found[metric]
    return {
        "metric": metric,
        "kept": {"estimate": kept.estimate, "ci": bounds(kept)},
        "n_records": kept.n_records,
        "n_subjects": kept.n_subjects,
    }
