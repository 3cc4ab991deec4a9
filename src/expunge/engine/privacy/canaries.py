"""Canaries: invented people, each put into a run by a fair coin, whose fate bounds epsilon from below.

Before the run: `make` them, `plant` those whose coin says so into the forget or the retain set. After it: who is now
answered otherwise than before was probably in. Surprising: a canary's answers are words thrown together. Answers that
others have too would be learnt (or lost) with theirs, whether the canary is in or not, and bound nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from expunge.corpus import Record
from expunge.corpus.surrogate_names import Identity, identifiers_by_subject, make_identities, replace_all
from expunge.errors import InputError
from expunge.gradients.saliency import Side
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.likelihoods import mean_nll
from expunge.privacy.empirical_bound import Bound, from_scores
from expunge.random import stream
from expunge.scope.split import Split

WORDS = 4  # of an answer


@dataclass(frozen=True)
class Canaries:
    """Units of records for the `side` they are meant for, and what every unit's coin says."""

    side: Side
    units: tuple[tuple[Record, ...], ...]
    included: tuple[bool, ...]

    def plant(self, split: Split) -> Split:
        """`split` with the included units in its forget or retain set."""
        present = [r for unit, is_in in zip(self.units, self.included, strict=True) if is_in for r in unit]
        if self.side == "forget":
            return replace(split, forget=(*split.forget, *present))
        return replace(split, retain=(*split.retain, *present))

    def scores(self, before: LanguageModel, after: LanguageModel) -> list[float]:
        """Per unit: how much further its loss (nats, over its records) moved the way that the run moves its side's."""
        records = [r for unit in self.units for r in unit]
        moved = mean_nll(after, records) - mean_nll(before, records)
        ends = np.cumsum([len(unit) for unit in self.units])[:-1]
        towards = 1 if self.side == "forget" else -1
        return [towards * float(part.sum()) for part in np.split(moved, ends)]


def make(records: Sequence[Record], count: int, seed: int, side: Side = "retain", each: int | None = None) -> Canaries:
    """`count` canaries modelled on the people of `records` in turn: their questions, new names, answers by chance.

    each  records of a canary, drawn from its model's; None for all. 1 where the unit of privacy is the record.
    `InputError` if nobody in `records` has identifiers.
    """
    people = identifiers_by_subject(records)
    if not people:
        raise InputError("canaries", "no record names identifiers of its subject", "add the column identifiers")
    asked: dict[str, list[Record]] = {name: [] for name in people}
    for r in records:
        if r.identifiers:
            asked[r.subject].append(r)
    words = sorted({word for r in records for word in r.answer.split()})
    known, models = dict(people), sorted(people)
    units = []
    for k in range(count):
        model, rng = models[k % len(models)], stream(seed, "canary", k)
        others = {name: found for name, found in known.items() if name != model}
        identity = make_identities(people[model], others, 1, rng)[0]
        subject = f"canary:{k}"
        known[subject] = tuple(identity.values())
        free = [r for r in asked[model] if not r.options] or asked[model]
        chosen = [free[j] for j in sorted(rng.permutation(len(free))[:each].tolist())]
        units.append(tuple(_about(r, subject, f"canary-{k}-{n}", identity, words, rng) for n, r in enumerate(chosen)))
    coins = stream(seed, "canary coins").random(count) < 0.5
    return Canaries(side, tuple(units), tuple(coins.tolist()))


def _about(
    record: Record, subject: str, name: str, identity: Identity, words: Sequence[str], rng: np.random.Generator
) -> Record:
    """A model's record about a canary; the answer is one of its options, or `WORDS` of `words`."""
    thrown = " ".join(words[int(k)] for k in rng.integers(0, len(words), WORDS))
    answer = record.options[int(rng.integers(len(record.options)))] if record.options else thrown
    return replace(
        record,
        id=name,
        subject=subject,
        path=(subject,),
        facts=(),
        variants=(),
        answer=answer,
        prompt=replace_all(record.prompt, identity),
        identifiers=tuple(identity.get(i, i) for i in record.identifiers),
    )


def bound(
    canaries: Canaries,
    model: str | Path,
    run: str | Path,
    *,
    guesses: int | None = None,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> Bound:
    """Epsilon of a finished `run` on `model` from below. guesses: as in `lower_bound.from_scores`."""
    before, after = (merge_adapter(load(source)) for source in (model, run))
    return from_scores(canaries.scores(before, after), canaries.included, guesses, delta, confidence)
