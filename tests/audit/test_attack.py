"""The common frame of attacks: who is attacked, what is compared, and what a preset leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.audit.attack import CONTROLS, AttackCase, AttackOutcome, AttackProbe, control_records, judge_attack
from expunge.audit.check_result import OMITTED
from expunge.audit.checks.quantization import quantize, round_nf4, round_weights
from expunge.audit.context import CHECKS, Context
from expunge.audit.policy import Policy, default_policy
from expunge.audit.preset import find_preset, omitted_results, runs_in
from expunge.audit.verdict import verdict
from expunge.errors import InputError
from expunge.models.language_model import load
from expunge.scope import Scope
from helpers.audited import TARGET, WORLD, Case


def test_weights_round_to_the_nearest_step_of_their_row() -> None:
    row = torch.tensor([[1.0, -0.5, 0.26, 0.02]])
    assert torch.allclose(round_weights(row, 8), torch.tensor([[1.0, -64 / 127, 33 / 127, 3 / 127]]))
    assert torch.allclose(round_weights(row, 4), torch.tensor([[1.0, -4 / 7, 2 / 7, 0.0]]))


def test_groups_have_steps_of_their_own_and_zeros_stay() -> None:
    row = torch.tensor([[1.0, 0.3, 0.1, 0.04, 0.0, 0.0]])
    assert torch.allclose(round_weights(row, 4, group=2), torch.tensor([[1.0, 2 / 7, 0.1, 0.3 / 7, 0.0, 0.0]]))
    assert torch.allclose(round_weights(row, 4, group=4), round_weights(row, 4))


def test_nf4_takes_the_nearest_of_its_sixteen_levels() -> None:
    row = torch.tensor([[1.0, -0.7, 0.02, 0.2], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[1.0, -0.6961928, 0.0, 0.1609302], [0.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(round_nf4(row, group=4), expected)
    assert torch.allclose(round_nf4(row, group=3)[0, :3], expected[0, :3])
    assert round_nf4(row, group=3)[0, 3] == pytest.approx(0.2)


def test_a_preset_runs_its_checks_and_what_the_policy_requires() -> None:
    policy = default_policy(retrained=True)
    assert runs_in("default", "quick", ("a",), policy)
    assert runs_in("default", "default", ("a",), policy)
    assert not runs_in("quick", "default", ("a",), policy)
    assert runs_in("quick", "full", ("a", "leakage.self"), policy)
    assert find_preset("full") == "full"
    with pytest.raises(InputError, match="default"):
        find_preset("defualt")


def test_what_a_preset_leaves_out_is_not_run_and_no_note() -> None:
    policy = default_policy(retrained=True)
    (result,) = omitted_results(("quantization",), "default")
    assert result.status == "not_run"
    assert result.reason.startswith(OMITTED)
    assert not any("quantization" in line for line in verdict([result], policy).notes)


def test_a_required_check_that_a_preset_leaves_out_cannot_pass() -> None:
    policy = default_policy(retrained=True)
    results = omitted_results(policy.required, "full")
    assert verdict(results, policy).status == "inconclusive"


def probes_of(context: Context, values: dict[str, float], controls: float | None = None) -> Context:
    """The context with an attack `made` whose rates are these constants by role."""

    def run(case: AttackCase) -> AttackOutcome:
        value = controls if case.is_control else values[case.role]
        return AttackOutcome({"plain": np.full(len(case.records), value), "never": np.full(len(case.records), 0.0)})

    records = context.split.forget
    others = control_records(context, records, 1.0) if context.reference == "controls" else ()
    case = AttackCase(None, "", records, context.split, 0, context.load)  # type: ignore[arg-type]
    probe = AttackProbe(run, case, others)
    answers = {role: probe.score(None, role, {}) for role in context.roles}  # type: ignore[arg-type]
    return replace(context, probes={"made": answers})


@pytest.fixture(scope="module")
def context() -> Context:
    split = Scope.parse(TARGET).resolve(WORLD.corpus())
    records = {r.row_id: r for r in (*split.forget, *split.controls)}
    return Context(split, default_policy(True), ("original", "unlearned", "retrained"), records, against="retrained")


def test_the_worst_form_is_judged_against_the_retrained_model(context: Context) -> None:
    failed = judge_attack(probes_of(context, {"original": 0.9, "unlearned": 0.4, "retrained": 0.1}), "made")
    assert failed.results[0].status == "failed"
    assert failed.results[0].estimate == pytest.approx(0.3)
    assert failed.results[0].power is True
    passed = judge_attack(probes_of(context, {"original": 0.9, "unlearned": 0.1, "retrained": 0.1}), "made")
    assert passed.results[0].status == "passed"
    weak = judge_attack(probes_of(context, {"original": 0.12, "unlearned": 0.1, "retrained": 0.1}), "made")
    assert (weak.results[0].status, weak.results[0].power) == ("inconclusive", False)


def test_without_a_retrained_model_controls_are_attacked_alike(context: Context) -> None:
    alone = replace(context, policy=default_policy(False), roles=("original", "unlearned"), against="controls")
    records = control_records(alone, alone.split.forget, 1.0)
    counts = Counter(r.subject for r in records)
    assert len(counts) == CONTROLS
    assert set(counts.values()) == {len(alone.split.forget)}
    inside = judge_attack(probes_of(alone, {"original": 0.9, "unlearned": 0.3}, controls=0.3), "made")
    assert inside.results[0].status == "passed"
    outside = judge_attack(probes_of(alone, {"original": 0.9, "unlearned": 0.8}, controls=0.3), "made")
    assert outside.results[0].status == "failed"
    assert outside.details is not None
    assert outside.details.model_dump()["n_controls"] == len(records)


def test_controls_that_cannot_be_asked_are_not_among_the_chosen(context: Context) -> None:
    alone = replace(context, policy=default_policy(False), roles=("original", "unlearned"), against="controls")
    records = control_records(alone, alone.split.forget, 1.0)
    mute = sorted({r.subject for r in records})[0]
    chosen = control_records(alone, alone.split.forget, 1.0, lambda r: r.subject != mute)
    assert mute not in {r.subject for r in chosen}
    assert len({r.subject for r in chosen}) == CONTROLS


def test_a_model_without_a_rate_is_no_pass(context: Context) -> None:
    made = probes_of(context, {"original": 0.9, "unlearned": 0.1, "retrained": 0.1})
    answers = dict(made.probes["made"])
    answer = answers["unlearned"]["forget"]
    nothing = {"plain": np.full(len(answer.subjects), np.nan)}
    for rates in (nothing, {}):
        answers["unlearned"] = {"forget": replace(answer, outcome=AttackOutcome(rates))}
        result = judge_attack(replace(made, probes={"made": answers}), "made").results[0]
        assert result.status == "inconclusive", result.reason


def test_an_attack_that_fits_no_record_does_not_apply(context: Context) -> None:
    assert judge_attack(context, "made").results[0].status == "not_applicable"


@pytest.mark.trains
def test_presets_choose_attacks_and_every_key_keeps_a_status(case: Case, tmp_path: Path) -> None:
    wanted = "name: own\nversion: 1\nrules: {quantization: {judge: excess, margin: 0.05, required: true}}\n"
    one = Policy.parse(wanted)  # what a policy requires runs in every preset
    untouched = case.run("original", preset="quick", policy=one, out=tmp_path / "a")
    result = untouched["quantization"]
    assert (result.status, result.power) == ("failed", True)
    rates = untouched.file.details.attacks["quantization"].rates
    assert set(rates["unlearned"]) == {"int8", "int4", "nf4"}
    assert rates["retrained"]["int8"].estimate == 0.0
    quick = case.run("again", preset="quick", out=tmp_path / "b")
    assert quick["quantization"].status == "not_run"
    assert quick["quantization"].is_omitted
    assert any("Quantization" in line for line in quick.file.not_tested)
    assert {r.key for r in quick.results} == {"each_subject"} | {key for _, one in CHECKS for key in one.keys}
    again = case.run("again", preset="quick", policy=one, out=tmp_path / "c", scores=tmp_path / "b" / "scores")
    assert again["quantization"].status == "passed", again["quantization"].reason


@pytest.mark.trains
def test_matrices_are_rounded_and_embeddings_and_norms_are_not(case: Case) -> None:
    lm = load(case.root / "original")
    before = {n: p.clone() for n, p in lm.module.named_parameters()}
    quantize(lm, "int4")
    changed = [n for n, p in lm.module.named_parameters() if not torch.equal(p, before[n])]
    assert changed
    assert not any("embed" in n or "norm" in n for n in changed)
