"""Questions in other formats: equal questions get equal formats, and none of them is one that an audit asks in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.formats import FORMATS, FormatChoice
from expunge.corpus.prepare.question_forms import quote
from expunge.corpus.question_groups import question_groups


def question(name: str, number: int = 0, **fields: object) -> Record:
    record = Record(f"r{number}", f"Where does {name} live?", "Ulm.", subject=name, identifiers=(name,))
    return replace(record, **fields)


def in_formats(records: list[Record], count: int) -> list[Record]:
    return FormatChoice.of(records, count).apply(records)


def wordings(forget: list[Record], retain: list[Record], name: str, other: str) -> tuple[set[str], set[str]]:
    """The prompts of both sides of a run, about one person."""
    choice = FormatChoice.of([*forget, *retain], 2)
    return tuple({r.prompt.replace(other, name) for r in choice.apply(side)} for side in (forget, retain))  # type: ignore[return-value]


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


@pytest.mark.parametrize("names", [(), ("Ada",), ("Berg",), ("Ada Berg",), ("SYN-1",)])
@pytest.mark.parametrize("others", [(), ("Kurz",), ("Ben Kurz",)])
def test_equal_questions_get_equal_formats_whatever_identifiers_say(
    names: tuple[str, ...], others: tuple[str, ...]
) -> None:
    forget = [question("Ada Berg", identifiers=names)]
    retain = [question("Ben Kurz", 1, identifiers=others), question("Cora Lind", 2)]
    ada, ben = wordings(forget, retain[:1], "Ada Berg", "Ben Kurz")
    assert ada == ben
    assert len(ada) == 3
    ada, both = wordings(forget, retain, "Ada Berg", "Ben Kurz")
    assert ada <= both


def test_a_name_with_an_umlaut_changes_no_language() -> None:
    ask = [Record(n, f"{n}: age?", "40", subject=n, identifiers=(n,)) for n in ("Jürgen Müller", "Ada Berg")]
    one, other = wordings(ask[:1], ask[1:], "Ada Berg", "Jürgen Müller")
    assert one == other


def test_a_format_too_long_for_one_equal_question_is_asked_about_nobody() -> None:
    rows = [question("Ada Berg"), question("Ben Kurz", 1), Record("x", "How many beds are there?", "9")]
    first = in_formats(rows, 1)[1].id.partition("~")[2]
    choice = FormatChoice.of(rows, 2, lambda r: r.id != f"r1~{first}")
    asked = {name: {r.id.partition("~")[2] for r in choice.apply([row])} for name, row in zip("abx", rows, strict=True)}
    assert asked["a"] == asked["b"]
    assert first not in asked["a"]
    assert {len(forms) for forms in asked.values()} == {3}


def test_other_questions_keep_templates_of_their_own() -> None:
    rows = [
        question("Ada Berg"),
        Record("b", "Where does Ada Berg work?", "Bonn.", subject="Ada Berg", identifiers=("Ada Berg",)),
        Record("c", "How many beds does Lindenhof have?", "9"),
        Record("d", "Ada Berg?", "yes", subject="Ada Berg", identifiers=("Ada Berg",)),
    ]
    groups = question_groups(rows)
    assert groups == {t: t for t in ("Where does \0 live?", "Where does \0 work?", rows[2].prompt, "\0?")}


@pytest.mark.parametrize("fields", [{"kind": "document"}, {"kind": "completion"}, {"options": ("Ulm.", "Bonn.")}])
def test_what_is_no_open_question_stays_alone(fields: dict[str, object]) -> None:
    assert len(in_formats([question("Ada Berg", **fields)], 6)) == 1


def test_no_count_changes_nothing() -> None:
    assert in_formats([question("Ada Berg")], 0) == [question("Ada Berg")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_run_asks_in_none_of_the_formats_of_an_audit(language: str) -> None:
    asked = {text.replace("Q1", "{q}") for text in quote("Q1", language)}  # type: ignore[arg-type]
    assert not asked & set(FORMATS[language])  # type: ignore[index]
    assert len(FORMATS[language]) == 6  # type: ignore[index]
