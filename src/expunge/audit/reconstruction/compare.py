"""The attack on several models, compared level by level with the reference.

Passed if at every level, for every vector that is no control, first places of the true answer exceed those on the
reference by at most the margin (upper bound), and the lead of true context over the wrong branch exceeds that of the
reference by at most the margin. Mean ranks and exact match are shown and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expunge.audit.check_result import Status
from expunge.audit.details import CountedEstimate, ReconstructionDetails, ReconstructionPart, ReconstructionScore
from expunge.audit.reconstruction.prompts import IRRELEVANT, TRUE, WRONG
from expunge.audit.reconstruction.ranking import gain, lead
from expunge.audit.reconstruction.result import SCORES, Reconstruction
from expunge.audit.scores import Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, bootstrap_mean
from expunge.audit.verdict import STATUS_ORDER, judge_excess

MARGIN = 0.05
NO_GAIN = "context is not tested: the original model itself gains nothing from it"
Part = tuple[ReconstructionPart, Interval]


@dataclass(frozen=True)
class Comparison:
    """The scores and judged parts of all models; the part that decides, with its excess, if there is any."""

    details: ReconstructionDetails
    worst: ReconstructionPart | None
    excess: Interval | None

    def row(self, level: int, model: str, vector: str = TRUE) -> ReconstructionScore | None:
        """The scores of one model at one level with one vector, if it was asked."""
        rows = self.details.rows
        return next((r for r in rows if (r.level, r.model, r.vector) == (level, model, vector)), None)


def compare(
    results: Mapping[str, Reconstruction],
    bootstrap: Bootstrap = DEFAULT,
    *,
    margin: float = MARGIN,
    known_margin: float = MARGIN,
) -> Comparison:
    """Judge `results["unlearned"]`.

    Args:
        results: The attack by model: unlearned; original, for power; retrained, or controls on the unlearned model.
        bootstrap: Of the intervals over subjects.
        margin: Largest excess that passes.
        known_margin: The original model must exceed the reference by more at some level.

    Without a reference, and without power, the comparison is inconclusive.
    """
    ours = results["unlearned"]
    reference = next((name for name in ("retrained", "controls") if name in results), "")
    rows = tuple(row for model, result in results.items() for row in _rows(model, result, bootstrap))
    parts = tuple(_parts(ours, results[reference], reference == "retrained", bootstrap, margin)) if reference else ()
    power = _power(rows, reference, known_margin) if reference and "original" in results else None
    status, reason, worst = _judge(parts, ours, reference, power)
    if parts and "original" in results and not context_helps(rows, known_margin):
        reason += f"; {NO_GAIN}"
    details = ReconstructionDetails(
        levels=ours.levels,
        chance=float(ours.chance.mean()),
        reference=reference,
        status=status,
        reason=reason,
        power=power,
        left_out=dict(ours.left_out),
        rows=rows,
        parts=tuple(part for part, _ in parts),
    )
    return Comparison(details, *(worst or (None, None)))


def _rows(model: str, result: Reconstruction, bootstrap: Bootstrap) -> Iterator[ReconstructionScore]:
    for level in range(len(result.levels)):
        for vector in result.vectors:
            top1 = result.of("top1", vector)
            if not np.isfinite(top1[:, level]).any():
                continue
            columns = {name: result.of(name, vector) for name in SCORES} | {"gain": gain(top1)}
            if vector == TRUE:
                columns |= {
                    f"true - {control}": lead(top1, result.of("top1", control)) for control in (WRONG, IRRELEVANT)
                }
            intervals = {k: bootstrap_mean(v[:, level], result.subjects, bootstrap) for k, v in columns.items()}
            scores = {name: CountedEstimate.of(value, n=value.n_records) for name, value in intervals.items()}
            yield ReconstructionScore(level=level, vector=vector, model=model, scores=scores)


def _parts(
    ours: Reconstruction, theirs: Reconstruction, paired: bool, bootstrap: Bootstrap, margin: float
) -> Iterator[Part]:
    for (vector, what), own, reference in _pairs(ours, theirs, paired):
        for level in range(own.shape[1]):
            a, b = own[:, level], reference[:, level]
            if not (np.isfinite(a).any() and np.isfinite(b).any()):
                continue
            excess = bootstrap_mean(a - b if paired else a - np.nanmean(b), ours.subjects, bootstrap)
            if not paired:
                excess = Interval(
                    excess.estimate, None, None, "difference to controls", excess.n_records, excess.n_subjects
                )
            status, reason = judge_excess(excess.estimate, excess.high, margin, excess.low)
            part = ReconstructionPart.of(
                excess, n=excess.n_records, level=level, vector=vector, what=what, status=status, reason=reason
            )
            yield part, excess


def worst_excess(ours: Reconstruction, theirs: Reconstruction) -> dict[str, tuple[float, int]]:
    """Subject to (its largest excess over all judged parts, facts behind it), both models asked the same facts."""
    owners = np.array(ours.subjects)
    worst: dict[str, tuple[float, int]] = {}
    for _, a, b in _pairs(ours, theirs, paired=True):
        difference = a - b
        for subject in dict.fromkeys(ours.subjects):
            mine = difference[owners == subject]
            for level in range(mine.shape[1]):
                values = mine[:, level][np.isfinite(mine[:, level])]
                if len(values) and (subject not in worst or values.mean() > worst[subject][0]):
                    worst[subject] = float(values.mean()), len(values)
    return worst


def _pairs(
    ours: Reconstruction, theirs: Reconstruction, paired: bool
) -> Iterator[tuple[tuple[str, Literal["excess", "lead"]], Values, Values]]:
    """((vector, what), values [N, levels] of both) for all that is judged."""
    for vector in ours.attacks:
        first, second = ours.of("top1", vector), _of(theirs, vector, ours, paired)
        levels = min(first.shape[1], second.shape[1])
        yield (vector, "excess"), first[:, :levels], second[:, :levels]
        if vector == TRUE:
            yield (
                (vector, "lead"),
                lead(first, ours.of("top1", WRONG))[:, :levels],
                lead(second, _of(theirs, WRONG, ours, paired))[:, :levels],
            )


def _of(theirs: Reconstruction, vector: str, ours: Reconstruction, paired: bool) -> Values:
    return theirs.of("top1", vector, ours.facts if paired else None)


def _power(rows: tuple[ReconstructionScore, ...], reference: str, known_margin: float) -> bool:
    """Does the original model put true answers first more often than the reference, at some level?"""
    first = {(r.model, r.level): r.scores["top1"].estimate for r in rows if r.vector == TRUE}
    return any(
        value is not None and (theirs := first.get((reference, level))) is not None and value > theirs + known_margin
        for (model, level), value in first.items()
        if model == "original"
    )


def context_helps(rows: Sequence[ReconstructionScore], known_margin: float) -> bool:
    """Does true context put more answers of the original first than the question alone, at some level?

    By the lower bound of the gain; by its estimate and `known_margin` where there are too few subjects for a bound.
    """
    gains = [r.scores["gain"] for r in rows if (r.model, r.vector) == ("original", TRUE) and r.level]
    return any((g.ci[0] or 0.0) > 0 if g.ci else (g.estimate or 0.0) > known_margin for g in gains)


def _judge(
    parts: Sequence[Part], ours: Reconstruction, reference: str, power: bool | None
) -> tuple[Status, str, Part | None]:
    if not parts:
        if reference:
            return "inconclusive", "no prompt could be asked of both models", None
        return "inconclusive", "there is neither a retrained model nor a control to compare with", None
    worst, excess = min(parts, key=lambda p: (STATUS_ORDER.index(p[0].status), -p[1].upper, -p[1].estimate))
    short = sum(part.status != "passed" for part, _ in parts)
    place = f"{worst.what} at level {ours.levels[worst.level]}" + ("" if worst.vector == TRUE else f", {worst.vector}")
    value = worst.reason.removeprefix("excess ") or f"{excess.estimate:.3f}"
    reason = f"worst of {len(parts)} parts: {place} {value}" + (f"; {short} did not pass" if short else "")
    if power is False:
        no_power = "no power: on the original model true answers come first no more often than on the reference"
        return "inconclusive", f"{no_power}; {reason}", (worst, excess)
    return worst.status, reason, (worst, excess)
