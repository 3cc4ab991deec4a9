"""Intake and the clerk's and reviewer's actions on one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from expunge.desk import tables as t
from expunge.desk.deadlines import day_in, deadlines
from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.guards import Act, Facts, choose
from expunge.desk.interim import confirm_receipt
from expunge.desk.interim_letters import queue_extension
from expunge.desk.keys import IDENTIFIER_KINDS, normalize
from expunge.desk.lifecycle import BEFORE_PROMOTION, START, TERMINAL
from expunge.desk.names import moment, new_id, new_reference, stamp
from expunge.desk.regime_texts import LostRules, keep_rules
from expunge.desk.roles import Refusal
from expunge.desk.transitions import as_system, fire
from expunge.errors import InputError, nearest, unknown

MAX_IDENTIFIERS, MAX_VALUE, MAX_REASON, MAX_LETTER_REASON = 50, 400, 10_000, 2_000
LANGUAGES = ("en", "de", "fr")


def submit(
    s: DeskSession,
    identifiers: Mapping[str, str | Sequence[str]],
    *,
    regime: str | None = None,
    received_at: datetime | None = None,
    language: str = "en",
    outside_id: str | None = None,
) -> str:
    """Open a request, and return its id. A second call with the same outside id returns the first request.

    Args:
        s: a session as subject, clerk or webhook.
        identifiers: kind (`name`, `record_number` ...) -> value or values, as the subject gave them.
        regime: policy by name or `name@version`; the desk's own if not given.
        received_at: when the letter came, if not now.
        language: language of letters.
        outside_id: id of the request at another desk.

    Raises:
        InputError: no identifier, an unknown kind, a value that is too long, or a time in the future.
        Refusal: the outside id came before, with other identifiers (kind `conflict`).
    """
    values = check_identifiers(identifiers)
    rules = s.regime(regime or s.settings.regime)
    keep_rules(s.conn, rules, s.at)
    received = _receipt(s, received_at)
    if language not in LANGUAGES:
        raise unknown("language", language, LANGUAGES)
    outside = s.keys.keyed_digest(outside_id, "outside") if outside_id else None
    if outside_id and (first := request_from_outside(s, outside_id)):
        _check_same_person(s, first, values)
        return first
    choose(Facts(START, regime=rules.key), Act("submit", s.actor))
    day = day_in(received, s.settings.time_zone)
    dates = deadlines(rules, day)
    request_id = new_id()
    s.conn.execute(
        insert(t.request).values(
            id=request_id,
            reference=new_reference(),
            state="received",
            regime=rules.key,
            regime_digest=rules.digest,
            language=language,
            channel=s.actor.role,
            outside_key=outside,
            received_at=stamp(received),
            received_on=day.isoformat(),
            acknowledge_by=dates.acknowledge and dates.acknowledge.isoformat(),
            due_on=dates.due and dates.due.isoformat(),
        )
    )
    s.log("request.submit", {"from": START, "to": "received", "regime": rules.key, "digest": rules.digest}, request_id)
    for kind, value in values:
        _add_identifier(s, request_id, kind, value)
    fire(as_system(s), request_id, "ask_identity")
    return request_id


def request_from_outside(s: DeskSession, outside_id: str) -> str | None:
    """The request that came under an id of another desk, also from before a rotation of keys."""
    here = t.request.c.outside_key.in_(s.keys.keyed_digests(outside_id, "outside"))
    return s.conn.execute(select(t.request.c.id).where(here)).scalar()


def _check_same_person(s: DeskSession, request_id: str, values: Sequence[tuple[str, str]]) -> None:
    """`Refusal` unless each identifier is one of the request."""
    query = select(t.identifier.c.kind, t.identifier.c.blind_index).where(t.identifier.c.request_id == request_id)
    known = set(s.conn.execute(query).tuples())
    if not {(kind, s.keys.index(kind, value)) for kind, value in values} <= known:
        what = "the id came before, with other identifiers"
        raise Refusal("request", what, "give each request an id of its own", kind="conflict")


def check_identifiers(identifiers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, value) of each identifier; errors name a kind, never a value."""
    if not isinstance(identifiers, Mapping) or not identifiers:
        raise InputError("identifiers", "none are given", "for example name: and record_number:")
    pairs = []
    for kind, given in identifiers.items():
        if kind not in IDENTIFIER_KINDS:
            raise InputError("identifiers", "hold an unknown kind", nearest(str(kind), IDENTIFIER_KINDS))
        if not isinstance(given, str | list | tuple):
            raise InputError(f"identifiers.{kind}", "is neither a text nor a list of texts", "write it in quotes")
        for value in [given] if isinstance(given, str) else given:
            if not isinstance(value, str) or not normalize(kind, value):
                raise InputError(f"identifiers.{kind}", "is empty or no text", "write it in quotes")
            if len(value) > MAX_VALUE or "\0" in value:
                raise InputError(f"identifiers.{kind}", f"is longer than {MAX_VALUE} characters, or holds a NUL")
            pairs.append((kind, value.strip()))
    if not 0 < len(pairs) <= MAX_IDENTIFIERS:
        raise InputError("identifiers", f"are {len(pairs)}", f"give 1 to {MAX_IDENTIFIERS}")
    return pairs


def add_identifiers(s: DeskSession, request_id: str, identifiers: Mapping[str, Any]) -> None:
    """Further identifiers of an open request; they count only after the identity is verified with them."""
    s.actor.check_may("identify")
    _check_open(s, request_id)
    for kind, value in check_identifiers(identifiers):
        _add_identifier(s, request_id, kind, value)


