"""Tokens of programs that act for a person in one role. The desk keeps a hash; the token is shown once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk.desk import DeskSession
from expunge.desk.names import new_id, stamp
from expunge.desk.people import people
from expunge.desk.roles import Actor, Refusal
from expunge.desk.web_tables import api_token
from expunge.errors import InputError, unknown

PREFIX = "exd_"
MAX_DAYS = 400


def make_token(s: DeskSession, person: str, role: str, days: int = 90) -> tuple[str, str]:
    """A new token for a person in a role; returns its id, and the token, which is never shown again."""
    s.actor.check_may("edit people")
    everybody = people(s)
    if person not in everybody:
        raise unknown("person", person, everybody)
    if role not in everybody[person]:
        raise Refusal("token", f"{person} has not the role {role}", f"roles: {', '.join(everybody[person])}")
    if not 1 <= days <= MAX_DAYS:
        raise InputError("days", f"must be 1 to {MAX_DAYS}", "make a new token in time")
    token, row_id = PREFIX + secrets.token_urlsafe(32), new_id()
    ends = stamp(s.now + timedelta(days=days))
    values = {"id": row_id, "digest": token_digest(token), "person": person, "role": role, "at": s.at, "ends_at": ends}
    s.conn.execute(insert(api_token).values(**values))
    s.log("token.make", {"token": row_id, "person": person, "role": role, "ends_at": ends})
    return row_id, token


def revoke_token(s: DeskSession, token_id: str) -> None:
    """End a token; a second call changes nothing."""
    s.actor.check_may("edit people")
    row = s.conn.execute(select(api_token).where(api_token.c.id == token_id)).mappings().first()
    if row is None:
        raise Refusal("token", "there is no such token", "see expunge desk tokens", kind="missing")
    if row["revoked_at"] is None:
        s.conn.execute(update(api_token).where(api_token.c.id == token_id).values(revoked_at=s.at))
        s.log("token.revoke", {"token": token_id})


def tokens(s: DeskSession) -> list[RowMapping]:
    """All tokens without their hashes, newest first."""
    s.actor.check_may("edit people")
    columns = [column for column in api_token.c if column.name != "digest"]
    return list(s.conn.execute(select(*columns).order_by(api_token.c.id.desc())).mappings())


def token_actor(s: DeskSession, token: str) -> Actor | None:
    """Whom a token speaks for; None if it does not hold, or the person has left or lost the role."""
    row = s.conn.execute(select(api_token).where(api_token.c.digest == token_digest(token))).mappings().first()
    if row is None or row["revoked_at"] is not None or s.at >= row["ends_at"]:
        return None
    if row["role"] not in people(s).get(row["person"], ()):
        return None
    return Actor(row["person"], row["role"])


def token_digest(token: str) -> str:
    """SHA-256; a token is random, so nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
