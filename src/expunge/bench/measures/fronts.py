"""Fronts over all trials of every arm, with bands, and differences between arms at equal forgetting.

Every trial of the grid is run on every audited world, so nothing is chosen. Forgetting is 1 - accuracy among options on
the target's own level (L4), retention the answer probability on held-out records, after over before, and distance that
to the retrained model. Bands and intervals come from records drawn with replacement, the same for all arms of a world;
an interval over seeds stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.membership_scores import entropy
from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.mcq import choices
from expunge.bench.analysis import Point, ends, mean, round6, t_interval
from expunge.bench.front import LEVELS, equal_forgetting, front, percentile_interval, retention_at
from expunge.bench.measures.base import Study, measure
from expunge.bench.measures.core import Scored, scores_of
from expunge.bench.measures.published import questions_of
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.bench.resampling import Values, aucs, draw_counts, ks_distances, means, ratios
from expunge.bench.world_instance import RecordSets, WorldInstance

DRAWS = 300
AXES = ("distance", "retention", "forgetting")
Draws = dict[str, Values]  # axis -> [1 + draws]; first the sample itself


@dataclass(frozen=True)
class Sample:
    """Values by record: of the target [F], of never-trained records [H], and of held-out records [K]."""

    exact: Values
    loss: Values
    entropy: Values
    choice: Values  # mean over a record's questions; NaN where it has none
    other_loss: Values
    other_entropy: Values
    heldout: Values

    @classmethod
    def of(cls, scored: Scored, sets: RecordSets) -> Sample:
        scores, records = questions_of(scored, sets, "forget")
        by_record: dict[str, list[float]] = {}
        if scores is not None:
            for record, value in zip(records, choices(scores, records).tolist(), strict=True):
                by_record.setdefault(record.id, []).append(value)
        return cls(
            matches(scored.forget, tuple(sets.forget)),
            minus_loss(scored.forget),
            entropy(scored.forget),
            np.array([np.mean(by_record.get(r.id, [np.nan])) for r in sets.forget]),
            minus_loss(scored.holdout),
            entropy(scored.holdout),
            probability(scored.heldout),
        )


def trial_draws(own: Sample, original: Sample, retrained: Sample, l4: Values, counts: Mapping[str, Values]) -> Draws:
    """Distance, retention and forgetting of a model in each draw; `l4` [F] is 1 for records of the target's level."""
    forget, holdout, heldout = (counts[name] for name in ("forget", "holdout", "heldout"))

    def target(sample: Sample) -> tuple[Values, ...]:
        there = (~np.isnan(sample.choice)).astype(np.float64)
        return (
            ratios(np.nan_to_num(sample.choice), there, forget),
            aucs(sample.loss, sample.other_loss, forget, holdout),
            aucs(sample.entropy, sample.other_entropy, forget, holdout),
            means(sample.exact, forget),
        )

    gaps = [np.abs(a - b) for a, b in zip(target(own), target(retrained), strict=True)]
    there = (~np.isnan(own.choice)).astype(np.float64) * l4
    return {
        "distance": np.asarray(ks_distances(own.loss, retrained.loss, forget) + sum(gaps)),
        "retention": ratios(own.heldout, original.heldout, heldout),
        "forgetting": 1 - ratios(np.nan_to_num(own.choice) * l4, there, forget),
    }


def points(trials: Sequence[Draws], draw: int, x: str = "forgetting") -> list[Point]:
    """(x, retention) of all trials in a draw."""
    return [(float(of[x][draw]), float(of["retention"][draw])) for of in trials]


def difference_entry(first: Mapping[str, Sequence[Draws]], second: Mapping[str, Sequence[Draws]]) -> dict[str, Any]:
    """First - second at equal forgetting: mean over seeds, interval over seeds, and interval over records.

    Both map a seed to the trials of an arm. `seeds` counts those where the two fronts overlap.
    """
    shared = [seed for seed in first if seed in second and first[seed] and second[seed]]
    count = len(first[shared[0]][0]["retention"]) if shared else 0

    def gaps(draw: int) -> list[float]:
        each = [equal_forgetting(points(first[s], draw), points(second[s], draw)) for s in shared]
        return [gap for gap in each if gap is not None]

    sample = gaps(0) if count else []
    over_records = percentile_interval([mean(gaps(k)) for k in range(1, count)]) if sample else None
    return {
        "mean": round6(mean(sample)),
        "deciding": ends(over_records),
        "over_seeds": ends(t_interval(sample)),
        "seeds": len(sample),
    }


