"""Sequences of records: a tuple while they are small, a view of records on disk when they would fill the memory.

`materialize` decides while the records come in; callers ask for lengths, indices and iteration in either case. `take`,
`ids` and `paths` select among very many records without reading any from disk.

A `RecordStore` is a temporary file in the folder that TMPDIR names, one pickle per record; in memory stay 12 bytes of
position, the id, and the table of distinct paths. A record is read with one `pread` (POSIX), so threads and forked
processes may share a store.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter
from typing import IO, Any, overload

from expunge._io import canonical
from expunge._printable import pluralize
from expunge.corpus.record import Record, Turn, Variant
from expunge.errors import InputError

IN_MEMORY = 64 * 2**20  # bytes by `approx_bytes`; about 60,000 short questions
STORED = tuple(f.name for f in fields(Record) if f.name not in ("id", "path"))
PATH, VARIANTS, ATTRIBUTES, HISTORY = (
    4,
    *(STORED.index(f) for f in ("variants", "attributes", "history")),
)  # PATH: its place behind the id
stored_values = attrgetter(*STORED)


class RecordStore:
    """Records by position in a temporary file. Filled with `add`, closed once with `close`, then only read.

    Attributes:
        ids: Id of every record.
        paths: Distinct paths, in order of first appearance.
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
            raise _disk_error(error) from error
        self._handle = self._file.fileno()
        weakref.finalize(self, _close_quietly, self._file)

    def add(self, record: Record) -> None:
        """Append a record; `InputError` if the disk is full."""
        code = self._codes.get(record.path)
        if code is None:
            code = len(self.paths)
            self.paths.append(tuple(map(sys.intern, record.path)))
            self._codes[self.paths[-1]] = code
        values = list(stored_values(record))
        values[VARIANTS] = [(v.prompt, v.answer, v.options) for v in record.variants]
        values[ATTRIBUTES] = dict(record.attributes)
        values[HISTORY] = [(t.role, t.content) for t in record.history]
        data = pickle.dumps(values, pickle.HIGHEST_PROTOCOL)
        self._put(data)
        self.ids.append(record.id)
        self._code.append(code)
        self._start.append(self._start[-1] + len(data))

    def close(self) -> None:
        """End filling."""
        self._put(b"")
        self._codes.clear()

    def _put(self, data: bytes) -> None:
        try:
            if data:
                self._file.write(data)
            else:
                self._file.flush()
        except OSError as error:
            raise _disk_error(error) from error

    def path(self, k: int) -> tuple[str, ...]:
        """The path of record `k`, without reading it."""
        return self.paths[self._code[k]]

    def read(self, k: int) -> Record:
        """Record `k`, equal to the one that was added."""
        start = self._start[k]
        values = pickle.loads(os.pread(self._handle, self._start[k + 1] - start, start))
        values[VARIANTS] = tuple(Variant(*v) for v in values[VARIANTS])
        values[HISTORY] = tuple(Turn(*t) for t in values[HISTORY])
        arguments: list[Any] = [self.ids[k], *values[:PATH], self.path(k), *values[PATH:]]
        return Record(*arguments)

    def __len__(self) -> int:
        return len(self.ids)


def _disk_error(error: OSError) -> InputError:
    what = f"records could not be written ({error.strerror})"
    return InputError("temporary folder", what, "free some space, or name another folder in TMPDIR")


def _close_quietly(file: IO[bytes]) -> None:
    with suppress(OSError):  # a full disk fails here a second time
        file.close()


class RecordView(Sequence[Record]):
    """The records of a store at some positions, in this order. Frozen; equal to a tuple of the same records.

    Note: each access builds the record anew: the same record is equal, not identical.
    """

    def __init__(self, store: RecordStore, positions: Sequence[int]) -> None:
        self.store, self.positions = store, positions

    @overload
    def __getitem__(self, k: int) -> Record: ...
    @overload
    def __getitem__(self, k: slice) -> RecordView: ...
    def __getitem__(self, k: int | slice) -> Record | RecordView:
        if isinstance(k, slice):
            return RecordView(self.store, self.positions[k])
        return self.store.read(self.positions[k])

    def __iter__(self) -> Iterator[Record]:
        return map(self.store.read, self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (RecordView, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{pluralize(len(self), 'record')} on disk>"


class ById(Mapping[str, Record]):
    """Id -> record, for records of different ids."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._at = {name: k for k, name in enumerate(ids(records))}

    def __getitem__(self, name: str) -> Record:
        return self._records[self._at[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


def materialize(records: Iterable[Record]) -> Sequence[Record]:
    """A tuple of `records`, or a view of a new store if they exceed `IN_MEMORY`; a tuple or view is returned as it is.

    Raises:
        InputError: The disk is full.
    """
    if isinstance(records, (tuple, RecordView)):
        return records
    few: list[Record] = []
    store: RecordStore | None = None
    size = 0
    for record in records:
        if store:
            store.add(record)
            continue
        few.append(record)
        size += approx_bytes(record)
        if size > IN_MEMORY:
            store = RecordStore()
            for early in few:
                store.add(early)
            few.clear()
    if store is None:
        return tuple(few)
    store.close()
    return RecordView(store, range(len(store)))


def approx_bytes(record: Record) -> int:
    """Approximate size of a record as an object: its texts and the objects around them."""
    texts = (record.prompt, record.answer, *(t for v in record.variants for t in (v.prompt, v.answer)))
    return 1000 + sum(map(len, texts))


def take(records: Sequence[Record], which: Iterable[int]) -> Sequence[Record]:
    """The records at these indices (not negative), in this order."""
    if isinstance(records, RecordView):
        return RecordView(records.store, array("Q", map(records.positions.__getitem__, which)))
    return tuple(map(records.__getitem__, which))


def ids(records: Sequence[Record]) -> list[str]:
    """The id of every record."""
    if isinstance(records, RecordView):
        return [records.store.ids[k] for k in records.positions]
    return [r.id for r in records]


def paths(records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    """The path of every record."""
    if isinstance(records, RecordView):
        return map(records.store.path, records.positions)
    return (r.path for r in records)


def by_id(records: Sequence[Record]) -> Sequence[Record]:
    """The same records, sorted by id."""
    names = ids(records)
    return take(records, sorted(range(len(names)), key=names.__getitem__))


def digest_each(values: Iterable[Any]) -> str:
    """`digest` of the list of these values; holds one at a time in memory."""
    total = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        total.update((b"," if number else b"") + canonical(value))
    total.update(b"]")
    return total.hexdigest()
