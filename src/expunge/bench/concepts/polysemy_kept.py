"""What methods leave of words with two senses: how far each sense falls, beside terms that have one.

Surprising: two rules of the audit meet here that pull apart. The other sense must keep at least 95 % of its answer
probability (lower bound), and the target sense must not be given more often than by the retrained model by more than
.05 (upper bound). A model that forgets the word itself fails the first, one that forgets nothing the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scores import Scores
from expunge.audit.statistics import Interval, bootstrap_ratio, paired_difference
from expunge.bench.concepts.effects import Strata, effect, paired, unpaired
from expunge.bench.concepts.intervals import t_interval
from expunge.bench.concepts.polysemy_words import Word, asked, by_side, of_records
from expunge.bench.concepts.summary import ends, rounded

Place = tuple[str, str]  # world, seed
Said = Mapping[str, Mapping[str, Mapping[str, float]]]  # exact or probability → side → word → value
KEEP, MARGIN = 0.95, 0.05
GROUPS = ("target", "other", "other given", "control", "control given", "spared", "spared given")


def said(words: Sequence[Word], scores: Scores) -> Said:
    """What one model of a cell gives, by measure, side and word; `scores` of what `asked` names, in its order."""
    return {
        "exact": by_side(words, of_records(scores, matches(scores, asked(words)))),
        "probability": by_side(words, of_records(scores, probability(scores))),
    }


def kept(
    after: Mapping[Place, Said],
    before: Mapping[Place, Said],
    retrained: Mapping[Place, Said],
    given: Mapping[Place, frozenset[str]],
) -> dict[str, Any]:
    """One row over all its cells; `given`: words whose other sense runs are given.

    left       group → Σ probability after / Σ before, [low, high] over words, and by seed
    drops      effects of: probability before - after per group; `target - other`, `other - control` (paired by word)
               and `other - spared` (other words), all of what no run is given
    leak       target sense given exactly, minus the same of the retrained model, [low, high] over words
    keeps, forgets, passes   the two rules, and both
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
    told = {name: effect(of).as_row() for name, of in (drops | against).items()}
    told["other - spared"] = unpaired(drops["other"], drops["spared"]).as_row()
    return {"left": left, "drops": told, "leak": leak, "keeps": keeps, "forgets": forgets, "passes": keeps and forgets}


def _of_group(group: str, given: Mapping[Place, frozenset[str]]) -> Any:
    """A function from what was said, and a measure, to the strata of this group."""
    side, practised = group.split()[0], group.endswith("given")

    def of(found: Mapping[Place, Said], measure: str) -> Strata:
        return {
            place: {
                word: value
                for word, value in said[measure][side].items()
                if side == "target" or (word in given[place]) == practised
            }
            for place, said in found.items()
        }

    return of


def _flat(first: Strata, second: Strata) -> tuple[list[float], list[float], list[str]]:
    """Values of units that both have, and a name for each that no other world or seed shares."""
    names = [(place, unit) for place, units in first.items() for unit in units if unit in second.get(place, {})]
    return ([first[p][u] for p, u in names], [second[p][u] for p, u in names], ["/".join((*p, u)) for p, u in names])


def _ratio(after: Strata, before: Strata) -> dict[str, Any]:
    top, bottom, names = _flat(after, before)
    whole = bootstrap_ratio(np.array(top), np.array(bottom), names)
    seeds: dict[str, list[float]] = {}
    for name, a, b in zip(names, top, bottom, strict=True):
        sums = seeds.setdefault(name.split("/")[1], [0.0, 0.0])
        sums[0] += a
        sums[1] += b
    by_seed = {seed: a / b for seed, (a, b) in seeds.items() if b > 0}
    return _bounded(whole) | {
        "seeds": {s: rounded(v) for s, v in by_seed.items()},
        "over_seeds": ends(t_interval(list(by_seed.values()))),
    }


def _difference(values: Strata, reference: Strata) -> dict[str, Any]:
    top, bottom, names = _flat(values, reference)
    return _bounded(paired_difference(np.array(top), np.array(bottom), names))


def _bounded(found: Interval) -> dict[str, Any]:
    return {
        "mean": rounded(None if np.isnan(found.estimate) else found.estimate),
        "low": rounded(found.low),
        "high": rounded(found.high),
        "words": found.n_subjects,
    }
