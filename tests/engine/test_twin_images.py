"""`twin` on records that show images."""

from __future__ import annotations

from expunge.corpus.modalities import modality_variants
from expunge.engine.loop_builder import build_loop
from expunge.engine.recipe import Recipe
from expunge.methods.twin import Twin
from expunge.methods.twin.targets import build
from expunge.models.adapters import prepare
from helpers.vision_models import rows, seeing

ROWS = rows(24)
FORGET = [r for r in ROWS if r.subject == "patient:0"]
RETAIN = [r for r in ROWS if r.subject != "patient:0"]


def test_teachers_are_asked_with_another_image() -> None:
    lm = seeing()
    made = build(lm, modality_variants(FORGET), RETAIN, Twin(candidates=2, null_candidates=1), seed=1).rows
    shown = [row for row in made if row.example.encoded.image]
    assert shown
    for row in shown:
        assert row.question.image
        assert row.question.image != row.example.encoded.image


def test_a_run_on_pictures_lowers_its_loss_and_ends_the_same_twice() -> None:
    recipe = Recipe.load("twin", ["steps=6", "batch.forget=8", "batch.retain=8", "settings.candidates=2"])
    ends: list[list[float]] = []
    for _ in range(2):
        lm = seeing()
        lm = lm.with_module(prepare(lm.module, recipe.train, recipe.seed))
        ends.append([])
        build_loop(lm, recipe.resolve(), FORGET, RETAIN).run(lambda event: ends[-1].append(event.forget))
    assert ends[0] == ends[1]
    assert min(ends[0][1:]) < ends[0][0]
