"""An excess over the retrained model that controls show too is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.attack import AttackCase, AttackOutcome, AttackProbe, judge_attack
from expunge.audit.check_result import CheckResult
from expunge.audit.context import Context
from expunge.audit.excess_range import RangeOfControls, excess_of, judge_by_range, judged_by_range
from expunge.audit.kind_rates import KindRates
from expunge.audit.policy import default_policy
from expunge.audit.strangers import STRANGERS, stranger_records
from expunge.audit.verdict import Judgement
from expunge.corpus import Record
from expunge.scope import Scope
from helpers.audited import TARGET, WORLD

FAILED = Judgement("failed", "excess 0.100")


def test_the_excess_of_each_subject_is_that_of_its_worst_kinds() -> None:
    ours = KindRates({"a": np.array([1.0, 0.0, 0.0]), "b": np.array([np.nan, 0.5, np.nan])}, ["x", "x", "y"])
    theirs = KindRates({"a": np.array([0.0, 0.0, 0.25])}, ["x", "x", "y"])
    assert excess_of(ours, theirs, ["x", "y", "z"]) == {"x": 0.5, "y": -0.25}


def judged(excess: float, original: float = 0.9, count: int = 20, start: Judgement = FAILED) -> str:
    controls = {"t": [k / 100 for k in range(count)]}  # 95th percentile of 0 to .19: .1805
    return judge_by_range(start, [RangeOfControls("excess", {"t": excess}, {"t": original}, controls)], 95, 20).status


def test_a_target_inside_by_one_of_two_numbers_passes() -> None:
    controls = {"t": [k / 100 for k in range(20)]}
    far, near = (
        RangeOfControls(name, {"t": value}, {"t": 0.9}, controls) for name, value in (("rate", 0.5), ("excess", 0.1))
    )
    assert judge_by_range(FAILED, [far, near], 95, 20).reason.startswith(
        "excess 0.100 is inside the range of that of 20"
    )
    assert judge_by_range(FAILED, [near, far], 95, 20).status == "passed"
    assert judge_by_range(FAILED, [far, far], 95, 20) == FAILED


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


def result_of(context: Context, target: float, spread: float, calls: list[str], each: int = 9) -> CheckResult:
    """Of an attack that gives the unlearned model `target`, and each control there a rate between 0 and `spread`."""

    def run(case: AttackCase) -> AttackOutcome:
        value = {"original": 0.9, "unlearned": target, "retrained": 0.0}[case.role]
        return AttackOutcome({"plain": np.full(len(case.records), value)})

    def ask(ctx: Context, role: str, rows: Sequence[Record]) -> KindRates:
        calls.append(role)
        if rows != controls:  # strangers, who know nothing
            return KindRates({"plain": np.zeros(len(rows))}, [r.subject for r in rows])
        names = sorted(ctx.control_groups(TARGET))
        rates = [spread * k / (len(names) - 1) * (role == "unlearned") for k in range(len(names))]
        return KindRates({"plain": np.repeat(rates, each)}, [n for n in names for _ in range(each)])

    controls = context.split.controls
    case = AttackCase(None, "", tuple(context.split.forget), context.split, 0, context.load)  # type: ignore[arg-type]
    probe = AttackProbe(run, case, ())
    answers = {role: probe.score(None, role, {}) for role in context.roles}  # type: ignore[arg-type]
    ctx = replace(context, probes={"made": answers})
    output, asked = judge_attack(ctx, "made"), context.split.forget
    return judged_by_range(ctx, "made", output, ask, lambda: controls, 20, records=asked).results[0]


@pytest.mark.parametrize(("target", "spread", "status"), [(0.2, 0.5, "passed"), (0.4, 0.3, "failed")])
def test_a_failure_is_compared_with_controls_on_both_models(
    context: Context, target: float, spread: float, status: str
) -> None:
    calls: list[str] = []
    result = result_of(context, target, spread, calls)
    assert result.status == status
    assert ("range of that of 40 controls" in result.reason) == (status == "passed")
    assert calls == (["unlearned"] if status == "passed" else ["unlearned", "retrained", "retrained"])


def test_a_pass_and_a_clear_failure_ask_no_controls(context: Context) -> None:
    calls: list[str] = []
    assert result_of(context, 0.0, 0.5, calls).status == "passed"
    bare = replace(context, split=replace(context.split, controls=()))
    assert result_of(bare, 0.2, 0.5, calls).status == "failed"
    assert result_of(context, 0.6, 0.9, calls).status == "failed"
    assert calls == []


def test_controls_that_were_asked_far_less_excuse_nothing(context: Context) -> None:
    assert len(context.split.forget) == 9
    assert result_of(context, 0.2, 0.5, [], each=5).status == "passed"
    assert result_of(context, 0.2, 0.5, [], each=4).status == "failed"


def test_strangers_are_asked_what_the_target_is(context: Context) -> None:
    asked = stranger_records(context.split.forget, context.split, 0)
    assert set(asked) == {TARGET}
    assert len(asked[TARGET]) == STRANGERS * len(context.split.forget)
    name, question = asked[TARGET][0]
    assert question.subject == name == f"{TARGET} stranger 1"
    assert question.answer == context.split.forget[0].answer
    assert question.prompt != context.split.forget[0].prompt
