"""What a domain of knowledge is made of: four levels of concepts, their relations, and pools of values.

Every relation has a counterpart on each level that asks for the same kind of value (a drug, an instrument, a town),
with words of its own. Surprising: the target (L4) shares no content word with L1 to L3, neither in names nor in
values nor in questions. So whatever they share in a world was put there by its dial for overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.corpus.record import LEVELS
from expunge.synthetic.hospital.relations import FactRelation

RETAINED, TARGET = LEVELS[:3], LEVELS[3]
EVERYDAY = "everyday"  # the area in which the other sense of a word with two senses is taught


def listed(text: str) -> tuple[str, ...]:
    """`a, b, c` as a tuple."""
    return tuple(" ".join(word.split()) for word in text.split(","))


@dataclass(frozen=True)
class DomainLevel:
    """One level of a domain.

    area       the node is `knowledge:<area>`
    heads      last words of the names of its concepts, 12
    relations  what is taught about each concept; place k has the k-th kind of value
    pools      values of each relation, 8
    """

    area: str
    topic: str
    heads: tuple[str, ...]
    relations: tuple[FactRelation, ...]
    pools: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class KnowledgeDomain:
    """Words of a domain.

    context            what the target is called in a question about a word with two senses: "surgery term"
    modifiers          middle words of names on L1 to L3, 12
    target_modifiers   of names on L4, 12
    polysemes          word → where it means something else; all of them mean something in the target, too
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
        """What L1 to L3 together answer to their k-th relations."""
        return tuple(value for level in RETAINED for value in self.levels[level].pools[k])


def level(name: str, area: str, topic: str, heads: str, rows: str) -> DomainLevel:
    """A level; `rows` hold per relation `value type | noun | alias | statement`, and its values in the lines below."""
    relations: list[FactRelation] = []
    pools: list[str] = []
    for line in rows.strip().splitlines():
        if "|" in line:
            value_type, noun, alias, statement = (cell.strip() for cell in line.split("|"))
            relations.append(
                FactRelation(
                    noun.replace(" ", "_"), topic, value_type, noun, alias, statement, len(relations) % 4, concept=name
                )
            )
            pools.append("")
        else:
            pools[-1] = f"{pools[-1]} {line}"
    return DomainLevel(area, topic, listed(heads), tuple(relations), tuple(map(listed, pools)))


def senses(text: str) -> dict[str, str]:
    """`graft: gardening, drain: plumbing` as a mapping."""
    return {word: context for word, _, context in (entry.partition(": ") for entry in listed(text))}
