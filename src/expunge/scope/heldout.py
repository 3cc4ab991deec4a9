"""Which of the records that stay are never shown to a method: the only basis for figures on retention.

A subject falls on one side as a whole, by a draw from its name. Surprising: near the target the draw is
corrected, because without siblings on both sides either the method could not protect them or the audit
could not see the damage:

* of the siblings of a target, at least 2 of 4 or more (1 of 2 or 3) are retain_heldout and at least 1 is retained;
* a person of whom only a part is forgotten is divided fact by fact, and the same holds for these facts: what is left
  of the person is what a run endangers most, and whoever asks for it has those records; a single one stays held out;
* what is known of the world, or of a node that other subjects live below (a hospital), is drawn fact by fact,
  or whole hospitals would vanish from one side; all wordings of a fact fall on the same side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expunge.corpus import Node, Record
from expunge.random import uniform
from expunge.scope.relations import people, subject_of

SALT = "expunge-untouched-v1"


def retain_heldout_ids(
    outside: Iterable[Record],
    inside: Iterable[Record],
    nodes: Mapping[str, Node],
    targets: Iterable[Node],
    seed: int,
    share: float,
) -> frozenset[str]:
    """Ids of the records of `outside` (trained, not in the scope) that no method may see.

    nodes    subject → its node, over `outside` and `inside`
    share    of subjects, in [0, 1); 0 means none at all
    """
    if share == 0:
        return frozenset()
    persons = people(nodes)
    halved = {subject_of(record) for record in inside} & persons
    units: dict[tuple[bool, str], list[str]] = {}
    parted: set[str] = set()
    for record in outside:
        subject = subject_of(record)
        person = subject in persons and subject not in halved
        if subject in halved:
            parted.add(min(record.fact_keys))
        units.setdefault((person, subject if person else min(record.fact_keys)), []).append(record.id)
    draws = {unit: uniform(f"{SALT}:{seed}", unit[1]) for unit in units}
    order = sorted(units, key=lambda unit: (draws[unit], unit))
    chosen = {unit for unit in order if draws[unit] < share}

    families = {(t[:-1], len(t)) for t in targets if t}
    strata: dict[object, list[tuple[bool, str]]] = {}
    for person, name in order:
        node = nodes[name] if person else ()
        if not person and name in parted:
            strata.setdefault("halved", []).append((person, name))
        elif (node[:-1], len(node)) in families:
            strata.setdefault(node[:-1], []).append((person, name))
    for key, members in strata.items():
        lone = 1 if key == "halved" else 0
        n = len(members)
        least = 2 if n >= 4 else 1 if n >= 2 else lone
        count = min(max(sum(unit in chosen for unit in members), least), max(n - 1, lone))
        chosen = (chosen - set(members)) | set(members[:count])
    if not chosen and len(order) > 1:
        chosen = {order[0]}
    if len(chosen) == len(order):
        chosen.discard(order[-1])
    return frozenset(name for unit in chosen for name in units[unit])
