"""Rehearsals of plans: which plans wait for one, their rows, their log, and their view.

A rehearsal decides nothing. Whoever approves need not wait for it, and it ends with the waiting of its plan.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import RowMapping, and_, exists, insert, select, update

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.leases import held_work
from expunge.desk.rehearsal_files import FOLDER
from expunge.desk.rehearsal_tables import OPEN_STATES, rehearsal

IN_RUN = ("plan_approved", "executing", "auditing")
NOT_REHEARSED = "not_rehearsed"
FAILED = "the trial ended with an error, which its log in the folder of the run names"


def rehearsal_work(plan_hash: str) -> str:
    """Name of the durable work, under which a worker holds a lease."""
    return f"rehearse:{plan_hash}"


def rehearsal_row(s: DeskSession, plan_hash: str) -> RowMapping | None:
    """The rehearsal of a plan; None where nobody has begun one."""
    return s.conn.execute(select(rehearsal).where(rehearsal.c.plan_hash == plan_hash)).mappings().first()


def plans_to_rehearse(s: DeskSession) -> list[RowMapping]:
    """Plans that wait for approval and have no rehearsal that has ended; none if the desk makes none.

    None, too, while an approved run waits for a worker: it goes first.
    """
    if not s.settings.run.rehearse or approved_run_waits(s):
        return []
    ended = exists().where(rehearsal.c.plan_hash == t.plan.c.hash, rehearsal.c.state.not_in(OPEN_STATES))
    rows = s.conn.execute(select(t.plan).where(*_waiting(), ~ended).order_by(t.plan.c.at)).mappings()
    return [row for row in rows if can_rehearse(row["kind"])]


def can_rehearse(kind: str) -> bool:
    """Whether a kind of plan has a command that rehearses it."""
    return kind in EXECUTORS.names() and EXECUTORS.get(kind).rehearsal is not None


def waits_for_approval(s: DeskSession, plan_hash: str) -> bool:
    """Whether a plan still waits for approval, with all of its requests."""
    return s.conn.execute(select(t.plan.c.id).where(t.plan.c.hash == plan_hash, *_waiting())).first() is not None


def _waiting() -> tuple[Any, ...]:
    here = t.request.c.batch_id == t.plan.c.batch_id
    return (
        t.plan.c.state == "current",
        exists().where(here, t.request.c.state == "planned"),
        ~exists().where(here, t.request.c.state != "planned"),
    )


def approved_run_waits(s: DeskSession) -> bool:
    """Whether the run of an approved plan waits for a worker, or its worker is dead."""
    here = t.request.c.batch_id == t.plan.c.batch_id
    waiting = (
        t.plan.c.state == "current",
        t.plan.c.kind != "none",
        exists().where(here, t.request.c.state.in_(IN_RUN)),
        ~exists().where(here, t.request.c.state == "error"),
        ~held_work(s, t.run, "run:"),
    )
    return s.conn.execute(select(t.plan.c.id).where(*waiting).limit(1)).first() is not None


def close_rehearsals(s: DeskSession) -> None:
    """End rehearsals that wait behind a run while their plan waits no longer, and delete what they were given."""
    over = select(rehearsal.c.plan_hash).join(t.plan, t.plan.c.hash == rehearsal.c.plan_hash)
    for plan_hash in s.conn.execute(over.where(rehearsal.c.state == "waiting", ~and_(*_waiting()))).scalars().all():
        end_rehearsal(s, plan_hash, "stopped")
        s.delete_files([s.desk.runs / plan_hash[:16] / FOLDER])


def begin_rehearsal(s: DeskSession, plan_hash: str) -> None:
    """Note that a rehearsal runs; a second call changes nothing."""
    s.actor.check_may("work")
    row = rehearsal_row(s, plan_hash)
    if row is None:
        s.conn.execute(insert(rehearsal).values(plan_hash=plan_hash, state="running", started_at=s.at))
        s.log("rehearsal.begin", {"plan": plan_hash})
    elif row["state"] == "waiting":
        _set(s, plan_hash, state="running")


def pause_rehearsal(s: DeskSession, plan_hash: str) -> None:
    """Note that a rehearsal was stopped for a run that goes first; it goes on from its checkpoint."""
    row = rehearsal_row(s, plan_hash)
    if row is not None and row["state"] == "running":
        _set(s, plan_hash, state="waiting")


def end_rehearsal(
    s: DeskSession,
    plan_hash: str,
    state: str,
    *,
    reason: str | None = None,
    digest: str | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Note how a rehearsal ended, once; a plan of which nobody had begun one has none."""
    s.actor.check_may("work")
    row = rehearsal_row(s, plan_hash)
    if row is None or row["state"] not in OPEN_STATES:
        return
    text = None if result is None else json.dumps(result, sort_keys=True)
    _set(s, plan_hash, state=state, reason=reason, digest=digest, result=text, ended_at=s.at)
    s.log("rehearsal.end", {"plan": plan_hash, "state": state, "rehearsal": digest})


def _set(s: DeskSession, plan_hash: str, **values: Any) -> None:
    s.conn.execute(update(rehearsal).where(rehearsal.c.plan_hash == plan_hash).values(**values))


def rehearsal_view(s: DeskSession, plan_hash: str) -> dict[str, Any]:
    """State, reason, digest, times and numbers of the rehearsal of a plan; state `not_rehearsed` without one."""
    s.actor.check_may("read")
    row = rehearsal_row(s, plan_hash)
    if row is None:
        return {"state": NOT_REHEARSED}
    view = {key: row[key] for key in ("state", "reason", "digest", "started_at", "ended_at")}
    if row["state"] in OPEN_STATES and not waits_for_approval(s, plan_hash):
        view["state"] = "stopped"  # its worker has yet to learn that the plan waits no longer
    return {**view, "result": json.loads(row["result"]) if row["result"] else None}
