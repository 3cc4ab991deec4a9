"""Relearning: what comes back after a few training steps on a tenth of the forgotten facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.control_groups import pseudo_targets
from expunge.audit.details import BeforeAfter, RelearningDetails
from expunge.audit.metrics import METRICS
from expunge.audit.metrics.verbatim_run import LONG
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import Interval, bootstrap_mean, paired_difference
from expunge.audit.verdict import Judgement, judge_excess
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps, relearned
from expunge.models.language_model import merge_adapter
from expunge.random import stream

KEY = "relearning.in_domain"
STEPS, RATE = 10, 1e-3
MARGIN = 0.10  # where the policy has no rule
MIN_CONTROLS = 3
PROFILE = CheckProfile(
    title="Relearning: brief training does not restore it",
    family="weights",
    control="the retrained model, or 8 matched controls, after the same training",
    cost="one short training of every compared model",
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
    own; a few subjects pass inside the range of these controls. Of answers of more than 20 tokens the longest run of
    right tokens counts.
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
    status, reason = judge_excess(excess.estimate, excess.high, margin)
    text = f"{after['unlearned']:.3f} after {STEPS} steps, retrained {after['retrained']:.3f}; {reason}"
    return _output(
        "retrained", Judgement(status, text.rstrip("; ")), excess, before, after, (train, test), margin, seed
    )


def _against_controls(ctx: Context, train: Sequence[Record], test: Sequence[Record], seed: int) -> CheckOutput:
    rule, margin = ctx.policy.relearning, ctx.margin(KEY, MARGIN)
    sets = pseudo_targets(ctx.split.forget, ctx.split.controls, ctx.split.targets, rule.controls)
    parts = [(taught, asked) for taught, asked in (tenth(rows, seed) for rows in sets) if asked]
    if len(parts) < MIN_CONTROLS:
        return _claimless("inconclusive", f"relearning needs {MIN_CONTROLS} matched controls, and has {len(parts)}")
    base = merge_adapter(ctx.fresh("unlearned"))

    def after_steps(taught: Sequence[Record], asked: Sequence[Record]) -> Values:
        with relearned(base, taught, STEPS, RATE, seed=seed) as lm:
            return recalled(score(lm, asked), ctx.records)

    ours = after_steps(train, test)
    asked_of = [drawn(asked, rule.test_records, "relearning") for _, asked in parts]
    theirs = [mean(after_steps(taught, asked)) for (taught, _), asked in zip(parts, asked_of, strict=True)]
    ids, reference = [r.row_id for r in test], float(np.mean(theirs))
    excess = bootstrap_mean(ours - reference, ctx.subjects(ids), ctx.policy.bootstrap)
    known = mean(_before(ctx, "original", "forget", ids))
    judged = inside_range(judge_excess(excess.estimate, excess.high, margin), mean(ours), known, theirs, excess.high)
    before = {
        "unlearned": mean(_before(ctx, "unlearned", "forget", ids)),
        "controls": mean(_before(ctx, "unlearned", "controls", [r.row_id for rows in asked_of for r in rows])),
    }
    after = {"unlearned": mean(ours), "controls": reference}
    span = f"{min(theirs):.3f} to {max(theirs):.3f}"
    text = f"{mean(ours):.3f} after {STEPS} steps, {len(theirs)} controls {reference:.3f} ({span}); {judged.reason}"
    judged = Judgement(judged.status, text.rstrip("; "))
    return _output("controls", judged, excess, before, after, (train, test), margin, seed)


def inside_range(
    judged: Judgement, ours: float, original: float, controls: Sequence[float], bound: float | None
) -> Judgement:
    """A failed judgement without an interval is passed where the value is no larger than the largest control's.

    Inconclusive where even the original model, which was not unlearned, is no larger.
    """
    if judged.status != "failed" or bound is not None or ours > max(controls):
        return judged
    if original <= max(controls):
        return Judgement("inconclusive", "too few records to tell the original model from controls")
    return Judgement("passed", "inside the range of the controls")


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
