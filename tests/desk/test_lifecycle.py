"""The lifecycle table: what leads where and who may do it; no way around identity, two people and audit exists."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.desk.guards import GUARDS, Act, Facts, check_table, choose
from expunge.desk.lifecycle import (
    BEFORE_PROMOTION,
    DRP,
    ENDED_EARLY,
    EVENTS,
    PREVIOUS,
    START,
    STATES,
    TABLE,
    TERMINAL,
    Transition,
    events_from,
    rows_for,
)
from expunge.desk.roles import ROLES, Actor, Refusal

Node = tuple[str, str]  # state, state before a hold or an error


def steps(node: Node, rows: Iterable[Transition]) -> set[Node]:
    """Where one row leads; the remembered state is part of the node."""
    state, before = node
    after = set()
    for row in rows:
        if row.source != state:
            continue
        if row.target == PREVIOUS:
            after.add((before, ""))
        else:
            after.add((row.target, state if "remember_state" in row.effects else ""))
    return after


def reachable(rows: Iterable[Transition], start: Node = (START, "")) -> set[Node]:
    rows, seen, todo = tuple(rows), {start}, [start]
    while todo:
        for node in steps(todo.pop(), rows) - seen:
            seen.add(node)
            todo.append(node)
    return seen


def without(test: Callable[[Transition], bool]) -> list[Transition]:
    return [row for row in TABLE if not test(row)]


def test_table_names_only_what_exists() -> None:
    check_table()
    states = {START, *STATES}
    assert {row.source for row in TABLE} | {row.target for row in TABLE} - {PREVIOUS} == states
    assert {role for row in TABLE for role in row.roles} <= set(ROLES)
    assert len(set(STATES)) == len(STATES)
    assert set(DRP) == set(STATES)


def test_every_state_is_reached_and_reaches_closed() -> None:
    nodes = reachable(TABLE)
    assert {state for state, _ in nodes} == {START, *STATES}
    for node in nodes:
        assert (TERMINAL, "") in reachable(TABLE, node), node


def test_nothing_follows_closed() -> None:
    assert events_from(TERMINAL) == ()


@pytest.mark.parametrize(
    "needed",
    [
        lambda r: r.event == "approve_plan",
        lambda r: r.event == "approve_promotion",
        lambda r: r.event == "verdict" and r.target == "audit_passed",
        lambda r: r.event == "finish_run",
        lambda r: r.event == "begin_scoping",
        lambda r: r.event == "decide",
        lambda r: "verified" in r.guards,
        lambda r: "certificate_verified" in r.guards,
        lambda r: "approver_not_operator" in r.guards,
        lambda r: "audit_passed" in (*r.guards, r.when),
    ],
)
def test_no_way_to_promoted_avoids(needed: Callable[[Transition], bool]) -> None:
    assert ("promoted", "") in reachable(TABLE)
    assert ("promoted", "") not in reachable(without(needed))


def test_promoted_is_entered_by_one_row_and_left_only_forward() -> None:
    (row,) = [r for r in TABLE if r.target == "promoted"]
    assert {"verified", "plan_signed", "promotion_signed", "audit_passed", "swapped"} <= set(row.guards)
    assert set(events_from("promoted")) == {"purge", "fail"}


def test_only_people_approve_and_only_the_system_runs() -> None:
    assert {r.roles for r in TABLE if r.event in ("approve_plan", "reject_plan", "approve_promotion")} == {
        ("approver",)
    }
    assert {r.roles for r in TABLE if r.event in ("start", "finish_run", "verdict", "promote", "purge")} == {
        ("system",)
    }
    assert not any("admin" in r.roles or "viewer" in r.roles for r in TABLE)


def test_cancel_and_revoke_end_with_promotion() -> None:
    for event in ("cancel", "revoke"):
        assert {r.source for r in TABLE if r.event == event} == {*BEFORE_PROMOTION, "on_hold", "error"}
    stopped = Facts("error", verified=True, promoted=True)
    for event, role in (("cancel", "reviewer"), ("revoke", "subject")):
        with pytest.raises(Refusal, match="in use already"):
            choose(stopped, Act(event, Actor("p", role), reason=True))


def test_early_ends_have_a_letter() -> None:
    for state in ENDED_EARLY:
        assert events_from(state) == ("notify",)
        with pytest.raises(Refusal, match="letter"):
            choose(Facts(state), Act("notify", Actor("system", "system")))


def test_duplicate_needs_a_verified_identity() -> None:
    for source in {r.source for r in TABLE if r.event == "mark_duplicate"}:
        with pytest.raises(Refusal, match="not verified"):
            choose(Facts(source, other_same_person=True), Act("mark_duplicate", Actor("c", "clerk")))


FULL = Facts(
    "planned",
    regime="gdpr@1",
    verified=True,
    granted=1,
    model_work=1,
    window_over=True,
    batch_closed=True,
    plan_hash="h",
    plan_kind="unlearn",
    plan_current=True,
    operators=frozenset({"olga"}),
    approvers=frozenset({"anna"}),
    promotion_approvers=frozenset({"anna"}),
    leased=True,
    output_complete=True,
    audit="passed",
    certificate_verified=True,
    swapped=True,
    tasks_listed=True,
    letter_accepted=True,
    objection_over=True,
)


def test_four_eyes_are_checked_with_the_table() -> None:
    from dataclasses import replace

    for state, event in (("planned", "approve_plan"), ("audit_passed", "approve_promotion")):
        facts = replace(FULL, state=state)
        assert choose(facts, Act(event, Actor("anna", "approver"), plan_hash="h"))
        with pytest.raises(Refusal, match="also planned, ran"):
            choose(facts, Act(event, Actor("olga", "approver"), plan_hash="h"))
        alone = replace(facts, single_person=True)
        assert choose(alone, Act(event, Actor("olga", "approver"), plan_hash="h"))
    with pytest.raises(Refusal, match="that was shown"):
        choose(FULL, Act("approve_plan", Actor("anna", "approver"), plan_hash="other"))
    own = replace(FULL, state="promotion_approved", promotion_approvers=frozenset({"olga"}))
    with pytest.raises(Refusal, match="nobody but those who worked on it"):
        choose(own, Act("promote", Actor("system", "system")))


@pytest.mark.parametrize(("state", "event"), sorted({(r.source, r.event) for r in TABLE}))
def test_every_other_role_is_refused(state: str, event: str) -> None:
    allowed = {role for row in rows_for(state, event) for role in row.roles}
    for role in set(ROLES) - allowed:
        with pytest.raises(Refusal) as refusal:
            choose(Facts(state), Act(event, Actor("p", role), reason=True))
        assert refusal.value.kind == "role"


def test_every_unlisted_event_is_refused() -> None:
    listed = {(r.source, r.event) for r in TABLE}
    for state, event in set(itertools.product(STATES, EVENTS)) - listed:
        with pytest.raises(Refusal) as refusal:
            choose(Facts(state), Act(event, Actor("system", "system")))
        assert refusal.value.kind == "state"


@given(
    st.sampled_from(sorted({(r.source, r.event) for r in TABLE})),
    st.builds(
        Facts,
        state=st.just("x"),
        regime=st.sampled_from([None, "gdpr@1"]),
        verified=st.booleans(),
        plan_current=st.booleans(),
        audit=st.sampled_from([None, "passed", "failed", "inconclusive"]),
        approvers=st.frozensets(st.sampled_from(["anna", "olga"])),
        promotion_approvers=st.frozensets(st.sampled_from(["anna", "olga"])),
        swapped=st.booleans(),
        granted=st.integers(0, 2),
        retained=st.integers(0, 2),
        undecided=st.integers(0, 1),
        model_work=st.integers(0, 1),
        certificate_verified=st.booleans(),
        leased=st.booleans(),
        tasks_listed=st.booleans(),
    ),
    st.booleans(),
)
def test_what_happens_meets_all_guards_of_its_row(place: tuple[str, str], facts: Facts, reason: bool) -> None:
    from dataclasses import replace

    state, event = place
    facts = replace(facts, state=state, operators=frozenset({"olga"}))
    for role in {role for row in rows_for(*place) for role in row.roles}:
        act = Act(event, Actor("anna", role), reason=reason)
        try:
            row = choose(facts, act)
        except Refusal:
            continue
        assert (row.source, row.event) == place
        assert role in row.roles
        assert all(GUARDS[name](facts, act) == "" for name in (*row.guards, *filter(None, [row.when])))
        if row.target == "promoted":
            assert facts.verified
            assert facts.audit == "passed"
            assert facts.approvers - facts.operators
            assert facts.promotion_approvers - facts.operators
