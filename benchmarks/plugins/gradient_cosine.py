"""Cosines of forget and retain gradients, before any step and during runs, and what a gradient rule is worth.

Before any step they are taken on the weights: in a fresh adapter B is 0, so half of its matrices have no gradient, and
those of the other half depend on a random A. At equal steps every projection keeps more, because it forgets less; so
do a smaller learning rate and a heavier retain term. The sum is run along both, and a rule is compared with what the
sum keeps where as many exact answers on the target are left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from expunge.bench import analysis
from expunge.bench.analysis import Point, difference, entry, estimate
from expunge.bench.measures.base import Cells, Columns, Study, measure
from expunge.bench.pipeline import Trial
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.record import LEVELS
from expunge.gradients.base import Gradients, cosine
from expunge.models.adapters import block_of, block_stack
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.language_model import LanguageModel
from expunge.random import stream
from expunge.synthetic.knowledge.overlap import measure as measure_overlap

ROWS = 64  # in a pass
SMALL = 1e-5  # of |g_r|: below it there is nothing to project against
ALL, SHUFFLED = "all", "shuffled"
RUN_COLUMNS = ("cosine", "conflict", "drift", "rises")
SHOWN = ("retention", "leak_mean", "cosine")
EQUAL_STEPS = {"retention": "retention", "leak": "leak_mean", "distance": "distance_to_retrained", "drift": "drift"}


def shuffle_answers(records: Sequence[Record], seed: int) -> list[Record]:
    """The records with answers exchanged among those that ask the same; a question that is asked once is left out."""
    groups: dict[str, list[Record]] = {}
    for r in records:
        groups.setdefault(answer_type(r), []).append(r)
    rows = []
    for kind, group in groups.items():
        order = stream(seed, "shuffled labels", kind).permutation(len(group)).tolist()
        if len(group) > 1:
            pairs = zip(order, (*order[1:], order[0]), strict=True)
            rows += [replace(group[a], answer=group[b].answer) for a, b in pairs]
    return rows


def mean_gradient(lm: LanguageModel, records: Sequence[Record]) -> Gradients:
    """Gradient of the mean answer loss (nats per token, mean over records) on every matrix inside the blocks."""
    stack, _ = block_stack(lm.module)
    weights: dict[str, Any] = {
        n.removeprefix(f"{stack}.").removesuffix(".weight"): p
        for n, p in lm.module.named_parameters()
        if block_of(n, stack) is not None and p.dim() == 2
    }
    for p in lm.module.parameters():
        p.requires_grad_(False)
    for p in weights.values():
        p.requires_grad_(True)
    items = lm.template.encode_all(records)
    total = {name: torch.zeros_like(p) for name, p in weights.items()}
    for part in by_length(items, ROWS):
        batch = collate([items[k] for k in part]).to(lm.device)
        logprob = answer_logprob(answer_forward(lm.module, batch).logits, batch)
        loss = -(logprob.sum(-1) / batch.mask.sum(-1)).sum() / len(items)
        for name, g in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            total[name] += g
    return total


def cosines(g_f: Gradients, g_r: Gradients) -> Columns:
    """Matrix to the cosine between the two gradients; None where one of them is zero."""
    values = {name: cosine({name: g}, {name: g_r[name]}) for name, g in g_f.items()}
    return {name: None if math.isnan(c) else c for name, c in values.items()}


@measure("gradient_cosine", needs="original")
def gradient_cosine(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """`cosines`: `all`, a level, or `shuffled` to matrix to cosine; `norms`: matrix to |g_r|.

    The forget gradient is that of raising the loss on the target, where every bounded loss starts. Below 0, forgetting
    harms. Under `shuffled` the target's answers are exchanged, so what is left is owed to wording.
    """
    sets = place.sets
    retain = sets.split.retain
    away = {name: -g for name, g in mean_gradient(lm, sets.forget).items()}
    exchanged = {name: -g for name, g in mean_gradient(lm, shuffle_answers(sets.forget, place.cell.seed)).items()}
    g_r = mean_gradient(lm, retain)
    of_level = {level: rows for level in LEVELS if (rows := [r for r in retain if r.concept == level])}
    groups = {ALL: cosines(away, g_r), SHUFFLED: cosines(exchanged, g_r)}
    groups |= {level: cosines(away, mean_gradient(lm, rows)) for level, rows in of_level.items()}
    return {"cosines": groups, "norms": {name: float(g.norm()) for name, g in g_r.items()}}


def start_columns(observation: Mapping[str, Any]) -> Columns:
    """`cosine_<group>`: mean over matrices; `least`, `most`: their range; `small`: share of matrices without a retain
    gradient."""

    def there(group: str) -> list[float]:
        return [c for c in observation["cosines"][group].values() if c is not None]

    means = {f"cosine_{g}": float(np.mean(there(g))) if there(g) else None for g in observation["cosines"]}
    small = float(np.mean([norm < SMALL for norm in observation["norms"].values()]))
    return means | {"least": min(there(ALL), default=None), "most": max(there(ALL), default=None), "small": small}


def run_columns(events: Sequence[Mapping[str, Any]]) -> Columns:
    """Columns of a run's own steps; None where it never took the two gradients apart.

    cosine, conflict  mean cosine of forget and retain gradient of a step, and share of steps below 0
    drift, rises      sum over steps of <delta theta, g_r> (nats of retain loss to first order), and share above 0
    """
    cosine_of = [e["cosine"] for e in events if e.get("cosine") is not None]
    drifts = [e["drift"] for e in events if e.get("drift") is not None]
    return {
        "cosine": float(np.mean(cosine_of)) if cosine_of else None,
        "conflict": float(np.mean([c < 0 for c in cosine_of])) if cosine_of else None,
        "drift": float(np.sum(drifts)) if drifts else None,
        "rises": float(np.mean([d > 0 for d in drifts])) if drifts else None,
    }


def _summarize(study: Study) -> dict[str, Any]:
    """`start`: request to columns before any step; `run`: arm to columns of its steps; `lines`: the sum along one
    setting; `worth`: rule - sum; `adam`: the metric of Adam - the plain one; `drop`: last request - first."""
    start: Cells = {}
    for place in (p for p in study.places() if p.name == "original"):
        sets = place.sets
        overlap = measure_overlap(sets.corpus, sets.forget[0].path[0])
        shared: Columns = {"shared_concepts": overlap.concepts, "shared_facts": overlap.facts}
        columns = shared | start_columns(place.reference("original").observation("gradient_cosine"))
        start.setdefault(str(place.cell.request), {})[str(place.cell.seed)] = columns
    tables, names = study.columns, [arm.name for arm in study.arms]
    lines = {name: _line(study, settings) for name, settings in study.experiment.options["gradient_steps"].items()}
    requests = [str(r) for r in study.experiment.requests]
    first, last = requests[0], requests[-1]
    return {
        "start": {r: {c: entry(*estimate({r: of}, c)) for c in next(iter(of.values()))} for r, of in start.items()},
        "start_cells": start,
        "run": {name: {c: entry(*estimate(tables[name], c)) for c in RUN_COLUMNS} for name in names},
        "run_by_domain": {
            name: {r: {c: entry(*estimate({r: of}, c)) for c in SHOWN} for r, of in tables[name].items()}
            for name in names
        },
        "lines": {name: {str(t): _methods(study, of) for t, of in line.items()} for name, line in lines.items()},
        "drop": {
            name: entry(*difference({"": tables[name][last]}, {"": tables[name][first]}, "retention")) for name in names
        },
        **_compared(tables, lines),
    }


@measure("gradient_steps", needs="stored", summarize=_summarize)
def gradient_steps(place: ModelPlace) -> Columns:
    """Columns of the steps of a run; references have none."""
    return run_columns(place.events()) if place.arm else {}


def _line(study: Study, settings: Mapping[str, Any]) -> dict[Trial, dict[str, Cells]]:
    """The sum at the settings of a line: trial to arm to cells."""
    arms = tuple(arm for arm in study.arms if arm.name in settings["arms"])
    full = study.experiment.tune.trials()[0]
    trials = [Trial(**full.model_dump() | {settings["factor"]: value}) for value in settings["values"]]
    return {
        t: {arm.name: of[arm.name] for arm in arms}
        for t in trials
        for of in [study.audit(arms, study.fixed(t, arms), {})]
    }


def _methods(study: Study, tables: Mapping[str, Cells]) -> dict[str, Any]:
    columns = [c for c in study.column_names() if c not in RUN_COLUMNS]
    methods: dict[str, Any] = analysis.summarize(tables, {}, columns)["methods"]
    return methods


def _compared(tables: Mapping[str, Cells], lines: Mapping[str, Mapping[Trial, Mapping[str, Cells]]]) -> dict[str, Any]:
    worth: dict[str, Any] = {}
    adam: dict[str, Any] = {}
    for name in tables:
        loss, _, rule = name.rpartition("-")
        plain = f"{loss}-sum"
        if loss and rule != "sum" and plain in tables:
            along = {
                line: [tables["original"], *(of[plain] for of in steps.values()), tables[plain]]
                for line, steps in lines.items()
                if all(plain in of for of in steps.values())
            }
            steps = {k: entry(*difference(tables[name], tables[plain], c)) for k, c in EQUAL_STEPS.items()}
            leak = {line: _beside(tables[name], of) for line, of in along.items()}
            worth |= {name: {"equal_steps": steps, "equal_leak": leak}} if along else {}
        if rule == "adam" and f"{loss}-tensor" in tables:
            columns = (*SHOWN, "drift")
            adam[loss] = {c: entry(*difference(tables[name], tables[f"{loss}-tensor"], c)) for c in columns}
    return {"worth": worth, "adam": adam}


def retention_at(leak: float, points: Sequence[Point]) -> float | None:
    """Retention at a leak, on straight lines between `points` (leak, retention).

    None where no point leaks so little. Of points that leak alike the one that keeps most counts; above the largest
    leak its retention holds.
    """
    best: dict[float, float] = {}
    for x, y in points:
        best[x] = max(y, best.get(x, y))
    line = sorted(best.items())
    if not line or leak < line[0][0]:
        return None
    for (x0, y0), (x1, y1) in pairwise(line):
        if leak <= x1:
            return y0 + (y1 - y0) * (leak - x0) / (x1 - x0)
    return line[-1][1]


def at_matched_leak(own: Columns, line: Sequence[Columns]) -> float | None:
    """Retention of a run above that of a plain sum with the same leak; `line`: columns of the sum along one setting."""

    def point(of: Columns) -> Point | None:
        leak, retention = of.get("leak_mean"), of.get("retention")
        return None if leak is None or retention is None else (leak, retention)

    mine = point(own)
    plain = retention_at(mine[0], [p for of in line if (p := point(of))]) if mine else None
    return None if mine is None or plain is None else mine[1] - plain


def _beside(rule: Cells, line: Sequence[Cells]) -> dict[str, Any]:
    """Retention above the sum at a matched leak: over all requests and in each, and in how many runs it is defined."""
    own: Cells = {
        d: {s: {"": at_matched_leak(of, [step[d][s] for step in line])} for s, of in seeds.items()}
        for d, seeds in rule.items()
    }
    values = [of[""] for seeds in own.values() for of in seeds.values()]
    by_domain = {domain: entry(*estimate({domain: own[domain]}, "")) for domain in own}
    compared = sum(v is not None for v in values)
    return entry(*estimate(own, "")) | {"compared": compared, "runs": len(values), "by_domain": by_domain}
