"""Letters on the way in words: what the desk knows of a request at that moment, and nothing that names the person."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping

from expunge._io import digest_file, write_atomic
from expunge._validation import validate
from expunge.desk.deadlines import day_in
from expunge.desk.desk import DeskSession
from expunge.desk.due_dates import due_of
from expunge.desk.interim import ACKNOWLEDGEMENT, EXTENSION, IDENTIFICATION
from expunge.desk.letter_text import letter_file
from expunge.desk.names import moment
from expunge.desk.regime_texts import LostRules

if TYPE_CHECKING:
    from expunge.evidence.wording import Language


def write_interim_file(s: DeskSession, row: RowMapping, template: str, version: int, reason: str) -> str:
    """Write a letter on the way into its file, and return its SHA-256.

    Args:
        s: a session that writes.
        row: the request.
        template: which letter.
        version: number of the letter.
        reason: of an extension, why.

    Raises:
        InputError: it would say what no test carries.
    """
    from expunge.evidence.interim_letter import InterimFacts, write_interim

    assert s.settings.letters is not None
    language: Language = row["language"]
    raw: dict[str, Any] = {
        "kind": template,
        "controller": s.settings.controller,
        "contact": s.settings.letters.contact,
        "authority": s.settings.letters.authority,
        "received": row["received_on"],
    }
    if template == ACKNOWLEDGEMENT:
        raw |= {"due": due_of(s, row) or "", "waits": _waits(s, row), "put_off": bool(row["extended_until"])}
    if template == EXTENSION:
        raw |= {"due": row["due_on"], "until": row["extended_until"], "reason": reason}
    if template == IDENTIFICATION or is_asked(row):
        raw |= {"is_asked": True, "method": s.settings.letters.identification.get(language, ""), "by": _by(s, row)}
    facts = validate(InterimFacts, raw, "letter")
    text = write_interim(row["reference"], facts, language, "html", date.fromisoformat(s.today))
    return digest_file(write_atomic(letter_file(s.desk, row["id"], template, version), text, private=True))


def is_asked(row: RowMapping) -> bool:
    """Whether the desk waits for the person to show who they are."""
    return row["state"] == "identity_pending" and row["identity_verified_at"] is None


def _waits(s: DeskSession, row: RowMapping) -> bool:
    """Whether the clock of the regime waits for the identity."""
    if not is_asked(row):
        return False
    try:
        rules = s.rules_of(row)
    except LostRules:
        return False
    return rules.pause_for_identity or rules.starts != "receipt"


def _by(s: DeskSession, row: RowMapping) -> str:
    """The last day to show it; empty while the rules of the request are lost."""
    try:
        days = s.rules_of(row).identity.days
    except LostRules:
        return ""
    last = moment(row["identity_asked_at"] or row["received_at"]) + timedelta(days=days)
    return day_in(last, s.settings.time_zone).isoformat()
