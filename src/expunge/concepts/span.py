"""A span: a part of a text that names one or several concepts, as the annotator returns it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` names `concepts`.

    Attributes:
        start: first character in the annotated text
        end: last character + 1; neither end lies on white space
        concepts: sorted ids; several where one name stands for several concepts
        level: the highest of their levels (L4 above L1), None if no entry has one
        negated: the text negates it ("denies pain")
        assertion: `family` (another person's), `hypothetical` ("if", "rule out"), `history` ("status post") or None
        variant: how the text differs from the name: "" for letter case at most, else `number`, `spelling`,
            `possessive`, `numeral`, `punctuation`, `synonym`, `type` ("type" left out or put in), `order`, several
            joined by "+"
        levels: the different levels of the concepts, sorted; several where the name has several senses
    """

    start: int
    end: int
    text: str
    concepts: tuple[str, ...]
    level: str | None = None
    negated: bool = False
    assertion: str | None = None
    variant: str = ""
    levels: tuple[str, ...] = field(default=(), compare=False)

    def as_row(self) -> dict[str, Any]:
        """A JSON-ready object with all fields."""
        return {**asdict(self), "concepts": list(self.concepts), "levels": list(self.levels)}
