"""Who the person is: attempts to show it, and what a success verifies.

Verification is no state. It is written once, never unset, and holds for the identifiers that were shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.deadlines import deadlines
from expunge.desk.desk import DeskSession
from expunge.desk.facts import count, request_row
from expunge.desk.interim import QUESTIONS, withdraw_letters
from expunge.desk.lifecycle import BEFORE_PROMOTION
from expunge.desk.names import new_id
from expunge.desk.roles import Refusal
from expunge.errors import InputError, unknown

MAX_DOCUMENT = 20 * 2**20  # bytes of an identity document, of which only a keyed digest is kept
METHODS = ("in person", "letter", "phone", "video", "email", "account", "identity document", "eID", "other")
LEVELS = ("low", "substantial", "high")  # as eIDAS has them


def record_identity(
    s: DeskSession,
    request_id: str,
    *,
    success: bool,
    method: str,
    level: str = "substantial",
    identifiers: Sequence[str] | None = None,
    document: bytes | None = None,
    reason: str = "",
) -> bool:
    """Note an attempt of the subject to show who they are; returns whether the identity is verified now.

    Verification is written once and never unset. It holds for the named identifiers only, and only these are searched.

    Args:
        s: a session as clerk.
        request_id: the request.
        success: whether the attempt succeeded.
        method: how, one of `METHODS`.
        level: `low`, `substantial` or `high`.
        identifiers: ids of the identifiers that the attempt showed; all of the request if not given.
        document: what was shown; only a keyed digest is kept.
        reason: why it failed.

    Raises:
        Refusal: wrong role, a request that has ended, or no attempt left.
    """
    s.actor.check_may("identify")
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    if method not in METHODS:  # it stands in the log, which holds no text of persons
        raise InputError("method", "is none of the methods", f"choose one of: {', '.join(METHODS)}")
    if document is not None and len(document) > MAX_DOCUMENT:
        what = f"is larger than {MAX_DOCUMENT // 2**20} MiB"
        raise InputError("identity document", what, "a page or a photo of it is enough; the desk keeps a digest only")
    row = request_row(s, request_id)
    if row["state"] not in BEFORE_PROMOTION:
        raise Refusal("identity", f"not possible in the state {row['state']}", kind="state")
    limit = s.rules_of(row).identity.attempts
    failures = count(
        s, t.identity_attempt, t.identity_attempt.c.request_id == request_id, t.identity_attempt.c.success == 0
    )
    if failures >= limit:
        raise Refusal("identity", f"all {limit} attempts failed", "give the request up, with a reason")
    known = list(s.conn.execute(select(t.identifier.c.id).where(t.identifier.c.request_id == request_id)).scalars())
    shown = known if identifiers is None else list(identifiers)
    if not shown or not set(shown) <= set(known):
        raise InputError("identifiers", "are not those of this request", "give ids of its identifiers")
    row_id = new_id()
    s.conn.execute(
        insert(t.identity_attempt).values(
            id=row_id,
            request_id=request_id,
            at=s.at,
            method=method,
            level=level,
            success=int(success),
            person=s.actor.person,
            document_digest=s.keys.keyed_digest(document, "document") if document is not None else None,
        )
    )
    body: dict[str, Any] = {"attempt": row_id, "method": method, "level": level, "success": success}
    if reason:
        body["reason"] = s.keep_reason(reason, "identity", request_id)
    if success:
        body["identifiers"] = sorted(shown)
        fresh = (t.identifier.c.id.in_(shown), t.identifier.c.verified_at.is_(None))
        s.conn.execute(update(t.identifier).where(*fresh).values(verified_at=s.at))
        if row["identity_verified_at"] is None:
            verified = {"identity_verified_at": s.at, "identity_method": method, "identity_level": level}
            s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(**verified, **_clock(s, row)))
            withdraw_letters(s, request_id, "identified", QUESTIONS)
    s.log("request.identity", body, request_id)
    return success or row["identity_verified_at"] is not None


def _clock(s: DeskSession, row: RowMapping) -> dict[str, Any]:
    """New dates where the clock of the regime waited for the identity."""
    rules = s.rules_of(row)
    if not rules.pause_for_identity and rules.starts == "receipt":
        return {}
    dates = deadlines(rules, date.fromisoformat(row["received_on"]), date.fromisoformat(s.today))
    return {"due_on": dates.due and dates.due.isoformat()}


def verified_identifiers(s: DeskSession, request_id: str) -> list[tuple[str, str, str]]:
    """(id, kind, value) of the verified identifiers; only these may be searched."""
    query = select(t.identifier).where(
        t.identifier.c.request_id == request_id,
        t.identifier.c.verified_at.is_not(None),
        t.identifier.c.ciphertext.is_not(None),
    )
    return [
        (r["id"], r["kind"], s.keys.decrypt(r["ciphertext"], ("identifier", "ciphertext", r["id"]), r["key_id"]))
        for r in s.conn.execute(query.order_by(t.identifier.c.id)).mappings()
    ]
