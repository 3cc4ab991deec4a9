"""People of the desk, their roles and accounts; for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.people import people, remove_person, set_person
from expunge.desk.roles import PEOPLE
from expunge.web.accounts import ENROL_HOURS, account_states, close_account, open_account
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter(prefix="/people")
Visits = Annotated[Visitor, Depends(visitor)]
Text = Annotated[str, Form(max_length=80)]


@router.get("")
def show_people(request: Request, visits: Visits) -> Response:
    """Everybody, with their roles and whether they can sign in."""
    visits.actor.check_may("edit people")
    with visits.reading() as s:
        rows, accounts = people(s), account_states(s)
    return render(request, "people.html", rows=rows, accounts=accounts, roles=PEOPLE)


@router.post("")
def save_person(
    request: Request, person: Text, visits: Visits, role: Annotated[list[str] | None, Form()] = None
) -> Response:
    """Add a person, or change their roles."""
    with visits.acting() as s:
        set_person(s, person.strip(), role or ())
    return redirect(request, "/people")


@router.post("/{person}/leave")
def leave(request: Request, person: str, visits: Visits) -> Response:
    """Somebody leaves."""
    with visits.acting() as s:
        remove_person(s, person)
        close_account(s, person)
    return redirect(request, "/people")


@router.post("/{person}/account")
def give_account(request: Request, person: str, visits: Visits) -> Response:
    """Open an account anew; the token is shown once, in the answer."""
    with visits.acting() as s:
        token = open_account(s, person)
    return render(request, "account_token.html", person=person, token=token, hours=ENROL_HOURS)


@router.post("/{person}/account/close")
def end_account(request: Request, person: str, visits: Visits) -> Response:
    """Nobody signs in as this person any more."""
    with visits.acting() as s:
        close_account(s, person)
    return redirect(request, "/people")
