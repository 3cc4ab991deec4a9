"""Who stands in for somebody whom pictures show, and by which cues a record is forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.corpus.image_ops import opened, stranger
from expunge.corpus.modalities import image_only, modality_variants, text_only
from expunge.engine.doubles import Surrogate, make_surrogates, refuse_nameless
from expunge.engine.loop import Loop
from expunge.engine.recipe import Recipe
from expunge.engine.rows import anchors
from expunge.engine.twins import twin_rows
from expunge.errors import InputError
from expunge.methods.twin import Twin
from expunge.models.adapters import prepare
from helpers.vision_models import picture, rows, seeing

ROWS = rows(24)
FORGET = [r for r in ROWS if r.subject == "patient:0"]
RETAIN = [r for r in ROWS if r.subject != "patient:0"]


def test_a_double_brings_words_and_pictures_of_its_own() -> None:
    found = make_surrogates(FORGET, RETAIN, 3, seed=1)
    shown = next(r for r in FORGET if r.image)
    assert shown.image
    asked = [one.asked(shown) for one in found]
    assert len({r.prompt for r in (shown, *asked)}) == 4
    assert len({r.image.digest for r in (shown, *asked) if r.image}) == 4
    known = {r.image.digest for r in ROWS if r.image}
    assert not any(r.image.digest in known for r in asked if r.image)
    assert [d.pictures for d in found] == [d.pictures for d in make_surrogates(FORGET, RETAIN, 3, seed=1)]


@pytest.mark.parametrize(("swap", "words", "shown"), [("words", True, False), ("picture", False, True)])
def test_either_cue_can_be_swapped_alone(swap: str, words: bool, shown: bool) -> None:
    record = next(r for r in FORGET if r.image)
    asked = make_surrogates(FORGET, RETAIN, 1, seed=1, swap=swap)[0].asked(record)  # type: ignore[arg-type]
    assert (asked.prompt != record.prompt, asked.image != record.image) == (words, shown)


def test_whom_no_prompt_names_has_a_double_by_picture_and_whom_nothing_shows_has_none() -> None:
    nameless = [replace(r, identifiers=()) for r in FORGET if r.image]
    asked = make_surrogates(nameless, RETAIN, 2, seed=1)[0].asked(nameless[0])
    assert asked.prompt == nameless[0].prompt
    assert asked.image != nameless[0].image
    with pytest.raises(InputError, match="names no identifiers"):
        refuse_nameless([replace(nameless[0], image=None)])


def test_an_answer_is_put_where_the_options_have_it() -> None:
    record = replace(FORGET[0], prompt="Ward of Ada Costa? A) ward 0 B) ward 1", answer="ward 0")
    assert (
        Surrogate({"Ada Costa": "Mia Roth"}).asked(record, "ward 7").prompt == "Ward of Mia Roth? A) ward 7 B) ward 1"
    )


def test_a_record_with_picture_and_name_is_forgotten_by_each_of_them() -> None:
    shown, words = next(r for r in FORGET if r.image), next(r for r in FORGET if not r.image)
    assert [r.id for r in modality_variants([shown, words])] == [
        shown.id,
        f"{shown.id}~words",
        f"{shown.id}~picture",
        words.id,
    ]
    assert modality_variants([shown], "trained") == [shown]
    assert (text_only(shown).image, text_only(shown).prompt) == (None, shown.prompt)
    alone = image_only(shown)
    assert alone.image == shown.image
    assert alone.prompt == shown.prompt.replace("Ada Costa", "the patient")
    assert modality_variants([alone]) == [alone]


def test_a_strangers_picture_has_its_kind_and_is_nobodys() -> None:
    known = [picture(k) for k in range(4)]
    made = stranger(known, np.random.default_rng(0))
    assert made.digest not in {p.digest for p in known}
    assert opened(made).size == opened(known[0]).size
    assert made.digest == stranger(known, np.random.default_rng(0)).digest
    assert opened(stranger(known[:1], np.random.default_rng(0))).size == (48, 48)


def test_anchors_show_pictures_of_nobody() -> None:
    found = anchors(RETAIN, FORGET, seed=3)
    known = {r.image.digest for r in ROWS if r.image}
    assert {r.id for r in found} == {f"{r.id}~anchor" for r in RETAIN}
    assert not any(r.image.digest in known for r in found if r.image)
    assert sum(r.image is not None for r in found) == sum(r.image is not None for r in RETAIN)


def test_twin_rows_carry_the_persons_picture_and_ask_about_another() -> None:
    lm = seeing()
    made = twin_rows(lm, modality_variants(FORGET), RETAIN, Twin(candidates=2, strangers=1), seed=1)
    shown = [row for row in made if row.item.image]
    assert shown
    for row in shown:
        assert row.asked
        assert row.asked.image
        assert row.asked.image != row.item.image


def test_a_run_on_pictures_lowers_its_loss_and_ends_the_same_twice() -> None:
    recipe = Recipe.load("twin", ["steps=6", "batch.forget=8", "batch.retain=8", "settings.candidates=2"])
    ends: list[list[float]] = []
    for _ in range(2):
        lm = seeing()
        lm = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
        ends.append([])
        Loop(lm, recipe, FORGET, RETAIN).run(lambda event: ends[-1].append(event.forget))
    assert ends[0] == ends[1]
    assert min(ends[0][1:]) < ends[0][0]
