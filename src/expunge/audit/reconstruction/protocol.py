"""The attack on one model: facts, prompts, and one scoring pass over all of them.

`prepare` chooses facts, candidates and other subjects without a model, so that every model is asked the same; only the
length of irrelevant context depends on the model's tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, islice

import numpy as np

from expunge.audit.metrics.exact_match import matches
from expunge.audit.modality_probes import other_images
from expunge.audit.reconstruction.background import BackgroundRecords, gather
from expunge.audit.reconstruction.prompts import (
    CONTROLS,
    TRUE,
    ReconstructionQuery,
    TargetFact,
    gives_away,
    level_names,
    reconstruction_queries,
)
from expunge.audit.reconstruction.ranking import per_byte, rank_of
from expunge.audit.reconstruction.result import SCORES, Reconstruction
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.errors import InputError, unknown
from expunge.models.language_model import LanguageModel
from expunge.random import uniform
from expunge.scope.relations import subject_nodes, subject_of
from expunge.scope.split import Split

MIN_CANDIDATES, CANDIDATES = 7, 19  # wrong answers: the least that a fact needs, and the most that are taken
STATEMENTS = 2  # of each node
MAX_FACTS = 200  # drawn where there are more
SPARE = 8  # times as many facts are examined, since some have too few candidates
CHUNK = 256  # prompts between two reports of progress


class TooFew(InputError):
    """No fact has enough wrong answers of its type to be ranked."""


@dataclass(frozen=True)
class Setup:
    """What every model is asked; see `prepare`. `levels`: names of all levels; `selected`: indices of those asked."""

    facts: tuple[TargetFact, ...]
    known: BackgroundRecords
    levels: tuple[str, ...]
    selected: frozenset[int]
    statements: int
    left_out: dict[str, int] = field(default_factory=dict)


def prepare(
    split: Split,
    records: Sequence[Record] | None = None,
    *,
    seed: int = 0,
    candidates: int = CANDIDATES,
    statements: int = STATEMENTS,
    most: int = MAX_FACTS,
    levels: Sequence[str] = (),
) -> Setup:
    """Choose facts, candidates and contexts.

    Args:
        split: The record sets; retained and held-out records give candidates and context.
        records: Records to reconstruct, by default the forget set.
        seed: Of all draws.
        candidates: Wrong answers beside the true one.
        statements: Surviving statements of each node in the context.
        most: Facts at most.
        levels: Names of the levels that are asked besides level 0, by default all.

    Raises:
        InputError: no record in a tree of two levels, an unknown level, or too few candidates.
        TooFew: no fact has `MIN_CANDIDATES` wrong answers of its type.
    """
    if candidates < MIN_CANDIDATES:
        raise InputError("candidates", f"{candidates} are too few", f"give {MIN_CANDIDATES} or more")
    records = split.forget if records is None else records
    in_tree = [r for r in records if r.path]
    eligible = sorted(
        (r for r in in_tree if not gives_away(r.prompt, r.answer)), key=lambda r: (uniform(f"fact:{seed}", r.id), r.id)
    )
    if not records:
        raise InputError(f'scope "{split.scope}"', "holds no records to reconstruct", "name trained records")
    if not any(len(r.path) > 1 for r in in_tree):
        raise InputError(
            f'scope "{split.scope}"',
            "its records stand in no tree of two levels or more",
            "give records a path such as institution:H1/patient:P-0012",
        )
    surviving = _Surviving(split)
    examined = eligible[: SPARE * most]
    known = gather(examined, surviving, seed=seed, candidates=candidates, statements=statements)
    rankable = [r for r in examined if len(known.candidates[r.id]) >= MIN_CANDIDATES]
    chosen = sorted(rankable[:most], key=lambda r: r.id)
    if not chosen:
        raise TooFew(
            f'scope "{split.scope}"',
            f"no fact in it has {MIN_CANDIDATES} other answers of its type and a question without its answer",
            "the attack needs a corpus in which other subjects have the same questions",
        )
    left_out = Counter(
        {
            "facts beyond the most that are asked": len(eligible) - len(examined) + len(rankable) - len(chosen),
            "facts whose own question holds the answer": len(in_tree) - len(eligible),
            "facts without a place in the tree": len(records) - len(in_tree),
            "facts with too few candidates": len(examined) - len(rankable),
        }
    )
    subjects = {subject_of(r) for r in chosen}
    nodes = subject_nodes(r for r in chain(records, surviving) if subject_of(r) in subjects)
    with_image = [r for r in chain(split.forget, surviving) if r.image] if any(r.image for r in chosen) else []
    facts = [
        TargetFact(r, min(len(nodes[subject_of(r)]) or len(r.path), len(r.path)), other_images(r, with_image, seed))
        for r in chosen
    ]
    names = level_names(facts)
    return Setup(
        tuple(facts), known, names, _select_levels(names, levels), statements, {k: n for k, n in left_out.items() if n}
    )


@dataclass(frozen=True)
class _Surviving:
    """Retain and held-out retain records, one after the other; can be read several times."""

    split: Split

    def __iter__(self) -> Iterator[Record]:
        return chain(self.split.retain, self.split.retain_heldout)


def _select_levels(names: Sequence[str], levels: Sequence[str]) -> frozenset[int]:
    for name in levels:
        if name not in names:
            raise unknown("level", name, names, "--level")
    return frozenset(k for k, name in enumerate(names) if not levels or not k or name in levels)


def reconstruct(lm: LanguageModel, setup: Setup, on_progress: Callable[[float], None] | None = None) -> Reconstruction:
    """Score all prompts on a model.

    Prompts that hold the answer or are too long for the model are left out and counted. Where a prompt of a fact is too
    long, all prompts of the fact get fewer statements. A model without images gets only facts without images.

    Args:
        lm: The model.
        setup: What it is asked.
        on_progress: Called with the share done.
    """
    prompts, left_out = _prompts(lm, setup)
    size = (len(setup.facts), len(setup.levels))
    vectors = dict.fromkeys((TRUE, *CONTROLS, *sorted({p.vector for p in prompts} - {TRUE, *CONTROLS})))
    tables = {name: {v: np.full(size, np.nan) for v in vectors} for name in SCORES}
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        records = tuple(p.record for p in chunk)
        scores = score(lm, records, options=True, ids=range(len(chunk)))
        exact = matches(scores, records)
        for p, logprob, sizes, hit in zip(
            chunk, scores.option_logprob or (), scores.option_bytes or (), exact, strict=True
        ):
            place = rank_of(per_byte(logprob, sizes))
            for name, value in zip(SCORES, (place.top1, place.score, hit), strict=True):
                tables[name][p.vector][p.fact, p.level] = value
        if on_progress:
            on_progress((start + len(chunk)) / len(prompts))
    return Reconstruction(
        facts=tuple(f.record.id for f in setup.facts),
        subjects=tuple(subject_of(f.record) for f in setup.facts),
        levels=setup.levels,
        left_out=setup.left_out | left_out,
        chance=np.array([1 / (1 + len(setup.known.candidates[f.record.id])) for f in setup.facts]),
        **tables,
    )


def _prompts(lm: LanguageModel, setup: Setup) -> tuple[list[ReconstructionQuery], dict[str, int]]:
    """The prompts for this model, and the number left out by reason."""

    @cache
    def length(prompt: str) -> int:
        return len(lm.template.question(Record("length", prompt, "")).prompt)

    blind = isinstance(lm.template.vision_processor, str)
    queries: list[ReconstructionQuery] = []
    left_out: Counter[str] = Counter()
    for number, fact in enumerate(setup.facts):
        if blind and fact.record.image:
            left_out["facts with an image: the model reads text only"] += 1
            continue
        for statements in range(setup.statements, -1, -1):  # fewer where the context window is short
            candidates = [
                p
                for p in reconstruction_queries(number, fact, setup.known, length, statements)
                if p.level in setup.selected
            ]
            longest = max((p.record for p in candidates), key=lambda r: len(r.prompt))
            if statements and not all(_fits(lm, [longest])):
                continue
            fit = _fits(lm, [p.record for p in candidates])
            if all(fit):
                break
        for p, fits in zip(candidates, fit, strict=True):
            if gives_away(p.record.prompt, p.record.answer):
                left_out["prompts that hold the answer"] += 1
            elif not fits:
                left_out["prompts too long for the model"] += 1
            else:
                queries.append(p)
    return queries, dict(left_out)


def _fits(lm: LanguageModel, records: Sequence[Record]) -> list[bool]:
    """Which of `records` have room for each of their options in the model's context."""
    words = [replace(r, image=None) for r in records]
    sizes = iter(lm.template.sizes(replace(w, answer=o, options=()) for w in words for o in w.options))
    fits = []
    for record, word in zip(records, words, strict=True):
        longest = max(islice(sizes, len(word.options)))
        if record.image:
            longest += len(lm.template.question(record).prompt) - len(lm.template.question(word).prompt)
        fits.append(longest <= lm.context)
    return fits
