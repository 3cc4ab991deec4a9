"""The held-out retain set: retain records that no method is given, the only basis for retention figures.

A subject falls on one side as a whole, by a draw from its name. Near the target the draw is corrected, because the
method and the audit both need siblings of it:

* of the siblings of a target, at least 2 of 4 or more (1 of 2 or 3) are held out and at least 1 is given to the method;
* a subject of which only a part is forgotten is divided fact by fact, and the same holds for these facts; a single one
  is held out;
* of all others at least 5 of 10 or more are held out: fewer cannot tell whether half of what lies elsewhere is lost;
* facts of the world, or of a node that other subjects lie below (a hospital), are drawn one by one, or whole hospitals
  would vanish from one side; all wordings of a fact fall on the same side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expunge.corpus import Node, Record
from expunge.random import uniform
from expunge.scope.relations import people, subject_of

SALT = "expunge-untouched-v1"
LEAST = 5  # units held out far from the target, where there are twice as many


def retain_heldout_ids(
    outside: Iterable[Record],
    inside: Iterable[Record],
    nodes: Mapping[str, Node],
    targets: Iterable[Node],
    seed: int,
    share: float,
) -> frozenset[str]:
    """Ids of the records of `outside` that no method may see.

    Args:
        outside: Trained records that the scope does not name.
        inside: Those that it names.
        nodes: Subject -> its node, over both.
        share: Of subjects, in [0, 1); 0 means none at all.
    """
    if share == 0:
        return frozenset()
    persons = people(nodes)
    partial = {subject_of(record) for record in inside} & persons
    units: dict[tuple[bool, str], list[str]] = {}
    partial_facts: set[str] = set()
    for record in outside:
        subject = subject_of(record)
        person = subject in persons and subject not in partial
        if subject in partial:
            partial_facts.add(min(record.fact_keys))
        units.setdefault((person, subject if person else min(record.fact_keys)), []).append(record.id)
    draws = {unit: uniform(f"{SALT}:{seed}", unit[1]) for unit in units}
    order = sorted(units, key=lambda unit: (draws[unit], unit))
    heldout = {unit for unit in order if draws[unit] < share}

    families = {(t[:-1], len(t)) for t in targets if t}
    strata: dict[object, list[tuple[bool, str]]] = {}
    for person, name in order:
        node = nodes[name] if person else ()
        if not person and name in partial_facts:
            strata.setdefault("partial", []).append((person, name))
        elif (node[:-1], len(node)) in families:
            strata.setdefault(node[:-1], []).append((person, name))
    for key, members in strata.items():
        lone = 1 if key == "partial" else 0
        n = len(members)
        least = 2 if n >= 4 else 1 if n >= 2 else lone
        count = min(max(sum(unit in heldout for unit in members), least), max(n - 1, lone))
        heldout = (heldout - set(members)) | set(members[:count])
    near = {unit for members in strata.values() for unit in members}
    far = [unit for unit in order if unit not in near]
    if len(far) >= 2 * LEAST:
        heldout |= set(far[:LEAST])
    if not heldout and len(order) > 1:
        heldout = {order[0]}
    if len(heldout) == len(order):
        heldout.discard(order[-1])
    return frozenset(name for unit in heldout for name in units[unit])
