"""A desk with one request in each state, made through the functions that people and workers use.

Every model, run, verdict and certificate in it is real: the steps of a worker train, audit, certify and promote. Four
things are not as in daily life. The clock of the desk is moved through the last weeks while it is made. People of the
demo act without a wait. Several plans are under way on one model at once, which a worker would not start. And no
worker is alive, so nothing moves until one is started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from expunge.desk import plan_steps, run_steps
from expunge.desk.batches import collect
from expunge.desk.certificates import sign_certificate
from expunge.desk.child import ChildResult, run_child
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.demo_requests import CONTROLLED, GROUND, REQUESTS, DemoRequest, assign
from expunge.desk.demo_world import APPROVER, AUDITOR, CLERK, OPERATOR, POLICY, REVIEWER, Say, make_assets
from expunge.desk.desk import Desk, utc_now
from expunge.desk.dispatch import notify_accepted
from expunge.desk.evidence_log import anchor_daily
from expunge.desk.facts import open_assets, request_row
from expunge.desk.identity import record_identity
from expunge.desk.letters import accept_letter, notify_ended, pending_letters
from expunge.desk.matching import matches, search, settle
from expunge.desk.plans import PlanWish, approve_plan, approve_promotion, draft_plan, plan_again, store_plan
from expunge.desk.receipts import issue_receipts
from expunge.desk.requests import act, expire_overdue, extend, submit
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.runs import cancel_run, start_run
from expunge.desk.settings import RunSettings
from expunge.desk.transitions import fire_all
from expunge.desk.views import progress
from expunge.desk.workshop import Workshop
from expunge.errors import RunFailed
from expunge.evidence.signing_key import SigningKey

SIZES = ("batch.forget=6", "batch.retain=32")
RUN = RunSettings(policy=POLICY, recipe="twin", overrides=("steps=40", *SIZES))
LONGER = ("steps=80", *SIZES)  # of a plan after an audit that did not pass
WEAK = PlanWish(recipe="npo", overrides=("steps=2", *SIZES))  # for the request whose audit fails
MODELS = ("weights", "old_weights")
STOP_AT = 8  # step at which the run of the request `executing` is interrupted
FIRST, SECOND = ("closed", "notified", "purging"), ("promoted", "promotion_approved")
RUNS = ("audit_passed", "audit_failed", "auditing", "executing", "error", "plan_approved", "planned")
REVIEWED = (*SECOND, *RUNS, "waiting", "approved", "partially_approved", "legal_review", "cancelled", "revoked")


@dataclass
class DemoBuilder:
    """Makes the requests of the demo, one stage after the other.

    Attributes:
        desk: A new desk, whose clock the builder moves.
        say: Told what is done.
        auditor: The auditor's private key, which signs what is promoted.
        end: The moment in which the demo ends.
        ids: State -> id of its request.
    """

    desk: Desk
    say: Say
    auditor: SigningKey
    end: datetime = field(default_factory=utc_now)
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.end - timedelta(days=48)
        self.desk.clock = lambda: self.now
        self.shop = Workshop(self.desk, "demo-1", device="cpu")
        self.rows = {one.state: one for one in REQUESTS}

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
        self._until(0)
        issue_receipts(self.desk)
        anchor_daily(self.desk)
        self.desk.clock = utc_now
        return self.ids

    # ---- stages ----------------------------------------------------------------------------------------------------

    def _first(self) -> None:
        """A run that is released and closed; a denial that was posted; and a request that needs no work on a model."""
        self._intake(FIRST)
        self._until(44)
        for state in FIRST:
            self._review(state)
        self._decide("notified")
        for state in ("closed", "purging"):
            self._decide(state)
        with self.desk.session(REVIEWER) as s:
            extend(s, self.ids["purging"], "The study partner must confirm first.")
        self._collect()
        self._until(40)
        self._collect()
        self.say("a patient of the ward is forgotten; the run is audited, signed and released (closed)")
        plan = self._passed("closed")
        self._until(38)
        self._sign("closed")
        with self.desk.session(APPROVER) as s:
            approve_promotion(s, plan)
        plan_steps.promote_plan(self.shop, plan)
        issue_receipts(self.desk)
        for state, digest in (("closed", plan), ("purging", self._approved("purging"))):
            plan_steps.list_purge(self.shop, digest)
            plan_steps.purge_request_assets(self.shop, self.ids[state])
            plan_steps.notify(self.shop, self.ids[state])
        self._until(37)
        self._post("closed")
        plan_steps.notify(self.shop, self.ids["closed"])

    def _intake(self, states: Sequence[str]) -> None:
        for one in sorted((self.rows[state] for state in states), key=lambda one: -one.received):
            self._until(one.received - 0.25)
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
        self._until(8.9)
        with self.desk.session(CLERK) as s:
            record_identity(
                s, self.ids["identity_pending"], success=False, method="letter", reason="The copy is not legible."
            )
        for state in (*REVIEWED, "denied", "nothing_held"):
            self._review(state)
        for state in ("scoping", "on_hold", "duplicate"):
            self._review(state, settled=False)
        self._decide("denied", "The chart is needed for a claim that is before a court.")
        self._decide("nothing_held")
        reasons = {
            "revoked": (Actor(CLERK.person, "subject"), "revoke", "The person withdrew the request by phone."),
            "cancelled": (REVIEWER, "cancel", "The person asked another controller."),
            "on_hold": (CLERK, "hold", "A court asked for the chart; its answer is awaited."),
        }
        for state, (actor, event, reason) in reasons.items():
            self._event(actor, state, event, reason=reason)
        self._event(CLERK, "duplicate", "mark_duplicate", other=self.ids["waiting"])
        with self.desk.session(SYSTEM) as s:
            expire_overdue(s)
        notify_ended(self.desk, None)

    def _queue(self) -> None:
        """Decisions some hours apart, so that each request gets a batch of its own."""
        for k, state in enumerate((*SECOND, *RUNS)):
            self._until(8.5 - 0.1 * k)
            self._decide(state)
            self._collect()
        self._until(7)
        self._post("notified")
        with self.desk.session(SYSTEM) as s:
            notify_accepted(s)
        for k in range(len((*SECOND, *RUNS))):
            self._until(5.45 - 0.1 * k)
            self._collect()
        self._event(CLERK, "closed", "close")

    def _second(self) -> None:
        """Two more runs on the model of the ward: one is in use, one may come into use."""
        for state in SECOND:
            self.say(f"another patient of the ward is forgotten; the runs before are asked again ({state})")
            plan = self._passed(state)
            self._sign(state)
            with self.desk.session(APPROVER) as s:
                approve_promotion(s, plan)
            if state == "promoted":
                plan_steps.promote_plan(self.shop, plan)

    def _runs(self) -> None:
        """Plans and runs on the model of the clinic, each left where its state is."""
        self.say("a patient of the clinic is forgotten (audit_passed)")
        self._passed("audit_passed")
        self.say("another is forgotten with two steps of training, which are too few (audit_failed)")
        self._run(self._approved("audit_failed", WEAK))
        self.say("another is forgotten, and not yet audited (auditing)")
        run_steps.unlearn(self.shop, self._approved("auditing"), 1)
        self.say("another run is interrupted after some steps (executing)")
        self._interrupt(self._approved("executing"))
        plan = self._approved("error")
        with self.desk.session(SYSTEM) as s:
            start_run(s, plan, 1)
        with self.desk.session(OPERATOR) as s:
            cancel_run(s, plan, "The machine is needed for a night's backup.")
        run_steps.unlearn(self.shop, plan, 1)
        self._approved("plan_approved")
        self._plan("planned")

    def _recent(self) -> None:
        """What was decided today or yesterday."""
        self._until(1)
        self._decide("waiting")
        self._collect()
        self._until(0.2)
        for state in ("approved", "partially_approved"):
            self._decide(state)
        self._assets("legal_review", CLERK)

    # ---- what people and the system do -----------------------------------------------------------------------------

    def _until(self, days: float) -> None:
        """Move the clock to so many days before the end, never back."""
        self.now = max(self.now + timedelta(minutes=7), self.end - timedelta(days=days))

    def _event(self, actor: Actor, state: str, event: str, **options: Any) -> None:
        with self.desk.session(actor) as s:
            act(s, self.ids[state], event, **options)

    def _review(self, state: str, settled: bool = True) -> None:
        """Identity, search, and the confirmation of each match."""
        request_id = self.ids[state]
        with self.desk.session(CLERK) as s:
            record_identity(s, request_id, success=True, method="identity document")
            act(s, request_id, "begin_scoping")
        search(self.desk, CLERK, request_id)
        if not settled:
            return
        with self.desk.session(CLERK) as s:
            for match in matches(s, request_id):
                settle(s, [match["id"]], confirm=match["state"] != "ambiguous")
            act(s, request_id, "freeze_scope")

    def _decide(self, state: str, reason: str = "") -> None:
        self._assets(state, REVIEWER)
        with self.desk.session(REVIEWER) as s:
            decide(s, self.ids[state], reason)

    def _assets(self, state: str, actor: Actor) -> None:
        with self.desk.session(actor) as s:
            for asset in open_assets(s):
                value, more = _decision(asset, self.rows[state])
                decide_asset(s, self.ids[state], asset["name"], value, **more)

    def _collect(self) -> None:
        with self.desk.session(SYSTEM) as s:
            collect(s)

    def _plan(self, state: str, wish: PlanWish | None = None) -> str:
        with self.desk.reading(SYSTEM) as s:
            batch = str(request_row(s, self.ids[state])["batch_id"])
        if wish is None:
            return str(plan_steps.plan_batch(self.shop, batch)["plan"])
        draft = draft_plan(self.desk, OPERATOR, batch, wish)
        with self.desk.session(OPERATOR) as s:
            digest = store_plan(s, draft)
        with self.desk.session(SYSTEM) as s:
            fire_all(s, batch, "plan", plan=digest)
        return digest

    def _approved(self, state: str, wish: PlanWish | None = None) -> str:
        plan = self._plan(state, wish)
        self._tick()
        with self.desk.session(APPROVER) as s:
            approve_plan(s, plan)
        return plan

    def _tick(self) -> None:
        self.now += timedelta(minutes=20)

    def _run(self, plan: str) -> bool:
        """Train, audit, and certify if the audit passed; whether it did."""
        self._tick()
        run_steps.unlearn(self.shop, plan, 1)
        self._tick()
        if run_steps.audit(self.shop, plan, 1).get("status") != "passed":
            return False
        run_steps.certify(self.shop, plan, 1)
        return True

    def _passed(self, state: str) -> str:
        """A plan whose audit passed: the first, or one with another seed, as an operator would plan again."""
        plan = self._approved(state)
        for seed in (1, 2):
            if self._run(plan):
                return plan
            with self.desk.reading(SYSTEM) as s:
                batch = str(request_row(s, self.ids[state])["batch_id"])
            plan = plan_again(self.desk, OPERATOR, batch, PlanWish(overrides=LONGER, seed=RUN.seed + seed))
            with self.desk.session(APPROVER) as s:
                approve_plan(s, plan)
        if self._run(plan):
            return plan
        raise RunFailed("the demo", f"no audit of the request {state} passed", "make it again with another --seed")

    def _interrupt(self, plan: str) -> None:
        """A run that ends in its middle with a checkpoint, as if its worker was stopped."""

        def run(words: Sequence[str], folder: Path, name: str, *, started: Callable[[int], None], **_: Any) -> ChildResult:
            def stop() -> bool:
                return (progress(self.desk, plan).get("step") or 0) >= STOP_AT

            return run_child(words, folder, name, started=started, stop=stop, every=0.2)

        run_steps.unlearn(Workshop(self.desk, "demo-1", device="cpu", run=run), plan, 1)

    def _sign(self, *states: str) -> None:
        """The auditor signs the certificates of requests."""
        self._tick()
        for state in states:
            sign_certificate(self.desk, AUDITOR, self.ids[state], self.auditor)

    def _post(self, state: str) -> None:
        """A clerk posts the letter of a request."""
        with self.desk.session(CLERK) as s:
            for letter in pending_letters(s):
                if letter["request_id"] == self.ids[state]:
                    accept_letter(s, letter["id"], f"by hand: {CLERK.person}")


def _decision(asset: RowMapping, one: DemoRequest) -> tuple[str, dict[str, str]]:
    """What is decided on an asset: the records stay on a ground unless granted, the model forgets, copies expire."""
    if one.lineage == "" or asset["lineage"] not in (None, one.lineage):
        return "not_present", {"searched": "by name and patient number in the notes"}
    if one.keeps_all or (asset["kind"] == "corpus" and not one.grant_notes) or (asset["kind"] in MODELS and one.model_stays):
        return "retain", {"ground": GROUND}
    return ("unlearn" if asset["kind"] == "weights" else "erase"), {}
