"""Random people do random things at a real desk: no way leads around identity, two people and a passed audit."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.batches import collect
from expunge.desk.certificates import register_all
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.event_log import log_problems
from expunge.desk.facts import facts_of, latest_plan, latest_run, request_row
from expunge.desk.identity import record_identity
from expunge.desk.leases import acquire
from expunge.desk.letters import queue_letter, send_letter
from expunge.desk.lifecycle import EVENTS, STATES
from expunge.desk.matching import matches, search, settle
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import (
    approve_plan,
    approve_promotion,
    content_of,
    draft_plan,
    plan_again,
    reject_plan,
    store_plan,
)
from expunge.desk.purging import run_tasks
from expunge.desk.replay_check import replay_problems
from expunge.desk.requests import act, expire_overdue, submit
from expunge.desk.roles import ROLES, SYSTEM, Actor, Refusal
from expunge.desk.runs import begin_purge, promote, register_output, register_verdict, start_run, work_name
from expunge.desk.transitions import fire, fire_all
from expunge.errors import InputError
from helpers.desk import (
    ANNA,
    CLERK,
    DECISIONS,
    OPERATOR,
    REVIEWER,
    make_desk,
    sign_unchecked,
    unsigned_results,
    write_corpus,
    write_model,
)

PERSONS = st.sampled_from(["olga", "anna", "carla"])
ROLE = st.sampled_from(ROLES)
LIKELY = st.sampled_from([True, True, True, False])


class DeskMachine(RuleBasedStateMachine):
    """One or two requests at a desk with a model and a corpus."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.case = make_desk(self.root / "desk", batch_size=2)
        self.requests: list[str] = []
        self.seen_closed: dict[str, int] = {}

    def teardown(self) -> None:
        self.case.desk.close()
        shutil.rmtree(self.root)

    @initialize()
    def first(self) -> None:
        self.new({})

    def new(self, options: dict[str, Any]) -> None:
        with self.case.desk.session(CLERK) as s:
            self.requests.append(submit(s, ANNA, **options))

    def pick(self, second: bool) -> str:
        return self.requests[-1 if second else 0]

    def batch(self, request_id: str) -> str:
        with self.case.desk.reading(SYSTEM) as s:
            return str(request_row(s, request_id)["batch_id"])

    def plan(self, request_id: str) -> Any:
        with self.case.desk.reading(SYSTEM) as s:
            return latest_plan(s, self.batch(request_id))

    @rule()
    def another(self) -> None:
        if len(self.requests) < 2:
            self.new({})

    @rule(
        event=st.sampled_from(EVENTS),
        role=ROLE,
        person=PERSONS,
        second=st.booleans(),
        reason=st.sampled_from(["", "why"]),
    )
    def anything(self, event: str, role: str, person: str, second: bool, reason: str) -> None:
        """Any event by anybody, past the service functions."""
        with suppress(Refusal), self.case.desk.session(Actor(person, role)) as s:
            fire(s, self.pick(second), event, reason=reason, other=self.requests[0], plan_hash="0" * 64)

    @rule(hours=st.sampled_from([1, 73, 24 * 32]))
    def wait(self, hours: int) -> None:
        self.case.clock.move(hours=hours)

    @rule(second=st.booleans(), success=LIKELY)
    def identity(self, second: bool, success: bool) -> None:
        with suppress(Refusal), self.case.desk.session(CLERK) as s:
            record_identity(s, self.pick(second), success=success, method="letter")

    @rule(second=st.booleans(), confirm=LIKELY)
    def scope(self, second: bool, confirm: bool) -> None:
        request_id = self.pick(second)
        with suppress(Refusal):
            with suppress(Refusal):
                self.case.event(CLERK, request_id, "begin_scoping")
            search(self.case.desk, CLERK, request_id)
            with self.case.desk.session(CLERK) as s:
                settle(s, [m["id"] for m in matches(s, request_id)], confirm=confirm)
            self.case.event(CLERK, request_id, "freeze_scope")

    @rule(second=st.booleans(), retain=st.sampled_from([False, False, True]))
    def review(self, second: bool, retain: bool) -> None:
        with suppress(InputError), self.case.desk.session(REVIEWER) as s:
            for asset, (value, _) in DECISIONS.items():
                if retain and asset == "notes":
                    decide_asset(s, self.pick(second), asset, "retain", ground="legal claims (Art. 17(3)(e))")
                else:
                    decide_asset(s, self.pick(second), asset, value)
            decide(s, self.pick(second))

    @rule(late=LIKELY)
    def dispatch(self, late: bool) -> None:
        """What the worker's loop does: windows, batches, plans, expiry."""
        for _ in range(2):
            with self.case.desk.session(SYSTEM) as s:
                batches = collect(s)
                expire_overdue(s)
            if late:
                self.case.clock.move(hours=73)
        for batch in batches:
            with suppress(InputError):
                draft = draft_plan(self.case.desk, SYSTEM, batch)
                with self.case.desk.session(SYSTEM) as s:
                    digest = store_plan(s, draft)
                    fire_all(s, batch, "plan", plan=digest)

    @rule(person=PERSONS, second=st.booleans(), approve=LIKELY)
    def gate(self, person: str, second: bool, approve: bool) -> None:
        plan = self.plan(self.pick(second))
        if plan is None:
            return
        with suppress(Refusal), self.case.desk.session(Actor(person, "approver")) as s:
            if not approve:
                reject_plan(s, plan["hash"], "no")
            elif plan["approver"] is None:
                approve_plan(s, plan["hash"])
            else:
                approve_promotion(s, plan["hash"])

    @rule(second=st.booleans(), passes=LIKELY, guard=st.sampled_from(["none", "passed", "failed"]))
    def work(self, second: bool, passes: bool, guard: str) -> None:
        plan = self.plan(self.pick(second))
        if plan is None or plan["kind"] == "none":
            return
        with suppress(Refusal):
            with self.case.desk.session(SYSTEM) as s:
                start_run(s, plan["hash"], 1)
                fence = acquire(s, work_name(plan["hash"]), "w")
            folder = write_model(self.case.desk.runs / plan["hash"][:16], float(plan["number"]))
            from expunge.models.fingerprint import model_digest

            with self.case.desk.session(SYSTEM) as s:
                register_output(s, plan["hash"], 1, fence, model_digest(str(folder)), "m" * 64)
            with self.case.desk.session(SYSTEM) as s:
                status = "passed" if passes else "failed"
                register_verdict(s, plan["hash"], 1, fence, status, "a" * 64, guard)
                if passes:
                    register_all(s, plan["hash"], 1, unsigned_results(content_of(plan)["requests"]))

    @rule(person=PERSONS, second=st.booleans())
    def sign(self, person: str, second: bool) -> None:
        with suppress(Refusal):
            sign_unchecked(self.case, person, self.pick(second))

    @rule(second=st.booleans(), kind=st.sampled_from(["unlearn", "retrain"]))
    def again(self, second: bool, kind: str) -> None:
        with suppress(InputError):
            plan_again(self.case.desk, OPERATOR, self.batch(self.pick(second)), PlanWish(kind=kind))

    @rule(second=st.booleans())
    def release(self, second: bool) -> None:
        plan = self.plan(self.pick(second))
        if plan is None:
            return
        with suppress(InputError):
            folder = self.case.desk.runs / plan["hash"][:16]
            from expunge.models.fingerprint import model_digest

            with self.case.desk.session(SYSTEM) as s:
                promote(s, plan["hash"], f"runs/{plan['hash'][:16]}", model_digest(str(folder)))
        with suppress(InputError):
            with self.case.desk.session(SYSTEM) as s:
                requests = begin_purge(s, plan["hash"])
            for request_id in requests:
                run_tasks(self.case.desk, request_id)
            write_corpus(self.case.folder / "ward.jsonl")  # the next request finds its records again

    @rule(second=st.booleans(), steps=st.integers(1, 14))
    def advance(self, second: bool, steps: int) -> None:
        """The natural next steps, by the right people, so that late states are reached too."""
        for _ in range(steps):
            state = self.case.state(self.pick(second))
            if state in ("received", "identity_pending"):
                self.identity(second, True)
                self.scope(second, True)
            elif state == "scoping":
                self.scope(second, True)
            elif state == "legal_review":
                self.review(second, False)
            elif state in ("approved", "partially_approved", "waiting"):
                self.dispatch(True)
            elif state in ("planned", "audit_passed"):
                for request_id in self.requests if state == "audit_passed" else []:
                    with suppress(Refusal):
                        sign_unchecked(self.case, "aude", request_id)
                self.gate("anna", second, True)
            elif state in ("plan_approved", "executing", "auditing"):
                self.work(second, True, "none")
            elif state in ("promotion_approved", "promoted"):
                self.release(second)
            else:
                self.end(second)
                self.case.clock.move(hours=24 * 32)

    @rule(second=st.booleans())
    def end(self, second: bool) -> None:
        request_id = self.pick(second)
        if self.case.state(request_id) in (
            "purging",
            "denied",
            "nothing_held",
            "cancelled",
            "revoked",
            "duplicate",
            "expired",
        ):
            with suppress(Refusal):
                with self.case.desk.session(SYSTEM) as s:
                    letter = queue_letter(s, request_id)
                send_letter(self.case.desk, request_id, letter, lambda key, request: "posted")
        with suppress(Refusal), self.case.desk.session(CLERK) as s:
            act(s, request_id, "close")

    @invariant()
    def states_are_lawful(self) -> None:
        for request_id in self.requests:
            with self.case.desk.reading(SYSTEM) as s:
                row = request_row(s, request_id)
                facts = facts_of(s, request_id)
                events = [
                    e.type for e in s.conn.execute(select(t.event_log).where(t.event_log.c.request_id == request_id))
                ]
                plan = latest_plan(s, row["batch_id"])
                run = latest_run(s, plan["hash"]) if plan else None
            assert row["state"] in STATES
            if row["promoted_at"] is not None:
                assert row["identity_verified_at"]
                assert plan is not None
                assert run is not None
                assert run["audit_status"] == "passed"
                assert run["guard_status"] != "failed"
                assert run["certificate_verified_at"]
                assert plan["approver"] not in (None, plan["author"])
                assert plan["promotion_approver"] not in (None, plan["author"])
                assert facts.auditors
                assert not facts.auditors & {plan["author"], plan["approver"], plan["promotion_approver"]}
                assert facts.swapped
            if row["state"] == "closed":
                moves = [e for e in events if e.startswith("request.")]
                assert self.seen_closed.setdefault(request_id, len(moves)) == len(moves)

    @invariant()
    def log_is_whole(self) -> None:
        with self.case.desk.reading(SYSTEM) as s:
            assert log_problems(s.conn) == []
            assert replay_problems(s.conn) == []


QUICK = settings(
    max_examples=8, stateful_step_count=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
def test_random_people_at_a_desk() -> None:
    run_state_machine_as_test(DeskMachine, settings=QUICK)


@pytest.mark.matrix
def test_random_people_at_a_desk_for_long() -> None:
    many = settings(QUICK, max_examples=200, stateful_step_count=60, derandomize=False)
    run_state_machine_as_test(DeskMachine, settings=many)
