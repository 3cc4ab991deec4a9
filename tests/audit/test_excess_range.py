"""An excess over the retrained model that controls show too is chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.attack import (
    CONTROLS,
    AttackCase,
    AttackOutcome,
    AttackProbe,
    judge_attack,
    judged_by_range,
    needs_range,
)
from expunge.audit.context import Context
from expunge.audit.excess_range import excess_of, judge_by_range
from expunge.audit.kind_rates import KindRates
from expunge.audit.policy import default_policy
from expunge.audit.verdict import Judgement
from expunge.scope import Scope
from helpers.audited import TARGET, WORLD

FAILED = Judgement("failed", "excess 0.100")


def test_the_excess_of_each_subject_is_that_of_its_worst_kinds() -> None:
    ours = KindRates({"a": np.array([1.0, 0.0, 0.0]), "b": np.array([np.nan, 0.5, np.nan])}, ["x", "x", "y"])
    theirs = KindRates({"a": np.array([0.0, 0.0, 0.25])}, ["x", "x", "y"])
    assert excess_of(ours, theirs, ["x", "y", "z"]) == {"x": 0.5, "y": -0.25}


def judged(excess: float, original: float = 0.9, count: int = 20, start: Judgement = FAILED) -> str:
    controls = {"t": [k / 100 for k in range(count)]}  # 95th percentile of 0 to .19: .1805
    return judge_by_range(start, {"t": excess}, {"t": original}, controls, 95, 20).status


def test_inside_of_the_range_of_controls_passes() -> None:
    assert judged(0.18) == "passed"
    assert judged(0.181) == "failed"
    assert judged(0.1, original=0.18) == "inconclusive"
    assert judged(0.1, count=19) == "failed"
    assert judged(0.1, start=Judgement("inconclusive")) == "inconclusive"


@pytest.fixture(scope="module")
def context() -> Context:
    split = Scope.parse(TARGET).resolve(WORLD.corpus())
    records = {r.row_id: r for r in (*split.forget, *split.controls)}
    roles = ("original", "unlearned", "retrained")
    return Context(split, default_policy(True), roles, records, load=lambda role: None, against="retrained")  # type: ignore[arg-type, return-value]


def made(context: Context, target: float, spread: float) -> tuple[Context, Callable[[AttackCase], AttackOutcome]]:
    """An attack that gives the unlearned model `target`, and each control a rate between 0 and `spread`."""

    def run(case: AttackCase) -> AttackOutcome:
        names = sorted({r.subject for r in case.records})
        share = {n: k / (len(names) - 1) for k, n in enumerate(names)} if case.is_control else {}
        value = {"original": 0.9, "unlearned": target, "retrained": 0.0}[case.role]
        mine = [spread * share[r.subject] * (case.role == "unlearned") if share else value for r in case.records]
        return AttackOutcome({"plain": np.array(mine)})

    case = AttackCase(None, "", tuple(context.split.forget), context.split, 0, context.load)  # type: ignore[arg-type]
    probe = AttackProbe(run, case, ())
    answers = {role: probe.score(None, role, {}) for role in context.roles}  # type: ignore[arg-type]
    return replace(context, probes={"made": answers}), run


@pytest.mark.parametrize(("target", "spread", "status"), [(0.2, 0.5, "passed"), (0.4, 0.3, "failed")])
def test_a_failure_is_compared_with_controls_on_both_models(
    context: Context, target: float, spread: float, status: str
) -> None:
    ctx, run = made(context, target, spread)
    output = judge_attack(ctx, "made")
    assert needs_range(ctx, output)
    result = judged_by_range(ctx, "made", output, run, 1.0).results[0]
    assert result.status == status
    assert ("range of that of 20 controls" in result.reason) == (status == "passed")
    assert CONTROLS == 20


def test_a_pass_needs_no_controls(context: Context) -> None:
    ctx, _ = made(context, 0.0, 0.5)
    assert not needs_range(ctx, judge_attack(ctx, "made"))
    ctx, _ = made(context, 0.5, 0.5)
    assert not needs_range(replace(ctx, split=replace(ctx.split, controls=())), judge_attack(ctx, "made"))
