"""Reasons in words: why a request was held, refused, stopped by an error. They are encrypted, and reading is logged."""

from __future__ import annotations

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.desk import Desk
from expunge.desk.facts import request_row
from expunge.desk.roles import Actor


def read_reasons(desk: Desk, actor: Actor, request_id: str) -> list[dict[str, str]]:
    """When, event and text of each reason of a request, oldest first. The log row is committed before they are read."""
    actor.check_may("read reasons")
    with desk.session(actor) as s:
        request_row(s, request_id)
        s.log("reason.read", {}, request_id)
    with desk.reading(actor) as s:
        query = select(t.reason).where(t.reason.c.request_id == request_id, t.reason.c.ciphertext.is_not(None))
        return [
            {
                "at": row["at"],
                "event": row["event"],
                "text": s.keys.decrypt(row["ciphertext"], ("reason", "ciphertext", row["id"]), row["key_id"]),
            }
            for row in s.conn.execute(query.order_by(t.reason.c.id)).mappings()
        ]
