"""People of LUME's second task as a request: published text in the place of a synthetic world.

Some people are to be forgotten, some are never trained, the rest stays; the seed draws who. Every question is there as
published and once more with four answers to choose from, the wrong ones being other people's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.bench.requests import PUBLISHED
from expunge.corpus import Corpus, Record, load_corpus
from expunge.corpus.answer_types import answer_type
from expunge.errors import InputError
from expunge.random import stream
from expunge.synthetic.question_templates import options_text

NAME = "lume-people"
WRONG_OPTIONS = 3


def people_corpus(folder: Path, seed: int, people: int = 120, targets: int = 12, holdout: int = 24) -> Corpus:
    """People of LUME's second task, drawn by the seed, with a question to choose from beside each question.

    Args:
        folder: LUME as published.
        people: people that are trained on; `targets` of them have the attribute `role: forget`.
        holdout: people that no model is trained on.

    Raises:
        InputError: it holds too few people who are asked about by name.
    """
    questions = [r for r in load_corpus(folder, loader="lume") if r.identifiers and r.kind == "generation"]
    by_subject: dict[str, list[Record]] = {}
    for r in questions:
        by_subject.setdefault(r.subject, []).append(r)
    if len(by_subject) < people + holdout:
        what = f"holds {len(by_subject)} people who are asked about by name, {people + holdout} are needed"
        raise InputError(str(folder), what, "give the whole of LUME")
    names = sorted(by_subject)
    order = [names[k] for k in stream(seed, NAME).permutation(len(names))[: people + holdout]]
    role = dict.fromkeys(order, "retain") | dict.fromkeys(order[:targets], "forget")
    role |= dict.fromkeys(order[people:], "holdout")
    chosen = [_with_role(r, role[subject]) for subject in order for r in by_subject[subject]]
    others: dict[str, set[str]] = {}
    for r in chosen:
        if r.split != "holdout":
            others.setdefault(answer_type(r), set()).add(r.answer)
    return Corpus.of([row for r in chosen for row in (r, *_with_options(r, others, seed))], NAME)


def _with_role(record: Record, role: str) -> Record:
    split = "holdout" if role == "holdout" else None
    attributes = {**record.attributes, "role": role}
    return replace(record, split=split, path=record.path[-1:], attributes=attributes, facts=(record.id,))


def _with_options(record: Record, others: Mapping[str, set[str]], seed: int) -> Iterator[Record]:
    """The question with four options; nothing where fewer than three others answer such a question."""
    pool = sorted(others[answer_type(record)] - {record.answer})
    if len(pool) < WRONG_OPTIONS:
        return
    rng = stream(seed, "options", record.id)
    options = [record.answer, *(pool[int(k)] for k in rng.choice(len(pool), WRONG_OPTIONS, replace=False))]
    shuffled = tuple(options[int(k)] for k in rng.permutation(len(options)))
    prompt = f"{record.prompt} {options_text(shuffled)}"
    yield replace(record, id=f"{record.id}~choose", kind="classification", options=shuffled, prompt=prompt)


def load(folder: Path, seed: int, settings: Mapping[str, Any]) -> tuple[Corpus, str]:
    """Records of the request, and the scope to forget."""
    return people_corpus(folder, seed, **settings), "role=forget"


PUBLISHED[NAME] = load
