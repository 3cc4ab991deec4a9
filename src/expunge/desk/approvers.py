"""Whose word an approval is. The desk knows names, not people: an admin could make up a second one.

It cannot see that, so it says where the role and the account of an approver come from wherever that is worth a
question: an admin who worked on the request gave them, or they were given while the request was under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.facts import facts_of, members
from expunge.desk.keys import parse_body
from expunge.desk.lifecycle import IN_BATCH

ROLE, ACCOUNT = "role", "account"
ACCOUNTS = ("account.open", "account.bind")  # what an admin can do so that somebody signs in as a person
TYPES = ("person.set", "person.leave", *ACCOUNTS)
OPEN = (*IN_BATCH, "promoted", "purging")  # states of a request whose approvals still matter


@dataclass(frozen=True)
class AccessGrant:
    """That an admin gave somebody the role of approver, or opened their account anew, or bound it to a subject."""

    what: str
    person: str
    admin: str
    at: str


def access_grants(s: DeskSession) -> dict[str, list[AccessGrant]]:
    """Person -> the newest grant of the role that they have, and of an account, as the log has them."""
    roles: dict[str, AccessGrant] = {}
    accounts: dict[str, AccessGrant] = {}
    columns = (t.event_log.c.type, t.event_log.c.actor, t.event_log.c.at, t.event_log.c.body)
    query = select(*columns).where(t.event_log.c.type.in_(TYPES)).order_by(t.event_log.c.seq)
    for row in s.conn.execute(query).mappings():
        body: dict[str, Any] = parse_body(row["body"])
        name = str(body["person"])
        if row["type"] in ACCOUNTS:
            if body.get("by") != "claim":  # the provider itself named the person
                accounts[name] = AccessGrant(ACCOUNT, name, row["actor"], row["at"])
        elif row["type"] == "person.set" and "approver" in body["roles"]:
            roles.setdefault(name, AccessGrant(ROLE, name, row["actor"], row["at"]))
        else:
            roles.pop(name, None)
    return {name: [each for each in (roles.get(name), accounts.get(name)) if each] for name in {*roles, *accounts}}


def approval_doubts(s: DeskSession, plan: RowMapping, also: str = "") -> list[str]:
    """What is worth a question about those who approved a plan or its promotion, one line each.

    Args:
        s: a session.
        plan: row of the plan.
        also: somebody who is about to approve it.
    """
    names = {plan["approver"], plan["promotion_approver"], also} - {None, ""}
    requests = members(s, plan["batch_id"])
    if not names or not requests or s.settings.single_person:
        return []
    workers = frozenset().union(*(facts_of(s, request_id).operators for request_id in requests))
    known = access_grants(s)
    return [
        line for name in sorted(names) for grant in known.get(name, []) if (line := _doubt(grant, plan["at"], workers))
    ]


def _doubt(grant: AccessGrant, planned_at: str, workers: frozenset[str]) -> str:
    did = "got the role approver from" if grant.what == ROLE else "had the account opened by"
    if grant.admin in workers:
        return f"{grant.person} {did} {grant.admin}, who worked on a request of the plan"
    return f"{grant.person} {did} {grant.admin} after the plan was made" if grant.at > planned_at else ""


def doubtful_approvals(s: DeskSession) -> list[str]:
    """The same for all plans whose requests are under way, with the beginning of the plan's hash."""
    batches = select(t.request.c.batch_id).where(t.request.c.state.in_(OPEN), t.request.c.batch_id.is_not(None))
    query = select(t.plan).where(t.plan.c.batch_id.in_(batches), t.plan.c.state == "current")
    rows = s.conn.execute(query.where(t.plan.c.approver.is_not(None)).order_by(t.plan.c.id)).mappings().all()
    return [f"plan {row['hash'][:16]}: {line}" for row in rows for line in approval_doubts(s, row)]
