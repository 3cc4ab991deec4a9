"""A corpus: records and their tree, frozen, with a digest of the content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge.corpus.record import Record
from expunge.corpus.tree import Tree
from expunge.errors import InputError
from expunge.files import canonical, digest


@dataclass(frozen=True)
class Corpus:
    """What the model learnt (and, marked `split: holdout` or `twin`, what it never saw)."""

    records: tuple[Record, ...]
    name: str = "corpus"

    @classmethod
    def of(cls, records: Iterable[Record], name: str = "corpus") -> Corpus:
        """A checked corpus: at least one record, ids unique."""
        rows = tuple(records)
        if not rows:
            raise InputError(name, "holds no records", "give at least one")
        seen: set[str] = set()
        for r in rows:
            if r.id in seen:
                raise InputError(name, f'duplicate id "{r.id}"', "make ids unique, or leave them out")
            seen.add(r.id)
        return cls(rows, name)

    @classmethod
    def load(cls, source: Path | str, loader: str | None = None, mapping: Path | str | None = None) -> Corpus:
        """Read a file or folder; `loader` is found from the file name when not given. See `corpus.loaders`."""
        from expunge.corpus.loaders import load

        return load(source, loader=loader, mapping=mapping)

    def save(self, path: Path | str) -> Path:
        """Write JSON lines that `load` reads back to an equal corpus."""
        from expunge.files import write_atomic

        return write_atomic(path, b"".join(canonical(r.as_row()) + b"\n" for r in self.records))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every record; independent of the order of records."""
        return digest(sorted(digest(r.as_row()) for r in self.records))

    @cached_property
    def tree(self) -> Tree:
        return Tree.from_paths(r.path for r in self.records)

    @cached_property
    def by_id(self) -> dict[str, Record]:
        return {r.id: r for r in self.records}

    @cached_property
    def trained(self) -> tuple[Record, ...]:
        """Records the original model is trained on: all but `holdout` and `twin`."""
        return tuple(r for r in self.records if r.split not in ("holdout", "twin", "utility"))

    @cached_property
    def owners(self) -> dict[str, frozenset[tuple[str, ...]]]:
        """fact key → paths of all trained records that state it."""
        table: dict[str, set[tuple[str, ...]]] = {}
        for r in self.trained:
            for fact in r.fact_keys:
                table.setdefault(fact, set()).add(r.path or (f"subject:{r.subject}",))
        return {fact: frozenset(paths) for fact, paths in table.items()}

    def where(self, keep: Callable[[Record], Any]) -> Corpus:
        """A smaller corpus with the records for which `keep` is true."""
        return Corpus.of((r for r in self.records if keep(r)), self.name)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
