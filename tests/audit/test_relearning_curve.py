"""Relearning curves: who is taught what, who is asked, and that a model which knew is told from one that never did."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.audit.attack import AttackCase
from expunge.audit.attacked_groups import LARGE, attacked_groups, mean_of_draws
from expunge.audit.checks import relearning_curve as module
from expunge.audit.checks.relearning_curve import RelearningPlan, attackers, benign_rows, named, taught_and_tested
from expunge.audit.control_groups import question
from expunge.corpus import Record
from expunge.engine.relearning import Attacker, relearn_steps, relearning_points
from expunge.models.language_model import load
from expunge.scope import Scope
from helpers.attacked import attacked
from helpers.audited import TARGET, WORLD, Case


@pytest.fixture(scope="module")
def target() -> AttackCase:
    split = Scope.parse(TARGET).resolve(WORLD.corpus())
    return AttackCase(None, "unlearned", tuple(split.forget), split, 0, None)  # type: ignore[arg-type]


def test_each_control_is_a_group_and_the_target_is_one(target: AttackCase) -> None:
    assert attacked_groups(target, 3) == [tuple(range(len(target.records)))]
    rows = [("c1", "a"), ("c2", "a"), ("c1", "a"), ("d1", "b"), ("c3", "a"), ("d2", "b")]
    records = tuple(
        Record(f"r{k}", "Q?", "A", subject=subject, attributes={"control_of": of})
        for k, (subject, of) in enumerate(rows)
    )
    controls = AttackCase(None, "unlearned", records, target.split, 0, None, True)  # type: ignore[arg-type]
    assert attacked_groups(controls, 8) == [(0, 2, 3), (1, 5)]  # target b has two controls
    assert attacked_groups(controls, 1) == [(0, 2, 3)]


def test_the_mean_of_draws_counts_those_in_which_a_record_was_asked() -> None:
    nan = np.nan
    draws = [np.array([1.0, nan, nan, 0.0]), np.array([0.0, 1.0, nan, 0.0]), np.array([nan, 0.0, nan, 1.0])]
    np.testing.assert_allclose(mean_of_draws(draws), [0.5, 0.5, nan, 1 / 3])
    assert set(named({10: draws[0], 30: np.full(4, nan)}, "in domain")) == {"in domain, 10 steps"}


def test_no_taught_fact_is_asked(target: AttackCase) -> None:
    everyone = tuple(range(len(target.records)))
    for seed in range(5):
        taught, tested = taught_and_tested(target, everyone, seed)
        known = {fact for r in taught for fact in r.fact_keys}
        assert taught
        assert not any(known & set(target.records[k].fact_keys) for k in tested)


def test_benign_rows_ask_the_same_about_others(target: AttackCase) -> None:
    rows = benign_rows(target, 0)
    asked = {question(r) for r in target.records}
    assert rows
    assert {r.subject for r in rows}.isdisjoint(target.split.targets)
    assert all(question(r) in asked for r in rows)
    assert benign_rows(target, 0) == rows


def test_a_large_model_is_trained_less_and_wide_ones_more_slowly() -> None:
    assert RelearningPlan.of(LARGE, full=False).points == (10, 30, 100)
    assert RelearningPlan.of(LARGE + 1, full=False).points == (10, 30)
    assert RelearningPlan.of(LARGE, full=True) == RelearningPlan((10, 30, 100, 300, 1000), 3, 8)
    assert attackers(1000)["all weights, AdamW"].lr == pytest.approx(1e-4)
    assert attackers(100)["all weights, AdamW"].lr == pytest.approx(1e-3)


@pytest.mark.trains
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_attacker_changes_the_model_and_leaves_it_as_it_was(folders: dict[str, Path], kind: str) -> None:
    lm = load(folders[kind])
    before = {name: p.clone() for name, p in lm.module.named_parameters()}
    ids = torch.tensor([[1, 2, 3, 4]])
    rows = [Record("a", "Who is it?", "Nobody"), Record("b", "Where?", "There")]
    plain = lm.module(ids).logits.detach()
    for attacker in attackers(100).values():
        seen = []
        with closing(relearning_points(lm, rows, attacker, (1, 3), 0)) as points:
            for steps, taught in points:
                seen.append((steps, float((taught.module(ids).logits.detach() - plain).abs().max())))
        assert [steps for steps, _ in seen] == [1, 3]
        assert 0 < seen[0][1] < seen[1][1]
        after = dict(lm.module.named_parameters())
        assert set(after) == set(before)
        assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.trains
def test_the_last_point_is_the_model_after_as_many_plain_steps(folders: dict[str, Path]) -> None:
    ids, rows = torch.tensor([[1, 2, 3]]), [Record("a", "Who is it?", "Nobody")]
    plain = relearn_steps(load(folders["llama"]), rows, 3, 1e-3).module(ids).logits
    with closing(relearning_points(load(folders["llama"]), rows, Attacker(1e-3), (1, 3), 0)) as points:
        next(points)
        assert torch.equal(next(points)[1].module(ids).logits, plain)


@pytest.mark.trains
def test_a_model_that_knew_is_told_from_one_that_never_did(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS", (5, 10))
    result, details = attacked(case, "relearning_curve", "original")
    assert (result.status, result.power) == ("failed", True)
    assert set(details.rates["unlearned"]) == {"in domain, 5 steps", "in domain, 10 steps"}
    assert [p.x for p in details.curves["retrained"]] == [0, 5, 10]
    result, _ = attacked(case, "relearning_curve", "again")
    assert result.status == "passed", result.reason
    monkeypatch.setattr(module, "POINTS", (5,))
    result, details = attacked(case, "relearning_curve", "again", None)
    assert result.status == "passed", result.reason
    assert result.rule is not None
    assert result.rule.margin == module.MARGIN


@pytest.mark.trains
def test_all_attackers_are_tried_in_all_arms(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_POINTS", (2,))
    monkeypatch.setattr(module, "DRAWS", 1)
    _, details = attacked(case, "relearning_attackers", "again")
    arms = {form.split(",")[0] for form in details.rates["unlearned"]}
    assert arms == {"in domain", "benign", "unrelated"}
    assert len(details.rates["unlearned"]) == 12
