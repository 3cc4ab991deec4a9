"""Relearning: what comes back after a few training steps on a tenth of the forgotten facts."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, Context, check, mean
from expunge.audit.details import BeforeAfter, RelearningDetails
from expunge.audit.metrics import METRICS
from expunge.audit.scoring import score
from expunge.audit.statistics import paired_difference
from expunge.audit.verdict import judge_excess
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps
from expunge.random import stream

KEY = "relearning.in_domain"
STEPS, RATE = 10, 1e-3
MARGIN = 0.10  # where the policy has no rule


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


@check("relearning", KEY)
def relearning(ctx: Context) -> CheckOutput:
    """Exact match on untrained facts after ten AdamW steps on a tenth of the forgotten facts.

    Suppressed knowledge returns with little training; a model that never had it has nothing to return. The judged
    value is exact match after relearning, unlearned minus retrained, both given the same steps (Lynch et al. 2024,
    arXiv 2402.16835; Hu et al. 2024, arXiv 2406.13356). The check loads fresh copies, since it trains them.
    """
    seed, margin = ctx.policy.attack_seeds[0], ctx.margin(KEY, MARGIN)
    train, test = tenth(ctx.split.forget, seed)
    if not test:
        return _claimless("not_applicable", "a single fact leaves nothing to test on")
    if ctx.reference != "retrained":
        return _claimless("inconclusive", "relearning needs a retrained model to compare with")
    exact, values = METRICS.get("exact_match"), {}
    for role in ("unlearned", "retrained"):
        relearned = relearn_steps(ctx.fresh(role), train, STEPS, RATE, seed=seed)
        values[role] = exact(score(relearned, test), ctx.records)
    ids = [r.row_id for r in test]
    before = {role: mean(ctx.values("exact_match", role, "forget", ids)) for role in values}
    after = {role: mean(v) for role, v in values.items()}
    excess = paired_difference(values["unlearned"], values["retrained"], ctx.subjects(ids), ctx.policy.bootstrap)
    status, reason = judge_excess(excess.estimate, excess.high, margin)
    text = f"{after['unlearned']:.3f} after {STEPS} steps, retrained {after['retrained']:.3f}; {reason}"
    result = CheckResult.measured(
        KEY,
        status,
        excess,
        text.rstrip("; "),
        reference=ReferenceValue(role="retrained", estimate=after["retrained"]),
        controls=tuple(Control(key=f"{role}.before", estimate=v) for role, v in before.items()),
        rule=JudgedRule(id="excess", margin=margin),
        seed=seed,
    )
    models = {role: BeforeAfter(before=before[role], after=after[role]) for role in values}
    details = RelearningDetails(models=models, steps=STEPS, n_train=len(train), n_test=len(test))
    return CheckOutput([result], details)


def _claimless(status: str, reason: str) -> CheckOutput:
    return CheckOutput([CheckResult.model_validate({"key": KEY, "status": status, "reason": reason})])
