"""The rule for small samples, the usual request: each subject ranked among never-trained matched controls.

The subject's score is its worst over all attacks, and so is that of every control, so that more attacks raise the bar
for both. The same test must detect the subject on the original model; otherwise it has no power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from expunge._binomial import zero_hit_bound
from expunge.audit.scores import Values
from expunge.audit.single_case import largest_by_chance
from expunge.audit.statistics import rank_p_value

MIN_CONTROLS = 40
MANY = 1_000_000  # questions behind a z-score: its spread is never rounded up


def standardize(target: float, controls: ArrayLike) -> tuple[float, Values]:
    """(z of the target against m controls, z [m] of each control against the other m - 1).

    The spread is at least a billionth of the mean's size, so that equal controls give large values and not infinite
    ones. `ValueError` below three controls or for a score that is not finite.
    """
    t = np.asarray(controls, np.float64)
    if t.ndim != 1 or len(t) < 3 or not np.isfinite(t).all() or not np.isfinite(target):
        raise ValueError("a comparison needs at least three controls and finite scores")
    others = np.broadcast_to(t, (len(t), len(t)))[~np.eye(len(t), dtype=bool)].reshape(len(t), -1)

    def z(value: ArrayLike, group: Values) -> Values:
        mean = group.mean(-1)
        spread = np.maximum(group.std(-1, ddof=1), 1e-9 * (1 + np.abs(mean)))
        return np.asarray((value - mean) / spread)

    return float(z(target, t)), z(t, others)


@dataclass(frozen=True)
class ControlRank:
    """One subject among its m controls on one model: z-scores per attack, higher = more like a member."""

    z: Mapping[str, float]
    controls: Mapping[str, Values]  # attack to [m]

    @classmethod
    def of(cls, target: Mapping[str, float], controls: Mapping[str, ArrayLike]) -> ControlRank:
        """From raw scores per attack; every attack needs the same controls. `ValueError` otherwise."""
        if not target or set(target) != set(controls) or len({len(np.asarray(t)) for t in controls.values()}) != 1:
            raise ValueError("target and controls need the same attacks and the same number of controls")
        pairs = {attack: standardize(target[attack], controls[attack]) for attack in sorted(target)}
        return cls({a: z for a, (z, _) in pairs.items()}, {a: t for a, (_, t) in pairs.items()})

    @property
    def m(self) -> int:
        """Number of controls."""
        return len(self.highest_controls)

    @property
    def attack(self) -> str:
        """The attack by which the subject looks most like a member."""
        return max(sorted(self.z), key=lambda attack: self.z[attack])

    @property
    def highest(self) -> float:
        """Worst z over attacks: most like a member."""
        return max(self.z.values())

    @property
    def lowest(self) -> float:
        """Least z over attacks: most unusually unknown."""
        return min(self.z.values())

    @cached_property
    def highest_controls(self) -> Values:
        """Worst z over attacks of each control, [m]."""
        return np.asarray(np.max(list(self.controls.values()), axis=0))

    @cached_property
    def lowest_controls(self) -> Values:
        """Least z over attacks of each control, [m]."""
        return np.asarray(np.min(list(self.controls.values()), axis=0))

    @property
    def p(self) -> float:
        """Rank p-value of `highest`, never below 1/(m + 1)."""
        return rank_p_value(self.highest, self.highest_controls)

    @property
    def above_all(self) -> bool:
        """The subject looks more like a member than every control."""
        return self.highest > float(self.highest_controls.max())

    def exceeds(self, percentile: float) -> bool:
        """`highest` lies above this percentile of the controls' worst scores."""
        return self.highest > float(np.percentile(self.highest_controls, percentile))

    def stands_out(self, level: float) -> bool:
        """`highest` lies above what chance explains at this level among the controls' worst scores."""
        return self.highest > largest_by_chance(self.highest_controls.tolist(), level, MANY, is_rate=False)

    def hides(self, level: float) -> bool:
        """`lowest` lies below what chance explains at this level among the controls' least scores."""
        return -self.lowest > largest_by_chance((-self.lowest_controls).tolist(), level, MANY, is_rate=False)

    def outside(self, low: float, high: float) -> bool:
        """`lowest` is below percentile `low` of the controls' least, or `highest` above `high` of theirs."""
        return self.lowest < float(np.percentile(self.lowest_controls, low)) or self.exceeds(high)

    @property
    def p_two_sided(self) -> float:
        """Twice the smaller of both rank p-values, at most 1."""
        below = rank_p_value(-self.lowest, -self.lowest_controls)
        return min(1.0, 2 * min(self.p, below))


@dataclass(frozen=True)
class RankTest:
    """Outcome of the rule: status, reason, deciding subject, its z, smallest p, power, verbatim bound."""

    status: Literal["passed", "failed", "inconclusive"]
    reason: str
    subject: str
    estimate: float
    p: float
    power: bool
    hit_bound: float | None = None


def _too_few(ranks: Mapping[str, ControlRank], min_controls: int) -> str:
    short = {name: s.m for name, s in ranks.items() if s.m < min_controls}
    return "".join(
        f"few subjects: {name} has {m} controls, the rule needs {min_controls}" for name, m in list(short.items())[:1]
    )


