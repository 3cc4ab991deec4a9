"""Steps of a run as plain functions: train, audit, certify. Each may be started again at any moment, by anybody."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from expunge._io import write_json
from expunge.desk import tables as t
from expunge.desk.audit_work import AuditWork
from expunge.desk.certificates import register_all
from expunge.desk.certify import audit_digests, audit_folder, audits_digest, make_certificates
from expunge.desk.child import STOPPED, end_survivor
from expunge.desk.connectors.base import place
from expunge.desk.desk import DeskSession
from expunge.desk.evidence_log import log_attempts, log_begun_run, log_plan
from expunge.desk.executors.base import EXECUTORS, Words
from expunge.desk.guard_audits import register_guard
from expunge.desk.guard_step import guard_earlier
from expunge.desk.leases import LateWorker
from expunge.desk.manifest import read_manifest, write_manifest
from expunge.desk.models import first_of_chain, result_digest
from expunge.desk.plan_recipe import recipe_of_run
from expunge.desk.plans import audit_policy, content_of, plan_row
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_input import prepare_input, relative
from expunge.desk.run_work import RunWork, end_cancelled, fail_run, take_work
from expunge.desk.runs import end_run, fix_time, register_output, register_verdict, run_row, start_run, work_name
from expunge.desk.transitions import replan_rest
from expunge.desk.withdrawal import withdraw_certificates
from expunge.desk.workshop import Answer, Workshop
from expunge.errors import InputError


def unlearn(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Train until the output is complete, and register it."""
    if shop.desk.settings.certificates is not None:
        log_plan(shop.desk, plan_hash)
    with shop.desk.session(SYSTEM) as s:
        content = content_of(plan_row(s, plan_hash))
        start_run(s, plan_hash, attempt)
        work, survivor = take_work(s, shop, plan_hash, attempt)
    end_survivor(survivor)
    with work.holding():
        return work.stopped() if work.is_cancelled() else _unlearn(work, content)


