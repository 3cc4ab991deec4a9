"""The verdict of each subject: the same rules on its own records, its worst attack, and the one who was left in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.attack import AttackAnswer, AttackOutcome, judge_attack
from expunge.audit.check_execution import judge
from expunge.audit.check_result import CheckResult, JudgedRule
from expunge.audit.context import Check, Context
from expunge.audit.hit_bounds import zero_hit_clause
from expunge.audit.policy import PolicyRule, default_policy
from expunge.audit.record_sets import CONTROLS, FORGET
from expunge.audit.redaction import redact
from expunge.audit.schema import AuditFile
from expunge.audit.subject_rows import SubjectVerdict, WorstAttack
from expunge.audit.subjects import context_of, each_subject, hits_of, judged_subjects, subject_verdicts, with_holm
from expunge.audit.worst_attack import largest_excess
from expunge.corpus import Record
from expunge.scope.split import Split
from helpers.audited import TARGET, Case
from helpers.audits import audit_data, one_token_scores

EACH = 9  # records of each subject


def test_the_null_of_the_worst_attack_is_the_same_maximum_of_each_control() -> None:
    rates = {"a": {"x": 0.0, "y": 0.0, "z": 0.3}, "b": {"x": 0.6, "y": 0.0, "z": 0.0}}
    (attack, excess), null = largest_excess({"a": 0.5, "b": 0.5}, rates)
    assert (attack, excess) == ("a", pytest.approx(0.5 - 0.1))
    # x: max(0 - .15, .6 - 0); y: max(0 - .15, 0 - .3); z: max(.3 - 0, 0 - .3)
    assert null == pytest.approx([0.6, -0.15, 0.3])


def test_controls_without_a_rate_under_every_attack_do_not_count() -> None:
    rates = {"a": {"x": 0.0, "y": 0.2, "z": 0.1}, "b": {"x": np.nan, "y": 0.0, "z": 0.1}}
    assert len(largest_excess({"a": 0.5, "b": 0.5}, rates)[1]) == 2


def person(name: str, target: str = "") -> list[Record]:
    more = {"attributes": {"control_of": target}} if target else {}
    return [
        Record(f"{name}:{k}", f"question {k} about {name}", f"answer {k}", subject=name, **more) for k in range(EACH)
    ]


def context(known: Mapping[str, int], retrained: bool = True, controls: int = 20) -> Context:
    """People of whom the unlearned model still gives so many answers; the reference gives none."""
    forget = [r for name in known for r in person(name)]
    others = [r for name in known for k in range(controls) for r in person(f"{name}-control-{k:02d}", name)]
    split = Split("all", tuple(forget), (), (), (), tuple(others))
    ids = [r.row_id for r in forget]

    def scores(hits: str) -> dict[str, object]:
        text = [r.answer for r in forget]
        loss = [0.1 if c == "1" else 5.0 for c in hits]
        ours = one_token_scores(ids, loss, hits, [t if c == "1" else "no" for t, c in zip(text, hits, strict=True)])
        theirs = one_token_scores(
            [r.row_id for r in others],
            [5.0 + k % 7 for k in range(len(others))],
            "0" * len(others),
            ["no"] * len(others),
        )
        return {FORGET: ours, CONTROLS: theirs}

    hits = "".join("1" * n + "0" * (EACH - n) for n in known.values())
    by_role = {"original": scores("1" * len(ids)), "unlearned": scores(hits)}
    if retrained:
        by_role["retrained"] = scores("0" * len(ids))
    records = {r.row_id: r for r in (*forget, *others)}
    policy = default_policy(retrained)
    reference = "retrained" if retrained else "controls"
    return Context(split, policy, tuple(by_role), records, by_role, against=reference)  # type: ignore[arg-type]


def checks(*names: str) -> dict[str, Check]:
    from expunge.audit.context import CHECKS

    return {name: CHECKS.get(name) for name in names}


def test_a_subject_alone_is_asked_nothing_about_others() -> None:
    alone = context_of(context({"p": 9, "q": 0}), "q")
    assert alone.split.targets == ("q",)
    assert set(alone.subjects(alone.scores["unlearned"][FORGET].ids)) == {"q"}
    assert all(name.startswith("q-control") for name in alone.subjects(alone.scores["unlearned"][CONTROLS].ids))
    ours, theirs, before = hits_of(alone)
    assert (len(ours), int(ours.sum()), int(theirs.sum()), int(before.sum())) == (9, 0, 0, 9)


@pytest.mark.parametrize("retrained", [True, False])
def test_one_subject_left_in_fails_although_the_mean_passes(retrained: bool) -> None:
    people = {f"p{k:02d}": 9 if k == 3 else 0 for k in range(20)}
    ctx = context(people, retrained, controls=4)
    verdicts, each = judged_subjects([ctx], checks("leakage"), ())
    assert [v.subject for v in verdicts if v.status == "failed"] == ["p03"]
    assert each.status == "failed", each.reason
    assert "1 of 20 subjects stand out, most of all p03: 9 of 9 true answers" in each.reason
    left_in = next(v for v in verdicts if v.subject == "p03")
    assert left_in.p_holm < 0.05
    row = next(row for row in left_in.rows if row.key == "leakage.self")
    assert (row.rate, row.reference, row.required) == (1.0, 0.0, True)
    assert row.limit == (None if retrained else 0.0)


def test_subjects_like_the_reference_pass() -> None:
    verdicts, each = judged_subjects([context({f"p{k}": 0 for k in range(4)})], checks("leakage"), ())
    assert {v.status for v in verdicts} == {"passed"}
    assert (each.status, each.p) == ("passed", 1.0)


def test_a_single_subject_is_judged_by_the_other_results() -> None:
    ctx = context({"p": 9})
    own = [CheckResult(key=key, status="passed") for key in ctx.policy.required]
    verdicts, each = judged_subjects([ctx], checks("leakage"), own)
    assert each.status == "not_applicable"
    assert (verdicts[0].status, [r.key for r in verdicts[0].rows]) == ("passed", ["leakage.self", "paraphrase"])
    part = [r for r in own if r.key != "relearning.in_domain"]
    verdicts, _ = judged_subjects([ctx], checks("leakage"), part)
    assert verdicts[0].status == "inconclusive"  # a subject is no better off than its request
    strict = replace(ctx, policy=ctx.policy.model_copy(update={"intervals": True}))
    rule = JudgedRule(id="excess", margin=0.05)
    own = [CheckResult(key=key, status="passed", rule=rule) for key in ctx.policy.required]
    verdicts, _ = judged_subjects([strict], checks("leakage"), own)
    assert {row.status for row in verdicts[0].rows} == {"inconclusive"}


def test_nobody_stands_out_where_nobody_could(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts, each = judged_subjects([context({f"p{k}": 0 for k in range(30)})], checks("leakage"), ())
    assert not any(v.can_stand_out for v in verdicts)  # 9 records: 1/512 for each of 30
    assert each.status == "inconclusive"
    assert "too few records of 30 to tell even the original model" in each.reason
    monkeypatch.setattr("expunge.audit.subjects.MOST", 3)
    _, each = judged_subjects([context({f"p{k}": 0 for k in range(4)})], checks("leakage"), ())
    assert (each.status, "1 more were not tested" in each.reason) == ("inconclusive", True)


def test_an_attack_that_raised_on_one_model_keeps_its_row() -> None:
    ctx = attacked(context({"p": 0, "q": 0}), {"prefill": {"original": 0.9, "unlearned": 0.0, "retrained": 0.0}})
    probes = {"prefill": {**ctx.probes["prefill"], "unlearned": MemoryError("no memory left")}}
    rules = {**ctx.policy.rules, "prefill": PolicyRule(judge="excess", margin=0.05, required=True)}
    broken = replace(ctx, probes=probes, policy=ctx.policy.model_copy(update={"rules": rules}))
    verdicts, _ = judged_subjects([broken], checks("leakage", "prefill"), ())
    assert [row.status for row in verdicts[0].rows if row.key == "prefill"] == ["not_run"]
    assert {v.status for v in verdicts} == {"inconclusive"}


def test_a_failure_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("no memory left")

    monkeypatch.setattr("expunge.audit.subjects.context_of", broken)
    verdicts, each = judged_subjects([context({"p": 0, "q": 0})], checks("leakage"), ())
    assert (verdicts, each.status) == ((), "not_run")
    assert "MemoryError" in each.reason


def attacked(ctx: Context, rates: Mapping[str, Mapping[str, float]], controls: float = 0.0) -> Context:
    """The context with attacks of constant rates by role."""

    def answer(records: Sequence[Record], value: float) -> AttackAnswer:
        return AttackAnswer(
            AttackOutcome({"plain": np.full(len(records), value)}), tuple(r.subject for r in records), 0
        )

    probes = {}
    for name, by_role in rates.items():
        probes[name] = {role: {"forget": answer(ctx.split.forget, by_role[role])} for role in ctx.roles}
        if ctx.reference == "controls":
            probes[name]["unlearned"]["controls"] = answer(ctx.split.controls, controls)
    return replace(ctx, probes=probes)


def made(name: str) -> Check:
    return Check((name,), lambda ctx: judge_attack(ctx, name))


def worst_of(ctx: Context, *names: str) -> WorstAttack:
    results = [r for name in names for r in judge_attack(ctx, name).results]
    verdict = subject_verdicts([ctx], {name: made(name) for name in names}, results)[0]
    assert verdict.worst is not None
    return verdict.worst


def test_the_worst_attack_is_compared_with_controls_under_all_attacks() -> None:
    alone = context({"p": 0}, retrained=False)
    weak, strong = {"original": 0.9, "unlearned": 0.04}, {"original": 0.9, "unlearned": 0.5}
    worst = worst_of(attacked(alone, {"one": weak, "two": strong}), "one", "two")
    assert (worst.attack, worst.excess, worst.status) == ("two", pytest.approx(0.5), "failed")
    assert (worst.n_controls, worst.p, worst.power) == (20, pytest.approx(1 / 21), True)
    inside = worst_of(attacked(alone, {"one": weak}), "one")
    assert (inside.status, inside.limit) == ("passed", 0.05)  # the margin where all controls are at zero
    powerless = worst_of(attacked(alone, {"one": {"original": 0.0, "unlearned": 0.0}}), "one")
    assert (powerless.status, powerless.power) == ("inconclusive", False)
    few = worst_of(attacked(context({"p": 0}, retrained=False, controls=5), {"one": strong}), "one")
    assert (few.status, few.limit) == ("inconclusive", None)


def test_no_hit_is_a_bound_in_the_reason() -> None:
    assert zero_hit_clause({"a": np.zeros(9), "b": np.full(9, np.nan)}) == (
        "no hit in 9 records, so the rate is below 28.3 % (95 % bound)"
    )
    assert zero_hit_clause({"a": np.array([0.0, 0.1])}) == zero_hit_clause({}) == ""
    ctx = attacked(context({"p": 0}), {"one": {"original": 0.9, "unlearned": 0.0, "retrained": 0.0}})
    (result,) = judge([ctx], made("one")).results
    assert (result.status, result.reason.count("no hit in 9 records")) == ("passed", 1)


def test_against_a_retrained_model_the_margin_is_the_limit() -> None:
    rates = {"original": 0.9, "unlearned": 0.2, "retrained": 0.1}
    worst = worst_of(attacked(context({"p": 0}), {"one": rates}), "one")
    assert (worst.excess, worst.limit, worst.status) == (pytest.approx(0.1), 0.05, "failed")
    assert (worst.n_controls, worst.p) == (0, None)


def test_p_values_of_several_subjects_are_corrected() -> None:
    rows = [SubjectVerdict(subject=f"s{k}", status="passed", n_records=1, p=p) for k, p in enumerate((0.01, 0.04))]
    assert [v.p_holm for v in with_holm(rows)] == [0.02, 0.04]
    assert each_subject([v.model_copy(update={"p": None}) for v in rows]).status == "inconclusive"


def test_a_redacted_copy_names_no_subject() -> None:
    data = audit_data()
    row = {"key": "mia", "status": "not_run", "reason": "the check failed: ValueError: about patient:P-1 secret"}
    data["subjects"] = [{"subject": "patient:P-1", "status": "failed", "n_records": 3, "rows": [row]}]
    copy = redact(AuditFile.model_validate(data), "0" * 64)
    assert copy.subjects[0].subject == "subject 1"
    assert "secret" not in copy.model_dump_json()


@pytest.mark.trains
def test_the_subject_of_a_whole_audit_is_judged_like_the_request(case: Case) -> None:
    file = case.run("original").file
    (verdict,) = file.subjects
    assert (verdict.subject, verdict.status, verdict.hits, verdict.reference_hits) == (TARGET, "failed", 9, 0)
    statuses = {r.key: r.status for r in file.results}
    assert {row.key: row.status for row in verdict.rows}.items() <= statuses.items()
    assert {"leakage.self", "mia"} <= {row.key for row in verdict.rows}
    assert statuses["each_subject"] == "not_applicable"
