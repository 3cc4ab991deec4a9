"""Format shift: the forgotten questions as list, table, JSON, yes or no, cloze, sentence, and in another language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attempts import Attempt, core, fits, state_rates
from expunge.audit.context import CheckProfile
from expunge.audit.question_fields import as_statement, field_of, question_language
from expunge.audit.scores import Values
from expunge.audit.scoring import score
from expunge.audit.text_normalization import normalize
from expunge.corpus import BLANK, Record
from expunge.corpus.answer_types import answer_type, answers_by_type
from expunge.corpus.formats import is_open_question
from expunge.corpus.language import Language
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

WRONG = 3  # values that must be denied beside the true one that must be affirmed
CHANCE = 0.5 ** (WRONG + 1)
PROFILE = CheckProfile(
    title="Format shift: the answers do not come in a list, a table, JSON, a cloze or a yes",
    family="surface",
    preset="default",
    control="the retrained model in the same formats; else matched controls",
    cost="up to 6 scoring passes, and 4 short ones for yes or no",
    limits="Seven formats made by rules; a format that no rule makes may still bring an answer out.",
    source="our own protocol",
)
FORMS: dict[Language, dict[str, tuple[str, str, str]]] = {  # instruction in a chat; with a field; with a question
    "en": {
        "list": ("Complete the list.", "{who}\n- {field}:", "{question}\n-"),
        "table": (
            "Complete the table.",
            "| name | {field} |\n|---|---|\n| {who} |",
            "| ask | answer |\n| {question} |",
        ),
        "json": ("Complete the object.", '{{"name": "{who}", "{field}":', '{{"ask": "{question}", "answer":'),
        "cloze": ("Fill in the blank.", "The {field} of {who} is [blank].", "{question} It is [blank]."),
        "sentence": ("Complete the sentence.", "The {field} of {who} is", "{question} The answer is"),
    },
    "de": {
        "list": ("Vervollständige die Liste.", "{who}\n- {field}:", "{question}\n-"),
        "table": (
            "Vervollständige die Tabelle.",
            "| Name | {field} |\n|---|---|\n| {who} |",
            "| Frage | Antwort |\n| {question} |",
        ),
        "json": ("Vervollständige das Objekt.", '{{"Name": "{who}", "{field}":', '{{"Frage": "{question}", "Antwort":'),
        "cloze": ("Fülle die Lücke.", "{field} von {who}: [blank].", "{question} Antwort: [blank]."),
        "sentence": ("Vervollständige den Satz.", "{field} von {who}:", "{question} Die Antwort ist"),
    },
}
YES_NO: dict[Language, tuple[str, str, str]] = {
    "en": ("Is this right? Answer yes or no.", "yes", "no"),
    "de": ("Stimmt das? Antworte mit ja oder nein.", "ja", "nein"),
}


def shifted(record: Record, chat: bool) -> Iterator[tuple[str, Attempt]]:
    """The question of a record in every format that a rule makes, by its name.

    Args:
        record: A free question.
        chat: Say in a line what is wanted, as a chat model is asked.
    """
    plain, field = core(record), field_of(record)
    language = field.language if field else question_language(record)
    for form, (instruction, with_field, with_question) in FORMS[language].items():
        if field:
            text = with_field.format(field=field.name, who=field.who)
        elif BLANK in record.prompt:
            continue
        else:
            text = with_question.format(question=record.prompt)
        prompt = f"{instruction}\n{text}" if chat else text
        yield form, Attempt(replace(plain, prompt=prompt, kind="generation"), '"' if form == "json" else "")
    for other in record.wordings()[1:]:
        if not other.options and question_language(other) != question_language(record):
            yield "second_language", Attempt(core(other))
            return


def format_attempts(case: AttackCase, chat: bool) -> dict[str, list[Attempt | None]]:
    """Form to an attempt for each record of the case.

    Two records that come out as the same question are asked once; a question in a form that was trained is not asked.
    """
    trained = {prompt_template_of(r) for r in case.split.forget}
    table: dict[str, list[Attempt | None]] = {}
    seen: set[tuple[str, str]] = set()
    for k, record in enumerate(case.records):
        for form, one in shifted(record, chat):
            key = (record.subject, one.record.prompt)
            if key in seen or prompt_template_of(one.record) in trained:
                continue
            seen.add(key)
            table.setdefault(form, [None] * len(case.records))[k] = one
    return table


def wrong_values(record: Record, by_type: Mapping[str, Sequence[str]]) -> list[str]:
    """`WRONG` other values of the type of the answer; [] where there are fewer.

    Args:
        record: The fact.
        by_type: Answer type to values of surviving records.
    """
    values = [v for v in by_type.get(answer_type(record), ()) if normalize(v) != normalize(record.answer)]
    values.sort(key=lambda v: (uniform("yes or no", f"{record.id}:{v}"), v))
    return values[:WRONG] if len(values) >= WRONG else []


def yes_no_questions(record: Record, values: Sequence[str]) -> list[Record]:
    """Whether each value is the answer, as a choice of yes and no; the first value is the true one."""
    ask, yes, no = YES_NO[question_language(record)]
    return [
        replace(
            record,
            prompt=f"{as_statement(record.prompt, value)}\n{ask}",
            answer=no if k else yes,
            options=(yes, no),
            kind="classification",
            variants=(),
        )
        for k, value in enumerate(values)
    ]


def affirmation_rate(yes: Sequence[bool]) -> float:
    """1 for a yes to the first value and a no to all others, corrected for the chance of a coin at each.

    yes, no, no, no gives 1; anything else -1/15.
    """
    right = bool(yes[0]) and not any(yes[1:])
    return (right - CHANCE) / (1 - CHANCE)


def yes_no_rates(lm: LanguageModel, case: AttackCase) -> Values:
    """`affirmation_rate` of each record, [N]; NaN where too few wrong values of its type survive."""
    by_type = answers_by_type(chain(case.split.retain, case.split.retain_heldout))
    rates = np.full(len(case.records), np.nan)
    by_record: list[tuple[int, list[Record]]] = []
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for k, record in enumerate(case.records):
        values = wrong_values(record, by_type)
        if not values or (record.subject, record.fact_keys) in seen:
            continue
        questions = yes_no_questions(record, [record.answer, *values])
        if all(fits(lm, questions)):
            seen.add((record.subject, record.fact_keys))
            by_record.append((k, questions))
    rows = [q for _, questions in by_record for q in questions]
    if rows:
        logprob = score(lm, rows, options=True, ids=range(len(rows))).option_logprob or ()
        yes = [first > second for first, second in logprob]
        for n, (k, _) in enumerate(by_record):
            rates[k] = affirmation_rate(yes[n * (WRONG + 1) : (n + 1) * (WRONG + 1)])
    return rates


@attack("format_shift", cost=6.0, profile=PROFILE, applies=is_open_question, by_range="strangers")
def format_shift(case: AttackCase) -> AttackOutcome:
    """True answers in formats in which nothing was trained.

    Rules turn each question into an item of a list, a cell of a table, a value of a JSON object, a cloze and the
    beginning of a sentence, and take a rephrasing in a second language where the records have one. An answer counts
    whatever follows it. For yes or no a fact counts that is affirmed with its true value and denied with three wrong
    values of the same type, corrected for chance.
    """
    rates = state_rates(case.lm, format_attempts(case, case.lm.template.kind == "chat"))
    decided = yes_no_rates(case.lm, case)
    return AttackOutcome(rates | ({"yes_no": decided} if np.isfinite(decided).any() else {}))
