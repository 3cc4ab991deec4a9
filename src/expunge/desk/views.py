"""What people read: inbox, one request, plans, progress. Nothing here holds a name or a record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import RowMapping, select

from expunge.desk import tables as t
from expunge.desk.certificates import certificate_view
from expunge.desk.deadlines import alarms
from expunge.desk.decisions import decisions
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.due_dates import DUE, due_of, is_told
from expunge.desk.event_log import STEP
from expunge.desk.facts import count, facts_of, latest_plan, latest_run, request_row
from expunge.desk.guard_audits import guard_rows
from expunge.desk.guards import GUARDS, Act, Facts
from expunge.desk.lifecycle import TABLE, status_of
from expunge.desk.matching import matches
from expunge.desk.names import read_reference
from expunge.desk.plans import content_of
from expunge.desk.purging import tasks
from expunge.desk.rehearsals import rehearsal_view
from expunge.desk.roles import Actor, Refusal
from expunge.desk.row_seals import FIELD

DONE = ("closed", "notified")
HIDDEN = ("outside_key", "previous")


def find_request(s: DeskSession, text: str) -> str:
    """Id of the request with this reference or id; `Refusal` of kind `missing`."""
    s.actor.check_may("read")
    column = t.request.c.id if len(text) == 36 and text.count("-") == 4 else t.request.c.reference
    value = text if column is t.request.c.id else read_reference(text)
    request_id = s.conn.execute(select(t.request.c.id).where(column == value)).scalar()
    if request_id is None:
        raise Refusal("request", "there is no such request", "copy its reference from the inbox", kind="missing")
    return str(request_id)


def inbox(
    s: DeskSession, *, states: Sequence[str] = (), include_done: bool = False, limit: int = 100, offset: int = 0
) -> list[dict[str, Any]]:
    """Requests by due date, the most urgent first, those without one last.

    Args:
        s: a session of anybody who may read.
        states: only these states; all that are not done if empty.
        include_done: also those whose subject was told.
        limit: most rows.
        offset: rows to leave out.
    """
    s.actor.check_may("read")
    query = select(t.request)
    if states:
        query = query.where(t.request.c.state.in_(states))
    elif not include_done:
        query = query.where(t.request.c.state.not_in(DONE))
    query = query.order_by(DUE.is_(None), DUE, t.request.c.id).limit(limit).offset(offset)
    return [row_view(s, row) for row in s.conn.execute(query).mappings()]


def row_view(s: DeskSession, row: RowMapping) -> dict[str, Any]:
    """A line of the inbox."""
    due = due_of(s, row)
    left = (date.fromisoformat(due) - date.fromisoformat(s.today)).days if due else None
    passed = (
        sum(
            s.today >= day.isoformat()
            for day in alarms(date.fromisoformat(row["received_on"]), date.fromisoformat(due))
        )
        if due
        else 0
    )
    return {
        "id": row["id"],
        "reference": row["reference"],
        "state": row["state"],
        "status": status_of(row["state"], row["ended_as"]),
        "regime": row["regime"],
        "received_on": row["received_on"],
        "due_on": due,
        "days_left": left,
        "alarms": passed,
        "verified": row["identity_verified_at"] is not None,
    }


def request_view(s: DeskSession, request_id: str) -> dict[str, Any]:
    """Everything about one request that names nobody, and what the actor can do next."""
    s.actor.check_may("read")
    row = request_row(s, request_id)
    plan = latest_plan(s, row["batch_id"])
    run = latest_run(s, plan["hash"]) if plan else None
    kinds = select(t.identifier.c.id, t.identifier.c.kind, t.identifier.c.verified_at)
    names = s.conn.execute(kinds.where(t.identifier.c.request_id == request_id)).mappings()
    states: dict[str, int] = {}
    for each in matches(s, request_id):
        states[each["state"]] = states.get(each["state"], 0) + 1
    return {
        **row_view(s, row),
        "is_told": is_told(s, request_id),
        "request": {key: value for key, value in row.items() if key not in HIDDEN},
        "identifiers": [dict(each) for each in names],
        "matches": states,
        "decisions": [
            {
                **{key: each[key] for key in ("name", "kind", "value", "ground", "is_final")},
                "searched": bool(each["searched"]),
            }
            for each in decisions(s, request_id)
        ],
        "plan": plan
        and {"hash": plan["hash"], "state": plan["state"], "number": plan["number"], "author": plan["author"]},
        "run": run
        and {key: run[key] for key in ("attempt", "state", "audit_status", "guard_status", "certificate_digest")},
        "certificate": certificate_view(s, request_id),
        "tasks": [
            {
                **{key: each[key] for key in ("id", "asset", "kind", "state", "due_on", "attempts", "problem")},
                "notice_on": json.loads(each["receipt"] or "{}").get("notice_on"),
            }
            for each in tasks(s, request_id)
        ],
        "next": possible(s, request_id, s.actor),
    }


def possible(s: DeskSession, request_id: str, actor: Actor) -> list[dict[str, str]]:
    """The events that this role may do in the present state, and what is missing for each (a reason aside)."""
    facts = facts_of(s, request_id)
    act = Act("", actor, reason=True, plan_hash=facts.plan_hash)
    rows = [r for r in TABLE if r.source == facts.state and actor.role in r.roles]
    by_event: dict[str, list[str]] = {}
    for row in rows:
        by_event.setdefault(row.event, []).append(_missing(facts, act, row.guards, row.when))
    return [{"event": event, "missing": min(missing, key=len)} for event, missing in by_event.items()]


def _missing(facts: Facts, act: Act, guards: Sequence[str], when: str) -> str:
    names = [name for name in (*guards, *([when] if when else ())) if name != "other_open_and_same_person"]
    return "; ".join(what for name in names if (what := GUARDS[name](facts, act)))


def timeline(s: DeskSession, request_id: str) -> list[dict[str, Any]]:
    """The log rows of a request, oldest first."""
    s.actor.check_may("read")
    query = select(t.event_log).where(t.event_log.c.request_id == request_id).order_by(t.event_log.c.seq)
    keys = ("seq", "at", "actor", "role", "type")
    return [
        {**{key: row[key] for key in keys}, "body": _shown(row["body"])} for row in s.conn.execute(query).mappings()
    ]


def _shown(raw: str) -> dict[str, Any]:
    """The body of a row of the log without digests of rows and event ids, which only a check reads."""
    body: dict[str, Any] = json.loads(raw)
    return {key: value for key, value in body.items() if key not in (FIELD, STEP)}


def plan_count(s: DeskSession) -> int:
    """Number of plans."""
    s.actor.check_may("read")
    return count(s, t.plan)


def plan_views(s: DeskSession, hash_: str | None = None, limit: int = 200, offset: int = 0) -> list[dict[str, Any]]:
    """At most `limit` plans after the first `offset`, the newest first; with a hash, that one with its content."""
    s.actor.check_may("read")
    query = select(t.plan).order_by(t.plan.c.at.desc(), t.plan.c.id)
    if hash_ is not None:
        query = query.where(t.plan.c.hash == hash_)
    views = []
    for row in s.conn.execute(query.limit(limit).offset(offset)).mappings().all():
        run = latest_run(s, row["hash"])
        view = {key: row[key] for key in ("hash", "batch_id", "number", "kind", "state", "author", "at", "approver")}
        view |= {
            "run": run and run["state"],
            "audit": run and run["audit_status"],
            "guard": run and run["guard_status"],
        }
        if hash_:
            view |= {"content": content_of(row), "earlier_requests": guard_rows(s, run)}
            view["rehearsal"] = rehearsal_view(s, row["hash"])
        views.append(view)
    return views


def progress(desk: Desk, plan_hash: str) -> dict[str, Any]:
    """How far the training of a plan is, from the last line of its events; empty before the first step."""
    from collections import deque

    from expunge.engine.event_file import EVENTS, read_events

    last = deque(read_events(desk.runs / plan_hash[:16] / "run" / EVENTS), maxlen=1)
    keys = ("step", "phase", "forget", "retain", "seconds", "memory")
    return {key: last[0].get(key) for key in keys} if last else {}
