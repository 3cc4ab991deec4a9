"""Puts the letters on the way into the outbox: each is written once, for what is so at that moment."""

from __future__ import annotations

from functools import partial

from sqlalchemy import RowMapping, func, select

from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.facts import request_row
from expunge.desk.interim import ACKNOWLEDGEMENT, EXTENSION, IDENTIFICATION, QUESTIONS
from expunge.desk.letters import put_in_outbox, try_to_write
from expunge.desk.lifecycle import BEFORE_PROMOTION
from expunge.errors import InputError

MOST = 200  # letters of a kind that one round writes


def queue_interim_letters(s: DeskSession) -> list[str]:
    """Write what is due of receipts and questions; returns the ids of the letters.

    A desk without `letters` writes none. The database chooses: thousands may wait, and this runs every few seconds.
    While the identity is open, the receipt asks for it, so that no second letter does.
    """
    letters = s.settings.letters
    if letters is None:
        return []
    here, letter = t.request.c, t.outbox.c
    valid = (letter.request_id == here.id, letter.withdrawn_at.is_(None))
    receipt = select(letter.id).where(*valid, letter.template == ACKNOWLEDGEMENT).exists()
    is_open = here.state.in_((*BEFORE_PROMOTION, "on_hold", "error")) & here.promoted_at.is_(None)
    query = select(t.request).where(is_open, here.acknowledged_at.is_(None), ~receipt)
    if not letters.acknowledge:
        query = query.where(here.acknowledge_by.is_not(None))
    queued = _queue_each(s, query.order_by(here.id), ACKNOWLEDGEMENT)
    if letters.identification:
        since = (letter.template.in_(QUESTIONS), letter.at >= here.identity_asked_at)
        question = select(letter.id).where(*valid, *since).exists()
        waits = (here.state == "identity_pending", here.identity_verified_at.is_(None))
        query = select(t.request).where(*waits, here.identity_asked_at.is_not(None), ~question)
        queued += _queue_each(s, query.order_by(here.id), IDENTIFICATION)
    return queued


def _queue_each(s: DeskSession, query: object, template: str) -> list[str]:
    rows = s.conn.execute(query.limit(MOST)).mappings().all()  # type: ignore[attr-defined]
    return [_queue(s, row, template) for row in rows]


def _queue(s: DeskSession, row: RowMapping, template: str) -> str:
    from expunge.desk.interim_text import write_interim_file

    version = _next_version(s, row["id"], template)
    write = partial(write_interim_file, s, row, template, version, "")
    return put_in_outbox(s, row["id"], template, version, try_to_write(s, row["id"], template, write))


def queue_extension(s: DeskSession, request_id: str, reason: str) -> str:
    """Write the letter that an answer is put off; returns its id.

    Raises:
        InputError: the reason says what no letter says.
    """
    row, digest = request_row(s, request_id), None
    version = _next_version(s, request_id, EXTENSION)
    if s.settings.letters is not None:
        from expunge.desk.interim_text import write_interim_file

        try:
            digest = write_interim_file(s, row, EXTENSION, version, reason)
        except InputError as error:
            raise InputError("reason", f"stands in a letter, which {error.what}", error.hint) from error
    return put_in_outbox(s, request_id, EXTENSION, version, digest)


def _next_version(s: DeskSession, request_id: str, template: str) -> int:
    """A letter that was withdrawn keeps its number."""
    here = (t.outbox.c.request_id == request_id, t.outbox.c.template == template)
    return 1 + int(s.conn.execute(select(func.max(t.outbox.c.version)).where(*here)).scalar() or 0)
