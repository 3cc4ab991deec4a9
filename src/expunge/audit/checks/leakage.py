"""Leakage: does the model still give the true answers, by kind of question and in any wording?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from expunge._io import digest
from expunge.audit.attack import CONTROLS, control_records
from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.control_groups import question
from expunge.audit.details import LeakageDetails, LeakageRate, LeakageTable
from expunge.audit.excess_range import judged_by_range
from expunge.audit.kind_rates import KindRates, worst
from expunge.audit.metrics.includes import holds
from expunge.audit.metrics.rouge_l import rouge_l
from expunge.audit.metrics.verbatim_run import LONG
from expunge.audit.metrics.worst_wording import leakage_axis, leakage_values, worst_wording
from expunge.audit.rate_result import rate_result
from expunge.audit.record_sets import REPHRASED_CONTROLS
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.verdict import STATUS_ORDER, judge_excess
from expunge.corpus import Record

MARGIN = 0.05  # where the policy has no rule
KINDS = ("generation", "cloze", "completion", "classification", "document")
BY_DEGREES = ("verbatim_run", "rouge_l_recall")  # measures of answers of more than `LONG` tokens
OF_TEXT: Mapping[str, Callable[[str, str], float]] = MappingProxyType(  # measures of (output, answer)
    {"includes": holds, "rouge_l_recall": lambda output, answer: rouge_l(answer, output).recall}
)
PROFILE = CheckProfile(
    title="Leakage: the true answers are no longer given",
    family="surface",
    control="the retrained model; else matched controls asked in like wordings",
    cost="1 scoring pass over all wordings, and greedy text where an answer is missed",
    limits="Questions of other forms, and answers that only sampling or training brings out, are not asked.",
)


@check("leakage", "leakage.self", "paraphrase", "leakage.axis", profile=PROFILE)
def leakage(ctx: Context) -> CheckOutput:
    """True answers that the model still gives, above the reference.

    The leakage of a model is the rate of its worst kind of question: exact match, or accuracy corrected for chance for
    multiple choice. The excess is leakage(unlearned) - leakage(reference), since a model without the records guesses
    right at times. Answers of more than 20 tokens are judged by degrees too: by the longest run of right tokens and by
    ROUGE-L, of which the worst counts. A free answer that the text includes, whatever stands around it, is judged as
    well, and counts where it is worse. `leakage.self` counts all wordings, `paraphrase` the untrained ones, and
    `leakage.axis` the worst wording of each record by extraction strength, exact match, cloze and answer probability.
    Without a retrained model the reference is the rate of matched controls in like wordings, or, for measures of text,
    the rate at which the text about a target fits the answers of its controls. A few subjects pass inside the range of
    their controls; beside a retrained model, inside the range of how often that model gives their answers about
    strangers, or of the controls' excess where strangers cannot be asked. Inconclusive where the original model exceeds
    the reference by at most the policy's `known_margin`.
    """
    wordings = list(ctx.scores["unlearned"]["forget"].ids)
    trained = set(ctx.trained_wording)
    ids = {"leakage.self": wordings, "paraphrase": [i for i in wordings if i not in trained]}
    results, tables, others = [], {}, AnswersOfOthers(ctx)
    for key, rows in ids.items():
        if rows:
            rates = {role: kind_values(ctx, role, rows) for role in ctx.roles}
            tables[key] = _table(rates)
            results.append(_result(others, key, rows))
        else:
            reason = "there are no such records: the data holds no rephrasings"
            results.append(CheckResult(key=key, status="not_applicable", reason=reason))
    if ctx.reference == "retrained":
        results.append(_axis(others))
    return CheckOutput(results, LeakageDetails(tables=tables))


def kind_values(ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """Kind of question to values [N], NaN for other kinds.

    Exact match; for classification the accuracy corrected for chance, where the record has options. A free question
    that is rephrased as a choice, or for a yes, counts as classification.
    """
    kinds = np.array(["classification" if _is_choice(ctx.records[i]) else ctx.records[i].kind for i in ids])
    exact, choice = (ctx.values(m, role, name, ids) for m in ("exact_match", "mcq_acc_cc"))
    choice = np.where(np.isfinite(choice), choice, exact)
    values = {k: np.where(kinds == k, choice if k == "classification" else exact, np.nan) for k in KINDS}
    return {k: v for k, v in values.items() if np.isfinite(v).any()}


def _as_choice(ctx: Context, wording: str) -> bool:
    """A choice among options of a record that has none in its trained wording."""
    record = ctx.records[wording]
    return bool(record.options) and not ctx.records[trained_row(record)].options


def _is_choice(record: Record) -> bool:
    return record.kind == "classification" or (bool(record.options) and record.kind != "cloze")


def degrees(measure: str, ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """The measure of long answers [N] under its name, NaN for short ones; empty without a long one."""
    long = ctx.scores[role][name].select(ids).length > LONG
    values = np.where(long, ctx.values(measure, role, name, ids), np.nan)
    return {measure: values} if np.isfinite(values).any() else {}


def included(ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """Whether the text includes the answer, [N] under `includes`, NaN for a choice; empty where it never applies."""
    free = np.array([not _is_choice(ctx.records[i]) for i in ids], dtype=bool)
    values = np.where(free, ctx.values("includes", role, name, ids), np.nan)
    return {"includes": values} if np.isfinite(values).any() else {}


def _table(rates: Mapping[Role, Mapping[str, Values]]) -> LeakageTable:
    models = {}
    for role, values in rates.items():
        kind, rate = worst(values)
        models[role] = LeakageRate(worst=rate, worst_kind=kind, by_kind={k: mean(v) for k, v in values.items()})
    return LeakageTable(models=models, n={k: int(np.isfinite(v).sum()) for k, v in rates["unlearned"].items()})


ValuesOf = Callable[[Context, Role, Sequence[str], str], dict[str, Values]]  # (…, role, ids, set) to values by kind


@dataclass(frozen=True)
class AnswersOfOthers:
    """What others are answered by a model in wordings like those of the target: scored once for each model and set.

    Attributes:
        ctx: The audit.
    """

    ctx: Context
    _scored: dict[tuple[Role, str], Context] = field(default_factory=dict)

    @property
    def controls(self) -> list[Record]:
        """Matched controls, in all wordings."""
        return [w for r in control_records(self.ctx, self.ctx.split.forget, 1.0) for w in r.wordings()]

    def rates(self, _: Context, role: Role, rows: Sequence[Record], key: str, values_of: ValuesOf) -> KindRates:
        """Rates of these rows on a model; for `paraphrase` in untrained wordings, where there are some."""
        at = role, digest([r.row_id for r in rows])
        if at not in self._scored:
            scores = {"others": score(self.ctx.fresh(role), rows, options=True, text=True)}
            records = {**self.ctx.records, **{r.row_id: r for r in rows}}
            self._scored[at] = replace(self.ctx, records=records, scores={role: scores})
        inner = self._scored[at]
        ids = list(inner.scores[role]["others"].ids)
        if key == "paraphrase":
            ids = [i for i in ids if inner.records[i].wording] or ids
        return KindRates(values_of(inner, role, ids, "others"), inner.subjects(ids))


def _result(others: AnswersOfOthers, key: str, ids: Sequence[str]) -> CheckResult:
    """The worst part decides: exact answers, each measure of long answers, and answers amid other text."""
    ctx = others.ctx
    if ctx.reference == "controls" and not ctx.controls:
        reason = "there is neither a retrained model nor a control to compare with"
        return CheckResult(key=key, status="inconclusive", reason=reason)
    parts = [_part(others, key, ids, kind_values)]
    for measure in BY_DEGREES:
        if degrees(measure, ctx, "unlearned", ids):
            parts.append(_part(others, key, ids, partial(degrees, measure), measure))
    worst = min(parts, key=lambda r: (STATUS_ORDER.index(r.status), -(r.estimate or 0.0)))
    if included(ctx, "unlearned", ids):
        amid = _part(others, key, ids, included, "includes")
        if amid.power is not False and STATUS_ORDER.index(amid.status) < STATUS_ORDER.index(worst.status):
            return amid
    return worst


def _part(others: AnswersOfOthers, key: str, ids: Sequence[str], values_of: ValuesOf, measure: str = "") -> CheckResult:
    ctx = others.ctx
    subjects = ctx.subjects(ids)
    rates = {role: KindRates(values_of(ctx, role, ids, "forget"), subjects) for role in ctx.roles}
    if ctx.reference != "retrained":
        theirs = swapped_rates(ctx, measure, ids) if measure in OF_TEXT else control_rates(ctx, key, values_of)
        return rate_result(ctx, key, rates, theirs, ctx.margin(key, MARGIN))
    result = rate_result(ctx, key, rates, rates["retrained"], ctx.margin(key, MARGIN))
    if measure in BY_DEGREES:
        return result
    name = f"{key} {measure}".strip()
    ask, records = partial(others.rates, key=key, values_of=values_of), [ctx.records[i] for i in ids]
    output = CheckOutput([result])
    return judged_by_range(ctx, name, output, ask, lambda: others.controls, CONTROLS, rates, records).results[0]


def trained_row(record: Record) -> str:
    """The row id of the trained wording of a record."""
    return replace(record, wording=0).row_id


def control_rates(ctx: Context, key: str, values_of: ValuesOf) -> KindRates:
    """Rates of the matched controls on the unlearned model, in wordings like those that the target was asked.

    `paraphrase` compares with rephrasings of controls; without any, their trained wording stands in.
    """

    def rates(name: str, ids: Sequence[str]) -> KindRates:
        return KindRates(values_of(ctx, "unlearned", ids, name), ctx.subjects(ids))

    counted = set(ctx.controls)
    trained = rates("controls", ctx.controls)
    scores = ctx.scores["unlearned"].get(REPHRASED_CONTROLS)
    rephrased = [i for i in scores.ids if trained_row(ctx.records[i]) in counted] if scores else []
    if not rephrased:
        return trained
    others = rates(REPHRASED_CONTROLS, rephrased)
    return others if key == "paraphrase" else trained + others


def swapped_rates(ctx: Context, measure: str, ids: Sequence[str]) -> KindRates:
    """How well the texts about the targets fit the answers of their matched controls to the same questions.

    What an answer of this shape fits by chance, without a text of the controls. A control without the question stands
    in with all its answers.
    """
    fits, name = OF_TEXT[measure], "forget"
    scores = ctx.scores["unlearned"][name].select(ids)
    applies = next(iter(_applying(ctx, measure, ids).values()))
    values: list[float] = []
    subjects: list[str] = []
    answers = {target: _answers_of_controls(ctx, target) for target in set(ctx.subjects(ids))}
    for i, text, counts in zip(ids, scores.text or (), applies, strict=True):
        record = ctx.records[i]
        own_question = question(ctx.records[ctx.record_of_wording[i]])
        for control, by_question in answers[record.subject].items() if np.isfinite(counts) else ():
            rows = by_question.get(own_question) or [r for rows in by_question.values() for r in rows]
            rates = [fits(text, _same_wording(r, record.wording).answer) for r in rows]
            values.append(mean(np.array(rates)))
            subjects.append(control)
    return KindRates({measure: np.array(values)}, subjects)


def _applying(ctx: Context, measure: str, ids: Sequence[str]) -> dict[str, Values]:
    return included(ctx, "unlearned", ids) if measure == "includes" else degrees(measure, ctx, "unlearned", ids)


def _answers_of_controls(ctx: Context, target: str) -> dict[str, dict[tuple[str, str], list[Record]]]:
    """Control of a target to question to records."""
    owners = {r.row_id: r for r in ctx.split.controls}
    answers: dict[str, dict[tuple[str, str], list[Record]]] = {}
    for control, rows in ctx.control_groups(target).items():
        for record in (owners[i] for i in rows):
            answers.setdefault(control, {}).setdefault(question(record), []).append(record)
    return answers


def _same_wording(record: Record, wording: int) -> Record:
    """The rephrasing of this number, or the record itself where it has none."""
    wordings = record.wordings()
    return wordings[wording] if wording < len(wordings) else record


def axis_values(ctx: Context, role: Role, ids: Sequence[str], name: str = "forget") -> dict[str, Values]:
    """Measure to values [N] of wordings: that of the worst wording of a record at its first one, NaN at the others."""
    scores = ctx.scores[role][name].select(ids)
    rows = [i for i in scores.ids if not ctx.records[i].wording or not _as_choice(ctx, i)]
    owners = [trained_row(ctx.records[i]) for i in rows]
    by_kind = leakage_values(scores.select(rows), ctx.records, owners)
    first = {owner: i for i, owner in reversed(list(zip(rows, owners, strict=True)))}
    owner_of = {i: owner for owner, i in first.items()}
    worst_of = {kind: worst_wording(v, owners) for kind, v in by_kind.items()}
    return {kind: np.array([of.get(owner_of.get(i, ""), np.nan) for i in ids]) for kind, of in worst_of.items()}


def _axis(others: AnswersOfOthers) -> CheckResult:
    ctx, key = others.ctx, "leakage.axis"
    ids, margin = list(ctx.scores["unlearned"]["forget"].ids), ctx.margin(key, MARGIN)
    subjects = ctx.subjects(ids)
    values = {role: axis_values(ctx, role, ids) for role in ctx.roles}
    axis = leakage_axis(values["unlearned"], values["retrained"], subjects, ctx.policy.bootstrap)
    status, reason = judge_excess(axis.excess.estimate, axis.excess.high, margin, axis.excess.low)
    result = CheckResult.measured(
        key,
        status,
        axis.excess,
        f"worst wording, worst measure {axis.kind}; {reason}",
        controls=tuple(Control(key=k, estimate=v.estimate, ci=(v.low, v.high)) for k, v in axis.by_kind.items()),
        rule=JudgedRule(id="excess", margin=margin),
        reference=ReferenceValue(role="retrained"),
    )
    rates = {role: KindRates(of, subjects) for role, of in values.items()}
    ask = partial(others.rates, key=key, values_of=axis_values)
    return judged_by_range(ctx, key, CheckOutput([result]), ask, lambda: others.controls, CONTROLS, rates).results[0]
