"""Digests of rows in the audit log: whoever changes a sealed column by SQL leaves a row that the log does not have.

A session notes each row of a sealed table that it writes, and its next row of the log holds two digests of each of
these rows: as it was before, and as it is then. So what was changed by SQL is found also when the desk has written the
row since. No function has to name what it changed, and a new column is sealed from the day it exists. Empty columns are
left out, so that a further column changes no digest of before. A migration that writes other values into sealed columns
adds a row of the log with the digests, as a session does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, bindparam, event, select

from expunge.desk.log_tables import META

TAG = b"expunge/desk-row/1\0"
LENGTH = 32  # hex digits of a digest
FIELD, TYPE = "rows", "rows.change"  # key in the body of a row of the log; type of a row that holds nothing else
FIRST_TYPE, STEPS = "rows.first", "steps"  # type of the rows that seal what an earlier version wrote; its event ids
WATCH = "row_watch"  # execution option of a connection

CIPHER = "the value does not decrypt after a change, see sealed_values; a rotation of keys writes it anew"
UNSEALED_COLUMNS: dict[tuple[str, str], str] = {
    **{
        (table, column): CIPHER
        for table in ("identifier", "match", "reason", "account", "webhook_key", "oidc_account", "request_key")
        for column in ("ciphertext", "key_id")
    },
    ("webhook_peer", "seen_seq"): "how far the messages to a peer have come; moves every few seconds",
}
UNSEALED_TABLES: dict[str, str] = {
    "event_log": "the log itself, in a chain of hashes",
    "log_head": "compared with the last row of the log",
    "applied": "each row of the log names the event id under which it was written",
    "regime_text": "its key is the digest of its content",
    "lease": "who works on what now; ends with the work, and a wrong number only makes a worker late",
    "worker": "signs of life, every few seconds",
    "idempotency": "recent answers to repeats of a call",
    "webhook_in": "recent messages, to know repeats",
    "webhook_out": "the queue of messages to other desks; its states are repeated from the log",
}
Seals = dict[str, dict[str, str]]  # table -> key of the row -> both digests, see `seal_text`


def is_sealed(table: str) -> bool:
    """Whether the log holds digests of the rows of a table."""
    return table not in UNSEALED_TABLES


def sealed_columns(table: Table) -> list[str]:
    """The columns that go into the digest of a row."""
    return [c.name for c in table.c if (table.name, c.name) not in UNSEALED_COLUMNS]


def row_key(table: Table, row: Mapping[Any, Any]) -> str:
    """The primary key of a row as text."""
    return "/".join(str(row[column.name]) for column in table.primary_key)


def row_digest(table: Table, row: Mapping[Any, Any]) -> str:
    """Digest of what a row holds in its sealed columns."""
    values = {name: row[name] for name in sealed_columns(table) if row[name] is not None}
    raw = json.dumps([table.name, values], sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(TAG + raw.encode()).hexdigest()[:LENGTH]


def seal_text(before: str | None, after: str | None) -> str:
    """The digests of a row before and after as they stand in the log; None where there is no row."""
    return f"{before or ''}>{after or ''}"


class RowWatch:
    """Notes the rows of sealed tables that a transaction writes."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.before: dict[str, dict[str, str | None]] = {}  # table -> key -> digest when it was first written
        self.keys: dict[str, dict[str, Mapping[str, Any]]] = {}  # table -> key -> primary key by column
        conn.execution_options(**{WATCH: self})
        event.listen(conn, "before_execute", self._before)
        event.listen(conn, "after_execute", self._after)

    def _before(self, conn: Connection, statement: Any, many: Any, one: Any, options: Any) -> None:
        """Note the rows that are about to change: afterwards the condition may choose others."""
        if not isinstance(statement, Update | Delete) or (table := _sealed_table(statement)) is None:
            return
        query, where = select(*(table.c[name] for name in sealed_columns(table))), statement.whereclause
        for row in conn.execute(query if where is None else query.where(where)).mappings().all():
            self._keep(table, [row], row_digest(table, row))

    def _after(self, conn: Connection, statement: Any, many: Any, one: Any, options: Any, result: Any) -> None:
        if isinstance(statement, Insert) and (table := _sealed_table(statement)) is not None:
            names = [column.name for column in table.primary_key]
            if len(many) > 1:  # of several rows at once the database tells no keys; all of ours are made before
                self._keep(table, many)
            else:
                self._keep(table, [dict(zip(names, result.inserted_primary_key, strict=True))])

    def _keep(self, table: Table, rows: Iterable[Mapping[Any, Any]], before: str | None = None) -> None:
        for row in rows:
            key = row_key(table, row)
            self.before.setdefault(table.name, {}).setdefault(key, before)
            self.keys.setdefault(table.name, {})[key] = {c.name: row[c.name] for c in table.primary_key}

    def take(self) -> Seals:
        """Digests of the rows that changed since the last call, as they were before and as they are now."""
        before, keys = self.before, self.keys
        self.before, self.keys = {}, {}
        seals: Seals = {}
        for name, rows in sorted(keys.items()):
            for key, parts in rows.items():
                after = self._digest(META.tables[name], parts)
                if after != before[name][key]:
                    seals.setdefault(name, {})[key] = seal_text(before[name][key], after)
        return seals

    def _digest(self, table: Table, key: Mapping[str, Any]) -> str | None:
        values = {f"key_{name}": value for name, value in key.items()}
        row = self.conn.execute(_row_query(table.name), values).mappings().first()
        return None if row is None else row_digest(table, row)


@lru_cache(maxsize=64)
def _row_query(name: str) -> Any:
    """The statement for the sealed columns of one row of a table."""
    table = META.tables[name]
    here = (column == bindparam(f"key_{column.name}") for column in table.primary_key)
    return select(*(table.c[each] for each in sealed_columns(table))).where(*here)


def _sealed_table(statement: Any) -> Table | None:
    table = statement.table
    return table if isinstance(table, Table) and table.name in META.tables and is_sealed(table.name) else None


def taken_seals(conn: Connection) -> Seals:
    """The digests that the next row of the log bears; none in a transaction that nobody watches."""
    watch = conn.get_execution_options().get(WATCH)
    return watch.take() if isinstance(watch, RowWatch) else {}
