"""People of LUME's second task as a cell: published text in the place of a world made here.

Some people are to be forgotten, some are never taught, the rest stays; the seed draws who. Every question stands there
as published and once more with four answers to choose from, the wrong ones being other people's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from expunge.corpus import Corpus, Record, load_corpus
from expunge.corpus.answer_types import answer_type
from expunge.errors import InputError
from expunge.random import stream
from expunge.synthetic.question_templates import options_text

NAME = "lume-people"
TARGET = "role=forget"
WRONG = 3


def corpus(folder: Path, seed: int, people: int = 120, targets: int = 12, holdout: int = 24) -> Corpus:
    """`people` that are taught, `targets` of them with the attribute `role: forget`, and `holdout` never taught.

    folder  LUME as published. `InputError` if it holds too few people who are asked about by name.
    """
    asked = [r for r in load_corpus(folder, loader="lume") if r.identifiers and r.kind == "generation"]
    found: dict[str, list[Record]] = {}
    for r in asked:
        found.setdefault(r.subject, []).append(r)
    if len(found) < people + holdout:
        raise InputError(
            str(folder),
            f"holds {len(found)} people who are asked about by name, {people + holdout} are needed",
            "give the whole of LUME",
        )
    names = sorted(found)
    order = [names[k] for k in stream(seed, NAME).permutation(len(names))[: people + holdout]]
    role = (
        dict.fromkeys(order, "retain")
        | dict.fromkeys(order[:targets], "forget")
        | dict.fromkeys(order[people:], "holdout")
    )
    chosen = [_placed(r, role[subject]) for subject in order for r in found[subject]]
    others: dict[str, set[str]] = {}
    for r in chosen:
        if r.split != "holdout":
            others.setdefault(answer_type(r), set()).add(r.answer)
    return Corpus.of([row for r in chosen for row in (r, *_to_choose(r, others, seed))], NAME)


def _placed(record: Record, role: str) -> Record:
    return replace(
        record,
        split="holdout" if role == "holdout" else None,
        path=record.path[-1:],
        attributes={**record.attributes, "role": role},
        facts=(record.id,),
    )


def _to_choose(record: Record, others: dict[str, set[str]], seed: int) -> Iterator[Record]:
    """The question with four options; nothing where fewer than three others answer such a question."""
    pool = sorted(others[answer_type(record)] - {record.answer})
    if len(pool) < WRONG:
        return
    rng = stream(seed, "options", record.id)
    options = [record.answer, *(pool[int(k)] for k in rng.choice(len(pool), WRONG, replace=False))]
    shuffled = tuple(options[int(k)] for k in rng.permutation(len(options)))
    yield replace(
        record,
        id=f"{record.id}~choose",
        kind="classification",
        options=shuffled,
        prompt=f"{record.prompt} {options_text(shuffled)}",
    )
