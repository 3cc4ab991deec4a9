"""The controls of the stop rule: never-trained people, asked what the forget records ask.

A surrogate takes the subject's place in the question. Where others give the true answer too, its answer is one that
others give; where nobody else does (a telephone number), it is a new one of that shape, as it would be new to a model
that never met the subject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.record_store import take
from expunge.corpus.surrogate_answers import OtherAnswers, invent
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from expunge.engine.stop_rule import ControlRange
from expunge.errors import InputError
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import mean_nll
from expunge.random import stream

SURROGATES = 8  # controls that are made
OTHER_TYPES = 4000  # most answers to other questions that are looked at


def sample(records: Sequence[Record], count: int, rng: np.random.Generator) -> list[Record]:
    """Up to `count` records, in their order."""
    if len(records) <= count:
        return list(records)
    return list(take(records, sorted(rng.choice(len(records), count, replace=False).tolist())))


def measure_controls(
    lm: LanguageModel,
    forget: Sequence[Record],
    retain: Sequence[Record],
    controls: Sequence[Record],
    seed: int,
    rows: int = 32,
) -> ControlRange:
    """Where never-trained subjects stand on the model before the run.

    Surrogates where they can be made, so that the controls of a later audit decide nothing; else the given controls.

    Raises:
        InputError: the forget records name no identifiers and show no image, and fewer than two controls are given.
    """
    groups = surrogate_controls(forget, retain, seed, rows)
    source = f"{len(groups)} surrogates"
    if not groups:
        by_subject: dict[str, list[Record]] = {}
        for r in controls:
            by_subject.setdefault(r.subject or r.id, []).append(r)
        groups = [
            sample(split_documents(records, lm.template), rows, stream(seed, "stop control", name))
            for name, records in by_subject.items()
        ]
        source = f"{len(groups)} controls"
    if len(groups) < 2:
        raise InputError(
            "recipe: stop.when",
            "needs controls: no surrogates can be made for the forget records, and fewer than two controls are given",
            "add the column identifiers or controls (split: control), or set stop.when=null",
        )
    nll = mean_nll(lm, [r for records in groups for r in records])
    cuts = np.cumsum([len(records) for records in groups])[:-1]
    return ControlRange.of(np.split(nll, cuts), source)


def has_surrogate(record: Record) -> bool:
    """Whether the record's question can be asked about somebody else; a document asks none."""
    return record.kind != "document" and can_ask_about_another(record)


def surrogate_controls(
    forget: Sequence[Record], retain: Sequence[Record], seed: int, rows: int = 32
) -> list[list[Record]]:
    """Questions of the forget records about surrogates, with answers that other subjects give; one list a surrogate.

    At most `rows` questions a surrogate. Records that nothing can be replaced in are left out.
    """
    named = sample([r for r in forget if has_surrogate(r)], rows, stream(seed, "stop forget"))
    answers = ControlAnswers(retain)
    made: list[list[Record]] = [[] for _ in range(SURROGATES)]
    for subject in sorted({r.subject for r in named}):
        own = [r for r in named if r.subject == subject]
        for number, surrogate in enumerate(make_surrogates(own, retain, SURROGATES, seed)):
            for r in own:
                answer = answers.draw(r, stream(seed, "stop answer", number, r.stream_key))
                made[number].append(surrogate.substitute(r, answer))
    return [records for records in made if records]


class ControlAnswers:
    """Answers that could be true of a surrogate, from what the retain records answer."""

    def __init__(self, retain: Sequence[Record]) -> None:
        self._by_type: dict[str, Counter[str]] = {}
        for r in retain:
            self._by_type.setdefault(answer_type(r), Counter())[r.answer] += 1

    def draw(self, record: Record, rng: np.random.Generator) -> str | None:
        """An answer for the record's question; None where the retain records answer nothing like it."""
        kind = answer_type(record)
        known = self._by_type.get(kind, Counter())
        others = sorted(answer for answer in known if answer != record.answer)
        if record.options:
            others = [option for option in record.options if option != record.answer]
        elif record.answer not in known:
            elsewhere = sorted({a for other, answers in self._by_type.items() if other != kind for a in answers})
            drawn = [elsewhere[int(k)] for k in rng.permutation(len(elsewhere))[:OTHER_TYPES]]
            others = invent(record.answer, others, 1, rng, OtherAnswers.of(drawn)) or others
        return others[int(rng.integers(len(others)))] if others else None
