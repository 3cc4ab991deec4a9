"""What is read off a model: one scoring pass over three sets of records, kept on disk, and columns computed from it.

Surprising: a change of a column needs no model. The passes hold per-record arrays (`audit.scores.Scores`), and the
same arithmetic serves the original, the retrained models and every run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expunge.audit.membership_scores import entropy
from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.mcq import chance, chance_corrected, choices
from expunge.audit.metrics.published import fr_abs, kpr_abs, mia_resistance_to, us
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import auc, ks_distance
from expunge.bench.concepts.cell import Sets
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel

SETS = ("forget", "retain_heldout", "holdout")
RETAINED = ("L1", "L2", "L3")
LONGEST = 32  # new tokens: answers are short, and a model that rambles on is wrong anyway
DISTANCE = ("choice", "auc", "auc_entropy", "leak_mean")  # whose differences enter the distance, beside ks


@dataclass(frozen=True)
class Scored:
    """The passes of one model, each in the order of its set."""

    forget: Scores
    retain_heldout: Scores
    holdout: Scores

    @classmethod
    def of(cls, lm: LanguageModel, sets: Sets) -> Scored:
        """Ask the model: every option where there are some, and greedy text where exact answers are counted."""
        return cls(
            score(lm, sets.forget, options=True, text=True, max_new_tokens=LONGEST),
            score(lm, sets.retain_heldout, text=True, max_new_tokens=LONGEST),
            score(lm, sets.holdout),
        )

    def save(self, folder: Path) -> None:
        """One file for each set, the last one last: `kept` looks for that one."""
        for name in SETS:
            getattr(self, name).save(folder / f"{name}.npz")

    @classmethod
    def load(cls, folder: Path) -> Scored:
        return cls(*(Scores.load(folder / f"{name}.npz") for name in SETS))

    @staticmethod
    def kept(folder: Path) -> bool:
        return (folder / f"{SETS[-1]}.npz").is_file()


def columns(found: Scored, original: Scored, retrained: Scored, sets: Sets) -> dict[str, float | None]:
    """Every column of one model; None where it does not exist (a level without retain_heldout records).

    leak                   exact answers on the target by generation, of the kind of question that shows most
    leak_mean, fr          the same over all of them, and 1 - that (the paper's forgetting rate, in exact match)
    kpr, us                exact answers on retain_heldout records; mean of fr and kpr
    choice, choice_cc      the true option is the likeliest per byte: share, and corrected for chance
    auc, auc_entropy       target against never-trained records by answer loss and by entropy at the first token
    mia_resistance         1 - 2 |auc - auc of the retrained model|: a destroyed model does not get it for nothing
    retention, …_L1 to L3  retain_heldout after over before: the smaller of exact answers and answer probability
    nll                    mean answer loss on the target, nats per token
    ks                     largest gap between the distributions of these losses here and on the retrained model
    distance_to_retrained  |Δchoice| + |Δauc| + |Δauc_entropy| + ks + |Δleak_mean|, 0 to 5
    """
    own, reference = _of_target(found, sets), _of_target(retrained, sets)
    ks = ks_distance(minus_loss(found.forget), minus_loss(retrained.forget))
    rate = fr_abs(own["leak_mean"])
    preserved = kpr_abs(float(matches(found.retain_heldout, tuple(sets.retain_heldout)).mean()))
    values = own | {
        "fr": rate,
        "kpr": preserved,
        "us": us(rate, preserved),
        "mia_resistance": mia_resistance_to(own["auc"], reference["auc"]),
        "ks": ks,
        "distance_to_retrained": ks + sum(abs(own[name] - reference[name]) for name in DISTANCE),
        "retention": retention(found.retain_heldout, original.retain_heldout, sets.retain_heldout),
        **{
            f"retention_{level}": retention(found.retain_heldout, original.retain_heldout, sets.retain_heldout, level)
            for level in RETAINED
        },
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _of_target(found: Scored, sets: Sets) -> dict[str, float]:
    """What a model alone says about the target."""
    records = tuple(sets.forget)
    exact, chosen = matches(found.forget, records), choices(found.forget, records)
    asked = ~np.isnan(chosen)
    guess = float(np.mean([chance(r) for r, there in zip(records, asked, strict=True) if there]))
    share = float(chosen[asked].mean())
    return {
        "leak": max(by_kind(exact, records).values()),
        "leak_mean": float(exact.mean()),
        "choice": share,
        "choice_cc": chance_corrected(share, guess),
        "auc": auc(minus_loss(found.forget), minus_loss(found.holdout)),
        "auc_entropy": auc(entropy(found.forget), entropy(found.holdout)),
        "nll": float(-minus_loss(found.forget).mean()),
    }


def by_kind(values: Values, records: Sequence[Record]) -> dict[str, float]:
    """Kind of question → mean of `values` [N]."""
    kinds = np.array([r.kind for r in records])
    return {kind: float(values[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()))}


def retention(after: Scores, before: Scores, records: Sequence[Record], level: str | None = None) -> float:
    """The smaller of two ratios of sums, after over before, over the records (of one level).

    NaN where there is no record, or where the model before knew none of them.
    """
    mine = np.array([level is None or r.concept == level for r in records], dtype=bool)

    def kept(now: Values, then: Values) -> float:
        return float(now[mine].sum() / then[mine].sum()) if then[mine].sum() > 0 else math.nan

    pair = (
        kept(matches(after, tuple(records)), matches(before, tuple(records))),
        kept(probability(after), probability(before)),
    )
    return math.nan if any(map(math.isnan, pair)) else min(pair)
