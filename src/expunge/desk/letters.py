"""Letters as an outbox: one row per request, template and version, marked once the provider has accepted it.

The text is made in `letter_text`. A letter that cannot be written there is due all the same: a clerk writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, RowMapping, func, insert, or_, select, update

from expunge.desk import tables as t
from expunge.desk.deadlines import day_in
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import count, letter_template, request_row
from expunge.desk.interim import ACKNOWLEDGEMENT, EXTENSION, confirm_receipt, withdraw_late_extensions
from expunge.desk.letter_providers.base import LetterNotTaken
from expunge.desk.lifecycle import ENDED_EARLY
from expunge.desk.names import moment, new_id, stamp
from expunge.desk.noted_day import noted_day
from expunge.desk.regime_texts import LostRules
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.transitions import fire
from expunge.errors import InputError, RunFailed

VERSION = 1
MOST = 50  # letters that one round hands over
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 60, 6 * 3600  # before the next try; doubled each time
MOMENT = timedelta(milliseconds=1)
RECEIPT, MAX_RECEIPT = "receipt of a letter", 200  # event among the reasons, characters
Sender = Callable[[str, str], str]  # (key that the provider knows repeats by, path of the letter) -> provider's receipt
IS_WAITING = (t.outbox.c.accepted_at.is_(None), t.outbox.c.withdrawn_at.is_(None))
WAITING = select(t.outbox).where(*IS_WAITING).order_by(t.outbox.c.id)
TURN = func.coalesce(t.outbox.c.next_try_at, "")  # the one that failed comes after those that waited for it


def queue_letter(s: DeskSession, request_id: str) -> str:
    """Write the closing letter of a request and put it into the outbox, once; returns the id of the row."""
    template = letter_template(request_row(s, request_id))
    here = (t.outbox.c.request_id == request_id, t.outbox.c.template == template, t.outbox.c.version == VERSION)
    if row_id := s.conn.execute(select(t.outbox.c.id).where(*here)).scalar():
        return str(row_id)
    return put_in_outbox(s, request_id, template, VERSION, _written(s, request_id, template))


def put_in_outbox(s: DeskSession, request_id: str, template: str, version: int, digest: str | None) -> str:
    """A row of the outbox; `digest` is that of the written letter, None where a clerk has to write it."""
    row_id = new_id()
    values = {"id": row_id, "request_id": request_id, "template": template, "version": version, "at": s.at}
    s.conn.execute(insert(t.outbox).values(**values, body_digest=digest))
    s.log("letter.queue", {"letter": row_id, "template": template, "body": digest}, request_id)
    return row_id


def _written(s: DeskSession, request_id: str, template: str) -> str | None:
    if s.settings.letters is None:
        return None
    from expunge.desk.letter_text import write_letter_file

    return try_to_write(s, request_id, template, partial(write_letter_file, s, request_id, template))


def try_to_write(s: DeskSession, request_id: str, template: str, write: Callable[[], str]) -> str | None:
    """SHA-256 of the written letter; None where a clerk has to write it, and why is kept among the reasons."""
    try:
        return write()
    except RunFailed:
        raise
    except InputError as error:
        digest = s.keep_reason(str(error), "letter", request_id)
        s.log("letter.problem", {"template": template, "reason": digest}, request_id)
        return None


def pending_letters(s: DeskSession, limit: int | None = None, offset: int = 0) -> list[RowMapping]:
    """Letters that no provider has accepted, oldest first; at most `limit` of them, after the first `offset`."""
    s.actor.check_may("read")
    return list(s.conn.execute(WAITING.limit(limit).offset(offset)).mappings())


def pending_count(s: DeskSession) -> int:
    """Number of letters that no provider has accepted."""
    s.actor.check_may("read")
    return count(s, t.outbox, *IS_WAITING)


def accept_letter(s: DeskSession, letter_id: str, receipt: str = "", posted_on: str = "") -> bool:
    """Note that a letter was accepted for delivery; False if that was known.

    One that was withdrawn meanwhile may have gone out all the same, and that is noted too.

    Args:
        s: a session as the system, which gave it to the provider, or as a clerk, who posted it by hand.
        letter_id: row of the outbox.
        receipt: what the provider or the clerk says of it; kept encrypted among the reasons.
        posted_on: the day on which the clerk posted it, if that was before today. An extension holds by it.

    Raises:
        Refusal: the role may not do this, or there is no such letter.
        InputError: `posted_on` is no day between that of the letter and today.
    """
    if s.actor.role not in ("system", "clerk"):
        raise Refusal("letter", f'the role "{s.actor.role}" may not do this', "roles that may: clerk", kind="role")
    row = s.conn.execute(select(t.outbox).where(t.outbox.c.id == letter_id)).mappings().first()
    if row is None:
        raise Refusal("letter", "there is no such letter", kind="missing")
    if row["accepted_at"]:
        return False
    day = _posting_day(s, row, posted_on)
    if row["template"] == EXTENSION and not _is_in_time(s, row, day):
        withdraw_late_extensions(s, row["request_id"])
    channel = "provider" if s.actor.role == "system" else "by hand"
    values = {"accepted_at": s.at, "channel": channel, "posted_on": day}
    s.conn.execute(update(t.outbox).where(t.outbox.c.id == letter_id).values(**values))
    body = {"letter": letter_id, "channel": channel} | ({"posted_on": day} if day else {})
    if receipt.strip():
        body["receipt"] = s.keep_reason(receipt.strip()[:MAX_RECEIPT], RECEIPT, row["request_id"])
    s.log("letter.accept", body, row["request_id"])
    if row["template"] == ACKNOWLEDGEMENT:
        confirm_receipt(s, row["request_id"], letter_id)
    return True


def _posting_day(s: DeskSession, row: RowMapping, posted_on: str) -> str | None:
    """The day that a clerk gives, checked; None for today and where no day is given."""
    if not posted_on.strip():
        return None
    first = day_in(moment(row["at"]), s.settings.time_zone).isoformat()
    day = noted_day(posted_on, "the day of posting", ("the day of the letter", first), s.today)
    return None if day == s.today else day


def _is_in_time(s: DeskSession, row: RowMapping, day: str | None) -> bool:
    due = request_row(s, row["request_id"])["due_on"]
    return day is not None and due is not None and day <= due


def is_due(row: RowMapping, at: str) -> bool:
    """Whether a provider may be asked to take a letter: for the first time, or after a pause."""
    return not row["tries"] or (row["next_try_at"] is not None and row["next_try_at"] <= at)


def _due(at: str) -> ColumnElement[bool]:
    """`is_due` as a condition on rows of the outbox."""
    here = t.outbox.c
    return or_(here.tries.is_(None), here.tries == 0, here.next_try_at <= at)


def notify_ended(desk: Desk, sender: Sender | None) -> list[str]:
    """Queue and send the letters of requests that ended early, and mark them notified; returns their ids.

    Letters that wait for a clerk to post them cost nothing here: there may be many, and this runs every few seconds.
    """
    letters, ready = {}, set()
    with desk.reading(SYSTEM) as s:
        ended = func.coalesce(t.request.c.ended_as, t.request.c.state)
        here = (t.outbox.c.request_id == t.request.c.id) & (t.outbox.c.template == ended)
        tries = (t.outbox.c.accepted_at, t.outbox.c.tries, t.outbox.c.next_try_at)
        query = select(t.request.c.id, t.outbox.c.id.label("letter"), *tries).outerjoin(t.outbox, here)
        rows = s.conn.execute(query.where(t.request.c.state.in_(ENDED_EARLY)).order_by(TURN)).mappings().all()
        for row in rows:
            if row["letter"]:
                letters[row["id"]] = row["letter"]
                ready |= {row["id"]} if row["accepted_at"] or (sender and is_due(row, s.at)) else set()
    if missing := sorted({row["id"] for row in rows} - letters.keys()):
        with desk.session(SYSTEM) as s:
            letters |= {request_id: queue_letter(s, request_id) for request_id in missing}
        ready |= set(missing) if sender else set()
    return [name for name in letters if name in ready and send_letter(desk, name, letters[name], sender)]


def send_waiting(desk: Desk, sender: Sender | None) -> list[str]:
    """Hand over the letters that are due, whatever request they are of; returns the ids of those that were accepted.

    The database chooses them: one that waits for its next try, or for a clerk, costs nothing.
    """
    if sender is None:
        return []
    with desk.reading(SYSTEM) as s:
        turns = select(t.outbox).where(*IS_WAITING, _due(s.at)).order_by(TURN, t.outbox.c.id)
        rows = s.conn.execute(turns.limit(MOST)).mappings().all()
    return [row["id"] for row in rows if _hand_over(desk, row["id"], sender)]


def _path(desk: Desk, row: RowMapping) -> str:
    """The file of a letter; empty for one that the desk did not write."""
    from expunge.desk.letter_text import letter_file

    return str(letter_file(desk, row["request_id"], row["template"], row["version"])) if row["body_digest"] else ""


def send_letter(
    desk: Desk, request_id: str, letter_id: str, sender: Sender | None, event_id: str | None = None
) -> bool:
    """Hand a closing letter to the provider, then mark it and the request; False while nobody has accepted it."""
    if not _hand_over(desk, letter_id, sender):
        return False
    with desk.session(SYSTEM) as s:
        try:
            if request_row(s, request_id)["state"] != "notified":
                fire(s, request_id, "notify", event_id=event_id)
        except LostRules:  # how long the person can object is not known before the policy is back
            return False
    return True


def _hand_over(desk: Desk, letter_id: str, sender: Sender | None) -> bool:
    """Whether a letter is accepted, now or before.

    The provider gets the id of the row as its key, so a repeat after a crash is the same letter to it.
    """
    with desk.reading(SYSTEM) as s:
        row = s.conn.execute(select(t.outbox).where(t.outbox.c.id == letter_id)).mappings().one()
        waits = row["withdrawn_at"] is None and is_due(row, s.at)
    if row["accepted_at"] is not None:
        return True
    if sender is None or not waits:
        return False
    try:
        receipt = sender(letter_id, _path(desk, row))
    except LetterNotTaken as problem:
        with desk.session(SYSTEM) as s:
            note_problem(s, letter_id, problem)
        return False
    with desk.session(SYSTEM) as s:
        accept_letter(s, letter_id, receipt)
    return True


def note_problem(s: DeskSession, letter_id: str, problem: LetterNotTaken) -> None:
    """Note why a letter was not taken, and when the next try is; where the server takes none, for all that are due.

    The others come a moment before the letter itself: if it is at fault, it holds none of them up twice.
    """
    here = t.outbox.c
    row = s.conn.execute(select(t.outbox).where(here.id == letter_id)).mappings().one()
    if problem.is_claimed:
        return
    tries = max(row["tries"] or 0, 1)
    pause = timedelta(seconds=min(PAUSE_SECONDS * 2 ** (tries - 1), MAX_PAUSE_SECONDS))
    again = None if problem.for_clerk else stamp(s.now + pause)
    own = update(t.outbox).where(here.id == letter_id)
    s.conn.execute(own.values(problem=problem.what, next_try_at=again, tries=tries))
    if problem.for_all:
        others = update(t.outbox).where(*IS_WAITING, _due(s.at), here.id != letter_id)
        values = {"problem": problem.what, "next_try_at": stamp(s.now + pause - MOMENT)}
        s.conn.execute(others.values(**values, tries=func.coalesce(here.tries, 0) + 1))
