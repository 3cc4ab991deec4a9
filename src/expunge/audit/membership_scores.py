"""Membership scores (higher = more like a member), and the conditions under which their AUC is judged.

An AUC near .5 proves little, because a destroyed model has it too; an AUC far from .5 proves little where the two sets
differ by themselves. So the sets are calibrated first, then the difference to a reference is judged, and a model in
which the forgotten stand out as unusually unknown is flagged.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expunge.audit.metrics.base import Records, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, auc_intervals

MembershipScore = Callable[[Scores, Records], Values]
MIN_K = 0.2
BAND = (0.45, 0.55)
OVER = 0.05


def loss(scores: Scores, records: Records = ()) -> Values:
    """-NLL/L, [N], nats per token."""
    return -scores.nll / scores.length


def entropy(scores: Scores, records: Records = ()) -> Values:
    """-(entropy at the first answer position), [N]: confidence before any token of the answer is read."""
    return -scores.entropy_first


def entropy_forced(scores: Scores, records: Records = ()) -> Values:
    """-(mean entropy over answer positions under teacher forcing), [N]."""
    return -scores.entropy


def compressed_bytes(text: str) -> int:
    """Length of the zlib-compressed UTF-8 text."""
    return len(zlib.compress(text.encode()))


def zlib_score(scores: Scores, records: Records) -> Values:
    """-(NLL/L) / bytes of the compressed answer, [N]."""
    return loss(scores) / per_record(compressed_bytes(r.answer) for r in records)


def lowest_mean(tokens: Values, k: float) -> float:
    """Mean of the lowest max(1, floor(k L)) of L values."""
    count = max(1, int(k * len(tokens) + 1e-9))
    return float(np.sort(np.asarray(tokens, np.float64))[:count].mean())


def min_k(scores: Scores, records: Records = (), k: float = MIN_K) -> Values:
    """Mean of the lowest k share of token log-probs, [N] (Min-K, arXiv 2310.16789; MUSE and OpenUnlearning use .4)."""
    return per_record(lowest_mean(row, k) for row in scores.rows(scores.logp))


def min_k_pp(scores: Scores, records: Records = (), k: float = MIN_K) -> Values:
    """`min_k` over (log p - mu)/sigma, [N] (Min-K++, arXiv 2404.02936); sigma is at least 1e-6."""
    z = (scores.logp.astype(np.float64) - scores.mu) / np.maximum(scores.sigma.astype(np.float64), 1e-6)
    return per_record(lowest_mean(row, k) for row in scores.rows(z))


MEMBERSHIP: dict[str, MembershipScore] = {
    "loss": loss,
    "entropy": entropy,
    "entropy_forced": entropy_forced,
    "zlib": zlib_score,
    "min_k": min_k,
    "min_k_pp": min_k_pp,
}


def by_subject(values: Values, subjects: Sequence[str]) -> dict[str, float]:
    """Mean of the values [N] of each subject, subjects sorted."""
    groups: dict[str, list[float]] = {}
    for subject, value in zip(subjects, values.tolist(), strict=True):
        groups.setdefault(subject, []).append(value)
    return {subject: float(np.mean(sorted(groups[subject]))) for subject in sorted(groups)}


@dataclass(frozen=True)
class AucExcess:
    """AUC on the unlearned model and on the reference, and the paired difference."""

    unlearned: Interval
    reference: Interval
    excess: Interval


def auc_excess(
    members: tuple[Values, Values],
    others: tuple[Values, Values],
    member_subjects: Sequence[str],
    other_subjects: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
) -> AucExcess:
    """One attack on two models: `members` and `others` each hold (scores on unlearned, scores on reference), [N]."""
    unlearned, reference, excess = auc_intervals(
        np.stack(members, axis=1), np.stack(others, axis=1), member_subjects, other_subjects, bootstrap
    )
    return AucExcess(unlearned, reference, excess)


def judge_unknown(excess: Interval) -> Literal["passed", "failed", "inconclusive"]:
    """Whether the forgotten stand out as unusually unknown, by an excess of an AUC.

    Failed if all of the interval lies below -.05, inconclusive if the estimate alone does; without an interval the
    estimate decides.
    """
    if excess.estimate >= -OVER:
        return "passed"
    return "failed" if excess.high is None or excess.high < -OVER else "inconclusive"


@dataclass(frozen=True)
class Calibration:
    """Whether membership can be judged; `reason` says why not."""

    status: Literal["passed", "inconclusive"]
    reason: str


def calibrate(probes: Mapping[str, Interval], power: Interval | None, band: tuple[float, float] = BAND) -> Calibration:
    """The calibration before membership is judged.

    Args:
        probes: AUCs that must be near .5, for example of forget against holdout on a model trained on neither. The sets
            differ if an interval lies wholly outside `band`; a wide interval fails the excess rule by its own width.
        power: AUC on `original`, whose lower bound must exceed .5; None is no power.
        band: Lowest and highest AUC of equal sets.
    """
    for name, probe in probes.items():
        if not (probe.upper >= band[0] and probe.lower <= band[1]):
            return Calibration(
                "inconclusive",
                f"sets differ: AUC of {name} is {probe.estimate:.3f}, outside {band[0]:g} to {band[1]:g}",
            )
    if power is None or power.low is None or not power.low > 0.5:
        low = "no" if power is None or power.low is None else f"{power.low:.3f} as"
        return Calibration("inconclusive", f"no power: AUC on the original model has {low} lower bound")
    return Calibration("passed", "")
