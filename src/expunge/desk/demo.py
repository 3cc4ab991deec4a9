"""A desk with one request in each state, made through the functions that people and workers use.

Every model, run, verdict and certificate in it is real: the steps of a worker train, audit, certify and promote. Four
things are not as in daily life. The clock of the desk is moved through the last weeks while it is made. People of the
demo act without a wait. Several plans are under way on one model at once, which a worker would not start. And no
worker is alive, so nothing moves until one is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from expunge.desk import plan_steps, run_steps
from expunge.desk.demo_requests import CONTROLLED, assign
from expunge.desk.demo_steps import SIZES, DemoSteps
from expunge.desk.demo_world import APPROVER, CLERK, OPERATOR, REVIEWER, make_assets
from expunge.desk.desk import utc_now
from expunge.desk.dispatch import notify_accepted
from expunge.desk.evidence_log import anchor_daily
from expunge.desk.identity import record_identity
from expunge.desk.letters import notify_ended
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_promotion
from expunge.desk.purging import NO_NOTICE, tasks
from expunge.desk.receipts import issue_receipts
from expunge.desk.recipients import note_notice
from expunge.desk.requests import expire_overdue, extend, submit
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.runs import cancel_run, start_run

WEAK = PlanWish(recipe="npo", overrides=("steps=2", *SIZES))  # for the request whose audit fails
FIRST, SECOND = ("closed", "notified", "purging"), ("promoted", "promotion_approved")
RUNS = ("audit_passed", "audit_failed", "auditing", "executing", "error", "plan_approved", "planned")
REVIEWED = (*SECOND, *RUNS, "waiting", "approved", "partially_approved", "legal_review", "cancelled", "revoked")


@dataclass
class DemoBuilder(DemoSteps):
    """Makes the requests of the demo, one stage after the other."""

    def build(self) -> dict[str, str]:
        """Everything; returns state -> id of its request."""
        self.people = assign(make_assets(self.desk, CONTROLLED, self.say))
        self._first()
        self._intake([state for state in self.rows if state not in FIRST])
        self._side()
        self._queue()
        self._second()
        self._runs()
        self._recent()
        self.until(0)
        issue_receipts(self.desk)
        anchor_daily(self.desk)
        self.desk.clock = utc_now
        return self.ids

    # ---- stages ----------------------------------------------------------------------------------------------------

    def _first(self) -> None:
        """A run that is released and closed; a denial that was posted; and a request that needs no work on a model."""
        self._intake(FIRST)
        self.until(44)
        for state in FIRST:
            self.review(state)
        self.decide("notified")
        for state in ("closed", "purging"):
            self.decide(state)
        with self.desk.session(REVIEWER) as s:
            extend(s, self.ids["purging"], "The study partner must confirm first.")
        self.collect()
        self.until(40)
        self.collect()
        self.say("a patient of the ward is forgotten; the run is audited, signed and released (closed)")
        plan = self.passed("closed")
        self.until(38)
        self.sign("closed")
        with self.desk.session(APPROVER) as s:
            approve_promotion(s, plan)
        plan_steps.promote_plan(self.shop, plan)
        issue_receipts(self.desk)
        for state, digest in (("closed", plan), ("purging", self.approved("purging"))):
            plan_steps.list_purge(self.shop, digest)
            plan_steps.purge_request_assets(self.shop, self.ids[state])
            self._tell_recipients(state)
            plan_steps.notify(self.shop, self.ids[state])
        self.until(37)
        self.post("closed")
        plan_steps.notify(self.shop, self.ids["closed"])

    def _tell_recipients(self, state: str) -> None:
        with self.desk.session(CLERK) as s:
            for task in tasks(s, self.ids[state]):
                if task["problem"] == NO_NOTICE:
                    note_notice(s, task["id"], s.today, "A letter to the data protection officer of the university.")

    def _intake(self, states: Sequence[str]) -> None:
        for one in sorted((self.rows[state] for state in states), key=lambda one: -one.received):
            self.until(one.received - 0.25)
            person = self.people[one.state]
            with self.desk.session(CLERK) as s:
                self.ids[one.state] = submit(
                    s,
                    {"name": person.name, "record_number": person.number},
                    regime=one.regime,
                    received_at=self.end - timedelta(days=one.received),
                    language=one.language,
                )

    def _side(self) -> None:
        """The identity and scope of those that go on, and the end of those that leave the way early."""
        self.until(8.9)
        with self.desk.session(CLERK) as s:
            record_identity(
                s, self.ids["identity_pending"], success=False, method="letter", reason="The copy is not legible."
            )
        for state in (*REVIEWED, "denied", "nothing_held"):
            self.review(state)
        for state in ("scoping", "on_hold", "duplicate"):
            self.review(state, settled=False)
        self.decide("denied", "The chart is needed for a claim that is before a court.")
        self.decide("nothing_held")
        reasons = {
            "revoked": (Actor(CLERK.person, "subject"), "revoke", "The person withdrew the request by phone."),
            "cancelled": (REVIEWER, "cancel", "The person asked another controller."),
            "on_hold": (CLERK, "hold", "A court asked for the chart; its answer is awaited."),
        }
        for state, (actor, event, reason) in reasons.items():
            self.event(actor, state, event, reason=reason)
        self.event(CLERK, "duplicate", "mark_duplicate", other=self.ids["waiting"])
        with self.desk.session(SYSTEM) as s:
            expire_overdue(s)
        notify_ended(self.desk, None)

    def _queue(self) -> None:
        """Decisions some hours apart, so that each request gets a batch of its own."""
        for k, state in enumerate((*SECOND, *RUNS)):
            self.until(8.5 - 0.1 * k)
            self.decide(state)
            self.collect()
        self.until(7)
        self.post("notified")
        with self.desk.session(SYSTEM) as s:
            notify_accepted(s)
        for k in range(len((*SECOND, *RUNS))):
            self.until(5.45 - 0.1 * k)
            self.collect()
        self.event(CLERK, "closed", "close")

    def _second(self) -> None:
        """Two more runs on the model of the ward: one is in use, one may come into use."""
        for state in SECOND:
            self.say(f"another patient of the ward is forgotten; the runs before are asked again ({state})")
            plan = self.passed(state)
            self.sign(state)
            with self.desk.session(APPROVER) as s:
                approve_promotion(s, plan)
            if state == "promoted":
                plan_steps.promote_plan(self.shop, plan)

    def _runs(self) -> None:
        """Plans and runs on the model of the clinic, each left where its state is."""
        self.say("a patient of the clinic is forgotten (audit_passed)")
        self.passed("audit_passed")
        self.say("another is forgotten with two steps of training, which are too few (audit_failed)")
        self.run(self.approved("audit_failed", WEAK))
        self.say("another is forgotten, and not yet audited (auditing)")
        run_steps.unlearn(self.shop, self.approved("auditing"), 1)
        self.say("another run is interrupted after some steps (executing)")
        self.interrupt(self.approved("executing"))
        plan = self.approved("error")
        with self.desk.session(SYSTEM) as s:
            start_run(s, plan, 1)
        with self.desk.session(OPERATOR) as s:
            cancel_run(s, plan, "The machine is needed for a night's backup.")
        run_steps.unlearn(self.shop, plan, 1)
        self.approved("plan_approved")
        self.plan("planned")

    def _recent(self) -> None:
        """What was decided today or yesterday."""
        self.until(1)
        self.decide("waiting")
        self.collect()
        self.until(0.2)
        for state in ("approved", "partially_approved"):
            self.decide(state)
        self.assets("legal_review", CLERK)
