"""What is wrong with letters: the provider, what it did not take, and what the person should have been told by now."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Exists, func, select

from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.due_dates import DUE
from expunge.desk.interim import ACKNOWLEDGEMENT, OVER
from expunge.desk.letters import IS_WAITING
from expunge.desk.lifecycle import BEFORE_PROMOTION
from expunge.desk.settings import BY_HAND
from expunge.errors import InputError

WARNING_DAYS = 7  # before the day by which the person must be told of an extension


def letter_settings_problems(desk: Desk) -> list[str]:
    """What the settings of letters name and is not there, or says what no letter says."""
    from expunge.desk.letter_sending import provider_of
    from expunge.evidence.wording import forbidden_words

    lines = []
    try:
        provider_of(desk.settings).check(desk.folder)
    except InputError as error:
        lines.append(f"{error.where}: {error.what}; {error.hint}")
    letters = desk.settings.letters
    for language, text in letters.identification.items() if letters else ():
        if said := forbidden_words(text, language):
            lines.append(f'desk.yaml: letters.identification.{language}: says "{said[0]}"; write it in other words')
    return lines


def reach_provider(desk: Desk) -> tuple[str, bool]:
    """A line on a connection to the provider of letters, and whether it takes letters now; nothing is handed over.

    The line is empty where there is no connection, and where the settings are wrong, which another line says.
    """
    from expunge.desk.letter_providers.base import LetterNotTaken
    from expunge.desk.letter_sending import provider_of

    try:
        provider = provider_of(desk.settings)
        provider.check(desk.folder)
        return provider.reach(desk.folder), True
    except LetterNotTaken as problem:
        return f"letters: {problem.what}; mend that, or post them by hand", False
    except InputError:
        return "", True


def letter_problems(s: DeskSession) -> list[str]:
    """A line for each letter that is late, and for each thing that keeps letters from going out."""
    return [*_not_taken(s), *_late_receipts(s), *_late_extensions(s)]


def _not_taken(s: DeskSession) -> list[str]:
    letters, here = s.settings.letters, t.outbox.c
    if letters is None or letters.provider == BY_HAND:
        return []
    columns = (here.problem, func.count(), func.max(here.tries), func.min(here.next_try_at))
    query = select(*columns).where(*IS_WAITING, here.problem.is_not(None), here.next_try_at.is_not(None))
    return [
        f"letters: {number} not taken by the provider: {problem}; tried {tries} time(s), next at {at}; "
        "mend that, or post them by hand"
        for problem, number, tries, at in s.conn.execute(query.group_by(here.problem).order_by(here.problem))
    ]


def _late_receipts(s: DeskSession) -> list[str]:
    here = t.request.c
    is_open = here.state.in_((*BEFORE_PROMOTION, "on_hold", "error"))
    late = (is_open, here.acknowledged_at.is_(None), here.acknowledge_by <= s.today)
    query = select(here.reference, here.acknowledge_by, _waits(ACKNOWLEDGEMENT)).where(*late)
    return [
        f"request {reference}: receipt is to be confirmed by {day}; "
        + ("post the letter that waits" if waits else "confirm it, and note that")
        for reference, day, waits in s.conn.execute(query.order_by(here.acknowledge_by, here.id))
    ]


def _late_extensions(s: DeskSession) -> list[str]:
    here = t.request.c
    soon = (date.fromisoformat(s.today) + timedelta(WARNING_DAYS)).isoformat()
    late = (here.extended_until.is_not(None), here.due_on <= soon, here.state.not_in(OVER), here.due_on == DUE)
    query = select(here.reference, here.due_on).where(*late).order_by(here.due_on, here.id)
    return [
        f"request {reference}: the person is not told that the answer is put off, and "
        + (f"must be by {day}; post the letter" if s.today <= day else f"had to be by {day}, which counts; answer now")
        for reference, day in s.conn.execute(query)
    ]


def _waits(template: str) -> Exists:
    """Condition on requests: a letter of this kind waits."""
    here = (t.outbox.c.request_id == t.request.c.id, t.outbox.c.template == template)
    return select(t.outbox.c.id).where(*here, *IS_WAITING).exists()
