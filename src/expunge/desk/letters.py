"""Letters as an outbox: one row per request, template and version, marked once the provider has accepted it.

The text is made in `letter_text`. A letter that cannot be written there is due all the same: a clerk writes it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import RowMapping, insert, select, update

from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import count, letter_template, request_row
from expunge.desk.lifecycle import ENDED_EARLY
from expunge.desk.names import new_id
from expunge.desk.regime_texts import LostRules
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.transitions import fire
from expunge.errors import InputError, RunFailed

VERSION = 1
RECEIPT, MAX_RECEIPT = "receipt of a letter", 200  # event among the reasons, characters
Sender = Callable[[str, str], str]  # (key that the provider knows repeats by, path of the letter) -> provider's receipt


def queue_letter(s: DeskSession, request_id: str) -> str:
    """Write the closing letter of a request and put it into the outbox, once; returns the id of the row."""
    template = letter_template(request_row(s, request_id))
    here = (t.outbox.c.request_id == request_id, t.outbox.c.template == template, t.outbox.c.version == VERSION)
    row_id = s.conn.execute(select(t.outbox.c.id).where(*here)).scalar()
    if row_id:
        return str(row_id)
    row_id, digest = new_id(), _written(s, request_id, template)
    values = {"id": row_id, "request_id": request_id, "template": template, "version": VERSION, "at": s.at}
    s.conn.execute(insert(t.outbox).values(**values, body_digest=digest))
    s.log("letter.queue", {"letter": row_id, "template": template, "body": digest}, request_id)
    return row_id


def _written(s: DeskSession, request_id: str, template: str) -> str | None:
    """SHA-256 of the written letter; None where a clerk has to write it, and why is kept among the reasons."""
    if s.settings.letters is None:
        return None
    from expunge.desk.letter_text import write_letter_file

    try:
        return write_letter_file(s, request_id, template)
    except RunFailed:
        raise
    except InputError as error:
        digest = s.keep_reason(str(error), "letter", request_id)
        s.log("letter.problem", {"template": template, "reason": digest}, request_id)
        return None


def pending_letters(s: DeskSession, limit: int | None = None, offset: int = 0) -> list[RowMapping]:
    """Letters that no provider has accepted, oldest first; at most `limit` of them, after the first `offset`."""
    s.actor.check_may("read")
    query = select(t.outbox).where(t.outbox.c.accepted_at.is_(None)).order_by(t.outbox.c.id)
    return list(s.conn.execute(query.limit(limit).offset(offset)).mappings())


def pending_count(s: DeskSession) -> int:
    """Number of letters that no provider has accepted."""
    s.actor.check_may("read")
    return count(s, t.outbox, t.outbox.c.accepted_at.is_(None))


def accept_letter(s: DeskSession, letter_id: str, receipt: str = "") -> bool:
    """Note that a letter was accepted for delivery; False if that was known.

    Args:
        s: a session as the system, which gave it to the provider, or as a clerk, who posted it by hand.
        letter_id: row of the outbox.
        receipt: what the provider or the clerk says of it; kept encrypted among the reasons.
    """
    if s.actor.role not in ("system", "clerk"):
        raise Refusal("letter", f'the role "{s.actor.role}" may not do this', "roles that may: clerk", kind="role")
    row = s.conn.execute(select(t.outbox).where(t.outbox.c.id == letter_id)).mappings().first()
    if row is None:
        raise Refusal("letter", "there is no such letter", kind="missing")
    if row["accepted_at"]:
        return False
    channel = "provider" if s.actor.role == "system" else "by hand"
    s.conn.execute(update(t.outbox).where(t.outbox.c.id == letter_id).values(accepted_at=s.at, channel=channel))
    body = {"letter": letter_id, "channel": channel}
    if receipt.strip():
        body["receipt"] = s.keep_reason(receipt.strip()[:MAX_RECEIPT], RECEIPT, row["request_id"])
    s.log("letter.accept", body, row["request_id"])
    return True


def notify_ended(desk: Desk, sender: Sender | None) -> list[str]:
    """Queue and send the letters of requests that ended early, and mark them notified; returns their ids.

    Letters that wait for a clerk to post them cost nothing here: there may be many, and this runs every few seconds.
    """
    letters, accepted = {}, set()
    with desk.reading(SYSTEM) as s:
        here = (t.outbox.c.request_id == t.request.c.id) & (t.outbox.c.version == VERSION)
        columns = (t.outbox.c.id.label("letter"), t.outbox.c.template, t.outbox.c.accepted_at)
        query = select(t.request, *columns).outerjoin(t.outbox, here).where(t.request.c.state.in_(ENDED_EARLY))
        rows = s.conn.execute(query).mappings().all()
    for row in rows:
        if row["letter"] and row["template"] == letter_template(row):
            letters[row["id"]] = row["letter"]
            accepted |= {row["id"]} if row["accepted_at"] else set()
    if missing := sorted({row["id"] for row in rows} - letters.keys()):
        with desk.session(SYSTEM) as s:
            letters |= {request_id: queue_letter(s, request_id) for request_id in missing}
    ready = [name for name in letters if sender is not None or name in accepted]
    return [name for name in ready if send_letter(desk, name, letters[name], sender)]


def _path(desk: Desk, row: RowMapping) -> str:
    """The file of a letter; empty for one that the desk did not write."""
    from expunge.desk.letter_text import letter_file

    return str(letter_file(desk, row["request_id"], row["template"])) if row["body_digest"] else ""


def send_letter(
    desk: Desk, request_id: str, letter_id: str, sender: Sender | None, event_id: str | None = None
) -> bool:
    """Hand a letter to the provider, then mark it and the request; False while nobody has accepted it.

    The provider gets the id of the row as its key, so a repeat after a crash is the same letter to it.
    """
    with desk.reading(SYSTEM) as s:
        row = s.conn.execute(select(t.outbox).where(t.outbox.c.id == letter_id)).mappings().one()
    if row["accepted_at"] is None:
        if sender is None:
            return False
        receipt = sender(letter_id, _path(desk, row))
        with desk.session(SYSTEM) as s:
            accept_letter(s, letter_id, receipt)
    with desk.session(SYSTEM) as s:
        try:
            if request_row(s, request_id)["state"] != "notified":
                fire(s, request_id, "notify", event_id=event_id)
        except LostRules:  # how long the person can object is not known before the policy is back
            return False
    return True
