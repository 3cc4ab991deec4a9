"""Models in use, and the versions before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import RowMapping, select
from starlette.responses import Response

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.facts import count
from expunge.web.paging import Page
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()
VERSIONS = 20  # of a lineage on a page


@router.get("/models")
def show_models(
    request: Request, visits: Annotated[Visitor, Depends(visitor)], lineage: str = "", page: int = 1
) -> Response:
    """Each lineage with its versions, the newest first; of `lineage` the page that is asked for."""
    with visits.reading() as s:
        s.actor.check_may("read")
        lineages = []
        for alias in s.conn.execute(select(t.model_alias).order_by(t.model_alias.c.lineage)).mappings().all():
            name = alias["lineage"]
            total = count(s, t.model_version, t.model_version.c.lineage == name)
            shown = Page.of(page if name == lineage else 1, total, VERSIONS)
            lineages.append({"name": name, "alias": alias, "versions": _versions(s, alias, shown), "page": shown})
    return render(request, "models.html", lineages=lineages)


def _versions(s: DeskSession, alias: RowMapping, page: Page) -> list[dict[str, Any]]:
    """Versions of a lineage with their state and certificates."""
    query = select(t.model_version).where(t.model_version.c.lineage == alias["lineage"])
    query = query.order_by(t.model_version.c.at.desc(), t.model_version.c.digest.desc())
    versions = s.conn.execute(query.limit(page.size).offset(page.offset)).mappings().all()
    runs = [version["run_id"] for version in versions if version["run_id"]]
    plans = dict(s.conn.execute(select(t.run.c.id, t.run.c.plan_hash).where(t.run.c.id.in_(runs))).tuples().all())
    certified = _certificates(s, runs)
    rows = []
    for version in versions:
        state = "live" if version["digest"] == alias["digest"] else "purged" if version["purged_at"] else "old"
        run = version["run_id"]
        rows.append({**version, "state": state, "plan": plans.get(run), "certificates": certified.get(run, [])})
    return rows


def _certificates(s: DeskSession, runs: Sequence[str]) -> dict[str, list[str]]:
    """Run to the references of its certificates."""
    query = (
        select(t.certificate.c.run_id, t.request.c.reference)
        .join(t.request, t.certificate.c.request_id == t.request.c.id)
        .where(t.certificate.c.run_id.in_(runs))
    )
    references: dict[str, list[str]] = {}
    for run, reference in s.conn.execute(query.order_by(t.request.c.reference)).tuples():
        references.setdefault(run, []).append(reference)
    return references
