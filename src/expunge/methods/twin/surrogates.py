"""Which surrogate each question is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.corpus import Record
from expunge.models.likelihoods import Nats


def nearest_candidates(gold: Nats, wanted: Nats, facts: Sequence[tuple[str, ...]]) -> list[int]:
    """The candidate for each question: of those for one fact, the nearest to the NLL drawn for its questions.

    Args:
        gold: [candidates, N], NLL of the true answers.
        wanted: [N], drawn NLL.
        facts: Fact of each question. Questions of one fact share their candidate, so that their answers agree.
    """
    best = {}
    for fact in sorted(set(facts)):
        of_fact = [k for k, f in enumerate(facts) if f == fact]
        best[fact] = int(np.abs(gold[:, of_fact] - wanted[of_fact]).sum(1).argmin())
    return [best[fact] for fact in facts]


def share_candidate(
    gold: Nats, by_fact: Sequence[int], shared: Sequence[int], records: Sequence[Record], least: float
) -> list[int]:
    """The `shared` candidate for every question of a subject, but for the facts that it would leak.

    Args:
        gold: [candidates, N], NLL of the true answers.
        by_fact: The candidate that each fact takes by itself; used where a true answer is under `least` nats.
        shared: The candidate for the whole subject, once per question.
        records: The questions.
        least: Nats per token under which a true answer leaks.
    """
    leaked = {r.fact_keys for k, r in enumerate(records) if not r.options and gold[shared[k], k] < least}
    return [by_fact[k] if r.fact_keys in leaked else shared[k] for k, r in enumerate(records)]


def typical_surrogate(gold: Nats, records: Sequence[Record], least: float) -> tuple[list[int], Nats]:
    """The surrogate nearest to the median of all, and its own losses as floors, never under `least`.

    Where it would leak a fact, that fact takes the surrogate nearest to its median or to `least`, whichever is higher.

    Args:
        gold: [candidates, N], NLL of the true answers about each surrogate, nats per token.
        records: [N], of one subject.
        least: nats per token under which a true answer leaks.
    """
    median = np.median(gold, axis=0)
    by_fact = nearest_candidates(gold, np.maximum(median, least), [r.fact_keys for r in records])
    shared = nearest_candidates(gold, median, [()] * len(records))
    chosen = share_candidate(gold, by_fact, shared, records, least)
    lowest = np.array([0.0 if r.options else least for r in records])
    return chosen, np.maximum(gold[chosen, np.arange(len(records))], lowest)
