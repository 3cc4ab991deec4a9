"""The worst attack of a subject, against the same maximum over attacks of each of its controls.

The largest of many excesses is large for everybody. So it is not compared with a margin made for one attack, but with
the largest excess of people whom no model met, under the same attacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.attack import CONTROLS, MARGIN, AttackAnswer
from expunge.audit.check_result import CheckResult, Status
from expunge.audit.context import Context, Role
from expunge.audit.kind_rates import comparable
from expunge.audit.record_sets import FORGET
from expunge.audit.scores import Values
from expunge.audit.statistics import rank_p_value
from expunge.audit.subject_rows import WorstAttack

EPSILON = 1e-9


def attack_answers(ctx: Context, name: str, role: Role) -> dict[str, AttackAnswer]:
    """The answers to an attack by set; empty for a check that is none, or one that failed."""
    answer = ctx.probes.get(name, {}).get(role)
    parts = answer if isinstance(answer, dict) else {}
    return parts if parts and all(isinstance(part, AttackAnswer) for part in parts.values()) else {}


def worst_attack(
    alone: Sequence[Context], attacks: Sequence[str], results: Mapping[str, CheckResult]
) -> WorstAttack | None:
    """The worst attack of one subject; against controls where there is a choice, since only they give a null.

    Args:
        alone: The audit of this subject alone, one for each reference.
        attacks: Attacks that every model answered.
        results: Result of each attack for this subject, by key.
    """
    ctx = next((c for c in alone if c.reference == "controls"), alone[-1])
    rates: dict[Role, dict[str, float]] = {}
    for role in ctx.roles:
        answers = {name: attack_answers(ctx, name, role) for name in attacks}
        rates[role] = {name: of[FORGET].kinds.of(set(ctx.split.targets)) for name, of in answers.items() if of}
    names = [n for n in attacks if all(np.isfinite(by_name.get(n, np.nan)) for by_name in rates.values())]
    if not names:
        return None
    rules = {name: results[name].rule for name in names if name in results}
    margins = {n: rule.margin if (rule := rules.get(n)) and rule.margin is not None else MARGIN for n in names}
    statuses = {name: result.status for name, result in results.items()}
    if ctx.reference == "retrained":
        excess = {n: rates["unlearned"][n] - rates["retrained"][n] for n in names}
        order = ("failed", "inconclusive", "passed")
        top = min(names, key=lambda n: (order.index(statuses[n]) if statuses.get(n) in order else 1, -excess[n]))
        power = max(rates["original"][n] - rates["retrained"][n] for n in names) > ctx.policy.known_margin
        return WorstAttack(
            attack=top, attacks=len(names), excess=excess[top], limit=margins[top], power=power,
            status=statuses.get(top, "inconclusive"),
        )  # fmt: skip
    table = {}
    for name in names:
        part = attack_answers(ctx, name, "unlearned").get("controls")
        own: dict[str, float] = {}
        if part:
            kinds, target = part.kinds, attack_answers(ctx, name, "unlearned")[FORGET].kinds
            of_target = sum(target.count(t) for t in ctx.split.targets)
            alike = [c for c in sorted(set(part.subjects)) if comparable(kinds.count(c), of_target)]
            own = {c: kinds.of({c}) for c in alike}
        if sum(map(np.isfinite, own.values())) >= CONTROLS:  # dear attacks ask about fewer
            table[name] = own
    if not table:
        return WorstAttack(
            attack=max(names, key=lambda n: rates["unlearned"][n]), attacks=len(names), status="inconclusive",
            reason=f"no attack asked about {CONTROLS} controls",
        )  # fmt: skip
    (top, most), null = largest_excess({n: rates["unlearned"][n] for n in table}, table)
    (_, before), _ = largest_excess({n: rates["original"][n] for n in table}, table)
    limit = max(float(np.percentile(null, ctx.policy.matched_controls.percentile)), min(margins[n] for n in table))
    power = before > float(null.max())
    status: Status = "failed" if most > limit + EPSILON else "passed" if power else "inconclusive"
    reason = "no power: the original model does not stand out either" if status == "inconclusive" else ""
    alone_failed = [n for n in names if n not in table and statuses.get(n) == "failed"]
    if alone_failed and status != "failed":  # it has no null here, and its own result counts
        worst = max(alone_failed, key=lambda n: rates["unlearned"][n])
        return WorstAttack(
            attack=worst, attacks=len(names), status="failed", limit=margins[worst],
            reason="by its own result: fewer controls were asked about than a null needs",
        )  # fmt: skip
    if (broken := sorted(n for n in attacks if statuses.get(n) == "not_run")) and status == "passed":
        status, reason = "inconclusive", f"not run: {', '.join(broken)}"
    return WorstAttack(
        attack=top,
        attacks=len(table),
        excess=most,
        limit=limit,
        n_controls=len(null),
        p=rank_p_value(most, null),
        power=power,
        status=status,
        reason=reason,
    )


def largest_excess(
    target: Mapping[str, float], controls: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[str, float], Values]:
    """((attack, largest excess of the target over the mean of the controls), the same of each control [m]).

    Each control is compared with the mean of the others. Only controls with a rate under every attack count, of which
    there must be two (`ValueError`).
    """
    names = sorted(target)
    shared = set.intersection(*(set(controls[n]) for n in names))
    people = sorted(c for c in shared if all(np.isfinite(controls[n][c]) for n in names))
    if len(people) < 2:
        raise ValueError("a null needs at least two controls that were attacked in all ways")
    rates = np.array([[controls[n][c] for c in people] for n in names])
    mean = rates.mean(1)
    others = (rates.sum(1, keepdims=True) - rates) / (len(people) - 1)
    excess = np.array([target[n] for n in names]) - mean
    top = int(excess.argmax())
    return (names[top], float(excess[top])), np.asarray((rates - others).max(0))
