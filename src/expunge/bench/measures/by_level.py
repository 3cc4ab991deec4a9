"""Answers level by level: of the chapter that a run was given, and of records it never saw; and claims on levels.

The forget set holds the target (L4) and fundamentals (L1 to L3) that are taught nowhere else, so only alpha and beta of
their levels protect them. Exchanging these must turn the outcome round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scores import Scores, Values
from expunge.bench.analysis import Effect, Strata, Units, effect, entry, estimate, paired
from expunge.bench.measures.base import Cells, Columns, Study, measure
from expunge.bench.measures.core import scores_of
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.corpus.record import LEVELS

KINDS: Mapping[str, Callable[[Scores, Sequence[Record]], Values]] = {
    "exact": lambda scores, records: matches(scores, tuple(records)),
    "probability": lambda scores, records: probability(scores),
}
Concepts = dict[tuple[str, str], Units]  # (kind, level) -> concept of the chapter -> mean over its records


def read_levels(place: ModelPlace) -> tuple[Columns, Concepts]:
    """`<part>_<kind>_<level>` to the mean over records (None where there is none), and concepts of the chapter."""
    columns: Columns = {}
    concepts: Concepts = {}
    scored, sets = scores_of(place), place.sets
    for part, scores, records in (
        ("chapter", scored.forget, sets.forget),
        ("retain_heldout", scored.heldout, sets.heldout),
    ):
        of_level = np.array([r.concept for r in records])
        for kind, of in KINDS.items():
            values = of(scores, records)
            for level in LEVELS:
                mine = np.flatnonzero(of_level == level)
                columns[f"{part}_{kind}_{level}"] = float(values[mine].mean()) if len(mine) else None
                if part == "chapter":
                    concepts[kind, level] = by_subject(values[mine], [records[k] for k in mine.tolist()])
    return columns, concepts


def by_subject(values: Values, records: Sequence[Record]) -> dict[str, float]:
    """Subject to the mean of `values` [N] over its records, sorted by subject."""
    groups: dict[str, list[float]] = {}
    for value, record in zip(values.tolist(), records, strict=True):
        groups.setdefault(record.subject, []).append(value)
    return {subject: sum(of) / len(of) for subject, of in sorted(groups.items())}


@measure("by_level", needs="study")
def by_level(study: Study) -> dict[str, Any]:
    """`levels`: arm to column to mean and interval; `effects` and `by_world`: arm - base; `claims`: their verdict."""
    cells: dict[str, Cells] = {name: {} for name in study.columns}
    concepts: dict[str, dict[tuple[str, str], Concepts]] = {name: {} for name in study.columns}
    for place in study.places():
        columns, of_place = read_levels(place)
        cells[place.name].setdefault(place.cell.request.world, {})[str(place.cell.seed)] = columns
        concepts[place.name][place.cell.request.world, str(place.cell.seed)] = of_place
    base = study.experiment.options["by_level"]["minus"]
    worlds = list(dict.fromkeys(world for world, _ in concepts[base]))
    arms = [arm.name for arm in study.arms if arm.name != base]

    def against(name: str, kind: str, level: str, world: str | None = None) -> Effect:
        def strata(of: Mapping[tuple[str, str], Concepts]) -> Strata:
            return {place: c[kind, level] for place, c in of.items() if world in (None, place[0])}

        return effect(paired(strata(concepts[name]), strata(concepts[base])))

    effects = {name: {kind: {level: against(name, kind, level) for level in LEVELS} for kind in KINDS} for name in arms}
    claims = []
    for claim in study.experiment.claims:
        if claim.level and claim.arm in effects:
            sign = 1 if claim.sign == "+" else -1
            of = {kind: effects[claim.arm][kind][claim.level] for kind in KINDS}
            claims.append(
                {
                    "key": claim.name,
                    "row": claim.arm,
                    "level": claim.level,
                    "sign": sign,
                    "words": claim.text,
                    "effects": {kind: e.as_row() for kind, e in of.items()},
                    "holds": all(e.excludes_zero(sign) for e in of.values()),
                }
            )
    names = [f"{part}_{kind}_{level}" for part in ("chapter", "retain_heldout") for kind in KINDS for level in LEVELS]
    return {
        "levels": {name: {c: entry(*estimate(of, c)) for c in names} for name, of in cells.items()},
        "effects": {
            name: {kind: {level: e.as_row() for level, e in of.items()} for kind, of in by_kind.items()}
            for name, by_kind in effects.items()
        },
        "by_world": {
            world: {
                name: {kind: {level: against(name, kind, level, world).as_row() for level in LEVELS} for kind in KINDS}
                for name in arms
            }
            for world in worlds
        },
        "claims": claims,
        "failed": study.failed,
    }
