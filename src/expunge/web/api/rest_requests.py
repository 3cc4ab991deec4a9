"""Requests: submit, list, one, and the steps of clerk and reviewer."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.identity import record_identity
from expunge.desk.lifecycle import TABLE
from expunge.desk.requests import PLAIN_EVENTS, acknowledge, act, add_identifiers, extend, requests_like, submit
from expunge.desk.roles import READERS, Actor
from expunge.desk.views import find_request, inbox, request_view, timeline
from expunge.errors import InputError
from expunge.web.api_models import (
    EventWish,
    FurtherIdentifiers,
    IdentityAttempt,
    Limit,
    Offset,
    OpenedRequest,
    Reasoned,
    Reference,
    RequestDetails,
    RequestPage,
    RequestStanding,
    Rows,
    State,
    Submission,
    action,
    roles_that_may,
)
from expunge.web.caller import caller
from expunge.web.idempotency import earlier_request, remember_request
from expunge.web.visitor import Visitor

router = APIRouter(prefix="/requests", tags=["requests"])
Calls = Annotated[Visitor, Depends(caller)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
OWN_WORD = "revoke"  # what only the subject does; a clerk notes it


def state_of(s: DeskSession, request_id: str) -> dict[str, Any]:
    """Id, reference and state."""
    row = request_row(s, request_id)
    return {key: row[key] for key in ("id", "reference", "state")}


@router.post(
    "", status_code=201, response_model=OpenedRequest, response_model_exclude_none=True, **roles_that_may("clerk")
)
def submit_request(body: Submission, calls: Calls, response: Response, key: Key = None) -> dict[str, Any]:
    """Open a request; `like` are others of perhaps the same person. The same `Idempotency-Key` is one request."""
    content = body.model_dump(mode="json")
    with calls.acting() as s:
        if key is not None and (known := earlier_request(s, key, content)):
            response.status_code = 200
            return state_of(s, known)
        request_id = submit(
            s, body.identifiers, regime=body.policy, received_at=body.received_at, language=body.language
        )
        if key is not None:
            remember_request(s, key, content, request_id)
        return {**state_of(s, request_id), "like": requests_like(s, request_id)}


@router.get("", response_model=RequestPage, **action("read"))
def list_requests(
    calls: Calls,
    state: Annotated[list[State], Query(description="only these states")] = [],  # noqa: B006
    done: Annotated[bool, Query(description="also those that are done")] = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Requests by due date, the most urgent first."""
    with calls.reading() as s:
        rows = inbox(s, states=state, include_done=done, limit=limit + 1, offset=offset)
    return {"items": rows[:limit], "next": offset + limit if len(rows) > limit else None}


@router.get("/{reference}", response_model=RequestDetails, **action("read"))
def show_request(reference: Reference, calls: Calls) -> dict[str, Any]:
    """One request, without names and texts."""
    with calls.reading() as s:
        return request_view(s, find_request(s, reference))


@router.get("/{reference}/events", response_model=Rows, **action("read"))
def list_events(reference: Reference, calls: Calls) -> dict[str, Any]:
    """What happened, oldest first."""
    with calls.reading() as s:
        return {"items": timeline(s, find_request(s, reference))}


@router.post(
    "/{reference}/events",
    response_model=RequestStanding,
    **roles_that_may(*(r for row in TABLE if row.event in PLAIN_EVENTS for r in row.roles if r in READERS[:-1])),
)
def do_event(reference: Reference, body: EventWish, calls: Calls) -> dict[str, Any]:
    """Do an event of the lifecycle. A clerk notes that the person revokes."""
    with calls.reading() as s:
        request_id = find_request(s, reference)
        other = {"other": find_request(s, body.other)} if body.other else {}
    actor = calls.actor
    if body.event == OWN_WORD and actor.role == "clerk":
        actor = Actor(actor.person, "subject")
    with calls.desk.session(actor) as s:
        act(s, request_id, body.event, reason=body.reason, **other)
        return state_of(s, request_id)


@router.post("/{reference}/identifiers", response_model=RequestStanding, **action("identify"))
def add_to_request(reference: Reference, body: FurtherIdentifiers, calls: Calls) -> dict[str, Any]:
    """Add identifiers; they count after the identity is verified with them."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        add_identifiers(s, request_id, body.identifiers)
        return state_of(s, request_id)


@router.post("/{reference}/identity", response_model=RequestStanding, **action("identify"))
def identify(reference: Reference, body: IdentityAttempt, calls: Calls) -> dict[str, Any]:
    """Note an attempt of the person to show who they are."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        record_identity(
            s,
            request_id,
            success=body.success,
            method=body.method,
            level=body.level,
            identifiers=body.identifiers,
            document=_document(body.document),
            reason=body.reason,
        )
        return state_of(s, request_id)


def _document(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("document", "is no base64", "encode the file") from error


@router.post("/{reference}/extension", **action("extend"))
def extend_request(reference: Reference, body: Reasoned, calls: Calls) -> dict[str, str]:
    """Put the answer off, as the policy allows; the reason stands in a letter, and the date holds once it went out."""
    with calls.acting() as s:
        return {"until": extend(s, find_request(s, reference), body.reason)}


@router.post("/{reference}/acknowledgement", response_model=RequestStanding, **action("identify"))
def acknowledge_request(reference: Reference, calls: Calls) -> dict[str, Any]:
    """Note that receipt was confirmed to the person."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        acknowledge(s, request_id)
        return state_of(s, request_id)
