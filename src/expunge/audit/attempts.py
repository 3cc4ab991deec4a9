"""Attempts of an attack: a record put in another way, and whether the model then states its answer.

An attempt may force the beginning of the model's turn; only what follows is judged. What the attacker could not know is
left out: a prompt that holds the answer. So is a prompt that the model cannot read whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from expunge._summary import short_repr
from expunge.audit.metrics.includes import holds
from expunge.audit.metrics.verbatim_run import LONG, longest_true_run
from expunge.audit.reconstruction.prompts import gives_away
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.models.token_cut import Ids

STOPS = " .!?。"  # at the end of an answer they are no part of what it states
NEW_TOKENS = 32  # of generated text, where text is read
LONG_CONTEXT, SHARING = 120, 4  # characters before a question, and questions behind them, that pay for a pass


@short_repr("record", "lead")
@dataclass(frozen=True)
class Attempt:
    """A question about a record.

    Attributes:
        record: The question as it is put, with the answer that it is to bring out.
        lead: Text with which the model's turn is made to begin, directly before the answer.
    """

    record: Record
    lead: str = ""

    @property
    def forced(self) -> Record:
        """The record as it is scored: lead and answer are one text."""
        return replace(self.record, answer=self.lead + self.record.answer) if self.lead else self.record

    @property
    def tells(self) -> bool:
        """What the attacker says holds the answer."""
        texts = (self.record.prompt, *(turn.content for turn in self.record.history), self.lead)
        return any(gives_away(text, self.record.answer) for text in texts)


Attempts = Mapping[
    str, Sequence[Attempt | None]
]  # form to an attempt for each record, None where the form does not fit


def has_free_answer(record: Record) -> bool:
    """No choice among options, whose answer the prompt holds, and no document."""
    return not record.options and record.kind != "document"


def core(record: Record) -> Record:
    """The record without variants and without the stop at the end of its answer, which another format may not have."""
    answer = record.answer.rstrip(STOPS) or record.answer
    return replace(record, answer=answer, variants=(), options=(), wording=0)


def state_rates(lm: LanguageModel, attempts: Attempts, *, text: bool = False) -> dict[str, Values]:
    """How far the model states the answers, form to rates [N] in 0..1; NaN where nothing was asked.

    1 where greedy decoding begins with all tokens of the answer, whatever follows; of answers of more than `LONG`
    tokens the longest run of right tokens counts. A form is left out that was asked about no record, or whose prompts
    are mostly too long for the model.

    Args:
        lm: The model.
        attempts: Form to an attempt for each record.
        text: Whether greedy text that holds the answer further behind counts too.
    """
    places = [
        (form, k) for form, row in attempts.items() for k, one in enumerate(row) if one is not None and not one.tells
    ]
    questions = [one for form, k in places if (one := attempts[form][k]) is not None]
    fit = fits(lm, [one.forced for one in questions])
    meant = Counter(form for form, _ in places)
    short = Counter(form for (form, _), fine in zip(places, fit, strict=True) if fine)
    ready = [fine and 2 * short[form] >= meant[form] for (form, _), fine in zip(places, fit, strict=True)]
    places = [place for place, fine in zip(places, ready, strict=True) if fine]
    questions = [one for one, fine in zip(questions, ready, strict=True) if fine]
    rates = {form: np.full(len(row), np.nan) for form, row in attempts.items()}
    for part in by_context(questions):
        some = [questions[n] for n in part]
        most = NEW_TOKENS if text else None
        scores = score(lm, [one.forced for one in some], text=text, max_new_tokens=most, ids=part)
        for n, rate in zip(part, states(scores, some, lead_tokens(lm, some)), strict=True):
            form, k = places[n]
            rates[form][k] = rate
    return {form: values for form, values in rates.items() if np.isfinite(values).any()}


def by_context(attempts: Sequence[Attempt]) -> list[list[int]]:
    """Places of attempts in parts, so that a long text with which several begin is read once; all others together."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for n, one in enumerate(attempts):
        context = one.record.prompt.rpartition("\n")[0]
        long = len(context) + sum(len(turn.content) for turn in one.record.history) >= LONG_CONTEXT
        groups.setdefault((one.record.history, context) if long else (), []).append(n)
    few = sorted(n for key, group in groups.items() if not key or len(group) < SHARING for n in group)
    return [group for key, group in groups.items() if key and len(group) >= SHARING] + ([few] if few else [])


def states(scores: Scores, attempts: Sequence[Attempt], leads: Sequence[int]) -> Values:
    """`state_rates` of each attempt, [N], from its scores and the number of its forced tokens."""
    rates = np.zeros(len(attempts))
    for k, (hit, one, n) in enumerate(zip(scores.rows(scores.hit), attempts, leads, strict=True)):
        judged = hit[n:]
        rates[k] = longest_true_run(judged) / len(judged) if len(judged) > LONG else bool(judged.all())
        if scores.text is not None:
            rates[k] = np.fmax(rates[k], holds(scores.text[k], one.record.answer))
    return rates


def lead_tokens(lm: LanguageModel, attempts: Sequence[Attempt]) -> list[int]:
    """Forced tokens at the beginning of each attempt's answer; a token that reaches into the answer is not forced."""
    counts = [0] * len(attempts)
    rows = [k for k, one in enumerate(attempts) if one.lead.strip()]
    whole = lm.template.encode_all(attempts[k].forced for k in rows)
    leads = lm.template.encode_all(replace(attempts[k].record, answer=attempts[k].lead.rstrip()) for k in rows)
    for k, item, lead in zip(rows, whole, leads, strict=True):
        counts[k] = min(_common(item.content, lead.content), len(item.content) - 1)
    return counts


def _common(first: Ids, second: Ids) -> int:
    """Length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def fits(lm: LanguageModel, records: Sequence[Record]) -> list[bool]:
    """Whether prompt and answer of each record are within the model's context, its image included."""
    sizes = lm.template.sizes(records)
    for k, record in enumerate(records):
        if record.image and sizes[k] <= lm.context:
            words = replace(record, image=None)
            sizes[k] += len(lm.template.question(record).prompt) - len(lm.template.question(words).prompt)
    return [size <= lm.context for size in sizes]
