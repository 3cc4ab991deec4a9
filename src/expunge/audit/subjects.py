"""Each subject by itself: the same checks on the same scores, as if the request were for this subject alone.

A mean over subjects hides the one who was left in. So every check that judges by arithmetic (leakage, membership, and
all attacks) judges each subject too, by its own rule, and each subject has its worst attack with a null of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.audit.attack import AttackAnswer, AttackOutcome
from expunge.audit.check_execution import judge
from expunge.audit.check_result import CheckResult, JudgedRule, Status
from expunge.audit.checks.leakage import control_rates, kind_values
from expunge.audit.checks.membership import control_ranks
from expunge.audit.context import Check, Context, Role
from expunge.audit.exact_tests import fisher_test, holm, sign_test
from expunge.audit.record_sets import CONTROLS as CONTROL_SET
from expunge.audit.record_sets import FORGET, REPHRASED_CONTROLS
from expunge.audit.scores import Scores, Values
from expunge.audit.subject_rows import KEY, SubjectRow, SubjectVerdict, WorstAttack
from expunge.audit.verdict import require_intervals, verdict
from expunge.audit.worst_attack import attack_answers, worst_attack

ARITHMETIC = ("leakage", "membership")  # checks beside attacks that ask no model when they judge
LEVEL = 0.05  # of the claim that somebody was left in
MOST = 200  # subjects that are judged by themselves
EPSILON = 1e-9


def judged_subjects(
    contexts: Sequence[Context], checks: Mapping[str, Check], results: Sequence[CheckResult]
) -> tuple[tuple[SubjectVerdict, ...], CheckResult]:
    """The verdicts of all subjects, and whether one of several was left in; a failure is `not_run`.

    Args:
        contexts: The audit, one for each reference, with scores and answers.
        checks: The checks that ran.
        results: Their results for the request.
    """
    try:
        verdicts = subject_verdicts(contexts, checks, results)
        return verdicts, each_subject(verdicts, len(contexts[0].split.targets) - len(verdicts))
    except Exception as error:
        reason = f"the check failed: {type(error).__name__}: {error}"[:300]
        return (), CheckResult(key=KEY, status="not_run", reason=reason)


def subject_verdicts(
    contexts: Sequence[Context], checks: Mapping[str, Check], results: Sequence[CheckResult]
) -> tuple[SubjectVerdict, ...]:
    """The verdict of each subject, at most `MOST` by name; the arguments are those of `judged_subjects`.

    The results of a request for a single subject are that subject's own. Where there are several, each is judged
    against the retrained model by the margins alone: its controls are not attacked on both models.
    """
    policy, targets = contexts[0].policy, contexts[0].split.targets
    if policy.intervals:
        results = require_intervals(results)
    attacks = [name for name in checks if is_attack(contexts[0], name, checks[name])]
    judged = {name: checks[name] for name in checks if name in attacks or name in ARITHMETIC}
    verdicts = []
    for subject in targets[:MOST]:
        alone = [context_of(ctx, subject) for ctx in contexts]
        if len(targets) == 1:
            keys = {key for one in judged.values() for key in one.keys}
            own = [r for r in results if r.key in keys]
        else:
            own = [
                r
                for name, one in judged.items()
                for r in judge(_asked(alone, name in attacks or name == "leakage"), one).results
            ]
            own = list(require_intervals(own)) if policy.intervals else own
        rows = [_row(alone, r, r.key in policy.required) for r in own if r.status != "not_applicable"]
        one = _verdict(alone, subject, rows, worst_attack(alone, attacks, {r.key: r for r in own}), len(targets))
        if len(targets) == 1:
            one = one.model_copy(update={"status": verdict(results, policy).status})
        verdicts.append(one)
    return with_holm(verdicts)


def is_attack(ctx: Context, name: str, one: Check) -> bool:
    """An attack that some model answered, or one that raised on a model: what broke keeps its row."""
    if any(attack_answers(ctx, name, role) for role in ctx.roles):
        return True
    raised = any(isinstance(answer, Exception) for answer in ctx.probes.get(name, {}).values())
    return raised and name not in ARITHMETIC and one.profile.family != "tree"


def context_of(ctx: Context, subject: str) -> Context:
    """The same audit as if the request were for this subject alone; nothing is scored anew."""
    forget = tuple(r for r in ctx.split.forget if r.subject == subject)
    controls = tuple(r for r in ctx.split.controls if r.attributes.get("control_of") == subject)
    ids = {w.row_id for r in (*forget, *controls) for w in r.wordings()}
    names = {subject, *(r.subject for r in controls)}
    others = {r.subject for r in (*ctx.split.forget, *ctx.split.controls)} - names

    def own(name: str, scores: Scores) -> Scores:
        if name not in (FORGET, CONTROL_SET, REPHRASED_CONTROLS):
            return scores
        return scores.select([i for i in scores.ids if i in ids])

    return replace(
        ctx,
        split=replace(ctx.split, forget=forget, controls=controls),
        scores=MappingProxyType(
            {role: MappingProxyType({n: own(n, s) for n, s in sets.items()}) for role, sets in ctx.scores.items()}
        ),
        probes={
            name: {role: _own_answers(answer, names, others) for role, answer in by_role.items()}
            for name, by_role in ctx.probes.items()
        },
    )


def _own_answers(answer: Any, names: set[str], others: set[str]) -> Any:
    """Answers to an attack about these people, and about what is nobody's control, such as canaries that were left out;
    what answers another question stays whole."""
    if not isinstance(answer, dict) or not all(isinstance(part, AttackAnswer) for part in answer.values()):
        return answer
    own = {}
    for name, part in answer.items():
        mine = np.array([s not in others for s in part.subjects], dtype=bool)
        rates = {form: np.asarray(v)[mine] for form, v in part.outcome.rates.items()}
        rates = {form: v for form, v in rates.items() if np.isfinite(v).any()}
        if mine.any() or name == FORGET:
            subjects = tuple(s for s in part.subjects if s not in others)
            own[name] = AttackAnswer(AttackOutcome(rates), subjects, part.seconds)
    return own


def _asked(alone: Sequence[Context], is_attack: bool) -> list[Context]:
    """The contexts; those that compare an attack with the retrained model without controls, which it did not ask."""
    return [
        replace(ctx, split=replace(ctx.split, controls=())) if is_attack and ctx.reference == "retrained" else ctx
        for ctx in alone
    ]


def _row(alone: Sequence[Context], result: CheckResult, required: bool) -> SubjectRow:
    reference = result.reference.estimate if result.reference else None
    is_excess = result.rule is not None and result.rule.is_excess
    rate = result.estimate
    if is_excess and rate is not None and reference is not None:
        rate += reference
    limits = [limit for ctx in alone if ctx.reference == "controls" and (limit := _limit(ctx, result.key)) is not None]
    return SubjectRow(
        key=result.key,
        required=required,
        status=result.status,
        n=result.n_records,
        rate=rate,
        reference=reference,
        limit=limits[0] if limits else None,
        reason=result.reason,
    )


def _limit(ctx: Context, key: str) -> float | None:
    """The policy's percentile of the subject's controls under the same check."""
    percentile = ctx.policy.matched_controls.percentile
    values: Sequence[float] = ()
    if key == "mia":
        values = [float(v) for rank in control_ranks(ctx, "unlearned").values() for v in rank.highest_controls]
    elif key in ("leakage.self", "paraphrase"):
        rates = control_rates(ctx, key, kind_values) if ctx.controls else None
        values = [rates.of({name}) for name in set(rates.subjects)] if rates else ()
    elif controls := attack_answers(ctx, key, "unlearned").get("controls"):
        values = [controls.kinds.of({name}) for name in set(controls.subjects)]
    finite = [v for v in values if np.isfinite(v)]
    return float(np.percentile(finite, percentile)) if finite else None


def _verdict(
    alone: Sequence[Context], subject: str, rows: Sequence[SubjectRow], worst: WorstAttack | None, tests: int
) -> SubjectVerdict:
    required = [row.status for row in rows if row.required]
    status: Status = "failed" if "failed" in required else "passed"
    if status == "passed" and (not required or {"inconclusive", "not_run"} & set(required)):
        status = "inconclusive"
    ours, theirs, before = hits_of(alone[0])
    p, p_before = (p_value(alone[0].reference, hits, theirs) for hits in (ours, before))
    return SubjectVerdict(
        subject=subject,
        status=status,
        n_records=len(ours),
        hits=int(ours.sum()),
        reference_hits=int(theirs.sum()),
        reference_n=len(theirs),
        p=p,
        can_stand_out=p_before is not None and p_before * tests < LEVEL,
        rows=tuple(rows),
        worst=worst,
    )


def p_value(reference: str, hits: Any, theirs: Any) -> float | None:
    """Chance of so many true answers beyond the reference's; None without any of the reference."""
    if not len(theirs):
        return None
    if reference == "retrained":
        return sign_test(int((hits & ~theirs).sum()), int((theirs & ~hits).sum()))
    return fisher_test(int(hits.sum()), len(hits), int(theirs.sum()), len(theirs))


