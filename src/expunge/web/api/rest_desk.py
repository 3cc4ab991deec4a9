"""The desk itself: who calls, models, letters, policies, the head of the log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import select

from expunge._config import FrozenModel
from expunge.desk import tables as t
from expunge.desk.event_log import log_problems, read_head
from expunge.desk.letters import accept_letter, pending_letters
from expunge.desk.models import versions
from expunge.desk.regime import regime_names
from expunge.web.api_models import DeskLogHead, Limit, Line, Offset, RowId, Rows, action, roles_that_may
from expunge.web.caller import caller
from expunge.web.visitor import Visitor

router = APIRouter(tags=["desk"])
Calls = Annotated[Visitor, Depends(caller)]


class Posting(FrozenModel):
    """That a letter went out."""

    receipt: Annotated[Line, Field(max_length=100)] = Field("", description="what the post says of it; kept encrypted")
    posted_on: Annotated[Line, Field(max_length=10)] = Field(
        "", description="day on which it was posted, if that was before today: 2026-03-09"
    )


@router.get("/me", **action("read"))
def show_me(calls: Calls) -> dict[str, Any]:
    """Whom the token speaks for."""
    return {"person": calls.person, "role": calls.role, "single_person": calls.desk.settings.single_person}


@router.get("/models", response_model=Rows, **action("read"))
def list_models(calls: Calls) -> dict[str, Any]:
    """Each model in use with its versions, by digest."""
    keys = ("digest", "parent", "run_id", "at", "purged_at")
    with calls.reading() as s:
        s.actor.check_may("read")
        rows = s.conn.execute(select(t.model_alias).order_by(t.model_alias.c.lineage)).mappings().all()
        items = [
            {
                **{key: row[key] for key in ("lineage", "digest", "run_id", "at")},
                "versions": [{key: v[key] for key in keys} for v in versions(s, row["lineage"])],
            }
            for row in rows
        ]
    return {"items": items}


@router.get("/letters", response_model=Rows, **action("read"))
def list_letters(calls: Calls, limit: Limit = 50, offset: Offset = 0) -> dict[str, Any]:
    """Letters that are to go out."""
    with calls.reading() as s:
        rows = pending_letters(s, limit + 1, offset)
    keys = ("id", "request_id", "template", "version", "at", "problem", "next_try_at")
    items = [{k: row[k] for k in keys} for row in rows[:limit]]
    return {"items": items, "next": offset + limit if len(rows) > limit else None}


@router.post("/letters/{letter}/acceptance", **roles_that_may("clerk"))
def accept(letter: RowId, body: Posting, calls: Calls) -> dict[str, bool]:
    """Note that a letter went out; false if that was known."""
    with calls.acting() as s:
        return {"noted": accept_letter(s, letter, body.receipt, body.posted_on)}


@router.get("/policies", **action("read"))
def list_policies(calls: Calls) -> dict[str, list[str]]:
    """Policies by name and version."""
    with calls.reading() as s:
        s.actor.check_may("read")
    return {"policies": regime_names(calls.desk.folder / "policies")}


@router.get("/log/head", response_model=DeskLogHead, **action("read"))
def show_head(calls: Calls) -> dict[str, Any]:
    """Number and hash of the last row; keep it elsewhere, and the log cannot be cut unseen."""
    with calls.reading() as s:
        s.actor.check_may("read")
        head = read_head(s.conn)
    return {"seq": head.seq, "hash": head.hash}


@router.get("/log/verification", **action("read"))
def verify_log(calls: Calls) -> dict[str, Any]:
    """Check the whole log; `problems` is empty for a whole one."""
    with calls.reading() as s:
        s.actor.check_may("read")
        head = read_head(s.conn)
        return {"seq": head.seq, "hash": head.hash, "problems": log_problems(s.conn)}
