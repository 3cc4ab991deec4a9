"""Soft prompts: halves of facts, embeddings before the question, and models that are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.audit.checks import soft_prompt as module
from expunge.audit.checks.soft_prompt import first_embeddings, frozen, halves, trained_embeddings, with_places
from expunge.corpus import Record
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import load
from helpers.attacked import attacked
from helpers.audited import Case


def test_halves_are_whole_facts() -> None:
    facts = ("a", "a", "b", "c", "a+b", "d", "e")
    records = [Record(f"r{k}", "Q?", "A", facts=tuple(f.split("+"))) for k, f in enumerate(facts)]
    first, second = halves(records, 0)
    stated = [{f for k in half for f in records[k].facts} for half in (first, second)]
    assert not stated[0] & stated[1]
    assert [len(s) for s in stated] == [3, 2]
    assert set(range(7)) - {*first, *second} <= {4}
    assert halves(records[:2], 0) == ([0, 1], [])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_embeddings_stand_before_the_question_and_lower_the_loss(folders: dict[str, Path], kind: str) -> None:
    lm = load(folders[kind])
    plain = lm.template.encode_all([Record("a", "Who is it?", "Nobody"), Record("b", "Where?", "There")])
    items = [with_places(item, 4) for item in plain]
    assert [i.prompt[4:] for i in items] == [i.prompt for i in plain]
    batch = collate(items)

    def loss(vectors: torch.Tensor | None) -> float:
        with torch.no_grad():
            if vectors is None:
                logits = answer_forward(lm.module, batch).logits
            else:
                with first_embeddings(lm.module, vectors):
                    logits = answer_forward(lm.module, batch).logits
        return float(torch.nn.functional.cross_entropy(logits[batch.mask], batch.labels[batch.mask]))

    table = lm.module.get_input_embeddings().weight.detach()
    own = table[items[0].prompt[0]].expand(4, -1)
    if items[0].prompt[0] == items[1].prompt[0]:
        assert loss(own) == pytest.approx(loss(None), abs=1e-5)
    with frozen(lm.module):
        few, many = (trained_embeddings(lm, items, steps, 8, 0) for steps in (1, 20))
    assert loss(many) < loss(few)
    assert all(p.grad is None for p in lm.module.parameters())


@pytest.mark.trains
def test_a_model_that_knows_fails_and_one_that_never_did_passes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 15)
    result, _ = attacked(case, "soft_prompt", "original")
    assert (result.status, result.power) == ("failed", True)
    result, details = attacked(case, "soft_prompt", "again")
    assert result.status == "passed", result.reason
    assert set(details.rates["unlearned"]) == {"other half"}
    result, _ = attacked(case, "soft_prompt", "again", None)
    assert result.status == "passed", result.reason
