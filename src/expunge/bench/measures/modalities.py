"""Exact answers by the modality that a fact was trained by and the one it is asked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.mcq import choices
from expunge.audit.scoring import score
from expunge.bench.measures.base import Columns, Study, measure, round_columns
from expunge.bench.measures.core import MAX_NEW_TOKENS
from expunge.bench.places import ModelPlace
from expunge.bench.world_instance import WorldInstance
from expunge.corpus import Record
from expunge.corpus.relabel import WrongAnswers
from expunge.models.language_model import LanguageModel
from expunge.random import stream

MODALITIES = ("both", "image", "text")
IDENTIFYING = ("record_number", "date_of_birth", "phone", "email")
CANDIDATES = 19  # other subjects' answers beside the true one


def _read(place: ModelPlace) -> Columns:
    return round_columns({"whose": place.observation("modalities")["whose"]})


def _summarize(study: Study) -> dict[str, Any]:
    matrices: dict[str, list[Any]] = {name: [] for name in study.columns}
    for place in study.places():
        matrices[place.name].append(place.observation("modalities")["cues"])
    return {"matrices": {name: _mean_matrix(of) for name, of in matrices.items()}}


@measure("modalities", needs="model", columns=("whose",), read=_read, summarize=_summarize)
def modalities(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """`cues`: trained modality to probe modality to exact answers on the target; `whose`: share of images whose subject
    is told from the others (with candidates, since a model that cannot spell a number may still know whose it is).
    """
    world = place.cell.request.build_world(place.cell.seed)
    probes = {r.id: world.probes(r) for r in place.sets.forget}
    cues: dict[str, dict[str, float]] = {}
    for probe in MODALITIES:
        rows = [r for r in place.sets.forget if probe in probes[r.id]]
        records = tuple(probes[r.id][probe] for r in rows)
        trained = np.array([str(r.attributes["cue"]) for r in rows])
        exact = matches(score(lm, records, text=True, max_new_tokens=MAX_NEW_TOKENS), records)
        for modality in sorted(set(trained.tolist())):
            cues.setdefault(modality, {})[probe] = float(exact[trained == modality].mean())
    whose = _whose(place.cell, probes)
    known = float(np.nanmean(choices(score(lm, whose, options=True), tuple(whose)))) if whose else None
    return {"cues": cues, "whose": known}


def _whose(cell: WorldInstance, probes: Mapping[str, Mapping[str, Record]]) -> list[Record]:
    """Facts that only one subject has, asked by the image alone with other subjects' answers as options."""
    sets = cell.sets()
    wrong = WrongAnswers(sets.forget, sets.corpus.trained, cell.seed)
    rows = []
    for r in sets.forget:
        shown = probes[r.id].get("image")
        if r.attributes.get("relation") not in IDENTIFYING or r.kind != "generation" or not shown:
            continue
        others = wrong.of_type(r)
        drawn = stream(cell.seed, "whose", r.id).permutation(len(others))[:CANDIDATES]
        rows.append(replace(shown, options=(r.answer, *(others[int(k)] for k in drawn))))
    return rows


def _mean_matrix(matrices: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Trained modality to probe modality to the mean over requests and seeds."""
    values: dict[tuple[str, str], list[float]] = {}
    for matrix in matrices:
        for trained, row in matrix.items():
            for probe, value in row.items():
                values.setdefault((trained, probe), []).append(value)
    return {
        t: {p: sum(v) / len(v) for p in MODALITIES if (v := values.get((t, p)))}
        for t in MODALITIES
        if any((t, p) in values for p in MODALITIES)
    }
