"""The surroundings of a target: retained records near it in the tree, or about facts that it shares.

What an attacker knows who has the rest of the corpus. For a control they are those of the person it stands for, so that
both are asked behind the same kind of context.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from expunge.audit.reconstruction.background import MAX_CHARACTERS, BackgroundDraw, state
from expunge.audit.reconstruction.prompts import gives_away
from expunge.corpus import Node, Record, lowest_common_ancestor
from expunge.random import uniform
from expunge.scope.split import Split

POOL = 256  # retained records that are held at each depth of the common ancestor with a target


def target_of(record: Record) -> str:
    """The subject to be forgotten that a record is about, or stands for as a control."""
    return str(record.attributes.get("control_of") or record.subject)


@dataclass(frozen=True)
class Surroundings:
    """Retained records by target, the nearest first, and those of a far person for comparison.

    Attributes:
        near: Target to records: about a fact that it shares first, then by the depth of the common ancestor.
        far: Target to records of one other subject, as far away in the tree as there is one.
    """

    near: Mapping[str, tuple[Record, ...]] = field(repr=False)
    far: Mapping[str, tuple[Record, ...]] = field(repr=False)

    @classmethod
    def of(cls, split: Split) -> Surroundings:
        """The surroundings of every target of a split. What is drawn depends on ids alone."""
        paths: dict[str, Node] = {}
        for r in split.forget:
            paths[r.subject] = min(paths.get(r.subject, r.path), r.path, key=len)
        shared: dict[str, set[str]] = defaultdict(set)
        for r in split.shared:
            shared[r.subject].update(r.fact_keys)
        pools: dict[tuple[str, int], BackgroundDraw] = defaultdict(lambda: BackgroundDraw(POOL))
        for r in statements(chain(split.retain, split.retain_heldout)):
            for target, path in paths.items():
                common = bool(shared[target] & set(r.fact_keys))
                depth = 1000 if common else len(lowest_common_ancestor(r.path, path))
                pools[target, depth].offer(f"surroundings:{target}", r)
        near: dict[str, tuple[Record, ...]] = {}
        far: dict[str, tuple[Record, ...]] = {}
        for target in paths:
            depths = sorted(d for t, d in pools if t == target)
            rows = {d: pools[target, d].records() for d in depths}
            near[target] = tuple(r for d in depths[::-1] for r in rows[d])
            far[target] = next((one for d in depths if (one := of_one_person(rows[d], target))), ())
        return cls(near, far)

    def about(self, record: Record, count: int) -> list[Record]:
        """Up to `count` of the nearest records that do not tell the answer of this one, each statement once."""
        return _telling_nothing(record, self.near.get(target_of(record), ()), count)

    def elsewhere(self, record: Record, count: int) -> list[Record]:
        """The same of the far person."""
        return _telling_nothing(record, self.far.get(target_of(record), ()), count)


def statements(records: Iterable[Record]) -> Iterator[Record]:
    """Those that a sentence can state: no options, no picture, no document, and not long."""
    for r in records:
        if not r.options and not r.image and r.kind != "document" and len(state(r)) <= MAX_CHARACTERS:
            yield r


def of_one_person(records: Iterable[Record], target: str, least: int = 4) -> tuple[Record, ...]:
    """The records of the subject that has most of them; () where nobody has `least`."""
    by_subject: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        by_subject[r.subject].append(r)
    name = max(by_subject, key=lambda s: (len(by_subject[s]), uniform(f"elsewhere:{target}", s)), default="")
    return tuple(by_subject[name]) if len(by_subject[name]) >= least else ()


def _telling_nothing(record: Record, pool: Iterable[Record], count: int) -> list[Record]:
    chosen: dict[str, Record] = {}
    for r in pool:
        if len(chosen) == count:
            break
        if not gives_away(state(r), record.answer):
            chosen.setdefault(state(r), r)
    return list(chosen.values())
