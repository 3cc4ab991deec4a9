"""Dates and times in evidence: ISO 8601 in UTC, to the second."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, Field

FORM = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(Z|\+00:00))?")


def parse_moment(text: str, end: bool = False) -> datetime:
    """The moment that `text` names; of a date its first, or with `end` its last second.

    `ValueError` for another form.
    """
    if not FORM.fullmatch(text):
        raise ValueError(f'"{text}" is no date or time of the form 2026-01-31 or 2026-01-31T12:00:00Z')
    if len(text) == len("2026-01-31"):
        return datetime.combine(date.fromisoformat(text), time(23, 59, 59) if end else time(), UTC)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def format_moment(moment: datetime) -> str:
    """`moment` in the form of evidence, for example 2026-01-31T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def present() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)


def _exists(text: str) -> str:
    if text:
        parse_moment(text)
    return text


Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_exists)]
DayOrMoment = Annotated[
    str, Field(pattern=r"^(\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?)?$"), AfterValidator(_exists)
]  # empty where there is none
