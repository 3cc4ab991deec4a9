"""Who works at the desk, in which roles. Sign-in is a matter of the page or the shell that opens the session."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.names import new_id
from expunge.desk.oidc_tables import oidc_account
from expunge.desk.roles import PEOPLE, Actor, Refusal
from expunge.desk.web_tables import account, api_token
from expunge.errors import InputError, unknown


def set_person(s: DeskSession, name: str, roles: Iterable[str]) -> None:
    """Add a person or change their roles. The first person of a new desk must be an admin."""
    wanted = sorted(set(roles))
    for role in wanted:
        if role not in PEOPLE:
            raise unknown("role", role, PEOPLE)
    if not re.fullmatch(r"[a-z][a-z0-9._-]{0,39}", name) or name == "system":
        raise InputError("person", "has no usable name", "use small letters, digits and - . _")
    if "admin" in wanted and {"approver", "reviewer"} & set(wanted) and not s.settings.single_person:
        raise Refusal("person", "an admin approves nothing", "give the roles to two people")
    everybody = people(s)
    if everybody or s.actor.role != "system":
        s.actor.check_may("edit people")
    elif "admin" not in wanted:
        raise Refusal("person", "the first person must be an admin", "give the role admin")
    if "admin" not in wanted and [n for n, roles in everybody.items() if "admin" in roles] == [name]:
        raise Refusal("person", "is the only admin", "make another one first")
    is_known = s.conn.execute(select(t.person.c.name).where(t.person.c.name == name)).first() is not None
    if is_known:  # also somebody who left and comes back
        s.conn.execute(update(t.person).where(t.person.c.name == name).values(roles=json.dumps(wanted), left_at=None))
    else:
        s.conn.execute(insert(t.person).values(name=name, roles=json.dumps(wanted), at=s.at))
    s.log("person.set", {"person": name, "roles": wanted})


def people(s: DeskSession) -> dict[str, list[str]]:
    """Name -> roles of everybody who has not left."""
    query = select(t.person).where(t.person.c.left_at.is_(None)).order_by(t.person.c.name)
    return {row["name"]: json.loads(row["roles"]) for row in s.conn.execute(query).mappings()}


def remove_person(s: DeskSession, name: str) -> None:
    """Somebody leaves: account and tokens end, so that they do not come back with the name; it stays in the log."""
    s.actor.check_may("edit people")
    everybody = people(s)
    if name not in everybody:
        raise unknown("person", name, everybody)
    if [n for n, roles in everybody.items() if "admin" in roles] == [name]:
        raise Refusal("person", "is the only admin", "make another one first")
    s.conn.execute(update(t.person).where(t.person.c.name == name).values(left_at=s.at))
    end_access(s, name)
    s.log("person.leave", {"person": name})


def end_access(s: DeskSession, name: str) -> None:
    """End account and tokens of a person, and what they sign in with at an identity provider."""
    tokens = update(api_token).where(api_token.c.person == name, api_token.c.revoked_at.is_(None))
    s.conn.execute(tokens.values(revoked_at=s.at))
    nothing = dict.fromkeys(("password", "ciphertext", "key_id", "enrolled_at", "enrol_digest"))
    s.conn.execute(update(account).where(account.c.person == name).values(**nothing, changed_at=s.at))
    shut: dict[str, Any] = {"ciphertext": None, "key_id": None, "digest": None, "stamp": new_id(), "at": s.at}
    if not s.conn.execute(update(oidc_account).where(oidc_account.c.person == name).values(**shut)).rowcount:
        s.conn.execute(insert(oidc_account).values(id=new_id(), person=name, **shut))


def actor_of(s: DeskSession, name: str, role: str) -> Actor:
    """The actor for a person in one of their roles; `Refusal` if they do not have it."""
    everybody = people(s)
    if name not in everybody:
        raise Refusal("person", f"{name} does not work at this desk", "ask an admin", kind="role")
    if role not in everybody[name]:
        raise Refusal("person", f"{name} has not the role {role}", f"roles: {', '.join(everybody[name])}", kind="role")
    return Actor(name, role)