def hits_of(ctx: Context) -> tuple[Any, Any, Any]:
    """Whether the subject's trained questions are answered truly, [N] each: by the unlearned model, by the reference,
    and by the original model."""

    def hits(role: Role, ids: Sequence[str], name: str) -> Any:
        values = list(kind_values(ctx, role, ids, name).values()) if ids else []
        best: Values = np.fmax.reduce(values) if values else np.zeros(0)
        return best >= 1 - EPSILON

    trained = list(ctx.trained_wording)
    ours, before = hits("unlearned", trained, FORGET), hits("original", trained, FORGET)
    if ctx.reference == "retrained":
        return ours, hits("retrained", trained, FORGET), before
    return ours, hits("unlearned", list(ctx.controls), CONTROL_SET), before


def with_holm(verdicts: Sequence[SubjectVerdict]) -> tuple[SubjectVerdict, ...]:
    """The verdicts with p-values corrected for the number of subjects: a claim that any one of them may support."""
    counted = [v.p for v in verdicts if v.p is not None]
    own = iter(holm(counted))
    ranked = iter(holm([v.worst.p for v in verdicts if v.worst and v.worst.p is not None]))
    corrected = []
    for one in verdicts:
        worst = one.worst
        if worst and worst.p is not None:
            worst = worst.model_copy(update={"p_holm": next(ranked)})
        update = {"worst": worst, "p_holm": None if one.p is None else next(own)}
        corrected.append(one.model_copy(update=update))
    return tuple(corrected)


