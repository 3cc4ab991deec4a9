"""The inbox as a query: filters, a page of rows with their level, and how many there are in each state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.due_dates import DUE
from expunge.desk.lifecycle import STATES, TABLE
from expunge.desk.names import ALPHABET, READ_AS, REFERENCE_LETTERS
from expunge.desk.views import DONE, row_view
from expunge.web.page_labels import LEVELS
from expunge.web.paging import SIZE

VIEWS = ("mine", "open", "done", "all")
ANY_TIME = ("hold", "cancel", "revoke", "mark_duplicate", "give_up")  # events that are no sign of waiting
AFTER_AUDIT = ("audit_passed", "promotion_approved", "promoted", "purging", "notified", "closed")
BEGINNING = re.compile(r"E-([0-9A-Z-]{1,12})")


@dataclass(frozen=True)
class InboxFilter:
    """What of the inbox is shown.

    Attributes:
        view: `mine` (waits for the role), `open`, `done` or `all`.
        state: Only this state.
        beginning: Only references that begin so, in the form `E-7K3M`.
        page: Number of the page, from 1.
    """

    view: str = "open"
    state: str = ""
    beginning: str = ""
    page: int = 1

    def conditions(self, role: str) -> list[ColumnElement[bool]]:
        """The filter as conditions of a query."""
        where: list[ColumnElement[bool]] = []
        if self.state:
            where.append(t.request.c.state == self.state)
        elif self.view == "mine":
            where.append(t.request.c.state.in_(waits_for(role)))
        elif self.view in ("open", "done"):
            where.append(t.request.c.state.in_(DONE) if self.view == "done" else t.request.c.state.not_in(DONE))
        if self.beginning:
            where.append(t.request.c.reference.like(f"{self.beginning}%"))
        return where


def waits_for(role: str) -> tuple[str, ...]:
    """States in which a request waits for something that this role does."""
    return tuple(
        dict.fromkeys(
            row.source for row in TABLE if role in row.roles and row.event not in ANY_TIME and row.source in STATES
        )
    )


def as_beginning(text: str) -> str:
    """What somebody typed as the beginning of a reference; "" if it is none.

    It stands in the address of the page, so nothing else may pass for one: a name, say, or the number of a record.
    """
    match = BEGINNING.fullmatch(text.strip().upper())
    letters = match[1].replace("-", "").translate(READ_AS) if match else ""
    if not letters or len(letters) > REFERENCE_LETTERS + 1 or not set(letters) <= set(ALPHABET):
        return ""
    return "-".join(filter(None, ("E", letters[:4], letters[4:8], letters[8:])))


def inbox_rows(s: DeskSession, chosen: InboxFilter) -> tuple[list[dict[str, Any]], int]:
    """(the rows of a page by due date, how many there are on all pages)."""
    s.actor.check_may("read")
    where = chosen.conditions(s.actor.role)
    total = int(s.conn.execute(select(func.count()).select_from(t.request).where(*where)).scalar_one())
    query = select(t.request).where(*where).order_by(DUE.is_(None), DUE, t.request.c.id)
    rows = s.conn.execute(query.limit(SIZE).offset(SIZE * (chosen.page - 1))).mappings().all()
    levels = _levels(s, [row["batch_id"] for row in rows if row["batch_id"]])
    views = []
    for row in rows:
        level = levels.get(row["batch_id"], "") if row["state"] in AFTER_AUDIT else ""
        views.append({**row_view(s, row), "level": level, "language": row["language"]})
    return views, total


def _levels(s: DeskSession, batches: Sequence[str]) -> dict[str, str]:
    """Batch -> level that its latest plan reaches once the audit has passed."""
    query = select(t.plan.c.batch_id, t.plan.c.kind).where(t.plan.c.batch_id.in_(set(batches)))
    rows = s.conn.execute(query.order_by(t.plan.c.number)).tuples()
    return {batch: LEVELS.get(kind, "") for batch, kind in rows}


def state_counts(s: DeskSession) -> dict[str, int]:
    """State -> number of requests, in the order of the lifecycle, without empty ones."""
    query = select(t.request.c.state, func.count()).group_by(t.request.c.state)
    counts: dict[str, int] = dict(s.conn.execute(query).tuples().all())
    return {state: counts[state] for state in STATES if state in counts}


def view_counts(counts: dict[str, int], role: str) -> dict[str, int]:
    """View -> number of requests."""
    done = sum(counts.get(state, 0) for state in DONE)
    total = sum(counts.values())
    return {
        "mine": sum(counts.get(state, 0) for state in waits_for(role)),
        "open": total - done,
        "done": done,
        "all": total,
    }
