"""Windows of documents: no letter is lost, none is learnt twice, and only the last one ends."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.corpus import Record, Variant
from expunge.models.documents import document_probes, split_documents, token_starts, window_cuts
from expunge.models.prompt_template import PromptTemplate
from helpers.world import tokenizer

LETTER = "Herr Jürgen Müller, geb. 3.4.1950, wurde am 1. Mai aufgenommen.\n\nDiagnose: Asthma – «schwer».\n" * 12


class LetterTokenizer:
    """One token for each letter that is no space."""

    is_fast = True

    def __call__(self, text: str, **options: Any) -> dict[str, Any]:
        return {"offset_mapping": [(k, k + 1) for k, letter in enumerate(text) if not letter.isspace()]}


@cache
def template(context: int = 128) -> PromptTemplate:
    return PromptTemplate(tokenizer(), context)


def document(text: str, **fields: Any) -> Record:
    return Record(**({"id": "d", "prompt": "", "answer": text, "kind": "document", "subject": "s"} | fields))


def test_windows_are_even_and_cut_between_words() -> None:
    text = "aa bb cc dd ee"
    assert window_cuts(text, token_starts(text, LetterTokenizer()), 4) == [0, 2, 8, 14]
    assert [text[a:b] for a, b in pairwise([0, 2, 8, 14])] == ["aa", " bb cc", " dd ee"]


def test_a_window_reads_what_stands_before_it() -> None:
    windows = split_documents([document("aa bb cc dd ee")], SimpleNamespace(context=16, tokenizer=LetterTokenizer()))
    assert [(w.id, w.prompt, w.answer) for w in windows] == [
        ("d#1", "", "aa"),
        ("d#2", "aa", " bb cc"),
        ("d#3", " cc", " dd ee"),
    ]
    assert [w.attributes for w in windows] == [
        {"window_of": "d", "continues": True},
        {"window_of": "d", "continues": True},
        {"window_of": "d"},
    ]


@settings(deadline=None)
@given(st.text("ab é\n\t漢👩‍👧ñ̈", max_size=400), st.integers(1, 40), st.integers(0, 40))
def test_joined_windows_are_the_document(text: str, size: int, overlap: int) -> None:
    windows = split_documents([document(text)], template(), size=size, overlap=overlap)
    assert "".join(w.answer for w in windows) == text
    assert all(w.answer for w in windows) or not text
    read = ""
    for window in windows:
        assert read.endswith(window.prompt)
        read += window.answer
    assert split_documents(windows, template(), size=size, overlap=overlap) == windows


def test_a_window_fits_the_model() -> None:
    windows = split_documents([document(LETTER)], template())
    assert len(windows) > 4
    lengths = [len(token_starts(w.answer, tokenizer())) for w in windows]
    assert max(lengths) <= 32 + 8
    assert min(lengths) >= 32 / 2
    assert {template().encode(w).length <= 128 for w in windows} == {True}
    assert all(w.subject == "s" and not w.facts for w in windows)


def test_other_records_pass_and_nothing_is_cut_twice() -> None:
    question = Record("q", "Who?", "x " * 500)
    short = document("Nothing to cut.")
    assert split_documents([question, short], template()) == [question, short]
    windows = split_documents([document(LETTER)], template())
    assert split_documents(windows, template(), size=4) == windows


def test_a_window_of_a_longer_text_ends_nothing() -> None:
    windows = split_documents([document(LETTER, prompt="Brief: ", attributes={"continues": True})], template())
    assert all(w.attributes["continues"] for w in windows)
    assert windows[0].prompt == "Brief: "


def test_a_variant_goes_to_the_window_in_which_its_answer_begins() -> None:
    text = " ".join(f"word{k}" for k in range(200))
    probes = document_probes(text, words=5)
    windows = split_documents([document(text, variants=(*probes, Variant("elsewhere", "x")))], template())
    assert sum(len(w.variants) for w in windows) == 4
    assert [v.prompt for v in windows[0].variants] == [probes[0].prompt, "elsewhere"]
    assert windows[-1].variants == (probes[-1],)
    asked = windows[-1].wordings()[1]
    assert (asked.kind, asked.attributes["continues"]) == ("document", True)


def test_a_tokenizer_without_offsets_counts_words() -> None:
    def tokenize(text: str, **options: Any) -> dict[str, Any]:
        return {"input_ids": list(range(len(text) // 2))}

    assert token_starts("abcd  e", tokenize) == [0, 2, 6]


def test_probes_are_places_of_the_text() -> None:
    text = " ".join(f"w{k}" for k in range(100)) + "\n"
    probes = document_probes(text, places=3, words=10)
    assert [v.prompt.split()[-1] for v in probes] == ["w9", "w49", "w89"]
    assert probes[0].answer == " w10 w11 w12 w13 w14 w15 w16 w17 w18 w19"
    assert all(v.prompt + v.answer in text for v in probes)
    assert len(document_probes(text, LetterTokenizer(), words=10)[0].answer.replace(" ", "")) == 20


@pytest.mark.parametrize(
    ("text", "places"), [("", 0), ("one", 0), ("one two", 1), ("one two three", 2), ("a b c d", 1)]
)
def test_a_short_text_has_fewer_places(text: str, places: int) -> None:
    assert len(document_probes(text)) == places


def test_windows_have_the_tokens_of_the_document() -> None:
    items = template().encode_all(split_documents([document(LETTER)], template()))
    whole = template(10_000).encode(document(LETTER))
    assert [i for item in items for i in item.answer] == list(whole.answer)
    assert [item.ends for item in items] == [False] * (len(items) - 1) + [True]
