"""General ability: figures that can be worked out by hand on models without knowledge."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.corpus import Record
from expunge.corpus.general_ability import general_questions, neutral_text
from expunge.engine.general_ability import (
    GeneralAbility,
    choice_accuracy,
    contains,
    general_ability,
    perplexity,
    warnings_of,
    windows,
)
from expunge.models.language_model import LanguageModel, load


def test_two_hundred_questions_with_their_answer_among_different_options() -> None:
    questions = general_questions()
    assert len(questions) == len({q.id for q in questions}) == len({q.prompt for q in questions}) == 200
    for question in questions:
        assert question.answer in question.options
        assert len(set(question.options)) == len(question.options) in (3, 4)
        assert 1 <= len(question.answer.split()) <= 4
        assert (question.split, question.subject, question.kind) == ("utility", "general", "classification")
    places = Counter(q.options.index(q.answer) for q in questions)
    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) < 80


def test_the_neutral_text_is_long_enough_and_partly_german() -> None:
    words = neutral_text().split()
    assert 1400 < len(words) < 1600
    assert sum(w in ("und", "der", "die", "das", "ein", "eine", "nicht") for w in words) > 20


@pytest.mark.parametrize(("count", "size"), [(1, 8), (6, 8), (7, 8), (100, 8), (30, 2), (5, 1)])
def test_every_token_is_predicted_once_after_the_right_ones(count: int, size: int) -> None:
    ids = list(range(100, 100 + count))
    found = windows(ids, 7, size)
    assert [t for w in found for t in w.answer] == ids
    assert found[0].prompt == (7,)
    for window in found[1:]:
        assert window.prompt[-1] == window.answer[0] - 1
        assert len(window.prompt) == max(1, size // 4)
    assert all(w.length <= max(size, 2) for w in found)


def without_preference(folder: Path) -> LanguageModel:
    """Every next token has the same probability."""
    lm = load(folder)
    with torch.no_grad():
        lm.module.get_output_embeddings().weight.zero_()
    return lm


def test_a_model_without_preference_has_the_perplexity_of_its_vocabulary(folders: dict[str, Path]) -> None:
    lm = without_preference(folders["llama"])
    vocabulary = lm.module.get_output_embeddings().weight.shape[0]
    assert perplexity(lm, "The sea rises and falls twice a day.") == pytest.approx(vocabulary, rel=1e-4)


def test_the_likelier_option_is_chosen_and_a_tie_is_wrong(folders: dict[str, Path]) -> None:
    lm = without_preference(folders["llama"])
    # every token costs the same, so the option of fewer tokens is likelier
    short, long = "a", "a much longer option of many tokens"
    right = Record("r", "Which?", short, kind="classification", options=(short, long))
    wrong = Record("w", "Which?", long, kind="classification", options=(short, long))
    tie = Record("t", "Which?", "a", kind="classification", options=("a", "b"))
    assert choice_accuracy(lm, [right]) == 1
    assert choice_accuracy(lm, [wrong]) == 0
    assert choice_accuracy(lm, [tie]) == 0
    assert choice_accuracy(lm, [right, wrong]) == 0.5


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("The capital of France is Paris.", "Paris", True),
        ("It is the PACIFIC ocean!", "Pacific Ocean", True),
        ("An hour has 600 minutes", "60", False),
        ("the red, blood cells", "red blood cells", True),
        ("Weiß wie Schnee", "weiß", True),
        ("", "Paris", False),
    ],
)
def test_an_answer_counts_where_its_words_stand(text: str, answer: str, found: bool) -> None:
    assert contains(text, answer) is found


def test_a_change_beyond_the_bounds_is_a_warning() -> None:
    before = GeneralAbility(20.0, 0.60, 0.5, 200)
    assert warnings_of(before, before) == ()
    assert warnings_of(before, replace(before, perplexity=22.0, choice_accuracy=0.57, text_accuracy=0.0)) == ()
    assert warnings_of(before, replace(before, perplexity=30.0)) == (
        "perplexity on neutral text rose from 20.0 to 30.0 (x 1.50, bound 1.1)",
    )
    assert warnings_of(before, replace(before, choice_accuracy=0.565)) == (
        "common knowledge fell from 60.0% to 56.5% (bound 3 points)",
    )
    assert len(warnings_of(before, GeneralAbility(math.inf, 0.0, 0.0, 200))) == 2


@pytest.mark.slow
def test_questions_that_a_short_context_cannot_hold_are_left_out(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    lm = replace(lm, template=replace(lm.template, context=56))
    ability = general_ability(lm)
    assert 0 < ability.questions < 200
    none = general_ability(replace(lm, template=replace(lm.template, context=20)))
    assert (none.choice_accuracy, none.text_accuracy, none.questions) == (0, 0, 0)
    assert none.perplexity > 1
