"""Multiple choice by likelihood per byte.

Options that tie share the point, and options with the same text are one option, so that the value does not depend on
the order of options and a model without preference scores chance.
"""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import normalize
from expunge.corpus import Record


def distinct_options(record: Record) -> list[str]:
    """The different option texts of a record, normalized."""
    return list(dict.fromkeys(normalize(option) for option in record.options))


def chance(record: Record) -> float:
    """1/m for m different options; NaN below two."""
    m = len(distinct_options(record))
    return 1 / m if m > 1 else np.nan


def chosen(record: Record, logprob: tuple[float, ...], size: tuple[int, ...]) -> float:
    """Share of the best options (log-likelihood per byte) whose text is the answer; NaN without a real choice.

    `ValueError` if the scores do not belong to these options.
    """
    if len(logprob) != len(record.options):
        raise ValueError(f'record "{record.id}" has {len(record.options)} options but {len(logprob)} scores')
    answer = normalize(record.answer)
    best: dict[str, float] = {}
    for option, value, count in zip(record.options, logprob, size, strict=True):
        name = normalize(option)
        best[name] = max(best.get(name, -np.inf), value / max(count, 1))
    if len(best) < 2 or answer not in best:
        return np.nan
    winners = [name for name, value in best.items() if value == max(best.values())]
    return (answer in winners) / len(winners)


def choices(scores: Scores, records: Records) -> Values:
    """`chosen` for every record, [N]; NaN throughout if no options were scored."""
    if scores.option_logprob is None or scores.option_bytes is None:
        return np.full(len(scores), np.nan)
    return per_record(map(chosen, records, scores.option_logprob, scores.option_bytes))


def chance_corrected(accuracy: float, chance: float) -> float:
    """(accuracy - chance)/(1 - chance), at most 1, not clipped: 0 is guessing, below 0 over-forgetting."""
    return (accuracy - chance) / (1 - chance)


@metric("cloze_top1", kinds=frozenset({"cloze", "completion", "generation"}), floor="chance")
def cloze_top1(scores: Scores, records: Records) -> Values:
    """1 if the true filler ranks first among m of its type by log-likelihood per byte, else 0.

    Ties share the point. Chance is 1/m.
    """
    return choices(scores, records)


@metric("mcq_acc", floor="chance")
def mcq_acc(scores: Scores, records: Records) -> Values:
    """1 if the true option has the highest log-likelihood per byte, else 0.

    Ties share the point; options with the same text are one option. Chance is 1/m for m options.
    """
    return choices(scores, records)


def _pooled(scores: Scores, records: Records) -> Values:
    guess = float(np.mean([chance(r) for r in records]))
    return np.asarray(chance_corrected(float(np.mean(choices(scores, records))), guess))


@metric("mcq_acc_cc", floor="chance", pool=_pooled)
def mcq_acc_cc(scores: Scores, records: Records) -> Values:
    """Multiple-choice accuracy corrected for chance: (accuracy - 1/m)/(1 - 1/m) for m options.

    Not clipped: 0 is guessing, and below 0 the model avoids the right option. A set pools accuracy and chance first.
    """
    guess = per_record(chance(r) for r in records)
    return np.asarray((choices(scores, records) - guess) / (1 - guess))
