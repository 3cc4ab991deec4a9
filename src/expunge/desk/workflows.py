"""The durable workflows: prepare, run, release, and rehearse, which no other one needs.

Human gates lie between them, so none waits for a person.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dbos import DBOS

from expunge.desk import plan_steps, rehearsal_step, run_steps
from expunge.desk.step_errors import expected, without_text
from expunge.desk.workshop import Answer, Workshop
from expunge.errors import RunFailed

VERSION = "expunge-desk-1"  # of the workflows; it changes with their steps, never with other code
PATIENCE = 300.0  # seconds for which a step waits for a database that is gone
_SHOP: list[Workshop] = []  # the one of this process


def use(shop: Workshop) -> None:
    """Give the workflows of this process what they work with."""
    _SHOP[:] = [shop]


def shop() -> Workshop:
    """What the workflows of this process work with."""
    return _SHOP[0]


def patiently(step: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Do a step; while the database is gone, wait and do it again."""
    until, pause = time.monotonic() + patience, 0.5
    while True:
        try:
            return step()
        except RunFailed as error:
            if error.where != "database" or time.monotonic() > until:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 15.0)


def _run_step(function: Callable[[Workshop, str, int], Answer], plan_hash: str, attempt: int) -> Answer:
    try:
        return patiently(lambda: function(shop(), plan_hash, attempt))  # type: ignore[no-any-return]
    except Exception as error:
        cause = expected(error)
    return without_text(lambda: run_steps.give_up_run(shop(), plan_hash, attempt, cause))  # type: ignore[no-any-return]


@DBOS.step(name="unlearn")
def unlearn_step(plan_hash: str, attempt: int) -> Answer:
    """See `run_steps.unlearn`."""
    return _run_step(run_steps.unlearn, plan_hash, attempt)


@DBOS.step(name="audit")
def audit_step(plan_hash: str, attempt: int) -> Answer:
    """See `run_steps.audit`."""
    return _run_step(run_steps.audit, plan_hash, attempt)


@DBOS.step(name="certify")
def certify_step(plan_hash: str, attempt: int) -> Answer:
    """See `run_steps.certify`."""
    return _run_step(run_steps.certify, plan_hash, attempt)


@DBOS.step(name="plan")
def plan_step(batch_id: str) -> Answer:
    """See `plan_steps.plan_batch`."""
    return without_text(lambda: patiently(lambda: plan_steps.plan_batch(shop(), batch_id)))  # type: ignore[no-any-return]


@DBOS.step(name="promote")
def promote_step(plan_hash: str) -> Answer:
    """See `plan_steps.promote_plan`."""
    return without_text(lambda: patiently(lambda: plan_steps.promote_plan(shop(), plan_hash)))  # type: ignore[no-any-return]


@DBOS.step(name="list_purge")
def list_step(plan_hash: str) -> list[str]:
    """See `plan_steps.list_purge`."""
    return without_text(lambda: patiently(lambda: plan_steps.list_purge(shop(), plan_hash)))  # type: ignore[no-any-return]


@DBOS.step(name="purge")
def purge_step(request_id: str) -> Answer:
    """See `plan_steps.purge_request_assets`."""
    return without_text(lambda: patiently(lambda: plan_steps.purge_request_assets(shop(), request_id)))  # type: ignore[no-any-return]


@DBOS.step(name="notify")
def notify_step(request_id: str) -> Answer:
    """See `plan_steps.notify`."""
    return without_text(lambda: patiently(lambda: plan_steps.notify(shop(), request_id)))  # type: ignore[no-any-return]


@DBOS.step(name="rehearse")
def rehearse_step(plan_hash: str) -> Answer:
    """See `rehearsal_step.rehearse`."""
    try:
        return patiently(lambda: rehearsal_step.rehearse(shop(), plan_hash))  # type: ignore[no-any-return]
    except Exception as error:
        cause = expected(error)
    return without_text(lambda: rehearsal_step.give_up_rehearsal(shop(), plan_hash, cause))  # type: ignore[no-any-return]


@DBOS.workflow(name="prepare")
def prepare(batch_id: str, number: int) -> Answer:
    """Plan a batch."""
    return plan_step(batch_id)


@DBOS.workflow(name="run")
def run(plan_hash: str, attempt: int) -> Answer:
    """Unlearn, audit, certify."""
    answer = unlearn_step(plan_hash, attempt)
    if "output" not in answer:
        return answer
    answer = audit_step(plan_hash, attempt)
    if answer.get("status") != "passed" or answer.get("guard") == "failed":
        return answer
    return certify_step(plan_hash, attempt)


@DBOS.workflow(name="release")
def release(plan_hash: str, number: int) -> Answer:
    """Promote, purge, notify. A task that fails keeps its request from the letter, and no other request."""
    answer = promote_step(plan_hash)
    if "failed" in answer:
        return answer
    still_open = 0
    for request_id in list_step(plan_hash):
        rest = purge_step(request_id)["open"]
        still_open += rest
        if not rest:
            notify_step(request_id)
    return {**answer, "open": still_open}


@DBOS.workflow(name="rehearse")
def rehearse(plan_hash: str, number: int) -> Answer:
    """Try a plan on other people."""
    return rehearse_step(plan_hash)


WORKFLOWS = {"prepare": prepare, "run": run, "release": release, "rehearse": rehearse}
