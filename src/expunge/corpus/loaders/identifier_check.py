"""Do the identifiers of a subject stand in its questions? Whoever is not named there cannot be replaced there.

Names are compared in one Unicode form. An identifier takes the form that the question has.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence

from expunge._printable import pluralize
from expunge.corpus.name_forms import compose, occurs
from expunge.corpus.record import Record
from expunge.errors import InputWarning


def as_written(identifiers: tuple[str, ...], texts: Sequence[str]) -> tuple[str, ...]:
    """The identifiers in the Unicode form in which they occur in `texts`; those that do not occur stay as they are."""

    def form(name: str) -> str:
        if any(name in text for text in texts):
            return name
        other = (unicodedata.normalize(kind, name) for kind in ("NFC", "NFD"))
        return next((each for each in other if any(each in text for text in texts)), name)

    return tuple(map(form, identifiers))


class IdentifierCheck:
    """Counts records whose prompt holds none of their identifiers, and identifiers in no prompt of their subject.

    The turns before a prompt, variants and the text of a document count as prompts. A record that shows an image may
    name its subject by that alone.
    """

    def __init__(self) -> None:
        self.listed = self.unnamed = 0
        self.first = ""
        self._seen: set[int] = set()
        self._absent: dict[int, str] = {}

    @property
    def absent(self) -> int:
        """Identifiers that occur in none of their subject's prompts, as far as records have been added."""
        return len(self._absent)

    def add(self, record: Record, where: str) -> None:
        """Count a record."""
        if not record.identifiers or record.image:
            return
        self.listed += 1
        texts = (
            record.prompt,
            *(turn.content for turn in record.history),
            *(variant.prompt for variant in record.variants),
            *([record.answer] if record.kind == "document" else []),
        )
        whose = record.subject or record.path or record.id
        named = False
        for name in record.identifiers:
            key = hash((whose, compose(name)))
            if any(occurs(name, text) for text in texts):
                named = True
                self._seen.add(key)
                self._absent.pop(key, None)
            elif key not in self._seen:
                self._absent.setdefault(key, where)
        if not named:
            self.unnamed += 1
            self.first = self.first or where

    def warn(self, source: str) -> None:
        """One `InputWarning` if a record names nobody, or an identifier stands in no prompt."""
        parts = []
        if self.unnamed:
            listed = pluralize(self.listed, "record")
            parts.append(f"in {self.unnamed:,} of {listed} with identifiers, none of them stands in the prompt")
        if self._absent:
            absent = pluralize(self.absent, "identifier stands", "identifiers stand")
            parts.append(f"{absent} in no prompt of the subject")
        if parts:
            first = self.first or next(iter(self._absent.values()))
            hint = "check that they are written as in the prompts"
            warnings.warn(f"{source}: {' and '.join(parts)} (first: {first}); {hint}", InputWarning, stacklevel=3)
