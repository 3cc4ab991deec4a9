"""Do the identifiers of a record stand in its question? Whoever is not named there cannot be replaced there.

"ü" may be one character or two (NFC, NFD). An identifier takes the form that the question has.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence

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
    """Counts records whose identifiers occur neither in their prompt, nor in the turns before it, nor in a variant."""

    def __init__(self) -> None:
        self.listed = self.unnamed = 0
        self.first = ""

    def add(self, record: Record, where: str) -> None:
        """Count a record; one that shows an image may name its subject by that alone."""
        if not record.identifiers or record.image:
            return
        self.listed += 1
        texts = (
            record.prompt,
            *(turn.content for turn in record.history),
            *(variant.prompt for variant in record.variants),
            *([record.answer] if record.kind == "document" else []),
        )
        if not any(name in text for name in record.identifiers for text in texts):
            self.unnamed += 1
            self.first = self.first or where

    def warn(self, source: str) -> None:
        """One `InputWarning`, if there is such a record."""
        if self.unnamed:
            what = f"in {self.unnamed:,} of {self.listed:,} records with identifiers, none of them stands in the prompt"
            warnings.warn(f"{source}: {what} (first: {self.first})", InputWarning, stacklevel=3)
