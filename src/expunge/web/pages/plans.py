"""Plans: what will be run, frozen under a hash; approve, send back, plan again, approve the promotion."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.desk import DeskSession
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, approve_promotion, plan_again, plan_row, reject_plan
from expunge.desk.requests import MAX_REASON
from expunge.desk.roles import Refusal
from expunge.desk.views import plan_count, plan_views
from expunge.errors import InputError
from expunge.web.errors import redirect
from expunge.web.paging import Page
from expunge.web.render import render
from expunge.web.run_page import plan_values, requests_of, whole_hash
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
Text = Annotated[str, Form(max_length=400)]
Words = Annotated[str, Form(max_length=MAX_REASON)]
Visits = Annotated[Visitor, Depends(visitor)]
KINDS = ("", "unlearn", "retrain", "drop", "suppress")


@router.get("/plans")
def list_plans(request: Request, visits: Visits, page: int = 1) -> Response:
    """A page of all plans, the newest first."""
    with visits.reading() as s:
        shown = Page.of(page, plan_count(s))
        views = plan_views(s, limit=shown.size, offset=shown.offset)
        rows = [{**row, "requests": requests_of(s, row["batch_id"])} for row in views]
    return render(request, "plans.html", rows=rows, page=shown)


@router.get("/plans/{plan}")
def show_plan(request: Request, plan: str, visits: Visits) -> Response:
    """One plan."""
    with visits.reading() as s:
        values = plan_values(s, plan)
    return render(request, "plan.html", **values, kinds=KINDS)


def _check_shown(s: DeskSession, plan: str, shown: str) -> None:
    """`Refusal` if the page showed another plan than the stored one."""
    if plan_row(s, plan)["hash"] != shown:
        raise Refusal("plan", "the plan that was shown is not the stored one", "look at it again")


@router.post("/plans/{plan}/approve")
def approve(request: Request, plan: str, shown: Text, visits: Visits) -> Response:
    """Approve the plan whose whole hash the page showed."""
    with visits.acting() as s:
        _check_shown(s, plan, shown)
        approve_plan(s, shown)
    return redirect(request, f"/plans/{shown}")


@router.post("/plans/{plan}/reject")
def reject(request: Request, plan: str, visits: Visits, reason: Words = "") -> Response:
    """Send a plan back; another one is made."""
    with visits.acting() as s:
        digest = plan_row(s, plan)["hash"]
        reject_plan(s, digest, reason)
    return redirect(request, f"/plans/{digest}")


@router.post("/plans/{plan}/promote")
def promote(request: Request, plan: str, shown: Text, visits: Visits) -> Response:
    """Approve that the model comes into use."""
    with visits.acting() as s:
        _check_shown(s, plan, shown)
        approve_promotion(s, shown)
    return redirect(request, f"/plans/{shown}")


@router.post("/plans/{plan}/again")
def again(
    request: Request,
    plan: str,
    visits: Visits,
    kind: Text = "",
    recipe: Text = "",
    settings: Annotated[str, Form(max_length=4000)] = "",
    seed: Text = "",
    reason: Words = "",
) -> Response:
    """After a failed audit: another plan."""
    if seed.strip() and not (seed.strip().isascii() and seed.strip().isdigit()):
        raise InputError("seed", "is no whole number", "leave it empty for the next one")
    with visits.reading() as s:
        batch = plan_row(s, whole_hash(s, plan))["batch_id"]
    wish = PlanWish(
        kind=kind or None,
        recipe=recipe.strip() or None,
        overrides=tuple(line.strip() for line in settings.splitlines() if line.strip()),
        seed=int(seed) if seed.strip() else None,
    )
    return redirect(request, f"/plans/{plan_again(visits.desk, visits.actor, batch, wish, reason)}")
