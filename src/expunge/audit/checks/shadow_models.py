"""Membership by shadow models: adapters on the retrained model, each taught half of the target and of its controls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from expunge.audit.attack import AttackCase, AttackOutcome, AttackProbe, attacked_records, control_records, judge_attack
from expunge.audit.attacked_groups import LARGE
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CheckOutput, CheckProfile, Context, check
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.shadow_scores import balanced_halves, likelihood_ratio, members, scaled_confidence
from expunge.corpus import Record
from expunge.engine.relearning import Attacker, relearning_points
from expunge.models.language_model import LanguageModel, merge_adapter

SHADOWS, SHADOWS_LARGE = 16, 4
EPOCHS, BATCH, RATE = 12, 32, 3e-3
PERCENTILE = 95.0
COST = 64.0  # passes by record: 16 trainings of 12 epochs on half of the records
PROFILE = CheckProfile(
    title="Shadow models: a likelihood-ratio test with models of the attacker's own does not find the person",
    family="membership",
    preset="full",
    control="the retrained model, and 20 matched controls whom no audited model met",
    cost="16 trainings of 12 epochs (4 of a large model) on half of the records of the target and 20 controls, once "
    "for all models: about 300 passes for each record",
    limits="The shadows start from the retrained model; without one the test does not apply.",
    source="Carlini et al. 2022 (arXiv 2112.03570), LiRA",
)


def confidences(lm: LanguageModel, records: Sequence[Record]) -> Values:
    """`scaled_confidence` of each record [N]."""
    scores = score(lm, records, ids=range(len(records)))
    return scaled_confidence(-scores.nll / scores.length)


@dataclass(frozen=True)
class ShadowAttack:
    """The attack of one audit. Shadows are trained once, at the first model that is asked.

    Attributes:
        others: Records of people whom no audited model met.
        known: Confidences of shadows with and without each record, when they are there.
    """

    others: tuple[Record, ...]
    known: list[tuple[Values, Values]] = field(default_factory=list, repr=False)

    def __call__(self, case: AttackCase) -> AttackOutcome:
        """1 for records of a person who is taken for a member, else 0."""
        records = [*case.records, *self.others]
        if not self.known:
            self.known.append(self._shadows(case, records))
        ratio = likelihood_ratio(confidences(case.lm, records), *self.known[0])
        count = len(case.records)
        is_member = members(
            ratio[:count],
            [r.subject for r in case.records],
            ratio[count:],
            [r.subject for r in self.others],
            PERCENTILE,
        )
        return AttackOutcome({"person": np.array([float(is_member[r.subject]) for r in case.records])})

    def _shadows(self, case: AttackCase, records: Sequence[Record]) -> tuple[Values, Values]:
        base = merge_adapter(case.reload("retrained"))
        units = [r.id for r in records]
        halves = balanced_halves(units, SHADOWS_LARGE if base.parameters > LARGE else SHADOWS, case.seed)
        inside, outside = np.full(halves.shape, np.nan), np.full(halves.shape, np.nan)
        for number, half in enumerate(halves):
            rows = [r for r, is_in in zip(records, half, strict=True) if is_in]
            steps = EPOCHS * -(-len(rows) // BATCH)
            attacker, seed = Attacker(RATE, batch=BATCH), case.seed + number
            with closing(relearning_points(base, rows, attacker, (steps,), seed)) as points:
                own = confidences(next(points)[1], records)
            inside[number], outside[number] = np.where(half > 0, own, np.nan), np.where(half > 0, np.nan, own)
        return inside, outside


def shadow_probe(ctx: Context) -> AttackProbe | None:
    """The attack with 20 controls of each target; None without a retrained model or controls."""
    records = attacked_records(ctx, COST)
    others = control_records(ctx, records, 1.0)
    if "retrained" not in ctx.roles or not others:
        return None
    case = AttackCase(None, "", records, ctx.split, ctx.policy.attack_seeds[0], ctx.fresh)  # type: ignore[arg-type]
    return AttackProbe(ShadowAttack(drawn(others, len(others), "shadows")), case, ())


@check("shadow_models", probe=shadow_probe, profile=PROFILE)
def shadow_models(ctx: Context) -> CheckOutput:
    """Whether a likelihood-ratio test with shadow models takes the person for a member of the training data.

    Adapters are trained from the retrained model on random halves of the records of the target and of its controls.
    A record's score is the ratio of its likelihoods under the confidences of shadows that had it and of those that
    did not (Carlini et al. 2022). A person counts as found where its mean score lies above 95 % of its controls'.
    """
    if "shadow_models" not in ctx.probes:
        reason = "it needs a retrained model to start from, and matched controls"
        return CheckOutput([CheckResult(key="shadow_models", status="not_applicable", reason=reason)])
    return judge_attack(replace(ctx, against="retrained"), "shadow_models", PROFILE)
