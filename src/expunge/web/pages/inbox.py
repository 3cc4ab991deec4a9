"""The inbox: requests by due date, with filters and a search by reference."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.lifecycle import STATES
from expunge.desk.recipients import tasks_for_people
from expunge.desk.roles import Refusal
from expunge.desk.views import find_request
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.inbox_query import VIEWS, InboxFilter, as_beginning, inbox_rows, state_counts, view_counts
from expunge.web.paging import Page
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
TITLES = {"mine": "Waiting for you", "open": "Open", "done": "Done", "all": "All"}


PROBLEMS = {
    "none": "no request has this reference",
    "unreadable": "that is no reference, nor the beginning of one, which starts with E-",
}


@router.post("/search")
def search_inbox(
    request: Request,
    reference: Annotated[str, Form()] = "",
    state: Annotated[str, Form()] = "",
    visits: Visitor = Depends(visitor),
) -> Response:
    """Find requests. What was typed stands in an address only if it is a reference, or the beginning of one."""
    with visits.reading() as s:
        return redirect(request, _address(s, reference, state))


def _address(s: DeskSession, typed: str, state: str) -> str:
    """The page that shows what somebody looks for."""
    listed = f"/?view=all&state={state if state in STATES else ''}"
    if not typed.strip():
        return listed
    try:
        return f"/requests/{request_row(s, find_request(s, typed))['reference']}"
    except Refusal:
        return "/?view=all&search=none"
    except InputError:
        beginning = as_beginning(typed)
    return f"{listed}&reference={beginning}" if beginning else "/?view=all&search=unreadable"


@router.get("/")
def show_inbox(
    request: Request,
    view: str = "open",
    state: str = "",
    reference: str = "",
    search: str = "",
    page: int = 1,
    visits: Visitor = Depends(visitor),
) -> Response:
    """A page of the inbox; a whole reference leads to its request, and any other text out of the address."""
    beginning = as_beginning(reference)
    with visits.reading() as s:
        address = _address(s, reference, state)
        if reference and not address.endswith(f"&reference={reference}"):
            return redirect(request, address)
        chosen = InboxFilter(
            view if view in VIEWS else "open", state if state in STATES else "", beginning, min(max(page, 1), 100_000)
        )
        rows, total = inbox_rows(s, chosen)
        counts, waiting = state_counts(s), tasks_for_people(s)
    return render(
        request,
        "inbox.html",
        rows=rows,
        waiting=waiting,
        total=total,
        page=Page(chosen.page, total),
        chosen=chosen,
        counts=counts,
        views=[(name, TITLES[name], number) for name, number in view_counts(counts, visits.role).items()],
        problem=PROBLEMS.get(search, ""),
        typed=chosen.beginning,
        can_submit=visits.may("identify"),
    )
