"""The audit log: append-only rows in a hash chain, without personal data.

hash = SHA-256 of a domain tag and the RFC 8785 bytes of the row, the hash before it included. Writers hold the head
row, so numbers have no gaps and the chain no forks. A chain alone cannot show that its tail was cut off or that all of
it was written anew: for that, `verify_log` takes heads that were kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from expunge.desk.keys import body_digest, parse_body
from expunge.desk.log_triggers import trigger_problems
from expunge.desk.names import stamp
from expunge.desk.roles import Actor
from expunge.desk.tables import applied, event_log, log_head
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_bytes

TAG = b"expunge/desk-log/1\0"
FIRST = "0" * 64
STEP = "step"  # key in a body: the event id of its row
PARTS = ("seq", "at", "actor", "role", "request_id", "type", "body_digest", "prev_hash")


@dataclass(frozen=True)
class EventHead:
    """Number and hash of the last row."""

    seq: int
    hash: str


def row_hash(row: dict[str, Any]) -> str:
    """The hash of a row, as hex."""
    return hashlib.sha256(TAG + canonical_bytes({name: row[name] for name in PARTS})).hexdigest()


def hold_head(conn: Connection) -> EventHead:
    """The head, locked until the transaction ends, so that writers come one after the other."""
    row = conn.execute(select(log_head.c.seq, log_head.c.hash).where(log_head.c.id == 1).with_for_update()).first()
    if row is None:
        conn.execute(insert(log_head).values(id=1, seq=0, hash=FIRST))
        return EventHead(0, FIRST)
    return EventHead(row.seq, row.hash)


def read_head(conn: Connection) -> EventHead:
    """The head as it is."""
    row = conn.execute(select(log_head.c.seq, log_head.c.hash)).first()
    return EventHead(row.seq, row.hash) if row else EventHead(0, FIRST)


def append(
    conn: Connection,
    now: datetime,
    actor: Actor,
    type_: str,
    body: dict[str, Any],
    request_id: str | None = None,
    event_id: str | None = None,
) -> EventHead:
    """Add a row.

    Args:
        conn: a transaction that writes.
        now: time of the event.
        actor: who acts.
        type_: what happened, such as `request.approve_plan`.
        body: opaque ids, states, counts and digests; no personal data.
        request_id: the request that it is about.
        event_id: `workflow/step` of durable work, under which it happens once.
    """
    head = hold_head(conn)
    if event_id is not None:
        body = {**body, STEP: event_id}
    row = {
        "seq": head.seq + 1,
        "at": stamp(now),
        "actor": actor.person,
        "role": actor.role,
        "request_id": request_id,
        "type": type_,
        "body": canonical_bytes(body).decode(),
        "body_digest": body_digest(body),
        "prev_hash": head.hash,
    }
    row["hash"] = row_hash(row)
    conn.execute(insert(event_log).values(**row))
    conn.execute(update(log_head).where(log_head.c.id == 1).values(seq=row["seq"], hash=row["hash"]))
    if event_id is not None:
        conn.execute(insert(applied).values(event_id=event_id, seq=row["seq"]))
    return EventHead(head.seq + 1, str(row["hash"]))


def was_applied(conn: Connection, event_id: str) -> bool:
    """Whether the event with this id happened before."""
    return conn.execute(select(applied.c.seq).where(applied.c.event_id == event_id)).first() is not None


def log_problems(conn: Connection, heads: Iterable[EventHead] = ()) -> list[str]:
    """What is wrong with the log, one clause each; empty for a whole one.

    Args:
        conn: a transaction.
        heads: earlier heads that were kept outside the database; each must be a row of the log.
    """
    problems = trigger_problems(conn)
    before, seq = FIRST, 0
    hashes: dict[int, str] = {0: FIRST}
    for row in conn.execute(select(event_log).order_by(event_log.c.seq)).mappings():
        seq += 1
        if row["seq"] != seq:
            problems.append(f"row {seq} is missing")
            seq = row["seq"] if isinstance(row["seq"], int) else seq
        if row["prev_hash"] != before:
            problems.append(f"row {seq} does not follow the row before it")
        if row["body_digest"] != _digest(row["body"]):
            problems.append(f"the body of row {seq} was changed")
        try:
            fits = row["hash"] == row_hash(dict(row))
        except InputError:
            fits = False
        if not fits:
            problems.append(f"row {seq} was changed")
        before = hashes[seq] = row["hash"]
    if list(conn.execute(select(log_head.c.id)).scalars()) not in ([1], []):
        problems.append("the head is not in its place")
    head = read_head(conn)
    if (head.seq, head.hash) != (seq, before):
        problems.append(f"the head names row {head.seq}, and the last row is {seq}")
    for known in heads:
        if hashes.get(known.seq) != known.hash:
            problems.append(f"row {known.seq} is not the one whose hash was kept: the log was cut or written anew")
    count = conn.execute(select(func.count()).select_from(applied).where(applied.c.seq > seq)).scalar_one()
    if count:
        problems.append(f"{count} event id(s) name rows that are not there")
    return problems


def _digest(text: str) -> str:
    try:
        return body_digest(parse_body(text))
    except (AttributeError, TypeError, ValueError, InputError):  # a damaged file holds other types, too
        return ""