def band(trials: Mapping[str, Sequence[Draws]], levels: int = LEVELS) -> list[dict[str, float | None]]:
    """Retention along the front at evenly spaced degrees of forgetting, mean over seeds, with a band over records."""
    lines = {seed: front(points(of, 0)) for seed, of in trials.items() if of}
    if not lines or not all(lines.values()):
        return []
    low, high = min(line[0][0] for line in lines.values()), min(line[-1][0] for line in lines.values())
    count = len(next(iter(trials.values()))[0]["retention"])
    drawn = [[front(points(trials[s], k)) for s in lines] for k in range(count)]
    rows: list[dict[str, float | None]] = []
    for x in np.linspace(low, max(low, high), levels).tolist():
        values = [mean(retention_at(x, line) for line in of) for of in drawn]
        interval = percentile_interval(values[1:]) or (None, None)
        rows.append({"forgetting": round6(x), "mean": round6(values[0]), "low": interval[0], "high": interval[1]})
    return rows


@measure("fronts", needs="study")
def fronts(study: Study) -> dict[str, Any]:
    """`fronts`: request to arm to its trials and its band; `equal_forgetting`: request to arm to its difference from
    the arm that the options name `base`, or from the one that `against` names for it."""
    options = study.experiment.options.get("fronts", {})
    trials = study.experiment.tune.trials()
    arms = tuple(arm for arm in study.arms if not arm.tuned_as)
    failed: dict[str, list[str]] = {}
    for trial in trials:
        study.audit(arms, study.fixed(trial, arms), failed)
    runner = study.places()[0].runner
    stored: dict[str, Any] = {"fronts": {}, "equal_forgetting": {}}
    for request in study.experiment.requests:
        drawn: dict[str, dict[str, list[Draws]]] = {arm.name: {} for arm in arms}
        for cell in (c for c in study.cells if c.request == request):
            places = {a.name: {t: runner.run(cell, a, t) for t in trials} for a in arms}
            for name, of in _cell(runner.reference(cell, "original"), places, options.get("draws", DRAWS)).items():
                drawn[name][str(cell.seed)] = of
        stored["fronts"][str(request)] = {name: _front(of, trials) for name, of in drawn.items()}
        pairs = {name: options.get("against", {}).get(name, options.get("base")) for name in drawn}
        stored["equal_forgetting"][str(request)] = {
            f"{name} − {other}": {"difference": difference_entry(drawn[name], drawn[other])}
            for name, other in pairs.items()
            if other in drawn and other != name
        }
    return stored


def _cell(original: ModelPlace, places: Mapping[str, Mapping[Trial, ModelPlace]], draws: int) -> dict[str, list[Draws]]:
    """Arm to the draws of its trials that did not fail, at one world instance."""
    cell: WorldInstance = original.cell
    sets = cell.sets()
    sizes = {"forget": len(sets.forget), "holdout": len(sets.holdout), "heldout": len(sets.heldout)}
    counts = {name: draw_counts(size, draws, cell.seed + k) for k, (name, size) in enumerate(sizes.items())}
    levels = [r.concept for r in sets.forget]
    l4 = np.array([level == "L4" or "L4" not in levels for level in levels], dtype=np.float64)
    before, retrained = (Sample.of(scores_of(original.reference(name)), sets) for name in ("original", "retrained"))
    return {
        name: [
            trial_draws(Sample.of(scores_of(p), sets), before, retrained, l4, counts)
            for p in of.values()
            if not p.failure()
        ]
        for name, of in places.items()
    }


def _front(drawn: Mapping[str, Sequence[Draws]], trials: Sequence[Trial]) -> dict[str, Any]:
    whole = {seed: of for seed, of in drawn.items() if len(of) == len(trials)}
    rows = [
        {"trial": str(t), **{axis: round6(mean(float(of[k][axis][0]) for of in whole.values())) for axis in AXES}}
        for k, t in enumerate(trials)
        if whole
    ]
    return {"trials": rows, "line": band(drawn)}
