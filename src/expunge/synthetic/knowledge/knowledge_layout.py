"""Settings of a world of knowledge, and the slot of every concept.

Every name, value, option and letter depends on the seed and the slot alone. A world with fewer concepts is therefore
contained, row by row, in a world with more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from expunge.corpus.record import LEVELS
from expunge.random import draw
from expunge.synthetic.base import World
from expunge.synthetic.facts import CANDIDATES
from expunge.synthetic.knowledge.domain import EVERYDAY, RETAINED, TARGET, KnowledgeDomain

MAX_CONCEPTS = 960  # concepts of a kind
RELATIONS = 6  # of a concept, on each level
POLYSEMES = 40
MARKS = {"taught": "", "chapter": "f", "holdout": "h", "sense": "p"}


@dataclass(frozen=True, slots=True)
class ConceptSlot:
    """The place of a concept.

    Attributes:
        partition: taught; chapter (L1 to L3, taught inside the target's chapter only); holdout (L4, never taught);
            or sense (one of the two concepts of a word with two senses)
        control: 0 for the concept itself, 1 to 47 for its controls
    """

    level: str
    partition: str
    index: int
    control: int = 0

    @property
    def group(self) -> str:
        """Its level, or `everyday`; decides the last word of its name."""
        return EVERYDAY if self.partition == "sense" and self.level != TARGET else self.level

    @property
    def key(self) -> tuple[str, str, int]:
        """Key of its draws; the same for its controls."""
        return self.group, self.partition, self.index

    @property
    def stem(self) -> str:
        """`L4-007`; `L1-f003` in the chapter, `L4-h003` a holdout, `L4-p003` a sense; `L4-007-t05` a control."""
        mark = f"-t{self.control:02d}" if self.control else ""
        return f"{self.level}-{MARKS[self.partition]}{self.index + 1:03d}{mark}"

    @property
    def subject(self) -> str:
        return f"concept:{self.stem}"


class KnowledgeLayout(World):
    """Settings of a world of knowledge, and the slots of its concepts."""

    domain: ClassVar[KnowledgeDomain]

    seed: int = Field(0, ge=0, lt=2**63, description="every draw depends on it")
    targets: int = Field(36, ge=1, le=MAX_CONCEPTS, description="concepts of the target class, L4")
    per_level: int = Field(36, ge=1, le=MAX_CONCEPTS, description="concepts of each of L1, L2 and L3")
    facts: int = Field(5, ge=1, le=RELATIONS, description="facts of a concept")
    overlap: float = Field(0.0, ge=0, le=0.75, description="chance that an L4 name or value is taken from L1 to L3")
    foundations: int = Field(
        0, ge=0, le=MAX_CONCEPTS, description="concepts of each of L1 to L3 in the target's chapter only"
    )
    polysemes: int = Field(0, ge=0, le=POLYSEMES, description="words with a sense of the target and an everyday sense")
    holdout: int | None = Field(
        None, ge=0, le=MAX_CONCEPTS, description="L4 concepts never trained; as many as targets"
    )
    controls_for: tuple[str, ...] = Field((), description="concepts that get controls_per_target controls")
    controls_per_target: int = Field(40, ge=1, lt=CANDIDATES, description="controls of each concept in controls_for")

    @property
    def root(self) -> int:
        """Key of every draw: the seed and the domain."""
        return draw(self.seed, self.domain.node, purpose="domain")

    def trained_slots(self) -> Iterator[ConceptSlot]:
        """Every trained concept: L1 to L4, the rest of the chapter, then both senses of every polyseme."""
        for level in LEVELS:
            count = self.targets if level == TARGET else self.per_level
            yield from (ConceptSlot(level, "taught", index) for index in range(count))
        for level in RETAINED:
            yield from (ConceptSlot(level, "chapter", index) for index in range(self.foundations))
        for index in range(self.polysemes):
            yield ConceptSlot(TARGET, "sense", index)
            yield ConceptSlot(RETAINED[index % 2], "sense", index)

    def holdout_slots(self) -> Iterator[ConceptSlot]:
        """The holdout concepts."""
        count = self.targets if self.holdout is None else self.holdout
        return (ConceptSlot(TARGET, "holdout", index) for index in range(count))

    def node(self, slot: ConceptSlot) -> str:
        """The node of a concept."""
        if slot.partition == "chapter":
            return self.domain.node
        if slot.group == EVERYDAY:
            return f"knowledge:{EVERYDAY}"
        return f"knowledge:{self.domain.levels[slot.level].area}"
