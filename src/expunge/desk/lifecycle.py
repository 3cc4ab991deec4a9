"""The lifecycle of a request as a table of data: (from, event, roles, guards) -> (to, effects).

What is not listed is refused. Several rows of one state and event differ by `when`, a guard that selects the row. The
point of no return is promotion: until then the model in use is untouched and work can be thrown away.
"""

from __future__ import annotations

from typing import NamedTuple

START = "start"  # before the request exists
PREVIOUS = "previous"  # the state before a hold or an error


class Transition(NamedTuple):
    """One row of the table.

    Attributes:
        source: State before.
        event: What happens.
        roles: Who may do it.
        guards: Conditions, all of which must hold.
        target: State after, or `PREVIOUS`.
        effects: What changes in the same transaction.
        when: Condition that selects this row among those of the same event.
    """

    source: str
    event: str
    roles: tuple[str, ...]
    guards: tuple[str, ...]
    target: str
    effects: tuple[str, ...] = ()
    when: str = ""


OPEN_BEFORE_PLAN = (
    "received",
    "identity_pending",
    "scoping",
    "legal_review",
    "approved",
    "partially_approved",
    "waiting",
)
IN_BATCH = (
    "planned",
    "plan_approved",
    "executing",
    "auditing",
    "audit_passed",
    "audit_failed",
    "promotion_approved",
)  # states of a request whose batch has a plan
BEFORE_PROMOTION = (*OPEN_BEFORE_PLAN, *IN_BATCH)
BEFORE_EXECUTING = (*OPEN_BEFORE_PLAN, "planned", "plan_approved")
RUNNING = ("waiting", "plan_approved", "executing", "auditing", "promotion_approved", "promoted", "purging")
ENDED_EARLY = ("denied", "nothing_held", "cancelled", "revoked", "duplicate", "expired")
SIDE = ("on_hold", "error", *ENDED_EARLY)
STATES: tuple[str, ...] = (*BEFORE_PROMOTION, "promoted", "purging", "notified", "closed", *SIDE)


def _rows(sources: tuple[str, ...], *rest: object, **more: object) -> tuple[Transition, ...]:
    return tuple(Transition(source, *rest, **more) for source in sources)  # type: ignore[arg-type]


