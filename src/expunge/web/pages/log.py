"""The audit log: whether its chain is whole, its head, and its last rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from sqlalchemy import select
from starlette.responses import Response

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.event_log import EventHead, log_problems, read_head
from expunge.errors import InputError
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
Visits = Annotated[Visitor, Depends(visitor)]
ROWS = 50
MOST = 2**53  # number of an entry
COLUMNS = ("seq", "at", "actor", "role", "type", "hash")


@router.get("/log")
def show_log(request: Request, visits: Visits, before: Annotated[int | None, Query(ge=0, le=MOST)] = None) -> Response:
    """Head and rows, the newest first."""
    with visits.reading() as s:
        values = _values(s, before)
    return render(request, "log.html", **values, problems=None, known=None)


@router.post("/log/check")
def check_log(request: Request, visits: Visits, head: Annotated[str, Form(max_length=120)] = "") -> Response:
    """Check the whole chain, and a head that was kept elsewhere."""
    known = _head(head)
    with visits.reading() as s:
        s.actor.check_may("read")
        problems = log_problems(s.conn, [known] if known else [])
        values = _values(s, None)
    return render(request, "log.html", **values, problems=problems, known=known)


def _head(text: str) -> EventHead | None:
    """`SEQ:HASH`; None for nothing."""
    seq, sign, digest = text.strip().partition(":")
    if not text.strip():
        return None
    if not sign or not (seq.isascii() and seq.isdigit()) or len(seq) > 15 or len(digest) != 64:
        raise InputError("head", "has not the form NUMBER:HASH", "copy it from a letter, a certificate or a backup")
    return EventHead(int(seq), digest)


def _values(s: DeskSession, before: int | None) -> dict[str, Any]:
    s.actor.check_may("read")
    query = select(*(t.event_log.c[name] for name in COLUMNS), t.request.c.reference)
    query = query.outerjoin(t.request, t.request.c.id == t.event_log.c.request_id).order_by(t.event_log.c.seq.desc())
    if before is not None:
        query = query.where(t.event_log.c.seq < before)
    return {"head": read_head(s.conn), "rows": list(s.conn.execute(query.limit(ROWS)).mappings()), "size": ROWS}
