"""Letters that are to go out, and the text of one as a file to print."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from starlette.responses import Response

from expunge.desk import tables as t
from expunge.desk.letter_text import read_letter
from expunge.desk.letters import pending_count, pending_letters
from expunge.web.paging import Page
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter(prefix="/letters")
Visits = Annotated[Visitor, Depends(visitor)]


@router.get("")
def show_letters(request: Request, visits: Visits, page: int = 1) -> Response:
    """A page of the letters that nobody has posted yet, oldest first."""
    with visits.reading() as s:
        shown = Page.of(page, pending_count(s))
        rows = pending_letters(s, shown.size, shown.offset)
        ids = [row["request_id"] for row in rows]
        query = select(t.request.c.id, t.request.c.reference, t.request.c.language).where(t.request.c.id.in_(ids))
        about = {row["id"]: row for row in s.conn.execute(query).mappings()}
    rows_about = [{**row, "about": about[row["request_id"]]} for row in rows]
    return render(request, "letters.html", rows=rows_about, page=shown)


@router.get("/{letter_id}")
def download_letter(request: Request, letter_id: str, visits: Visits) -> Response:
    """The letter as a file: it has styles of its own, which no page of the desk may have."""
    text = read_letter(visits.desk, visits.actor, letter_id)
    headers = {"content-disposition": f'attachment; filename="letter-{letter_id[:8]}.html"'}
    return Response(text.encode(), media_type="text/html", headers=headers)