def _add_identifier(s: DeskSession, request_id: str, kind: str, value: str) -> None:
    row_id = new_id()
    s.conn.execute(
        insert(t.identifier).values(
            id=row_id,
            request_id=request_id,
            kind=kind,
            ciphertext=s.keys.encrypt(value, ("identifier", "ciphertext", row_id)),
            key_id=s.keys.current,
            blind_index=s.keys.index(kind, value),
        )
    )
    s.log("identifier.add", {"identifier": row_id, "kind": kind}, request_id)


def requests_like(s: DeskSession, request_id: str) -> list[str]:
    """Ids of other requests that share an identifier: perhaps the same person."""
    a, b = t.identifier.alias(), t.identifier.alias()
    query = select(b.c.request_id).where(
        a.c.request_id == request_id,
        b.c.request_id != request_id,
        a.c.kind == b.c.kind,
        a.c.blind_index == b.c.blind_index,
    )
    return sorted(set(s.conn.execute(query).scalars()))


def act(s: DeskSession, request_id: str, event: str, **options: Any) -> str:
    """An event of the lifecycle that needs nothing but a reason: `begin_scoping`, `hold`, `cancel`, `close` ..."""
    if len(options.get("reason") or "") > MAX_REASON:
        raise InputError("reason", f"is longer than {MAX_REASON:,} characters", "shorten it")
    if event not in PLAIN_EVENTS:
        raise unknown("event", event, PLAIN_EVENTS)
    return fire(s, request_id, event, **options)


PLAIN_EVENTS = (
    "begin_scoping",
    "give_up",
    "freeze_scope",
    "cancel",
    "revoke",
    "mark_duplicate",
    "hold",
    "release",
    "close",
    "suppress_and_disclose",
    "recover",
)


def extend(s: DeskSession, request_id: str, reason: str) -> str:
    """Put the answer off, as the policy allows; returns the new date, which holds once its letter was accepted.

    The reason stands in the letter as it is written.
    """
    s.actor.check_may("extend")
    row = request_row(s, request_id)
    _check_open(s, request_id)
    rules = s.rules_of(row)
    start = date.fromisoformat(row["received_on"])
    verified = row["identity_verified_at"]
    later = deadlines(rules, start, verified and day_in(moment(verified), s.settings.time_zone)).extended
    if later is None:
        raise Refusal("extend", f"the policy {rules.key} has no extension")
    if row["extended_until"]:
        raise Refusal("extend", f"was extended already, until {row['extended_until']}")
    if rules.notice_reason and not reason.strip():
        raise Refusal("extend", "a reason is missing", "the subject must be told why")
    if len(reason) > MAX_LETTER_REASON:
        raise InputError(
            "reason", f"is longer than {MAX_LETTER_REASON:,} characters", "the person reads it: shorten it"
        )
    if s.today > row["due_on"]:
        raise Refusal("extend", f"the due date {row['due_on']} is over", "the subject must have been told before it")
    s.conn.execute(update(t.request).where(t.request.c.id == request_id).values(extended_until=later.isoformat()))
    s.log(
        "request.extend",
        {"until": later.isoformat(), "reason": s.keep_reason(reason, "extend", request_id)},
        request_id,
    )
    queue_extension(s, request_id, reason)
    return later.isoformat()


def acknowledge(s: DeskSession, request_id: str) -> None:
    """Note that receipt was confirmed to the subject; its letter, if one waits, is withdrawn."""
    s.actor.check_may("identify")
    request_row(s, request_id)
    confirm_receipt(s, request_id)


def expire_overdue(s: DeskSession, event_id: str | None = None) -> list[str]:
    """End the requests whose time for identity or hold is over; returns their ids.

    The database chooses as the guards of `expire` do: thousands may wait, and this runs every few seconds. The time for
    identity counts from the day on which the desk asks, not from the date of a letter that lay about before.
    """
    here, ended = t.request.c, []
    states = here.state.in_(("identity_pending", "on_hold"))
    waiting = select(here.state, here.regime, here.regime_digest).where(states).distinct()
    for row in s.conn.execute(waiting).mappings().all():
        try:
            rules = s.rules_of(row)
        except LostRules:  # `keep_open_rules` names the requests, which wait
            continue
        state, pending = row["state"], row["state"] == "identity_pending"
        question = func.coalesce(here.identity_asked_at, here.received_at)
        since, days = (question, rules.identity.days) if pending else (here.held_at, rules.hold_days)
        over = select(here.id).where(here.state == state, here.regime_digest == row["regime_digest"])
        over = over.where(since < stamp(s.now - timedelta(days)))
        over = over.where(here.identity_verified_at.is_(None)) if pending else over
        for request_id in s.conn.execute(over).scalars().all():
            fire(as_system(s), request_id, "expire", event_id=event_id)
            ended.append(request_id)
    return ended


def _check_open(s: DeskSession, request_id: str) -> None:
    state = request_row(s, request_id)["state"]
    if state in (TERMINAL, "notified") or state not in (*BEFORE_PROMOTION, "on_hold", "error"):
        raise Refusal("request", f"not possible in the state {state}", kind="state")


def _receipt(s: DeskSession, received_at: datetime | None) -> datetime:
    received = received_at or s.now
    if received.tzinfo is None:
        raise InputError("received_at", "has no time zone", "for example 2026-03-01T09:00:00+01:00")
    if received > s.now + timedelta(minutes=5):
        raise InputError("received_at", "lies in the future", "check the date, and the clock of this machine")
    if received < s.now - timedelta(days=3660):
        raise InputError("received_at", "lies more than ten years back", "check the year")
    return received.astimezone(UTC)
