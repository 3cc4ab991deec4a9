"""The chain of a run: the requests that the runs before it had the model forget, as far as the model says so itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.plans import content_of, plan_row


@dataclass(frozen=True)
class EarlierRequest:
    """A request that an earlier run of the chain forgot.

    Attributes:
        request_id: The request.
        number: Place of its run in the chain, from 1.
    """

    request_id: str
    number: int


def earlier_requests(s: DeskSession, content: dict[str, Any]) -> list[EarlierRequest]:
    """The requests of the runs before that of a plan, oldest first."""
    groups: list[list[str]] = []
    after = content["after_run"]
    while after:
        plan_hash = s.conn.execute(select(t.run.c.plan_hash).where(t.run.c.id == after)).scalar_one()
        before = content_of(plan_row(s, plan_hash))
        groups.append(list(before["requests"]))
        after = before["after_run"]
    return [EarlierRequest(name, k) for k, group in enumerate(reversed(groups), 1) for name in group]