def _unlearn(work: RunWork, content: dict[str, Any]) -> Answer:
    desk, folder, plan_hash = work.shop.desk, work.folder, work.plan_hash
    executor = EXECUTORS.get(content["kind"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = read_manifest(folder)
    if root is None:
        words = command_line(work.shop, content, folder, executor.words)
        watch = partial(log_begun_run, desk, plan_hash, folder / executor.result) if work.has_keys else None
        result = work.child(words, "unlearn", watch)
        if result.code == STOPPED:
            return work.stopped()
        if result.code != 0:
            return work.failed(f"unlearn ended with code {result.code}; see unlearn.log")
    digest = result_digest(desk.folder, work.shop.path(plan_hash, executor.result))
    root = root or write_manifest(folder, executor.result)
    with desk.session(SYSTEM) as s:
        register_output(s, plan_hash, work.attempt, work.fence, digest, root)
    return {"output": digest}


def audit(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Audit the output, ask earlier requests again, and register the verdict."""
    with shop.desk.session(SYSTEM) as s:
        content = content_of(plan_row(s, plan_hash))
        work, survivor = take_work(s, shop, plan_hash, attempt)
        original = _original(s, content)
    end_survivor(survivor)
    with work.holding():
        return work.stopped() if work.is_cancelled() else _audit(work, content, original)


def _audit(work: RunWork, content: dict[str, Any], original: str) -> Answer:
    desk, folder, executor = work.shop.desk, work.folder, EXECUTORS.get(content["kind"])
    with desk.reading(SYSTEM) as s:
        inputs = prepare_input(s, content, folder)
    policy = audit_policy(desk, content["kind"])
    if policy.digest != content["policy"]["digest"]:
        raise Refusal("audit", "the policy of the audit has changed since the plan", "plan again", kind="conflict")
    write_json(folder / "policy.yaml", policy.model_dump(mode="json"))  # JSON is YAML
    words = ["audit", "--original", relative(place(desk.folder, original), folder), "--unlearned", executor.result]
    words += [*inputs.data, "--scope", inputs.scope, "--policy", "policy.yaml", "--json"]
    audits = AuditWork(work, [*words, *_options(work.shop, content)], policy.digest)
    if work.has_keys:
        log_begun_run(desk, work.plan_hash, folder / executor.result)
    requests, statuses = content["requests"], []
    for request_id in requests:
        answer = audits.make(audit_folder(request_id, len(requests) > 1), inputs.parts.get(request_id))
        if isinstance(answer, dict):
            return answer
        statuses.append(answer)
    status = next((each for each in ("failed", *statuses) if each in statuses and each != "passed"), "passed")
    if work.has_keys:
        log_attempts(desk, audit_digests(folder, requests))
    guard = guard_earlier(audits, content, audit_folder(requests[0], len(requests) > 1), status)
    if isinstance(guard, dict):
        return guard
    with desk.session(SYSTEM) as s:
        registered = audits_digest(folder, requests)
        register_verdict(s, work.plan_hash, work.attempt, work.fence, status, registered, guard.status)
        register_guard(s, run_row(s, work.plan_hash, work.attempt)["id"], guard.audits)
        if status != "passed" or guard.status == "failed":
            end_run(s, work.plan_hash, work.attempt, "finished")
    return {"status": status, "guard": guard.status}


def certify(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Make the certificates of the run's requests, each once; none for a run that somebody cancelled."""
    answer = _certify(shop, plan_hash, attempt)
    if "stopped" in answer:
        withdraw_certificates(shop.desk, plan_hash)
    return answer


def _certify(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    with shop.desk.session(SYSTEM) as s:
        if end_cancelled(s, plan_hash, attempt):
            return {"stopped": True}
        fix_time(s, plan_hash, attempt)
    results = make_certificates(shop.desk, plan_hash, attempt)
    with shop.desk.session(SYSTEM) as s:
        if end_cancelled(s, plan_hash, attempt):
            return {"stopped": True}
        digest = register_all(s, plan_hash, attempt, results)
    return {"certificate": digest, "verified": all(r.verified for r in results), "signed": results[0].signed}


def command_line(
    shop: Workshop, content: dict[str, Any], folder: Path, words: Words, *, is_rehearsal: bool = False
) -> list[str]:
    """What carries out a plan, or tries it, in a folder; writes its input there."""
    desk = shop.desk
    with desk.reading(SYSTEM) as s:
        inputs = prepare_input(s, content, folder, is_rehearsal=is_rehearsal)
        model = relative(place(desk.folder, _path_before(s, content)), folder)
        base = EXECUTORS.get(content["kind"]).base(s, content["model"]["lineage"])
    frozen = {**content, "recipe": recipe_of_run(desk.folder, content, folder)}
    line = words(frozen, inputs, model, base and relative(place(desk.folder, base), folder))
    return [*line, *_options(shop, content)]


def _options(shop: Workshop, content: dict[str, Any]) -> list[str]:
    options = {"--device": shop.device, "--dtype": content["dtype"], "--template": content["template"]}
    return [part for name, value in options.items() if value not in (None, "auto") for part in (name, str(value))]


def give_up_run(shop: Workshop, plan_hash: str, attempt: int, error: InputError) -> Answer:
    """After a refusal: a late worker leaves quietly, inputs that changed void the plan, anything else is an error."""
    if isinstance(error, LateWorker):
        return {"late": True}
    with shop.desk.session(SYSTEM) as s:
        plan = plan_row(s, plan_hash)
        owner = s.conn.execute(select(t.lease.c.worker).where(t.lease.c.work == work_name(plan_hash))).scalar()
        if owner not in (None, shop.worker):
            return {"late": True}
        if isinstance(error, Refusal) and error.hint == "plan again":
            end_run(s, plan_hash, attempt, "failed")
            replan_rest(s, plan["batch_id"])
            return {"replanned": True}
    return fail_run(shop, plan_hash, attempt, None, str(error))


def _path_before(s: DeskSession, content: dict[str, Any]) -> str:
    """The model from which the plan starts; `Refusal` if another one is in use now."""
    from expunge.desk.models import alias_row

    alias = alias_row(s, content["model"]["lineage"])
    if alias["digest"] != content["model"]["digest"]:
        raise Refusal("run", "another model is in use than the plan starts from", "plan again", kind="conflict")
    return str(alias["path"])


def _original(s: DeskSession, content: dict[str, Any]) -> str:
    """The model that an audit compares with: the first of a chain of runs as long as all of it is there.

    Once old versions were purged, it is the one from which the plan starts, whose digest the plan and the certificate
    name: nobody keeps a model that knows what earlier requests had erased for the sake of later audits.
    """
    before = _path_before(s, content)
    first = first_of_chain(s.desk.folder, before) if content["after_run"] else None
    return before if first is None else str(first)
