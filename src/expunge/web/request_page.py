"""What the page of a request shows, collected from the desk; nothing here names anybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, select

from expunge.desk import tables as t
from expunge.desk.connectors.base import CONNECTORS
from expunge.desk.decisions import decisions
from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.identity import LEVELS, METHODS
from expunge.desk.interim import WITHDRAWALS
from expunge.desk.keys import IDENTIFIER_KINDS
from expunge.desk.lifecycle import ENDED_EARLY, TABLE
from expunge.desk.matching import matches
from expunge.desk.purging import tasks
from expunge.desk.regime import Regime
from expunge.desk.regime_texts import LostRules
from expunge.desk.requests import PLAIN_EVENTS, requests_like
from expunge.desk.roles import Actor
from expunge.desk.tables import DECISIONS
from expunge.desk.views import find_request, possible, request_view, timeline
from expunge.web.page_labels import LEVELS as PLAN_LEVELS
from expunge.web.page_labels import STAGES

MAX_MATCHES = 200  # rows on a page
ELSEWHERE = (
    "decide",
    "approve_plan",
    "reject_plan",
    "approve_promotion",
    "retry",
    "escalate",
)  # on a form of their own
MAIN = ("begin_scoping", "freeze_scope", "close", "release", "recover")
STAGE_OF = {state: k for k, (_, states) in enumerate(STAGES) for state in states}


@dataclass(frozen=True)
class RequestStep:
    """An event that the visitor's role may do now, or what is missing for it.

    Attributes:
        needs_reason: A reason in words must be given.
        is_main: It leads on the usual way.
    """

    event: str
    missing: str
    needs_reason: bool
    is_main: bool


def request_values(s: DeskSession, text: str) -> dict[str, Any]:
    """Everything for the template of a request."""
    request_id = find_request(s, text)
    row, view = request_row(s, request_id), request_view(s, request_id)
    state = str(row["state"])
    rows = matches(s, request_id)
    regime = _rules(s, row)
    plan_kind = _plan_kind(s, row["batch_id"])
    return {
        "view": view,
        "row": row,
        "stages": stages(state, row["previous"], row["ended_as"]),
        "steps": steps(s, request_id, state),
        "attempts": _attempts(s, request_id),
        "attempt_limit": regime.identity.attempts,
        "regime": regime,
        "identifiers": view["identifiers"],
        "match_rows": rows[:MAX_MATCHES],
        "matches_by_asset": by_asset(rows),
        "decision_rows": [
            {**each, "searches": CONNECTORS.get(each["connector"]).searches} for each in decisions(s, request_id)
        ],
        "searched": _was_searched(s, request_id),
        "entries": condense(timeline(s, request_id)),
        "letters": _letters(s, request_id),
        "withdrawals": WITHDRAWALS,
        "today": s.today,
        "task_notes": {row["id"]: task_note(row["receipt"]) for row in tasks(s, request_id)},
        "like": _references(s, requests_like(s, request_id)),
        "duplicate_of": _references(s, [row["duplicate_of"]] if row["duplicate_of"] else []),
        "plan_hashes": _plans(s, row["batch_id"]),
        "level": PLAN_LEVELS.get(plan_kind, "") if view["run"] and view["run"]["audit_status"] == "passed" else "",
        "methods": METHODS,
        "identity_levels": LEVELS,
        "identifier_kinds": IDENTIFIER_KINDS,
        "decision_values": DECISIONS,
    }


def stages(state: str, previous: str | None, ended_as: str | None) -> list[tuple[str, str]]:
    """(stage, `done`, `now`, `stop` or "") along the way of a request."""
    is_ended = state in ENDED_EARLY or ended_as is not None
    here = STAGE_OF.get(previous or "" if state in ("on_hold", "error") else state)
    if is_ended:
        return [(STAGES[-1][0], "done" if state in ("notified", "closed") else "stop")]
    mark = "stop" if state in ("on_hold", "error", "audit_failed") else "done" if state == "closed" else "now"
    return [
        (name, "" if here is None or k > here else mark if k == here else "done") for k, (name, _) in enumerate(STAGES)
    ]


def steps(s: DeskSession, request_id: str, state: str) -> list[RequestStep]:
    """The steps of the role; a clerk also notes that the person withdraws."""
    offered = possible(s, request_id, s.actor)
    if s.actor.role == "clerk":
        offered += possible(s, request_id, Actor(s.actor.person, "subject"))
    choices = []
    for each in offered:
        event = each["event"]
        if event in ELSEWHERE or event not in PLAIN_EVENTS:
            continue
        reasoned = any("reason" in row.guards for row in TABLE if (row.source, row.event) == (state, event))
        choices.append(RequestStep(event, each["missing"], reasoned, event in MAIN))
    return sorted(choices, key=lambda step: (not step.is_main, bool(step.missing)))


def condense(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A timeline, the newest first, in which equal entries that follow one another are one with a count."""
    grouped: list[dict[str, Any]] = []
    for entry in entries:
        last = grouped[-1] if grouped else None
        if last and all(last[key] == entry[key] for key in ("type", "actor", "role")) and _same_outcome(last, entry):
            last |= {"count": last["count"] + 1, "at": entry["at"]}
        else:
            grouped.append({**entry, "count": 1})
    return grouped[::-1]


