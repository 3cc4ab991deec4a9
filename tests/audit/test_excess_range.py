"""An excess over the retrained model that others show too is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from expunge.audit.attack import AttackCase, AttackOutcome, AttackProbe, judge_attack
from expunge.audit.check_result import CheckResult
from expunge.audit.context import Context
from expunge.audit.excess_range import excess_of, judged_by_range
from expunge.audit.kind_rates import KindRates
from expunge.audit.policy import default_policy
from expunge.audit.range_of_controls import RangeOfControls, judge_by_range, judge_by_ranges
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
    """Controls from 0 to .19: 95th percentile .1805, mean .095, spread .0592; by chance in one of eight up to .262."""
    one = RangeOfControls("excess", {"t": excess}, {"t": original}, {"t": [k / 100 for k in range(count)]}, {"t": 100})
    return judge_by_range(start, one, default_policy(True), 20).judgement.status


def test_inside_of_the_range_of_controls_passes() -> None:
    assert judged(0.18) == "passed"
    assert judged(0.181) == "inconclusive"
    assert judged(0.262) == "inconclusive"
    assert judged(0.263) == "failed"
    assert judged(0.1, original=0.264) == "inconclusive"
    assert judged(0.1, original=0.27) == "passed"
    assert judged(0.1, count=19) == "failed"
    assert judged(0.1, start=Judgement("inconclusive")) == "inconclusive"


def range_of(*values: float, name: str = "excess", value: float = 0.3) -> RangeOfControls:
    return RangeOfControls(name, {"t": value}, {"t": 0.9}, {"t": list(values)}, {"t": 100})


NARROW, WIDE, NOBODY = [k / 200 for k in range(20)], [k / 40 for k in range(20)], [0.0]


@pytest.mark.parametrize(
    ("ranges", "status", "count"),
    [
        ([WIDE, NARROW], "passed", 1),  # the 95th percentile of 0 to .475 is .451
        ([NARROW, WIDE], "inconclusive", 2),
        ([NARROW, NARROW], "failed", 2),
        ([NOBODY, WIDE], "passed", 2),
        ([NARROW, NOBODY], "failed", 2),
        ([NOBODY, NOBODY], "failed", 2),
    ],
)
def test_a_failure_counts_if_no_range_explains_it(ranges: list[list[float]], status: str, count: int) -> None:
    calls: list[int] = []

    def ask(values: list[float]) -> RangeOfControls:
        calls.append(1)
        return range_of(*values)

    result = judge_by_ranges(FAILED, [partial(ask, values) for values in ranges], default_policy(True), 20)
    assert (result.judgement.status, len(calls)) == (status, count)


def test_several_targets_share_the_joint_level() -> None:
    """Of the same controls; what one target fails by does not fail two of them, of whom either may."""
    people = {name: [k / 100 for k in range(20)] for name in "tu"}
    one = RangeOfControls("excess", {"t": 0.265, "u": 0.0}, dict.fromkeys("tu", 0.9), people, dict.fromkeys("tu", 100))
    assert judge_by_range(FAILED, one, default_policy(True), 20).judgement.status == "inconclusive"


def test_the_target_that_fails_is_the_one_that_is_told() -> None:
    """t goes further beyond its controls' percentile, and no further than their spread explains; u fails."""
    people = {"t": [k / 40 for k in range(20)], "u": [k / 1000 for k in range(20)]}
    one = RangeOfControls("excess", {"t": 0.55, "u": 0.09}, dict.fromkeys("tu", 0.9), people, dict.fromkeys("tu", 100))
    result = judge_by_range(FAILED, one, default_policy(True), 20)
    assert (result.judgement.status, result.value) == ("failed", 0.09)
    assert result.limit is not None
    assert result.limit < 0.09


@pytest.fixture(scope="module")
def context() -> Context:
    split = Scope.parse(TARGET).resolve(WORLD.corpus())
    records = {r.row_id: r for r in (*split.forget, *split.controls)}
    roles = ("original", "unlearned", "retrained")
    return Context(split, default_policy(True), roles, records, load=lambda role: None, against="retrained")  # type: ignore[arg-type, return-value]


