"""Recipients of copies: somebody tells them and notes the day; then their confirmation is awaited.

The desk sends them nothing itself, so it says that they were told only after a person has said so.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, or_, select, update

from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.connectors.dated import Recipient
from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.noted_day import noted_day
from expunge.desk.purging import NO_NOTICE
from expunge.desk.roles import Refusal

MOST = 50  # tasks in a list


def note_notice(s: DeskSession, task_id: str, notice_on: str, note: str) -> str:
    """Note that a recipient was told: its task has a date then, and awaits the confirmation.

    Args:
        s: a session as clerk or operator.
        task_id: the purge task of the copy.
        notice_on: day on which the notice went out, such as 2026-03-05.
        note: how it was told, in words; stored encrypted.

    Returns:
        The day by which the recipient confirms.

    Raises:
        Refusal: no such task, one of no recipient, or one that is settled or was noted.
        InputError: a day that is none, or that lies in the future or before the request.
    """
    s.actor.check_may("tell recipient")
    row = s.conn.execute(select(t.task).where(t.task.c.id == task_id)).mappings().first()
    if row is None:
        raise Refusal("task", "there is no such task", kind="missing")
    connector = connector_of(asset_row(s, row["asset_id"]))
    if not isinstance(connector, Recipient):
        raise Refusal("task", "is about no copy at a recipient", "an operator settles it")
    if row["state"] == "done" or json.loads(row["receipt"] or "{}").get("notice_on"):
        raise Refusal("task", "is settled, or its notice was noted already", "an operator settles it", kind="conflict")
    if not note.strip():
        raise Refusal("task", "a reason is missing", "say how the recipient was told")
    received = ("the receipt of the request", request_row(s, row["request_id"])["received_on"])
    outcome = connector.notice(noted_day(notice_on, "the day of the notice", received, s.today))
    receipt = json.dumps(outcome.as_dict(), sort_keys=True)
    values = {"state": "dated", "due_on": outcome.due_on, "receipt": receipt, "problem": None, "at": s.at}
    s.conn.execute(update(t.task).where(t.task.c.id == task_id).values(**values))
    body = {"task": task_id, "asset": row["asset_id"], "state": "dated", "notice_on": outcome.notice_on}
    digests = {"reason": s.keep_reason(note, "task", row["request_id"]), "receipt": _digest(s, receipt)}
    s.log("task.tell", {**body, **digests}, row["request_id"])
    return str(outcome.due_on)


def _digest(s: DeskSession, receipt: str) -> str:
    return s.keys.keyed_digest(receipt, "receipt")


def tasks_for_people(s: DeskSession, limit: int = MOST) -> list[dict[str, Any]]:
    """Purge tasks that wait for a person: recipients to tell, and dates that are over without a confirmation.

    Returns:
        `reference`, `asset` and `what`, those that wait longest first. One statement, whatever waits at the desk.
    """
    s.actor.check_may("read")
    silent = and_(t.task.c.state == "open", t.task.c.problem == NO_NOTICE)
    over = and_(t.task.c.state == "dated", t.task.c.due_on < s.today)
    columns = (t.request.c.reference, t.asset.c.name, t.asset.c.kind, t.task.c.due_on, t.task.c.receipt)
    query = (
        select(*columns)
        .join(t.request, t.request.c.id == t.task.c.request_id)
        .join(t.asset, t.asset.c.id == t.task.c.asset_id)
        .where(or_(silent, over, _untold()), t.request.c.records_ended_at.is_(None))
        .order_by(t.task.c.at, t.task.c.id)
        .limit(limit)
    )
    rows = s.conn.execute(query).mappings()
    return [{"reference": row["reference"], "asset": row["name"], "what": _what(row)} for row in rows]


def _untold() -> Any:
    """Recipients' tasks of older versions, which had a date although nobody was told."""
    return and_(t.task.c.state == "dated", t.asset.c.kind == "downstream", ~t.task.c.receipt.contains('"notice_on": "'))


def _what(row: Any) -> str:
    if row["kind"] == "downstream" and not json.loads(row["receipt"] or "{}").get("notice_on"):
        return f"{NO_NOTICE}; tell it, and note the day"
    if row["kind"] == "downstream":
        return f"the recipient had to confirm by {row['due_on']}; ask it, then settle the task"
    return f"had to expire by {row['due_on']}; look whether it has, then settle the task"
