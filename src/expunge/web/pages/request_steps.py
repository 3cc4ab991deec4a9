"""What clerk and reviewer do with a request. Each route hands its form to one function of the desk, which checks it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from starlette.datastructures import FormData
from starlette.responses import Response

from expunge.desk.decisions import decide, decide_asset
from expunge.desk.facts import open_assets
from expunge.desk.identity import MAX_DOCUMENT, record_identity
from expunge.desk.letters import accept_letter
from expunge.desk.matching import add_match, matches, search, settle
from expunge.desk.purging import confirm_task, purge_request
from expunge.desk.reasons import read_reasons
from expunge.desk.recipients import note_notice
from expunge.desk.requests import MAX_REASON, acknowledge, act, add_identifiers, extend
from expunge.desk.roles import Actor
from expunge.desk.views import find_request
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter(prefix="/requests/{reference}")
Text = Annotated[str, Form(max_length=400)]
Words = Annotated[str, Form(max_length=MAX_REASON)]
Visits = Annotated[Visitor, Depends(visitor)]
OWN_WORD = "revoke"  # what only the person does; a clerk notes it


async def whole_form(request: Request) -> FormData:
    """A form whose fields depend on the desk."""
    return await request.form()


def back(request: Request, reference: str, part: str = "") -> Response:
    """To the page of the request."""
    return redirect(request, f"/requests/{reference}{part}")


def id_of(visits: Visitor, reference: str) -> str:
    """The id behind a reference."""
    with visits.reading() as s:
        return find_request(s, reference)


@router.post("/event")
def do_event(
    request: Request, reference: str, event: Text, visits: Visits, reason: Words = "", other: Text = ""
) -> Response:
    """An event of the lifecycle."""
    request_id = id_of(visits, reference)
    options: dict[str, Any] = {"other": id_of(visits, other)} if other.strip() else {}
    actor = visits.actor
    if event == OWN_WORD and actor.role == "clerk":
        actor = Actor(actor.person, "subject")
    with visits.desk.session(actor) as s:
        act(s, request_id, event, reason=reason, **options)
    return back(request, reference)


@router.post("/identity")
def note_identity(
    request: Request,
    reference: str,
    outcome: Text,
    method: Text,
    visits: Visits,
    level: Text = "substantial",
    reason: Words = "",
    identifiers: Annotated[list[str] | None, Form()] = None,
    document: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """An attempt of the person to show who they are. Of a document only a keyed digest is kept."""
    if outcome not in ("shown", "not shown"):
        raise InputError("outcome", "is neither shown nor not shown", "choose one")
    content = document.file.read(MAX_DOCUMENT + 1) if document is not None and document.size else None
    with visits.acting() as s:
        record_identity(
            s,
            find_request(s, reference),
            success=outcome == "shown",
            method=method,
            level=level,
            identifiers=identifiers,
            document=content,
            reason=reason,
        )
    return back(request, reference)


@router.post("/identifiers")
def note_identifier(request: Request, reference: str, kind: Text, value: Text, visits: Visits) -> Response:
    """A further identifier."""
    with visits.acting() as s:
        add_identifiers(s, find_request(s, reference), {kind: value})
    return back(request, reference)


@router.post("/acknowledge")
def confirm_receipt(request: Request, reference: str, visits: Visits) -> Response:
    """Receipt was confirmed to the person."""
    with visits.acting() as s:
        acknowledge(s, find_request(s, reference))
    return back(request, reference)


@router.post("/search")
def search_assets(request: Request, reference: str, visits: Visits) -> Response:
    """Search all assets for the verified identifiers."""
    search(visits.desk, visits.actor, id_of(visits, reference))
    return back(request, reference, "#matches")


@router.post("/matches")
def settle_matches(
    request: Request,
    reference: str,
    choice: Text,
    visits: Visits,
    match: Annotated[list[str] | None, Form()] = None,
    asset: Text = "",
) -> Response:
    """Confirm or reject matches: those that are marked, or all proposed ones of an asset."""
    if choice not in ("confirm", "reject"):
        raise InputError("choice", "is neither confirm nor reject", "choose one")
    with visits.acting() as s:
        request_id = find_request(s, reference)
        rows = matches(s, request_id)
        own = {row["id"] for row in rows}
        chosen = [name for name in match or () if name in own]
        if asset:
            chosen = [row["id"] for row in rows if row["asset"] == asset and row["state"] == "proposed"]
        if not chosen:
            raise InputError("matches", "none is marked", "mark at least one")
        settle(s, chosen, confirm=choice == "confirm")
    return back(request, reference, "#matches")


@router.post("/matches/add")
def add_by_hand(request: Request, reference: str, asset: Text, name: Text, visits: Visits) -> Response:
    """An object that somebody knows to be of the person."""
    with visits.acting() as s:
        add_match(s, find_request(s, reference), asset, name)
    return back(request, reference, "#matches")


@router.post("/decisions")
def decide_assets(
    request: Request, reference: str, visits: Visits, form: Annotated[FormData, Depends(whole_form)]
) -> Response:
    """Decisions on assets: a clerk's are proposals."""
    with visits.acting() as s:
        request_id = find_request(s, reference)
        for asset in open_assets(s):
            parts = {key: str(form.get(f"{key}-{asset['id']}") or "") for key in ("value", "ground", "searched")}
            value = parts["value"]
            if not value:
                continue
            ground = parts["ground"] if value == "retain" else ""
            searched = parts["searched"] if value == "not_present" else ""
            decide_asset(s, request_id, asset["id"], value, ground=ground, searched=searched)
        if form.get("close"):
            decide(s, request_id, str(form.get("reason") or "")[: MAX_REASON + 1])
    return back(request, reference, "#decisions")


@router.post("/extend")
def put_off(request: Request, reference: str, visits: Visits, reason: Words = "") -> Response:
    """Put the answer off, as the policy allows."""
    with visits.acting() as s:
        extend(s, find_request(s, reference), reason)
    return back(request, reference)


@router.post("/reasons")
def show_reasons(request: Request, reference: str, visits: Visits) -> Response:
    """The reasons in words; reading them is noted first."""
    rows = read_reasons(visits.desk, visits.actor, id_of(visits, reference))
    return render(request, "reasons.html", reference=reference, reasons=rows)


@router.post("/letters/{letter_id}")
def post_letter(
    request: Request, reference: str, letter_id: str, visits: Visits, receipt: Text = "", posted_on: Text = ""
) -> Response:
    """A letter went out."""
    with visits.acting() as s:
        accept_letter(s, letter_id, receipt, posted_on)
    return back(request, reference, "#letters")


@router.post("/tasks/{task_id}")
def settle_task(request: Request, reference: str, task_id: str, visits: Visits, note: Words = "") -> Response:
    """A purge task was settled by hand."""
    with visits.acting() as s:
        confirm_task(s, task_id, note)
    return back(request, reference, "#tasks")


@router.post("/tasks/{task_id}/notice")
def add_notice(
    request: Request, reference: str, task_id: str, visits: Visits, notice_on: Text = "", note: Words = ""
) -> Response:
    """A recipient of a copy was told."""
    with visits.acting() as s:
        note_notice(s, task_id, notice_on, note)
    return back(request, reference, "#tasks")


@router.post("/purge")
def purge_identifiers(request: Request, reference: str, visits: Visits) -> Response:
    """Remove what names the person from a closed request."""
    with visits.acting() as s:
        purge_request(s, find_request(s, reference))
    return back(request, reference)
