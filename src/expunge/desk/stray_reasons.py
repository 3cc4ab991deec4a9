"""Reasons of earlier versions that name no request, and so outlived its purge: the log says whose they are."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.keys import KeyRing, parse_body
from expunge.desk.names import new_id

TYPES = {"reveal": "match.reveal", "cancel_run": "run.cancel"}  # event of a reason -> row of the log that holds it
GONE = {"ciphertext": None, "key_id": None}


def place_reasons(conn: Connection, keys: KeyRing | None) -> None:
    """Give such reasons to their requests, a row each; those of purged requests, and those of nobody, lose their text.

    Args:
        conn: a transaction that writes.
        keys: the keys of the desk, with which a reason of several requests is written for each of them.
    """
    strays = conn.execute(select(t.reason).where(t.reason.c.request_id.is_(None))).mappings().all()
    if not strays:
        return
    logged = {
        (row["type"], row["at"], body["reason"]): list(_requests(conn, row, body))
        for row in conn.execute(select(t.event_log).where(t.event_log.c.type.in_(TYPES.values()))).mappings().all()
        if "reason" in (body := parse_body(row["body"]))
    }
    for row in strays:
        requests = logged.get((TYPES.get(row["event"], ""), row["at"], row["keyed_digest"]), [])
        if requests and row["ciphertext"] is not None and keys is not None:
            text = keys.decrypt(row["ciphertext"], ("reason", "ciphertext", row["id"]), row["key_id"])
            for each in requests[1:]:
                _copy(conn, keys, row, each, text)
        values = {"request_id": requests[0]} if requests else GONE
        conn.execute(update(t.reason).where(t.reason.c.id == row["id"]).values(**values))
    purged = select(t.request.c.id).where(t.request.c.purged_at.is_not(None))
    conn.execute(update(t.reason).where(t.reason.c.request_id.in_(purged)).values(**GONE))


def _requests(conn: Connection, row: RowMapping, body: dict[str, str]) -> Iterator[str]:
    """The requests of a row of the log: its own, or those of the plan whose run it stopped."""
    if row["request_id"] is not None:
        yield row["request_id"]
    elif "run" in body:
        query = select(t.plan.c.content).join(t.run, t.run.c.plan_hash == t.plan.c.hash)
        for content in conn.execute(query.where(t.run.c.id == body["run"])).scalars():
            yield from parse_body(content)["requests"]


def _copy(conn: Connection, keys: KeyRing, row: RowMapping, request_id: str, text: str) -> None:
    row_id = new_id()
    sealed = keys.encrypt(text, ("reason", "ciphertext", row_id))
    values = {**row, "id": row_id, "request_id": request_id, "ciphertext": sealed, "key_id": keys.current}
    conn.execute(insert(t.reason).values(**values))
