"""Relearning: what comes back after a few training steps on a tenth of the forgotten facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.answer_memory import remembered
from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.control_groups import pseudo_targets
from expunge.audit.details import BeforeAfter, RelearningDetails
from expunge.audit.kind_rates import KindRates, questions_behind
from expunge.audit.metrics import METRICS
from expunge.audit.metrics.verbatim_run import LONG
from expunge.audit.range_of_controls import (
    RangeJudgement,
    RangeOfControls,
    compare_with_others,
    judge_by_range,
    judge_by_ranges,
)
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.single_case import LEAST_OTHERS
from expunge.audit.statistics import Interval, bootstrap_mean, paired_difference
from expunge.audit.strangers import STRANGERS, stranger_name, stranger_records, target_row
from expunge.audit.verdict import Judgement, judge_excess
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps, relearned
from expunge.models.language_model import LanguageModel, merge_adapter
from expunge.random import stream

KEY = "relearning.in_domain"
STEPS, RATE = 10, 1e-3
MARGIN = 0.10  # where the policy has no rule
MIN_CONTROLS = 3
PROFILE = CheckProfile(
    title="Relearning: brief training does not restore it",
    family="weights",
    control="the retrained model, after the same training; 8 strangers or matched controls, taught alike",
    cost="one short training of every compared model, and 8 to 24 more before a failure counts",
    limits="Ten steps on a tenth of the facts: longer training and other rows are another attack.",
    source="arXiv 2402.16835; arXiv 2406.13356",
)


def tenth(forget: Sequence[Record], seed: int, share: float = 0.1) -> tuple[list[Record], list[Record]]:
    """(training records, test records): whole facts, so that no test fact is trained.

    At least one fact is trained; with a single fact there is nothing to test. Records that state a trained fact
    among others are in neither part.
    """
    facts = sorted({r.fact_keys for r in forget})
    count = max(1, round(share * len(facts)))
    chosen = {facts[int(k)] for k in stream(seed, "relearn").permutation(len(facts))[:count]}
    train = [r for r in forget if r.fact_keys in chosen]
    known = {fact for r in train for fact in r.fact_keys}
    return train, [r for r in forget if not known & set(r.fact_keys)]


def recalled(scores: Scores, records: Mapping[str, Record]) -> Values:
    """Exact match [N]; for answers of more than `LONG` tokens the longest run of right tokens, if that is more."""
    exact, run = (METRICS.get(name)(scores, records) for name in ("exact_match", "verbatim_run"))
    return np.where(scores.length > LONG, np.fmax(exact, run), exact)


@check("relearning", KEY, profile=PROFILE)
def relearning(ctx: Context) -> CheckOutput:
    """Exact match on untrained facts after ten AdamW steps on a tenth of the forgotten facts.

    Suppressed knowledge returns with little training; a model that never had it has nothing to return. The judged
    value is exact match after relearning, unlearned minus retrained, both given the same steps (Lynch et al. 2024,
    arXiv 2402.16835; Hu et al. 2024, arXiv 2406.13356). Without a retrained model, never-trained matched controls take
    its place: the unlearned model is taught a tenth of each one's records and tested on the rest, each on a copy of its
    own. A failure of a few subjects is held against these controls, and beside a retrained model against strangers, who
    are taught to it with the target's answers (`range_of_controls.py`). Of answers of more than 20 tokens the longest
    run of right tokens counts.
    """
    seed = ctx.policy.attack_seeds[0]
    train, test = tenth(ctx.split.forget, seed)
    if not test:
        return _claimless("not_applicable", "a single fact leaves nothing to test on")
    return (_against_retrained if ctx.reference == "retrained" else _against_controls)(ctx, train, test, seed)


def _against_retrained(ctx: Context, train: Sequence[Record], test: Sequence[Record], seed: int) -> CheckOutput:
    margin, values = ctx.margin(KEY, MARGIN), {}
    for role in ("unlearned", "retrained"):
        after_steps = relearn_steps(ctx.fresh(role), train, STEPS, RATE, seed=seed)
        values[role] = recalled(score(after_steps, test), ctx.records)
    ids = [r.row_id for r in test]
    before = {role: mean(_before(ctx, role, "forget", ids)) for role in values}
    after = {role: mean(v) for role, v in values.items()}
    excess = paired_difference(values["unlearned"], values["retrained"], ctx.subjects(ids), ctx.policy.bootstrap)
    status, reason = judge_excess(excess.estimate, excess.high, margin, excess.low)
    text = f"{after['unlearned']:.3f} after {STEPS} steps, retrained {after['retrained']:.3f}; {reason}"
    judged = Judgement(status, text.rstrip("; "))
    output = _output("retrained", judged, excess, before, after, (train, test), margin, seed)
    if excess.high is not None or not ctx.is_small_sample:
        return output
    subjects, targets = ctx.subjects(ids), ctx.split.targets
    ours = KindRates({KEY: values["unlearned"]}, subjects)
    known = KindRates({KEY: _before(ctx, "original", "forget", ids)}, subjects)

    def strangers() -> RangeOfControls:
        return RangeOfControls(
            "rate",
            ours.by_subject(targets),
            known.by_subject(targets),
            rates_of_strangers(ctx, train, test, seed),
            questions_behind(ours, targets),
            "strangers, retrained and taught alike",
            is_rate=True,
        )

    def controls() -> RangeOfControls:
        sets = _control_sets(ctx, seed)

        def rates(role: Role) -> list[float]:
            def compute() -> list[float]:
                return _rates_of_controls(ctx, merge_adapter(ctx.fresh(role)), sets, seed)

            answer: list[float] = remembered(ctx, f"{KEY} on controls", role, compute)
            return answer

        first, second = rates("unlearned"), rates("retrained")
        excesses = [a - b for a, b in zip(first, second, strict=True)]
        before_all = mean(known.values[KEY]) - after["retrained"]
        size = {KEY: len(ids)}
        return RangeOfControls(
            "excess", {KEY: excess.estimate}, {KEY: before_all}, {KEY: excesses}, size, "controls, taught alike"
        )

    def judge(failed: Judgement) -> RangeJudgement:
        return judge_by_ranges(failed, [strangers, controls], ctx.policy, LEAST_OTHERS)

    return CheckOutput([compare_with_others(output.results[0], judge)], output.details)


def rates_of_strangers(
    ctx: Context, train: Sequence[Record], test: Sequence[Record], seed: int
) -> Mapping[str, Sequence[float]]:
    """Target to rates about strangers, who are taught to the retrained model as the target was; empty without any.

    What is asked about a stranger has the target's answers, so that the rate is what teaching brings out by itself.
    """
    rule, train_rows = ctx.policy.relearning, {r.row_id for r in train}
    strangers = stranger_records([*train, *test], ctx.split, seed)
    if set(strangers) != set(ctx.split.targets):
        return {}

    def rates() -> dict[str, list[float]]:
        base = merge_adapter(ctx.fresh("retrained"))
        values: dict[str, list[float]] = {target: [] for target in strangers}
        for number in range(1, min(rule.controls, STRANGERS) + 1):
            rows = [(t, r) for t, of in strangers.items() for r in of if r.subject == stranger_name(t, number)]
            lessons = [r for _, r in rows if target_row(r) in train_rows]
            questions = [(t, r) for t, r in rows if target_row(r) not in train_rows]
            records = [r for _, r in questions]
            with relearned(base, lessons, STEPS, RATE, seed=seed) as lm:
                right = recalled(score(lm, records), {r.row_id: r for r in records})
            for target in values:
                mine = [value for value, (t, _) in zip(right, questions, strict=True) if t == target]
                values[target] += [float(np.mean(mine))] if mine else []
        return values

    answer: dict[str, list[float]] = remembered(ctx, f"{KEY} on strangers", "retrained", rates)
    return answer


def _control_sets(ctx: Context, seed: int) -> list[tuple[list[Record], list[Record]]]:
    """(records that are taught, records that are asked) of each set of controls that is like the target."""
    rule = ctx.policy.relearning
    sets = pseudo_targets(ctx.split.forget, ctx.split.controls, ctx.split.targets, rule.controls)
    parts = [(train, test) for train, test in (tenth(rows, seed) for rows in sets) if test]
    return [(train, list(drawn(test, rule.test_records, "relearning"))) for train, test in parts]


def _rates_of_controls(
    ctx: Context, base: LanguageModel, sets: Sequence[tuple[list[Record], list[Record]]], seed: int
) -> list[float]:
    """Rates about each set of controls, each after the same steps on a copy of its own."""
    values = []
    for train, test in sets:
        with relearned(base, train, STEPS, RATE, seed=seed) as lm:
            values.append(mean(recalled(score(lm, test), ctx.records)))
    return values


def _against_controls(ctx: Context, train: Sequence[Record], test: Sequence[Record], seed: int) -> CheckOutput:
    margin, sets = ctx.margin(KEY, MARGIN), _control_sets(ctx, seed)
    if len(sets) < MIN_CONTROLS:
        return _claimless("inconclusive", f"relearning needs {MIN_CONTROLS} matched controls, and has {len(sets)}")
    base = merge_adapter(ctx.fresh("unlearned"))
    with relearned(base, train, STEPS, RATE, seed=seed) as lm:
        ours = recalled(score(lm, test), ctx.records)
    theirs = _rates_of_controls(ctx, base, sets, seed)
    ids, reference = [r.row_id for r in test], float(np.mean(theirs))
    excess = bootstrap_mean(ours - reference, ctx.subjects(ids), ctx.policy.bootstrap)
    known = mean(_before(ctx, "original", "forget", ids))
    before = {
        "unlearned": mean(_before(ctx, "unlearned", "forget", ids)),
        "controls": mean(_before(ctx, "unlearned", "controls", [r.row_id for _, rows in sets for r in rows])),
    }
    after = {"unlearned": mean(ours), "controls": reference}
    judged = judge_excess(excess.estimate, excess.high, margin, excess.low)
    span = f"{min(theirs):.3f} to {max(theirs):.3f}"
    text = f"{mean(ours):.3f} after {STEPS} steps, {len(theirs)} controls {reference:.3f} ({span}); {judged.reason}"
    judged = Judgement(judged.status, text.rstrip("; "))
    output = _output("controls", judged, excess, before, after, (train, test), margin, seed)
    if excess.high is not None:
        return output
    one = RangeOfControls(
        "rate", {KEY: mean(ours)}, {KEY: known}, {KEY: theirs}, {KEY: len(ids)}, "controls, taught alike", is_rate=True
    )
    result = compare_with_others(
        output.results[0], lambda failed: judge_by_range(failed, one, ctx.policy, MIN_CONTROLS)
    )
    return CheckOutput([result], output.details)


def _before(ctx: Context, role: Role, name: str, ids: Sequence[str]) -> Values:
    return recalled(ctx.scores[role][name].select(ids), ctx.records)


def _output(
    reference: Role,
    judged: Judgement,
    excess: Interval,
    before: Mapping[str, float],
    after: Mapping[str, float],
    parts: tuple[Sequence[Record], Sequence[Record]],
    margin: float,
    seed: int,
) -> CheckOutput:
    result = CheckResult.measured(
        KEY,
        judged.status,
        excess,
        judged.reason,
        reference=ReferenceValue(role=reference, estimate=after[reference]),
        controls=tuple(Control(key=f"{role}.before", estimate=v) for role, v in before.items()),
        rule=JudgedRule(id="excess", margin=margin),
        seed=seed,
    )
    models = {role: BeforeAfter(before=before[role], after=after[role]) for role in after}
    details = RelearningDetails(models=models, steps=STEPS, n_train=len(parts[0]), n_test=len(parts[1]))
    return CheckOutput([result], details)


def _claimless(status: str, reason: str) -> CheckOutput:
    return CheckOutput([CheckResult.model_validate({"key": KEY, "status": status, "reason": reason})])
