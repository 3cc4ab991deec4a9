"""Old and new model side by side: guidance, the choice of its strength, and what is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.audit.attack import AttackAnswer, AttackOutcome, control_records
from expunge.audit.check_result import CheckResult
from expunge.audit.checks.contrast import (
    GAMMAS,
    TUNED,
    ContrastAnswer,
    best_gamma,
    contrast,
    contrast_hits,
    guided_hits,
    sentence,
    tuning_records,
)
from expunge.audit.context import Context
from expunge.audit.kind_rates import KindRates
from expunge.audit.policy import default_policy
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import build
from expunge.scope import Scope
from helpers.attacks import attack_output
from helpers.audited import TARGET, WORLD, Case
from helpers.world import people, small, tokenizer


def test_guidance_finds_what_the_new_model_lost() -> None:
    new = torch.tensor([[0.7, 0.1, 0.2]]).log()
    old = torch.tensor([[0.5, 0.45, 0.05]]).log()
    second = torch.tensor([1])  # at g 2: .5^2/.7 = .36, .45^2/.1 = 2.0, .05^2/.2 = .01
    assert guided_hits(new, old, second, (0.0, 1.0, 2.0)).tolist() == [[False], [False], [True]]
    first = torch.tensor([0])  # at g -1: .7^2/.5 = .98, .1^2/.45 = .02, .2^2/.05 = .8
    assert guided_hits(new, old, first, (-1.0, 0.5)).tolist() == [[True], [True]]
    padded = torch.cat([old, torch.tensor([[9.0]])], 1)
    assert guided_hits(new, padded, second, (2.0,)).tolist() == [[True]]


def test_the_strength_is_that_of_the_largest_rate_and_two_among_equals() -> None:
    assert best_gamma({-1.0: 0.1, 0.5: 0.3, 2.0: 0.2}) == 0.5
    assert best_gamma(dict.fromkeys(GAMMAS, 0.0)) == 2.0
    assert best_gamma({}) == 2.0


def test_two_equal_models_give_what_one_gives() -> None:
    lm = LanguageModel.from_parts(build(small(), tokenizer(), 0), tokenizer(), "test")
    rows = [replace(r, answer=f"{r.answer} x", options=()) for r in people().trained[:5]]
    hits = contrast_hits(lm, lm, rows, (0.0, 1.0, *GAMMAS))
    assert hits.shape == (5, 7)
    assert (hits == hits[:, :1]).all()


@pytest.fixture(scope="module")
def context() -> Context:
    split = Scope.parse(TARGET).resolve(WORLD.corpus())
    records = {r.row_id: r for r in (*split.forget, *split.controls)}
    return Context(split, default_policy(True), ("original", "unlearned", "retrained"), records, against="retrained")


def test_the_strength_is_not_chosen_on_attacked_controls(context: Context) -> None:
    tuned = tuning_records(context.split.controls)
    attacked = control_records(context, context.split.forget, 1.0)
    assert len(tuned) == TUNED
    assert not {r.subject for r in tuned} & {r.subject for r in attacked}
    assert tuning_records(attacked) == ()


def judged(context: Context, gains: dict[str, float], old: float) -> CheckResult:
    def answer(role: str) -> AttackAnswer:
        size = len(context.split.forget)
        rates = {"old": np.full(size, old), "gain": np.full(size, gains.get(role, 0.0))}
        return AttackAnswer(
            AttackOutcome(rates, note="old copies: x"), tuple(r.subject for r in context.split.forget), 0
        )

    answers = {role: {"forget": ContrastAnswer(answer(role))} for role in context.roles}
    return contrast.run(replace(context, probes={"contrast": answers})).results[0]


def test_only_what_neither_gives_alone_is_judged(context: Context) -> None:
    bare = replace(context, split=replace(context.split, controls=()))
    gained = judged(bare, {"unlearned": 0.3, "retrained": 0.1}, old=0.6)
    assert (gained.status, gained.power) == ("failed", None)
    assert gained.estimate == pytest.approx(0.2)
    assert gained.reason.endswith("old copies: x")
    assert judged(context, {"unlearned": 0.1, "retrained": 0.1}, old=0.6).status == "passed"


def test_a_gain_inside_the_range_of_controls_passes(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(context.control_groups(TARGET))

    def of_controls(ctx: Context, role: str, _: object) -> KindRates:
        rates = np.linspace(0, 0.3, len(names)) * (role == "unlearned")
        return KindRates({"gain": np.repeat(rates, 9)}, [name for name in names for _ in range(9)])

    monkeypatch.setattr("expunge.audit.checks.contrast._gain", of_controls)
    result = judged(context, {"unlearned": 0.3, "retrained": 0.1}, old=0.4)
    assert (result.status, result.power) == ("passed", None)
    assert "95th percentile of 40 controls: 0.2" in result.reason


def test_where_the_old_model_gives_everything_nothing_is_gained(context: Context) -> None:
    result = judged(context, {}, old=0.97)
    assert result.status == "not_applicable"
    assert "by itself; old copies" in result.reason


def test_the_sentence_on_old_copies() -> None:
    assert sentence(0.62, 0.0, 0.7, 0.1, 2.0) == (
        "old copies: the old model alone gives 62.0% of the answers, the new one 0.0%, both together 70.0% (gamma 2), "
        "10.0% that neither gives alone; whoever must not have the answers must not have the old model"
    )


@pytest.mark.trains
def test_a_second_retrained_model_adds_nothing_to_the_old_one(case: Case) -> None:
    for against in ("retrained", "controls"):
        output = attack_output(case, "contrast", "again", against=against)
        assert output.results[0].status == "passed", output.results[0].reason
        assert output.results[0].power is None  # what could be gained is known, not whether this would find it
        rates = output.details.rates["unlearned"]  # type: ignore[union-attr]
        assert rates["both"].estimate > rates["new"].estimate + 0.2
        assert "old copies: " in output.results[0].reason
