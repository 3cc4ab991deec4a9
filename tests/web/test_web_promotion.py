"""Random people with random roles call the API: whatever is promoted has an identity, two people and a passed audit."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.batches import collect
from expunge.desk.certificates import register_all
from expunge.desk.event_log import log_problems
from expunge.desk.facts import facts_of, latest_plan, latest_run, request_row
from expunge.desk.leases import acquire
from expunge.desk.people import set_person
from expunge.desk.plans import draft_plan, store_plan
from expunge.desk.requests import PLAIN_EVENTS
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.runs import promote, register_output, register_verdict, start_run, work_name
from expunge.desk.transitions import fire_all
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from helpers.desk import ADMIN, ANNA, DECISIONS, sign_unchecked, unsigned_results, write_model
from helpers.web import ApiClient, web_desk

ROLES = {
    "carla": ["approver", "clerk"],
    "olga": ["approver", "operator"],
    "rita": ["approver", "reviewer"],
    "anna": ["approver"],
    "aude": ["approver", "auditor"],
    "viktor": ["viewer"],
}
ANYBODY = st.sampled_from([(person, role) for person, roles in ROLES.items() for role in roles])
RIGHT = {"clerk": ("carla", "clerk"), "reviewer": ("rita", "reviewer"), "approver": ("anna", "approver")}
LIKELY = st.sampled_from([True, True, True, False])


class WebMachine(RuleBasedStateMachine):
    """One request at a desk, all of whose people act over HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.case = web_desk(self.root / "desk")
        with self.case.desk.session(ADMIN) as s:
            for name, roles in ROLES.items():
                set_person(s, name, roles)
        self.api = ApiClient(self.case)

    def teardown(self) -> None:
        self.case.desk.close()
        shutil.rmtree(self.root)

    @initialize()
    def first(self) -> None:
        answer = self.call(("carla", "clerk"), "/requests", {"identifiers": ANNA})
        self.id, self.path = answer.json()["id"], f"/requests/{answer.json()['reference']}"

    def call(self, who: tuple[str, str], path: str, body: Any) -> Any:
        answer = self.api.call("POST", path, *who, json=body)
        assert answer.status_code in (200, 201, 400, 403, 404, 409), answer.text
        return answer

    def plan(self) -> Any:
        with self.case.desk.reading(SYSTEM) as s:
            return latest_plan(s, request_row(s, self.id)["batch_id"])

    @rule(who=ANYBODY, event=st.sampled_from(PLAIN_EVENTS), reason=st.sampled_from(["", "why"]))
    def event(self, who: tuple[str, str], event: str, reason: str) -> None:
        if event not in ("cancel", "give_up", "revoke") or reason == "":  # those end the request, and that is dull
            self.call(who, f"{self.path}/events", {"event": event, "reason": reason})

    @rule(who=ANYBODY, success=LIKELY)
    def identity(self, who: tuple[str, str], success: bool) -> None:
        self.call(who, f"{self.path}/identity", {"success": success, "method": "letter"})

    @rule(who=ANYBODY, confirm=LIKELY)
    def matches(self, who: tuple[str, str], confirm: bool) -> None:
        self.call(who, f"{self.path}/search", {})
        ids = [m["id"] for m in self.api.get(f"{self.path}/matches", who[0], role=who[1]).json()["items"]]
        self.call(who, f"{self.path}/matches", {"matches": ids or ["x" * 36], "confirm": confirm})

    @rule(who=ANYBODY)
    def decisions(self, who: tuple[str, str]) -> None:
        for asset, (value, _) in DECISIONS.items():
            self.call(who, f"{self.path}/decisions", {"asset": asset, "value": value})
        self.call(who, f"{self.path}/decision", {})

    @rule(
        who=ANYBODY,
        act=st.sampled_from(["approval", "approval", "promotion", "promotion", "rejection", "retry"]),
        true=LIKELY,
    )
    def gate(self, who: tuple[str, str], act: str, true: bool) -> None:
        if plan := self.plan():
            body = {"approval": {"hash": plan["hash"] if true else "0" * 64}, "rejection": {"reason": "no"}}.get(
                act, {}
            )
            self.call(who, f"/plans/{plan['hash']}/{act}", body)

    @rule(late=LIKELY)
    def dispatch(self, late: bool) -> None:
        for _ in range(2):
            with self.case.desk.session(SYSTEM) as s:
                batches = collect(s)
            if late:
                self.case.clock.move(hours=73)
        for batch in batches:
            with suppress(InputError):
                draft = draft_plan(self.case.desk, SYSTEM, batch)
                with self.case.desk.session(SYSTEM) as s:
                    fire_all(s, batch, "plan", plan=store_plan(s, draft))

    @rule(passes=LIKELY, guard=st.sampled_from(["none", "passed", "failed"]))
    def work(self, passes: bool, guard: str) -> None:
        if (plan := self.plan()) is None:
            return
        with suppress(InputError):
            with self.case.desk.session(SYSTEM) as s:
                start_run(s, plan["hash"], 1)
                fence = acquire(s, work_name(plan["hash"]), "w")
            folder = write_model(self.case.desk.runs / plan["hash"][:16], float(plan["number"]))
            with self.case.desk.session(SYSTEM) as s:
                register_output(s, plan["hash"], 1, fence, model_digest(str(folder)), "m" * 64)
            with self.case.desk.session(SYSTEM) as s:
                register_verdict(s, plan["hash"], 1, fence, "passed" if passes else "failed", "a" * 64, guard)
                if passes:
                    register_all(s, plan["hash"], 1, unsigned_results([self.id]))

    @rule(who=st.sampled_from(sorted(ROLES)))
    def sign(self, who: str) -> None:
        with suppress(Refusal):
            sign_unchecked(self.case, who, self.id)

    @rule()
    def release(self) -> None:
        if plan := self.plan():
            with suppress(InputError), self.case.desk.session(SYSTEM) as s:
                folder = f"runs/{plan['hash'][:16]}"
                promote(s, plan["hash"], folder, model_digest(str(self.case.folder / folder)))

    @rule(steps=st.integers(1, 10))
    def advance(self, steps: int) -> None:
        """The natural next steps, by the right people, so that late states are reached too."""
        for _ in range(steps):
            state = self.case.state(self.id)
            if state in ("received", "identity_pending"):
                self.identity(RIGHT["clerk"], True)
                self.call(RIGHT["clerk"], f"{self.path}/events", {"event": "begin_scoping"})
            elif state == "scoping":
                self.matches(RIGHT["clerk"], True)
                self.call(RIGHT["clerk"], f"{self.path}/events", {"event": "freeze_scope"})
            elif state == "legal_review":
                self.decisions(RIGHT["reviewer"])
            elif state in ("approved", "partially_approved", "waiting"):
                self.dispatch(True)
            elif state in ("planned", "audit_passed"):
                if state == "audit_passed":
                    self.sign("aude")
                self.gate(RIGHT["approver"], "approval" if state == "planned" else "promotion", True)
            elif state in ("plan_approved", "executing", "auditing"):
                self.work(True, "none")
            else:
                self.release()

    @invariant()
    def promoted_means_checked(self) -> None:
        if not hasattr(self, "id"):
            return
        with self.case.desk.reading(SYSTEM) as s:
            row, facts = request_row(s, self.id), facts_of(s, self.id)
            plan = latest_plan(s, row["batch_id"])
            run = latest_run(s, plan["hash"]) if plan else None
            assert log_problems(s.conn) == []
            if row["promoted_at"] is None:
                return
            assert row["identity_verified_at"]
            assert plan is not None
            assert run is not None
            assert (run["audit_status"], run["guard_status"]) in (("passed", "none"), ("passed", "passed"))
            assert run["certificate_verified_at"]
            identified = set(s.conn.execute(select(t.identity_attempt.c.person)).scalars())
            decided = set(s.conn.execute(select(t.decision.c.person)).scalars())
            assert facts.auditors
            for approver in (plan["approver"], plan["promotion_approver"]):
                assert approver is not None
                assert approver not in {plan["author"], *identified, *decided, *facts.auditors}, "a second pair of eyes"
            assert facts.swapped


