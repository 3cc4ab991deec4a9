"""A picture that a record shows: its name in the data, a digest of its bytes, and where they are.

Bytes are read only on access. A corpus of many pictures holds names and digests, so records stay small, equal to those
of another load, and cheap to pickle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from expunge.errors import InputError


@dataclass(frozen=True, slots=True)
class RecordImage:
    """An encoded picture (PNG, JPEG, …).

    Attributes:
        name: A relative path with `/`: its place beside the data, and where `Corpus.save` puts it.
        digest: SHA-256 of the encoded bytes, in hex; two pictures are equal if name and digest are.
        source: The file that holds them, or the bytes themselves where there is no file (small, drawn pictures).
    """

    name: str
    digest: str
    source: Path | bytes = field(compare=False, repr=False)

    @classmethod
    def of(cls, name: str, data: bytes, source: Path | None = None) -> RecordImage:
        """The picture of these encoded bytes, which also lie in `source` if that is given."""
        return cls(name, hashlib.sha256(data).hexdigest(), source or data)

    def data(self) -> bytes:
        """The encoded bytes; `InputError` if the file is gone or has changed."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            data = self.source.read_bytes()
        except OSError as error:
            what = f"the picture could not be read ({error.strerror})"
            raise InputError(str(self.source), what, "put it back, or load the corpus again") from error
        if hashlib.sha256(data).hexdigest() != self.digest:
            what = "the picture has changed since the corpus was loaded"
            raise InputError(str(self.source), what, "load the corpus again")
        return data
