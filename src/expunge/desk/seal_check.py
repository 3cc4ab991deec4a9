"""Compares the rows of the database with the digests of them in the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select

from expunge.desk.event_log import STEP
from expunge.desk.log_tables import META, applied
from expunge.desk.row_seals import FIELD, is_sealed, row_digest, row_key, sealed_columns


@dataclass
class LogSeals:
    """What the log says of rows.

    Attributes:
        digests: Table and key of a row -> its digest, None for a row that was deleted.
        steps: Event id -> row of the log.
        silent: Numbers of rows of earlier versions, which name no event id.
        is_complete: The log holds digests from its first row on.
    """

    digests: dict[str, dict[str, str | None]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    is_complete: bool = False

    def note(self, row: Mapping[Any, Any], body: Mapping[str, Any]) -> None:
        """Take in a row of the log."""
        seq = row["seq"]
        if FIELD in body:
            self.is_complete = self.is_complete or seq == 1
            for table, rows in body[FIELD].items():
                self.digests.setdefault(table, {}).update(rows)
        if STEP in body:
            self.steps[body[STEP]] = seq
        elif not self.is_complete:
            self.silent.add(seq)


def seal_problems(seals: LogSeals, conn: Connection) -> Iterator[str]:
    """Rows that are not as the log has them, a clause each."""
    for table in META.sorted_tables:
        if is_sealed(table.name):
            yield from _of_table(table, seals.digests.get(table.name, {}), conn, seals.is_complete)
    for name in sorted(set(seals.digests) - set(META.tables)):
        yield f"the log has rows of {name}, and there is no such table"
    yield from _of_steps(seals, conn)


def _of_table(table: Table, logged: Mapping[str, str | None], conn: Connection, is_complete: bool) -> Iterator[str]:
    seen = set()
    label = "reference" if "reference" in table.c else ""
    for row in conn.execute(select(*(table.c[name] for name in sealed_columns(table)))).mappings():
        key = row_key(table, row)
        name = f"{table.name} {row[label] if label else key}"
        if key in logged:
            seen.add(key)
            if row_digest(table, row) != logged[key]:
                yield f"{name}: a column of its row is not as the log has it"
        elif is_complete:
            yield f"{name} is in no row of the log"
    for key, digest in logged.items():
        if digest is not None and key not in seen:
            yield f"{table.name} {key} of the log is gone"


def _of_steps(seals: LogSeals, conn: Connection) -> Iterator[str]:
    """Event ids, under which work of workers happens once."""
    left = dict(seals.steps)
    for name, seq in conn.execute(select(applied.c.event_id, applied.c.seq)).tuples():
        if left.pop(name, None) != seq and seq not in seals.silent:
            yield f"the event id of row {seq} is not the one that the log has"
    for seq in left.values():
        yield f"the event id of row {seq} is gone"
