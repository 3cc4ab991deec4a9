"""Where records lie that are too many for memory: a temporary file without a name, one pickle per record.

In memory stay 12 bytes of place, the id, and the table of distinct paths, since every scope asks for those. A record
is read with one `pread` (POSIX), so that threads and forked processes may share a store.

Surprising: the texts of a large corpus are on disk for as long as it lives, in the folder that TMPDIR names; the file
is gone with the process.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import weakref
from array import array
from contextlib import suppress
from typing import IO

from expunge.corpus.record import Record, Variant
from expunge.errors import InputError


class RecordStore:
    """Records by position. Filled with `add`, then `close`d once, then read only.

    ids    id of every record
    paths  distinct paths, in order of first appearance
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.paths: list[tuple[str, ...]] = []
        self._codes: dict[tuple[str, ...], int] = {}
        self._code = array("I")
        self._start = array("Q", [0])
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the store
        except OSError as error:
            raise _refused(error) from error
        self._handle = self._file.fileno()
        weakref.finalize(self, _close, self._file)

    def add(self, record: Record) -> None:
        """Append a record; `InputError` if the disk is full."""
        r = record
        code = self._codes.get(r.path)
        if code is None:
            code = len(self.paths)
            self.paths.append(tuple(map(sys.intern, r.path)))
            self._codes[self.paths[-1]] = code
        data = pickle.dumps(
            (
                r.prompt,
                r.answer,
                r.kind,
                r.options,
                r.subject,
                r.identifiers,
                r.facts,
                tuple((v.prompt, v.answer, v.options) for v in r.variants),
                r.concept,
                r.split,
                r.image,
                dict(r.attributes),
            ),
            pickle.HIGHEST_PROTOCOL,
        )
        self._put(data)
        self.ids.append(r.id)
        self._code.append(code)
        self._start.append(self._start[-1] + len(data))

    def close(self) -> None:
        """No more records will come."""
        self._put(b"")
        self._codes.clear()

    def _put(self, data: bytes) -> None:
        try:
            if data:
                self._file.write(data)
            else:
                self._file.flush()
        except OSError as error:
            raise _refused(error) from error

    def path(self, k: int) -> tuple[str, ...]:
        """The path of record `k`, without reading it."""
        return self.paths[self._code[k]]

    def read(self, k: int) -> Record:
        """Record `k`, equal to the one that was added."""
        start = self._start[k]
        (prompt, answer, kind, options, subject, identifiers, facts, variants, concept, split, image, attributes) = (
            pickle.loads(os.pread(self._handle, self._start[k + 1] - start, start))
        )
        return Record(
            self.ids[k],
            prompt,
            answer,
            kind,
            options,
            self.path(k),
            subject,
            identifiers,
            facts,
            tuple(Variant(*v) for v in variants),
            concept,
            split,
            image,
            attributes,
        )

    def __len__(self) -> int:
        return len(self.ids)


def _refused(error: OSError) -> InputError:
    return InputError(
        "temporary folder",
        f"records could not be written ({error.strerror})",
        "free some space, or name another folder in TMPDIR",
    )


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what a full disk refused once it refuses again
        file.close()
