"""Plans and their runs: show, approve, reject, promote, plan again, progress, cancel."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from expunge.desk.guard_audits import guard_rows
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, approve_promotion, plan_again, plan_row, reject_plan
from expunge.desk.roles import Refusal
from expunge.desk.runs import cancel_run
from expunge.desk.views import plan_views, progress
from expunge.web.api_models import (
    Limit,
    Offset,
    PlanApproval,
    PlanHash,
    PlanWishBody,
    Reasoned,
    Rows,
    States,
    action,
    roles_that_may,
)
from expunge.web.caller import caller
from expunge.web.run_files import run_of
from expunge.web.visitor import Visitor

router = APIRouter(tags=["plans"])
Calls = Annotated[Visitor, Depends(caller)]
RUN_KEYS = (
    "attempt",
    "state",
    "started_at",
    "ended_at",
    "cancel_at",
    "output_digest",
    "manifest_digest",
    "audit_status",
    "audit_digest",
    "guard_status",
    "certificate_digest",
    "certificate_verified_at",
)


@router.get("/plans", response_model=Rows, **action("read"))
def list_plans(calls: Calls, limit: Limit = 50, offset: Offset = 0) -> dict[str, Any]:
    """Plans, the newest first."""
    with calls.reading() as s:
        rows = plan_views(s, limit=limit + 1, offset=offset)
    return {"items": rows[:limit], "next": offset + limit if len(rows) > limit else None}


@router.get("/plans/{plan}", **action("read"))
def show_plan(plan: PlanHash, calls: Calls) -> dict[str, Any]:
    """A plan with everything that decides its run, and what its settings did to other people if they were tried."""
    with calls.reading() as s:
        (view,) = plan_views(s, plan_row(s, plan)["hash"])
    return view


@router.post("/plans/{plan}/approval", response_model=States, **roles_that_may("approver"))
def approve(plan: PlanHash, body: PlanApproval, calls: Calls) -> dict[str, Any]:
    """Approve a plan of somebody else, by the whole hash that was shown."""
    with calls.acting() as s:
        if plan_row(s, plan)["hash"] != body.hash:
            raise Refusal("plan", "the plan that was shown is not the stored one", "look at it again")
        return {"states": approve_plan(s, body.hash)}


@router.post("/plans/{plan}/rejection", response_model=States, **roles_that_may("approver"))
def reject(plan: PlanHash, body: Reasoned, calls: Calls) -> dict[str, Any]:
    """Send a plan back; another one is made."""
    with calls.acting() as s:
        return {"states": reject_plan(s, plan, body.reason)}


@router.post("/plans/{plan}/promotion", response_model=States, **roles_that_may("approver"))
def promote(plan: PlanHash, calls: Calls) -> dict[str, Any]:
    """Approve that the model comes into use; a worker exchanges it."""
    with calls.acting() as s:
        return {"states": approve_promotion(s, plan_row(s, plan)["hash"])}


@router.post("/plans/{plan}/retry", status_code=201, **roles_that_may("operator"))
def retry(plan: PlanHash, body: PlanWishBody, calls: Calls) -> dict[str, str]:
    """After a failed audit: plan again."""
    with calls.reading() as s:
        batch = plan_row(s, plan)["batch_id"]
    wish = PlanWish(kind=body.kind, recipe=body.recipe, overrides=tuple(body.overrides), seed=body.seed)
    return {"hash": plan_again(calls.desk, calls.actor, batch, wish, body.reason)}


@router.get("/runs/{plan}", tags=["runs"], **action("read"))
def show_run(plan: PlanHash, calls: Calls) -> dict[str, Any]:
    """The last run of a plan, and how far it is."""
    with calls.reading() as s:
        row, digest = run_of(s, plan), plan_row(s, plan)["hash"]
        earlier = guard_rows(s, row)
    facts = {key: row[key] for key in RUN_KEYS}
    return {"plan": digest, **facts, "earlier_requests": earlier, "progress": progress(calls.desk, digest)}


@router.post("/runs/{plan}/cancellation", tags=["runs"], **action("cancel run"))
def cancel(plan: PlanHash, body: Reasoned, calls: Calls) -> dict[str, str]:
    """Ask the worker to stop; its checkpoint stays."""
    with calls.acting() as s:
        digest = str(plan_row(s, plan)["hash"])
        cancel_run(s, digest, body.reason)
    return {"plan": digest}
