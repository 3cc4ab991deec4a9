"""Steps before and after a run as plain functions: plan, promote, purge, notify. Each may be started again."""

from __future__ import annotations

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.certificates import check_promotable
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.facts import latest_plan, members, request_row
from expunge.desk.letters import queue_letter, send_letter
from expunge.desk.manifest import read_manifest
from expunge.desk.models import digest_of, folders_in_use
from expunge.desk.plans import draft_plan, plan_row, store_plan
from expunge.desk.purging import OPEN_TASKS, run_tasks, tasks
from expunge.desk.record_period import EVIDENCE, clear_folder
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_leftovers import clear_inputs
from expunge.desk.runs import begin_purge, promote
from expunge.desk.transitions import fire_all
from expunge.desk.workshop import Answer, Workshop, fail_batch
from expunge.errors import InputError


def plan_batch(shop: Workshop, batch_id: str) -> Answer:
    """Make the plan of a batch, and let its requests wait for approval."""
    with shop.desk.reading(SYSTEM) as s:
        states = {request_row(s, r)["state"] for r in members(s, batch_id)}
        last = latest_plan(s, batch_id)
    if states != {"waiting"}:
        return {"plan": last and last["hash"]}
    try:
        draft = draft_plan(shop.desk, SYSTEM, batch_id)
        with shop.desk.session(SYSTEM) as s:
            digest = store_plan(s, draft)
            fire_all(s, batch_id, "plan", event_id=f"prepare:{digest}", plan=digest)
    except Refusal as refusal:
        if refusal.kind == "conflict":  # the batch changed; the next round plans it
            return {"plan": None}
        return fail_batch(shop, batch_id, refusal)
    except InputError as error:
        return fail_batch(shop, batch_id, error)
    return {"plan": digest}


def promote_plan(shop: Workshop, plan_hash: str) -> Answer:
    """Exchange the model in use; a plan without work on a model goes straight to its purge."""
    with shop.desk.reading(SYSTEM) as s:
        plan = plan_row(s, plan_hash)
        states = {request_row(s, r)["state"] for r in members(s, plan["batch_id"])}
    if plan["kind"] == "none" or not states & {"promotion_approved"}:
        return {"promoted": False}
    executor = EXECUTORS.get(plan["kind"])
    try:
        read_manifest(shop.folder(plan_hash))
        check_promotable(shop.desk, plan_hash)
        path = shop.path(plan_hash, executor.result)
        digest = digest_of(shop.desk.folder, path)
        with shop.desk.session(SYSTEM) as s:
            return {"promoted": promote(s, plan_hash, path, digest)}
    except InputError as error:
        return fail_batch(shop, plan["batch_id"], error)


def list_purge(shop: Workshop, plan_hash: str) -> list[str]:
    """List the purge tasks; returns the requests of the plan that are in their purge."""
    with shop.desk.session(SYSTEM) as s:
        plan = plan_row(s, plan_hash)
        requests = members(s, plan["batch_id"])
        states = {request_row(s, r)["state"] for r in requests}
        if states & {"promoted"} or (plan["kind"] == "none" and states == {"plan_approved"}):
            begin_purge(s, plan_hash)
        return [r for r in requests if request_row(s, r)["state"] == "purging"]


def purge_request_assets(shop: Workshop, request_id: str) -> Answer:
    """Do the open tasks of a request; returns how many are still open."""
    clear_batch(shop, request_id)
    run_tasks(shop.desk, request_id)
    with shop.desk.reading(SYSTEM) as s:
        return {"open": sum(row["state"] in OPEN_TASKS for row in tasks(s, request_id))}


def clear_batch(shop: Workshop, request_id: str) -> None:
    """Remove what the runs of a request's batch were given, and all but certificates of plans without use."""
    with shop.desk.reading(SYSTEM) as s:
        batch_id = request_row(s, request_id)["batch_id"]
        here = select(t.plan.c.hash, t.plan.c.state).where(t.plan.c.batch_id == batch_id)
        plans = s.conn.execute(here).tuples().all()
        in_use = folders_in_use(s)
    clear_inputs(shop.desk, [plan_hash for plan_hash, _ in plans])
    for plan_hash, state in plans:
        if state != "current" and shop.folder(plan_hash).is_dir():
            clear_folder(shop.folder(plan_hash), EVIDENCE, in_use)


def notify(shop: Workshop, request_id: str) -> Answer:
    """Queue the letter, and hand it over if there is a provider; one letter, however often this is repeated."""
    with shop.desk.session(SYSTEM) as s:
        if request_row(s, request_id)["state"] != "purging":
            return {"notified": True}
        letter = queue_letter(s, request_id)
    return {"notified": send_letter(shop.desk, request_id, letter, shop.sender)}
