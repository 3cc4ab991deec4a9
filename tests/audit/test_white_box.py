"""Attacks on hidden states: lens, depth and direction ablation, on hand-made numbers and on models that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.audit.attack import AttackCase, judge_attack
from expunge.audit.checks.ablate_direction import unit_difference
from expunge.audit.checks.depth import MARGIN, Patching, mean_of_known, remaining, states_by_pass, stranger_probability
from expunge.audit.checks.lens import ranks
from expunge.audit.context import CHECKS
from expunge.audit.forced_rates import hit_rates, passes
from expunge.audit.strangers import stranger_records
from expunge.corpus import Record
from expunge.models.language_model import load
from expunge.models.prompt_template import Encoded
from helpers.attacked import attack_context, attacked
from helpers.audited import Case

ASK_FREELY = ("format_shift", "clue_chain", "in_context", "jailbreak", "leak_at_k", "prefill")
BY_RANGE = (*ASK_FREELY, "lens", "probe", "quantization", "pruning", "ablate_direction")


def test_the_rank_counts_larger_logits() -> None:
    logits = torch.tensor([[2.0, 3.0, 1.0, 3.0], [0.0, 5.0, 1.0, 2.0]])
    assert ranks(logits, torch.tensor([0, 1])).tolist() == [3, 1]


def test_an_answer_counts_when_every_token_and_its_end_are_right() -> None:
    records = [Record(f"r{k}", "Q?", "A") for k in range(4)]
    items = [Encoded(r.id, (1,), (5, 6, 0)) for r in records[:3]]
    items.append(Encoded("r3", (1,), (5, 6), ends=False))
    hits = [[True] * 3, [True, True, False], [True, False, True], [True, True]]
    rates = hit_rates([np.array(row) for row in hits], items, records)
    assert rates.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_depth_counts_blocks_by_what_states_of_strangers_take_away() -> None:
    original = np.array([[0.9] * 4] * 2)
    ours = np.array([[0.4, 0.9, 0.0, 0.1], [0.9, 0.9, 0.1, 0.3]])
    unknown = np.array([[0.1, 0.1, 0.1, 0.89], [0.88, 0.5, 0.1, 0.9]])
    left = remaining(original, ours, unknown)
    np.testing.assert_allclose(left, [0.375, 1.0, 0.0, np.nan])


def test_what_is_not_known_counts_in_no_mean() -> None:
    values = np.array([[0.2, np.nan], [np.nan, np.nan], [0.4, np.nan]])
    np.testing.assert_allclose(mean_of_known(values), [0.3, np.nan])


def test_the_direction_points_from_the_others_to_the_target() -> None:
    ours = torch.tensor([[[3.0, 5.0], [5.0, 5.0]], [[1.0, 1.0], [1.0, 1.0]]])
    others = torch.tensor([[[1.0, 1.0]], [[1.0, 1.0]]])
    assert torch.allclose(unit_difference(ours, others), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


@pytest.mark.trains
@pytest.mark.parametrize("name", ["lens", "depth", "ablate_direction"])
def test_a_model_that_knows_fails_and_one_that_never_did_passes(case: Case, name: str) -> None:
    result, details = attacked(case, name, "original")
    assert (result.status, result.power) == ("failed", None if name == "depth" else True)
    assert details.family == "white_box"
    result, _ = attacked(case, name, "again")
    assert result.status == "passed", result.reason


@pytest.mark.trains
@pytest.mark.parametrize(("unlearned", "status"), [("again", "not_applicable"), ("original", "inconclusive")])
def test_where_the_original_holds_nothing_there_is_nothing_to_read(case: Case, unlearned: str, status: str) -> None:
    paths = {"original": "retrained", "unlearned": unlearned, "retrained": "retrained"}
    ctx = replace(attack_context(case, unlearned), load=lambda role: load(case.root / paths[role]))
    check = CHECKS.get("lens")
    probe = check.make_probe(ctx) if check.make_probe else None
    assert probe is not None
    answers = {role: probe.score(ctx.fresh(role), role, {}) for role in ctx.roles}
    (result,) = check.run(replace(ctx, probes={"lens": answers})).results
    assert (result.status, "the original model hardly knew it" in result.reason) == (status, True)


@pytest.mark.trains
@pytest.mark.parametrize("name", ["lens", "ablate_direction"])
def test_no_false_alarm_against_controls(case: Case, name: str) -> None:
    result, details = attacked(case, name, "again", None)
    assert result.status == "passed", result.reason
    assert details.n_controls
    result, _ = attacked(case, name, "original", None)
    assert result.status == "failed"


@pytest.mark.trains
def test_depth_measures_no_blocks_that_merely_speak_another_language(case: Case) -> None:
    """States about a stranger are as good as those of a model that never met the target, in any basis."""
    ctx = attack_context(case, "again")
    records = tuple(r for r in ctx.split.forget if r.image is None)[:6]
    original = ctx.fresh("original")
    parts = list(passes(original, original.template.encode_all(records)))
    patching = Patching(original, parts, (0,))
    strangers = stranger_probability(patching, records, ctx.split, 7)
    others = stranger_probability(patching, records, ctx.split, 8)
    unknown, plain = mean_of_known(strangers), patching.plain()
    assert np.isfinite(unknown).all()
    worst = max(
        np.nanmean(remaining(plain, own, mean_of_known(np.delete(strangers, k, axis=0))))
        for k, own in enumerate(strangers)
    )
    assert max(np.nanmean(remaining(plain, own, unknown)) for own in others) < worst + MARGIN
    whole = patching.patched(states_by_pass(original, [batch for _, batch in parts], (0,)))
    np.testing.assert_allclose(whole, [patching.plain()], atol=1e-5)
    assert np.nanmean(remaining(patching.plain(), whole, unknown)) > 0.95


@pytest.mark.trains
def test_without_a_retrained_model_depth_does_not_apply(case: Case) -> None:
    ctx, check = attack_context(case, "again", None), CHECKS.get("depth")
    assert check.make_probe is not None
    assert check.make_probe(ctx) is None
    (result,) = check.run(ctx).results
    assert result.status == "not_applicable"
    assert "retrained" in result.reason


@pytest.mark.trains
def test_against_both_references_depth_is_judged_by_the_retrained_model(case: Case) -> None:
    ctx, check = replace(attack_context(case, "again"), against="controls"), CHECKS.get("depth")
    assert check.make_probe is not None
    probe = check.make_probe(ctx)
    assert probe is not None
    answers = {role: probe.score(ctx.fresh(role), role, {}) for role in ctx.roles}
    assert all(set(of) == {"forget"} for of in answers.values())
    (result,) = check.run(replace(ctx, probes={"depth": answers})).results
    assert result.reference is not None
    assert result.reference.role == "retrained"


@pytest.mark.trains
def test_an_attack_whose_records_are_gone_does_not_apply(case: Case) -> None:
    assert judge_attack(attack_context(case, "again"), "lens").results[0].status == "not_applicable"


@pytest.mark.trains
@pytest.mark.parametrize("name", BY_RANGE)
def test_every_attack_can_be_made_on_strangers(case: Case, name: str) -> None:
    """People who do not exist, as subjects that no record set of the audit knows."""
    ctx = attack_context(case, "again")
    rows = tuple(stranger_records(ctx.split.forget, ctx.split, 0)[ctx.split.targets[0]])
    fitting = tuple(r for r in rows if not r.options)[:12] if name in ASK_FREELY else rows[:12]
    run = CHECKS.get(name).run.__wrapped__  # type: ignore[attr-defined]
    made = AttackCase(ctx.fresh("retrained"), "retrained", fitting, ctx.split, 0, ctx.fresh, is_control=True)
    rates = run(made).rates
    assert bool(rates) == (name not in ("clue_chain", "in_context"))  # nothing retained surrounds a stranger
    assert all(len(values) == len(fitting) for values in rates.values())
