"""Attacks that change weights without training: pruning, and merging the old model back."""

from __future__ import annotations

import pytest
import torch

from expunge.audit.checks.merge_back import PLACES, between
from expunge.audit.checks.pruning import SHARES, prune, prune_smallest
from expunge.audit.context import CHECKS
from expunge.models.language_model import load
from helpers.attacked import attack_context, attacked
from helpers.audited import Case


def test_the_smallest_magnitudes_become_zero() -> None:
    weight = torch.tensor([[3.0, -1.0], [2.0, -4.0]])
    assert prune_smallest(weight, 0.5).tolist() == [[3.0, 0.0], [0.0, -4.0]]
    assert prune_smallest(weight, 0.25).tolist() == [[3.0, 0.0], [2.0, -4.0]]
    assert prune_smallest(weight, 0.2).tolist() == weight.tolist()
    twice = prune_smallest(prune_smallest(weight, 0.25), 0.5)
    assert twice.tolist() == prune_smallest(weight, 0.5).tolist()


def test_a_place_on_the_line_between_two_weights() -> None:
    ours, original = torch.tensor([1.0]), torch.tensor([5.0])
    assert [float(between(ours, original, place)) for place in (0, 0.25, 1, -0.5)] == [1, 2, 5, -1]


@pytest.mark.trains
def test_matrices_are_pruned_and_embeddings_and_norms_are_not(case: Case) -> None:
    lm = load(case.root / "original")
    before = {n: p.clone() for n, p in lm.module.named_parameters()}
    prune(lm, 0.5)
    changed = {n: p for n, p in lm.module.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert not any("embed" in n or "norm" in n for n in changed)
    assert all(float((p == 0).float().mean()) == pytest.approx(0.5, abs=0.01) for p in changed.values())


@pytest.mark.trains
@pytest.mark.parametrize(("name", "forms"), [("pruning", len(SHARES)), ("merge_back", len(PLACES))])
def test_a_model_that_knows_fails_and_one_that_never_did_passes(case: Case, name: str, forms: int) -> None:
    result, details = attacked(case, name, "original")
    assert (result.status, result.power) == ("failed", True)
    assert len(details.rates["unlearned"]) == len(details.curves["unlearned"]) == forms
    result, _ = attacked(case, name, "again")
    assert result.status == "passed", result.reason


@pytest.mark.trains
def test_no_false_alarm_against_controls(case: Case) -> None:
    result, _ = attacked(case, "pruning", "again", None)
    assert result.status == "passed", result.reason


@pytest.mark.trains
def test_merging_back_shows_whom_it_concerns(case: Case) -> None:
    _, details = attacked(case, "merge_back", "again")
    assert "holds the old weights" in details.limits
    check = CHECKS.get("merge_back")
    assert check.run(attack_context(case, "again", None)).results[0].status == "not_applicable"
