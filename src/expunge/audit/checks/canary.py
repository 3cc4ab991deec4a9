"""Canary exposure: how far ahead of chance are the random answers of people who were invented and planted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log2

import numpy as np

from expunge.audit.attack import AttackCase, AttackOutcome, AttackProbe, judge_attack
from expunge.audit.context import CheckOutput, CheckProfile, Context, check
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.random import stream

MARK = "canary:"  # subjects of canaries begin with it
SPACE = 64  # answers that a canary's own is ranked among
MOST = 64  # canaries of each kind that are asked
MARGIN = 1 / log2(SPACE)  # one bit
PROFILE = CheckProfile(
    title="Canary exposure: planted random answers are ranked like those of canaries that were left out",
    family="membership",
    preset="default",
    control="the retrained model, else canaries that the coin left out, on the same model",
    cost="64 short answers for each canary, its question read once",
    limits="It speaks of canaries alone, and only where they were planted before the training.",
    source="Carlini et al. 2019 (arXiv 1802.08232)",
)


def is_canary(record: Record) -> bool:
    """Whether the subject of a record was invented as a canary."""
    return record.subject.startswith(MARK)


def exposure(rank: int, space: int) -> float:
    """log2 of the space less log2 of the rank, as a share of its largest value: 1 at rank 1, 0 at the last rank.

    Of 64 answers, rank 8 gives 3 of 6 bits, .5.
    """
    return 1 - log2(rank) / log2(space)


def with_rivals(record: Record, words: Sequence[str], seed: int) -> Record:
    """The record with its answer and other draws of as many words as options; fewer where there are not so many."""
    rng, count = stream(seed, "canary rivals", record.id), len(record.answer.split())
    options = {record.answer: None}
    for _ in range(4 * SPACE):
        if len(options) == SPACE:
            break
        options[" ".join(words[int(k)] for k in rng.integers(0, len(words), count))] = None
    return replace(record, options=tuple(options), kind="classification")


def ranks_of_first(option_logprob: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]]) -> list[int]:
    """Rank of the first option of each record by mean log-probability of a token, ties counted against it."""
    ranks = []
    for values, sizes in zip(option_logprob, tokens, strict=True):
        means = [value / size for value, size in zip(values, sizes, strict=True)]
        ranks.append(1 + sum(mean > means[0] for mean in means[1:]))
    return ranks


def canary_exposure(case: AttackCase) -> AttackOutcome:
    """Exposure of each canary of the case."""
    known = (*case.split.forget, *case.split.holdout)
    words = sorted({word for r in known if is_canary(r) for word in r.answer.split()})
    records = [with_rivals(r, words, case.seed) for r in case.records]
    scores = score(case.lm, records, options=True, ids=range(len(records)))
    assert scores.option_logprob is not None
    assert scores.option_tokens is not None
    ranks = ranks_of_first(scores.option_logprob, scores.option_tokens)
    rates: Values = np.array(
        [exposure(k, len(r.options)) if len(r.options) > 1 else np.nan for k, r in zip(ranks, records, strict=True)]
    )
    return AttackOutcome({"exposure": rates} if np.isfinite(rates).any() else {})


def canary_probe(ctx: Context) -> AttackProbe | None:
    """Planted canaries of the forget set, and those of the holdout, which the coin left out."""
    planted = drawn([r for r in ctx.split.forget if is_canary(r)], MOST, "canaries")
    if not planted:
        return None
    out = drawn([r for r in ctx.split.holdout if is_canary(r)], MOST, "canaries")
    case = AttackCase(None, "", planted, ctx.split, ctx.policy.attack_seeds[0], ctx.fresh)  # type: ignore[arg-type]
    return AttackProbe(canary_exposure, case, out if ctx.reference == "controls" else ())


@check("canary", probe=canary_probe, profile=PROFILE)
def canary(ctx: Context) -> CheckOutput:
    """How high the model ranks the random answer of a planted canary among 64 random answers.

    Canaries are invented people with random answers, each included in the training by a fair coin (Carlini et al.
    2019). Exposure is log2 of the number of answers less log2 of the rank, here as a share of its largest value. After
    unlearning it must be that of canaries which were left out, within a bit. Records whose subject begins with
    `canary:` are canaries: planted ones in the forget set, left-out ones in the holdout.
    """
    return judge_attack(ctx, "canary", PROFILE, MARGIN)
