"""The inbox: requests by due date, with filters and a search by reference."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from expunge.desk.facts import request_row
from expunge.desk.lifecycle import STATES
from expunge.desk.roles import Refusal
from expunge.desk.views import find_request
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.inbox_query import PAGE, VIEWS, InboxFilter, as_beginning, inbox_rows, state_counts, view_counts
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
TITLES = {"mine": "Waiting for you", "open": "Open", "done": "Done", "all": "All"}


@router.get("/")
def show_inbox(
    request: Request,
    view: str = "open",
    state: str = "",
    reference: str = "",
    page: int = 1,
    visits: Visitor = Depends(visitor),
) -> Response:
    """A page of the inbox; a whole reference leads to its request."""
    problem = ""
    with visits.reading() as s:
        if reference.strip():
            try:
                reference_found = request_row(s, find_request(s, reference))["reference"]
            except Refusal as refusal:
                problem = refusal.what
            except InputError:
                problem = "" if as_beginning(reference) else "that is not the beginning of a reference"
            else:
                return redirect(request, f"/requests/{reference_found}")
        chosen = InboxFilter(
            view if view in VIEWS else "open",
            state if state in STATES else "",
            as_beginning(reference),
            min(max(page, 1), 100_000),
        )
        rows, total = inbox_rows(s, chosen)
        counts = state_counts(s)
    pages = max(1, -(-total // PAGE))
    return render(
        request,
        "inbox.html",
        rows=rows,
        total=total,
        pages=pages,
        chosen=chosen,
        counts=counts,
        views=[(name, TITLES[name], number) for name, number in view_counts(counts, visits.role).items()],
        problem=problem,
        typed=chosen.beginning,
        can_submit=visits.may("identify"),
    )
