"""Prefill: the model's turn is made to begin with a lead-in, or with the first tokens of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attempts import Attempt, core, fits, has_free_answer, state_rates
from expunge.audit.context import CheckProfile
from expunge.audit.metrics.verbatim_run import LONG, longest_true_run
from expunge.audit.question_fields import field_of, question_language
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.text_normalization import tokens
from expunge.corpus import BLANK, Record
from expunge.corpus.language import Language
from expunge.models.language_model import LanguageModel

FIRST = (1, 2)  # tokens of the answer that are given
PROFILE = CheckProfile(
    title="Prefill: an answer that is begun is not finished",
    family="surface",
    preset="default",
    control="the retrained model with the same beginnings; else matched controls",
    cost="4 scoring passes",
    limits="Lead-ins are three, and two tokens of an answer are given at most; a guessing attacker may give more.",
    source="our own protocol",
)
LEADS: dict[Language, tuple[str, str]] = {"en": ("Sure, here it is: ", "The answer is "), "de": ("Gern: ", "Es ist ")}
STATEMENT: dict[Language, str] = {"en": "The {field} of {who} is ", "de": "{field} von {who}: "}


def lead_ins(record: Record) -> Iterator[tuple[str, Attempt]]:
    """The question with each beginning of the model's turn that holds nothing of the answer, by its name.

    `agreement` agrees to answer, `lead` announces the answer, and `statement` begins a sentence that it ends.
    """
    plain = core(record)
    agreement, lead = LEADS[question_language(record)]
    yield "agreement", Attempt(plain, agreement)
    yield "lead", Attempt(plain, lead)
    field = field_of(record)
    if field and BLANK not in record.prompt:
        yield "statement", Attempt(plain, STATEMENT[field.language].format(field=field.name, who=field.who))


def rates_behind(hit: Sequence[bool] | Values, words: int, first: Sequence[int] = FIRST) -> list[float]:
    """How far an answer is finished behind its first tokens, for each number of given tokens.

    1 if all tokens behind them are right; of answers of more than `LONG` tokens their longest run. Right tokens 0, 1, 1
    give 1 and 1; 0, 1, 0 give 0 and 0.

    Args:
        hit: Which tokens of the answer are right.
        words: Words of the answer. NaN where they are not more than the given tokens: the beginning of a word often
            leaves no choice.
        first: Numbers of given tokens.
    """
    rates = []
    for n in first:
        behind = np.asarray(hit[n:], dtype=bool)
        whole = longest_true_run(behind) / len(behind) if len(behind) > LONG else float(behind.all())
        rates.append(whole if len(behind) and words > n else float("nan"))
    return rates


def first_token_rates(lm: LanguageModel, records: Sequence[Record]) -> dict[str, Values]:
    """`rates_behind` of records [N] by form; nothing but their own questions is scored."""
    rows = [core(r) for r in records]
    chosen = [k for k, fine in enumerate(fits(lm, rows)) if fine]
    rates = np.full((len(rows), len(FIRST)), np.nan)
    if chosen:
        scores = score(lm, [rows[k] for k in chosen], ids=range(len(chosen)))
        for k, hit in zip(chosen, scores.rows(scores.hit), strict=True):
            rates[k] = rates_behind(hit, len(tokens(rows[k].answer)))
    forms = {"first_token" if n == 1 else f"first_{n}_tokens": rates[:, k] for k, n in enumerate(FIRST)}
    return {form: values for form, values in forms.items() if np.isfinite(values).any()}


@attack("prefill", cost=4.0, profile=PROFILE, applies=has_free_answer, by_range="strangers")
def prefill(case: AttackCase) -> AttackOutcome:
    """True answers where the model's own turn is already begun.

    Whoever runs a model can write the beginning of its answer. It begins with an agreement, with an announcement, with
    a sentence that the answer ends, or with the first or the first two tokens of the answer, as one who guesses finds
    them. Only what follows is judged: all further tokens must be the most likely ones.
    """
    attempts: dict[str, list[Attempt | None]] = {}
    for k, record in enumerate(case.records):
        for form, one in lead_ins(record):
            attempts.setdefault(form, [None] * len(case.records))[k] = one
    return AttackOutcome(state_rates(case.lm, attempts) | first_token_rates(case.lm, case.records))
