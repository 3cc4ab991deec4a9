"""A picture that a record shows: what the data calls it, what is in it, and where its bytes are.

Surprising: bytes are read only when asked for. A corpus of many pictures keeps names and digests, not pictures; so
records stay small, equal to those of another load, and fit to be pickled.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from expunge.errors import InputError


@dataclass(frozen=True, slots=True)
class RecordImage:
    """An encoded picture (PNG, JPEG, …).

    name    a relative path with `/`: where it stands beside the data, and where `Corpus.save` puts it
    digest  SHA-256 of the encoded bytes, in hex; two pictures are equal if name and digest are
    source  the file that holds them, or the bytes themselves where there is no file (small, drawn pictures)
    """

    name: str
    digest: str
    source: Path | bytes = field(compare=False, repr=False)

    @classmethod
    def of(cls, name: str, data: bytes, source: Path | None = None) -> RecordImage:
        """The picture of these encoded bytes, which also lie in `source` if that is given."""
        return cls(name, hashlib.sha256(data).hexdigest(), source or data)

    def data(self) -> bytes:
        """The encoded bytes; `InputError` if the file has gone or is another one now."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            found = self.source.read_bytes()
        except OSError as error:
            raise InputError(
                str(self.source),
                f"the picture could not be read ({error.strerror})",
                "put it back, or load the corpus again",
            ) from error
        if hashlib.sha256(found).hexdigest() != self.digest:
            raise InputError(
                str(self.source), "the picture has changed since the corpus was loaded", "load the corpus again"
            )
        return found
