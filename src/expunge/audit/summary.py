"""Parts of `audit.json` that no check judges: metrics by set and model, published aggregates, losses, examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from expunge.audit.check_result import Number
from expunge.audit.checks.leakage import KINDS
from expunge.audit.context import Context, Role
from expunge.audit.details import AnswerExample, MembershipDetails
from expunge.audit.metrics import METRICS
from expunge.audit.metrics.published import (
    fr_abs,
    fr_chance,
    fr_ref,
    fr_rel,
    kpr_abs,
    kpr_rel,
    mia_resistance,
    privacy_risk,
    us,
)
from expunge.audit.schema import Measure
from expunge.audit.statistics import bootstrap_mean
from expunge.corpus import Record

SETS = ("forget", "rephrased", "retain_heldout", "shared", "holdout", "controls")
MAX_EXAMPLES = 8


def measures(ctx: Context) -> Iterator[Measure]:
    """Every metric on every set for every model, with its interval.

    Pooled metrics (perplexity) have no interval, nor has a set of fewer subjects than the policy requires.
    """
    trained = set(ctx.trained_wording)
    for name in SETS:
        for role in ctx.roles:
            scores = ctx.scores[role]["forget" if name == "rephrased" else name]
            if name in ("forget", "rephrased"):
                scores = scores.select([i for i in scores.ids if (i in trained) == (name == "forget")])
            for key, metric in METRICS:
                value = metric.summary(scores, ctx.records) if len(scores) else float("nan")
                if not np.isfinite(value):
                    continue
                mean = bootstrap_mean(metric(scores, ctx.records), ctx.subjects(scores.ids), ctx.policy.bootstrap)
                ci = None if mean.low is None or metric.pool else (round(mean.lower, 6), round(mean.upper, 6))
                yield Measure(metric=key, set=name, model=role, value=round(value, 6), n=mean.n_records, ci=ci)


def aggregates(ctx: Context, membership: MembershipDetails | None) -> dict[str, Number | dict[str, Number]]:
    """Published one-number scores, for comparison only; each definition of FR and KPR has its own key."""
    trained, heldout = ctx.trained_wording, ctx.split.retain_heldout
    exact = {role: float(np.mean(ctx.values("exact_match", role, "forget", trained))) for role in ctx.roles}
    retain = {
        role: float(np.mean(ctx.values("exact_match", role, "retain_heldout"))) if heldout else float("nan")
        for role in ctx.roles
    }
    before, after = exact["original"], exact["unlearned"]
    choice = {
        role: float(np.nanmean(values))
        for role in ctx.roles
        if np.isfinite(values := ctx.values("mcq_acc", role, "forget", trained)).any()
    }
    scores: dict[str, Number | dict[Role, Number]] = {
        "exact_match": {**exact},
        "choice": {**choice},
        "fr_abs": fr_abs(after),
        "fr_rel": fr_rel(before, after),
        "kpr_abs": kpr_abs(retain["unlearned"]),
        "kpr_rel": kpr_rel(retain["original"], retain["unlearned"]),
        "us": us(fr_abs(after), kpr_abs(retain["unlearned"])),
    }
    if "retrained" in exact:
        scores["fr_ref"] = fr_ref(before, after, exact["retrained"])
    if choice:
        chance = [1 / len(set(ctx.records[i].options)) for i in trained if ctx.records[i].options]
        scores["fr_chance"] = fr_chance(choice["original"], choice["unlearned"], float(np.mean(chance)))
    for name, by_role in (membership.auc if membership else {}).items():
        aucs = {role: np.nan if value is None else value for role, value in by_role.items()}
        scores[f"mia_resistance.{name}"] = {role: mia_resistance(value) for role, value in aucs.items()}
        scores[f"privacy_risk.{name}"] = {role: privacy_risk(value) for role, value in aucs.items()}
    return scores


def distributions(ctx: Context) -> dict[str, dict[str, tuple[float, ...]]]:
    """Mean answer loss (nats per token) of every record by model and set."""
    losses: dict[str, dict[str, tuple[float, ...]]] = {}
    for role in ctx.roles:
        scores = ctx.scores[role]
        sets = {
            "forget": scores["forget"].select(ctx.trained_wording),
            "retain_heldout": scores["retain_heldout"],
            "never_trained": scores["controls" if ctx.split.controls else "holdout"],
        }
        losses[role] = {name: tuple(round(float(v), 4) for v in s.nll / s.length) for name, s in sets.items() if len(s)}
    return losses


def examples(ctx: Context) -> tuple[AnswerExample, ...]:
    """Greedy answers of the models to some questions of each kind about the target."""
    texts = {role: dict(zip(s["forget"].ids, s["forget"].text or (), strict=False)) for role, s in ctx.scores.items()}
    chosen: list[Record] = []
    for kind in KINDS:
        chosen += [r for r in ctx.split.forget if r.kind == kind][: MAX_EXAMPLES // 3 + 1]
    return tuple(
        AnswerExample(
            prompt=r.prompt,
            answer=r.answer,
            kind=r.kind,
            answers={role: by_id.get(r.row_id, "") for role, by_id in texts.items()},
        )
        for r in chosen[: MAX_EXAMPLES + 1]
    )
