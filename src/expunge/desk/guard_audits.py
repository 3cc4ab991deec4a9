"""What the guard over earlier requests asked after a run, and what it found: its rows, their log, and its view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, insert, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.guard_tables import guard_audit


@dataclass(frozen=True)
class GuardAudit:
    """What was asked of one earlier request.

    Attributes:
        request_id: The request.
        status: Of its audit; `not_run` if the audit could not be made, `no_records` if no record is left to ask,
            `not_tested` if it was not chosen.
        choice: Why it was attacked: `worst` or `random`; None for one that was not.
        digest: SHA-256 of its audit.json.
    """

    request_id: str
    status: str
    choice: str | None = None
    digest: str | None = None


def register_guard(s: DeskSession, run_id: str, audits: Sequence[GuardAudit]) -> None:
    """Note what was asked of earlier requests after a run, and log each audit; a second call changes nothing."""
    here = guard_audit.c.run_id == run_id
    known = set(s.conn.execute(select(guard_audit.c.request_id).where(here)).scalars())
    for each in audits:
        if each.request_id in known:
            continue
        values = {"choice": each.choice, "status": each.status, "digest": each.digest}
        row = {"run_id": run_id, "request_id": each.request_id, "at": s.at, **values}
        s.conn.execute(insert(guard_audit).values(**row))
        if each.choice:
            body = {"run": run_id, "choice": each.choice, "status": each.status, "audit": each.digest}
            s.log("guard.audit", body, each.request_id)


def guard_rows(s: DeskSession, run: RowMapping | None) -> list[dict[str, Any]]:
    """What was asked of each earlier request, by reference number, those that were attacked first."""
    s.actor.check_may("read")
    columns = (t.request.c.reference, guard_audit.c.choice, guard_audit.c.status, guard_audit.c.digest)
    query = select(*columns).join(t.request, t.request.c.id == guard_audit.c.request_id)
    rows = s.conn.execute(query.where(guard_audit.c.run_id == run["id"])).mappings().all() if run is not None else []
    order = {"worst": 0, "random": 1}
    return [dict(row) for row in sorted(rows, key=lambda r: (order.get(r["choice"], 2), r["status"], r["reference"]))]


def guard_counts(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many earlier requests have each status."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts
