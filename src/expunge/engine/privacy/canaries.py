"""Canaries: invented people, each included in a run by a fair coin, whose losses bound epsilon from below.

Before the run, `make` them and `plant` the included ones into the forget or the retain set. After it, a canary whose
loss moved was probably included. Answers are random words: answers that others have too would be learned (or lost) with
theirs, whether the canary is included or not.
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
from expunge.privacy.empirical_bound import EpsilonBound, from_scores
from expunge.random import stream
from expunge.scope.split import Split

ANSWER_WORDS = 4


@dataclass(frozen=True)
class Canaries:
    """Units of records for one side, and the coin of each unit."""

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
        """Per unit: change of its summed loss in nats, positive in the direction in which the run moves its side."""
        records = [r for unit in self.units for r in unit]
        change = mean_nll(after, records) - mean_nll(before, records)
        ends = np.cumsum([len(unit) for unit in self.units])[:-1]
        sign = 1 if self.side == "forget" else -1
        return [sign * float(part.sum()) for part in np.split(change, ends)]


def make(records: Sequence[Record], count: int, seed: int, side: Side = "retain", each: int | None = None) -> Canaries:
    """Canaries modelled on the people of `records` in turn: their questions, new names, random answers.

    Args:
        records: with identifiers.
        count: number of canaries.
        seed: of names, answers and coins.
        side: the set they are meant for.
        each: records per canary, drawn from its model's; None for all; 1 where the unit of privacy is the record.

    Raises:
        InputError: no record has identifiers.
    """
    people = identifiers_by_subject(records)
    if not people:
        raise InputError("canaries", "no record names identifiers of its subject", "add the column identifiers")
    of_person: dict[str, list[Record]] = {name: [] for name in people}
    for r in records:
        if r.identifiers:
            of_person[r.subject].append(r)
    words = sorted({word for r in records for word in r.answer.split()})
    known, models = dict(people), sorted(people)
    units = []
    for k in range(count):
        model, rng = models[k % len(models)], stream(seed, "canary", k)
        others = {name: identifiers for name, identifiers in known.items() if name != model}
        identity = make_identities(people[model], others, 1, rng)[0]
        subject = f"canary:{k}"
        known[subject] = tuple(identity.values())
        free = [r for r in of_person[model] if not r.options] or of_person[model]
        chosen = [free[j] for j in sorted(rng.permutation(len(free))[:each].tolist())]
        units.append(tuple(_about(r, subject, f"canary-{k}-{n}", identity, words, rng) for n, r in enumerate(chosen)))
    coins = stream(seed, "canary coins").random(count) < 0.5
    return Canaries(side, tuple(units), tuple(coins.tolist()))


def _about(
    record: Record, subject: str, name: str, identity: Identity, words: Sequence[str], rng: np.random.Generator
) -> Record:
    """A record of the model, about the canary; the answer is one of its options, or `ANSWER_WORDS` of `words`."""
    random_words = " ".join(words[int(k)] for k in rng.integers(0, len(words), ANSWER_WORDS))
    answer = record.options[int(rng.integers(len(record.options)))] if record.options else random_words
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
) -> EpsilonBound:
    """Lower bound on epsilon of a finished `run` on `model`; `guesses` as in `from_scores`."""
    before, after = (merge_adapter(load(source)) for source in (model, run))
    return from_scores(canaries.scores(before, after), canaries.included, guesses, delta, confidence)
