"""Token losses by the level of the word, before and after a run: what token weights do, and to which words.

The level of a token is that of the dictionary's name that covers it, else `other`. Losses are those of the scoring
pass, so a model costs nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.scores import Scores
from expunge.bench.analysis import entry, estimate
from expunge.bench.measures.base import Columns, Study, measure
from expunge.bench.measures.core import scores_of
from expunge.bench.places import ModelPlace
from expunge.concepts.annotate import Annotator
from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Record
from expunge.corpus.record import LEVELS
from expunge.engine.dataset import answer_levels
from expunge.models.language_model import LanguageModel

SETS = ("forget", "heldout")
OTHER = "other"
NAMES = (*LEVELS, OTHER)
Levels = dict[str, list[list[str]]]  # set -> record -> level of each answer token


def word_columns(levels: Mapping[str, Sequence[Sequence[str]]], scored: Mapping[str, Scores]) -> Columns:
    """`<set>_<level>`: mean loss of the tokens of this level, nats; None where there is none."""
    columns: Columns = {}
    for name in SETS:
        flat = np.array([level for of_record in levels[name] for level in of_record])
        loss = -scored[name].logp.astype(np.float64)
        for level in NAMES:
            mine = flat == level
            columns[f"{name}_{level}"] = float(loss[mine].mean()) if mine.any() else None
    return columns


def _summarize(study: Study) -> dict[str, Any]:
    """`word_losses`: request to model to column to mean and interval; `word_counts`: tokens of each kind."""
    tables: dict[str, dict[str, dict[str, Columns]]] = {}  # request -> model -> seed
    counts: dict[str, dict[str, int]] = {}
    for place in study.places():
        levels: Levels | None = place.reference("original").observation("word_losses")
        if levels:
            scored = scores_of(place)
            of = word_columns(levels, {"forget": scored.forget, "heldout": scored.heldout})
            request = str(place.cell.request)
            tables.setdefault(request, {}).setdefault(place.name, {})[str(place.cell.seed)] = of
            flat = {name: [level for of_record in levels[name] for level in of_record] for name in SETS}
            counts[request] = {f"{name}_{level}": flat[name].count(level) for name in SETS for level in NAMES}
    return {
        "word_losses": {
            request: {
                name: {c: entry(*estimate({request: of_seeds}, c)) for c in counts[request]}
                for name, of_seeds in of.items()
            }
            for request, of in tables.items()
        },
        "word_counts": counts,
    }


@measure("word_losses", needs="original", summarize=_summarize)
def word_losses(place: ModelPlace, lm: LanguageModel) -> Levels | None:
    """Level of each answer token of the target and of what stays; None without a dictionary."""
    sets = place.sets
    if sets.dictionary is None:
        return None
    annotator = Annotator(Dictionary.load(sets.dictionary))

    def of(record: Record) -> list[str]:
        item = lm.template.encode(record)
        return [level or OTHER for level in answer_levels(lm.template, annotator, item)[: len(item.content)]]

    return {"forget": [of(r) for r in sets.forget], "heldout": [of(r) for r in sets.heldout]}
