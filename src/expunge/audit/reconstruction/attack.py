"""The attack on one model: which facts, which prompts, one scoring pass over all of them.

Surprising: facts, candidates and strangers are chosen without any model (`prepare`), so every model is asked the same;
only the length of irrelevant context follows the model's own tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np

from expunge.audit.metrics.exact_match import matches
from expunge.audit.reconstruction.background import BackgroundRecords, gather
from expunge.audit.reconstruction.image_controls import shown_instead
from expunge.audit.reconstruction.prompts import (
    CONTROLS,
    TRUE,
    ReconstructionQuery,
    TargetFact,
    ask,
    gives_away,
    level_names,
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

FEWEST, CANDIDATES = 7, 19  # other answers: the least with which a fact is asked, and how many are taken
STATEMENTS = 2
MOST = 200  # facts that are asked, drawn where there are more
SPARE = 8  # times as many facts are looked at, since some have too few candidates
TURN = 256  # prompts between two reports of progress


class TooFew(InputError):
    """The corpus asks too few others the same, so that no fact can be ranked."""


@dataclass(frozen=True)
class Setup:
    """What every model is asked; see `prepare`. `levels`: names of all levels; `wanted`: which are asked."""

    facts: tuple[TargetFact, ...]
    known: BackgroundRecords
    levels: tuple[str, ...]
    wanted: frozenset[int]
    statements: int
    left_out: dict[str, int] = field(default_factory=dict)


def prepare(
    split: Split,
    records: Sequence[Record] | None = None,
    *,
    seed: int = 0,
    candidates: int = CANDIDATES,
    statements: int = STATEMENTS,
    most: int = MOST,
    levels: Sequence[str] = (),
) -> Setup:
    """Facts, candidates and contexts for `records` (default: all that must be forgotten), drawn by `seed`.

    statements  surviving ones that are told of each node
    most        facts at most; levels: names of those that are asked besides level 0, default all
    `InputError` without a tree of two levels, for an unknown level; `TooFew` if no fact has seven other answers.
    """
    if candidates < FEWEST:
        raise InputError("candidates", f"{candidates} are too few", f"give {FEWEST} or more")
    given = split.forget if records is None else records
    placed = [r for r in given if r.path]
    open_ = sorted(
        (r for r in placed if not gives_away(r.prompt, r.answer)), key=lambda r: (uniform(f"fact:{seed}", r.id), r.id)
    )
    if not given:
        raise InputError(f'scope "{split.scope}"', "holds no records to reconstruct", "name trained records")
    if not any(len(r.path) > 1 for r in placed):
        raise InputError(
            f'scope "{split.scope}"',
            "its records stand in no tree of two levels or more",
            "give records a path such as institution:H1/patient:P-0012",
        )
    surviving = _Surviving(split)
    looked = open_[: SPARE * most]
    known = gather(looked, surviving, seed=seed, candidates=candidates, statements=statements)
    able = [r for r in looked if len(known.candidates[r.id]) >= FEWEST]
    asked = sorted(able[:most], key=lambda r: r.id)
    if not asked:
        raise TooFew(
            f'scope "{split.scope}"',
            f"no fact in it has {FEWEST} other answers of its type and a question without its answer",
            "the attack needs a corpus in which others are asked the same",
        )
    left_out = Counter(
        {
            "facts beyond the most that are asked": len(open_) - len(looked) + len(able) - len(asked),
            "facts whose own question holds the answer": len(placed) - len(open_),
            "facts without a place in the tree": len(given) - len(placed),
            "facts with too few candidates": len(looked) - len(able),
        }
    )
    mine = {subject_of(r) for r in asked}
    nodes = subject_nodes(r for r in chain(given, surviving) if subject_of(r) in mine)
    shown = [r for r in chain(split.forget, surviving) if r.image] if any(r.image for r in asked) else []
    facts = [
        TargetFact(r, min(len(nodes[subject_of(r)]) or len(r.path), len(r.path)), shown_instead(r, shown, seed))
        for r in asked
    ]
    names = level_names(facts)
    return Setup(
        tuple(facts), known, names, _wanted(names, levels), statements, {k: n for k, n in left_out.items() if n}
    )


@dataclass(frozen=True)
class _Surviving:
    """Retained and retain_heldout records, one after the other, as often as they are read."""

    split: Split

    def __iter__(self) -> Iterator[Record]:
        return chain(self.split.retain, self.split.retain_heldout)


def _wanted(names: Sequence[str], levels: Sequence[str]) -> frozenset[int]:
    for name in levels:
        if name not in names:
            raise unknown("level", name, names, "--level")
    return frozenset(k for k, name in enumerate(names) if not levels or not k or name in levels)


def reconstruct(lm: LanguageModel, setup: Setup, on_progress: Callable[[float], None] | None = None) -> Reconstruction:
    """Ask a model all prompts. Those that hold the answer or are too long for it are left out and counted.

    Where a prompt of a fact is too long, fewer survivors are told in all of the fact's prompts. A model that reads no
    pictures is asked only what shows none. `on_progress` gets the share done.
    """
    prompts, left_out = _prompts(lm, setup)
    size = (len(setup.facts), len(setup.levels))
    vectors = dict.fromkeys((TRUE, *CONTROLS, *sorted({p.vector for p in prompts} - {TRUE, *CONTROLS})))
    tables = {name: {v: np.full(size, np.nan) for v in vectors} for name in SCORES}
    for start in range(0, len(prompts), TURN):
        turn = prompts[start : start + TURN]
        records = tuple(p.record for p in turn)
        found = score(lm, records, options=True)
        exact = matches(found, records)
        for p, logprob, sizes, hit in zip(
            turn, found.option_logprob or (), found.option_bytes or (), exact, strict=True
        ):
            stands = rank_of(per_byte(logprob, sizes))
            for name, value in zip(SCORES, (stands.top1, stands.score, hit), strict=True):
                tables[name][p.vector][p.fact, p.level] = value
        if on_progress:
            on_progress((start + len(turn)) / len(prompts))
    return Reconstruction(
        facts=tuple(f.record.id for f in setup.facts),
        subjects=tuple(subject_of(f.record) for f in setup.facts),
        levels=setup.levels,
        left_out=setup.left_out | left_out,
        chance=np.array([1 / (1 + len(setup.known.candidates[f.record.id])) for f in setup.facts]),
        **tables,
    )


def _prompts(lm: LanguageModel, setup: Setup) -> tuple[list[ReconstructionQuery], dict[str, int]]:
    """What can be asked of this model, and how many prompts cannot, by reason."""

    @cache
    def length(prompt: str) -> int:
        return len(lm.template.prompt_ids(prompt))

    blind = isinstance(lm.template.vision_processor, str)
    kept: list[ReconstructionQuery] = []
    left_out: Counter[str] = Counter()
    for number, fact in enumerate(setup.facts):
        if blind and fact.record.image:
            left_out["facts with a picture, of which the model reads none"] += 1
            continue
        for statements in range(setup.statements, -1, -1):  # fewer where the model reads no longer prompts
            asked = [p for p in ask(number, fact, setup.known, length, statements) if p.level in setup.wanted]
            fit = [_fits(lm, p.record) for p in asked]
            if all(fit):
                break
        for p, fits in zip(asked, fit, strict=True):
            if gives_away(p.record.prompt, p.record.answer):
                left_out["prompts that hold the answer"] += 1
            elif not fits:
                left_out["prompts too long for the model"] += 1
            else:
                kept.append(p)
    return kept, dict(left_out)


def _fits(lm: LanguageModel, record: Record) -> bool:
    longest = max(len(lm.template.answer_ids(option, record.prompt)) for option in record.options)
    return len(lm.template.question(record).prompt) + longest <= lm.context
