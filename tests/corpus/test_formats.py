"""Questions in other formats: equal questions get equal formats, and none of them is one that an audit asks in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.formats import FORMATS, in_formats
from expunge.corpus.prepare.question_forms import quoted


def question(name: str, number: int = 0, **fields: object) -> Record:
    record = Record(f"r{number}", f"Where does {name} live?", "Ulm.", subject=name, identifiers=(name,))
    return replace(record, **fields)


def test_formats_keep_answer_fact_and_type() -> None:
    one, *others = in_formats([question("Ada Berg")], 2)
    assert one == question("Ada Berg")
    assert len({r.prompt for r in (one, *others)}) == len({r.id for r in (one, *others)}) == 3
    for other in others:
        assert one.prompt in other.prompt
        assert (other.answer, other.fact_keys, answer_type(other)) == (one.answer, one.fact_keys, answer_type(one))


def test_equal_questions_about_others_get_equal_formats() -> None:
    ada, ben = in_formats([question("Ada Berg")], 3), in_formats([question("Ben Kurz")], 3)
    assert [r.prompt.replace("Ada Berg", "Ben Kurz") for r in ada] == [r.prompt for r in ben]


@pytest.mark.parametrize("fields", [{"kind": "document"}, {"kind": "completion"}, {"options": ("Ulm.", "Bonn.")}])
def test_what_is_no_open_question_stays_alone(fields: dict[str, object]) -> None:
    assert len(in_formats([question("Ada Berg", **fields)], 6)) == 1


def test_no_count_changes_nothing() -> None:
    assert in_formats([question("Ada Berg")], 0) == [question("Ada Berg")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_run_asks_in_none_of_the_formats_of_an_audit(language: str) -> None:
    asked = {text.replace("Q1", "{q}") for text in quoted("Q1", language)}  # type: ignore[arg-type]
    assert not asked & set(FORMATS[language])  # type: ignore[index]
    assert len(FORMATS[language]) == 6  # type: ignore[index]
