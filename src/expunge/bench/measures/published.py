"""Figures as arXiv 2511.19498 defines them, by accuracy among options, beside figures that know what guessing gives.

Guessing among four options is a forgetting rate of .75, so a rate above that means that a model avoids the right
option, not that it knows less than nothing. Membership resistance against .5 is what a destroyed model has, too.
"""

from __future__ import annotations

import math

from expunge.audit.membership_scores import loss as minus_loss
from expunge.audit.metrics.published import fr_chance, kpr_rel, mia_resistance, us
from expunge.audit.scores import Scores
from expunge.audit.statistics import auc
from expunge.bench.measures.base import Columns, measure
from expunge.bench.measures.core import Scored, option_accuracy, original_scores, scores_of
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import RecordSets
from expunge.corpus import Record
from expunge.corpus.record import LEVELS

COLUMNS = (
    *("accuracy", "accuracy_heldout", "accuracy_known", *(f"accuracy_{level}" for level in LEVELS)),
    *("fr_paper", "kpr_paper", "us_paper", "mia_resistance_paper", "fr_chance", "kpr_relative", "us_chance"),
)


def published_columns(scored: Scored, original: Scored, sets: RecordSets, name: str) -> Columns:
    """Columns of one model; None where the set of questions is missing.

    accuracy, ..._L4       share of the target's questions whose right option is the likeliest, also by level
    accuracy_heldout       the same on retained questions that no run is given
    accuracy_known         the smaller one of those that this model was taught: what the gate looks at
    fr_paper, kpr_paper    1 - accuracy on the target, and accuracy on held-out questions: the paper's definitions
    us_paper               their mean
    mia_resistance_paper   1 - 2 |AUC - .5|, target against never-trained records
    fr_chance              (before - after)/(before - guessing): 1 is guessing, above it the right option is avoided
    kpr_relative           held-out accuracy after over before
    us_chance              mean of fr_chance, at most 1, and kpr_relative
    """
    after = {s: _options(scored, sets, s) for s in ("forget", "heldout")}
    before = {s: _options(original, sets, s) for s in ("forget", "heldout")}
    values: Columns = dict.fromkeys(COLUMNS)
    values["mia_resistance_paper"] = mia_resistance(auc(minus_loss(scored.forget), minus_loss(scored.holdout)))
    (target, guess), (heldout, _) = after["forget"], after["heldout"]
    if target is None or guess is None:
        return values
    values |= {"accuracy": target, "fr_paper": 1 - target} | _by_level(scored, sets)
    known = before["forget"][0]
    values["fr_chance"] = fr_chance(known, target, guess) if known is not None else None
    if heldout is not None and before["heldout"][0] is not None:
        relative = kpr_rel(before["heldout"][0], heldout)
        values |= {"accuracy_heldout": heldout, "kpr_paper": heldout, "us_paper": us(1 - target, heldout)}
        values |= {"kpr_relative": relative, "accuracy_known": min(target, heldout) if name == "original" else heldout}
        if values["fr_chance"] is not None:
            values["us_chance"] = us(min(1.0, values["fr_chance"]), relative)
    return {c: v if v is not None and math.isfinite(v) else None for c, v in values.items()}


def _options(scored: Scored, sets: RecordSets, name: str) -> tuple[float | None, float | None]:
    scores, records = questions_of(scored, sets, name)
    return option_accuracy(scores, records) if scores is not None else (None, None)


def questions_of(scored: Scored, sets: RecordSets, name: str) -> tuple[Scores | None, tuple[Record, ...]]:
    """Scores and records of the questions with options about `forget` or `heldout`; None where none were scored."""
    if sets.questions:
        return scored.questions.get(name), tuple(sets.questions.get(name, ()))
    scores, records = (scored.forget, sets.forget) if name == "forget" else (scored.heldout, sets.heldout)
    return (scores if scores.option_logprob is not None else None), tuple(records)


def _by_level(scored: Scored, sets: RecordSets) -> Columns:
    scores, records = questions_of(scored, sets, "forget")
    assert scores is not None
    values: Columns = {}
    for level in LEVELS:
        mine = [r for r in records if r.concept == level and r.options]
        values[f"accuracy_{level}"] = (
            option_accuracy(scores.select([r.row_id for r in mine]), mine)[0] if mine else None
        )
    return values


@measure("published", needs="stored", columns=COLUMNS)
def published(place: ModelPlace) -> Columns:
    """The paper's own figures, and those corrected for chance."""
    return published_columns(scores_of(place), original_scores(place), place.sets, place.name)
