"""Moves a request along the lifecycle: guards, state, effects and log row in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import RowMapping, select, update

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.due_dates import due_of
from expunge.desk.event_log import was_applied
from expunge.desk.facts import facts_of, latest_plan, members, request_row
from expunge.desk.guards import Act, choose
from expunge.desk.interim import withdraw_outdated
from expunge.desk.lifecycle import ENDED_EARLY, IN_BATCH, PREVIOUS, Transition
from expunge.desk.names import moment, stamp
from expunge.desk.roles import SYSTEM


def fire(
    s: DeskSession,
    request_id: str,
    event: str,
    *,
    reason: str = "",
    plan_hash: str | None = None,
    other: str | None = None,
    event_id: str | None = None,
    **body: Any,
) -> str:
    """Do an event, and return the state after it.

    Args:
        s: a session that writes.
        request_id: the request.
        event: an event of the lifecycle.
        reason: why, in words; stored encrypted.
        plan_hash: the plan that the actor saw.
        other: the request that this one repeats.
        event_id: `workflow/step`; a second call with it changes nothing.
        **body: opaque facts for the log.

    Raises:
        Refusal: the table, a role or a guard does not allow it.
    """
    row = request_row(s, request_id)
    if event_id is not None and was_applied(s.conn, f"{event_id}/{request_id}"):
        return str(row["state"])
    facts = facts_of(s, request_id, other)
    act = Act(event, s.actor, reason=bool(reason.strip()), plan_hash=plan_hash)
    transition = choose(facts, act)
    target = row["previous"] if transition.target == PREVIOUS else transition.target
    changes: dict[str, Any] = {"state": target}
    if transition.target == PREVIOUS:
        changes |= {"previous": None, "held_at": None}
    if target == "identity_pending":  # for the first time, or again after a hold in which nobody asked
        changes["identity_asked_at"] = s.at
    if target in ENDED_EARLY:
        changes["ended_as"] = target
    details = {"from": row["state"], "to": target, **body}
    if facts.single_person:
        details["single_person"] = True
    if reason.strip():
        details["reason"] = s.keep_reason(reason, event, request_id)
    if other is not None:
        changes["duplicate_of"] = details["other"] = other
    for name in transition.effects:
        EFFECTS[name](s, row, transition, changes)
    s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(**changes))
    s.log(f"request.{event}", details, request_id, f"{event_id}/{request_id}" if event_id else None)
    withdraw_outdated(s, request_id, row["state"], str(target))
    if "leave_batch" in transition.effects and row["batch_id"]:
        replan_rest(s, row["batch_id"])
    return str(target)


def fire_all(s: DeskSession, batch_id: str, event: str, **options: Any) -> list[str]:
    """Do an event for every request of a batch: all or, after a refusal, none."""
    return [fire(s, request_id, event, **options) for request_id in members(s, batch_id)]


def as_system(s: DeskSession) -> DeskSession:
    """The same transaction, acting as the system."""
    return DeskSession(s.desk, s.conn, SYSTEM, s.now, s.to_delete)


# ---- effects --------------------------------------------------------------------------------------------------------

Effect = Callable[[DeskSession, RowMapping, Transition, dict[str, Any]], None]


def _nothing(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    """For effects that the service function makes itself."""


def _open_window(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    """The cancel window: as the policy has it, and shorter where the due date needs the time."""
    until = s.now + timedelta(hours=s.rules_of(row).cancel_window_hours)
    if due := due_of(s, row):
        latest = date.fromisoformat(due) - timedelta(days=s.settings.reserve_days)
        limit = moment(f"{latest.isoformat()}T00:00:00.000000Z")
        until = max(min(until, limit), s.now)
    changes["cancel_until"] = stamp(until)


def _remember_state(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    """A request on hold that had a plan comes back to `waiting`: its plan no longer fits."""
    leaves = transition.event == "hold" and row["state"] in IN_BATCH
    changes["previous"] = "waiting" if leaves else row["state"]
    if transition.event == "hold":
        changes["held_at"] = s.at


def _leave_batch(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    changes["batch_id"] = None


def _sign(column: str) -> Effect:
    def effect(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
        plan = latest_plan(s, row["batch_id"])
        if plan is not None:
            values = {column: s.actor.person, f"{column.removesuffix('approver')}approved_at": s.at}
            s.conn.execute(update(t.plan).where(t.plan.c.id == plan["id"]).values(**values))

    return effect


def _void_plan(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    plan = latest_plan(s, row["batch_id"])
    if plan is not None:
        s.conn.execute(update(t.plan).where(t.plan.c.id == plan["id"]).values(state="rejected"))


def _mark_promoted(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    changes["promoted_at"] = s.at


def _open_objection(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    last = date.fromisoformat(s.today) + timedelta(days=s.rules_of(row).objection_days)
    changes["objection_until"] = last.isoformat()


def _stop_clock(s: DeskSession, row: RowMapping, transition: Transition, changes: dict[str, Any]) -> None:
    changes["closed_at"] = s.at


EFFECTS: dict[str, Effect] = {
    "start_clock": _nothing,
    "new_attempt": _nothing,
    "open_window": _open_window,
    "remember_state": _remember_state,
    "leave_batch": _leave_batch,
    "sign_plan": _sign("approver"),
    "sign_promotion": _sign("promotion_approver"),
    "void_plan": _void_plan,
    "mark_promoted": _mark_promoted,
    "open_objection": _open_objection,
    "stop_clock": _stop_clock,
}


def replan_rest(s: DeskSession, batch_id: str) -> None:
    """After a request left its batch: its plan is void, its run stops, and the others wait for a new plan."""
    plan = latest_plan(s, batch_id)
    if plan is None:
        return
    s.conn.execute(update(t.plan).where(t.plan.c.batch_id == batch_id).values(state="void"))
    running = (t.run.c.plan_hash == plan["hash"], t.run.c.state == "running", t.run.c.cancel_at.is_(None))
    s.conn.execute(update(t.run).where(*running).values(cancel_at=s.at))
    for request_id in members(s, batch_id):
        state = s.conn.execute(select(t.request.c.state).where(t.request.c.id == request_id)).scalar_one()
        if state in IN_BATCH:
            fire(as_system(s), request_id, "replan")
