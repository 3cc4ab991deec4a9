"""Letters on the way of a request: receipt, a question, an answer that is put off. One that is outdated is withdrawn.

They share the outbox with the closing letter. A state that changes withdraws, in the same transaction, what it outdates
and nobody has accepted yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.lifecycle import ENDED_EARLY

ACKNOWLEDGEMENT, EXTENSION, IDENTIFICATION = "acknowledgement", "extension", "identification"
INTERIM = (ACKNOWLEDGEMENT, EXTENSION, IDENTIFICATION)
QUESTIONS = (ACKNOWLEDGEMENT, IDENTIFICATION)  # that ask, or may ask, who the person is
OVER = (*ENDED_EARLY, "purging", "notified", "closed")  # states of which a closing letter tells
WITHDRAWALS = {  # word in the database -> on pages
    "over": "the request is over before it went out",
    "identified": "the identity is shown",
    "not asked": "nobody waits for the identity now",
    "confirmed": "receipt was confirmed otherwise",
    "late": "the day by which the person had to be told was over",
}


def withdraw_letters(s: DeskSession, request_id: str, why: str, templates: Sequence[str] = INTERIM) -> list[str]:
    """Withdraw the letters on the way that nobody has accepted; returns their ids.

    Args:
        s: a session that writes.
        request_id: the request.
        why: a key of `WITHDRAWALS`.
        templates: only these.
    """
    here = t.outbox.c
    waiting = (here.request_id == request_id, here.accepted_at.is_(None), here.withdrawn_at.is_(None))
    ids = list(
        s.conn.execute(select(here.id).where(*waiting, here.template.in_(templates)).order_by(here.id)).scalars()
    )
    for letter in ids:
        values = {"withdrawn_at": s.at, "withdrawn_for": why}
        s.conn.execute(update(t.outbox).where(here.id == letter).values(**values))
        s.log("letter.withdraw", {"letter": letter, "why": why}, request_id)
    return ids


def withdraw_late_extensions(s: DeskSession, request_id: str | None = None) -> list[str]:
    """Withdraw the letters about an extension that the person no longer gets in time; returns their ids.

    Args:
        s: a session that writes.
        request_id: only those of this request.
    """
    here = t.outbox.c
    waiting = (here.template == EXTENSION, here.accepted_at.is_(None), here.withdrawn_at.is_(None))
    query = select(t.request.c.id).join(t.outbox, here.request_id == t.request.c.id)
    query = query.where(*waiting, t.request.c.due_on < s.today)
    if request_id:
        query = query.where(t.request.c.id == request_id)
    late = s.conn.execute(query).scalars().all()
    return [letter for name in late for letter in withdraw_letters(s, name, "late", (EXTENSION,))]


def withdraw_outdated(s: DeskSession, request_id: str, source: str, target: str) -> None:
    """Withdraw what a change of the state outdates."""
    if target in OVER:
        withdraw_letters(s, request_id, "over")
    elif source == "identity_pending" and target != source:
        withdraw_letters(s, request_id, "identified" if target == "scoping" else "not asked", QUESTIONS)


def confirm_receipt(s: DeskSession, request_id: str, letter: str = "") -> bool:
    """Note, once, that receipt was confirmed to the person; False if that was known.

    Args:
        s: a session that writes.
        request_id: the request.
        letter: the letter that did so; without one, its letter is not needed any more.
    """
    here = (t.request.c.id == request_id, t.request.c.acknowledged_at.is_(None))
    if not s.conn.execute(update(t.request).where(*here).values(acknowledged_at=s.at)).rowcount:
        return False
    s.log("request.acknowledge", {"letter": letter} if letter else {}, request_id)
    withdraw_letters(s, request_id, "confirmed", (ACKNOWLEDGEMENT,))
    return True
