"""What the people of the demo do, and what a worker does for them, each as one call."""

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
from expunge.desk.demo_requests import GROUND, REQUESTS, DemoRequest
from expunge.desk.demo_world import APPROVER, AUDITOR, CLERK, OPERATOR, POLICY, REVIEWER, Say
from expunge.desk.desk import Desk, utc_now
from expunge.desk.facts import open_assets, request_row
from expunge.desk.identity import record_identity
from expunge.desk.letters import accept_letter, pending_letters
from expunge.desk.matching import matches, search, settle
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, draft_plan, plan_again, store_plan
from expunge.desk.requests import act
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.settings import RunSettings
from expunge.desk.transitions import fire_all
from expunge.desk.views import progress
from expunge.desk.workshop import Workshop
from expunge.errors import RunFailed
from expunge.evidence.signing_key import SigningKey

SIZES = ("batch.forget=6", "batch.retain=32")
RUN = RunSettings(policy=POLICY, recipe="twin", overrides=("steps=40", *SIZES))
LONGER = ("steps=80", *SIZES)  # of a plan after an audit that did not pass
MODELS = ("weights", "old_weights")
STOP_AT = 8  # step at which the run of the request `executing` is interrupted


@dataclass
class DemoSteps:
    """A desk under way, with a clock that is moved and a request for each state.

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

    def until(self, days: float) -> None:
        """Move the clock to so many days before the end, never back."""
        self.now = max(self.now + timedelta(minutes=7), self.end - timedelta(days=days))

    def event(self, actor: Actor, state: str, event: str, **options: Any) -> None:
        with self.desk.session(actor) as s:
            act(s, self.ids[state], event, **options)

    def review(self, state: str, settled: bool = True) -> None:
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

    def decide(self, state: str, reason: str = "") -> None:
        self.assets(state, REVIEWER)
        with self.desk.session(REVIEWER) as s:
            decide(s, self.ids[state], reason)

    def assets(self, state: str, actor: Actor) -> None:
        with self.desk.session(actor) as s:
            for asset in open_assets(s):
                value, more = _decision(asset, self.rows[state])
                decide_asset(s, self.ids[state], asset["name"], value, **more)

    def collect(self) -> None:
        with self.desk.session(SYSTEM) as s:
            collect(s)

    def plan(self, state: str, wish: PlanWish | None = None) -> str:
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

    def approved(self, state: str, wish: PlanWish | None = None) -> str:
        plan = self.plan(state, wish)
        self.tick()
        with self.desk.session(APPROVER) as s:
            approve_plan(s, plan)
        return plan

    def tick(self) -> None:
        self.now += timedelta(minutes=20)

    def run(self, plan: str) -> bool:
        """Train, audit, and certify if the audit passed; whether it did."""
        self.tick()
        run_steps.unlearn(self.shop, plan, 1)
        self.tick()
        if run_steps.audit(self.shop, plan, 1).get("status") != "passed":
            return False
        run_steps.certify(self.shop, plan, 1)
        return True

    def passed(self, state: str) -> str:
        """A plan whose audit passed: the first, or one with another seed, as an operator would plan again."""
        plan = self.approved(state)
        for seed in (1, 2):
            if self.run(plan):
                return plan
            with self.desk.reading(SYSTEM) as s:
                batch = str(request_row(s, self.ids[state])["batch_id"])
            plan = plan_again(self.desk, OPERATOR, batch, PlanWish(overrides=LONGER, seed=RUN.seed + seed))
            with self.desk.session(APPROVER) as s:
                approve_plan(s, plan)
        if self.run(plan):
            return plan
        raise RunFailed(
            "the demo", f"no audit of the request {state} passed", "make it again: expunge desk demo --fresh"
        )

    def interrupt(self, plan: str) -> None:
        """A run that ends in its middle with a checkpoint, as if its worker was stopped."""

        def run(
            words: Sequence[str], folder: Path, name: str, *, started: Callable[[int], None], **_: Any
        ) -> ChildResult:
            def stop() -> bool:
                return (progress(self.desk, plan).get("step") or 0) >= STOP_AT

            return run_child(words, folder, name, started=started, stop=stop, every=0.2)

        run_steps.unlearn(Workshop(self.desk, "demo-1", device="cpu", run=run), plan, 1)

    def sign(self, *states: str) -> None:
        """The auditor signs the certificates of requests."""
        self.tick()
        for state in states:
            sign_certificate(self.desk, AUDITOR, self.ids[state], self.auditor)

    def post(self, state: str) -> None:
        """A clerk posts the letter of a request."""
        with self.desk.session(CLERK) as s:
            for letter in pending_letters(s):
                if letter["request_id"] == self.ids[state]:
                    accept_letter(s, letter["id"])


def _decision(asset: RowMapping, one: DemoRequest) -> tuple[str, dict[str, str]]:
    """What is decided on an asset: the records stay on a ground unless granted, the model forgets, copies expire."""
    if one.lineage == "" or asset["lineage"] not in (None, one.lineage):
        return "not_present", {"searched": "by name and patient number in the notes"}
    if (
        one.keeps_all
        or (asset["kind"] == "corpus" and not one.grant_notes)
        or (asset["kind"] in MODELS and one.model_stays)
    ):
        return "retain", {"ground": GROUND}
    return ("unlearn" if asset["kind"] == "weights" else "erase"), {}
