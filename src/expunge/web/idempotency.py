"""A submission that a program repeats after it heard nothing is the same request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from expunge.desk.desk import DeskSession
from expunge.desk.roles import Refusal
from expunge.desk.web_tables import idempotency
from expunge.evidence.canonical_json import canonical_bytes

PURPOSE = "idempotency"


def earlier_request(s: DeskSession, key: str, body: dict[str, Any]) -> str | None:
    """The request that this person submitted under a key.

    Raises:
        Refusal: it was submitted with other content (kind `conflict`).
    """
    here = idempotency.c.key_digest.in_(s.keys.keyed_digests(_key(s, key), PURPOSE))
    row = s.conn.execute(select(idempotency).where(here)).mappings().first()
    if row is None:
        return None
    if row["body_digest"] not in s.keys.keyed_digests(canonical_bytes(body), PURPOSE):
        raise Refusal("Idempotency-Key", "was used with other content", "take a new key", kind="conflict")
    return str(row["request_id"])


def remember_request(s: DeskSession, key: str, body: dict[str, Any], request_id: str) -> None:
    """Note under which key a request was submitted, in the transaction that opened it."""
    digests = {
        "key_digest": s.keys.keyed_digest(_key(s, key), PURPOSE),
        "body_digest": s.keys.keyed_digest(canonical_bytes(body), PURPOSE),
    }
    s.conn.execute(insert(idempotency).values(**digests, request_id=request_id, at=s.at))


def _key(s: DeskSession, key: str) -> str:
    return f"{s.actor.person}\0{key}"
