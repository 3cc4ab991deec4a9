"""Taking in a request, the page of one, and the form that reveals a text."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.deadlines import zone
from expunge.desk.facts import request_row
from expunge.desk.keys import IDENTIFIER_KINDS
from expunge.desk.matching import match_row
from expunge.desk.regime import regime_names
from expunge.desk.requests import LANGUAGES, submit
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.page_labels import EVENTS
from expunge.web.render import render
from expunge.web.request_page import request_values
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
Field = Annotated[str, Form(max_length=2000)]
ROWS = ("name", "record_number", "birth_date", "email")  # kinds with a field of their own; "other" takes the rest


@router.get("/requests/new")
def new_request(request: Request, visits: Visitor = Depends(visitor)) -> Response:
    """The form for a letter that came."""
    visits.actor.check_may("identify")
    with visits.reading() as s:
        own, today = s.settings.regime, s.today
    names = regime_names(visits.desk.folder / "policies")
    chosen = max((name for name in names if name.partition("@")[0] == own), default=own)
    return render(
        request,
        "request_new.html",
        policies=names,
        chosen=chosen,
        languages=LANGUAGES,
        kinds=IDENTIFIER_KINDS,
        today=today,
    )


@router.post("/requests")
def take_in(
    request: Request,
    kind_1: Field,
    value_1: Field,
    policy: Field,
    kind_2: Field = "",
    value_2: Field = "",
    kind_3: Field = "",
    value_3: Field = "",
    received_on: Field = "",
    language: Field = "en",
    visits: Visitor = Depends(visitor),
) -> Response:
    """Open a request."""
    identifiers: dict[str, list[str]] = {}
    for kind, value in ((kind_1, value_1), (kind_2, value_2), (kind_3, value_3)):
        if value.strip():
            identifiers.setdefault(kind, []).append(value)
    with visits.acting() as s:
        request_id = submit(
            s,
            identifiers,
            regime=policy,
            received_at=_received(received_on, s.settings.time_zone, s.now),
            language=language,
        )
        reference = request_row(s, request_id)["reference"]
    return redirect(request, f"/requests/{reference}")


def _received(text: str, time_zone: str, now: datetime) -> datetime | None:
    """Noon of a day in the controller's zone, or now for today; `InputError` for what is no day."""
    if not text.strip():
        return None
    try:
        day = datetime.fromisoformat(text.strip()).date()
    except ValueError as error:
        raise InputError("day of receipt", "is no day", "write YYYY-MM-DD") from error
    moment = datetime.combine(day, time(12), zone(time_zone)).astimezone(UTC)
    return min(moment, now) if moment.date() <= now.date() else moment


@router.get("/requests/{reference}")
def show_request(request: Request, reference: str, visits: Visitor = Depends(visitor)) -> Response:
    """One request."""
    with visits.reading() as s:
        values = request_values(s, reference)
    return render(request, "request.html", **values, event_names=EVENTS)


@router.get("/matches/{match_id}/reveal")
def reveal_form(request: Request, match_id: str, visits: Visitor = Depends(visitor)) -> Response:
    """The form that asks why a text must be read."""
    visits.actor.check_may("reveal")
    with visits.reading() as s:
        row = match_row(s, match_id)
        reference = request_row(s, row["request_id"])["reference"]
    return render(request, "reveal.html", match_id=match_id, reference=reference, how=row["how"])