def each_subject(verdicts: Sequence[SubjectVerdict], more: int = 0) -> CheckResult:
    """Was somebody left in? Of several subjects, whether any gives more true answers than the reference.

    Any one subject would support the claim, so p-values are corrected by Holm. Inconclusive where nobody stands out
    and even the original model would not have, about one subject or more, or where `more` subjects were not tested.
    """
    rule = JudgedRule(id="holm", margin=LEVEL)
    if len(verdicts) < 2:
        reason = "a single subject: the other results are its own"
        return CheckResult(key=KEY, status="not_applicable", reason=reason)
    tested = [v for v in verdicts if v.p_holm is not None]
    if not tested:
        return CheckResult(key=KEY, status="inconclusive", reason="there is nothing to compare a subject with")
    out = [v for v in tested if v.p_holm is not None and v.p_holm < LEVEL]
    worst = min(tested, key=lambda v: (v.p_holm, -v.hits, v.subject))
    numbers = f"{worst.hits} of {worst.n_records} true answers, reference {worst.reference_hits} of {worst.reference_n}"
    who = f"{len(out)} of {len(tested)} subjects stand out, most of all {worst.subject}" if out else "none stands out"
    largest = max(tested, key=lambda v: (v.hits / max(v.n_records, 1), v.subject))
    blind = sum(not v.can_stand_out for v in verdicts)
    reason = f"{who}: {numbers}, p {worst.p_holm:.3f} after Holm" if out else f"{who}; the closest: {numbers}"
    if not out and (blind or more):
        limits = [f"too few records of {blind} to tell even the original model"] if blind else []
        limits += [f"{more} more were not tested"] if more else []
        reason = f"of {len(verdicts)} subjects {who}; {'; '.join(limits)}"
    return CheckResult(
        key=KEY,
        status="failed" if out else "inconclusive" if blind or more else "passed",
        reason=reason,
        n_records=sum(v.n_records for v in tested),
        n_subjects=len(tested),
        estimate=largest.hits / max(largest.n_records, 1),
        p=worst.p_holm,
        rule=rule,
        ci_method="exact test by subject, Holm over subjects",
    )
