"""Changes values of a desk's database by SQL, as somebody would who owns the file, and asks every check of the desk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Column, Connection, Integer, LargeBinary, Table, text
from sqlalchemy.exc import IntegrityError

from expunge.desk.database import transaction
from expunge.desk.event_log import log_problems
from expunge.desk.evidence_log import anchor_problems
from expunge.desk.log_tables import META
from expunge.desk.regime_texts import rule_problems
from expunge.desk.replay_check import replay_problems
from expunge.desk.sealed_values import value_problems
from expunge.errors import InputError, RunFailed
from helpers.desk import DeskCase

Change = Callable[[Any, Column[Any]], Any]
HARMLESS: dict[tuple[str, str], str] = {  # table, column or * -> why no check needs to find a change
    ("lease", "*"): "who works now: a wrong worker or number makes a worker late, and the work begins again",
    ("worker", "*"): "signs of life of the last seconds",
    ("idempotency", "*"): "recent answers to repeats; a repeat that is not known opens a request, which people see",
    ("webhook_in", "*"): "recent messages; a repeat that is not known is checked as a new one",
    ("webhook_out", "*"): "the queue to other desks; what it says is made from the log",
    ("webhook_peer", "seen_seq"): "how far the queue has come in the log",
    ("regime_text", "at"): "nothing reads it",
}


def problems_of(case: DeskCase, conn: Connection) -> list[str]:
    """What the first check of a desk says that finds something; a value that it cannot read is a finding."""
    checks: tuple[Callable[[], Iterable[str]], ...] = (
        lambda: replay_problems(conn),
        lambda: value_problems(case.desk.keys, conn),
        lambda: log_problems(conn),
        lambda: rule_problems(conn, case.desk.policies),
        lambda: anchor_problems(case.desk, conn),
    )
    try:
        return next((lines for check in checks if (lines := list(check()))), [])
    except (InputError, RunFailed, UnicodeDecodeError) as error:
        return [str(error)]


class _Undone(Exception):
    pass


@contextmanager
def owner(case: DeskCase) -> Iterator[Connection]:
    """A transaction of somebody whom no trigger and no constraint stops; it is undone at the end."""
    with suppress(_Undone), transaction(case.desk.engine) as conn:
        conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        conn.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        try:
            yield conn
        finally:
            conn.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
        raise _Undone


def rows_of(conn: Connection, table: Table) -> list[int]:
    """Row numbers of SQLite."""
    return list(conn.execute(text(f"SELECT rowid FROM {_name(table)}")).scalars())


def change(conn: Connection, table: Table, column: Column[Any], rowid: int, new: Change) -> bool:
    """Put another value into one field; triggers come back afterwards. Says whether the value is another now."""
    query = f"SELECT {_name(column)} FROM {_name(table)} WHERE rowid = ?"
    before = conn.exec_driver_sql(query, (rowid,)).scalar_one()
    after = new(before, column)
    if after == before:
        return False
    triggers = conn.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table.name,)
    ).all()
    for name, _ in triggers:
        conn.exec_driver_sql(f"DROP TRIGGER {name}")
    is_possible = True
    try:
        conn.exec_driver_sql(f"UPDATE {_name(table)} SET {_name(column)} = ? WHERE rowid = ?", (after, rowid))
    except IntegrityError:  # another row has this key
        is_possible = False
    for _, sql in triggers:
        conn.exec_driver_sql(sql)
    return is_possible


def _name(thing: Any) -> str:
    return f'"{thing.name}"'


def another_value(draw: random.Random) -> Change:
    """Another value of the kind of the column, also in place of none."""

    def new(value: Any, column: Column[Any]) -> Any:
        if isinstance(column.type, Integer):
            return (value or 0) + draw.randrange(10_000, 20_000)
        if isinstance(column.type, LargeBinary):
            return bytes(draw.randrange(256) for _ in range(40))
        if value is None:
            return "2030-01-01"
        place = draw.randrange(len(value)) if value else 0
        other = draw.choice([c for c in "0123456789abcdef" if c != value[place : place + 1]])
        return value[:place] + other + value[place + 1 :]

    return new


def flipped_bit(draw: random.Random) -> Change:
    """A value with one bit changed; a field without a value, or with an empty one, stays."""

    def new(value: Any, column: Column[Any]) -> Any:
        if value is None or value in ("", b""):
            return value
        if isinstance(value, int):
            return value ^ (1 << draw.randrange(8))
        raw = bytearray(value if isinstance(value, bytes) else value.encode())
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(7)  # the text stays text
        return bytes(raw) if isinstance(value, bytes) else raw.decode(errors="replace")

    return new


def is_harmless(conn: Connection, table: Table, column: Column[Any], rowid: int) -> bool:
    """Whether the list says that no check needs to find a change of this field."""
    return (table.name, "*") in HARMLESS or (table.name, column.name) in HARMLESS


TABLES: tuple[Table, ...] = tuple(META.sorted_tables)
