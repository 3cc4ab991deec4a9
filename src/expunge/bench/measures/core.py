"""Core columns, computed from a stored scoring pass over three sets of records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

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
from expunge.bench.analysis import summarize
from expunge.bench.measures.base import Columns, Study, measure, minus
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import RecordSets
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel

SETS = ("forget", "heldout", "holdout")
QUESTIONS = "-questions"  # behind the name of a set, in the file of its questions with options
LEVELS = ("L1", "L2", "L3")
MAX_NEW_TOKENS = 32  # answers are short
DISTANCE = ("choice", "auc", "auc_entropy", "leak_mean")  # whose differences enter the distance, beside ks
COLUMNS = (
    *("leak", "leak_mean", "fr", "kpr", "us", "choice", "choice_cc", "auc", "auc_entropy", "mia_resistance"),
    *("retention", *(f"retention_{level}" for level in LEVELS), "nll", "ks", "distance_to_retrained"),
    *("trainable_share", "seconds"),
)
EXCESS = {  # value - that of the retrained model
    **{"exact_excess": "leak_mean", "choice_excess": "choice_cc", "relearn_excess": "relearned"},
    **{"benign_excess": "relearned_benign", "int4_excess": "int4"},
}
GAPS = {"auc_gap": "auc", "entropy_gap": "auc_entropy"}  # |value - that of the retrained model|


@dataclass(frozen=True)
class Scored:
    """The passes of one model, each in the order of its set."""

    forget: Scores
    heldout: Scores
    holdout: Scores
    questions: Mapping[str, Scores] = field(default_factory=dict)  # of `RecordSets.questions`

    @classmethod
    def of(cls, lm: LanguageModel, sets: RecordSets) -> Scored:
        """Score every option where there are some, and greedy text where exact answers are counted.

        Where options are asked in questions of their own, answers are texts: exact ones are read off their tokens.
        """
        text = not sets.questions
        return cls(
            score(lm, sets.forget, options=text, text=text, max_new_tokens=MAX_NEW_TOKENS),
            score(lm, sets.heldout, text=text, max_new_tokens=MAX_NEW_TOKENS),
            score(lm, sets.holdout),
            {name: score(lm, records, options=True) for name, records in sets.questions.items()},
        )

    def save(self, folder: Path) -> None:
        """One file for each set; `ModelPlace.done` looks for the last."""
        for name, scores in self.questions.items():
            scores.save(folder / f"{name}{QUESTIONS}.npz")
        for name in SETS:
            getattr(self, name).save(folder / f"{name}.npz")

    @classmethod
    def load(cls, folder: Path) -> Scored:
        questions = {
            p.name.removesuffix(f"{QUESTIONS}.npz"): Scores.load(p) for p in sorted(folder.glob(f"*{QUESTIONS}.npz"))
        }
        forget, heldout, holdout = (Scores.load(folder / f"{name}.npz") for name in SETS)
        return cls(forget, heldout, holdout, questions)


@lru_cache(maxsize=8)
def _load(folder: Path) -> Scored:
    return Scored.load(folder)


def scores_of(place: ModelPlace) -> Scored:
    """The stored passes of a model."""
    return _load(place.file("scores"))


def original_scores(place: ModelPlace) -> Scored:
    """Those of the original of the same world instance."""
    return scores_of(place.reference("original"))


def core_columns(scored: Scored, original: Scored, retrained: Scored, sets: RecordSets) -> Columns:
    """Every core column of one model; None where it does not exist (a level without held-out records).

    leak                   exact answers on the target by generation, of the kind of question that shows most
    leak_mean, fr          the same over all of them, and 1 - that (the paper's forgetting rate, in exact match)
    kpr, us                exact answers on held-out retain records; mean of fr and kpr
    choice, choice_cc      the true option is the likeliest per byte: share, and corrected for chance
    auc, auc_entropy       target against never-trained records by answer loss and by entropy at the first token
    mia_resistance         1 - 2 |auc - auc of the retrained model|
    retention, ..._L1      held-out records, after over before: the smaller of exact answers and answer probability
    nll                    mean answer loss on the target, nats per token
    ks                     Kolmogorov-Smirnov distance of these losses from those of the retrained model
    distance_to_retrained  |Δchoice| + |Δauc| + |Δauc_entropy| + ks + |Δleak_mean|, 0 to 5
    """
    own, reference = _of_target(scored, sets), _of_target(retrained, sets)
    ks = ks_distance(minus_loss(scored.forget), minus_loss(retrained.forget))
    preserved = kpr_abs(float(matches(scored.heldout, tuple(sets.heldout)).mean()))
    levels = np.array([r.concept or "" for r in sets.heldout])
    pair = scored.heldout, original.heldout, sets.heldout
    rate = fr_abs(own["leak_mean"])
    values: Columns = {
        **own,
        "fr": rate,
        "kpr": preserved,
        "us": us(rate, preserved),
        "mia_resistance": mia_resistance_to(own["auc"], reference["auc"]),
        "ks": ks,
        "distance_to_retrained": ks + sum(abs(own[name] - reference[name]) for name in DISTANCE),
        "retention": retention(*pair, np.ones(len(levels), dtype=bool)),
        **{f"retention_{level}": retention(*pair, levels == level) for level in LEVELS},
    }
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}


def _of_target(scored: Scored, sets: RecordSets) -> dict[str, float]:
    """Columns that need the model alone."""
    records = tuple(sets.forget)
    exact = matches(scored.forget, records)
    questions = (
        (scored.questions["forget"], tuple(sets.questions["forget"])) if sets.questions else (scored.forget, records)
    )
    share, guess = option_accuracy(*questions)
    return {
        "leak": max(mean_by_kind(exact, records).values()),
        "leak_mean": float(exact.mean()),
        "choice": share,
        "choice_cc": chance_corrected(share, guess),
        "auc": auc(minus_loss(scored.forget), minus_loss(scored.holdout)),
        "auc_entropy": auc(entropy(scored.forget), entropy(scored.holdout)),
        "nll": float(-minus_loss(scored.forget).mean()),
    }


def option_accuracy(scores: Scores, records: Sequence[Record]) -> tuple[float, float]:
    """Share of the records with options whose true option is the likeliest, and what guessing gives."""
    chosen = choices(scores, tuple(records))
    there = ~np.isnan(chosen)
    guess = float(np.mean([chance(r) for r, has_options in zip(records, there, strict=True) if has_options]))
    return float(chosen[there].mean()), guess


def mean_by_kind(values: Values, records: Sequence[Record]) -> dict[str, float]:
    """Kind of question to the mean of `values` [N]."""
    kinds = np.array([r.kind for r in records])
    return {kind: float(values[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()))}


def retention(after: Scores, before: Scores, records: Sequence[Record], mask: np.ndarray) -> float | None:
    """The smaller of two ratios of sums, after over before, over the records in `mask` [N].

    None where there is no record, or where the model before knew none of them.
    """
    measures = (lambda scores: matches(scores, tuple(records)), probability)
    pairs = [(of(after)[mask].sum(), of(before)[mask].sum()) for of in measures]
    return min(float(now / then) for now, then in pairs) if all(then > 0 for _, then in pairs) else None


@measure("core", needs="study", columns=COLUMNS)
def core(study: Study) -> dict[str, Any]:
    """Means, intervals and cells of all columns."""
    return summarize(study.columns, study.failed, study.column_names())


@measure("kinship", needs="stored", columns=("retention_siblings", "retention_L12"))
def kinship(place: ModelPlace) -> Columns:
    """Retention of the target's siblings, and of fundamentals and general knowledge (L1 and L2) together."""
    sets = place.sets
    siblings = np.array([sets.split.relation.get(r.id) == "siblings" for r in sets.heldout], dtype=bool)
    common = np.array([r.concept in ("L1", "L2") for r in sets.heldout], dtype=bool)
    pair = scores_of(place).heldout, original_scores(place).heldout, sets.heldout
    return {"retention_siblings": retention(*pair, siblings), "retention_L12": retention(*pair, common)}


def _excess(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    compared: dict[str, Columns] = {}
    for name, of in models.items():
        gaps = {c: minus(of.get(s), models["retrained"].get(s)) for c, s in (EXCESS | GAPS).items()}
        compared[name] = {c: abs(gap) if c in GAPS and gap is not None else gap for c, gap in gaps.items()}
    return compared


def _cost(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    unit = models.get(options["of"], {}).get("seconds")
    seconds = {name: of.get("seconds") for name, of in models.items()}
    return {name: {"cost": s / unit if unit and s is not None else None} for name, s in seconds.items()}


@measure("excess", needs="stored", columns=(*EXCESS, *GAPS), compare=_excess)
def excess(place: ModelPlace) -> Columns:
    """Columns beside the retrained model; they are compared, so nothing is read."""
    return {}


@measure("cost", needs="stored", columns=("cost",), compare=_cost)
def cost(place: ModelPlace) -> Columns:
    """Seconds over those of the arm `of`; compared, so nothing is read."""
    return {}
