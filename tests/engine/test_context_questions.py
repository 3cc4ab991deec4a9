"""What a run forgets behind its place in the tree, and what the teacher of twin is asked there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from expunge.engine.recipe import Recipe
from expunge.engine.run_questions import forget_questions
from expunge.errors import InputError
from helpers.reconstruction import person


def questions(*changes: str) -> list[tuple[str, str]]:
    resolved = Recipe.load("twin", changes).resolve()
    template: Any = SimpleNamespace(context=256)
    return [(r.row_id, r.prompt) for r in forget_questions(resolved, person("P-1")[:2], template)]


def test_a_question_is_forgotten_behind_its_place_only_if_asked_for() -> None:
    assert [row for row, _ in questions()] == ["P-1:ward", "P-1:finding:1"]
    assert questions("modalities=context") == [
        ("P-1:ward", "Ward of Ada Costa?"),
        ("P-1:ward~context", "institution H-1. patient P-1, Ada Costa, N-11. Ward of the patient?"),
        ("P-1:finding:1", "Study 1 of Ada Costa shows [blank]."),
        (
            "P-1:finding:1~context",
            "institution H-1. patient P-1, Ada Costa, N-11. study S-11. section FINDING. "
            "Study 1 of the patient shows [blank].",
        ),
    ]


def test_recipes_that_run_today_keep_their_digest() -> None:
    assert Recipe.load("twin").digest == Recipe.load("twin", ("modalities=each",)).digest
    assert Recipe.load("twin").digest != Recipe.load("twin", ("modalities=context",)).digest


@pytest.mark.parametrize("change", ["modalities=place", "settings.scale=person"])
def test_another_word_is_refused(change: str) -> None:
    with pytest.raises(InputError):
        Recipe.load("twin", (change,)).resolve()
