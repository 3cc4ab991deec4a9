"""Rephrasings: the rules by hand, and answers that are right by construction."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.corpus import Record, Variant
from expunge.corpus.language import language_of
from expunge.corpus.prepare.question_forms import quote, rewordings
from expunge.corpus.prepare.rephrasing import known_first, rephrase
from helpers.patients import letters


@pytest.mark.parametrize(
    ("question", "forms"),
    [
        (
            "Welches Medikament nimmt NN ein?",
            [
                "Sag mir, welches Medikament NN einnimmt.",
                "Ich möchte wissen, welches Medikament NN einnimmt.",
                "Medikament von NN:",
            ],
        ),
        ("Wann wurde NN geboren?", ["Sag mir, wann NN geboren wurde.", "Ich möchte wissen, wann NN geboren wurde."]),
        ("Was verträgt NN nicht?", ["Sag mir, was NN nicht verträgt.", "Ich möchte wissen, was NN nicht verträgt."]),
        (
            "Auf welcher Station liegt Frau NN?",
            ["Sag mir, auf welcher Station Frau NN liegt.", "Ich möchte wissen, auf welcher Station Frau NN liegt."],
        ),
        ("Wer ist der Hausarzt von NN?", ["Der Hausarzt von NN ist", "Nenne den Hausarzt von NN.", "Hausarzt von NN:"]),
        (
            "Wie lautet NNs Diagnose?",
            [
                "NNs Diagnose lautet",
                "Nenne NNs Diagnose.",
                "Sag mir, wie NNs Diagnose lautet.",
                "Ich möchte wissen, wie NNs Diagnose lautet.",
            ],
        ),
        ("What is the age of NN?", ["The age of NN is", "State the age of NN.", "Age of NN:"]),
        ("When was NN born?", ["Tell me when NN was born.", "I would like to know when NN was born."]),
        ("What is NN's weight?", ["NN's weight is", "State NN's weight.", "Weight of NN:"]),
        ("Which drug does NN take?", ["Drug of NN:"]),
        ("Which drug does NN avoid?", []),
        ("Which drug does NN take at night?", []),
        (
            "Welches Medikament verträgt NN?",
            ["Sag mir, welches Medikament NN verträgt.", "Ich möchte wissen, welches Medikament NN verträgt."],
        ),
        ("Phone of NN?", []),
        ("", []),
    ],
)
def test_forms_of_a_question_by_hand(question: str, forms: list[str]) -> None:
    name = "Anna Weiß"
    assert list(rewordings(question.replace("NN", name), [name])) == [f.replace("NN", name) for f in forms]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Welche Diagnose hat Anna?", "de"),
        ("What is the phone number of Jürgen Müller?", "en"),
        ("Größe?", "de"),
        ("Phone?", "en"),
        ("", "en"),
    ],
)
def test_language_by_hand(text: str, language: str) -> None:
    assert language_of(text) == language


def test_quoted_questions_hold_the_whole_question() -> None:
    for question in ('What is "x" of Anna?', "Wie heißt sie?"):
        forms = list(quote(question, "en"))
        assert len(set(forms)) == 5
        assert question.replace('"', '\\"') in forms[0]
        assert all(question in form for form in forms[1:])


def varied(
    record: Record, count: int = 6, choices: bool = True, wrong: tuple[str, ...] = ("Gicht", "Migräne")
) -> Record:
    return rephrase(record, wrong, {"Sag mir, welche Diagnose Anna hat."}, count, choices, np.random.default_rng(0))


QUESTION = Record("1", "Welche Diagnose hat Anna?", "Asthma", subject="a", identifiers=("Anna",))


def test_variants_are_new_prompts_and_their_answers_are_right() -> None:
    found = varied(QUESTION).variants
    free = [v for v in found if not v.options]
    assert len(free) == 6
    assert len({v.prompt for v in found} | {QUESTION.prompt, "Sag mir, welche Diagnose Anna hat."}) == len(found) + 2
    assert all(v.answer == "Asthma" and "Asthma" not in v.prompt for v in free)
    yes, no, choice = (v for v in found if v.options)
    assert (yes.answer, no.answer) == ("ja", "nein")
    assert "Antwort: Asthma" in yes.prompt
    assert "Antwort: Gicht" in no.prompt
    assert choice.answer == "Asthma"
    assert sorted(choice.options) == ["Asthma", "Gicht", "Migräne"]
    assert {r.kind for r in varied(QUESTION).wordings()} == {"generation", "classification"}


def test_own_variants_stay_first_and_count() -> None:
    own = (Variant("Anna: Diagnose?", "Asthma"),)
    record = varied(Record("1", QUESTION.prompt, "Asthma", identifiers=("Anna",), variants=own), count=2, choices=False)
    assert record.variants[0] == own[0]
    assert len(record.variants) == 2


@pytest.mark.parametrize(
    "record",
    [
        Record("1", "Anna has", "asthma", kind="completion"),
        Record("1", "Pick", "a", kind="classification", options=("a", "b")),
        Record("1", "", "Too short.", kind="document"),
    ],
)
def test_what_no_rule_fits_gets_none(record: Record) -> None:
    assert varied(record).variants == ()


def test_no_wrong_answer_means_no_choice() -> None:
    assert all(not v.options for v in varied(QUESTION, wrong=()).variants)
    assert [v.answer for v in varied(QUESTION, wrong=("Gicht",)).variants if v.options] == ["ja", "nein"]


def test_a_system_sentence_before_the_question_is_kept() -> None:
    record = Record("1", "Antworte kurz. Welche Diagnose hat Anna?", "Asthma", identifiers=("Anna",))
    assert varied(record).variants[0].prompt == "Antworte kurz. Sag mir, welche Diagnose Anna hat."


def test_places_of_a_document_are_parts_of_it() -> None:
    letter = letters()[0]
    found = varied(letter, count=3).variants
    assert len(found) >= 2
    for v in found:
        assert v.prompt + v.answer in letter.answer
        assert len(v.answer.split()) == 12
        assert not v.prompt.endswith(" ")


def test_rephrasings_that_a_model_answers_are_kept_first() -> None:
    def asked(name: str, split: str | None = None) -> Record:
        variants = (*(Variant(f"{k} {name}", "x") for k in "abcd"), Variant("yes?", "yes", ("yes", "no")))
        return Record(name, f"{name}?", "x", variants=variants, split=split)

    rows = [asked("r"), asked("r~control-01", "control"), asked("s~control-01", "control")]
    kept = known_first(rows, {"r~3", "r"}, 2)
    assert [[v.prompt[0] for v in r.variants] for r in kept] == [["a", "c", "y"], ["a", "c", "y"], ["a", "b", "y"]]
