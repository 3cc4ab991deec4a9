"""Digests of rows in the audit log: whoever changes a sealed column by SQL leaves a row that the log does not have.

A session notes each row of a sealed table that it writes, and its next row of the log holds the digests of these rows
as they are then. So no function has to name what it changed, and a new column is sealed from the day it exists. Empty
columns are left out, so that a further column changes no digest of before. A migration that writes other values into
sealed columns adds a row of the log with the digests, as a session does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, event, select

from expunge.desk.log_tables import META

TAG = b"expunge/desk-row/1\0"
LENGTH = 32  # hex digits of a digest
FIELD, TYPE = "rows", "rows.change"  # key in the body of a row of the log; type of a row that holds nothing else
WATCH = "row_watch"  # execution option of a connection

CIPHER = "the value does not decrypt after a change, see sealed_values; a rotation of keys writes it anew"
INDEX = "computed anew from the decrypted value, see sealed_values; a rotation of keys writes it anew"
UNSEALED_COLUMNS: dict[tuple[str, str], str] = {
    **{
        (table, column): CIPHER
        for table in ("identifier", "match", "reason", "account", "webhook_key", "oidc_account")
        for column in ("ciphertext", "key_id")
    },
    ("identifier", "blind_index"): INDEX,
    ("match", "object_digest"): INDEX,
    ("oidc_account", "digest"): INDEX,
    ("webhook_peer", "seen_seq"): "how far the messages to a peer have come; moves every few seconds",
}
UNSEALED_TABLES: dict[str, str] = {
    "event_log": "the log itself, in a chain of hashes",
    "log_head": "compared with the last row of the log",
    "applied": "each row of the log names the event id under which it was written",
    "request_key": CIPHER,
    "regime_text": "its key is the digest of its content",
    "lease": "who works on what now; ends with the work, and a wrong number only makes a worker late",
    "worker": "signs of life, every few seconds",
    "idempotency": "recent answers to repeats of a call",
    "webhook_in": "recent messages, to know repeats",
    "webhook_out": "the queue of messages to other desks; its states are repeated from the log",
}
Keys = dict[str, dict[str, str | None]]  # table -> key of the row -> digest, None for a row that is gone


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


class RowWatch:
    """Notes the rows of sealed tables that a transaction writes."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.rows: dict[str, dict[str, Mapping[str, Any]]] = {}  # table -> key -> primary key by column
        conn.execution_options(**{WATCH: self})
        event.listen(conn, "before_execute", self._note)

    def _note(self, conn: Connection, statement: Any, many: Sequence[Any], one: Any, options: Any) -> None:
        if not isinstance(statement, Insert | Update | Delete):
            return
        table = statement.table
        if not isinstance(table, Table) or table.name not in META.tables or not is_sealed(table.name):
            return
        written = set() if isinstance(statement, Delete) else _written(statement, table)
        if written and all((table.name, name) in UNSEALED_COLUMNS for name in written):
            return
        noted = self.rows.setdefault(table.name, {})
        if isinstance(statement, Insert):
            values = statement.compile().params
            keys: list[Mapping[str, Any]] = [{c.name: values[c.name] for c in table.primary_key}]
        else:
            query = select(*table.primary_key)
            where = statement.whereclause
            keys = [dict(row) for row in conn.execute(query if where is None else query.where(where)).mappings()]
        noted |= {row_key(table, key): key for key in keys}

    def take(self) -> Keys:
        """Digests of the rows that were written since the last call, as they are now."""
        rows, self.rows = self.rows, {}
        return {name: self._digests(META.tables[name], keys) for name, keys in sorted(rows.items()) if keys}

    def _digests(self, table: Table, keys: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
        digests: dict[str, str | None] = {}
        columns = [table.c[name] for name in sealed_columns(table)]
        for key, parts in keys.items():
            query = select(*columns).where(*(table.c[name] == value for name, value in parts.items()))
            row = self.conn.execute(query).mappings().first()
            digests[key] = None if row is None else row_digest(table, row)
        return digests


def _written(statement: Insert | Update, table: Table) -> set[str]:
    """Names of the columns that a statement sets; the names of its other parameters are no columns."""
    return set(statement.compile().params) & set(table.c.keys())


def taken_seals(conn: Connection) -> Keys:
    """The digests that the next row of the log bears; none in a transaction that nobody watches."""
    watch = conn.get_execution_options().get(WATCH)
    return watch.take() if isinstance(watch, RowWatch) else {}
