"""Batches: requests of one model that are unlearned together. A batch of one is the normal case."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.decisions import model_lineages
from expunge.desk.desk import DeskSession
from expunge.desk.due_dates import DUE
from expunge.desk.facts import members
from expunge.desk.lifecycle import IN_BATCH
from expunge.desk.names import moment, new_id, stamp
from expunge.desk.regime_texts import LostRules
from expunge.desk.roles import Refusal
from expunge.desk.transitions import fire

NO_MODEL = ""  # lineage of requests that need no work on a model; each is a batch of its own


def collect(s: DeskSession, event_id: str | None = None) -> list[str]:
    """Move what waits: approved requests into the cancel window, those whose window is over into a batch.

    Returns:
        Ids of the batches that are closed and have requests that wait for a plan.
    """
    s.actor.check_may("work")
    approved = select(t.request.c.id).where(t.request.c.state.in_(("approved", "partially_approved")))
    for request_id in s.conn.execute(approved).scalars().all():
        with suppress(LostRules):
            fire(s, request_id, "enqueue", event_id=event_id)
    ready = select(t.request.c.id).where(
        t.request.c.state == "waiting", t.request.c.batch_id.is_(None), t.request.c.cancel_until <= s.at
    )
    for request_id in s.conn.execute(ready.order_by(t.request.c.id)).scalars().all():
        _join(s, request_id)
    _close_ripe(s)
    return plannable(s)


def _join(s: DeskSession, request_id: str) -> None:
    lineage = next(iter(model_lineages(s, request_id)), NO_MODEL)
    batch = None
    if lineage != NO_MODEL:
        here = (t.batch.c.lineage == lineage, t.batch.c.state == "open")
        batch = s.conn.execute(select(t.batch.c.id).where(*here)).scalar()
    if batch is None:
        batch = new_id()
        closes = s.now + timedelta(hours=s.settings.batch_hours)
        values = {"id": batch, "lineage": lineage, "state": "open", "opened_at": s.at, "closes_at": stamp(closes)}
        s.conn.execute(insert(t.batch).values(**values))
    s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(batch_id=batch))
    s.log("batch.join", {"batch": batch}, request_id)


def _close_ripe(s: DeskSession) -> None:
    for row in s.conn.execute(select(t.batch).where(t.batch.c.state == "open")).mappings().all():
        if is_ripe(s, row):
            s.conn.execute(update(t.batch).where(t.batch.c.id == row["id"]).values(state="closed", closed_at=s.at))
            s.log("batch.close", {"batch": row["id"], "requests": len(members(s, row["id"]))})


def is_ripe(s: DeskSession, row: RowMapping) -> bool:
    """Whether a batch closes: it is full, its window is over, or a due date less the reserve has come."""
    requests = members(s, row["id"])
    if not requests:
        return False
    if row["lineage"] == NO_MODEL or len(requests) >= s.settings.batch_size or s.now >= moment(row["closes_at"]):
        return True
    due = s.conn.execute(select(DUE).where(t.request.c.batch_id == row["id"])).scalars()
    days = [date.fromisoformat(day) for day in due if day]
    reserve = timedelta(days=s.settings.reserve_days)
    return any(date.fromisoformat(s.today) >= day - reserve for day in days)


def plannable(s: DeskSession) -> list[str]:
    """Closed batches whose requests wait, one per lineage, and none while another of the lineage is under way."""
    query = (
        select(t.batch.c.id, t.batch.c.lineage)
        .join(t.request, t.request.c.batch_id == t.batch.c.id)
        .where(t.batch.c.state == "closed", t.request.c.state == "waiting")
        .distinct()
        .order_by(t.batch.c.id)
    )
    chosen: dict[str, str] = {}
    for batch_id, lineage in s.conn.execute(query).tuples().all():
        if lineage == NO_MODEL or (lineage not in chosen and not busy(s, lineage)):
            chosen[lineage or batch_id] = batch_id
    return list(chosen.values())


def busy(s: DeskSession, lineage: str) -> bool:
    """Whether a batch of the lineage has a plan that is neither promoted nor given up, or has just begun its purge.

    A plan holds the digests of the corpora, so one that is made before the purge of the batch before it would be void
    once somebody has approved it. A purge task that failed, or waits for a person, holds up nobody.
    """
    here = (
        select(t.request.c.id).join(t.batch, t.batch.c.id == t.request.c.batch_id).where(t.batch.c.lineage == lineage)
    )
    before = (t.request.c.state.in_((*IN_BATCH, "error")), t.request.c.promoted_at.is_(None))
    untried = (t.task.c.request_id == t.request.c.id, t.task.c.state == "open", t.task.c.attempts == 0)
    purging = t.request.c.state == "purging"
    queries = (
        here.where(*before),
        here.where(t.request.c.state == "promoted"),
        here.join(t.task, t.task.c.request_id == t.request.c.id).where(*untried, purging),
    )
    return any(s.conn.execute(query).first() is not None for query in queries)


def batch_row(s: DeskSession, batch_id: str) -> RowMapping:
    """A batch; `Refusal` of kind `missing`."""
    row = s.conn.execute(select(t.batch).where(t.batch.c.id == batch_id)).mappings().first()
    if row is None:
        raise Refusal("batch", "there is no such batch", kind="missing")
    return row