def result_of(
    context: Context, target: float, spread: float, calls: list[str], each: int = 9, guesses: float | None = None
) -> CheckResult:
    """Of an attack that gives the unlearned model `target`, and each control there a rate between 0 and `spread`.

    About strangers the retrained model gives the target's answers at rates between 0 and `guesses`; None asks nobody.
    """

    def run(case: AttackCase) -> AttackOutcome:
        value = {"original": 0.9, "unlearned": target, "retrained": 0.0}[case.role]
        return AttackOutcome({"plain": np.full(len(case.records), value)})

    def ask(ctx: Context, role: str, rows: Sequence[Record]) -> KindRates:
        calls.append(role)
        if rows != controls:
            people = list(dict.fromkeys(r.subject for r in rows))
            rates = [(guesses or 0.0) * people.index(r.subject) / (len(people) - 1) for r in rows]
            return KindRates({"plain": np.array(rates)}, [r.subject for r in rows])
        names = sorted(ctx.control_groups(TARGET))
        rates = [spread * k / (len(names) - 1) * (role == "unlearned") for k in range(len(names))]
        return KindRates({"plain": np.repeat(rates, each)}, [n for n in names for _ in range(each)])

    controls = context.split.controls
    case = AttackCase(None, "", tuple(context.split.forget), context.split, 0, context.load)  # type: ignore[arg-type]
    probe = AttackProbe(run, case, ())
    answers = {role: probe.score(None, role, {}) for role in context.roles}  # type: ignore[arg-type]
    ctx = replace(context, probes={"made": answers})
    output, asked = judge_attack(ctx, "made"), () if guesses is None else context.split.forget
    return judged_by_range(ctx, "made", output, ask, lambda: controls, 20, records=asked).results[0]


@pytest.mark.parametrize(
    ("target", "spread", "status"), [(0.2, 0.3, "passed"), (0.33, 0.3, "inconclusive"), (0.45, 0.3, "failed")]
)
def test_a_failure_is_compared_with_controls_on_both_models(
    context: Context, target: float, spread: float, status: str
) -> None:
    calls: list[str] = []
    result = result_of(context, target, spread, calls)
    assert result.status == status
    assert "95th percentile of 40 controls: 0.2" in result.reason
    assert calls == ["unlearned", "retrained"]


def test_a_pass_and_a_clear_failure_ask_no_controls(context: Context) -> None:
    calls: list[str] = []
    assert result_of(context, 0.0, 0.5, calls).status == "passed"
    bare = replace(context, split=replace(context.split, controls=()))
    assert result_of(bare, 0.2, 0.5, calls).status == "failed"
    assert result_of(context, 0.6, 0.9, calls).status == "failed"
    assert calls == []


def test_answers_that_are_common_among_strangers_excuse(context: Context) -> None:
    """The 95th percentile of 20 rates from 0 to .2 is .19; five hits of 9 or more have a probability of .002."""
    calls: list[str] = []
    result = result_of(context, 0.19, 0.1, calls, guesses=0.2)
    assert calls == ["retrained"]
    assert result.status == "passed"
    assert "rate 0.190; 95th percentile of 20 strangers, retrained: 0.190" in result.reason
    assert result.rule is not None
    assert (result.rule.id, result.rule.margin) == ("single_case", 0.05)
    assert {c.key: c.estimate for c in result.controls}["by chance: value"] == pytest.approx(0.19)
    assert result_of(context, 0.2, 0.1, [], guesses=0.2).status == "inconclusive"
    assert result_of(context, 0.5, 0.1, [], guesses=0.2).status == "failed"


def test_a_failure_stands_where_others_cannot_be_asked(context: Context) -> None:
    class Broken(list[str]):
        def append(self, role: str) -> None:
            raise MemoryError("no memory left")

    result = result_of(context, 0.2, 0.5, Broken())
    assert result.status == "failed"
    assert "others could not be asked (MemoryError: no memory left)" in result.reason


def test_a_rate_of_few_records_is_excused_by_nothing(context: Context) -> None:
    few = replace(context, split=replace(context.split, forget=context.split.forget[:5]))
    assert result_of(few, 0.2, 0.5, []).status == "failed"


def test_controls_that_were_asked_far_less_excuse_nothing(context: Context) -> None:
    assert len(context.split.forget) == 9
    assert result_of(context, 0.2, 0.3, [], each=5).status == "passed"
    assert result_of(context, 0.2, 0.3, [], each=4).status == "failed"


def test_strangers_are_asked_what_the_target_is(context: Context) -> None:
    asked = stranger_records(context.split.forget, context.split, 0)
    assert set(asked) == {TARGET}
    assert len(asked[TARGET]) == STRANGERS * len(context.split.forget)
    question = asked[TARGET][0]
    assert question.subject == f"{TARGET} stranger 1"
    assert question.answer == context.split.forget[0].answer
    assert question.prompt != context.split.forget[0].prompt
