"""Sequences of records: a tuple while they are few, a view of a `Store` when they would fill the memory.

`keep` decides once, while the records come in; everybody above asks for lengths, indices and iteration and need not
know which it is. `pick`, `ids` and `paths` are for those who select among very many: none of them reads a record of
a store. Surprising: a view builds its records anew at every access, so the same record is equal but not identical.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from expunge._io import canonical
from expunge.corpus.record import Record
from expunge.corpus.record_file import RecordStore

IN_MEMORY = 64 * 2**20  # bytes, as `weight` reckons; about 60,000 short questions


class RecordView(Sequence[Record]):
    """The records of a store at some positions, in this order. Frozen; equal to a tuple of the same records."""

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
        return f"<{len(self):,} records on disk>"


class ById(Mapping[str, Record]):
    """id → record, for records of different ids."""

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
    """`records` for good: a tuple, or a view of a new store from the record on that exceeds `IN_MEMORY`.

    What is a tuple or a view already is returned as it is. `InputError` if the disk is full.
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
    """Bytes that a record takes as an object, roughly: its texts, and what stands around them."""
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
    """`digest` of the list of these values, of which one at a time is in memory."""
    total = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        total.update((b"," if number else b"") + canonical(value))
    total.update(b"]")
    return total.hexdigest()
