"""Showing the text of one match for a minute. The log has the event before the text leaves the server."""

from __future__ import annotations

from datetime import timedelta

from expunge.desk.matching import reveal
from expunge.desk.roles import Refusal
from expunge.web.sessions import RevealedText
from expunge.web.visitor import Visitor

SECONDS = 60  # for which a text is shown


def reveal_text(visits: Visitor, match_id: str, reason: str) -> None:
    """Reveal a text to the session of a visitor; the one revealed before is hidden again.

    Raises:
        Refusal: wrong role, no reason, no such match, or no session.
    """
    if visits.session is None:
        raise Refusal("reveal", "needs a person who signed in", kind="role")
    visits.session.revealed = None
    text = reveal(visits.desk, visits.actor, match_id, reason)  # logs first
    until = visits.context.now + timedelta(seconds=SECONDS)
    visits.session.revealed = RevealedText(match_id, text, until)


def revealed_text(visits: Visitor, match_id: str) -> RevealedText:
    """The text while it may be shown; `Refusal` of kind `guard` otherwise."""
    shown = visits.session.revealed if visits.session else None
    if shown is None or shown.match_id != match_id or visits.context.now >= shown.until:
        raise Refusal("text", "is hidden", "reveal it, with a reason")
    return shown
