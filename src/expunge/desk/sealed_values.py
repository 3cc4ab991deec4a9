"""Tries every encrypted value of a desk: does it decrypt at its place, and does what is computed from it fit?"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, select

from expunge.desk import tables as t
from expunge.desk import web_tables as w
from expunge.desk.keys import KeyRing, normalize, unseal
from expunge.desk.oidc_binding import PURPOSE
from expunge.desk.oidc_tables import oidc_account
from expunge.desk.regime_texts import is_whole, regime_text
from expunge.errors import InputError

Tell = Callable[[int, int], None]  # (values tried, values in all)
STEP = 1000  # values between two calls of `tell`
ENCRYPTED: tuple[Table, ...] = (t.identifier, t.match, t.reason, t.request_key, w.account, w.webhook_key, oidc_account)
PURGED_WITH_REQUEST = (t.identifier, t.match)  # their values are there until the request is purged, and then gone


class _Ring:
    """The keys of a desk, each derived once."""

    def __init__(self, ring: KeyRing) -> None:
        self.derive = lru_cache(maxsize=256)(ring.derive)
        self.ids = tuple(ring.keys)

    def decrypt(self, data: bytes, place: tuple[str, str, str], key_id: str) -> str:
        return unseal(self.derive("values", key_id), data, place).decode()

    def digest(self, text: str, purpose: str, key_id: str) -> str:
        return hmac.new(self.derive(purpose, key_id), text.encode(), "sha256").hexdigest()


def value_problems(ring: KeyRing, conn: Connection, tell: Tell | None = None) -> Iterator[str]:
    """Encrypted values that were changed, moved or removed, a clause each.

    Args:
        ring: the keys of the desk.
        conn: a transaction.
        tell: is called now and then with the number of values that were tried, and of all.
    """
    keys, done = _Ring(ring), 0
    total = sum(conn.execute(select(func.count()).select_from(table)).scalar_one() for table in ENCRYPTED)
    purged = set(conn.execute(select(t.request.c.id).where(t.request.c.purged_at.is_not(None))).scalars())
    for table in ENCRYPTED:
        for row in conn.execute(select(table)).mappings():
            if problem := _problem(keys, table, row, purged):
                yield problem
            done += 1
            if tell is not None and done % STEP == 0:
                tell(done, total)
    yield from _receipts(keys, conn)
    for row in conn.execute(select(regime_text)).mappings():
        if not is_whole(row):
            yield f"the kept rules {row['key']} are not those of their digest"


def _problem(keys: _Ring, table: Table, row: RowMapping, purged: set[str]) -> str:
    """What is wrong with the value of a row; empty for nothing."""
    row_id = row["request_id"] if table is t.request_key else row["id"]
    name = f"{table.name} {row_id}"
    if (row["ciphertext"] is None) != (row["key_id"] is None):
        return f"{name}: its value or the name of its key is gone"
    if table in PURGED_WITH_REQUEST and (row["ciphertext"] is None) != (row["request_id"] in purged):
        return f"{name}: whether its value is purged is not as its request has it"
    if table is t.reason and row["ciphertext"] is None and row["request_id"] not in {None, *purged}:
        return f"{name}: its value is gone, and its request is not purged"
    if row["ciphertext"] is None:
        return "" if _is_blank(table, row) else f"{name}: what was computed from its value outlives it"
    try:
        text = keys.decrypt(row["ciphertext"], _place(table, row), row["key_id"])
        return "" if _fits(keys, table, row, text) else f"{name}: what was computed from its value is another"
    except (InputError, UnicodeDecodeError, TypeError, ValueError):
        return f"{name}: its value was changed or moved, or its key is another"


def _place(table: Table, row: RowMapping) -> tuple[str, str, str]:
    if table is t.request_key:
        return table.name, row["purpose"], row["request_id"]
    return table.name, "ciphertext", row["id"]


def _is_blank(table: Table, row: RowMapping) -> bool:
    column = {"identifier": "blind_index", "oidc_account": "digest"}.get(table.name)
    return column is None or row[column] is None


def _fits(keys: _Ring, table: Table, row: RowMapping, text: str) -> bool:
    """Whether digest and index of a row are those of its value; digests in the log outlive a rotation of keys."""
    if table is t.identifier:
        computed = keys.digest(normalize(row["kind"], text), f"index/{row['kind']}", row["key_id"])
        return bool(row["blind_index"] == computed)
    if table is t.match:
        return bool(row["object_digest"] == keys.digest(text, "object", row["key_id"]))
    if table is oidc_account:
        return bool(row["digest"] == keys.digest(text, PURPOSE, row["key_id"]))
    if table is t.reason:
        return any(row["keyed_digest"] == keys.digest(text, "reason", each) for each in keys.ids)
    return True


def _receipts(keys: _Ring, conn: Connection) -> Iterator[str]:
    """Receipts of tasks, of which the log holds a keyed digest."""
    told: dict[str, str] = {}
    query = select(t.event_log.c.body).where(t.event_log.c.type.in_(("task.end", "task.tell")))
    for raw in conn.execute(query.order_by(t.event_log.c.seq)).scalars():
        body: dict[str, Any] = json.loads(raw)
        if "receipt" in body:
            told[body["task"]] = body["receipt"]
    for task_id, receipt in conn.execute(select(t.task.c.id, t.task.c.receipt)).tuples():
        digest = told.get(task_id)
        if digest and all(keys.digest(receipt or "", "receipt", each) != digest for each in keys.ids):
            yield f"task {task_id}: its receipt is not the one that the log has"