TABLE: tuple[Transition, ...] = (
    Transition(START, "submit", ("subject", "clerk", "webhook"), ("policy_chosen",), "received", ("start_clock",)),
    Transition("received", "ask_identity", ("system",), ("not_verified",), "identity_pending"),
    *_rows(("received", "identity_pending"), "begin_scoping", ("clerk",), ("verified",), "scoping"),
    Transition("identity_pending", "give_up", ("clerk",), ("not_verified", "identity_exhausted", "reason"), "denied"),
    Transition("scoping", "freeze_scope", ("clerk",), ("verified", "matches_settled"), "legal_review"),
    Transition(
        "legal_review",
        "decide",
        ("reviewer",),
        ("verified", "matches_settled", "every_asset_decided"),
        "approved",
        when="all_granted",
    ),
    Transition(
        "legal_review",
        "decide",
        ("reviewer",),
        ("verified", "matches_settled", "every_asset_decided"),
        "partially_approved",
        when="some_granted",
    ),
    Transition(
        "legal_review",
        "decide",
        ("reviewer",),
        ("verified", "matches_settled", "every_asset_decided"),
        "nothing_held",
        when="nothing_held",
    ),
    Transition(
        "legal_review", "decide", ("reviewer",), ("every_asset_decided", "reason"), "denied", when="none_granted"
    ),
    *_rows(("approved", "partially_approved"), "enqueue", ("system",), ("verified",), "waiting", ("open_window",)),
    Transition("waiting", "plan", ("system",), ("verified", "window_over", "batch_closed", "plan_current"), "planned"),
    Transition(
        "planned",
        "approve_plan",
        ("approver",),
        ("plan_current", "approver_not_operator", "plan_hash_shown"),
        "plan_approved",
        ("sign_plan",),
    ),
    Transition("planned", "reject_plan", ("approver",), ("reason",), "waiting", ("void_plan",)),
    Transition(
        "plan_approved",
        "start",
        ("system",),
        ("verified", "plan_current", "plan_signed", "lease_held"),
        "executing",
        when="model_work",
    ),
    Transition(
        "plan_approved",
        "start",
        ("system",),
        ("verified", "plan_current", "plan_signed", "tasks_listed"),
        "purging",
        when="no_model_work",
    ),
    Transition("executing", "finish_run", ("system",), ("plan_current", "output_complete"), "auditing"),
    Transition("auditing", "verdict", ("system",), ("plan_current",), "audit_passed", when="audit_passed"),
    Transition("auditing", "verdict", ("system",), ("plan_current",), "audit_failed", when="audit_not_passed"),
    Transition("audit_failed", "retry", ("operator",), ("attempts_left", "new_plan"), "planned"),
    Transition("audit_failed", "escalate", ("operator",), ("exact_route", "new_plan"), "planned"),
    Transition("audit_failed", "suppress_and_disclose", ("reviewer",), ("reason",), "legal_review", ("leave_batch",)),
    Transition(
        "audit_passed",
        "approve_promotion",
        ("approver",),
        ("verified", "plan_current", "audit_passed", "approver_not_operator", "certificate_verified"),
        "promotion_approved",
        ("sign_promotion",),
    ),
    Transition(
        "promotion_approved",
        "promote",
        ("system",),
        ("verified", "plan_current", "plan_signed", "promotion_signed", "audit_passed", "swapped"),
        "promoted",
        ("mark_promoted",),
    ),
    Transition("promoted", "purge", ("system",), ("tasks_listed",), "purging"),
    Transition("purging", "notify", ("system",), ("tasks_settled", "letter_accepted"), "notified", ("open_objection",)),
    *_rows(ENDED_EARLY, "notify", ("system",), ("letter_accepted",), "notified", ("open_objection",)),
    Transition("notified", "close", ("clerk",), ("objection_over",), "closed", ("stop_clock",)),
    *_rows(
        (*BEFORE_PROMOTION, "on_hold", "error"),
        "cancel",
        ("reviewer",),
        ("reason", "not_promoted"),
        "cancelled",
        ("leave_batch",),
    ),
    *_rows(
        (*BEFORE_PROMOTION, "on_hold", "error"),
        "revoke",
        ("subject",),
        ("reason", "verified", "not_promoted"),
        "revoked",
        ("leave_batch",),
    ),
    *_rows(
        BEFORE_EXECUTING,
        "mark_duplicate",
        ("clerk",),
        ("verified", "other_open_and_same_person"),
        "duplicate",
        ("leave_batch",),
    ),
    *_rows(BEFORE_PROMOTION, "hold", ("clerk", "reviewer"), ("reason",), "on_hold", ("remember_state", "leave_batch")),
    Transition("on_hold", "release", ("clerk", "reviewer"), ("reason",), PREVIOUS),
    *_rows((*RUNNING, "audit_passed"), "fail", ("system",), ("reason",), "error", ("remember_state",)),
    Transition("error", "recover", ("system", "operator"), (), PREVIOUS, ("new_attempt",)),
    Transition("identity_pending", "expire", ("system",), ("not_verified", "time_over"), "expired", ("leave_batch",)),
    Transition("on_hold", "expire", ("system",), ("time_over",), "expired", ("leave_batch",)),
    *_rows(IN_BATCH, "replan", ("system",), ("plan_void",), "waiting"),
)
EVENTS: tuple[str, ...] = tuple(dict.fromkeys(row.event for row in TABLE))
TERMINAL = "closed"
DRP = {  # state -> status of the Data Rights Protocol; `fulfilled` only once the subject was told
    **dict.fromkeys(("received", "identity_pending"), "open"),
    **dict.fromkeys((*BEFORE_PROMOTION[2:], "promoted", "purging", "on_hold", "error", "duplicate"), "in_progress"),
    **dict.fromkeys(("nothing_held", "notified", "closed"), "fulfilled"),
    "denied": "denied",
    "cancelled": "denied",
    "revoked": "revoked",
    "expired": "expired",
}


def status_of(state: str, ended_as: str | None) -> str:
    """The status of the Data Rights Protocol: how a request ended early stays its status once the subject was told."""
    return DRP[ended_as if ended_as and state in ("notified", "closed") else state]


def rows_for(state: str, event: str) -> tuple[Transition, ...]:
    """The rows of a state and event, in the order of the table; empty where the event is refused."""
    return tuple(row for row in TABLE if row.source == state and row.event == event)


def events_from(state: str, role: str | None = None) -> tuple[str, ...]:
    """The events that a state allows, for one role or for all."""
    return tuple(dict.fromkeys(r.event for r in TABLE if r.source == state and (role is None or role in r.roles)))
