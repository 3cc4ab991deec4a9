"""A span: a piece of a text that names one or several concepts. What the annotator finds and everybody else reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` names `concepts`.

    start, end  characters of the annotated text; neither end lies on white space
    concepts    sorted ids; several where one name stands for several concepts
    level       the highest of their levels (L4 above L1), None if no entry has one
    negated     the text says that it is not so ("denies pain")
    context     `family` (somebody else's), `hypothetical` ("if", "rule out"), `history` ("status post") or None
    variant     how the text differs from the name: "" for letter case at most, else `number`, `spelling`,
                `possessive`, `numeral`, `punctuation`, `synonym`, `type` ("type" left out or put in), `order`,
                several joined by "+"
    """

    start: int
    end: int
    text: str
    concepts: tuple[str, ...]
    level: str | None = None
    negated: bool = False
    context: str | None = None
    variant: str = ""

    def as_row(self) -> dict[str, Any]:
        """A JSON-ready object with all fields."""
        return {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "concepts": list(self.concepts),
            "level": self.level,
            "negated": self.negated,
            "context": self.context,
            "variant": self.variant,
        }
