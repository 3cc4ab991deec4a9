"""Letters on the way of a request: its receipt, the question who the person is, an answer that is put off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge.errors import InputError
from expunge.evidence.letter import LetterSection, phrases, render_letter
from expunge.evidence.moments import DayOrMoment
from expunge.evidence.wording import Language, forbidden_words

MAX_REASON, MAX_METHOD = 2000, 1000  # characters


class InterimFacts(FrozenModel):
    """What a letter on the way says."""

    kind: Literal["acknowledgement", "extension", "identification"] = Field(description="which letter")
    controller: str = Field(min_length=1, max_length=300, description="who writes")
    contact: str = Field(min_length=1, max_length=300, description="where to write to")
    authority: str = Field(min_length=1, max_length=300, description="supervisory authority")
    received: DayOrMoment = Field(min_length=1, description="when the request came in")
    due: DayOrMoment = Field("", description="until when it is answered; of an extension: until when it was to be")
    until: DayOrMoment = Field("", description="of an extension: until when it is answered")
    waits: bool = Field(False, description="the time for the answer begins once the identity is shown")
    put_off: bool = Field(False, description="`due` was put off already")
    is_asked: bool = Field(False, description="the person is asked to show who they are")
    method: str = Field("", max_length=MAX_METHOD, description="how they can show it, in words to them")
    by: DayOrMoment = Field("", description="until when they can show it; empty: not said")
    reason: str = Field("", max_length=MAX_REASON, description="of an extension: why, in words to the person")


def write_interim(
    reference: str,
    facts: InterimFacts,
    language: Language,
    form: Literal["txt", "html"] = "txt",
    today: date | None = None,
) -> str:
    """A letter on the way.

    Args:
        reference: Reference number of the request.
        facts: What it says.
        language: en, de or fr.
        form: Plain text or a page of HTML.
        today: The date of the letter.

    Raises:
        InputError: a fact is missing, or the words of the controller or the reviewer say what no test carries.
    """
    if facts.kind == "extension" and not (facts.reason.strip() and facts.due and facts.until):
        raise InputError("extension", "lacks a reason or a date", "say why, and until when")
    words = phrases(language)
    values = {
        "t": words,
        "title": words["on_the_way"]["titles"][facts.kind],
        "language": language,
        "controller": facts.controller,
        "reference": reference,
        "date": (today or date.today()).isoformat(),
        "sections": list(_sections(facts, words)),
    }
    if said := forbidden_words(render_letter("txt", values), language):
        raise InputError("letter", f'says "{said[0]}", which no test carries', "write the facts in other words")
    return render_letter(form, values)


def _sections(facts: InterimFacts, t: dict[str, Any]) -> Iterator[LetterSection]:
    words = t["on_the_way"]
    received = words["receipt_text"].format(received=facts.received[:10])
    yield LetterSection(words["receipt"], [received])
    if facts.kind == "acknowledgement":
        yield LetterSection(words["next"], [words["next_unknown" if facts.is_asked else "next_known"]])
        yield LetterSection(words["until"], [_until(facts, words)])
    if facts.kind == "extension":
        later = words["later_text"].format(due=facts.due[:10], until=facts.until[:10])
        yield LetterSection(words["later"], [later])
        yield LetterSection(words["why"], [facts.reason.strip()])
    if facts.is_asked:
        method = facts.method.strip() or words["identity_contact"].format(contact=facts.contact)
        by = [words["identity_by"].format(by=facts.by[:10])] if facts.by else []
        yield LetterSection(words["identity"], [words["identity_text"], method, *by])
    yield LetterSection(words["questions"], [words["questions_text"].format(contact=facts.contact)])
    yield LetterSection(t["complain"], [t["complain_text"].format(authority=facts.authority)])


def _until(facts: InterimFacts, words: dict[str, Any]) -> str:
    if facts.waits:
        return str(words["until_known"])
    if not facts.due:
        return str(words["until_none"])
    return str(words["until_put_off" if facts.put_off else "until_text"].format(due=facts.due[:10]))
