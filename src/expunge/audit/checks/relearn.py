"""Relearning: ten steps on a tenth of what was forgotten, then a look at the other nine tenths.

Suppression hides and comes back; a model that never knew has nothing to come back. The same steps on the
retrained model are the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context, check, mean
from expunge.audit.metrics import METRICS
from expunge.audit.statistics import paired_difference
from expunge.audit.verdict import judge_excess
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps
from expunge.random import stream

STEPS, RATE = 10, 1e-3


def tenth(forget: Sequence[Record], seed: int, share: float = 0.1) -> tuple[list[Record], list[Record]]:
    """(records to train on, records to test on): whole facts, so that no tested fact is taught.

    At least one fact is taught; with a single fact there is nothing to test on. Records that state a taught fact
    among others are in neither.
    """
    facts = sorted({r.fact_keys for r in forget})
    taken = max(1, round(share * len(facts)))
    chosen = {facts[int(k)] for k in stream(seed, "relearn").permutation(len(facts))[:taken]}
    taught = [r for r in forget if r.fact_keys in chosen]
    known = {fact for r in taught for fact in r.fact_keys}
    return taught, [r for r in forget if not known & set(r.fact_keys)]


@check("relearn", "relearn.in_domain")
def relearn(ctx: Context) -> Iterator[CheckResult]:
    """Exact answers to untaught questions after ten steps on a tenth of the forgotten facts."""
    key = "relearn.in_domain"
    margin = ctx.margin(key, 0.10)
    taught, tested = tenth(ctx.split.forget, ctx.policy.attack_seeds[0])
    if not tested:
        yield CheckResult(key=key, status="not_applicable", reason="a single fact leaves nothing to test on")
        return
    if "retrained" not in ctx.roles:
        yield CheckResult(key=key, status="inconclusive", reason="relearning needs a retrained model to compare with")
        return
    exact = METRICS.get("exact_match")
    values = {}
    for role in ("unlearned", "retrained"):
        attacked = relearn_steps(ctx.load(role), taught, STEPS, RATE, seed=ctx.policy.attack_seeds[0])
        values[role] = exact(ctx.ask(attacked, tested), ctx.records)
    ids = [r.row_id for r in tested]
    before = {role: mean(ctx.values("exact_match", role, "forget", ids)) for role in values}
    ctx.notes["relearn"] = {role: {"before": before[role], "after": mean(v)} for role, v in values.items()} | {
        "steps": STEPS,
        "taught": len(taught),
        "tested": len(tested),
    }
    excess = paired_difference(values["unlearned"], values["retrained"], ctx.subjects(ids), ctx.policy.bootstrap)
    status, reason = judge_excess(excess.estimate, excess.high, margin)
    controls = tuple(Control(key=f"{role}.before", estimate=v) for role, v in before.items())
    yield CheckResult.measured(
        key,
        status,
        excess,
        f"{mean(values['unlearned']):.3f} after {STEPS} steps, retrained "
        f"{mean(values['retrained']):.3f}; {reason}".rstrip("; "),
        reference=ReferenceValue(role="retrained", estimate=mean(values["retrained"])),
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
        seed=ctx.policy.attack_seeds[0],
    )
