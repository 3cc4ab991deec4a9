"""What the system registers of a run: start, output, verdict, certificate, promotion. Each may be repeated."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.batches import batch_row
from expunge.desk.desk import DeskSession
from expunge.desk.event_log import EventHead
from expunge.desk.facts import fits, latest_run, members
from expunge.desk.keys import parse_body
from expunge.desk.leases import check_fence
from expunge.desk.models import swap
from expunge.desk.names import new_id
from expunge.desk.plans import content_of, plan_row
from expunge.desk.purging import list_tasks
from expunge.desk.roles import Refusal
from expunge.desk.transitions import fire_all


def work_name(plan_hash: str) -> str:
    """Name of the durable work of a plan, under which a worker holds a lease; all attempts share it and its folder."""
    return f"run:{plan_hash}"


def start_run(s: DeskSession, plan_hash: str, attempt: int) -> RowMapping:
    """Begin an attempt of an approved plan, and return its row; the requests are `executing` then."""
    s.actor.check_may("work")
    plan = plan_row(s, plan_hash)
    content_of(plan)
    here = (t.run.c.plan_hash == plan_hash, t.run.c.attempt == attempt)
    if s.conn.execute(select(t.run.c.id).where(*here)).first() is None:
        if plan["state"] != "current":
            raise Refusal("run", "its plan is void", "a new plan is made", kind="conflict")
        values = {"id": new_id(), "plan_hash": plan_hash, "attempt": attempt, "state": "running", "started_at": s.at}
        alone = int(s.settings.single_person)
        s.conn.execute(insert(t.run).values(**values, single_person=alone))
        s.conn.execute(update(t.lease).where(t.lease.c.work == work_name(plan_hash)).values(takeovers=0))
        if attempt == 1:
            fire_all(s, plan["batch_id"], "start", event_id=f"{work_name(plan_hash)}/start", plan=plan_hash)
        s.log("run.start", {"run": values["id"], "plan": plan_hash, "attempt": attempt, "single_person": alone})
    return run_row(s, plan_hash, attempt)


def run_row(s: DeskSession, plan_hash: str, attempt: int) -> RowMapping:
    """A run; `Refusal` of kind `missing`."""
    here = (t.run.c.plan_hash == plan_hash, t.run.c.attempt == attempt)
    row = s.conn.execute(select(t.run).where(*here)).mappings().first()
    if row is None:
        raise Refusal("run", "there is no such run", kind="missing")
    return row


def _set(s: DeskSession, row: RowMapping, **values: Any) -> None:
    s.conn.execute(update(t.run).where(t.run.c.id == row["id"]).values(**values))


def _check_alive(row: RowMapping) -> None:
    if row["cancel_at"] is not None or row["state"] in ("cancelled", "failed"):
        raise Refusal("run", "was cancelled", "nothing was registered", kind="conflict")


def register_output(
    s: DeskSession, plan_hash: str, attempt: int, fence: int, output_digest: str, manifest_digest: str
) -> None:
    """The training is over: digest of the model and of the manifest of its files.

    Raises:
        Refusal: another worker took over, the run was cancelled, or another output is registered (kind `conflict`).
    """
    row = run_row(s, plan_hash, attempt)
    check_fence(s, work_name(plan_hash), fence)
    _check_alive(row)
    if row["manifest_digest"] not in (None, manifest_digest):
        raise Refusal("run", "has another output", "nothing was registered", kind="conflict")
    if row["manifest_digest"] is None:
        _set(s, row, output_digest=output_digest, manifest_digest=manifest_digest)
        s.log("run.output", {"run": row["id"], "output": output_digest, "manifest": manifest_digest})
    event_id = f"{work_name(plan_hash)}/output"
    fire_all(s, plan_row(s, plan_hash)["batch_id"], "finish_run", event_id=event_id, output=output_digest)


def register_verdict(
    s: DeskSession, plan_hash: str, attempt: int, fence: int, status: str, audit_digest: str, guard: str
) -> None:
    """The audit is over. `status` is its verdict; `guard` says whether earlier requests are still forgotten."""
    row = run_row(s, plan_hash, attempt)
    check_fence(s, work_name(plan_hash), fence)
    _check_alive(row)
    if row["audit_digest"] not in (None, audit_digest):
        raise Refusal("run", "has another verdict", "nothing was registered", kind="conflict")
    if row["audit_digest"] is None:
        _set(s, row, audit_status=status, audit_digest=audit_digest, guard_status=guard)
        s.log("run.verdict", {"run": row["id"], "status": status, "audit": audit_digest, "guard": guard})
    event_id = f"{work_name(plan_hash)}/verdict"
    fire_all(s, plan_row(s, plan_hash)["batch_id"], "verdict", event_id=event_id, status=status)


def fix_time(s: DeskSession, plan_hash: str, attempt: int) -> str:
    """The time that the certificate of a run bears; the same whenever it is asked."""
    row = run_row(s, plan_hash, attempt)
    if row["issued_at"] is None:
        _set(s, row, issued_at=s.at)
        s.log("run.issue", {"run": row["id"]}, event_id=_issue(plan_hash, attempt))
        return s.at
    return str(row["issued_at"])


def issue_head(s: DeskSession, plan_hash: str, attempt: int) -> EventHead:
    """The head of the log when the time of the certificate was fixed: it goes into the certificate, out of the desk."""
    query = select(t.event_log.c.seq, t.event_log.c.hash).join(t.applied, t.applied.c.seq == t.event_log.c.seq)
    row = s.conn.execute(query.where(t.applied.c.event_id == _issue(plan_hash, attempt))).one()
    return EventHead(row.seq, row.hash)


def _issue(plan_hash: str, attempt: int) -> str:
    return f"{work_name(plan_hash)}:{attempt}/issue"


def register_certificate(
    s: DeskSession, plan_hash: str, attempt: int, digest: str, verified: bool, signed: bool = False
) -> None:
    """The certificate of a run, which is written once; promotion needs one that verifies."""
    row = run_row(s, plan_hash, attempt)
    if row["certificate_digest"] not in (None, digest):
        raise Refusal("certificate", "the run has another one", "nothing was registered", kind="conflict")
    if row["certificate_digest"] is None:
        _check_alive(row)
    values = {"certificate_digest": digest, "state": "finished", "ended_at": row["ended_at"] or s.at}
    if verified and row["certificate_verified_at"] is None:
        values["certificate_verified_at"] = s.at
    _set(s, row, **values)
    if row["certificate_digest"] is None or "certificate_verified_at" in values:
        s.log("run.certificate", {"run": row["id"], "certificate": digest, "verified": verified, "signed": signed})


def end_run(s: DeskSession, plan_hash: str, attempt: int, state: str) -> None:
    """Mark a run as finished, failed or cancelled; a later call does not change it."""
    row = run_row(s, plan_hash, attempt)
    if row["state"] == "running":
        _set(s, row, state=state, ended_at=s.at)
        s.log("run.end", {"run": row["id"], "state": state})


def cancel_run(s: DeskSession, plan_hash: str, reason: str) -> None:
    """Ask the worker of a run to stop; the requests are cancelled or replanned by events of their own."""
    s.actor.check_may("cancel run")
    if not reason.strip():
        raise Refusal("run", "a reason is missing", kind="guard")
    plan = plan_row(s, plan_hash)
    row = latest_run(s, plan["hash"])
    if row is None or row["state"] != "running":
        raise Refusal("run", "does not run", kind="state")
    _set(s, row, cancel_at=s.at)
    digests = {s.keep_reason(reason, "cancel_run", each) for each in parse_body(plan["content"])["requests"]}
    s.log("run.cancel", {"run": row["id"], "reason": min(digests)})


def is_cancelled(s: DeskSession, plan_hash: str, attempt: int) -> bool:
    """Whether somebody asked the run to stop."""
    return run_row(s, plan_hash, attempt)["cancel_at"] is not None


def promote(s: DeskSession, plan_hash: str, path: str, digest_on_disk: str) -> bool:
    """Bring the model of a plan into use, together with the state of its requests.

    Args:
        s: a session as the system.
        plan_hash: the plan.
        path: folder of the result, relative to the desk's folder.
        digest_on_disk: digest of the files as they are now.

    Returns:
        True if it was exchanged now, False if it was in use already.

    Raises:
        Refusal: the model on disk is not the certified one, or another model came into use meanwhile.
    """
    plan = plan_row(s, plan_hash)
    content = content_of(plan)
    run = latest_run(s, plan_hash)
    if run is None or run["certificate_verified_at"] is None:
        raise Refusal("promote", "there is no certificate that verifies")
    if plan["state"] != "current" or not fits(s, plan):  # a request was cancelled while the model was hashed
        raise Refusal("promote", "the requests of the plan have changed", "another plan is made", kind="conflict")
    if run["output_digest"] != digest_on_disk:
        raise Refusal(
            "promote", "the model on disk is not the certified one", "restore it, or run again", kind="conflict"
        )
    model = content["model"]
    exchanged = swap(s, model["lineage"], model["digest"], digest_on_disk, path, run["id"])
    if plan["swapped_at"] is None:
        s.conn.execute(update(t.plan).where(t.plan.c.id == plan["id"]).values(swapped_at=s.at))
    fire_all(s, plan["batch_id"], "promote", event_id=f"release:{plan_hash}/promote", digest=digest_on_disk)
    return exchanged


def begin_purge(s: DeskSession, plan_hash: str) -> list[str]:
    """List the purge tasks of all requests of a plan, and return the requests."""
    plan = plan_row(s, plan_hash)
    requests = members(s, plan["batch_id"])
    for request_id in requests:
        list_tasks(s, request_id)
    event_id = f"release:{plan_hash}/purge"
    fire_all(s, plan["batch_id"], "start" if plan["kind"] == "none" else "purge", event_id=event_id)
    if batch_row(s, plan["batch_id"])["state"] != "done":
        s.conn.execute(update(t.batch).where(t.batch.c.id == plan["batch_id"]).values(state="done"))
    return requests
