"""A submission that a program repeats after it heard nothing is the same request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from expunge.desk.desk import DeskSession
from expunge.desk.roles import Refusal
from expunge.desk.web_tables import idempotency
from expunge.evidence.canonical_json import canonical_bytes


def earlier_request(s: DeskSession, key: str, body: dict[str, Any]) -> str | None:
    """The request that this person submitted under a key.

    Raises:
        Refusal: it was submitted with other content (kind `conflict`).
    """
    here = idempotency.c.key_digest == _key(s, key)
    row = s.conn.execute(select(idempotency).where(here)).mappings().first()
    if row is None:
        return None
    if row["body_digest"] != _body(s, body):
        raise Refusal("Idempotency-Key", "was used with other content", "take a new key", kind="conflict")
    return str(row["request_id"])


def remember_request(s: DeskSession, key: str, body: dict[str, Any], request_id: str) -> None:
    """Note under which key a request was submitted, in the transaction that opened it."""
    values = {"key_digest": _key(s, key), "body_digest": _body(s, body), "request_id": request_id, "at": s.at}
    s.conn.execute(insert(idempotency).values(**values))


def _key(s: DeskSession, key: str) -> str:
    return s.keys.keyed_digest(f"{s.actor.person}\0{key}", "idempotency")


def _body(s: DeskSession, body: dict[str, Any]) -> str:
    return s.keys.keyed_digest(canonical_bytes(body), "idempotency")
