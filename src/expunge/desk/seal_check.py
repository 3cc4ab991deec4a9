"""Compares the rows of the database with the digests of them in the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select

from expunge.desk.event_log import STEP
from expunge.desk.log_tables import META, applied
from expunge.desk.row_seals import FIELD, FIRST_TYPE, STEPS, is_sealed, row_digest, row_key, sealed_columns


@dataclass
class LogSeals:
    """What the log says of rows.

    Attributes:
        digests: Table and key of a row -> its digest, empty for a row that was deleted.
        steps: Event id -> row of the log.
        problems: Rows that were not as the log had them when the desk wrote them next.
    """

    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _only_first: bool = True

    def note(self, row: Mapping[Any, Any], body: Mapping[str, Any]) -> None:
        """Take in a row of the log."""
        if STEP in body:
            self.steps[body[STEP]] = row["seq"]
        if FIELD not in body:
            return
        is_first = row["type"] == FIRST_TYPE and self._only_first  # of a log of which no other row has digests yet
        self._only_first = is_first
        self.steps |= body.get(STEPS, {}) if is_first else {}
        for table, rows in body[FIELD].items():
            known = self.digests.setdefault(table, {})
            for key, text in rows.items():
                before, mark, after = text.rpartition(">")  # without a mark: of a version that noted the second alone
                if mark and known.get(key, "") != before:
                    what = "a column of its row was not as the log has it"
                    self.problems.append(f"{table} {key}: {what} when row {row['seq']} of the log was written")
                known[key] = after


def seal_problems(seals: LogSeals, conn: Connection) -> Iterator[str]:
    """Rows that are not as the log has them, a clause each."""
    yield from seals.problems
    for table in META.sorted_tables:
        if is_sealed(table.name):
            yield from _of_table(table, seals.digests.get(table.name, {}), conn)
    for name in sorted(set(seals.digests) - set(META.tables)):
        yield f"the log has rows of {name}, and there is no such table"
    yield from _of_steps(seals, conn)


def _of_table(table: Table, logged: Mapping[str, str], conn: Connection) -> Iterator[str]:
    seen = set()
    label = "reference" if "reference" in table.c else ""
    for row in conn.execute(select(*(table.c[name] for name in sealed_columns(table)))).mappings():
        key = row_key(table, row)
        name = f"{table.name} {row[label] if label else key}"
        seen.add(key)
        if not logged.get(key):
            yield f"{name} is in no row of the log"
        elif row_digest(table, row) != logged[key]:
            yield f"{name}: a column of its row is not as the log has it"
    for key, digest in logged.items():
        if digest and key not in seen:
            yield f"{table.name} {key} of the log is gone"


def _of_steps(seals: LogSeals, conn: Connection) -> Iterator[str]:
    """Event ids, under which work of workers happens once."""
    left = dict(seals.steps)
    for name, seq in conn.execute(select(applied.c.event_id, applied.c.seq)).tuples():
        if left.pop(name, None) != seq:
            yield f"the event id of row {seq} is not the one that the log has"
    for seq in left.values():
        yield f"the event id of row {seq} is gone"
