"""What the audit log holds of a kind."""

from __future__ import annotations

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.keys import parse_body
from expunge.desk.roles import SYSTEM
from expunge.desk.row_seals import FIELD
from expunge.evidence.canonical_json import canonical_bytes
from helpers.desk import DeskCase


def log_rows(case: DeskCase, type_: str) -> list[tuple[str, str]]:
    """(who, body without digests of rows) of every event of a type."""
    with case.desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.event_log).where(t.event_log.c.type == type_)).mappings()
        return [(row["actor"], without_seals(row["body"])) for row in rows]


def without_seals(body: str) -> str:
    """The body of a row of the log without the digests of rows."""
    return canonical_bytes({key: value for key, value in parse_body(body).items() if key != FIELD}).decode()
