"""Negation and assertion status of mentions; every sentence is judged by hand."""

from __future__ import annotations

import pytest

from expunge.concepts.annotate import Annotator
from expunge.concepts.assertion import assign_assertions, sentences
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.span import Span

NAMES = (
    "fever",
    "cough",
    "pneumonia",
    "asthma",
    "breast cancer",
    "chest pain",
    "diabetes",
    "stroke",
    "chills",
    "rash",
    "epilepsy without aura",
    "appendectomy",
    "Mothers",
    "X-Rays",
    "sepsis",
    "fetal distress",
    "hypoxia",
)
ANNOTATOR = Annotator(Dictionary.of(DictionaryEntry(name, f"X:{name}", "L2") for name in NAMES))


def statuses(text: str) -> dict[str, str]:
    """Mention → `not`, `family`, `history`, `hypothetical`, joined by a space; "" for a plain one."""
    return {
        s.text.lower(): " ".join(filter(None, ("not" if s.negated else "", s.assertion or "")))
        for s in ANNOTATOR.annotate(text)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No fever, cough or chills.", {"fever": "not", "cough": "not", "chills": "not"}),
        ("Denies chest pain or cough but has fever.", {"chest pain": "not", "cough": "not", "fever": ""}),
        ("No fever; cough present.", {"fever": "not", "cough": ""}),
        ("No fever. Cough.", {"fever": "not", "cough": ""}),
        ("No fever and she has cough.", {"fever": "not", "cough": ""}),
        ("No fever\n- cough", {"fever": "not", "cough": ""}),
        ("Seen without fever or\ncough", {"fever": "not", "cough": "not"}),
        ("Without evidence of pneumonia.", {"pneumonia": "not"}),
        ("No evidence of pneumonia on x-ray.", {"pneumonia": "not", "x-ray": ""}),
        ("Negative for pneumonia.", {"pneumonia": "not"}),
        ("He doesn't have asthma.", {"asthma": "not"}),
        ("CT ruled out pneumonia.", {"pneumonia": "not"}),
        ("Patient has asthma and pneumonia was ruled out.", {"asthma": "", "pneumonia": "not"}),
        ("Pneumonia and sepsis were ruled out.", {"pneumonia": "not", "sepsis": "not"}),
        ("Rash not seen.", {"rash": "not"}),
        ("Fever: none. Cough: yes.", {"fever": "not", "cough": ""}),
        ("Her fever is unlikely to be pneumonia.", {"fever": "", "pneumonia": "not"}),
        ("A lack of oxygen during birth, and hypoxia.", {"hypoxia": ""}),
        ("(no fever) and cough", {"fever": "not", "cough": ""}),
    ],
)
def test_negation_reaches_to_the_end_of_its_clause(text: str, expected: dict[str, str]) -> None:
    assert statuses(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No increase in fever.", {"fever": ""}),
        ("No change in her cough.", {"cough": ""}),
        ("Not only fever but cough.", {"fever": "", "cough": ""}),
        ("There is no cure for diabetes.", {"diabetes": ""}),
        ("Epilepsy without aura, fever.", {"epilepsy without aura": "", "fever": ""}),
        ("Pneumonia could not be ruled out.", {"pneumonia": "hypothetical"}),
        ("Pneumonia has not been ruled out.", {"pneumonia": "hypothetical"}),
    ],
)
def test_what_sounds_like_negation_is_none(text: str, expected: dict[str, str]) -> None:
    assert statuses(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mother had breast cancer.", {"mother": "", "breast cancer": "family"}),
        ("Breast cancer in her sister.", {"breast cancer": "family"}),
        ("Family history of stroke; she has asthma.", {"stroke": "family", "asthma": ""}),
        ("No family history of breast cancer.", {"breast cancer": "not family"}),
        ("Asthma runs in the family.", {"asthma": "family"}),
        ("Father reports fever.", {"fever": ""}),
        ("Father denies fever.", {"fever": "not"}),
        ("History of stroke.", {"stroke": "history"}),
        ("No history of asthma.", {"asthma": "not history"}),
        ("Status post appendectomy.", {"appendectomy": "history"}),
        ("She had a stroke two years ago.", {"stroke": "history"}),
        ("History of present illness: fever.", {"fever": ""}),
        ("Rule out pneumonia.", {"pneumonia": "hypothetical"}),
        ("If fever or chills occur, call.", {"fever": "hypothetical", "chills": "hypothetical"}),
        ("Possible pneumonia, treated asthma.", {"pneumonia": "hypothetical", "asthma": ""}),
        ("At risk of stroke.", {"stroke": "hypothetical"}),
        ("If her mother had breast cancer", {"mother": "hypothetical", "breast cancer": "family"}),
    ],
)
def test_context_says_whose_and_when(text: str, expected: dict[str, str]) -> None:
    assert statuses(text) == expected


def test_sentences_do_not_end_at_abbreviations_or_wrapped_lines() -> None:
    text = "Dr. Smith saw 2.5 cm, e.g. here.\nIt wraps\nand ends. PLAN: rest\n- one\n- two; three"
    assert [text[a:b].strip() for a, b in sentences(text)] == [
        "Dr. Smith saw 2.5 cm, e.g. here.",
        "It wraps\nand ends.",
        "PLAN: rest",
        "- one",
        "- two;",
        "three",
    ]


def test_a_sentence_that_does_not_end_is_cut_at_a_space() -> None:
    pieces = list(sentences("word " * 500))
    assert max(end - start for start, end in pieces) <= 1000
    assert [a for a, _ in pieces[1:]] == [b for _, b in pieces[:-1]]
    assert all(start % 5 == 0 for start, _ in pieces)


def test_judging_changes_nothing_but_negation_and_context() -> None:
    span = Span(3, 8, "fever", ("X:1",), "L4", variant="number")
    assert assign_assertions("no fever", [span]) == (
        Span(3, 8, "fever", ("X:1",), "L4", negated=True, variant="number"),
    )
    assert assign_assertions("no fever", []) == ()
