"""Leakage: does the model still give the true answers, by kind of question and in any wording?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, Context, Role, check, mean
from expunge.audit.details import LeakageDetails, LeakageRate, LeakageTable
from expunge.audit.metrics.worst_wording import leakage_axis, leakage_values, worst_wording
from expunge.audit.scores import Values
from expunge.audit.statistics import Bootstrap, Interval, resampled_interval
from expunge.audit.verdict import judge_excess

MARGIN = 0.05  # where the policy has no rule
KINDS = ("generation", "cloze", "completion", "classification")


@check("leakage", "leakage.self", "paraphrase", "leakage.axis")
def leakage(ctx: Context) -> CheckOutput:
    """True answers that the model still gives, above the reference.

    The leakage of a model is the rate of its worst kind of question: exact match, or accuracy corrected for chance for
    multiple choice. The excess is leakage(unlearned) - leakage(reference), since a model without the records guesses
    right at times. `leakage.self` counts all wordings, `paraphrase` the untrained ones, and `leakage.axis` the worst
    wording of each record by extraction strength, exact match, cloze and answer probability. Not applicable where the
    original model exceeds the reference by at most the policy's `known_margin`.
    """
    wordings = list(ctx.scores["unlearned"]["forget"].ids)
    trained = set(ctx.trained_wording)
    ids = {"leakage.self": wordings, "paraphrase": [i for i in wordings if i not in trained]}
    results, tables = [], {}
    for key, rows in ids.items():
        if rows:
            rates = {role: kind_values(ctx, role, rows) for role in ctx.roles}
            tables[key] = _table(rates)
            results.append(_result(ctx, key, rows, rates))
        else:
            results.append(CheckResult(key=key, status="not_applicable", reason="there are no such records"))
    if "retrained" in ctx.roles:
        results.append(_axis(ctx))
    return CheckOutput(results, LeakageDetails(tables=tables))


def kind_values(ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """Kind of question to values [N], NaN for other kinds.

    Exact match; for classification the accuracy corrected for chance, where the record has options.
    """
    kinds = np.array([ctx.records[i].kind for i in ids])
    exact, choice = (ctx.values(m, role, name, ids) for m in ("exact_match", "mcq_acc_cc"))
    choice = np.where(np.isfinite(choice), choice, exact)
    values = {k: np.where(kinds == k, choice if k == "classification" else exact, np.nan) for k in KINDS}
    return {k: v for k, v in values.items() if np.isfinite(v).any()}


def worst(values: Mapping[str, Values]) -> tuple[str, float]:
    """The kind of question with the largest mean, and that mean."""
    rates = {kind: mean(v) for kind, v in values.items()}
    kind = max(sorted(rates), key=lambda k: rates[k])
    return kind, rates[kind]


def excess_interval(
    ours: Mapping[str, Values], theirs: Mapping[str, Values], subjects: Sequence[str], bootstrap: Bootstrap
) -> Interval:
    """Worst kind of ours minus worst kind of theirs on the same records [N], bootstrapped over subjects."""
    names = {s: k for k, s in enumerate(sorted(set(subjects)))}
    index = np.array([names[s] for s in subjects])

    def table(kinds: Mapping[str, Values]) -> Values:
        """[subjects, 2 kinds]: sum and count of each kind."""
        columns: list[Values] = []
        for values in kinds.values():
            applies = np.isfinite(values)
            for weights in (values[applies], np.ones(int(applies.sum()))):
                columns.append(np.asarray(np.bincount(index[applies], weights, len(names)), dtype=np.float64))
        return np.stack(columns, axis=1)

    def top(sums: Values) -> Values:
        return np.asarray((sums[:, ::2] / np.maximum(sums[:, 1::2], 1e-12)).max(1))

    both = np.hstack([table(ours), table(theirs)])
    both = both[np.lexsort(both.T)]  # by values, so that the names of subjects have no influence
    cut = 2 * len(ours)

    def excess(weight: Values) -> Values:
        sums = weight @ both
        return top(sums[:, :cut]) - top(sums[:, cut:])

    estimate = float(excess(np.ones((1, len(names))))[0])
    return resampled_interval(estimate, excess, len(names), len(subjects), bootstrap)


def _table(rates: Mapping[Role, Mapping[str, Values]]) -> LeakageTable:
    models = {}
    for role, values in rates.items():
        kind, rate = worst(values)
        models[role] = LeakageRate(worst=rate, worst_kind=kind, by_kind={k: mean(v) for k, v in values.items()})
    return LeakageTable(models=models, n={k: int(np.isfinite(v).sum()) for k, v in rates["unlearned"].items()})


def _result(ctx: Context, key: str, ids: Sequence[str], rates: Mapping[Role, Mapping[str, Values]]) -> CheckResult:
    margin, ours = ctx.margin(key, MARGIN), rates["unlearned"]
    if ctx.reference == "retrained":
        theirs = rates["retrained"]
        excess = excess_interval(ours, theirs, ctx.subjects(ids), ctx.policy.bootstrap)
    elif ctx.controls:
        theirs = kind_values(ctx, "unlearned", ctx.controls, "controls")
        difference = worst(ours)[1] - worst(theirs)[1]
        excess = Interval(difference, None, None, "difference to controls", len(ids), len(ctx.split.targets))
    else:
        reason = "there is neither a retrained model nor a control to compare with"
        return CheckResult(key=key, status="inconclusive", reason=reason)
    (kind, rate), (reference_kind, reference_rate) = worst(ours), worst(theirs)
    known = worst(rates["original"])[1]
    controls = tuple(
        Control(key=f"{role}.{k}", estimate=mean(v)) for role, values in rates.items() for k, v in values.items()
    )
    if not known > reference_rate + ctx.policy.known_margin:
        reason = f"the original model hardly knew it ({known:.3f}, reference {reference_rate:.3f})"
        return CheckResult.measured(key, "not_applicable", excess, reason, controls=controls)
    status, reason = judge_excess(excess.estimate, excess.high, margin)
    return CheckResult.measured(
        key,
        status,
        excess,
        f"worst kind {kind} {rate:.3f}, reference {reference_kind} {reference_rate:.3f}; {reason}",
        reference=ReferenceValue(role=ctx.reference, estimate=reference_rate),
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
    )


def _axis(ctx: Context) -> CheckResult:
    ids, margin = ctx.trained_wording, ctx.margin("leakage.axis", MARGIN)
    values = {}
    for role in ("unlearned", "retrained"):
        scores = ctx.scores[role]["forget"]
        owners = [ctx.record_of_wording[i] for i in scores.ids]
        by_kind = leakage_values(scores, ctx.records, owners)
        by_record = {kind: worst_wording(v, owners) for kind, v in by_kind.items()}
        values[role] = {kind: np.array([rows[i] for i in ids]) for kind, rows in by_record.items()}
    axis = leakage_axis(values["unlearned"], values["retrained"], ctx.subjects(ids), ctx.policy.bootstrap)
    status, reason = judge_excess(axis.excess.estimate, axis.excess.high, margin)
    return CheckResult.measured(
        "leakage.axis",
        status,
        axis.excess,
        f"worst wording, worst measure {axis.kind}; {reason}",
        controls=tuple(Control(key=k, estimate=v.estimate, ci=(v.low, v.high)) for k, v in axis.by_kind.items()),
        rule=JudgedRule(id="excess", margin=margin),
        reference=ReferenceValue(role="retrained"),
    )
