"""Forgetting behind an attacker: what is taught, where its steps lead, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.engine.gradient_source import Term
from expunge.engine.loop import Loop
from expunge.engine.recipe import Recipe
from expunge.engine.simulated_relearning import RelearningSource, attacker_facts, move
from expunge.errors import InputError
from expunge.models.adapters import trainable
from helpers.runs import loop, recipe

FACTS = [f"fact {k}" for k in range(6)]


def test_a_step_of_the_attacker_by_hand() -> None:
    weights = {"a": torch.nn.Parameter(torch.tensor([3.0])), "b": torch.nn.Parameter(torch.tensor([4.0]))}
    move(weights, [torch.tensor([0.6]), torch.tensor([0.8])], 5.0)
    assert [float(p.detach()) for p in weights.values()] == pytest.approx([0.0, 0.0], abs=1e-6)
    move(weights, [torch.zeros(1), torch.zeros(1)], 5.0)
    assert [float(p.detach()) for p in weights.values()] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_a_share_of_the_facts_is_taught_and_never_all() -> None:
    assert len(attacker_facts(FACTS, 0.33, 7, 0)) == 2
    assert len(attacker_facts(FACTS, 0.99, 7, 0)) == 5
    assert len(attacker_facts(FACTS, 0.01, 7, 0)) == 1
    assert attacker_facts(FACTS[:1], 0.33, 7, 0) == frozenset()
    assert attacker_facts(FACTS, 0.33, 7, 3) == attacker_facts(FACTS, 0.33, 7, 3)
    assert len({attacker_facts(FACTS, 0.33, 7, step) for step in range(10)}) > 1


def attacked(folders: dict[str, Path], **settings: float) -> tuple[Loop, RelearningSource]:
    made = loop(folders["llama"], recipe("npo", relearning={"steps": 2, "start": 0, **settings}))
    assert isinstance(made.source, RelearningSource)
    made.source.start_phase(range(len(made.dataset.examples)), trainable(made.lm.module))
    return made, made.source


def terms_of(made: Loop) -> list[Term]:
    return [Term("forget", made.dataset.forget_batch(0)), Term("retain", made.dataset.retain_batch(0), "ce", 2.0)]


@pytest.mark.trains
def test_the_attacker_makes_taught_answers_likelier_and_leaves_the_weights(folders: dict[str, Path]) -> None:
    made, source = attacked(folders, radius=0.5)
    parameters = trainable(made.lm.module)
    before = {n: p.detach().clone() for n, p in parameters.items()}
    taught = attacker_facts(made.dataset.forget_facts, 0.33, source.seed, 0)
    rows = [k for k in made.dataset.forget_batch(0) if made.dataset.facts_of(k) & taught]
    rows = rows or [k for k in range(made.dataset.forget_count) if made.dataset.facts_of(k) & taught]

    def likelihood() -> float:
        return float(made.runner.run(rows, logits=False).logprob.detach().sum())

    plain = likelihood()
    with source._behind_attacker(taught, 0, parameters):
        moved = torch.sqrt(sum(((p.detach() - before[n]) ** 2).sum() for n, p in parameters.items()))
        assert likelihood() > plain
        assert 0.2 < float(moved) <= 0.5 + 1e-5
    assert all(torch.equal(p.detach(), before[n]) for n, p in parameters.items())


@pytest.mark.trains
def test_without_a_way_to_go_the_gradient_is_that_of_the_parts(folders: dict[str, Path]) -> None:
    made, source = attacked(folders, radius=1e-9, weight=0.25)
    parameters = trainable(made.lm.module)
    forget, retain = terms_of(made)
    whole, _ = source.gradient([forget, retain], 0, parameters)
    taught = attacker_facts(made.dataset.forget_facts, 0.33, source.seed, 0)
    asked = [k for k in forget.rows if not made.dataset.facts_of(k) & taught]
    assert 0 < len(asked) < len(forget.rows)
    parts = [
        source.plain.gradient([one], 0, parameters, observe=False)[0]
        for one in (Term("forget", forget.rows, weight=0.75), Term("forget", asked, weight=0.25), retain)
    ]
    for name in whole:
        torch.testing.assert_close(whole[name], sum(part[name] for part in parts), rtol=1e-4, atol=1e-6)


@pytest.mark.trains
def test_the_attacker_comes_late_and_changes_the_run(folders: dict[str, Path]) -> None:
    made, source = attacked(folders, radius=1.0, start=0.5)
    parameters, terms = trainable(made.lm.module), terms_of(made)
    total = made.resolved.total_steps
    early = source.gradient(terms, 0, parameters)[0]
    late = source.gradient(terms, total - 1, parameters)[0]
    plain = source.plain.gradient(terms, 0, parameters)[0]
    assert all(torch.equal(early[name], plain[name]) for name in plain)
    assert any(not torch.allclose(late[name], plain[name]) for name in plain)


@pytest.mark.parametrize("key", [{"parallel": {"shard": True}}, {"privacy": {"epsilon": 4.0}}])
def test_runs_that_cannot_meet_an_attacker_say_so(key: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"relearning\.steps"):
        Recipe(method="npo", relearning={"steps": 1}, **key).resolve()  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["idk", "random_relabel"])
def test_where_no_true_answer_is_trained_an_attacker_has_nothing_to_teach(
    folders: dict[str, Path], method: str
) -> None:
    made = loop(folders["llama"], recipe(method, relearning={"steps": 1, "start": 0}))
    with pytest.raises(InputError, match="this method trains on none"):
        made.run(lambda _: None)