def rank_test(
    unlearned: Mapping[str, ControlRank],
    original: Mapping[str, ControlRank],
    verbatim_hits: int,
    facts: int,
    percentile: float = 95,
    min_controls: int = MIN_CONTROLS,
    leads: Mapping[str, ControlRank] | None = None,
    retrained: Mapping[str, ControlRank] | None = None,
    joint_level: float = 1.0,
) -> RankTest:
    """Judge membership of a small sample, each subject against its own controls.

    Passed only if no subject ranks above the controls' percentile, every subject ranks above all controls on
    `original`, and none of the `facts` is given verbatim. The reason states the upper bound of the verbatim rate.
    A subject above the percentile fails if it stands out at the joint level, too; otherwise the test is inconclusive.

    Args:
        unlearned: Ranks by subject on the unlearned model.
        original: Ranks by subject on the original model, for power.
        verbatim_hits: Facts given verbatim by the unlearned model.
        facts: Facts that were asked.
        percentile: Percentile of the controls' worst scores that fails a subject above it.
        min_controls: Controls that each subject needs.
        leads: Ranks by subject of how far the scores on the unlearned model exceed those on the retrained one.
        retrained: Ranks by subject on the retrained model. A subject above the percentile that is above it there too,
            and not by its lead, differs from its controls by nature, and passes.
        joint_level: Of one among all tests that decide; 1 for a test that decides alone.

    Raises:
        ValueError: the subjects differ, or there is no fact.
    """
    if not unlearned or set(unlearned) != set(original) or facts < 1:
        raise ValueError("both models need the same subjects, and at least one fact")
    subject = max(sorted(unlearned), key=lambda name: unlearned[name].highest)
    p = min(s.p for s in unlearned.values())
    powerless = sorted(name for name, s in original.items() if not s.above_all)
    bound = zero_hit_bound(facts) if verbatim_hits == 0 else None

    def outcome(status: Literal["passed", "failed", "inconclusive"], reason: str) -> RankTest:
        return RankTest(status, reason, subject, unlearned[subject].highest, p, not powerless, bound)

    above = sorted(name for name, s in unlearned.items() if s.exceeds(percentile))
    natural = {n for n in above if retrained and leads and retrained[n].exceeds(percentile)}
    caught = [n for n in above if n not in natural or (leads and leads[n].exceeds(percentile))]
    if verbatim_hits:
        return outcome("failed", f"few subjects: {verbatim_hits} of {facts} facts came out verbatim")
    if short := _too_few({**original, **unlearned}, min_controls):
        return outcome("inconclusive", short)
    if caught:
        worst = unlearned[max(caught, key=lambda name: unlearned[name].highest)]
        one_by_one = joint_level / len(unlearned)
        ranks = [leads[n] if leads and n in natural else unlearned[n] for n in caught]
        what = (
            f"few subjects: {', '.join(caught)} above the {percentile:g}th percentile "
            f"of the controls ({worst.attack}, {worst.highest:.2f} s.d.)"
        )
        if any(rank.stands_out(one_by_one) for rank in ranks):
            return outcome("failed", what)
        return outcome("inconclusive", f"{what}, but no further than chance goes in one of all required checks")
    if powerless:
        return outcome(
            "inconclusive",
            f"few subjects: no power, on the original model {', '.join(powerless)} does not stand above all controls",
        )
    m = min(s.m for s in unlearned.values())
    return outcome(
        "passed",
        f"few subjects: rank among {m} controls, p {p:.3f}{_by_nature(above)}; no verbatim hit in {facts} "
        f"facts, so the rate is below {zero_hit_bound(facts):.1%}",
    )


def _by_nature(subjects: Sequence[str]) -> str:
    return f"; {', '.join(subjects)} no further above the controls than on the retrained model" if subjects else ""


def over_unlearning(
    unlearned: Mapping[str, ControlRank],
    limits: tuple[float, float] = (2.5, 97.5),
    min_controls: int = MIN_CONTROLS,
    leads: Mapping[str, ControlRank] | None = None,
    retrained: Mapping[str, ControlRank] | None = None,
    joint_level: float = 1.0,
) -> RankTest:
    """Judge whether a subject stands out among its controls in either direction; passed inside the range.

    A subject outside the range fails if chance does not explain that at the joint level either, of which each direction
    has a half; otherwise the test is inconclusive.

    `leads`, `retrained` and `joint_level` as in `rank_test`, with outside of the range in the place of above the
    percentile.

    Needs no power on `original`, since standing out is the finding itself. `ValueError` without subjects.
    """
    if not unlearned:
        raise ValueError("at least one subject is needed")
    subject = min(sorted(unlearned), key=lambda name: unlearned[name].p_two_sided)
    rank = unlearned[subject]
    extreme = max(rank.highest, rank.lowest, key=abs)
    outside = sorted(name for name, s in unlearned.items() if s.outside(*limits))
    natural = {n for n in outside if retrained and leads and retrained[n].outside(*limits)}
    out = [n for n in outside if n not in natural or (leads and leads[n].outside(*limits))]

    short = _too_few(unlearned, min_controls)

    def outcome(status: Literal["passed", "failed", "inconclusive"], reason: str) -> RankTest:
        return RankTest(status, reason, subject, extreme, rank.p_two_sided, not short)

    if short:
        return outcome("inconclusive", short)
    if out:
        low, high = limits
        what = f"few subjects: {', '.join(out)} outside the {low:g} to {high:g} % range of the controls"
        one_sided = joint_level / (2 * len(unlearned))
        ranks = [leads[n] if leads and n in natural else unlearned[n] for n in out]
        if any(r.stands_out(one_sided) or r.hides(one_sided) for r in ranks):
            return outcome("failed", what)
        return outcome("inconclusive", f"{what}, but no further than chance goes in one of all required checks")
    if outside:
        return outcome("passed", f"few subjects{_by_nature(outside).replace('above', 'from')}")
    return outcome("passed", f"few subjects: inside the range of the controls, p {rank.p_two_sided:.3f}")
