"""Which subject of an identity provider is which person of the desk. Roles stay those of the desk.

A person has at most one subject, and a subject is at most one person. An admin binds them; where the settings of the
sign-in name a claim, the first sign-in binds them, and from then on another subject with the same claim is refused.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from expunge.desk.desk import DeskSession
from expunge.desk.names import new_id
from expunge.desk.oidc_tables import oidc_account
from expunge.desk.people import people
from expunge.desk.roles import Refusal
from expunge.errors import InputError, unknown

MAX_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
PURPOSE = "oidc"


def bind_subject(s: DeskSession, person: str, issuer: str, subject: str) -> None:
    """From now on a subject signs in as a person; whoever signed in as them at the issuer before is out.

    Raises:
        InputError: no such person, or no usable subject.
        Refusal: the subject is another person of the desk.
    """
    s.actor.check_may("edit people")
    everybody = people(s)
    if person not in everybody:
        raise unknown("person", person, everybody)
    check_subject(subject)
    other = bound_person(s, issuer, subject)
    if other not in (None, person):
        raise Refusal("subject", f"is bound to {other}", f"end that first: close the account of {other}", "conflict")
    _store(s, person, issuer, subject)
    s.log("account.bind", {"person": person, "by": s.actor.role})


def bind_by_claim(s: DeskSession, person: str, issuer: str, subject: str) -> bool:
    """Bind somebody who was never bound, and whom no admin shut out, at their first sign-in; says whether it did."""
    if person not in people(s) or _row(s, person) is not None or bound_person(s, issuer, subject) is not None:
        return False
    _store(s, person, issuer, subject)
    s.log("account.bind", {"person": person, "by": "claim"})
    return True


def check_subject(subject: str) -> str:
    """A subject as the specification has it: 1 to 255 printable ASCII characters."""
    if not 1 <= len(subject) <= MAX_SUBJECT or not subject.isascii() or not subject.isprintable():
        raise InputError("subject", "is none", "give the claim `sub` of the person: 1 to 255 ASCII characters")
    return subject


def bound_person(s: DeskSession, issuer: str, subject: str) -> str | None:
    """Who a subject is, whether they still work here or not."""
    digests = s.keys.keyed_digests(_text(issuer, subject), PURPOSE)
    row = s.conn.execute(select(oidc_account.c.person).where(oidc_account.c.digest.in_(digests))).first()
    return None if row is None else str(row[0])


def binding_stamp(s: DeskSession, person: str) -> str | None:
    """What a session of a bound person must carry; None for somebody who is not bound."""
    row = _row(s, person)
    return None if row is None or row["digest"] is None else str(row["stamp"])


def forget_binding(s: DeskSession, person: str) -> None:
    """As if a person had never been bound: an admin lets them set up anew how they sign in."""
    s.conn.execute(delete(oidc_account).where(oidc_account.c.person == person))


def _row(s: DeskSession, person: str) -> RowMapping | None:
    return s.conn.execute(select(oidc_account).where(oidc_account.c.person == person)).mappings().first()


def _store(s: DeskSession, person: str, issuer: str, subject: str) -> None:
    text, row = _text(issuer, subject), _row(s, person)
    row_id = new_id() if row is None else row["id"]
    values: dict[str, Any] = {
        "ciphertext": s.keys.encrypt(text, (oidc_account.name, "ciphertext", row_id)),
        "key_id": s.keys.current,
        "digest": s.keys.keyed_digest(text, PURPOSE),
        "stamp": new_id(),
        "at": s.at,
    }
    if row is None:
        s.conn.execute(insert(oidc_account).values(id=row_id, person=person, **values))
    else:
        s.conn.execute(update(oidc_account).where(oidc_account.c.id == row_id).values(**values))


def _text(issuer: str, subject: str) -> str:
    return f"{issuer}\0{subject}"
