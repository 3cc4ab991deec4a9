"""Where a person is: search, matches, and the decision on each asset."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from expunge.desk.decisions import decide, decide_asset, decisions
from expunge.desk.facts import open_assets
from expunge.desk.matching import match_row, matches, search, settle
from expunge.desk.roles import Refusal
from expunge.desk.views import find_request
from expunge.web.api.rest_requests import state_of
from expunge.web.api_models import (
    AssetDecision,
    Limit,
    MatchesSettled,
    Offset,
    Reasoned,
    Reference,
    RequestStanding,
    Rows,
    action,
)
from expunge.web.caller import caller
from expunge.web.visitor import Visitor

router = APIRouter(tags=["scope"])
Calls = Annotated[Visitor, Depends(caller)]


@router.post("/requests/{reference}/search", **action("match"))
def search_assets(reference: Reference, calls: Calls) -> dict[str, dict[str, int]]:
    """Search all assets for the verified identifiers; returns objects by asset."""
    with calls.reading() as s:
        request_id = find_request(s, reference)
    return {"objects": search(calls.desk, calls.actor, request_id)}


@router.get("/requests/{reference}/matches", response_model=Rows, **action("read"))
def list_matches(reference: Reference, calls: Calls, limit: Limit = 200, offset: Offset = 0) -> dict[str, Any]:
    """Matches, without what they name."""
    with calls.reading() as s:
        rows = [dict(row) for row in matches(s, find_request(s, reference))]
    return {"items": rows[offset : offset + limit], "next": offset + limit if len(rows) > offset + limit else None}


@router.post("/requests/{reference}/matches", response_model=RequestStanding, **action("match"))
def settle_matches(reference: Reference, body: MatchesSettled, calls: Calls) -> dict[str, Any]:
    """Confirm or reject matches of this request: all of them, or none if one does not fit."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        if any(match_row(s, match_id)["request_id"] != request_id for match_id in body.matches):
            raise Refusal("match", "there is no such match of this request", kind="missing")
        settle(s, body.matches, confirm=body.confirm)
        return state_of(s, request_id)


@router.get("/requests/{reference}/decisions", response_model=Rows, **action("read"))
def list_decisions(reference: Reference, calls: Calls) -> dict[str, Any]:
    """Each asset with its decision."""
    keys = ("id", "name", "kind", "connector", "value", "ground", "searched", "person", "at", "is_final")
    with calls.reading() as s:
        return {"items": [{k: row[k] for k in keys} for row in decisions(s, find_request(s, reference))]}


@router.post("/requests/{reference}/decisions", response_model=RequestStanding, **action("propose decision"))
def decide_on_asset(reference: Reference, body: AssetDecision, calls: Calls) -> dict[str, Any]:
    """Decide on an asset; the word of a clerk is a proposal."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        decide_asset(s, request_id, body.asset, body.value, ground=body.ground, searched=body.searched)
        return state_of(s, request_id)


@router.post("/requests/{reference}/decision", response_model=RequestStanding, **action("decide asset"))
def close_review(reference: Reference, body: Reasoned, calls: Calls) -> dict[str, Any]:
    """Close the legal review, as the decisions on the assets say."""
    with calls.acting() as s:
        request_id = find_request(s, reference)
        decide(s, request_id, body.reason)
        return state_of(s, request_id)


@router.get("/assets", response_model=Rows, **action("read"))
def list_assets(calls: Calls) -> dict[str, Any]:
    """The asset map."""
    with calls.reading() as s:
        s.actor.check_may("read")
        keys = ("id", "name", "kind", "connector", "lineage", "owner")
        return {"items": [{key: row[key] for key in keys} for row in open_assets(s)]}
