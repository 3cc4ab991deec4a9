"""Reads the facts that guards need from the database, for one request at one moment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, func, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.guards import Facts
from expunge.desk.lifecycle import BEFORE_PROMOTION, IN_BATCH
from expunge.desk.names import moment
from expunge.desk.regime_texts import LostRules
from expunge.desk.roles import Refusal

SETTLED = ("done", "dated")
DECIDED = ("decision.set", "request.decide")  # entries of the log
OUTBOX = "outbox"  # folder of the letters


def request_row(s: DeskSession, request_id: str) -> RowMapping:
    """The row of a request; `Refusal` of kind `missing` for an id that does not exist."""
    row = s.conn.execute(select(t.request).where(t.request.c.id == request_id)).mappings().first()
    if row is None:
        raise Refusal("request", "there is no such request", "search by its reference", kind="missing")
    return row


def open_assets(s: DeskSession) -> list[RowMapping]:
    """All assets that are not retired, by name."""
    query = select(t.asset).where(t.asset.c.retired_at.is_(None)).order_by(t.asset.c.name)
    return list(s.conn.execute(query).mappings())


def latest_plan(s: DeskSession, batch_id: str | None) -> RowMapping | None:
    """The plan with the highest number of a batch."""
    if batch_id is None:
        return None
    query = select(t.plan).where(t.plan.c.batch_id == batch_id).order_by(t.plan.c.number.desc()).limit(1)
    return s.conn.execute(query).mappings().first()


def latest_run(s: DeskSession, plan_hash: str | None) -> RowMapping | None:
    """The run with the highest attempt of a plan."""
    if plan_hash is None:
        return None
    query = select(t.run).where(t.run.c.plan_hash == plan_hash).order_by(t.run.c.attempt.desc()).limit(1)
    return s.conn.execute(query).mappings().first()


def members(s: DeskSession, batch_id: str) -> list[str]:
    """Ids of the requests of a batch, sorted."""
    return sorted(s.conn.execute(select(t.request.c.id).where(t.request.c.batch_id == batch_id)).scalars())


def count(s: DeskSession, table: Any, *conditions: Any) -> int:
    """Number of rows."""
    return int(s.conn.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())


def facts_of(s: DeskSession, request_id: str, other: str | None = None) -> Facts:
    """The facts of a request.

    Args:
        s: a session that holds the log, so that the facts stay true until it commits.
        request_id: the request.
        other: the request that this one may repeat.
    """
    row = request_row(s, request_id)
    limits = _limits(s, row)
    batch = _batch(s, row["batch_id"])
    plan = latest_plan(s, row["batch_id"])
    run = latest_run(s, plan["hash"] if plan else None)
    decisions = {d["asset_id"]: d["value"] for d in _decisions(s, request_id)}
    assets = {a["id"] for a in open_assets(s)}
    values = [value for asset, value in decisions.items() if asset in assets]
    attempts = count(s, t.identity_attempt, t.identity_attempt.c.request_id == request_id)
    tasks = count(s, t.task, t.task.c.request_id == request_id)
    unsettled = ("proposed", "ambiguous")
    return Facts(
        state=row["state"],
        regime=row["regime"],
        verified=row["identity_verified_at"] is not None,
        identity_attempts=attempts,
        **limits,
        unsettled_matches=count(s, t.match, t.match.c.request_id == request_id, t.match.c.state.in_(unsettled)),
        undecided=len(assets - decisions.keys()),
        granted=sum(value in t.GRANTS for value in values),
        retained=sum(value == "retain" for value in values),
        not_present=sum(value == "not_present" for value in values),
        model_work=sum(value in ("unlearn", "suppress") for value in values),
        window_over=row["cancel_until"] is not None and s.at >= row["cancel_until"],
        batch_closed=batch is not None and batch["state"] == "closed",
        plan_hash=plan["hash"] if plan else None,
        plan_kind=plan["kind"] if plan else None,
        plan_current=plan is not None and plan["state"] == "current" and fits(s, plan),
        plan_is_new=plan is not None and run is None,
        operators=_workers_on(s, request_id) | (frozenset({plan["author"]}) if plan else frozenset()),
        approvers=_names(plan, "approver"),
        promotion_approvers=_names(plan, "promotion_approver"),
        auditors=_auditors(s, run),
        leased=run is not None and run["state"] == "running",
        output_complete=run is not None and run["manifest_digest"] is not None,
        audit=_audit(run),
        attempts=attempts_of(s, row["batch_id"]),
        attempt_limit=s.settings.attempt_limit,
        certificate_verified=run is not None and run["certificate_verified_at"] is not None,
        swapped=plan is not None and plan["swapped_at"] is not None,
        tasks_listed=tasks > 0,
        open_tasks=count(s, t.task, t.task.c.request_id == request_id, t.task.c.state.not_in(SETTLED)),
        letter_accepted=_letter(s, row),
        objection_over=row["objection_until"] is not None and s.today > row["objection_until"],
        promoted=row["promoted_at"] is not None,
        other_same_person=other is not None and same_person(s, request_id, other),
        single_person=s.settings.single_person and (run is None or bool(run["single_person"])),
    )


def _limits(s: DeskSession, row: RowMapping) -> dict[str, Any]:
    """What the rules of a request limit; nothing is over while they are lost, so that it can still be cancelled."""
    try:
        rules = s.rules_of(row)
    except LostRules:
        return {"identity_limit": sys.maxsize}
    begin = moment(row["identity_asked_at"] or row["received_at"])
    return {
        "identity_limit": rules.identity.attempts,
        "identity_over": s.now > begin + timedelta(days=rules.identity.days),
        "hold_over": bool(row["held_at"] and s.now > moment(row["held_at"]) + timedelta(days=rules.hold_days)),
    }


def _workers_on(s: DeskSession, request_id: str) -> frozenset[str]:
    """People who verified the identity of a request or decided: a second pair of eyes is somebody else's.

    The log also knows whose decision was overwritten, and who closed the review.
    """
    decided = select(t.event_log.c.actor).where(t.event_log.c.request_id == request_id, t.event_log.c.type.in_(DECIDED))
    identified = select(t.identity_attempt.c.person).where(
        t.identity_attempt.c.request_id == request_id, t.identity_attempt.c.success == 1
    )
    return frozenset(s.conn.execute(decided.union(identified)).scalars())


def _auditors(s: DeskSession, run: RowMapping | None) -> frozenset[str]:
    """People who signed certificates of a run."""
    if run is None:
        return frozenset()
    query = select(t.certificate.c.auditor).where(t.certificate.c.run_id == run["id"])
    return frozenset(name for name in s.conn.execute(query).scalars() if name)


def attempts_of(s: DeskSession, batch_id: str | None) -> int:
    """How many plans of a batch were run; one that was sent back counts as none."""
    query = select(func.count(t.run.c.plan_hash.distinct())).join(t.plan, t.plan.c.hash == t.run.c.plan_hash)
    return int(s.conn.execute(query.where(t.plan.c.batch_id == batch_id)).scalar_one())


def fits(s: DeskSession, plan: RowMapping) -> bool:
    """Whether a plan is made for exactly the requests that its batch has now."""
    return is_made_for(plan["content"], members(s, plan["batch_id"]))


def is_made_for(content: str, requests: Sequence[str]) -> bool:
    """Whether a stored plan is made for exactly these requests, sorted."""
    from expunge.desk.keys import parse_body

    return bool(parse_body(content)["requests"] == requests)


def same_person(s: DeskSession, request_id: str, other: str) -> bool:
    """Whether another request is open, verified, and shares a verified identifier."""
    if request_id == other:
        return False
    row = request_row(s, other)
    if row["identity_verified_at"] is None or row["state"] not in (*BEFORE_PROMOTION, *IN_BATCH, "promoted", "purging"):
        return False
    a, b = t.identifier.alias(), t.identifier.alias()
    query = select(func.count()).where(
        a.c.request_id == request_id,
        b.c.request_id == other,
        a.c.verified_at.is_not(None),
        b.c.verified_at.is_not(None),
        a.c.kind == b.c.kind,
        a.c.blind_index == b.c.blind_index,
    )
    return int(s.conn.execute(query).scalar_one()) > 0


def letter_template(row: RowMapping) -> str:
    """The letter with which a request ends."""
    return str(row["ended_as"] or row["state"]) if row["state"] != "purging" else "fulfilled"


def _letter(s: DeskSession, row: RowMapping) -> bool:
    return bool(
        count(
            s,
            t.outbox,
            t.outbox.c.request_id == row["id"],
            t.outbox.c.template == letter_template(row),
            t.outbox.c.accepted_at.is_not(None),
        )
    )


def _batch(s: DeskSession, batch_id: str | None) -> RowMapping | None:
    return s.conn.execute(select(t.batch).where(t.batch.c.id == batch_id)).mappings().first()


def _decisions(s: DeskSession, request_id: str) -> list[RowMapping]:
    query = select(t.decision).where(t.decision.c.request_id == request_id, t.decision.c.is_final == 1)
    return list(s.conn.execute(query).mappings())


def _names(plan: RowMapping | None, column: str) -> frozenset[str]:
    return frozenset({plan[column]}) if plan and plan[column] else frozenset()


def _audit(run: RowMapping | None) -> str | None:
    """The verdict; one that passed counts only if earlier requests are still forgotten."""
    if run is None or run["audit_status"] is None:
        return None
    return str(run["audit_status"]) if run["guard_status"] != "failed" else "not_passed"
