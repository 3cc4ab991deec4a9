"""Steps of a run as plain functions: train, audit, certify. Each may be started again at any moment, by anybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import select

from expunge._io import digest_file, read_object, write_atomic, write_json
from expunge.desk import tables as t
from expunge.desk.audit_files import guard_status, is_audited
from expunge.desk.certificates import register_all
from expunge.desk.certify import audit_digests, audit_folder, audits_digest, make_certificates
from expunge.desk.child import STOPPED, ChildResult, end_survivor
from expunge.desk.connectors.base import place
from expunge.desk.desk import DeskSession
from expunge.desk.evidence_log import log_attempts, log_begun_run, log_plan
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.facts import members, request_row
from expunge.desk.leases import LateWorker, acquire, check_fence, is_late, note_process, noted_process
from expunge.desk.manifest import read_manifest, write_manifest
from expunge.desk.models import digest_of, first_of_chain
from expunge.desk.plan_recipe import recipe_of_run
from expunge.desk.plans import audit_policy, content_of, plan_row
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_input import prepare_input, relative
from expunge.desk.runs import end_run, fix_time, is_cancelled, register_output, register_verdict, start_run, work_name
from expunge.desk.transitions import fire, replan_rest
from expunge.desk.withdrawal import withdraw_certificates
from expunge.desk.workshop import Answer, Workshop
from expunge.errors import InputError, RunFailed


@contextmanager
def _holding(shop: Workshop, plan_hash: str, fence: int) -> Iterator[None]:
    """`LateWorker` instead of any refusal that a worker meets after somebody else has taken its work."""
    try:
        yield
    except RunFailed:
        raise
    except InputError as error:
        with shop.desk.reading(SYSTEM) as s:
            if is_late(s, work_name(plan_hash), fence):
                raise LateWorker from error
        raise


def unlearn(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Train until the output is complete, and register it."""
    if _has_keys(shop):
        log_plan(shop.desk, plan_hash)
    with shop.desk.session(SYSTEM) as s:
        content = content_of(plan_row(s, plan_hash))
        start_run(s, plan_hash, attempt)
        fence, survivor = _take(s, shop, plan_hash)
    end_survivor(survivor)
    with _holding(shop, plan_hash, fence):
        if _is_cancelled(shop, plan_hash, attempt):
            return _stopped(shop, plan_hash, attempt, fence)
        return _unlearn(shop, plan_hash, attempt, fence, content)


