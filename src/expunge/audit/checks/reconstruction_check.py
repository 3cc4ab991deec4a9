"""Reconstruction: does context from the provenance tree bring the forgotten answers back?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge.audit.answer_memory import remembered
from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check
from expunge.audit.range_of_controls import RangeJudgement, RangeOfControls, compare_with_others, judge_by_range
from expunge.audit.reconstruction import (
    MAX_FACTS,
    Comparison,
    Reconstruction,
    Setup,
    TooFew,
    compare,
    prepare,
    reconstruct,
    worst_excess,
)
from expunge.audit.scores import Scores
from expunge.audit.single_case import LEAST_OTHERS
from expunge.audit.verdict import Judgement
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

KEY = "reconstruction"
MARGIN = 0.05  # where the policy has no rule
CONTROLS = 8  # matched controls of each subject that are asked where there is no retrained model
LEAST_FACTS = 12  # however large the model is
SHOWN = ("top1", "rank", "true - wrong branch")  # scores listed with the result
PROFILE = CheckProfile(
    title="Reconstruction: context from the tree does not bring the answers back",
    family="tree",
    control="the retrained model or matched controls; the context of a wrong branch",
    cost="3 x levels x 20 candidates per fact, prompts shared",
    limits="The protocol is our own; the published one is not available.",
    source="after MedForget, arXiv 2512.09867",
)


@dataclass(frozen=True)
class ReconstructionProbe:
    """What every model is asked, and what is asked about controls where they are the reference.

    Attributes:
        forget: About the target.
        controls: About controls where they are the reference.
        others: Records of controls that two models are asked about should a few subjects fail beside a retrained model.
    """

    forget: Setup
    controls: Setup | None
    others: tuple[Record, ...] = field(default=(), repr=False)

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> dict[str, Reconstruction]:
        """The attack on this model; by set."""
        sets = {"forget": self.forget} | ({"controls": self.controls} if role == "unlearned" else {})
        return {name: reconstruct(lm, setup) for name, setup in sets.items() if setup}


def reconstruction_probe(ctx: Context) -> ReconstructionProbe | None:
    """The prompts of an audit; None where the records stand in no tree. `TooFew` if no fact can be ranked."""
    if not _has_tree(ctx.split):
        return None
    seed = ctx.policy.attack_seeds[0]
    most, fewer = (ctx.affordable(share, LEAST_FACTS, MAX_FACTS) for share in (1 / 20, 1 / 40))
    forget = prepare(ctx.split, seed=seed, most=most)
    controls, by_controls = controls_of(ctx.split), ctx.reference == "controls"
    others = controls[: _most_others(ctx)] if ctx.is_small_sample and not by_controls else []
    own = prepare(ctx.split, controls, seed=seed, most=fewer) if controls and by_controls else None
    return ReconstructionProbe(forget, own, tuple(others))


@check(KEY, KEY, probe=reconstruction_probe, profile=PROFILE)
def reconstruction(ctx: Context) -> CheckOutput:
    """True answers ranked first among others of their type, with context that grows level by level.

    The prompt states the record's place in the provenance tree, from nothing down to its subject; the true answer
    stands among up to 19 wrong ones of the same type. Controls state another subject's place, or neutral words. Judged
    are the excess of first places over the reference at every level, and the excess of the lead of true context over
    the wrong branch. The reference is the retrained model, else matched controls on the unlearned model. The protocol
    is our own (`expunge.audit.reconstruction`).
    """
    if not _has_tree(ctx.split):
        reason = "the records stand in no tree of two levels or more"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason)])
    results: dict[str, Reconstruction] = {}
    try:
        for role in ctx.roles:
            answers = ctx.probe(KEY, role)
            results[role] = answers["forget"]
            if "controls" in answers and ctx.reference == "controls":
                results["controls"] = answers["controls"]
    except TooFew as error:
        return CheckOutput([CheckResult(key=KEY, status="inconclusive", reason=error.what)])
    margin = ctx.margin(KEY, MARGIN)
    if ctx.reference == "controls":
        results.pop("retrained", None)
    comparison = compare(results, ctx.policy.bootstrap, margin=margin, known_margin=ctx.policy.known_margin)
    result = reconstruction_result(comparison, margin, ctx.policy.attack_seeds[0])
    few = ctx.is_small_sample and result.ci is None and ctx.reference == "retrained"
    if few:
        result = compare_with_others(result, lambda failed: _by_controls(ctx, failed, results))
    return CheckOutput([result], comparison.details)


def _by_controls(ctx: Context, judgement: Judgement, results: Mapping[str, Reconstruction]) -> RangeJudgement:
    """The worst part of each target against those of its controls, of whom no model knows anything."""
    records, seed = controls_of(ctx.split), ctx.policy.attack_seeds[0]
    if not records:
        return RangeJudgement(judgement)
    setup = prepare(ctx.split, records, seed=seed, most=_most_others(ctx))

    def answers(role: Role) -> Reconstruction:
        answer: Reconstruction = remembered(
            ctx, f"{KEY} on controls", role, lambda: reconstruct(ctx.fresh(role), setup)
        )
        return answer

    excesses = worst_excess(answers("unlearned"), answers("retrained"))
    ours, original = (worst_excess(results[role], results["retrained"]) for role in ("unlearned", "original"))
    targets = [t for t in ctx.split.targets if t in ours]
    groups = {t: set(ctx.control_groups(t)) for t in targets}
    one = RangeOfControls(
        "largest excess",
        {t: ours[t][0] for t in targets},
        {t: original[t][0] for t in targets if t in original},
        {t: [value for name, (value, _) in excesses.items() if name in groups[t]] for t in targets},
        {t: ours[t][1] for t in targets},
    )
    return judge_by_range(judgement, one, ctx.policy, LEAST_OTHERS)


def _most_others(ctx: Context) -> int:
    return ctx.affordable(1 / 20, CONTROLS * LEAST_FACTS, MAX_FACTS)


def _has_tree(split: Split) -> bool:
    return any(len(r.path) > 1 for r in split.forget)


def controls_of(split: Split) -> list[Record]:
    """Records of at most `CONTROLS` matched controls of each subject."""
    names: dict[str, dict[str, None]] = {}
    for r in sorted(split.controls, key=lambda r: r.subject):
        names.setdefault(r.attributes["control_of"], {})[r.subject] = None
    wanted = {name for controls in names.values() for name in list(controls)[:CONTROLS]}
    return [r for r in split.controls if r.subject in wanted]


def reconstruction_result(comparison: Comparison, margin: float, seed: int) -> CheckResult:
    """The worst part decides; scores with true context stand as controls."""
    details, worst, excess = comparison.details, comparison.worst, comparison.excess
    controls = tuple(
        Control(key=f"{r.model}.{details.levels[r.level]}.{name}", estimate=v.estimate, ci=v.ci)
        for r in details.rows
        if r.vector == "true"
        for name, v in r.scores.items()
        if name in SHOWN
    )
    common: dict[str, Any] = {"controls": controls, "seed": seed, "reason": details.reason}
    if worst is None or excess is None:
        return CheckResult(key=KEY, status=details.status, **common)
    theirs = comparison.row(worst.level, details.reference, worst.vector)
    name = "true - wrong branch" if worst.what == "lead" else "top1"
    return CheckResult.measured(
        KEY,
        details.status,
        excess,
        reference=ReferenceValue(role=details.reference, estimate=theirs.scores[name].estimate if theirs else None),
        rule=JudgedRule(id="excess", margin=margin),
        power=details.power,
        **common,
    )
