"""Accounts: a password (argon2) and a one-time code (TOTP, RFC 6238), set up with a token that an admin hands over.

A code is taken once. Wrong attempts lock an account for a time that doubles. The log holds who signed in and that
somebody failed, never what was typed.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk.desk import Desk, DeskSession
from expunge.desk.names import new_id, stamp
from expunge.desk.oidc_binding import binding_stamp, forget_binding
from expunge.desk.people import end_access, people
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.web_tables import account
from expunge.errors import InputError, unknown
from expunge.web.tokens import token_digest

MIN_PASSWORD, MAX_PASSWORD = 12, 256
STEP = 30  # seconds for which a code is shown
DRIFT = 1  # steps before and after that are taken, too
ENROL_HOURS = 24
FREE_FAILURES, MAX_LOCK = 5, timedelta(minutes=15)
WRONG = ("sign-in", "name, password or code is wrong, or the account is locked", "wait a minute, or ask an admin")
WRONG_TOKEN = ("set-up", "name or token is wrong, or the token is over", "ask an admin for a new one")
HASHING = threading.BoundedSemaphore(2)  # one hash takes 64 MiB


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, with which roles, and the stamp of the account."""

    person: str
    roles: tuple[str, ...]
    stamp: str


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)


@cache
def _nobody() -> str:
    """A hash for names that do not exist, so that they take as long."""
    return str(_hasher().hash(secrets.token_urlsafe(16)))


