"""The attack on several models, compared: level by level against a model that never knew, and the pass rule.

Passed if at every level, for every vector that is no control, the true answer comes first at most the margin more often
than on the reference (upper bound), and the lead of true context over the wrong branch exceeds the reference's lead by
at most the margin. Surprising: only first places are judged; mean ranks and exact answers are shown beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.check_result import Status, bounds
from expunge.audit.reconstruction.prompts import IRRELEVANT, TRUE, WRONG
from expunge.audit.reconstruction.ranking import gain, lead
from expunge.audit.reconstruction.result import SCORES, Reconstruction
from expunge.audit.scores import Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, bootstrap_mean
from expunge.audit.verdict import judge_excess

MARGIN = 0.05


@dataclass(frozen=True)
class ReconstructionRow:
    """One model at one level with one vector; `scores`: top1, rank, exact, gain, true - wrong, true - irrelevant."""

    level: int
    vector: str
    model: str
    scores: Mapping[str, Interval]


@dataclass(frozen=True)
class ReconstructionJudgement:
    """One part of the rule: the `excess` of a vector at a level, or of the `lead` over the wrong branch."""

    level: int
    vector: str
    what: str
    excess: Interval
    status: Status
    reason: str


@dataclass(frozen=True)
class Comparison:
    """`reference` is retrained, controls, or nothing; `worst`: the check that decides, if there is any."""

    levels: tuple[str, ...]
    chance: float
    reference: str
    rows: tuple[ReconstructionRow, ...]
    checks: tuple[ReconstructionJudgement, ...]
    status: Status
    reason: str
    worst: ReconstructionJudgement | None
    power: bool | None
    left_out: Mapping[str, int]

    def row(self, level: int, model: str, vector: str = TRUE) -> ReconstructionRow | None:
        return next((r for r in self.rows if (r.level, r.model, r.vector) == (level, model, vector)), None)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, numbers of intervals as `{estimate, ci, n}`."""
        return {
            "levels": list(self.levels),
            "chance": self.chance,
            "reference": self.reference,
            "status": self.status,
            "reason": self.reason,
            "power": self.power,
            "left_out": dict(self.left_out),
            "rows": [
                {"level": r.level, "vector": r.vector, "model": r.model, **{k: _told(v) for k, v in r.scores.items()}}
                for r in self.rows
            ],
            "checks": [
                {
                    "level": c.level,
                    "vector": c.vector,
                    "what": c.what,
                    "status": c.status,
                    "reason": c.reason,
                    **_told(c.excess),
                }
                for c in self.checks
            ],
        }


def compare(
    results: Mapping[str, Reconstruction],
    plan: Bootstrap = DEFAULT,
    *,
    margin: float = MARGIN,
    known_margin: float = MARGIN,
) -> Comparison:
    """Judge `results["unlearned"]`; further keys: original (for power), retrained, or controls on the unlearned model.

    Without a reference, and where `original` knew nothing more than the reference, the result is inconclusive.
    """
    ours = results["unlearned"]
    reference = next((name for name in ("retrained", "controls") if name in results), "")
    rows = tuple(row for model, found in results.items() for row in _rows(model, found, plan))
    checks = tuple(_checks(ours, results[reference], reference == "retrained", plan, margin)) if reference else ()
    power = _power(rows, reference, known_margin) if reference and "original" in results else None
    status, reason, worst = _judged(checks, ours, rows, reference, power)
    return Comparison(
        ours.levels, float(ours.chance.mean()), reference, rows, checks, status, reason, worst, power, ours.left_out
    )


def _rows(model: str, found: Reconstruction, plan: Bootstrap) -> Iterator[ReconstructionRow]:
    for level in range(len(found.levels)):
        for vector in found.vectors:
            top1 = found.of("top1", vector)
            if not np.isfinite(top1[:, level]).any():
                continue
            columns = {name: found.of(name, vector) for name in SCORES} | {"gain": gain(top1)}
            if vector == TRUE:
                columns |= {
                    f"true - {control}": lead(top1, found.of("top1", control)) for control in (WRONG, IRRELEVANT)
                }
            yield ReconstructionRow(
                level,
                vector,
                model,
                {name: bootstrap_mean(values[:, level], found.subjects, plan) for name, values in columns.items()},
            )


def _checks(
    ours: Reconstruction, theirs: Reconstruction, paired: bool, plan: Bootstrap, margin: float
) -> Iterator[ReconstructionJudgement]:
    for vector in ours.attacks:
        pairs = {"excess": (ours.of("top1", vector), _of(theirs, vector, ours, paired))}
        if vector == TRUE:
            pairs["lead"] = (
                lead(ours.of("top1", TRUE), ours.of("top1", WRONG)),
                lead(_of(theirs, TRUE, ours, paired), _of(theirs, WRONG, ours, paired)),
            )
        for what, (mine, other) in pairs.items():
            for level in range(min(mine.shape[1], other.shape[1])):
                here, there = mine[:, level], other[:, level]
                if not (np.isfinite(here).any() and np.isfinite(there).any()):
                    continue
                excess = bootstrap_mean(here - there if paired else here - np.nanmean(there), ours.subjects, plan)
                if not paired:
                    excess = Interval(
                        excess.estimate, None, None, "difference to controls", excess.n_records, excess.n_subjects
                    )
                yield ReconstructionJudgement(
                    level, vector, what, excess, *judge_excess(excess.estimate, excess.high, margin)
                )


def _of(theirs: Reconstruction, vector: str, ours: Reconstruction, paired: bool) -> Values:
    return theirs.of("top1", vector, ours.facts if paired else None)


def _power(rows: tuple[ReconstructionRow, ...], reference: str, known_margin: float) -> bool:
    """Does the original model put true answers first more often than the reference, at some level?"""
    first = {(r.model, r.level): r.scores["top1"].estimate for r in rows if r.vector == TRUE}
    return any(
        value > first.get((reference, level), np.inf) + known_margin
        for (model, level), value in first.items()
        if model == "original"
    )


def _judged(
    checks: tuple[ReconstructionJudgement, ...],
    ours: Reconstruction,
    rows: tuple[ReconstructionRow, ...],
    reference: str,
    power: bool | None,
) -> tuple[Status, str, ReconstructionJudgement | None]:
    if not checks:
        what = (
            "no prompt could be asked of both models"
            if reference
            else "there is neither a retrained model nor a control to compare with"
        )
        return "inconclusive", what, None
    order: tuple[Status, ...] = ("failed", "inconclusive", "passed")
    worst = min(checks, key=lambda c: (order.index(c.status), -c.excess.upper, -c.excess.estimate))
    short = sum(c.status != "passed" for c in checks)
    place = f"{worst.what} at level {ours.levels[worst.level]}" + ("" if worst.vector == TRUE else f", {worst.vector}")
    told = worst.reason.removeprefix("excess ") or f"{worst.excess.estimate:.3f}"
    reason = f"worst of {len(checks)} parts: {place} {told}" + (f"; {short} did not pass" if short else "")
    if power is False:
        return (
            "inconclusive",
            f"no power: on the original model true answers come first no more often than on the reference; {reason}",
            worst,
        )
    return worst.status, reason, worst


def _told(value: Interval) -> dict[str, Any]:
    return {"estimate": value.estimate if value.n_records else None, "ci": bounds(value), "n": value.n_records}
