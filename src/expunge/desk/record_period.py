"""The record period of a request: when it is over, and what is deleted then.

Letters, probes and what runs left on disk hold names, and so do audits of the request after later runs. The opaque
rows, the log, certificates and receipts stay, and so does a model that is in use or was not purged: later runs stand on
it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import RowMapping, select, update

from expunge.desk import tables as t
from expunge.desk.deadlines import add_months
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import OUTBOX
from expunge.desk.guard_files import guard_files
from expunge.desk.keys import parse_body
from expunge.desk.manifest import FILE as MANIFEST
from expunge.desk.models import folders_in_use
from expunge.desk.names import moment, stamp
from expunge.desk.probes import shred_probes
from expunge.desk.purging import purge_request
from expunge.desk.regime_texts import LostRules
from expunge.desk.roles import SYSTEM
from expunge.errors import InputError

EVIDENCE = ("certificates", "receipts")  # folders of a run that hold no name
CLEARING_DAYS = 30  # after the end of a request for which a worker looks for what is left of its runs


def purge_records(s: DeskSession) -> list[str]:
    """Purge closed requests; of those whose record period is over, delete probes and letters.

    Returns:
        Ids of the requests whose record period has ended since the last call.
    """
    here = t.request.c
    closed = (here.state == "closed", here.records_ended_at.is_(None))
    for request_id in s.conn.execute(select(here.id).where(*closed, here.purged_at.is_(None))).scalars().all():
        purge_request(s, request_id)
    over: list[str] = []
    for used in s.conn.execute(select(here.regime, here.regime_digest).where(*closed).distinct()).mappings().all():
        try:
            months = s.rules_of(used).record_months
        except LostRules:  # their records stay until the policy is back
            continue
        before = stamp(s.now - timedelta(days=28 * months))  # no month is shorter
        old = (here.regime_digest == used["regime_digest"], here.closed_at < before)
        rows = s.conn.execute(select(t.request).where(*closed, *old)).mappings()
        over += [row["id"] for row in rows if last_day(row, months).isoformat() < s.today]
    for request_id in over:
        _end(s, request_id)
    return over


def last_day(row: RowMapping, months: int) -> date:
    """The last day of the record period of a closed request."""
    return add_months(moment(row["closed_at"]).date(), months)


def _end(s: DeskSession, request_id: str) -> None:
    shred_probes(s, request_id)
    later = t.reason.c.request_id == request_id  # of tasks that were settled after the purge of the request
    s.conn.execute(update(t.reason).where(later).values(ciphertext=None, key_id=None))
    s.delete_files((s.desk.folder / OUTBOX).glob(f"{request_id}.*.html"))
    s.delete_files(guard_files(s.desk.runs, request_id))
    s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(records_ended_at=s.at))
    s.log("records.end", {}, request_id)


def ended_plans(s: DeskSession) -> list[RowMapping]:
    """Plans of which the last request has ended within `CLEARING_DAYS`."""
    since = (date.fromisoformat(s.today) - timedelta(days=CLEARING_DAYS)).isoformat()
    query = select(t.request.c.id, t.request.c.records_ended_at).where(t.request.c.records_ended_at.is_not(None))
    ends = {str(name): str(at) for name, at in s.conn.execute(query).tuples()}
    if max(ends.values(), default="") < since:
        return []
    chosen = []
    for plan in s.conn.execute(select(t.plan).order_by(t.plan.c.at)).mappings().all():
        times = [ends.get(name, "") for name in parse_body(plan["content"])["requests"]]
        if all(times) and max(times, default="") >= since:
            chosen.append(plan)
    return chosen


def work_of(plans: Sequence[RowMapping]) -> list[str]:
    """How the names of durable work for these plans begin."""
    runs = [f"{name}:{plan['hash']}:" for plan in plans for name in ("run", "release", "rehearse")]
    return [*runs, *(f"prepare:{batch}:" for batch in sorted({str(plan["batch_id"]) for plan in plans}))]


def delete_run_files(desk: Desk, plans: Sequence[RowMapping]) -> list[str]:
    """Delete what runs left of these plans: audits, inputs, messages, and models that are neither in use nor kept.

    Certificates and receipts stay, and so does every folder that the desk names as a model in use or as a version that
    was not purged, whatever lies beside it. A second call changes nothing.

    Returns:
        A line for each folder of which something could not be deleted, or of which the manifest is gone.
    """
    if not plans:
        return []
    with desk.reading(SYSTEM) as s:
        in_use = folders_in_use(s)
    problems = []
    for plan in plans:
        folder = desk.runs / str(plan["hash"])[:16]
        try:
            if folder.is_dir():
                clear_folder(folder, (*EVIDENCE, MANIFEST) if plan["swapped_at"] else EVIDENCE, in_use)
        except (InputError, OSError) as error:
            what = error.strerror if isinstance(error, OSError) else error
            problems.append(f"{folder}: the record period is over, and it cannot be deleted: {what}; delete it by hand")
        if not (folder / MANIFEST).is_file() and any(_holds(folder, each) for each in in_use):
            problems.append(f"{folder / MANIFEST}: is gone, and a model of this folder is kept; restore the manifest")
    return problems


def clear_folder(folder: Path, stays: Collection[str], in_use: Collection[Path]) -> None:
    """Delete what is in a folder of runs, but for these names and what holds a model that is in use or kept."""
    for path in folder.iterdir():
        if path.name in stays or any(_holds(path, each) or _holds(each, path) for each in in_use):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _holds(folder: Path, path: Path) -> bool:
    """Whether a path is a folder or lies in it."""
    return path.resolve().is_relative_to(folder.resolve())
