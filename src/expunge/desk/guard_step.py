"""The guard over earlier requests: their questions are asked again after a run, and some of them are attacked again.

Each attack is an audit of its own under the policy of the plan, made once, so a worker that goes on after a crash makes
only those that are missing. Nothing is attacked for a run that cannot be promoted anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._io import digest_file
from expunge.desk.audit_work import AuditWork
from expunge.desk.evidence_log import log_attempts
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.guard_audits import GuardAudit
from expunge.desk.guard_choice import choose_attacked, guard_status
from expunge.desk.guard_files import guard_folder, guards_without
from expunge.desk.guard_requests import records_left, write_guard_scope
from expunge.desk.roles import SYSTEM
from expunge.desk.run_chain import EarlierRequest, earlier_requests
from expunge.desk.workshop import Answer


@dataclass(frozen=True)
class GuardOutcome:
    """What the guard found.

    Attributes:
        status: `none` without earlier requests; `failed` if one of them is not forgotten any more; `inconclusive` if
            one that was chosen could not be judged; else `passed`.
        audits: What was asked of each earlier request.
    """

    status: str
    audits: tuple[GuardAudit, ...] = ()


def guard_earlier(audits: AuditWork, content: dict[str, Any], audit: str, status: str) -> GuardOutcome | Answer:
    """Judge earlier requests by the scoring pass, and attack some; the answer of the step if it ended meanwhile.

    Args:
        audits: The audits of the run.
        content: Content of its plan.
        audit: Folder of an audit of the run's own request, which asked all requests of the chain.
        status: Verdict on the run's own requests.
    """
    from expunge.audit.request_file import load_history

    if not content["after_run"]:
        return GuardOutcome("none")
    work = audits.work
    with work.shop.desk.reading(SYSTEM) as s:
        earlier = earlier_requests(s, content)
    none_attacked = tuple(GuardAudit(each.request_id, "not_tested") for each in earlier)
    if not (work.folder / EXECUTORS.get(content["kind"]).result / "run.json").is_file():
        return GuardOutcome("inconclusive", none_attacked)  # trained again without their records: no chain to ask
    history = load_history(work.folder / audit)
    if history is None or history.back:
        return GuardOutcome("failed", none_attacked)
    settings = work.shop.desk.settings
    sizes = content.get("guard") or {"worst": settings.guard_worst, "random": settings.guard_random}
    if status != "passed" or not any(sizes.values()):
        return GuardOutcome("passed", none_attacked)
    excess = {row.number: row.excess for row in history.requests}
    return _attack(audits, content, earlier, excess, sizes)


def _attack(
    audits: AuditWork,
    content: dict[str, Any],
    earlier: list[EarlierRequest],
    excess: dict[int, float | None],
    sizes: dict[str, int],
) -> GuardOutcome | Answer:
    work, requests = audits.work, [each.request_id for each in earlier]
    with work.shop.desk.reading(SYSTEM) as s:
        names = records_left(s, content, requests)
    excesses = {each.request_id: excess.get(each.number) for each in earlier if each.request_id in names}
    chosen = choose_attacked(excesses, sizes["worst"], sizes["random"], work.plan_hash)
    made: dict[str, GuardAudit] = {}
    for request_id, choice in chosen.items():
        scope = write_guard_scope(work.folder, request_id, names[request_id])
        answer = audits.make(guard_folder(request_id), scope, may_refuse=True)
        if isinstance(answer, dict):
            return answer
        made[request_id] = GuardAudit(request_id, answer, choice, _digest(work.folder, request_id, answer))
    if work.has_keys:
        log_attempts(work.shop.desk, {name: each.digest for name, each in made.items() if each.digest})
    with work.shop.desk.session(SYSTEM) as s:  # of those that lost their last record meanwhile, nothing stays
        s.delete_files(guards_without(work.folder, records_left(s, content, requests)))
    rows = []
    for each in earlier:
        status = "not_tested" if each.request_id in names else "no_records"
        rows.append(made.get(each.request_id) or GuardAudit(each.request_id, status))
    return GuardOutcome(guard_status(each.status for each in made.values()), tuple(rows))


def _digest(folder: Path, request_id: str, status: str) -> str | None:
    return None if status == "not_run" else digest_file(folder / guard_folder(request_id) / "audit.json")
