"""`say: refuse`: refusals in the language of the question, and twin's rows that teach them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.corpus import Record
from expunge.corpus.language import language_of
from expunge.engine.auto_recipe import with_say
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.methods.refusals import ENGLISH, GERMAN, is_refusal, refusal
from expunge.methods.twin import Twin
from expunge.methods.twin.refusing import certain, refuse_at_start
from expunge.models.language_model import load
from helpers.runs import loop, recipe, run
from helpers.world import one_person


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Welche Diagnose hat Jürgen Müller?", "de"),
        ("Wo wohnt Anna Keller?", "de"),
        ("Blutgruppe von Anna Keller", "de"),
        ("When was Jürgen Müller born?", "en"),
        ("What is the diagnosis of Anna Keller?", "en"),
        ("Did he die in the war?", "en"),
        ("", "en"),
    ],
)
def test_the_language_of_a_question(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_subject_has_one_refusal_in_each_language() -> None:
    records = [Record(str(k), text, "x", subject="s") for k, text in enumerate(("Wer ist es?", "Wo ist es?", "Who?"))]
    one, two, three = (refusal(r, 1) for r in records)
    assert one == two
    assert one in GERMAN
    assert three in ENGLISH
    assert is_refusal(three.upper())
    assert not is_refusal("aspirin")


def test_a_certain_teacher_shares_the_rest_in_proportion() -> None:
    """(.5, .3, .2) with .9 on the third: the others share .1 as 5 to 3."""
    log_p = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert certain(log_p, torch.tensor([2]), 0.9).exp()[0].tolist() == pytest.approx([0.0625, 0.0375, 0.9])
    both = refuse_at_start(torch.cat([log_p, log_p]), 2, 0.9)
    assert both[0].exp().tolist() == pytest.approx([0.0625, 0.0375, 0.9])
    assert torch.equal(both[1], log_p[0])


def test_refusing_twin_has_a_refusal_beside_each_true_answer(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    method = Twin(candidates=2, say="refuse", ceiling_weight=1.0)
    targets = method.build_targets(lm, split.forget, split.retain, 1)
    assert [e.kind for e in targets.examples] == ["gold", "substitute"] * len(split.forget)
    for gold, row in zip(targets.rows[::2], targets.rows[1::2], strict=True):
        text = lm.tokenizer.decode(row.example.encoded.content)
        assert is_refusal(text)
        assert row.example.encoded.prompt == gold.example.encoded.prompt
        assert gold.teacher[0].argmax() == row.teacher[0].argmax() == row.example.encoded.answer[0]
        assert float(row.teacher.exp().sum(-1).sub(1).abs().max()) < 1e-4
        assert (gold.floor > 0, row.floor) == (True, 0.0)
    assert (method.ceiling, Twin(ceiling_weight=1.0).ceiling) == (0.0, 1.0)


def test_targets_are_settled_when_the_refusals_are_learned(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    for say, expected in (("stranger", True), ("refuse", False)):
        targets = Twin(candidates=2, say=say).build_targets(lm, split.forget, split.retain, 1)
        targets.record_losses(range(len(targets.examples)), torch.full((len(targets.examples),), 3.0))
        targets.after_step(lambda tensor: tensor)
        assert targets.settled() is expected
    targets.record_losses(range(len(targets.examples)), torch.full((len(targets.examples),), 0.1))
    targets.after_step(lambda tensor: tensor)
    assert targets.settled()


def test_a_short_run_learns_to_refuse(folders: dict[str, Path]) -> None:
    settings = {"candidates": 2, "say": "refuse"}
    engine = loop(
        folders["llama"], recipe("twin", steps=20, settings=settings, optimizer={"lr": 0.01}, train={"which": "full"})
    )
    run(engine)
    targets = engine.dataset.targets
    refusals = [k for k, row in enumerate(targets.rows) if row.example.kind == "substitute"]
    assert float(targets.floors.losses[refusals].mean()) < 4.0  # about ln 400 = 6.0 before


def test_the_choice_goes_to_the_method_that_has_it() -> None:
    assert with_say(Recipe.load("twin"), "refuse").settings["say"] == "refuse"
    assert with_say(Recipe.load("dual"), "refuse").settings["twin"]["say"] == "refuse"
    assert with_say(Recipe.load("dual"), "refuse").resolve().algorithm.says == "refuse"
    assert with_say(Recipe.load("idk"), "refuse").method == "idk"
    with pytest.raises(InputError, match="--say: the method npo does not decide"):
        with_say(Recipe.load("npo"), "refuse")
