"""A web desk with a request at every stage that a page shows, made without a process and without training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyotp

from expunge.desk.facts import request_row
from expunge.desk.letters import queue_letter
from expunge.desk.matching import matches, search
from expunge.desk.people import set_person
from expunge.desk.plan_steps import list_purge, purge_request_assets
from expunge.desk.roles import SYSTEM
from expunge.desk.workshop import Workshop
from expunge.web.accounts import set_account
from expunge.web.settings import WebSettings
from helpers.desk import ADMIN, ANNA, CLERK, PEOPLE, DeskCase, new_request, to_planned, to_review, to_waiting, verify
from helpers.desk_evidence import promote_signed, signed_desk
from helpers.desk_stand_in import stand_in_child
from helpers.web import PASSWORD, SECRETS

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}
JURGEN = {"name": "Jürgen Müller", "record_number": "PAT-100"}
CANARIES = ("Anna", "Weiß", "Björn", "Schäfer", "Jürgen", "Müller", "PAT-10", "Illness", "Pill ", "CANARY")
FAST = WebSettings(requests_per_minute=100_000, sign_ins_per_minute=10_000)
REASON = "CANARY: the person called twice"


@dataclass
class PagesCase:
    """A desk with its requests by stage.

    Attributes:
        case: The desk, with accounts and signing keys.
        ids: Stage -> id of a request.
        plans: Stage -> hash of its plan.
    """

    case: DeskCase
    ids: dict[str, str] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)

    def reference(self, stage: str) -> str:
        with self.case.desk.reading(SYSTEM) as s:
            return str(request_row(s, self.ids[stage])["reference"])

    def match(self, stage: str) -> str:
        with self.case.desk.reading(CLERK) as s:
            return str(matches(s, self.ids[stage])[0]["id"])

    def paths(self) -> list[str]:
        """Every page that shows something, once for each stage."""
        requests = [f"/requests/{self.reference(stage)}" for stage in self.ids]
        plans = [f"/plans/{digest}" for digest in self.plans.values()]
        runs = [f"/runs/{digest}" for digest in self.plans.values()]
        done = [f"/audits/{self.plans['released']}", f"/certificates/{self.reference('released')}"]
        lists = ["/", "/?view=all", "/plans", "/models", "/assets", "/letters", "/log"]
        return [*lists, *requests, *plans, *runs, *(f"{run}/progress" for run in runs), *done]


def pages_case(folder: Path, *, with_release: bool = True, **settings: object) -> PagesCase:
    """The desk of the tests of pages; without a release its first model is in use."""
    case = signed_desk(folder, **settings)
    with case.desk.session(ADMIN) as s:
        set_person(s, "vera", ["viewer"])
        set_person(s, "dora", ["clerk", "reviewer", "operator"])
        for name in (*PEOPLE, "vera", "dora"):
            SECRETS.setdefault(name, pyotp.random_base32())
            set_account(s, name, PASSWORD, SECRETS[name])
    made = PagesCase(case)
    made.ids["pending"] = new_request(case, JURGEN)
    made.ids["scoping"] = new_request(case, ANNA)
    verify(case, made.ids["scoping"])
    case.event(CLERK, made.ids["scoping"], "begin_scoping")
    search(case.desk, CLERK, made.ids["scoping"])
    made.ids["review"] = to_review(case, JURGEN)
    made.ids["held"] = new_request(case, JURGEN)
    case.event(CLERK, made.ids["held"], "hold", reason=REASON)
    if with_release:
        released(made)
    made.ids["planned"] = to_waiting(case, BJORN)
    made.plans["planned"] = to_planned(case, made.ids["planned"])
    return made


def released(made: PagesCase) -> None:
    """A request whose model is in use, signed and purged, and whose letter is due."""
    case, shop = made.case, Workshop(made.case.desk, "w1", run=stand_in_child)
    request_id = made.ids["released"] = to_waiting(case, ANNA, **{"notes": KEEP})
    digest = made.plans["released"] = to_planned(case, request_id)
    promote_signed(shop, case, request_id, digest)
    list_purge(shop, digest)
    purge_request_assets(shop, request_id)
    with case.desk.session(SYSTEM) as s:
        queue_letter(s, request_id)


KEEP = ("retain", "legal obligation (Art. 17(3)(b))")
