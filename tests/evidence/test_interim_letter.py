"""The letters on the way in three languages, and the words that they may not use."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from expunge.errors import InputError
from expunge.evidence.interim_letter import InterimFacts, write_interim
from expunge.evidence.letter import phrases
from expunge.evidence.wording import LANGUAGES, Language, forbidden_words

FACTS: dict[str, Any] = {
    "controller": "St. Mary Hospital",
    "contact": "privacy@hospital.example",
    "authority": "Data Protection Commissioner",
    "received": "2026-02-01",
}


def letter(language: Language = "en", form: Any = "txt", **more: Any) -> str:
    facts = InterimFacts.model_validate(FACTS | more)
    return write_interim("R-2026-0017", facts, language, form, date(2026, 2, 3))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["txt", "html"])
def test_a_receipt_says_what_happens_next(language: Language, form: Any) -> None:
    asks = {"is_asked": True, "method": "Bring your passport.", "by": "2026-03-03"}
    text = letter(language, form, kind="acknowledgement", due="2026-03-01", **asks)
    words = phrases(language)["on_the_way"]
    for needed in ("R-2026-0017", "2026-02-01", "2026-03-01", "2026-03-03", "Bring your passport.", "Commissioner"):
        assert needed in text
    assert words["next_unknown"] in text
    assert words["titles"]["acknowledgement"] in text
    plain = re.sub(r"<style>.*?</style>", " ", text, flags=re.S)
    assert forbidden_words(plain, language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_that_is_put_off_holds_both_dates_and_why(language: Language) -> None:
    text = letter(language, kind="extension", due="2026-03-01", until="2026-04-28", reason="Five wards keep notes.")
    for needed in ("2026-03-01", "2026-04-28", "Five wards keep notes.", "privacy@hospital.example"):
        assert needed in text
    assert phrases(language)["on_the_way"]["identity_text"] not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_without_a_method_names_the_contact(language: Language) -> None:
    text = letter(language, kind="identification", is_asked=True)
    words = phrases(language)["on_the_way"]
    assert words["identity_contact"].format(contact="privacy@hospital.example") in text
    assert words["identity_by"].partition("{by}")[0] not in text


@pytest.mark.parametrize(
    ("facts", "key"),
    [({}, "until_none"), ({"due": "2026-03-01", "waits": True}, "until_known"), ({"due": "2026-03-01"}, "until_text")],
)
def test_until_when_is_said_as_the_clock_runs(facts: dict[str, Any], key: str) -> None:
    words = phrases("en")["on_the_way"]
    text = letter(kind="acknowledgement", **facts)
    assert words[key].format(due="2026-03-01") in text


@pytest.mark.parametrize("missing", ["due", "until", "reason"])
def test_an_extension_without_a_fact_is_refused(missing: str) -> None:
    facts = {"due": "2026-03-01", "until": "2026-04-28", "reason": "Many wards."}
    with pytest.raises(InputError, match="lacks a reason or a date"):
        letter(kind="extension", **{**facts, missing: " "} if missing == "reason" else {**facts, missing: ""})


def test_words_that_no_test_carries_are_refused() -> None:
    facts = {"due": "2026-03-01", "until": "2026-04-28", "reason": "Then all is guaranteed gone."}
    with pytest.raises(InputError, match='says "guaranteed"'):
        letter(kind="extension", **facts)
