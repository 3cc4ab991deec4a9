"""Leakage: does the model still give the true answers, by kind of question, in any wording?

A model's leakage is that of its worst kind: exact answers for free questions and blanks, choices corrected for
chance for multiple choice. It is compared with the reference's leakage, because a model that never saw the person
also guesses right sometimes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context, Role, check, mean
from expunge.audit.metrics.leakage import leak_axis, leak_values, worst_wording
from expunge.audit.scores import Values
from expunge.audit.statistics import Interval
from expunge.audit.verdict import judge_excess

MARGIN = 0.05  # where the policy names none
KINDS = ("generation", "cloze", "completion", "classification")


def kind_values(ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """Question kind → values [N], NaN for other kinds.

    Exact match; for classification the choice corrected for chance, where there are options to choose from.
    """
    kinds = np.array([ctx.records[i].kind for i in ids])
    exact, choice = (ctx.values(m, role, name, ids) for m in ("exact_match", "mcq_acc_cc"))
    choice = np.where(np.isfinite(choice), choice, exact)
    found = {k: np.where(kinds == k, choice if k == "classification" else exact, np.nan) for k in KINDS}
    return {k: v for k, v in found.items() if np.isfinite(v).any()}


def worst(rates: dict[str, float]) -> tuple[str, float]:
    """The kind of question that leaks most, and how much."""
    kind = max(sorted(rates), key=lambda k: rates[k])
    return kind, rates[kind]


def excess_interval(
    ours: dict[str, Values], theirs: dict[str, Values], subjects: Sequence[str], ctx: Context
) -> Interval:
    """Worst kind of ours minus worst kind of theirs, bootstrapped over subjects where there are enough."""
    names = {s: k for k, s in enumerate(sorted(set(subjects)))}
    place = np.array([names[s] for s in subjects])
    plan = ctx.policy.bootstrap

    def table(kinds: dict[str, Values]) -> Values:
        """[subjects, 2 kinds]: sum and count of each kind."""
        columns: list[Values] = []
        for values in kinds.values():
            there = np.isfinite(values)
            for weights in (values[there], np.ones(int(there.sum()))):
                columns.append(np.asarray(np.bincount(place[there], weights, len(names)), dtype=np.float64))
        return np.stack(columns, axis=1)

    def top(sums: Values) -> Values:
        return np.asarray((sums[:, ::2] / np.maximum(sums[:, 1::2], 1e-12)).max(1))

    both = np.hstack([table(ours), table(theirs)])
    both = both[np.lexsort(both.T)]  # by values, so that names of subjects never decide
    cut = 2 * len(ours)

    def excess(weight: Values) -> Values:
        drawn = weight @ both
        return top(drawn[:, :cut]) - top(drawn[:, cut:])

    estimate = float(excess(np.ones((1, len(names))))[0])
    if len(names) < plan.min_subjects:
        return Interval(
            estimate, None, None, f"none: fewer than {plan.min_subjects} subjects", len(subjects), len(names)
        )
    rng = np.random.default_rng(plan.seed)
    weight = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=plan.draws).astype(float)
    tail = (1 - plan.level) / 2
    low, high = np.quantile(excess(weight), [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), "bootstrap over subjects", len(subjects), len(names))


def _entry(ctx: Context, key: str, ids: Sequence[str]) -> CheckResult:
    if not ids:
        return CheckResult(key=key, status="not_applicable", reason="there are no such records")
    margin = ctx.margin(key, MARGIN)
    rates = {role: {k: mean(v) for k, v in kind_values(ctx, role, ids).items()} for role in ctx.roles}
    ours = kind_values(ctx, "unlearned", ids)
    if ctx.reference == "retrained":
        theirs, subjects = kind_values(ctx, "retrained", ids), ctx.subjects(ids)
        excess = excess_interval(ours, theirs, subjects, ctx)
    else:
        if not ctx.controls:
            return CheckResult(
                key=key,
                status="inconclusive",
                reason="there is neither a retrained model nor a control to compare with",
            )
        theirs = kind_values(ctx, "unlearned", ctx.controls, "controls")
        value = worst({k: mean(v) for k, v in ours.items()})[1] - worst({k: mean(v) for k, v in theirs.items()})[1]
        excess = Interval(value, None, None, "difference to controls", len(ids), len(ctx.split.targets))
    kind, here = worst(rates["unlearned"])
    ref_kind, there = worst({k: mean(v) for k, v in theirs.items()})
    known = worst(rates["original"])[1]
    controls = tuple(Control(key=f"{role}.{k}", estimate=v) for role, found in rates.items() for k, v in found.items())
    ctx.notes.setdefault("leak", {})[key] = {
        role: {"worst": worst(found)[1], "kind": worst(found)[0], **found} for role, found in rates.items()
    } | {"n": {k: int(np.isfinite(v).sum()) for k, v in ours.items()}}
    if not known > there + ctx.policy.known_margin:
        return CheckResult.measured(
            key,
            "not_applicable",
            excess,
            f"the original model hardly knew it ({known:.3f}, reference {there:.3f})",
            controls=controls,
        )
    status, reason = judge_excess(excess.estimate, excess.high, margin)
    return CheckResult.measured(
        key,
        status,
        excess,
        f"worst kind {kind} {here:.3f}, reference {ref_kind} {there:.3f}; {reason}",
        reference=ReferenceValue(role=ctx.reference, estimate=there),
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
    )


@check("leak", "leakage.self", "paraphrase", "leakage.axis")
def leak(ctx: Context) -> Iterator[CheckResult]:
    """True answers still given: all wordings, rephrasings alone, and the worst of four output measures."""
    everything = list(ctx.scores["unlearned"]["forget"].ids)
    yield _entry(ctx, "leakage.self", everything)
    yield _entry(ctx, "paraphrase", [i for i in everything if i not in set(ctx.trained_wording)])
    if ctx.reference == "retrained":
        yield _axis(ctx)


def _axis(ctx: Context) -> CheckResult:
    """Worst wording of every record by extraction strength, exact match, cloze and answer probability."""
    names, margin = ctx.trained_wording, ctx.margin("leakage.axis", MARGIN)
    found = {}
    for role in ("unlearned", "retrained"):
        scores = ctx.scores[role]["forget"]
        owners = [ctx.owner[i] for i in scores.ids]
        worst_of = {
            kind: worst_wording(values, owners) for kind, values in leak_values(scores, ctx.records, owners).items()
        }
        found[role] = {kind: np.array([by_id[i] for i in names]) for kind, by_id in worst_of.items()}
    axis = leak_axis(found["unlearned"], found["retrained"], ctx.subjects(names), ctx.policy.bootstrap)
    status, reason = judge_excess(axis.excess.estimate, axis.excess.high, margin)
    controls = tuple(Control(key=k, estimate=v.estimate, ci=(v.low, v.high)) for k, v in axis.by_kind.items())
    return CheckResult.measured(
        "leakage.axis",
        status,
        axis.excess,
        f"worst wording, worst measure {axis.kind}; {reason}",
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
        reference=ReferenceValue(role="retrained"),
    )
