"""A corpus: records and their tree, frozen, with a digest of the content.

The records of a corpus larger than memory lie on disk (see `record_store.py`): `records` is a sequence, not always a
tuple.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from expunge._io import canonical, digest, digest_file, write_atomic
from expunge._printable import pluralize
from expunge.corpus.duplicates import DuplicateCheck, PlaceList
from expunge.corpus.record import Record
from expunge.corpus.record_store import ById, RecordView, digest_each, materialize, paths, take
from expunge.corpus.tree import Tree
from expunge.errors import InputError

UNTRAINED = ("holdout", "control", "utility")


@dataclass(frozen=True, repr=False)
class Corpus:
    """What the model was trained on, and what it never saw (marked by the splits of `UNTRAINED`).

    `corpus[0]` is its first record; its `repr` shows numbers, never a record.
    """

    records: Sequence[Record]
    name: str = "corpus"

    def __post_init__(self) -> None:
        if isinstance(self.records, RecordView):
            return
        for k, record in enumerate(self.records):
            if not isinstance(record, Record):
                what = f"item {k} is a {type(record).__name__}, not a Record"
                raise InputError(self.name, what, "read rows with load_corpus, which takes a list of them too")

    @classmethod
    def of(cls, records: Iterable[Record], name: str = "corpus", places: PlaceList | None = None) -> Corpus:
        """A checked corpus: at least one record, no id twice, no question both to forget and to retain.

        Args:
            places: `file:line` of each record, for messages; may grow while `records` is read.
        """
        check = DuplicateCheck(name, places)
        if isinstance(records, (tuple, RecordView)):
            rows: Sequence[Record] = records
            for record in rows:
                check(record)
        else:
            rows = materialize(map(check, records))
        if not rows:
            raise InputError(name, "holds no records", "give at least one")
        return cls(rows, name)

    def save(self, path: Path | str) -> Path:
        """Write JSON lines that `load_corpus` reads back to an equal corpus, and the pictures beside them."""
        path = Path(path)
        for picture in {r.image.name: r.image for r in self.records if r.image}.values():
            target = path.parent / picture.name
            if not (target.is_file() and digest_file(target) == picture.digest):
                write_atomic(target, picture.data())
        return write_atomic(path, b"".join(canonical(r.as_row()) + b"\n" for r in self.records))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every record; independent of the order of records."""
        return digest_each(sorted(digest(r.content()) for r in self.records))

    @cached_property
    def tree(self) -> Tree:
        return Tree.from_paths(paths(self.records))

    @cached_property
    def by_id(self) -> Mapping[str, Record]:
        return ById(self.records)

    @cached_property
    def parts(self) -> Mapping[str, Sequence[Record]]:
        """Every record, once: `trained`, `holdout`, `control` or `utility`."""
        positions = {name: array("Q") for name in ("trained", *UNTRAINED)}
        for k, r in enumerate(self.records):
            positions[r.split if r.split in UNTRAINED else "trained"].append(k)
        return {name: take(self.records, which) for name, which in positions.items()}

    @property
    def trained(self) -> Sequence[Record]:
        """Records the original model is trained on: all but `holdout`, `control` and `utility`."""
        return self.parts["trained"]

    @cached_property
    def owners(self) -> dict[str, frozenset[tuple[str, ...]]]:
        """Fact key -> paths of all trained records that state it. Facts of the same owners share one set."""
        table: dict[str, tuple[str, ...] | set[tuple[str, ...]]] = {}
        for r in self.trained:
            path = r.path or (f"subject:{r.subject}",)
            for fact in r.fact_keys:
                known = table.setdefault(fact, path)
                if isinstance(known, set):
                    known.add(path)
                elif known != path:
                    table[fact] = {known, path}
        same: dict[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]] = {}
        pairs = ((fact, frozenset(p if isinstance(p, set) else (p,))) for fact, p in table.items())
        return {fact: same.setdefault(owners, owners) for fact, owners in pairs}

    def where(self, condition: Callable[[Record], Any]) -> Corpus:
        """A smaller corpus with the records that meet `condition`; `InputError` if none does."""
        rows = take(self.records, (k for k, r in enumerate(self.records) if condition(r)))
        return Corpus(rows, self.name) if rows else Corpus.of(rows, self.name)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in self.parts.items() if rows)
        return f'<Corpus "{self.name}": {pluralize(len(self), "record")} ({sizes})>'

    @overload
    def __getitem__(self, k: int) -> Record: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Record]: ...
    def __getitem__(self, k: int | slice) -> Record | Sequence[Record]:
        return self.records[k]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
