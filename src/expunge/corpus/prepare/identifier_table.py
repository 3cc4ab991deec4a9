"""The table of identifiers: which strings name each subject, for a person to review and change.

A CSV file with one row for each string: subject, identifier, how many records of the subject hold it, and whether the
data gave it or it was proposed. Handed back, the file decides alone: a row that was deleted is no identifier.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from expunge.corpus.corpus import Corpus
from expunge.corpus.identifiers import propose
from expunge.corpus.loaders.tables import read_table
from expunge.corpus.name_forms import occurs
from expunge.corpus.record import Record
from expunge.errors import InputError, nearest_few

COLUMNS = ("subject", "identifier", "records", "source")
Source = Literal["given", "scope", "proposed", "file"]


@dataclass(frozen=True)
class IdentifierRow:
    """One string that names a subject, and the number of its records that hold it."""

    subject: str
    identifier: str
    records: int
    source: Source


@dataclass(frozen=True)
class IdentifierTable:
    """The strings that name each subject, in order."""

    rows: tuple[IdentifierRow, ...]

    @classmethod
    def of(cls, corpus: Corpus, most: float = 0.5) -> IdentifierTable:
        """Those that the records list; for subjects without any, those that `propose` finds, and the subject's name
        (`PAT-100`) where a question holds it."""
        own_names = _gather((r.subject, i) for r in corpus.records for i in r.identifiers)
        called = _gather(
            (r.subject, name)
            for r in corpus.records
            if r.subject not in own_names
            and len(name := r.subject.rpartition(":")[2]) > 2
            and occurs(name, record_text(r, answer=r.kind == "document"))
        )
        proposals = {s: names for s, names in propose(corpus, most).items() if s not in own_names}
        for subject, names in called.items():
            known = proposals.get(subject, ())
            proposals[subject] = (*known, *(n for n in names if n not in known))
        return cls._count(corpus, [(own_names, "given"), (proposals, "proposed")])

    @classmethod
    def read(cls, file: Path | str, corpus: Corpus) -> IdentifierTable:
        """A table from a CSV, JSON lines or Parquet file with the columns subject and identifier.

        Raises:
            InputError: A row lacks a column, names no subject of the corpus, or a string that its records do not hold.
        """
        texts = _texts(corpus)
        names: dict[str, dict[str, None]] = {}
        for row in read_table(Path(file)):
            subject, identifier = (str(row.values.get(c) or "") for c in COLUMNS[:2])
            if not (subject and identifier):
                missing = COLUMNS[1] if subject else COLUMNS[0]
                raise InputError(row.where, f'no "{missing}"', "write the columns subject and identifier")
            if subject not in texts:
                raise InputError(row.where, f'no record has the subject "{subject}"', nearest_few(subject, texts))
            if not any(identifier in text for text in texts[subject]):
                hint = "write it exactly as it stands in the records, or drop the row"
                raise InputError(row.where, f'"{identifier}" stands in no record of {subject}', hint)
            names.setdefault(subject, {})[identifier] = None
        if not names:
            raise InputError(str(file), "holds no rows", "write the columns subject and identifier")
        return cls._count(corpus, [({s: tuple(i) for s, i in names.items()}, "file")])

    @classmethod
    def _count(cls, corpus: Corpus, sources: Sequence[tuple[Mapping[str, Sequence[str]], Source]]) -> IdentifierTable:
        texts = _texts(corpus)
        return cls(
            tuple(
                IdentifierRow(subject, i, sum(i in text for text in texts.get(subject, ())), source)
                for table, source in sources
                for subject, identifiers in table.items()
                for i in identifiers
            )
        )

    def with_names(self, corpus: Corpus, records: Iterable[str], names: Sequence[str]) -> IdentifierTable:
        """The table with `names`, in the spellings of these records, first among the strings of their subjects."""
        wanted = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE) for name in names]
        chosen, known = frozenset(records), self.by_subject
        spelt = _gather(
            (r.subject, match)
            for r in corpus.records
            if r.id in chosen
            for pattern in wanted
            for match in pattern.findall(record_text(r))
            if match not in known.get(r.subject, ())
        )
        return IdentifierTable((*self._count(corpus, [(spelt, "scope")]).rows, *self.rows))

    @property
    def by_subject(self) -> dict[str, tuple[str, ...]]:
        """Subject → its identifiers."""
        return _gather((row.subject, row.identifier) for row in self.rows)

    def apply(self, corpus: Corpus) -> Corpus:
        """The corpus with the identifiers of this table.

        A record that lists its own keeps them if they are those of the table in another order; every other record lists
        those of its subject that stand in its question, or in the text of a document.
        """
        table = self.by_subject

        def named(record: Record) -> Record:
            own = table.get(record.subject, ())
            if record.identifiers and set(record.identifiers) <= set(own):
                return record
            text = record_text(record, answer=record.kind == "document")
            return replace(record, identifiers=tuple(i for i in own if occurs(i, text)))

        return Corpus.of((named(r) for r in corpus.records), corpus.name)

    def csv(self) -> str:
        """The file, UTF-8 text with a header."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((row.subject, row.identifier, row.records, row.source) for row in self.rows)
        return stream.getvalue()


def record_text(record: Record, answer: bool = True) -> str:
    """The texts of a record in which a name may stand, one after the other, with or without its answer."""
    return "\n".join([*(t.content for t in record.history), record.prompt, *([record.answer] if answer else [])])


def _texts(corpus: Corpus) -> dict[str, list[str]]:
    """Subject → the texts of its records."""
    texts: dict[str, list[str]] = {}
    for r in corpus.records:
        texts.setdefault(r.subject, []).append(record_text(r))
    return texts


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    table: dict[str, dict[str, None]] = {}
    for subject, identifier in pairs:
        table.setdefault(subject, {})[identifier] = None
    return {subject: tuple(identifiers) for subject, identifiers in table.items()}
