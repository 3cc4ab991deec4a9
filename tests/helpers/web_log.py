"""What the audit log holds of a kind."""

from __future__ import annotations

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.roles import SYSTEM
from helpers.desk import DeskCase


def log_rows(case: DeskCase, type_: str) -> list[tuple[str, str]]:
    """(who, body) of every event of a type."""
    with case.desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.event_log).where(t.event_log.c.type == type_)).mappings()
        return [(row["actor"], row["body"]) for row in rows]
