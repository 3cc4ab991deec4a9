"""Rephrasings of records, as variants: never trained, and each with an answer that is right by construction.

They show whether a fact is forgotten or only one wording of it. Records of all kinds get some: questions other wordings
and formats (`question_forms.py`) and choices; documents the words before a place, to be continued.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from expunge.corpus.language import language_of
from expunge.corpus.prepare.question_forms import quote, rewordings
from expunge.corpus.record import Record, Variant

PREFIX, CONTINUATION = 24, 12  # words of a document before a place, and after it
YES_NO = {"de": ("ja", "nein"), "en": ("yes", "no")}


def rephrase(
    record: Record, wrong: Sequence[str], trained: Collection[str], count: int, choices: bool, rng: np.random.Generator
) -> Record:
    """The record with more variants.

    Args:
        record: A record; variants that it has stay and come first.
        wrong: Answers that are false of its subject, for choices.
        trained: Prompts that a model was trained on; no variant has one of them.
        count: Variants with a free answer, those that it has among them.
        choices: Add a yes, a no and a choice among the true and the wrong answers.
        rng: Draws the order of options.
    """
    free = list(record.variants)
    taken = {record.prompt, *trained, *(v.prompt for v in free)}
    for variant in _documents(record) if record.kind == "document" else _questions(record):
        if len(free) >= count:
            break
        if variant.prompt not in taken:
            taken.add(variant.prompt)
            free.append(variant)
    choice_variants = list(_choices(record, wrong, rng)) if choices and record.kind != "document" else []
    return replace(record, variants=(*free, *(v for v in choice_variants if v.prompt not in taken)))


def _questions(record: Record) -> Iterator[Variant]:
    """Rules and quotations in turn, so that a few variants already hold both."""
    if record.options or record.kind == "completion" or not record.prompt.strip():
        return
    before, question = _last_question(record.prompt)
    rules = [before + text for text in rewordings(question, record.identifiers)]
    formats = list(quote(record.prompt, language_of(record.prompt)))
    for prompts in zip_longest(rules, formats):
        yield from (Variant(p, record.answer) for p in prompts if p is not None)


def _last_question(prompt: str) -> tuple[str, str]:
    """(what stands before it, the last sentence of a prompt)."""
    start = max((m.end() for m in re.finditer(r"[.!?:\n]\s+(?=[A-ZÄÖÜ])", prompt)), default=0)
    if re.search(r"\b(?:Dr|Prof|Mr|Mrs|Ms|St|Nr|med)\.\s*$", prompt[:start]):
        start = 0
    return prompt[:start], prompt[start:]


def _choices(record: Record, wrong: Sequence[str], rng: np.random.Generator) -> Iterator[Variant]:
    """A yes with the true answer, a no with a wrong one, and a choice; none for a record that is a choice itself."""
    if record.options or record.kind == "completion" or not wrong:
        return
    german = language_of(record.prompt) == "de"
    options = YES_NO["de" if german else "en"]
    for answer, right in ((record.answer, options[0]), (wrong[0], options[1])):
        prompt = (
            f"Frage: {record.prompt}\nVorgeschlagene Antwort: {answer}\nStimmt das? Antworte mit ja oder nein."
            if german
            else f"Question: {record.prompt}\nProposed answer: {answer}\nIs this right? Answer yes or no."
        )
        yield Variant(prompt, right, options)
    if len(wrong) < 2:
        return
    every = [record.answer, *wrong]
    shown = tuple(every[int(k)] for k in rng.permutation(len(every)))
    listed = "\n".join(f"- {option}" for option in shown)
    ask = "Welche dieser Antworten stimmt?" if german else "Which of these answers is right?"
    yield Variant(f"{record.prompt}\n{ask}\n{listed}", record.answer, shown)


def _documents(record: Record) -> Iterator[Variant]:
    """Prefixes at several places and how the document goes on, places that lie far apart first."""
    words = list(re.finditer(r"\S+", record.answer))
    last = len(words) - CONTINUATION
    places = range(CONTINUATION, last + 1, CONTINUATION)
    if last < 1 or not places:
        return
    for k in sorted(range(len(places)), key=lambda k: _spread_order(k, len(places))):
        first, cut = max(0, places[k] - PREFIX), words[places[k] - 1].end()  # the space belongs to what follows
        end = words[places[k] + CONTINUATION - 1].end()
        yield Variant(record.answer[words[first].start() : cut], record.answer[cut:end])


def _spread_order(k: int, count: int) -> tuple[int, int]:
    """Sorts the middle first, then quarters, then eighths."""
    depth, low, high = 0, 0, count - 1
    while low <= high:
        middle = (low + high) // 2
        if k == middle:
            return depth, k
        low, high = (low, middle - 1) if k < middle else (middle + 1, high)
        depth += 1
    return depth, k


def known_first(records: Sequence[Record], known: Collection[str], count: int) -> list[Record]:
    """The records with at most `count` rephrasings that have a free answer, those that a model answers first.

    Questions of one form lose the same rephrasings, so that people and their controls are asked alike.

    Args:
        records: Records to be forgotten and their controls; a control's id begins with that of its record and `~`.
        known: Row ids of the wordings of records to be forgotten that the model answers.
        count: Rephrasings that are kept.
    """
    places: dict[str, list[int]] = {}
    for r in records:
        if r.split != "control":
            rows = [(w.row_id not in known, k) for k, w in enumerate(r.wordings()[1:]) if w.options == r.options]
            places[r.id] = sorted(k for _, k in sorted(rows)[:count])
    return [_with_places(r, places.get(r.id.rpartition("~control-")[0] or r.id), count) for r in records]


def _with_places(record: Record, places: Sequence[int] | None, count: int) -> Record:
    free = [k for k, v in enumerate(record.variants) if not v.options]
    places_left = set(free[:count] if places is None else places)
    return replace(record, variants=tuple(v for k, v in enumerate(record.variants) if k in places_left or v.options))
