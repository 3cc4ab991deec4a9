"""Until when a request is answered: an extension holds once the letter about it was accepted, if that was in time.

An extension of a desk from before such letters has none, and holds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, case, or_, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.interim import EXTENSION

_LETTER = (t.outbox.c.template == EXTENSION, or_(t.outbox.c.accepted_at.is_(None), t.outbox.c.withdrawn_for == "late"))
DUE: Any = case(
    (t.request.c.extended_until.is_(None), t.request.c.due_on),
    (select(t.outbox.c.id).where(t.outbox.c.request_id == t.request.c.id, *_LETTER).exists(), t.request.c.due_on),
    else_=t.request.c.extended_until,
)  # the date as a column of a query over requests


def due_of(s: DeskSession, row: RowMapping) -> str | None:
    """The day until which a request is answered; None where no date is set."""
    is_later = row["extended_until"] and is_told(s, row["id"])
    day: str | None = row["extended_until"] if is_later else row["due_on"]
    return day


def is_told(s: DeskSession, request_id: str) -> bool:
    """Whether no letter about an extension waits to go out, or went out too late."""
    return s.conn.execute(select(t.outbox.c.id).where(t.outbox.c.request_id == request_id, *_LETTER)).first() is None
