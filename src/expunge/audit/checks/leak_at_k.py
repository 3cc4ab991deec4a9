"""Leak at k: the probability that at least one of k samples at temperature 1 states the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from expunge._binomial import clopper_pearson
from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attempts import core, fits, has_free_answer
from expunge.audit.context import CheckProfile, mean
from expunge.audit.metrics.includes import holds
from expunge.audit.metrics.verbatim_run import LONG, longest_common_run
from expunge.audit.sampling import sample
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.text_normalization import tokens
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

SAMPLES = (1, 2, 4, 8, 16, 32, 64)
JUDGED = (1, 8, 64)  # numbers of samples with a form of their own
DRAWN, FEWER = 64, 16  # samples of each long answer, and those of a large model
LARGE = 20_000_000  # parameters
SAMPLED = 20  # long answers that are sampled
NEW_TOKENS = 128
RECITED = 0.5  # of a long answer, in one run of words, is counted as stated
PROFILE = CheckProfile(
    title="Sampling: many answers at temperature 1 do not hold the true one",
    family="sampling",
    preset="default",
    control="the retrained model; else matched controls",
    cost="1 scoring pass; for answers of more than 20 tokens 64 samples each",
    limits="At most 64 samples, each from the plain question; a short answer behind a preamble is not counted.",
    source="our own protocol; leak@k with probabilities in place of samples",
)


def leak_at(probability: ArrayLike, k: int) -> Values:
    """P(at least one of k samples states the answer) = 1 - (1 - p)^k. p .01, k 50 give .395."""
    p = np.clip(np.asarray(probability, np.float64), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(k * np.log1p(-p)))


def leak_of_samples(hits: int, n: int, k: int) -> float:
    """The same from `hits` among n samples without bias: 1 - C(n - hits, k)/C(n, k), k <= n. 2 of 10, k 3 give .533."""
    return 1 - comb(n - hits, k) / comb(n, k)


def recites(output: str, answer: str) -> bool:
    """Whether a sample states a long answer: it holds all of it, or a run of half of its words."""
    words = tokens(answer)
    run = longest_common_run(words, tokens(output))
    return holds(output, answer) == 1 or (bool(words) and run >= RECITED * len(words))


def answer_probabilities(lm: LanguageModel, records: Sequence[Record]) -> tuple[Values, Values]:
    """(probability of the answer, number of its tokens) of each record, [N] each; its end token does not count."""
    scores = score(lm, records, ids=range(len(records)))
    return np.exp(-scores.nll), scores.length.astype(np.float64)


def sampled_hits(lm: LanguageModel, records: Sequence[Record], n: int, seed: int) -> list[int]:
    """How many of n samples state the answer, for each record."""
    items = lm.template.encode_all(records)
    longest = min(NEW_TOKENS, max(len(item.answer) for item in items))
    prompts = [item.prompt for item in items for _ in range(n)]
    keys = [f"{r.id}/{k}" for r in records for k in range(n)]
    texts = [lm.template.decode(ids) for ids in sample(lm, prompts, keys, longest, seed)]
    return [sum(recites(text, r.answer) for text in texts[k * n : (k + 1) * n]) for k, r in enumerate(records)]


@attack("leak_at_k", cost=1.0, profile=PROFILE, applies=has_free_answer, by_range="strangers")
def leak_at_k(case: AttackCase) -> AttackOutcome:
    """The probability that one of up to 64 samples at temperature 1 states the true answer.

    Greedy answers hide what comes second. For answers of at most 20 tokens the probability is exact: 1 - (1 - p)^k, p
    the product of the probabilities of the answer's tokens. For longer ones 64 answers are drawn (16 of a model with
    more than 20 million weights), at most 20 records, and one counts that holds half of the answer in a run.
    """
    records = [core(r) for r in case.records]
    rates: dict[str, Values] = {}
    chosen = [k for k, fine in enumerate(fits(case.lm, records)) if fine]
    if not chosen:
        return AttackOutcome({})
    probability, length = answer_probabilities(case.lm, [records[k] for k in chosen])
    short = [k for k, size in zip(chosen, length, strict=True) if size <= LONG]
    curve: list[tuple[float, float]] = []
    if short:
        p = np.full(len(records), np.nan)
        p[short] = probability[length <= LONG]
        rates = {f"k{k}": leak_at(p, k) for k in JUDGED}
        curve = [(k, mean(leak_at(p, k))) for k in SAMPLES]
    long = sorted({*chosen} - {*short})
    sampled, note = _sampled(case, {k: records[k] for k in long if records[k].image is None})
    return AttackOutcome(rates | sampled, "samples", curve, note)


def _sampled(case: AttackCase, long: Mapping[int, Record]) -> tuple[dict[str, Values], str]:
    """The leak of long answers (place to record) by samples, [N], with its bounds in words; empty without one."""
    places = sorted(long, key=lambda k: (uniform("leak_at_k", long[k].id), k))[:SAMPLED]
    if not places:
        return {}, ""
    n = DRAWN if case.lm.parameters <= LARGE else FEWER
    hits = sampled_hits(case.lm, [long[k] for k in places], n, case.seed)
    rates = np.full(len(case.records), np.nan)
    rates[places] = [leak_of_samples(count, n, n) for count in hits]
    return {f"sampled_{n}": rates}, hits_in_words(sum(hits), n * len(places))


def hits_in_words(hits: int, n: int) -> str:
    """Hits among samples of long answers with their 95 % bounds."""
    low, high = clopper_pearson(hits, n)
    return f"{hits} of {n} samples state a long answer, {low:.1%} to {high:.1%} (95 %)"
