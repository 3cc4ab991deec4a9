"""Status messages to other desks. They are read off the audit log, so each change of a state is told, and told once.

A message stays in the outbox until the other desk took it. Messages about one request go out in their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update

from expunge._io import canonical
from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.due_dates import due_of
from expunge.desk.event_log import read_head
from expunge.desk.keys import parse_body
from expunge.desk.lifecycle import STATES
from expunge.desk.names import new_id, stamp
from expunge.desk.roles import SYSTEM
from expunge.desk.web_tables import webhook_out, webhook_peer
from expunge.web.webhook_faces import webhook_face, webhook_table
from expunge.web.webhook_peers import actor_name, peer_keys
from expunge.web.webhook_signature import sign

DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # seconds after each attempt that failed
MANY = 200
GONE = 410
Post = Callable[[str, dict[str, str], bytes], int]  # url, headers, body -> status; OSError if nobody answers


def queue_statuses(desk: Desk) -> int:
    """Put what the log says since the last time into the outbox; returns the number of new messages."""
    with desk.reading(SYSTEM) as s:
        head = read_head(s.conn).seq
        behind = [p["id"] for p in _listening(s) if p["seen_seq"] < head]
    if not behind:
        return 0
    with desk.session(SYSTEM) as s:
        return sum(_queue(s, peer) for peer in _listening(s) if peer["id"] in behind)


def _listening(s: DeskSession) -> list[RowMapping]:
    query = select(webhook_peer).where(webhook_peer.c.url.is_not(None), webhook_peer.c.ended_at.is_(None))
    return list(s.conn.execute(query).mappings())


def _queue(s: DeskSession, peer: RowMapping) -> int:
    log, head, count = t.event_log, read_head(s.conn).seq, 0
    query = select(log).where(
        log.c.seq > peer["seen_seq"], log.c.request_id.is_not(None), log.c.type.startswith("request.")
    )
    if not peer["every_request"]:
        query = query.where(log.c.request_id.in_(_submitted_by(peer)))
    for row in s.conn.execute(query.order_by(log.c.seq)).mappings().all():
        state = parse_body(row["body"]).get("to")
        if state in STATES:
            count += _add(s, peer, row, state)
    s.conn.execute(update(webhook_peer).where(webhook_peer.c.id == peer["id"]).values(seen_seq=head))
    return count


def _submitted_by(peer: RowMapping) -> Any:
    log = t.event_log
    own = (log.c.type == "request.submit", log.c.role == "webhook", log.c.actor == actor_name(peer["name"]))
    return select(log.c.request_id).where(*own)


def _add(s: DeskSession, peer: RowMapping, row: RowMapping, state: str) -> int:
    """One message, unless the other desk would read the same as from the one before."""
    request = s.conn.execute(select(t.request).where(t.request.c.id == row["request_id"])).mappings().one()
    data = webhook_face(peer["face"]).message({**request, "due_on": due_of(s, request)}, state)
    here = (webhook_out.c.peer_id == peer["id"], webhook_out.c.request_id == row["request_id"])
    last = s.conn.execute(select(webhook_out.c.body).where(*here).order_by(webhook_out.c.seq.desc()).limit(1)).scalar()
    if last is not None and json.loads(last)["data"] == data:
        return 0
    body = canonical({"type": webhook_table().outgoing, "timestamp": row["at"], "data": data}).decode()
    values = {"id": new_id(), "peer_id": peer["id"], "request_id": row["request_id"], "seq": row["seq"], "body": body}
    s.conn.execute(insert(webhook_out).values(**values, at=s.at, next_at=s.at, attempts=0))
    return 1


def deliver_due(desk: Desk, post: Post) -> int:
    """Send the messages that are due; returns how many were taken.

    Each is claimed before it is sent, so that two servers do not send it at once; after a crash it is sent again, with
    the same id.
    """
    with desk.reading(SYSTEM) as s:
        due = [dict(row) for row in s.conn.execute(_due(s)).mappings()]
    delivered, silent = 0, set()
    for row in due:
        if row["peer_id"] not in silent:  # who does not answer keeps nobody waiting more than once
            is_taken = _deliver(desk, row, post)
            delivered += is_taken
            silent |= set() if is_taken else {row["peer_id"]}
    return delivered


def _due(s: DeskSession) -> Any:
    out, first = webhook_out, webhook_out.alias()
    waits = (first.c.peer_id == out.c.peer_id, first.c.request_id == out.c.request_id, first.c.next_at.is_not(None))
    earliest = select(func.min(first.c.seq)).where(*waits).scalar_subquery()
    query = select(out).join(webhook_peer, webhook_peer.c.id == out.c.peer_id)
    return query.where(out.c.next_at <= s.at, out.c.seq == earliest, webhook_peer.c.ended_at.is_(None)).limit(MANY)


def _deliver(desk: Desk, row: dict[str, Any], post: Post) -> int:
    here = webhook_out.c.id == row["id"]
    with desk.session(SYSTEM) as s:
        attempts = row["attempts"] + 1
        delay = DELAYS[min(attempts, len(DELAYS)) - 1]
        claim = {"next_at": stamp(s.now + timedelta(seconds=delay)), "attempts": attempts}
        mine = (here, webhook_out.c.next_at == row["next_at"])
        if s.conn.execute(update(webhook_out).where(*mine).values(**claim)).rowcount != 1:
            return 0
        peer = s.conn.execute(select(webhook_peer).where(webhook_peer.c.id == row["peer_id"])).mappings().one()
        keys = [k.secret for k in peer_keys(s, peer["id"]) if k.ended_at is None or s.at < k.ended_at]
        sent = int(s.now.timestamp())
    body = row["body"].encode()
    headers = {
        "content-type": "application/json",
        "webhook-id": row["id"],
        "webhook-timestamp": str(sent),
        "webhook-signature": " ".join(sign(secret, row["id"], sent, body) for secret in keys),
    }
    try:
        status: int | None = post(peer["url"], headers, body)
        problem = f"answered {status}"
    except (OSError, ValueError) as error:
        status, problem = None, f"did not answer ({type(error).__name__})"
    is_taken = status is not None and 200 <= status < 300
    with desk.session(SYSTEM) as s:
        if is_taken:
            values: dict[str, Any] = {"delivered_at": s.at, "next_at": None, "problem": None}
        elif attempts > len(DELAYS) or status == GONE:
            values = {"next_at": None, "problem": problem}
            s.log("webhook.give_up", {"message": row["id"], "attempts": attempts}, row["request_id"])
        else:
            values = {"problem": problem}
        s.conn.execute(update(webhook_out).where(here).values(**values))
        if status == GONE:
            s.conn.execute(update(webhook_peer).where(webhook_peer.c.id == peer["id"]).values(ended_at=s.at))
            s.log("webhook.end", {"peer": peer["id"]})
    return int(is_taken)


def waiting_messages(s: DeskSession) -> dict[str, int]:
    """Peer -> messages that wait for it, or were given up."""
    s.actor.check_may("read")
    query = (
        select(webhook_peer.c.name, func.count())
        .join(webhook_out, webhook_out.c.peer_id == webhook_peer.c.id)
        .where(webhook_out.c.delivered_at.is_(None))
        .group_by(webhook_peer.c.name)
    )
    return dict(s.conn.execute(query).tuples().all())
