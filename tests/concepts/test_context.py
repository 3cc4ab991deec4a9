"""Which sense of a name its context suggests."""

from __future__ import annotations

import pytest

from expunge.concepts.annotate import Annotator
from expunge.concepts.context import levels_in_context
from expunge.concepts.dictionary import Dictionary, DictionaryEntry

ENTRIES = [
    DictionaryEntry("drain", "S:1", "L4"),
    DictionaryEntry("drain", "E:1", "L1"),
    DictionaryEntry("laparotomy", "S:2", "L4"),
    DictionaryEntry("abscess", "S:3", "L4"),
    DictionaryEntry("kitchen", "E:2", "L1"),
    DictionaryEntry("sink", "E:3", "L1"),
    DictionaryEntry("fever", "G:1", "L2"),
]
ANNOTATOR = Annotator(Dictionary.of(ENTRIES))


def level_of_drain(text: str, record_level: str | None = None, window: int = 100) -> str | None:
    spans = ANNOTATOR.annotate(text)
    found = levels_in_context(spans, spans, record_level, window)
    assert [s.start for s in found] == [s.start for s in spans]
    return next(s.level for s in found if s.text == "drain")


@pytest.mark.parametrize(
    ("text", "record_level", "level"),
    [
        ("after laparotomy a drain was placed", None, "L4"),
        ("the drain of the kitchen sink", None, "L1"),
        ("the drain of the kitchen sink", "L4", "L1"),  # two neighbors against the record
        ("the drain of the kitchen", "L4", "L4"),  # one against one: the record
        ("the drain of the kitchen after laparotomy", None, "L4"),  # one against one: the highest
        ("the drain of the kitchen after laparotomy", "L1", "L1"),
        ("a drain", "L1", "L1"),
        ("a drain", "L2", "L4"),  # not a sense of the word
        ("a drain and fever", None, "L4"),
        ("a drain, and another drain", None, "L4"),  # a name of two senses is no evidence
    ],
)
def test_neighbors_and_the_record_vote(text: str, record_level: str | None, level: str) -> None:
    assert level_of_drain(text, record_level) == level


def test_two_occurrences_in_one_text_may_differ() -> None:
    text = "the drain of the kitchen sink" + 60 * " and" + " after laparotomy a drain in the abscess"
    spans = ANNOTATOR.annotate(text)
    assert [s.level for s in levels_in_context(spans, spans) if s.text == "drain"] == ["L1", "L4"]


def test_a_neighbor_out_of_the_window_has_no_vote() -> None:
    assert level_of_drain("kitchen: a drain", window=4) == "L1"
    assert level_of_drain("kitchen: a drain", window=3) == "L4"


def test_names_of_one_level_stay_as_they_are() -> None:
    spans = ANNOTATOR.annotate("fever in the kitchen after laparotomy")
    assert levels_in_context(spans, spans, "L4") == spans
