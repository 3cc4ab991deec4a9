"""Runs: how far one is, its losses and memory, and the stop."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from expunge.desk.plans import plan_row
from expunge.desk.requests import MAX_REASON
from expunge.desk.runs import cancel_run
from expunge.web.errors import redirect
from expunge.web.render import render
from expunge.web.run_page import elapsed, progress_values, whole_hash
from expunge.web.visitor import Visitor, visitor

router = APIRouter(prefix="/runs/{plan}")
Visits = Annotated[Visitor, Depends(visitor)]


def _values(visits: Visitor, plan: str) -> dict[str, Any]:
    with visits.reading() as s:
        values = progress_values(s, whole_hash(s, plan))
        return {**values, "elapsed": elapsed(values["run"], s.at) if values["run"] else None}


@router.get("")
def show_run(request: Request, plan: str, visits: Visits) -> Response:
    """The run of a plan."""
    return render(request, "run.html", **_values(visits, plan))


@router.get("/progress")
def show_progress(request: Request, plan: str, visits: Visits) -> Response:
    """The part of the page that changes, which a script loads again."""
    return render(request, "run_progress.html", **_values(visits, plan))


@router.post("/cancel")
def cancel(
    request: Request, plan: str, visits: Visits, reason: Annotated[str, Form(max_length=MAX_REASON)] = ""
) -> Response:
    """Ask the worker to stop."""
    with visits.acting() as s:
        digest = str(plan_row(s, plan)["hash"])
        cancel_run(s, digest, reason)
    return redirect(request, f"/runs/{digest}")
