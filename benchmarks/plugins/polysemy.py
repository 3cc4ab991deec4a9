"""Words with two senses: what is left of each, beside terms that are as frequent and have one sense only.

Both senses of a word are asked in the same wording with the same options. There are two controls. A term of one sense
answers other kinds of question, so a word whose target sense is spared is the second: the same kind of question, the
same two senses, and nothing of it is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.audit.statistics import Interval, bootstrap_ratio, paired_difference
from expunge.bench.analysis import Strata, effect, ends, paired, round6, t_interval, unpaired
from expunge.bench.measures.base import Study, measure
from expunge.bench.measures.core import MAX_NEW_TOKENS
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import RecordSets
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

TERM, SENSE = "polyseme", "sense"  # attributes of a record that such a word answers
SIDES = ("target", "other", "control", "spared")
GROUPS = ("target", "other", "other given", "control", "control given", "spared", "spared given")
KEEP, MARGIN = 0.95, 0.05  # least share of the other sense; most leak of the target sense above the retrained model
Group = tuple[Record, ...]
Stratum = tuple[str, str]  # world, seed
Senses = Mapping[str, Mapping[str, Mapping[str, float]]]  # exact or probability -> side -> word -> value


@dataclass(frozen=True)
class Word:
    """A word and its records by side.

    Attributes:
        sides: target, other and control of a word whose target sense is to be forgotten (`control` is its term of one
            sense); only `spared` of a word whose target sense stays.
        retained: runs are given the other sense; if not, neither that nor the control.
    """

    word: str
    sides: Mapping[str, Group]
    retained: bool

    @property
    def forgotten(self) -> bool:
        """Is its target sense to be forgotten?"""
        return "target" in self.sides


def find_words(sets: RecordSets) -> tuple[Word, ...]:
    """Every word whose other sense stays, sorted.

    The control is a fact of a level that stays, from the same side of the split, whose answer is trained as often as
    the word in both senses together, or as nearly as there is one; no fact serves twice.

    Raises:
        InputError: no target sense is to be forgotten, or no term is left to compare with.
    """
    target = _of_sense(sets.forget, "target")
    words: list[Word] = []
    count = Counter(r.answer for r in sets.corpus.trained)
    for retained, side in ((True, sets.split.retain), (False, sets.heldout)):
        terms = _terms(side)
        for word, other in sorted(_of_sense(side, "other").items()):
            if word not in target:
                words.append(Word(word, {"spared": other}, retained))
                continue
            if not terms:
                what = f"there are fewer terms than words with two senses beside {word}"
                raise InputError("polysemy", what, "choose a larger world")
            key = min(terms, key=lambda k: (abs(count[terms[k][0].answer] - count[word]), uniform("control", k), k))
            words.append(Word(word, {"target": target[word], "other": other, "control": terms.pop(key)}, retained))
    if not any(w.forgotten for w in words):
        raise InputError("polysemy", "the target holds no word with two senses", "set polysemes of the world")
    return tuple(sorted(words, key=lambda w: w.word))


def _of_sense(records: Sequence[Record], sense: str) -> dict[str, Group]:
    groups: dict[str, list[Record]] = {}
    for r in records:
        if r.attributes.get(TERM) and r.attributes[SENSE] == sense:
            groups.setdefault(r.attributes[TERM], []).append(r)
    return {word: tuple(of) for word, of in groups.items()}


def _terms(records: Sequence[Record]) -> dict[str, Group]:
    """Fact to its records, of levels that stay; words with two senses left out."""
    groups: dict[str, list[Record]] = {}
    for r in records:
        if r.concept != "L4" and not r.attributes.get(TERM):
            groups.setdefault(min(r.fact_keys), []).append(r)
    return {fact: tuple(of) for fact, of in groups.items()}


def records_of(words: Sequence[Word]) -> Group:
    """All their records, each once."""
    return tuple({r.id: r for w in words for of in w.sides.values() for r in of}.values())


def by_side(
    words: Sequence[Word], values: Mapping[str, float], sides: Sequence[str] = SIDES
) -> dict[str, dict[str, float]]:
    """Side to word to the mean of `values` (record to value) over its records on that side, for words that have it."""
    return {
        side: {w.word: sum(values[r.id] for r in of) / len(of) for w in words if (of := w.sides.get(side))}
        for side in sides
    }


def _summarize(study: Study) -> dict[str, Any]:
    """`words`: counts; `kept`: name to what is left of each group (see `summarize_senses`)."""
    words = {cell: find_words(cell.sets()) for cell in study.cells}
    senses: dict[str, dict[Stratum, Senses]] = {name: {} for name in study.columns}
    for place in study.places():
        senses[place.name][place.cell.request.world, str(place.cell.seed)] = place.observation("polysemy")
    given = {(c.request.world, str(c.seed)): frozenset(w.word for w in mine if w.retained) for c, mine in words.items()}
    original, retrained = senses["original"], senses["retrained"]
    return {
        "words": _counts(list(words.values())),
        "kept": {name: summarize_senses(of, original, retrained, given) for name, of in senses.items() if of},
        "failed": study.failed,
    }


@measure("polysemy", needs="model", summarize=_summarize)
def polysemy(place: ModelPlace, lm: LanguageModel) -> Senses:
    """Exact answers and answer probability by side and word."""
    words = find_words(place.sets)
    records = records_of(words)
    scores = score(lm, records, text=True, max_new_tokens=MAX_NEW_TOKENS)
    return {
        "exact": by_side(words, _of_records(scores, matches(scores, records))),
        "probability": by_side(words, _of_records(scores, probability(scores))),
    }


def _of_records(scores: Scores, values: Values) -> dict[str, float]:
    return dict(zip(scores.ids, values.tolist(), strict=True))


def _counts(cells: Sequence[Sequence[Word]]) -> dict[str, int]:
    """Words whose target sense is to be forgotten: least in a world, in all, held out; and spared ones."""
    return {
        "per_cell": min(sum(w.forgotten for w in of) for of in cells),
        "all": sum(w.forgotten for of in cells for w in of),
        "retain_heldout": sum(w.forgotten and not w.retained for of in cells for w in of),
        "spared": sum(not w.forgotten for of in cells for w in of),
        "spared_untouched": sum(not (w.forgotten or w.retained) for of in cells for w in of),
    }


def summarize_senses(
    after: Mapping[Stratum, Senses],
    before: Mapping[Stratum, Senses],
    retrained: Mapping[Stratum, Senses],
    given: Mapping[Stratum, frozenset[str]],
) -> dict[str, Any]:
    """One model over all its worlds; `given`: words whose other sense runs are given.

    left    group to Σ probability after / Σ before, [low, high] over words, and by seed
    drops   effects of probability before - after per group; `target - other` and `other - control` (paired by word),
            `other - spared` (other words), all of what no run is given
    leak    target sense given exactly, minus the same of the retrained model, [low, high] over words
    keeps, forgets, passes   lower bound of `left` at least `KEEP`; upper bound of `leak` at most `MARGIN`; both
    """
    groups = {group: _of_group(group, given) for group in GROUPS}
    left = {group: _ratio(of(after, "probability"), of(before, "probability")) for group, of in groups.items()}
    drops = {group: paired(of(before, "probability"), of(after, "probability")) for group, of in groups.items()}
    against = {
        "target - other": paired(drops["target"], drops["other"]),
        "other - control": paired(drops["other"], drops["control"]),
    }
    leak = _difference(groups["target"](after, "exact"), groups["target"](retrained, "exact"))
    keeps = left["other"]["low"] is not None and left["other"]["low"] >= KEEP
    forgets = leak["high"] is not None and leak["high"] <= MARGIN
    effects = {name: effect(of).as_row() for name, of in (drops | against).items()}
    effects["other - spared"] = unpaired(drops["other"], drops["spared"]).as_row()
    verdict = {"keeps": keeps, "forgets": forgets, "passes": keeps and forgets}
    return {"left": left, "drops": effects, "leak": leak, **verdict}


def _of_group(group: str, given: Mapping[Stratum, frozenset[str]]) -> Any:
    """A function from what models answered, and a kind of figure, to the strata of this group."""
    side, in_retain = group.split()[0], group.endswith("given")

    def of(senses: Mapping[Stratum, Senses], kind: str) -> Strata:
        return {
            stratum: {
                word: value
                for word, value in answered[kind][side].items()
                if side == "target" or (word in given[stratum]) == in_retain
            }
            for stratum, answered in senses.items()
        }

    return of


def _flat(first: Strata, second: Strata) -> tuple[list[float], list[float], list[str]]:
    """Values of units that both have, and a name for each that no other world or seed shares."""
    names = [(place, unit) for place, units in first.items() for unit in units if unit in second.get(place, {})]
    return [first[p][u] for p, u in names], [second[p][u] for p, u in names], ["/".join((*p, u)) for p, u in names]


def _ratio(after: Strata, before: Strata) -> dict[str, Any]:
    top, bottom, names = _flat(after, before)
    whole = bootstrap_ratio(np.array(top), np.array(bottom), names)
    seeds: dict[str, list[float]] = {}
    for name, a, b in zip(names, top, bottom, strict=True):
        sums = seeds.setdefault(name.split("/")[1], [0.0, 0.0])
        sums[0] += a
        sums[1] += b
    by_seed = {seed: a / b for seed, (a, b) in seeds.items() if b > 0}
    over_seeds = ends(t_interval(list(by_seed.values())))
    return _bounded(whole) | {"seeds": {s: round6(v) for s, v in by_seed.items()}, "over_seeds": over_seeds}


def _difference(values: Strata, reference: Strata) -> dict[str, Any]:
    top, bottom, names = _flat(values, reference)
    return _bounded(paired_difference(np.array(top), np.array(bottom), names))


def _bounded(of: Interval) -> dict[str, Any]:
    middle = round6(None if np.isnan(of.estimate) else of.estimate)
    return {"mean": middle, "low": round6(of.low), "high": round6(of.high), "words": of.n_subjects}
