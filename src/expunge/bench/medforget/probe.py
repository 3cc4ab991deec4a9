"""What a model of the suite is asked beside the common passes: other cues, and its memory with context.

Surprising: who a picture shows is asked with candidates, not as free text; a model that cannot spell a record number
may still tell whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from expunge._io import read_json, write_json
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.mcq import choices
from expunge.audit.reconstruction import Reconstruction, Setup, prepare, reconstruct
from expunge.audit.scoring import score
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.measure import LONGEST
from expunge.corpus import Record
from expunge.corpus.relabel import WrongAnswers
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.random import stream
from expunge.synthetic.base import WORLDS

CUES = ("both", "image", "text")
IDENTIFYING = ("record_number", "date_of_birth", "phone", "email")
CANDIDATES = 19
FACTS = 40  # of a level that are attacked with growing context
FILE, ATTACK = "cues.json", "reconstruction.json"


@dataclass(frozen=True)
class Asked:
    """The questions of a cell.

    cues   record id → cue → the same question under it
    whose  facts that only one person has, asked by picture alone with `CANDIDATES` other people's as options
    setup  of the attack; None where a small world has too few other answers
    """

    cues: Mapping[str, Mapping[str, Record]]
    whose: Sequence[Record]
    setup: Setup | None


@lru_cache(maxsize=4)
def asked(cell: Cell) -> Asked:
    """Drawn once for all models of a cell."""
    kind: Any = WORLDS.get(cell.domain.world, "world")
    world = kind.preset(cell.domain.preset, seed=cell.seed, **cell.domain.settings)
    sets = cell.sets()
    cues = {r.id: world.probes(r) for r in sets.forget}
    wrong = WrongAnswers(sets.forget, sets.corpus.trained, cell.seed)
    whose = []
    for r in sets.forget:
        shown = cues[r.id].get("image")
        if r.attributes.get("relation") not in IDENTIFYING or r.kind != "generation" or not shown:
            continue
        others = wrong.of_type(r)
        drawn = stream(cell.seed, "whose", r.id).permutation(len(others))[:CANDIDATES]
        whose.append(replace(shown, options=(r.answer, *(others[int(k)] for k in drawn))))
    try:
        setup = prepare(sets.split, seed=cell.seed, most=FACTS)
    except InputError:
        setup = None
    return Asked(cues, tuple(whose), setup)


def examine(cell: Cell, model: Path, scores: Path) -> dict[str, Any]:
    """Exact answers by trained cue and probe cue, who is recognised, and the attack; kept beside the model's scores."""
    if not examined(scores):
        lm = merge_adapter(load(model))
        questions = asked(cell)
        if questions.setup and not (scores / ATTACK).is_file():
            reconstruct(lm, questions.setup).save(scores / ATTACK)
        write_json(scores / FILE, {"cues": by_cue(lm, cell, questions), "whose": recognised(lm, questions.whose)})
    found: dict[str, Any] = read_json(scores / FILE)
    return found


def examined(scores: Path) -> bool:
    return (scores / FILE).is_file()


def attacked(scores: Path) -> Reconstruction | None:
    return Reconstruction.load(scores / ATTACK) if (scores / ATTACK).is_file() else None


def by_cue(lm: LanguageModel, cell: Cell, questions: Asked) -> dict[str, dict[str, float]]:
    """Trained cue → probe cue → share of the target's answers given exactly."""
    found: dict[str, dict[str, float]] = {}
    for way in CUES:
        records = tuple(questions.cues[r.id][way] for r in cell.sets().forget if way in questions.cues[r.id])
        trained = np.array([str(r.attributes["cue"]) for r in cell.sets().forget if way in questions.cues[r.id]])
        exact = matches(score(lm, records, text=True, max_new_tokens=LONGEST), records)
        for cue in sorted(set(trained.tolist())):
            found.setdefault(cue, {})[way] = float(exact[trained == cue].mean())
    return found


def recognised(lm: LanguageModel, whose: Sequence[Record]) -> float | None:
    """Share of pictures whose person is told from the others; None where a level asks for no such fact."""
    if not whose:
        return None
    return float(np.nanmean(choices(score(lm, whose, options=True), tuple(whose))))
