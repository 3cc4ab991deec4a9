"""A day in the past on which something was done outside the desk, as a person notes it later."""

from __future__ import annotations

from datetime import date

from expunge.errors import InputError


def noted_day(text: str, what: str, since: tuple[str, str], today: str) -> str:
    """A day as `YYYY-MM-DD`.

    Args:
        text: what the person wrote.
        what: whose day it is, for messages.
        since: what was before, and its day; an earlier one is refused.
        today: a later day is refused.

    Raises:
        InputError: no date, or one outside these days.
    """
    try:
        day = date.fromisoformat(text.strip()).isoformat()
    except ValueError as error:
        raise InputError(what, "is no date", f"write it as {today}") from error
    before, first = since
    if not first <= day <= today:
        outside = f"is not between {before} ({first}) and today ({today})"
        raise InputError(what, outside, "give the day on which it went out")
    return day
