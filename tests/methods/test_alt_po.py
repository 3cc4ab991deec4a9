"""AltPO: the loss of a pair, its other answers, and documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.methods import ModelOutputs
from expunge.methods.alt_po import AltPO, PairedAnswers
from expunge.methods.npo import NPO
from expunge.models.language_model import load
from helpers.patients import letters
from helpers.runs import loop, recipe, run
from helpers.world import one_person


def pair(x: ModelOutputs, paired: float) -> ModelOutputs:
    """Fixture X with another answer whose log p is -1, and -1.5 before the run."""
    one = torch.ones(1, 1)
    other = ModelOutputs(-1.0 * one, one.bool(), reference=ModelOutputs(-1.5 * one, one.bool()))
    return replace(x, alternate=other, targets={"has_alternate": torch.tensor([paired])})


def test_the_loss_is_that_of_a_preference(x: ModelOutputs) -> None:
    # .5 + 1.163151 = 1.663151; 20 ln(1 + exp(-.1663151)) = 12.268865
    assert float(AltPO().forget_loss(pair(x, 1.0))) == pytest.approx(12.268865, rel=2e-6)


def test_without_another_answer_it_is_npo(x: ModelOutputs) -> None:
    assert torch.equal(AltPO(beta=0.2).forget_loss(pair(x, 0.0)), NPO(beta=0.2).forget_loss(x))


def targets(folder: Path, settings: dict[str, Any], seed: int = 1) -> tuple[PairedAnswers, Any]:
    lm, split = load(folder), one_person()
    return AltPO(**settings).build_targets(lm, split.forget, split.retain, seed), lm  # type: ignore[return-value]


def test_each_other_answer_makes_a_row_and_none_is_true(folders: dict[str, Path]) -> None:
    made, lm = targets(folders["llama"], {"count": 2})
    truth = {r.id: r.answer for r in one_person().forget}
    assert len(made.examples) == len(made.alternates) == 2 * len(truth)
    for own, other in zip(made.examples, made.alternates, strict=True):
        assert own.encoded.prompt == other.encoded.prompt
        assert own.encoded.answer != other.encoded.answer
        assert lm.template.tokenizer.decode(list(own.encoded.content)).strip() == truth[own.record_id]
    assert {e.encoded.answer for e in targets(folders["llama"], {"count": 2})[0].alternates} == {
        e.encoded.answer for e in made.alternates
    }


def test_what_a_model_invents_is_used_unless_it_is_true(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def reply(lm: Any, records: Any, new_tokens: int) -> Any:
        asked.extend(r.prompt for r in records)
        return lm.template.encode_all(
            replace(r, prompt="q", answer="aspirin" if k % 2 else r.answer) for k, r in enumerate(records)
        )

    monkeypatch.setattr("expunge.methods.alt_po.greedy_answers", reply)
    made, lm = targets(folders["llama"], {"count": 2, "alternates": "model"})
    drawn, _ = targets(folders["llama"], {"count": 2})
    told = [lm.template.tokenizer.decode(list(e.encoded.content)).strip() for e in made.alternates]
    assert told[1::2] == ["aspirin"] * (len(told) // 2)
    assert [e.encoded.answer for e in made.alternates[::2]] == [e.encoded.answer for e in drawn.alternates[::2]]
    assert "This is version 2." in asked[1]
    assert one_person().forget[0].answer in asked[0]


def test_documents_are_forgotten_by_npo_and_said_to_be(folders: dict[str, Path]) -> None:
    records = [replace(r, answer=r.answer[:60]) for r in letters(3).records]
    method = AltPO(count=2)
    assert method.fallback(records) == ("npo", records)
    made = method.build_targets(load(folders["llama"]), records, (), 1)
    assert len(made.examples) == 3
    assert made.batch_fields([0, 2], 5)["has_alternate"].tolist() == [0, 0]
    assert method.fallback(one_person().forget) == ("", [])


def test_micro_batches_and_the_cache_change_nothing(folders: dict[str, Path]) -> None:
    plan: dict[str, Any] = {"settings": {"count": 2}, "optimizer": {"name": "sgd", "lr": 0.1, "clip_norm": None}}
    events = [
        run(loop(folders["llama"], recipe("alt_po", **plan, **more)))
        for more in (
            {},
            {"batch": {"forget": 4, "retain": 5, "micro": 2}},
            {"train": {"layers": 1}},
            {"train": {"layers": 1}, "memory": {"prefix_cache": False}},
        )
    ]
    losses = [[e.forget for e in one] for one in events]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[2] == pytest.approx(losses[3], rel=1e-4)
    assert losses[0][0] == pytest.approx(20 * 0.693147, rel=1e-3)  # nothing has moved yet