def _same_outcome(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a["body"].get(key) == b["body"].get(key) for key in ("to", "state", "success"))


def by_asset(rows: Sequence[RowMapping]) -> dict[str, dict[str, int]]:
    """Asset -> state of a match -> number."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        states = counts.setdefault(row["asset"], {})
        states[row["state"]] = states.get(row["state"], 0) + 1
    return counts


def task_note(receipt: str | None) -> str:
    """What a receipt of the desk says in words, where it says anything."""
    values = json.loads(receipt or "{}")
    if decision := values.get("decision"):
        words = {"retain": "kept on a ground", "not_present": "nothing there", "unlearn": "unlearned"}
        return words.get(str(decision), str(decision))
    return str(values.get("note") or (f"{values['removed']} removed" if values.get("removed") else ""))


def _rules(s: DeskSession, row: RowMapping) -> Regime:
    """The rules of a request; where they are lost, those of their file, which only its page shows."""
    try:
        return s.rules_of(row)
    except LostRules:
        return s.regime(row["regime"])


def _attempts(s: DeskSession, request_id: str) -> list[RowMapping]:
    query = select(t.identity_attempt).where(t.identity_attempt.c.request_id == request_id)
    return list(s.conn.execute(query.order_by(t.identity_attempt.c.at)).mappings())


def _letters(s: DeskSession, request_id: str) -> list[RowMapping]:
    query = select(t.outbox).where(t.outbox.c.request_id == request_id).order_by(t.outbox.c.at)
    return list(s.conn.execute(query).mappings())


def _references(s: DeskSession, ids: Sequence[str]) -> list[tuple[str, str]]:
    query = select(t.request.c.reference, t.request.c.state).where(t.request.c.id.in_(ids))
    return list(s.conn.execute(query.order_by(t.request.c.reference)).tuples())


def _plans(s: DeskSession, batch_id: str | None) -> list[RowMapping]:
    query = select(t.plan.c.hash, t.plan.c.number, t.plan.c.state, t.plan.c.kind).where(t.plan.c.batch_id == batch_id)
    return list(s.conn.execute(query.order_by(t.plan.c.number.desc())).mappings()) if batch_id else []


def _plan_kind(s: DeskSession, batch_id: str | None) -> str:
    plans = _plans(s, batch_id)
    return str(plans[0]["kind"]) if plans else ""


def _was_searched(s: DeskSession, request_id: str) -> bool:
    here = (t.event_log.c.request_id == request_id, t.event_log.c.type == "request.search")
    return s.conn.execute(select(t.event_log.c.seq).where(*here).limit(1)).first() is not None