def hash_password(password: str, person: str = "") -> str:
    """The argon2id hash; `InputError` for a password that is too short, too long, or the name itself."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InputError(
            "password", f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters", "four words are easy to keep"
        )
    if len(set(password)) < 5 or (person and password.casefold().startswith(person.casefold())):
        raise InputError("password", "is easy to guess", "four words are easy to keep")
    with HASHING:
        return str(_hasher().hash(password))


def password_fits(stored: str | None, password: str) -> bool:
    """Whether a password is the one of a hash; takes as long without one."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with HASHING:
        try:
            fits = _hasher().verify(stored or _nobody(), password[: MAX_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            return False
    return bool(fits) and stored is not None


def code_step(secret: str, code: str, now: float) -> int | None:
    """The step of 30 s whose code this is, among now and its neighbors; None for a wrong code."""
    import pyotp

    totp, step = pyotp.TOTP(secret), int(now) // STEP
    for near in range(step - DRIFT, step + DRIFT + 1):
        if hmac.compare_digest(totp.at(near * STEP).encode(), code.strip().encode()):
            return near
    return None


def account_row(s: DeskSession, person: str) -> RowMapping | None:
    """The account of a person."""
    return s.conn.execute(select(account).where(account.c.person == person)).mappings().first()


def stamps_of(s: DeskSession, person: str) -> set[str]:
    """Stamps, of which a session of a person must carry one: of the account, and of the subject they are bound to."""
    row, bound = account_row(s, person), binding_stamp(s, person)
    return ({row["changed_at"]} if row and row["enrolled_at"] else set()) | ({bound} if bound else set())


def open_account(s: DeskSession, person: str, password: str | None = None) -> str:
    """Let a person set up their account anew; returns a token that is shown once and holds for a day.

    Whatever they signed in with before ends now. This is also the way back for somebody who lost password or phone.

    Args:
        s: a session as admin.
        person: somebody of the desk.
        password: set for them; without one they choose it when they set up the account.
    """
    s.actor.check_may("edit people")
    everybody = people(s)
    if person not in everybody:
        raise unknown("person", person, everybody)
    token = secrets.token_urlsafe(24)
    values = {
        "password": None if password is None else hash_password(password, person),
        "ciphertext": None,
        "key_id": None,
        "failures": 0,
        "locked_until": None,
        "enrol_digest": token_digest(token),
        "enrol_until": stamp(s.now + timedelta(hours=ENROL_HOURS)),
        "enrolled_at": None,
        "changed_at": s.at,
    }
    if account_row(s, person) is None:
        s.conn.execute(insert(account).values(id=new_id(), person=person, last_step=0, **values))
    else:
        s.conn.execute(update(account).where(account.c.person == person).values(**values))
    forget_binding(s, person)
    s.log("account.open", {"person": person})
    return token


def begin_enrolment(desk: Desk, person: str, token: str, password: str) -> str:
    """With the token of an admin: keep the password, and return a new secret for one-time codes.

    Until a code of it was shown, nobody can sign in with it, and the token holds.
    """
    row = _with_token(desk, person, token)
    hashed = hash_password(password, person) if password or row["password"] is None else row["password"]
    secret = _new_secret()
    with desk.session(SYSTEM) as s:
        _store_secret(s, row, secret, password=hashed)
    return secret


def finish_enrolment(desk: Desk, person: str, token: str, code: str) -> None:
    """With a first code the account is set up, and the token is used up."""
    row = _with_token(desk, person, token)
    if row["ciphertext"] is None or row["password"] is None:
        raise Refusal("set-up", "has not begun", "choose a password first", kind="state")
    with desk.reading(SYSTEM) as s:
        step = code_step(_secret(s, row), code, s.now.timestamp())
    if step is None:
        _fail(desk, row)
        raise InputError("code", "is wrong", "take the one that is shown now, and check the clock of the phone")
    with desk.session(Actor(person, _first_role(desk, person))) as s:
        values = {"enrolled_at": s.at, "changed_at": s.at, "enrol_digest": None, "enrol_until": None}
        s.conn.execute(update(account).where(account.c.id == row["id"]).values(**values, failures=0, last_step=step))
        s.log("account.enrol", {"person": person})


def set_account(s: DeskSession, person: str, password: str, secret: str) -> None:
    """An account that is ready at once, with a known secret: for demonstrations and tests."""
    open_account(s, person, password)
    row = account_row(s, person)
    assert row is not None
    _store_secret(s, row, secret, enrolled_at=s.at, enrol_digest=None, enrol_until=None)


def close_account(s: DeskSession, person: str) -> None:
    """Nobody signs in as this person any more, or with a token of theirs, until an admin opens the account again."""
    s.actor.check_may("edit people")
    if account_row(s, person) is None and person not in people(s):
        raise unknown("person", person, people(s))
    end_access(s, person)
    s.log("account.close", {"person": person})


def sign_in(desk: Desk, person: str, password: str, code: str) -> SignedIn:
    """Check password and code.

    Raises:
        Turned: they are wrong, the code was used before, or the account is locked; which of these is not told.
    """
    with desk.reading(SYSTEM) as s:
        row, roles = account_row(s, person), tuple(people(s).get(person, ()))
        is_locked = row is not None and row["locked_until"] is not None and s.at < row["locked_until"]
        is_ready = row is not None and row["enrolled_at"] is not None and bool(roles) and not is_locked
        step = code_step(_secret(s, row), code, s.now.timestamp()) if row is not None and is_ready else None
    fits = password_fits(row["password"] if row is not None and is_ready else None, password)
    if row is None or not is_ready or not fits or step is None:
        _fail(desk, row if row is not None and not is_locked else None)
        raise _turned()
    with desk.session(Actor(person, roles[0])) as s:
        unused = (account.c.id == row["id"], account.c.last_step < step, account.c.changed_at == row["changed_at"])
        values = {"last_step": step, "failures": 0, "locked_until": None}
        if s.conn.execute(update(account).where(*unused).values(**values)).rowcount == 1:
            s.log("account.sign_in", {"person": person})
            return SignedIn(person, roles, row["changed_at"])
    _fail(desk, row)
    raise _turned()


def _turned() -> InputError:
    from expunge.web.errors import Turned

    where, what, hint = WRONG
    return Turned(403, what, hint, where)


def _fail(desk: Desk, row: RowMapping | None) -> None:
    """Count and log a failed attempt; the fifth locks for a minute, each further one twice as long."""
    with desk.session(SYSTEM) as s:
        if row is None:
            s.log("account.refuse", {"known": False})
            return
        failures = int(s.conn.execute(select(account.c.failures).where(account.c.id == row["id"])).scalar_one()) + 1
        values: dict[str, Any] = {"failures": failures}
        if failures >= FREE_FAILURES:
            lock = min(timedelta(minutes=1) * 2 ** min(failures - FREE_FAILURES, 10), MAX_LOCK)
            values["locked_until"] = stamp(s.now + lock)
        s.conn.execute(update(account).where(account.c.id == row["id"]).values(**values))
        s.log("account.refuse", {"known": True, "person": row["person"], "failures": failures})


def _with_token(desk: Desk, person: str, token: str) -> RowMapping:
    with desk.reading(SYSTEM) as s:
        row = account_row(s, person)
        is_locked = row is not None and row["locked_until"] is not None and s.at < row["locked_until"]
        is_open = (
            row is not None
            and row["enrol_digest"] is not None
            and s.at < row["enrol_until"]
            and not is_locked
            and hmac.compare_digest(row["enrol_digest"], token_digest(token.strip()))
            and person in people(s)
        )
    if row is None or not is_open:
        _fail(desk, None if is_locked else row)
        from expunge.web.errors import Turned

        where, what, hint = WRONG_TOKEN
        raise Turned(403, what, hint, where)
    return row


def _first_role(desk: Desk, person: str) -> str:
    with desk.reading(SYSTEM) as s:
        return people(s)[person][0]


def _store_secret(s: DeskSession, row: RowMapping, secret: str, **values: Any) -> None:
    sealed = s.keys.encrypt(secret, ("account", "ciphertext", row["id"]))
    values |= {"ciphertext": sealed, "key_id": s.keys.current, "last_step": 0, "changed_at": s.at}
    s.conn.execute(update(account).where(account.c.id == row["id"]).values(**values))


def _secret(s: DeskSession, row: RowMapping) -> str:
    return s.keys.decrypt(row["ciphertext"], ("account", "ciphertext", row["id"]), row["key_id"])


def _new_secret() -> str:
    import pyotp

    return str(pyotp.random_base32())


def account_states(s: DeskSession) -> dict[str, str]:
    """Person -> `ready`, `oidc` (at the identity provider alone), `open` (waits for its set-up) or `none`."""
    s.actor.check_may("edit people")
    rows = {row["person"]: row for row in s.conn.execute(select(account)).mappings()}
    states = {}
    for person in people(s):
        row = rows.get(person)
        is_open = row is not None and row["enrol_digest"] is not None and s.at < row["enrol_until"]
        is_ready = row is not None and row["enrolled_at"] is not None
        state = "ready" if is_ready else "oidc" if binding_stamp(s, person) else "open" if is_open else "none"
        states[person] = state
    return states
