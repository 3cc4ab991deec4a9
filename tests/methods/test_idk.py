"""`idk`: a method with targets of its own, in one file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from expunge.engine.recipe import Recipe, shipped
from expunge.methods import METHODS, ModelOutputs
from expunge.methods.idk import IDK, REFUSALS
from expunge.models.language_model import load
from helpers.runs import loop, recipe, run
from helpers.world import one_person


def test_the_loss_is_the_mean_nll_of_the_refusal() -> None:
    """Tokens of p = .5 and .25 under the mask: (ln 2 + ln 4) / 2 = 1.5 ln 2; one of p = .125 alone: 3 ln 2."""
    logprob = torch.tensor([[0.5, 0.25], [0.125, 1.0]]).log()
    mask = torch.tensor([[True, True], [True, False]])
    loss = IDK().forget_loss(ModelOutputs(logprob, mask))
    assert loss.tolist() == pytest.approx([1.5 * math.log(2), 3 * math.log(2)])


def test_the_registry_and_the_recipes_know_it() -> None:
    assert METHODS.get("idk") is IDK
    assert "idk" in shipped()
    assert (Recipe.load("idk").method, Recipe.load("idk").resolve().retain_loss) == ("idk", "ce")


def test_refusals_depend_on_seed_record_and_epoch_alone(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    forget = list(split.forget)
    one, other = (IDK().build_targets(lm, forget, (), seed) for seed in (1, 2))
    backwards = IDK().build_targets(lm, forget[::-1], (), 1)
    count = len(forget)

    def drawn(targets: object) -> list[tuple[int, ...]]:
        return [targets.example(row, epoch).encoded.answer for epoch in range(5) for row in range(count)]  # type: ignore[attr-defined]

    assert drawn(one) == drawn(IDK().build_targets(lm, forget, (), 1)) != drawn(other)
    assert [one.example(row, 3).encoded for row in range(count)] == [
        backwards.example(count - 1 - row, 3).encoded for row in range(count)
    ]
    assert len(set(drawn(one))) > 2
    refusals = {lm.template.encode(replace(forget[0], answer=text)).answer for text in REFUSALS}
    assert set(drawn(one)) <= refusals


def test_without_renewal_a_record_keeps_its_first_refusal(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    targets = IDK(renew=False).build_targets(lm, split.forget, (), 1)
    assert all(targets.example(row, 4) is targets.examples[row] for row in range(len(split.forget)))


def test_a_short_run_learns_to_refuse(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], recipe("idk", steps=12, optimizer={"lr": 0.01}, train={"which": "full"}))
    kinds = {e.kind for e in engine.dataset.examples[: engine.dataset.forget_count]}
    assert kinds == {"substitute"}
    events = run(engine)
    assert events[-1].forget < events[0].forget - 0.5
