"""No hit in n is a bound and not a zero: the reason of an attack that brought nothing out says which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from expunge._binomial import zero_hit_bound
from expunge.audit.attack import AttackAnswer
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CheckOutput, Context
from expunge.audit.scores import Values


def with_hit_bounds(ctx: Context, output: CheckOutput) -> CheckOutput:
    """The output, with the bound behind the reason of each attack that brought nothing out of the unlearned model."""
    return CheckOutput([_with_bound(ctx, r) for r in output.results], output.details)


def _with_bound(ctx: Context, result: CheckResult) -> CheckResult:
    answers = ctx.probes.get(result.key, {}).get("unlearned")
    forget = answers.get("forget") if isinstance(answers, dict) else None
    if not isinstance(forget, AttackAnswer) or result.status in ("not_run", "not_applicable"):
        return result
    clause = zero_hit_clause(forget.outcome.rates)
    return result.model_copy(update={"reason": f"{result.reason}; {clause}".removeprefix("; ")}) if clause else result


def zero_hit_clause(rates: Mapping[str, Values]) -> str:
    """`no hit in 9 records, so the rate is below 28.3 % (95 % bound)`, if no form of any record has a rate above 0.

    The bound takes records as independent, which those of one person hardly are: with few people the truth is wider.
    """
    best = np.fmax.reduce(list(rates.values())) if rates else np.zeros(0)
    n = int(np.isfinite(best).sum())
    if not n or np.nanmax(best) > 0:
        return ""
    return f"no hit in {n} records, so the rate is below {100 * zero_hit_bound(n):.1f} % (95 % bound)"
