"""What durable work the desk needs now, read from its own tables. The workflow library only carries it out.

A job has a name that says what it does, so starting it twice is starting it once.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select

from expunge.desk import tables as t
from expunge.desk.batches import NO_MODEL, batch_row, collect
from expunge.desk.desk import DeskSession
from expunge.desk.facts import is_made_for, latest_plan, latest_run
from expunge.desk.interim import INTERIM, withdraw_late_extensions
from expunge.desk.interim_letters import queue_interim_letters
from expunge.desk.lifecycle import IN_BATCH
from expunge.desk.probes import shred_overdue
from expunge.desk.purging import NO_NOTICE, OPEN_TASKS
from expunge.desk.record_period import purge_records
from expunge.desk.rehearsals import close_rehearsals, plans_to_rehearse
from expunge.desk.requests import expire_overdue
from expunge.desk.roles import Refusal
from expunge.desk.transitions import fire

WORKING = ("plan_approved", "executing", "auditing", "audit_passed", "promotion_approved", "promoted")  # needs a worker
TRAINING = ("run", "rehearse")  # workflows that need what a run needs
MAX_ATTEMPTS = 20  # of the same plan, which resume one another


@dataclass(frozen=True)
class Job:
    """A piece of durable work.

    Attributes:
        workflow: `prepare`, `run`, `release` or `rehearse`.
        target: Batch or plan.
        number: Attempt; None to take the one after the last that ended.
        partition: Lineage of the model, of which one run goes at a time.
    """

    workflow: str
    target: str
    number: int | None
    partition: str

    @property
    def queue(self) -> str:
        """The queue on which it waits."""
        return "unlearn" if self.workflow in TRAINING else "light"

    def name(self, number: int) -> str:
        """Id of the workflow."""
        return f"{self.workflow}:{self.target}:{number}"


def round_of(s: DeskSession) -> list[Job]:
    """One round: move what time moves, and list the work that is due."""
    s.actor.check_may("work")
    expire_overdue(s)
    shred_overdue(s)
    purge_records(s)
    withdraw_late_extensions(s)
    queue_interim_letters(s)
    _replan_void(s)
    close_rehearsals(s)
    jobs = []
    for batch_id in collect(s):
        plan = latest_plan(s, batch_id)
        jobs.append(Job("prepare", batch_id, 1 + (plan["number"] if plan else 0), _partition(s, batch_id)))
    releases = _open_releases(s)
    working = select(t.request.c.batch_id).where(t.request.c.state.in_(WORKING)).distinct()
    for batch_id in sorted({*s.conn.execute(working).scalars(), *releases} - {None}):
        if job := _of_batch(s, batch_id, batch_id in releases):
            jobs.append(job)
    rehearsals = plans_to_rehearse(s)
    return [*jobs, *(Job("rehearse", p["hash"], None, _partition(s, p["batch_id"])) for p in rehearsals)]


def _of_batch(s: DeskSession, batch_id: str, is_open: bool) -> Job | None:
    plan = latest_plan(s, batch_id)
    if plan is None:
        return None
    states = set(s.conn.execute(select(t.request.c.state).where(t.request.c.batch_id == batch_id)).scalars())
    partition = _partition(s, batch_id)
    if states & {"plan_approved", "executing", "auditing"} and plan["kind"] != "none":
        if states & {"error"}:
            return None
        run = latest_run(s, plan["hash"])
        number = 1 if run is None else run["attempt"] + (run["state"] in ("failed", "cancelled"))
        return Job("run", plan["hash"], number, partition) if number <= MAX_ATTEMPTS else None
    if "audit_passed" in states:  # a crash between verdict and certificate
        run = latest_run(s, plan["hash"])
        if run is None or run["certificate_digest"] is not None:
            return None
        return Job("run", plan["hash"], run["attempt"], partition)
    if is_open or states & {"plan_approved", "promotion_approved", "promoted"}:
        return Job("release", plan["hash"], None, partition)
    return None


def _open_releases(s: DeskSession) -> set[str]:
    """Batches with a request in its purge that has a task which a worker can do, or nothing to do and no letter yet.

    One that waits for a clerk to post its letter, or to tell a recipient, costs nothing: thousands may.
    """
    here, task, letter = t.request.c, t.task.c, t.outbox.c
    purging = select(here.batch_id).where(here.state == "purging")
    is_open = task.state.in_(OPEN_TASKS)
    to_do = or_(task.problem.is_(None), task.problem != NO_NOTICE)
    waits = select(task.id).where(task.request_id == here.id, is_open).exists()
    closing = (letter.request_id == here.id, letter.template.not_in(INTERIM))
    written = select(letter.id).where(*closing).exists()
    queries = (purging.join(t.task, task.request_id == here.id).where(is_open, to_do), purging.where(~waits, ~written))
    return {str(batch) for query in queries for batch in s.conn.execute(query.distinct()).scalars() if batch}


def _replan_void(s: DeskSession) -> None:
    """Requests whose plan no longer fits wait for another."""
    here = t.request.c
    batches = select(here.batch_id).where(here.state.in_(IN_BATCH))
    names: dict[str, list[str]] = {}
    waiting = []
    for name, batch, state in s.conn.execute(
        select(here.id, here.batch_id, here.state).where(here.batch_id.in_(batches))
    ):
        names.setdefault(batch, []).append(name)
        waiting += [(name, batch)] if state in IN_BATCH else []
    plans = select(t.plan.c.batch_id, t.plan.c.state, t.plan.c.content).where(t.plan.c.batch_id.in_(batches))
    latest = {batch: (state, content) for batch, state, content in s.conn.execute(plans.order_by(t.plan.c.number))}
    for name, batch in waiting:
        state, content = latest.get(batch, ("void", ""))
        if state != "current" or not is_made_for(content, sorted(names[batch])):
            fire(s, name, "replan")


def _partition(s: DeskSession, batch_id: str) -> str:
    lineage = str(batch_row(s, batch_id)["lineage"])
    return batch_id if lineage == NO_MODEL else lineage


def notify_accepted(s: DeskSession) -> list[str]:
    """Mark requests as notified whose letter a clerk has posted; returns their ids."""
    ready = (
        select(t.outbox.c.request_id)
        .join(t.request, t.request.c.id == t.outbox.c.request_id)
        .where(t.outbox.c.accepted_at.is_not(None), t.outbox.c.template.not_in(INTERIM))
        .where(t.request.c.state.not_in(("notified", "closed")))
    )
    sent = []
    for request_id in s.conn.execute(ready).scalars().all():
        try:
            fire(s, request_id, "notify")
        except Refusal:
            continue
        sent.append(request_id)
    return sent
