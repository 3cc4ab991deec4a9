"""The text of one match, with a reason, for a minute."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.facts import request_row
from expunge.desk.matching import match_row
from expunge.desk.requests import MAX_REASON
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.reveals import reveal_text, revealed_text
from expunge.web.visitor import Visitor, visitor

router = APIRouter()


@router.post("/matches/{match_id}/reveal")
def reveal_now(
    request: Request,
    match_id: str,
    reason: Annotated[str, Form(max_length=MAX_REASON)] = "",
    visits: Visitor = Depends(visitor),
) -> Response:
    """Reveal; the log notes it first."""
    reveal_text(visits, match_id, reason)
    return redirect(request, f"/matches/{match_id}/text")


@router.get("/matches/{match_id}/text")
def show_text(request: Request, match_id: str, visits: Visitor = Depends(visitor)) -> Response:
    """The text, as long as it may be shown; then the browser leaves the page by itself."""
    shown = revealed_text(visits, match_id)
    with visits.reading() as s:
        reference = request_row(s, match_row(s, match_id)["request_id"])["reference"]
    left = max(1, int((shown.until - visits.context.now).total_seconds()))
    response = render(request, "text.html", text=shown.text, seconds=left, reference=reference)
    response.headers["refresh"] = f"{left}; url=/requests/{reference}"
    return response