def _unlearn(shop: Workshop, plan_hash: str, attempt: int, fence: int, content: dict[str, Any]) -> Answer:
    desk, folder = shop.desk, shop.folder(plan_hash)
    executor = EXECUTORS.get(content["kind"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = read_manifest(folder)
    if root is None:
        with desk.reading(SYSTEM) as s:
            inputs = prepare_input(s, content, folder)
            model = relative(place(desk.folder, _path_before(s, content)), folder)
            base = executor.base(s, content["model"]["lineage"])
        options = {"--device": shop.device, "--dtype": content["dtype"], "--template": content["template"]}
        recipe = recipe_of_run(desk.folder, content, folder)
        words = executor.words(
            {**content, "recipe": recipe}, inputs, model, base and relative(place(desk.folder, base), folder)
        )
        watch = partial(log_begun_run, desk, plan_hash, folder / executor.result) if _has_keys(shop) else None
        result = _child(shop, plan_hash, attempt, fence, [*words, *_options(options)], "unlearn", watch)
        if result.code == STOPPED:
            return _stopped(shop, plan_hash, attempt, fence)
        if result.code != 0:
            return _failed(shop, plan_hash, attempt, fence, f"unlearn ended with code {result.code}; see unlearn.log")
        root = write_manifest(folder, executor.result)
    digest = digest_of(desk.folder, shop.path(plan_hash, executor.result))
    with desk.session(SYSTEM) as s:
        register_output(s, plan_hash, attempt, fence, digest, root)
    return {"output": digest}


def audit(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Audit the output, ask earlier requests again, and register the verdict."""
    with shop.desk.session(SYSTEM) as s:
        content = content_of(plan_row(s, plan_hash))
        fence, survivor = _take(s, shop, plan_hash)
        original = _original(s, content)
    end_survivor(survivor)
    with _holding(shop, plan_hash, fence):
        if _is_cancelled(shop, plan_hash, attempt):
            return _stopped(shop, plan_hash, attempt, fence)
        return _audit(shop, plan_hash, attempt, fence, content, original)


def _audit(shop: Workshop, plan_hash: str, attempt: int, fence: int, content: dict[str, Any], original: str) -> Answer:
    desk, folder, executor = shop.desk, shop.folder(plan_hash), EXECUTORS.get(content["kind"])
    with desk.reading(SYSTEM) as s:
        inputs = prepare_input(s, content, folder)
    policy = audit_policy(desk, content["kind"])
    if policy.digest != content["policy"]["digest"]:
        raise Refusal("audit", "the policy of the audit has changed since the plan", "plan again", kind="conflict")
    write_json(folder / "policy.yaml", policy.model_dump(mode="json"))  # JSON is YAML
    words = ["audit", "--original", relative(place(desk.folder, original), folder), "--unlearned", executor.result]
    words += [*inputs.data, "--scope", inputs.scope, "--policy", "policy.yaml", "--json"]
    options = {"--device": shop.device, "--dtype": content["dtype"], "--template": content["template"]}
    words += _options(options)
    if _has_keys(shop):
        log_begun_run(desk, plan_hash, folder / executor.result)
    requests, statuses = content["requests"], []
    for request_id in requests:
        name = audit_folder(request_id, several=len(requests) > 1)
        only = ["--only", inputs.parts[request_id]] if inputs.parts else []
        if not is_audited(folder, name):
            result = _child(shop, plan_hash, attempt, fence, [*words, *only, "--out", name], name)
            if result.code == STOPPED:
                return _stopped(shop, plan_hash, attempt, fence)
            if not result.done:
                return _failed(shop, plan_hash, attempt, fence, f"audit ended with code {result.code}; see {name}.log")
        file = read_object(folder / name / "audit.json", "audit again")
        if file["policy_digest"] != content["policy"]["digest"]:
            return _failed(shop, plan_hash, attempt, fence, "the audit followed another policy than the plan")
        write_atomic(folder / f"{name}.done", digest_file(folder / name / "audit.json"), private=True)
        statuses.append(str(file["verdict"]["status"]))
    status = next((each for each in ("failed", *statuses) if each in statuses and each != "passed"), "passed")
    guard = guard_status(folder / audit_folder(requests[0], len(requests) > 1), content)
    if _has_keys(shop):
        log_attempts(desk, audit_digests(folder, requests))
    with desk.session(SYSTEM) as s:
        register_verdict(s, plan_hash, attempt, fence, status, audits_digest(folder, requests), guard)
        if status != "passed" or guard == "failed":
            end_run(s, plan_hash, attempt, "finished")
    return {"status": status, "guard": guard}


def certify(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    """Make the certificates of the run's requests, each once; none for a run that somebody cancelled."""
    answer = _certify(shop, plan_hash, attempt)
    if "stopped" in answer:
        withdraw_certificates(shop.desk, plan_hash)
    return answer


def _certify(shop: Workshop, plan_hash: str, attempt: int) -> Answer:
    with shop.desk.session(SYSTEM) as s:
        if _end_cancelled(s, plan_hash, attempt):
            return {"stopped": True}
        fix_time(s, plan_hash, attempt)
    results = make_certificates(shop.desk, plan_hash, attempt)
    with shop.desk.session(SYSTEM) as s:
        if _end_cancelled(s, plan_hash, attempt):
            return {"stopped": True}
        digest = register_all(s, plan_hash, attempt, results)
    return {"certificate": digest, "verified": all(r.verified for r in results), "signed": results[0].signed}


def _take(s: DeskSession, shop: Workshop, plan_hash: str) -> tuple[int, tuple[int, str] | None]:
    """The fencing number of this worker, and the child that the one before it left."""
    work = work_name(plan_hash)
    fence = acquire(s, work, shop.worker)
    return fence, noted_process(s, work)


def _is_cancelled(shop: Workshop, plan_hash: str, attempt: int) -> bool:
    """Whether a step need not begin: it would write the inputs once more that were deleted."""
    with shop.desk.reading(SYSTEM) as s:
        return is_cancelled(s, plan_hash, attempt)


def _has_keys(shop: Workshop) -> bool:
    return shop.desk.settings.certificates is not None


def _child(
    shop: Workshop,
    plan_hash: str,
    attempt: int,
    fence: int,
    words: list[str],
    name: str,
    watch: Callable[[], bool] | None = None,
) -> ChildResult:
    """Run a command; `watch` is called about every second until it returns True."""
    watches = [watch] if watch else []

    def started(pid: int) -> None:
        with shop.desk.session(SYSTEM) as s:
            note_process(s, work_name(plan_hash), fence, pid)

    def stop() -> bool:
        if watches and watches[0]():
            watches.clear()
        with shop.desk.reading(SYSTEM) as s:
            late = is_late(s, work_name(plan_hash), fence)
            return late or shop.stopping or is_cancelled(s, plan_hash, attempt)

    if stop():
        return ChildResult(STOPPED, {})
    result = shop.run(words, shop.folder(plan_hash), name, started=started, stop=stop)
    while shop.stopping:  # the process ends here; whoever goes on finds the step as not done
        time.sleep(1)
    return result


def _options(options: dict[str, str | None]) -> list[str]:
    return [part for name, value in options.items() if value not in (None, "auto") for part in (name, str(value))]


def _stopped(shop: Workshop, plan_hash: str, attempt: int, fence: int) -> Answer:
    with shop.desk.session(SYSTEM) as s:
        check_fence(s, work_name(plan_hash), fence)
        _end_cancelled(s, plan_hash, attempt)
    return {"stopped": True}


def _end_cancelled(s: DeskSession, plan_hash: str, attempt: int) -> bool:
    """End a run that somebody cancelled; False for any other, which goes on."""
    if not is_cancelled(s, plan_hash, attempt):
        return False
    end_run(s, plan_hash, attempt, "cancelled")
    _fail_running(s, plan_hash, "the run was cancelled")
    return True


def _failed(shop: Workshop, plan_hash: str, attempt: int, fence: int | None, why: str) -> Answer:
    """End the attempt; `LateWorker` if its child failed because a successor ended it."""
    with shop.desk.session(SYSTEM) as s:
        if fence is not None:
            check_fence(s, work_name(plan_hash), fence)
        end_run(s, plan_hash, attempt, "failed")
        _fail_running(s, plan_hash, why)
    return {"failed": True}


def _fail_running(s: DeskSession, plan_hash: str, why: str) -> None:
    plan = plan_row(s, plan_hash)
    if plan["state"] != "current":  # its requests wait for another plan, or have one
        return
    for request_id in members(s, plan["batch_id"]):
        if request_row(s, request_id)["state"] in ("plan_approved", "executing", "auditing", "audit_passed"):
            fire(s, request_id, "fail", reason=why)


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
    return _failed(shop, plan_hash, attempt, None, str(error))


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
