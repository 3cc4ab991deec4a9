"""Until when a request is answered: an extension holds once the letter about it was accepted, if that was in time.

A letter that a clerk noted too late was in time if the clerk says that it was posted by the due date. An extension of a
desk from before such letters has none, and holds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, and_, case, or_, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.interim import EXTENSION

_LATE = and_(
    t.outbox.c.withdrawn_for == "late", or_(t.outbox.c.posted_on.is_(None), t.outbox.c.posted_on > t.request.c.due_on)
)
_LETTER = (
    t.outbox.c.request_id == t.request.c.id,
    t.outbox.c.template == EXTENSION,
    or_(t.outbox.c.accepted_at.is_(None), _LATE),
)  # that is not with the person in time
DUE: Any = case(
    (t.request.c.extended_until.is_(None), t.request.c.due_on),
    (select(t.outbox.c.id).where(*_LETTER).correlate(t.request).exists(), t.request.c.due_on),
    else_=t.request.c.extended_until,
)  # the date as a column of a query over requests


def due_of(s: DeskSession, row: RowMapping) -> str | None:
    """The day until which a request is answered; None where no date is set."""
    is_later = row["extended_until"] and is_told(s, row["id"])
    day: str | None = row["extended_until"] if is_later else row["due_on"]
    return day


def is_told(s: DeskSession, request_id: str) -> bool:
    """Whether no letter about an extension waits to go out, or went out too late."""
    query = select(t.outbox.c.id).join(t.request, t.request.c.id == t.outbox.c.request_id)
    return s.conn.execute(query.where(t.request.c.id == request_id, *_LETTER)).first() is None
