"""A desk on which everything has happened once: every table has rows, and requests in every phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.desk.assets import add_asset, retire_asset
from expunge.desk.facts import request_row
from expunge.desk.letters import accept_letter
from expunge.desk.matching import matches, reveal
from expunge.desk.oidc_binding import bind_subject
from expunge.desk.people import remove_person, set_person
from expunge.desk.plan_steps import list_purge, notify, purge_request_assets
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, plan_again
from expunge.desk.purging import confirm_task, purge_request, tasks
from expunge.desk.receipts import issue_receipts
from expunge.desk.recipients import note_notice
from expunge.desk.rehearsal_step import rehearse
from expunge.desk.requests import acknowledge, extend
from expunge.desk.run_steps import audit, unlearn
from expunge.desk.runs import cancel_run
from expunge.desk.workshop import Workshop
from expunge.web.accounts import set_account
from expunge.web.tokens import make_token, revoke_token
from expunge.web.webhook_outbox import queue_statuses
from expunge.web.webhook_peers import add_peer, new_key
from helpers.desk import (
    ADMIN,
    ANNA,
    APPROVER,
    CLERK,
    OPERATOR,
    REVIEWER,
    DeskCase,
    new_request,
    to_planned,
    to_review,
    to_waiting,
    verify,
)
from helpers.desk_evidence import promote_signed, signed_desk
from helpers.desk_stand_in import stand_in_child

JUERGEN = {"name": "Jürgen Müller", "record_number": "PAT-100"}
BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}
RECIPIENT = {"recipient": "a university", "days": 30}
COPY = {"copy": ("erase", "")}


def busy_desk(folder: Path, **settings: Any) -> DeskCase:
    """The desk: one request is closed and purged, others are stopped, on hold, in review, a duplicate, and new.

    Needs the extras of the web pages.
    """
    case = signed_desk(folder, **settings)
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    _people(case)
    with case.desk.session(OPERATOR) as s:
        add_asset(s, "copy", "downstream", "recipient", RECIPIENT)
    first = to_waiting(case, None, **COPY)
    with case.desk.session(CLERK) as s:
        acknowledge(s, first)
    _promote(case, shop, first)
    with case.desk.session(OPERATOR) as s:
        rows = {row["asset"]: row["id"] for row in tasks(s, first)}
        note_notice(s, rows["copy"], s.today, "by letter")
        confirm_task(s, rows["nightly backup"], "it has expired")
    notify(shop, first)
    with case.desk.session(CLERK) as s:
        accept_letter(s, _letter(s, first), "posted")
    notify(shop, first)
    issue_receipts(case.desk)
    case.clock.move(days=40)
    case.event(CLERK, first, "close")
    with case.desk.session(OPERATOR) as s:
        purge_request(s, first)
    _rest(case, shop)
    return case


def _promote(case: DeskCase, shop: Workshop, request_id: str) -> None:
    digest = to_planned(case, request_id)
    promote_signed(shop, case, request_id, digest)
    list_purge(shop, digest)
    purge_request_assets(shop, request_id)


def _letter(s: Any, request_id: str) -> str:
    from sqlalchemy import select

    from expunge.desk import tables as t

    return str(s.conn.execute(select(t.outbox.c.id).where(t.outbox.c.request_id == request_id)).scalar_one())


def _people(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        set_person(s, "otto", ["operator"])
        set_account(s, "carla", "a long password of a test", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
        bind_subject(s, "rita", "https://issuer.example", "subject-1")
        make_token(s, "carla", "clerk")
        revoke_token(s, make_token(s, "otto", "operator")[0])
        remove_person(s, "otto")
        add_peer(s, "other", url="https://other.example", every_request=True)
        new_key(s, "other")
    with case.desk.session(OPERATOR) as s:
        retire_asset(s, add_asset(s, "old backup", "backup", "backup", {"days": 9}))


def _rest(case: DeskCase, shop: Workshop) -> None:
    """Requests that come after the first."""
    stopped = to_waiting(case, JUERGEN, **COPY)
    digest = to_planned(case, stopped)
    rehearse(shop, digest)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop, digest, 1)
    audit(shop, digest, 1)  # it asks about the first request, too, whose records are gone
    with case.desk.reading(OPERATOR) as s:
        batch = request_row(s, stopped)["batch_id"]
    digest = plan_again(case.desk, OPERATOR, batch, PlanWish())
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop, digest, 1)
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "stop it")
    held = new_request(case, ANNA, outside_id="outside 1")
    verify(case, held)
    case.event(CLERK, held, "begin_scoping")
    case.event(CLERK, held, "hold", reason="wait")
    with case.desk.session(REVIEWER) as s:
        extend(s, held, "many requests")
    review = to_review(case, BJORN)
    with case.desk.reading(CLERK) as s:
        found = matches(s, review)
    if found:
        reveal(case.desk, CLERK, found[0]["id"], "to look")
    new_request(case, ANNA)
    twin = new_request(case, JUERGEN)
    verify(case, twin)
    case.event(CLERK, twin, "mark_duplicate", reason="twice", other=stopped)
    queue_statuses(case.desk)
