"""Models in use, and the versions before them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import RowMapping, select
from starlette.responses import Response

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.models import versions
from expunge.web.render import render
from expunge.web.visitor import Visitor, visitor

router = APIRouter()


@router.get("/models")
def show_models(request: Request, visits: Annotated[Visitor, Depends(visitor)]) -> Response:
    """Each lineage with its versions, the newest first."""
    with visits.reading() as s:
        s.actor.check_may("read")
        rows = s.conn.execute(select(t.model_alias).order_by(t.model_alias.c.lineage)).mappings().all()
        lineages = [{"name": row["lineage"], "alias": row, "versions": _versions(s, row)} for row in rows]
    return render(request, "models.html", lineages=lineages)


def _versions(s: DeskSession, alias: RowMapping) -> list[dict[str, Any]]:
    """The versions of a lineage with their state and certificates."""
    rows = []
    for version in reversed(versions(s, alias["lineage"])):
        state = "live" if version["digest"] == alias["digest"] else "purged" if version["purged_at"] else "old"
        certified = _certificates(s, version["run_id"])
        rows.append({**version, "state": state, "plan": _plan(s, version["run_id"]), "certificates": certified})
    return rows


def _plan(s: DeskSession, run_id: str | None) -> str | None:
    return s.conn.execute(select(t.run.c.plan_hash).where(t.run.c.id == run_id)).scalar() if run_id else None


def _certificates(s: DeskSession, run_id: str | None) -> list[str]:
    query = (
        select(t.request.c.reference)
        .join(t.certificate, t.certificate.c.request_id == t.request.c.id)
        .where(t.certificate.c.run_id == run_id)
    )
    return list(s.conn.execute(query.order_by(t.request.c.reference)).scalars()) if run_id else []
