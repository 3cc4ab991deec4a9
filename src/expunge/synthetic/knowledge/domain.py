"""A domain of knowledge: four levels of concepts, their relations, and pools of values, from `data/<domain>.yaml`.

Every relation has a counterpart on each level that asks for the same kind of value (a drug, an instrument, a town) in
other words. The target (L4) shares no content word with L1 to L3, neither in names nor in values nor in questions, so
whatever they share in a world comes from the setting `overlap`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge._data import package_yaml
from expunge.corpus.record import LEVELS
from expunge.synthetic.facts import FactRelation

RETAINED, TARGET = LEVELS[:3], LEVELS[3]
EVERYDAY = "everyday"  # the area of the other sense of a word with two senses


@dataclass(frozen=True)
class DomainLevel:
    """One level of a domain.

    Attributes:
        area: the node is `knowledge:<area>`
        heads: last words of the names of its concepts, 12
        relations: relations of each concept; the k-th relations of all levels have the same kind of value
        pools: values of each relation, 8
    """

    area: str
    topic: str
    heads: tuple[str, ...]
    relations: tuple[FactRelation, ...]
    pools: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class KnowledgeDomain:
    """Words of a domain.

    Attributes:
        context: name of the target in a question about a word with two senses: "surgery term"
        modifiers: middle words of names on L1 to L3, 12
        target_modifiers: middle words of names on L4, 12
        polysemes: word -> the field where it has its other sense
    """

    context: str
    levels: Mapping[str, DomainLevel]
    modifiers: tuple[str, ...]
    target_modifiers: tuple[str, ...]
    polysemes: Mapping[str, str]

    @property
    def node(self) -> str:
        """The node of the target and of its chapter."""
        return f"knowledge:{self.levels[TARGET].area}"

    def retained_pool(self, k: int) -> tuple[str, ...]:
        """Values of the k-th relations of L1 to L3 together."""
        return tuple(value for level in RETAINED for value in self.levels[level].pools[k])


def load_domain(name: str) -> KnowledgeDomain:
    """The domain in `data/<name>.yaml`."""
    data = package_yaml("expunge.synthetic", f"{name}.yaml")
    return KnowledgeDomain(
        data["context"],
        {level: _level(level, words) for level, words in data["levels"].items()},
        tuple(data["modifiers"]),
        tuple(data["target_modifiers"]),
        data["polysemes"],
    )


def _level(name: str, data: Mapping[str, Any]) -> DomainLevel:
    topic, rows = data["topic"], data["relations"]
    relations = tuple(
        FactRelation(
            r["noun"].replace(" ", "_"),
            topic,
            r["value_type"],
            r["noun"],
            r["alias"],
            r["statement"],
            k % 4,
            concept=name,
        )
        for k, r in enumerate(rows)
    )
    return DomainLevel(data["area"], topic, tuple(data["heads"]), relations, tuple(tuple(r["values"]) for r in rows))