QUICK = settings(
    max_examples=3, stateful_step_count=12, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
def test_random_people_at_the_api() -> None:
    run_state_machine_as_test(WebMachine, settings=QUICK)


@pytest.mark.matrix
def test_random_people_at_the_api_for_long() -> None:
    run_state_machine_as_test(
        WebMachine, settings=settings(QUICK, max_examples=100, stateful_step_count=40, derandomize=False)
    )


GAPS = [
    "identity",
    "plan by its worker",
    "audit",
    "guard",
    "signature",
    "signature by an approver",
    "promotion by its worker",
    "promotion by its auditor",
    "none",
]


@pytest.mark.parametrize("gap", GAPS)
def test_with_one_gate_left_open_nothing_is_promoted(gap: str) -> None:
    machine = WebMachine()
    try:
        machine.first()
        if gap == "identity":
            machine.identity(RIGHT["clerk"], False)
            machine.event(RIGHT["clerk"], "begin_scoping", "")
            assert machine.case.state(machine.id) == "identity_pending"
        else:
            machine.advance(3)
        machine.decisions(RIGHT["reviewer"])
        machine.dispatch(True)
        workers = ("olga", "rita", "carla")  # who looks after the model, decided, identified
        for who in workers if gap == "plan by its worker" else ["anna"]:
            machine.gate((who, "approver"), "approval", True)
        machine.work(gap != "audit", "failed" if gap == "guard" else "none")
        signers = {"signature": [], "signature by an approver": ["anna"], "promotion by its auditor": ["aude"]}
        for who in signers.get(gap, ["aude"]):
            machine.sign(who)
        approvers = {"promotion by its worker": [*workers], "promotion by its auditor": ["aude"]}
        for who in approvers.get(gap, ["anna"]):
            machine.gate((who, "approver"), "promotion", True)
        machine.release()
        assert (machine.case.state(machine.id) == "promoted") == (gap == "none")
        machine.promoted_means_checked()
    finally:
        machine.teardown()
