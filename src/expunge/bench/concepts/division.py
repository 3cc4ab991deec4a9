"""What stays, divided once into what runs are given and what they never see.

A subject falls on one side as a whole, by a hash of its name. Surprising: the draw is made within each level, because
a plain draw from sixteen subjects a level leaves some level with a single one, and retention by level needs several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from expunge.corpus import Node, Record
from expunge.random import uniform
from expunge.scope.relations import people, subject_of

SALT = "expunge-bench-concepts-v1"


def retain_heldout(records: Sequence[Record], nodes: Mapping[str, Node], seed: int, share: float) -> frozenset[str]:
    """Ids of the records that no run is given.

    nodes  subject → its node, over all trained records; what is known of a node that others live below (a hospital,
           the world) is drawn fact by fact
    share  of the units of each level; at least one unit stays on either side wherever there are two
    """
    persons = people(nodes)
    units: dict[tuple[bool, str], list[Record]] = {}
    for record in records:
        person = subject_of(record) in persons
        units.setdefault((person, subject_of(record) if person else min(record.fact_keys)), []).append(record)
    levels: dict[tuple[str, ...], list[tuple[bool, str]]] = {}
    for unit, mine in units.items():
        levels.setdefault(tuple(sorted({r.concept or "" for r in mine})), []).append(unit)
    chosen: set[str] = set()
    for members in levels.values():
        count = min(max(1, round(share * len(members))), len(members) - 1)
        order = sorted(members, key=lambda unit: (uniform(f"{SALT}:{seed}", unit[1]), unit))
        chosen.update(r.id for unit in order[:count] for r in units[unit])
    return frozenset(chosen)
