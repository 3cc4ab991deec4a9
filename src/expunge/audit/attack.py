"""An attack: the forgotten questions put in another way, or to a model that was changed first.

An attack is one file in `audit/checks` with one function: from a case (a model, and records to ask it about) to rates
by form of the attack. What surrounds it is the same for all: every model is attacked on the same records of the target;
without a retrained model the same attack on matched controls gives the rates of people whom no model ever met; the
original model shows whether the attack has power; the worst form decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Literal

import numpy as np

from expunge._summary import short_repr
from expunge.audit.attack_details import AttackDetails, AttackPoint
from expunge.audit.check_result import CheckResult, IntervalEstimate
from expunge.audit.context import CHECKS, Check, CheckOutput, CheckProfile, Context, Role
from expunge.audit.control_groups import control_groups, question
from expunge.audit.excess_range import judged_by_range
from expunge.audit.kind_rates import KindRates
from expunge.audit.rate_result import rate_result
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Scores, Values
from expunge.audit.statistics import bootstrap_mean
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.random import uniform
from expunge.scope.split import Split

MARGIN = 0.05  # where the policy has no rule
CONTROLS = 20  # matched controls of each subject that are attacked: with 19 or fewer a rank never lies below .05
LEAST, MOST = 24, 256  # attacked records of the target
BUDGET = 1 / 8  # share of the policy's work of controls that an attack of cost 1 may take


@short_repr("role", "records", "is_control")
@dataclass(frozen=True)
class AttackCase:
    """A model and whom it is attacked about.

    Attributes:
        lm: The attacked model; an attack leaves it as it was.
        role: Its role: original, unlearned or retrained.
        records: Records that the attack asks about, in their trained wording.
        split: The record sets of the audit; an attacker may know what is retained.
        seed: Of everything drawn.
        reload: Loads a fresh model of a role, for attacks that change weights or compare two models.
        is_control: The records belong to matched controls, whom no model was trained on.
    """

    lm: LanguageModel
    role: Role
    records: tuple[Record, ...]
    split: Split
    seed: int
    reload: Callable[[Role], LanguageModel]
    is_control: bool = False


@dataclass(frozen=True)
class AttackOutcome:
    """What an attack brought out.

    Attributes:
        rates: Form of the attack to the rate of each record of the case, [N] in 0..1; NaN where the form does not
            apply. A form that applies to no record is left out.
        axis: What is varied along the curve; empty without one.
        curve: (place, mean rate) along that axis.
        note: A sentence for the report; that about the unlearned model stands behind the reason.
    """

    rates: Mapping[str, Values]
    axis: str = ""
    curve: Sequence[tuple[float, float]] = ()
    note: str = ""


@dataclass(frozen=True)
class AttackAnswer:
    """The outcome on the records of a set, with the subjects [N] of the records."""

    outcome: AttackOutcome
    subjects: tuple[str, ...]
    seconds: float

    @property
    def kinds(self) -> KindRates:
        """Rates by form."""
        return KindRates(self.outcome.rates, self.subjects)


AttackFunction = Callable[[AttackCase], AttackOutcome]


@dataclass(frozen=True)
class AttackProbe:
    """An attack on every model, and on the controls where they are the reference."""

    run: AttackFunction
    case: AttackCase = field(repr=False)
    controls: tuple[Record, ...]
    cost: float = 1.0  # scoring passes per record
    margin: float = MARGIN  # where the policy has no rule

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> dict[str, AttackAnswer]:
        """The attack on this model; by set."""
        sets = {"forget": self.case.records} | ({"controls": self.controls} if role == "unlearned" else {})
        answers = {}
        for name, records in sets.items():
            if records:
                started = time.perf_counter()
                case = replace(self.case, lm=lm, role=role, records=records, is_control=name == "controls")
                outcome = self.run(case)
                seconds = round(time.perf_counter() - started, 2)
                answers[name] = AttackAnswer(outcome, tuple(r.subject for r in records), seconds)
        return answers


def attacked_records(ctx: Context, cost: float) -> tuple[Record, ...]:
    """Records of the target that an attack of this cost per record asks about: all, or as many as are affordable."""
    return drawn(ctx.split.forget, ctx.affordable(BUDGET / cost, LEAST, MOST), "attack")


def control_records(
    ctx: Context, records: Sequence[Record], cost: float, applies: Callable[[Record], bool] | None = None
) -> tuple[Record, ...]:
    """Records of `CONTROLS` matched controls of each subject that can be asked, at most as many of each as of the
    target on average; of large models fewer, if that many are not affordable."""
    chosen: list[Record] = []
    targets = ctx.split.targets
    most = ctx.affordable(2 * BUDGET / cost, 4 * CONTROLS, 8 * MOST)
    for target in targets:
        every = control_groups(records, ctx.split.controls, target)
        fit = {name: [r for r in rows if applies is None or applies(r)] for name, rows in every.items()}
        groups = {name: rows for name, rows in fit.items() if rows}
        each = max(1, min(-(-len(records) // len(targets)), most // (len(targets) * CONTROLS)))
        for name in sorted(groups, key=lambda n: uniform("audit:attacked controls", n))[:CONTROLS]:
            rows = sorted(groups[name], key=lambda r: (uniform("audit:attack", str(question(r))), r.id))
            chosen += rows[:each]
    return tuple(chosen)


def attack(
    name: str,
    *,
    cost: float,
    profile: CheckProfile,
    applies: Callable[[Record], bool] | None = None,
    margin: float = MARGIN,
    min_controls: int = CONTROLS,
    needs_retrained: bool = False,
    by_range: Literal["", "strangers", "controls"] = "",
    calibrated: bool = False,
    needs_power: bool = False,
) -> Callable[[AttackFunction], AttackFunction]:
    """Decorator: register a function as an attack; its result has the key `name`.

    Args:
        name: Name in the registry and key of the result.
        cost: Scoring passes that it costs per record; dear attacks ask about fewer records of large models.
        profile: What it shows, its control, cost and limits.
        applies: Whom it can ask about; all records, by default.
        margin: Largest excess that passes where the policy has no rule.
        min_controls: Attacked controls of each subject that its range needs; fewer where each one is trained on alone.
        needs_retrained: Controls cannot take the place of the retrained model; without one it does not apply.
        by_range: With few subjects, before a failure against the retrained model counts, these others are attacked, and
            the target may stand in their range: see `excess_range.py`.
        calibrated: The rate of the original is 1 by construction, so it shows no power.
        needs_power: Where even the original shows nothing, there is nothing to attack, and it does not apply. It stays
            inconclusive if the unlearned model exceeds the margin.
    """

    def register(run: AttackFunction) -> AttackFunction:
        def attackable(ctx: Context) -> tuple[Record, ...]:
            return tuple(r for r in attacked_records(ctx, cost) if applies is None or applies(r))

        def ask(ctx: Context, role: Role, records: Sequence[Record]) -> KindRates:
            seed = ctx.policy.attack_seeds[0]
            case = AttackCase(ctx.fresh(role), role, tuple(records), ctx.split, seed, ctx.fresh, is_control=True)
            return KindRates(run(case).rates, tuple(r.subject for r in records))

        def probe(ctx: Context) -> AttackProbe | None:
            records = attackable(ctx)
            if not records or (needs_retrained and "retrained" not in ctx.roles):
                return None
            by_controls = ctx.reference == "controls" and not needs_retrained
            controls = control_records(ctx, records, cost, applies) if by_controls else ()
            seed = ctx.policy.attack_seeds[0]
            lm = None  # set for each model
            case = AttackCase(lm, "", records, ctx.split, seed, ctx.fresh)  # type: ignore[arg-type]
            return AttackProbe(run, case, controls, cost, margin)

        @wraps(run)
        def judge(ctx: Context) -> CheckOutput:
            if needs_retrained:
                if "retrained" not in ctx.roles:
                    reason = "it compares with a retrained model, and there is none"
                    return CheckOutput([CheckResult(key=name, status="not_applicable", reason=reason)])
                ctx = replace(ctx, against="retrained")
            output = judge_attack(ctx, name, profile, margin, min_controls)
            result = output.results[0]
            if needs_power and result.power is False and (result.estimate or 0.0) <= ctx.margin(name, margin):
                return CheckOutput(
                    [CheckResult(key=name, status="not_applicable", reason=result.reason)], output.details
                )
            if calibrated and result.power:
                output = CheckOutput([result.model_copy(update={"power": None})], output.details)
            if not by_range:
                return output
            controls = partial(control_records, ctx, attacked_records(ctx, cost), cost, applies)
            records = attackable(ctx) if by_range == "strangers" else ()
            return judged_by_range(ctx, name, output, ask, controls, min_controls, records=records, cost=cost)

        CHECKS.add(name, Check((name,), judge, probe, profile))
        return run

    return register


def judge_attack(
    ctx: Context,
    name: str,
    profile: CheckProfile = CheckProfile(),
    default_margin: float = MARGIN,
    min_controls: int = CONTROLS,
) -> CheckOutput:
    """The result of an attack from the answers of its probe; `profile` is shown beside its rates."""
    if name not in ctx.probes:
        reason = "no record of the target can be asked in this way"
        return CheckOutput([CheckResult(key=name, status="not_applicable", reason=reason)])
    answers: dict[Role, Mapping[str, AttackAnswer]] = {role: ctx.probe(name, role) for role in ctx.roles}
    forget = {role: of["forget"] for role, of in answers.items()}
    if not any(answer.outcome.rates for answer in forget.values()):
        reason = "no form of this attack fits a record of the target"
        return CheckOutput([CheckResult(key=name, status="not_applicable", reason=reason)])
    details = attack_details(ctx, answers, profile)
    if empty := [role for role, answer in forget.items() if not answer.outcome.rates]:
        reason = f"nothing could be measured on the {' and the '.join(empty)} model"
        return CheckOutput([CheckResult(key=name, status="inconclusive", reason=reason)], details)
    rates = {role: answer.kinds for role, answer in forget.items()}
    margin = ctx.margin(name, default_margin)
    if ctx.reference == "retrained":
        theirs = rates["retrained"]
    elif "controls" in answers["unlearned"] and answers["unlearned"]["controls"].outcome.rates:
        theirs = answers["unlearned"]["controls"].kinds
    else:
        reason = "there is neither a retrained model nor a control to compare with"
        return CheckOutput([CheckResult(key=name, status="inconclusive", reason=reason)], details)
    result = rate_result(ctx, name, rates, theirs, margin, min_controls)
    reason = "; ".join(filter(None, (result.reason, forget["unlearned"].outcome.note)))
    return CheckOutput([result.model_copy(update={"seed": ctx.policy.attack_seeds[0], "reason": reason})], details)


def attack_details(
    ctx: Context, answers: Mapping[Role, Mapping[str, AttackAnswer]], profile: CheckProfile
) -> AttackDetails:
    """Rates with intervals, curves and durations of every model and of the controls."""
    rows: dict[str, AttackAnswer] = {role: of["forget"] for role, of in answers.items()}
    controls = answers["unlearned"].get("controls")
    if controls is not None:
        rows["controls"] = controls
    unlearned = rows["unlearned"].outcome
    return AttackDetails(
        title=profile.title,
        family=profile.family,
        limits=profile.limits,
        rates={who: _intervals(ctx, of) for who, of in rows.items()},
        n={form: int(np.isfinite(v).sum()) for form, v in unlearned.rates.items()},
        n_controls=len(controls.subjects) if controls else 0,
        axis=unlearned.axis,
        curves={
            who: tuple(AttackPoint(x=x, rate=y) for x, y in of.outcome.curve)
            for who, of in rows.items()
            if of.outcome.curve
        },
        seconds={who: of.seconds for who, of in rows.items()},
        notes={who: of.outcome.note for who, of in rows.items() if of.outcome.note},
    )


def _intervals(ctx: Context, answer: AttackAnswer) -> dict[str, IntervalEstimate]:
    return {
        form: IntervalEstimate.of(bootstrap_mean(values, answer.subjects, ctx.policy.bootstrap))
        for form, values in answer.outcome.rates.items()
    }
