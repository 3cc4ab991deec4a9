"""Guards of the lifecycle: pure functions from the facts of a request to what is missing, as a clause.

`choose` is the only place that decides whether an event happens. It reads a snapshot; the caller holds the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from expunge.desk.lifecycle import START, TABLE, Transition, events_from, rows_for
from expunge.desk.roles import Actor, Refusal

EXACT_ROUTES = ("drop", "retrain")  # kinds of plan that leave nothing of the subject in the part they make anew


@dataclass(frozen=True)
class Facts:
    """What is true of a request at one moment.

    Attributes:
        operators: Those who wrote or started the plan; none of them may approve it.
        approvers: Those who approved the plan.
        auditors: Those who signed a certificate of its run; none of them may approve the promotion.
        single_person: The desk is configured to be worked by one person, and its certificates say so.
    """

    state: str
    regime: str | None = None
    verified: bool = False
    identity_attempts: int = 0
    identity_limit: int = 1
    identity_over: bool = False
    hold_over: bool = False
    unsettled_matches: int = 0
    undecided: int = 0
    granted: int = 0
    retained: int = 0
    not_present: int = 0
    model_work: int = 0
    window_over: bool = False
    batch_closed: bool = False
    plan_hash: str | None = None
    plan_kind: str | None = None
    plan_current: bool = False
    plan_is_new: bool = False
    operators: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    promotion_approvers: frozenset[str] = frozenset()
    auditors: frozenset[str] = frozenset()
    leased: bool = False
    output_complete: bool = False
    audit: str | None = None
    attempts: int = 0
    attempt_limit: int = 3
    certificate_verified: bool = False
    swapped: bool = False
    tasks_listed: bool = False
    open_tasks: int = 0
    letter_accepted: bool = False
    objection_over: bool = False
    promoted: bool = False
    other_same_person: bool = False
    single_person: bool = False


@dataclass(frozen=True)
class Act:
    """What somebody wants to do: the event, who, and what they gave with it."""

    event: str
    actor: Actor
    reason: bool = False
    plan_hash: str | None = None
    details: dict[str, str] = field(default_factory=dict)


def _second_person(f: Facts, act: Act) -> str:
    if f.single_person or act.actor.person not in f.operators | f.auditors:
        return ""
    did = "planned, ran, decided or identified it" if act.actor.person in f.operators else "signed its certificate"
    return f"the one who approves also {did}"


def _signed_by_second(f: Facts, people: frozenset[str], what: str) -> str:
    if not people:
        return f"nobody approved {what}"
    return (
        ""
        if f.single_person or people - f.operators - f.auditors
        else f"nobody but those who worked on it approved {what}"
    )


Guard = Callable[[Facts, Act], str]
GUARDS: dict[str, Guard] = {
    "policy_chosen": lambda f, a: "" if f.regime else "no policy was chosen",
    "verified": lambda f, a: "" if f.verified else "the identity is not verified",
    "not_verified": lambda f, a: "the identity is verified" if f.verified else "",
    "identity_exhausted": lambda f, a: (
        ""
        if f.identity_attempts >= f.identity_limit or f.identity_over
        else f"{f.identity_attempts} of {f.identity_limit} attempts were made and the time is not over"
    ),
    "reason": lambda f, a: "" if a.reason else "a reason is missing",
    "matches_settled": lambda f, a: (
        f"{f.unsettled_matches} match(es) are neither confirmed nor rejected" if f.unsettled_matches else ""
    ),
    "every_asset_decided": lambda f, a: f"{f.undecided} asset(s) have no decision" if f.undecided else "",
    "all_granted": lambda f, a: "" if f.granted and not f.retained else "not everything is granted",
    "some_granted": lambda f, a: "" if f.granted and f.retained else "not a part is granted",
    "none_granted": lambda f, a: "something is granted" if f.granted else "",
    "nothing_held": lambda f, a: (
        "" if f.not_present and not f.granted and not f.retained else "not every asset was searched without finding"
    ),
    "window_over": lambda f, a: "" if f.window_over else "the cancel window is not over",
    "batch_closed": lambda f, a: "" if f.batch_closed else "its batch is not closed",
    "plan_current": lambda f, a: "" if f.plan_current else "its batch has no plan that fits it",
    "plan_void": lambda f, a: "its plan still fits" if f.plan_current else "",
    "new_plan": lambda f, a: "" if f.plan_is_new and f.plan_current else "no new plan was made",
    "exact_route": lambda f, a: (
        "" if f.plan_kind in EXACT_ROUTES else f"the plan takes no exact route ({' or '.join(EXACT_ROUTES)})"
    ),
    "approver_not_operator": _second_person,
    "plan_hash_shown": lambda f, a: (
        "" if a.plan_hash and a.plan_hash == f.plan_hash else "the plan that was shown is not the stored one"
    ),
    "plan_signed": lambda f, a: _signed_by_second(f, f.approvers, "the plan"),
    "promotion_signed": lambda f, a: _signed_by_second(f, f.promotion_approvers, "the promotion"),
    "lease_held": lambda f, a: "" if f.leased else "no worker holds its lease",
    "model_work": lambda f, a: "" if f.model_work else "no asset needs work on a model",
    "no_model_work": lambda f, a: "an asset needs work on a model" if f.model_work else "",
    "output_complete": lambda f, a: "" if f.output_complete else "the output has no complete manifest",
    "audit_passed": lambda f, a: "" if f.audit == "passed" else "the audit did not pass",
    "audit_not_passed": lambda f, a: (
        "" if f.audit not in (None, "passed") else "the audit passed" if f.audit else "there is no verdict"
    ),
    "attempts_left": lambda f, a: (
        "" if f.attempts < f.attempt_limit else f"all {f.attempt_limit} attempts are used; take an exact route"
    ),
    "certificate_verified": lambda f, a: (
        ""
        if f.certificate_verified
        else "no certificate that verifies: it is not made, or the auditor has not signed it"
    ),
    "swapped": lambda f, a: "" if f.swapped else "the model in use was not exchanged",
    "tasks_listed": lambda f, a: "" if f.tasks_listed else "no purge tasks are listed",
    "tasks_settled": lambda f, a: f"{f.open_tasks} purge task(s) are neither done nor dated" if f.open_tasks else "",
    "letter_accepted": lambda f, a: "" if f.letter_accepted else "the letter was not accepted for delivery",
    "objection_over": lambda f, a: "" if f.objection_over else "the objection window is not over",
    "not_promoted": lambda f, a: "the new model is in use already" if f.promoted else "",
    "other_open_and_same_person": lambda f, a: (
        "" if f.other_same_person else "the other request is not open, not verified, or of somebody else"
    ),
    "time_over": lambda f, a: (
        ""
        if (f.state == "on_hold" and f.hold_over) or (f.state == "identity_pending" and f.identity_over)
        else "the time of the policy is not over"
    ),
}


def choose(facts: Facts, act: Act) -> Transition:
    """The row of the table that an act follows.

    Raises:
        Refusal: of kind `state` (the state does not allow the event), `role`, or `guard` (a condition is not met).
    """
    rows = rows_for(facts.state, act.event)
    if not rows:
        allowed = ", ".join(events_from(facts.state)) or "nothing"
        what = f"not possible in the state {facts.state}"
        raise Refusal(act.event, what, f"possible: {allowed}", kind="state")
    if not any(act.actor.role in row.roles for row in rows):
        hint = f"roles that may: {', '.join(rows[0].roles)}"
        raise Refusal(act.event, f'the role "{act.actor.role}" may not do this', hint, kind="role")
    row = next((r for r in rows if not r.when or not GUARDS[r.when](facts, act)), None)
    if row is None:
        raise Refusal(act.event, "; ".join(GUARDS[r.when](facts, act) for r in rows), kind="guard")
    if problems := [what for name in row.guards if (what := GUARDS[name](facts, act))]:
        raise Refusal(act.event, "; ".join(problems), kind="guard")
    return row


def check_table() -> None:
    """`ValueError` if a row names a guard or a state that does not exist: a mistake of the program."""
    names = {name for row in TABLE for name in (*row.guards, *filter(None, (row.when,)))}
    if missing := names - GUARDS.keys():
        raise ValueError(f"no guard {sorted(missing)}")
    if any(row.source == START and row.event != "submit" for row in TABLE):
        raise ValueError("only `submit` begins a request")
