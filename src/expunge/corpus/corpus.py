"""A corpus: records and their tree, frozen, with a digest of the content.

Surprising: the records of a corpus larger than memory lie on disk (see `records.py`), so `records` and what is taken
from it are sequences, not always tuples.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge._io import canonical, digest
from expunge.corpus.record import Record
from expunge.corpus.record_store import ById, digest_each, ids, materialize, paths, take
from expunge.corpus.tree import Tree
from expunge.errors import InputError

UNTRAINED = ("holdout", "control", "utility")


@dataclass(frozen=True)
class Corpus:
    """What the model learnt (and, marked `split: holdout` or `control`, what it never saw)."""

    records: Sequence[Record]
    name: str = "corpus"

    @classmethod
    def of(cls, records: Iterable[Record], name: str = "corpus") -> Corpus:
        """A checked corpus: at least one record, ids unique."""
        rows = materialize(records)
        if not rows:
            raise InputError(name, "holds no records", "give at least one")
        seen: set[str] = set()
        for id_ in ids(rows):
            if id_ in seen:
                raise InputError(name, f'duplicate id "{id_}"', "make ids unique, or leave them out")
            seen.add(id_)
        return cls(rows, name)

    @classmethod
    def load(cls, source: Path | str, loader: str | None = None, mapping: Path | str | None = None) -> Corpus:
        """Read a file or folder; `loader` is found from the file name when not given. See `corpus.loaders`."""
        from expunge.corpus.loaders import load

        return load(source, loader=loader, mapping=mapping)

    def save(self, path: Path | str) -> Path:
        """Write JSON lines that `load` reads back to an equal corpus; pictures go beside them under their names."""
        from expunge._io import write_atomic

        path = Path(path)
        for picture in {r.image.name: r.image for r in self.records if r.image}.values():
            target = path.parent / picture.name
            if not (target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == picture.digest):
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
        found = {name: array("Q") for name in ("trained", *UNTRAINED)}
        for k, r in enumerate(self.records):
            found[r.split if r.split in UNTRAINED else "trained"].append(k)
        return {name: take(self.records, which) for name, which in found.items()}

    @property
    def trained(self) -> Sequence[Record]:
        """Records the original model is trained on: all but `holdout`, `control` and `utility`."""
        return self.parts["trained"]

    @cached_property
    def owners(self) -> dict[str, frozenset[tuple[str, ...]]]:
        """fact key → paths of all trained records that state it. Facts of the same owners share one set."""
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
        found = ((fact, frozenset(p if isinstance(p, set) else (p,))) for fact, p in table.items())
        return {fact: same.setdefault(owners, owners) for fact, owners in found}

    def where(self, wanted: Callable[[Record], Any]) -> Corpus:
        """A smaller corpus with the records for which `wanted` is true."""
        return Corpus.of(take(self.records, (k for k, r in enumerate(self.records) if wanted(r))), self.name)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
